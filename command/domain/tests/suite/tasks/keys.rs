use foldline_domain::tasks::{CreateTask, Rejection, TaskCommand, limits::KEY_CHARS_MAX};

use super::{
    commands::{creation, set_key},
    events::{completed, key_set},
    in_project, key_taken, no_task, task,
};

#[test]
fn a_task_gets_another_key_and_gives_it_back() {
    let known = task([]).knowing(in_project(false));
    known
        .when(set_key(Some("LM-6")))
        .then(key_set(Some("LM-6")));
    known.when(set_key(None)).then(key_set(None));
    task([key_set(None)])
        .when(set_key(Some("LM-5")))
        .then(key_set(Some("LM-5")));
}

#[test]
fn a_task_that_has_the_key_keeps_it_though_it_is_taken() {
    // By whom, if not by this very task.
    task([])
        .knowing(key_taken())
        .when(set_key(Some("LM-5")))
        .then_nothing();
    task([key_set(None)]).when(set_key(None)).then_nothing();
}

#[test]
fn a_task_gets_no_key_that_another_has() {
    let known = task([]).knowing(key_taken());
    known
        .when(set_key(Some("LM-6")))
        .then_rejected(Rejection::KeyTaken { by: super::id(9) });
    known.when(set_key(None)).then(key_set(None));
}

#[test]
fn keys_that_differ_in_a_capital_are_two() {
    task([])
        .when(set_key(Some("lm-5")))
        .then(key_set(Some("lm-5")));
}

#[test]
fn a_completed_task_may_get_a_key() {
    task([completed(None)])
        .when(set_key(Some("LM-6")))
        .then(key_set(Some("LM-6")));
}

#[test]
fn a_key_is_1_to_50_letters_digits_and_marks() {
    let longest = "k".repeat(KEY_CHARS_MAX);
    for good in ["a", "API-42", "v1.0_rc-2", "0", ".", &longest] {
        task([]).when(set_key(Some(good))).then(key_set(Some(good)));
    }
    let too_long = "k".repeat(KEY_CHARS_MAX + 1);
    for bad in ["", " ", "a b", "a/b", "ä", "a\0", "#1", "a\n", &too_long] {
        task([])
            .when(set_key(Some(bad)))
            .then_rejected(Rejection::KeyMalformed);
        let create = TaskCommand::Create(CreateTask {
            key: Some(bad.to_owned()),
            ..creation()
        });
        no_task()
            .when(create)
            .then_rejected(Rejection::KeyMalformed);
    }
}
