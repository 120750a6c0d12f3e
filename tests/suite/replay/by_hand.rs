//! The states and the changes as somebody else would work them out, of the JSON alone.

use serde_json::{Map, Value, json};

/// The rules again, written by somebody else: the state that an event leaves, of the JSON alone.
pub fn folded(state: &mut Value, event_type: &str, data: &Value) {
    let created = |fields: Value| {
        let mut state = fields.as_object().unwrap().clone();
        state.extend(data.as_object().unwrap().clone());
        Value::Object(state)
    };
    let text = |field: &str| data[field].as_str().unwrap().to_owned();
    match event_type {
        "tasks.ProjectCreated" => {
            *state = created(json!({"description": null, "archived": false}));
        }
        "tasks.TaskCreated" => {
            *state = created(
                json!({"description": null, "estimatedHours": null, "dueDate": null, "key": null,
                "metadata": {}, "status": "open", "deleted": false, "assignee": null, "labels": [], "steps": {},
                "comments": [], "review": "none", "passed": null, "completionSuggested": false}),
            );
        }
        "tasks.TaskRenamed" => state["title"] = data["title"].clone(),
        "tasks.TaskDescribed" => state["description"] = data["description"].clone(),
        "tasks.TaskPrioritySet" => state["priority"] = data["priority"].clone(),
        "tasks.TaskEstimated" => state["estimatedHours"] = data["estimatedHours"].clone(),
        "tasks.TaskAssigned" => state["assignee"] = data["assigneeId"].clone(),
        "tasks.TaskUnassigned" => state["assignee"] = Value::Null,
        "tasks.TaskLabelAdded" => inserted(&mut state["labels"], &text("label")),
        "tasks.TaskCommentAdded" => inserted(&mut state["comments"], &text("commentId")),
        "tasks.TaskStepAdded" => {
            state["steps"][text("stepId")] = json!({"content": data["content"], "done": false});
            state["completionSuggested"] = json!(false);
        }
        "tasks.TaskStepCompleted" => state["steps"][text("stepId")]["done"] = json!(true),
        "tasks.TaskStarted" => state["status"] = json!("in_progress"),
        "tasks.TaskBlocked" => {
            let resumed = state["status"].clone();
            state["status"] = json!({"blocked": {"reason": data["reason"], "resumed": resumed}});
        }
        "tasks.TaskCompleted" => {
            state["status"] = json!({"completed": {"actualHours": data["actualHours"]}});
        }
        "tasks.TaskReopened" => {
            state["status"] = json!("open");
            state["completionSuggested"] = json!(false);
        }
        "tasks.TaskCancelled" => state["status"] = json!("cancelled"),
        "tasks.TaskDeleted" => state["deleted"] = json!(true),
        "tasks.TaskMoved" => state["projectId"] = data["projectId"].clone(),
        "tasks.TaskDueDayPassed" => state["passed"] = data["dueDate"].clone(),
        "tasks.TaskCompletionSuggested" => state["completionSuggested"] = json!(true),
        "tasks.TaskKeyReserved" => *state = json!({"holder": data["taskId"]}),
        other => panic!("this history has no {other}"),
    }
}

/// Into a set, which is written in order.
fn inserted(set: &mut Value, element: &str) {
    let set = set.as_array_mut().unwrap();
    set.push(json!(element));
    set.sort_by_key(ToString::to_string);
    set.dedup();
}

/// The changes, made to the state before: what they say must lead to the state after.
pub fn changed(before: &Value, changes: &[Value]) -> Value {
    let mut state = before.as_object().cloned().unwrap_or_default();
    for change in changes {
        let (was, is) = (&change["before"], &change["after"]);
        let (field, entry) = match change["field"].as_str().unwrap().split_once('.') {
            Some((field, entry)) => (field, Some(entry)),
            None => (change["field"].as_str().unwrap(), None),
        };
        let held = state.entry(field).or_insert(Value::Null);
        match (held, entry) {
            (Value::Object(map), Some(entry)) => put(map, entry, is),
            (Value::Array(list), None) => {
                list.retain(|it| it != was);
                list.extend((!is.is_null()).then(|| is.clone()));
                list.sort_by_key(ToString::to_string);
            }
            (held, _) => *held = is.clone(),
        }
    }
    Value::Object(state)
}

fn put(map: &mut Map<String, Value>, entry: &str, value: &Value) {
    if value.is_null() {
        map.remove(entry);
    } else {
        map.insert(entry.to_owned(), value.clone());
    }
}

/// A state without the fields that are null: those are not changes of nothing.
pub fn filled(state: &Value) -> Value {
    let fields = state.as_object().cloned().unwrap_or_default();
    Value::Object(
        fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .collect(),
    )
}
