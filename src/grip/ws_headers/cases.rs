//! The conformance cases of the fields of answers, and of types.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;
use crate::grip::ws_control::MessagePrefix;

pub(super) fn map(headers: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

/// In a fixed order, as lines.
pub(super) fn lines(headers: &HeaderMap) -> Vec<String> {
    let line = |(name, value): (&HeaderName, &HeaderValue)| {
        format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))
    };
    let mut lines: Vec<String> = headers.iter().map(line).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn the_type_of_an_answer_is_exact() {
    for (case, value, expected) in [
        ("W01", "application/websocket-events", true),
        ("W03 another one", "text/plain", false),
        (
            "W06 a parameter",
            "application/websocket-events; charset=utf-8",
            false,
        ),
        ("W06 an empty parameter", "application/websocket-events;", false),
        ("W06 another case", "Application/WebSocket-Events", false),
        ("W06 more", "application/websocket-events2", false),
    ] {
        println!("{case}");
        assert_eq!(
            is_events_type(&map(&[("Content-Type", value)])),
            expected,
            "{case}"
        );
    }
    assert!(!is_events_type(&HeaderMap::new()));
}

/// W30: what an origin may take for the edge's no client may send.
#[test]
fn the_type_of_a_request_of_a_client_is_not_exact() {
    for (value, expected) in [
        ("application/websocket-events", true),
        ("Application/WebSocket-Events ; charset=utf-8", true),
        ("text/plain, application/websocket-events", true),
        ("text/plain", false),
        ("application/websocket-events2", false),
    ] {
        println!("W30 {value}");
        assert_eq!(
            reads_as_events_type(&map(&[("Content-Type", value)])),
            expected,
            "W30 {value}"
        );
    }
    let twice = map(&[
        ("Content-Type", "text/plain"),
        ("Content-Type", "application/websocket-events"),
    ]);
    assert!(reads_as_events_type(&twice) && !reads_as_events_type(&HeaderMap::new()));
}

#[test]
fn whether_an_origin_speaks_grip() {
    let default = || Ok(Some(MessagePrefix::default()));
    let prefix = |prefix: &str| Ok(Some(MessagePrefix::new(prefix)));
    for (case, values, expected) in [
        ("W07 it does", &["grip"][..], default()),
        (
            "W07 among others",
            &["permessage-deflate; x=\"a,b\", grip"],
            default(),
        ),
        ("W07 in a field of its own", &["x", "grip ; y"], default()),
        (
            "W07 a prefix as a token",
            &["grip;message-prefix=p:"],
            prefix("p:"),
        ),
        (
            "W07 a quoted prefix",
            &[r#"grip; message-prefix="p;\", ""#],
            prefix(r#"p;", "#),
        ),
        (
            "W07 names of parameters have no case",
            &[r#"grip; x=1; Message-Prefix="é""#],
            prefix("é"),
        ),
        (
            "W07 the first one counts",
            &["grip; message-prefix=a; message-prefix=b, grip; message-prefix=c"],
            prefix("a"),
        ),
        ("W09 it says nothing", &[], Ok(None)),
        ("W09 another extension", &["gripe, x; grip"], Ok(None)),
        ("W09 names of extensions have a case", &["GRIP"], Ok(None)),
        ("W10 an empty prefix", &[r#"grip; message-prefix="""#], prefix("")),
        ("W10 without quotes", &["grip; message-prefix="], prefix("")),
        ("W10 without a value", &["grip; message-prefix"], prefix("")),
        (
            "a quote that does not end",
            &[r#"grip; message-prefix="m:"#],
            Err(AnswerError::Extensions),
        ),
        (
            "nor elsewhere",
            &[r#"x; y="\""#, "grip"],
            Err(AnswerError::Extensions),
        ),
    ] {
        println!("{case}");
        let values: Vec<_> = values
            .iter()
            .map(|value| ("Sec-WebSocket-Extensions", *value))
            .collect();
        let read = Answer::from_headers(&map(&values)).map(|answer| answer.prefix);
        assert_eq!(read, expected, "{case}");
    }
    let mut headers = HeaderMap::new();
    let value = HeaderValue::from_bytes(b"grip; message-prefix=\xff").unwrap();
    headers.insert("sec-websocket-extensions", value);
    assert_eq!(Answer::from_headers(&headers), Err(AnswerError::PrefixNotUtf8));
}

#[test]
fn when_an_origin_is_asked_again() {
    let every = |seconds| KeepAliveInterval::Every(Duration::from_secs(seconds));
    for (case, value, expected) in [
        ("W29 raised to 20 s", "1", every(20)),
        ("19", "19", every(20)),
        ("as it says", " 21 ", every(21)),
        ("a long time", "2147483647", every(2_147_483_647)),
        ("W04 0", "0", KeepAliveInterval::Off),
        ("negative", "-20", KeepAliveInterval::Off),
        ("nothing", "", KeepAliveInterval::Off),
        ("no number", "20s", KeepAliveInterval::Off),
        ("no whole number", "20.5", KeepAliveInterval::Off),
        ("too large", "2147483648", KeepAliveInterval::Off),
    ] {
        println!("{case}");
        let answer = Answer::from_headers(&map(&[
            ("Keep-Alive-Interval", value),
            ("Keep-Alive-Interval", "99"),
        ]));
        assert_eq!(answer.unwrap().keep_alive, expected, "{case}");
    }
    let before = Some(Duration::from_secs(30));
    let said = Answer::default().keep_alive;
    assert_eq!((said.after(before), said.after(None)), (before, None));
    assert_eq!(KeepAliveInterval::Off.after(before), None);
    assert_eq!(every(20).after(before), Some(Duration::from_secs(20)));
}

#[test]
fn what_is_accepted_is_a_number() {
    for (case, value, expected) in [
        ("W14 a part", "2", Ok(Some(2))),
        ("W14 nothing", "0", Ok(Some(0))),
        ("W15 the most", "18446744073709551615", Ok(Some(u64::MAX))),
        ("too large", "18446744073709551616", Err(AnswerError::Accepted)),
        ("negative", "-1", Err(AnswerError::Accepted)),
        ("a sign", "+1", Err(AnswerError::Accepted)),
        ("nothing said", "", Err(AnswerError::Accepted)),
        ("two", "1, 2", Err(AnswerError::Accepted)),
    ] {
        println!("{case}");
        let read = Answer::from_headers(&map(&[("Content-Bytes-Accepted", value)]));
        assert_eq!(read.map(|answer| answer.accepted), expected, "{case}");
    }
    assert_eq!(Answer::from_headers(&HeaderMap::new()), Ok(Answer::default()));
}

/// W07: what of the answer that opens the connection the client sees. W02: of one that refuses it.
#[test]
fn what_of_an_answer_is_the_clients() {
    for (name, opened, refused) in [
        ("Set-Cookie", true, true),
        ("Sec-WebSocket-Protocol", true, true),
        ("X-Any", true, true),
        ("Meta-X", true, true),
        ("Content-Type", false, true),
        ("Content-Length", false, true),
        ("Content-Encoding", false, true),
        ("Connection", false, true),
        ("Upgrade", false, true),
        ("Transfer-Encoding", false, true),
        ("Trailer", false, true),
        ("Sec-WebSocket-Accept", false, true),
        ("Sec-WebSocket-Extensions", false, false),
        ("Keep-Alive-Interval", false, false),
        ("Set-Meta-User", false, false),
        ("Content-Bytes-Accepted", false, false),
        ("Grip-Hold", false, false),
    ] {
        println!("W07 W02 {name}");
        let answer = map(&[(name, "1"), (name, "2"), ("ETag", "1")]);
        let left = |strip: fn(&mut HeaderMap)| {
            let mut headers = answer.clone();
            strip(&mut headers);
            assert!(headers.contains_key("etag"), "{name}");
            headers.len() == 3
        };
        assert_eq!(
            (left(keep_for_client), left(strip_for_edge)),
            (opened, refused),
            "W07 W02 {name}"
        );
    }
}
