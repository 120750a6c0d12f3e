//! Clients that send commands while things break: each repeats a request, with the same ids, until it is answered.

use std::time::{Duration, Instant};

use foldline_command::{Verdict, Verdicts};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    checks::Acknowledged,
    client::Client,
    processes::{PATIENCE, TENANT, unique},
};

const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause between two requests of a client, in milliseconds.
const PAUSE_MS_MAX: u64 = 20;
/// How many commands one request has at most.
const COMMANDS_PER_REQUEST_MAX: usize = 6;

pub struct Load {
    stop: CancellationToken,
    clients: Vec<JoinHandle<Vec<Acknowledged>>>,
}

impl Load {
    pub fn start(client: &Client, clients: u64, seed: u64) -> Self {
        let stop = CancellationToken::new();
        let start = |number| {
            let random = StdRng::seed_from_u64(seed.wrapping_mul(1_000).wrapping_add(number));
            tokio::spawn(work(client.clone(), random, stop.clone()))
        };
        Self {
            clients: (0..clients).map(start).collect(),
            stop,
        }
    }

    /// Everything that was sent, once all of it has been acknowledged.
    pub async fn finish(self) -> Vec<Acknowledged> {
        self.stop.cancel();
        let mut all = Vec::new();
        for client in self.clients {
            all.extend(client.await.expect("every client gets its answers"));
        }
        all
    }
}

async fn work(client: Client, mut random: StdRng, stop: CancellationToken) -> Vec<Acknowledged> {
    let mut acknowledged = Vec::new();
    let project = unique(&mut random);
    let create = item(
        &mut random,
        "create_project",
        project,
        json!({"name": "Load"}),
    );
    deliver(&client, &[create], &mut acknowledged).await;
    while !stop.is_cancelled() {
        let commands = life_of_a_task(&mut random, project);
        let mut rest = commands.as_slice();
        while !rest.is_empty() {
            let size = random.random_range(1..=COMMANDS_PER_REQUEST_MAX.min(rest.len()));
            let (request, later) = rest.split_at(size);
            deliver(&client, request, &mut acknowledged).await;
            rest = later;
            let pause = Duration::from_millis(random.random_range(0..=PAUSE_MS_MAX));
            tokio::time::sleep(pause).await;
        }
    }
    acknowledged
}

/// Commands of which each records one event.
fn life_of_a_task(random: &mut StdRng, project: Uuid) -> Vec<Value> {
    let task = unique(random);
    let hours = f64::from(random.random_range(1..2_000)) / 100.0;
    let created =
        json!({"projectId": project, "title": "T", "priority": "low", "estimatedHours": hours});
    let mut commands = vec![item(random, "create_task", task, created)];
    for label in 0..random.random_range(0..4) {
        commands.push(item(
            random,
            "add_label",
            task,
            json!({"label": format!("l{label}")}),
        ));
    }
    commands.push(item(random, "start_task", task, json!({})));
    if random.random_bool(0.8) {
        commands.push(item(
            random,
            "complete_task",
            task,
            json!({"actualHours": hours}),
        ));
    }
    commands
}

fn item(random: &mut StdRng, kind: &str, aggregate: Uuid, data: Value) -> Value {
    let id = unique(random);
    json!({"id": id, "type": format!("tasks.{kind}"), "aggregate": aggregate, "data": data})
}

async fn deliver(client: &Client, commands: &[Value], acknowledged: &mut Vec<Acknowledged>) {
    let began = Instant::now();
    let answer = loop {
        match client.try_post("/commands", &json!(commands)).await {
            Some((200, answer)) => break answer,
            Some((500..600, _)) | None => {}
            Some((status, answer)) => panic!("{status}: {answer}"),
        }
        assert!(
            began.elapsed() < PATIENCE,
            "commands are answered again in time"
        );
        tokio::time::sleep(RETRY_PAUSE).await;
    };
    let answer: Verdicts = serde_json::from_value(answer).unwrap();
    assert_eq!(answer.verdicts.len(), commands.len());
    for verdict in answer.verdicts {
        match verdict {
            Verdict::Accepted(accepted) | Verdict::Known(accepted) => {
                acknowledged.push(Acknowledged {
                    command_id: accepted.command_id,
                    key: format!("{TENANT}/{}", accepted.stream),
                    version: accepted.version,
                });
            }
            Verdict::Rejected { problem, .. } => {
                panic!("a valid command was rejected: {problem:?}")
            }
        }
    }
}
