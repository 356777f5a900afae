//! An origin that does what a script says.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use http::{Extensions, HeaderMap, Method, Request, Response, Uri};
use http_body::Body;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::time::Instant;
use tower_service::Service;

use super::reply::Reply;
use crate::body::EdgeBody;

/// A service that answers by a script, and remembers what it was asked. Clones share both.
///
/// The script is asked for each request as it arrives; the request's body is read before the answer goes out. `E` is what
/// the service can fail with.
///
/// ```
/// use gripstack::testing::{Reply, ScriptedOrigin, read_now};
/// use gripstack::{Edge, EdgeBody, ServiceBuilderExt};
/// use http::Request;
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), gripstack::BoxError> {
/// let origin: ScriptedOrigin = ScriptedOrigin::new(|call| match call.n {
///     1 => Reply::ok("first").cc("max-age=60"),
///     _ => Reply::status(503),
/// });
/// let edge = Edge::new();
/// let stack = ServiceBuilder::new().edge_cache(&edge).service(origin.clone());
/// for _ in 0..3 {
///     let request = Request::get("http://example.com/").body(EdgeBody::empty())?;
///     let mut response = stack.clone().oneshot(request).await?;
///     assert_eq!(read_now(response.body_mut())?, "first");
/// }
/// assert_eq!(origin.count(), 1);
/// assert_eq!(origin.last().uri.path(), "/");
/// # Ok(()) }
/// ```
pub struct ScriptedOrigin<E = Infallible>(Arc<Inner<E>>);

struct Inner<E> {
    script: Script<E>,
    calls: Mutex<Vec<Call>>,
    open_calls: Arc<AtomicUsize>,
    open_bodies: Arc<AtomicUsize>,
}

type Script<E> = Box<dyn Fn(&Call) -> Reply<E> + Send + Sync>;

/// A request as the origin got it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Call {
    /// Which it was. The first one is 1.
    pub n: usize,
    /// Its method.
    pub method: Method,
    /// Its target.
    pub uri: Uri,
    /// Its fields.
    pub headers: HeaderMap,
    /// Its extensions.
    pub extensions: Extensions,
    /// When it came.
    pub at: Instant,
}

/// One more, until it is dropped.
pub(super) struct Open(Arc<AtomicUsize>);

// === impl ScriptedOrigin ===

impl<E: Send + 'static> ScriptedOrigin<E> {
    /// Asks the script for each request.
    pub fn new(script: impl Fn(&Call) -> Reply<E> + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner {
            script: Box::new(script),
            calls: Mutex::default(),
            open_calls: Arc::default(),
            open_bodies: Arc::default(),
        }))
    }

    /// How many requests came so far.
    pub fn count(&self) -> usize {
        self.0.calls.lock().len()
    }

    /// All requests so far.
    pub fn calls(&self) -> Vec<Call> {
        self.0.calls.lock().clone()
    }

    /// The last request.
    ///
    /// # Panics
    /// If there was none.
    pub fn last(&self) -> Call {
        self.calls().pop().expect("there was a request")
    }

    /// Requests that wait for their answer.
    pub fn open_calls(&self) -> usize {
        self.0.open_calls.load(Ordering::SeqCst)
    }

    /// Bodies of answers that somebody has.
    pub fn open_bodies(&self) -> usize {
        self.0.open_bodies.load(Ordering::SeqCst)
    }
}

impl<E> Clone for ScriptedOrigin<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<E> fmt::Debug for ScriptedOrigin<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ScriptedOrigin")
            .field(&self.0.calls.lock())
            .finish()
    }
}

/// Always ready.
impl<E, B> Service<Request<B>> for ScriptedOrigin<E>
where
    E: Send + 'static,
    B: Body + Send + 'static,
{
    type Response = Response<EdgeBody>;
    type Error = E;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, E>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (head, body) = request.into_parts();
        let call = {
            let mut calls = self.0.calls.lock();
            let call = Call {
                n: calls.len() + 1,
                method: head.method,
                uri: head.uri,
                headers: head.headers,
                extensions: head.extensions,
                at: Instant::now(),
            };
            calls.push(call.clone());
            call
        };
        let reply = (self.0.script)(&call);
        let open_body = Open::new(&self.0.open_bodies);
        let open_call = Open::new(&self.0.open_calls);
        Box::pin(async move {
            let _open = open_call;
            let mut body = std::pin::pin!(body);
            while let Some(Ok(_)) = body.frame().await {}
            reply.play(open_body).await
        })
    }
}

// === impl Call ===

impl Call {
    /// The first value of this field.
    ///
    /// # Panics
    /// If it is not ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("ASCII"))
    }

    /// Whether it asks for a validation.
    pub fn is_conditional(&self) -> bool {
        self.headers.contains_key("if-none-match") || self.headers.contains_key("if-modified-since")
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::{Gate, Step, read_now};

    async fn get<E: Send + 'static>(origin: &ScriptedOrigin<E>) -> Result<Response<EdgeBody>, E> {
        origin.clone().call(Request::new(EdgeBody::empty())).await
    }

    #[tokio::test(start_paused = true)]
    async fn it_answers_by_its_script_and_remembers() {
        let origin = ScriptedOrigin::new(|call| match call.n {
            1 => Reply::ok("1").header("x-a", "b").after(Duration::from_secs(5)),
            2 => Reply::fail("down"),
            _ => Reply::later(async { Ok(Response::new(EdgeBody::from("later"))) }),
        });
        let start = Instant::now();
        let mut first = get(&origin).await.expect("an answer");
        assert_eq!(start.elapsed(), Duration::from_secs(5));
        assert_eq!(first.headers()["x-a"], "b");
        assert_eq!(first.body().size_hint().exact(), Some(1));
        assert_eq!(read_now(first.body_mut()).expect("text"), "1");
        assert_eq!(get(&origin).await.err(), Some("down"));
        let third = get(&origin).await.expect("an answer");
        assert_eq!(
            (origin.count(), origin.open_calls(), origin.open_bodies()),
            (3, 0, 2)
        );
        drop((first, third));
        assert_eq!(origin.open_bodies(), 0);
        assert_eq!(origin.last().at, start + Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_wait_pause_and_break_off() {
        let gate = Gate::new();
        let held = gate.clone();
        let origin: ScriptedOrigin = ScriptedOrigin::new(move |_| {
            let steps = [
                Step::data("a"),
                Step::Wait(held.clone()),
                Step::data("b"),
                Step::Break("cut"),
            ];
            Reply::stream(steps)
        });
        let mut response = get(&origin).await.expect("an answer");
        let body = response.body_mut();
        assert_eq!(read_now(body).expect("text"), "a");
        assert_eq!(read_now(body).expect("text"), "");
        gate.open();
        let frame = body.frame().await.expect("not ended").expect("not broken");
        assert_eq!(frame.into_data().expect("data"), "b");
        let broken = body.frame().await.expect("not ended").expect_err("broken");
        assert_eq!(broken.to_string(), "cut");
        assert!(body.frame().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_gate_holds_the_head_back() {
        let gate = Gate::new();
        let held = gate.clone();
        let origin: ScriptedOrigin = ScriptedOrigin::new(move |_| Reply::ok("").gated(&held));
        let answer = tokio::spawn({
            let origin = origin.clone();
            async move { get(&origin).await }
        });
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        assert!(!answer.is_finished());
        assert_eq!(origin.open_calls(), 1);
        gate.open();
        assert!(answer.await.expect("no panic").is_ok());
    }
}
