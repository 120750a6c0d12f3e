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
fn a_command_knows_its_own_type() {
    let datas = [
        r#"{"name":"n"}"#,
        "{}",
        TASK,
        r#"{"assigneeId":"00000000-0000-0000-0000-000000000001"}"#,
        r#"{"label":"l"}"#,
        r#"{"stepId":"00000000-0000-0000-0000-000000000001","content":"c"}"#,
        r#"{"stepId":"00000000-0000-0000-0000-000000000001"}"#,
        r#"{"reason":"r"}"#,
    ];
    for command_type in COMMAND_TYPES {
        let fitting: Vec<Command> = datas
            .iter()
            .filter_map(|data| Command::parse(command_type, data).ok())
            .collect();
        assert!(!fitting.is_empty(), "{command_type}");
        for command in fitting {
            assert_eq!(command.context_type(), command_type);
            let again = Command::parse(command_type, &command.canonical_data()).unwrap();
            assert_eq!(again, command);
        }
    }
}

proptest! {
    #[test]
    fn no_data_makes_the_parser_panic(of in 0..COMMAND_TYPES.len(), data in ".*") {
        let _ = Command::parse(COMMAND_TYPES[of], &data);
    }
}
