//! The conformance cases of the fields of requests.

use http::HeaderValue;

use super::cases::{lines, map};
use super::*;

static ID: HeaderValue = HeaderValue::from_static("0b6d5f9e-4f5c-4a0e-8f0a-6a4b8a1c2d3e");

#[test]
fn what_of_a_handshake_stays() {
    for (case, name, stays) in [
        ("who asks", "Cookie", true),
        ("who asks", "Authorization", true),
        ("from where", "Origin", true),
        ("for what", "Host", true),
        ("for what", "Sec-WebSocket-Protocol", true),
        ("as it was asked", "Sec-WebSocket-Key", true),
        ("as it was asked", "Sec-WebSocket-Version", true),
        ("the application's", "X-Any", true),
        ("the application's", "Metadata", true),
        ("the application's", "Connection-Identity", true),
        ("W13 the edge's", "Meta-X", false),
        ("W13 the edge's", "META-", false),
        ("W13 the edge's, to CGI", "Meta_X", false),
        ("W13 the edge's", "Connection-Id", false),
        ("W13 the edge's, to CGI", "connection_id", false),
        ("W13 the edge's, to some", "connection.id", false),
        ("W14 the edge's", "Content-Bytes-Replayed", false),
        ("W14 the edge's, to CGI", "Content_Bytes_Replayed", false),
        ("the edge's", "Grip-Sig", false),
        ("the edge's, to CGI", "Grip_Feature", false),
        ("offered to the edge", "Sec-WebSocket-Extensions", false),
        ("offered to the edge, to CGI", "Sec_WebSocket_Extensions", false),
        ("of the connection", "Upgrade", false),
        ("of the connection", "Connection", false),
        ("of the connection", "Keep-Alive", false),
        ("of the connection", "TE", false),
        ("of the connection", "Listed", false),
        ("about the answer, which is the edge's", "Accept", false),
        ("about the answer, which is the edge's", "Accept-Encoding", false),
        ("about the body, which is the edge's", "Content-Length", false),
        ("about the body, which is the edge's", "Content-Type", false),
        ("about the body, which is the edge's", "Content-Encoding", false),
        ("about the body, which is the edge's", "Trailer", false),
        ("about the body, which is the edge's", "Transfer-Encoding", false),
        ("about the body, which is the edge's", "Expect", false),
    ] {
        println!("{case}: {name}");
        let value = if name == "Connection" {
            "Upgrade, Listed"
        } else {
            "1"
        };
        let mut headers = map(&[(name, value), (name, value), ("Connection", "listed")]);
        keep_for_requests(&mut headers);
        assert_eq!(headers.contains_key(name), stays, "{case}: {name}");
        assert_eq!(headers.len(), if stays { 2 } else { 0 }, "{case}: {name}");
    }
}

#[test]
fn what_each_request_says() {
    let mut meta = Meta::default();
    meta.apply(&map(&[("Set-Meta-User", "bob")])).unwrap();
    let handshake = || {
        let mut headers = map(&[
            ("Cookie", "a=1"),
            ("Meta-User", "eve"),
            ("Meta-X", "1"),
            ("Connection-Id", "me"),
        ]);
        keep_for_requests(&mut headers);
        headers
    };
    let common = [
        "accept: application/websocket-events",
        "connection-id: 0b6d5f9e-4f5c-4a0e-8f0a-6a4b8a1c2d3e",
        "content-type: application/websocket-events",
        "cookie: a=1",
        "sec-websocket-extensions: grip",
    ];
    let nothing = Meta::default();
    for (case, meta, body_bytes, replayed, more) in [
        ("W01 a client connects", &nothing, 6, 0, vec!["content-length: 6"]),
        (
            "W13 what is remembered",
            &meta,
            9,
            0,
            vec!["content-length: 9", "meta-user: bob"],
        ),
        (
            "W14 some of it once more",
            &nothing,
            12,
            4,
            vec!["content-bytes-replayed: 4", "content-length: 12"],
        ),
        ("W16 nothing happened", &nothing, 0, 0, vec!["content-length: 0"]),
    ] {
        println!("{case}");
        let mut headers = handshake();
        RequestFields {
            connection_id: &ID,
            meta,
            body_bytes,
            replayed,
        }
        .write(&mut headers);
        let mut expected: Vec<&str> = common.iter().copied().chain(more).collect();
        expected.sort_unstable();
        assert_eq!(lines(&headers), expected, "{case}");
    }
}
