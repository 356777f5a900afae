//! Publishers that begin again at 1, and states that come back, where nobody reads between their messages.

use std::time::Duration;

use gripstack::Edge;
use gripstack::message::PushedResponse;
use gripstack::publish::{PublishConfig, Rule};
use tokio::time::sleep;

use crate::hold_support::*;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

async fn say(publisher: &gripstack::Publisher, run: &str, n: u32, first: &str, linked: bool) {
    let prev_id = match (n, linked) {
        (_, false) => String::new(),
        (1, true) => first.to_owned(),
        (_, true) => (n - 1).to_string(),
    };
    let state = with_ids(&format!("{run}{n}"), &n.to_string(), &prev_id);
    publisher.publish("t", state).await.expect("accepted");
}

async fn states(publisher: &gripstack::Publisher, run: &str, last: u32, first: &str) {
    for n in 1..=last {
        say(publisher, run, n, first, true).await;
        sleep(secs(2)).await;
    }
}

/// A process that says what it has to say from 1 on each time it starts (a version, a status), and is started again two minutes later. The
/// client is held since before the first run, from a body that names `0` ("nothing yet"), or has a body that names an id which the edge does not
/// know (it was started after that). It reads at once. D1: what has an id that was there, but other content, is another message, and
/// "a hold gives out what it withholds before it, and goes on from it".
async fn held_since_before(
    paced: bool,
    linked: bool,
    first: &str,
    body: &str,
    one: u32,
    other: u32,
) -> Vec<String> {
    let edge = Edge::new();
    let rule = if paced { Rule::latest() } else { Rule::all() };
    let publisher = edge.publisher(PublishConfig::new().rule(rule));
    let named = format!("t; prev-id={body}");
    let origin = Origin::new(move |_, _| {
        let named = named.clone();
        async move {
            Ok(reply(
                200,
                &[("grip-hold", "stream"), ("grip-channel", &named)],
                "",
            ))
        }
    });
    let mut held = origin.get(&edge).await.into_body();
    for n in 1..=one {
        say(&publisher, "a", n, first, linked).await;
        sleep(secs(2)).await;
        let _ = ready(&mut held);
    }
    sleep(secs(120)).await;
    let _ = ready(&mut held);
    let mut got = Vec::new();
    for n in 1..=other {
        say(&publisher, "b", n, first, linked).await;
        sleep(secs(2)).await;
        got.extend(ready(&mut held));
    }
    for _ in 0..20 {
        sleep(secs(1)).await;
        got.extend(ready(&mut held));
    }
    got
}

#[tokio::test(start_paused = true)]
async fn d1_a_second_run_reaches_who_is_held_since_before_the_first() {
    let mut wrong = Vec::new();
    for paced in [true, false] {
        for (linked, first) in [(true, "0"), (true, ""), (false, "")] {
            for body in ["0", "77"] {
                for (one, other) in [(1, 1), (1, 2), (2, 1), (2, 2), (3, 3)] {
                    let got = held_since_before(paced, linked, first, body, one, other).await;
                    let want: Vec<_> = (1..=other).map(|n| format!("b{n}")).collect();
                    if got != want {
                        wrong.push(format!(
                            "paced {paced}, linked {linked}, first {first:?}, body {body}, {one} then {other}: {got:?}"
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A counter of states that begins again at 1, and comes as far as the first run did, before a slow client reads. The promise: "the
/// client receives the message (of messages declared `latest`: the last one)"; D1: what has an id that was there, but other content,
/// is another one. Paced states, 2 s apart; the client's connection stands still for 4 s. Its body names an id that the log has.
#[tokio::test(start_paused = true)]
async fn d2a_the_last_state_of_a_second_run_reaches_a_slow_client() {
    let mut wrong = Vec::new();
    for first in ["", "0"] {
        for (one, other) in [(1, 1), (2, 2), (3, 3), (3, 2), (2, 3)] {
            let edge = Edge::new();
            let publisher = edge.publisher(PublishConfig::new().rule(Rule::latest()));
            states(&publisher, "a", one, first).await;
            let origin = Origin::new(move |_, _| async move {
                let named = format!("t; prev-id={one}");
                Ok(reply(
                    200,
                    &[("grip-hold", "stream"), ("grip-channel", &named)],
                    "",
                ))
            });
            let mut held = origin.get(&edge).await.into_body();
            let _ = ready(&mut held);
            sleep(secs(120)).await;
            states(&publisher, "b", other, first).await;
            let mut got = ready(&mut held);
            for _ in 0..10 {
                sleep(secs(1)).await;
                got.extend(ready(&mut held));
            }
            if got.last() != Some(&format!("b{other}")) {
                wrong.push(format!("first {first:?}, {one} then {other}: {got:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The same for a client that connects after the second run and is held from an answer that was stored before it (M1: it replays).
#[tokio::test(start_paused = true)]
async fn m1_who_is_held_from_an_answer_of_the_first_run_gets_the_second() {
    let mut wrong = Vec::new();
    // Of a state the log may have nothing any more.
    for paced in [false] {
        for first in ["", "0"] {
            for other in 1..=4u32 {
                let edge = Edge::new();
                let rule = if paced { Rule::latest() } else { Rule::all() };
                let publisher = edge.publisher(PublishConfig::new().rule(rule));
                states(&publisher, "a", 2, first).await;
                let origin = Origin::fixed(
                    200,
                    &[
                        ("grip-hold", "stream"),
                        ("grip-channel", "t; prev-id=2"),
                        ("cache-control", "max-age=600"),
                    ],
                    "a2",
                );
                let service = origin.cached(&edge);
                let mut before = get(&service).await.into_body();
                assert_eq!(ready(&mut before), ["a2"]);
                drop(before);
                sleep(secs(20)).await;
                states(&publisher, "b", other, first).await;
                let calls = origin.calls();
                let mut held = get(&service).await.into_body();
                let mut got = ready(&mut held);
                for _ in 0..20 {
                    sleep(secs(1)).await;
                    got.extend(ready(&mut held));
                }
                let asked = origin.calls() - calls;
                if got.last() != Some(&format!("b{other}")) {
                    wrong.push(format!(
                        "paced {paced}, first {first:?}, {other}: {got:?}, asked {asked}"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn answer(n: u32, prev_id: &str) -> gripstack::Message {
    let message = gripstack::Message::response(PushedResponse::new(n.to_string())).with_id(n.to_string());
    match prev_id {
        "" => message,
        _ => message.with_prev_id(prev_id),
    }
}

/// Forms said one by one, each in a call of its own: the second message's stream form comes before the first one's other form, and is
/// sent again. D1: "forms that are said one by one under one id are one item's": the retry says what is there, after the message that it
/// follows.
#[tokio::test(start_paused = true)]
async fn d1_a_form_that_is_sent_again_after_the_other_form_of_its_predecessor_is_not_there_twice() {
    for first in ["", "0"] {
        let edge = Edge::new();
        publish(&edge, with_ids("1", "1", first)).await;
        publish(&edge, with_ids("2", "2", "1")).await;
        publish(&edge, answer(1, first)).await;
        publish(&edge, with_ids("2", "2", "1")).await;
        publish(&edge, answer(2, "1")).await;
        assert_eq!(crate::alone::log(&edge), ["1", "2"], "first {first:?}");
    }
}

/// The same where the process is started again after more than the log remembers (a quarter of an hour): the hold was sent `1` of the first run
/// itself, and another `1` with other content comes hours later. No publisher makes a call once more after hours.
#[tokio::test(start_paused = true)]
async fn d1_a_second_run_hours_later_reaches_who_was_sent_the_first() {
    let mut wrong = Vec::new();
    for paced in [true, false] {
        {
            let body = "0";
            let edge = Edge::new();
            let rule = if paced { Rule::latest() } else { Rule::all() };
            let publisher = edge.publisher(PublishConfig::new().rule(rule));
            let named = format!("t; prev-id={body}");
            let origin = Origin::new(move |_, _| {
                let named = named.clone();
                async move {
                    Ok(reply(
                        200,
                        &[("grip-hold", "stream"), ("grip-channel", &named)],
                        "",
                    ))
                }
            });
            let mut held = origin.get(&edge).await.into_body();
            say(&publisher, "a", 1, "0", true).await;
            assert_eq!(ready(&mut held), ["a1"]);
            for _ in 0..4 {
                sleep(secs(3_600)).await;
                let other =
                    gripstack::Order::publish(crate::alone::channel("other"), gripstack::Message::bytes("x"));
                edge.submit(other).await.expect("accepted");
                let _ = ready(&mut held);
            }
            say(&publisher, "b", 1, "0", true).await;
            let mut got = Vec::new();
            for _ in 0..20 {
                sleep(secs(1)).await;
                got.extend(
                    ready(&mut held)
                        .into_iter()
                        .filter(|text| !text.trim().is_empty()),
                );
            }
            if got != ["b1"] {
                wrong.push(format!("paced {paced}, body {body}: {got:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
