//! Properties: what is written is read back, no bytes panic or cost more than their length, and how an origin accepts
//! in parts does not matter.

use std::collections::VecDeque;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::grip::CloseFrame;
use crate::grip::properties::assert_linear;

fn event() -> impl Strategy<Value = Event> {
    let text = any::<String>().prop_map(|text| Event::Text(text.into()));
    let bytes = |max| vec(any::<u8>(), 0..max).prop_map(Bytes::from);
    prop_oneof![
        Just(Event::Open),
        text,
        bytes(300).prop_map(Event::Binary),
        bytes(126).prop_map(Event::Ping),
        bytes(126).prop_map(Event::Pong),
        close(),
        Just(Event::Disconnect),
    ]
}

fn close() -> impl Strategy<Value = Event> {
    let code = prop_oneof![1000u16..=1003, 1007u16..=1014, 3000u16..=4999];
    let frame = (code, any::<String>()).prop_map(|(code, reason)| CloseFrame::new(code, &reason).unwrap());
    proptest::option::of(frame).prop_map(Event::Close)
}

/// Short messages, some of them empty, and maybe a close after them.
fn queue() -> impl Strategy<Value = VecDeque<Event>> {
    let message = prop_oneof![
        "[a-z]{0,4}".prop_map(|text| Event::Text(text.into())),
        vec(any::<u8>(), 0..4).prop_map(|bytes| Event::Binary(bytes.into())),
        Just(Event::Ping(Bytes::new())),
    ];
    (vec(message, 0..8), proptest::option::of(close())).prop_map(|(messages, close)| {
        let all = messages.into_iter().chain(close);
        all.collect()
    })
}

/// Bodies that nearly are some.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(
            &[
                "OPEN", "TEXT ", "BINARY ", "PING", "PONG ", "CLOSE 2", "NOVEL ", "0", "2", "-1", "0x1",
                "\r\n", "hi"
            ][..]
        )
        .prop_map(|piece| piece.as_bytes().to_vec()),
        vec(any::<u8>(), 0..4),
        event().prop_map(|event| encode([&event]).to_vec()),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn events_read_back(events in vec(event(), 0..8)) {
        let body = encode(&events);
        prop_assert_eq!(decode(&body, Limits::default()), Ok(events));
    }

    #[test]
    fn no_body_panics(body in body()) {
        let body = Bytes::from(body);
        match decode(&body, Limits::default()) {
            Ok(events) => {
                prop_assert!(content_bytes(&events) <= body.len());
                prop_assert_eq!(decode(&encode(&events), Limits::default()), Ok(events));
            }
            Err(error) => prop_assert!(error.at <= body.len()),
        }
    }

    #[test]
    fn what_is_cut_is_no_body_or_fewer_events(events in vec(event(), 1..4), cut in any::<prop::sample::Index>()) {
        let body = encode(&events);
        let part = body.slice(..cut.index(body.len()));
        if let Ok(read) = decode(&part, Limits::default()) {
            prop_assert!(events.starts_with(&read) && read.len() < events.len());
        }
    }

    #[test]
    fn accepting_in_pieces_is_accepting_at_once(queue in queue(), pieces in vec(0u64..6, 0..8)) {
        let before = content_bytes(&queue);
        let mut at_once = queue.clone();
        let all = drop_accepted(&mut at_once, queue.len(), Some(pieces.iter().sum()));
        let mut in_pieces = queue;
        let mut last = Ok(Accepted::default());
        let mut events = 0;
        for piece in &pieces {
            let offered = in_pieces.len();
            last = drop_accepted(&mut in_pieces, offered, Some(*piece));
            match last {
                Ok(accepted) => events += accepted.events,
                Err(_) => break,
            }
        }
        // Where a piece ends before a close, it is an error that it would not have been at once.
        if let (Ok(all), Ok(last)) = (all, last) && !pieces.is_empty() {
            prop_assert_eq!(&in_pieces, &at_once);
            prop_assert_eq!((events, last.replayed), (all.events, all.replayed));
            prop_assert_eq!(before, all.bytes + content_bytes(&at_once));
        }
        if matches!(last, Err(AcceptError::MoreThanOffered { .. })) {
            let more = matches!(all, Err(AcceptError::MoreThanOffered { .. }));
            prop_assert!(more, "{:?}", all);
        }
    }

    #[test]
    fn what_was_not_offered_stays(offered in queue(), since in queue(), accepted in 0u64..20) {
        let mut alone = offered.clone();
        let expected = drop_accepted(&mut alone, offered.len(), Some(accepted));
        let mut queue: VecDeque<Event> = offered.iter().chain(&since).cloned().collect();
        prop_assert_eq!(drop_accepted(&mut queue, offered.len(), Some(accepted)), expected);
        alone.extend(since);
        prop_assert_eq!(queue, alone);
    }
}

#[test]
fn the_cost_of_a_body_grows_with_its_length_only() {
    let limits = Limits {
        max_bytes: usize::MAX,
        max_events: usize::MAX,
    };
    for piece in [
        "PING\r\n",
        "A\r\n",
        "TEXT 1\r\nx\r\n",
        "TEXT 0\r\n\r\n",
        "x",
        "\r",
        "TEXT 00000000",
    ] {
        assert_linear(piece, |n| {
            let _ = decode(&Bytes::from(piece.repeat(n / piece.len())), limits);
        });
    }
}
