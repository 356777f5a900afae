//! The one request and response body.
//!
//! All layers take any body and answer an [`EdgeBody`]; entering twice adds no box. It forwards frames as they
//! are, `size_hint`, `is_end_stream` and trailers.

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use crate::error::BoxError;
use crate::log::{Cursor, End, Log, Next};
use crate::sync::Arc;

/// A body of an HTTP message: bytes in memory, a cursor over a log, or any other body in a box.
///
/// `Data` is [`Bytes`], `Error` is [`BoxError`]; it is `Send` and `Unpin`.
pub struct EdgeBody(Kind);

enum Kind {
    Empty,
    Full(Bytes),
    Log(LogBody),
    Foreign(Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>),
}

/// An entry of a log that is read as a body.
#[derive(Clone, Debug)]
pub(crate) enum Chunk {
    Data(Bytes),
    Trailers(Arc<HeaderMap>),
}

/// A cursor over a log of chunks.
struct LogBody {
    cursor: Cursor<Chunk>,
    /// Bytes that are still to come, where that is known.
    remaining: Option<u64>,
}

/// In the extensions of a response: its body is a hold. It lasts until somebody ends it, must not be
/// collected, and a server may park its connection.
#[derive(Clone, Copy, Debug)]
pub struct Held;

/// The body broke off; says why.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the body broke off: {0}")]
pub struct BodyBroken(pub(crate) Arc<str>);

// === impl EdgeBody ===

impl EdgeBody {
    /// No body.
    pub const fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// Any body. One of ours is unwrapped, an ended one becomes an empty one, any other goes into one box.
    pub fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let mut slot = Some(body);
        let any: &mut dyn Any = &mut slot;
        if let Some(ours) = any.downcast_mut::<Option<EdgeBody>>() {
            return ours.take().expect("filled two lines above");
        }
        let body = slot.expect("not taken: it is another type");
        if body.is_end_stream() {
            return Self::empty();
        }
        Self(Kind::Foreign(Box::pin(Foreign { body })))
    }

    /// A body read from the beginning of a log. `length`, where it is known, in bytes.
    pub(crate) fn from_log(log: &Arc<Log<Chunk>>, length: Option<u64>) -> Option<Self> {
        Some(Self(Kind::Log(LogBody {
            cursor: log.read()?,
            remaining: length,
        })))
    }
}

impl Default for EdgeBody {
    fn default() -> Self {
        Self::empty()
    }
}

impl fmt::Debug for EdgeBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Kind::Empty => "empty",
            Kind::Full(_) => "full",
            Kind::Log(_) => "log",
            Kind::Foreign(_) => "foreign",
        };
        write!(f, "EdgeBody({kind})")
    }
}

impl<T: Into<Bytes>> From<T> for EdgeBody {
    fn from(bytes: T) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() {
            Self::empty()
        } else {
            Self(Kind::Full(bytes))
        }
    }
}

impl Body for EdgeBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Kind::Empty => Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::Log(log) => match std::task::ready!(log.cursor.poll_next(cx)) {
                Next::Entry(Chunk::Data(bytes)) => {
                    if let Some(remaining) = &mut log.remaining {
                        *remaining = remaining.saturating_sub(bytes.len() as u64);
                    }
                    Poll::Ready(Some(Ok(Frame::data(bytes))))
                }
                Next::Entry(Chunk::Trailers(trailers)) => {
                    Poll::Ready(Some(Ok(Frame::trailers(HeaderMap::clone(&trailers)))))
                }
                Next::End(End::Complete) => {
                    self.0 = Kind::Empty;
                    Poll::Ready(None)
                }
                Next::End(End::Failed(why)) => {
                    self.0 = Kind::Empty;
                    Poll::Ready(Some(Err(BodyBroken(why).into())))
                }
                Next::Lagged => {
                    self.0 = Kind::Empty;
                    Poll::Ready(Some(Err(BodyBroken("read too slowly".into()).into())))
                }
            },
            Kind::Foreign(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Full(_) => false,
            Kind::Log(log) => log.cursor.is_at_complete_end(),
            Kind::Foreign(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Log(log) => log.remaining.map_or_else(SizeHint::default, SizeHint::with_exact),
            Kind::Foreign(body) => body.size_hint(),
        }
    }
}

pin_project_lite::pin_project! {
    /// Another body, its error in a box.
    struct Foreign<B> {
        #[pin]
        body: B,
    }
}

impl<B> Body for Foreign<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.project().body.poll_frame(cx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
