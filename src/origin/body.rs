//! The two bodies of one exchange with an origin, and what they know of each other.

use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::stats::Stats;
use crate::body::EdgeBody;
use crate::error::{BoxError, OriginError, OriginFailure};
use crate::sync::{Arc, Mutex};
use crate::time::after;
use crate::trailers;

/// How long a client may go on sending its body after the origin has answered completely. Then the connection is
/// closed, or it would wait for the rest for ever.
const LINGER: Duration = Duration::from_secs(5);

/// What the future of the response, the body that goes up and the one that comes down share. Only requests with
/// a body have one.
#[derive(Debug)]
pub(super) struct Exchange(Mutex<State>);

#[derive(Debug)]
struct State {
    upload: UploadState,
    /// Until when the upload may go on; set when the answer is over.
    until: Option<Instant>,
    /// Of the upload, while it waits for the client.
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug)]
enum UploadState {
    /// The client has to send more.
    WaitsForClient,
    /// The origin has to take, or to answer, what it was given at this moment.
    WaitsForOrigin(Instant),
}

/// The body that goes to the origin.
pub(super) struct Upload<B = EdgeBody> {
    body: B,
    exchange: Option<Arc<Exchange>>,
    linger: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

pin_project_lite::pin_project! {
    /// The body that comes from the origin. Its errors are [`OriginError`]s.
    pub(super) struct Download<B> {
        body: B,
        ended: bool,
        between_bytes: Option<Duration>,
        #[pin]
        pause: Option<Sleep>,
        // Whether `pause` runs: something is awaited from the origin.
        pausing: bool,
        link: Link,
    }
}

/// Says to the other side and to the counters how a download ended, also when it is dropped.
struct Link {
    exchange: Option<Arc<Exchange>>,
    stats: Stats,
}

// === impl Exchange ===

impl Exchange {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            upload: UploadState::WaitsForOrigin(Instant::now()),
            until: None,
            waker: None,
        })))
    }

    /// When the origin will have had `patience` for its answer. It is not its turn while the client sends.
    pub(super) fn deadline(&self, patience: Duration) -> Instant {
        match self.0.lock().upload {
            UploadState::WaitsForClient => after(Instant::now(), patience),
            UploadState::WaitsForOrigin(since) => after(since, patience),
        }
    }

    /// The answer is over; the upload may go on for so long.
    fn over(&self, linger: Duration) {
        let waker = {
            let mut state = self.0.lock();
            state.until = Some(Instant::now() + linger);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn given_to_origin(&self) -> Option<Instant> {
        let mut state = self.0.lock();
        state.upload = UploadState::WaitsForOrigin(Instant::now());
        state.until
    }

    fn waits_for_client(&self, waker: &Waker) -> Option<Instant> {
        let mut state = self.0.lock();
        state.upload = UploadState::WaitsForClient;
        if state.until.is_none() && !state.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
        state.until
    }
}

// === impl Upload ===

impl<B> Upload<B> {
    pub(super) fn new(body: B, exchange: Option<Arc<Exchange>>) -> Self {
        Self {
            body,
            exchange,
            linger: None,
            ended: false,
        }
    }
}

impl<B> Body for Upload<B>
where
    B: Body<Data = Bytes, Error = BoxError> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        let frame = Pin::new(&mut this.body)
            .poll_frame(cx)
            .map_ok(trailers::clean_frame);
        let Some(exchange) = &this.exchange else {
            return frame;
        };
        let until = match &frame {
            Poll::Ready(_) => exchange.given_to_origin(),
            Poll::Pending => exchange.waits_for_client(cx.waker()),
        };
        if let Some(until) = until {
            let linger = this
                .linger
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
            if linger.as_mut().poll(cx).is_ready() && !matches!(frame, Poll::Ready(None)) {
                this.ended = true;
                return Poll::Ready(Some(Err(OriginError::new(
                    OriginFailure::RequestBody,
                    "the answer was over before the request",
                )
                .into())));
            }
        }
        match ready!(frame) {
            Some(Ok(frame)) => Poll::Ready(Some(Ok(frame))),
            Some(Err(error)) => {
                this.ended = true;
                let error = OriginError::new(OriginFailure::RequestBody, error.to_string());
                Poll::Ready(Some(Err(error.into())))
            }
            None => {
                this.ended = true;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

// === impl Download ===

impl<B> Download<B> {
    /// `between_bytes`: the longest pause, counted only while somebody waits for a frame.
    pub(super) fn new(
        body: B,
        between_bytes: Option<Duration>,
        exchange: Option<Arc<Exchange>>,
        stats: Stats,
    ) -> Self {
        Self {
            body,
            ended: false,
            between_bytes,
            pause: None,
            pausing: false,
            link: Link { exchange, stats },
        }
    }
}

impl<B> Body for Download<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        if *this.ended {
            return Poll::Ready(None);
        }
        match Pin::new(this.body).poll_frame(cx).map_ok(trailers::clean_frame) {
            Poll::Ready(Some(Ok(frame))) => {
                *this.pausing = false;
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                *this.ended = true;
                this.link.end(LINGER);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                *this.ended = true;
                let detail = error.into().to_string();
                let error = this.link.fail(OriginFailure::BodyIncomplete, detail);
                Poll::Ready(Some(Err(error)))
            }
            Poll::Pending => {
                let Some(limit) = *this.between_bytes else {
                    return Poll::Pending;
                };
                if !*this.pausing {
                    *this.pausing = true;
                    let until = after(Instant::now(), limit);
                    match this.pause.as_mut().as_pin_mut() {
                        Some(pause) => pause.reset(until),
                        None => this.pause.set(Some(tokio::time::sleep_until(until))),
                    }
                }
                if let Some(pause) = this.pause.as_pin_mut() {
                    ready!(pause.poll(cx));
                }
                *this.ended = true;
                let detail = format!("no byte for {limit:?}");
                let error = this.link.fail(OriginFailure::BetweenBytesTimeout, detail);
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

// === impl Link ===

impl Link {
    fn end(&mut self, linger: Duration) {
        if let Some(exchange) = self.exchange.take() {
            exchange.over(linger);
        }
    }

    fn fail(&mut self, kind: OriginFailure, detail: String) -> BoxError {
        self.end(Duration::ZERO);
        self.stats.broken_body(kind);
        OriginError::new(kind, detail).into()
    }
}

impl Drop for Link {
    /// A body that ends without a last poll (its length was known) counts as read to its end: the client may
    /// still linger. One that is dropped early is over for both sides; the connection is lost anyway.
    fn drop(&mut self) {
        self.end(LINGER);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use http_body_util::BodyExt;

    use super::*;
    use crate::testing::{ScriptedBody, check_body};

    /// Never has a frame, never ends.
    struct Silent;

    impl Body for Silent {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            Poll::Pending
        }
    }

    fn failure_of(error: &BoxError) -> Option<OriginFailure> {
        error.downcast_ref::<OriginError>().map(|error| error.failure)
    }

    #[tokio::test]
    async fn both_bodies_forward_everything() {
        check_body(|body| Upload::new(body, None));
        check_body(|body| Upload::new(body, Some(Exchange::new())));
        check_body(|body| {
            Box::pin(Download::new(
                body,
                Some(Duration::from_secs(30)),
                None,
                Stats::new(),
            ))
        });
        check_body(|body| Box::pin(Download::new(body, None, Some(Exchange::new()), Stats::new())));
    }

    #[tokio::test(start_paused = true)]
    async fn org_04_a_pause_between_bytes_is_an_error_after_the_limit() {
        let stats = Stats::new();
        let start = Instant::now();
        let limit = Duration::from_secs(30);
        let mut body = Box::pin(Download::new(Silent, Some(limit), None, stats.clone()));
        let error = body.frame().await.expect("an error").expect_err("an error");
        assert_eq!(failure_of(&error), Some(OriginFailure::BetweenBytesTimeout));
        assert_eq!(Instant::now() - start, limit);
        assert_eq!(stats.failures(OriginFailure::BetweenBytesTimeout), 1);
        assert!(body.is_end_stream());
        assert!(body.frame().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_a_body_may_pause_for_ever() {
        let mut body = Box::pin(Download::new(Silent, None, None, Stats::new()));
        let day = Duration::from_secs(86_400);
        assert!(tokio::time::timeout(day, body.frame()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn the_pause_counts_only_while_somebody_reads() {
        let limit = Duration::from_secs(30);
        let body = ScriptedBody::new(&[b"one", b"two"], None);
        let mut body = Box::pin(Download::new(body, Some(limit), None, Stats::new()));
        for _ in 0..2 {
            assert!(body.frame().await.expect("a frame").is_ok());
            tokio::time::advance(limit * 2).await;
        }
        assert!(body.frame().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_origin_is_not_late_while_the_client_sends() {
        let exchange = Exchange::new();
        let patience = Duration::from_secs(15);
        let start = Instant::now();
        assert_eq!(exchange.deadline(patience), start + patience);
        let mut upload = Upload::new(Silent, Some(exchange.clone()));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut upload).poll_frame(&mut cx).is_pending());
        tokio::time::advance(patience * 2).await;
        assert_eq!(exchange.deadline(patience), Instant::now() + patience);
    }

    #[tokio::test(start_paused = true)]
    async fn an_upload_ends_soon_after_the_answer() {
        let exchange = Exchange::new();
        let mut upload = Upload::new(Silent, Some(exchange.clone()));
        let download = Download::new(Silent, None, Some(exchange), Stats::new());
        let start = Instant::now();
        let reading = tokio::spawn(async move { upload.frame().await });
        tokio::task::yield_now().await;
        drop(download);
        let frame = reading.await.expect("no panic").expect("an error");
        assert_eq!(
            failure_of(&frame.expect_err("an error")),
            Some(OriginFailure::RequestBody)
        );
        assert_eq!(Instant::now() - start, LINGER);
    }
}
