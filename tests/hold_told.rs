//! What ids tell of messages that a hold's client was not sent or has by its own answer, of states that come back, and of two
//! publishers.
#![cfg(all(feature = "hold", feature = "testing"))]

mod hold_support;

use std::time::Duration;

use gripstack::{Edge, Message};
use tokio::time::advance;

use hold_support::*;

fn held(mode: &str, channels: &str) -> http::Response<gripstack::EdgeBody> {
    reply(200, &[("grip-hold", mode), ("grip-channel", channels)], "old\n")
}

fn pushed(text: &str, id: &str, prev_id: &str) -> Message {
    identified(answer(200, &[], text), id, prev_id)
}

/// The client was sent nothing that is older than its body.
#[tokio::test(start_paused = true)]
async fn d2_what_a_stream_was_not_sent_brings_nothing_that_its_body_contains() {
    let edge = Edge::new();
    let origin = Origin::new(|_, _| async { Ok(held("stream", "t; prev-id=10")) });
    let mut body = origin.get(&edge).await.into_body();
    assert_eq!(ready(&mut body), ["old\n"]);
    // For long polls only.
    publish(&edge, pushed("8", "8", "")).await;
    publish(&edge, with_ids("10", "10", "")).await;
    assert_eq!(ready(&mut body), [""; 0], "the body contains it");
    publish(&edge, with_ids("11", "11", "10")).await;
    assert_eq!(ready(&mut body), ["11"]);
}

/// Its client has what its own answer names, and was sent nothing since.
#[tokio::test(start_paused = true)]
async fn d2_a_poll_is_not_answered_with_what_its_client_has_after_what_was_for_streams() {
    let edge = Edge::new();
    let origin = Origin::new(|_, _| async { Ok(held("response", "t; prev-id=10")) });
    let mut waiting = origin.waiting(&edge).await;
    publish(&edge, with_ids("8", "8", "")).await;
    assert!(waiting.now().await.is_none(), "it waits");
    publish(&edge, pushed("10", "10", "")).await;
    assert!(waiting.now().await.is_none(), "its client has it");
    publish(&edge, pushed("11", "11", "10")).await;
    assert_eq!(text(waiting.now().await.expect("answered")).await, "11");
}

/// What the body contains waits as well, but not in place of what comes after it.
#[tokio::test(start_paused = true)]
async fn l10_a_gap_is_waited_for_although_what_is_old_has_waited_for_longer() {
    let edge = Edge::new();
    publish(&edge, pushed("1", "1", "")).await;
    let publish_soon = |id: &'static str, prev_id| {
        let edge = edge.clone();
        let message = pushed(id, id, prev_id);
        tokio::spawn(async move { publish(&edge, message).await })
    };
    // Each goes out 5 s later, for its predecessor does not come.
    let mut published = Vec::new();
    for (id, prev_id, pause) in [("7", "6", 10), ("10", "9", 140), ("12", "11", 4_750)] {
        published.push(publish_soon(id, prev_id));
        tokio::task::yield_now().await;
        advance(Duration::from_millis(pause)).await;
    }
    let origin = Origin::new(|_, _| async { Ok(held("response", "t; prev-id=10")) });
    let mut waiting = origin.waiting(&edge).await;
    let calls = origin.calls();
    for one in published {
        one.await.expect("accepted");
        assert!(waiting.now().await.is_none(), "it waits");
    }
    advance(Duration::from_millis(60)).await;
    let early = waiting.now().await;
    assert_eq!(origin.calls(), calls, "12 has waited for 60 ms");
    assert!(early.is_none());
    publish(&edge, pushed("11", "11", "10")).await;
    let response = waiting.now().await.expect("answered");
    assert_eq!((origin.calls(), is_marked(&response)), (calls, false));
    assert_eq!(text(response).await, "11");
}

/// Nobody published what the body names. What is withheld came before what follows that, and the client was not sent the
/// body.
#[tokio::test(start_paused = true)]
async fn d2_what_waits_before_what_follows_the_body_of_a_poll_goes_out_first() {
    let edge = Edge::new();
    let origin = Origin::of(&edge, |edge, _| async move {
        publish(&edge, pushed("9", "9", "8")).await;
        publish(&edge, pushed("11", "11", "10")).await;
        let stamp = edge.hub().stamp_at(edge.hub().now());
        Ok(cached(held("response", "t; prev-id=10"), stamp))
    });
    let response = origin.start(&edge).done().await;
    assert_eq!(text(response).await, "9");
}

/// The log knows a later id on `t` than the answer. What its client has on `u` by that answer is no answer.
#[tokio::test(start_paused = true)]
async fn m2_what_the_client_has_does_not_stand_for_a_younger_answer() {
    for came in [false, true] {
        let edge = Edge::new();
        publish(&edge, pushed("t10", "10", "9")).await;
        let origin = Origin::of(&edge, move |edge, number| async move {
            if number > 1 {
                return Ok(reply(200, &[], "new\n"));
            }
            if came {
                publish_on(&edge, "u", pushed("u5", "5", "4")).await;
            }
            Ok(held("response", "t; prev-id=9, u; prev-id=5"))
        });
        let mut waiting = origin.start(&edge);
        let response = waiting.now().await;
        assert_eq!(origin.calls(), 2, "{came}");
        assert_eq!(text(response.expect("answered")).await, "new\n");
    }
}

/// What is too large to wait has not all that leads up to it.
#[tokio::test(start_paused = true)]
async fn l10_a_gap_without_room_asks_the_origin_like_any_other() {
    let edge = Edge::new();
    let origin = Origin::new(|number, _| async move {
        Ok(match number {
            1 => held("response", "t; prev-id=1"),
            _ => reply(200, &[], "2 and 3\n"),
        })
    });
    let mut waiting = origin.waiting(&edge).await;
    let mut early = None;
    let large = "x".repeat(400_000);
    for (id, prev_id) in [("3", "2"), ("4", ""), ("5", "")] {
        assert!(early.is_none());
        publish(&edge, pushed(&large, id, prev_id)).await;
        early = waiting.now().await;
    }
    let response = match early {
        Some(response) => response,
        None => waiting.done().await,
    };
    let is_marked = is_marked(&response);
    let text = text(response).await;
    assert!(is_marked || text == "2 and 3\n", "{} bytes", text.len());
}

/// RFC 9110 13.1.2: `*` says that its client knows of some value, not of which.
#[cfg(feature = "cache")]
#[tokio::test(start_paused = true)]
async fn m2_who_names_no_value_has_none() {
    let edge = Edge::new();
    let held = &[
        ("grip-hold", "response"),
        ("grip-channel", "t; prev-id=10"),
        ("cache-control", "max-age=60"),
        ("etag", "\"10\""),
    ];
    let origin = Origin::fixed(200, held, "10\n");
    let service = origin.cached(&edge);
    let mut waiting = start(
        &service,
        request(http::Method::GET, "/", &[("if-none-match", "*")]),
    );
    assert!(waiting.now().await.is_none(), "it waits");
    publish(&edge, pushed("10", "10", "9")).await;
    assert_eq!(text(waiting.now().await.expect("answered")).await, "10");
}

/// Two publishers read the same last id. Neither message waits for anything: what the log has last is what the client has last.
#[tokio::test(start_paused = true)]
async fn d1_of_two_that_follow_one_the_second_does_not_come_after_what_follows_the_first() {
    let edge = Edge::new();
    let origin = Origin::new(|_, _| async { Ok(held("stream", "t; prev-id=10")) });
    let mut body = origin.get(&edge).await.into_body();
    assert_eq!(ready(&mut body), ["old\n"]);
    let mut got = Vec::new();
    for (id, prev_id) in [("10", "9"), ("a", "10"), ("b", "10"), ("c", "a")] {
        publish(&edge, with_ids(id, id, prev_id)).await;
        got.extend(ready(&mut body));
    }
    advance(Duration::from_secs(6)).await;
    got.extend(ready(&mut body));
    assert_eq!(got, ["a", "b", "c"], "as the log has them");
}

/// The id of a state is its hash. It comes back long after the log has forgotten it; what came between was superseded.
#[tokio::test(start_paused = true)]
async fn d2_a_state_that_comes_back_is_not_what_the_body_contained() {
    for (no_seq, prev_id) in [(false, "12"), (true, "12"), (false, ""), (true, "")] {
        let edge = Edge::new();
        let origin = Origin::new(|_, _| async { Ok(held("stream", "t; prev-id=10")) });
        let mut body = origin.get(&edge).await.into_body();
        assert_eq!(ready(&mut body), ["old\n"]);
        publish(&edge, with_ids("10", "10", "9")).await;
        publish(&edge, with_ids("11", "11", "10")).await;
        assert_eq!(ready(&mut body), ["11"]);
        let mut message = with_ids("9", "9", prev_id);
        message.no_seq = no_seq;
        let publishing = tokio::spawn({
            let edge = edge.clone();
            async move { publish(&edge, message).await }
        });
        tokio::time::sleep(Duration::from_secs(6)).await;
        publishing.await.expect("accepted");
        let mut got = ready(&mut body);
        tokio::time::sleep(Duration::from_secs(6)).await;
        got.extend(ready(&mut body));
        assert_eq!(got, ["9"], "{no_seq} {prev_id}");
    }
}

/// What a younger answer names is news to it; what its own answer named is not.
#[tokio::test(start_paused = true)]
async fn m2_a_poll_is_not_answered_with_what_its_client_has_although_a_younger_answer_names_more() {
    let edge = Edge::new();
    publish(&edge, pushed("9", "9", "8")).await;
    let origin = Origin::new(|number, _| async move {
        let channels = if number == 1 {
            "t; prev-id=10"
        } else {
            "t; prev-id=11"
        };
        Ok(held("response", channels))
    });
    let mut waiting = origin.waiting(&edge).await;
    assert_eq!(origin.calls(), 2, "the log knows another id");
    publish(&edge, pushed("10", "10", "9")).await;
    let early = waiting.now().await;
    assert!(early.is_none(), "its client has it");
    publish(&edge, pushed("11", "11", "10")).await;
    let response = waiting.now().await.expect("answered");
    assert_eq!(text(response).await, "11");
}

/// 8 is for long polls and begins anew; what its client got is 9, which is older than its body.
#[tokio::test(start_paused = true)]
async fn d2_who_was_sent_with_it_what_is_older_gets_what_the_body_contains() {
    let edge = Edge::new();
    let origin = Origin::new(|_, _| async { Ok(held("stream", "t; prev-id=10")) });
    let mut body = origin.get(&edge).await.into_body();
    assert_eq!(ready(&mut body), ["old\n"]);
    publish(&edge, with_ids("7", "7", "6")).await;
    publish(&edge, pushed("8", "8", "")).await;
    publish(&edge, with_ids("9", "9", "8")).await;
    publish(&edge, with_ids("10", "10", "")).await;
    let mut got = ready(&mut body);
    advance(Duration::from_secs(6)).await;
    got.extend(ready(&mut body));
    assert!(
        got.is_empty() || got.last().is_some_and(|last| last == "10"),
        "{got:?}"
    );
}

/// Unordered, from two publishers: what follows the body comes first, and for polls. The client is still on 8.
#[tokio::test(start_paused = true)]
async fn d2_what_a_stream_was_not_sent_does_not_stand_for_what_the_body_contains() {
    let edge = Edge::new();
    let origin = Origin::new(|_, _| async { Ok(held("stream", "t; prev-id=10")) });
    let mut body = origin.get(&edge).await.into_body();
    assert_eq!(ready(&mut body), ["old\n"]);
    publish(&edge, with_ids("8", "8", "7").with_no_seq()).await;
    publish(&edge, pushed("11", "11", "10").with_no_seq()).await;
    publish(&edge, with_ids("10", "10", "9").with_no_seq()).await;
    assert_eq!(ready(&mut body), ["8", "10"]);
}

/// One of linked messages is lost; what has no id came between the other two.
#[tokio::test(start_paused = true)]
async fn d1_what_has_no_id_keeps_its_place_in_the_log() {
    let edge = Edge::new();
    let origin = Origin::new(|_, _| async { Ok(held("stream", "t; prev-id=10")) });
    let mut body = origin.get(&edge).await.into_body();
    assert_eq!(ready(&mut body), ["old\n"]);
    publish(&edge, with_ids("12", "12", "11")).await;
    publish(&edge, bytes("notice")).await;
    publish(&edge, with_ids("13", "13", "12")).await;
    let mut got = ready(&mut body);
    advance(Duration::from_secs(6)).await;
    got.extend(ready(&mut body));
    assert_eq!(got, ["12", "notice", "13"]);
}
