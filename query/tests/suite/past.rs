//! As of a past position every query answers what it would have answered then: compared with a service whose views were
//! folded up to there and no further.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use foldline_events::{
    Cursor, Event, Hours, Position,
    tasks::{
        Priority, ProjectArchived, ProjectDescribed, ProjectEvent, ProjectRenamed, ProjectRestored,
        ResumedStatus, ReviewStatus, TaskAiReviewRecorded, TaskAiReviewRequested, TaskAssigned,
        TaskBlocked, TaskCancelled, TaskCommentAdded, TaskCompleted, TaskDeleted, TaskDescribed,
        TaskDueDateSet, TaskEstimated, TaskEvent, TaskKeySet, TaskLabelAdded, TaskLabelRemoved,
        TaskMetadataRemoved, TaskMetadataSet, TaskMoved, TaskPrioritySet, TaskRenamed,
        TaskReopened, TaskRestored, TaskStarted, TaskStepAdded, TaskStepCompleted, TaskStepRemoved,
        TaskUnassigned, TaskUnblocked, project_stream, task_stream,
    },
};
use foldline_query::Limits;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    changes::node_id,
    story::{Dice, Story, day, id, instant},
    support::{EPOCH, Fixture, fixture, fixture_with, sized},
};

/// At how many positions everything is compared: some in `make test`, more in `make soak`.
const POSITIONS: usize = 8;
const POSITIONS_SOAK: usize = 200;

/// What is selected of each type: all that there is. Each may contain those after it.
const SELECTIONS: [(&str, &str); 7] = [
    (
        "@deep",
        "@task comments(first: 3) { totalCount nodes { commentId text author createdAt } }
         history(last: 3) { totalCount nodes { @entry } } project { @project dashboard { projectId @figures } }",
    ),
    (
        "@task",
        "id taskId projectId key title description priority status blockedReason dueDate assigneeId labels stepsTotal
         stepsCompleted commentsTotal createdBy createdAt startedAt blockedAt completedAt cancelledAt deletedAt updatedAt
         estimatedHours actualHours overdue(at: \"2026-03-01T12:00:00Z\") metadata version position
         steps { stepId content completedAt } aiReview { needed status at summary }",
    ),
    (
        "@project",
        "id projectId name description archived createdAt archivedAt updatedAt version position",
    ),
    (
        "@change",
        "version position at changes { field before after } event { eventId }",
    ),
    (
        "@entry",
        "eventId type at recordedAt actor commandId correlationId causationId version position schemaVersion data summary",
    ),
    (
        "@figures",
        "total completed byStatus { open inProgress blocked completed cancelled }
         byPriority { low medium high critical } estimatedHours actualHours averageEfficiency position
         overdue(at: \"2026-03-01T12:00:00Z\")
         days(from: \"2026-02-25\", to: \"2026-04-30\") { day created completed }
         dueDays(from: \"2026-02-25\", to: \"2026-04-30\") { day tasks }",
    ),
    ("@page", "totalCount pageInfo { hasNextPage startCursor endCursor }"),
];

/// Every query with its arguments but the moment, and what is selected of it.
fn queries(tasks: &[Uuid]) -> Vec<(&'static str, String, &'static str)> {
    let page = "{ @page nodes { @task } }";
    let mut queries = Vec::new();
    for filter in [
        "{}",
        "{status: [OPEN, IN_PROGRESS]}",
        "{priority: [HIGH]}",
        "{labels: [\"blue\"]}",
        "{metadata: {size: 2}}",
        "{unassigned: true}",
        "{deleted: true}",
        "{dueBefore: \"2026-02-28\"}",
        "{overdueAt: \"2026-03-01T00:00:00Z\"}",
        "{completedAfter: \"2026-02-28T00:00:00Z\"}",
        "{aiReviewNeeded: true}",
        "{key: \"K-1\"}",
        "{projectId: \"00000000-0000-0000-0000-000000000002\"}",
        "{assigneeId: \"00000000-0000-0000-0000-000000000065\"}",
    ] {
        for order in ["CREATED_AT", "UPDATED_AT", "DUE_DATE", "PRIORITY"] {
            let arguments = format!("filter: {filter}, order: {{by: {order}}}, first: 7");
            queries.push(("tasks", arguments, page));
        }
    }
    for arguments in [
        "first: 5, after: \"@cursor\"",
        "last: 4",
        "last: 3, before: \"@cursor\"",
        "order: {by: CREATED_AT, direction: DESC}, first: 6",
    ] {
        queries.push(("tasks", arguments.replace("@cursor", &cursor()), page));
    }
    for task in tasks {
        queries.push(("task", format!("id: \"{task}\""), "{ @deep }"));
        let history = "{ totalCount nodes { @entry } }";
        queries.push(("taskHistory", format!("id: \"{task}\""), history));
        push_changes(("Task", *task), &mut queries);
    }
    queries.push(("task", "key: \"K-1\"".to_owned(), "{ @task }"));
    for n in 1..=5 {
        let project = id(n);
        let with_tasks = "{ @project dashboard { projectId @figures } tasks(first: 3, order: {by: PRIORITY}) { totalCount nodes { @task } } }";
        queries.push(("project", format!("id: \"{project}\""), with_tasks));
        let dashboard = format!("projectId: \"{project}\"");
        queries.push(("projectDashboard", dashboard, "{ projectId @figures }"));
        let node = node_id(("Project", project));
        push_changes(("Project", project), &mut queries);
        queries.push((
            "node",
            format!("id: \"{node}\""),
            "{ id ... on Project { @project } }",
        ));
    }
    for assignee in 100..103 {
        let arguments = format!("assigneeId: \"{}\"", id(assignee));
        queries.push(("assigneeDashboard", arguments, "{ assigneeId @figures }"));
    }
    for filter in ["{}", "{archived: true}"] {
        let page = "{ @page nodes { @project } }";
        queries.push(("projects", format!("filter: {filter}, first: 3"), page));
    }
    queries
}

/// The place of a task that was created in the middle of the story; see `page/cursor.rs` of the service.
fn cursor() -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let at = instant("2026-02-27T23:00:00Z").timestamp_micros();
    URL_SAFE_NO_PAD.encode(format!("created.asc|{at}|{}", id(9).simple()))
}

/// What changed of a task or a project.
fn push_changes(
    thing: (&'static str, Uuid),
    queries: &mut Vec<(&'static str, String, &'static str)>,
) {
    let node = node_id(thing);
    let changes = "{ @page nodes { @change } }";
    queries.push(("history", format!("id: \"{node}\", last: 9"), changes));
    let origins = "{ field value notAfter change { @change } }";
    queries.push(("blame", format!("id: \"{node}\""), origins));
}

/// Asks all of them, some to a request.
async fn answers(fixture: &Fixture, tasks: &[Uuid], as_of: Option<Position>) -> Vec<Value> {
    let as_of = as_of.map(|position| json!({"position": position.to_string()}));
    let mut answers = Vec::new();
    for queries in queries(tasks).chunks(8) {
        let field = |(n, (field, arguments, selected)): (usize, &(&str, String, &str))| {
            format!("q{n}: {field}({arguments}, asOf: $p) {selected}\n")
        };
        let fields: String = queries.iter().enumerate().map(field).collect();
        let fields = SELECTIONS.iter().fold(fields, |text, (name, selected)| {
            text.replace(name, selected)
        });
        let document = format!("query($p: AsOf) {{ {fields} }}");
        let data = fixture.data(&document, json!({"p": as_of})).await;
        for (n, query) in queries.iter().enumerate() {
            let answer = &data[format!("q{n}")];
            answers.push(json!({"query": format!("{query:?}"), "answer": answer}));
        }
    }
    answers
}

/// Two tenants' tasks and projects, to which in the end everything happened.
pub fn told() -> Story {
    let mut story = Story::seeded(&[("acme", 12), ("zeta", 3)]);
    let mut dice = Dice(11);
    let tasks: Vec<Uuid> = story.of("acme").iter().map(|task| task.id).collect();
    story.now = "2026-03-02T00:00:00Z".parse().unwrap();
    let mut steps = Vec::new();
    while story.events.len() < 420 {
        story.now += TimeDelta::minutes(dice.below(60));
        if dice.below(8) == 0 {
            let project = id(u128::try_from(dice.below(5)).unwrap() + 1);
            let event = Event::Project(of_project(&mut dice));
            story.record("acme", project_stream(project), &event, project);
            continue;
        }
        let task = tasks[usize::try_from(dice.below(12)).unwrap()];
        let event = match dice.below(3) {
            0 => stands(&mut dice),
            1 => found(&mut dice),
            _ => described(&mut dice, task, &mut steps),
        };
        let event = Event::Task(event);
        story.record("acme", task_stream(task), &event, task);
    }
    story
}

fn of_project(dice: &mut Dice) -> ProjectEvent {
    match dice.below(4) {
        0 => ProjectEvent::Archived(ProjectArchived {}),
        1 => ProjectEvent::Restored(ProjectRestored {}),
        2 => ProjectEvent::Described(ProjectDescribed { description: None }),
        _ => ProjectEvent::Renamed(ProjectRenamed {
            name: format!("renamed {}", dice.below(99)),
        }),
    }
}

fn stands(dice: &mut Dice) -> TaskEvent {
    let hours = Hours::from_hundredths(dice.below(900));
    match dice.below(9) {
        7 => TaskEvent::Cancelled(TaskCancelled {
            reason: "given up".to_owned(),
        }),
        0 => TaskEvent::Started(TaskStarted {}),
        1 => TaskEvent::Blocked(TaskBlocked {
            reason: "no parts".to_owned(),
        }),
        2 => TaskEvent::Unblocked(TaskUnblocked {
            status: ResumedStatus::InProgress,
        }),
        3 | 4 => TaskEvent::Completed(TaskCompleted {
            actual_hours: Some(hours),
        }),
        5 => TaskEvent::Reopened(TaskReopened {
            reason: "not so".to_owned(),
        }),
        6 => TaskEvent::Deleted(TaskDeleted {}),
        _ => TaskEvent::Restored(TaskRestored {}),
    }
}

fn found(dice: &mut Dice) -> TaskEvent {
    let label = "blue".to_owned();
    let name = "size".to_owned();
    match dice.below(9) {
        0 => TaskEvent::Assigned(TaskAssigned {
            assignee_id: id(100 + u128::try_from(dice.below(3)).unwrap()),
        }),
        1 => TaskEvent::Unassigned(TaskUnassigned {}),
        2 => TaskEvent::LabelAdded(TaskLabelAdded { label }),
        3 => TaskEvent::LabelRemoved(TaskLabelRemoved { label }),
        4 => TaskEvent::MetadataSet(TaskMetadataSet {
            name,
            value: dice.below(3).into(),
        }),
        5 => TaskEvent::MetadataRemoved(TaskMetadataRemoved { name }),
        6 => TaskEvent::PrioritySet(TaskPrioritySet {
            priority: match dice.below(2) {
                0 => Priority::High,
                _ => Priority::Low,
            },
        }),
        7 => TaskEvent::DueDateSet(TaskDueDateSet {
            due_date: (dice.below(3) > 0)
                .then(|| day("2026-02-26") + TimeDelta::days(dice.below(6))),
        }),
        _ => TaskEvent::Moved(TaskMoved {
            from_project_id: id(1),
            project_id: id(u128::try_from(dice.below(5)).unwrap() + 1),
        }),
    }
}

fn described(dice: &mut Dice, task: Uuid, steps: &mut Vec<(Uuid, Uuid)>) -> TaskEvent {
    let number = u128::try_from(dice.below(1_000_000)).unwrap();
    match dice.below(10) {
        0 => TaskEvent::Renamed(TaskRenamed {
            title: format!("renamed {number}"),
        }),
        1 => TaskEvent::Described(TaskDescribed {
            description: Some(format!("described {number}")),
        }),
        2 => TaskEvent::KeySet(TaskKeySet {
            key: (dice.below(3) > 0).then(|| format!("K-{}", dice.below(2))),
        }),
        3 => TaskEvent::CommentAdded(TaskCommentAdded {
            comment_id: id(number),
            text: "so it is".to_owned(),
        }),
        4 => TaskEvent::Estimated(TaskEstimated {
            estimated_hours: Some(Hours::from_hundredths(dice.below(500))),
        }),
        5 => {
            let of_task = steps.iter().position(|(of, _)| *of == task);
            match of_task.map(|at| steps.remove(at)) {
                Some((_, step_id)) => TaskEvent::StepCompleted(TaskStepCompleted { step_id }),
                None => step_added(task, number, steps),
            }
        }
        6 => {
            let of_task = steps.iter().position(|(of, _)| *of == task);
            match of_task.map(|at| steps.remove(at)) {
                Some((_, step_id)) => TaskEvent::StepRemoved(TaskStepRemoved { step_id }),
                None => step_added(task, number, steps),
            }
        }
        7 => TaskEvent::AiReviewRequested(TaskAiReviewRequested {}),
        8 => TaskEvent::AiReviewRecorded(TaskAiReviewRecorded {
            status: ReviewStatus::Failed,
            summary: Some(format!("reviewed {number}")),
        }),
        _ => step_added(task, number, steps),
    }
}

fn step_added(task: Uuid, number: u128, steps: &mut Vec<(Uuid, Uuid)>) -> TaskEvent {
    let step_id = id(number);
    steps.push((task, step_id));
    TaskEvent::StepAdded(TaskStepAdded {
        step_id,
        content: "a step".to_owned(),
    })
}

/// The queries that take no `asOf`, and why.
const NOT_COMPARED: [(&str, &str); 4] = [
    ("diff", "it names two moments; see `changes.rs`"),
    ("projection", "how far the views are is no event"),
    ("parkedStreams", "what waits at present is no event"),
    (
        "whatIf",
        "the command service answers it of its log, and its own tests compare it",
    ),
];

#[tokio::test]
async fn as_of_any_position_every_query_answers_what_it_would_have_answered_then() {
    let positions = sized(POSITIONS, POSITIONS_SOAK);
    let story = told();
    let tasks: Vec<Uuid> = story.of("acme").iter().map(|task| task.id).collect();
    let tasks = &tasks[..4];
    let last = i64::try_from(story.events.len()).unwrap();
    let (whole, then) = (fixture().await, fixture().await);
    // In some deliveries, so that rows end that are stored, and others that never were.
    for after in (0..last).step_by(60) {
        let through = (after + 60).min(last);
        story.fold_between(&whole, after, through).await;
    }

    let asked: BTreeSet<&str> = queries(tasks).iter().map(|(field, ..)| *field).collect();
    let introspected = "{ __schema { queryType { fields { name args { name } } } } }";
    let schema = whole.data(introspected, json!({})).await;
    for field in schema["__schema"]["queryType"]["fields"]
        .as_array()
        .unwrap()
    {
        let name = field["name"].as_str().unwrap();
        let arguments = field["args"].as_array().unwrap();
        let takes = |argument: &str| arguments.iter().any(|it| it["name"] == argument);
        let excepted = NOT_COMPARED.iter().any(|(it, _)| *it == name);
        assert!(excepted || takes("asOf"), "{name}");
        assert!(excepted || takes("consistency"), "{name}");
        assert_eq!(asked.contains(name), !excepted, "{name} is not compared");
    }

    let mut dice = Dice(13);
    let mut chosen: BTreeSet<Position> = [1, last].into();
    // Where something ends.
    for ends in ["tasks.TaskLabelRemoved", "tasks.TaskMetadataRemoved"] {
        let of_type = story.events.iter().filter(|event| event.event_type == ends);
        chosen.extend(of_type.map(|event| event.position).take(6));
    }
    let positions = positions + chosen.len();
    while chosen.len() < positions {
        chosen.insert(dice.below(last) + 1);
    }
    let mut folded = 0;
    let mut differing = 0;
    for position in chosen {
        story.fold_between(&then, folded, position).await;
        folded = position;
        let was = answers(&then, tasks, None).await;
        let is = answers(&whole, tasks, Some(position)).await;
        for (was, is) in was.iter().zip(&is) {
            assert_eq!(was, is, "as of {position}");
        }
        differing += usize::from(is != answers(&whole, tasks, None).await);
    }
    assert!(
        differing > positions / 2,
        "the past differs from the present"
    );
}

#[tokio::test]
async fn a_position_that_is_not_folded_yet_is_waited_for_and_one_that_does_not_exist_is_told() {
    let mut story = told();
    let limits = Limits {
        at_least_wait_ms_max: 1_000,
        ..Limits::default()
    };
    let fixture = fixture_with(limits).await;
    let read = "query($p: Position!) { projects(asOf: {position: $p}) { totalCount } }";
    let code = fixture.code(read, json!({"p": "7"})).await;
    assert_eq!(code, "AT_LEAST_TIMEOUT", "nothing says where the log ends");
    let nothing = fixture.data(read, json!({"p": "0"})).await;
    assert_eq!(nothing["projects"]["totalCount"], 0);
    story.fold(&fixture).await;
    let seen = fixture.data(read, json!({"p": "7"})).await;
    assert_eq!(seen["projects"]["totalCount"], 5);
    // As a projector tells it.
    let head = "insert into views.heads (epoch, position, seen_at) values ($1, $2, now() + interval '1 hour')";
    sqlx::query(head)
        .bind(EPOCH)
        .bind(i64::try_from(story.events.len()).unwrap())
        .execute(&fixture.owner)
        .await
        .unwrap();
    let code = fixture.code(read, json!({"p": "100000"})).await;
    assert_eq!(code, "CURSOR_BEYOND_HEAD");
    let later = Cursor {
        epoch: EPOCH,
        position: 8,
        partition: None,
    };
    let contradicts =
        "query($c: String) { projects(asOf: {position: \"7\"}, atLeast: $c) { totalCount } }";
    let later = json!({"c": later.to_string()});
    assert_eq!(fixture.code(contradicts, later).await, "BAD_USER_INPUT");
    let both = "{ projects(asOf: {position: \"7\"}, consistency: SNAPSHOT) { totalCount } }";
    assert_eq!(fixture.code(both, json!({})).await, "BAD_USER_INPUT");
}

#[tokio::test]
async fn what_waits_is_said_as_of_positions_behind_it_alone_and_of_every_snapshot() {
    let mut story = told();
    let fixture = fixture().await;
    story.fold(&fixture).await;
    let task = story.of("acme")[0].id;
    fixture
        .park("acme", "task_view", &task_stream(task), 200)
        .await;
    let parked = async |how: &str| {
        let read = format!("{{ tasks({how}) {{ totalCount }} }}");
        let answer = fixture.ask(&read, json!({})).await;
        assert_eq!(answer.get("errors"), None, "{answer:#}");
        answer["extensions"]["foldline"]["parked"].clone()
    };
    let waits = json!([{"view": "task_view", "streams": 1}]);
    let told = tokio::time::timeout(std::time::Duration::from_secs(30), async {
        while parked("asOf: {position: \"200\"}").await != waits {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    told.await.expect("it is seen that something is parked");
    assert_eq!(parked("asOf: {position: \"199\"}").await, Value::Null);
    assert_eq!(parked("consistency: SNAPSHOT").await, waits);
}

#[tokio::test]
async fn fields_of_one_request_may_each_be_of_another_moment_with_all_that_lies_below_them() {
    let mut story = told();
    let fixture = fixture().await;
    story.fold(&fixture).await;
    let last = Cursor {
        epoch: EPOCH,
        position: i64::try_from(story.events.len()).unwrap(),
        partition: None,
    };
    let read = "query($c: String) { then: project(id: \"00000000-0000-0000-0000-000000000002\", asOf: {position: \"5\"}) {
            name tasks { totalCount } dashboard { total } }
        now: project(id: \"00000000-0000-0000-0000-000000000002\", atLeast: $c) {
            name tasks { totalCount } dashboard { total } } }";
    let answer = fixture.ask(read, json!({"c": last.to_string()})).await;
    let (then, now) = (&answer["data"]["then"], &answer["data"]["now"]);
    assert_eq!(
        then,
        &json!({"name": "project 2", "tasks": {"totalCount": 0}, "dashboard": {"total": 0}})
    );
    assert!(now["tasks"]["totalCount"].as_i64().unwrap() > 0, "{now}");
    assert!(now["dashboard"]["total"].as_i64().unwrap() > 0, "{now}");
    // What the whole answer holds for sure is what the oldest part of it does.
    assert_eq!(answer["extensions"]["foldline"]["completedPrefix"], "5");
}

#[tokio::test]
async fn as_of_a_time_is_as_of_the_last_position_that_was_recorded_by_then() {
    let story = told();
    let last = i64::try_from(story.events.len()).unwrap();
    let limits = Limits {
        at_least_wait_ms_max: 1_000,
        ..Limits::default()
    };
    let fixture = fixture_with(limits).await;
    for after in (0..last).step_by(60) {
        story
            .fold_between(&fixture, after, (after + 60).min(last))
            .await;
    }
    let tasks: Vec<Uuid> = story.of("acme").iter().map(|task| task.id).collect();
    let of_time = "query($t: DateTime) { tasks(asOf: {recordedAt: $t}, first: 100) { nodes { taskId version position } } }";
    let of_position = "query($p: Position) { tasks(asOf: {position: $p}, first: 100) { nodes { taskId version position } } }";
    assert!(!tasks.is_empty());
    for position in (1..last).step_by(23) {
        let recorded_at = story.events[usize::try_from(position - 1).unwrap()].recorded_at;
        let expected = fixture
            .data(of_position, json!({"p": position.to_string()}))
            .await;
        for later in [TimeDelta::zero(), TimeDelta::microseconds(999_999)] {
            let seen = fixture
                .data(of_time, json!({"t": recorded_at + later}))
                .await;
            assert_eq!(seen, expected, "{position} {later}");
        }
    }
    let ten = story.events[9].recorded_at;
    for (cursor, is_too_late) in [(10, false), (11, true)] {
        let cursor = Cursor {
            epoch: EPOCH,
            position: cursor,
            partition: None,
        };
        let read = "query($t: DateTime, $c: String) { tasks(asOf: {recordedAt: $t}, atLeast: $c) { totalCount } }";
        let variables = json!({"t": ten, "c": cursor.to_string()});
        match is_too_late {
            true => assert_eq!(fixture.code(read, variables).await, "BAD_USER_INPUT"),
            false => drop(fixture.data(read, variables).await),
        }
    }
    let before = story.events[0].recorded_at - TimeDelta::microseconds(1);
    let seen = fixture.data(of_time, json!({"t": before})).await;
    assert_eq!(seen["tasks"]["nodes"], json!([]));

    // After the last event nobody knows whether there was another, until the end of the log was seen so much later that no append
    // of then is still under way.
    let after = story.events.last().unwrap().recorded_at + TimeDelta::seconds(1);
    let head = "
        insert into views.heads (epoch, position, seen_at)
        values ($1, $2, $3)
        on conflict (epoch) do update
        set seen_at = excluded.seen_at";
    for too_early in [None, Some(TimeDelta::zero()), Some(TimeDelta::seconds(14))] {
        if let Some(too_early) = too_early {
            let seen = sqlx::query(head)
                .bind(EPOCH)
                .bind(last)
                .bind(after + too_early);
            seen.execute(&fixture.owner).await.unwrap();
        }
        assert_eq!(
            fixture.code(of_time, json!({"t": after})).await,
            "AT_LEAST_TIMEOUT"
        );
    }
    sqlx::query(head)
        .bind(EPOCH)
        .bind(last)
        .bind(after + TimeDelta::seconds(15))
        .execute(&fixture.owner)
        .await
        .unwrap();
    let seen = fixture.data(of_time, json!({"t": after})).await;
    let expected = fixture
        .data(of_position, json!({"p": last.to_string()}))
        .await;
    assert_eq!(seen, expected);
    let future = crate::support::now() + TimeDelta::hours(1);
    assert_eq!(
        fixture.code(of_time, json!({"t": future})).await,
        "BAD_USER_INPUT"
    );
}

#[tokio::test]
async fn as_of_what_is_not_kept_any_more_is_refused_by_every_field_that_needs_it_and_by_no_other() {
    let mut story = told();
    let fixture = fixture().await;
    story.fold(&fixture).await;
    let last = i64::try_from(story.events.len()).unwrap();
    let kept = last / 2;
    sqlx::query(
        "insert into views.kept (view, version, position) select view, version, $1 from views.active where view = 'task_view'",
    )
    .bind(kept)
    .execute(&fixture.owner)
    .await
    .unwrap();
    let at = |position: i64| json!({"p": position.to_string()});
    let tasks =
        "query($p: Position!) { tasks(asOf: {position: $p}) { totalCount nodes { labels } } }";
    let others = "query($p: Position!) { projects(asOf: {position: $p}) { nodes { name } } }";
    let nested = "query($p: Position!) { projects(asOf: {position: $p}) { nodes { name tasks { totalCount } } } }";
    for read in [tasks, others, nested] {
        fixture.data(read, at(kept)).await;
        fixture.data(read, at(last)).await;
    }
    fixture.data(others, at(kept - 1)).await;
    for read in [tasks, nested] {
        assert_eq!(fixture.code(read, at(kept - 1)).await, "HISTORY_NOT_KEPT");
    }
    let present = "{ tasks { totalCount } projection { views { keptFrom } } }";
    let said = fixture.data(present, json!({})).await.to_string();
    assert_eq!(said.matches(&format!(r#""{kept}""#)).count(), 1, "{said}");
}
