//! Data of every command type, in which the laws and the reader of commands put values.

use std::collections::BTreeSet;

use foldline_domain::{Command, tasks::COMMAND_TYPES};

/// Per command type the data it may have: `$ID` and the like stand for JSON values, of which [`VALUES`] gives some.
pub const SAMPLES: [(&str, &[&str]); 33] = [
    (
        "tasks.create_project",
        &[r#"{"name":$TEXT}"#, r#"{"name":$TEXT,"description":$TEXT}"#],
    ),
    ("tasks.rename_project", &[r#"{"name":$TEXT}"#]),
    (
        "tasks.describe_project",
        &[r#"{"description":$TEXT}"#, r#"{"description":null}"#],
    ),
    ("tasks.archive_project", &["{}"]),
    ("tasks.restore_project", &["{}"]),
    (
        "tasks.create_task",
        &[
            r#"{"projectId":$ID,"title":$TEXT,"priority":$PRIORITY}"#,
            r#"{"projectId":$ID,"title":$TEXT,"description":$TEXT,"priority":$PRIORITY,"estimatedHours":$HOURS,
                "dueDate":$DAY,"key":$KEY,"metadata":{"a":$VALUE,"b":$VALUE}}"#,
        ],
    ),
    ("tasks.rename_task", &[r#"{"title":$TEXT}"#]),
    (
        "tasks.describe_task",
        &[r#"{"description":$TEXT}"#, r#"{"description":null}"#],
    ),
    ("tasks.set_priority", &[r#"{"priority":$PRIORITY}"#]),
    (
        "tasks.estimate_task",
        &[r#"{"estimatedHours":$HOURS}"#, r#"{"estimatedHours":null}"#],
    ),
    (
        "tasks.set_due_date",
        &[r#"{"dueDate":$DAY}"#, r#"{"dueDate":null}"#],
    ),
    ("tasks.set_key", &[r#"{"key":$KEY}"#, r#"{"key":null}"#]),
    ("tasks.assign_task", &[r#"{"assigneeId":$ID}"#]),
    ("tasks.unassign_task", &["{}"]),
    ("tasks.add_label", &[r#"{"label":$TEXT}"#]),
    ("tasks.remove_label", &[r#"{"label":$TEXT}"#]),
    (
        "tasks.set_metadata",
        &[
            r#"{"name":"a","value":$VALUE}"#,
            r#"{"name":$TEXT,"value":$VALUE}"#,
        ],
    ),
    (
        "tasks.remove_metadata",
        &[r#"{"name":"a"}"#, r#"{"name":$TEXT}"#],
    ),
    ("tasks.add_comment", &[r#"{"commentId":$ID,"text":$TEXT}"#]),
    ("tasks.start_task", &["{}"]),
    ("tasks.block_task", &[r#"{"reason":$TEXT}"#]),
    ("tasks.unblock_task", &["{}"]),
    ("tasks.add_step", &[r#"{"stepId":$ID,"content":$TEXT}"#]),
    ("tasks.complete_step", &[r#"{"stepId":$ID}"#]),
    ("tasks.remove_step", &[r#"{"stepId":$ID}"#]),
    ("tasks.complete_task", &["{}", r#"{"actualHours":$HOURS}"#]),
    ("tasks.reopen_task", &[r#"{"reason":$TEXT}"#]),
    ("tasks.cancel_task", &[r#"{"reason":$TEXT}"#]),
    ("tasks.delete_task", &["{}"]),
    ("tasks.restore_task", &["{}"]),
    ("tasks.move_task", &[r#"{"projectId":$ID}"#]),
    ("tasks.request_ai_review", &["{}"]),
    (
        "tasks.record_ai_review",
        &[
            r#"{"status":$REVIEW}"#,
            r#"{"status":$REVIEW,"summary":$TEXT}"#,
        ],
    ),
];

/// Few of each, so that commands meet each other; good ones first, then such as the rules refuse.
pub const VALUES: [(&str, &[&str]); 8] = [
    (
        "$ID",
        &[
            r#""00000000-0000-0000-0000-000000000001""#,
            r#""00000000-0000-0000-0000-000000000002""#,
        ],
    ),
    ("$TEXT", &[r#""a""#, r#""b""#, r#"" ""#, r#""\u0000""#]),
    ("$HOURS", &["0", "2", "0.25", "-1"]),
    (
        "$DAY",
        &[r#""2026-02-28""#, r#""2024-02-29""#, r#""3000-01-01""#],
    ),
    ("$KEY", &[r#""API-42""#, r#""API-43""#, r#""no key""#]),
    (
        "$VALUE",
        &[
            "1",
            r#""1""#,
            "true",
            "0.1",
            "2.2250738585072014e-308",
            "null",
        ],
    ),
    (
        "$PRIORITY",
        &[r#""low""#, r#""medium""#, r#""high""#, r#""critical""#],
    ),
    (
        "$REVIEW",
        &[
            r#""in_progress""#,
            r#""approved""#,
            r#""changes_wanted""#,
            r#""failed""#,
        ],
    ),
];

/// The data with a value for each name that stands in it.
pub fn filled(
    data: &str,
    mut choose: impl FnMut(&'static [&'static str]) -> &'static str,
) -> String {
    VALUES
        .into_iter()
        .fold(data.to_owned(), |data, (name, values)| {
            data.replace(name, choose(values))
        })
}

#[test]
fn there_are_samples_of_every_command_type_and_all_are_read() {
    let types: Vec<&str> = SAMPLES
        .iter()
        .map(|(command_type, _)| *command_type)
        .collect();
    assert_eq!(types, COMMAND_TYPES);
    let distinct: BTreeSet<&str> = types.into_iter().collect();
    assert_eq!(distinct.len(), COMMAND_TYPES.len());
    for (command_type, datas) in SAMPLES {
        for data in datas {
            for (name, values) in VALUES {
                for value in values {
                    let data = filled(&data.replace(name, value), |values| values[0]);
                    let command = Command::parse(command_type, &data).unwrap();
                    assert_eq!(command.context_type(), command_type);
                    let again = Command::parse(command_type, &command.canonical_data()).unwrap();
                    assert_eq!(again, command, "{data}");
                }
            }
        }
    }
}
