//! A log that is read as a body.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::{EdgeBody, Kind};
use crate::error::BoxError;
use crate::log::{Cursor, End, Log, Next};
use crate::sync::Arc;

/// An entry of a log that is read as a body.
#[derive(Clone, Debug)]
pub(crate) enum Chunk {
    Data(Bytes),
    Trailers(Arc<HeaderMap>),
}

/// A cursor over a log of chunks.
pub(super) struct LogBody {
    cursor: Cursor<Chunk>,
    /// Bytes that are still to come, where that is known.
    remaining: Option<u64>,
}

/// The body broke off; says why.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the body broke off: {0}")]
pub struct BodyBroken(pub(crate) Arc<str>);

// === impl EdgeBody ===

impl EdgeBody {
    /// A body read from the beginning of a log. `length`, where it is known, in bytes.
    pub(crate) fn from_log(log: &Arc<Log<Chunk>>, length: Option<u64>) -> Option<Self> {
        match log.whole() {
            Some([]) => return Some(Self::empty()),
            // What a full body does costs less.
            Some([Chunk::Data(bytes)]) => return Some(Self::from(bytes.clone())),
            _ => {}
        }
        Some(Self(Kind::Log(LogBody {
            cursor: log.read()?,
            remaining: length,
        })))
    }

    /// Some bytes of a whole body, from the first to the last one, without its trailers. None of them is copied.
    pub(crate) fn part_of(chunks: &[Chunk], first: u64, last: u64) -> Self {
        let mut part = Vec::new();
        let mut at = 0;
        for chunk in chunks {
            let Chunk::Data(bytes) = chunk else { continue };
            let end = at + bytes.len() as u64;
            if first < end && at <= last {
                let from = first.saturating_sub(at) as usize;
                let to = (last + 1).min(end) - at;
                part.push(Chunk::Data(bytes.slice(from..to as usize)));
            }
            at = end;
        }
        let log = Arc::new(Log::finished(part));
        Self::from_log(&log, Some(last - first + 1)).unwrap_or_default()
    }
}

// === impl LogBody ===

/// After an error or the end it is not polled again.
impl Body for LogBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(match ready!(self.cursor.poll_next(cx)) {
            Next::Entry(Chunk::Data(bytes)) => {
                if let Some(remaining) = &mut self.remaining {
                    *remaining = remaining.saturating_sub(bytes.len() as u64);
                }
                Some(Ok(Frame::data(bytes)))
            }
            Next::Entry(Chunk::Trailers(trailers)) => Some(Ok(Frame::trailers(HeaderMap::clone(&trailers)))),
            Next::End(End::Complete) => None,
            Next::End(End::Failed(why)) => Some(Err(BodyBroken(why).into())),
            Next::Lagged => Some(Err(BodyBroken("read too slowly".into()).into())),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.cursor.is_at_complete_end()
    }

    fn size_hint(&self) -> SizeHint {
        self.remaining
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
