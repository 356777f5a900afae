//! What one client sends shapes nothing that another one gets: the request that is judged is the request that is sent.
//!
//! The whole of it: bytes on a socket, the server, the layers, an origin on a socket.
#![cfg(all(feature = "serve", feature = "origin", feature = "hold", feature = "cache"))]

mod serve_support;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use gripstack::origin::Origin;
use gripstack::serve::{Listener, Peer, serve};
use gripstack::{Edge, EdgeBody, PurgeMode, Target, Url};
use http::Request;
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use serve_support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceBuilder;

/// A push edge in front of a cache, or the cache alone.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Role {
    Both,
    Cache,
}

const ROLES: [Role; 2] = [Role::Both, Role::Cache];

/// A server with a plain listener and one behind TLS, and its origin.
struct World {
    edge: Edge,
    plain: SocketAddr,
    tls: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _servers: [Server; 2],
}

/// What the origin got.
#[derive(Clone, Debug)]
struct Seen {
    head: String,
    body: String,
}

/// As if TLS had been ended on its connections.
struct Encrypted(TcpListener);

impl Listener for Encrypted {
    type Io = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, Peer)> {
        let (stream, mut peer) = Listener::accept(&mut self.0).await?;
        peer.tls = true;
        Ok((stream, peer))
    }
}

// === impl World ===

impl World {
    /// The origin answers as this function says: from `HTTP/1.1` on.
    async fn new(role: Role, answer: fn(&Seen) -> String) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let origin = start_origin(seen.clone(), answer).await;
        let origin = Origin::new(&format!("http://{origin}")).expect("a URL");
        let edge = Edge::new();
        let hold = edge.hold_layer().enabled(role == Role::Both);
        let stack = ServiceBuilder::new()
            .layer(hold)
            .layer(edge.cache_layer())
            .service(origin);
        let (plain, tls) = (bind().await, bind().await);
        let addrs = [&plain, &tls].map(|listener| listener.local_addr().expect("bound"));
        Self {
            edge,
            plain: addrs[0],
            tls: addrs[1],
            seen,
            _servers: [
                Server::start(serve(plain, stack.clone()), PATIENCE),
                Server::start(serve(Encrypted(tls), stack), PATIENCE),
            ],
        }
    }

    /// Sends a request to the plain listener.
    async fn ask(&self, request: &str) -> Answer {
        ask(self.plain, request).await
    }

    async fn ask_tls(&self, request: &str) -> Answer {
        ask(self.tls, request).await
    }

    /// The requests that the origin got so far.
    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }
}

async fn bind() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("loopback")
}

async fn ask(addr: SocketAddr, request: &str) -> Answer {
    let mut client = connect(addr).await;
    client.send(request).await;
    soon(client.answer()).await
}

async fn start_origin(seen: Arc<Mutex<Vec<Seen>>>, answer: fn(&Seen) -> String) -> SocketAddr {
    let listener = bind().await;
    let addr = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let seen = seen.clone();
            tokio::spawn(async move {
                let mut read = Vec::new();
                loop {
                    while !read.windows(4).any(|window| window == b"\r\n\r\n") {
                        if !matches!(stream.read_buf(&mut read).await, Ok(1..)) {
                            return;
                        }
                    }
                    let text = String::from_utf8(read.clone()).expect("text");
                    let (head, rest) = text.split_once("\r\n\r\n").expect("it ends");
                    let mut request = Seen {
                        head: head.to_owned(),
                        body: rest.to_owned(),
                    };
                    let length = request
                        .field("content-length")
                        .map_or(0, |length| length.parse().expect("a number"));
                    while request.body.len() < length {
                        let mut more = vec![0; length - request.body.len()];
                        let n = stream.read(&mut more).await.expect("all of the body");
                        request
                            .body
                            .push_str(std::str::from_utf8(&more[..n]).expect("text"));
                    }
                    read.clear();
                    let answer = answer(&request);
                    seen.lock().push(request);
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    addr
}

// === impl Seen ===

impl Seen {
    fn fields(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let named = lines.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.trim()).collect()
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields(name).first().copied()
    }

    /// As CGI, WSGI and PHP know it: dashes and underscores are one.
    fn folded(&self, name: &str) -> String {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let named = lines.filter(|(field, _)| field.replace('_', "-").eq_ignore_ascii_case(name));
        let values: Vec<&str> = named.map(|(_, value)| value.trim()).collect();
        match values.is_empty() {
            true => "none".to_owned(),
            false => values.join(","),
        }
    }
}

fn cached(body: &str, more: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n{more}Content-Length: {length}\r\n\r\n{body}")
}

fn redirect(location: &str) -> String {
    format!(
        "HTTP/1.1 301 Moved\r\nCache-Control: max-age=60\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    )
}

fn is_hit(answer: &Answer) -> bool {
    let status = answer.field("cache-status");
    status.is_some_and(|status| status.contains("; hit"))
}

/// An application that wants TLS and has not seen any.
fn to_https(seen: &Seen) -> String {
    match seen.field("x-forwarded-proto") {
        Some("https") => cached("welcome", ""),
        _ => redirect("https://h/"),
    }
}

#[tokio::test]
async fn the_scheme_is_that_of_the_connection() {
    for role in ROLES {
        let world = World::new(role, to_https).await;
        let answer = world.ask("GET https://h/ HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!(answer.status(), 301, "{role:?}");
        let answer = world.ask_tls("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!((answer.status(), answer.text()), (200, "welcome"), "{role:?}");
        let answer = world.ask_tls("GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!((answer.status(), is_hit(&answer)), (200, true), "{role:?}");
        let answer = world.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!((answer.status(), is_hit(&answer)), (301, true), "{role:?}");
    }
}

#[tokio::test]
async fn the_scheme_of_http2_is_that_of_the_connection() {
    for role in ROLES {
        let world = World::new(role, to_https).await;
        for uri in ["https://h/", "http://h/"] {
            let request = Request::get(uri).body(EdgeBody::empty()).expect("valid");
            assert_eq!(
                ask_http2(world.plain, request).await.status(),
                301,
                "{role:?} {uri}"
            );
        }
        let answer = world.ask_tls("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!(answer.status(), 200, "{role:?}");
        for uri in ["https://h/", "http://h/"] {
            let request = Request::get(uri).body(EdgeBody::empty()).expect("valid");
            assert_eq!(
                ask_http2(world.tls, request).await.status(),
                200,
                "{role:?} {uri}"
            );
        }
        assert_eq!(world.seen().len(), 2, "{role:?}");
    }
}

async fn ask_http2(addr: SocketAddr, request: Request<EdgeBody>) -> http::Response<bytes::Bytes> {
    let stream = TcpStream::connect(addr).await.expect("connects");
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let response = soon(sender.send_request(request)).await.expect("an answer");
    let (parts, body) = response.into_parts();
    let body = soon(body.collect()).await.expect("whole").to_bytes();
    connection.abort();
    http::Response::from_parts(parts, body)
}

/// An application that redirects to where it was asked.
fn to_host(seen: &Seen) -> String {
    redirect(&format!("http://{}/new", seen.field("host").expect("a host")))
}

#[tokio::test]
async fn poi_09_no_spelling_of_a_host_gets_into_what_others_are_served() {
    for role in ROLES {
        for host in [
            "SHOP.test",
            "shop.test.",
            "shop.test:",
            "shop.test:80",
            "shop.test:0080",
            "shop.test.:80",
        ] {
            let world = World::new(role, to_host).await;
            let expected = Some("http://shop.test/new");
            let answer = world
                .ask(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
                .await;
            assert_eq!(answer.field("location"), expected, "{role:?} {host}");
            let answer = world.ask("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
            assert_eq!(answer.field("location"), expected, "{role:?} {host}");
            assert!(is_hit(&answer), "{role:?} {host}: one URL");
        }
    }
}

/// It is another authority to the origin. To a purge, which names no scheme, it is the same URL.
#[tokio::test]
async fn the_other_schemes_default_port_is_another_authority() {
    for role in ROLES {
        let world = World::new(role, to_host).await;
        let (plain, odd) = ("shop.test", "shop.test:443");
        for host in [odd, plain] {
            for hit in [false, true] {
                let answer = world
                    .ask(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
                    .await;
                let expected = format!("http://{host}/new");
                assert_eq!(answer.field("location"), Some(&*expected), "{role:?}");
                assert_eq!(is_hit(&answer), hit, "{role:?} {host}");
            }
        }
        let answer = world
            .ask_tls("GET / HTTP/1.1\r\nHost: shop.test:443\r\n\r\n")
            .await;
        assert_eq!(answer.field("location"), Some("http://shop.test/new"), "{role:?}");
        for named in [odd, plain] {
            let target = Target::Url(Url::new(named, "/"));
            world.edge.purge(target, PurgeMode::Hard).await.expect("purged");
            for host in [odd, plain] {
                let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
                assert!(
                    !is_hit(&world.ask(&request).await),
                    "{role:?} {host} after {named}"
                );
                assert!(
                    is_hit(&world.ask(&request).await),
                    "{role:?} {host} after {named}"
                );
            }
            let request = "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n";
            assert!(
                !is_hit(&world.ask_tls(request).await),
                "{role:?} https after {named}"
            );
        }
    }
}

#[tokio::test]
async fn poi_03_the_host_of_the_target_wins() {
    for role in ROLES {
        let world = World::new(role, to_host).await;
        let answer = world
            .ask("GET http://SHOP.test:80/ HTTP/1.1\r\nHost: evil.test\r\n\r\n")
            .await;
        assert_eq!(answer.field("location"), Some("http://shop.test/new"), "{role:?}");
        let answer = world.ask("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
        assert!(is_hit(&answer), "{role:?}");
        assert_eq!(
            world.seen()[0].fields("x-forwarded-host"),
            ["shop.test"],
            "{role:?}"
        );
    }
}

/// An application whose pages differ by these three.
fn by_three(seen: &Seen) -> String {
    let of = |name| seen.field(name).unwrap_or("none");
    let body = format!("{} {} {}", of("accept-language"), of("origin"), of("accept"));
    cached(&body, "Vary: Accept-Language, Origin, Accept\r\n")
}

#[tokio::test]
async fn poi_01_a_field_of_the_connection_is_none_of_the_variant() {
    let fields = "Accept-Language: de\r\nOrigin: http://a\r\nAccept: text/html\r\n";
    for role in ROLES {
        for listed in [
            "Accept-Language",
            "Origin",
            "Accept",
            "close, accept-language , ORIGIN",
        ] {
            let world = World::new(role, by_three).await;
            let request = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}Connection: {listed}\r\n\r\n");
            let attacker = world.ask(&request).await;
            assert!(attacker.text().contains("none"), "{role:?} {listed}");
            let victim = world
                .ask(&format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n"))
                .await;
            assert_eq!(victim.text(), "de http://a text/html", "{role:?} {listed}");
        }
    }
}

/// A condition that `Connection` lists is none: the client gets the page.
#[tokio::test]
async fn a_condition_of_the_connection_is_none() {
    fn tagged(seen: &Seen) -> String {
        assert!(!seen.head.to_ascii_lowercase().contains("if-none-match"));
        cached("page", "ETag: \"5\"\r\n")
    }
    for role in ROLES {
        let world = World::new(role, tagged).await;
        for _ in 0..2 {
            let answer = world
                .ask("GET / HTTP/1.1\r\nHost: h\r\nIf-None-Match: \"5\"\r\nConnection: If-None-Match\r\n\r\n")
                .await;
            assert_eq!((answer.status(), answer.text()), (200, "page"), "{role:?}");
        }
    }
}

/// An application behind a gateway that folds underscores.
fn behind_a_gateway(seen: &Seen) -> String {
    let names = [
        "x-forwarded-host",
        "x-http-method-override",
        "x-original-url",
        "x-forwarded-proto",
        "accept-language",
        "user-id",
    ];
    cached(
        &names.map(|name| seen.folded(name)).join(" "),
        "Vary: Accept-Language\r\n",
    )
}

#[tokio::test]
async fn poi_08_underscores_hide_nothing() {
    for role in ROLES {
        for odd in [
            "X_Forwarded_Host: evil",
            "X-Forwarded_Host: evil",
            "X_HTTP_Method_Override: DELETE",
            "X_Original_URL: /admin",
            "X_Forwarded_Proto: https",
            "Accept_Language: fr",
            "User_Id: 7",
        ] {
            let world = World::new(role, behind_a_gateway).await;
            world
                .ask(&format!("GET / HTTP/1.1\r\nHost: h\r\n{odd}\r\n\r\n"))
                .await;
            let victim = world.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
            assert_eq!(victim.text(), "h none none http none none", "{role:?} {odd}");
        }
    }
}

#[tokio::test]
async fn poi_01_what_a_client_says_of_the_edge_is_replaced() {
    let forged = "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n\
        X-Real-IP: 1.2.3.4\r\nX-Forwarded-Port: 666\r\nForwarded: for=1.2.3.4\r\n";
    for role in ROLES {
        let world = World::new(role, to_https).await;
        world
            .ask(&format!("GET / HTTP/1.1\r\nHost: h\r\n{forged}\r\n"))
            .await;
        let seen = world.seen().remove(0);
        assert_eq!(seen.fields("x-forwarded-for"), ["127.0.0.1"], "{role:?}");
        assert_eq!(seen.fields("x-forwarded-proto"), ["http"], "{role:?}");
        assert_eq!(seen.fields("x-forwarded-host"), ["h"], "{role:?}");
        for name in ["x-real-ip", "x-forwarded-port", "forwarded"] {
            assert!(seen.field(name).is_none(), "{role:?} {name}");
        }
        let answer = world.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert!(is_hit(&answer), "{role:?}: one page for all");
    }
}

fn by_cookie(seen: &Seen) -> String {
    let cookies = seen.fields("cookie");
    cached(&cookies.join("|"), "Vary: Cookie\r\n")
}

#[tokio::test]
async fn crumbs_of_a_cookie_are_one_line() {
    for role in ROLES {
        let world = World::new(role, by_cookie).await;
        let crumbs: Vec<String> = (0..101).map(|n| format!("c{n}={n}")).collect();
        let mut request = Request::get("http://h/");
        for crumb in &crumbs {
            request = request.header("cookie", crumb);
        }
        let answer = ask_http2(world.plain, request.body(EdgeBody::empty()).expect("valid")).await;
        let line = crumbs.join("; ");
        assert_eq!(
            (answer.status().as_u16(), &answer.body()[..]),
            (200, line.as_bytes()),
            "{role:?}"
        );
        let answer = world
            .ask(&format!("GET / HTTP/1.1\r\nHost: h\r\nCookie: {line}\r\n\r\n"))
            .await;
        assert!(is_hit(&answer), "{role:?}: the same variant");
    }
}

/// What asks for another protocol that is not passed on is an ordinary request.
#[tokio::test]
async fn an_upgrade_that_is_not_passed_on_is_none() {
    fn plain(seen: &Seen) -> String {
        assert!(seen.field("upgrade").is_none(), "{}", seen.head);
        cached("page", "")
    }
    for role in ROLES {
        let world = World::new(role, plain).await;
        world.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        for fields in [
            "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
            "Upgrade: TLS/1.2\r\nConnection: Upgrade",
            "Upgrade: websocket",
        ] {
            let answer = world
                .ask(&format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n"))
                .await;
            assert!(is_hit(&answer), "{role:?} {fields}");
        }
    }
}

/// No key covers a body.
#[tokio::test]
async fn poi_07_a_get_with_a_body_goes_past_the_cache_with_it() {
    fn by_body(seen: &Seen) -> String {
        cached(&format!("body: {}", seen.body), "")
    }
    for role in ROLES {
        let world = World::new(role, by_body).await;
        let with_body = "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nevil";
        for _ in 0..2 {
            assert_eq!(world.ask(with_body).await.text(), "body: evil", "{role:?}");
        }
        let plain = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        assert_eq!(world.ask(plain).await.text(), "body: ", "{role:?}");
        assert_eq!(world.ask(with_body).await.text(), "body: evil", "{role:?}");
        let hit = world.ask(plain).await;
        assert_eq!((hit.text(), is_hit(&hit)), ("body: ", true), "{role:?}");
    }
}
