//! Properties: what is written is read back, nothing panics, and cost grows with length only.

use std::time::Duration;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::grip::properties::{assert_linear, channel_name, json};
use crate::grip::{KeepAliveMode, MAX_FILTERS};
use crate::message::SocketKind;

fn kind() -> impl Strategy<Value = SocketKind> {
    prop::sample::select(
        &[
            SocketKind::Text,
            SocketKind::Binary,
            SocketKind::Ping,
            SocketKind::Pong,
        ][..],
    )
}

/// A message that a socket may send.
fn message() -> impl Strategy<Value = (SocketKind, Bytes)> {
    let bytes = vec(any::<u8>(), 0..126).prop_map(Bytes::from);
    prop_oneof![
        any::<String>().prop_map(|text| (SocketKind::Text, text.into())),
        (kind(), bytes).prop_filter("text is UTF-8", |(kind, bytes)| {
            *kind != SocketKind::Text || std::str::from_utf8(bytes).is_ok()
        }),
    ]
}

fn control() -> impl Strategy<Value = Control> {
    let text = || any::<String>().prop_map(Into::into);
    let subscribe = (channel_name(), vec(text(), 0..=MAX_FILTERS))
        .prop_map(|(channel, filters)| Control::Subscribe { channel, filters });
    let keep_alive =
        (message(), 1u64..100_000, any::<bool>()).prop_map(|((kind, content), timeout, interval)| {
            SocketKeepAlive {
                kind,
                content,
                timeout: Duration::from_secs(timeout),
                mode: if interval {
                    KeepAliveMode::Interval
                } else {
                    KeepAliveMode::Idle
                },
            }
        });
    let delayed = (message(), 0u64..100_000).prop_map(|((kind, content), timeout)| DelayedMessage {
        kind,
        content,
        timeout: Duration::from_secs(timeout),
    });
    prop_oneof![
        subscribe,
        channel_name().prop_map(|channel| Control::Unsubscribe { channel }),
        Just(Control::Detach),
        (".{1,9}", option::of(text())).prop_map(|(name, value)| Control::SetMeta {
            name: name.into(),
            value
        }),
        option::of(keep_alive).prop_map(Control::KeepAlive),
        delayed.prop_map(Control::SendDelayed),
        Just(Control::FlushDelayed),
        option::of(text()).prop_map(|id| Control::Session { id }),
    ]
}

proptest! {
    #[test]
    fn control_reads_back(control in control()) {
        let message = control.to_message();
        let json = message.strip_prefix("c:").expect("it is for the edge");
        prop_assert_eq!(Control::from_json(json), Ok(control));
    }

    #[test]
    fn no_json_panics(json in json(), kind in "subscribe|set-meta|keep-alive|send-delayed") {
        let _ = Control::from_json(&json.to_string());
        if let serde_json::Value::Object(mut fields) = json {
            fields.insert("type".into(), kind.into());
            let _ = Control::from_json(&serde_json::Value::Object(fields).to_string());
        }
    }

    /// What passes is what was sent after the prefix, and nothing of it is the edge's.
    #[test]
    fn a_prefix_comes_off_once(prefix in "[mc:é]{0,3}", content in "[mc:é{}]{0,8}", kind in kind()) {
        let prefix = MessagePrefix::new(prefix);
        let sent = Bytes::from(format!("{}{content}", prefix.as_str()));
        match judge(Some(&prefix), kind, Part::Whole, &sent) {
            Verdict::Pass(passed) if matches!(kind, SocketKind::Ping | SocketKind::Pong) => {
                prop_assert_eq!(passed, sent);
            }
            Verdict::Pass(passed) => prop_assert_eq!(passed, content),
            Verdict::Control(json) => {
                prop_assert!(kind == SocketKind::Text);
                prop_assert_eq!(format!("c:{json}"), sent);
            }
            Verdict::Drop(reason) => prop_assert!(false, "{:?}", reason),
        }
    }

    #[test]
    fn no_bytes_panic(prefix in ".{0,3}", content in vec(any::<u8>(), 0..9), kind in kind(), whole: bool) {
        let part = if whole { Part::Whole } else { Part::FirstFrame };
        let content = Bytes::from(content);
        let _ = judge(Some(&MessagePrefix::new(prefix)), kind, part, &content);
        prop_assert_eq!(judge(None, kind, part, &content), Verdict::Pass(content.clone()));
    }
}

#[test]
fn the_cost_of_a_message_grows_with_its_length_only() {
    for piece in ["[", "{\"a\":", "\"a\",", "{\"type\":\"detach\"},"] {
        assert_linear(piece, |n| {
            let json = format!("{{\"filters\":[{}1]}}", piece.repeat(n / piece.len()));
            let _ = Control::from_json(&json);
        });
    }
}
