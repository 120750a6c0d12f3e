//! What queries give.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Fixture, fixture};

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

async fn five_projects() -> Fixture {
    let fixture = fixture().await;
    // Two of them at the same moment: the id breaks the tie.
    for (n, created_s) in [(1, 10), (2, 20), (3, 20), (4, 30), (5, 40)] {
        fixture
            .project("acme", id(n), &format!("p{n}"), created_s, 1)
            .await;
    }
    fixture
}

fn names(connection: &Value) -> Vec<&str> {
    let nodes = connection["nodes"].as_array().unwrap();
    nodes
        .iter()
        .map(|node| node["name"].as_str().unwrap())
        .collect()
}

const PAGE: &str = "query($first: Int, $after: String, $last: Int, $before: String) {
    projects(first: $first, after: $after, last: $last, before: $before) {
        nodes { name }
        edges { cursor node { name } }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
        totalCount
    }
}";

#[tokio::test]
async fn the_query_that_graphiql_opens_with_works() {
    let fixture = fixture().await;
    fixture.project("acme", id(1), "Garden", 10, 7).await;
    let data = fixture
        .data("query Projects { projects(first: 10) { nodes { id projectId name archived version } } }", json!({}))
        .await;
    assert_eq!(
        data["projects"]["nodes"],
        json!([{
            "id": "UHJvamVjdDowMDAwMDAwMC0wMDAwLTAwMDAtMDAwMC0wMDAwMDAwMDAwMDE=",
            "projectId": "00000000-0000-0000-0000-000000000001",
            "name": "Garden",
            "archived": false,
            "version": "1"
        }])
    );
}

#[tokio::test]
async fn pages_forward_visit_every_entry_once() {
    let fixture = five_projects().await;
    let first = fixture.data(PAGE, json!({"first": 2})).await["projects"].clone();
    assert_eq!(names(&first), ["p1", "p2"]);
    assert_eq!(first["totalCount"], 5);
    assert_eq!(first["pageInfo"]["hasNextPage"], true);
    assert_eq!(first["pageInfo"]["hasPreviousPage"], false);

    // Something is added before the cursor meanwhile: the next page does not shift.
    fixture.project("acme", id(9), "early", 1, 2).await;
    let second = fixture
        .data(
            PAGE,
            json!({"first": 2, "after": first["pageInfo"]["endCursor"]}),
        )
        .await["projects"]
        .clone();
    assert_eq!(names(&second), ["p3", "p4"]);
    let third = fixture
        .data(
            PAGE,
            json!({"first": 2, "after": second["edges"][1]["cursor"]}),
        )
        .await["projects"]
        .clone();
    assert_eq!(names(&third), ["p5"]);
    assert_eq!(third["pageInfo"]["hasNextPage"], false);
    assert_eq!(third["pageInfo"]["hasPreviousPage"], true);
}

#[tokio::test]
async fn pages_backward_are_in_the_same_order() {
    let fixture = five_projects().await;
    let last = fixture.data(PAGE, json!({"last": 2})).await["projects"].clone();
    assert_eq!(names(&last), ["p4", "p5"]);
    assert_eq!(last["pageInfo"]["hasPreviousPage"], true);
    let before = fixture
        .data(
            PAGE,
            json!({"last": 3, "before": last["pageInfo"]["startCursor"]}),
        )
        .await["projects"]
        .clone();
    assert_eq!(names(&before), ["p1", "p2", "p3"]);
    assert_eq!(before["pageInfo"]["hasPreviousPage"], false);
    assert_eq!(before["pageInfo"]["hasNextPage"], true);
}

#[tokio::test]
async fn a_page_or_an_id_that_is_not_one_is_refused_with_its_code() {
    let fixture = fixture().await;
    for variables in [
        json!({"first": 101}),
        json!({"last": -1}),
        json!({"first": 1, "last": 1}),
        json!({"first": 1, "after": "?"}),
    ] {
        assert_eq!(
            fixture.code(PAGE, variables.clone()).await,
            "BAD_PAGE",
            "{variables}"
        );
    }
    for bad in [
        "",
        "x",
        "VGFzazowMDAwMDAwMC0wMDAwLTAwMDAtMDAwMC0wMDAwMDAwMDAwMDE=",
    ] {
        assert_eq!(
            fixture
                .code(
                    "query($id: ID!) { project(id: $id) { name } }",
                    json!({"id": bad})
                )
                .await,
            "BAD_ID",
            "{bad}"
        );
    }
}

#[tokio::test]
async fn a_node_is_found_by_its_id_and_an_unknown_one_is_null() {
    let fixture = fixture().await;
    fixture.project("acme", id(1), "Garden", 10, 1).await;
    fixture.task("acme", id(2), id(1), 11, 2).await;
    let data = fixture.data("{ project(id: \"00000000-0000-0000-0000-000000000001\") { id tasks { nodes { id } } } }", json!({})).await;
    let project = &data["project"]["id"];
    let task = &data["project"]["tasks"]["nodes"][0]["id"];
    let query = "query($project: ID!, $task: ID!) {
        project: node(id: $project) { id ... on Project { name } }
        task: node(id: $task) { id __typename ... on Task { title } }
        nothing: node(id: \"UHJvamVjdDowMDAwMDAwMC0wMDAwLTAwMDAtMDAwMC0wMDAwMDAwMDAwMDA=\") { id }
    }";
    let nodes = fixture
        .data(query, json!({"project": project, "task": task}))
        .await;
    assert_eq!(nodes["project"], json!({"id": project, "name": "Garden"}));
    assert_eq!(
        nodes["task"],
        json!({"id": task, "__typename": "Task", "title": "Write"})
    );
    assert_eq!(nodes["nothing"], Value::Null);
}

#[tokio::test]
async fn a_task_shows_all_that_its_row_holds() {
    let fixture = fixture().await;
    fixture.task("acme", id(2), id(1), 11, 42).await;
    let query = "query($id: ID!) { task(id: $id) {
        taskId projectId key title description priority status blockedReason blockedAt estimatedHours actualHours dueDate
        overdue assigneeId labels metadata steps { stepId content completedAt } stepsTotal stepsCompleted commentsTotal
        comments { nodes { text } } aiReview { needed status at summary } createdBy createdAt startedAt deletedAt
        version position project { name } history { nodes { type } }
    } }";
    let data = fixture.data(query, json!({"id": id(2)})).await;
    assert_eq!(
        data["task"],
        json!({
            "taskId": id(2), "projectId": id(1), "key": null, "title": "Write", "description": null, "priority": "HIGH",
            "status": "OPEN", "blockedReason": null, "blockedAt": null, "estimatedHours": 1.5, "actualHours": null,
            "dueDate": null, "overdue": false, "assigneeId": null, "labels": ["a", "b"], "metadata": {"k": 1},
            "steps": [{"stepId": id(1), "content": "first", "completedAt": null}],
            "stepsTotal": 1, "stepsCompleted": 0, "commentsTotal": 0, "comments": {"nodes": []},
            "aiReview": {"needed": false, "status": "NONE", "at": null, "summary": null}, "createdBy": "ada",
            "createdAt": "1970-01-01T00:00:11+00:00", "startedAt": null, "deletedAt": null, "version": "1", "position": "42",
            "history": {"nodes": []},
            // A row whose project has not been folded is legal.
            "project": null
        })
    );
}

#[tokio::test]
async fn nested_lists_and_dashboards_belong_to_their_own_project() {
    let fixture = fixture().await;
    for n in [1, 2] {
        fixture
            .project("acme", id(n), &format!("p{n}"), 10, 1)
            .await;
        for task in 0..u128::from(n == 1) * 2 + 1 {
            fixture.task("acme", id(n * 10 + task), id(n), 11, 2).await;
        }
    }
    fixture.dashboard("acme", id(1), 3, 2).await;
    fixture.dashboard("acme", id(1), 4, 2).await;
    let query = "{ projects { nodes { name
        tasks(first: 2) { totalCount pageInfo { hasNextPage } nodes { taskId project { name } } }
        dashboard { total }
    } } }";
    let data = fixture.data(query, json!({})).await;
    let task = |n: u128, name: &str| json!({"taskId": id(n), "project": {"name": name}});
    assert_eq!(
        data["projects"]["nodes"],
        json!([
            {"name": "p1", "tasks": {"totalCount": 3, "pageInfo": {"hasNextPage": true}, "nodes": [task(10, "p1"), task(11, "p1")]},
             "dashboard": {"total": 6}},
            {"name": "p2", "tasks": {"totalCount": 1, "pageInfo": {"hasNextPage": false}, "nodes": [task(20, "p2")]},
             "dashboard": {"total": 0}},
        ])
    );
}

#[tokio::test]
async fn a_dashboard_adds_its_partitions_up() {
    let fixture = fixture().await;
    fixture.dashboard("acme", id(1), 3, 2).await;
    fixture.dashboard("acme", id(1), 4, 1).await;
    let query = "query($id: ID!) { projectDashboard(projectId: $id) {
        projectId total completed byStatus { open inProgress blocked completed cancelled }
        byPriority { low medium high critical } estimatedHours actualHours averageEfficiency position
    } }";
    let data = fixture.data(query, json!({"id": id(1)})).await;
    assert_eq!(
        data["projectDashboard"],
        json!({
            "projectId": id(1), "total": 5, "completed": 3,
            "byStatus": {"open": 2, "inProgress": 0, "blocked": 0, "completed": 3, "cancelled": 0},
            "byPriority": {"low": 0, "medium": 3, "high": 2, "critical": 0},
            "estimatedHours": 5.0, "actualHours": 2.5, "averageEfficiency": 0.5, "position": "9"
        })
    );
    assert_eq!(
        fixture.data(query, json!({"id": id(8)})).await["projectDashboard"],
        Value::Null
    );
}

#[tokio::test]
async fn projects_are_filtered_by_whether_they_are_archived() {
    let fixture = five_projects().await;
    sqlx::query(
        "update views.project_view set archived = true, description = 'old' where project_id = $1",
    )
    .bind(id(3))
    .execute(&fixture.owner)
    .await
    .unwrap();
    let query = "query($f: ProjectFilter) { projects(filter: $f) { totalCount nodes { name description } } }";
    for (filter, expected) in [
        (json!({"archived": true}), vec!["p3"]),
        (json!({"archived": false}), vec!["p1", "p2", "p4", "p5"]),
        (json!(null), vec!["p1", "p2", "p3", "p4", "p5"]),
    ] {
        let projects = fixture.data(query, json!({"f": filter})).await["projects"].clone();
        assert_eq!(names(&projects), expected);
        assert_eq!(projects["totalCount"], expected.len());
    }
}
