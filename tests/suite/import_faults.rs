//! An import goes on whatever dies under it, and ends as if nothing had.

use std::{fs, path::Path};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value;

use crate::{
    client::Client,
    faults::{OF_COMMAND, aborted_and_started_again, points_of_round, seed},
    import::{COMMANDS, slice_of_history},
    import_ways::{digests, digests_of_undisturbed},
    processes::{Process, Role, Stack, foldline, is_soak},
};

/// How many lines are imported in one round, when not the whole history is.
const LINES_PER_ROUND: usize = 1_500;

#[tokio::test]
async fn an_import_under_which_every_role_dies_at_every_crash_point_makes_the_same_views() {
    if !cfg!(feature = "crash-points") {
        panic!("build with --features crash-points, as `make test` does");
    }
    let seed = seed(3);
    let mut random = StdRng::seed_from_u64(seed);
    let folder = foldline_local::temporary_folder().unwrap();
    let rounds = if is_soak() { 3 } else { 1 } * OF_COMMAND.len();
    let lines = if is_soak() {
        COMMANDS
    } else {
        rounds * LINES_PER_ROUND
    };
    let file = slice_of_history(folder.path(), lines);
    let text = fs::read_to_string(&file).unwrap();
    let all: Vec<&str> = text.lines().collect();

    let mut stack = Stack::started().await;
    let client = stack.client().await;
    for (round, lines) in all.chunks(lines.div_ceil(rounds)).enumerate() {
        let points = points_of_round(round);
        for (role, point) in points {
            stack.stop(role).await;
            // What is behind the log may carry all of a round at once.
            let times = match role {
                Role::Command => random.random_range(0..4),
                Role::Relay | Role::Projector | Role::Query | Role::Worker => 0,
            };
            stack
                .start_with(role, &format!("{point}={times}*off->return"))
                .await;
        }
        let part = folder.path().join(format!("part-{round}.ndjson"));
        fs::write(&part, lines.join("\n")).unwrap();
        let mut importing = import(&part, &client, folder.path());
        aborted_and_started_again(&mut stack, &points).await;
        let summary: Value = importing.ready_line().await;
        assert!(importing.ended().await.success(), "{summary}");
        // What was recorded before its answer was lost is known when it is sent again.
        let done = summary["accepted"].as_u64().unwrap() + summary["known"].as_u64().unwrap();
        assert_eq!(usize::try_from(done).unwrap(), lines.len(), "{summary}");
    }
    assert_eq!(
        digests(&stack.database.url).await,
        digests_of_undisturbed(&file).await,
        "seed {seed}"
    );
}

fn import(file: &Path, client: &Client, folder: &Path) -> Process {
    let mut command = foldline();
    command.arg("import").arg(file).args([
        "--server",
        &client.api,
        "--token",
        &client.token,
        "--json",
    ]);
    Process::start(command, folder)
}
