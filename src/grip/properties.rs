//! Properties: what is written is read back, nothing panics, and cost grows with length only.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use crate::message::{Channel, Message, PushedResponse, ResponseForm, SocketForm, SocketKind, StreamForm};

/// Any text without control characters.
fn text() -> impl Strategy<Value = String> {
    "\\PC{0,12}".prop_map(|text| text.chars().filter(|c| !c.is_control()).collect())
}

pub(super) fn channel_name() -> impl Strategy<Value = Channel> {
    text().prop_filter_map("a channel name", |name| Channel::new(&name).ok())
}

/// A name that the header grammar carries.
fn plain_channel_name() -> impl Strategy<Value = Channel> {
    channel_name().prop_filter("the grammar carries it", |name| {
        let name = name.as_str();
        !name.contains([';', ',', '"']) && name.trim_matches(' ') == name
    })
}

fn hold(name: impl Strategy<Value = Channel>) -> impl Strategy<Value = Hold> {
    let channel = (name, option::of(text()), vec(text(), 0..=MAX_FILTERS)).prop_map(|(name, id, filters)| {
        HoldChannel {
            name,
            prev_id: id.map(Into::into),
            filters: filters.into_iter().map(Into::into).collect(),
        }
    });
    let channels = vec(channel, 0..=40).prop_map(|mut channels| {
        let mut seen = std::collections::HashSet::new();
        channels.retain(|channel| seen.insert(channel.name.clone()));
        channels
    });
    (any::<bool>(), channels, 5u64..100_000, option::of(keep_alive())).prop_map(
        |(stream, channels, timeout, keep_alive)| Hold {
            mode: if stream {
                HoldMode::Stream
            } else {
                HoldMode::Response
            },
            channels,
            timeout: Duration::from_secs(timeout),
            keep_alive,
        },
    )
}

fn keep_alive() -> impl Strategy<Value = KeepAlive> {
    let content = prop_oneof![
        vec(any::<u8>(), 1..20),
        "[ -~\r\n\t]{1,20}".prop_map(String::into_bytes)
    ];
    (content, 1u64..100_000, any::<bool>()).prop_map(|(content, timeout, interval)| {
        let mode = if interval {
            KeepAliveMode::Interval
        } else {
            KeepAliveMode::Idle
        };
        KeepAlive::new(content, Duration::from_secs(timeout)).with_mode(mode)
    })
}

fn instruct(name: impl Strategy<Value = Channel>) -> impl Strategy<Value = Instruct> {
    let status = (200u16..1000, option::of("[!-~]{1,5}( [!-~]{1,5})?"));
    let link = ("[!#-;=?-~]{1,12}", 0u64..100_000);
    let unheld = vec(plain_channel_name().prop_map(HoldChannel::new), 0..2);
    (
        prop_oneof![
            hold(name).prop_map(|hold| (Some(hold), Vec::new())),
            unheld.prop_map(|unheld| (None, unheld)),
        ],
        option::of(status),
        vec(header_name(), 0..3),
        option::of(link),
        option::of("[!#-;=?-~]{1,12}"),
        proptest::collection::btree_map("[a-z_]{1,5}", text(), 0..3),
    )
        .prop_map(|((hold, unheld), status, expose_headers, next, gone, meta)| {
            let (status, reason) = status.unzip();
            Instruct {
                hold,
                unheld,
                meta: meta.into_iter().map(|(k, v)| (k.into(), v.into())).collect(),
                status: status.map(|code| StatusCode::from_u16(code).unwrap()),
                reason: reason.flatten().map(Into::into),
                expose_headers,
                next: next.map(|(uri, timeout)| NextLink {
                    uri: uri.into(),
                    timeout: Duration::from_secs(timeout),
                }),
                gone: gone.map(Into::into),
            }
        })
}

fn header_name() -> impl Strategy<Value = HeaderName> {
    "x-[a-z]{1,5}".prop_map(|name| name.parse().unwrap())
}

fn headers() -> impl Strategy<Value = HeaderMap> {
    let value = text().prop_map(|value| HeaderValue::from_bytes(value.trim_ascii().as_bytes()).unwrap());
    vec((header_name(), value), 0..5).prop_map(|pairs| {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value);
        }
        headers
    })
}

fn body() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        vec(any::<u8>(), 0..20).prop_map(Bytes::from),
        any::<String>().prop_map(Bytes::from)
    ]
}

fn status() -> impl Strategy<Value = StatusCode> {
    (200u16..1000).prop_map(|code| StatusCode::from_u16(code).unwrap())
}

fn message() -> impl Strategy<Value = Message> {
    let response = prop_oneof![
        Just(ResponseForm::Hint),
        (status(), headers(), body()).prop_map(|(status, headers, body)| {
            ResponseForm::Send(Box::new(PushedResponse {
                status,
                headers,
                body,
            }))
        })
    ];
    let stream = prop_oneof![
        Just(StreamForm::Hint),
        Just(StreamForm::Close),
        body().prop_map(StreamForm::Send)
    ];
    let code = option::of(prop_oneof![1000u16..=1003, 1007u16..=1014, 3000u16..=4999]);
    let socket = prop_oneof![
        Just(SocketForm::Refresh),
        any::<String>().prop_map(|text| SocketForm::Send(SocketKind::Text, text.into())),
        body().prop_map(|bytes| SocketForm::Send(SocketKind::Binary, bytes)),
        vec(any::<u8>(), 0..=125).prop_map(|bytes| SocketForm::Send(SocketKind::Ping, bytes.into())),
        vec(any::<u8>(), 0..=125).prop_map(|bytes| SocketForm::Send(SocketKind::Pong, bytes.into())),
        (code, text()).prop_map(|(code, reason)| SocketForm::Close {
            code,
            reason: reason.into()
        })
    ];
    // An empty id is none.
    let id = || option::of(any::<String>().prop_filter("an id", |id| !id.is_empty()));
    (
        id(),
        id(),
        any::<bool>(),
        option::of(stream),
        option::of(response),
        option::of(socket),
    )
        .prop_map(|(id, prev_id, no_seq, stream, response, socket)| Message {
            id: id.map(Into::into),
            prev_id: prev_id.map(Into::into),
            no_seq,
            stream,
            response,
            socket,
        })
}

fn item() -> impl Strategy<Value = PublishItem> {
    let policy = option::of(prop_oneof![Just(ItemPolicy::Latest), Just(ItemPolicy::All)]);
    let url = "(http://[a-z]{1,5}(:[1-9][0-9]{0,3})?)?/[a-z0-9/]{0,8}(\\?[a-z=&]{0,8})?"
        .prop_map(|url| url.parse::<Uri>().unwrap());
    (
        channel_name(),
        message(),
        policy,
        vec("[!-~]{1,8}", 0..3),
        vec(url, 0..3),
    )
        .prop_map(|(channel, message, policy, keys, urls)| PublishItem {
            channel,
            message,
            policy,
            purge: ItemPurge {
                surrogate_keys: keys.into_iter().map(Into::into).collect(),
                urls,
            },
        })
}

/// Values of JSON that look like what is read, more often than chance would have it.
pub(super) fn json() -> impl Strategy<Value = serde_json::Value> {
    let name = prop::sample::select(
        &[
            "hold",
            "response",
            "mode",
            "channels",
            "name",
            "prev-id",
            "filters",
            "timeout",
            "keep-alive",
            "content",
            "content-bin",
            "meta",
            "code",
            "reason",
            "headers",
            "body",
            "body-bin",
            "items",
            "channel",
            "id",
            "formats",
            "http-response",
            "http-stream",
            "ws-message",
            "action",
            "type",
            "no-seq",
            "size",
            "policy",
            "purge",
            "surrogate-keys",
            "body-patch",
            "content-filters",
        ][..],
    );
    let word = prop::sample::select(
        &[
            "stream", "response", "a", "", "200", "hint", "close", "text", "ping", "latest", "idle", "AAE=",
            "\n",
        ][..],
    );
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        (0i64..1000).prop_map(Into::into),
        word.prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(6, 64, 8, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            vec((name.clone(), inner), 0..8).prop_map(|pairs| pairs
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()),
        ]
    })
}

proptest! {
    #[test]
    fn headers_read_back_what_was_written(instruct in instruct(plain_channel_name())) {
        let mut headers = instruct.clone().into_headers().unwrap();
        prop_assert_eq!(headers.is_empty(), instruct == Instruct::default());
        headers.insert("grip-other", HeaderValue::from_static("1"));
        prop_assert_eq!(Instruct::from_headers(&headers), Ok(Some(instruct)));
    }

    #[test]
    fn headers_carry_a_channel_exactly_or_not_at_all(instruct in instruct(channel_name())) {
        if let Ok(mut headers) = instruct.clone().into_headers() {
            headers.insert("grip-other", HeaderValue::from_static("1"));
            prop_assert_eq!(Instruct::from_headers(&headers), Ok(Some(instruct)));
        }
    }

    #[test]
    fn json_reads_back_what_was_written(
        instruct in instruct(channel_name()),
        status in status(),
        reason in option::of(text()),
        headers in headers(),
        body in body(),
    ) {
        let response = JsonResponse { status, reason: reason.map(Into::into), headers, body };
        let (headers, body) = instruct.to_json(&response).unwrap();
        prop_assert!(is_instruct_type(&headers));
        prop_assert_eq!(Instruct::from_json(StatusCode::OK, &headers, &body), Ok((instruct, response)));
    }

    #[test]
    fn items_read_back_what_was_written(items in vec(item(), 0..4)) {
        let body = serde_json::json!({ "items": items.iter().map(PublishItem::to_json).collect::<Vec<_>>() });
        prop_assert_eq!(parse_publish(body.to_string().as_bytes()), Ok(items));
    }

    #[test]
    fn one_message_reads_back(channel in channel_name(), message in message()) {
        let body = serde_json::json!({ "items": [to_item_json(&channel, &message)] });
        let items = parse_publish(body.to_string().as_bytes()).unwrap();
        prop_assert_eq!(&items[0].channel, &channel);
        prop_assert_eq!(&items[0].message, &message);
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = parse_publish(&bytes);
        let _ = KeepAlive::parse(&bytes);
        let _ = Instruct::from_json(StatusCode::OK, &HeaderMap::new(), &bytes);
    }

    #[test]
    fn no_json_panics(json in json()) {
        let text = json.to_string();
        let _ = parse_publish(text.as_bytes());
        let _ = Instruct::from_json(StatusCode::OK, &HeaderMap::new(), text.as_bytes());
        let items = serde_json::json!({ "items": [json] }).to_string();
        let _ = parse_publish(items.as_bytes());
    }

    #[test]
    fn no_headers_panic(
        pairs in vec(
            (
                prop::sample::select(&[
                    "grip-hold", "grip-channel", "grip-timeout", "grip-keep-alive", "grip-status",
                    "grip-expose-headers", "grip-link", "grip-set-meta", "grip-foo", "etag",
                ][..]),
                prop_oneof![
                    "[-a-z0-9=;,\"\\\\<> ]{0,30}".prop_map(String::into_bytes),
                    "(stream|response|a|5|200|x; format=cstring)".prop_map(String::into_bytes),
                    vec(any::<u8>(), 0..30),
                ],
            ),
            0..8,
        )
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(name, value);
            }
        }
        let grip = has_grip(&headers);
        let read = Instruct::from_headers(&headers);
        prop_assert_eq!(grip, !matches!(read, Ok(None)));
        strip(&mut headers);
        prop_assert!(!has_grip(&headers));
    }
}

/// Eight times the input must not cost much more than eight times as much; a square would cost 64 times. A busy
/// machine can spoil a measurement, so one good one in ten will do: a square has none.
pub(super) fn assert_linear(what: &str, run: impl Fn(usize)) {
    let cost = |n| {
        let start = Instant::now();
        run(n);
        start.elapsed()
    };
    let measure = || (cost(1 << 12).max(Duration::from_micros(100)), cost(1 << 15));
    let linear = (0..20)
        .map(|_| measure())
        .any(|(small, large)| large < small * 24);
    assert!(linear, "{what}: {:?}", measure());
}

#[test]
fn the_cost_of_headers_grows_with_their_length_only() {
    for (name, piece) in [
        ("grip-channel", "a,"),
        ("grip-channel", "\"\","),
        ("grip-channel", "a;b=\"\\\"\";"),
        ("grip-channel", "\"\\"),
        ("grip-channel", "a;;=\";"),
        ("grip-link", "<,\">;,"),
        ("grip-link", "</a>; rel=next,"),
        ("grip-link", " <"),
        ("grip-set-meta", "a=\"b\","),
        ("grip-expose-headers", "a,"),
        ("grip-keep-alive", "\\x41;x=\""),
    ] {
        assert_linear(&format!("{name}: {piece}"), |n| {
            let value = piece.repeat(n / piece.len());
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_str(&value).unwrap());
            let _ = Instruct::from_headers(&headers);
        });
    }
}

#[test]
fn the_cost_of_a_publish_grows_with_its_length_only() {
    for piece in [
        "[",
        "{\"a\":",
        "[],",
        "{},",
        "\"\\u0000\",",
        "{\"channel\":\"a\",\"formats\":{}},",
    ] {
        assert_linear(piece, |n| {
            let body = format!("{{\"items\":[{}1]}}", piece.repeat(n / piece.len()));
            let _ = parse_publish(body.as_bytes());
        });
    }
}

#[test]
fn deeply_nested_json_is_refused() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |depth: usize| {
            let value = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            (
                format!(r#"{{"items":[],"x":{value}}}"#),
                format!(r#"{{"x":{value}}}"#),
            )
        };
        let (publish, instruct) = nested(100);
        assert_eq!(parse_publish(publish.as_bytes()), Ok(Vec::new()));
        assert!(Instruct::from_json(StatusCode::OK, &HeaderMap::new(), instruct.as_bytes()).is_ok());
        let (publish, instruct) = nested(10_000);
        assert_eq!(
            parse_publish(publish.as_bytes()),
            Err(PublishFormatError::NotJson)
        );
        assert_eq!(
            Instruct::from_json(StatusCode::OK, &HeaderMap::new(), instruct.as_bytes()),
            Err(InstructError::NotJson)
        );
    }
}
