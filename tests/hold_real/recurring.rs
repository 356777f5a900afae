//! Ids that come back on a channel whose first message followed one that this edge never had: it was started (or the channel
//! forgotten) when the publisher was somewhere in the middle.

use std::time::Duration;

use gripstack::{Edge, EdgeBody};
use tokio::time::sleep;

use crate::hold_support::*;

/// What comes by and by.
async fn later(held: &mut EdgeBody) -> Vec<String> {
    let mut got = Vec::new();
    for _ in 0..20 {
        got.extend(ready(held));
        sleep(Duration::from_secs(1)).await;
    }
    got
}

/// A lamp whose ids are its states' hashes (`ETag`), each with the one before. The edge was deployed while the lamp was off: the
/// first that it hears is `on(off)`. On again minutes later has the same id, predecessor and content, but follows the channel's
/// last item: "Not so if it follows the channel's last item (a value that came back)" (rules.md, D1); the promise.
#[tokio::test(start_paused = true)]
async fn d1_a_value_that_comes_back_is_news_where_the_first_one_followed_what_nobody_had() {
    let edge = Edge::new();
    let origin = Origin::fixed(
        200,
        &[("grip-hold", "stream"), ("grip-channel", "t; prev-id=off")],
        "",
    );
    let mut held = origin.get(&edge).await.into_body();
    for (id, prev_id) in [("on", "off"), ("off", "on"), ("on", "off"), ("off", "on")] {
        publish(&edge, with_ids(id, id, prev_id)).await;
        sleep(Duration::from_secs(120)).await;
    }
    assert_eq!(ready(&mut held), ["on", "off", "on", "off"]);
}

/// The same, of holds whose origin names no ids, and of a plain reader: the publish is answered with a position of its own.
#[tokio::test(start_paused = true)]
async fn d1_a_value_that_comes_back_has_a_position_of_its_own() {
    let edge = Edge::new();
    let mut held = Origin::streams("").get(&edge).await.into_body();
    let mut last = edge.hub().last_message(&channel("t"));
    for (id, prev_id) in [("on", "off"), ("off", "on"), ("on", "off")] {
        publish(&edge, with_ids(id, id, prev_id)).await;
        let now = edge.hub().last_message(&channel("t"));
        assert!(now > last, "{id} makes answers older (M3)");
        last = now;
        sleep(Duration::from_secs(120)).await;
    }
    assert_eq!(ready(&mut held), ["on", "off", "on"]);
}

/// Values as above; one publish is lost (its process ended between store and publish). What comes next does not fit: D2 "any other
/// is withheld and starts a timer of 5 s; when it ends, deliver what was withheld". It has the id of what the channel's first
/// message followed, but that was another one, long ago.
#[tokio::test(start_paused = true)]
async fn d2_after_a_lost_one_a_value_that_comes_back_reaches_who_is_held() {
    let edge = Edge::new();
    publish(&edge, with_ids("on", "on", "off")).await;
    sleep(Duration::from_secs(60)).await;
    let origin = Origin::fixed(
        200,
        &[("grip-hold", "stream"), ("grip-channel", "t; prev-id=on")],
        "",
    );
    let mut held = origin.get(&edge).await.into_body();
    // dim(on) is lost.
    sleep(Duration::from_secs(120)).await;
    publish(&edge, with_ids("off", "off", "dim")).await;
    assert_eq!(later(&mut held).await, ["off"], "or its client stays on `on`");
}

/// The same hours later.
#[tokio::test(start_paused = true)]
async fn d2_after_a_lost_one_a_value_that_comes_back_hours_later_reaches_who_is_held() {
    let edge = Edge::new();
    let layer = edge.hold_layer().max_age(Duration::from_secs(100_000));
    publish(&edge, with_ids("on", "on", "off")).await;
    let origin = Origin::fixed(
        200,
        &[("grip-hold", "stream"), ("grip-channel", "t; prev-id=on")],
        "",
    );
    let mut held = get(&origin.held(layer)).await.into_body();
    // dim(on) is lost, hours later: the log has forgotten everything by then.
    sleep(Duration::from_secs(10_000)).await;
    let _ = ready(&mut held);
    publish(&edge, with_ids("off", "off", "dim")).await;
    assert_eq!(later(&mut held).await, ["off"], "or its client stays on `on`");
}

/// A counter that begins again at 1. The edge was started when it was at 3; 1 and 2 of the new run reach the edge swapped, by
/// parallel calls, or 2 alone.
#[tokio::test(start_paused = true)]
async fn d2_a_counter_that_began_again_reaches_who_is_held_whatever_the_first_one_followed() {
    for calls in [&[2, 1][..], &[2]] {
        let edge = Edge::new();
        publish(&edge, with_ids("a3", "3", "2")).await;
        sleep(Duration::from_secs(120)).await;
        // Its database is empty.
        let origin = Origin::fixed(
            200,
            &[("grip-hold", "stream"), ("grip-channel", "t; prev-id=0")],
            "",
        );
        let mut held = origin.get(&edge).await.into_body();
        let mut all = tokio::task::JoinSet::new();
        for n in calls {
            let edge = edge.clone();
            let (id, prev_id) = (n.to_string(), (n - 1).to_string());
            all.spawn(async move { publish(&edge, with_ids(&format!("b{id}"), &id, &prev_id)).await });
            sleep(Duration::from_millis(5)).await;
        }
        while all.join_next().await.is_some() {}
        let got = later(&mut held).await;
        assert_eq!(got.last().map(|text| &**text), Some("b2"), "{calls:?}: {got:?}");
    }
}

/// `Rule::latest`: "at most one per interval, the last one always sent". A lamp with three states goes off, on, dim, off, on; the
/// second `off` waits for its turn and is displaced by `on`, which so follows what was never sent. It is the last all the same.
#[tokio::test(start_paused = true)]
async fn d2a_the_last_state_is_sent_although_it_was_there_before_and_what_it_follows_was_displaced() {
    use gripstack::publish::{PublishConfig, Rule};
    let edge = Edge::new();
    let publisher = edge.publisher(PublishConfig::new().rule(Rule::latest()));
    let mut held = Origin::streams("").get(&edge).await.into_body();
    for (id, prev_id, pause) in [
        ("on", "off", 300_000),
        ("dim", "on", 200),
        ("off", "dim", 200),
        ("on", "off", 20_000),
    ] {
        let state = with_ids(id, id, prev_id);
        publisher.publish("t", state).await.expect("accepted");
        sleep(Duration::from_millis(pause)).await;
    }
    assert_eq!(ready(&mut held).last().map(|text| &**text), Some("on"));
}

/// A lamp that is switched on, and off a moment later; the call for `on` heard no answer and is made once more. What the pacer has
/// sent does not displace itself: `off` names it, so it is the last one, and is sent.
#[tokio::test(start_paused = true)]
async fn d2a_the_state_after_one_that_was_said_once_more_is_sent() {
    use gripstack::publish::{PublishConfig, Rule};
    let edge = Edge::new();
    let publisher = edge.publisher(PublishConfig::new().rule(Rule::latest()));
    let mut held = Origin::streams("").get(&edge).await.into_body();
    for (id, prev_id, pause) in [("on", "off", 100), ("on", "off", 100), ("off", "on", 20_000)] {
        let state = with_ids(id, id, prev_id);
        publisher.publish("t", state).await.expect("accepted");
        sleep(Duration::from_millis(pause)).await;
    }
    assert_eq!(ready(&mut held).last().map(|text| &**text), Some("off"));
}
