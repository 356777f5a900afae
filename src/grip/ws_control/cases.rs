//! The conformance cases of messages for the edge that need no I/O.

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::grip::KeepAliveMode;
use crate::message::{Channel, SocketKind};

use SocketKind::{Binary, Ping, Pong, Text};

fn channel(name: &str) -> Channel {
    Channel::new(name).unwrap()
}

fn keep_alive(kind: SocketKind, content: &'static [u8], seconds: u64, mode: KeepAliveMode) -> Control {
    Control::KeepAlive(Some(SocketKeepAlive {
        kind,
        content: content.into(),
        timeout: Duration::from_secs(seconds),
        mode,
    }))
}

fn delayed(kind: SocketKind, content: &'static [u8], seconds: u64) -> Control {
    Control::SendDelayed(DelayedMessage {
        kind,
        content: content.into(),
        timeout: Duration::from_secs(seconds),
    })
}

/// What each type is read as, and that it reads back.
#[test]
fn control_messages() {
    let (idle, interval) = (KeepAliveMode::Idle, KeepAliveMode::Interval);
    let filters = |filters: &[&str]| filters.iter().map(|&filter| filter.into()).collect();
    for (case, json, control) in [
        (
            "W10 subscribe",
            r#"{"type":"subscribe","channel":"a b"}"#,
            Control::Subscribe {
                channel: channel("a b"),
                filters: vec![],
            },
        ),
        (
            "W25 with filters",
            r#"{"channel":"t","filters":["skip-self","1","2","3","4"],"type":"subscribe"}"#,
            Control::Subscribe {
                channel: channel("t"),
                filters: filters(&["skip-self", "1", "2", "3", "4"]),
            },
        ),
        (
            "unsubscribe",
            r#"{"type":"unsubscribe","channel":"t","filters":7}"#,
            Control::Unsubscribe {
                channel: channel("t"),
            },
        ),
        ("W22 detach", r#"{"type":"detach"}"#, Control::Detach),
        (
            "W25 set-meta",
            r#"{"type":"set-meta","name":"user","value":"al"}"#,
            Control::SetMeta {
                name: "user".into(),
                value: Some("al".into()),
            },
        ),
        (
            "an empty value is one",
            r#"{"type":"set-meta","name":"user","value":""}"#,
            Control::SetMeta {
                name: "user".into(),
                value: Some("".into()),
            },
        ),
        (
            "without a value the name goes",
            r#"{"type":"set-meta","name":"user"}"#,
            Control::SetMeta {
                name: "user".into(),
                value: None,
            },
        ),
        (
            "W23 keep-alive",
            r#"{"type":"keep-alive","content":"KA","timeout":2}"#,
            keep_alive(Text, b"KA", 2, idle),
        ),
        (
            "after 55 s",
            r#"{"type":"keep-alive","content":"KA"}"#,
            keep_alive(Text, b"KA", 55, idle),
        ),
        (
            "0 is no time",
            r#"{"type":"keep-alive","content":"KA","timeout":0,"mode":"interval"}"#,
            keep_alive(Text, b"KA", 55, interval),
        ),
        (
            "numbers may be strings",
            r#"{"type":"keep-alive","content":"KA","timeout":"7","mode":"idle"}"#,
            keep_alive(Text, b"KA", 7, idle),
        ),
        (
            "bytes, of the kind that is said",
            r#"{"type":"keep-alive","content-bin":"/w==","message-type":"binary"}"#,
            keep_alive(Binary, b"\xff", 55, idle),
        ),
        (
            "bytes are text where no kind is said",
            r#"{"type":"keep-alive","content-bin":"YQ==","content":"b"}"#,
            keep_alive(Text, b"a", 55, idle),
        ),
        (
            "a ping of nothing",
            r#"{"type":"keep-alive","content":"","message-type":"ping"}"#,
            keep_alive(Ping, b"", 55, idle),
        ),
        (
            "no content: off",
            r#"{"type":"keep-alive"}"#,
            Control::KeepAlive(None),
        ),
        (
            "whatever the time",
            r#"{"type":"keep-alive","timeout":-1,"mode":1,"message-type":"ping"}"#,
            Control::KeepAlive(None),
        ),
        (
            "W24 send-delayed",
            r#"{"type":"send-delayed","content":"SD","timeout":1}"#,
            delayed(Text, b"SD", 1),
        ),
        (
            "after 1 s",
            r#"{"type":"send-delayed","content":"SD"}"#,
            delayed(Text, b"SD", 1),
        ),
        (
            "at once",
            r#"{"type":"send-delayed","content":"SD","timeout":0}"#,
            delayed(Text, b"SD", 0),
        ),
        (
            "an empty one",
            r#"{"type":"send-delayed","content":""}"#,
            delayed(Text, b"", 1),
        ),
        (
            "a pong needs no content",
            r#"{"type":"send-delayed","message-type":"pong"}"#,
            delayed(Pong, b"", 1),
        ),
        (
            "W24 flush-delayed",
            r#" {"type":"flush-delayed"} "#,
            Control::FlushDelayed,
        ),
        (
            "session",
            r#"{"type":"session","id":"s"}"#,
            Control::Session { id: Some("s".into()) },
        ),
        (
            "session without an id",
            r#"{"type":"session"}"#,
            Control::Session { id: None },
        ),
    ] {
        println!("{case}");
        assert_eq!(Control::from_json(json).as_ref(), Ok(&control), "{case}");
        let written = Bytes::from(control.to_message());
        let Verdict::Control(json) = judge(Some(&MessagePrefix::new("")), Text, Part::Whole, &written) else {
            panic!("{case}: {written:?}");
        };
        assert_eq!(Control::from_json(json), Ok(control), "{case}");
    }
}
