//! The contract with whoever reads events: a JSON Schema with an example for each event type and version that was ever
//! recorded, in `schema/events`. [`check`] holds those of a build against those of an earlier revision.
//!
//! It is pure: schemas in, findings out. Where they lie, and how this build reads a payload, whoever asks must say. Read
//! [`breaks`] next for what one schema promises to whom.

mod compatibility;
mod shape;

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

use compatibility::Comparison;
pub use compatibility::{Break, Reader, breaks};

/// Which schema: the event type, and the version of its payload.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// `context.FactInPastTense`.
    pub event_type: String,
    /// From 1.
    pub version: i16,
}

/// Schemas by name.
pub type Schemas = BTreeMap<Name, Value>;

/// What a change amounts to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What must not be; nothing, where the change is compatible.
    pub breaks: Vec<(Name, Break)>,
    /// What is new and breaks nobody, in words.
    pub news: Vec<(Name, String)>,
}

impl Name {
    /// Of a file called `TYPE.vN.json`.
    pub fn of_file(file: &str) -> Option<Self> {
        let (event_type, version) = file.strip_suffix(".json")?.rsplit_once(".v")?;
        let name = Self {
            event_type: event_type.to_owned(),
            version: version.parse().ok()?,
        };
        // One file for each: no `+1`, no `01`.
        (name.version >= 1 && name.file() == file).then_some(name)
    }

    /// The file that holds it.
    pub fn file(&self) -> String {
        format!("{}.v{}.json", self.event_type, self.version)
    }

    fn next(&self) -> Option<Self> {
        Some(Self {
            event_type: self.event_type.clone(),
            version: self.version.checked_add(1)?,
        })
    }

    fn before(&self) -> Option<Self> {
        Some(Self {
            event_type: self.event_type.clone(),
            version: self
                .version
                .checked_sub(1)
                .filter(|version| *version >= 1)?,
        })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} version {}", self.event_type, self.version)
    }
}

/// Holds the present schemas against those that were released. `read` reads a payload of that type and version as this
/// build would read it from a log, and says why it could not.
pub fn check(
    released: &Schemas,
    present: &Schemas,
    read: impl Fn(&Name, &Value) -> Result<(), String>,
) -> Verdict {
    let mut verdict = Verdict::default();
    for (name, old) in released {
        let unread = examples(old).find_map(|example| read(name, example).err());
        if let Some(why) = &unread {
            verdict.breaks(
                name,
                Reader::ThisBuild,
                "",
                format!("cannot be read: {why}"),
            );
        }
        match present.get(name) {
            None => {
                let what = "is gone: the file of a released version stays, whatever comes after it";
                verdict.breaks(name, Reader::Everybody, "", what);
            }
            Some(new) if is_past(name, present) => {
                if let Some(at) = difference("", old, new, Place::Schema) {
                    let what = "is not as it was released: of a version that has a later one only descriptions may change";
                    verdict.breaks(name, Reader::Everybody, &at, what);
                }
            }
            Some(new) => verdict.compare(name, old, new),
        }
    }
    for (name, new) in present {
        if !released.contains_key(name) {
            let mut examples = examples(new).peekable();
            let unread = match examples.peek() {
                None => Some("its file shows no example".to_owned()),
                Some(_) => examples.find_map(|example| read(name, example).err()),
            };
            verdict.add(name, present, unread);
        }
    }
    verdict
}

impl Verdict {
    fn breaks(&mut self, name: &Name, reader: Reader, at: &str, what: impl Into<String>) {
        let found = Break {
            reader,
            at: at.to_owned(),
            what: what.into(),
        };
        self.breaks.push((name.clone(), found));
    }

    /// The version that is written, before and now.
    fn compare(&mut self, name: &Name, old: &Value, new: &Value) {
        let Comparison { breaks, fields, .. } = Comparison::of(old, new);
        let is_broken = !breaks.is_empty();
        let breaks = breaks.into_iter().map(|found| (name.clone(), found));
        self.breaks.extend(breaks);
        if is_broken {
            return;
        }
        for field in &fields {
            let what = format!("has a new optional field, {field}");
            self.news.push((name.clone(), what));
        }
        if fields.is_empty() && old != new {
            let what = "is said otherwise, and means the same".to_owned();
            self.news.push((name.clone(), what));
        }
    }

    /// One that was not released.
    fn add(&mut self, name: &Name, present: &Schemas, unread: Option<String>) {
        if let Some(why) = unread {
            let what = format!(
                "is not known to be read: {why} (is the program built from these sources?)"
            );
            return self.breaks(name, Reader::ThisBuild, "", what);
        }
        let before = name.before();
        match before {
            Some(before) if !present.contains_key(&before) => {
                let what = format!("has no file of {before} beside it");
                self.breaks(name, Reader::Everybody, "", what);
            }
            Some(before) => {
                let what = format!(
                    "is a new version: readers that know {before} only stop at it, so let them be newer first"
                );
                self.news.push((name.clone(), what));
            }
            None => {
                let what = "is a new event type".to_owned();
                self.news.push((name.clone(), what));
            }
        }
    }
}

/// Whether there is a later version, so that this one is not written any more.
fn is_past(name: &Name, present: &Schemas) -> bool {
    name.next().is_some_and(|next| {
        let later = present.range(next..).next();
        later.is_some_and(|(later, _)| later.event_type == name.event_type)
    })
}

fn examples(schema: &Value) -> impl Iterator<Item = &Value> {
    let examples = schema.get("examples").and_then(Value::as_array);
    examples.into_iter().flatten()
}

/// What a JSON value is within a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Schema,
    /// A list of schemas, or a map to them.
    Schemas,
    /// What a keyword says otherwise.
    Other,
}

impl Place {
    fn below(self, name: &str) -> Self {
        match (self, name) {
            (Self::Schemas, _)
            | (Self::Schema, "items" | "additionalProperties" | "not" | "if" | "then" | "else") => {
                Self::Schema
            }
            (
                Self::Schema,
                "properties" | "$defs" | "anyOf" | "oneOf" | "allOf" | "prefixItems",
            ) => Self::Schemas,
            (Self::Schema | Self::Other, _) => Self::Other,
        }
    }
}

/// The first place, as a pointer, in which two schemas differ in more than what they say to people.
fn difference(at: &str, old: &Value, new: &Value, place: Place) -> Option<String> {
    let is_word =
        |name: &str| place == Place::Schema && ["description", "$comment"].contains(&name);
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
            names.sort();
            names.dedup();
            names.retain(|name| !is_word(name));
            names.into_iter().find_map(|name| {
                let at = pointer(at, name);
                match (old.get(name), new.get(name)) {
                    (Some(old), Some(new)) => difference(&at, old, new, place.below(name)),
                    (None, _) | (_, None) => Some(at),
                }
            })
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            let mut pairs = old.iter().zip(new).enumerate();
            pairs.find_map(|(index, (old, new))| {
                let at = pointer(at, &index.to_string());
                difference(&at, old, new, place.below(""))
            })
        }
        (old, new) => (old != new).then(|| at.to_owned()),
    }
}

/// A JSON pointer one step further.
fn pointer(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}
