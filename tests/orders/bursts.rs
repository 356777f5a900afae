//! Bursts of states whose calls overtake each other, some of which are made twice.

use std::time::Duration;

use gripstack::Edge;
use gripstack::publish::{PublishConfig, Rule};

use crate::alone::stream;
use crate::hold_support::seeds::{Dice, paused, worlds};
use crate::hold_support::{ready, with_ids};

/// Which comes when, if each of `last` calls, made in order, arrives before or after at most `window` others.
fn arrivals(dice: &mut Dice, last: u32, window: u64) -> Vec<u32> {
    let mut calls: Vec<(u64, u32)> = (1..=last)
        .map(|n| (u64::from(n) * 10 + dice.roll(window * 10), n))
        .collect();
    calls.sort_unstable();
    calls.into_iter().map(|(_, n)| n).collect()
}

/// A burst of states with so many calls under way at once, within one turn: all are there, and say which is the last.
async fn burst(seed: u64, window: u64, forms: u8, retried: bool) -> Result<(), String> {
    let mut dice = Dice::new(seed << 20);
    let edge = Edge::new();
    let publisher =
        edge.publisher(PublishConfig::new().rule(Rule::latest().interval(Duration::from_secs(60))));
    let mut response = stream(&edge).await;
    let last = 30 + dice.roll(100) as u32;
    let mut calls = Vec::new();
    for form in 0..forms {
        let came = arrivals(&mut dice, last, window);
        for (place, n) in came.into_iter().enumerate() {
            calls.push((place * 2 + form as usize, n, form));
            if retried && dice.one_in(5) {
                calls.push((place * 2 + form as usize + dice.roll(40) as usize, n, form));
            }
        }
    }
    calls.sort_unstable_by_key(|(place, ..)| *place);
    let mut log_of_polls = edge
        .hub()
        .subscribe(
            &[crate::alone::channel("t")],
            edge.hub().stamp_at(gripstack::Position::ZERO),
            gripstack::hub::Wants::Response,
        )
        .expect("no gap");
    // The first one goes at once.
    publisher
        .publish("t", with_ids("0", "0", ""))
        .await
        .expect("accepted");
    for (_, n, form) in &calls {
        let message = match (forms, form) {
            (1, _) | (_, 0) => with_ids(&n.to_string(), &n.to_string(), &(n - 1).to_string()),
            _ => gripstack::Message::response(gripstack::message::PushedResponse::new(n.to_string()))
                .with_id(n.to_string())
                .with_prev_id((n - 1).to_string()),
        };
        publisher.publish("t", message).await.expect("accepted");
    }
    tokio::time::sleep(Duration::from_secs(200)).await;
    let got = ready(response.body_mut());
    if got.last().map(|text| &**text) != Some(&*last.to_string()) {
        return Err(format!(
            "seed {seed}, window {window}: stream {got:?} of {last}, {calls:?}"
        ));
    }
    if forms > 1 {
        let mut polls = Vec::new();
        while let std::task::Poll::Ready(gripstack::hub::Delivery::Message { message, .. }) =
            crate::alone::once(log_of_polls.next())
        {
            polls.push(message.id.as_deref().unwrap_or("-").to_owned());
        }
        if polls.last().map(|text| &**text) != Some(&*last.to_string()) {
            return Err(format!(
                "seed {seed}, window {window}: polls {polls:?} of {last}, {calls:?}"
            ));
        }
    }
    Ok(())
}

fn bursts(window: u64, forms: u8, retried: bool) {
    worlds(200, 2_000, |seed| paused(burst(seed, window, forms, retried)));
}

#[test]
fn d2a_the_last_of_a_burst_is_the_last_with_4_calls_under_way() {
    bursts(4, 1, false);
}

#[test]
fn d2a_the_last_of_a_burst_is_the_last_with_16_calls_under_way() {
    bursts(16, 1, false);
}

#[test]
fn d2a_the_last_of_a_burst_is_the_last_with_64_calls_under_way() {
    bursts(64, 1, false);
}

#[test]
fn d2a_the_last_of_a_burst_is_the_last_with_4_calls_under_way_and_retries() {
    bursts(4, 1, true);
}

#[test]
fn d2a_the_last_of_a_burst_is_the_last_with_16_calls_under_way_and_retries() {
    bursts(16, 1, true);
}

#[test]
fn d2a_the_last_of_a_burst_is_the_last_form_by_form() {
    bursts(1, 2, false);
}

#[test]
fn d2a_the_last_of_a_burst_is_the_last_form_by_form_with_4_calls_under_way() {
    bursts(4, 2, false);
}

#[test]
fn d2a_the_last_of_a_burst_is_the_last_form_by_form_with_retries() {
    bursts(4, 2, true);
}
