//! What happened to a task, in plain English: what stands after "the task was" or "the task", for people who read a history.

use foldline_events::{
    Hours,
    tasks::{Priority, ResumedStatus, ReviewStatus, TaskCreated, TaskEvent},
};
use serde_json::Value;

/// Of a longer text its beginning is shown.
const TEXT_CHARS_MAX: usize = 80;

pub fn of(event: &TaskEvent) -> String {
    match event {
        TaskEvent::Created(event) => created(event),
        TaskEvent::Renamed(event) => format!("renamed to {}", quoted(&event.title)),
        TaskEvent::Described(event) => match &event.description {
            Some(text) => format!("described: {}", quoted(text)),
            None => "description removed".to_owned(),
        },
        TaskEvent::PrioritySet(event) => format!("priority set to {}", priority(event.priority)),
        TaskEvent::Estimated(event) => match event.estimated_hours {
            Some(estimate) => format!("estimated at {}", hours(estimate)),
            None => "estimate removed".to_owned(),
        },
        TaskEvent::DueDateSet(event) => match event.due_date {
            Some(day) => format!("due on {day}"),
            None => "due date removed".to_owned(),
        },
        TaskEvent::KeySet(event) => match &event.key {
            Some(key) => format!("given the key {key}"),
            None => "key given back".to_owned(),
        },
        TaskEvent::Assigned(event) => format!("assigned to {}", event.assignee_id),
        TaskEvent::Unassigned(_) => "taken from its assignee".to_owned(),
        TaskEvent::LabelAdded(event) => format!("labelled {}", quoted(&event.label)),
        TaskEvent::LabelRemoved(event) => format!("label {} removed", quoted(&event.label)),
        TaskEvent::MetadataSet(event) => {
            format!("{} set to {}", quoted(&event.name), fact(&event.value))
        }
        TaskEvent::MetadataRemoved(event) => format!("{} removed", quoted(&event.name)),
        TaskEvent::CommentAdded(event) => format!("commented on: {}", quoted(&event.text)),
        TaskEvent::Started(_) => "started".to_owned(),
        TaskEvent::Blocked(event) => format!("blocked: {}", quoted(&event.reason)),
        TaskEvent::Unblocked(event) => match event.status {
            ResumedStatus::Open => "unblocked, open again".to_owned(),
            ResumedStatus::InProgress => "unblocked, in progress again".to_owned(),
        },
        TaskEvent::StepAdded(event) => format!("step added: {}", quoted(&event.content)),
        TaskEvent::StepCompleted(event) => format!("step {} completed", event.step_id),
        TaskEvent::StepRemoved(event) => format!("step {} removed", event.step_id),
        TaskEvent::Completed(event) => match event.actual_hours {
            Some(actual) => format!("completed after {}", hours(actual)),
            None => "completed".to_owned(),
        },
        TaskEvent::Reopened(event) => format!("reopened: {}", quoted(&event.reason)),
        TaskEvent::Cancelled(event) => format!("cancelled: {}", quoted(&event.reason)),
        TaskEvent::Deleted(_) => "deleted".to_owned(),
        TaskEvent::Restored(_) => "restored".to_owned(),
        TaskEvent::Moved(event) => format!("moved to the project {}", event.project_id),
        TaskEvent::AiReviewRequested(_) => "review by an AI requested".to_owned(),
        TaskEvent::AiReviewRecorded(event) => {
            let status = review(event.status);
            match &event.summary {
                Some(summary) => format!("review by an AI {status}: {}", quoted(summary)),
                None => format!("review by an AI {status}"),
            }
        }
        TaskEvent::DueDayPassed(event) => {
            format!("not done by {}, when it was due", event.due_date)
        }
        TaskEvent::CompletionSuggested(_) => {
            "suggested to be completed: its last step is done".to_owned()
        }
    }
}

fn created(event: &TaskCreated) -> String {
    let title = quoted(&event.title);
    let mut words = format!(
        "created as {title} with {} priority",
        priority(event.priority)
    );
    if let Some(estimate) = event.estimated_hours {
        words.push_str(&format!(", estimated at {}", hours(estimate)));
    }
    if let Some(day) = event.due_date {
        words.push_str(&format!(", due on {day}"));
    }
    if let Some(key) = &event.key {
        words.push_str(&format!(", under the key {key}"));
    }
    words
}

fn priority(priority: Priority) -> &'static str {
    match priority {
        Priority::Low => "low",
        Priority::Medium => "medium",
        Priority::High => "high",
        Priority::Critical => "critical",
    }
}

fn review(status: ReviewStatus) -> &'static str {
    match status {
        ReviewStatus::InProgress => "in progress",
        ReviewStatus::Approved => "approved it",
        ReviewStatus::ChangesWanted => "wants changes",
        ReviewStatus::Failed => "failed",
    }
}

fn hours(hours: Hours) -> String {
    let unit = match hours.hundredths() {
        100 => "hour",
        _ => "hours",
    };
    format!("{} {unit}", hours.as_number())
}

fn fact(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

fn quoted(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("“{}…”", &text[..end]),
        None => format!("“{text}”"),
    }
}

#[cfg(test)]
mod tests {
    use foldline_events::{Event, examples};

    use super::*;

    #[test]
    fn every_event_of_a_task_has_its_own_words() {
        let mut said = Vec::new();
        for example in examples() {
            let read = Event::decode(example.event_type, example.schema_version, &example.payload);
            if let Event::Task(event) = read.unwrap() {
                said.push(of(&event));
            }
        }
        assert!(said.contains(&"completed after 2.5 hours".to_owned()));
        let all = said.len();
        assert_eq!(all, 30);
        said.sort_unstable();
        said.dedup();
        assert_eq!(said.len(), all, "{said:#?}");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(quoted(&"ä".repeat(80)), format!("“{}”", "ä".repeat(80)));
        assert_eq!(quoted(&"ä".repeat(81)), format!("“{}…”", "ä".repeat(80)));
    }
}
