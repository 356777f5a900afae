//! A crowd on several threads: clients, purges of every kind, messages, and an origin that changes, fails and answers
//! piecemeal. Nobody gets what is older than the last word before its request, unless it is marked.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use gripstack::cache::{CacheConfig, PacedReads};
use gripstack::{Edge, EdgeBody, Message, PurgeMode, Target, Url};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::task::JoinSet;
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt, service_fn};

use crate::world::{HOST, channel, get};

const URLS: usize = 4;
/// Of each client.
const REQUESTS: usize = 250;

#[derive(Default)]
struct Known {
    version: AtomicU64,
    /// Nothing older, unless it is marked.
    floor: AtomicU64,
    /// Not even so.
    hard: AtomicU64,
}

struct Rng(u64);

impl Rng {
    fn roll(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// Others get on meanwhile, now and then.
async fn dawdle(rng: &mut Rng) {
    if rng.roll(2) == 0 {
        for _ in 0..rng.roll(30) {
            tokio::task::yield_now().await;
        }
    }
}

async fn reply(
    request: Request<EdgeBody>,
    known: Arc<[Known; URLS]>,
    seed: u64,
    fails: u64,
) -> Response<EdgeBody> {
    let mut rng = Rng(seed);
    let url: usize = request.uri().path()[1..].parse().expect("a number");
    dawdle(&mut rng).await;
    let version = known[url].version.load(Ordering::SeqCst);
    dawdle(&mut rng).await;
    let mut response = Response::new(EdgeBody::empty());
    let v = request.headers().get("x-v").cloned();
    let v = v.unwrap_or(HeaderValue::from_static("-"));
    if rng.roll(fails) == 0 {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        let vary = ["", "x-v", "accept-encoding"][rng.roll(3) as usize];
        if !vary.is_empty() {
            response
                .headers_mut()
                .insert("vary", HeaderValue::from_static(vary));
        }
        if rng.roll(2) == 0 {
            response
                .headers_mut()
                .insert("cache-control", HeaderValue::from_static("max-age=1"));
        }
        *response.body_mut() = EdgeBody::from("error");
        return response;
    }
    let tag = format!("\"{url}.{version}.{}\"", v.to_str().expect("ascii"));
    let headers = response.headers_mut();
    let policy = [
        "max-age=100",
        "max-age=100",
        "max-age=100, stale-while-revalidate=5",
        "s-maxage=100",
        "no-cache",
        "max-age=0, public",
    ][rng.roll(if seed.is_multiple_of(2) { 2 } else { 6 }) as usize];
    headers.insert("cache-control", HeaderValue::from_static(policy));
    headers.insert("vary", HeaderValue::from_static("x-v"));
    headers.insert("etag", tag.parse().expect("valid"));
    let keys = match rng.roll(3) {
        0 => format!("k{url}"),
        1 => format!("k{url} ch:c{url}"),
        _ => format!("k{url} ch:c{url} ch:d{}", rng.roll(5)),
    };
    if url.is_multiple_of(2) {
        headers.insert("surrogate-key", format!("k{url}").parse().expect("valid"));
    } else {
        headers.insert(
            "surrogate-key",
            if url == 1 {
                format!("k{url} ch:c{url}")
            } else {
                keys
            }
            .parse()
            .expect("valid"),
        );
    }
    if request
        .headers()
        .get("if-none-match")
        .is_some_and(|tags| tags.to_str().expect("ascii").contains(&tag))
    {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    let text = format!("{url}.{version}.{}", v.to_str().expect("ascii"));
    let (head, tail) = text.split_at(2);
    let frames = [Bytes::from(head.to_owned()), Bytes::from(tail.to_owned())];
    *response.body_mut() = EdgeBody::new(pieces(frames, rng));
    response
}

/// A body whose pieces come when they like.
struct Pieces(tokio::sync::mpsc::Receiver<Bytes>);

fn pieces(frames: [Bytes; 2], mut rng: Rng) -> Pieces {
    let (send, received) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        for frame in frames {
            dawdle(&mut rng).await;
            if send.send(frame).await.is_err() {
                return;
            }
        }
    });
    Pieces(received)
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(cx)
            .map(|data| data.map(|data| Ok(Frame::data(data))))
    }
}

type Boxed = BoxCloneSyncService<Request<EdgeBody>, Response<EdgeBody>, Infallible>;

/// Asks again and again, and looks at what it gets.
async fn client(service: Boxed, known: Arc<[Known; URLS]>, seed: u64) {
    let mut rng = Rng(seed);
    for _ in 0..REQUESTS {
        let url = rng.roll(URLS as u64) as usize;
        let (floor, hard) = (
            known[url].floor.load(Ordering::SeqCst),
            known[url].hard.load(Ordering::SeqCst),
        );
        let mut ask = get(&format!("/{url}"));
        let v = match rng.roll(8) {
            0 => format!("r{}", rng.roll(100)),
            1 => "2".to_owned(),
            _ => "1".to_owned(),
        };
        ask = ask.header("x-v", &v);
        let by_hold = rng.roll(4) == 0;
        if by_hold {
            ask = ask.by_hold();
        }
        let answer = tokio::time::timeout(Duration::from_secs(60), async {
            let response = service.clone().oneshot(ask.into_request()).await.expect("never");
            dawdle(&mut rng).await;
            if rng.roll(20) == 0 {
                return None;
            }
            let (parts, body) = response.into_parts();
            let body = body.collect().await.ok()?.to_bytes();
            Some((parts, body))
        })
        .await
        .expect("it does not hang");
        let Some((parts, body)) = answer else { continue };
        if parts.status.is_server_error() {
            continue;
        }
        let status = parts
            .headers
            .get_all("cache-status")
            .iter()
            .next_back()
            .map(|s| s.to_str().expect("ascii").to_owned())
            .unwrap_or_default();
        let body = String::from_utf8(body.to_vec()).expect("text");
        let fields: Vec<&str> = body.split('.').collect();
        assert_eq!(fields.len(), 3, "{body:?} {parts:?}");
        assert_eq!(fields[0], url.to_string());
        assert_eq!(fields[2], v, "another variant");
        let version: u64 = fields[1].parse().expect("a number");
        assert!(version >= hard, "{url}: gone: {version} < {hard} {status}");
        let is_marked = ["swr", "outage", "paced", "paced-timeout"]
            .iter()
            .any(|detail| status.ends_with(&format!("detail={detail}")));
        assert!(
            is_marked || version >= floor,
            "{url}: old: {version} < {floor} {status}"
        );
        if rng.roll(4) == 0 {
            dawdle(&mut rng).await;
        }
    }
}

/// Changes something, and says so, until nobody asks any more.
async fn changer(edge: Edge, known: Arc<[Known; URLS]>, seed: u64) {
    let mut rng = Rng(seed);
    loop {
        for _ in 0..rng.roll(60) {
            tokio::task::yield_now().await;
        }
        let url = rng.roll(URLS as u64) as usize;
        let all = rng.roll(20) == 0;
        let urls: Vec<usize> = if all { (0..URLS).collect() } else { vec![url] };
        let versions: Vec<u64> = urls
            .iter()
            .map(|url| known[*url].version.fetch_add(1, Ordering::SeqCst) + 1)
            .collect();
        let mut hard = false;
        if url == 1 && !all && rng.roll(2) == 0 {
            edge.publish(channel("c1"), Message::bytes("x"))
                .await
                .expect("accepted");
        } else {
            let target = match rng.roll(3) {
                _ if all => [Target::Everything, Target::host(HOST)][rng.roll(2) as usize].clone(),
                0 => Target::Key(format!("k{url}").into()),
                1 if url == 1 => Target::channel(&channel("c1")),
                _ => Target::Url(Url::new(HOST, &format!("/{url}"))),
            };
            let mode = [PurgeMode::Hard, PurgeMode::Soft, PurgeMode::SoftBlock][rng.roll(3) as usize];
            hard = mode == PurgeMode::Hard;
            edge.purge(target, mode).await.expect("accepted");
        }
        for (url, version) in urls.iter().zip(versions) {
            known[*url].floor.fetch_max(version, Ordering::SeqCst);
            if hard {
                known[*url].hard.fetch_max(version, Ordering::SeqCst);
            }
        }
    }
}

/// More of them with `GRIPSTACK_FULL=1`.
fn rounds() -> u64 {
    match std::env::var("GRIPSTACK_FULL") {
        Ok(is_full) if is_full == "1" => 60,
        _ => 4,
    }
}

#[test]
fn c4_c5_nobody_in_a_crowd_gets_what_is_older_than_the_last_word() {
    for round in 0..rounds() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(4)
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(play(round));
    }
}

async fn play(round: u64) {
    let known: Arc<[Known; URLS]> = Arc::default();
    let of = |choices: [u64; 3]| choices[(round % 3) as usize];
    let mut config = CacheConfig::new()
        .interval(Duration::from_millis(of([0, 5, 20])))
        .paced_reads([PacedReads::Wait, PacedReads::Stale][(round % 2) as usize]);
    if round % 4 == 3 {
        config = config.capacity_bytes(20 << 10).max_object_bytes(1 << 10);
    }
    let edge = Edge::builder().cache(config).build();
    let calls = Arc::new(AtomicU64::new(round << 32));
    let (of_origin, fails) = (known.clone(), of([3, 10, 1_000]));
    let is_over = Arc::new(AtomicBool::new(false));
    let is_over_at_origin = is_over.clone();
    let origin = service_fn(move |request: Request<EdgeBody>| {
        let seed = calls.fetch_add(1, Ordering::Relaxed);
        let known = of_origin.clone();
        // Nothing that is asked for after the last purge is kept: what is left then was purged.
        let is_over = is_over_at_origin.load(Ordering::SeqCst);
        async move {
            if is_over {
                let mut response = Response::new(EdgeBody::empty());
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                return Ok::<_, Infallible>(response);
            }
            Ok(reply(request, known, seed, fails).await)
        }
    });
    let service: Boxed = BoxCloneSyncService::new(edge.cache_layer().layer(origin));
    let mut clients = JoinSet::new();
    for n in 0..24 {
        clients.spawn(client(service.clone(), known.clone(), round * 1_000 + n));
    }
    let mut changers = JoinSet::new();
    for n in 0..2 {
        changers.spawn(changer(edge.clone(), known.clone(), round * 1_000 + 500 + n));
    }
    while let Some(ended) = clients.join_next().await {
        ended.expect("it got what it may have");
    }
    changers.shutdown().await;
    is_over.store(true, Ordering::SeqCst);
    edge.purge(Target::Everything, PurgeMode::Hard)
        .await
        .expect("accepted");
    let is_empty = || {
        let left = edge.cache().stats();
        (left.entries, left.urls, left.bytes) == (0, 0, 0) && left.memory_bytes + left.arriving_bytes == 0
    };
    let emptied = tokio::time::timeout(Duration::from_secs(60), async {
        while !is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(emptied.await.is_ok(), "{:?}", edge.cache().stats());
}
