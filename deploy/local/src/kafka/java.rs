//! Finding a Java that runs Kafka.

use std::env;
use std::path::PathBuf;

use tokio::process::Command;

use crate::Error;

const MAJOR_MIN: u32 = 17;

pub(super) struct Java {
    pub(super) program: PathBuf,
}

impl Java {
    /// `JAVA_HOME` first, as Java's own tools do, then the PATH.
    pub(super) async fn find() -> Result<Self, Error> {
        let home = env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
        let mut found = Vec::new();
        for program in home.into_iter().chain([PathBuf::from("java")]) {
            match major(&program).await {
                Some(major) if major >= MAJOR_MIN => return Ok(Self { program }),
                Some(major) => found.push(format!("{} is Java {major}", program.display())),
                None => found.push(format!("{} does not run", program.display())),
            }
        }
        Err(Error::JavaMissing {
            found: found.join(", "),
        })
    }
}

async fn major(program: &PathBuf) -> Option<u32> {
    let output = Command::new(program).arg("-version").output().await.ok()?;
    parse_major(&String::from_utf8_lossy(&output.stderr))
}

/// `openjdk version "17.0.15" 2025-04-15`; before Java 9, `"1.8.0_392"`. Lines about options may come first.
fn parse_major(said: &str) -> Option<u32> {
    let version = said.split_once(" version \"")?.1;
    let version = version.strip_prefix("1.").unwrap_or(version);
    version
        .chars()
        .take_while(char::is_ascii_digit)
        .collect::<String>()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::parse_major;

    #[test]
    fn the_version_is_read_from_old_and_new_builds() {
        assert_eq!(
            parse_major("openjdk version \"17.0.15\" 2025-04-15"),
            Some(17)
        );
        assert_eq!(
            parse_major("Picked up JAVA_TOOL_OPTIONS: -X\nopenjdk version \"21\" 2023-09-19"),
            Some(21)
        );
        assert_eq!(parse_major("java version \"1.8.0_392\""), Some(8));
        assert_eq!(parse_major("command not found"), None);
    }
}
