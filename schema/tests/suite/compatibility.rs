//! What a change of an event's schema breaks, and for whom. Pure: two schemas in, the breaks out.
//!
//! Events stay for ever, so this build must read what was recorded before under the same version; and readers of others
//! were built on the schema that was published. An additive change breaks neither.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde_json::{Value, json};

use crate::shape::{Shape, Values, types_of};

/// Who is worse off for a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reader {
    ThisBuild,
    Others,
}

use Reader::{Others, ThisBuild};

#[derive(Debug, PartialEq, Eq)]
pub struct Break {
    pub reader: Reader,
    /// JSON pointer into the payload; `*` for any field or item.
    pub at: String,
    pub what: String,
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reader, at, what } = self;
        let reader = match reader {
            ThisBuild => "this build, reading events recorded before",
            Others => "readers of others built on the old schema, reading new events",
        };
        let at = if at.is_empty() { "the payload" } else { at };
        write!(f, "breaks {reader}: {at} {what}")
    }
}

/// What breaks when events that were as `old` says are as `new` says from now on, under the same version.
pub fn breaks(old: &Value, new: &Value) -> Vec<Break> {
    let mut comparison = Comparison {
        old,
        new,
        breaks: vec![],
    };
    comparison.schemas("", old, new);
    comparison.breaks
}

struct Comparison<'a> {
    /// The whole schemas, in which references are looked up.
    old: &'a Value,
    new: &'a Value,
    breaks: Vec<Break>,
}

impl Comparison<'_> {
    fn breaks(&mut self, reader: Reader, at: &str, what: impl Into<String>) {
        self.breaks.push(Break {
            reader,
            at: at.to_owned(),
            what: what.into(),
        });
    }

    fn schemas(&mut self, at: &str, old: &Value, new: &Value) {
        if old.is_boolean() && old == new {
            return; // Anything, which may hold anything: there is no end to it.
        }
        let (before, after) = (Shape::of(self.old, old), Shape::of(self.new, new));
        if before.odd || after.odd {
            if old != new || self.old.get("$defs") != self.new.get("$defs") {
                for reader in [ThisBuild, Others] {
                    self.breaks(reader, at, "changed in a way that cannot be judged here");
                }
            }
            return;
        }
        self.types(at, &before, &after);
        self.values(at, &before, &after);
        self.keywords(at, &before, &after);
        if before.has("object") && after.has("object") {
            self.fields(at, &before.keywords, &after.keywords);
        }
        if before.has("array") && after.has("array") {
            let items = |shape: &Shape| shape.keywords.get("items").cloned();
            let (old, new) = (items(&before), items(&after));
            let any = Value::Bool(true);
            self.schemas(
                &format!("{at}/*"),
                old.as_ref().unwrap_or(&any),
                new.as_ref().unwrap_or(&any),
            );
        }
    }

    fn types(&mut self, at: &str, before: &Shape, after: &Shape) {
        let missing = |from: &Shape, of: &Shape| -> Vec<String> {
            let types = of.types.keys().filter(|name| !from.has(name));
            types.cloned().collect()
        };
        let (lost, gained) = (missing(after, before), missing(before, after));
        if !lost.is_empty() {
            let what = format!("is not read any more where it is: {}", lost.join(", "));
            self.breaks(ThisBuild, at, what);
        }
        if !gained.is_empty() {
            self.breaks(Others, at, format!("may now be: {}", gained.join(", ")));
        }
    }

    fn values(&mut self, at: &str, before: &Shape, after: &Shape) {
        for (name, before) in &before.types {
            match (before, after.types.get(name)) {
                (_, None) | (Values::Any, Some(Values::Any)) => {}
                (Values::Any, Some(Values::Only(_))) => {
                    self.breaks(ThisBuild, at, "is read with few values only");
                }
                (Values::Only(_), Some(Values::Any)) => {
                    self.breaks(Others, at, format!("may now be any {name}"));
                }
                (Values::Only(before), Some(Values::Only(after))) => {
                    for value in before.difference(after) {
                        self.breaks(ThisBuild, at, format!("is not read any more as {value}"));
                    }
                    for value in after.difference(before) {
                        self.breaks(Others, at, format!("may now be {value}"));
                    }
                }
            }
        }
    }

    /// All but those that [`Self::fields`] and the items' schemas look at.
    fn keywords(&mut self, at: &str, before: &Shape, after: &Shape) {
        const ELSEWHERE: [&str; 4] = ["properties", "required", "additionalProperties", "items"];
        let names: BTreeSet<&String> = before
            .keywords
            .keys()
            .chain(after.keywords.keys())
            .filter(|name| !ELSEWHERE.contains(&name.as_str()))
            .collect();
        for name in names {
            let in_both = |of: &&&str| before.has(of) && after.has(of);
            if types_of(name).iter().find(in_both).is_none() {
                continue; // It says something of a type that came or went, of which all is said.
            }
            let (old, new) = (before.keywords.get(name), after.keywords.get(name));
            let (narrowed, widened) = change(name, old, new);
            let shown =
                |value: Option<&Value>| value.map_or("anything".to_owned(), Value::to_string);
            let what = format!("has {name} {} and had {}", shown(new), shown(old));
            if narrowed {
                self.breaks(ThisBuild, at, what.clone());
            }
            if widened {
                self.breaks(Others, at, what);
            }
        }
    }

    fn fields(
        &mut self,
        at: &str,
        before: &BTreeMap<String, Value>,
        after: &BTreeMap<String, Value>,
    ) {
        let (old_fields, new_fields) = (properties(before), properties(after));
        let (had_to, must) = (required(before), required(after));
        for name in must.difference(&had_to) {
            let what = "is required now, and events recorded before may lack it";
            self.breaks(ThisBuild, &format!("{at}/{name}"), what);
        }
        for name in had_to.difference(&must) {
            let what = match new_fields.contains_key(name) {
                true => "may be absent now",
                false => "is gone",
            };
            self.breaks(Others, &format!("{at}/{name}"), what);
        }
        let others = |keywords: &BTreeMap<String, Value>| {
            let others = keywords.get("additionalProperties");
            others.cloned().unwrap_or(Value::Bool(true))
        };
        let (old_others, new_others) = (others(before), others(after));
        for (name, old) in &old_fields {
            let at = format!("{at}/{name}");
            match new_fields.get(name) {
                Some(new) => self.schemas(&at, old, new),
                None => {
                    let what = "is not read any more, and events recorded before may say it";
                    self.breaks(ThisBuild, &at, what);
                }
            }
        }
        for (name, new) in &new_fields {
            if !old_fields.contains_key(name) {
                // Nothing was recorded in it; but the old schema may have ruled it out.
                let known = self.breaks.len();
                self.schemas(&format!("{at}/{name}"), &old_others, new);
                let found = self.breaks.split_off(known);
                let of_others = found.into_iter().filter(|found| found.reader == Others);
                self.breaks.extend(of_others);
            }
        }
        self.schemas(&format!("{at}/*"), &old_others, &new_others);
    }
}

/// Whether less is let through now, and whether more is.
fn change(keyword: &str, old: Option<&Value>, new: Option<&Value>) -> (bool, bool) {
    let raised_narrows = match keyword {
        "minimum" | "exclusiveMinimum" | "minLength" | "minItems" | "minProperties" => Some(true),
        "maximum" | "exclusiveMaximum" | "maxLength" | "maxItems" | "maxProperties" => Some(false),
        _ => None,
    };
    match (old, new) {
        (None, None) => (false, false),
        (None, Some(_)) => (true, false),
        (Some(_), None) => (false, true),
        (Some(old), Some(new)) if old == new => (false, false),
        (Some(old), Some(new)) => match (raised_narrows, old.as_f64(), new.as_f64()) {
            (Some(raised_narrows), Some(old), Some(new)) => {
                ((new > old) == raised_narrows, (new < old) == raised_narrows)
            }
            _ => (true, true),
        },
    }
}

fn properties(keywords: &BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    let fields = keywords.get("properties").and_then(Value::as_object);
    (fields.into_iter().flatten())
        .map(|(name, schema)| (name.clone(), schema.clone()))
        .collect()
}

fn required(keywords: &BTreeMap<String, Value>) -> BTreeSet<String> {
    let names = keywords.get("required").and_then(Value::as_array);
    (names.into_iter().flatten())
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect()
}

/// Of an object with these fields, of which some are required.
fn object(fields: Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": fields, "required": required})
}

/// Of an object with one required field.
fn one(schema: Value) -> Value {
    object(json!({ "a": schema }), &["a"])
}

#[track_caller]
fn assert_breaks(old: &Value, new: &Value, expected: &[(Reader, &str)]) {
    let found = breaks(old, new);
    let found: Vec<(Reader, &str)> = (found.iter())
        .map(|found| (found.reader, found.at.as_str()))
        .collect();
    assert_eq!(found, expected, "{old} to {new}: {:?}", breaks(old, new));
}

#[test]
fn what_stays_or_is_only_said_otherwise_breaks_nobody() {
    let old = json!({"type": "object", "title": "A", "properties": {"a": {"$ref": "#/$defs/A"}},
        "$defs": {"A": {"enum": ["x", "y"]}}});
    let same = json!({"type": "object", "description": "B", "properties": {"a": {"oneOf": [
        {"const": "y", "type": "string"}, {"const": "x", "description": "the first"}]}}});
    assert_breaks(&old, &old, &[]);
    assert_breaks(&old, &same, &[]);
    assert_breaks(&same, &old, &[]);
}

#[test]
fn a_new_optional_field_breaks_nobody() {
    let old = object(json!({"a": {"type": "string"}}), &["a"]);
    let new = object(
        json!({"a": {"type": "string"}, "b": {"type": "integer"}}),
        &["a"],
    );
    assert_breaks(&old, &new, &[]);
}

#[test]
fn a_new_required_field_breaks_this_build() {
    let old = object(json!({"a": {"type": "string"}}), &["a"]);
    let new = object(
        json!({"a": {"type": "string"}, "b": {"type": "string"}}),
        &["a", "b"],
    );
    assert_breaks(&old, &new, &[(ThisBuild, "/b")]);
    let optional = object(json!({"a": {"type": "string"}}), &[]);
    assert_breaks(&optional, &old, &[(ThisBuild, "/a")]);
}

#[test]
fn a_required_field_that_goes_or_may_be_absent_breaks_readers_of_others() {
    let old = object(json!({"a": {"type": "string"}}), &["a"]);
    let optional = object(json!({"a": {"type": "string"}}), &[]);
    assert_breaks(&old, &optional, &[(Others, "/a")]);
    // What it said is lost to this build, too.
    let gone = object(json!({}), &[]);
    assert_breaks(&old, &gone, &[(Others, "/a"), (ThisBuild, "/a")]);
    assert_breaks(&optional, &gone, &[(ThisBuild, "/a")]);
}

#[test]
fn another_name_breaks_both() {
    let (old, new) = (one(json!({})), object(json!({"b": {}}), &["b"]));
    assert_breaks(
        &old,
        &new,
        &[(ThisBuild, "/b"), (Others, "/a"), (ThisBuild, "/a")],
    );
}

#[test]
fn a_narrower_type_breaks_this_build_and_a_wider_one_readers_of_others() {
    for (narrow, wide) in [
        (
            json!({"type": "string"}),
            json!({"type": ["string", "null"]}),
        ),
        (json!({"type": "integer"}), json!({"type": "number"})),
        (json!({"type": "string"}), json!({})),
        (json!({"type": "string"}), json!(true)),
        (json!({"const": "x"}), json!({"type": "string"})),
        (json!({"enum": ["x"]}), json!({"enum": ["x", "y"]})),
        (json!({"enum": ["x", 1]}), json!({"enum": ["x", 1, 2]})),
        (
            json!({"type": "string", "format": "uuid"}),
            json!({"type": "string"}),
        ),
        (
            json!({"type": "string", "maxLength": 5}),
            json!({"type": "string", "maxLength": 6}),
        ),
        (
            json!({"type": "integer", "minimum": 0}),
            json!({"type": "integer", "minimum": -1}),
        ),
        (
            json!({"type": "integer", "minimum": 0}),
            json!({"type": "integer"}),
        ),
        (
            json!({"anyOf": [{"type": "string"}]}),
            json!({"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ),
    ] {
        let (narrow, wide) = (one(narrow), one(wide));
        assert_breaks(&wide, &narrow, &[(ThisBuild, "/a")]);
        assert_breaks(&narrow, &wide, &[(Others, "/a")]);
    }
}

#[test]
fn another_type_format_or_set_of_values_breaks_both() {
    for (old, new) in [
        (json!({"type": "string"}), json!({"type": "integer"})),
        (json!({"enum": ["x", "y"]}), json!({"enum": ["x", "z"]})),
        (
            json!({"type": "string", "format": "date"}),
            json!({"type": "string", "format": "uuid"}),
        ),
    ] {
        let expected = [(ThisBuild, "/a"), (Others, "/a")];
        assert_breaks(&one(old), &one(new), &expected);
    }
}

#[test]
fn it_is_seen_in_maps_in_lists_and_behind_references() {
    let (narrow, wide) = (
        json!({"type": "string"}),
        json!({"type": ["string", "null"]}),
    );
    for (at, within) in [
        (
            "/a/*",
            json!({"type": "object", "additionalProperties": "HERE"}),
        ),
        ("/a/*", json!({"type": "array", "items": "HERE"})),
        (
            "/a/b",
            json!({"type": "object", "properties": {"b": "HERE"}}),
        ),
    ] {
        let with = |schema: &Value| {
            let text = within.to_string().replace("\"HERE\"", &schema.to_string());
            one(serde_json::from_str(&text).unwrap())
        };
        assert_breaks(&with(&wide), &with(&narrow), &[(ThisBuild, at)]);
        assert_breaks(&with(&narrow), &with(&wide), &[(Others, at)]);
    }
    let behind = |schema: &Value| json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": schema}});
    assert_breaks(&behind(&wide), &behind(&narrow), &[(ThisBuild, "/a")]);
    assert_breaks(&behind(&narrow), &behind(&wide), &[(Others, "/a")]);
}

#[test]
fn whether_other_fields_may_be_counts_for_whoever_meets_them() {
    let closed = json!({"type": "object", "additionalProperties": false});
    let open = json!({"type": "object"});
    assert_breaks(&open, &closed, &[(ThisBuild, "/*")]);
    let more = json!({"type": "object", "properties": {"a": {"type": "string"}},
        "additionalProperties": false});
    assert_breaks(&closed, &more, &[(Others, "/a")]);
}

#[test]
fn what_cannot_be_judged_breaks_both() {
    let two = |format: &str| json!({"anyOf": [{"type": "string", "format": "uuid"}, {"type": "string", "format": format}]});
    let both = [(ThisBuild, "/a"), (Others, "/a")];
    assert_breaks(&one(two("date")), &one(two("time")), &both);
    assert_breaks(&one(two("date")), &one(two("date")), &[]);
    let unheard_of = |n: u8| one(json!({"type": "string", "x-rule": n}));
    assert_breaks(&unheard_of(1), &unheard_of(2), &both);
}

#[test]
fn a_break_says_who_and_where() {
    let old = one(json!({"enum": ["low", "high"]}));
    let new = one(json!({"enum": ["low", "urgent"]}));
    let said: Vec<String> = breaks(&old, &new).iter().map(Break::to_string).collect();
    assert_eq!(
        said,
        [
            "breaks this build, reading events recorded before: /a is not read any more as \"high\"",
            "breaks readers of others built on the old schema, reading new events: /a may now be \"urgent\"",
        ]
    );
}
