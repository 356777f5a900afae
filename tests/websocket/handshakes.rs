//! How a connection begins.

use tokio_tungstenite::tungstenite::Error;

use crate::*;

#[tokio::test]
async fn the_origin_opens_it_by_an_event() {
    let world = World::new(|asked| {
        echo(asked)
            .with("sec-websocket-protocol", "chat")
            .with("x-app", "1")
            .with("set-meta-user", "bob")
    })
    .await;
    let fields = [
        ("cookie", "a=b"),
        ("sec-websocket-protocol", "chat, other"),
        ("grip-sig", "x"),
    ];
    let (mut client, response) = world.connect_with(&fields).await.expect("it opens");
    assert_eq!(response.status(), 101);
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
    assert_eq!(response.headers()["x-app"], "1");
    for name in ["sec-websocket-extensions", "content-type", "set-meta-user"] {
        assert!(!response.headers().contains_key(name), "{name}");
    }
    say(&mut client, "hello").await;
    assert_eq!(next_text(&mut client).await, "hello");

    let asked = world.asked(2).await;
    for (one, events) in asked.iter().zip(["OPEN", "TEXT"]) {
        assert_eq!(
            (one.method.as_str(), one.uri.path(), one.uri.query()),
            ("POST", "/socket", Some("a=b"))
        );
        let names: Vec<_> = one.events.iter().map(|event| event.type_name()).collect();
        assert_eq!(names, [events]);
        assert_eq!(one.headers["sec-websocket-extensions"], "grip");
        assert_eq!(one.headers["content-type"], "application/websocket-events");
        assert_eq!(one.headers["accept"], "application/websocket-events");
        assert_eq!(one.headers["cookie"], "a=b");
        assert_eq!(one.headers["connection-id"], asked[0].headers["connection-id"]);
        assert!(!one.headers.contains_key("grip-sig") && !one.headers.contains_key("upgrade"));
    }
    assert!(!asked[0].headers.contains_key("meta-user"));
    assert_eq!(asked[1].headers["meta-user"], "bob");
    assert_eq!(asked[0].headers["connection-id"].len(), 36);
    let (_other, _) = world.connect_with(&fields).await.expect("it opens");
    let asked = world.asked(3).await;
    assert_ne!(
        asked[2].headers["connection-id"],
        asked[0].headers["connection-id"]
    );
}

#[tokio::test]
async fn an_origin_that_says_something_else_refuses_its_client() {
    let world = World::new(|_| Said {
        status: 403,
        headers: vec![("x-app", "1".into()), ("grip-hold", "stream".into())],
        body: "no".into(),
    })
    .await;
    let Err(Error::Http(response)) = world.connect_with(&[]).await else {
        panic!("it is refused");
    };
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-app"]),
        (403, &"1".parse().expect("valid"))
    );
    assert!(!response.headers().contains_key("grip-hold"));
    assert_eq!(response.body().as_deref(), Some(&b"no"[..]));
}

#[tokio::test]
async fn an_origin_that_makes_no_sense_is_a_bad_gateway() {
    let world = World::new(|_| events(&[text("x")])).await;
    let Err(Error::Http(response)) = world.connect_with(&[]).await else {
        panic!("it is refused");
    };
    assert_eq!(response.status(), 502);
    assert_eq!(response.headers()["gripstack-error"], "origin-open");
}

#[tokio::test]
async fn a_handshake_that_is_none_is_refused() {
    let world = World::new(echo).await;
    for (version, key, status, error) in [
        (
            "8",
            "dGhlIHNhbXBsZSBub25jZQ==",
            "426 Upgrade Required",
            "websocket-version",
        ),
        ("13", "x", "400 Bad Request", "websocket-key"),
    ] {
        let request = format!(
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: {version}\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        );
        let head = raw(&world, &request).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{head}");
        assert!(head.contains(&format!("gripstack-error: {error}\r\n")), "{head}");
    }
    assert!(world.asked.lock().is_empty());
}

#[tokio::test]
async fn the_word_may_be_in_any_case() {
    let world = World::new(echo).await;
    let request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, UPGRADE\r\nUpgrade: WebSocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let head = raw(&world, request).await;
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    assert!(
        head.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
        "{head}"
    );
}

/// The head of the answer to this.
async fn raw(world: &World, request: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(world.address)
        .await
        .expect("it listens");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut head = Vec::new();
    soon(async {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("it is open"));
        }
    })
    .await;
    String::from_utf8(head).expect("text")
}

/// What is said of a connection changes nothing at the URL that it is said to.
#[tokio::test]
async fn events_invalidate_nothing() {
    let world = World::new(echo).await;
    let get =
        "GET /socket?a=b HTTP/1.1\r\nHost: h\r\n\r\n".replace("Host: h", &format!("Host: {}", world.address));
    raw(&world, &get).await;
    let mut client = world.connect().await;
    say(&mut client, "x").await;
    next(&mut client).await;
    let head = raw(&world, &get).await;
    assert!(head.contains("cache-status: gripstack; hit"), "{head}");
}
