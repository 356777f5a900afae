//! The conformance cases of publishes that need no I/O.

use bytes::Bytes;

use super::*;
use crate::message::{Message, ResponseForm, SocketForm, SocketKind, StreamForm};

fn publish(body: &str) -> Vec<PublishItem> {
    parse_publish(body.as_bytes()).unwrap()
}

fn publish_error(body: &str) -> String {
    parse_publish(body.as_bytes()).unwrap_err().to_string()
}

/// The message of a publish of one item on channel `t` with these fields.
fn message(fields: &str) -> Message {
    let items = publish(&format!(r#"{{"items":[{{"channel":"t",{fields}}}]}}"#));
    items.into_iter().next().unwrap().message
}

fn item_error(fields: &str) -> String {
    publish_error(&format!(r#"{{"items":[{{"channel":"t",{fields}}}]}}"#))
}

#[test]
fn p01_p02_p03_p04_p05_the_body_is_an_object_with_items() {
    assert_eq!(
        publish_error("{}"),
        "Invalid format: object does not contain 'items'"
    );
    assert_eq!(publish_error("[]"), "Invalid format.");
    assert_eq!(publish_error("xx"), "Body is not valid JSON.");
    assert_eq!(
        parse_publish(b"{\"items\":\"\xff\"}"),
        Err(PublishFormatError::NotJson)
    );
    assert_eq!(
        publish_error(r#"{"items":{}}"#),
        "Invalid format: object contains 'items' with wrong type"
    );
    assert_eq!(publish(r#"{"items":[]}"#), []);
}

#[test]
fn an_item_that_is_no_json_is_named() {
    let good = r#"{"channel":"a","formats":{"x":"[\"items\",{"}}"#;
    for bad in [
        r#"{"channel":"a","formats":{"http-stream":{"content":"\ud83d"}}}"#,
        r#"{"channel":"a\udc00"}"#,
        r#"{"channel":"a" "b"}"#,
        r#"{"channel":[{"a":,}]}"#,
        "nul",
    ] {
        for (before, item) in [("", 0), (good, 1)] {
            let comma = if before.is_empty() { "" } else { ",\n" };
            let body = format!("{{\"x\":[1,2],\n\"items\":[{before}{comma}{bad}]}}");
            assert_eq!(
                parse_publish(body.as_bytes()),
                Err(PublishFormatError::ItemNotJson(item)),
                "{body}"
            );
        }
    }
    assert_eq!(
        publish_error(r#"{"items":["\ud83d"]}"#),
        "Body is not valid JSON: items[0]."
    );
    assert_eq!(
        publish_error(r#"{"x":["\ud83d"],"items":[]}"#),
        "Body is not valid JSON."
    );
}

#[test]
fn p06_p07_p08_an_item_is_an_object_with_formats() {
    assert_eq!(
        publish_error(r#"{"items":[1]}"#),
        "Invalid format: publish item object is not an object"
    );
    assert_eq!(item_error(r#""id":"1""#), "Invalid format: no formats specified");
    assert_eq!(message(r#""formats":{"x":1}"#), Message::default());
}

#[test]
fn p09_ids_are_strings() {
    let text = |what| format!("Invalid format: publish item object contains '{what}' with wrong type");
    assert_eq!(item_error(r#""id":1,"formats":{}"#), text("id"));
    assert_eq!(item_error(r#""prev-id":1,"formats":{}"#), text("prev-id"));
    // An empty one is none.
    let message = message(r#""id":"","prev-id":"x","no-seq":true,"formats":{}"#);
    assert_eq!(
        (message.id.as_deref(), message.prev_id.as_deref()),
        (None, Some("x"))
    );
    assert!(message.no_seq);
    let long = "x".repeat(MAX_ID_BYTES + 1);
    assert_eq!(
        item_error(&format!(r#""id":"{long}","formats":{{}}"#)),
        "Invalid format: publish item object contains 'id' with more than 1024 bytes"
    );
}

#[test]
fn p10_one_bad_item_refuses_all() {
    let body = r#"{"items":[{"channel":"t","http-stream":{"content":"a"}},{"channel":"t"}]}"#;
    assert_eq!(publish_error(body), "Invalid format: no formats specified");
}

#[test]
fn p11_l01_l03_a_response_with_a_code_in_a_string_and_without_grip_headers() {
    let message = message(
        r#""formats":{"http-response":{"code":"201","reason":"Made","body":"hi\n",
            "headers":{"x-foo":"new","X-Bar":"1","Grip-Zed":"1","Grip-Expose-Headers":"X-A"}}}"#,
    );
    let Some(ResponseForm::Send(response)) = message.response else {
        panic!("{message:?}");
    };
    assert_eq!(
        (response.status.as_u16(), &response.body[..]),
        (201, &b"hi\n"[..])
    );
    assert_eq!(response.headers.len(), 2);
    assert_eq!(response.headers["x-foo"], "new");
    assert_eq!(response.headers["x-bar"], "1");
    assert_eq!((message.stream, message.socket), (None, None));
}

#[test]
fn p12_formats_at_the_top_level_unless_there_is_formats() {
    let send = Some(StreamForm::Send(Bytes::from("a")));
    assert_eq!(message(r#""http-stream":{"content":"a"}"#).stream, send);
    assert_eq!(message(r#""http-stream":{"content":"a"},"x":[{}]"#).stream, send);
    assert_eq!(
        message(r#""http-stream":{"content":"b"},"formats":{"http-stream":{"content":"a"}}"#).stream,
        send
    );
    assert_eq!(
        message(r#""http-stream":{"content":"b"},"formats":{}"#).stream,
        None
    );
}

#[test]
fn p13_an_unknown_action_is_named() {
    assert_eq!(
        item_error(r#""http-stream":{"action":"bogus"}"#),
        "Invalid format: 'http-stream' contains 'action' with invalid value"
    );
}

#[test]
fn the_live_counters_publish() {
    let items = publish(
        r#"{"items": [{"http-stream": {"content": "event: message\ndata: 1\n\n"}, "channel": "counter-foo"}]}"#,
    );
    assert_eq!(items.len(), 1);
    assert_eq!(items[0].channel.as_str(), "counter-foo");
    assert_eq!(items[0].message, Message::sse(Some("message"), "1"));
}

#[test]
fn s03_s04_s05_l08_l09_w16_w18_every_format_has_its_actions() {
    assert_eq!(
        message(r#""http-stream":{"content":"x\n"}"#),
        Message::bytes("x\n")
    );
    assert_eq!(
        message(r#""http-stream":{"content":"x","content-bin":"AAE="}"#),
        Message::bytes(vec![0, 1])
    );
    for (action, response, stream, socket) in [
        ("hint", Some(ResponseForm::Hint), Some(StreamForm::Hint), None),
        (
            "close",
            None,
            Some(StreamForm::Close),
            Some(SocketForm::Close {
                code: None,
                reason: "".into(),
            }),
        ),
        ("refresh", None, None, Some(SocketForm::Refresh)),
    ] {
        let format = format!(r#"{{"action":"{action}"}}"#);
        let message = message(&format!(
            r#""http-response":{format},"http-stream":{format},"ws-message":{format}"#
        ));
        assert_eq!(
            (message.response, message.stream, message.socket),
            (response, stream, socket),
            "{action}"
        );
    }
}

#[test]
fn w17_socket_messages_have_kinds_and_closes_have_codes() {
    let socket = |fields: &str| message(&format!(r#""ws-message":{{{fields}}}"#)).socket.unwrap();
    let send = |kind, bytes: &'static [u8]| SocketForm::Send(kind, Bytes::from_static(bytes));
    assert_eq!(socket(r#""content":"a""#), send(SocketKind::Text, b"a"));
    assert_eq!(socket(r#""content-bin":"YQ==""#), send(SocketKind::Binary, b"a"));
    assert_eq!(
        socket(r#""content-bin":"YQ==","type":"text""#),
        send(SocketKind::Text, b"a")
    );
    assert_eq!(
        socket(r#""content":"a","type":"binary""#),
        send(SocketKind::Binary, b"a")
    );
    assert_eq!(socket(r#""type":"ping""#), send(SocketKind::Ping, b""));
    assert_eq!(
        socket(r#""type":"pong","content":"a""#),
        send(SocketKind::Pong, b"a")
    );
    let close = |code| SocketForm::Close {
        code,
        reason: "bye".into(),
    };
    assert_eq!(
        socket(r#""action":"close","code":4001,"reason":"bye""#),
        close(Some(4001))
    );
    assert_eq!(
        socket(r#""action":"close","code":"0","reason":"bye""#),
        close(None)
    );
}

#[test]
fn every_publish_refusal_has_its_text() {
    let reason = "x".repeat(124);
    let close_reason = format!(r#""ws-message":{{"action":"close","reason":"{reason}"}}"#);
    let long_ping = format!(r#""ws-message":{{"type":"ping","content":"{reason}xx"}}"#);
    for (fields, text) in [
        (
            r#""formats":1"#,
            "publish item object contains 'formats' with wrong type",
        ),
        (
            r#""formats":{},"no-seq":1"#,
            "publish item object contains 'no-seq' with wrong type",
        ),
        (
            r#""formats":{},"size":-1"#,
            "publish item object contains 'size' with invalid value",
        ),
        (
            r#""formats":{},"size":{}"#,
            "publish item object contains 'size' with wrong type",
        ),
        (
            r#""formats":{},"meta":[]"#,
            "publish item object contains 'meta' with wrong type",
        ),
        (
            r#""formats":{},"meta":{"K":1}"#,
            "'meta' contains 'K' with wrong type",
        ),
        (r#""http-stream":1"#, "'http-stream' is not an object"),
        (
            r#""http-stream":{}"#,
            "'http-stream' does not contain 'content' or 'content-bin'",
        ),
        (
            r#""http-stream":{"content":1}"#,
            "'http-stream' contains 'content' with wrong type",
        ),
        (
            r#""http-stream":{"content-bin":"*"}"#,
            "'http-stream' contains 'content-bin' with invalid value",
        ),
        (
            r#""http-stream":{"action":1}"#,
            "'http-stream' contains 'action' with wrong type",
        ),
        (
            r#""http-stream":{"content":"a","content-filters":["var-subst"]}"#,
            "'http-stream' contains 'content-filters', which is not supported",
        ),
        (
            r#""http-response":{}"#,
            "'http-response' does not contain 'body', 'body-bin', or 'body-patch'",
        ),
        (
            r#""http-response":{"body-patch":[]}"#,
            "'http-response' contains 'body-patch', which is not supported",
        ),
        (
            r#""http-response":{"body":"a","code":"x"}"#,
            "'http-response' contains 'code' with wrong type",
        ),
        (
            r#""http-response":{"body":"a","code":100}"#,
            "'http-response' contains 'code' with invalid value",
        ),
        (
            r#""http-response":{"body":"a","reason":1}"#,
            "'http-response' contains 'reason' with wrong type",
        ),
        (
            r#""http-response":{"body":"a","headers":[1]}"#,
            "headers contains element with wrong type",
        ),
        (
            r#""ws-message":{}"#,
            "'ws-message' does not contain 'content' or 'content-bin'",
        ),
        (
            r#""ws-message":{"content":"a","type":"x"}"#,
            "'ws-message' contains 'type' with invalid value",
        ),
        (
            r#""ws-message":{"content-bin":"/w==","type":"text"}"#,
            "'ws-message' contains 'content-bin' with invalid value",
        ),
        (&long_ping, "'ws-message' contains 'content' with invalid value"),
        (
            r#""ws-message":{"action":"close","code":65537}"#,
            "'ws-message' contains 'code' with invalid value",
        ),
        (
            r#""ws-message":{"action":"close","code":1006}"#,
            "'ws-message' contains 'code' with invalid value",
        ),
        (&close_reason, "'ws-message' contains 'reason' with invalid value"),
    ] {
        assert_eq!(item_error(fields), format!("Invalid format: {text}"), "{fields}");
    }
    for (channel, text) in [
        (r#""channel":1"#, "contains 'channel' with wrong type"),
        (r#""x":1"#, "does not contain 'channel'"),
        (
            r#""channel":"""#,
            "contains invalid 'channel': the channel name is empty",
        ),
        (
            r#""channel":"a\u0000""#,
            r"contains invalid 'channel': the channel name contains the control character '\0'",
        ),
    ] {
        let body = format!(r#"{{"items":[{{{channel},"formats":{{}}}}]}}"#);
        assert_eq!(
            publish_error(&body),
            format!("Invalid format: publish item object {text}"),
            "{body}"
        );
    }
    let long = format!(
        r#"{{"items":[{{"channel":"{}","formats":{{}}}}]}}"#,
        "x".repeat(64 << 10)
    );
    assert!(publish_error(&long).contains("65536 bytes"));
}

#[test]
fn a_publish_has_at_most_10_000_items() {
    let body = |n: usize| {
        let items = vec![r#"{"channel":"t","formats":{}}"#; n].join(",");
        format!(r#"{{"items":[{items}]}}"#)
    };
    assert_eq!(publish(&body(10_000)).len(), 10_000);
    assert_eq!(
        publish_error(&body(10_001)),
        "Invalid format: more than 10000 items"
    );
    assert_eq!(
        publish_error(&body(100_000)),
        "Invalid format: more than 10000 items"
    );
}

#[test]
fn an_item_says_how_it_is_paced_and_what_it_purges() {
    let item = |fields: &str| {
        publish(&format!(
            r#"{{"items":[{{"channel":"t","formats":{{}},{fields}}}]}}"#
        ))
        .remove(0)
    };
    assert_eq!(item(r#""x":1"#).policy, None);
    assert_eq!(item(r#""policy":"latest""#).policy, Some(ItemPolicy::Latest));
    assert_eq!(item(r#""policy":"all""#).policy, Some(ItemPolicy::All));
    let purge = item(r#""surrogate-keys":["a","b"],"purge":["/c/?x=1","http://h:1/d"]"#).purge;
    assert_eq!(purge.surrogate_keys, ["a".into(), "b".into()]);
    assert_eq!(purge.urls, ["/c/?x=1", "http://h:1/d"]);

    let long = format!(r#""surrogate-keys":["{}"]"#, "x".repeat(1025));
    let many = format!(r#""surrogate-keys":[{}"x"]"#, r#""x","#.repeat(256));
    for (fields, text) in [
        (r#""policy":"newest""#, "contains 'policy' with invalid value"),
        (r#""policy":1"#, "contains 'policy' with wrong type"),
        (
            r#""surrogate-keys":"a""#,
            "contains 'surrogate-keys' with wrong type",
        ),
        (
            r#""surrogate-keys":["a b"]"#,
            "contains 'surrogate-keys' with invalid value",
        ),
        (
            r#""surrogate-keys":[""]"#,
            "contains 'surrogate-keys' with invalid value",
        ),
        (&long, "contains 'surrogate-keys' with invalid value"),
        (&many, "contains 'surrogate-keys' with more than 256 values"),
        (r#""purge":{}"#, "contains 'purge' with wrong type"),
        (r#""purge":["c d"]"#, "contains 'purge' with invalid value"),
        (r#""purge":["h:1"]"#, "contains 'purge' with invalid value"),
        (r#""purge":["*"]"#, "contains 'purge' with invalid value"),
        (r#""purge":[""]"#, "contains 'purge' with invalid value"),
    ] {
        let text = format!("Invalid format: publish item object {text}");
        assert_eq!(
            item_error(&format!(r#""formats":{{}},{fields}"#)),
            text,
            "{fields}"
        );
    }
    let value = item_error(r#""formats":{},"surrogate-keys":[1]"#);
    assert_eq!(
        value,
        "Invalid format: surrogate-keys contains value with wrong type"
    );
}
