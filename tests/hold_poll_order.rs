//! In which order a long poll that is not sent the body gets what that contains.
#![cfg(all(feature = "hold", feature = "testing"))]

mod hold_support;

use std::future::Future;
use std::time::Duration;

use gripstack::hub::LogLimits;
use gripstack::{Edge, Message, Order, Publication};

use hold_support::*;

fn item(name: &str, text: &str, id: &str, prev_id: &str) -> Publication {
    let message: Message = identified(answer(200, &[], text), id, prev_id);
    Publication::new(channel(name), message)
}

/// A poll whose answer, one for all, is made after these were accepted, which was after it came.
async fn polled(channels: &'static str, orders: Vec<Order>) -> (String, bool) {
    let edge = Edge::new();
    let orders = std::sync::Arc::new(parking_lot::Mutex::new(orders));
    let origin = Origin::of(&edge, move |edge, _| {
        let orders = std::mem::take(&mut *orders.lock());
        async move {
            for order in orders {
                edge.submit(order).await.expect("accepted");
            }
            let held = [("grip-hold", "response"), ("grip-channel", channels)];
            Ok(cached(
                reply(200, &held, "old\n"),
                edge.hub().stamp_at(edge.hub().now()),
            ))
        }
    });
    let response = origin.start(&edge).done().await;
    let is_marked = is_marked(&response);
    (text(response).await, is_marked)
}

/// Three messages, of which the second is a state.
fn orders() -> Vec<Order> {
    let items = [
        item("t", "1", "1", "0"),
        item("t", "2", "2", "1").latest(),
        item("t", "3", "3", "2"),
    ];
    items.map(|item| [item].into_iter().collect()).into()
}

/// D2, D2a: a state is no reason to pass over what was accepted before it.
#[tokio::test(start_paused = true)]
async fn d2_what_waits_before_a_state_that_the_body_names_goes_out_before_its_successor() {
    assert_eq!(polled("t; prev-id=2", orders()).await, ("1".into(), false));
}

/// Nor is one that leads up to what the body names, though it is a state itself.
#[tokio::test(start_paused = true)]
async fn d2_what_waits_before_a_chain_that_a_state_begins_goes_out_before_that() {
    assert_eq!(polled("t; prev-id=3", orders()).await, ("1".into(), false));
}

/// D2b: nor on another channel; but of that nobody has said yet that nothing is missing.
#[tokio::test(start_paused = true)]
async fn d2b_what_waits_goes_out_in_its_order_whatever_its_channel() {
    let items = [
        item("u", "u1", "1", "0"),
        item("t", "t1", "1", "0"),
        item("u", "u2", "2", "1"),
    ];
    for apart in [false, true] {
        let items = items.iter().cloned();
        let orders: Vec<Order> = match apart {
            true => items.map(|item| [item].into_iter().collect()).collect(),
            false => vec![items.collect()],
        };
        let channels = "t; prev-id=1, u; prev-id=2";
        assert_eq!(polled(channels, orders).await, ("u1".into(), true), "{apart}");
    }
}

/// Answers a long poll with no ids of its client's own, which names the last id; publishes this before.
fn held_again(
    edge: &Edge,
    number: usize,
    orders: Vec<Vec<Publication>>,
    ids: &'static [&'static str],
) -> impl Future<Output = Reply> + use<> {
    let edge = edge.clone();
    async move {
        for order in orders {
            edge.submit(order.into_iter().collect()).await.expect("accepted");
        }
        let channel = format!("t; prev-id={}", ids[(number - 1).min(ids.len() - 1)]);
        Ok(reply(
            200,
            &[("grip-hold", "response"), ("grip-channel", &channel)],
            "old\n",
        ))
    }
}

fn numbered(ids: std::ops::RangeInclusive<u32>) -> Vec<Vec<Publication>> {
    let one = |id: u32| vec![item("t", &id.to_string(), &id.to_string(), &(id - 1).to_string())];
    ids.map(one).collect()
}

/// A log of two entries.
fn short_log() -> Edge {
    Edge::builder().log_limits(LogLimits::new().entries(2)).build()
}

/// D5: what it waits for has left the log, and the origin, which does not heed what its client has, holds once more. The
/// client does not have what that answer contains.
#[tokio::test(start_paused = true)]
async fn d5_what_came_while_a_poll_waited_answers_it_although_a_younger_answer_names_it() {
    let edge = short_log();
    let origin = Origin::of(&edge, |edge, number| {
        held_again(&edge, number, vec![], &["0", "3"])
    });
    let waiting = origin.waiting(&edge).await;
    for order in numbered(1..=3) {
        edge.submit(order.into_iter().collect()).await.expect("accepted");
    }
    let response = waiting.done().await;
    assert_eq!((origin.calls(), is_marked(&response)), (2, true));
    assert_eq!(text(response).await, "2");
}

/// The same, where all of it came while the origin was asked.
#[tokio::test(start_paused = true)]
async fn d5_what_came_before_a_poll_waited_answers_it_although_a_younger_answer_names_it() {
    let edge = short_log();
    let origin = Origin::of(&edge, |edge, number| {
        let is_first = number == 1;
        let came = if is_first { numbered(1..=4) } else { vec![] };
        let answer = held_again(&edge, number, came, &["0", "4"]);
        async move {
            // Nothing is kept for so long a fetch.
            tokio::time::sleep(Duration::from_secs(if is_first { 16 } else { 0 })).await;
            answer.await
        }
    });
    let response = origin.start(&edge).done().await;
    assert_eq!(origin.calls(), 2);
    assert_eq!(text(response).await, "3");
}

/// And where the first answer was that of a cache.
#[tokio::test(start_paused = true)]
async fn x1_what_came_while_a_younger_answer_was_made_answers_a_poll_although_that_names_it() {
    let edge = Edge::new();
    publish(&edge, identified(answer(200, &[], "1"), "1", "0")).await;
    let origin = Origin::of(&edge, |edge, number| async move {
        let came = if number == 2 { numbered(2..=2) } else { vec![] };
        let mut answer = held_again(&edge, number, came, &["0", "2"]).await?;
        if number == 1 {
            answer.headers_mut().insert("age", "100".parse().expect("valid"));
        }
        Ok(answer)
    });
    let response = origin.start(&edge).done().await;
    assert_eq!(origin.calls(), 2);
    assert_eq!(text(response).await, "2");
}

/// Its client has what its own answer names, also where that is said once more.
#[tokio::test(start_paused = true)]
async fn d2_what_the_client_of_a_poll_has_does_not_answer_it() {
    let edge = short_log();
    let origin = Origin::of(&edge, |edge, number| {
        let came = if number == 1 { numbered(1..=4) } else { vec![] };
        held_again(&edge, number, came, &["4"])
    });
    let mut waiting = origin.waiting(&edge).await;
    for order in numbered(5..=5) {
        edge.submit(order.into_iter().collect()).await.expect("accepted");
    }
    let response = waiting.now().await.expect("answered");
    assert_eq!(text(response).await, "5");
}

/// A foreign cache's answer to who has 1, made before 2 was; what comes while it is under way does not say that it follows 1. So the
/// origin is asked what is between.
#[tokio::test(start_paused = true)]
async fn x1_what_may_not_follow_what_the_client_has_answers_no_poll_of_an_old_answer() {
    let said = |id: &str| answer(200, &[], id).with_id(id);
    let alone = |message: Message| Publication::new(channel("t"), message);
    let came = move || {
        let silent = bytes("3").with_id("3");
        [
            ("said without what it follows", vec![alone(said("3"))]),
            (
                "a state, which has another form, and what follows it",
                vec![
                    alone(silent.clone().with_prev_id("2")).latest(),
                    item("t", "4", "4", "3"),
                ],
            ),
            (
                "another form of one that was said before it asked, and what follows that",
                vec![alone(bytes("2").with_id("2")), item("t", "3", "3", "2")],
            ),
            (
                "what follows one that is said without what it follows",
                vec![alone(silent), item("t", "4", "4", "3")],
            ),
        ]
    };
    for (nth, (case, _)) in came().into_iter().enumerate() {
        let edge = Edge::new();
        for id in ["1", "2"] {
            publish(&edge, said(id)).await;
        }
        let origin = Origin::of(&edge, move |edge, number| async move {
            if number > 1 {
                return Ok(reply(200, &[], "all since 1"));
            }
            let (_, order) = came().into_iter().nth(nth).expect("a case");
            let mut answer = held_again(&edge, number, vec![order], &["1"]).await?;
            answer.headers_mut().insert("age", "100".parse().expect("valid"));
            Ok(answer)
        });
        let response = origin.start(&edge).done().await;
        assert_eq!(origin.calls(), 2, "{case}");
        assert!(!is_marked(&response), "{case}");
        assert_eq!(text(response).await, "all since 1", "{case}");
    }
}

/// Nor does what comes after such on another channel: the poll would be answered by the first.
#[tokio::test(start_paused = true)]
async fn x1_what_may_not_follow_what_the_client_has_is_not_passed_over() {
    let said = |name: &str, id: &str| {
        let message: Message = answer(200, &[], id).with_id(id);
        Publication::new(channel(name), message)
    };
    let edge = Edge::new();
    for id in ["1", "2"] {
        edge.submit([said("t", id)].into_iter().collect())
            .await
            .expect("accepted");
    }
    let origin = Origin::of(&edge, move |edge, number| async move {
        if number > 1 {
            return Ok(reply(200, &[], "all since 1"));
        }
        let order = [said("t", "3"), said("u", "1")];
        edge.submit(order.into_iter().collect()).await.expect("accepted");
        let held = [
            ("grip-hold", "response"),
            ("grip-channel", "t; prev-id=1, u; prev-id=0"),
            ("age", "100"),
        ];
        Ok(reply(200, &held, "old\n"))
    });
    let response = origin.start(&edge).done().await;
    assert_eq!((origin.calls(), is_marked(&response)), (2, false));
    assert_eq!(text(response).await, "all since 1");
}
