//! What a JSON Schema lets through, in a form in which two of them can be compared. It knows as much of the language as
//! the events' schemas use; what it does not know makes a shape odd, and the schemas must then be the same.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// How deep references and alternatives may lie in each other; those of the events are far below it.
const DEPTH_MAX: usize = 16;

const TYPES: [&str; 6] = ["null", "boolean", "number", "string", "array", "object"];

/// They say something to people, not what is let through.
const SAYING: [&str; 9] = [
    "$schema",
    "$id",
    "$defs",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
];

/// What may stand in one place.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Shape {
    pub(super) types: BTreeMap<String, Values>,
    /// Any other keyword; each concerns one type.
    pub(super) keywords: BTreeMap<String, Value>,
    /// Whether something in it is not known here.
    pub(super) odd: bool,
}

/// Which values of a type.
#[derive(Debug, PartialEq)]
pub(super) enum Values {
    Any,
    /// As JSON text.
    Only(BTreeSet<String>),
}

impl Shape {
    /// Of a schema that stands somewhere in `root`.
    pub(super) fn of(root: &Value, schema: &Value) -> Self {
        let mut shape = Self::default();
        shape.or(root, schema, DEPTH_MAX);
        // A keyword of numbers would hold for one of them alone.
        shape.odd |= ["integer", "number"]
            .iter()
            .all(|name| shape.types.contains_key(*name));
        shape
    }

    /// Whether the type is let through; whole numbers are numbers.
    pub(super) fn has(&self, name: &str) -> bool {
        self.types.contains_key(name) || (name == "integer" && self.types.contains_key("number"))
    }

    /// It may also be as this schema says.
    fn or(&mut self, root: &Value, schema: &Value, depth: usize) {
        let Some(fields) = schema.as_object() else {
            if schema != &Value::Bool(false) {
                self.or_types(TYPES.into_iter());
            }
            return;
        };
        if depth == 0 {
            self.odd = true;
            return;
        }
        let rest = |without: &str| -> Map<String, Value> {
            let rest = fields
                .iter()
                .filter(|(name, _)| *name != without && !SAYING.contains(&name.as_str()));
            rest.map(|(name, value)| (name.clone(), value.clone()))
                .collect()
        };
        if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
            let target = reference
                .strip_prefix('#')
                .and_then(|pointer| root.pointer(pointer));
            match target {
                Some(target) if rest("$ref").is_empty() => self.or(root, target, depth - 1),
                Some(_) | None => self.odd = true,
            }
        } else if let Some((name, choices)) = ["anyOf", "oneOf"]
            .into_iter()
            .find_map(|name| Some((name, fields.get(name)?.as_array()?)))
        {
            // Beside alternatives a type says nothing that they do not say.
            let beside = rest(name);
            self.odd |= beside.keys().any(|name| name != "type");
            for choice in choices {
                self.or(root, choice, depth - 1);
            }
        } else if let Some(value) = fields.get("const") {
            self.or_values(std::slice::from_ref(value), &rest("const"));
        } else if let Some(values) = fields.get("enum").and_then(Value::as_array) {
            self.or_values(values, &rest("enum"));
        } else {
            match fields.get("type") {
                None => self.or_types(TYPES.into_iter()),
                Some(Value::String(name)) => self.or_types([name.as_str()].into_iter()),
                Some(names) => {
                    self.or_types(
                        names
                            .as_array()
                            .into_iter()
                            .flatten()
                            .filter_map(Value::as_str),
                    );
                }
            }
            for (name, value) in rest("type") {
                self.odd |= types_of(&name).is_empty();
                self.odd |= (self.keywords.get(&name)).is_some_and(|present| *present != value);
                self.keywords.insert(name, value);
            }
        }
    }

    fn or_types<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        for name in names {
            let before = self.types.insert(name.to_owned(), Values::Any);
            // Two ways to be an object, say: what holds for both is not known here.
            self.odd |= before.is_some();
        }
    }

    /// Listed values, and what else is said beside the list.
    fn or_values(&mut self, values: &[Value], beside: &Map<String, Value>) {
        self.odd |= beside.keys().any(|name| name != "type");
        let named = beside.get("type").map(|named| match named.as_array() {
            Some(names) => names.clone(),
            None => vec![named.clone()],
        });
        for value in values {
            let is_named = |names: &Vec<Value>| names.iter().any(|name| name == type_of(value));
            self.odd |= !named.as_ref().is_none_or(is_named);
            self.or_value(value);
        }
    }

    fn or_value(&mut self, value: &Value) {
        let only = Values::Only(BTreeSet::new());
        match self.types.entry(type_of(value).to_owned()).or_insert(only) {
            // Whether the others are bound by something, this value may not be.
            Values::Any => self.odd = true,
            Values::Only(values) => {
                values.insert(value.to_string());
            }
        }
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The types that a keyword says something of; none, when it is not known here.
pub(super) fn types_of(keyword: &str) -> &'static [&'static str] {
    match keyword {
        "format" => &["string", "number", "integer"],
        "pattern" | "minLength" | "maxLength" => &["string"],
        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => {
            &["number", "integer"]
        }
        "items" | "minItems" | "maxItems" | "uniqueItems" => &["array"],
        "properties" | "required" | "additionalProperties" | "minProperties" | "maxProperties" => {
            &["object"]
        }
        _ => &[],
    }
}
