//! A request body whose length is watched, and whose unread rest is not lost.
//!
//! A held request must have been read to its end: a server does not notice that a client goes away behind bytes
//! that nobody reads. The service below may have left some.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

use crate::body::EdgeBody;
use crate::error::BoxError;
use crate::grip::MAX_INSTRUCT_BYTES;
use crate::sync::{Arc, Mutex};

/// Longest request body of a held request, in bytes.
const MOST: u64 = MAX_INSTRUCT_BYTES as u64;

/// What the service below reads.
pub(super) struct WatchedBody {
    body: EdgeBody,
    read: u64,
    watch: BodyWatch,
}

/// What has become of a request's body.
#[derive(Clone)]
pub(super) struct BodyWatch(Arc<Mutex<Watched>>);

struct Watched {
    too_large: bool,
    /// What the service below left.
    rest: Option<(EdgeBody, u64)>,
}

/// The body is longer than a held request's may be.
#[derive(Debug)]
pub(super) struct TooLarge;

// === impl WatchedBody ===

impl WatchedBody {
    pub(super) fn new(body: EdgeBody) -> (Self, BodyWatch) {
        let watch = BodyWatch(Arc::new(Mutex::new(Watched {
            too_large: body.size_hint().lower() > MOST,
            rest: None,
        })));
        let watched = Self {
            body,
            read: 0,
            watch: watch.clone(),
        };
        (watched, watch)
    }
}

impl Body for WatchedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                let before = self.read;
                self.read += frame.data_ref().map_or(0, |data| data.len() as u64);
                if before <= MOST && self.read > MOST {
                    self.watch.0.lock().too_large = true;
                }
            }
            // A broken body is not read further, whatever is behind the break.
            Some(Err(_)) | None => self.body = EdgeBody::empty(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for WatchedBody {
    fn drop(&mut self) {
        if !self.body.is_end_stream() {
            let rest = std::mem::take(&mut self.body);
            self.watch.0.lock().rest = Some((rest, self.read));
        }
    }
}

// === impl BodyWatch ===

impl BodyWatch {
    /// Reads what the service below left.
    pub(super) async fn finish(&self) -> Result<(), TooLarge> {
        let rest = {
            let mut watched = self.0.lock();
            if watched.too_large {
                return Err(TooLarge);
            }
            watched.rest.take()
        };
        let Some((mut body, mut read)) = rest else {
            return Ok(());
        };
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, |data| data.len() as u64);
            if read > MOST {
                return Err(TooLarge);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ScriptedBody, check_body};

    #[test]
    fn forwards_everything() {
        check_body(|body| WatchedBody::new(EdgeBody::new(body)).0);
    }

    #[tokio::test]
    async fn an_unread_rest_is_read() {
        let (mut body, watch) = WatchedBody::new(EdgeBody::new(ScriptedBody::new(&[b"one", b"two"], None)));
        assert!(body.frame().await.is_some());
        drop(body);
        assert!(watch.0.lock().rest.is_some());
        watch.finish().await.expect("small");
        assert!(watch.0.lock().rest.is_none());
    }

    #[tokio::test]
    async fn i32_a_long_body_is_known_before_while_and_after_it_is_read() {
        let long: &'static [u8] = vec![0; MAX_INSTRUCT_BYTES].leak();
        let (_, watch) = WatchedBody::new(EdgeBody::new(ScriptedBody::new(&[long, b"x"], None)));
        assert!(watch.finish().await.is_err());
        let chunked = |chunks: &[&'static [u8]]| {
            let frames: Vec<_> = chunks
                .iter()
                .map(|c| Ok::<_, BoxError>(Frame::data(Bytes::from_static(c))))
                .collect();
            EdgeBody::new(http_body_util::StreamBody::new(tokio_stream::iter(frames)))
        };
        let (body, watch) = WatchedBody::new(chunked(&[long, b"x"]));
        body.collect().await.expect("not broken");
        assert!(watch.finish().await.is_err());
        let (body, watch) = WatchedBody::new(chunked(&[long, b"x"]));
        drop(body);
        assert!(watch.finish().await.is_err());
        let (body, watch) = WatchedBody::new(chunked(&[long]));
        body.collect().await.expect("not broken");
        assert!(watch.finish().await.is_ok());
    }
}
