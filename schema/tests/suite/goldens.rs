//! The schemas in `schema/events`: one file for each event type and version that was ever recorded. `make goldens` writes
//! the present ones anew, and refuses to when that would break a reader.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use foldline_events::{Event, Example};
use foldline_schema::events::{Name, Schemas, breaks};
use serde_json::{Map, Value, json};

/// Where they lie.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("events")
}

fn name(example: &Example) -> Name {
    Name {
        event_type: example.event_type.to_owned(),
        version: example.schema_version,
    }
}

/// The schema of an event type with its name, its version and an example.
fn schema(example: &Example) -> Value {
    let mut schema = serde_json::to_value(&example.schema).unwrap();
    let (event_type, version) = (example.event_type, example.schema_version);
    schema["$id"] = json!(format!("urn:foldline:event:{event_type}:{version}"));
    schema["title"] = json!(event_type);
    schema["examples"] = json!([payload(example)]);
    sorted(schema)
}

fn payload(example: &Example) -> Value {
    serde_json::from_str(&example.payload).unwrap()
}

/// Whatever order the reader keeps fields in.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<String, Value> = fields.into_iter().collect();
            let fields = fields
                .into_iter()
                .map(|(name, value)| (name, sorted(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
    }
}

fn text(schema: &Value) -> String {
    let mut text = serde_json::to_string_pretty(schema).unwrap();
    text.push('\n');
    text
}

/// What is committed.
fn committed() -> Schemas {
    let read = |path: PathBuf| {
        let file = path.file_name().unwrap().to_str().unwrap();
        let name = Name::of_file(file).unwrap_or_else(|| panic!("{file} is no event's schema"));
        let schema = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        (name, schema)
    };
    report();
    let files = fs::read_dir(folder()).unwrap();
    files.map(|file| read(file.unwrap().path())).collect()
}

/// What is wrong with the goldens of the present events, after writing those that may be written.
#[derive(Default)]
struct Report {
    refused: Vec<String>,
    stale: Vec<String>,
}

/// Once for all tests, because they read what it writes.
fn report() -> &'static Report {
    static REPORT: OnceLock<Report> = OnceLock::new();
    REPORT.get_or_init(|| {
        let writing = std::env::var_os("FOLDLINE_WRITE_GOLDENS").is_some_and(|value| value == "1");
        let mut report = Report::default();
        for example in foldline_events::examples() {
            compare(&example, writing, &mut report);
        }
        report
    })
}

fn compare(example: &Example, writing: bool, report: &mut Report) {
    let name = name(example).file();
    let path = folder().join(&name);
    let present = schema(example);
    let golden = fs::read_to_string(&path).ok();
    let broken = golden.as_ref().map_or(vec![], |golden| {
        breaks(&serde_json::from_str(golden).unwrap(), &present)
    });
    if !broken.is_empty() {
        let lines = broken.iter().map(|broken| format!("{name}: {broken}"));
        report.refused.extend(lines);
    } else if golden.as_deref() != Some(text(&present).as_str()) {
        if writing {
            fs::create_dir_all(folder()).unwrap();
            fs::write(path, text(&present)).unwrap();
        } else {
            report.stale.push(name);
        }
    }
}

#[test]
fn the_event_schemas_are_the_goldens() {
    let Report { refused, stale } = report();
    assert!(
        refused.is_empty(),
        "raise SCHEMA_VERSION of the event, and give the version before an upcaster; as it is, this change\n{}",
        refused.join("\n")
    );
    assert!(
        stale.is_empty(),
        "not what the events are: {}; `make goldens` writes them anew",
        stale.join(", ")
    );
}

/// An event type that was ever recorded is read for ever, in every version.
#[test]
fn every_golden_has_its_event_type_and_every_version_its_golden() {
    let committed: BTreeSet<Name> = committed().into_keys().collect();
    let present = foldline_events::examples();
    let known: BTreeSet<Name> = present
        .iter()
        .flat_map(|example| {
            (1..=example.schema_version).map(|version| Name {
                version,
                ..name(example)
            })
        })
        .collect();
    let removed: Vec<_> = committed.difference(&known).collect();
    assert!(
        removed.is_empty(),
        "breaks this build, reading events recorded before: it does not know {removed:?} any more"
    );
    let missing: Vec<_> = known.difference(&committed).collect();
    assert!(missing.is_empty(), "without a schema: {missing:?}");
}

#[test]
fn what_a_golden_shows_is_still_read() {
    for (name, schema) in committed() {
        for example in schema["examples"].as_array().unwrap() {
            let read = Event::decode(&name.event_type, name.version, &example.to_string());
            assert!(read.is_ok(), "{name}: {read:?}");
        }
    }
}

#[test]
fn every_schema_is_one_and_its_examples_fit_it() {
    let goldens = committed();
    let present = foldline_events::examples();
    let present = present
        .iter()
        .map(|example| (example.event_type, schema(example)));
    let goldens = goldens
        .iter()
        .map(|(name, golden)| (name.event_type.as_str(), golden.clone()));
    for (event_type, schema) in present.chain(goldens) {
        jsonschema::meta::validate(&schema).unwrap_or_else(|error| panic!("{event_type}: {error}"));
        let fits = jsonschema::options()
            .should_validate_formats(true)
            .build(&schema)
            .unwrap();
        let payload = schema["examples"][0].clone();
        fits.validate(&payload)
            .unwrap_or_else(|error| panic!("{event_type}: {error}"));

        // What readers of others rely on: what must be there is, and what is new does not disturb them.
        let mut more = payload.clone();
        more["ofTomorrow"] = json!({"a": [1]});
        assert!(fits.is_valid(&more), "{event_type}");
        for name in schema["required"].as_array().into_iter().flatten() {
            let mut less = payload.clone();
            less.as_object_mut().unwrap().remove(name.as_str().unwrap());
            assert!(!fits.is_valid(&less), "{event_type} without {name}");
        }
        assert!(
            schema["description"]
                .as_str()
                .is_some_and(|said| !said.is_empty()),
            "{event_type} does not say what happened"
        );
    }
}

#[test]
fn no_two_events_have_one_name() {
    let examples = foldline_events::examples();
    let names: BTreeSet<&str> = examples.iter().map(|example| example.event_type).collect();
    assert_eq!(names.len(), examples.len());
}
