//! `serve` as a whole: both protocols on one port, leaving clients, upgrades, limits, drain, TLS.
#![cfg(feature = "serve")]

mod serve_support;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use gripstack::serve::{Drained, Limits, Listener, Peer, Refusal, serve};
use gripstack::{Drain, EdgeBody, Waiting};
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serve_support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

type Http2Sender = hyper::client::conn::http2::SendRequest<EdgeBody>;

async fn http2(addr: std::net::SocketAddr) -> Http2Sender {
    let stream = TcpStream::connect(addr).await.expect("connects");
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = soon(handshake).await.expect("a handshake");
    tokio::spawn(connection);
    sender
}

fn get(uri: &str) -> Request<EdgeBody> {
    Request::builder()
        .uri(uri)
        .body(EdgeBody::empty())
        .expect("a request")
}

async fn text(response: Response<hyper::body::Incoming>) -> String {
    let body = soon(response.into_body().collect())
        .await
        .expect("a body")
        .to_bytes();
    String::from_utf8(body.to_vec()).expect("text")
}

/// What is not yet sent lies in the kernel, of each reader that is slow.
#[tokio::test]
async fn a_reader_that_stands_still_takes_little_of_the_kernels_memory() {
    let given = Arc::new(AtomicUsize::new(0));
    let count = given.clone();
    let service = service(move |_| {
        let count = count.clone();
        async move {
            let frame = Bytes::from(vec![b'x'; 16 * 1024]);
            let frames = tokio_stream::iter(std::iter::repeat_with(move || {
                count.fetch_add(frame.len(), SeqCst);
                Ok::<_, std::convert::Infallible>(Frame::data(frame.clone()))
            }));
            Response::new(EdgeBody::new(StreamBody::new(frames)))
        }
    });
    let limits = Limits::new().stall(Duration::from_millis(300));
    let (addr, server) = start_tcp(service, limits).await;
    let mut client = connect(addr).await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    until("it is cut", || server.stats.stalled() == 1).await;
    let given = given.load(SeqCst);
    println!("{given} bytes");
    assert!(given <= 512 * 1024, "{given} bytes");
}

#[tokio::test]
async fn both_protocols_on_one_port() {
    let (service, _) = echo();
    let (addr, server) = start_tcp(service, Limits::default()).await;
    let mut one = connect(addr).await;
    one.send("GET /one HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(soon(one.answer()).await.text(), "GET /one \n");
    let mut two = http2(addr).await;
    let response = soon(two.send_request(get("http://a/two")))
        .await
        .expect("an answer");
    assert_eq!(text(response).await, "GET http://a/two \n");
    assert_eq!(
        (
            server.stats.accepted(),
            server.stats.open(),
            server.stats.requests()
        ),
        (2, 2, 2)
    );
    drop((one, two));
    until("both are closed", || server.stats.open() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_of_both_protocols_at_once() {
    let service = service(|request| async move {
        tokio::task::yield_now().await;
        let path = request.uri().path().to_owned();
        let body = request
            .into_body()
            .collect()
            .await
            .expect("a whole body")
            .to_bytes();
        tokio::task::yield_now().await;
        Response::new(EdgeBody::from(format!("{path} {}", body.len())))
    });
    let (addr, server) = start_tcp(service, Limits::default()).await;
    let mut clients = tokio::task::JoinSet::new();
    for n in 0..40 {
        clients.spawn(async move {
            if n % 2 == 0 {
                let mut client = connect(addr).await;
                let requests = (0..25).map(|m| {
                    format!(
                        "POST /{n}/{m} HTTP/1.1\r\nHost: a\r\nContent-Length: {m}\r\n\r\n{}",
                        "b".repeat(m)
                    )
                });
                client.send(requests.collect::<String>()).await;
                for m in 0..25 {
                    assert_eq!(soon(client.answer()).await.text(), format!("/{n}/{m} {m}"));
                }
            } else {
                let mut client = http2(addr).await;
                for m in 0..25 {
                    let response = soon(client.send_request(get(&format!("http://a/{n}/{m}")))).await;
                    assert_eq!(text(response.expect("an answer")).await, format!("/{n}/{m} 0"));
                }
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.expect("no panic");
    }
    assert_eq!(server.stats.requests(), 40 * 25);
    until("all are closed", || server.stats.open() == 0).await;
}

#[tokio::test]
async fn the_preface_may_come_byte_by_byte() {
    let (service, _) = echo();
    let (addr, _server) = start_tcp(service, Limits::default()).await;
    let mut client = connect(addr).await;
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0" {
        client.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    // A SETTINGS frame on stream 0.
    let frame = soon(client.bytes(9)).await;
    assert_eq!(frame[3..9], [4, 0, 0, 0, 0, 0]);
    let length = u32::from_be_bytes([0, frame[0], frame[1], frame[2]]);
    let settings = soon(client.bytes(length as usize)).await;
    // Extended CONNECT (RFC 8441 3), which no layer takes, is not offered.
    assert!(
        settings.chunks(6).all(|setting| setting[..2] != [0, 8]),
        "{settings:?}"
    );
}

#[tokio::test]
async fn an_http2_body_that_breaks_off_at_once_follows_its_head() {
    let service = service(|_| async { Response::new(EdgeBody::new(Broken)) });
    let (addr, _server) = start_tcp(service, Limits::default()).await;
    let mut client = http2(addr).await;
    let request = Request::get("http://a/").body(EdgeBody::empty()).expect("valid");
    let answer = soon(client.send_request(request)).await.expect("a head");
    assert_eq!(answer.status(), 200);
    assert!(soon(answer.into_body().collect()).await.is_err());
}

#[tokio::test]
async fn http2_requests_that_name_two_hosts_are_refused() {
    let (service, seen) = echo();
    let (addr, server) = start_tcp(service, Limits::default()).await;
    let mut client = http2(addr).await;
    for (hosts, reason) in [
        (&["b"][..], Refusal::HostMismatch),
        (&["a", "a"], Refusal::HostTwice),
    ] {
        let mut request = get("http://a/");
        for host in hosts {
            request
                .headers_mut()
                .append("host", host.parse().expect("a value"));
        }
        let response = soon(client.send_request(request)).await.expect("an answer");
        assert_eq!(response.status(), 400);
        assert!(response.headers().get("connection").is_none());
        assert_eq!(text(response).await, format!("400 Bad Request: {reason}\n"));
        assert_eq!(server.stats.refused(reason), 1);
    }
    assert_eq!(seen.load(SeqCst), 0);
    let mut request = get("http://a/");
    request
        .headers_mut()
        .append("host", "A:80".parse().expect("a value"));
    assert_eq!(
        soon(client.send_request(request))
            .await
            .expect("an answer")
            .status(),
        200
    );
}

/// What HTTP/1 could not carry goes no further: it would stand in the request line to the origin, and in logs.
#[tokio::test]
async fn http2_requests_have_the_targets_and_values_of_http_1() {
    let (service, seen) = echo();
    let (addr, server) = start_tcp(service, Limits::default()).await;
    let mut client = http2(addr).await;
    for target in ["http://a/\u{e4}", "http://a/b?\u{e4}", "http://a/\u{7f}"] {
        let Ok(uri) = target.parse::<http::Uri>() else {
            continue;
        };
        let request = Request::builder()
            .uri(uri)
            .body(EdgeBody::empty())
            .expect("a request");
        let answer = soon(client.send_request(request)).await.expect("an answer");
        assert_eq!(answer.status(), 400, "{target}");
    }
    assert!(server.stats.refused(Refusal::Target) >= 1);
    for value in [" x", "x ", "\tx", "x\t", " "] {
        let mut request = get("http://a/");
        request
            .headers_mut()
            .insert("x-value", value.parse().expect("a value"));
        let answer = soon(client.send_request(request)).await.expect("an answer");
        assert_eq!(answer.status(), 400, "{value:?}");
    }
    assert_eq!(server.stats.refused(Refusal::FieldValue), 5);
    assert_eq!(seen.load(SeqCst), 0);
    let mut request = get("http://a/%E4|b");
    request
        .headers_mut()
        .insert("x-value", "a b".parse().expect("a value"));
    request
        .headers_mut()
        .insert("x-empty", "".parse().expect("a value"));
    assert_eq!(
        soon(client.send_request(request))
            .await
            .expect("an answer")
            .status(),
        200
    );
}

#[tokio::test]
async fn http2_heads_have_limits_too() {
    let (service, seen) = echo();
    let (addr, _server) = start_tcp(service, Limits::default()).await;
    let mut client = http2(addr).await;
    let long = get(&format!("http://a/{}", "a".repeat(9_000)));
    assert_eq!(
        soon(client.send_request(long)).await.expect("an answer").status(),
        414
    );
    let mut many = get("http://a/");
    for n in 0..101 {
        many.headers_mut().append("x-many", n.into());
    }
    assert_eq!(
        soon(client.send_request(many)).await.expect("an answer").status(),
        431
    );
    let mut large = get("http://a/");
    for _ in 0..5 {
        large
            .headers_mut()
            .append("x-large", "a".repeat(8_000).parse().expect("a value"));
    }
    // The client knows the limit from our settings and may keep to it by itself.
    match soon(client.send_request(large)).await {
        Ok(response) => assert_eq!(response.status(), 431),
        Err(error) => assert!(error.is_user(), "{error}"),
    }
    assert_eq!(seen.load(SeqCst), 0);
}

/// A service that never answers; it tells when a request comes and when it is dropped.
fn stuck() -> (BoxService, mpsc::UnboundedReceiver<&'static str>) {
    struct Tell(mpsc::UnboundedSender<&'static str>);
    impl Drop for Tell {
        fn drop(&mut self) {
            let _ = self.0.send("dropped");
        }
    }
    let (tx, rx) = mpsc::unbounded_channel();
    let service = service(move |_| {
        let _ = tx.send("came");
        let tell = Tell(tx.clone());
        async move {
            let _tell = tell;
            std::future::pending().await
        }
    });
    (service, rx)
}

#[tokio::test]
async fn a_client_that_leaves_a_wait_is_noticed_also_with_pipelined_bytes() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for sent in [
        request.to_owned(),
        request.repeat(2),
        format!("{request}GET / HT"),
    ] {
        for (is_told_late, closes) in [(false, false), (false, true), (true, false), (true, true)] {
            let (service, mut events) = stuck();
            let (told, tell) = tokio::sync::watch::channel(!is_told_late);
            let service = tower::ServiceBuilder::new()
                .map_request(move |request: Request<EdgeBody>| {
                    let waiting = request.extensions().get::<Waiting>().expect("of HTTP/1").clone();
                    let mut tell = tell.clone();
                    tokio::spawn(async move {
                        tell.wait_for(|told| *told).await.expect("the test tells");
                        waiting.begin();
                    });
                    request
                })
                .service(service);
            let (addr, server) = start_tcp(BoxService::new(service), Limits::default()).await;
            let mut client = connect(addr).await;
            client.send(&sent).await;
            assert_eq!(soon(events.recv()).await, Some("came"));
            // Half-closing counts as leaving.
            soon(client.io.shutdown()).await.expect("a socket");
            let _client = (!closes).then_some(client);
            if is_told_late {
                tokio::task::yield_now().await;
                assert_eq!(server.stats.open(), 1);
                told.send_replace(true);
            }
            assert_eq!(soon(events.recv()).await, Some("dropped"), "{sent:?}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_reset_is_noticed() {
    let (service, mut events) = stuck();
    let (addr, _server) = start_tcp(service, Limits::default()).await;
    let mut client = connect(addr).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(soon(events.recv()).await, Some("came"));
    client.io.set_zero_linger().expect("a socket");
    drop(client);
    assert_eq!(soon(events.recv()).await, Some("dropped"));
}

/// As `nc -N` does, and publishers of the style of HTTP/1.0.
#[tokio::test]
async fn who_ends_its_side_behind_its_request_is_answered() {
    let (came, mut coming) = mpsc::unbounded_channel();
    let (release, gate) = tokio::sync::watch::channel(false);
    let service = service(move |request| {
        let (came, mut gate) = (came.clone(), gate.clone());
        async move {
            let path = request.uri().path().to_owned();
            let Ok(body) = request.into_body().collect().await else {
                return Response::new(EdgeBody::from("cut off"));
            };
            came.send(()).expect("the test listens");
            gate.wait_for(|open| *open).await.expect("released");
            let text = format!("{path} {}", String::from_utf8_lossy(&body.to_bytes()));
            // The body goes on after the head, as a download does.
            let frames = futures_of([text, "!".to_owned()]);
            Response::new(EdgeBody::new(frames))
        }
    });
    let (addr, server) = start_tcp(service, Limits::default()).await;
    let post = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    let old = "POST /a HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi";
    for (sent, is_later) in [(post, false), (post, true), (old, false), (old, true)] {
        release.send_replace(false);
        let mut client = connect(addr).await;
        client.send(sent).await;
        if is_later {
            soon(coming.recv()).await;
            soon(client.io.shutdown()).await.expect("a socket");
        } else {
            soon(client.io.shutdown()).await.expect("a socket");
            soon(coming.recv()).await;
        }
        // Time for the end to be noticed.
        until("all is read", || server.stats.open() == 1).await;
        release.send_replace(true);
        let answer = String::from_utf8(soon(client.rest()).await).expect("text");
        assert!(
            answer.contains(" 200 OK\r\n") && answer.contains("/a hi"),
            "{sent}: {answer}"
        );
        assert!(answer.trim_end().ends_with(['!', '0']), "to its end: {answer}");
        until("it is closed", || server.stats.open() == 0).await;
    }

    // What was pipelined before the end is answered, too; what was cut off is not.
    release.send_replace(true);
    let mut client = connect(addr).await;
    client.send(format!("{post}{post}GET / HT")).await;
    soon(client.io.shutdown()).await.expect("a socket");
    for _ in 0..2 {
        assert_eq!(soon(client.answer()).await.text(), "/a hi!");
    }
    assert_eq!(soon(client.rest()).await, b"");
    // Nor is a request whose body was.
    let mut client = connect(addr).await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nhi")
        .await;
    soon(client.io.shutdown()).await.expect("a socket");
    let answer = String::from_utf8(soon(client.rest()).await).expect("text");
    assert!(!answer.contains("POST"), "{answer}");
    assert!(answer.is_empty() || answer.ends_with("cut off"), "{answer}");
}

/// A body of these, one by one.
fn futures_of(
    texts: [String; 2],
) -> StreamBody<impl tokio_stream::Stream<Item = Result<Frame<Bytes>, gripstack::BoxError>>> {
    let (tx, rx) = mpsc::channel(1);
    tokio::spawn(async move {
        for text in texts {
            tokio::task::yield_now().await;
            let _ = tx.send(Ok(Frame::data(Bytes::from(text)))).await;
        }
    });
    StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(rx))
}

#[tokio::test]
async fn an_http2_stream_that_is_reset_is_noticed() {
    let (service, mut events) = stuck();
    let (addr, _server) = start_tcp(service, Limits::default()).await;
    let mut client = http2(addr).await;
    let answer = tokio::spawn(client.send_request(get("http://a/")));
    assert_eq!(soon(events.recv()).await, Some("came"));
    answer.abort();
    assert_eq!(soon(events.recv()).await, Some("dropped"));
}

/// Upgrades and echoes what comes, in capitals; refuses on other paths.
fn upgrading() -> BoxService {
    service(|mut request| async move {
        if request.uri().path() == "/no" {
            return Response::new(EdgeBody::from("stay"));
        }
        let is_connect = request.method() == http::Method::CONNECT;
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut io = TokioIo::new(upgrade.await.expect("upgraded"));
            let mut buf = [0; 1024];
            while let Ok(n @ 1..) = io.read(&mut buf).await {
                buf[..n].make_ascii_uppercase();
                io.write_all(&buf[..n]).await.expect("written");
            }
        });
        let mut response = Response::new(EdgeBody::empty());
        if !is_connect {
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let headers = response.headers_mut();
            headers.insert("connection", "upgrade".parse().expect("a value"));
            headers.insert("upgrade", "shout".parse().expect("a value"));
        }
        response
    })
}

#[tokio::test]
async fn upgrades_pass_through_both_ways() {
    let (addr, server) = start_tcp(upgrading(), Limits::default()).await;
    for head in [
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: shout\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
    ] {
        // What comes before the answer belongs to the new protocol, whatever it looks like.
        let mut client = connect(addr).await;
        client.send(format!("{head}early\n\0\r\n")).await;
        let head = soon(client.head()).await;
        assert!(
            head.starts_with("HTTP/1.1 101 ") || head.starts_with("HTTP/1.1 200 "),
            "{head}"
        );
        assert_eq!(soon(client.bytes(9)).await, b"EARLY\n\0\r\n");
        client.send("later").await;
        assert_eq!(soon(client.bytes(5)).await, b"LATER");
        assert_eq!(server.stats.open(), 1, "an upgraded connection counts as open");
        soon(client.io.shutdown()).await.expect("a socket");
        assert_eq!(soon(client.rest()).await, b"");
        until("it is closed", || server.stats.open() == 0).await;
    }
}

#[tokio::test]
async fn after_an_upgrade_that_was_refused_http_goes_on_strictly() {
    let (addr, server) = start_tcp(upgrading(), Limits::default()).await;
    let mut client = connect(addr).await;
    let ask =
        "POST /no HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\nhi";
    client
        .send(format!("{ask}{ask}GET / HTTP/1.1\nHost: a\n\n"))
        .await;
    assert_eq!(soon(client.answer()).await.text(), "stay");
    assert_eq!(soon(client.answer()).await.text(), "stay");
    assert_eq!(soon(client.answer()).await.status(), 400);
    assert_eq!(soon(client.rest()).await, b"");
    assert_eq!(server.stats.refused(Refusal::BareLf), 1);
}

#[tokio::test]
async fn peer_drain_and_hook_reach_the_service() {
    let service = service(|request| async move {
        let extensions = request.extensions();
        let peer = extensions.get::<Peer>().expect("a peer");
        let begun = extensions.get::<Drain>().expect("a drain").has_begun();
        let hooked = request.headers()["x-hook"].to_str().expect("text");
        let text = format!("{} {} {} {begun} {hooked}", peer.remote, peer.local, peer.tls);
        Response::new(EdgeBody::from(text))
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let addr = listener.local_addr().expect("bound");
    let server = serve(listener, service).on_request(|peer, parts| {
        let port = peer.remote.port();
        parts.headers.insert("x-hook", port.into());
    });
    let _server = Server::start(server, PATIENCE);
    let mut client = connect(addr).await;
    let local = client.io.local_addr().expect("connected");
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(
        soon(client.answer()).await.text(),
        format!("{local} {addr} false false {}", local.port())
    );
}

#[tokio::test]
async fn errors_are_502_and_panics_500_and_their_reason_stays_here() {
    #[derive(Debug, thiserror::Error)]
    #[error("no route")]
    struct Cause(#[source] io::Error);
    let service = tower::service_fn(|request: Request<EdgeBody>| async move {
        match request.uri().path() {
            "/error" => Err(gripstack::BoxError::from(Cause(io::Error::other("cable\r\ncut")))),
            "/panic" => panic!("on purpose"),
            _ => Ok(Response::new(EdgeBody::from("well"))),
        }
    });
    let (addr, server) = start_tcp(BoxService::new(service), Limits::default()).await;
    let mut client = connect(addr).await;
    client.send("GET /error HTTP/1.1\r\nHost: a\r\n\r\nGET /panic HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = soon(client.answer()).await;
    assert_eq!(
        (answer.status(), answer.text()),
        (502, "502 Bad Gateway: the service failed\n")
    );
    let answer = soon(client.answer()).await;
    assert_eq!(
        (answer.status(), answer.text()),
        (500, "500 Internal Server Error: the service panicked\n")
    );
    assert_eq!(soon(client.answer()).await.text(), "well");
    let mut two = http2(addr).await;
    let status = async |two: &mut Http2Sender, path| {
        soon(two.send_request(get(path)))
            .await
            .expect("an answer")
            .status()
            .as_u16()
    };
    assert_eq!(status(&mut two, "http://a/panic").await, 500);
    assert_eq!(status(&mut two, "http://a/").await, 200);
    assert_eq!((server.stats.failed(), server.stats.panicked()), (1, 2));
}

#[tokio::test]
async fn beyond_the_connections_allowed_accepting_pauses() {
    let (service, _) = echo();
    let mut limits = Limits::default();
    limits.connections = 2;
    let (addr, server) = start_tcp(service, limits).await;
    let mut one = connect(addr).await;
    let mut two = connect(addr).await;
    for client in [&mut one, &mut two] {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        soon(client.answer()).await;
    }
    let mut three = connect(addr).await;
    three.send("GET /3 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until("it pauses", || server.stats.paused() == 1).await;
    assert_eq!((server.stats.open(), server.stats.accepted()), (2, 2));
    drop(one);
    assert_eq!(soon(three.answer()).await.text(), "GET /3 \n");
    assert_eq!((server.stats.open(), server.stats.accepted()), (2, 3));
    // Each waits for the one before it: still the same pause.
    let mut last = three;
    for _ in 0..3 {
        let mut next = connect(addr).await;
        next.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        drop(last);
        soon(next.answer()).await;
        last = next;
    }
    assert_eq!(server.stats.paused(), 1);
    drop((last, two));
    until("there is room", || server.stats.open() == 0).await;
    let mut four = connect(addr).await;
    four.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    soon(four.answer()).await;
    assert_eq!(server.stats.paused(), 1);
    let _five = connect(addr).await;
    until("another begins", || server.stats.paused() == 2).await;
}

#[tokio::test]
async fn a_client_has_so_many_connections_and_no_more() {
    let (service, _) = echo();
    let (addr, server) = start_tcp(service, Limits::default().connections_per_client(2)).await;
    let ask = async || {
        let mut client = connect(addr).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = soon(client.answer()).await;
        assert_eq!(answer.status(), 200);
        client
    };
    let one = ask().await;
    let _two = ask().await;
    let mut three = connect(addr).await;
    let _ = soon(three.io.read(&mut [0; 16]))
        .await
        .map(|read| assert_eq!(read, 0));
    assert_eq!(server.stats.over_client_limit(), 1);
    drop(one);
    until("it is closed", || server.stats.open() == 1).await;
    let _three = ask().await;
    assert_eq!(server.stats.over_client_limit(), 1);
}

#[tokio::test]
async fn connections_of_trusted_proxies_are_those_of_many_clients() {
    let (service, _) = echo();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let addr = listener.local_addr().expect("bound");
    let server = serve(listener, service)
        .limits(Limits::default().connections_per_client(1))
        .trusted_proxies("127.0.0.1".parse().expect("a network"))
        .proxy_protocol(true);
    let server = Server::start(server, PATIENCE);
    let from = async |client: &str| {
        let mut proxy = connect(addr).await;
        let header = format!("PROXY TCP4 {client} 192.0.2.9 1000 80\r\n");
        let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        // What is closed at once may not take all of it.
        let _ = proxy.io.write_all(format!("{header}{request}").as_bytes()).await;
        let mut first = [0; 4];
        let read = soon(proxy.io.read(&mut first)).await.unwrap_or(0);
        (read > 0, proxy)
    };
    let kept = [from("192.0.2.1").await, from("192.0.2.2").await];
    assert!(kept.iter().all(|(is_answered, _)| *is_answered));
    assert!(!from("192.0.2.1").await.0);
    assert_eq!(server.stats.over_client_limit(), 1);
}

/// Fails some times before each connection.
struct Failing<L> {
    listener: L,
    errors: Arc<AtomicUsize>,
}

impl<L: Listener> Listener for Failing<L> {
    type Io = L::Io;

    async fn accept(&mut self) -> io::Result<(L::Io, Peer)> {
        let left = self.errors.load(SeqCst);
        if left > 0 {
            self.errors.store(left - 1, SeqCst);
            return Err(io::Error::from_raw_os_error(24));
        }
        self.listener.accept().await
    }
}

#[tokio::test(start_paused = true)]
async fn errors_of_accept_back_off_and_are_counted() {
    let (service, _) = echo();
    let (pipes, listener) = Pipes::new();
    let errors = Arc::new(AtomicUsize::new(10));
    let failing = Failing {
        listener,
        errors: errors.clone(),
    };
    let server = Server::start(serve(failing, service), PATIENCE);
    let start = tokio::time::Instant::now();
    let mut client = pipes.connect(4096);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!(answer.text(), "GET / \n");
    assert_eq!(server.stats.accept_errors(), 10);
    // 5 ms, doubled up to 1 s.
    assert_eq!(
        start.elapsed().as_millis(),
        5 + 10 + 20 + 40 + 80 + 160 + 320 + 640 + 1_000 + 1_000
    );
}

/// Holds: a chunk, then nothing until the drain begins, then a last chunk.
fn holding() -> BoxService {
    service(|request| async move {
        let drain = request.extensions().get::<Drain>().expect("a drain").clone();
        let (tx, rx) = mpsc::channel::<Result<Frame<Bytes>, gripstack::BoxError>>(2);
        tx.try_send(Ok(Frame::data(Bytes::from_static(b"first"))))
            .expect("room");
        tokio::spawn(async move {
            drain.begun().await;
            let _ = tx.send(Ok(Frame::data(Bytes::from_static(b"last")))).await;
        });
        Response::new(EdgeBody::new(StreamBody::new(
            tokio_stream::wrappers::ReceiverStream::new(rx),
        )))
    })
}

#[tokio::test]
async fn a_drain_ends_holds_then_connections_and_resolves() {
    let (addr, mut server) = start_tcp(holding(), Limits::default()).await;
    let mut one = connect(addr).await;
    one.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    soon(one.head()).await;
    assert_eq!(soon(one.bytes(10)).await, b"5\r\nfirst\r\n");
    let mut two = http2(addr).await;
    let mut held = soon(two.send_request(get("http://a/")))
        .await
        .expect("an answer")
        .into_body();
    soon(held.frame()).await.expect("a frame").expect("no error");
    let mut silent = connect(addr).await;
    let mut half = connect(addr).await;
    half.send("GET / HTTP/1.1\r\nHo").await;
    until("all are there", || server.stats.open() == 4).await;

    server.begin_drain();
    assert_eq!(soon(one.rest()).await, b"4\r\nlast\r\n0\r\n\r\n");
    let last = soon(held.collect()).await.expect("a clean end").to_bytes();
    assert_eq!(last, "last");
    assert_eq!(soon(silent.rest()).await, b"");
    assert_eq!(soon(half.rest()).await, b"");
    until("GOAWAY came", || two.is_closed()).await;
    assert!(TcpStream::connect(addr).await.is_err(), "the listener is closed");
    let stats = server.stats.clone();
    let drained = server.drained().await;
    assert_eq!((drained.cut, drained.left, stats.open()), (0, 0, 0));
}

/// What is sent here goes to the kernel while no task of the server runs.
fn send_at_once(addr: std::net::SocketAddr, request: &str) -> std::net::TcpStream {
    use std::io::Write;
    let mut stream = std::net::TcpStream::connect(addr).expect("connects");
    stream.write_all(request.as_bytes()).expect("the kernel has room");
    stream
}

fn of_std(stream: std::net::TcpStream) -> Raw<TcpStream> {
    stream.set_nonblocking(true).expect("a socket");
    Raw::new(TcpStream::from_std(stream).expect("a socket"))
}

#[tokio::test]
async fn what_was_sent_whole_before_a_drain_is_answered() {
    let (service, _) = echo();
    let (addr, mut server) = start_tcp(service, Limits::default()).await;
    let mut kept = connect(addr).await;
    kept.send("GET /kept HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(soon(kept.answer()).await.text(), "GET /kept \n");
    let mut two = http2(addr).await;
    let answer = soon(two.send_request(get("http://a/"))).await.expect("an answer");
    assert_eq!(answer.status(), 200);

    // From here to the drain nothing is awaited: the server has not even accepted these.
    let post = "POST /fresh HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    let fresh: Vec<_> = (0..50).map(|_| send_at_once(addr, post)).collect();
    let kept = {
        use std::io::Write;
        let mut stream = kept.io.into_std().expect("a socket");
        stream
            .write_all(b"GET /again HTTP/1.1\r\nHost: a\r\n\r\n")
            .expect("the kernel has room");
        of_std(stream)
    };
    server.begin_drain();

    for (client, text) in fresh
        .into_iter()
        .map(|stream| (of_std(stream), "POST /fresh hi\n"))
        .chain([(kept, "GET /again \n")])
    {
        let mut client = client;
        let answer = soon(client.answer()).await;
        assert_eq!((answer.text(), answer.field("connection")), (text, Some("close")));
        assert_eq!(soon(client.rest()).await, b"");
    }
    until("GOAWAY came", || two.is_closed()).await;
    let drained = server.drained().await;
    assert_eq!((drained.cut, drained.left), (0, 0));
}

#[tokio::test]
async fn who_waits_for_room_when_a_drain_begins_gets_that_of_an_idle_client() {
    let (service, _) = echo();
    let (addr, mut server) = start_tcp(service, Limits::default().connections(1)).await;
    let mut idle = connect(addr).await;
    idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    soon(idle.answer()).await;
    let waiting = send_at_once(addr, "GET /late HTTP/1.1\r\nHost: a\r\n\r\n");
    server.begin_drain();
    assert_eq!(soon(of_std(waiting).answer()).await.text(), "GET /late \n");
    assert_eq!(server.drained().await.cut, 0);
}

#[tokio::test]
async fn who_waits_for_room_when_a_drain_begins_gets_that_of_a_hold() {
    let (addr, mut server) = start_tcp(holding(), Limits::default().connections(1)).await;
    let mut held = connect(addr).await;
    held.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    soon(held.head()).await;
    let waiting = send_at_once(addr, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    server.begin_drain();
    assert!(soon(held.rest()).await.ends_with(b"4\r\nlast\r\n0\r\n\r\n"));
    assert_eq!(soon(of_std(waiting).answer()).await.text(), "firstlast");
    assert_eq!(server.drained().await.cut, 0);
}

#[tokio::test]
async fn a_request_under_way_is_answered_in_a_drain_with_connection_close() {
    let (release, gate) = tokio::sync::watch::channel(false);
    let (came, mut coming) = mpsc::unbounded_channel();
    let service = service(move |_| {
        let mut gate = gate.clone();
        came.send(()).expect("the test listens");
        async move {
            gate.wait_for(|open| *open).await.expect("released");
            Response::new(EdgeBody::from("done"))
        }
    });
    let (addr, mut server) = start_tcp(service, Limits::default()).await;
    let mut client = connect(addr).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    soon(coming.recv()).await;
    server.begin_drain();
    until("it no longer accepts", || {
        std::net::TcpStream::connect(addr).is_err()
    })
    .await;
    // The listener closes a moment before connections are told.
    tokio::task::yield_now().await;
    release.send_replace(true);
    let answer = soon(client.answer()).await;
    assert_eq!(
        (answer.text(), answer.field("connection")),
        ("done", Some("close"))
    );
    assert_eq!(soon(client.rest()).await, b"");
    assert_eq!(server.drained().await.cut, 0);
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_what_is_left_is_cut() {
    let (service, mut events) = stuck();
    let (pipes, listener) = Pipes::new();
    let mut server = Server::start(serve(listener, service), Duration::from_secs(30));
    let mut client = pipes.connect(4096);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(events.recv().await, Some("came"));
    let start = tokio::time::Instant::now();
    server.begin_drain();
    assert_eq!(events.recv().await, Some("dropped"));
    assert_eq!(start.elapsed().as_secs(), 30);
    let Drained { cut, left, .. } = server.drained().await;
    assert_eq!((cut, left), (1, 0));
}

#[tokio::test]
async fn dropping_the_server_cuts_its_connections() {
    let (service, mut events) = stuck();
    let (addr, server) = start_tcp(service, Limits::default()).await;
    let mut client = connect(addr).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(soon(events.recv()).await, Some("came"));
    let stats = server.stats.clone();
    drop(server);
    assert_eq!(soon(events.recv()).await, Some("dropped"));
    until("all are gone", || stats.open() == 0).await;
}

#[cfg(feature = "tls")]
mod tls {
    use std::net::SocketAddr;

    use gripstack::serve::{Parking, Tls};
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};
    use tokio_rustls::{TlsConnector, client::TlsStream};

    use super::*;

    struct Identity {
        der: CertificateDer<'static>,
        chain: String,
        key: String,
    }

    fn identity() -> Identity {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("made");
        Identity {
            der: made.cert.der().clone(),
            chain: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
        }
    }

    async fn connect(
        addr: SocketAddr,
        trusted: &Identity,
        alpn: &[&str],
    ) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.der.clone()).expect("a certificate");
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(addr).await?;
        let name = ServerName::try_from("localhost").expect("a name");
        soon(TlsConnector::from(Arc::new(config)).connect(name, stream)).await
    }

    async fn start(tls: Tls) -> (SocketAddr, Server) {
        let service = service(|request| async move {
            let peer = request.extensions().get::<Peer>().expect("a peer");
            let scheme = request
                .extensions()
                .get::<http::uri::Scheme>()
                .map_or("-", |scheme| scheme.as_str());
            Response::new(EdgeBody::from(format!(
                "{:?} {} {scheme}",
                request.version(),
                peer.tls
            )))
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let addr = listener.local_addr().expect("bound");
        (addr, Server::start(serve(listener, service).tls(tls), PATIENCE))
    }

    #[tokio::test]
    async fn both_protocols_by_alpn_and_reload() {
        let (old, new) = (identity(), identity());
        let tls = Tls::from_pem(old.chain.as_bytes(), old.key.as_bytes()).expect("it fits");
        let (addr, server) = start(tls.clone()).await;

        let stream = connect(addr, &old, &["h2", "http/1.1"])
            .await
            .expect("a handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .expect("h2");
        tokio::spawn(connection);
        let response = soon(sender.send_request(get("https://localhost/")))
            .await
            .expect("an answer");
        assert_eq!(text(response).await, "HTTP/2.0 true https");

        for alpn in [&["http/1.1"][..], &[]] {
            let mut client = Raw::new(connect(addr, &old, alpn).await.expect("a handshake"));
            client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
            assert_eq!(soon(client.answer()).await.text(), "HTTP/1.1 true https");
        }

        assert!(
            tls.reload_pem(new.chain.as_bytes(), old.key.as_bytes()).is_err(),
            "a key that does not fit"
        );
        connect(addr, &old, &[]).await.expect("the old one stays");
        tls.reload_pem(new.chain.as_bytes(), new.key.as_bytes())
            .expect("it fits");
        connect(addr, &new, &[]).await.expect("the new one counts");
        connect(addr, &old, &[]).await.expect_err("the old one is gone");
        until("the failed handshake is counted", || {
            server.stats.handshake_failures() == 1
        })
        .await;
    }

    #[tokio::test]
    async fn who_agreed_on_http2_speaks_nothing_else() {
        let identity = identity();
        let tls = Tls::from_pem(identity.chain.as_bytes(), identity.key.as_bytes()).expect("valid");
        let (addr, server) = start(tls).await;
        for sent in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "PRI * HTTP/1.1\r\nHost: a\r\n\r\n",
        ] {
            let mut stream = connect(addr, &identity, &["h2"]).await.expect("a handshake");
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            stream.write_all(sent.as_bytes()).await.expect("it is open");
            let mut answer = Vec::new();
            // However it ends.
            let _ = soon(stream.read_to_end(&mut answer)).await;
            assert_eq!(answer, b"");
        }
        until("both are closed", || server.stats.open() == 0).await;
        assert_eq!(
            (server.stats.requests(), server.stats.handshake_failures()),
            (0, 2)
        );
    }

    #[tokio::test]
    async fn a_refusal_and_plain_text_on_tls() {
        let identity = identity();
        let tls = Tls::from_pem(identity.chain.as_bytes(), identity.key.as_bytes()).expect("it fits");
        let (addr, server) = start(tls).await;
        let mut client = Raw::new(connect(addr, &identity, &[]).await.expect("a handshake"));
        client.send("GET / HTTP/1.1\nHost: a\n\n").await;
        assert_eq!(
            soon(client.answer()).await.text(),
            "400 Bad Request: a line ends in a bare LF\n"
        );
        assert_eq!(soon(client.rest()).await, b"");

        let mut plain = TcpStream::connect(addr).await.expect("connects");
        plain
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .expect("written");
        let mut rest = Vec::new();
        // An alert, or a reset, but no HTTP.
        let _ = soon(plain.read_to_end(&mut rest)).await;
        assert!(!rest.starts_with(b"HTTP"));
        until("the failed handshake is counted", || {
            server.stats.handshake_failures() == 1
        })
        .await;
    }

    #[tokio::test]
    async fn a_held_answer_is_parked_and_goes_on() {
        let identity = identity();
        for parking in [Parking::Off, Parking::Tasks, Parking::Lots] {
            let tls = Tls::from_pem(identity.chain.as_bytes(), identity.key.as_bytes()).expect("it fits");
            let (tell, told) = tokio::sync::mpsc::unbounded_channel::<Bytes>();
            let told = Arc::new(parking_lot::Mutex::new(Some(told)));
            let service = service(move |_| {
                let told = told.lock().take().expect("asked once");
                let frames = tokio_stream::wrappers::UnboundedReceiverStream::new(told);
                let frames =
                    tokio_stream::StreamExt::map(frames, |data| Ok::<_, io::Error>(Frame::data(data)));
                let mut response = Response::new(EdgeBody::new(StreamBody::new(frames)));
                response.extensions_mut().insert(gripstack::body::Held);
                async move { response }
            });
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
            let addr = listener.local_addr().expect("bound");
            let server = Server::start(serve(listener, service).tls(tls).parking(parking), PATIENCE);
            let mut client = Raw::new(connect(addr, &identity, &[]).await.expect("a handshake"));
            client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
            let head = soon(client.head()).await;
            assert!(head.contains("transfer-encoding: chunked"), "{head}");
            if parking != Parking::Off {
                until("it is parked", || server.stats.parked() == 1).await;
            }
            let mut sent = Vec::new();
            for len in [1, 100, 16_384, 1_000_000] {
                let data = vec![b'a' + (len % 7) as u8; len];
                sent.extend_from_slice(&data);
                tell.send(data.into()).expect("held");
                tokio::task::yield_now().await;
            }
            drop(tell);
            let mut got = Vec::new();
            loop {
                let size = soon(client.line()).await;
                let size = usize::from_str_radix(&size, 16).expect("a size");
                let chunk = soon(client.bytes(size + 2)).await;
                got.extend_from_slice(&chunk[..size]);
                if size == 0 {
                    break;
                }
            }
            assert!(got == sent, "{} of {}", got.len(), sent.len());
            // With close_notify: the end is one.
            assert_eq!(soon(client.rest()).await, b"");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_has_ten_seconds() {
        let identity = identity();
        let tls = Tls::from_pem(identity.chain.as_bytes(), identity.key.as_bytes()).expect("it fits");
        let (service, _) = echo();
        let (pipes, listener) = Pipes::new();
        let server = Server::start(serve(listener, service).tls(tls), PATIENCE);
        let mut client = pipes.connect(4096);
        let start = tokio::time::Instant::now();
        client.send(b"\x16\x03\x01").await;
        assert_eq!(client.rest().await, b"");
        assert_eq!(start.elapsed().as_secs(), 10);
        assert_eq!(server.stats.handshake_failures(), 1);
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let identity = identity();
        assert!(Tls::from_pem(b"nothing", identity.key.as_bytes()).is_err());
        assert!(Tls::from_pem(identity.chain.as_bytes(), b"nothing").is_err());
    }
}
