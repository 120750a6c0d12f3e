use foldline_domain::{Command, InvalidCommand, tasks::COMMAND_TYPES};
use proptest::prelude::*;

const TASK: &str =
    r#"{"projectId":"00000000-0000-0000-0000-000000000001","title":"t","priority":"low"}"#;

fn pointer(command_type: &str, data: &str) -> String {
    match Command::parse(command_type, data) {
        Err(InvalidCommand::Data { pointer, .. }) => pointer,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_unknown_command_type_is_refused() {
    for unknown in ["", "tasks.explode_task", "create_task", "tasks.TaskCreated"] {
        let refused = Command::parse(unknown, "{}").unwrap_err();
        assert!(matches!(refused, InvalidCommand::UnknownType(name) if name == unknown));
    }
}

#[test]
fn a_wrong_type_an_unknown_field_and_a_missing_one_are_pointed_at() {
    assert_eq!(pointer("tasks.create_project", r#"{"name":1}"#), "/name");
    assert_eq!(
        pointer("tasks.create_project", r#"{"name":"a","nmae":"b"}"#),
        "/nmae"
    );
    assert_eq!(pointer("tasks.create_project", "{}"), "");
    assert_eq!(pointer("tasks.start_task", r#"{"now":true}"#), "/now");
    assert_eq!(
        pointer("tasks.create_task", &TASK.replace("low", "lowest")),
        "/priority"
    );
    assert_eq!(
        pointer("tasks.assign_task", r#"{"assigneeId":"me"}"#),
        "/assigneeId"
    );
    assert_eq!(
        pointer("tasks.complete_task", r#"{"actualHours":0.125}"#),
        "/actualHours"
    );
}

#[test]
fn data_that_is_no_object_or_goes_on_after_it_is_refused() {
    for data in ["", "null", "[]", "\"a\"", "{} {}"] {
        assert_eq!(pointer("tasks.archive_project", data), "", "{data}");
    }
    assert_eq!(pointer("tasks.create_project", r#" ["Moon"]"#), "");
}

#[test]
fn the_same_command_is_always_spelled_the_same() {
    let one = TASK.replace('}', r#","metadata":{"b":1,"a":true}}"#);
    let same = r#"{ "metadata": {"a":true,"b":1}, "priority":"low", "title":"\u0074",
        "projectId":"00000000-0000-0000-0000-000000000001", "estimatedHours":null }"#;
    let spelled = |data| {
        Command::parse("tasks.create_task", data)
            .unwrap()
            .canonical_data()
    };
    assert_eq!(spelled(&one), spelled(same));
}

#[test]
fn what_may_be_null_must_be_said() {
    for (command_type, field) in [
        ("tasks.describe_project", "description"),
        ("tasks.describe_task", "description"),
        ("tasks.estimate_task", "estimatedHours"),
        ("tasks.set_due_date", "dueDate"),
        ("tasks.set_key", "key"),
    ] {
        let null = format!(r#"{{"{field}":null}}"#);
        let taken_away = Command::parse(command_type, &null).unwrap();
        assert_eq!(taken_away.canonical_data(), null);
        // Forgetting a field takes nothing away.
        assert_eq!(pointer(command_type, "{}"), "", "{command_type}");
    }
}

#[test]
fn a_field_is_said_once() {
    for (command_type, data) in [
        ("tasks.rename_project", r#"{"name":"a","name":"b"}"#),
        ("tasks.set_key", r#"{"key":null,"key":"b"}"#),
        (
            "tasks.complete_task",
            r#"{"actualHours":1,"actualHours":1}"#,
        ),
    ] {
        let refused = Command::parse(command_type, data).unwrap_err();
        assert!(
            matches!(refused, InvalidCommand::Data { source, .. } if source.to_string().contains("duplicate")),
            "{data}"
        );
    }
}

#[test]
fn ids_and_days_are_well_formed() {
    for (command_type, data, at) in [
        ("tasks.move_task", r#"{"projectId":"7"}"#, "/projectId"),
        ("tasks.complete_step", r#"{"stepId":7}"#, "/stepId"),
        (
            "tasks.add_comment",
            r#"{"text":"a","commentId":""}"#,
            "/commentId",
        ),
        (
            "tasks.set_due_date",
            r#"{"dueDate":"2026-02-29"}"#,
            "/dueDate",
        ),
        (
            "tasks.set_due_date",
            r#"{"dueDate":"2026-02-28T00:00:00Z"}"#,
            "/dueDate",
        ),
        ("tasks.record_ai_review", r#"{"status":"none"}"#, "/status"),
        ("tasks.set_priority", r#"{"priority":"Low"}"#, "/priority"),
    ] {
        assert_eq!(pointer(command_type, data), at, "{data}");
    }
}

proptest! {
    #[test]
    fn no_data_makes_the_parser_panic(of in 0..COMMAND_TYPES.len(), data in ".*") {
        let _ = Command::parse(COMMAND_TYPES[of], &data);
    }
}
