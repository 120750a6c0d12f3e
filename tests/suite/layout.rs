//! The layout of the repository, held by tests: what DESIGN calls fixed stays so without anybody's attention.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Folders that hold what others made.
const FOREIGN: [&str; 6] = ["target", "node_modules", "dist", ".git", ".cache", "data"];
/// Each has a module per context, named after it.
const LAYERS: [&str; 5] = [
    "events/src",
    "command/domain/src",
    "command/src",
    "projector/src",
    "query/src",
];
const CONTEXTS: [&str; 7] = [
    "tasks",
    "memory",
    "identity",
    "workflows",
    "content",
    "conversations",
    "life",
];
/// Beyond it a file is split.
const LINES_MAX: usize = 600;

/// Dependencies of the pure crates. None of them does any I/O; the list may only shrink.
const PURE: [(&str, &[&str]); 2] = [
    (
        "events/Cargo.toml",
        &[
            "chrono",
            "schemars",
            "serde",
            "serde_json",
            "thiserror",
            "uuid",
        ],
    ),
    (
        "command/domain/Cargo.toml",
        &[
            "chrono",
            "foldline-events",
            "serde",
            "serde_json",
            "serde_path_to_error",
            "thiserror",
            "utoipa",
            "uuid",
        ],
    ),
];

/// All our files with one of these endings, relative to the root.
fn files(endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(ROOT)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let (name, path) = (entry.file_name(), entry.path());
            let is_foreign = FOREIGN.iter().any(|foreign| name == *foreign);
            if entry.file_type().unwrap().is_dir() {
                if !is_foreign {
                    folders.push(path);
                }
            } else if endings
                .iter()
                .any(|ending| path.extension().is_some_and(|it| it == *ending))
            {
                found.push(path.strip_prefix(ROOT).unwrap().to_owned());
            }
        }
    }
    assert!(!found.is_empty());
    found.sort();
    found
}

fn text(path: &Path) -> String {
    fs::read_to_string(Path::new(ROOT).join(path))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The code of a line, without its comment.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

/// Paths in a file of one context that lead into another.
fn foreign_paths(context: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for other in CONTEXTS.iter().filter(|other| **other != context) {
        for (index, line) in text.lines().enumerate() {
            let is_named = code(line).match_indices(other).any(|(at, _)| {
                let (before, after) = (&code(line)[..at], &code(line)[at + other.len()..]);
                let begins = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
                // `{tasks, life}` of a `use` leads there, too.
                let is_listed = before.trim_start().starts_with("use ") || before.contains(" use ");
                let in_path = before.ends_with("::") || after.starts_with("::") || is_listed;
                let ends = !after.starts_with(|c: char| c.is_alphanumeric() || c == '_');
                begins && ends && in_path
            });
            if is_named {
                complaints.push(format!("line {}: {}", index + 1, line.trim()));
            }
        }
    }
    complaints
}

/// The dependencies of a manifest that are not in a list.
fn beyond(manifest: &str, allowed: &[&str]) -> Vec<String> {
    let mut within = false;
    let mut found = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            within = line == "[dependencies]";
            // `[dependencies.serde]`, and those of one platform, are as good as a line of the list.
            let named = line.trim_matches(['[', ']']).rsplit_once("dependencies.");
            found.extend(named.map(|(_, name)| name.to_owned()));
        } else if within && let Some((name, _)) = line.split_once('=') {
            found.push(name.split('.').next().unwrap_or(name).trim().to_owned());
        }
    }
    found.retain(|name| !allowed.contains(&name.as_str()));
    found
}

/// What the text names in backticks or links as a file of ours.
fn named_files(text: &str) -> Vec<String> {
    const ENDINGS: [&str; 9] = [
        "rs", "sql", "toml", "md", "json", "sh", "graphql", "py", "gz",
    ];
    let is_path = |name: &&str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        name.contains('/')
            && name.chars().all(plain)
            && !name.starts_with('/')
            && (name.ends_with('/') || ENDINGS.contains(&ending))
    };
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(is_path).map(str::to_owned).collect()
}

#[test]
fn no_context_knows_another_in_its_layer() {
    let mut complaints = Vec::new();
    for file in files(&["rs"]) {
        let layer = LAYERS
            .iter()
            .find_map(|layer| file.strip_prefix(layer).ok());
        let Some(first) = layer.and_then(|within| within.components().next()) else {
            continue;
        };
        let name = first.as_os_str().to_string_lossy();
        let context = name.strip_suffix(".rs").unwrap_or(&name);
        if CONTEXTS.contains(&context) {
            let found = foreign_paths(context, &text(&file));
            complaints.extend(
                found
                    .into_iter()
                    .map(|it| format!("{}: {it}", file.display())),
            );
        }
    }
    assert_eq!(complaints, [""; 0]);
}

#[test]
fn the_language_and_the_rules_do_no_input_or_output() {
    for (manifest, allowed) in PURE {
        assert_eq!(
            beyond(&text(Path::new(manifest)), allowed),
            [""; 0],
            "{manifest}"
        );
    }
}

#[test]
fn no_file_is_too_long_to_read() {
    let too_long: Vec<String> = files(&["rs", "sql"])
        .iter()
        .map(|file| (file, text(file).lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(file, lines)| format!("{} has {lines} lines", file.display()))
        .collect();
    assert_eq!(too_long, [""; 0]);
}

/// Names in backticks that look like constants or fields, with the file that the table's row, or one above, names.
fn bounds(page: &str) -> Vec<(String, String)> {
    let mut file = String::new();
    let mut found = Vec::new();
    let rows = page.lines().filter(|line| line.starts_with("| "));
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        if let [_, first, names, ..] = cells[..] {
            if let Some(named) = first.strip_prefix('`').and_then(|it| it.strip_suffix('`')) {
                named.clone_into(&mut file);
            }
            let names = names.split('`').skip(1).step_by(2);
            found.extend(names.map(|name| (file.clone(), name.to_owned())));
        }
    }
    found
}

#[test]
fn every_bound_that_the_architecture_names_is_in_its_file() {
    let page = text(Path::new("docs/ARCHITECTURE.md"));
    let (_, table) = page.split_once("## Bounds").unwrap();
    let bounds = bounds(table);
    assert!(bounds.len() > 50);
    let missing: Vec<_> = bounds
        .iter()
        .filter(|(file, name)| !text(Path::new(file)).contains(name.as_str()))
        .collect();
    assert_eq!(missing, Vec::<&(String, String)>::new());
}

/// Of the sources of the language: the structs that are payloads, and those of which there is an example.
fn payloads_and_examples(source: &str) -> (BTreeSet<&str>, BTreeSet<&str>) {
    let named_after = |marker: &'static str| {
        let named = source.split(marker).skip(1);
        named
            .filter_map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next())
            .collect()
    };
    (
        named_after("impl Payload for "),
        named_after("Example::of(&"),
    )
}

/// The examples are the list of all events: their schemas and the chains of their versions are found by it.
#[test]
fn every_event_has_its_example() {
    let language = Path::new(LAYERS[0]);
    let is_context = |file: &Path| {
        let within = file.strip_prefix(language).ok();
        let first = within.and_then(|within| within.components().next());
        first.is_some_and(|first| {
            let name = first.as_os_str().to_string_lossy();
            CONTEXTS.contains(&name.trim_end_matches(".rs"))
        })
    };
    let sources: String = files(&["rs"])
        .iter()
        .filter(|file| is_context(file))
        .map(|file| text(file))
        .collect();
    let (payloads, examples) = payloads_and_examples(&sources);
    assert!(payloads.len() > 30);
    assert_eq!(payloads, examples);
}

#[test]
fn every_role_that_reads_events_first_asks_whether_it_can_read_all_versions() {
    for (file, role) in [
        ("src/roles.rs", "run_command(args: CommandArgs)"),
        ("src/roles.rs", "run_query(args: QueryArgs)"),
        ("src/roles.rs", "run_projector(args: ProjectorArgs)"),
        ("src/roles.rs", "run_worker(args: WorkerArgs)"),
        ("src/up.rs", "run(args: UpArgs)"),
    ] {
        let first =
            format!("pub async fn {role} -> anyhow::Result<()> {{\n    upcast::check()?;\n");
        assert!(text(Path::new(file)).contains(&first), "{role} in {file}");
    }
}

#[test]
fn nothing_is_left_to_be_done_later() {
    // In two parts each, so that this file does not name them.
    let later = [concat!("to", "do!("), concat!("unimple", "mented!(")];
    let left: Vec<String> = files(&["rs"])
        .into_iter()
        .filter(|file| later.iter().any(|word| text(file).contains(word)))
        .map(|file| file.display().to_string())
        .collect();
    assert_eq!(left, [""; 0]);
}

#[test]
fn the_architecture_page_names_files_that_exist() {
    let page = text(Path::new("docs/ARCHITECTURE.md"));
    let named = named_files(&page);
    assert!(!named.is_empty(), "the page names files by their paths");
    let missing: Vec<&String> = named
        .iter()
        .filter(|name| !Path::new(ROOT).join(name).exists())
        .collect();
    assert_eq!(missing, [""; 0]);
}

/// What a source spells like a code of an error, in quotes.
fn codes(source: &str) -> BTreeSet<&str> {
    let is_code = |text: &&str| {
        let plain = |c: char| c.is_ascii_uppercase() || c == '_';
        text.len() > 4 && text.chars().all(plain)
    };
    source
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(is_code)
        .collect()
}

#[test]
fn every_code_of_an_error_is_explained() {
    // Where refusals get their codes.
    const FILES: [&str; 5] = [
        "command/domain/src/tasks/rejection.rs",
        "command/src/failure.rs",
        "gate/src/problem.rs",
        "gate/src/body.rs",
        "query/src/error.rs",
    ];
    let page = text(Path::new("docs/ERRORS.md"));
    let sources = FILES.map(|file| text(Path::new(file)));
    let codes: BTreeSet<&str> = sources.iter().flat_map(|source| codes(source)).collect();
    assert!(codes.len() > 40);
    let unexplained: Vec<&&str> = codes
        .iter()
        .filter(|code| !page.contains(&format!("`{code}`")))
        .collect();
    assert_eq!(unexplained, [&""; 0]);
}

/// What the text names in backticks like a test: at least four words.
fn named_tests(text: &str) -> Vec<&str> {
    let is_test = |name: &&str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        name.matches('_').count() >= 3 && name.chars().all(plain)
    };
    text.split('`').skip(1).step_by(2).filter(is_test).collect()
}

#[test]
fn the_architecture_page_names_tests_that_exist() {
    // The one that is a lint of clippy.
    const LINT: &str = "wildcard_enum_match_arm";
    let sources: String = files(&["rs"]).iter().map(|file| text(file)).collect();
    let page = text(Path::new("docs/ARCHITECTURE.md"));
    let (page, _bounds) = page.split_once("## Bounds").unwrap();
    let named = named_tests(page);
    assert!(named.len() > 50);
    let missing: Vec<&str> = named
        .into_iter()
        .filter(|name| *name != LINT && !sources.contains(&format!("fn {name}(")))
        .collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn these_checks_complain_when_they_should() {
    let text = "use crate::memory::Space;\nlet memory = 1; // crate::identity::User\nuse crate::{tasks::Task, life};";
    assert_eq!(
        foreign_paths("tasks", text),
        [
            "line 1: use crate::memory::Space;",
            "line 3: use crate::{tasks::Task, life};"
        ]
    );
    assert_eq!(foreign_paths("memory", text).len(), 2);
    assert_eq!(
        codes("(\"NO_SUCH\", \"no\", \"No such\")"),
        BTreeSet::from(["NO_SUCH"])
    );
    let page = "`a_rule_that_holds`, `evolve`, `foldline_query`, `A_RULE_THAT_SHOUTS`";
    assert_eq!(named_tests(page), ["a_rule_that_holds"]);
    let source = "impl Payload for A {}\nimpl Payload for B {}\nExample::of(&B {})";
    let (payloads, examples) = payloads_and_examples(source);
    assert_eq!(
        (payloads, examples),
        (BTreeSet::from(["A", "B"]), BTreeSet::from(["B"]))
    );
    let manifest = "[dependencies]\nserde.workspace = true\nsqlx = \"1\"\n[dependencies.tokio]\nversion = \"1\"\n\
        [dev-dependencies]\nproptest = \"1\"";
    assert_eq!(beyond(manifest, &["serde"]), ["sqlx", "tokio"]);
    let table = "| file | constant |\n| `a.rs` | `X_MAX`, `Y_MAX` | 1 |\n| | `z_max` | 2 |";
    let names = bounds(table).into_iter().map(|(file, name)| file + &name);
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["a.rsX_MAX", "a.rsY_MAX", "a.rsz_max"]
    );
    let page = "see `events/src/lib.rs`, `tenant/stream`, `/api/v1` and `docs/`";
    assert_eq!(named_files(page), ["events/src/lib.rs", "docs/"]);
}
