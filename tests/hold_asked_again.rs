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

/// What came beside the hint answers rather than a failure, or nobody would hear of it.
#[tokio::test(start_paused = true)]
async fn l09_a_hint_is_answered_by_what_came_or_by_the_refusal_of_a_younger_answer() {
    for beside in [true, false] {
        let edge = Edge::new();
        let origin = Origin::new(|number, _| async move {
            let channels = if number == 1 { "t, u" } else { "t, u, v" };
            let held = [("grip-hold", "response"), ("grip-channel", channels)];
            Ok(reply(200, &held, "nothing\n"))
        });
        let service = origin.held(edge.hold_layer().max_channels(2));
        let mut waiting = start(&service, request(Method::GET, "/", &[]));
        assert!(waiting.now().await.is_none());
        let mut order: Order = [Publication::new(channel("t"), hint())].into_iter().collect();
        if beside {
            order = order.and(Publication::new(channel("u"), answer(200, &[], "hi")));
        }
        edge.submit(order).await.expect("accepted");
        let response = waiting.now().await.expect("answered");
        assert_eq!(origin.calls(), 2);
        assert_eq!(response.status(), if beside { 200 } else { 502 });
        assert_eq!(subscriptions(&edge), 0);
    }
}

/// A part that nobody asked for is passed on, and not asked for again and again.
#[tokio::test(start_paused = true)]
async fn a_younger_answer_that_is_a_part_all_the_same_is_not_held() {
    for mode in ["stream", "response"] {
        let edge = Edge::new();
        publish(&edge, hint()).await;
        publish(&edge, close()).await;
        let old_stamp = edge.hub().stamp_at(Position::ZERO);
        let origin = Origin::new(move |number, _| async move {
            let held = [("grip-hold", mode), ("grip-channel", "t")];
            Ok(match number {
                1 => cached(reply(200, &held, "open\n"), old_stamp),
                _ => reply(206, &held, "op"),
            })
        });
        let response = origin.get(&edge).await;
        assert_eq!(origin.calls(), 2);
        assert_eq!(response.status(), 206, "{mode}");
        assert_eq!(text(response).await, "op", "{mode}");
        assert_eq!(subscriptions(&edge), 0);
    }
}
