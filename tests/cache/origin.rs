//! An origin that does what a script says, and remembers what it was asked.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use gripstack::EdgeBody;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, Uri};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::watch;
use tower::Service;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// An error that cannot be cloned, as most service errors cannot.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused(pub &'static str);

/// Something in a script waits here until the test opens it.
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<bool>>);

/// A request as the origin got it.
#[derive(Clone, Debug)]
pub struct Call {
    /// The first one is 1.
    pub n: usize,
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub at: tokio::time::Instant,
}

/// What it answers.
pub struct Reply<E = Refused> {
    delay: Duration,
    gate: Option<Gate>,
    outcome: Outcome<E>,
}

enum Outcome<E> {
    Answer(Answer),
    Fail(E),
    Hang,
    Panic,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    extensions: http::Extensions,
    steps: VecDeque<Step>,
    sized: bool,
}

/// A step of a body.
#[derive(Clone, Debug)]
pub enum Step {
    Data(Bytes),
    Trailers(HeaderMap),
    Pause(Duration),
    Wait(Gate),
    Break(&'static str),
    /// This chunk for ever, always ready.
    Forever(Bytes),
    Hang,
}

/// A Tower service that plays a script.
pub struct Origin<E = Refused>(Arc<Shared<E>>);

type Script<E> = Box<dyn Fn(&Call) -> Reply<E> + Send + Sync>;

struct Shared<E> {
    script: Script<E>,
    calls: parking_lot::Mutex<Vec<Call>>,
    open_calls: Arc<AtomicUsize>,
    open_bodies: Arc<AtomicUsize>,
}

/// The body of a reply.
pub struct ScriptedBody {
    steps: VecDeque<Step>,
    left: Option<u64>,
    pause: Option<Boxed<()>>,
    _open: Open,
}

/// One more, until it is dropped.
struct Open(Arc<AtomicUsize>);

// === impl Gate ===

impl Gate {
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    pub fn open(&self) {
        self.0.send_replace(true);
    }

    pub async fn passed(&self) {
        let mut receiver = self.0.subscribe();
        // Its sender is here.
        let _ = receiver.wait_for(|open| *open).await;
    }
}

// === impl Call ===

impl Call {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("ascii"))
    }

    /// Whether it asks for a validation.
    pub fn is_conditional(&self) -> bool {
        self.headers.contains_key("if-none-match") || self.headers.contains_key("if-modified-since")
    }
}

// === impl Reply ===

impl<E> Reply<E> {
    /// 200 with this body, whose length is known.
    pub fn ok(body: impl Into<Bytes>) -> Self {
        let mut reply = Self::stream([Step::Data(body.into())]);
        if let Outcome::Answer(answer) = &mut reply.outcome {
            answer.sized = true;
        }
        reply
    }

    /// 200 with a body of unknown length.
    pub fn stream(steps: impl IntoIterator<Item = Step>) -> Self {
        let answer = Answer {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            extensions: http::Extensions::new(),
            steps: steps.into_iter().collect(),
            sized: false,
        };
        Self::of(Outcome::Answer(answer))
    }

    /// This status and no body.
    pub fn status(code: u16) -> Self {
        Self::ok("").code(code)
    }

    /// 304.
    pub fn not_modified() -> Self {
        Self::status(304)
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
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The head comes when this is open.
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

    pub fn code(mut self, code: u16) -> Self {
        self.answer().status = StatusCode::from_u16(code).expect("a status");
        self
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let name = HeaderName::from_static(name);
        self.answer()
            .headers
            .append(name, value.parse().expect("a value"));
        self
    }

    /// `Cache-Control`.
    pub fn cc(self, value: &str) -> Self {
        self.header("cache-control", value)
    }

    pub fn extension<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.answer().extensions.insert(value);
        self
    }

    /// Goes on with these steps.
    pub fn then(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        let answer = self.answer();
        answer.sized = false;
        answer.steps.extend(steps);
        self
    }

    /// The body's length is known beforehand.
    pub fn sized(mut self) -> Self {
        self.answer().sized = true;
        self
    }
}

// === impl Step ===

impl Step {
    pub fn data(data: impl Into<Bytes>) -> Self {
        Self::Data(data.into())
    }
}

// === impl Origin ===

impl<E> Clone for Origin<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<E: Send + 'static> Origin<E> {
    /// Asks the script for each request.
    pub fn new(script: impl Fn(&Call) -> Reply<E> + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared {
            script: Box::new(script),
            calls: parking_lot::Mutex::default(),
            open_calls: Arc::default(),
            open_bodies: Arc::default(),
        }))
    }

    /// Requests so far.
    pub fn count(&self) -> usize {
        self.0.calls.lock().len()
    }

    pub fn calls(&self) -> Vec<Call> {
        self.0.calls.lock().clone()
    }

    pub fn last(&self) -> Call {
        self.calls().pop().expect("there was a request")
    }

    /// Requests whose answer is awaited.
    pub fn open_calls(&self) -> usize {
        self.0.open_calls.load(Ordering::SeqCst)
    }

    /// Bodies that somebody holds.
    pub fn open_bodies(&self) -> usize {
        self.0.open_bodies.load(Ordering::SeqCst)
    }
}

impl<E: Send + 'static> Service<Request<EdgeBody>> for Origin<E> {
    type Response = Response<ScriptedBody>;
    type Error = E;
    type Future = Boxed<Result<Self::Response, E>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<EdgeBody>) -> Self::Future {
        let call = {
            let mut calls = self.0.calls.lock();
            let call = Call {
                n: calls.len() + 1,
                method: request.method().clone(),
                uri: request.uri().clone(),
                headers: request.headers().clone(),
                at: tokio::time::Instant::now(),
            };
            calls.push(call.clone());
            call
        };
        let Reply { delay, gate, outcome } = (self.0.script)(&call);
        let open_body = Open::new(&self.0.open_bodies);
        let open_call = Open::new(&self.0.open_calls);
        Box::pin(async move {
            let _open = open_call;
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            if let Some(gate) = gate {
                gate.passed().await;
            }
            match outcome {
                Outcome::Fail(error) => Err(error),
                Outcome::Hang => std::future::pending().await,
                Outcome::Panic => panic!("the origin panics, as its script says"),
                Outcome::Answer(answer) => Ok(answer.into_response(open_body)),
            }
        })
    }
}

// === impl Answer ===

impl Answer {
    fn into_response(self, open: Open) -> Response<ScriptedBody> {
        let length = self.steps.iter().map(|step| match step {
            Step::Data(data) => data.len() as u64,
            _ => 0,
        });
        let left = self.sized.then(|| length.sum());
        let mut response = Response::new(ScriptedBody {
            steps: self.steps,
            left,
            pause: None,
            _open: open,
        });
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        *response.extensions_mut() = self.extensions;
        response
    }
}

// === impl Open ===

impl Open {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

// === impl ScriptedBody ===

impl Body for ScriptedBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
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
                    return Poll::Ready(Some(Err(Broken(why))));
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
        self.steps.is_empty() || self.left == Some(0) && self.steps.iter().all(|s| matches!(s, Step::Data(_)))
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// The script broke the body off.
#[derive(Debug)]
pub struct Broken(&'static str);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Broken {}
