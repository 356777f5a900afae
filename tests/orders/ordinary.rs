//! Ordinary publishers: unique ids, one chain, or ids alone; forms together or one by one; calls that arrive swapped, retries with the same
//! content.

use std::time::Duration;

use gripstack::hub::{Delivery, LogLimits, Subscription, Wants};
use gripstack::message::PushedResponse;
use gripstack::publish::{PublishConfig, Rule};
use gripstack::{Edge, Message, Order, Position};
use tokio::time::{Instant, sleep};

use crate::alone::{channel, once};
use crate::hold_support::seeds::{Dice, paused, worlds};

fn reader(edge: &Edge, wants: Wants) -> Subscription {
    let stamp = edge.hub().stamp_at(Position::ZERO);
    edge.hub()
        .subscribe(&[channel("t")], stamp, wants)
        .expect("no gap")
}

fn read(from: &mut Subscription, got: &mut Vec<u32>) {
    while let std::task::Poll::Ready(next) = once(from.next()) {
        let Delivery::Message { message, .. } = next else {
            panic!("lagged")
        };
        got.push(message.id.as_deref().expect("id").parse().expect("number"));
    }
}

fn said(n: u32, form: u8, linked: bool) -> Message {
    let text = format!("{n} ");
    let message = match form {
        0 => Message::bytes(text),
        1 => Message::response(PushedResponse::new(text)),
        _ => Message::bytes(text.clone()).with_response(PushedResponse::new(text).into()),
    };
    let message = message.with_id(n.to_string());
    match linked {
        true => message.with_prev_id((n - 1).to_string()),
        false => message,
    }
}

/// Each form of each message is in the log once, in order.
async fn lossless(seed: u64) -> Result<(), String> {
    let mut dice = Dice::new(seed << 20);
    let entries = 1_000;
    let edge = Edge::builder()
        .log_limits(LogLimits::new().entries(entries))
        .build();
    let linked = !dice.one_in(4);
    let apart = dice.one_in(2);
    let swaps = if linked {
        [0, 5, 300, 2_000][dice.roll(4) as usize]
    } else {
        0
    };
    let mut retried = dice.roll(4);
    if apart && swaps > 0 {
        // See d1_a_form_that_is_sent_again_is_there_once_though_its_predecessor_s_came_after_it.
        retried = 0;
    }
    let latest_retry = [200, 3_000, 9_000, 40_000][dice.roll(4) as usize];
    let mut streams = reader(&edge, Wants::Stream);
    let mut polls = reader(&edge, Wants::Response);
    let (mut got, mut got_polls) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    let mut tasks = Vec::new();
    let mut plan = Vec::new();
    let mut at = 0u64;
    let last = 10 + dice.roll(60) as u32;
    for n in 1..=last {
        for form in if apart { 0..2 } else { 2..3 } {
            let when = at + dice.roll(swaps + 1) * u64::from(n > 1);
            let when = if n == 1 {
                at + u64::from(form == 1) * dice.roll(swaps + 1)
            } else {
                when
            };
            plan.push((when, n, form));
            if retried > 0 && dice.one_in(retried * 2) {
                plan.push((when + dice.roll(latest_retry), n, form));
            }
        }
        at += [0, 1, 20, 500, 5_000, 30_000, 1_500_000][gap(&mut dice)];
        if n == 1 {
            at += 1;
        }
    }
    for (when, n, form) in plan.clone() {
        let edge = edge.clone();
        tasks.push(tokio::spawn(async move {
            tokio::time::sleep_until(begun + Duration::from_millis(when)).await;
            let from = Instant::now();
            let done = edge
                .submit(Order::publish(channel("t"), said(n, form, linked)))
                .await;
            (n, form, from.elapsed(), done.map_err(|e| e.to_string()))
        }));
    }
    let mut times: Vec<u64> = plan
        .iter()
        .flat_map(|(when, ..)| [*when, when + 2_500, when + 5_010])
        .collect();
    times.sort_unstable();
    for when in times {
        tokio::time::sleep_until(begun + Duration::from_millis(when + 1)).await;
        read(&mut streams, &mut got);
        read(&mut polls, &mut got_polls);
    }
    for _ in 0..20 {
        sleep(Duration::from_secs(1)).await;
        read(&mut streams, &mut got);
        read(&mut polls, &mut got_polls);
    }
    let told = |got: &[u32], got_polls: &[u32]| {
        format!(
            "seed {seed}: linked {linked} apart {apart} swaps {swaps} retried {retried} {latest_retry} entries {entries}\n{got:?}\n{got_polls:?}\n{plan:?}"
        )
    };
    for task in tasks {
        let (n, form, took, done) = task.await.expect("no panic");
        if done.is_err() || took > Duration::from_millis(5_100) {
            return Err(format!(
                "{n}/{form}: {done:?} {took:?} {}",
                told(&got, &got_polls)
            ));
        }
    }
    let want: Vec<u32> = (1..=last).collect();
    if apart && swaps > 0 {
        // A form of the predecessor is the predecessor (D1): what comes out is another order.
        got.sort_unstable();
        got_polls.sort_unstable();
    }
    if got != want || got_polls != want {
        return Err(told(&got, &got_polls));
    }
    Ok(())
}

#[test]
fn d1_each_form_of_each_message_is_there_once_and_in_order() {
    worlds(3_000, 50_000, |seed| paused(lossless(seed)));
}

/// The last of paced states is the last that is read. `across`: calls that overtake each other may do so across the end of a turn.
async fn paced(seed: u64, across: bool) -> Result<(), String> {
    let mut dice = Dice::new(seed << 20);
    let edge = Edge::new();
    let publisher = edge.publisher(PublishConfig::new().rule(Rule::latest()));
    let linked = !dice.one_in(4);
    let swaps = if linked && across {
        [3, 20, 200][dice.roll(3) as usize]
    } else {
        0
    };
    let retried = dice.roll(4);
    // The channel is still paced then.
    let latest_retry = [50, 200, 500, 900][dice.roll(4) as usize];
    let mut streams = reader(&edge, Wants::Stream);
    let mut got = Vec::new();
    let begun = Instant::now();
    let mut plan = Vec::new();
    let mut at = 0u64;
    let last = 5 + dice.roll(80) as u32;
    for n in 1..=last {
        let when = at + dice.roll(swaps + 1);
        plan.push((when, n));
        if retried > 0 && dice.one_in(retried * 2) {
            plan.push((when + dice.roll(latest_retry), n));
        }
        at += [0, 1, 20, 100, 700, 1_500, 30_000][gap(&mut dice)];
    }
    plan.sort_by_key(|(when, _)| *when);
    for (when, n) in &plan {
        tokio::time::sleep_until(begun + Duration::from_millis(*when)).await;
        read(&mut streams, &mut got);
        publisher
            .publish("t", said(*n, 2, linked))
            .await
            .map_err(|e| e.to_string())?;
        read(&mut streams, &mut got);
    }
    sleep(Duration::from_secs(20)).await;
    read(&mut streams, &mut got);
    let goes_back = got.windows(2).any(|pair| pair[0] >= pair[1]);
    if got.last() != Some(&last) || (!across && goes_back) {
        return Err(format!(
            "seed {seed}: linked {linked} swaps {swaps} retried {retried} {latest_retry}\n{got:?} of {last}\n{plan:?}"
        ));
    }
    Ok(())
}

#[test]
fn d2a_the_last_of_states_that_are_sent_again_is_the_last() {
    worlds(3_000, 50_000, |seed| paused(paced(seed, false)));
}

#[test]
fn d2a_the_last_of_states_that_arrive_swapped_is_the_last() {
    let mut wrong = Vec::new();
    for seed in 0..500 {
        wrong.extend(paused(paced(seed, true)).err());
    }
    wrong.sort_by_key(String::len);
    assert!(
        wrong.is_empty(),
        "{} of 3000\n{}",
        wrong.len(),
        wrong[..wrong.len().min(3)].join("\n")
    );
}

fn gap(dice: &mut Dice) -> usize {
    let kinds = if dice.one_in(4) { 7 } else { 4 };
    dice.roll(kinds) as usize
}

/// What a stream has got of paced states, each `(n, when)`, in order of time.
async fn states(calls: &[(u32, u64)], linked: bool) -> Vec<u32> {
    let edge = Edge::new();
    let publisher = edge.publisher(PublishConfig::new().rule(Rule::latest()));
    let mut streams = reader(&edge, Wants::Stream);
    let mut got = Vec::new();
    let begun = Instant::now();
    for (n, when) in calls {
        tokio::time::sleep_until(begun + Duration::from_millis(*when)).await;
        read(&mut streams, &mut got);
        publisher
            .publish("t", said(*n, 2, linked))
            .await
            .expect("accepted");
    }
    sleep(Duration::from_secs(20)).await;
    read(&mut streams, &mut got);
    got
}

/// As it is where the state that is sent again has gone out.
#[tokio::test(start_paused = true)]
async fn d1_a_state_that_has_gone_out_is_said_once_more_after_its_channel_has_rested() {
    for linked in [true, false] {
        let got = states(&[(1, 0), (2, 1_500), (3, 3_000), (2, 6_500)], linked).await;
        assert_eq!(got, [1, 2, 3], "linked {linked}");
    }
}

/// `(n, form, when)`: what streams and polls of a chain got.
async fn chain(calls: &[(u32, u8, u64)]) -> (Vec<u32>, Vec<u32>) {
    let edge = Edge::new();
    let (mut streams, mut polls) = (reader(&edge, Wants::Stream), reader(&edge, Wants::Response));
    let (mut got, mut got_polls) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    for (n, form, when) in calls {
        // What waits goes out.
        sleep(Duration::from_millis(1)).await;
        let until = begun + Duration::from_millis(*when);
        while until > Instant::now() {
            tokio::time::sleep_until(until.min(Instant::now() + Duration::from_secs(1))).await;
            read(&mut streams, &mut got);
            read(&mut polls, &mut got_polls);
        }
        let _ = edge
            .accept(Order::publish(channel("t"), said(*n, *form, true)))
            .await
            .expect("accepted");
        read(&mut streams, &mut got);
        read(&mut polls, &mut got_polls);
    }
    sleep(Duration::from_secs(20)).await;
    read(&mut streams, &mut got);
    read(&mut polls, &mut got_polls);
    (got, got_polls)
}

/// `publish_http_stream` and `publish_http_response` for each message of one chain, as the GRIP libraries offer them: a call for each form. The
/// channel is fresh, or has rested for longer than the log remembers. 6's second call comes after 7's, and 7's is sent again, for it heard
/// no answer. D1: said once more, "with its id, its predecessor and, in each of its forms, its content"; "forms that are said one by one
/// under one id are one item's". Ids are unique: nothing came back.
#[tokio::test(start_paused = true)]
async fn d1_a_form_that_is_sent_again_is_there_once_though_its_predecessor_s_came_after_it() {
    let late = 1_560_000;
    for with in [
        vec![(5, 0, 0), (5, 1, 10)],
        vec![(5, 0, late), (5, 1, late)],
        vec![],
    ] {
        let mut calls = with.clone();
        let more = [(6, 0, 747), (7, 0, 754), (7, 1, 771), (6, 1, 793), (7, 1, 8_899)];
        calls.extend(more.map(|(n, form, when)| (n, form, late + when)));
        let (_, mut polls) = chain(&calls).await;
        polls.retain(|n| *n == 7);
        assert_eq!(polls, [7], "before: {with:?}");
    }
}

/// Two processes that relay the same event (or one that makes its JSON anew for a retry, from a map without order): the same answer, its
/// header fields in another order. Fields of different names have none (RFC 9110 5.3), so it says once more what is there (D1).
#[tokio::test(start_paused = true)]
async fn d1_a_message_is_the_same_whatever_the_order_of_its_header_fields() {
    let edge = Edge::new();
    let mut polls = reader(&edge, Wants::Response);
    for names in [["x-a", "x-b"], ["x-b", "x-a"]] {
        let mut answer = PushedResponse::new("1");
        for name in names {
            answer.headers.insert(name, "v".parse().expect("valid"));
        }
        let message = Message::response(answer).with_id("1").with_prev_id("0");
        edge.submit(Order::publish(channel("t"), message))
            .await
            .expect("accepted");
    }
    let mut got = Vec::new();
    read(&mut polls, &mut got);
    assert_eq!(got, [1]);
}

/// All orders of these.
fn permutations(of: &[u32]) -> Vec<Vec<u32>> {
    match of {
        [] => vec![Vec::new()],
        _ => of
            .iter()
            .flat_map(|first| {
                let rest: Vec<_> = of.iter().copied().filter(|other| other != first).collect();
                permutations(&rest).into_iter().map(|mut rest| {
                    rest.insert(0, *first);
                    rest
                })
            })
            .collect(),
    }
}

/// Two processes that share a counter. A call takes longer than an interval: its first packet was lost, or it was made again. The
/// pacer has forgotten the channel then.
#[tokio::test(start_paused = true)]
async fn d2a_a_state_that_comes_an_interval_late_is_not_the_last() {
    for pause in [50, 900, 1_050, 1_500, 10_000] {
        // With 2 between them and turns in between, 4 has gone out when 2 displaces it, before 3 tells that it is the last.
        let is_told = |order: &[u32]| *order != [4, 2, 3] || pause < 900;
        let orders = permutations(&[2, 3, 4])
            .into_iter()
            .filter(|order| is_told(order));
        for order in orders {
            let calls: Vec<_> = [1]
                .iter()
                .chain(&order)
                .zip(0..)
                .map(|(n, place)| (*n, place * pause))
                .collect();
            let got = states(&calls, true).await;
            assert_eq!(got.last(), Some(&4), "{order:?} {pause}: {got:?}");
        }
    }
}

/// A turn ends in the middle of a burst: what was displaced in it may be the last all the same.
#[tokio::test(start_paused = true)]
async fn d2a_a_state_that_was_displaced_in_its_own_turn_is_not_lost_with_that() {
    for order in permutations(&[2, 3, 4]) {
        for ends_after in 0..3 {
            let calls: Vec<_> = order
                .iter()
                .zip(0..)
                .map(|(n, place)| (*n, 995 - 10 * ends_after + 10 * place))
                .collect();
            let got = states(&[&[(1, 0)], &*calls].concat(), true).await;
            assert_eq!(got.last(), Some(&4), "{calls:?}: {got:?}");
        }
    }
}

/// One call of a burst comes when its channel has rested.
#[tokio::test(start_paused = true)]
async fn d2a_one_late_state_of_a_burst_is_not_the_last() {
    for pause in [10, 100, 400] {
        for late in 2..10 {
            for by in [1_100, 3_000, 20_000] {
                let in_time = (1..=10).filter(|n| *n != late).map(|n| (n, u64::from(n) * pause));
                let mut calls: Vec<_> = in_time.collect();
                calls.push((late, 10 * pause + by));
                let got = states(&calls, true).await;
                assert_eq!(
                    got.last(),
                    Some(&10),
                    "{late} {by} ms after the others, {pause}: {got:?}"
                );
            }
        }
    }
}

/// What came too late says nothing of what comes then.
#[tokio::test(start_paused = true)]
async fn d2a_a_state_that_follows_a_newer_one_than_a_late_one_is_news() {
    for pause in [1, 900, 1_500, 5_000] {
        let order = [1, 5, 3, 6, 7, 8];
        let calls: Vec<_> = order
            .iter()
            .zip(0..)
            .map(|(n, place)| (*n, place * pause))
            .collect();
        let got = states(&calls, true).await;
        assert_eq!(got.last(), Some(&8), "{pause}: {got:?}");
    }
}
