//! Carries a body from the service below into the log that clients read.

use std::collections::VecDeque;
use std::time::Duration;

use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt;
use tokio::time::Instant;

use super::account::detached;
use super::entry::Entry;
use super::flight::{Flight, Landing, Phase};
use super::handle::Cache;
use super::policy::{detach, stored_trailers};
use crate::body::{Chunk, EdgeBody};
use crate::log::{End, Log};
use crate::sync::Arc;
use crate::time::after;

/// What a chunk costs beside its bytes.
const CHUNK_WEIGHT: u64 = 64;
/// Bytes that a body which is not stored may be ahead of its slowest reader, beside the chunk that comes next. None, while
/// the budget is used up.
const AHEAD: u64 = 64 << 10;
/// Longest chunk of such a body: whoever has read so much has got on.
const PIECE: usize = 32 << 10;
/// How long it waits for that reader to get on, and for one that has not looked at the head yet.
const SLOWEST: Duration = Duration::from_secs(30);
/// What that reader must have read in this time if others wait for it.
const LEAST: u64 = 1 << 20;
/// A body that nobody reads any more is read to its end for the store, if no more than this is missing.
const WORTH_FINISHING: u64 = 1 << 20;
/// How long a body may take that nobody reads along, and that is read for the store alone: it may go on for ever.
const UNREAD: Duration = Duration::from_secs(60);
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

/// The last chunks of a body that is not stored: as many as may wait for its slowest reader.
#[derive(Default)]
struct Window {
    sizes: VecDeque<u64>,
    bytes: u64,
}

/// A body on its way.
pub(super) struct Pump<'a> {
    cache: &'a Cache,
    landing: &'a Landing,
    entry: &'a Entry,
    budget: Budget<'a>,
    /// All of it is in the log, for the store and for those who come later. If not, the log is a window.
    keeps: bool,
    window: Window,
    /// From then on it is read only for those who read along.
    until: Instant,
    bytes: u64,
    chunks: u64,
}

// === impl Pump ===

impl<'a> Pump<'a> {
    pub(super) fn new(cache: &'a Cache, landing: &'a Landing, entry: &'a Entry, storable: bool) -> Self {
        Self {
            cache,
            landing,
            entry,
            budget: Budget { cache, taken: 0 },
            keeps: storable,
            window: Window::default(),
            until: after(Instant::now(), UNREAD),
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
                () = deserted(log, &self.landing.flight), if !self.is_wanted_anyway() => {
                    if self.is_abandoned() {
                        return Pumped::NotKept;
                    }
                    continue;
                }
                () = tokio::time::sleep_until(self.until), if self.is_for_the_store() => continue,
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
                        Ok(trailers) => Chunk::Trailers(Arc::new(stored_trailers(trailers))),
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
            if self.landing.pin.is_revoked() {
                self.stop_keeping("slow").await;
            } else if self.bytes > self.cache.config().max_object_bytes {
                self.stop_keeping("too-large").await;
            } else if !self.budget.take(weight(&chunk)) {
                self.stop_keeping("memory").await;
            }
        }
        if self.keeps {
            chunk = self.keep(chunk);
        } else {
            self.wait_for_room().await;
            if let Chunk::Data(data) = &mut chunk {
                while data.len() > PIECE {
                    self.append(Chunk::Data(data.split_to(PIECE)));
                    self.wait_for_room().await;
                }
                *data = detached(std::mem::take(data)).into();
            }
        }
        self.append(chunk);
    }

    fn append(&mut self, chunk: Chunk) {
        let log = &*self.entry.body;
        self.window.add(weight(&chunk));
        log.append(chunk);
        log.wake();
        self.chunks += 1;
    }

    fn keep(&self, chunk: Chunk) -> Chunk {
        match chunk {
            Chunk::Data(data) => Chunk::Data(self.cache.account().keep(data)),
            Chunk::Trailers(mut trailers) => {
                detach(Arc::make_mut(&mut trailers));
                Chunk::Trailers(trailers)
            }
        }
    }

    /// Until the slowest reader has had all but the window.
    async fn wait_for_room(&mut self) {
        let log = &*self.entry.body;
        self.window
            .fit(if self.cache.is_budget_used_up() { 0 } else { AHEAD });
        let ahead = self.window.sizes.len() as u64;
        let mut place = log.slowest();
        while tokio::time::timeout(SLOWEST, std::future::poll_fn(|cx| log.poll_room(ahead, cx)))
            .await
            .is_err()
        {
            let now = log.slowest();
            if !self.reads_well(place, now) {
                // It loses its place.
                log.cut(ahead / 2);
                break;
            }
            place = now;
        }
        // Only now is what was kept before gone.
        self.budget.set(self.window.bytes);
    }

    /// Whether the slowest reader, who was here and is there, may stay: it reads, and nobody waits for it in vain.
    fn reads_well(&self, was: Option<(u64, bool)>, is: Option<(u64, bool)>) -> bool {
        let (Some((was, _)), Some((is, is_waited_for))) = (was, is) else {
            return true;
        };
        let chunks = is.saturating_sub(was);
        let bytes = chunks * (self.bytes / self.chunks.max(1));
        chunks > 0 && (!is_waited_for || bytes >= LEAST)
    }

    /// From here on it passes, for those who read it already.
    async fn stop_keeping(&mut self, why: &'static str) {
        self.keeps = false;
        self.cache
            .remember_unstorable(&self.landing.resource, self.entry, why);
        self.landing.flight.phase.send_if_modified(|phase| match phase {
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
        let _ = tokio::time::timeout(SLOWEST, self.landing.flight.phase.closed()).await;
        self.entry.body.set_window();
        // However long it is: no mark need be kept for what is not stored.
        self.landing.pin.release();
    }

    /// Whether it is read for its own sake, as in the background, and not for too long yet.
    fn is_for_the_store(&self) -> bool {
        self.landing.flight.goes_on() && Instant::now() < self.until
    }

    /// Whether it is read to its end although nobody reads along.
    fn is_wanted_anyway(&self) -> bool {
        self.keeps
            && (self.is_for_the_store()
                || self.entry.length.get().is_some_and(|length| {
                    let missing = length.saturating_sub(self.bytes);
                    missing <= WORTH_FINISHING || missing <= self.bytes
                }))
    }

    /// Whether nobody reads it, and nobody will: then it ends here.
    fn is_abandoned(&self) -> bool {
        let log = &*self.entry.body;
        let Landing { resource, flight, .. } = self.landing;
        if log.is_read() || !resource.abandon(flight, || log.is_read()) {
            return false;
        }
        log.end(End::Failed("nobody reads it".into()));
        true
    }

    /// How long it is, if it said so.
    fn declared(&self) -> Option<u64> {
        let length = self.entry.head.headers.get(CONTENT_LENGTH)?;
        length.to_str().ok()?.parse().ok()
    }
}

/// Nobody reads, and nobody is about to.
async fn deserted(log: &Log<Chunk>, flight: &Flight) {
    flight.phase.closed().await;
    std::future::poll_fn(|cx| log.poll_deserted(cx)).await;
}

fn weight(chunk: &Chunk) -> u64 {
    match chunk {
        Chunk::Data(data) => data.len() as u64 + CHUNK_WEIGHT,
        Chunk::Trailers(_) => CHUNK_WEIGHT,
    }
}

/// The same body in one chunk, if it came in many small ones: those cost more than their bytes.
pub(super) fn put_together(
    cache: &Cache,
    log: &Log<Chunk>,
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
    let mut entries = vec![Chunk::Data(cache.account().keep(whole.freeze()))];
    entries.append(&mut rest);
    Some(Arc::new(Log::finished(entries)))
}

// === impl Window ===

impl Window {
    fn add(&mut self, size: u64) {
        self.sizes.push_back(size);
        self.bytes += size;
        self.fit(AHEAD);
    }

    /// Leaves no more than so many bytes.
    fn fit(&mut self, bytes: u64) {
        while self.bytes > bytes {
            self.bytes -= self.sizes.pop_front().unwrap_or(self.bytes);
        }
    }
}

// === impl Budget ===

impl Budget<'_> {
    fn take(&mut self, bytes: u64) -> bool {
        self.taken += bytes;
        self.cache.take_budget(bytes)
    }

    fn set(&mut self, bytes: u64) {
        let before = std::mem::replace(&mut self.taken, bytes);
        if before < bytes {
            self.cache.take_budget(bytes - before);
        } else {
            self.cache.return_budget(before - bytes);
        }
    }
}

impl Drop for Budget<'_> {
    fn drop(&mut self) {
        self.cache.return_budget(self.taken);
    }
}
