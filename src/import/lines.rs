//! From a file to commands, line by line: plain or gzip, a file or standard input, in bounded memory. Lines that are
//! made up on the way come through here too.
//!
//! Lines are read on a thread of their own, which waits whenever the window is full. What is looked at in a command is
//! what its order depends on: its stream, the project that it names, and the key.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Cursor, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use flate2::bufread::MultiGzDecoder;
use foldline_command::Item;
use foldline_events::Version;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::window::Pending;

/// The longest line that is read, in bytes; a request may have eight times as many.
pub(super) const LINE_BYTES_MAX: usize = 1024 * 1024;
/// How many lines are handed over together.
const LINES_PER_BATCH: usize = 500;
/// How many batches the reader is ahead.
const BATCHES_AHEAD_MAX: usize = 4;
/// RFC 1952, 2.3.1.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const BUFFER_BYTES: usize = 64 * 1024;

/// One line of the file that is not blank.
#[derive(Debug)]
pub(super) struct Line {
    /// From 1.
    pub(super) number: u64,
    /// Or why it is none.
    pub(super) command: Result<Pending, String>,
}

/// What comes of the file.
pub(crate) struct Source {
    batches: mpsc::Receiver<anyhow::Result<Vec<Line>>>,
    bytes_read: Arc<AtomicU64>,
    /// How many lines were handed over.
    pub(super) lines_read: u64,
    /// Unknown of a pipe.
    pub(super) bytes_total: Option<u64>,
}

impl Source {
    /// The next lines; `None` at the end.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Vec<Line>>> {
        let lines = self.batches.recv().await.transpose()?;
        self.lines_read += lines.as_ref().map_or(0, |lines| lines.len() as u64);
        Ok(lines)
    }

    /// How much of the file, as it lies on disk, has been read.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }
}

/// Begins to read the file; `-` is standard input.
pub(crate) fn open(path: &Path) -> anyhow::Result<Source> {
    let name = path.display().to_string();
    let (input, bytes_total): (Box<dyn Read + Send>, _) = if name == "-" {
        (Box::new(io::stdin()), None)
    } else {
        let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
        let about = file
            .metadata()
            .with_context(|| format!("cannot open {name}"))?;
        if about.is_dir() {
            bail!("{name} is a folder; name a file with one command a line");
        }
        (Box::new(file), about.is_file().then_some(about.len()))
    };
    let bytes_read = Arc::new(AtomicU64::new(0));
    let counted = Counted {
        input,
        bytes: Arc::clone(&bytes_read),
    };
    let batches = on_a_thread(move |sender| read(counted, &name, sender))?;
    Ok(Source {
        batches,
        bytes_read,
        lines_read: 0,
        bytes_total,
    })
}

/// Lines that are made as they are wanted.
pub(crate) fn made(lines: impl Iterator<Item = String> + Send + 'static) -> anyhow::Result<Source> {
    let batches = on_a_thread(move |sender| {
        let mut batch = Batch::new(sender);
        for (line, number) in lines.zip(1..) {
            let line = Line {
                number,
                command: command(number, line.into_bytes()),
            };
            if !batch.push(line) {
                return Ok(());
            }
        }
        batch.send();
        Ok(())
    })?;
    Ok(Source {
        batches,
        bytes_read: Arc::new(AtomicU64::new(0)),
        lines_read: 0,
        bytes_total: None,
    })
}

type Batches = mpsc::Receiver<anyhow::Result<Vec<Line>>>;
type Sender = mpsc::Sender<anyhow::Result<Vec<Line>>>;

fn on_a_thread(
    read: impl FnOnce(&Sender) -> anyhow::Result<()> + Send + 'static,
) -> anyhow::Result<Batches> {
    let (sender, batches) = mpsc::channel(BATCHES_AHEAD_MAX);
    thread::Builder::new()
        .name("import-reader".to_owned())
        .spawn(move || {
            if let Err(error) = read(&sender) {
                // A receiver that is gone has stopped for a reason of its own.
                let _ = sender.blocking_send(Err(error));
            }
        })
        .context("cannot start the thread that reads lines")?;
    Ok(batches)
}

/// Lines that are handed over together.
struct Batch<'a> {
    sender: &'a Sender,
    lines: Vec<Line>,
}

impl<'a> Batch<'a> {
    fn new(sender: &'a Sender) -> Self {
        Self {
            sender,
            lines: Vec::with_capacity(LINES_PER_BATCH),
        }
    }

    /// Whether anybody still listens.
    fn push(&mut self, line: Line) -> bool {
        self.lines.push(line);
        self.lines.len() < LINES_PER_BATCH || self.send()
    }

    fn send(&mut self) -> bool {
        let full = std::mem::replace(&mut self.lines, Vec::with_capacity(LINES_PER_BATCH));
        self.sender.blocking_send(Ok(full)).is_ok()
    }
}

struct Counted<R> {
    input: R,
    bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(into)?;
        self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

fn read<'a>(mut input: impl Read + 'a, name: &str, sender: &Sender) -> anyhow::Result<()> {
    let mut magic = Vec::with_capacity(GZIP_MAGIC.len());
    input
        .by_ref()
        .take(GZIP_MAGIC.len() as u64)
        .read_to_end(&mut magic)
        .with_context(|| format!("cannot read {name}"))?;
    let is_gzip = magic == GZIP_MAGIC;
    let whole = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(magic).chain(input));
    let text: Box<dyn BufRead + 'a> = if is_gzip {
        let inside = MultiGzDecoder::new(whole);
        Box::new(BufReader::with_capacity(BUFFER_BYTES, inside))
    } else {
        Box::new(whole)
    };
    let mut lines = Lines { text, number: 0 };
    let mut batch = Batch::new(sender);
    let mut is_first = true;
    loop {
        let line = lines.next().with_context(|| {
            let after = lines.number;
            format!("cannot read {name} beyond line {after}; lines before it may have been imported, and running it again repeats none")
        })?;
        let Some((number, line)) = line else { break };
        if is_first && !line.starts_with(b"{") {
            bail!(
                "{name} is neither NDJSON nor gzip of it: line {number} does not begin with a {{"
            );
        }
        is_first = false;
        let line = Line {
            number,
            command: command(number, line),
        };
        if !batch.push(line) {
            return Ok(());
        }
    }
    batch.send();
    Ok(())
}

struct Lines<'a> {
    text: Box<dyn BufRead + 'a>,
    /// Of the last line that was read.
    number: u64,
}

impl Lines<'_> {
    /// The next line that is not blank, without white space around it. One that is too long comes cut, but still
    /// longer than [`LINE_BYTES_MAX`].
    fn next(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
        loop {
            let mut line = Vec::new();
            let limit = LINE_BYTES_MAX as u64 + 1;
            let read = self
                .text
                .by_ref()
                .take(limit)
                .read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            if line.len() > LINE_BYTES_MAX {
                if line.last() != Some(&b'\n') {
                    self.text.skip_until(b'\n')?;
                }
                return Ok(Some((self.number, line)));
            }
            let marked = self.number == 1;
            let text = line
                .strip_prefix(BYTE_ORDER_MARK)
                .filter(|_| marked)
                .unwrap_or(&line)
                .trim_ascii();
            if !text.is_empty() {
                return Ok(Some((self.number, text.to_vec())));
            }
        }
    }
}

/// A command as a line has it: what the service takes, and perhaps what it must answer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    id: Uuid,
    #[serde(rename = "type")]
    command_type: String,
    aggregate: Uuid,
    at: Option<DateTime<Utc>>,
    expected_version: Option<Version>,
    data: Box<RawValue>,
    /// The code with which it must be rejected.
    expect: Option<String>,
}

/// What a command's data says of other streams.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Refers {
    /// Where a task is created or moved to.
    project_id: Option<Uuid>,
    /// The inner one is null where a task gives its key back.
    #[serde(default, deserialize_with = "present")]
    key: Option<Option<String>>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

fn command(number: u64, line: Vec<u8>) -> Result<Pending, String> {
    if line.len() > LINE_BYTES_MAX {
        return Err(format!("the line is longer than {LINE_BYTES_MAX} bytes"));
    }
    let text = String::from_utf8(line).map_err(|error| error.utf8_error().to_string())?;
    let written: Written = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    // What else is in the data is the service's to judge.
    let refers: Refers = serde_json::from_str(written.data.get()).unwrap_or_default();
    let (aggregate, at) = (written.aggregate, written.at);
    let (text, expect) = match written.expect {
        None => (text, None),
        Some(code) => {
            let item = Item {
                id: written.id,
                command_type: written.command_type,
                aggregate,
                at,
                expected_version: written.expected_version,
                data: written.data,
            };
            let text = serde_json::to_string(&item).map_err(|error| error.to_string())?;
            (text, Some(code))
        }
    };
    Ok(Pending {
        line: number,
        text,
        aggregate,
        at,
        project: refers.project_id,
        sets_key: refers.key.is_some(),
        keys: refers.key.flatten().into_iter().collect(),
        expect,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn line(aggregate: u128) -> String {
        format!(
            r#"{{"id":"{}","type":"tasks.start_task","aggregate":"{}","data":{{}}}}"#,
            Uuid::nil(),
            Uuid::from_u128(aggregate)
        )
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn lines_of(bytes: &[u8]) -> anyhow::Result<Vec<Line>> {
        let (sender, mut batches) = mpsc::channel(1_000);
        let ended = read(bytes, "a file", &sender);
        drop(sender);
        let mut lines = Vec::new();
        while let Some(batch) = batches.blocking_recv() {
            lines.extend(batch?);
        }
        ended.map(|()| lines)
    }

    #[test]
    fn a_file_may_be_plain_or_gzip_of_several_members() {
        let (first, second) = (line(1) + "\n\n", line(2));
        let plain = lines_of(format!("{first}{second}").as_bytes()).unwrap();
        let packed = lines_of(&[gzip(&first), gzip(&second)].concat()).unwrap();
        for lines in [plain, packed] {
            let numbers: Vec<u64> = lines.iter().map(|line| line.number).collect();
            assert_eq!(numbers, [1, 3]);
            assert!(lines.iter().all(|line| line.command.is_ok()));
        }
    }

    #[test]
    fn a_malformed_line_is_told_and_the_next_is_read() {
        let long = "x".repeat(LINE_BYTES_MAX + 10);
        let text = format!(
            "{}\n{{\"id\":7}}\nnonsense\n{long}\n\u{0}\n{}",
            line(1),
            line(2)
        );
        let lines = lines_of(text.as_bytes()).unwrap();
        let fine: Vec<bool> = lines.iter().map(|line| line.command.is_ok()).collect();
        assert_eq!(fine, [true, false, false, false, false, true]);
        assert_eq!(lines.last().unwrap().number, 6);
    }

    #[test]
    fn another_kind_of_file_is_refused_and_a_cut_one_says_where() {
        let error = lines_of(b"PK\x03\x04").unwrap_err().to_string();
        assert!(error.contains("neither NDJSON nor gzip"), "{error}");
        let whole = gzip(&(0..3_000).map(|n| line(n) + "\n").collect::<String>());
        let error = lines_of(&whole[..whole.len() / 2]).unwrap_err().to_string();
        assert!(error.contains("beyond line"), "{error}");
    }

    fn with_data(data: &str) -> Pending {
        let text = line(1).replace("\"data\":{}", &format!("\"data\":{{{data}}}"));
        command(1, text.into_bytes()).unwrap()
    }

    #[test]
    fn the_project_that_a_task_refers_to_is_seen() {
        let project = Uuid::from_u128(9);
        let seen = with_data(&format!("\"projectId\":\"{project}\""));
        assert_eq!(seen.project, Some(project));
    }

    #[test]
    fn the_key_that_a_task_takes_or_gives_back_is_seen() {
        let seen = with_data("\"key\":\"API-1\"");
        assert_eq!((seen.sets_key, seen.keys), (true, vec!["API-1".to_owned()]));
        let seen = with_data("\"key\":null");
        assert_eq!((seen.sets_key, seen.keys), (true, vec![]));
        assert!(!with_data("").sets_key);
    }

    #[test]
    fn what_a_line_expects_is_taken_out_of_what_is_sent() {
        let plain = line(1).replacen('{', "{\"at\":\"2025-01-02T03:04:05Z\",", 1);
        let expecting = plain.replacen('{', "{\"expect\":\"TASK_BLOCKED\",", 1);
        let seen = command(1, expecting.into_bytes()).unwrap();
        assert_eq!(seen.expect.as_deref(), Some("TASK_BLOCKED"));
        let (sent, meant): (Item, Item) = (
            serde_json::from_str(&seen.text).unwrap(),
            serde_json::from_str(&plain).unwrap(),
        );
        assert_eq!(
            (sent.id, sent.at, sent.data.get()),
            (meant.id, meant.at, meant.data.get())
        );
    }
}
