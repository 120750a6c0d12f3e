//! Lists of tasks: every filter, in every order, from both ends, against the same list made in plain Rust.

use std::cmp::Ordering;

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    story::{Plain, Story, day, id, instant},
    support::{Fixture, fixture},
};

type Holds = Box<dyn Fn(&Plain) -> bool>;

const NEVER: &str = "9999-12-31";
const ORDERS: [&str; 4] = ["CREATED_AT", "UPDATED_AT", "DUE_DATE", "PRIORITY"];
const LIST: &str = "query($f: TaskFilter, $o: TaskOrder, $first: Int, $after: String, $last: Int, $before: String) {
    tasks(filter: $f, order: $o, first: $first, after: $after, last: $last, before: $before) {
        totalCount nodes { taskId } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    }
}";

/// Every field of the filter alone and some together, each with what it means.
fn filters(story: &Story) -> Vec<(Value, Holds)> {
    fn is(filter: Value, holds: impl Fn(&Plain) -> bool + 'static) -> (Value, Holds) {
        (filter, Box::new(holds))
    }
    let keyed = story
        .of("acme")
        .into_iter()
        .find_map(|task| task.key)
        .unwrap();
    let (day, at) = (day("2026-02-28"), instant("2026-02-28T03:00:00Z"));
    let has = |labels: &'static [&str]| {
        move |task: &Plain| labels.iter().all(|label| task.labels.contains(*label))
    };
    vec![
        is(json!(null), |_| true),
        is(json!({}), |_| true),
        is(json!({"projectId": id(2)}), |task| task.project == id(2)),
        is(json!({"status": ["BLOCKED"]}), |task| {
            task.status == "BLOCKED"
        }),
        is(json!({"status": ["OPEN", "COMPLETED"]}), |task| {
            ["OPEN", "COMPLETED"].contains(&task.status)
        }),
        is(json!({"status": []}), |_| false),
        is(json!({"priority": ["CRITICAL", "LOW"]}), |task| {
            [1, 4].contains(&rank(task))
        }),
        is(json!({"assigneeId": id(101)}), |task| {
            task.assignee == Some(id(101))
        }),
        is(json!({"unassigned": true}), |task| task.assignee.is_none()),
        is(json!({"unassigned": false}), |task| task.assignee.is_some()),
        is(json!({"labels": ["green"]}), has(&["green"])),
        is(json!({"labels": ["späť", "blue"]}), has(&["späť", "blue"])),
        is(json!({"labels": ["unheard of"]}), |_| false),
        is(json!({"metadata": {"team": "red"}}), |task| {
            task.metadata.contains_key("team")
        }),
        is(json!({"metadata": {"size": 2.0, "done": true}}), |task| {
            task.metadata.contains_key("size") && task.metadata.contains_key("done")
        }),
        is(json!({"metadata": {"team": "green"}}), |_| false),
        is(json!({"key": keyed.clone()}), move |task| {
            task.key.as_ref() == Some(&keyed)
        }),
        is(json!({"key": "t-0"}), |_| false),
        is(json!({"dueBefore": day}), move |task| {
            task.due.is_some_and(|due| due < day)
        }),
        is(json!({"dueBefore": NEVER}), |task| task.due.is_some()),
        is(json!({"dueAfter": day}), move |task| {
            task.due.is_some_and(|due| due > day)
        }),
        is(json!({"overdueAt": at}), move |task| task.is_overdue(at)),
        is(json!({"createdBefore": at}), move |task| {
            task.created_at < at
        }),
        is(json!({"createdAfter": at}), move |task| {
            task.created_at > at
        }),
        is(json!({"updatedBefore": at}), move |task| {
            task.updated_at < at
        }),
        is(json!({"updatedAfter": at}), move |task| {
            task.updated_at > at
        }),
        is(json!({"completedBefore": at}), move |task| {
            task.completed_at.is_some_and(|done| done < at)
        }),
        is(json!({"completedAfter": at}), move |task| {
            task.completed_at.is_some_and(|done| done > at)
        }),
        is(json!({"aiReviewNeeded": true}), |task| task.review_needed),
        is(json!({"aiReviewNeeded": false}), |task| !task.review_needed),
        is(
            json!({"projectId": id(1), "status": ["OPEN", "BLOCKED"], "labels": ["green"], "dueAfter": "2026-02-25",
                   "metadata": {"size": 2}, "unassigned": false}),
            |task| {
                task.project == id(1)
                    && ["OPEN", "BLOCKED"].contains(&task.status)
                    && task.labels.contains("green")
                    && task.due.is_some()
                    && task.metadata.contains_key("size")
                    && task.assignee.is_some()
            },
        ),
    ]
}

fn rank(task: &Plain) -> i32 {
    task.priority as i32 + 1
}

fn due(task: &Plain) -> NaiveDate {
    task.due.unwrap_or_else(|| day(NEVER))
}

fn ordered(by: &str, a: &Plain, b: &Plain) -> Ordering {
    let first = match by {
        "UPDATED_AT" => a.updated_at.cmp(&b.updated_at),
        "DUE_DATE" => due(a).cmp(&due(b)),
        "PRIORITY" => rank(a).cmp(&rank(b)),
        _ => Ordering::Equal,
    };
    let place = |task: &Plain| -> (DateTime<Utc>, Uuid) { (task.created_at, task.id) };
    first.then_with(|| place(a).cmp(&place(b)))
}

/// The list in plain Rust.
fn expected(tasks: &[Plain], holds: &Holds, by: &str, direction: &str) -> Vec<Uuid> {
    let mut tasks: Vec<&Plain> = tasks.iter().filter(|task| holds(task)).collect();
    tasks.sort_by(|a, b| ordered(by, a, b));
    if direction == "DESC" {
        tasks.reverse();
    }
    tasks.into_iter().map(|task| task.id).collect()
}

fn ids(page: &Value) -> Vec<Uuid> {
    let nodes = page["nodes"].as_array().unwrap();
    let id = |node: &Value| node["taskId"].as_str().unwrap().parse().unwrap();
    nodes.iter().map(id).collect()
}

/// The whole list, page by page from its beginning.
async fn forwards(fixture: &Fixture, filter: &Value, order: &Value, rows: i32) -> Vec<Uuid> {
    let (mut walked, mut after) = (Vec::new(), Value::Null);
    loop {
        let page = json!({"f": filter, "o": order, "first": rows, "after": after});
        let page = fixture.data(LIST, page).await["tasks"].clone();
        walked.extend(ids(&page));
        if page["pageInfo"]["hasNextPage"] == false {
            assert_eq!(page["totalCount"], walked.len());
            return walked;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}

/// The whole list, page by page from its end.
async fn backwards(fixture: &Fixture, filter: &Value, order: &Value, rows: i32) -> Vec<Uuid> {
    let (mut walked, mut before) = (Vec::new(), Value::Null);
    loop {
        let page = json!({"f": filter, "o": order, "last": rows, "before": before});
        let page = fixture.data(LIST, page).await["tasks"].clone();
        walked = [ids(&page), walked].concat();
        if page["pageInfo"]["hasPreviousPage"] == false {
            return walked;
        }
        before = page["pageInfo"]["startCursor"].clone();
    }
}

#[tokio::test]
async fn every_filter_in_every_order_gives_exactly_the_tasks_it_names_from_both_ends() {
    let fixture = fixture().await;
    let mut story = Story::seeded(&[("acme", 150), ("globex", 40)]);
    story.fold(&fixture).await;
    let all = story.of("acme");
    let (bin, tasks): (Vec<Plain>, Vec<Plain>) = all.into_iter().partition(|task| task.deleted);
    for by in ORDERS {
        for direction in ["ASC", "DESC"] {
            let order = json!({"by": by, "direction": direction});
            let check = async |filter: &Value, expected: Vec<Uuid>| {
                let case = format!("{filter} by {by} {direction}");
                assert_eq!(
                    forwards(&fixture, filter, &order, 40).await,
                    expected,
                    "{case}"
                );
                assert_eq!(
                    backwards(&fixture, filter, &order, 40).await,
                    expected,
                    "{case}"
                );
            };
            for (filter, holds) in filters(&story) {
                check(&filter, expected(&tasks, &holds, by, direction)).await;
            }
            let any: Holds = Box::new(|_| true);
            check(
                &json!({"deleted": true}),
                expected(&bin, &any, by, direction),
            )
            .await;
        }
    }
    // Lest the story tells of too little.
    assert!(bin.len() > 5 && tasks.len() > 100);
}

#[tokio::test]
async fn small_pages_visit_every_task_once_in_both_directions() {
    let fixture = fixture().await;
    let mut story = Story::seeded(&[("acme", 60)]);
    story.fold(&fixture).await;
    let tasks: Vec<Plain> = story
        .of("acme")
        .into_iter()
        .filter(|task| !task.deleted)
        .collect();
    let any: Holds = Box::new(|_| true);
    for by in ORDERS {
        let expected = expected(&tasks, &any, by, "DESC");
        let order = json!({"by": by, "direction": "DESC"});
        assert_eq!(
            forwards(&fixture, &json!({}), &order, 3).await,
            expected,
            "{by}"
        );
        assert_eq!(
            backwards(&fixture, &json!({}), &order, 3).await,
            expected,
            "{by}"
        );
    }
}

#[tokio::test]
async fn a_projects_own_tasks_take_the_same_filters_and_orders() {
    let fixture = fixture().await;
    let mut story = Story::seeded(&[("acme", 100), ("globex", 20)]);
    story.fold(&fixture).await;
    let query = "query($f: TaskFilter, $o: TaskOrder) { projects { nodes {
        projectId tasks(filter: $f, order: $o, first: 100) { totalCount nodes { taskId } }
    } } }";
    for (filter, holds) in filters(&story) {
        let variables = json!({"f": filter, "o": {"by": "DUE_DATE", "direction": "DESC"}});
        let projects = fixture.data(query, variables).await["projects"]["nodes"].clone();
        assert_eq!(projects.as_array().unwrap().len(), 5);
        for project in projects.as_array().unwrap() {
            let of: Uuid = project["projectId"].as_str().unwrap().parse().unwrap();
            let tasks: Vec<Plain> = (story.of("acme").into_iter())
                .filter(|task| task.project == of && !task.deleted)
                .collect();
            let expected = expected(&tasks, &holds, "DUE_DATE", "DESC");
            assert_eq!(ids(&project["tasks"]), expected, "{filter} in {of}");
            assert_eq!(project["tasks"]["totalCount"], expected.len());
        }
    }
}

#[tokio::test]
async fn a_cursor_of_another_order_is_refused() {
    let fixture = fixture().await;
    fixture.task("acme", id(2), id(1), 10, 1).await;
    let by = |by: &str, direction: &str| json!({"by": by, "direction": direction});
    let page = json!({"o": by("PRIORITY", "ASC"), "first": 1});
    let page = fixture.data(LIST, page).await["tasks"].clone();
    let cursor = &page["pageInfo"]["endCursor"];
    for order in [by("DUE_DATE", "ASC"), by("PRIORITY", "DESC"), json!({})] {
        let page = json!({"o": order, "first": 1, "after": cursor});
        assert_eq!(fixture.code(LIST, page).await, "BAD_PAGE", "{order}");
    }
    let page = json!({"o": by("PRIORITY", "ASC"), "first": 1, "after": cursor});
    fixture.data(LIST, page).await;
}

#[tokio::test]
async fn a_filter_that_contradicts_itself_or_is_too_much_is_refused() {
    let fixture = fixture().await;
    let many: Vec<String> = (0..21).map(|n| n.to_string()).collect();
    for filter in [
        json!({"assigneeId": id(1), "unassigned": true}),
        json!({"labels": many}),
        json!({"metadata": {"a": [1]}}),
        json!({"metadata": {"a": null}}),
        json!({"status": vec!["OPEN"; 11]}),
        json!({"dueBefore": "2026-02-30"}),
    ] {
        let code = fixture.code(LIST, json!({"f": filter})).await;
        assert!(
            ["BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED"].contains(&code.as_str()),
            "{filter}: {code}"
        );
    }
    assert_eq!(
        fixture.code(LIST, json!({"f": {"projectId": "?"}})).await,
        "BAD_ID"
    );
    // In a variable it would be refused with the body.
    for query in [
        "{ tasks(filter: {overdueAt: \"-9999-01-01T00:00:00Z\"}) { totalCount } }",
        "{ tasks(filter: {createdAfter: \"-9999-01-01T00:00:00Z\"}) { totalCount } }",
        "{ assigneeDashboard(assigneeId: \"00000000-0000-0000-0000-000000000001\") {
            overdue(at: \"-9999-01-01T00:00:00Z\") } }",
        "{ tasks(filter: {key: \"a\\u0000\"}) { totalCount } }",
        "{ task(key: \"a\\u0000\") { title } }",
    ] {
        assert_eq!(fixture.code(query, json!({})).await, "BAD_USER_INPUT");
    }
}

#[tokio::test]
async fn a_task_is_found_by_its_key_deleted_or_not() {
    let fixture = fixture().await;
    let mut story = Story::seeded(&[("acme", 60), ("globex", 60)]);
    story.fold(&fixture).await;
    let query = "query($k: String) { task(key: $k) { taskId deletedAt } }";
    let keyed: Vec<Plain> = story
        .of("acme")
        .into_iter()
        .filter(|task| task.key.is_some())
        .collect();
    assert!(keyed.iter().any(|task| task.deleted));
    for task in keyed {
        let found = fixture.data(query, json!({"k": task.key})).await["task"].clone();
        assert_eq!(found["taskId"], json!(task.id));
        assert_eq!(found["deletedAt"].is_string(), task.deleted);
    }
    assert_eq!(
        fixture.data(query, json!({"k": "none"})).await["task"],
        Value::Null
    );
}

#[tokio::test]
async fn of_two_tasks_with_one_key_the_later_one_has_it() {
    let fixture = fixture().await;
    for (n, position) in [(2, 9), (3, 4)] {
        fixture.task("acme", id(n), id(1), 10, position).await;
    }
    sqlx::query("update views.task_view set key = 'API-42'")
        .execute(&fixture.owner)
        .await
        .unwrap();
    let query = "{ task(key: \"API-42\") { taskId } tasks(filter: {key: \"API-42\"}) { nodes { taskId } } }";
    let later = json!({"taskId": id(2)});
    assert_eq!(
        fixture.data(query, json!({})).await,
        json!({"task": later, "tasks": {"nodes": [later]}})
    );
}

#[tokio::test]
async fn a_task_is_asked_for_by_its_id_or_by_its_key() {
    let fixture = fixture().await;
    for query in [
        "{ task { taskId } }",
        "{ task(id: \"00000000-0000-0000-0000-000000000001\", key: \"a\") { taskId } }",
    ] {
        assert_eq!(fixture.code(query, json!({})).await, "BAD_USER_INPUT");
    }
}
