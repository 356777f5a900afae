//! The conformance cases of instructions in headers that need no I/O.

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

fn instruct(headers: &[(&str, &str)]) -> Instruct {
    Instruct::from_headers(&map(headers)).unwrap().unwrap()
}

fn hold(headers: &[(&str, &str)]) -> Hold {
    instruct(headers).hold.unwrap()
}

fn error(headers: &[(&str, &str)]) -> String {
    Instruct::from_headers(&map(headers)).unwrap_err().to_string()
}

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
fn channels_without_a_hold_are_kept() {
    let read = instruct(&[("Grip-Channel", "a"), ("Grip-Timeout", "7")]);
    assert_eq!(read.hold, None);
    assert_eq!(read.channels()[0].name.as_str(), "a");
    assert_eq!(read, Instruct::immediate().channel("a").build().unwrap());
    let held = Instruct::stream().channel("a").build().unwrap();
    assert_eq!((held.channels(), held.unheld.len()), (read.channels(), 0));
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
fn l19_all_channels_are_read() {
    let names: Vec<_> = (0..300).map(|i| format!("c{i}")).collect();
    let hold = hold(&[
        ("Grip-Hold", "stream"),
        ("Grip-Channel", &format!("c0, {}", names.join(", "))),
    ]);
    let kept: Vec<_> = hold
        .channels
        .iter()
        .map(|channel| channel.name.as_str())
        .collect();
    assert_eq!(kept, names);
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
    for value in ["", "a=1,", "=1", ";"] {
        assert_eq!(
            error(&[("Grip-Set-Meta", value)]),
            "Grip-Set-Meta cannot be empty",
            "{value}"
        );
    }
}
