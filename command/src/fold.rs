//! The hash of everything that makes a state of a stream's events: run by build.rs, which gives it to [`crate::snapshots`],
//! and by tests.
//!
//! It changes by itself with every change of a source below, also with one that changes no state: that costs each long
//! stream a replay, and a state that other code folded would cost wrong answers. So whole crates are taken, and what is
//! built from others' code is taken by the files that say which.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
};

/// Files and folders, from the folder of this crate's manifest.
pub const SOURCES: [&str; 9] = [
    // How events are read: their types, their upcasters.
    "../events/Cargo.toml",
    "../events/src",
    // What each makes of a state, and how a state is written down.
    "domain/Cargo.toml",
    "domain/src",
    // How a stream is gone through, and what a snapshot holds.
    "src/streams.rs",
    "src/snapshots.rs",
    "../events/log/src/snapshot.rs",
    // Versions and features of what others wrote: how a number is read, say.
    "../Cargo.toml",
    "../Cargo.lock",
];

/// In hexadecimal; of the names and the contents of all files of the sources, whatever order they are found in.
pub fn hash(folder: &Path, sources: &[&str]) -> io::Result<String> {
    let mut files = Vec::new();
    for source in sources {
        collect(&folder.join(source), &mut files)?;
    }
    files.sort();
    // 64 bits are enough against chance, which alone is to be feared here. Another release of Rust may hash otherwise:
    // then streams are replayed once.
    let mut hasher = DefaultHasher::new();
    for file in files {
        // From the folder, so that two checkouts make one hash.
        file.strip_prefix(folder).unwrap_or(&file).hash(&mut hasher);
        fs::read(&file)?.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        collect(&entry?.path(), files)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshots::FOLD_HASH;

    /// Cargo has run build.rs again since any of them changed.
    #[test]
    fn this_build_folds_by_the_hash_of_its_present_sources() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(hash(folder, &SOURCES).unwrap(), FOLD_HASH);
    }

    #[test]
    fn every_change_of_a_source_changes_the_hash() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        fs::create_dir_all(folder.join("src/tasks")).unwrap();
        let changes: [(&str, Option<&str>); 7] = [
            ("lock", Some("1")),
            ("src/lib.rs", Some("mod tasks;")),
            ("src/tasks/task.rs", Some("evolve")),
            ("src/tasks/task.rs", Some("evolve!")),
            ("src/tasks/project.rs", Some("evolve")),
            ("src/tasks/project.rs", None),
            ("src/tasks/projects.rs", Some("evolve")),
        ];
        let mut seen = Vec::new();
        for (file, content) in changes {
            match content {
                Some(content) => fs::write(folder.join(file), content).unwrap(),
                None => fs::remove_file(folder.join(file)).unwrap(),
            }
            seen.push(hash(folder, &["src", "lock"]).unwrap());
        }
        // Without the project it is as it was before.
        assert_eq!(seen.remove(5), seen[3]);
        let mut distinct = seen.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), seen.len());

        fs::write(folder.join("unconcerned"), "1").unwrap();
        assert_eq!(hash(folder, &["src", "lock"]).unwrap(), seen[5]);
        assert!(hash(folder, &["src", "gone"]).is_err());
    }
}
