//! The conformance cases of events as bodies, as far as they need no I/O, and what no body may be.

use bytes::Bytes;

use super::*;
use crate::grip::CloseFrame;

fn read(body: impl AsRef<[u8]>) -> Result<Vec<Event>, EventsError> {
    decode(&Bytes::copy_from_slice(body.as_ref()), Limits::default())
}

fn error(body: impl AsRef<[u8]>) -> String {
    read(body).unwrap_err().to_string()
}

fn close(code: u16, reason: &str) -> Event {
    Event::Close(Some(CloseFrame::new(code, reason).unwrap()))
}

/// What events look like as a body, in both directions.
#[test]
fn events_and_bodies() {
    let text = |text: &'static str| Event::Text(text.into());
    for (case, events, body) in [
        ("W01 a client connects", vec![Event::Open], &b"OPEN\r\n"[..]),
        (
            "W07 an origin opens and says something",
            vec![Event::Open, text("m:hello")],
            b"OPEN\r\nTEXT 7\r\nm:hello\r\n",
        ),
        (
            "W11 one message, however many fragments it had",
            vec![text("hello")],
            b"TEXT 5\r\nhello\r\n",
        ),
        (
            "W12 a ping without data",
            vec![Event::Ping(Bytes::new())],
            b"PING\r\n",
        ),
        (
            "W12 a ping with data",
            vec![Event::Ping("data".into())],
            b"PING 4\r\ndata\r\n",
        ),
        (
            "W12 pongs",
            vec![Event::Pong(Bytes::new()), Event::Pong("x".into())],
            b"PONG\r\nPONG 1\r\nx\r\n",
        ),
        (
            "W14 what was left, and what came since",
            vec![text("cdef"), text("GH")],
            b"TEXT 4\r\ncdef\r\nTEXT 2\r\nGH\r\n",
        ),
        ("W16 nothing", vec![], b""),
        (
            "W17 W20 a close without a code",
            vec![Event::Close(None)],
            b"CLOSE\r\n",
        ),
        (
            "W19 a close with a code and a reason",
            vec![close(4005, "cya")],
            b"CLOSE 5\r\n\x0f\xa5cya\r\n",
        ),
        (
            "W19 a close with a code",
            vec![close(1000, "")],
            b"CLOSE 2\r\n\x03\xe8\r\n",
        ),
        (
            "W26 a client vanishes",
            vec![Event::Disconnect],
            b"DISCONNECT\r\n",
        ),
        ("an empty text has no content", vec![text("")], b"TEXT\r\n"),
        (
            "bytes may be anything",
            vec![Event::Binary(b"\r\nOPEN\r\n\xff\0"[..].into())],
            b"BINARY a\r\n\r\nOPEN\r\n\xff\0\r\n",
        ),
        (
            "the length is in hexadecimal digits, in lower case",
            vec![text("0123456789abcdef0123456789")],
            b"TEXT 1a\r\n0123456789abcdef0123456789\r\n",
        ),
    ] {
        println!("{case}");
        assert_eq!(read(body).as_ref(), Ok(&events), "{case}");
        assert_eq!(encode(&events), body, "{case}");
    }
}

/// What is read as well, although it is written in another way.
#[test]
fn other_spellings() {
    let text = |text: &'static str| vec![Event::Text(text.into())];
    for (case, body, events) in [
        (
            "W07 a length in upper case",
            &b"TEXT A\r\n0123456789\r\n"[..],
            text("0123456789"),
        ),
        (
            "a length with zeros before it",
            b"TEXT 000000000000000000002\r\nhi\r\n",
            text("hi"),
        ),
        ("an empty content", b"TEXT 0\r\n\r\n", text("")),
        (
            "content where none belongs",
            b"OPEN 2\r\nhi\r\nDISCONNECT 0\r\n\r\n",
            vec![Event::Open, Event::Disconnect],
        ),
        (
            "an unknown type is passed over, with its content",
            b"NOVEL\r\nnovel 6\r\nOPEN\r\n\r\nTEXT 2\r\nhi\r\n",
            text("hi"),
        ),
        ("types have a case", b"open\r\nText 2\r\nhi\r\n", vec![]),
        (
            "W20 a close with an empty content",
            b"CLOSE 0\r\n\r\n",
            vec![Event::Close(None)],
        ),
        (
            "W18 libraries write 0 for no code",
            b"CLOSE 2\r\n\0\0\r\n",
            vec![close(1000, "")],
        ),
        (
            "W18 1005 says that there is none",
            b"CLOSE 5\r\n\x03\xedbye\r\n",
            vec![close(1000, "bye")],
        ),
    ] {
        println!("{case}");
        assert_eq!(read(body), Ok(events), "{case}");
    }
}

/// W28: what makes no sense is refused, with its place.
#[test]
fn no_bodies() {
    for (case, body, text) in [
        (
            "a line without an end",
            &b"OPEN"[..],
            "at byte 0: the line does not end with CRLF",
        ),
        (
            "a line with half an end",
            b"OPEN\r",
            "at byte 0: the line does not end with CRLF",
        ),
        (
            "LF alone",
            b"OPEN\nTEXT 2\r\nhi\r\n",
            "at byte 0: the line does not end with CRLF",
        ),
        (
            "the second line",
            b"OPEN\r\nTEXT 2",
            "at byte 6: the line does not end with CRLF",
        ),
        (
            "an empty line",
            b"OPEN\r\n\r\n",
            "at byte 6: the type is no word of visible ASCII characters",
        ),
        (
            "no type",
            b" 2\r\nhi\r\n",
            "at byte 0: the type is no word of visible ASCII characters",
        ),
        (
            "a type with a tab",
            b"TEXT\t2\r\nhi\r\n",
            "at byte 0: the type is no word of visible ASCII characters",
        ),
        (
            "a type with CR",
            b"TEXT\r2\r\nhi\r\n",
            "at byte 0: the type is no word of visible ASCII characters",
        ),
        (
            "a type that is no ASCII",
            b"T\xc3\x89XT\r\n",
            "at byte 0: the type is no word of visible ASCII characters",
        ),
        (
            "no length",
            b"TEXT \r\n\r\n",
            "at byte 5: the length is no number in hexadecimal digits",
        ),
        (
            "W28 no digits",
            b"TEXT xyz\r\nhi\r\n",
            "at byte 5: the length is no number in hexadecimal digits",
        ),
        (
            "a negative length",
            b"TEXT -2\r\nhi\r\n",
            "at byte 5: the length is no number in hexadecimal digits",
        ),
        (
            "a sign",
            b"TEXT +2\r\nhi\r\n",
            "at byte 5: the length is no number in hexadecimal digits",
        ),
        (
            "0x",
            b"TEXT 0x2\r\nhi\r\n",
            "at byte 5: the length is no number in hexadecimal digits",
        ),
        (
            "two spaces",
            b"TEXT  2\r\nhi\r\n",
            "at byte 5: the length is no number in hexadecimal digits",
        ),
        (
            "a space after it",
            b"TEXT 2 \r\nhi\r\n",
            "at byte 5: the length is no number in hexadecimal digits",
        ),
        (
            "digits of others",
            "TEXT ２\r\nhi\r\n".as_bytes(),
            "at byte 5: the length is no number in hexadecimal digits",
        ),
        (
            "beyond all memory",
            b"OPEN\r\nTEXT 10000000000000000\r\nhi\r\n",
            "at byte 11: the length is no number in hexadecimal digits",
        ),
        (
            "a large number",
            b"TEXT 7fffffff\r\nhi\r\n",
            "at byte 15: the content has 2147483647 bytes, 4 are left",
        ),
        (
            "less than it says",
            b"TEXT 5\r\nhi\r\n",
            "at byte 8: the content has 5 bytes, 4 are left",
        ),
        (
            "the end as content",
            b"TEXT 4\r\nhi\r\n",
            "at byte 12: the content is not followed by CRLF",
        ),
        (
            "more than it says",
            b"TEXT 2\r\nhi!\r\n",
            "at byte 10: the content is not followed by CRLF",
        ),
        (
            "LF after it",
            b"TEXT 2\r\nhi\nOPEN\r\n",
            "at byte 10: the content is not followed by CRLF",
        ),
        (
            "nothing after it",
            b"TEXT 2\r\nhi",
            "at byte 10: the content is not followed by CRLF",
        ),
        (
            "nor of an unknown type",
            b"NOVEL 2\r\nhi",
            "at byte 11: the content is not followed by CRLF",
        ),
        (
            "a text that is none",
            b"TEXT 3\r\nhi\xff\r\n",
            "at byte 10: the text is not valid UTF-8",
        ),
        (
            "half a code",
            b"CLOSE 1\r\n\x03\r\n",
            "at byte 9: a close code has two bytes",
        ),
        (
            "999",
            b"CLOSE 2\r\n\x03\xe7\r\n",
            "at byte 9: no close frame may have the code 999",
        ),
        (
            "1006",
            b"OPEN\r\nCLOSE 2\r\n\x03\xee\r\n",
            "at byte 15: no close frame may have the code 1006",
        ),
        (
            "1015",
            b"CLOSE 2\r\n\x03\xf7\r\n",
            "at byte 9: no close frame may have the code 1015",
        ),
        (
            "5000",
            b"CLOSE 2\r\n\x13\x88\r\n",
            "at byte 9: no close frame may have the code 5000",
        ),
        (
            "a reason that is no text",
            b"CLOSE 4\r\n\x03\xe8a\xff\r\n",
            "at byte 12: the text is not valid UTF-8",
        ),
    ] {
        println!("W28 {case}");
        assert_eq!(error(body), text, "W28 {case}");
    }
}

#[test]
fn a_control_frame_has_at_most_125_bytes() {
    for (name, content) in [("PING", "x"), ("PONG", "x")] {
        assert!(read(format!("{name} 7d\r\n{}\r\n", content.repeat(125))).is_ok());
        let error = error(format!("{name} 7e\r\n{}\r\n", content.repeat(126)));
        assert_eq!(
            error, "at byte 9: a control frame has at most 125 bytes",
            "{name}"
        );
    }
    let with_reason = |bytes: usize| {
        let mut body = format!("CLOSE {:x}\r\n", bytes + 2).into_bytes();
        body.extend_from_slice(&1000_u16.to_be_bytes());
        body.extend_from_slice("x".repeat(bytes).as_bytes());
        body.extend_from_slice(b"\r\n");
        read(body)
    };
    assert_eq!(with_reason(123), Ok(vec![close(1000, &"x".repeat(123))]));
    assert_eq!(
        with_reason(124).map_err(|error| error.fault),
        Err(EventFault::ControlTooLong)
    );
}

#[test]
fn bytes_and_events_have_limits() {
    let limits = Limits {
        max_bytes: 12,
        max_events: 2,
    };
    let read = |body: &'static str| decode(&Bytes::from(body), limits).map(|events| events.len());
    assert_eq!(read("PING\r\nPING\r\n"), Ok(2));
    assert_eq!(
        read("PING\r\nPING\r\n\r\n").unwrap_err().to_string(),
        "at byte 12: more than 12 bytes"
    );
    // Those that are passed over count.
    assert_eq!(
        read("A\r\nB\r\nC\r\n").unwrap_err().to_string(),
        "at byte 6: more than 2 events"
    );
    let zero = Limits {
        max_bytes: 0,
        max_events: 0,
    };
    assert_eq!(decode(&Bytes::new(), zero), Ok(vec![]));
    assert_eq!(
        (Limits::default().max_bytes, Limits::default().max_events),
        (1_000_000, 10_000)
    );
}

#[test]
fn contents_are_parts_of_the_body() {
    let body = Bytes::from("TEXT 5\r\nhello\r\nBINARY 2\r\nhi\r\nPING 1\r\nx\r\n");
    let inside = body.as_ptr_range();
    for event in decode(&body, Limits::default()).unwrap() {
        let (_, content) = event.as_message().unwrap();
        assert!(inside.contains(&content.as_ptr()), "{event:?}");
        assert_eq!(content.len(), event.content_bytes());
    }
}
