//! The lines of the log, on their way to stderr. A thread of its own writes them: who logs neither waits nor fails,
//! whatever stderr is: a full disk, a pipe whose reader has gone, one that nobody reads.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Bytes of lines that wait to be written. Beyond it, lines are lost.
const WAITING_BYTES: usize = 1 << 20;
/// What a line takes beside its text, or a little more.
const LINE_BYTES: usize = 64;
/// How long the end of the process waits for the last lines.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where lines go. A handle.
#[derive(Clone)]
pub struct Lines {
    entries: Sender<Entry>,
    counts: Arc<Counts>,
}

/// Sees to it that the last lines are written. For whoever runs to the end.
pub struct LastLines(Lines);

#[derive(Default)]
struct Counts {
    waiting_bytes: AtomicUsize,
    lost: AtomicU64,
}

enum Entry {
    Line(Box<[u8]>),
    /// All before it are written.
    Flush(Sender<()>),
}

// === impl Lines ===

impl Lines {
    /// Starts the thread.
    pub fn to_stderr() -> io::Result<Self> {
        let (entries, received) = channel();
        let counts = Arc::<Counts>::default();
        let thread = std::thread::Builder::new().name("log".to_owned());
        let of_thread = counts.clone();
        thread.spawn(move || write(&received, &of_thread, io::stderr()))?;
        Ok(Self { entries, counts })
    }

    /// How many were not written, since there was no room or stderr failed.
    pub fn lost(&self) -> u64 {
        self.counts.lost.load(Relaxed)
    }

    /// What the standard library says of a panic goes here, too: it would wait for stderr.
    pub fn take_panics(&self) {
        let lines = self.clone();
        std::panic::set_hook(Box::new(move |panic| {
            let mut text = format!("{panic}\n");
            let trace = Backtrace::capture();
            if trace.status() == BacktraceStatus::Captured {
                text.push_str(&format!("{trace}\n"));
            }
            lines.take(text.as_bytes());
        }));
    }

    /// Waits until what is there now is written, but not for ever.
    pub fn flush(&self) {
        let (done, is_done) = channel();
        if self.entries.send(Entry::Flush(done)).is_ok() {
            let _ = is_done.recv_timeout(PATIENCE);
        }
    }

    fn take(&self, line: &[u8]) {
        let bytes = line.len() + LINE_BYTES;
        let before = self.counts.waiting_bytes.fetch_add(bytes, Relaxed);
        if before + bytes <= WAITING_BYTES && self.entries.send(Entry::Line(line.into())).is_ok() {
            return;
        }
        self.counts.waiting_bytes.fetch_sub(bytes, Relaxed);
        self.counts.lost.fetch_add(1, Relaxed);
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

/// A line comes in one piece.
impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.take(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write(entries: &Receiver<Entry>, counts: &Counts, mut stderr: impl Write) {
    for entry in entries {
        match entry {
            Entry::Line(line) => {
                if stderr.write_all(&line).is_err() {
                    counts.lost.fetch_add(1, Relaxed);
                }
                counts.waiting_bytes.fetch_sub(line.len() + LINE_BYTES, Relaxed);
            }
            Entry::Flush(done) => {
                // Nobody may wait any more.
                let _ = done.send(());
            }
        }
    }
}

// === impl LastLines ===

impl LastLines {
    /// They are written when this is dropped.
    pub fn of(lines: &Lines) -> Self {
        Self(lines.clone())
    }
}

impl Drop for LastLines {
    fn drop(&mut self) {
        self.0.flush();
    }
}
