//! Help for tests: an origin that does what a script says, a reader of bodies that have no end, a checker that every
//! body wrapper has to pass. The page [Testing](crate::guide::testing) shows how a stack is tested.

mod origin;
mod reply;

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use crate::error::BoxError;

pub use self::origin::{Call, ScriptedOrigin};
pub use self::reply::{Gate, Reply, Step};

/// A body that plays given frames, pending once before each.
///
/// ```
/// use gripstack::EdgeBody;
/// use gripstack::testing::check_body;
///
/// check_body(|body| EdgeBody::new(body));
/// ```
#[derive(Debug)]
pub struct ScriptedBody {
    frames: std::collections::VecDeque<Frame<Bytes>>,
    ready: bool,
}

impl ScriptedBody {
    /// Plays these chunks, then these trailers, if any.
    pub fn new(chunks: &[&'static [u8]], trailers: Option<HeaderMap>) -> Self {
        let data = chunks.iter().map(|chunk| Frame::data(Bytes::from_static(chunk)));
        Self {
            frames: data.chain(trailers.map(Frame::trailers)).collect(),
            ready: false,
        }
    }

    fn length(&self) -> u64 {
        self.frames
            .iter()
            .filter_map(|frame| frame.data_ref())
            .map(|data| data.len() as u64)
            .sum()
    }
}

impl Body for ScriptedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.ready = !self.ready;
        if self.ready && !self.frames.is_empty() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.frames.pop_front().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length())
    }
}

/// Reads what a body has by now, and waits for nothing: a held stream has no end, and what was published is there as
/// soon as the publish has resolved. Whether it has ended says [`Body::is_end_stream`].
///
/// # Errors
///
/// That of the body, or if what it had is not UTF-8: with that what was read is lost.
pub fn read_now<B>(body: &mut B) -> Result<String, BoxError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let mut cx = Context::from_waker(Waker::noop());
    let mut read = Vec::new();
    while let Poll::Ready(Some(frame)) = Pin::new(&mut *body).poll_frame(&mut cx) {
        if let Ok(data) = frame.map_err(Into::into)?.into_data() {
            read.extend_from_slice(&data);
        }
    }
    Ok(String::from_utf8(read)?)
}

/// Checks that a wrapper forwards everything a body says: data, trailers, length and end. `wrap` makes the body
/// under test of a scripted one.
///
/// # Panics
/// If it does not.
pub fn check_body<B>(wrap: impl Fn(ScriptedBody) -> B)
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().expect("a valid value"));
    for trailers in [None, Some(trailers)] {
        let scripts: [&[&[u8]]; 3] = [&[], &[b"one"], &[b"one", b"two", b"three"]];
        for chunks in scripts {
            check_one(&wrap, chunks, trailers.as_ref());
        }
    }
}

fn check_one<B>(wrap: &impl Fn(ScriptedBody) -> B, chunks: &[&'static [u8]], trailers: Option<&HeaderMap>)
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let mut body = wrap(ScriptedBody::new(chunks, trailers.cloned()));
    let mut left: u64 = chunks.iter().map(|chunk| chunk.len() as u64).sum();
    let mut cx = Context::from_waker(Waker::noop());
    let mut got = Vec::new();
    let mut got_trailers = None;
    loop {
        assert_eq!(
            body.size_hint().exact(),
            Some(left),
            "the exact length must be forwarded"
        );
        if left > 0 || (trailers.is_some() && got_trailers.is_none()) {
            assert!(!body.is_end_stream(), "is_end_stream while frames are pending");
        }
        match Pin::new(&mut body).poll_frame(&mut cx) {
            Poll::Pending => continue,
            Poll::Ready(None) => break,
            Poll::Ready(Some(Err(error))) => panic!("unexpected error: {}", error.into()),
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => {
                    left -= data.len() as u64;
                    got.push(data);
                }
                Err(frame) => got_trailers = frame.into_trailers().ok(),
            },
        }
    }
    assert_eq!(got.concat(), chunks.concat(), "the data must be forwarded");
    assert_eq!(got_trailers.as_ref(), trailers, "the trailers must be forwarded");
    assert!(body.is_end_stream(), "is_end_stream after the end");
    assert!(
        matches!(Pin::new(&mut body).poll_frame(&mut cx), Poll::Ready(None)),
        "after None comes None again"
    );
}
