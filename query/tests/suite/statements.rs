//! How many statements a query costs: as many as it has levels, however many entries each level has.

use std::{cell::RefCell, fmt};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use crate::{story::Story, support::fixture};

thread_local! {
    /// What sqlx logged on this thread, which is the whole of a test's runtime.
    static LOGGED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// The subscriber of all tests of this binary: one of a single test would miss what was registered beside it.
struct Statements;

struct Statement(Option<String>);

impl Visit for Statement {
    fn record_str(&mut self, field: &Field, value: &str) {
        // Short statements are their own summary.
        if ["summary", "db.statement"].contains(&field.name()) && !value.is_empty() {
            self.0 = Some(value.trim().to_owned());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

impl Subscriber for Statements {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sqlx::query"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut statement = Statement(None);
        event.record(&mut statement);
        // What the service looks at by itself, whoever asks.
        let looks = ["views.checkpoints", "views.parked_of_tenants"];
        let reads = |text: &String| {
            text.starts_with("select") && !looks.iter().any(|table| text.contains(table))
        };
        LOGGED.with_borrow_mut(|logged| logged.extend(statement.0.filter(reads)));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

fn taken() -> Vec<String> {
    LOGGED.take()
}

#[tokio::test]
async fn a_query_costs_one_statement_per_list_it_selects_however_many_entries_there_are() {
    tracing::subscriber::set_global_default(Statements).expect("no other test sets one");
    let fixture = fixture().await;
    let mut story = Story::seeded(&[("acme", 100)]);
    story.fold(&fixture).await;
    let query = "query($rows: Int) { projects(first: $rows) { totalCount nodes { name
        dashboard { total overdue(at: \"2026-03-01T00:00:00Z\")
            days(from: \"2026-02-01\", to: \"2026-02-28\") { created } dueDays(from: \"2026-02-01\", to: \"2026-02-28\") { tasks } }
        tasks(first: $rows, filter: {status: [OPEN, IN_PROGRESS, COMPLETED], createdAfter: \"2026-01-01T00:00:00Z\"},
              order: {by: PRIORITY, direction: DESC}) {
            totalCount nodes { title project { name } comments { totalCount nodes { text } } history(last: 3) { nodes { summary } } }
        }
    } } }";
    let cost = async |rows: i32| {
        taken();
        fixture.data(query, json!({"rows": rows})).await;
        taken()
    };
    let (few, many) = (cost(1).await, cost(5).await);
    assert_eq!(few.len(), many.len(), "{many:#?}");
    // Projects and how many; their sums, overdue and days; tasks and how many; of these the projects, comments and how
    // many, and histories.
    assert_eq!(few.len(), 11, "{few:#?}");

    let task = STANDARD.encode(format!("Task:{}", story.of("acme")[0].id));
    let query = "query($id: ID!, $rows: Int) {
        history(id: $id, first: $rows) { totalCount nodes { changes { field } event { summary } } } blame(id: $id) { field } }";
    let cost = async |rows: i32| {
        taken();
        fixture.data(query, json!({"id": task, "rows": rows})).await;
        taken()
    };
    let (few, many) = (cost(1).await, cost(5).await);
    assert_eq!(few.len(), many.len(), "{many:#?}");
    // How many changes, their versions and the one before these, and their events; and the walk back.
    assert_eq!(few.len(), 5, "{few:#?}");
}
