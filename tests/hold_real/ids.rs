//! Ids as real publishers give them: ids that come back.

use std::time::Duration;

use gripstack::{Edge, Publication};
use tokio::time::sleep;

use crate::hold_support::*;

/// What django-eventstream 5 publishes when a user may no longer read a channel (`utils.publish_kick`): always under the
/// same two ids.
async fn kick(edge: &Edge) {
    publish_on(edge, "user-7", identified(bytes("forbidden"), "kick-1", "")).await;
    publish_on(edge, "user-7", identified(close(), "kick-2", "kick-1")).await;
}

/// A user loses one permission, comes back without that channel, and ten minutes later loses another one.
#[tokio::test(start_paused = true)]
async fn d2_who_is_kicked_a_second_time_is_kicked() {
    let edge = Edge::new();
    let origin = Origin::fixed(
        200,
        &[
            ("grip-hold", "stream"),
            ("grip-channel", "events-room; prev-id=5, user-7"),
        ],
        "open ",
    );
    for time in 1..=2 {
        let mut body = origin.get(&edge).await.into_body();
        assert_eq!(ready(&mut body), ["open "], "{time}");
        kick(&edge).await;
        assert_eq!(ready(&mut body), ["forbidden", "end"], "kick {time}");
        sleep(Duration::from_secs(600)).await;
    }
}

/// Its counter is in memory, or in a Redis that keeps nothing: it restarts, and begins again at 1.
#[tokio::test(start_paused = true)]
async fn d2_what_a_publisher_sends_after_a_restart_reaches_who_is_held() {
    let edge = Edge::new();
    for (first, body) in [(1, "t; prev-id=0"), (2, "t")] {
        let origin = Origin::new(move |_, _| async move {
            Ok(reply(200, &[("grip-hold", "stream"), ("grip-channel", body)], ""))
        });
        let mut held = origin.get(&edge).await.into_body();
        for n in 1..=3 {
            publish(
                &edge,
                with_ids(&format!("{first}-{n}"), &n.to_string(), &(n - 1).to_string()),
            )
            .await;
        }
        sleep(Duration::from_secs(300)).await;
        let want: Vec<_> = (1..=3).map(|n| format!("{first}-{n}")).collect();
        assert_eq!(ready(&mut held), want, "run {first}");
    }
}

/// The id of a state is its hash. A lamp is switched on, off, and on again: what comes last names what it follows, so it
/// is no repetition of the first one, which followed another.
#[tokio::test(start_paused = true)]
async fn d2_a_state_that_comes_back_is_news() {
    let edge = Edge::new();
    let origin = Origin::fixed(
        200,
        &[("grip-hold", "stream"), ("grip-channel", "t; prev-id=new")],
        "",
    );
    let mut held = origin.get(&edge).await.into_body();
    for (id, prev_id) in [("on", "new"), ("off", "on"), ("on", "off")] {
        publish(&edge, with_ids(id, id, prev_id)).await;
        sleep(Duration::from_secs(60)).await;
    }
    assert_eq!(ready(&mut held), ["on", "off", "on"]);
}

/// The same of a channel that is declared `latest`, an hour apart, while somebody is held.
#[tokio::test(start_paused = true)]
async fn d2_a_latest_state_that_comes_back_is_news() {
    let edge = Edge::new();
    let mut held = Origin::streams("").get(&edge).await.into_body();
    let mut got = Vec::new();
    for (id, prev_id) in [("on", "new"), ("off", "on"), ("on", "off")] {
        let state = Publication::new(channel("t"), with_ids(id, id, prev_id)).latest();
        edge.submit([state].into_iter().collect())
            .await
            .expect("accepted");
        got.extend(ready(&mut held));
        sleep(Duration::from_secs(3_600)).await;
    }
    assert_eq!(got, ["on", "off", "on"]);
}

/// Two calls of one publisher overtake each other on a channel that was silent for long, so that the first to come goes out at
/// once. Who asks between them has both: the log has what its body names, and that says what it follows.
#[tokio::test(start_paused = true)]
async fn d2_what_leads_up_to_the_body_and_comes_after_it_is_not_sent() {
    let edge = Edge::new();
    publish(&edge, with_ids("3", "3", "2")).await;
    let origin = Origin::fixed(
        200,
        &[("grip-hold", "stream"), ("grip-channel", "t; prev-id=3")],
        "has 3",
    );
    let mut held = origin.get(&edge).await.into_body();
    publish(&edge, with_ids("2", "2", "1")).await;
    assert_eq!(ready(&mut held), ["has 3"]);
    sleep(Duration::from_secs(6)).await;
    assert!(ready(&mut held).is_empty(), "2 is older than what its client has");
    publish(&edge, with_ids("4", "4", "3")).await;
    assert_eq!(ready(&mut held), ["4"]);
}

/// The same answer in a cache: all who come are held from it.
#[tokio::test(start_paused = true)]
async fn d2_nobody_who_is_held_from_a_stored_answer_is_sent_what_leads_up_to_its_body() {
    let edge = Edge::new();
    publish(&edge, with_ids("3", "3", "2")).await;
    let origin = Origin::fixed(
        200,
        &[
            ("grip-hold", "stream"),
            ("grip-channel", "t; prev-id=3"),
            ("cache-control", "max-age=600"),
        ],
        "has 3",
    );
    let service = origin.cached(&edge);
    let get = async || send(&service, request(http::Method::GET, "/", &[("host", "h")])).await;
    let mut held = vec![get().await.into_body()];
    publish(&edge, with_ids("2", "2", "1")).await;
    for _ in 0..3 {
        sleep(Duration::from_secs(60)).await;
        held.push(get().await.into_body());
        assert_eq!(ready(held.last_mut().expect("one")), ["has 3"]);
    }
    sleep(Duration::from_secs(6)).await;
    let got: Vec<_> = held[1..].iter_mut().map(ready).collect();
    assert!(
        got.iter().all(Vec::is_empty),
        "{got:?}, by {} requests",
        origin.calls()
    );
}

/// Two hours later, and nothing else was published: what the log remembers is 15 minutes old at most (rule D4), whoever
/// looks.
#[tokio::test(start_paused = true)]
async fn d4_an_id_is_forgotten_with_its_message_also_where_nothing_else_is_published() {
    let edge = Edge::new();
    let mut held = Origin::streams("").get(&edge).await.into_body();
    for time in 1..=2 {
        publish(&edge, with_ids("alarm", "alarm", "")).await;
        assert_eq!(ready(&mut held), ["alarm"], "{time}");
        sleep(Duration::from_secs(7_200)).await;
    }
}

/// As above, where the channel knows no last id because of a message without one.
#[tokio::test(start_paused = true)]
async fn d2_what_leads_up_to_the_body_is_not_sent_after_what_has_no_id() {
    let edge = Edge::new();
    publish(&edge, with_ids("1", "1", "0")).await;
    publish(&edge, bytes("somebody types")).await;
    publish(&edge, with_ids("3", "3", "2")).await;
    let origin = Origin::fixed(
        200,
        &[("grip-hold", "stream"), ("grip-channel", "t; prev-id=3")],
        "has 3",
    );
    let mut held = origin.get(&edge).await.into_body();
    publish(&edge, with_ids("2", "2", "1")).await;
    assert_eq!(ready(&mut held), ["has 3"]);
    sleep(Duration::from_secs(6)).await;
    assert!(ready(&mut held).is_empty(), "2 is older than what its client has");
}

/// What leads up to the body comes in its own order, so that only the last of it says so.
#[tokio::test(start_paused = true)]
async fn d2_all_that_leads_up_to_the_body_and_comes_after_it_is_not_sent() {
    let edge = Edge::new();
    publish(&edge, with_ids("1", "1", "0")).await;
    publish(&edge, bytes("somebody types")).await;
    publish(&edge, with_ids("4", "4", "3")).await;
    let origin = Origin::fixed(
        200,
        &[("grip-hold", "stream"), ("grip-channel", "t; prev-id=4")],
        "has 4",
    );
    let mut held = origin.get(&edge).await.into_body();
    for (id, prev_id) in [("2", "1"), ("3", "2")] {
        publish(&edge, with_ids(id, id, prev_id)).await;
    }
    assert_eq!(ready(&mut held), ["has 4"]);
    sleep(Duration::from_secs(6)).await;
    assert!(
        ready(&mut held).is_empty(),
        "2 and 3 are older than what its client has"
    );
}
