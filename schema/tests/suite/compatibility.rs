//! Which change of a schema breaks whom.

use foldline_schema::events::{
    Break,
    Reader::{self, Others, ThisBuild},
    breaks,
};
use serde_json::{Value, json};

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
fn what_is_not_understood_breaks_both_wherever_it_comes_or_goes() {
    let both = [(ThisBuild, "/a"), (Others, "/a")];
    let plain = one(json!({"type": "string"}));
    for odd in [
        json!({"type": "string", "x-rule": 1}),
        json!({"type": "string", "not": {"const": "x"}}),
        json!({"allOf": [{"type": "string"}]}),
        json!({"enum": ["x"], "pattern": "x"}),
        json!({"type": "number", "enum": ["x"]}),
        json!({"anyOf": [{"type": "string", "format": "uuid"}, {"const": "x"}]}),
        json!({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "number"}]}),
        json!({"$ref": "#/$defs/Nowhere"}),
        json!({"type": "array", "prefixItems": [{"type": "string"}]}),
    ] {
        let odd = one(odd);
        assert_breaks(&plain, &odd, &both);
        assert_breaks(&odd, &plain, &both);
        assert_breaks(&odd, &odd, &[]);
    }
    // What it refers to may be what changed.
    let behind = |kind: &str| {
        json!({"type": "object", "properties": {"a": {"allOf": [{"$ref": "#/$defs/A"}]}},
            "$defs": {"A": {"type": kind}}})
    };
    assert_breaks(&behind("string"), &behind("number"), &both);
}

#[test]
fn another_size_of_number_breaks_both() {
    let size = |format: &str| one(json!({"type": "integer", "format": format}));
    let both = [(ThisBuild, "/a"), (Others, "/a")];
    assert_breaks(&size("int64"), &size("int32"), &both);
    let nullable = |format: &str| one(json!({"type": ["integer", "null"], "format": format}));
    assert_breaks(&nullable("int32"), &nullable("int64"), &both);
    // They differ by less than a float can tell.
    let up_to = |max: u64| one(json!({"type": "integer", "maximum": max}));
    assert_breaks(&up_to(u64::MAX), &up_to(u64::MAX - 1), &both);
}

#[test]
fn a_schema_within_itself_comes_to_an_end() {
    let tree = |leaf: &str| {
        json!({"$ref": "#/$defs/Tree", "$defs": {"Tree": {"type": "object", "properties": {
            "leaf": {"type": leaf}, "left": {"$ref": "#/$defs/Tree"},
            "all": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}}}}})
    };
    assert_breaks(&tree("string"), &tree("string"), &[]);
    let found = breaks(&tree("string"), &tree("number"));
    assert!(found.iter().any(|found| found.at == "/leaf"), "{found:?}");
    let itself = json!({"$ref": "#"});
    assert_breaks(&itself, &itself, &[]);
}

#[test]
fn a_field_is_pointed_to_whatever_it_is_called() {
    let old = object(json!({}), &[]);
    let new = object(json!({"a/b~c": {}}), &["a/b~c"]);
    assert_breaks(&old, &new, &[(ThisBuild, "/a~1b~0c")]);
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
            "breaks readers built on the schema before (those of others, and older builds), reading new events: /a may now be \"urgent\"",
        ]
    );
}

/// Where fields of any name hold something, those of a name that is said now were recorded, too.
#[test]
fn a_named_field_of_a_map_must_hold_what_fields_of_any_name_held() {
    let map = |fields: Value, others: Value| {
        one(json!({"type": "object", "properties": fields, "additionalProperties": others}))
    };
    let crew = |schema: Value| json!({ "crew": schema });
    let before = map(json!({}), json!(true));
    let narrow = map(crew(json!({"type": "string"})), json!(true));
    assert_breaks(&before, &narrow, &[(ThisBuild, "/a/crew")]);
    let before = map(json!({}), json!({"type": "string"}));
    let same = map(crew(json!({"type": "string"})), json!({"type": "string"}));
    assert_breaks(&before, &same, &[]);
    let few = map(crew(json!({"enum": ["a", "b"]})), json!({"type": "string"}));
    assert_breaks(&before, &few, &[(ThisBuild, "/a/crew")]);
}

/// Events that lack the field were recorded in the meaning of the default that it had.
#[test]
fn another_default_breaks_this_build() {
    let field = |schema: Value| object(json!({ "a": schema }), &[]);
    let of = |default: i32| field(json!({"type": "integer", "default": default}));
    let none = field(json!({"type": "integer"}));
    assert_breaks(&of(1), &of(1), &[]);
    assert_breaks(&of(1), &of(2), &[(ThisBuild, "/a")]);
    assert_breaks(&of(1), &none, &[(ThisBuild, "/a")]);
    assert_breaks(&none, &of(1), &[]);

    // Nothing meant null.
    let nullable = json!({"type": ["integer", "null"]});
    let of = |default: Value| field(json!({"type": ["integer", "null"], "default": default}));
    let none = field(nullable.clone());
    assert_breaks(&none, &of(json!(1)), &[(ThisBuild, "/a")]);
    assert_breaks(&none, &of(json!(null)), &[]);
    // Where events always say it, no default is asked for.
    let always = object(json!({ "a": nullable }), &["a"]);
    assert_breaks(&always, &of(json!(1)), &[(Others, "/a")]);
}
