//! HTTP/1 in bytes: what is refused, how, and that the service never sees it.
#![cfg(feature = "serve")]

mod serve_support;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use bytes::Bytes;
use gripstack::serve::{Limits, Parking, Peer, Refusal, serve};
use gripstack::{ClientInfo, EdgeBody};
use http::uri::Scheme;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use serve_support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Sends bytes on a fresh connection and expects one refusal, then the end. The service must not be called.
async fn assert_refused(bytes: &[u8], reason: Refusal) {
    let (service, seen) = echo();
    let (addr, server) = start_tcp(service, Limits::default()).await;
    let mut client = connect(addr).await;
    client.send(bytes).await;
    let what = bytes[..bytes.len().min(200)].escape_ascii().to_string();
    let answer = soon(client.answer()).await;
    assert_eq!(answer.status(), reason.status().as_u16(), "{what}");
    assert_eq!(answer.field("connection"), Some("close"), "{what}");
    assert_eq!(
        answer.field("content-type"),
        Some("text/plain; charset=utf-8"),
        "{what}"
    );
    assert_eq!(
        answer.text(),
        format!("{}: {reason}\n", reason.status()),
        "{what}"
    );
    assert_eq!(soon(client.rest()).await, b"", "nothing after it: {what}");
    assert_eq!(server.stats.refused(reason), 1, "{what}");
    assert_eq!(seen.load(SeqCst), 0, "the service saw {what}");
    assert_eq!(server.stats.requests(), 0, "{what}");
}

#[tokio::test]
async fn smuggling_shapes_are_refused_and_never_seen() {
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for (bytes, reason) in [
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            Refusal::LengthAndCoding,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
            Refusal::LengthAndCoding,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\n",
            Refusal::LengthTwice,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
            Refusal::LengthTwice,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 0\r\n\r\n",
            Refusal::LengthInvalid,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n",
            Refusal::LengthInvalid,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
            Refusal::LengthInvalid,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
            Refusal::CodingInvalid,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
            Refusal::CodingInvalid,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
            Refusal::CodingInvalid,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            Refusal::CodingUnknown,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
            Refusal::CodingInvalid,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n",
            Refusal::SpaceBeforeColon,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \u{b}chunked\r\n\r\n",
            Refusal::ControlCharacter,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n",
            Refusal::FoldedLine,
        ),
        (
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            Refusal::CodingInOldVersion,
        ),
        ("GET / HTTP/1.1\nHost: a\n\n", Refusal::BareLf),
        ("GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", Refusal::BareLf),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: y\rZ: w\r\n\r\n", Refusal::BareCr),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
            Refusal::ControlCharacter,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
            Refusal::FoldedLine,
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Refusal::HostTwice),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Refusal::HostTwice),
        ("GET / HTTP/1.1\r\nX: y\r\n\r\n", Refusal::HostMissing),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Refusal::HostInvalid),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", Refusal::Version),
        ("GET /\r\n\r\n", Refusal::RequestLine),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0", Refusal::ControlCharacter),
    ] {
        assert_refused(format!("{bytes}{smuggled}").as_bytes(), reason).await;
    }
}

#[tokio::test]
async fn what_is_refused_is_told() {
    let (service, _) = echo();
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = told.clone();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("loopback");
    let addr = listener.local_addr().expect("bound");
    let server = serve(listener, service).on_refusal(move |refused| tell.lock().push(refused.clone()));
    let _server = Server::start(server, PATIENCE);
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(9_000));
    for (sent, reason, method, target) in [
        (
            "GET /a?b HTTP/1.1\r\nHost: a b\r\n\r\n",
            Refusal::HostInvalid,
            Some("GET"),
            Some("/a?b"),
        ),
        (
            &long,
            Refusal::TargetTooLong,
            Some("GET"),
            Some(&long[4..4 + 1024]),
        ),
        ("\x16\x03\x01", Refusal::ControlCharacter, None, None),
        (
            "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            Refusal::ChunkSize,
            Some("POST"),
            Some("/c"),
        ),
        // What is checked behind hyper.
        (
            "GET http://a:99999/d HTTP/1.1\r\nHost: a\r\n\r\n",
            Refusal::Target,
            Some("GET"),
            Some("http://a:99999/d"),
        ),
    ] {
        let mut client = connect(addr).await;
        client.send(sent).await;
        assert_eq!(
            soon(client.answer()).await.status(),
            reason.status().as_u16(),
            "{sent}"
        );
        let told = std::mem::take(&mut *told.lock());
        let [refused] = &told[..] else {
            panic!("once: {told:?}");
        };
        assert_eq!(
            (
                refused.reason,
                refused.method.as_ref().map(http::Method::as_str),
                refused.target.as_deref()
            ),
            (reason, method, target)
        );
        assert_eq!(refused.peer.remote, client.io.local_addr().expect("connected"));
    }
}

#[tokio::test]
async fn a_bad_chunk_ends_the_body_and_the_connection() {
    for (body, reason) in [
        ("10000000000000000\r\nx", Refusal::ChunkSize),
        ("fffffffffffffffff\r\nx", Refusal::ChunkSize),
        ("-1\r\nx", Refusal::ChunkSize),
        ("0x1\r\nx\r\n0\r\n\r\n", Refusal::ChunkSize),
        ("1 \r\nx\r\n0\r\n\r\n", Refusal::ChunkSize),
        ("1\nx\r\n0\r\n\r\n", Refusal::ChunkSize),
        ("1\r\nxy\r\n0\r\n\r\n", Refusal::ChunkFraming),
        ("1\r\nx\n0\r\n\r\n", Refusal::ChunkFraming),
        ("1;a\nb\r\nx\r\n0\r\n\r\n", Refusal::ChunkFraming),
        ("0\r\nA: b\n\r\n", Refusal::Trailers),
        ("0\r\nA : b\r\n\r\n", Refusal::Trailers),
    ] {
        // The body fails for a service that reads it; what it answers then counts for nothing.
        let service = service(|request| async move {
            let result = request.into_body().collect().await;
            assert!(result.is_err(), "the service must not get a whole body");
            Response::new(EdgeBody::from("all is well"))
        });
        let (addr, server) = start_tcp(service, Limits::default()).await;
        let mut client = connect(addr).await;
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        client
            .send(format!("{head}{body}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
        let answer = soon(client.answer()).await;
        assert_eq!(answer.status(), 400, "{body:?}");
        assert_eq!(answer.text(), format!("400 Bad Request: {reason}\n"), "{body:?}");
        assert_eq!(answer.field("connection"), Some("close"), "{body:?}");
        assert_eq!(soon(client.rest()).await, b"", "{body:?}");
        assert_eq!(server.stats.refused(reason), 1, "{body:?}");
        assert_eq!(server.stats.requests(), 1, "{body:?}");
    }
}

#[tokio::test]
async fn a_head_too_large_is_answered_and_not_reset_unread() {
    let mut long = b"GET /".to_vec();
    long.resize(9_000, b'a');
    assert_refused(&long, Refusal::TargetTooLong).await;

    let mut many = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
    many.extend_from_slice(&b"A: b\r\n".repeat(101));
    assert_refused(&many, Refusal::TooManyFields).await;

    // The client is still sending when it is refused, far more than the limit, and yet gets its answer.
    let mut large = b"GET / HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
    large.resize(500_000, b'a');
    assert_refused(&large, Refusal::HeadTooLarge).await;
}

#[tokio::test]
async fn a_refusal_waits_for_the_answers_before_it() {
    let (service, seen) = echo();
    let (addr, _server) = start_tcp(service, Limits::default()).await;
    let mut client = connect(addr).await;
    let good = "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    client
        .send(format!(
            "{good}\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\nHost: a\n\n"
        ))
        .await;
    assert_eq!(soon(client.answer()).await.text(), "POST /1 abc\n");
    assert_eq!(soon(client.answer()).await.text(), "GET /2 \n");
    let refusal = soon(client.answer()).await;
    assert_eq!(refusal.text(), "400 Bad Request: a line ends in a bare LF\n");
    assert_eq!(soon(client.rest()).await, b"");
    assert_eq!(seen.load(SeqCst), 2);
}

#[tokio::test]
async fn a_refused_head_request_gets_no_body() {
    let (service, _) = echo();
    let (addr, _server) = start_tcp(service, Limits::default()).await;
    let mut client = connect(addr).await;
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n").await;
    let rest = String::from_utf8(soon(client.rest()).await).expect("text");
    assert!(rest.starts_with("HTTP/1.1 400 "), "{rest}");
    assert!(rest.ends_with("\r\n\r\n"), "{rest}");
}

#[tokio::test]
async fn requests_come_through_however_they_are_cut() {
    let requests = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n\
        POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\
        POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nT: t\r\n\r\n\
        GET http://A:80/d?e HTTP/1.1\r\nHost: a\r\n\r\n\
        OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n";
    let answers = [
        "GET /a \n",
        "POST /b hello\n",
        "POST /c hello\n",
        "GET http://a/d?e \n",
        "OPTIONS * \n",
    ];
    let (service, _) = echo();
    let (addr, _server) = start_tcp(service, Limits::default()).await;
    for piece in [1, 7, 64, requests.len()] {
        let mut client = connect(addr).await;
        for piece in requests.as_bytes().chunks(piece) {
            client.send(piece).await;
            // So that pieces arrive as pieces.
            tokio::task::yield_now().await;
        }
        for answer in answers {
            assert_eq!(soon(client.answer()).await.text(), answer, "in pieces of {piece}");
        }
    }
}

/// Whatever a client writes, it is one host, and the scheme of its connection.
#[tokio::test]
async fn the_service_sees_one_host_and_the_scheme_of_the_connection() {
    let service = service(|request| async move {
        let host = request.headers().get("host").cloned().expect("one host");
        let scheme = request.extensions().get::<Scheme>().cloned().expect("a scheme");
        let seen = format!("{} {} {scheme}", request.uri(), host.to_str().expect("ASCII"));
        Response::new(EdgeBody::from(seen))
    });
    let (addr, _server) = start_tcp(service, Limits::default()).await;
    let mut client = connect(addr).await;
    for (target, host, seen) in [
        ("/", "SHOP.test", "/ shop.test http"),
        ("/", "shop.test.", "/ shop.test http"),
        ("/", "shop.test:", "/ shop.test http"),
        ("/", "shop.test:080", "/ shop.test http"),
        ("/", "shop.test:0443", "/ shop.test:443 http"),
        ("/", "[::1]:80", "/ [::1] http"),
        ("https://h/", "h", "http://h/ h http"),
        ("HTTPS://H:443/x", "h", "http://h:443/x h:443 http"),
        ("http://h:80/", "h", "http://h/ h http"),
        ("http://h/x", "other", "http://h/x h http"),
    ] {
        client
            .send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await;
        assert_eq!(soon(client.answer()).await.text(), seen, "{target} {host}");
    }
}

#[tokio::test]
async fn large_bodies_come_through_whole_and_pipelined() {
    let service = service(|request| async move {
        let body = request
            .into_body()
            .collect()
            .await
            .expect("a whole body")
            .to_bytes();
        Response::new(EdgeBody::from(body))
    });
    let (addr, _server) = start_tcp(service, Limits::default()).await;
    let client = connect(addr).await;
    let body: Vec<u8> = (0..300_000_u32).map(|i| (i % 251) as u8).collect();
    let mut requests = Vec::new();
    for _ in 0..3 {
        requests.extend_from_slice(
            format!(
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
                body.len()
            )
            .as_bytes(),
        );
        requests.extend_from_slice(&body);
        requests.extend_from_slice(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        for chunk in body.chunks(70_001) {
            requests.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            requests.extend_from_slice(chunk);
            requests.extend_from_slice(b"\r\n");
        }
        requests.extend_from_slice(b"0\r\n\r\n");
    }
    let (read, mut write) = client.io.into_split();
    let writer = tokio::spawn(async move {
        write.write_all(&requests).await.expect("the server reads");
        write
    });
    let mut client = Raw::new(tokio::io::join(read, tokio::io::sink()));
    for _ in 0..6 {
        assert!(soon(client.answer()).await.body == body);
    }
    soon(writer).await.expect("no panic");
}

#[tokio::test]
async fn http_1_0_closes_unless_asked_to_stay() {
    let (service, _) = echo();
    let (addr, _server) = start_tcp(service, Limits::default()).await;
    let mut client = connect(addr).await;
    client.send("GET /a HTTP/1.0\r\n\r\n").await;
    let answer = String::from_utf8(soon(client.rest()).await).expect("text");
    assert!(
        answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with("GET /a \n"),
        "{answer}"
    );

    let mut client = connect(addr).await;
    client
        .send("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        .await;
    assert_eq!(soon(client.answer()).await.text(), "GET /a \n");
    client.send("GET /b HTTP/1.0\r\n\r\n").await;
    assert_eq!(soon(client.answer()).await.text(), "GET /b \n");
    assert_eq!(soon(client.rest()).await, b"");
}

#[tokio::test]
async fn an_endless_body_goes_to_http_1_0_raw_and_to_http_1_1_in_chunks() {
    let service = service(|_| async {
        let frames = [Bytes::from_static(b"one"), Bytes::from_static(b"two")];
        let frames = frames.map(|data| Ok::<_, gripstack::BoxError>(http_body::Frame::data(data)));
        Response::new(EdgeBody::new(http_body_util::StreamBody::new(
            tokio_stream::iter(frames),
        )))
    });
    let (addr, _server) = start_tcp(service, Limits::default()).await;
    let mut client = connect(addr).await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    let answer = String::from_utf8(soon(client.rest()).await).expect("text");
    assert!(answer.ends_with("\r\n\r\nonetwo"), "{answer}");

    let mut client = connect(addr).await;
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    let answer = String::from_utf8(soon(client.rest()).await).expect("text");
    assert!(answer.contains("\r\ntransfer-encoding: chunked\r\n"), "{answer}");
    assert!(
        answer.ends_with("\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn an_answer_that_ends_with_the_connection_says_no_more_than_that() {
    let service = service(|request| async move {
        let frames = [Ok::<_, gripstack::BoxError>(http_body::Frame::data(
            Bytes::from_static(b"one"),
        ))];
        let mut response = Response::new(EdgeBody::new(http_body_util::StreamBody::new(
            tokio_stream::iter(frames),
        )));
        if request.uri().path() == "/held" {
            response.extensions_mut().insert(gripstack::body::Held);
        }
        response
    });
    for parking in [Parking::Off, Parking::Tasks, Parking::Lots] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback");
        let addr = listener.local_addr().expect("bound");
        let _server = Server::start(serve(listener, service.clone()).parking(parking), PATIENCE);
        for path in ["/", "/held"] {
            let mut client = connect(addr).await;
            client
                .send(format!("GET {path} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"))
                .await;
            let head = soon(client.head()).await;
            let connection: Vec<_> = head
                .lines()
                .filter(|line| line.starts_with("connection:"))
                .collect();
            assert_eq!(connection, ["connection: close"], "{path}: {head}");
            assert_eq!(soon(client.rest()).await, b"one");
        }
    }
}

/// The client sees what was answered, and that it is not whole.
#[tokio::test]
async fn a_body_that_breaks_off_at_once_follows_its_head() {
    let service = service(|_| async { Response::new(EdgeBody::new(Broken)) });
    let (addr, _server) = start_tcp(service, Limits::default()).await;
    let mut client = connect(addr).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let all = String::from_utf8(soon(client.rest()).await).expect("text");
    assert!(all.starts_with("HTTP/1.1 200 OK\r\n"), "{all:?}");
    assert!(all.contains("transfer-encoding: chunked\r\n"), "{all:?}");
    assert!(
        all.ends_with("\r\n\r\n") && !all.ends_with("0\r\n\r\n"),
        "{all:?}"
    );
}

#[tokio::test]
async fn head_has_a_length_and_no_body() {
    let (service, _) = echo();
    let (addr, _server) = start_tcp(service, Limits::default()).await;
    let mut client = connect(addr).await;
    client
        .send("HEAD /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    let head = soon(client.head()).await;
    assert!(head.contains("\r\ncontent-length: 9\r\n"), "{head}");
    assert_eq!(soon(client.answer()).await.text(), "GET /b \n");
}

#[tokio::test]
async fn expect_continue_is_answered_when_the_body_is_read_and_only_then() {
    let (reader, _) = echo();
    let (addr, _server) = start_tcp(reader, Limits::default()).await;
    let mut client = connect(addr).await;
    let head = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    client.send(head).await;
    assert_eq!(soon(client.head()).await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello").await;
    assert_eq!(soon(client.answer()).await.text(), "POST /a hello\n");
    client.send("GET /b HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(soon(client.answer()).await.text(), "GET /b \n");

    let refuses = service(|_| async {
        let mut response = Response::new(EdgeBody::from("no"));
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        response
    });
    let (addr, _server) = start_tcp(refuses, Limits::default()).await;
    let mut client = connect(addr).await;
    client.send(head).await;
    assert_eq!(soon(client.answer()).await.status(), 413);
    assert_eq!(
        soon(client.rest()).await,
        b"",
        "the body was never sent: the connection cannot go on"
    );
}

#[tokio::test]
async fn an_early_answer_to_a_large_body_is_not_reset() {
    let service = service(|_| async {
        let mut response = Response::new(EdgeBody::from("too large"));
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        response
    });
    let (addr, _server) = start_tcp(service, Limits::default()).await;
    let mut client = connect(addr).await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n")
        .await;
    client.send(vec![b'a'; 500_000]).await;
    let answer = soon(client.answer()).await;
    assert_eq!((answer.status(), answer.text()), (413, "too large"));
    assert_eq!(soon(client.rest()).await, b"");
}

/// A server that believes a proxy on loopback, and what its service sees of a request.
async fn behind_a_proxy(trusted: &str, proxy_protocol: bool) -> (std::net::SocketAddr, Server) {
    let service = service(|request| async move {
        let extensions = request.extensions();
        let client = extensions.get::<ClientInfo>().expect("it is known");
        let scheme = extensions.get::<Scheme>().expect("it is known");
        let peer = extensions.get::<Peer>().expect("it is known").remote;
        let ports = |addr: std::net::SocketAddr| match addr.ip().is_loopback() {
            true => "loopback".to_owned(),
            false => addr.to_string(),
        };
        let (addr, proxied) = (client.addr.expect("an address"), client.proxy.is_some());
        let seen = format!("{} {scheme} {proxied} {}", ports(addr), ports(peer));
        Response::new(EdgeBody::from(seen))
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("loopback");
    let addr = listener.local_addr().expect("bound");
    let server = serve(listener, service)
        .trusted_proxies(trusted.parse().expect("a list"))
        .proxy_protocol(proxy_protocol);
    (addr, Server::start(server, PATIENCE))
}

#[tokio::test]
async fn r05_a_trusted_proxy_says_who_the_client_is() {
    let forwarded =
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6, 1.2.3.4\r\nX-Forwarded-Proto: https\r\n\r\n";
    for (trusted, seen) in [
        ("127.0.0.0/8", "1.2.3.4:0 https true loopback"),
        ("127.0.0.1, 1.2.3.0/24", "6.6.6.6:0 https true loopback"),
        ("10.0.0.0/8", "loopback http false loopback"),
        ("", "loopback http false loopback"),
    ] {
        let (addr, _server) = behind_a_proxy(trusted, false).await;
        let mut client = connect(addr).await;
        client.send(forwarded).await;
        assert_eq!(soon(client.answer()).await.text(), seen, "{trusted}");
    }
}

#[tokio::test]
async fn a_connection_through_a_proxy_begins_with_whose_it_is() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n";
    let one = b"PROXY TCP4 1.2.3.4 10.0.0.1 567 80\r\n".to_vec();
    let signature = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x14\x01\x02\x03\x04\x0a\0\0\x01\x02\x37\0\x50";
    let two = [&signature[..], b"\x20\0\x05\x01\0\0\0\0"].concat();
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec();
    for (header, trusted, seen) in [
        (&one, "127.0.0.1", "1.2.3.4:567 http false 1.2.3.4:567"),
        (&two, "127.0.0.1", "1.2.3.4:567 https false 1.2.3.4:567"),
        (&local, "127.0.0.1", "6.6.6.6:0 http true loopback"),
        // A proxy behind that proxy.
        (&one, "127.0.0.1, 1.2.3.4", "6.6.6.6:0 http true 1.2.3.4:567"),
        (&Vec::new(), "10.0.0.1", "loopback http false loopback"),
    ] {
        let (addr, server) = behind_a_proxy(trusted, true).await;
        let mut client = connect(addr).await;
        for byte in header {
            client.send([*byte]).await;
        }
        client.send(format!("{request}{request}")).await;
        for _ in 0..2 {
            assert_eq!(soon(client.answer()).await.text(), seen, "{trusted}");
        }
        assert_eq!(server.stats.handshake_failures(), 0);
    }
    for (bytes, trusted) in [
        (request.as_bytes(), "127.0.0.1"),
        (b"PROXY TCP4 x\r\n\r\n\r\n", "127.0.0.1"),
    ] {
        let (addr, server) = behind_a_proxy(trusted, true).await;
        let mut client = connect(addr).await;
        client.send(bytes).await;
        // It is closed with bytes unread, which may be a reset.
        let mut rest = Vec::new();
        let _ = soon(client.io.read_to_end(&mut rest)).await;
        assert_eq!(rest, b"");
        assert_eq!(server.stats.handshake_failures(), 1);
        assert_eq!(server.stats.requests(), 0);
    }
    // From elsewhere it is no header.
    let (addr, _server) = behind_a_proxy("10.0.0.1", true).await;
    let mut client = connect(addr).await;
    client.send([&one[..], request.as_bytes()].concat()).await;
    assert_eq!(soon(client.answer()).await.status(), 400);
}
