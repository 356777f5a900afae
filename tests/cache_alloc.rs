//! What the cache allocates: for a hit, whatever its size, and for an answer that it only passes on.
#![cfg(feature = "cache")]

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use gripstack::handoff::{AskedByHold, Handoff};
use gripstack::{Edge, EdgeBody, Position};
use http::{Request, Response};
use http_body_util::BodyExt;
use tower::{Layer, Service};

const TIMES: u64 = 100;

/// Answers at once: a value of so many bytes, as its path says, stored or private.
#[derive(Clone)]
struct Origin {
    large: Bytes,
}

impl Service<Request<EdgeBody>> for Origin {
    type Response = Response<EdgeBody>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<EdgeBody>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<EdgeBody>) -> Self::Future {
        let (size, policy) = match request.uri().path() {
            "/1k" => (1_000, "max-age=600"),
            "/1m" => (1_000_000, "max-age=600"),
            _ => (1_000, "private"),
        };
        let mut response = Response::new(EdgeBody::from(self.large.slice(..size)));
        let headers = response.headers_mut();
        headers.insert("cache-control", http::HeaderValue::from_static(policy));
        headers.insert("content-length", size.into());
        headers.insert("etag", http::HeaderValue::from_static("\"1\""));
        if policy != "private" {
            headers.insert("grip-hold", http::HeaderValue::from_static("stream"));
            headers.insert("grip-channel", http::HeaderValue::from_static("c"));
        }
        std::future::ready(Ok(response))
    }
}

fn request(path: &'static str) -> Request<EdgeBody> {
    let mut request = Request::new(EdgeBody::empty());
    *request.uri_mut() = http::Uri::from_static(path);
    let headers = request.headers_mut();
    headers.insert("host", http::HeaderValue::from_static("example.com"));
    headers.insert("accept", http::HeaderValue::from_static("*/*"));
    headers.insert("accept-encoding", http::HeaderValue::from_static("gzip, br"));
    headers.insert("user-agent", http::HeaderValue::from_static("a client"));
    request
}

/// Polls what is ready at once.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

/// Calls, and reads the body to its end.
fn exchange<S, B>(service: &mut S, request: Request<EdgeBody>) -> usize
where
    S: Service<Request<EdgeBody>, Response = Response<B>>,
    S::Error: std::fmt::Debug,
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Debug,
{
    let response = now(service.call(request)).expect("answered");
    let mut body = response.into_body();
    let mut bytes = 0;
    while let Some(frame) = now(Pin::new(&mut body).frame()) {
        bytes += frame.expect("whole").data_ref().map_or(0, Bytes::len);
    }
    bytes
}

/// Allocations of one exchange, the request not counted.
fn allocations<S, B>(service: &mut S, request: impl Fn() -> Request<EdgeBody>) -> f64
where
    S: Service<Request<EdgeBody>, Response = Response<B>>,
    S::Error: std::fmt::Debug,
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Debug,
{
    for _ in 0..4 {
        exchange(service, request());
    }
    let asks: Vec<_> = (0..TIMES).map(|_| request()).collect();
    let counted = allocation_counter::measure(|| {
        for ask in asks {
            exchange(service, ask);
        }
    });
    counted.count_total as f64 / TIMES as f64
}

fn origin() -> Origin {
    Origin {
        large: vec![b'x'; 1_000_000].into(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_hit_allocates_at_most_four_times_whatever_its_size() {
    let mut service = Edge::new().cache_layer().layer(origin());
    let by_hold = |path| {
        let mut ask = request(path);
        let at_least = Position::ZERO;
        AskedByHold { at_least }.say(ask.extensions_mut());
        ask
    };
    for (path, size) in [("/1k", 1_000), ("/1m", 1_000_000)] {
        for ask in [request(path), by_hold(path)] {
            let response = service.call(ask).await.expect("answered");
            response.into_body().collect().await.expect("whole");
        }
        tokio::task::yield_now().await;
        assert_eq!(exchange(&mut service, request(path)), size);
        let plain = allocations(&mut service, || request(path));
        assert!(plain <= 4.0, "{path}: {plain}");
        let head = || {
            let mut ask = request(path);
            *ask.method_mut() = http::Method::HEAD;
            ask
        };
        let head = allocations(&mut service, head);
        assert!(head <= 4.0, "HEAD {path}: {head}");
        // The map of extensions is one more, and what is in it another.
        let hold = allocations(&mut service, || by_hold(path));
        assert!(hold <= 6.0, "hold {path}: {hold}");
        let held = now(service.call(by_hold(path))).expect("answered");
        assert!(held.extensions().get::<Handoff>().is_some());
        println!("{path}: {plain} plain, {head} HEAD, {hold} hold");
    }
}

#[tokio::test(start_paused = true)]
async fn passing_on_a_remembered_uncacheable_answer_allocates_at_most_twice_more() {
    let mut bare = origin();
    let mut service = Edge::new().cache_layer().layer(origin());
    let response = service.call(request("/private")).await.expect("answered");
    response.into_body().collect().await.expect("whole");
    tokio::task::yield_now().await;
    let alone = allocations(&mut bare, || request("/private"));
    let passed = allocations(&mut service, || request("/private"));
    println!("{alone} alone, {passed} passed on");
    assert!(passed - alone <= 2.0, "{alone} alone, {passed} passed on");
}
