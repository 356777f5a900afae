//! The conformance cases of whom a message is for.

use SocketKind::{Binary, Ping, Pong, Text};
use bytes::Bytes;

use super::*;
use crate::message::SocketKind;

/// Whom messages are for.
#[test]
fn whom_a_message_is_for() {
    let grip = || Some(MessagePrefix::default());
    let prefix = |prefix: &str| Some(MessagePrefix::new(prefix));
    let pass = |content: &'static [u8]| Verdict::Pass(content.into());
    let drop = Verdict::Drop;
    let (whole, first) = (Part::Whole, Part::FirstFrame);
    for (case, prefix, kind, part, content, verdict) in [
        (
            "W07 prefixed text",
            grip(),
            Text,
            whole,
            &b"m:hello"[..],
            pass(b"hello"),
        ),
        (
            "W07 prefixed bytes",
            grip(),
            Binary,
            whole,
            b"m:\xff",
            pass(b"\xff"),
        ),
        (
            "W07 nothing but the prefix",
            grip(),
            Text,
            whole,
            b"m:",
            pass(b""),
        ),
        (
            "W07 the first of several frames",
            grip(),
            Text,
            first,
            b"m:he",
            pass(b"he"),
        ),
        (
            "W07 which may end within a character",
            grip(),
            Text,
            first,
            b"m:\xc3",
            pass(b"\xc3"),
        ),
        (
            "W08 unprefixed text",
            grip(),
            Text,
            whole,
            b"hello",
            drop(DropReason::Unprefixed),
        ),
        (
            "W08 unprefixed bytes",
            grip(),
            Binary,
            whole,
            b"\xff",
            drop(DropReason::Unprefixed),
        ),
        (
            "W08 nothing",
            grip(),
            Text,
            whole,
            b"",
            drop(DropReason::Unprefixed),
        ),
        (
            "W08 a prefix in another case",
            grip(),
            Text,
            whole,
            b"M:hello",
            drop(DropReason::Unprefixed),
        ),
        (
            "W08 a part of the prefix",
            grip(),
            Text,
            first,
            b"m",
            drop(DropReason::Unprefixed),
        ),
        (
            "W09 no extension, prefixed",
            None,
            Text,
            whole,
            b"m:hello",
            pass(b"m:hello"),
        ),
        (
            "W09 no extension, for an edge",
            None,
            Text,
            whole,
            b"c:{}",
            pass(b"c:{}"),
        ),
        (
            "W09 no extension, in frames",
            None,
            Text,
            first,
            b"c:",
            pass(b"c:"),
        ),
        (
            "W10 an empty prefix passes all",
            prefix(""),
            Text,
            whole,
            b"hello",
            pass(b"hello"),
        ),
        ("W10 even nothing", prefix(""), Binary, whole, b"", pass(b"")),
        (
            "W10 but not what is the edge's",
            prefix(""),
            Text,
            whole,
            b"c:{}",
            Verdict::Control("{}"),
        ),
        (
            "bytes are never the edge's",
            grip(),
            Binary,
            whole,
            b"c:{}",
            drop(DropReason::Unprefixed),
        ),
        (
            "so they pass an empty prefix",
            prefix(""),
            Binary,
            whole,
            b"c:{}",
            pass(b"c:{}"),
        ),
        (
            "text for the edge",
            grip(),
            Text,
            whole,
            b"c:{}",
            Verdict::Control("{}"),
        ),
        (
            "even if the prefix begins alike",
            prefix("c:m:"),
            Text,
            whole,
            b"c:m:x",
            Verdict::Control("m:x"),
        ),
        (
            "even if it is empty",
            grip(),
            Text,
            whole,
            b"c:",
            Verdict::Control(""),
        ),
        (
            "not in several frames",
            grip(),
            Text,
            first,
            b"c:{}",
            drop(DropReason::FragmentedControl),
        ),
        (
            "not even with an empty prefix",
            prefix(""),
            Text,
            first,
            b"c:{}",
            drop(DropReason::FragmentedControl),
        ),
        (
            "not if it is no text",
            grip(),
            Text,
            whole,
            b"c:\xff",
            drop(DropReason::ControlNotUtf8),
        ),
        (
            "a longer prefix",
            prefix("über:"),
            Text,
            whole,
            "über:ü".as_bytes(),
            pass("ü".as_bytes()),
        ),
        ("pings have none", grip(), Ping, whole, b"x", pass(b"x")),
        (
            "and keep what looks like one",
            grip(),
            Pong,
            whole,
            b"m:x",
            pass(b"m:x"),
        ),
    ] {
        println!("{case}");
        let content = Bytes::from_static(content);
        assert_eq!(judge(prefix.as_ref(), kind, part, &content), verdict, "{case}");
    }
}

#[test]
fn what_passes_is_a_part_of_the_message() {
    let content = Bytes::from("m:hello".to_owned());
    let inside = content.as_ptr_range();
    let Verdict::Pass(passed) = judge(Some(&MessagePrefix::default()), Text, Part::Whole, &content) else {
        panic!("it has the prefix");
    };
    assert!(inside.contains(&passed.as_ptr()));
}
