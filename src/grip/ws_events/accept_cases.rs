//! The conformance cases of what an origin accepts of an offer.

use std::collections::VecDeque;

use bytes::Bytes;

use super::*;
use crate::grip::CloseFrame;

fn text(content: &'static str) -> Event {
    Event::Text(content.into())
}

fn ping() -> Event {
    Event::Ping(Bytes::new())
}

/// Its content has five bytes.
fn close() -> Event {
    Event::Close(Some(CloseFrame::new(4005, "cya").unwrap()))
}

/// What an origin says of an offer, what that means, and what is left.
#[test]
fn offers_and_answers() {
    let took = |events, bytes, replayed| Accepted {
        events,
        bytes,
        replayed,
    };
    for (case, queue, offered, accepted, result, left) in [
        (
            "W14 a part of a text",
            vec![text("abcdef")],
            1,
            Some(2),
            took(0, 2, 4),
            vec![text("cdef")],
        ),
        (
            "W14 all of it",
            vec![text("abcdef")],
            1,
            Some(6),
            took(1, 6, 0),
            vec![],
        ),
        (
            "W14 nothing",
            vec![text("abcdef")],
            1,
            Some(0),
            took(0, 0, 6),
            vec![text("abcdef")],
        ),
        (
            "nothing is said: all",
            vec![text("ab"), ping(), close()],
            3,
            None,
            took(3, 7, 0),
            vec![],
        ),
        (
            "nothing was offered",
            vec![text("ab")],
            0,
            Some(0),
            took(0, 0, 0),
            vec![text("ab")],
        ),
        (
            "a whole one and a part",
            vec![text("ab"), Event::Binary("cd".into()), text("ef")],
            3,
            Some(3),
            took(1, 3, 3),
            vec![Event::Binary("d".into()), text("ef")],
        ),
        (
            "a part within a character",
            vec![text("ü")],
            1,
            Some(1),
            took(0, 1, 1),
            vec![Event::Text(Bytes::from_static(b"\xbc"))],
        ),
        (
            "what has no content is accepted with what is before it",
            vec![text("ab"), ping(), text(""), text("cd"), ping()],
            5,
            Some(2),
            took(3, 2, 2),
            vec![text("cd"), ping()],
        ),
        (
            "at the beginning even with nothing",
            vec![ping(), text("ab")],
            2,
            Some(0),
            took(1, 0, 2),
            vec![text("ab")],
        ),
        (
            "what came after the offer stays",
            vec![text("ab"), ping(), text("cd")],
            1,
            Some(2),
            took(1, 2, 0),
            vec![ping(), text("cd")],
        ),
        (
            "and stays where all is accepted",
            vec![text("ab"), ping()],
            1,
            None,
            took(1, 2, 0),
            vec![ping()],
        ),
        (
            "a close waits for what is before it, and is none of the bytes that come again",
            vec![text("ab"), close()],
            2,
            Some(1),
            took(0, 1, 1),
            vec![text("b"), close()],
        ),
        (
            "a close is accepted whole",
            vec![text("ab"), close()],
            2,
            Some(7),
            took(2, 7, 0),
            vec![],
        ),
        (
            "a close without content goes along",
            vec![text("ab"), Event::Close(None)],
            2,
            Some(2),
            took(2, 2, 0),
            vec![],
        ),
    ] {
        println!("{case}");
        let mut queue = VecDeque::from(queue);
        assert_eq!(drop_accepted(&mut queue, offered, accepted), Ok(result), "{case}");
        assert_eq!(queue, left, "{case}");
    }
}

#[test]
fn what_no_origin_can_have_accepted() {
    let more = |offered, accepted| AcceptError::MoreThanOffered { offered, accepted };
    for (case, queue, offered, accepted, error) in [
        ("W15 more than offered", vec![text("abc")], 1, 4, more(3, 4)),
        (
            "W15 more than can be",
            vec![text("abc")],
            1,
            u64::MAX,
            more(3, u64::MAX),
        ),
        (
            "W15 what was not offered yet",
            vec![text("abc"), text("d")],
            1,
            4,
            more(3, 4),
        ),
        (
            "all but the close",
            vec![text("ab"), close()],
            2,
            2,
            AcceptError::CloseLeft,
        ),
        (
            "a part of the close",
            vec![text("ab"), close()],
            2,
            4,
            AcceptError::CloseLeft,
        ),
        (
            "nothing of a close alone",
            vec![close()],
            1,
            0,
            AcceptError::CloseLeft,
        ),
    ] {
        println!("{case}");
        let mut queue = VecDeque::from(queue);
        let before = queue.clone();
        assert_eq!(
            drop_accepted(&mut queue, offered, Some(accepted)),
            Err(error),
            "{case}"
        );
        assert_eq!(queue, before, "{case}: nothing has changed");
    }
    assert_eq!(more(3, 4).to_string(), "4 bytes are accepted, 3 were offered");
    assert_eq!(
        AcceptError::CloseLeft.to_string(),
        "all is accepted but the close"
    );
}

#[test]
fn what_is_left_is_offered_again_with_what_came_since() {
    let mut queue = VecDeque::from([text("abcdef")]);
    let accepted = drop_accepted(&mut queue, 1, Some(2)).unwrap();
    queue.push_back(text("GH"));
    println!("W14");
    assert_eq!(encode(&queue), "TEXT 4\r\ncdef\r\nTEXT 2\r\nGH\r\n");
    assert_eq!((accepted.replayed, content_bytes(&queue)), (4, 6));
    assert_eq!(
        drop_accepted(&mut queue, 2, Some(6)),
        Ok(Accepted {
            events: 2,
            bytes: 6,
            replayed: 0
        })
    );
    assert!(queue.is_empty());
}
