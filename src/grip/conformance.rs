//! The conformance cases of GRIP that need no I/O: I.. instructions, P.. publishes, S.. and L.. where they parse.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::*;
use crate::message::{Message, ResponseForm, SocketForm, SocketKind, StreamForm};

fn map(headers: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

fn instruct(headers: &[(&str, &str)]) -> Instruct {
    Instruct::from_headers(&map(headers)).unwrap().unwrap()
}

fn hold(headers: &[(&str, &str)]) -> Hold {
    instruct(headers).hold.unwrap()
}

fn error(headers: &[(&str, &str)]) -> String {
    Instruct::from_headers(&map(headers)).unwrap_err().to_string()
}

fn json(body: &str) -> (Instruct, JsonResponse) {
    Instruct::from_json(StatusCode::OK, &HeaderMap::new(), body.as_bytes()).unwrap()
}

fn json_error(body: &str) -> String {
    let result = Instruct::from_json(StatusCode::OK, &HeaderMap::new(), body.as_bytes());
    result.unwrap_err().to_string()
}

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

// === instructions in headers ===

#[test]
fn i01_no_grip_no_instructions() {
    let headers = map(&[("ETag", "\"1\""), ("Via", "1.1 x"), ("X-Grip-Hold", "stream")]);
    assert_eq!(Instruct::from_headers(&headers), Ok(None));
    assert!(!is_instruct_type(&headers));
}

#[test]
fn i02_i03_i04_a_hold_is_response_or_stream() {
    for value in ["foo", "Response", "", "stream; x"] {
        assert_eq!(
            error(&[("Grip-Hold", value)]),
            "Grip-Hold must be set to either 'response' or 'stream'",
            "{value}"
        );
    }
    assert_eq!(
        hold(&[("GRIP-HOLD", "stream"), ("Grip-Hold", "foo")]).mode,
        HoldMode::Stream
    );
}

#[test]
fn i05_i06_a_timeout_is_an_integer_from_zero() {
    let with = |timeout| error(&[("Grip-Hold", "response"), ("Grip-Timeout", timeout)]);
    assert_eq!(with("abc"), "failed to parse Grip-Timeout");
    assert_eq!(with(""), "failed to parse Grip-Timeout");
    assert_eq!(with("-1"), "Grip-Timeout has invalid value");
}

#[test]
fn i07_i08_a_timeout_is_at_least_5_s_and_by_default_55_s() {
    let with = |timeout| hold(&[("Grip-Hold", "response"), ("Grip-Timeout", timeout)]).timeout;
    assert_eq!(with("0"), Duration::from_secs(5));
    assert_eq!(with("6"), Duration::from_secs(6));
    assert_eq!(
        hold(&[("Grip-Hold", "response")]).timeout,
        Duration::from_secs(55)
    );
}

#[test]
fn i09_i10_a_keep_alive_has_known_modes_and_formats() {
    let with = |value| error(&[("Grip-Hold", "stream"), ("Grip-Keep-Alive", value)]);
    assert_eq!(with("x; mode=foo"), "no such Grip-Keep-Alive mode 'foo'");
    assert_eq!(with("x; format=foo"), "no such Grip-Keep-Alive format 'foo'");
    assert_eq!(with("; timeout=1"), "Grip-Keep-Alive cannot be empty");
}

#[test]
fn i11_i12_i13_a_status_with_or_without_a_phrase() {
    let with = |value| {
        let instruct = instruct(&[("Grip-Status", value)]);
        assert_eq!(instruct.hold, None);
        (instruct.status.map(|status| status.as_u16()), instruct.reason)
    };
    assert_eq!(with("404 Nope"), (Some(404), Some("Nope".into())));
    assert_eq!(with("304"), (Some(304), None));
    assert_eq!(with("799"), (Some(799), None));
    assert_eq!(with(""), (None, None));
}

#[test]
fn i14_a_status_is_a_final_one() {
    for value in ["abc", "-1", "1000", "99", "101", "404Nope"] {
        assert_eq!(
            error(&[("Grip-Status", value)]),
            "Grip-Status contains invalid status code",
            "{value}"
        );
    }
}

#[test]
fn i15_any_grip_header_counts_and_asks_nothing() {
    assert_eq!(instruct(&[("Grip-Foo", "1")]), Instruct::default());
}

#[test]
fn i17_expose_headers_is_a_list_and_fails_closed() {
    let instruct = instruct(&[
        ("Grip-Expose-Headers", "X-A, ,Content-Type"),
        ("grip-expose-headers", "x-b"),
    ]);
    assert_eq!(instruct.expose_headers, ["x-a", "content-type", "x-b"]);
    assert_eq!(
        error(&[("Grip-Expose-Headers", "no name")]),
        "Grip-Expose-Headers contains invalid header name 'no name'"
    );
}

#[test]
fn i18_a_link_stands_in_angle_brackets() {
    for value in ["foo; rel=next", "", "</a; rel=next"] {
        assert_eq!(
            error(&[("Grip-Link", value)]),
            "failed to parse Grip-Link value",
            "{value}"
        );
    }
    for value in ["<>; rel=next", "<a b>; rel=next", "<ü>; rel=next"] {
        assert_eq!(
            error(&[("Grip-Link", value)]),
            "Grip-Link contains invalid link",
            "{value}"
        );
    }
    let with = |timeout: &str| error(&[("Grip-Link", &format!("</a>; rel=next; timeout={timeout}"))]);
    assert_eq!(with("x"), "failed to parse Grip-Link timeout value");
    assert_eq!(with("-1"), "Grip-Link timeout has invalid value");
}

#[test]
fn i19_commas_inside_angle_brackets_belong_to_the_link() {
    let instruct = instruct(&[(
        "Grip-Link",
        "</x>; rel=next, </a?x=1,2;3>; rel=next; timeout=0, </g>; rel=gone, </o>; rel=other",
    )]);
    let next = instruct.next.unwrap();
    assert_eq!((&*next.uri, next.timeout), ("/a?x=1,2;3", Duration::ZERO));
    assert_eq!(instruct.gone.as_deref(), Some("/g"));
}

#[test]
fn i20_a_link_without_a_relation_is_passed_over() {
    assert_eq!(
        instruct(&[("Grip-Link", "</a>"), ("Grip-Link", "</b>; timeout=1")]),
        Instruct::default()
    );
    let next = instruct(&[("Grip-Link", "<b?c>; REL=\"next\"")]).next.unwrap();
    assert_eq!((&*next.uri, next.timeout), ("b?c", Duration::from_secs(120)));
}

#[test]
fn i21_six_filters_are_too_many() {
    let with = |n: usize| format!("t{}", "; filter=x".repeat(n));
    let five = hold(&[("Grip-Hold", "stream"), ("Grip-Channel", &with(5))]);
    assert_eq!(five.channels[0].filters.len(), 5);
    assert_eq!(
        error(&[("Grip-Channel", &with(6))]),
        "too many filters for channel 't'"
    );
}

#[test]
fn i22_a_hold_without_channels_is_a_hold() {
    let hold = hold(&[("Grip-Hold", "response"), ("Grip-Timeout", "1")]);
    assert!(hold.channels.is_empty());
    assert_eq!(hold.timeout, Duration::from_secs(5));
}

#[test]
fn a_channel_has_a_name_that_a_channel_may_have() {
    let with = |value: &[u8]| {
        let mut headers = map(&[("Grip-Hold", "stream")]);
        headers.append("grip-channel", HeaderValue::from_bytes(value).unwrap());
        Instruct::from_headers(&headers).unwrap_err().to_string()
    };
    assert_eq!(with(b","), "the channel name is empty");
    assert_eq!(with(b"; prev-id=1"), "the channel name is empty");
    assert_eq!(
        with(b"a\tb"),
        r"the channel name contains the control character '\t'"
    );
    assert_eq!(
        with("x".repeat(64 << 10).as_bytes()),
        "the channel name has 65536 bytes, at most 1024 are allowed"
    );
    assert_eq!(with(b"\xff"), "Grip-Channel is not valid UTF-8");
}

#[test]
fn duplicate_headers_take_the_first_and_lists_take_all() {
    let hold = hold(&[
        ("Grip-Hold", "response"),
        ("Grip-Hold", "stream"),
        ("Grip-Timeout", "7"),
        ("Grip-Timeout", "x"),
        ("Grip-Channel", "a, b; prev-id=\"1,2\""),
        ("grip-channel", "c"),
    ]);
    let names: Vec<_> = hold
        .channels
        .iter()
        .map(|channel| channel.name.as_str())
        .collect();
    assert_eq!(
        (hold.mode, hold.timeout),
        (HoldMode::Response, Duration::from_secs(7))
    );
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(hold.channels[1].prev_id.as_deref(), Some("1,2"));
}

#[test]
fn l19_of_21_channels_the_first_20_are_kept() {
    let names: Vec<_> = (0..21).map(|i| format!("c{i}")).collect();
    let hold = hold(&[
        ("Grip-Hold", "stream"),
        ("Grip-Channel", &format!("c0, {}", names.join(", "))),
    ]);
    let kept: Vec<_> = hold
        .channels
        .iter()
        .map(|channel| channel.name.as_str())
        .collect();
    assert_eq!(kept, names[..20]);
    assert_eq!(hold.dropped_channels, 1);
}

#[test]
fn l20_a_status_beside_a_hold() {
    let instruct = instruct(&[("Grip-Hold", "response"), ("Grip-Status", "304")]);
    assert_eq!(instruct.status, Some(StatusCode::NOT_MODIFIED));
    assert!(instruct.hold.is_some());
}

#[test]
fn meta_is_a_list_of_pairs() {
    let pairs = instruct(&[("Grip-Set-Meta", r#"user=al, k="v, w""#)]).meta;
    assert_eq!(pairs, [("user".into(), "al".into()), ("k".into(), "v, w".into())]);
    assert_eq!(error(&[("Grip-Set-Meta", "")]), "Grip-Set-Meta cannot be empty");
}

// === instructions in JSON ===

#[test]
fn the_type_is_compared_without_its_parameters() {
    for (value, expected) in [
        ("application/grip-instruct", true),
        ("application/grip-instruct; charset=utf-8", true),
        ("Application/GRIP-Instruct", true),
        ("application/grip-instructions", false),
        ("text/plain; application/grip-instruct", false),
    ] {
        assert_eq!(
            is_instruct_type(&map(&[("Content-Type", value)])),
            expected,
            "{value}"
        );
    }
}

#[test]
fn i23_i24_the_body_is_a_json_object() {
    for body in ["{bad", "", "{} x", "\u{feff}{}"] {
        assert_eq!(
            json_error(body),
            "failed to parse application/grip-instruct content as JSON",
            "{body}"
        );
    }
    for body in ["[]", "1", "null", "\"x\""] {
        assert_eq!(json_error(body), "instruct must be an object", "{body}");
    }
}

#[test]
fn i25_the_carrier_is_a_200() {
    let result = Instruct::from_json(StatusCode::NOT_FOUND, &HeaderMap::new(), b"{}");
    let text = result.unwrap_err().to_string();
    assert_eq!(
        text,
        "response code for application/grip-instruct content must be 200"
    );
}

#[test]
fn i26_a_hold_names_its_channels() {
    assert_eq!(json_error(r#"{"hold":{}}"#), "hold does not contain 'channels'");
}

#[test]
fn i27_a_code_may_be_a_string() {
    let (instruct, response) = json(r#"{"response":{"code":"418","body":"z"}}"#);
    assert_eq!(instruct, Instruct::default());
    assert_eq!((response.status.as_u16(), &response.body[..]), (418, &b"z"[..]));
}

#[test]
fn i28_an_empty_object_is_an_empty_200() {
    assert_eq!(json("{}"), (Instruct::default(), JsonResponse::default()));
    assert_eq!(JsonResponse::default().status, StatusCode::OK);
}

#[test]
fn i29_a_code_that_is_no_number_is_refused() {
    assert_eq!(
        json_error(r#"{"response":{"code":"abc"}}"#),
        "response contains 'code' with wrong type"
    );
    assert_eq!(
        json_error(r#"{"response":{"code":1.5}}"#),
        "response contains 'code' with wrong type"
    );
    for code in ["-1", "1000", "99", "101", "1e30"] {
        let body = format!(r#"{{"response":{{"code":{code}}}}}"#);
        assert_eq!(
            json_error(&body),
            "response contains 'code' with invalid value",
            "{code}"
        );
    }
}

#[test]
fn i30_six_filters_are_too_many_in_json_too() {
    let body = r#"{"hold":{"mode":"stream","channels":[{"name":"t","filters":["1","2","3","4","5","6"]}]}}"#;
    assert_eq!(json_error(body), "too many filters for channel 't'");
}

#[test]
fn s08_a_json_keep_alive_is_idle_and_its_mode_is_honoured() {
    let with = |rest: &str| {
        let body = format!(r#"{{"hold":{{"mode":"stream","channels":[],"keep-alive":{rest}}}}}"#);
        json(&body).0.hold.unwrap().keep_alive
    };
    let idle = KeepAlive::text("a\n", Duration::from_secs(2));
    assert_eq!(with(r#"{"content":"a\n","timeout":2}"#), Some(idle.clone()));
    assert_eq!(
        with(r#"{"content-bin":"YQo=","content":"b","timeout":"2","mode":"interval"}"#),
        Some(idle.with_mode(KeepAliveMode::Interval))
    );
    assert_eq!(
        with(r#"{"content":"a"}"#),
        Some(KeepAlive::text("a", Duration::from_secs(55)))
    );
    assert_eq!(with("{}"), None);
}

#[test]
fn json_overrides_and_adds_to_the_headers_beside_it() {
    let headers = map(&[
        ("Grip-Hold", "response"),
        ("Grip-Channel", "a"),
        ("Grip-Timeout", "9"),
        ("Grip-Status", "404 Nope"),
        ("Grip-Link", "</n>; rel=next"),
        ("Content-Type", "application/grip-instruct"),
        ("X-Carrier", "1"),
    ]);
    let body = br#"{"hold":{"mode":"stream","channels":[{"name":"b","prev-id":"1"}],"meta":{"k":"v"}}}"#;
    let (instruct, response) = Instruct::from_json(StatusCode::OK, &headers, body).unwrap();
    let hold = instruct.hold.unwrap();
    let names: Vec<_> = hold
        .channels
        .iter()
        .map(|channel| channel.name.as_str())
        .collect();
    assert_eq!((hold.mode, &names[..]), (HoldMode::Stream, &["a", "b"][..]));
    assert_eq!(
        (hold.timeout, hold.channels[1].prev_id.as_deref()),
        (Duration::from_secs(9), Some("1"))
    );
    assert_eq!(instruct.meta, [("k".into(), "v".into())]);
    assert_eq!(&*instruct.next.unwrap().uri, "/n");
    assert_eq!(
        (response.status.as_u16(), response.reason.as_deref()),
        (404, Some("Nope"))
    );
    assert!(response.headers.is_empty() && response.body.is_empty());

    let (instruct, _) = Instruct::from_json(StatusCode::OK, &map(&[("Grip-Hold", "stream")]), b"{}").unwrap();
    assert_eq!(instruct.hold.unwrap().mode, HoldMode::Stream);
}

#[test]
fn a_json_response_has_headers_as_an_object_or_as_pairs() {
    let (_, response) = json(
        r#"{"response":{"code":201,"reason":"Made","body":"x","body-bin":"AAE=",
            "headers":[["X-A","1"],["x-a","2"],["Grip-Foo","3"],["Content-Length","9"]]}}"#,
    );
    assert_eq!(
        (response.status.as_u16(), response.reason.as_deref()),
        (201, Some("Made"))
    );
    assert_eq!(response.headers, map(&[("x-a", "1"), ("x-a", "2")]));
    assert_eq!(&response.body[..], [0, 1]);
    let (_, response) = json(r#"{"response":{"headers":{"X-B":"1","X-A":"2"}}}"#);
    assert_eq!(response.headers, map(&[("x-a", "2"), ("x-b", "1")]));
}

#[test]
fn every_json_refusal_has_its_text() {
    let many = format!(
        r#"{{"response":{{"headers":[{}["a","b"]]}}}}"#,
        r#"["a","b"],"#.repeat(100)
    );
    for (body, text) in [
        (r#"{"hold":1}"#, "instruct contains 'hold' with wrong type"),
        (r#"{"hold":{"mode":1}}"#, "hold contains 'mode' with wrong type"),
        (
            r#"{"hold":{"mode":"Stream"}}"#,
            "hold 'mode' must be set to either 'response' or 'stream'",
        ),
        (
            r#"{"hold":{"channels":{}}}"#,
            "hold contains 'channels' with wrong type",
        ),
        (
            r#"{"hold":{"channels":[],"timeout":[]}}"#,
            "hold contains 'timeout' with wrong type",
        ),
        (
            r#"{"hold":{"channels":[],"timeout":-1}}"#,
            "hold contains 'timeout' with invalid value",
        ),
        (r#"{"hold":{"channels":[1]}}"#, "channel is not an object"),
        (r#"{"hold":{"channels":[{}]}}"#, "channel does not contain 'name'"),
        (
            r#"{"hold":{"channels":[{"name":1}]}}"#,
            "channel contains 'name' with wrong type",
        ),
        (
            r#"{"hold":{"channels":[{"name":"a","prev-id":1}]}}"#,
            "channel contains 'prev-id' with wrong type",
        ),
        (
            r#"{"hold":{"channels":[{"name":"a","filters":[1]}]}}"#,
            "filters contains value with wrong type",
        ),
        (
            r#"{"hold":{"channels":[{"name":""}]}}"#,
            "the channel name is empty",
        ),
        (
            r#"{"hold":{"channels":[],"keep-alive":1}}"#,
            "hold contains 'keep-alive' with wrong type",
        ),
        (
            r#"{"hold":{"channels":[],"keep-alive":{"content":1}}}"#,
            "keep-alive contains 'content' with wrong type",
        ),
        (
            r#"{"hold":{"channels":[],"keep-alive":{"content":"a","mode":"x"}}}"#,
            "keep-alive 'mode' must be set to either 'idle' or 'interval'",
        ),
        (
            r#"{"hold":{"channels":[],"meta":{"K":1}}}"#,
            "'meta' contains 'K' with wrong type",
        ),
        (
            r#"{"response":1}"#,
            "instruct contains 'response' with wrong type",
        ),
        (
            r#"{"response":{"code":[]}}"#,
            "response contains 'code' with wrong type",
        ),
        (
            r#"{"response":{"headers":1}}"#,
            "response contains 'headers' with wrong type",
        ),
        (
            r#"{"response":{"headers":[1]}}"#,
            "headers contains element with wrong type",
        ),
        (
            r#"{"response":{"headers":[["a"]]}}"#,
            "headers contains list with wrong number of elements",
        ),
        (
            r#"{"response":{"headers":[[1,"a"]]}}"#,
            "header contains name element with wrong type",
        ),
        (
            r#"{"response":{"headers":[["a",1]]}}"#,
            "header contains value element with wrong type",
        ),
        (
            r#"{"response":{"headers":{"K":1}}}"#,
            "headers contains 'K' with wrong type",
        ),
        (
            r#"{"response":{"headers":{"K":"a\r\nb"}}}"#,
            "headers contains 'K' with invalid value",
        ),
        (
            r#"{"response":{"headers":{"K\n":"a"}}}"#,
            "headers contains 'K\u{fffd}' with invalid value",
        ),
        (
            r#"{"response":{"body":1}}"#,
            "response contains 'body' with wrong type",
        ),
        (
            r#"{"response":{"body-bin":"*"}}"#,
            "response contains 'body-bin' with invalid value",
        ),
        (&many, "headers contains more than 100 elements"),
    ] {
        assert_eq!(json_error(body), text, "{body}");
    }
    let too_large = vec![b' '; MAX_INSTRUCT_BYTES + 1];
    let result = Instruct::from_json(StatusCode::OK, &HeaderMap::new(), &too_large);
    assert_eq!(result, Err(InstructError::TooLarge));
}

// === publishes ===

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
    let message = message(r#""id":"","prev-id":"x","no-seq":true,"formats":{}"#);
    assert_eq!(
        (message.id.as_deref(), message.prev_id.as_deref()),
        (Some(""), Some("x"))
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
    assert_eq!(response.headers, map(&[("x-foo", "new"), ("x-bar", "1")]));
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
