//! Where the databases of a running `foldline up` are: its data folder says so.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;

use crate::config::Database;

/// Below the data folder, as [`crate::folder`] has it made.
const POSTGRES: &str = "postgres";
const PASSWORD: &str = "password";
/// What a PostgreSQL writes of itself while it runs, and on which of its lines the port is.
const SERVER: &str = "cluster/postmaster.pid";
const PORT_LINE: usize = 3;

/// The one database of the folder named, or of the user's own.
pub fn database(named: Option<&Path>) -> anyhow::Result<Database> {
    let data = match named {
        Some(path) => path.to_owned(),
        None => foldline_local::default_data_folder()?,
    };
    let folder = data.join(POSTGRES);
    let password = read(folder.join(PASSWORD)).with_context(|| {
        format!(
            "no `foldline up` has kept a database in {}; name its folder by --data, or give LOG_URL and VIEW_URL, or \
             DATABASE_URL",
            data.display()
        )
    })?;
    let server = read(folder.join(SERVER)).with_context(|| {
        format!(
            "the database of {} does not run; start `foldline up` with this folder",
            data.display()
        )
    })?;
    let port = port(&server)
        .with_context(|| format!("the database of {} is only starting", data.display()))?;
    let url = format!("postgres://postgres:{password}@127.0.0.1:{port}/foldline");
    Database::at(&url).context("the embedded Postgres has a strange URL")
}

fn read(file: PathBuf) -> anyhow::Result<String> {
    fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
}

fn port(server: &str) -> Option<u16> {
    server.lines().nth(PORT_LINE)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_where_postgres_writes_it() {
        let written = "4711\n/data\n1700000000\n15432\n/run\n127.0.0.1\n  123 0\nready   \n";
        assert_eq!(port(written), Some(15_432));
        assert_eq!(port("4711\n/data\n"), None);
    }

    #[test]
    fn a_folder_without_a_database_is_told_apart_from_one_that_does_not_run() {
        let folder = foldline_local::temporary_folder().unwrap();
        let said = |data: &Path| format!("{:#}", database(Some(data)).err().unwrap());
        assert!(said(folder.path()).contains("--data"));
        fs::create_dir(folder.path().join(POSTGRES)).unwrap();
        fs::write(folder.path().join(POSTGRES).join(PASSWORD), "secret").unwrap();
        let said = said(folder.path());
        assert!(said.contains("does not run"), "{said}");
        assert!(!said.contains("secret"));
    }
}
