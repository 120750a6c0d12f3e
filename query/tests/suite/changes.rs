//! What changed of a task or a project is the same whichever way it is asked: as the difference of two moments, as one change
//! after the other, and as the last change of each field.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, engine::general_purpose::STANDARD};
use foldline_events::{Position, Recorded, tasks::task_stream};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::{
    past::told,
    story::{Dice, Story, id},
    support::{Fixture, cursor, fixture, sized, token, within},
};

/// The fields of each type that are not compared, and why.
const LEFT_OUT: [(&str, &[(&str, &str)]); 2] = [
    (
        "Task",
        &[
            ("id", "names the task"),
            ("taskId", "names the task"),
            ("version", "moves with every event"),
            ("position", "moves with every event"),
            ("updatedAt", "moves with every event"),
            (
                "overdue",
                "is of an instant, and follows from the status and the due date",
            ),
            (
                "comments",
                "are only ever added, and have their own list; commentsTotal is compared",
            ),
            ("project", "leads elsewhere; projectId is compared"),
            ("history", "is what happened, and not what came of it"),
        ],
    ),
    (
        "Project",
        &[
            ("id", "names the project"),
            ("projectId", "names the project"),
            ("version", "moves with every event"),
            ("position", "moves with every event"),
            ("updatedAt", "moves with every event"),
            ("tasks", "lead elsewhere"),
            ("dashboard", "leads elsewhere"),
        ],
    ),
];

/// What is selected of fields that are objects.
const PARTS: [(&str, &str); 2] = [
    ("steps", "{ stepId content completedAt }"),
    ("aiReview", "{ needed status at summary }"),
];

const CHANGE: &str = "version position at changes { field before after }
    event { eventId type at recordedAt actor commandId version position summary }";

/// How many pairs of moments are compared, in `make test` and in `make soak`.
const PAIRS: usize = 12;
const PAIRS_SOAK: usize = 200;

/// A task or a project.
type Thing = (&'static str, Uuid);

/// Somebody else did each of five events.
async fn folded() -> (Fixture, Story) {
    let mut story = told();
    for event in &mut story.events {
        event.actor = format!("person {}", event.position % 5);
    }
    let fixture = fixture().await;
    // In some deliveries, so that rows end that are stored, and others that never were.
    let last = last(&story);
    for after in (0..last).step_by(60) {
        let through = (after + 60).min(last);
        story.fold_between(&fixture, after, through).await;
    }
    (fixture, story)
}

fn last(story: &Story) -> Position {
    story.events.last().unwrap().position
}

/// All that `acme` has.
fn things(story: &Story) -> Vec<Thing> {
    let tasks = story.of("acme").into_iter().map(|task| ("Task", task.id));
    tasks.chain((1..=5).map(|n| ("Project", id(n)))).collect()
}

/// As `node.rs` of the service spells it, which may never change.
pub fn node_id((kind, uuid): Thing) -> String {
    STANDARD.encode(format!("{kind}:{uuid}"))
}

/// The fields of a type that are compared, as the schema has them.
async fn compared(fixture: &Fixture, kind: &str) -> Vec<String> {
    let query = "query($kind: String!) { __type(name: $kind) { fields { name } } }";
    let schema = fixture.data(query, json!({"kind": kind})).await;
    let fields = schema["__type"]["fields"].as_array().unwrap().iter();
    let fields: Vec<&str> = fields
        .map(|field| field["name"].as_str().unwrap())
        .collect();
    let (_, left_out) = LEFT_OUT.iter().find(|(of, _)| *of == kind).unwrap();
    let left_out: BTreeSet<&str> = left_out.iter().map(|(field, _)| *field).collect();
    for field in &left_out {
        assert!(fields.contains(field), "{kind} has no {field} any more");
    }
    fields
        .into_iter()
        .filter(|field| !left_out.contains(field))
        .map(str::to_owned)
        .collect()
}

/// What each type has to be asked for, to compare it by hand.
async fn selections(fixture: &Fixture) -> String {
    let mut selections = String::new();
    for (kind, _) in LEFT_OUT {
        let fields = compared(fixture, kind).await.into_iter();
        let selected = fields.map(|field| match PARTS.iter().find(|(of, _)| *of == field) {
            Some((_, parts)) => format!("{field} {parts} "),
            None => format!("{field} "),
        });
        let selected: String = selected.collect();
        selections.push_str(&format!("... on {kind} {{ {selected} }} "));
    }
    selections
}

/// A root field of each of many things, of some in a request, so that none costs too much.
async fn of_each(fixture: &Fixture, things: &[Thing], field: &str, variables: Value) -> Vec<Value> {
    // Only what is used may be declared.
    let declared = ["$p: AsOf", "$q: AsOf!"];
    let declared = declared.into_iter().filter(|it| field.contains(&it[..2]));
    let declared = declared.collect::<Vec<&str>>().join(", ");
    let mut answers = Vec::new();
    for things in things.chunks(8) {
        let of_thing = |(n, thing): (usize, &Thing)| {
            format!("t{n}: {}\n", field.replace("@id", &node_id(*thing)))
        };
        let fields: String = things.iter().enumerate().map(of_thing).collect();
        let document = format!("query({declared}) {{ {fields} }}");
        let data = fixture.data(&document, variables.clone()).await;
        answers.extend((0..things.len()).map(|n| data[format!("t{n}")].clone()));
    }
    answers
}

fn as_of(position: Option<Position>) -> Value {
    position.map_or(
        Value::Null,
        |position| json!({"position": position.to_string()}),
    )
}

/// The row of each as of a position.
async fn rows(fixture: &Fixture, things: &[Thing], position: Option<Position>) -> Vec<Value> {
    let selections = selections(fixture).await;
    let field = format!("node(id: \"@id\", asOf: $p) {{ {selections} }}");
    of_each(fixture, things, &field, json!({"p": as_of(position)})).await
}

/// Every change of each up to a position, the oldest first; of a list for something that is not there, null.
async fn histories(fixture: &Fixture, things: &[Thing], position: Option<Position>) -> Vec<Value> {
    let field = format!("history(id: \"@id\", first: 100, asOf: $p) {{ nodes {{ {CHANGE} }} }}");
    let pages = of_each(fixture, things, &field, json!({"p": as_of(position)})).await;
    pages.iter().map(|page| page["nodes"].clone()).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn of_thing(story: &Story, thing: Thing) -> Vec<&Recorded> {
    let events = story.events.iter();
    events
        .filter(|event| event.tenant.as_str() == "acme" && event.aggregate() == Some(thing.1))
        .collect()
}

#[tokio::test]
async fn every_field_is_compared_or_left_out_for_a_reason() {
    let (fixture, story) = folded().await;
    for thing in [things(&story)[0], ("Project", id(1))] {
        let query = "query($id: ID!) { blame(id: $id) { field } }";
        let blame = fixture.data(query, json!({"id": node_id(thing)})).await;
        let fields: Vec<&str> = list(&blame["blame"])
            .iter()
            .map(|it| it["field"].as_str().unwrap())
            .collect();
        assert_eq!(fields, compared(&fixture, thing.0).await);
    }
}

#[tokio::test]
async fn a_diff_has_exactly_what_two_answers_as_of_its_moments_differ_in() {
    let (fixture, story) = folded().await;
    let (things, last) = (things(&story), last(&story));
    let mut fields = BTreeMap::new();
    for (kind, _) in LEFT_OUT {
        fields.insert(kind, compared(&fixture, kind).await);
    }
    let mut dice = Dice(17);
    let mut pairs: Vec<(Position, Option<Position>)> = vec![(0, Some(0)), (0, None), (last, None)];
    let throws =
        (0..sized(PAIRS, PAIRS_SOAK)).map(|_| (dice.below(last + 1), dice.below(last + 1)));
    pairs.extend(throws.map(|(from, to)| (from, Some(to))));
    let mut seen = BTreeSet::new();
    for (from, to) in pairs {
        let before = rows(&fixture, &things, Some(from)).await;
        let after = rows(&fixture, &things, to).await;
        let diff = "diff(id: \"@id\", from: $q, to: $p) { from to existedBefore existedAfter changes { field before after } }";
        let variables = json!({"q": as_of(Some(from)), "p": as_of(to)});
        let diffs = of_each(&fixture, &things, diff, variables).await;
        for ((thing, diff), (before, after)) in
            things.iter().zip(diffs).zip(before.iter().zip(&after))
        {
            let mut changes = Vec::new();
            for field in &fields[thing.0] {
                let (before, after) = (&before[field], &after[field]);
                if before != after {
                    changes.push(json!({"field": field, "before": before, "after": after}));
                    seen.insert((thing.0, field.clone()));
                }
            }
            let expected = json!({
                "from": from.to_string(), "to": to.unwrap_or(last).to_string(),
                "existedBefore": !before.is_null(), "existedAfter": !after.is_null(), "changes": changes
            });
            let is_nothing = before.is_null() && after.is_null();
            let expected = if is_nothing { Value::Null } else { expected };
            assert_eq!(diff, expected, "{thing:?} from {from} to {to:?}");
        }
    }
    // Everything was seen to differ.
    for (kind, fields) in fields {
        for field in fields {
            assert!(seen.contains(&(kind, field.clone())), "{kind}.{field}");
        }
    }
}

#[tokio::test]
async fn the_changes_lead_from_nothing_to_the_row_as_it_is_and_each_names_its_event() {
    let (fixture, story) = folded().await;
    let things = things(&story);
    let present = rows(&fixture, &things, None).await;
    let histories = histories(&fixture, &things, None).await;
    for ((thing, history), row) in things.iter().zip(&histories).zip(&present) {
        let mut state: BTreeMap<&str, Value> = BTreeMap::new();
        for change in list(history).iter().flat_map(|it| list(&it["changes"])) {
            let field = change["field"].as_str().unwrap();
            let before = state.insert(field, change["after"].clone());
            assert_eq!(
                before.unwrap_or_default(),
                change["before"],
                "{thing:?} {field}"
            );
            assert_ne!(change["before"], change["after"]);
        }
        let fields = row.as_object().unwrap().iter();
        for (field, value) in fields {
            let told = state.remove(field.as_str()).unwrap_or_default();
            assert_eq!(told, *value, "{thing:?} {field}");
        }
        assert!(state.is_empty(), "{state:?}");

        let recorded = of_thing(&story, *thing);
        assert_eq!(list(history).len(), recorded.len());
        for (change, event) in list(history).iter().zip(recorded) {
            let place = |of: &Value| (of["version"].clone(), of["position"].clone());
            let expected = (event.version.to_string(), event.position.to_string());
            assert_eq!(place(change), (json!(expected.0), json!(expected.1)));
            let named = &change["event"];
            if thing.0 == "Project" {
                assert_eq!(named, &Value::Null, "no view keeps the events of projects");
                continue;
            }
            assert_eq!(place(named), place(change));
            let of_event = (&named["eventId"], &named["type"], &named["actor"]);
            let expected = (json!(event.id), json!(event.event_type), json!(event.actor));
            assert_eq!(of_event, (&expected.0, &expected.1, &expected.2));
        }
    }
}

#[tokio::test]
async fn changes_are_read_by_pages_from_both_ends_and_as_of_a_position() {
    let (fixture, story) = folded().await;
    let page = async |thing: Thing, how: Value| {
        let query = format!(
            "query($id: ID!, $first: Int, $after: String, $last: Int, $before: String, $p: AsOf) {{
                history(id: $id, first: $first, after: $after, last: $last, before: $before, asOf: $p) {{
                    totalCount nodes {{ {CHANGE} }} pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }}"
        );
        let mut variables = how;
        variables["id"] = json!(node_id(thing));
        fixture.data(&query, variables).await["history"].clone()
    };
    let things = things(&story);
    let all = histories(&fixture, &things, None).await;
    for (thing, all) in things.into_iter().zip(&all) {
        let all = list(all);
        let (mut forward, mut after) = (Vec::new(), Value::Null);
        loop {
            let page = page(thing, json!({"first": 7, "after": after})).await;
            assert_eq!(page["totalCount"], all.len());
            forward.extend(list(&page["nodes"]).to_vec());
            after = page["pageInfo"]["endCursor"].clone();
            if page["pageInfo"]["hasNextPage"] == false {
                break;
            }
        }
        assert_eq!(forward, all);
        let (mut backward, mut before) = (Vec::new(), Value::Null);
        loop {
            let page = page(thing, json!({"last": 3, "before": before})).await;
            backward.extend(list(&page["nodes"]).iter().rev().cloned());
            before = page["pageInfo"]["startCursor"].clone();
            if page["pageInfo"]["hasPreviousPage"] == false {
                break;
            }
        }
        backward.reverse();
        assert_eq!(backward, all);
        let behind = page(thing, json!({"first": 7, "after": after})).await;
        assert_eq!(
            behind["nodes"],
            json!([]),
            "behind the end is nothing, of something"
        );

        let middle = &all[all.len() / 2]["position"];
        let then = page(thing, json!({"first": 100, "p": {"position": middle}})).await;
        assert_eq!(list(&then["nodes"]), &all[..=all.len() / 2]);
        assert_eq!(then["totalCount"], all.len() / 2 + 1);
    }
}

#[tokio::test]
async fn blame_names_for_each_field_the_last_change_that_has_it_and_who_made_that() {
    let (fixture, story) = folded().await;
    let (things, last) = (things(&story), last(&story));
    let mut actors = BTreeSet::new();
    for position in [None, Some(last / 2), Some(last / 3)] {
        let rows = rows(&fixture, &things, position).await;
        let histories = histories(&fixture, &things, position).await;
        let field = format!(
            "blame(id: \"@id\", asOf: $p) {{ field value notAfter change {{ {CHANGE} }} }}"
        );
        let blames = of_each(&fixture, &things, &field, json!({"p": as_of(position)})).await;
        for ((thing, blame), (row, history)) in
            things.iter().zip(&blames).zip(rows.iter().zip(&histories))
        {
            assert_eq!(blame.is_null(), row.is_null(), "{thing:?}");
            for of_field in list(blame) {
                let field = of_field["field"].as_str().unwrap();
                let has = |change: &&Value| {
                    let changes = list(&change["changes"]).iter();
                    changes.map(|it| &it["field"]).any(|it| it == field)
                };
                let change = list(history).iter().rfind(has);
                let expected = json!({
                    "field": field, "value": row[field], "notAfter": null, "change": change
                });
                assert_eq!(*of_field, expected, "{thing:?} as of {position:?}");
                let Some(change) = change.filter(|_| thing.0 == "Task") else {
                    continue;
                };
                let position: usize = change["position"].as_str().unwrap().parse().unwrap();
                assert_eq!(change["event"]["actor"], story.events[position - 1].actor);
                actors.insert(story.events[position - 1].actor.clone());
            }
        }
    }
    assert_eq!(actors.len(), 5);
}

#[tokio::test]
async fn what_is_not_there_has_no_changes_and_what_has_none_is_refused() {
    let (fixture, story) = folded().await;
    let query = "query($id: ID!) { history(id: $id) { nodes { version } } blame(id: $id) { field }
        diff(id: $id, from: {position: \"0\"}) { existedBefore } }";
    let nothing = json!({"history": null, "blame": null, "diff": null});
    let theirs = ("Task", story.of("zeta")[0].id);
    for thing in [("Task", id(404)), ("Project", id(404)), theirs] {
        let variables = json!({"id": node_id(thing)});
        assert_eq!(fixture.data(query, variables).await, nothing, "{thing:?}");
    }
    let variables = json!({"id": node_id(theirs)});
    let seen = fixture.ask_as(&token("zeta"), query, variables).await;
    assert_eq!(seen["data"]["diff"]["existedBefore"], false);
    assert_ne!(seen["data"]["history"], Value::Null);

    let comment = STANDARD.encode(format!("Comment:{}", id(1)));
    for id in [comment, id(1).to_string(), "nonsense".to_owned()] {
        for query in [
            "query($id: ID!) { history(id: $id) { totalCount } }",
            "query($id: ID!) { blame(id: $id) { field } }",
            "query($id: ID!) { diff(id: $id, from: {position: \"0\"}) { to } }",
        ] {
            let code = fixture.code(query, json!({"id": id})).await;
            assert_eq!(code, "BAD_ID", "{query}");
        }
    }
}

#[tokio::test]
async fn what_waits_is_told_and_with_a_cursor_behind_it_refused() {
    let (fixture, story) = folded().await;
    let (task, last) = (story.of("acme")[0].id, last(&story));
    let stream = task_stream(task);
    fixture.park("acme", "task_view", &stream, 200).await;
    let fields = [
        "history(id: $id, atLeast: $c) { totalCount }",
        "blame(id: $id, atLeast: $c) { field }",
        "diff(id: $id, from: {position: \"199\"}, atLeast: $c) { to }",
    ];
    let variables = json!({"id": node_id(("Task", task)), "c": cursor(last, None)});
    for field in fields {
        let query = format!("query($id: ID!, $c: String) {{ {field} }}");
        within(30, async {
            // Until it is seen that something is parked.
            loop {
                let answer = fixture.ask(&query, variables.clone()).await;
                if answer["errors"][0]["extensions"]["code"] == "PARKED" {
                    break;
                }
            }
        })
        .await;
        let without = query
            .replace(", $c: String", "")
            .replace(", atLeast: $c", "");
        let answer = fixture.ask(&without, variables.clone()).await;
        assert_eq!(answer.get("errors"), None, "{answer:#}");
        assert_eq!(
            answer["extensions"]["foldline"]["parked"],
            json!([{"view": "task_view", "streams": 1}])
        );
    }
}

/// A task of so many versions before the present one, each at the position that is its number. It got its title by the fourth of
/// them, and the others changed how many comments it has.
async fn of_many_versions(fixture: &Fixture, task: Uuid, versions: i64) {
    fixture
        .task("acme", task, id(1), 1_700_000_000, versions + 1)
        .await;
    let version: i32 =
        sqlx::query_scalar("select version from views.active where view = 'task_view'")
            .fetch_one(&fixture.owner)
            .await
            .unwrap();
    let past = format!(
        "insert into views.task_view_past_v{version}
         select
             (jsonb_populate_record(task, jsonb_build_object(
                 'position', n, 'version', n, 'comments_total', n, 'title', case when n < 4 then 'Read' else 'Write' end
             ))).*,
             n + 1
         from views.task_view_v{version} as task, generate_series(1, {versions}) as n;
         update views.task_view_v{version} set version = {versions} + 1"
    );
    sqlx::raw_sql(AssertSqlSafe(past))
        .execute(&fixture.owner)
        .await
        .unwrap();
    fixture.fold_all(versions + 1).await;
}

async fn origin_of(
    fixture: &Fixture,
    task: Uuid,
    field: &str,
    position: Option<Position>,
) -> Value {
    let query = "query($id: ID!, $p: AsOf) { blame(id: $id, asOf: $p) { field value notAfter change { position } } }";
    let variables = json!({"id": node_id(("Task", task)), "p": as_of(position)});
    let blame = fixture.data(query, variables).await;
    let mut of_field = list(&blame["blame"])
        .iter()
        .filter(|it| it["field"] == field);
    of_field.next().unwrap().clone()
}

#[tokio::test]
async fn blame_looks_through_five_thousand_versions_and_says_what_lies_further_back() {
    let (fixture, task) = (fixture().await, id(7));
    of_many_versions(&fixture, task, 6_000).await;
    let comments = json!({
        "field": "commentsTotal", "value": 0, "notAfter": null, "change": {"position": "6001"}
    });
    assert_eq!(
        origin_of(&fixture, task, "commentsTotal", None).await,
        comments
    );
    let title = json!({"field": "title", "value": "Write", "notAfter": "1002", "change": null});
    assert_eq!(origin_of(&fixture, task, "title", None).await, title);
    let near = json!({
        "field": "title", "value": "Write", "notAfter": null, "change": {"position": "4"}
    });
    assert_eq!(origin_of(&fixture, task, "title", Some(4_999)).await, near);
}

#[tokio::test]
async fn blame_knows_the_first_of_as_many_versions_as_are_looked_through_and_of_one_more_that_it_is_older()
 {
    for (before, not_after) in [(4_999, None), (5_000, Some("2"))] {
        let (fixture, task) = (fixture().await, id(7));
        of_many_versions(&fixture, task, before).await;
        let origin = origin_of(&fixture, task, "createdBy", None).await;
        assert_eq!(origin["notAfter"], json!(not_after), "{before}");
        assert_eq!(origin["change"].is_null(), not_after.is_some(), "{before}");
    }
}

#[tokio::test]
async fn what_led_to_the_oldest_version_that_is_kept_is_not_known() {
    let (fixture, task) = (fixture().await, id(7));
    of_many_versions(&fixture, task, 20).await;
    let node = node_id(("Task", task));
    let clear = "
        insert into views.kept (view, version, position) select view, version, 10 from views.active where view = 'task_view';
        do $$
        begin
            -- One before them is still there, as while rows are being cleared away.
            execute format(
                'delete from views.task_view_past_v%s where until <= 10 and position <> 3',
                (select version from views.kept)
            );
        end
        $$";
    sqlx::raw_sql(clear).execute(&fixture.owner).await.unwrap();

    let query = "query($id: ID!) { history(id: $id, first: 2) { totalCount nodes { position changes { field before } } } }";
    let seen = fixture.data(query, json!({"id": node})).await;
    assert_eq!(seen["history"]["totalCount"], 12);
    let first_two = json!([
        {"position": "10", "changes": null},
        {"position": "11", "changes": [{"field": "commentsTotal", "before": 10}]},
    ]);
    assert_eq!(seen["history"]["nodes"], first_two);
    let title = json!({"field": "title", "value": "Write", "notAfter": "10", "change": null});
    assert_eq!(origin_of(&fixture, task, "title", None).await, title);
    let comments = json!({
        "field": "commentsTotal", "value": 12, "notAfter": null, "change": {"position": "12"}
    });
    assert_eq!(
        origin_of(&fixture, task, "commentsTotal", Some(12)).await,
        comments
    );

    let diff = "query($id: ID!, $p: Position!) { diff(id: $id, from: {position: $p}) { changes { field before after } } }";
    let of = |position: &str| json!({"id": node, "p": position});
    let seen = fixture.data(diff, of("10")).await;
    let comments = json!([{"field": "commentsTotal", "before": 10, "after": 0}]);
    assert_eq!(seen["diff"]["changes"], comments);
    assert_eq!(fixture.code(diff, of("9")).await, "HISTORY_NOT_KEPT");
    let then = "query($id: ID!) { history(id: $id, asOf: {position: \"9\"}) { totalCount } }";
    assert_eq!(
        fixture.code(then, json!({"id": node})).await,
        "HISTORY_NOT_KEPT"
    );
}
