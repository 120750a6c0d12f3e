//! What a person sees of changes.

use std::fmt::Write;

use serde_json::Value;

/// How much of a value is shown in a line.
pub(crate) const SHOWN_CHARS_MAX: usize = 60;

/// A change: what happened, and below it a line for each field.
pub(super) fn change(change: &Value) -> String {
    let (version, position) = (word(&change["version"]), word(&change["position"]));
    let event = &change["event"];
    let mut lines = match event.is_null() {
        true => format!(
            "version {version}, position {position}, {}",
            word(&change["at"])
        ),
        false => format!(
            "version {version}, position {position}, {}: {} by {}, command {}\n  {}",
            word(&event["at"]),
            word(&event["type"]),
            word(&event["actor"]),
            word(&event["commandId"]),
            word(&event["summary"])
        ),
    };
    push_changes(&mut lines, &change["changes"]);
    lines
}

/// What differs between two moments.
pub(super) fn diff(diff: &Value) -> String {
    let mut lines = format!(
        "from position {} to position {}",
        word(&diff["from"]),
        word(&diff["to"])
    );
    for (existed, when) in [("existedBefore", "first"), ("existedAfter", "second")] {
        if diff[existed] == false {
            push(&mut lines, &format!("not there at the {when} moment"));
        }
    }
    if super::listed(&diff["changes"]).is_empty() {
        push(&mut lines, "no field differs");
    }
    push_changes(&mut lines, &diff["changes"]);
    lines
}

/// A line for each field, in columns.
pub(super) fn blame(fields: &[Value]) -> String {
    let heads = ["FIELD", "VALUE", "SINCE", "POSITION", "BY", "EVENT"].map(str::to_owned);
    let rows: Vec<[String; 6]> = [heads].into_iter().chain(fields.iter().map(row)).collect();
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: [usize; 6] = std::array::from_fn(width);
    let line = |row: &[String; 6]| {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    let lines: Vec<String> = rows.iter().map(line).collect();
    lines.join("\n")
}

fn row(field: &Value) -> [String; 6] {
    let (change, event) = (&field["change"], &field["change"]["event"]);
    let since = match field["notAfter"].as_str() {
        Some(position) => format!("position {position} or before"),
        None => word(&change["at"]),
    };
    [
        word(&field["field"]),
        shown(&field["value"]),
        since,
        word(&change["position"]),
        word(&event["actor"]),
        word(&event["type"]),
    ]
}

fn push_changes(lines: &mut String, changes: &Value) {
    if changes.is_null() {
        push(
            lines,
            "what it changed is not known: the version before is not kept any longer",
        );
    }
    for change in super::listed(changes) {
        let (before, after) = (shown(&change["before"]), shown(&change["after"]));
        push(
            lines,
            &format!("{}: {before} → {after}", word(&change["field"])),
        );
    }
}

fn push(lines: &mut String, line: &str) {
    write!(lines, "\n  {line}").expect("a string takes everything");
}

/// Text without what steers a terminal; nothing where there is nothing.
fn word(value: &Value) -> String {
    plain(value.as_str().unwrap_or_default())
}

/// Text without what steers a terminal, or turns round what is read after it.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|it| if steers(it) { '\u{fffd}' } else { it })
        .collect()
}

/// Whether a terminal obeys a character, or turns round what is read after it.
pub(crate) fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A value as JSON, so that text is told from numbers, cut where it is long.
pub(crate) fn shown(value: &Value) -> String {
    cut(&plain(&value.to_string()), SHOWN_CHARS_MAX)
}

/// Two values that differ, each as [`shown`] up to a length. Where both would be cut and look the same, they begin where they
/// begin to differ.
pub(crate) fn shown_apart(before: &Value, after: &Value, chars_max: usize) -> (String, String) {
    let (before, after) = (plain(&before.to_string()), plain(&after.to_string()));
    let heads = (cut(&before, chars_max), cut(&after, chars_max));
    if heads.0 != heads.1 {
        return heads;
    }
    let mut pairs = before.char_indices().zip(after.chars());
    match pairs.find(|((_, one), other)| one != other) {
        Some(((at, _), _)) => {
            let rest = |text: &str| format!("…{}", cut(&text[at..], chars_max));
            (rest(&before), rest(&after))
        }
        // They differ in what is not shown.
        None => heads,
    }
}

/// So many characters, and a mark if there are more.
pub(crate) fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn blame_stands_in_columns_and_says_what_lies_too_far_back() {
        let event = json!({"actor": "ada", "type": "tasks.TaskRenamed"});
        let set = json!({"at": "2026-03-01T12:00:00Z", "position": "7", "event": event});
        let fields = [
            json!({"field": "title", "value": "dig", "change": set, "notAfter": null}),
            json!({"field": "key", "value": null, "change": null, "notAfter": null}),
            json!({"field": "createdBy", "value": "bo", "change": null, "notAfter": "3"}),
        ];
        let expected = "\
FIELD      VALUE  SINCE                 POSITION  BY   EVENT
title      \"dig\"  2026-03-01T12:00:00Z  7         ada  tasks.TaskRenamed
key        null
createdBy  \"bo\"   position 3 or before";
        assert_eq!(blame(&fields), expected);
    }

    #[test]
    fn nothing_that_is_shown_steers_a_terminal() {
        // JSON leaves the second and the third as they are.
        let text = "a\u{1b}[2J b\u{9b}2J c\u{202e}d";
        for said in [plain(text), shown(&json!(text))] {
            let steers = ['\u{1b}', '\u{9b}', '\u{202e}'];
            assert!(!said.contains(steers), "{said:?}");
        }
        assert_eq!(plain("Ünï ©"), "Ünï ©");
    }

    #[test]
    fn two_long_values_are_cut_so_that_one_sees_that_they_differ() {
        let same = "ü".repeat(100);
        let [before, after] = [1, 2].map(|n| json!(format!("{same}{n}{}", "x".repeat(100))));
        let begun = |n: u8| format!("…{n}{}…", "x".repeat(59));
        assert_eq!(shown_apart(&before, &after, 60), (begun(1), begun(2)));
        let heads = (shown(&json!("a")), shown(&before));
        assert_eq!(shown_apart(&json!("a"), &before, 60), heads);
        let whole = (before.to_string(), after.to_string());
        assert_eq!(shown_apart(&before, &after, 1_000), whole);
        let (longer, shorter) = (json!(same.clone() + "y"), json!(same));
        let ends = ("…y\"".to_owned(), "…\"".to_owned());
        assert_eq!(shown_apart(&longer, &shorter, 60), ends);
    }

    #[test]
    fn a_change_names_who_did_what_and_cuts_long_values() {
        let long = "x".repeat(100);
        let event = json!({"at": "2026-03-01T12:00:00Z", "actor": "ada", "type": "tasks.TaskRenamed",
            "commandId": "c", "summary": "renamed"});
        let changes = json!([{"field": "title", "before": null, "after": long}]);
        let said =
            change(&json!({"version": "2", "position": "7", "event": event, "changes": changes}));
        let expected = format!(
            "version 2, position 7, 2026-03-01T12:00:00Z: tasks.TaskRenamed by ada, command c\n  renamed\n  title: null → \"{}…",
            "x".repeat(59)
        );
        assert_eq!(said, expected);
    }
}
