//! What a newcomer is offered at the first start: commands to paste that fill the views with something to look at.

use std::{
    env,
    path::{Path, PathBuf},
};

/// Real work of six public repositories; only in a checkout of the sources.
const HISTORY: &str = "tests/data/history.ndjson.gz";

/// A command, and what it brings.
pub struct Offer {
    pub line: String,
    pub brings: &'static str,
}

/// For this program as it was started, over this data folder.
pub fn offers(data: &Path) -> Vec<Offer> {
    let here = env::current_dir().unwrap_or_default();
    let program = env::current_exe().unwrap_or_else(|_| PathBuf::from("foldline"));
    let program = quoted(&called(&program, &here));
    let is_usual = foldline_local::default_data_folder().is_ok_and(|usual| usual == data);
    let data = match is_usual {
        true => String::new(),
        false => format!(" --data {}", quoted(data)),
    };
    let mut offers = Vec::new();
    if here.join(HISTORY).exists() {
        offers.push(Offer {
            line: format!("{program} import {HISTORY}{data}"),
            brings: "87,806 commands from the histories of six repositories",
        });
    }
    offers.push(Offer {
        line: format!("{program} demo{data}"),
        brings: "made-up projects with everything that a task can go through",
    });
    offers
}

/// How a shell in that folder finds a program: a bare name would be looked for elsewhere.
fn called(program: &Path, here: &Path) -> PathBuf {
    match program.strip_prefix(here) {
        Ok(below) if below.components().count() == 1 => Path::new(".").join(below),
        Ok(below) => below.to_owned(),
        Err(_) => program.to_owned(),
    }
}

/// For a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    match text.chars().all(is_plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_called_so_that_a_shell_finds_it() {
        for (program, called_so) in [
            ("/work/foldline", "./foldline"),
            ("/work/target/release/foldline", "target/release/foldline"),
            ("/usr/bin/foldline", "/usr/bin/foldline"),
        ] {
            let called = called(Path::new(program), Path::new("/work"));
            assert_eq!(called, Path::new(called_so));
        }
    }

    #[test]
    fn a_path_is_quoted_where_a_shell_would_take_it_apart() {
        assert_eq!(quoted(Path::new("/a-b/c.d")), "/a-b/c.d");
        assert_eq!(quoted(Path::new("my data/it's")), r"'my data/it'\''s'");
    }
}
