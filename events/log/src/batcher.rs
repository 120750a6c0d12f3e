//! Group commit: appends that come while a batch is being written share the next one, its lock and its flush.
//!
//! A batch behaves as its appends executed one after another, those of a tenant in the order in which they came. The
//! database decides a batch on the state before it, so an append that touches a stream, a command id or a guarded tag of an
//! earlier one waits for a later batch ([`compose`]). Where not all fit into one, tenants take turns ([`waiting`]).

mod check;
mod columns;
mod compose;
mod cost;
mod holder;
mod identity;
mod lone;
mod places;
mod waiting;
mod write;
mod writer;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::{Append, Error, Verdict};

pub(crate) use check::{admit, check_unguarded};
use compose::compose;
use cost::Cost;
pub(crate) use holder::is_kept_waiting;
pub(crate) use identity::Identity;
use places::Place;
pub(crate) use places::{PLACES_MAX, Places};
use waiting::Waiting;
use write::{give_up, is_late, write};
pub(crate) use writer::Writer;

/// A batch does not wait for more appends once the tasks that were ready have brought none this often.
const GATHER_IN_VAIN_MAX: usize = 16;
/// Nor for more than this: those that come later are decided while it is written, and make the next one.
const GATHER_APPENDS_MAX: usize = 128;

/// Separates an event's tags on their way into the database.
pub(crate) const TAG_SEPARATOR: char = '\u{1f}';

/// An append on its way to its verdict.
pub(crate) struct Request {
    append: Box<Append>,
    cost: Cost,
    /// Kept until the answer, also where nobody waits for that any more: the memory is not free before.
    place: Place,
    came: Instant,
    answer: oneshot::Sender<Result<Verdict, Error>>,
}

impl Request {
    pub(crate) fn new(
        append: Append,
        cost: Cost,
        place: Place,
    ) -> (Self, oneshot::Receiver<Result<Verdict, Error>>) {
        let (answer, receiver) = oneshot::channel();
        let request = Self {
            append: Box::new(append),
            cost,
            place,
            came: Instant::now(),
            answer,
        };
        (request, receiver)
    }

    /// Whoever asked may be gone; the answer stands all the same.
    fn answer(self, answer: Result<Verdict, Error>) {
        // Who sends the next append on this answer finds the place free.
        drop((self.append, self.place));
        let _ = self.answer.send(answer);
    }
}

/// Writes batches until every sender is gone and the queue is empty.
pub(crate) async fn run(
    mut writer: Writer,
    mut requests: mpsc::Receiver<Request>,
    moved: watch::Sender<u64>,
) {
    let mut waiting = Waiting::default();
    // Whoever is answered often asks again at once: as many as this time may come next time.
    let mut expected = 0;
    let mut is_away = false;
    loop {
        if waiting.is_empty() {
            match requests.recv().await {
                Some(request) => waiting.push(request),
                None => return,
            }
        }
        gather(&mut requests, &mut waiting, expected).await;
        if is_away {
            give_up(waiting.take_where(is_late), false);
            if waiting.is_empty() {
                continue;
            }
        }
        let batch = compose(&mut waiting);
        expected = batch.len() + waiting.len();
        metrics::histogram!("foldline_log_batch_appends").record(size_as_f64(batch.len()));
        let written = write(&mut writer, batch).await;
        is_away = written.is_away;
        if written.stored {
            moved.send_modify(|count| *count = count.wrapping_add(1));
        }
    }
}

/// Takes what has come, and lets as many as are expected come before the batch goes: without it those that were answered
/// last would just miss it, and half of all callers would wait for the other half, batch after batch. No time is waited:
/// the tasks that are ready run, and again as long as that brings something.
async fn gather(requests: &mut mpsc::Receiver<Request>, waiting: &mut Waiting, expected: usize) {
    let mut in_vain = 0;
    loop {
        let before = waiting.len();
        // Each holds a place until it is answered, so it ends.
        while let Ok(request) = requests.try_recv() {
            waiting.push(request);
        }
        in_vain = if waiting.len() == before {
            in_vain + 1
        } else {
            0
        };
        if waiting.len() >= expected.min(GATHER_APPENDS_MAX) || in_vain >= GATHER_IN_VAIN_MAX {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[expect(clippy::cast_precision_loss, reason = "batches are far below 2^52")]
fn size_as_f64(size: usize) -> f64 {
    size as f64
}
