//! What a hold layer asked for once more is judged like the first answer.
#![cfg(all(feature = "hold", feature = "testing"))]

mod hold_support;

use gripstack::{Edge, Order, Position, Publication};
use http::Method;

use hold_support::*;

/// The whole was asked for, and is too old to hold from: what comes past every cache is the whole as well, not a part.
#[tokio::test(start_paused = true)]
async fn a_stream_is_not_held_from_a_part_although_the_whole_was_too_old() {
    let edge = Edge::new();
    publish(&edge, close()).await;
    let old_stamp = edge.hub().stamp_at(Position::ZERO);
    let origin = Origin::new(move |number, parts| async move {
        Ok(match (number, parts.headers.contains_key("range")) {
            (_, true) => reply(206, &[("grip-hold", "stream"), ("grip-channel", "t")], "op"),
            (2, false) => cached(stream("open\n"), old_stamp),
            (_, false) => stream("open\n"),
        })
    });
    let ranged = request(Method::GET, "/", &[("range", "bytes=0-1")]);
    let mut response = send(&origin.held(edge.hold_layer()), ranged).await;
    assert_eq!(response.status(), 200);
    assert_eq!(ready(response.body_mut()), ["open\n"]);
}

/// The same of an answer that was whole at first, as from a cache that heeds no ranges.
#[tokio::test(start_paused = true)]
async fn a_younger_answer_to_a_request_for_a_part_is_the_whole() {
    for mode in ["stream", "response"] {
        let edge = Edge::new();
        publish(&edge, hint()).await;
        publish(&edge, close()).await;
        let old_stamp = edge.hub().stamp_at(Position::ZERO);
        let origin = Origin::new(move |number, parts| async move {
            let held = [("grip-hold", mode), ("grip-channel", "t"), ("grip-timeout", "5")];
            Ok(match (number, parts.headers.contains_key("range")) {
                (1, _) => cached(reply(200, &held, "open\n"), old_stamp),
                (_, true) => reply(206, &held, "op"),
                (_, false) => reply(200, &held, "open\n"),
            })
        });
        let ranged = request(Method::GET, "/", &[("range", "bytes=0-1")]);
        let mut response = send(&origin.held(edge.hold_layer()), ranged).await;
        assert_eq!(response.status(), 200, "{mode}");
        assert_eq!(data(response.body_mut()).await, "open\n", "{mode}");
    }
}

/// A hold that names too many channels is refused, also where it is the younger answer.
#[tokio::test(start_paused = true)]
async fn a_younger_answer_of_too_many_channels_is_refused() {
    for mode in ["stream", "response"] {
        let edge = Edge::new();
        publish(&edge, hint()).await;
        publish(&edge, close()).await;
        let old_stamp = edge.hub().stamp_at(Position::ZERO);
        let origin = Origin::new(move |number, _| async move {
            let held = |channels| {
                [
                    ("grip-hold", mode),
                    ("grip-channel", channels),
                    ("grip-timeout", "5"),
                ]
            };
            Ok(match number {
                1 => cached(reply(200, &held("t"), "open\n"), old_stamp),
                _ => reply(200, &held("t, u, v"), "open\n"),
            })
        });
        let service = origin.held(edge.hold_layer().max_channels(2));
        let response = send(&service, request(Method::GET, "/", &[])).await;
        assert_eq!(origin.calls(), 2);
        assert_eq!(response.status(), 502, "{mode}");
    }
}

/// A hint says that what a poll waits with is old. Where the origin was asked too often for one poll to be asked once more,
/// its client is told so.
#[tokio::test(start_paused = true)]
async fn m2_what_is_older_than_a_hint_that_was_not_heard_is_marked() {
    let edge = Edge::new();
    let origin = Origin::polls("old\n");
    let mut waiting = origin.waiting(&edge).await;
    for _ in 0..20 {
        publish(&edge, hint()).await;
        assert!(waiting.now().await.is_none());
    }
    assert_eq!(origin.calls(), 11);
    let response = waiting.done().await;
    assert!(is_marked(&response), "{:?}", response.headers());
}

/// M2: a message before a poll came makes its answer too old, also where the log has forgotten it for a newer state.
#[tokio::test(start_paused = true)]
async fn m2_a_state_that_is_forgotten_for_a_newer_one_makes_an_answer_too_old() {
    for (edge, what) in [(Edge::new(), "kept"), (forgetful(), "forgotten")] {
        let state = |text: &str| Publication::new(channel("t"), bytes(text)).latest();
        let order = |item: Publication| -> Order { [item].into_iter().collect() };
        edge.submit(order(state("1"))).await.expect("accepted");
        let (one, others) = (
            edge.clone(),
            [Publication::new(channel("t"), bytes("2")), state("3")],
        );
        let origin = Origin::new(move |number, _| {
            let (edge, others) = (one.clone(), others.clone());
            async move {
                if number > 1 {
                    return Ok(poll("new\n"));
                }
                for item in others {
                    edge.submit([item].into_iter().collect()).await.expect("accepted");
                }
                // Of a foreign cache.
                let held = [("grip-hold", "response"), ("grip-channel", "t"), ("age", "100")];
                Ok(reply(200, &held, "old\n"))
            }
        });
        let response = origin.start(&edge).done().await;
        assert!(is_marked(&response) || text(response).await == "new\n", "{what}");
    }
}
