//! What may become of the schemas of a revision: files that come, go and change, and what the build makes of them.

use foldline_schema::events::{Break, Name, Reader, Schemas, check};
use serde_json::{Value, json};

fn name(event_type: &str, version: i16) -> Name {
    Name {
        event_type: event_type.to_owned(),
        version,
    }
}

/// Of an event with one field, by its type and an example.
fn bill(field: &str, example: Value) -> Value {
    json!({"type": "object", "description": "A bill was sent.", "properties": {"total": {"type": field}},
        "required": ["total"], "examples": [{"total": example}]})
}

/// Versions of one event.
fn bills<const N: usize>(versions: [Value; N]) -> Schemas {
    (1..)
        .map(|version| name("tests.BillSent", version))
        .zip(versions)
        .collect()
}

fn in_text() -> Value {
    bill("string", json!("12.50"))
}

fn in_cents() -> Value {
    bill("integer", json!(1250))
}

/// A build that writes this version of the bill, and reads every one up to it.
fn reading(present: i16) -> impl Fn(&Name, &Value) -> Result<(), String> {
    move |name, payload| {
        let fits = match name.version {
            1 => payload["total"].is_string(),
            _ => payload["total"].is_number(),
        };
        match name.version <= present {
            true if fits => Ok(()),
            true => Err(format!("{payload} does not fit")),
            false => Err("is not known to this build".to_owned()),
        }
    }
}

#[track_caller]
fn assert_broken(released: &Schemas, present: &Schemas, build: i16, expected: &[(Reader, &str)]) {
    let verdict = check(released, present, reading(build));
    let found: Vec<(Reader, &str)> = (verdict.breaks.iter())
        .map(|(_, found)| (found.reader, found.at.as_str()))
        .collect();
    assert_eq!(found, expected, "{:?}", verdict.breaks);
}

/// It breaks nobody, and this is new.
#[track_caller]
fn assert_news(released: &Schemas, present: &Schemas, build: i16, expected: &[&str]) {
    let verdict = check(released, present, reading(build));
    assert_eq!(verdict.breaks, []);
    let news: Vec<String> = (verdict.news.iter())
        .map(|(name, what)| format!("{name} {what}"))
        .collect();
    assert_eq!(news, expected);
}

#[test]
fn what_stays_as_it_was_is_neither_new_nor_broken() {
    let same = bills([in_text(), in_cents()]);
    assert_news(&same, &same, 2, &[]);
}

#[test]
fn a_new_event_type_is_new() {
    let none = Schemas::new();
    let said = ["tests.BillSent version 1 is a new event type"];
    assert_news(&none, &bills([in_text()]), 1, &said);
}

#[test]
fn a_new_version_is_new_when_this_build_reads_the_one_before_as_well() {
    let (released, present) = (bills([in_text()]), bills([in_text(), in_cents()]));
    let said = "tests.BillSent version 2 is a new version: readers that know tests.BillSent version 1 only stop at it, \
        so let them be newer first";
    assert_news(&released, &present, 2, &[said]);
}

#[test]
fn a_version_before_that_nothing_leads_from_breaks_this_build() {
    let (released, present) = (bills([in_text()]), bills([in_text(), in_cents()]));
    let without_upcaster = |name: &Name, payload: &Value| match name.version {
        1 => Err("nothing leads from version 1 to 2".to_owned()),
        _ => reading(2)(name, payload),
    };
    let verdict = check(&released, &present, without_upcaster);
    let broken = Break {
        reader: Reader::ThisBuild,
        at: String::new(),
        what: "cannot be read: nothing leads from version 1 to 2".to_owned(),
    };
    assert_eq!(verdict.breaks, [(name("tests.BillSent", 1), broken)]);
}

#[test]
fn a_version_that_the_build_does_not_know_is_not_taken_on_trust() {
    let (released, present) = (bills([in_text()]), bills([in_text(), in_cents()]));
    assert_broken(&released, &present, 1, &[(Reader::ThisBuild, "")]);
    // Nor is one of which there is nothing to be read.
    let mut silent = in_cents();
    silent["examples"] = json!([]);
    let present = bills([in_text(), silent]);
    assert_broken(&released, &present, 2, &[(Reader::ThisBuild, "")]);
}

#[test]
fn a_file_that_goes_breaks_whoever_reads_by_it_even_if_this_build_reads_on() {
    let released = bills([in_text(), in_cents()]);
    let mut present = released.clone();
    present.remove(&name("tests.BillSent", 1));
    assert_broken(&released, &present, 2, &[(Reader::Everybody, "")]);
    // With the last version the build's knowledge goes, too.
    let present = bills([in_text()]);
    let both = [(Reader::ThisBuild, ""), (Reader::Everybody, "")];
    assert_broken(&released, &present, 1, &both);
    // And with the event type everything.
    let expected = [both, both].concat();
    assert_broken(&released, &Schemas::new(), 0, &expected);
}

#[test]
fn a_version_without_the_one_before_is_refused() {
    let present = Schemas::from([(name("tests.BillSent", 2), in_cents())]);
    assert_broken(&Schemas::new(), &present, 2, &[(Reader::Everybody, "")]);
}

#[test]
fn a_past_version_is_final_but_for_its_descriptions() {
    let released = bills([in_text(), in_cents()]);
    let changed = |at: &str, value: Value| {
        let mut first = in_text();
        match first.pointer_mut(at) {
            Some(place) => *place = value,
            None => panic!("{at} is not there"),
        }
        bills([first, in_cents()])
    };
    let worded = changed("/description", json!("It was sent."));
    assert_news(&released, &worded, 2, &[]);
    for (at, value) in [
        ("/properties/total/type", json!("number")),
        ("/examples/0/total", json!("13.00")),
        ("/required", json!([])),
        ("/required/0", json!("sum")),
        ("/type", json!("array")),
    ] {
        let expected = [(Reader::Everybody, at)];
        assert_broken(&released, &changed(at, value), 2, &expected);
    }
    // Even what would break nobody, were it still written; and a field's name is no description.
    let more = changed(
        "/properties",
        json!({"total": {"type": "string", "description": "In euros."}, "description": {"type": "string"}}),
    );
    let at = "/properties/description";
    assert_broken(&released, &more, 2, &[(Reader::Everybody, at)]);
}

#[test]
fn the_version_that_is_written_takes_what_breaks_nobody() {
    let released = bills([in_text()]);
    let mut worded = in_text();
    worded["description"] = json!("It was sent.");
    let said = "tests.BillSent version 1 is said otherwise, and means the same";
    assert_news(&released, &bills([worded]), 1, &[said]);
    let mut more = in_text();
    more["properties"]["by"] =
        json!({"type": "object", "properties": {"name": {"type": "string"}}});
    more["examples"][0]["by"] = json!({"name": "Ada"});
    let said = "tests.BillSent version 1 has a new optional field, /by";
    assert_news(&released, &bills([more]), 1, &[said]);
}

#[test]
fn the_version_that_is_written_takes_nothing_that_breaks_somebody() {
    let released = bills([in_text()]);
    let mut more = in_text();
    more["properties"]["currency"] = json!({"type": "string"});
    more["required"] = json!(["total", "currency"]);
    let expected = [(Reader::ThisBuild, "/currency")];
    assert_broken(&released, &bills([more]), 1, &expected);
    let mut wider = in_text();
    wider["properties"]["total"]["type"] = json!(["string", "null"]);
    assert_broken(&released, &bills([wider]), 1, &[(Reader::Others, "/total")]);
}

#[test]
fn what_was_recorded_must_still_be_read_whatever_the_schemas_say() {
    let released = bills([
        bill("string", json!("12.50")),
        bill("integer", json!("broken")),
    ]);
    assert_broken(&released, &released, 2, &[(Reader::ThisBuild, "")]);
}

#[test]
fn a_file_is_called_after_the_event_type_and_the_version() {
    let file = "tasks.TaskMoved.v12.json";
    assert_eq!(Name::of_file(file), Some(name("tasks.TaskMoved", 12)));
    assert_eq!(name("tasks.TaskMoved", 12).file(), file);
    for other in [
        "tasks.TaskMoved.json",
        "tasks.TaskMoved.v.json",
        "tasks.TaskMoved.v0.json",
        "tasks.TaskMoved.v01.json",
        "tasks.TaskMoved.v+1.json",
        "tasks.TaskMoved.v1",
        "tasks.TaskMoved.v99999.json",
        "README.md",
    ] {
        assert_eq!(Name::of_file(other), None, "{other}");
    }
}
