//! What ids tell of states that come back, of two publishers, and of what a poll's client has.
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
