//! What a change of an event's schema breaks, and for whom. Pure: two schemas in, the breaks out.
//!
//! Events stay for ever, so this build must read what was recorded before under the same version; and others read by the
//! schema that was published. Both pass over fields that they do not know, so a new optional field breaks neither. What
//! is not understood here is taken for a break. (The libraries that were looked at judge one direction, or pass over
//! keywords that they do not know.)

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde_json::Value;

use super::{
    pointer,
    shape::{Shape, Values, types_of},
};

/// Who is worse off for a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reader {
    /// The build that makes the change, over what is in logs already.
    ThisBuild,
    /// Subscribers of others, and our own builds from before.
    Others,
    /// Whoever takes a version that is no longer written by its schema.
    Everybody,
}

use Reader::{Others, ThisBuild};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    pub reader: Reader,
    /// JSON pointer into the payload; `*` for any field or item. For everybody it leads into the schema.
    pub at: String,
    pub what: String,
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reader, at, what } = self;
        let reader = match reader {
            ThisBuild => "this build, reading events recorded before",
            Others => {
                "readers built on the schema before (those of others, and older builds), reading new events"
            }
            Reader::Everybody => "whoever reads by what was released",
        };
        let at = match self.reader {
            _ if !at.is_empty() => at,
            ThisBuild | Others => "the payload",
            Reader::Everybody => "the file",
        };
        write!(f, "breaks {reader}: {at} {what}")
    }
}

/// What breaks when events that were as `old` says are as `new` says from now on, under the same version.
pub fn breaks(old: &Value, new: &Value) -> Vec<Break> {
    Comparison::of(old, new).breaks
}

/// Two schemas held against each other.
pub(super) struct Comparison<'a> {
    /// The whole schemas, in which references are looked up.
    old: &'a Value,
    new: &'a Value,
    /// The references that were followed to here, so that a schema within itself comes to an end.
    within: Vec<(Value, Value)>,
    pub(super) breaks: Vec<Break>,
    /// Optional fields that came, as pointers into the payload.
    pub(super) fields: Vec<String>,
}

impl<'a> Comparison<'a> {
    pub(super) fn of(old: &'a Value, new: &'a Value) -> Self {
        let mut comparison = Self {
            old,
            new,
            within: vec![],
            breaks: vec![],
            fields: vec![],
        };
        comparison.schemas("", old, new);
        comparison
    }

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
        let pair = (old.clone(), new.clone());
        if self.within.contains(&pair) {
            return; // It is being compared.
        }
        self.within.push(pair);
        self.shapes(at, old, new);
        self.within.pop();
    }

    fn shapes(&mut self, at: &str, old: &Value, new: &Value) {
        let (before, after) = (Shape::of(self.old, old), Shape::of(self.new, new));
        if before.odd || after.odd {
            if old != new || self.old.get("$defs") != self.new.get("$defs") {
                for reader in [ThisBuild, Others] {
                    self.breaks(reader, at, "changed in a way that cannot be judged here");
                }
            }
            return;
        }
        self.default(at, old, new);
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

    /// What is absent in an event means its default, and has to go on meaning it.
    fn default(&mut self, at: &str, old: &Value, new: &Value) {
        let (Some(before), after) = (old.get("default"), new.get("default")) else {
            return;
        };
        if after != Some(before) {
            let now = after.map_or("no default".to_owned(), |now| format!("the default {now}"));
            let what =
                format!("has {now} and had {before}, which events recorded before mean without it");
            self.breaks(ThisBuild, at, what);
        }
    }

    /// What had no default meant nothing where it was absent, and where nothing has a name of its own, null.
    fn default_of_absent(&mut self, at: &str, old: &Value, new: &Value) {
        let is_nullable = Shape::of(self.old, old).has("null");
        if let (None, Some(now)) = (old.get("default"), new.get("default"))
            && is_nullable
            && !now.is_null()
        {
            let what =
                format!("has the default {now} and had none, so events without it meant null");
            self.breaks(ThisBuild, at, what);
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
            self.breaks(ThisBuild, &pointer(at, name), what);
        }
        for name in had_to.difference(&must) {
            let what = match new_fields.contains_key(name) {
                true => "may be absent now",
                false => "is gone",
            };
            self.breaks(Others, &pointer(at, name), what);
        }
        let others = |keywords: &BTreeMap<String, Value>| {
            let others = keywords.get("additionalProperties");
            others.cloned().unwrap_or(Value::Bool(true))
        };
        let (old_others, new_others) = (others(before), others(after));
        for (name, old) in &old_fields {
            let at = pointer(at, name);
            match new_fields.get(name) {
                Some(new) => {
                    if !had_to.contains(name) {
                        self.default_of_absent(&at, old, new);
                    }
                    self.schemas(&at, old, new);
                }
                None => {
                    let what = "is not read any more, and events recorded before may say it";
                    self.breaks(ThisBuild, &at, what);
                }
            }
        }
        for (name, new) in &new_fields {
            if !old_fields.contains_key(name) {
                if !must.contains(name) {
                    self.fields.push(pointer(at, name));
                }
                // Nothing was recorded in it, unless the old schema says what fields of any name hold; and it may have ruled
                // it out.
                let any_name = before.get("additionalProperties");
                let may_be_recorded = any_name.is_some_and(|others| others != &Value::Bool(false));
                let known = self.breaks.len();
                let fields = self.fields.len();
                self.schemas(&pointer(at, name), &old_others, new);
                self.fields.truncate(fields);
                let found = self.breaks.split_off(known);
                let counts = |found: &Break| may_be_recorded || found.reader == Others;
                self.breaks.extend(found.into_iter().filter(counts));
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
            (Some(raised_narrows), Some(old), Some(new)) if old != new => {
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
