//! The conformance cases of instructions in JSON that need no I/O.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::*;

fn map(headers: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

fn json(body: &str) -> (Instruct, JsonResponse) {
    Instruct::from_json(StatusCode::OK, &HeaderMap::new(), body.as_bytes()).unwrap()
}

fn json_error(body: &str) -> String {
    let result = Instruct::from_json(StatusCode::OK, &HeaderMap::new(), body.as_bytes());
    result.unwrap_err().to_string()
}

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
