//! Two relays on one log: one leads, and the other when that one stops, whether it ends or only stands still.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::{
    checks,
    client::{Client, new_id},
    processes::{Role, Stack},
    stored,
};

const PROJECTS: usize = 5;

/// Some events, and the wait until the topic has them.
async fn carried(stack: &Stack, client: &Client) {
    for _ in 0..PROJECTS {
        let body = json!({"id": new_id(), "name": "relayed"});
        client.accepted("/projects", &body).await;
    }
    let url = &stack.database.url;
    stored::relayed(url, stored::head(url).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_stands_still_leaves_the_lead_to_another_and_the_topic_stays_the_log() {
    let mut stack = Stack::new().await;
    stack.start(Role::Command).await;
    stack.start(Role::Relay).await;
    let client = stack.client().await;
    carried(&stack, &client).await;
    let mut other = stack.start_another(Role::Relay).await;
    stack.signal(Role::Relay, Signal::SIGSTOP);
    carried(&stack, &client).await;
    // What it had under way when it stood still it may send now, once more.
    stack.signal(Role::Relay, Signal::SIGCONT);
    carried(&stack, &client).await;
    other.signal(Signal::SIGKILL);
    other.ended().await;
    carried(&stack, &client).await;
    let events = stored::events(&stack.database.url).await;
    assert_eq!(events.len(), 4 * PROJECTS);
    let records = stored::records(&stack.topic).await;
    assert_eq!(checks::topic_is_log(&records, &events), [""; 0]);
}
