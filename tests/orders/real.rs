//! What real publishers do: restart, say the same value again, publish in parallel, say each form by itself.

use std::time::Duration;

use gripstack::message::PushedResponse;
use gripstack::publish::{PublishConfig, PublishError, Rule};
use gripstack::{Edge, EdgeBody, Message, Publisher};
use http::Response;

use crate::alone::{log, stream};
use crate::hold_support::{publish, ready, with_ids};

/// What has come, without keep-alives.
fn texts(response: &mut Response<EdgeBody>) -> Vec<String> {
    let mut got: Vec<String> = ready(response.body_mut());
    got.retain(|text| !text.trim().is_empty());
    got
}

/// A counter in memory: its process ends and begins again at 1 (with a `prev-id` or without). Each publish is answered with a
/// position, so each is accepted (C1), and who holds a stream must get it (the promise, D1): it says something else than the one
/// that had this id before, so it is no retry of it.
#[tokio::test(start_paused = true)]
async fn d1_what_a_publisher_says_that_began_again_at_one_is_not_lost() {
    for with_prev in [true, false] {
        let edge = Edge::new();
        let mut response = stream(&edge).await;
        let say = async |run: &str, n: u32| {
            let prev_id = if with_prev {
                (n - 1).to_string()
            } else {
                String::new()
            };
            let message = with_ids(&format!("{run}{n}"), &n.to_string(), &prev_id);
            publish(&edge, message).await
        };
        for n in 1..=5 {
            say("a", n).await;
        }
        // A deployment takes five minutes.
        tokio::time::sleep(Duration::from_secs(300)).await;
        for n in 1..=3 {
            say("b", n).await;
        }
        tokio::time::sleep(Duration::from_secs(30)).await;
        let got = texts(&mut response);
        assert_eq!(
            got,
            ["a1", "a2", "a3", "a4", "a5", "b1", "b2", "b3"],
            "{with_prev}"
        );
    }
}

/// The same for a plain reader: a message that was accepted makes what names its channel older (M3, D1), so its position is
/// that of the channel's last message.
#[tokio::test(start_paused = true)]
async fn m3_what_a_publisher_says_that_began_again_makes_answers_older() {
    let edge = Edge::new();
    for n in 1..=5 {
        publish(&edge, with_ids(&format!("a{n}"), &n.to_string(), "")).await;
    }
    tokio::time::sleep(Duration::from_secs(300)).await;
    let at = publish(&edge, with_ids("b1", "1", "")).await;
    assert_eq!(edge.hub().last_message(&crate::alone::channel("t")), at);
}

/// A switch whose ids are its values' (an `ETag`): on, off, on again, minutes apart. The last is the last one.
#[tokio::test(start_paused = true)]
async fn d1_a_value_that_comes_back_with_its_id_is_not_lost() {
    let edge = Edge::new();
    let mut response = stream(&edge).await;
    for (id, prev_id) in [("on", ""), ("off", "on"), ("on", "off")] {
        publish(&edge, with_ids(id, id, prev_id)).await;
        tokio::time::sleep(Duration::from_secs(120)).await;
    }
    assert_eq!(texts(&mut response), ["on", "off", "on"]);
}

/// As one process does with parallel calls: the last three of a burst come as 7, 5, 6, each with the one before it. All are there,
/// and say themselves that 7 is the last: it is sent last (D2a, the promise of `latest`).
#[tokio::test(start_paused = true)]
async fn d2a_the_last_of_states_is_the_last_one_in_whichever_order_they_come() {
    for order in [[5, 6, 7], [5, 7, 6], [6, 5, 7], [6, 7, 5], [7, 6, 5], [7, 5, 6]] {
        let edge = Edge::new();
        let publisher = edge.publisher(PublishConfig::new().rule(Rule::latest()));
        let mut response = stream(&edge).await;
        for n in [1, 2, 3, 4].into_iter().chain(order) {
            let message = with_ids(&n.to_string(), &n.to_string(), &(n - 1).to_string());
            publisher.publish("t", message).await.expect("accepted");
        }
        tokio::time::sleep(Duration::from_secs(12)).await;
        let got = texts(&mut response);
        assert_eq!(
            got.last().map(|text| &**text),
            Some("7"),
            "{order:?}: {got:?}, log {:?}",
            log(&edge)
        );
    }
}

/// As the GRIP libraries' `publish_http_stream` and `publish_http_response`, one call each, for each change of a value that
/// changes a hundred times a second. All of them are states, so what waits is one of each form, none is refused for want of
/// room, and the last is sent (D2a; `Rule::latest`: "at most one per interval, the last one always").
#[tokio::test(start_paused = true)]
async fn d2a_states_that_are_said_form_by_form_wait_in_one_place_each() {
    let edge = Edge::new();
    let publisher: Publisher = edge.publisher(PublishConfig::new().rule(Rule::latest()));
    let mut response = stream(&edge).await;
    let mut refused = 0;
    for n in 0..100 {
        let text = n.to_string();
        for message in [
            Message::bytes(text.clone()),
            Message::response(PushedResponse::new(text.clone())),
        ] {
            match publisher.publish("t", message).await {
                Ok(_) => {}
                Err(PublishError::Full { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        tokio::time::sleep(Duration::from_millis(9)).await;
    }
    tokio::time::sleep(Duration::from_secs(12)).await;
    let got = texts(&mut response);
    assert_eq!(
        refused,
        0,
        "refused; the last that came is {:?} of {}",
        got.last(),
        got.len()
    );
    assert_eq!(got.last().map(|text| &**text), Some("99"));
}

/// One call with thousands of states of one channel that a rule purges a key with: it is taken, or it is said that it never
/// can be. `Full` says when to try again.
#[tokio::test(start_paused = true)]
async fn what_can_never_be_taken_is_not_told_to_try_again() {
    let edge = Edge::new();
    let rule = Rule::latest().purge(gripstack::Target::key("front"));
    let publisher = edge.publisher(PublishConfig::new().rule(rule));
    let item = |n: usize| gripstack::publish::Item {
        channel: crate::alone::channel("t"),
        message: Message::bytes(n.to_string()),
        options: gripstack::publish::PublishOptions::default(),
    };
    for tries in 0..5 {
        match publisher.publish_all((0..5_000).map(item).collect()).await {
            Ok(_) => return,
            Err(PublishError::Full { retry_after }) => {
                assert!(tries < 4, "told to try again {tries} times");
                tokio::time::sleep(retry_after + Duration::from_secs(2)).await;
            }
            Err(_) => return,
        }
    }
}

/// A burst of 300 states within half a second, one call of which is sent again, for its answer did not come within 200 ms. All of them
/// name the one before, and 100 came after it: it is no news, and the last one is sent (D2a, the promise of `latest`).
#[tokio::test(start_paused = true)]
async fn d2a_a_state_of_a_burst_that_is_sent_again_is_not_the_last() {
    for again in [299, 290, 250, 200] {
        let edge = Edge::new();
        let publisher = edge.publisher(PublishConfig::new().rule(Rule::latest()));
        let mut response = stream(&edge).await;
        let say = async |n: u32| {
            let message = with_ids(&n.to_string(), &n.to_string(), &(n - 1).to_string());
            publisher.publish("t", message).await.expect("accepted");
        };
        for n in 1..=300 {
            say(n).await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        say(again).await;
        tokio::time::sleep(Duration::from_secs(12)).await;
        let got = texts(&mut response);
        assert_eq!(got.last().map(|text| &**text), Some("300"), "{again}: {got:?}");
    }
}

/// 150 messages of which each second one is lost: none that came later overtakes one that came before it (D1: "in order"; rules.md:
/// what goes out goes "in the order in which it came").
#[tokio::test(start_paused = true)]
async fn d1_what_has_no_room_to_wait_overtakes_nothing_that_came_before_it() {
    let edge = Edge::new();
    let mut response = stream(&edge).await;
    for n in (1..=300u32).step_by(2) {
        let message = with_ids(&n.to_string(), &n.to_string(), &(n - 1).to_string());
        let order = gripstack::Order::publish(crate::alone::channel("t"), message);
        let _ = edge.accept(order).await.expect("accepted");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_secs(12)).await;
    let got: Vec<u32> = ready(response.body_mut())
        .iter()
        .filter_map(|text| text.trim().parse().ok())
        .collect();
    assert_eq!(got.last(), Some(&299), "{got:?}");
}

/// A publisher whose own code writes all fields always (a Go or Java struct): an empty id is none, so each of its messages is
/// another one, and none waits for a predecessor that it does not name (D1).
#[tokio::test(start_paused = true)]
async fn d1_an_empty_id_is_none() {
    use tower::{Layer, ServiceExt};
    let edge = Edge::new();
    let mut response = stream(&edge).await;
    let layer = edge
        .publisher(PublishConfig::new())
        .layer(gripstack::publish::Auth::Open);
    let start = tokio::time::Instant::now();
    for n in 1..=3 {
        let body = format!(
            r#"{{"items":[{{"channel":"t","id":"","prev-id":"","http-stream":{{"content":"{n}"}}}}]}}"#
        );
        let request = http::Request::post("/publish/")
            .body(EdgeBody::from(body))
            .expect("valid");
        let answer = layer
            .layer(gripstack::control::NotFound)
            .oneshot(request)
            .await
            .expect("infallible");
        assert_eq!(answer.status(), 200);
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(ready(response.body_mut()), ["1", "2", "3"]);
}

/// A scoreboard: each tick is one call with a message, and a purge, for each of its 1,500 tables. Two ticks are under way at once, and
/// the second one arrives first: its messages wait for those of the first one (D1), as their channels know a last id. A purge is there
/// once however many items wait with it, so they take some 2 MB, far below the 64 MiB that may wait.
#[tokio::test(start_paused = true)]
async fn d1_a_batch_over_many_channels_with_purges_that_comes_before_its_predecessor_waits() {
    let tables = 1_500;
    let edge = Edge::new();
    let tick = |n: u32| {
        let items = (0..tables).map(|table| {
            let message = with_ids(&n.to_string(), &n.to_string(), &(n - 1).to_string());
            gripstack::Publication::new(crate::alone::channel(&format!("table-{table}")), message)
        });
        let mut order: gripstack::Order = items.collect();
        order.purges = (0..tables)
            .map(|table| gripstack::Purge {
                target: gripstack::Target::key(format!("table-{table}")),
                mode: gripstack::PurgeMode::Hard,
            })
            .collect();
        order
    };
    let _ = edge.accept(tick(1)).await.expect("accepted");
    let third = edge.accept(tick(3)).await.expect("accepted");
    let waiting = edge.hub().stats();
    let _ = edge.accept(tick(2)).await.expect("accepted");
    let _ = third.all().await.expect("sent");
    let swapped = (0..tables).filter(|table| {
        let stamp = edge.hub().stamp_at(gripstack::Position::ZERO);
        let channels = [crate::alone::channel(&format!("table-{table}"))];
        let mut log = edge
            .hub()
            .subscribe(&channels, stamp, gripstack::hub::Wants::Stream)
            .expect("no gap");
        let mut ids = Vec::new();
        while let std::task::Poll::Ready(gripstack::hub::Delivery::Message { message, .. }) =
            crate::alone::once(log.next())
        {
            ids.push(message.id.as_deref().unwrap_or("-").to_owned());
        }
        ids != ["1", "2", "3"]
    });
    assert_eq!(
        swapped.count(),
        0,
        "of {tables} logs out of order; waited {waiting:?}"
    );
}
