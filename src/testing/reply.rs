//! What a scripted origin answers.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderName, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::watch;

use super::origin::Open;
use crate::body::EdgeBody;
use crate::error::BoxError;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Something in a script waits here until the test opens it. Clones are the same gate.
///
/// ```
/// use gripstack::testing::{Gate, Reply, ScriptedOrigin, Step};
///
/// let gate = Gate::new();
/// let held = gate.clone();
/// // Half of the body comes at once, the other half when the test says so.
/// let origin: ScriptedOrigin = ScriptedOrigin::new(move |_| {
///     Reply::stream([Step::data("half"), Step::Wait(held.clone()), Step::data("half")])
/// });
/// // A request is sent, its body read; then:
/// gate.open();
/// # drop(origin);
/// ```
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<bool>>);

/// What a [`ScriptedOrigin`](super::ScriptedOrigin) answers to one request: an answer, or something worse.
///
/// ```
/// use std::time::Duration;
/// use gripstack::testing::{Reply, Step};
///
/// // 200, after a second, with a body that breaks off.
/// let slow: Reply = Reply::stream([Step::data("half"), Step::Break("the link is down")])
///     .cc("max-age=60")
///     .after(Duration::from_secs(1));
/// let none: Reply = Reply::status(404);
/// let never: Reply = Reply::hang();
/// # drop((slow, none, never));
/// ```
pub struct Reply<E = std::convert::Infallible> {
    delay: Duration,
    gate: Option<Gate>,
    outcome: Outcome<E>,
}

enum Outcome<E> {
    Answer(Answer),
    Later(Boxed<Result<Response<EdgeBody>, E>>),
    Fail(E),
    Hang,
    Panic,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    extensions: Extensions,
    steps: VecDeque<Step>,
    sized: bool,
}

/// A step of a body.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Step {
    /// These bytes.
    Data(Bytes),
    /// These trailers.
    Trailers(HeaderMap),
    /// Nothing for so long.
    Pause(Duration),
    /// Nothing until this is open.
    Wait(Gate),
    /// The body breaks off with this error.
    Break(&'static str),
    /// These bytes for ever, always ready.
    Forever(Bytes),
    /// Nothing more, and no end.
    Hang,
}

/// The body of an answer made of steps.
struct Steps {
    steps: VecDeque<Step>,
    left: Option<u64>,
    pause: Option<Boxed<()>>,
    _open: Open,
}

/// Another body, counted.
struct Counted {
    body: EdgeBody,
    _open: Open,
}

// === impl Gate ===

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// A closed one.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Lets pass whoever waits and whoever comes.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Resolves when it is open.
    pub async fn passed(&self) {
        let mut receiver = self.0.subscribe();
        // Its sender is here.
        let _ = receiver.wait_for(|open| *open).await;
    }
}

// === impl Reply ===

impl<E> Reply<E> {
    /// 200 with this body, whose length is known.
    pub fn ok(body: impl Into<Bytes>) -> Self {
        Self::stream([Step::Data(body.into())]).sized()
    }

    /// 200 with a body of unknown length.
    pub fn stream(steps: impl IntoIterator<Item = Step>) -> Self {
        let answer = Answer {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            extensions: Extensions::new(),
            steps: steps.into_iter().collect(),
            sized: false,
        };
        Self::of(Outcome::Answer(answer))
    }

    /// This status and no body.
    ///
    /// # Panics
    /// If it is none.
    pub fn status(code: u16) -> Self {
        Self::ok("").code(code)
    }

    /// 304.
    pub fn not_modified() -> Self {
        Self::status(304)
    }

    /// Whatever this resolves to.
    pub fn later(answer: impl Future<Output = Result<Response<EdgeBody>, E>> + Send + 'static) -> Self {
        Self::of(Outcome::Later(Box::pin(answer)))
    }

    /// The service fails.
    pub fn fail(error: E) -> Self {
        Self::of(Outcome::Fail(error))
    }

    /// No answer, ever.
    pub fn hang() -> Self {
        Self::of(Outcome::Hang)
    }

    /// The service panics.
    pub fn panic() -> Self {
        Self::of(Outcome::Panic)
    }

    fn of(outcome: Outcome<E>) -> Self {
        Self {
            delay: Duration::ZERO,
            gate: None,
            outcome,
        }
    }

    /// The head comes after so long.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The head comes when this is open.
    #[must_use]
    pub fn gated(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    fn answer(&mut self) -> &mut Answer {
        match &mut self.outcome {
            Outcome::Answer(answer) => answer,
            _ => panic!("there is no answer in this reply"),
        }
    }

    /// With this status.
    ///
    /// # Panics
    /// If it is none, or if this is no answer.
    #[must_use]
    pub fn code(mut self, code: u16) -> Self {
        self.answer().status = StatusCode::from_u16(code).expect("a status");
        self
    }

    /// With one more field.
    ///
    /// # Panics
    /// If it is malformed, or if this is no answer.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().expect("a name");
        let value = value.parse().expect("a value");
        self.answer().headers.append(name, value);
        self
    }

    /// With these fields, in place of those of the same names: instructions, say.
    ///
    /// # Panics
    /// If this is no answer.
    #[must_use]
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        self.answer().headers.extend(headers);
        self
    }

    /// With this `Cache-Control`.
    ///
    /// # Panics
    /// If it is malformed, or if this is no answer.
    #[must_use]
    pub fn cc(self, value: &str) -> Self {
        self.header("cache-control", value)
    }

    /// With this in the answer's extensions.
    ///
    /// # Panics
    /// If this is no answer.
    #[must_use]
    pub fn extension<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.answer().extensions.insert(value);
        self
    }

    /// Goes on with these steps; its length is not known beforehand.
    ///
    /// # Panics
    /// If this is no answer.
    #[must_use]
    pub fn then(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        let answer = self.answer();
        answer.sized = false;
        answer.steps.extend(steps);
        self
    }

    /// The body's length is known beforehand: that of all its data.
    ///
    /// # Panics
    /// If this is no answer.
    #[must_use]
    pub fn sized(mut self) -> Self {
        self.answer().sized = true;
        self
    }

    pub(super) async fn play(self, open: Open) -> Result<Response<EdgeBody>, E> {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        if let Some(gate) = self.gate {
            gate.passed().await;
        }
        match self.outcome {
            Outcome::Answer(answer) => Ok(answer.into_response(open)),
            Outcome::Later(answer) => {
                let counted = |body| EdgeBody::new(Counted { body, _open: open });
                answer.await.map(|response| response.map(counted))
            }
            Outcome::Fail(error) => Err(error),
            Outcome::Hang => std::future::pending().await,
            Outcome::Panic => panic!("the origin panics, as its script says"),
        }
    }
}

impl<E> fmt::Debug for Reply<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match &self.outcome {
            Outcome::Answer(answer) => answer.status.as_str(),
            Outcome::Later(_) => "later",
            Outcome::Fail(_) => "fail",
            Outcome::Hang => "hang",
            Outcome::Panic => "panic",
        };
        f.debug_tuple("Reply").field(&outcome).finish()
    }
}

// === impl Answer ===

impl Answer {
    fn into_response(self, open: Open) -> Response<EdgeBody> {
        let length = self.steps.iter().map(|step| match step {
            Step::Data(data) => data.len() as u64,
            _ => 0,
        });
        let left = self.sized.then(|| length.sum());
        let mut response = Response::new(EdgeBody::new(Steps {
            steps: self.steps,
            left,
            pause: None,
            _open: open,
        }));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        *response.extensions_mut() = self.extensions;
        response
    }
}

// === impl Step ===

impl Step {
    /// These bytes.
    pub fn data(data: impl Into<Bytes>) -> Self {
        Self::Data(data.into())
    }
}

// === impl Steps ===

impl Body for Steps {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            if let Some(pause) = &mut self.pause {
                std::task::ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match self.steps.pop_front() {
                None => return Poll::Ready(None),
                Some(Step::Data(data)) => {
                    self.left = self.left.map(|left| left - data.len() as u64);
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Step::Trailers(trailers)) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Some(Step::Pause(time)) => self.pause = Some(Box::pin(tokio::time::sleep(time))),
                Some(Step::Wait(gate)) => self.pause = Some(Box::pin(async move { gate.passed().await })),
                Some(Step::Break(why)) => {
                    self.steps.clear();
                    return Poll::Ready(Some(Err(why.into())));
                }
                Some(Step::Forever(data)) => {
                    self.steps.push_front(Step::Forever(data.clone()));
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Step::Hang) => self.pause = Some(Box::pin(std::future::pending())),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let is_data = |step: &Step| matches!(step, Step::Data(_));
        self.steps.is_empty() && self.pause.is_none()
            || self.left == Some(0) && self.steps.iter().all(is_data)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

// === impl Counted ===

impl Body for Counted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
