//! Carries a body from the service below into the log that clients read.

use std::time::Duration;

use http_body_util::BodyExt;

use super::entry::Entry;
use super::flight::Flight;
use super::handle::Cache;
use crate::body::{Chunk, EdgeBody};
use crate::log::{End, Log};
use crate::sync::Arc;

/// What a chunk costs beside its bytes.
const CHUNK_WEIGHT: u64 = 64;
/// Chunks that a body which is not stored may be ahead of its slowest reader.
const AHEAD: u64 = 64;
/// How long it waits for that reader.
const SLOWEST: Duration = Duration::from_secs(30);
/// A body that nobody reads any more is read to its end for the store, if no more than this is missing.
const WORTH_FINISHING: u64 = 1 << 20;
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

pub(super) async fn pump(
    cache: &Cache,
    flight: &Arc<Flight>,
    entry: &Entry,
    body: EdgeBody,
    storable: bool,
    in_background: bool,
) -> Pumped {
    let log = &entry.body;
    let mut budget = Budget { cache, taken: 0 };
    let mut body = std::pin::pin!(body);
    let mut keeps = true;
    let (mut bytes, mut chunks) = (0, 0);
    while let Some(frame) = body.frame().await {
        let chunk = match frame {
            Err(error) => {
                log.end(End::Failed(error.to_string().as_str().into()));
                return Pumped::NotKept;
            }
            Ok(frame) => match frame.into_data() {
                Ok(data) if data.is_empty() => continue,
                Ok(data) => {
                    bytes += data.len() as u64;
                    Chunk::Data(data)
                }
                Err(frame) => match frame.into_trailers() {
                    Ok(trailers) => Chunk::Trailers(Arc::new(trailers)),
                    Err(_) => continue,
                },
            },
        };
        if keeps {
            let size = match &chunk {
                Chunk::Data(data) => data.len() as u64 + CHUNK_WEIGHT,
                Chunk::Trailers(_) => CHUNK_WEIGHT,
            };
            if !budget.take(size) || bytes > cache.config().max_object_bytes {
                keeps = false;
                log.set_window();
                budget.give_back();
            }
        }
        if !keeps {
            make_room(log).await;
        }
        log.append(chunk);
        log.wake();
        chunks += 1;
        // A flight in the background has no reader, and is read for the store alone.
        let for_the_store = storable && keeps && (in_background || is_worth_finishing(entry, bytes));
        let is_wanted = for_the_store || log.readers() > 0 || flight.phase.receiver_count() > 0;
        if !is_wanted && entry.resource.abandon(flight, || log.readers()) {
            log.end(End::Failed("nobody reads it".into()));
            return Pumped::NotKept;
        }
    }
    if !keeps {
        log.end(End::Complete);
        return Pumped::NotKept;
    }
    let _ = entry.length.set(bytes);
    log.end(End::Complete);
    Pumped::Whole { bytes, chunks }
}

/// Waits for the slowest reader; one that does not read loses its place.
async fn make_room(log: &Log<Chunk>) {
    let room = std::future::poll_fn(|cx| log.poll_room(AHEAD, cx));
    if tokio::time::timeout(SLOWEST, room).await.is_err() {
        log.cut(AHEAD / 2);
    }
}

fn is_worth_finishing(entry: &Entry, had: u64) -> bool {
    entry.length.get().is_some_and(|length| {
        let missing = length.saturating_sub(had);
        missing <= WORTH_FINISHING || missing <= had
    })
}

/// The same body in one chunk, if it came in many small ones: those cost more than their bytes.
pub(super) fn put_together(log: &Arc<Log<Chunk>>, bytes: u64, chunks: u64) -> Option<Arc<Log<Chunk>>> {
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
    let mut entries = vec![Chunk::Data(whole.freeze())];
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
