//! The whole stack over real sockets: held bytes, clients that ask again when they are told, and an origin that dies.
#![cfg(all(
    feature = "serve",
    feature = "origin",
    feature = "hold",
    feature = "cache",
    feature = "publish",
    feature = "purge"
))]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gripstack::message::PushedResponse;
use gripstack::origin::Origin;
use gripstack::{Channel, Edge, EdgeBody, Message, Order, PurgeMode, Target, Url, serve};
use http::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tower::{ServiceBuilder, service_fn};

const PATIENCE: Duration = Duration::from_secs(10);

struct World {
    edge: Edge,
    address: SocketAddr,
    value: Arc<AtomicU64>,
    /// Requests that reached the application.
    asked: Arc<AtomicU64>,
    app: Option<JoinHandle<()>>,
    server: JoinHandle<()>,
    stats: serve::Stats,
}

impl World {
    async fn start() -> Self {
        let (value, asked) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let app = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let url = format!("http://{}", app.local_addr().expect("bound"));
        let application = {
            let (value, asked) = (value.clone(), asked.clone());
            service_fn(move |request: Request<EdgeBody>| {
                asked.fetch_add(1, Ordering::SeqCst);
                std::future::ready(Ok::<_, Infallible>(answer(&request, &value)))
            })
        };
        let app = Some(tokio::spawn(async move { _ = serve(app, application).await }));
        let edge = Edge::new();
        let stack = ServiceBuilder::new()
            .layer(edge.hold_layer())
            .layer(edge.cache_layer())
            .service(Origin::new(&url).expect("a valid URL"));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("bound");
        let server = serve(listener, stack);
        let stats = server.stats();
        let server = tokio::spawn(async move { _ = server.await });
        Self {
            edge,
            address,
            value,
            asked,
            app,
            server,
            stats,
        }
    }

    /// The application is gone: its port is closed, its connections are cut.
    async fn kill_origin(&mut self) {
        if let Some(app) = self.app.take() {
            app.abort();
            let _ = app.await;
        }
    }

    /// Stores the next value, and announces it.
    async fn change(&self, purge: Option<PurgeMode>) -> u64 {
        let value = self.value.fetch_add(1, Ordering::SeqCst) + 1;
        self.publish(value, purge).await;
        value
    }

    async fn publish(&self, value: u64, purge: Option<PurgeMode>) {
        let target = Target::Url(Url::new("example.com", "/value"));
        let message = Message::bytes(format!("data: {value}\n\n"))
            .with_response(PushedResponse::new(format!("{value}\n")).into());
        let mut order = Order::publish(channel(), message);
        if let Some(mode) = purge {
            order = order.and_purge(target, mode);
        }
        self.edge.submit(order).await.expect("accepted");
    }

    async fn stop(self) {
        for task in self.app.into_iter().chain([self.server]) {
            task.abort();
            let _ = task.await;
        }
    }
}

fn channel() -> Channel {
    Channel::new("updates").expect("valid")
}

/// Text, an event stream that is held, or at `/poll` a long poll.
fn answer(request: &Request<EdgeBody>, value: &AtomicU64) -> Response<EdgeBody> {
    if request.method() == http::Method::POST {
        value.fetch_add(1, Ordering::SeqCst);
        return Response::new(EdgeBody::from("done\n"));
    }
    let value = value.load(Ordering::SeqCst);
    let response = Response::builder()
        .header("cache-control", "s-maxage=600")
        .header("vary", "accept");
    let is_poll = request.uri().path() == "/poll";
    let wants_events = request
        .headers()
        .get("accept")
        .is_some_and(|accept| accept == "text/event-stream");
    let response = match (is_poll, wants_events) {
        (true, _) => response
            .header("grip-hold", "response")
            .header("grip-channel", "updates")
            .header("grip-timeout", "30")
            .body(EdgeBody::from(format!("{value}\n"))),
        (false, true) => response
            .header("content-type", "text/event-stream")
            .header("date", "Tue, 24 Nov 2026 12:00:00 GMT")
            .header("etag", "\"x\"")
            .header("grip-hold", "stream")
            .header("grip-channel", "updates")
            .body(EdgeBody::from(format!("data: {value}\n\n"))),
        (false, false) => response.body(EdgeBody::from(format!("{value}\n"))),
    };
    response.expect("valid")
}

/// A connection, and what came on it.
struct Client {
    socket: TcpStream,
    bytes: Vec<u8>,
}

impl Client {
    async fn send(address: SocketAddr, request: &str) -> Self {
        let mut socket = TcpStream::connect(address).await.expect("connected");
        socket.write_all(request.as_bytes()).await.expect("sent");
        Self {
            socket,
            bytes: Vec::new(),
        }
    }

    async fn events(address: SocketAddr) -> Self {
        Self::send(
            address,
            "GET /value HTTP/1.1\r\nHost: example.com\r\nAccept: text/event-stream\r\n\r\n",
        )
        .await
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// Reads until all of this has come; forgets it, and what was before it.
    async fn reads(&mut self, expected: &str) -> String {
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(at) = self.text().find(expected) {
                    return Some(at + expected.len());
                }
                if self.socket.read_buf(&mut self.bytes).await.expect("readable") == 0 {
                    return None;
                }
            }
        });
        let Ok(Some(end)) = found.await else {
            panic!("{expected:?} did not come, but {:?}", self.text())
        };
        let read: Vec<u8> = self.bytes.drain(..end).collect();
        String::from_utf8(read).expect("text")
    }

    async fn rest(mut self) -> String {
        let read = tokio::time::timeout(PATIENCE, self.socket.read_to_end(&mut self.bytes)).await;
        read.expect("ends in time").expect("readable");
        self.text()
    }
}

/// The head and the body of a plain request.
async fn get(address: SocketAddr, path: &str) -> (String, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n");
    let answer = Client::send(address, &request).await.rest().await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.to_ascii_lowercase(), body.to_owned())
}

async fn get_value(address: SocketAddr) -> u64 {
    let (head, body) = get(address, "/value").await;
    body.trim().parse().unwrap_or_else(|_| panic!("{head}\n\n{body}"))
}

async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let reached = tokio::time::timeout(PATIENCE, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    reached.await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

#[tokio::test]
async fn s01_s03_s05_a_held_stream_byte_by_byte() {
    let world = World::start().await;
    let mut client = Client::events(world.address).await;
    let head = client.reads("\r\n\r\n").await;
    let mut lines: Vec<&str> = head.trim_end().split("\r\n").collect();
    assert_eq!(lines.remove(0), "HTTP/1.1 200 OK");
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "cache-control: no-store",
            "cache-status: gripstack; fwd=uri-miss; ttl=600; stored",
            "connection: close",
            "content-type: text/event-stream",
            "date: Tue, 24 Nov 2026 12:00:00 GMT",
            "transfer-encoding: chunked",
            "vary: accept",
            "via: 1.1 gripstack",
        ]
    );
    assert_eq!(client.reads("0\n\n\r\n").await, "9\r\ndata: 0\n\n\r\n");
    world.change(None).await;
    assert_eq!(client.reads("1\n\n\r\n").await, "9\r\ndata: 1\n\n\r\n");
    world
        .edge
        .publish(channel(), Message::close())
        .await
        .expect("accepted");
    assert_eq!(
        client.rest().await,
        "0\r\n\r\n",
        "a clean end, and the connection is closed"
    );
    world.stop().await;
}

#[tokio::test]
async fn s02_an_http_1_0_client_gets_bare_bytes_until_the_end() {
    let world = World::start().await;
    let request = "GET /value HTTP/1.0\r\nHost: example.com\r\nAccept: text/event-stream\r\n\r\n";
    let mut client = Client::send(world.address, request).await;
    let head = client.reads("\r\n\r\n").await.to_ascii_lowercase();
    assert!(
        head.starts_with("http/1.0 200") && !head.contains("transfer-encoding"),
        "{head}"
    );
    assert!(!head.contains("content-length"), "{head}");
    assert_eq!(client.reads("0\n\n").await, "data: 0\n\n");
    world.change(None).await;
    assert_eq!(client.reads("1\n\n").await, "data: 1\n\n");
    world
        .edge
        .publish(channel(), Message::close())
        .await
        .expect("accepted");
    assert_eq!(client.rest().await, "");
    world.stop().await;
}

/// An origin that does not care for the body of a GET answers before it has come.
#[tokio::test]
async fn a_client_that_leaves_within_its_request_body_is_noticed() {
    let head = "Host: example.com\r\nAccept: text/event-stream";
    for (framing, part, rest) in [
        ("Content-Length: 10", "hello", "world"),
        ("Transfer-Encoding: chunked", "5\r\nhello\r\n", "0\r\n\r\n"),
    ] {
        let request = format!("GET /value HTTP/1.1\r\n{head}\r\n{framing}\r\n\r\n{part}");
        for half in [false, true] {
            let world = World::start().await;
            let mut client = Client::send(world.address, &request).await;
            eventually("it is answered", || world.asked.load(Ordering::SeqCst) == 1).await;
            let left = match half {
                true => client.socket.shutdown().await.map(|()| Some(client)),
                false => {
                    drop(client);
                    Ok(None)
                }
            };
            eventually("it is gone", || world.stats.open() == 0).await;
            assert_eq!(world.edge.hub().stats().subscriptions, 0);
            drop(left);
            world.stop().await;
        }
        // Whose body comes late is held like any other.
        let world = World::start().await;
        let mut client = Client::send(world.address, &request).await;
        eventually("it is answered", || world.asked.load(Ordering::SeqCst) == 1).await;
        client.socket.write_all(rest.as_bytes()).await.expect("sent");
        client.reads("data: 0\n\n").await;
        eventually("it is parked", || world.stats.parked() == 1).await;
        world.change(None).await;
        client.reads("data: 1\n\n").await;
        drop(client);
        eventually("it is gone", || world.stats.open() == 0).await;
        world.stop().await;
    }
}

/// RLP-09, M3: on each message a plain GET at once, and never an older value. 1,000 times, with the value alone and
/// with purges, and 100 times while the origin is down: then what is older is marked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rlp_09_who_is_told_and_asks_gets_nothing_older() {
    let mut world = World::start().await;
    let mut client = Client::events(world.address).await;
    client.reads("data: 0\n\n").await;
    // Without a purge, a revalidation a second is all that the origin is asked for: few of these, for each waits.
    for (count, purge) in [
        (1_000, Some(PurgeMode::Hard)),
        (3, None),
        (3, Some(PurgeMode::SoftBlock)),
    ] {
        for _ in 0..count {
            let value = world.change(purge).await;
            client.reads(&format!("data: {value}\n\n")).await;
            let got = get_value(world.address).await;
            assert!(got >= value, "{got} after {value} was told");
        }
    }
    world.kill_origin().await;
    for _ in 0..100 {
        let value = world.change(None).await;
        client.reads(&format!("data: {value}\n\n")).await;
        let (head, body) = get(world.address, "/value").await;
        let got: u64 = body.trim().parse().unwrap_or_else(|_| panic!("{head}\n\n{body}"));
        assert!(
            got >= value || head.contains("detail=outage"),
            "{got} after {value}: {head}"
        );
    }
    world.stop().await;
}

/// M2: a long poll that is told and asks again: each message once, nothing older at the end; and while the origin is
/// down it still hears what is published.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_poll_gets_no_message_twice() {
    let mut world = World::start().await;
    let poll = "GET /poll HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n";
    for round in 0..6 {
        if round == 3 {
            world.kill_origin().await;
        }
        let edge = world.edge.clone();
        let client = tokio::spawn(Client::send(world.address, poll));
        eventually("the poll is held", || edge.hub().stats().subscriptions == 1).await;
        let value = world.change(None).await;
        let answer = client.await.expect("no panic").rest().await;
        assert!(
            answer.ends_with(&format!("\r\n\r\n{value}\n")),
            "round {round}: {answer}"
        );
        assert!(
            answer.to_ascii_lowercase().contains("cache-control: no-store"),
            "{answer}"
        );
        eventually("the poll is over", || edge.hub().stats().subscriptions == 0).await;
    }
    world.stop().await;
}

/// With `hint` a long poll asks the origin at once, for everybody together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l09_a_hint_makes_long_polls_ask_together() {
    let world = World::start().await;
    let poll = "GET /poll HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n";
    let mut clients = Vec::new();
    for _ in 0..50 {
        clients.push(Client::send(world.address, poll).await);
    }
    let edge = world.edge.clone();
    eventually("all are held", || edge.hub().stats().subscriptions == 50).await;
    let before = world.asked.load(Ordering::SeqCst);
    world.value.store(7, Ordering::SeqCst);
    world
        .edge
        .publish(channel(), Message::hint())
        .await
        .expect("accepted");
    let asked = world.asked.clone();
    eventually("the origin is asked", || asked.load(Ordering::SeqCst) > before).await;
    eventually("they are held again", || edge.hub().stats().subscriptions == 50).await;
    assert_eq!(world.asked.load(Ordering::SeqCst), before + 1, "once for all");
    world.publish(8, None).await;
    for client in clients {
        assert!(client.rest().await.ends_with("\r\n\r\n8\n"));
    }
    world.stop().await;
}

/// M5: what a POST invalidates is not lost: GET and hold still work when the origin dies right after it.
#[tokio::test]
async fn a_post_and_then_an_outage() {
    let mut world = World::start().await;
    assert_eq!(get_value(world.address).await, 0);
    Client::events(world.address).await.reads("data: 0\n\n").await;
    let post = "POST /value HTTP/1.1\r\nHost: example.com\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert!(
        Client::send(world.address, post)
            .await
            .rest()
            .await
            .ends_with("done\n")
    );
    world.kill_origin().await;
    let (head, body) = get(world.address, "/value").await;
    assert!(
        body == "0\n" && head.contains("detail=outage"),
        "{head}\n\n{body}"
    );
    let mut hold = Client::events(world.address).await;
    hold.reads("data: 0\n\n").await;
    world.publish(1, None).await;
    hold.reads("data: 1\n\n").await;
    world.stop().await;
}

/// The origin is gone: 1,000 new clients get value and hold, and what is published reaches all of them. Right after a
/// purge that nobody refetched, `soft-block` serves and `hard` says why it cannot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pur_33_an_outage_with_a_thousand_new_clients() {
    for mode in [None, Some(PurgeMode::SoftBlock), Some(PurgeMode::Hard)] {
        let mut world = World::start().await;
        assert_eq!(get_value(world.address).await, 0);
        Client::events(world.address).await.reads("data: 0\n\n").await;
        if let Some(mode) = mode {
            let target = Target::Url(Url::new("example.com", "/value"));
            world.edge.purge(target, mode).await.expect("accepted");
        }
        world.kill_origin().await;
        let (head, body) = get(world.address, "/value").await;
        if mode == Some(PurgeMode::Hard) {
            assert!(head.starts_with("http/1.1 502"), "{head}");
            assert!(head.contains("gripstack-error: origin-"), "{head}");
            // A connection that was kept may have taken the first request, and told of its end by then.
            let (head, _) = get(world.address, "/value").await;
            assert!(head.contains("gripstack-error: origin-connect-refused"), "{head}");
            let answer = Client::events(world.address).await.reads("\r\n\r\n").await;
            assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
            world.stop().await;
            continue;
        }
        assert_eq!(body, "0\n", "{head}");
        let mut clients = Vec::new();
        for _ in 0..1_000 {
            clients.push(Client::events(world.address).await);
        }
        for client in &mut clients {
            client.reads("data: 0\n\n").await;
        }
        let edge = world.edge.clone();
        eventually("all are held", || edge.hub().stats().subscriptions == 1_000).await;
        world.publish(1, None).await;
        for client in &mut clients {
            client.reads("data: 1\n\n").await;
        }
        world.stop().await;
    }
}

/// R07: what a client says of its own protocol and host is not believed.
#[tokio::test]
async fn r07_forwarded_fields_are_the_edges_own() {
    let app = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let origin = Origin::new(&format!("http://{}", app.local_addr().expect("bound"))).expect("a valid URL");
    let echo = service_fn(|request: Request<EdgeBody>| {
        let field = |name: &str| {
            request
                .headers()
                .get(name)
                .map_or("-".into(), |v| format!("{v:?}"))
        };
        let text = format!("{} {}", field("x-forwarded-proto"), field("x-forwarded-host"));
        std::future::ready(Ok::<_, Infallible>(Response::new(EdgeBody::from(text))))
    });
    let app = tokio::spawn(async move { _ = serve(app, echo).await });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("bound");
    let server = tokio::spawn(async move { _ = serve(listener, origin).await });
    let request = "GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n\
                   Connection: close\r\n\r\n";
    let answer = Client::send(address, request).await.rest().await;
    assert!(answer.ends_with("\"http\" \"a.test\""), "{answer}");
    app.abort();
    server.abort();
}
