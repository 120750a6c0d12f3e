//! Many commands in one request, as if they were sent one after another, and as concurrently as that allows.
//!
//! Items on one stream go in order, and so do items that take one key or change keys. An item that refers to a stream
//! without writing it (a task's project) goes after the earlier items that write that stream and before the later ones.
//! All others go at the same time, so that the log writes them together.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use axum::http::StatusCode;
use foldline_domain::{Command, InvalidCommand};
use foldline_events::{Tenant, tasks::project_stream};
use foldline_gate::{Caller, Problem, parse_object};
use futures_util::{StreamExt, stream::FuturesUnordered};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;

use crate::{
    Accepted, Failure, Handler, Item, Outcome, Request, Verdict, Verdicts,
    tasks::{Keys, keys_of, project_of},
};

/// How many commands one request may bring.
pub const COMMANDS_PER_REQUEST_MAX: usize = 1_000;
/// How many commands of all such requests of a tenant are handled at the same time: a quarter of those that the log's queue has
/// room for, so that however many requests a tenant sends, they do not fill its share there.
pub const COMMANDS_CONCURRENT_MAX: usize = 1_024;

/// What requests of many commands share, each tenant by itself, so that nobody waits behind the commands of another: what a
/// command holds one of while it is handled.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    each: usize,
    of: Arc<Mutex<HashMap<Tenant, Weak<Semaphore>>>>,
}

impl Places {
    /// So many for each tenant.
    pub(crate) fn of_each(each: usize) -> Self {
        Self {
            each,
            of: Arc::default(),
        }
    }

    pub(crate) fn of(&self, tenant: &Tenant) -> Arc<Semaphore> {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        let known = of.get(tenant).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            // Of some tenants nothing is under way any more.
            of.retain(|_, places| places.strong_count() > 0);
            let places = Arc::new(Semaphore::new(self.each));
            of.insert(tenant.clone(), Arc::downgrade(&places));
            places
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Many {
    commands: Vec<Box<RawValue>>,
}

/// A line that was read, or its verdict.
type Read = Result<Request, Box<Verdict>>;

/// Answers a body of many commands: a verdict each, or a problem when none or not all could be handled.
pub(crate) async fn answer(
    handler: &Handler,
    caller: &Caller,
    trace_context: Option<&str>,
    body: &str,
) -> Result<Verdicts, Problem> {
    let items = split(body)?;
    if items.len() > COMMANDS_PER_REQUEST_MAX {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "TOO_MANY_COMMANDS",
            "Too many commands",
        )
        .detail(format!(
            "{} commands in one request, and at most {COMMANDS_PER_REQUEST_MAX} may be",
            items.len()
        )));
    }
    let read: Vec<Read> = items
        .iter()
        .map(|item| request(item.get(), trace_context))
        .collect();
    run(handler, caller, read).await
}

/// An array, or an object that holds one; the items stay text, so that each can be wrong for itself.
fn split(body: &str) -> Result<Vec<Box<RawValue>>, Problem> {
    if body.trim_start().starts_with('[') {
        read_loosely(body)
    } else {
        read_loosely(body).map(|many: Many| many.commands)
    }
}

/// An unread item may hold what the reader of bodies would refuse in it; the item's own verdict says so.
fn read_loosely<T: DeserializeOwned>(body: &str) -> Result<T, Problem> {
    let malformed = |error: serde_json::Error| match error.is_data() {
        true => of_another_shape(&error.to_string()),
        false => Problem::new(
            StatusCode::BAD_REQUEST,
            "JSON_MALFORMED",
            "The body is not JSON",
        )
        .detail(error.to_string()),
    };
    serde_json::from_str(body).map_err(malformed)
}

/// The same of an object: serde takes an array for a struct, field by field.
pub(crate) fn read_object_loosely<T: DeserializeOwned>(body: &str) -> Result<T, Problem> {
    match body.trim_start().starts_with('[') {
        true => Err(of_another_shape("expected an object")),
        false => read_loosely(body),
    }
}

fn of_another_shape(why: &str) -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "BODY_INVALID",
        "A value in the body is not as it must be",
    )
    .detail(why)
    .fault("", why)
}

/// An item that cannot be read: its id, where it has one, and why.
pub(crate) struct Unreadable {
    command_id: Option<Uuid>,
    pub(crate) problem: Problem,
}

fn request(item: &str, trace_context: Option<&str>) -> Read {
    read_item(item, trace_context).map_err(|item| Box::new(rejected(item.command_id, item.problem)))
}

pub(crate) fn read_item(
    item: &str,
    trace_context: Option<&str>,
) -> Result<Request, Box<Unreadable>> {
    let unreadable = |command_id, problem| {
        Box::new(Unreadable {
            command_id,
            problem,
        })
    };
    let item: Item =
        parse_object(item).map_err(|problem| unreadable(command_id_of(item), problem))?;
    let command = Command::parse(&item.command_type, item.data.get())
        .map_err(|error| unreadable(Some(item.id), invalid(&error)))?;
    Ok(Request {
        id: item.id,
        command,
        aggregate: item.aggregate,
        at: item.at,
        expected_version: item.expected_version,
        trace_context: trace_context.map(str::to_owned),
        correlation_id: None,
        causation_id: None,
    })
}

/// The id of an item that is otherwise malformed, so that its sender can find it.
fn command_id_of(item: &str) -> Option<Uuid> {
    #[derive(Deserialize)]
    struct Named {
        id: Uuid,
    }
    serde_json::from_str::<Named>(item)
        .ok()
        .map(|named| named.id)
}

fn invalid(error: &InvalidCommand) -> Problem {
    match error {
        InvalidCommand::UnknownType(_) => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "UNKNOWN_COMMAND_TYPE",
            "There is no such command type",
        )
        .detail(error.to_string())
        .fault("/type", error.to_string()),
        InvalidCommand::Data { pointer, .. } => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "BODY_INVALID",
            "A value in the body is not as it must be",
        )
        .detail(format!("at /data{pointer}: {}", error.problem()))
        .fault(format!("/data{pointer}"), error.problem()),
    }
}

fn rejected(command_id: Option<Uuid>, problem: Problem) -> Verdict {
    Verdict::Rejected {
        command_id,
        problem,
    }
}

async fn run(handler: &Handler, caller: &Caller, read: Vec<Read>) -> Result<Verdicts, Problem> {
    let waits = waits(&read);
    let places = handler.of_many.of(&caller.tenant);
    let (dones, ends): (Vec<_>, Vec<_>) = read.iter().map(|_| watch::channel(())).unzip();
    let mut verdicts: Vec<Option<Verdict>> = read.iter().map(|_| None).collect();
    let mut running: FuturesUnordered<_> = read
        .into_iter()
        .zip(dones)
        .enumerate()
        .map(|(index, (read, done))| {
            let (waits, ends, places) = (&waits[index], &ends, &places);
            async move {
                for earlier in waits {
                    // It never sends: that its sender is gone says that the earlier item has ended.
                    let _ = ends[*earlier].clone().changed().await;
                }
                let permit = places.acquire().await;
                let verdict = match read {
                    Ok(request) => one(handler, caller, request).await,
                    Err(verdict) => Ok(*verdict),
                };
                drop((permit, done));
                verdict.map(|verdict| (index, verdict))
            }
        })
        .collect();
    while let Some(ended) = running.next().await {
        // What one item cannot have, the others cannot have either; those already recorded are known when retried.
        let (index, verdict) = ended?;
        verdicts[index] = Some(verdict);
    }
    Ok(Verdicts::of(verdicts.into_iter().flatten().collect()))
}

/// A problem of ours is an `Err`: it says nothing about the command.
async fn one(handler: &Handler, caller: &Caller, request: Request) -> Result<Verdict, Problem> {
    let command_id = request.id;
    match handler.handle(caller, request).await {
        Ok(
            accepted @ Accepted {
                outcome: Outcome::Known,
                ..
            },
        ) => Ok(Verdict::Known(accepted)),
        Ok(accepted) => Ok(Verdict::Accepted(accepted)),
        Err(failure) => {
            let problem = problem_of(failure);
            match problem.status().is_server_error() {
                true => Err(problem),
                false => Ok(rejected(Some(command_id), problem)),
            }
        }
    }
}

/// Why an item was not done; its pointers start at the item.
pub(crate) fn problem_of(failure: Failure) -> Problem {
    let of_rules = matches!(failure, Failure::Rejected(_));
    let mut problem = failure.into_problem();
    if of_rules {
        for fault in &mut problem.errors {
            fault.pointer.insert_str(0, "/data");
        }
    }
    problem
}

/// For each item the earlier ones that must have ended before it begins.
fn waits(items: &[Read]) -> Vec<Vec<usize>> {
    let mut writers: HashMap<String, usize> = HashMap::new();
    let mut referring: HashMap<String, Vec<usize>> = HashMap::new();
    let mut waits = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let mut earlier = Vec::new();
        if let Ok(request) = item {
            let Touched { refers_to, writes } = touched(request);
            for what in refers_to {
                earlier.extend(writers.get(&what).copied());
                referring.entry(what).or_default().push(index);
            }
            for what in writes {
                earlier.extend(referring.remove(&what).unwrap_or_default());
                earlier.extend(writers.insert(what, index));
            }
        }
        waits.push(earlier);
    }
    waits
}

/// What a command depends on, and what it changes: streams, and the keys of tasks.
struct Touched {
    refers_to: Vec<String>,
    writes: Vec<String>,
}

fn touched(request: &Request) -> Touched {
    // No stream is called so.
    const ALL_KEYS: &str = "keys";
    let mut touched = Touched {
        refers_to: vec![],
        writes: vec![request.command.stream(request.aggregate)],
    };
    match &request.command {
        Command::Project(_) => {}
        Command::Task(command) => {
            touched
                .refers_to
                .extend(project_of(command).map(project_stream));
            match keys_of(command) {
                Keys::Leave => {}
                Keys::Take(key) => {
                    touched.refers_to.push(ALL_KEYS.to_owned());
                    touched.writes.push(format!("key/{key}"));
                }
                Keys::Change => touched.writes.push(ALL_KEYS.to_owned()),
            }
        }
    }
    touched
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(command_type: &str, aggregate: u128, data: &str) -> Read {
        let line = format!(
            r#"{{"id":"{}","type":"{command_type}","aggregate":"{}","data":{data}}}"#,
            Uuid::from_u128(99),
            Uuid::from_u128(aggregate)
        );
        request(&line, None)
    }

    fn task_in(task: u128, project: u128) -> Read {
        let project = Uuid::from_u128(project);
        let data = format!(r#"{{"projectId":"{project}","title":"t","priority":"low"}}"#);
        item("tasks.create_task", task, &data)
    }

    #[test]
    fn items_of_one_stream_go_in_order_and_others_at_once() {
        let items = [
            item("tasks.start_task", 1, "{}"),
            item("tasks.start_task", 2, "{}"),
            item("tasks.complete_task", 1, "{}"),
            item("tasks.complete_task", 1, "{}"),
        ];
        assert_eq!(waits(&items), [vec![], vec![], vec![0], vec![2]]);
    }

    #[test]
    fn a_task_goes_after_its_project_and_before_what_follows_on_the_project() {
        let items = [
            item("tasks.create_project", 1, r#"{"name":"p"}"#),
            task_in(10, 1),
            task_in(11, 1),
            item("tasks.archive_project", 1, "{}"),
            task_in(12, 1),
        ];
        assert_eq!(
            waits(&items),
            [vec![], vec![0], vec![0], vec![1, 2, 0], vec![3]]
        );
    }

    #[test]
    fn who_takes_a_key_goes_after_those_who_took_it_or_may_give_it_back() {
        let keyed = |task, key: &str| {
            let project = Uuid::from_u128(1);
            let data = format!(
                r#"{{"projectId":"{project}","title":"t","priority":"low","key":"{key}"}}"#
            );
            item("tasks.create_task", task, &data)
        };
        let items = [
            keyed(10, "a"),
            keyed(11, "b"),
            keyed(12, "a"),
            item("tasks.set_key", 10, r#"{"key":null}"#),
            keyed(13, "c"),
            task_in(14, 1),
            item("tasks.set_key", 11, r#"{"key":"d"}"#),
        ];
        let waits = waits(&items);
        assert_eq!(waits[..3], [vec![], vec![], vec![0]]);
        assert_eq!(waits[3], [0, 0, 1, 2]);
        assert_eq!(waits[4..], [vec![3], vec![], vec![1, 4, 3]]);
    }

    #[test]
    fn a_malformed_item_holds_nobody_up() {
        let items = [
            item("tasks.start_task", 1, r#"{"oops":1}"#),
            item("tasks.unheard_of", 1, "{}"),
            item("tasks.start_task", 1, "{}"),
        ];
        assert!(
            matches!(items[0].as_ref().map_err(|verdict| &**verdict), Err(Verdict::Rejected { problem, .. })
            if problem.errors[0].pointer == "/data/oops")
        );
        assert!(waits(&items).iter().all(Vec::is_empty));
    }
}
