//! The exchanges that the benches and `tests/cost.rs` measure: one client request, its answer read to the end.
//!
//! Since the answers were made, something else was published and purged. All in one thread and without sockets, so that what is measured is ours. Each scene is prepared once (a cache is
//! filled until it answers) and then repeated.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::pin::Pin;

use bytes::Bytes;
use gripstack::publish::{PublishConfig, Publisher};
use gripstack::{Channel, Edge, EdgeBody, Message, PurgeMode, Target};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_TYPE, ETAG, HOST, HeaderMap, HeaderName, HeaderValue,
    USER_AGENT,
};
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{Full, StreamBody};
use tokio::runtime::Runtime;
use tower::{Layer, Service, ServiceExt, service_fn};

/// Repeats a scene this many times.
pub type Repeat = Box<dyn FnMut(u64)>;

/// Every scene, by name.
pub const SCENES: &[&str] = &[
    "request",
    "bare",
    "hold",
    "cache",
    "cache-post",
    "purge",
    "publish",
    "all",
    "hit-1k",
    "hit-1m",
    "hit-1m-pieces",
    "bare-moved",
    "hit-1k-moved",
    "hold-hit-1k",
    "all-hit-1k",
    "purge-of-1",
    "purge-of-5k",
];

/// Prepares a scene.
///
/// # Panics
/// If there is no scene of this name.
pub fn prepare(scene: &str) -> Repeat {
    let edge = Edge::new();
    let hold = gripstack::GripHoldLayer::new(edge.hub().clone());
    let cache = edge.cache_layer();
    let purge = edge.purge_layer(gripstack::purge::Auth::token("secret"));
    let publisher = Publisher::new(edge.clone(), PublishConfig::default());
    let publish =
        gripstack::RateLimitedPublishLayer::new(publisher, gripstack::publish::Auth::token("secret"));
    let pass = origin(100, "no-store");
    let post = |mut request: Request<EdgeBody>| {
        *request.method_mut() = http::Method::POST;
        request
    };
    match scene {
        "request" => {
            let template = template();
            Box::new(move |times| {
                for _ in 0..times {
                    black_box(request(&template));
                }
            })
        }
        "bare" => repeat(&edge, pass, as_it_is, no_status),
        "hold" => repeat(&edge, hold.layer(pass), as_it_is, no_status),
        "cache" => repeat(&edge, cache.layer(pass), as_it_is, is_remembered),
        "cache-post" => repeat(&edge, cache.layer(pass), post, is_passed),
        "purge" => repeat(&edge, purge.layer(pass), as_it_is, no_status),
        "publish" => repeat(&edge, publish.layer(pass), as_it_is, no_status),
        "all" => repeat(
            &edge,
            publish.layer(purge.layer(hold.layer(cache.layer(pass)))),
            as_it_is,
            is_remembered,
        ),
        "hit-1k" => repeat(&edge, cache.layer(origin(1 << 10, FRESH)), as_it_is, is_hit),
        "hit-1m" => repeat(&edge, cache.layer(origin(1 << 20, FRESH)), as_it_is, is_hit),
        // The clock moves before each.
        "bare-moved" => {
            let repeat = repeat(&edge, pass, as_it_is, no_status);
            after_orders(edge, repeat)
        }
        "hit-1k-moved" => {
            let repeat = repeat(&edge, cache.layer(origin(1 << 10, FRESH)), as_it_is, is_hit);
            after_orders(edge, repeat)
        }
        "hit-1m-pieces" => repeat(
            &edge,
            cache.layer(origin(1 << 20, FRESH).map_response(|response| in_pieces(64, response))),
            as_it_is,
            is_hit,
        ),
        "hold-hit-1k" => repeat(
            &edge,
            hold.layer(cache.layer(origin(1 << 10, FRESH))),
            as_it_is,
            is_hit,
        ),
        "all-hit-1k" => repeat(
            &edge,
            publish.layer(purge.layer(hold.layer(cache.layer(origin(1 << 10, FRESH))))),
            as_it_is,
            is_hit,
        ),
        "purge-of-1" => purge_of(1, edge),
        "purge-of-5k" => purge_of(5_000, edge),
        other => panic!("no scene {other:?}; there are {SCENES:?}"),
    }
}

/// Times scenes under these names.
#[allow(dead_code, reason = "not all who include this use criterion")]
pub fn measure(criterion: &mut criterion::Criterion, group: &str, scenes: &[&str]) {
    let mut group = criterion.benchmark_group(group);
    for scene in scenes {
        let mut repeat = prepare(scene);
        group.bench_function(*scene, |bencher| {
            bencher.iter_custom(|times| {
                let start = tokio::time::Instant::now();
                repeat(times);
                start.elapsed()
            });
        });
    }
}

const FRESH: &str = "max-age=86400";

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// A service that answers a body of this size under this `Cache-Control`.
pub fn origin(
    bytes: usize,
    cache_control: &'static str,
) -> impl Service<
    Request<EdgeBody>,
    Response = Response<Full<Bytes>>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + 'static,
> + Clone
+ Send
+ 'static {
    let body = Full::new(Bytes::from(vec![b'x'; bytes]));
    service_fn(move |request: Request<EdgeBody>| {
        black_box(&request);
        let body = body.clone();
        async move {
            let response = Response::builder()
                .header(CONTENT_TYPE, "text/plain; charset=utf-8")
                .header(CACHE_CONTROL, cache_control)
                .header(ETAG, "\"5f1e-2\"");
            Ok(response.body(body).expect("valid"))
        }
    })
}

/// The same bytes in this many frames.
fn in_pieces(pieces: usize, response: Response<Full<Bytes>>) -> Response<EdgeBody> {
    response.map(|full| {
        let piece = full
            .size_hint()
            .exact()
            .map_or(0, |bytes| bytes as usize / pieces);
        let frame = Frame::data(Bytes::from(vec![b'x'; piece]));
        let frames = (0..pieces)
            .map(move |_| Ok::<_, Infallible>(Frame::data(frame.data_ref().cloned().unwrap_or_default())));
        EdgeBody::new(StreamBody::new(tokio_stream::iter(frames)))
    })
}

/// What a browser asks, as a server hands it on.
pub fn template() -> Request<()> {
    Request::get("/articles/2026/an-ordinary-path?page=2")
        .header(HOST, "www.example.com")
        .header(
            USER_AGENT,
            "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
        )
        .header(
            ACCEPT,
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        )
        .header(ACCEPT_ENCODING, "gzip, deflate, br, zstd")
        // Servers say who asks.
        .extension(std::net::SocketAddr::from(([127, 0, 0, 1], 50_000)))
        .body(())
        .expect("valid")
}

pub fn request(template: &Request<()>) -> Request<EdgeBody> {
    template.clone().map(|()| EdgeBody::empty())
}

fn as_it_is(request: Request<EdgeBody>) -> Request<EdgeBody> {
    request
}

fn no_status(headers: &HeaderMap) -> bool {
    !headers.contains_key(CACHE_STATUS)
}

fn is_hit(headers: &HeaderMap) -> bool {
    status(headers).contains("; hit")
}

fn is_passed(headers: &HeaderMap) -> bool {
    status(headers).contains("fwd=method")
}

/// It went by itself at once, because the URL is remembered as uncacheable.
fn is_remembered(headers: &HeaderMap) -> bool {
    status(headers).contains("detail=no-store") && status(headers).contains("fwd=")
}

fn status(headers: &HeaderMap) -> &str {
    headers
        .get(CACHE_STATUS)
        .and_then(|status| status.to_str().ok())
        .unwrap_or_default()
}

/// Repeats an exchange, once it has come to what the scene is about.
fn repeat<S, B>(
    edge: &Edge,
    mut service: S,
    make: impl Fn(Request<EdgeBody>) -> Request<EdgeBody> + 'static,
    is_ready: impl Fn(&HeaderMap) -> bool,
) -> Repeat
where
    S: Service<Request<EdgeBody>, Response = Response<B>, Error = Infallible> + 'static,
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Debug,
{
    let runtime = runtime();
    let template = template();
    runtime.block_on(async {
        for _ in 0..16 {
            let answer = exchange(&mut service, make(request(&template))).await;
            // What a miss leaves to a task is done before the next one.
            tokio::task::yield_now().await;
            if is_ready(&answer) {
                // From here on the clock stands above every stamp: purges and messages have to be looked up, once.
                let message = Message::bytes("elsewhere");
                edge.publish(Channel::new("other").expect("valid"), message)
                    .await
                    .expect("it fits");
                edge.purge(Target::Key("other".into()), PurgeMode::Hard)
                    .await
                    .expect("it fits");
                return;
            }
        }
        panic!("the scene does not come about");
    });
    Box::new(move |times| {
        runtime.block_on(async {
            for _ in 0..times {
                black_box(exchange(&mut service, make(request(&template))).await);
            }
        })
    })
}

/// The same exchanges, each after an order that concerns something else: so each looks up what happened.
fn after_orders(edge: Edge, mut repeat: Repeat) -> Repeat {
    let runtime = runtime();
    Box::new(move |times| {
        for _ in 0..times {
            let purge = edge.purge(Target::Key("other".into()), PurgeMode::Hard);
            runtime.block_on(purge).expect("it fits");
            repeat(1);
        }
    })
}

/// Purges by a key that this many stored objects carry.
fn purge_of(objects: u64, edge: Edge) -> Repeat {
    let runtime = runtime();
    let tagged = origin(100, FRESH).map_response(|mut response: Response<Full<Bytes>>| {
        let key = HeaderValue::from_static("t");
        response.headers_mut().insert("surrogate-key", key);
        response
    });
    let mut service = edge.cache_layer().layer(tagged);
    let template = template();
    runtime.block_on(async {
        for n in 0..objects {
            let mut request = request(&template);
            *request.uri_mut() = format!("/{n}").parse().expect("a path");
            exchange(&mut service, request).await;
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(edge.cache().stats().entries as u64, objects);
    Box::new(move |times| {
        for _ in 0..times {
            // Without a runtime: what the sweep does later, in a task of its own, is not the purge's.
            let mut purge = std::pin::pin!(edge.purge(Target::Key("t".into()), PurgeMode::Hard));
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            let std::task::Poll::Ready(at) = purge.as_mut().poll(&mut cx) else {
                panic!("in one process it is applied at once");
            };
            black_box(at.expect("it fits"));
        }
    })
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("nothing is in its way")
}

/// One request, and its answer read to the end. Returns its headers.
pub async fn exchange<S, B>(service: &mut S, request: Request<EdgeBody>) -> HeaderMap
where
    S: Service<Request<EdgeBody>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Debug,
{
    let Ok(()) = poll_fn(|cx| service.poll_ready(cx)).await;
    let Ok(response) = service.call(request).await;
    let (parts, mut body) = response.into_parts();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        black_box(frame.expect("the body is whole").into_data().ok());
    }
    parts.headers
}
