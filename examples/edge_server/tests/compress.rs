//! Compressed and plain forms of one resource, on the wire and through two servers.

mod common;

use common::{Answer, App, Server, ask};

const TAG: &str = "\"5\"";

/// A page that is validated each time it is asked for.
fn validated() -> App {
    App::start(|head| {
        let head = head.to_ascii_lowercase();
        let fields = format!("Connection: close\r\nCache-Control: no-cache\r\nETag: {TAG}\r\n");
        if head.contains("if-none-match:") && head.contains(TAG) {
            return format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n");
        }
        let body = match head.starts_with("head") {
            true => String::new(),
            false => "a".repeat(1000),
        };
        format!("HTTP/1.1 200 OK\r\n{fields}Content-Type: text/plain\r\nContent-Length: 1000\r\n\r\n{body}")
    })
}

fn before(app: std::net::SocketAddr) -> Server {
    Server::start(&["--origin", &format!("http://{app}"), "--role", "cache"])
}

fn told(answer: &Answer) -> [Option<&str>; 2] {
    [answer.field("etag"), answer.field("vary")]
}

#[test]
fn a_head_and_a_304_say_what_the_whole_answer_would() {
    let app = validated();
    let server = before(app.addr);
    for (accept, etag, coding) in [
        ("Accept-Encoding: gzip", "w/\"5\"", Some("gzip")),
        ("Accept: text/plain", TAG, None),
    ] {
        let whole = ask(server.public, &format!("GET /\n{accept}"), "");
        assert_eq!(told(&whole), [Some(etag), Some("accept-encoding")], "{accept}");
        assert_eq!(whole.field("content-encoding"), coding, "{accept}");
        let head = ask(server.public, &format!("HEAD /\n{accept}"), "");
        assert_eq!(told(&head), told(&whole), "{accept}");
        assert_eq!(head.field("content-encoding"), coding, "{accept}");
        assert_eq!(head.body, "", "{accept}");
        for has in ["W/\"5\"", "\"5\"", "*"] {
            let answer = ask(
                server.public,
                &format!("GET /\n{accept}\nIf-None-Match: {has}"),
                "",
            );
            assert_eq!(answer.status, 304, "{accept} {has}");
            assert_eq!(told(&answer), told(&whole), "{accept} {has}");
            assert_eq!(answer.field("content-encoding"), None, "{accept} {has}");
        }
    }
}

/// An application that compares texts.
#[test]
fn what_was_handed_out_is_understood_by_the_application() {
    let app = App::start(|head| {
        let head = head.to_ascii_lowercase();
        let fails = head.starts_with("put") && !head.contains("if-match: w/\"5\", \"5\"\r\n");
        let status = if fails {
            "412 Precondition Failed"
        } else {
            "200 OK"
        };
        format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    });
    let server = before(app.addr);
    assert_eq!(ask(server.public, "PUT /\nIf-Match: W/\"5\"", "x").status, 200);
}

#[test]
fn one_server_behind_another_is_asked_once_whether_something_changed() {
    let app = validated();
    let inner = before(app.addr);
    let outer = before(inner.public);
    let get = || ask(outer.public, "GET /\nAccept-Encoding: gzip", "");
    let first = get();
    assert_eq!(first.field("content-encoding"), Some("gzip"));
    assert_eq!(told(&first), [Some("w/\"5\""), Some("accept-encoding")]);
    app.requests();
    for _ in 0..3 {
        let answer = get();
        assert_eq!((answer.status, told(&answer)), (200, told(&first)));
        assert_eq!(answer.field("content-encoding"), Some("gzip"));
        assert!(answer.cache_status().contains("fwd-status=304"), "{answer:?}");
        let requests = app.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        assert!(
            requests[0].to_ascii_lowercase().contains("if-none-match: \"5\""),
            "{requests:?}"
        );
    }
}
