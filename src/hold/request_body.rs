//! A request body whose length is watched, and whose unread rest is not lost.
//!
//! A held request must have been read to its end: a server does not notice that a client goes away behind bytes
//! that nobody reads. The service below may have left some, or answer while it still reads.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::Notify;

use super::failure::HoldError;
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
pub(super) struct BodyWatch(Arc<Watched>);

struct Watched {
    fate: Mutex<Fate>,
    /// The fate is another one. One waits for it at most.
    changed: Notify,
}

/// What has become of a request's body.
enum Fate {
    /// The service below has it, and may be reading, also after its answer.
    Below,
    /// The service below left it, so many bytes having been read.
    Left(EdgeBody, u64),
    Whole,
    TooLarge,
    Broken,
}

// === impl WatchedBody ===

impl WatchedBody {
    pub(super) fn new(body: EdgeBody) -> (Self, BodyWatch) {
        let watch = BodyWatch(Arc::new(Watched {
            fate: Mutex::new(match body.size_hint().lower() > MOST {
                true => Fate::TooLarge,
                false => Fate::Below,
            }),
            changed: Notify::new(),
        }));
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
                self.read += frame.data_ref().map_or(0, |data| data.len() as u64);
                if self.read > MOST {
                    self.watch.settle(Fate::TooLarge);
                } else if self.body.is_end_stream() {
                    self.watch.settle(Fate::Whole);
                }
            }
            None => self.watch.settle(Fate::Whole),
            Some(Err(_)) => {
                // It is not read further, whatever is behind the break.
                self.body = EdgeBody::empty();
                self.watch.settle(Fate::Broken);
            }
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
        let rest = std::mem::take(&mut self.body);
        self.watch.settle(match rest.is_end_stream() {
            true => Fate::Whole,
            false => Fate::Left(rest, self.read),
        });
    }
}

// === impl BodyWatch ===

impl BodyWatch {
    /// The service below is done with it. What it came to first counts.
    fn settle(&self, fate: Fate) {
        let unused = {
            let mut now = self.0.fate.lock();
            match *now {
                Fate::Below => std::mem::replace(&mut *now, fate),
                _ => fate,
            }
        };
        // Others' code, so not under the lock.
        drop(unused);
        self.0.changed.notify_one();
    }

    /// Waits until it is read to its end, and reads what the service below left.
    pub(super) async fn finish(&self) -> Result<(), HoldError> {
        let (mut body, mut read) = loop {
            {
                let mut fate = self.0.fate.lock();
                match std::mem::replace(&mut *fate, Fate::Broken) {
                    Fate::Below => *fate = Fate::Below,
                    Fate::Left(body, read) => break (body, read),
                    Fate::Whole => return Ok(()),
                    Fate::TooLarge => return Err(HoldError::RequestTooLarge),
                    Fate::Broken => return Err(HoldError::RequestBroken),
                }
            }
            self.0.changed.notified().await;
        };
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| HoldError::RequestBroken)?;
            read += frame.data_ref().map_or(0, |data| data.len() as u64);
            if read > MOST {
                return Err(HoldError::RequestTooLarge);
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
        assert!(matches!(*watch.0.fate.lock(), Fate::Left(_, 3)));
        watch.finish().await.expect("small");
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
