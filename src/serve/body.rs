//! Bodies on their way through a server: the request's, which must keep a pace, and the response's, whose end is
//! looked for.

use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Uri};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::limits::Limits;
use super::link::{InFlight, Link};
use super::refusal::{Asked, Refusal};
use super::stats::Stats;
use super::streams::Handed;
use super::timer::Timer;
use crate::error::BoxError;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::time::after;
use crate::trailers;

/// Largest piece in which a body is given to HTTP/2, so that each piece taken shows progress, in bytes.
const PIECE_BYTES: usize = 16 * 1024;

/// What has become of a request's body, for its answer.
pub(super) struct Reading {
    /// Whose body it is.
    method: Method,
    uri: Uri,
    refusal: OnceLock<Refusal>,
    is_whole: AtomicBool,
}

/// A request's body: breaks off when it comes too slowly while somebody waits for it.
pub(super) struct RequestBody {
    incoming: Incoming,
    pace: Option<Pace>,
    reading: Arc<Reading>,
    stats: Stats,
    is_over: bool,
}

/// Time that a body may still pause: what `Limits::body_grace` gives, used up by waiting and earned back by bytes.
pub(super) struct Pace {
    /// Bytes that earn a second; 0: any byte earns all.
    rate: u32,
    grace: Duration,
    credit: Duration,
    waits_since: Option<Instant>,
    timer: Timer,
}

pin_project_lite::pin_project! {
    /// A response's body on its way to hyper.
    pub(super) struct ResponseBody<B> {
        #[pin]
        inner: Inner<B>,
        flow: Flow,
        // An error, kept back for one turn: hyper drops what it has not sent, even the head, when it meets one.
        broken: Option<BoxError>,
    }
}

pin_project_lite::pin_project! {
    #[project = InnerProj]
    enum Inner<B> {
        Service { #[pin] body: B },
        Text { text: Option<Bytes> },
        // Of a hold that may be taken out of hyper.
        Slot { link: Arc<Link> },
    }
}

/// Where a response's body goes.
pub(super) enum Flow {
    /// To an HTTP/1 connection, which is done with the request when the body is dropped.
    Http1 { _in_flight: InFlight },
    /// To an HTTP/2 stream, in pieces; what is left of a frame.
    Http2 { handed: Arc<Handed>, rest: Bytes },
}

// === impl Reading ===

impl Reading {
    /// Of a request with this head.
    pub(super) fn new(parts: &Parts) -> Arc<Self> {
        Arc::new(Self {
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            refusal: OnceLock::new(),
            is_whole: AtomicBool::new(false),
        })
    }

    /// What was asked for.
    pub(super) fn asked(&self) -> Asked {
        Asked::new(&self.method, &self.uri)
    }

    /// Why it broke off.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.refusal.get().copied()
    }

    /// Whether it was read to its end.
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole.load(Ordering::Relaxed)
    }
}

// === impl RequestBody ===

impl RequestBody {
    pub(super) fn new(incoming: Incoming, pace: Option<Pace>, reading: Arc<Reading>, stats: Stats) -> Self {
        Self {
            incoming,
            pace,
            reading,
            stats,
            is_over: false,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let me = &mut *self;
        if me.is_over {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut me.incoming).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) || me.incoming.is_end_stream() {
            me.reading.is_whole.store(true, Ordering::Relaxed);
        }
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(pace), Some(data)) = (&mut me.pace, frame.data_ref()) {
                    pace.earn(data.len());
                }
                Poll::Ready(Some(Ok(trailers::clean_frame(frame))))
            }
            Poll::Ready(end) => {
                me.is_over = true;
                Poll::Ready(end.map(|result| result.map_err(Into::into)))
            }
            Poll::Pending => {
                let Some(pace) = &mut me.pace else {
                    return Poll::Pending;
                };
                std::task::ready!(pace.poll_used_up(cx));
                me.is_over = true;
                me.stats.count_refusal(Refusal::BodyTooSlow);
                let _ = me.reading.refusal.set(Refusal::BodyTooSlow);
                Poll::Ready(Some(Err(Refusal::BodyTooSlow.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_over {
            SizeHint::with_exact(0)
        } else {
            self.incoming.size_hint()
        }
    }
}

// === impl Pace ===

impl Pace {
    /// The pace that these limits ask for, if any.
    pub(super) fn new(limits: &Limits) -> Option<Self> {
        (limits.body_rate > 0).then(|| Self {
            rate: limits.body_rate,
            grace: limits.body_grace,
            credit: limits.body_grace,
            waits_since: None,
            timer: Timer::default(),
        })
    }

    /// Of a body that may pause for so long, again and again.
    pub(super) fn silence(longest: Duration) -> Self {
        Self {
            rate: 0,
            grace: longest,
            credit: longest,
            waits_since: None,
            timer: Timer::default(),
        }
    }

    fn earn(&mut self, bytes: usize) {
        if self.rate == 0 {
            self.waits_since = None;
            return;
        }
        if let Some(since) = self.waits_since.take() {
            self.credit = self.credit.saturating_sub(since.elapsed());
        }
        let earned = Duration::from_secs_f64(bytes as f64 / f64::from(self.rate));
        self.credit = self.grace.min(self.credit.saturating_add(earned));
    }

    fn poll_used_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.waits_since.get_or_insert_with(Instant::now);
        self.timer.poll(after(since, self.credit), cx)
    }
}

// === impl ResponseBody ===

impl<B> ResponseBody<B> {
    pub(super) fn service(body: B, flow: Flow) -> Self {
        Self {
            inner: Inner::Service { body },
            flow,
            broken: None,
        }
    }

    /// What is in the link's slot.
    pub(super) fn slot(link: Arc<Link>, flow: Flow) -> Self {
        Self {
            inner: Inner::Slot { link },
            flow,
            broken: None,
        }
    }

    /// No content.
    pub(super) fn empty(flow: Flow) -> Self {
        Self {
            inner: Inner::Text { text: None },
            flow,
            broken: None,
        }
    }

    pub(super) fn text(text: String, flow: Flow) -> Self {
        Self {
            inner: Inner::Text {
                text: Some(text.into()),
            },
            flow,
            broken: None,
        }
    }
}

impl<B: Body> Inner<B> {
    fn is_end_stream(&self) -> bool {
        match self {
            Self::Service { body } => body.is_end_stream(),
            Self::Text { text } => text.is_none(),
            Self::Slot { .. } => false,
        }
    }
}

/// The next piece of what is left of a frame, for HTTP/2. `ends`: the frame is known to be the last.
fn next_piece(handed: &Handed, rest: &mut Bytes, ends: bool) -> Bytes {
    let mut piece = rest.split_to(rest.len().min(PIECE_BYTES));
    let is_last = rest.is_empty();
    if !handed.give(piece.len(), ends && is_last) && is_last && piece.len() > 1 {
        // It counts twice: that is rather too much than too little.
        *rest = piece.split_off(piece.len() - 1);
    }
    piece
}

impl<B> Body for ResponseBody<B>
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
        let mut me = self.project();
        if let Some(error) = me.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        if let Flow::Http2 { handed, rest } = me.flow
            && !rest.is_empty()
        {
            let ends = me.inner.is_end_stream();
            return Poll::Ready(Some(Ok(Frame::data(next_piece(handed, rest, ends)))));
        }
        let next = match me.inner.as_mut().project() {
            InnerProj::Service { body } => body
                .poll_frame(cx)
                .map_ok(trailers::clean_frame)
                .map_err(Into::into),
            InnerProj::Slot { link } => link.slot().poll_frame(cx).map_ok(trailers::clean_frame),
            InnerProj::Text { text } => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
        };
        let next = match next {
            Poll::Ready(Some(Err(error))) => {
                *me.broken = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            next => next,
        };
        let Flow::Http2 { handed, rest } = me.flow else {
            return next;
        };
        match next {
            Poll::Pending => {
                handed.wait_for_source();
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(match frame.into_data() {
                Ok(data) => {
                    *rest = data;
                    Frame::data(next_piece(handed, rest, me.inner.is_end_stream()))
                }
                Err(frame) => {
                    handed.give(0, false);
                    frame
                }
            }))),
            Poll::Ready(end) => Poll::Ready(end),
        }
    }

    fn is_end_stream(&self) -> bool {
        let rest_is_empty = match &self.flow {
            Flow::Http1 { .. } => true,
            Flow::Http2 { rest, .. } => rest.is_empty(),
        };
        rest_is_empty && self.broken.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = match &self.inner {
            Inner::Service { body } => body.size_hint(),
            Inner::Slot { .. } => SizeHint::default(),
            Inner::Text { text } => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
        };
        if let Flow::Http2 { rest, .. } = &self.flow {
            let rest = rest.len() as u64;
            if let Some(upper) = hint.upper() {
                hint.set_upper(upper.saturating_add(rest));
            }
            hint.set_lower(hint.lower().saturating_add(rest));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_body;

    #[test]
    fn a_response_body_passes_on_what_it_is_told() {
        check_body(|body| {
            let flow = Flow::Http1 {
                _in_flight: super::super::link::Link::new().in_flight(),
            };
            Box::pin(ResponseBody::service(body, flow))
        });
        check_body(|body| {
            let flow = Flow::Http2 {
                handed: Arc::default(),
                rest: Bytes::new(),
            };
            Box::pin(ResponseBody::service(body, flow))
        });
    }

    #[test]
    fn a_large_frame_goes_to_http2_in_pieces() {
        let whole = Bytes::from(vec![7; 3 * PIECE_BYTES + 1]);
        let body = crate::EdgeBody::from(whole.clone());
        let flow = Flow::Http2 {
            handed: Arc::default(),
            rest: Bytes::new(),
        };
        let mut body = ResponseBody::service(body, flow);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut got = Vec::new();
        while let Poll::Ready(Some(frame)) = Pin::new(&mut body).poll_frame(&mut cx) {
            let data = frame.expect("no error").into_data().expect("data");
            assert!(data.len() <= PIECE_BYTES);
            got.extend_from_slice(&data);
            assert_eq!(body.size_hint().exact(), Some((whole.len() - got.len()) as u64));
            assert_eq!(body.is_end_stream(), got.len() == whole.len());
        }
        assert_eq!(got, whole);
    }

    fn flows() -> [Flow; 2] {
        let http1 = Flow::Http1 {
            _in_flight: super::super::link::Link::new().in_flight(),
        };
        let http2 = Flow::Http2 {
            handed: Arc::default(),
            rest: Bytes::new(),
        };
        [http1, http2]
    }

    #[tokio::test]
    async fn trailers_that_would_make_another_message_go_no_further() {
        for flow in flows() {
            let fields = ["x-sum", "set-cookie", "grip-channel", "content-length"];
            let trailers =
                fields.map(|name| (http::HeaderName::from_static(name), "1".parse().expect("valid")));
            let body = crate::testing::ScriptedBody::new(&[b"abc"], Some(trailers.into_iter().collect()));
            let body = http_body_util::BodyExt::collect(ResponseBody::service(body, flow)).await;
            let trailers = body.expect("no error").trailers().cloned().expect("trailers");
            assert_eq!(trailers.keys().collect::<Vec<_>>(), ["x-sum"]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silence_begins_anew_with_each_byte() {
        let mut pace = Pace::silence(Duration::from_secs(3600));
        let used_up = async |pace: &mut Pace, seconds| {
            let wait = std::future::poll_fn(|cx| pace.poll_used_up(cx));
            tokio::time::timeout(Duration::from_secs(seconds), wait)
                .await
                .is_ok()
        };
        for _ in 0..3 {
            assert!(!used_up(&mut pace, 3599).await);
            pace.earn(1);
        }
        assert!(used_up(&mut pace, 3601).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pace_is_used_up_by_waiting_and_earned_by_bytes() {
        let mut pace = Pace::new(&Limits::default()).expect("limited by default");
        let start = Instant::now();
        let used_up = async |pace: &mut Pace, seconds| {
            let wait = std::future::poll_fn(|cx| pace.poll_used_up(cx));
            tokio::time::timeout(Duration::from_secs(seconds), wait)
                .await
                .is_ok()
        };
        assert!(!used_up(&mut pace, 29).await);
        pace.earn(1_000);
        assert!(!used_up(&mut pace, 10).await, "1 s left and 10 s earned");
        pace.earn(100_000_000);
        assert!(
            !used_up(&mut pace, 29).await,
            "no more than the grace can be earned"
        );
        assert!(used_up(&mut pace, 2).await);
        assert_eq!(start.elapsed().as_secs(), 69);
    }
}
