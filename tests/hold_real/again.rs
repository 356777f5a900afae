//! Counters that begin again, and channels that are seldom used.

use std::time::Duration;

use gripstack::Edge;
use http::Method;
use tokio::time::sleep;

use crate::hold_support::*;

fn names(id: &'static str) -> Origin {
    Origin::new(move |_, _| async move {
        let named = format!("t; prev-id={id}");
        let headers = [
            ("grip-hold", "stream"),
            ("grip-channel", &*named),
            ("cache-control", "max-age=600"),
        ];
        Ok(reply(200, &headers, "body"))
    })
}

/// A counter in memory, of a channel that is seldom used: one message, 16 minutes (or two hours, or 10 minutes), a restart, and one
/// more. The promise: whoever is held gets it. (Two minutes after the first it does.) The log has forgotten the first (D4), but the
/// hold takes the second for it.
async fn restarted_after(seconds: u64, body: &'static str, prev_id: &str) -> Vec<String> {
    let edge = Edge::new();
    let layer = edge.hold_layer().max_age(Duration::from_secs(100_000));
    let mut held = None;
    if body == "0" {
        held = Some(get(&names("0").held(layer.clone())).await.into_body());
    }
    publish(&edge, with_ids("a1", "1", prev_id)).await;
    let mut held = match held {
        Some(held) => held,
        None => get(&names("1").held(layer)).await.into_body(),
    };
    let mut got = ready(&mut held);
    sleep(Duration::from_secs(seconds)).await;
    // The edge has other channels: with their messages what is old is forgotten.
    publish_on(&edge, "other", bytes("x")).await;
    publish(&edge, with_ids("b1", "1", prev_id)).await;
    for _ in 0..20 {
        got.extend(ready(&mut held));
        sleep(Duration::from_secs(1)).await;
    }
    got
}

#[tokio::test(start_paused = true)]
async fn d2_the_first_of_a_second_run_reaches_who_has_the_first_of_the_first_minutes_later() {
    for seconds in [120, 600] {
        assert_eq!(
            restarted_after(seconds, "0", "0").await,
            ["body", "a1", "b1"],
            "{seconds}"
        );
        assert_eq!(
            restarted_after(seconds, "1", "0").await,
            ["body", "b1"],
            "{seconds}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn d2_the_first_of_a_second_run_reaches_who_was_sent_the_first_of_the_first_when_the_log_has_forgotten_it()
 {
    for seconds in [1_000, 7_200] {
        assert_eq!(
            restarted_after(seconds, "0", "0").await,
            ["body", "a1", "b1"],
            "{seconds}"
        );
    }
}

/// The same of an alarm that always has one id: `d4_an_id_is_forgotten_with_its_message` for a hold whose body names an id.
#[tokio::test(start_paused = true)]
async fn d4_a_hold_whose_body_names_an_id_gets_the_alarm_of_hours_later() {
    assert_eq!(restarted_after(600, "0", "").await, ["body", "a1", "b1"]);
    assert_eq!(restarted_after(7_200, "0", "").await, ["body", "a1", "b1"]);
}

/// A stored stream answer whose body has `2` of the first run. The publisher restarts and says `1(0) 2(1) 3(2)`. Whoever comes then
/// is held from the stored answer, for it is replayed all above its stamp (M1, C6): it has to get all of the second run
/// ("either the body was generated after the message was accepted, or the client receives the message").
async fn held_from_before_the_restart(run: u32, cached: bool) -> Vec<String> {
    let edge = Edge::new();
    let below = names("2");
    let service = match cached {
        true => below.cached(&edge),
        false => below.held(edge.hold_layer()),
    };
    for n in 1..=2u32 {
        publish(
            &edge,
            with_ids(&format!("a{n}"), &n.to_string(), &(n - 1).to_string()),
        )
        .await;
    }
    sleep(Duration::from_secs(5)).await;
    // Fills the cache. Without a cache, this is the hold.
    let mut first = send(&service, request(Method::GET, "/", &[("host", "h")]))
        .await
        .into_body();
    assert_eq!(ready(&mut first), ["body"]);
    sleep(Duration::from_secs(60)).await;
    for n in 1..=run {
        publish(
            &edge,
            with_ids(&format!("b{n}"), &n.to_string(), &(n - 1).to_string()),
        )
        .await;
    }
    let mut held = match cached {
        true => send(&service, request(Method::GET, "/", &[("host", "h")]))
            .await
            .into_body(),
        false => first,
    };
    let mut got = Vec::new();
    for _ in 0..20 {
        got.extend(ready(&mut held));
        sleep(Duration::from_secs(1)).await;
    }
    got.retain(|text| text != "body");
    got
}

#[tokio::test(start_paused = true)]
async fn m1_who_is_held_from_an_answer_of_before_a_restart_gets_all_of_the_second_run() {
    for run in 1..=4 {
        let want: Vec<_> = (1..=run).map(|n| format!("b{n}")).collect();
        assert_eq!(
            held_from_before_the_restart(run, false).await,
            want,
            "{run}, who was held before"
        );
        assert_eq!(
            held_from_before_the_restart(run, true).await,
            want,
            "{run}, from the cache"
        );
    }
}

/// The first of a second run is stored, somebody asks, and then it is published.
#[tokio::test(start_paused = true)]
async fn d2_the_first_of_a_second_run_is_in_the_body_that_names_it() {
    let edge = Edge::new();
    for n in 1..=3 {
        publish(
            &edge,
            with_ids(&format!("a{n}"), &n.to_string(), &(n - 1).to_string()),
        )
        .await;
    }
    sleep(Duration::from_secs(70)).await;
    let mut held = names("1").get(&edge).await.into_body();
    publish(&edge, with_ids("b1", "1", "0")).await;
    publish(&edge, with_ids("b2", "2", "1")).await;
    sleep(Duration::from_secs(20)).await;
    assert_eq!(ready(&mut held), ["body", "b2"]);
}

/// As `hold_real/restarts.rs`, after so long that the log has forgotten the first run.
async fn held_across(first: u32, second: u32, pause: u64, quiet: u64) -> Vec<String> {
    let edge = Edge::new();
    let layer = edge.hold_layer().max_age(Duration::from_secs(100_000));
    let mut held = get(&names("0").held(layer)).await.into_body();
    for n in 1..=first {
        publish(
            &edge,
            with_ids(&format!("a{n}"), &n.to_string(), &(n - 1).to_string()),
        )
        .await;
    }
    assert_eq!(ready(&mut held).len(), 1 + first as usize);
    sleep(Duration::from_secs(quiet)).await;
    publish_on(&edge, "other", bytes("x")).await;
    let mut got = Vec::new();
    for n in 1..=second {
        publish(
            &edge,
            with_ids(&format!("b{n}"), &n.to_string(), &(n - 1).to_string()),
        )
        .await;
        got.extend(ready(&mut held));
        sleep(Duration::from_millis(pause)).await;
        got.extend(ready(&mut held));
    }
    for _ in 0..30 {
        sleep(Duration::from_secs(1)).await;
        got.extend(ready(&mut held));
    }
    got
}

#[tokio::test(start_paused = true)]
async fn d2_a_second_run_reaches_who_has_the_first_one_in_order_when_the_log_has_forgotten_that() {
    let mut wrong = Vec::new();
    for quiet in [600, 1_000] {
        for first in 1..5 {
            for second in 1..6 {
                for pause in [0, 1_000, 3_000] {
                    let got = held_across(first, second, pause, quiet).await;
                    let want: Vec<_> = (1..=second).map(|n| format!("b{n}")).collect();
                    if got != want {
                        wrong.push(format!(
                            "{first} then {second} after {quiet} s, {pause} ms apart: {got:?}"
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A long poll whose client has `1` of the first run (its URL says so, and its answer is for it alone) waits while the publisher
/// begins again: `1(0)` is another message ("What has an id that was there, but another content [...] begins anew", D1), and answers it.
async fn poll_across(at: &'static str, second: u32, quiet: u64) -> Option<String> {
    let edge = Edge::new();
    for n in 1..=at.parse::<u32>().expect("a number") {
        let message = answer(200, &[], &format!("a{n}"));
        publish(&edge, identified(message, &n.to_string(), &(n - 1).to_string())).await;
    }
    sleep(Duration::from_secs(2)).await;
    let origin = Origin::new(move |_, call| async move {
        let named = format!("t; prev-id={at}");
        let _ = call;
        Ok(reply(
            200,
            &[
                ("grip-hold", "response"),
                ("grip-channel", &named),
                ("grip-timeout", "5000"),
                ("etag", "\"x\""),
                ("vary", "if-none-match"),
                ("cache-control", "no-store"),
            ],
            "timeout",
        ))
    });
    let service = origin.held(edge.hold_layer().max_age(Duration::from_secs(100_000)));
    let mut poll = start(
        &service,
        request(Method::GET, "/", &[("host", "h"), ("if-none-match", "\"x\"")]),
    );
    assert!(poll.now().await.is_none(), "it waits");
    sleep(Duration::from_secs(quiet)).await;
    for n in 1..=second {
        let message = answer(200, &[], &format!("b{n}"));
        publish(&edge, identified(message, &n.to_string(), &(n - 1).to_string())).await;
    }
    for _ in 0..20 {
        if let Some(response) = poll.now().await {
            return Some(text(response).await);
        }
        sleep(Duration::from_secs(1)).await;
    }
    None
}

#[tokio::test(start_paused = true)]
async fn m2_a_long_poll_is_answered_by_the_first_of_a_second_run() {
    let mut wrong = Vec::new();
    for at in ["1", "2", "3"] {
        for second in 1..4 {
            let got = poll_across(at, second, 60).await;
            if got.as_deref() != Some("b1") {
                wrong.push(format!("has a{at}, {second} come: {got:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
