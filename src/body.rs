//! The one request and response body.
//!
//! All layers take any body and answer an [`EdgeBody`]; entering twice adds no box. It forwards frames as they
//! are, `size_hint`, `is_end_stream` and trailers.

#[cfg(feature = "cache")]
mod log;

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

#[cfg(feature = "cache")]
pub use self::log::BodyBroken;
#[cfg(feature = "cache")]
pub(crate) use self::log::Chunk;
use crate::error::BoxError;

/// A body of an HTTP message: bytes in memory, a cursor over a log, or any other body in a box.
///
/// `Data` is [`Bytes`], `Error` is [`BoxError`]; it is `Send` and `Unpin`.
pub struct EdgeBody(Kind);

enum Kind {
    Empty,
    Full(Bytes),
    #[cfg(feature = "cache")]
    Log(log::LogBody),
    Foreign(BoxedBody),
}

pub(crate) type BoxedBody = Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>;

/// In the extensions of a response: its body is a hold. It lasts until somebody ends it, must not be
/// collected, and a server may park its connection.
#[derive(Clone, Copy, Debug)]
pub struct Held;

/// In the extensions of a 304 that a cache answers: the fields of the 200 that it stands for, of which a 304 has only some
/// (RFC 9110 15.4.5). What changes answers on their way to the client can so do the same to both.
#[derive(Clone, Debug)]
pub struct Selected(pub HeaderMap);

// === impl EdgeBody ===

impl EdgeBody {
    /// No body.
    pub const fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// Any body. One of ours is unwrapped, bytes that are there are taken out of a [`Full`], an ended body becomes an
    /// empty one, any other goes into one box.
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
        if let Some(full) = any.downcast_mut::<Option<Full<Bytes>>>() {
            return full.take().map(Self::of_full).unwrap_or_default();
        }
        let body = slot.expect("not taken: it is another type");
        if body.is_end_stream() {
            return Self::empty();
        }
        Self(Kind::Foreign(Box::pin(Foreign { body })))
    }

    /// In as little as a pointer takes: for who keeps it for long.
    #[cfg(feature = "serve")]
    pub(crate) fn into_boxed(self) -> BoxedBody {
        match self.0 {
            Kind::Foreign(body) => body,
            other => Box::pin(Self(other)),
        }
    }

    fn of_full(mut body: Full<Bytes>) -> Self {
        // It is never pending, and its one frame is data.
        let mut cx = Context::from_waker(Waker::noop());
        match Pin::new(&mut body).poll_frame(&mut cx) {
            Poll::Ready(Some(Ok(frame))) => frame.into_data().map(Self::from).unwrap_or_default(),
            _ => Self::empty(),
        }
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
            #[cfg(feature = "cache")]
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
            #[cfg(feature = "cache")]
            Kind::Log(body) => {
                let frame = std::task::ready!(Pin::new(body).poll_frame(cx));
                if !matches!(frame, Some(Ok(_))) {
                    self.0 = Kind::Empty;
                }
                Poll::Ready(frame)
            }
            Kind::Foreign(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Full(_) => false,
            #[cfg(feature = "cache")]
            Kind::Log(body) => body.is_end_stream(),
            Kind::Foreign(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            #[cfg(feature = "cache")]
            Kind::Log(body) => body.size_hint(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_body;

    #[test]
    fn any_body_is_forwarded_whole() {
        check_body(EdgeBody::new);
        // Entering twice adds nothing.
        check_body(|body| EdgeBody::new(EdgeBody::new(body)));
    }
}
