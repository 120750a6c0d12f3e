//! Embeds GraphiQL, when `make web` has built it: the binary serves it without asking any other host.

use std::{
    env,
    fmt::Write,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
};

const FILES: [&str; 3] = ["graphiql.html", "graphiql.css", "graphiql.js"];

fn main() {
    let dist = Path::new(&variable("CARGO_MANIFEST_DIR")).join("graphiql/dist");
    let mut table = String::from("const FILES: &[File] = &[\n");
    for name in FILES {
        let path = dist.join(name);
        // A file that is absent is watched too: cargo then asks again at the next build.
        println!("cargo::rerun-if-changed={}", path.display());
        if let Ok(content) = fs::read(&path) {
            let mut hasher = DefaultHasher::new();
            content.hash(&mut hasher);
            writeln!(
                table,
                "    File {{ name: {name:?}, tag: \"\\\"{:016x}\\\"\", content: include_bytes!({path:?}) }},",
                hasher.finish()
            )
            .expect("a string takes all text");
        }
    }
    table.push_str("];\n");
    let out = Path::new(&variable("OUT_DIR")).join("graphiql.rs");
    fs::write(out, table).expect("cargo's output folder can be written");
}

#[expect(
    clippy::disallowed_methods,
    reason = "cargo speaks to build scripts by variables"
)]
fn variable(name: &str) -> String {
    env::var(name).expect("cargo sets it")
}
