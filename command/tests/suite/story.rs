//! Commands of every type in an order that makes sense, and how each is sent by its own route.

use std::collections::BTreeMap;

use foldline_command::openapi;
use foldline_domain::tasks::COMMAND_TYPES;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// When all of it happens.
const AT: &str = "2024-03-01T12:00:00Z";

pub struct Telling {
    pub command_type: &'static str,
    /// The project or task.
    pub aggregate: Uuid,
    pub data: Map<String, Value>,
}

/// Each of them does something, so that every type of event is recorded.
pub fn story() -> Vec<Telling> {
    let [moon, mars, task, ada, burn, coast, said] = [1, 2, 3, 4, 5, 6, 7].map(Uuid::from_u128);
    let of = |aggregate| {
        move |command_type, data: Value| {
            let Value::Object(data) = data else {
                panic!("{command_type} has data that is no object")
            };
            Telling {
                command_type,
                aggregate,
                data,
            }
        }
    };
    let (on_moon, on_mars, on_task) = (of(moon), of(mars), of(task));
    let new_task = json!({
        "projectId": moon, "title": "Land", "description": "Softly", "priority": "high", "estimatedHours": 1.25,
        "dueDate": "2024-07-20", "key": "LM-5", "metadata": {"crew": 3, "pad": "39A", "manned": true},
    });
    vec![
        on_moon("tasks.create_project", json!({"name": "Moon"})),
        on_moon("tasks.rename_project", json!({"name": "The Moon"})),
        on_moon("tasks.describe_project", json!({"description": "There"})),
        on_mars("tasks.create_project", json!({"name": "Mars"})),
        on_task("tasks.create_task", new_task),
        on_task("tasks.rename_task", json!({"title": "Land there"})),
        on_task("tasks.describe_task", json!({"description": null})),
        on_task("tasks.set_priority", json!({"priority": "critical"})),
        on_task("tasks.estimate_task", json!({"estimatedHours": 2.5})),
        on_task("tasks.set_due_date", json!({"dueDate": "2024-12-31"})),
        on_task("tasks.set_key", json!({"key": "LM-6"})),
        on_task("tasks.assign_task", json!({"assigneeId": ada})),
        on_task("tasks.unassign_task", json!({})),
        on_task("tasks.add_label", json!({"label": "red"})),
        on_task("tasks.remove_label", json!({"label": "red"})),
        on_task("tasks.set_metadata", json!({"name": "crew", "value": 2})),
        on_task("tasks.remove_metadata", json!({"name": "pad"})),
        on_task(
            "tasks.add_comment",
            json!({"commentId": said, "text": "Go"}),
        ),
        on_task("tasks.start_task", json!({})),
        on_task("tasks.block_task", json!({"reason": "No fuel"})),
        on_task("tasks.unblock_task", json!({})),
        on_task("tasks.add_step", json!({"stepId": burn, "content": "burn"})),
        on_task(
            "tasks.add_step",
            json!({"stepId": coast, "content": "coast"}),
        ),
        on_task("tasks.complete_step", json!({"stepId": burn})),
        on_task("tasks.remove_step", json!({"stepId": coast})),
        on_task("tasks.request_ai_review", json!({})),
        on_task(
            "tasks.record_ai_review",
            json!({"status": "changes_wanted", "summary": "Fold the legs"}),
        ),
        on_task("tasks.complete_task", json!({"actualHours": 3})),
        on_task("tasks.reopen_task", json!({"reason": "A leg broke"})),
        on_task("tasks.move_task", json!({"projectId": mars})),
        on_task("tasks.cancel_task", json!({"reason": "Too far"})),
        on_task("tasks.delete_task", json!({})),
        on_task("tasks.restore_task", json!({})),
        on_moon("tasks.archive_project", json!({})),
        on_moon("tasks.restore_project", json!({})),
    ]
}

/// The paths of each command type, as the description has them.
pub fn routes() -> BTreeMap<&'static str, Vec<String>> {
    let description = serde_json::to_value(openapi()).unwrap();
    let mut routes: BTreeMap<&str, Vec<String>> = COMMAND_TYPES
        .into_iter()
        .map(|command_type| (command_type, vec![]))
        .collect();
    for (path, operations) in description["paths"].as_object().unwrap() {
        for operation in operations.as_object().unwrap().values() {
            let operation = operation["operationId"].as_str().unwrap();
            if let Some(paths) = routes.get_mut(format!("tasks.{operation}").as_str()) {
                paths.push(path.clone());
            }
        }
    }
    routes
}

impl Telling {
    pub fn creates(&self) -> bool {
        self.command_type.starts_with("tasks.create_")
    }

    /// Path and body of its route.
    pub fn request(&self) -> (String, Map<String, Value>) {
        let routes = routes();
        let mut body = self.data.clone();
        body.insert("at".to_owned(), json!(AT));
        let mut path = routes[self.command_type][0].replace("{id}", &self.aggregate.to_string());
        if path.contains("{stepId}") {
            let step = body.remove("stepId").unwrap();
            path = path.replace("{stepId}", step.as_str().unwrap());
        }
        if self.creates() {
            body.insert("id".to_owned(), json!(self.aggregate));
        }
        (path, body)
    }

    /// As one of many.
    pub fn item(&self) -> Value {
        json!({
            "id": Uuid::now_v7(), "type": self.command_type, "aggregate": self.aggregate, "at": AT, "data": self.data,
        })
    }
}
