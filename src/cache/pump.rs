//! Carries a body from the service below into the log that clients read.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt;

use super::entry::Entry;
use super::flight::{Flight, Phase};
use super::handle::Cache;
use super::policy::detach;
use crate::body::{Chunk, EdgeBody};
use crate::log::{End, Log};
use crate::sync::Arc;

/// What a chunk costs beside its bytes.
const CHUNK_WEIGHT: u64 = 64;
/// Chunks that a body which is not stored may be ahead of its slowest reader.
const AHEAD: usize = 64;
/// Bytes that it may be ahead, apart from one chunk.
const AHEAD_BYTES: usize = 128 << 10;
/// Longest chunk of such a body: so much is progress of a reader.
const PIECE: usize = 64 << 10;
/// How long it waits for that reader to take anything, and for one that has not looked at the head yet.
const SLOWEST: Duration = Duration::from_secs(30);
/// A body that nobody reads any more is read to its end for the store, if no more than this is missing.
const WORTH_FINISHING: u64 = 1 << 20;
/// A body that says nothing for so long is no longer one to wait for: who comes later asks anew.
const SILENCE: Duration = Duration::from_secs(15);
/// Stored bodies with smaller chunks on average are put together.
const SMALL_CHUNK: u64 = 1_024;

/// How a body ended.
pub(super) enum Pumped {
    /// All of it is in the log, with this many bytes in so many chunks.
    Whole { bytes: u64, chunks: u64 },
    /// It was too large to keep, or broke off, or nobody wanted it.
    NotKept,
}

/// Bytes taken of the budget, returned when it is dropped.
struct Budget<'a> {
    cache: &'a Cache,
    taken: u64,
}

/// A body on its way.
pub(super) struct Pump<'a> {
    cache: &'a Cache,
    flight: &'a Arc<Flight>,
    entry: &'a Entry,
    budget: Budget<'a>,
    /// All of it is in the log, for the store and for those who come later. If not, the log is a window.
    keeps: bool,
    in_background: bool,
    bytes: u64,
    chunks: u64,
}

// === impl Pump ===

impl<'a> Pump<'a> {
    pub(super) fn new(
        cache: &'a Cache,
        flight: &'a Arc<Flight>,
        entry: &'a Entry,
        storable: bool,
        in_background: bool,
    ) -> Self {
        Self {
            cache,
            flight,
            entry,
            budget: Budget { cache, taken: 0 },
            keeps: storable,
            in_background,
            bytes: 0,
            chunks: 0,
        }
    }

    pub(super) async fn run(mut self, body: EdgeBody) -> Pumped {
        let log = &*self.entry.body;
        let mut body = std::pin::pin!(body);
        if !self.keeps {
            self.make_a_window().await;
        }
        loop {
            let frame = tokio::select! {
                biased;
                frame = body.frame() => frame,
                () = deserted(log, self.flight), if !self.is_wanted_anyway() => {
                    if self.is_abandoned() {
                        return Pumped::NotKept;
                    }
                    continue;
                }
                () = tokio::time::sleep(SILENCE), if self.keeps => {
                    self.stop_keeping("slow").await;
                    continue;
                }
            };
            let Some(frame) = frame else { break };
            let chunk = match frame {
                Err(error) => {
                    log.end(End::Failed(error.to_string().as_str().into()));
                    return Pumped::NotKept;
                }
                Ok(frame) => match frame.into_data() {
                    Ok(data) if data.is_empty() => continue,
                    Ok(data) => Chunk::Data(data),
                    Err(frame) => match frame.into_trailers() {
                        Ok(trailers) => Chunk::Trailers(Arc::new(trailers)),
                        Err(_) => continue,
                    },
                },
            };
            if let Chunk::Data(data) = &chunk {
                self.bytes += data.len() as u64;
            }
            if self.declared().is_some_and(|declared| self.bytes > declared) {
                log.end(End::Failed("it is longer than it said".into()));
                return Pumped::NotKept;
            }
            self.add(chunk).await;
            if !self.is_wanted_anyway() && self.is_abandoned() {
                return Pumped::NotKept;
            }
            // A body that is always ready must not keep everybody else waiting.
            tokio::task::coop::consume_budget().await;
        }
        if self.declared().is_some_and(|declared| self.bytes < declared) {
            log.end(End::Failed("it is shorter than it said".into()));
            return Pumped::NotKept;
        }
        if self.keeps {
            let _ = self.entry.length.set(self.bytes);
        }
        log.end(End::Complete);
        match self.keeps {
            true => Pumped::Whole {
                bytes: self.bytes,
                chunks: self.chunks,
            },
            false => Pumped::NotKept,
        }
    }

    async fn add(&mut self, mut chunk: Chunk) {
        if self.keeps {
            let size = match &chunk {
                Chunk::Data(data) => data.len() as u64 + CHUNK_WEIGHT,
                Chunk::Trailers(_) => CHUNK_WEIGHT,
            };
            if self.bytes > self.cache.config().max_object_bytes {
                self.stop_keeping("too-large").await;
            } else if !self.budget.take(size) {
                self.stop_keeping("memory").await;
            }
        }
        if self.keeps {
            self.append(detached(self.cache, chunk));
            return;
        }
        // What was kept so far still waits for its readers: it counts until they have had it.
        self.room().await;
        self.budget.give_back();
        if let Chunk::Data(data) = &mut chunk {
            while data.len() > PIECE {
                self.append(Chunk::Data(data.split_to(PIECE)));
                self.room().await;
            }
        }
        self.append(chunk);
    }

    fn append(&mut self, chunk: Chunk) {
        self.entry.body.append(chunk);
        self.entry.body.wake();
        self.chunks += 1;
    }

    /// Waits until little waits for the slowest reader.
    async fn room(&self) {
        let log = &*self.entry.body;
        loop {
            let before = log.slowest();
            let room = std::future::poll_fn(|cx| log.poll_room(|waiting| fits(waiting, 1), cx));
            if tokio::time::timeout(SLOWEST, room).await.is_ok() {
                return;
            }
            if log.slowest() == before {
                // Who does not read loses its place.
                return log.cut(|waiting| fits(waiting, 2));
            }
        }
    }

    /// From here on it passes, for those who read it already.
    async fn stop_keeping(&mut self, why: &'static str) {
        self.keeps = false;
        self.flight.phase.send_if_modified(|phase| match phase {
            Phase::Landed(landed) if landed.storable => {
                landed.storable = false;
                landed.why = Some(why);
                true
            }
            _ => false,
        });
        self.make_a_window().await;
    }

    /// Once those who wait for the flight have taken their places at the beginning: nobody joins any more.
    async fn make_a_window(&self) {
        let _ = tokio::time::timeout(SLOWEST, self.flight.phase.closed()).await;
        self.entry.body.set_window();
    }

    /// Whether it is read to its end although nobody reads along: in the background it is read for the store alone.
    fn is_wanted_anyway(&self) -> bool {
        self.keeps
            && (self.in_background
                || self.entry.length.get().is_some_and(|length| {
                    let missing = length.saturating_sub(self.bytes);
                    missing <= WORTH_FINISHING || missing <= self.bytes
                }))
    }

    /// Whether nobody reads it, and nobody will: then it ends here.
    fn is_abandoned(&self) -> bool {
        let log = &*self.entry.body;
        if log.is_read() || !self.entry.resource.abandon(self.flight, || log.is_read()) {
            return false;
        }
        log.end(End::Failed("nobody reads it".into()));
        true
    }

    /// How long it is, if it said so.
    fn declared(&self) -> Option<u64> {
        let length = self.entry.headers.get(CONTENT_LENGTH)?;
        length.to_str().ok()?.parse().ok()
    }
}

/// Nobody reads, and nobody is about to.
async fn deserted(log: &Log<Chunk>, flight: &Flight) {
    flight.phase.closed().await;
    std::future::poll_fn(|cx| log.poll_deserted(cx)).await;
}

/// Whether chunks are no more than a share of what a body may be ahead.
fn fits(waiting: &mut dyn Iterator<Item = &Chunk>, share: usize) -> bool {
    let mut bytes = 0;
    waiting.enumerate().all(|(index, chunk)| {
        if let Chunk::Data(data) = chunk {
            bytes += data.len();
        }
        index < AHEAD / share && bytes <= AHEAD_BYTES / share
    })
}

/// The same chunk with memory of its own: as it came it may keep a buffer that is many times larger.
fn detached(cache: &Cache, chunk: Chunk) -> Chunk {
    match chunk {
        Chunk::Data(data) => Chunk::Data(cache.hold(match data.try_into_mut() {
            Ok(data) if data.capacity() - data.len() <= data.len() / 8 => data.freeze(),
            Ok(data) => Bytes::copy_from_slice(&data),
            Err(shared) => Bytes::copy_from_slice(&shared),
        })),
        Chunk::Trailers(mut trailers) => {
            detach(Arc::make_mut(&mut trailers));
            Chunk::Trailers(trailers)
        }
    }
}

/// The same body in one chunk, if it came in many small ones: those cost more than their bytes.
pub(super) fn put_together(
    cache: &Cache,
    log: &Arc<Log<Chunk>>,
    bytes: u64,
    chunks: u64,
) -> Option<Arc<Log<Chunk>>> {
    if chunks <= 1 || bytes / chunks >= SMALL_CHUNK {
        return None;
    }
    let mut whole = bytes::BytesMut::with_capacity(bytes as usize);
    let mut rest = Vec::new();
    log.with_entries(|entries| {
        for chunk in entries {
            match chunk {
                Chunk::Data(data) => whole.extend_from_slice(data),
                Chunk::Trailers(_) => rest.push(chunk.clone()),
            }
        }
    });
    let mut entries = vec![Chunk::Data(cache.hold(whole.freeze()))];
    entries.append(&mut rest);
    Some(Arc::new(Log::finished(entries)))
}

// === impl Budget ===

impl Budget<'_> {
    fn take(&mut self, bytes: u64) -> bool {
        self.taken += bytes;
        self.cache.take_budget(bytes)
    }

    fn give_back(&mut self) {
        self.cache.return_budget(std::mem::take(&mut self.taken));
    }
}

impl Drop for Budget<'_> {
    fn drop(&mut self) {
        self.give_back();
    }
}
