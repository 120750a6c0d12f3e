//! From a file to commands, line by line: plain or gzip, a file or standard input, in bounded memory.
//!
//! Files are read on a thread of their own, which waits whenever the window is full.

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
use flate2::bufread::MultiGzDecoder;
use foldline_command::Item;
use serde::Deserialize;
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
pub(super) struct Source {
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
pub(super) fn open(path: &Path) -> anyhow::Result<Source> {
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
    let (sender, batches) = mpsc::channel(BATCHES_AHEAD_MAX);
    thread::Builder::new()
        .name("import-reader".to_owned())
        .spawn(move || {
            let read = read(counted, &name, &sender);
            if let Err(error) = read {
                // A receiver that is gone has stopped for a reason of its own.
                let _ = sender.blocking_send(Err(error));
            }
        })
        .context("cannot start the thread that reads the file")?;
    Ok(Source {
        batches,
        bytes_read,
        lines_read: 0,
        bytes_total,
    })
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

fn read<'a>(
    mut input: impl Read + 'a,
    name: &str,
    sender: &mpsc::Sender<anyhow::Result<Vec<Line>>>,
) -> anyhow::Result<()> {
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
    let mut batch = Vec::with_capacity(LINES_PER_BATCH);
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
        batch.push(Line {
            number,
            command: command(number, line),
        });
        if batch.len() == LINES_PER_BATCH {
            let full = std::mem::replace(&mut batch, Vec::with_capacity(LINES_PER_BATCH));
            if sender.blocking_send(Ok(full)).is_err() {
                return Ok(());
            }
        }
    }
    // As above: nobody listens any more.
    let _ = sender.blocking_send(Ok(batch));
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

fn command(number: u64, line: Vec<u8>) -> Result<Pending, String> {
    /// The one reference from stream to stream that commands make.
    #[derive(Deserialize)]
    struct Refers {
        #[serde(rename = "projectId")]
        project_id: Uuid,
    }
    if line.len() > LINE_BYTES_MAX {
        return Err(format!("the line is longer than {LINE_BYTES_MAX} bytes"));
    }
    let text = String::from_utf8(line).map_err(|error| error.utf8_error().to_string())?;
    let item: Item = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    Ok(Pending {
        line: number,
        aggregate: item.aggregate,
        // What else is in the data is the service's to judge.
        project: serde_json::from_str(item.data.get())
            .ok()
            .map(|refers: Refers| refers.project_id),
        text,
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

    #[test]
    fn the_project_that_a_task_refers_to_is_seen() {
        let project = Uuid::from_u128(9);
        let text = line(1).replace(
            "\"data\":{}",
            &format!("\"data\":{{\"projectId\":\"{project}\"}}"),
        );
        assert_eq!(
            command(1, text.into_bytes()).unwrap().project,
            Some(project)
        );
    }
}
