//! Embeds the API page that `make web` bundles, or a line that says how to get it; and says what folds streams, so that
//! no snapshot of another build is taken for one of this.

#[path = "src/fold.rs"]
mod fold;

use std::{env, fs, path::Path};

const FILES: [(&str, &str); 3] = [
    ("PAGE", "index.html"),
    ("SCRIPT", "openapi.js"),
    ("STYLE", "openapi.css"),
];

fn main() {
    page();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    for source in fold::SOURCES {
        // Of a folder cargo watches every file in it, and which there are.
        println!("cargo::rerun-if-changed={}", folder.join(source).display());
    }
    let hash = fold::hash(folder, &fold::SOURCES).expect("the sources lie beside this one");
    println!("cargo::rustc-env=FOLD_HASH={hash}");
}

fn page() {
    let out = env::var_os("OUT_DIR").expect("cargo sets it");
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/dist");
    println!("cargo::rerun-if-changed={}", dist.display());

    let bundled = FILES.iter().all(|(_, file)| dist.join(file).is_file());
    let source: String = FILES
        .iter()
        .map(|(name, file)| {
            let content = match (bundled, *name) {
                (true, _) => format!("include_str!({:?})", dist.join(file)),
                (false, "PAGE") => "\"<!doctype html><p>run make web\\n\"".to_owned(),
                (false, _) => "\"\"".to_owned(),
            };
            format!("pub(super) const {name}: &str = {content};\n")
        })
        .collect();
    fs::write(Path::new(&out).join("page.rs"), source).expect("cargo's folder can be written");
}
