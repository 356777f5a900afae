//! One loop says all messages in one form, another one in the other; or a queue for each form lags. What a stream gets of it, and
//! when: `s4` is the form of message 4 for streams, `c4` one that closes them, `r4` that for polls, `b4` both, `x` a message without ids, `+50` a pause of
//! 50 ms. Each follows the one before; in capitals nothing says so.

use std::time::Duration;

use gripstack::{Edge, Message, Order};
use tokio::time::{Instant, sleep};

use crate::hold_support::*;

fn message(word: &str) -> Message {
    let (kind, n) = word.split_at(1);
    if kind == "x" {
        return bytes("x");
    }
    let before = (n.parse::<u32>().expect("a number") - 1).to_string();
    let response = || identified(answer(200, &[], n), n, &before);
    let mut message = match kind.to_lowercase().as_str() {
        "c" => {
            let mut close = close();
            close.id = Some(n.into());
            close.prev_id = Some(before.into());
            close
        }
        "s" => with_ids(n, n, &before),
        "r" => response(),
        _ => {
            let mut both = with_ids(n, n, &before);
            both.response = response().response;
            both
        }
    };
    message.prev_id = message.prev_id.filter(|_| kind != kind.to_uppercase());
    message
}

/// What comes, and after how many milliseconds, of a stream whose body names this: it is connected between these two parts.
async fn play(body: &str, before: &str, after: &str) -> Vec<(u128, String)> {
    let edge = Edge::new();
    for word in before.split_whitespace() {
        publish(&edge, message(word)).await;
    }
    let named = format!("t; prev-id={body}");
    let origin = Origin::new(move |_, _| {
        let named = named.clone();
        async move {
            let hold = [("grip-hold", "stream"), ("grip-channel", &*named)];
            Ok(reply(200, &hold, ""))
        }
    });
    let mut held = origin.get(&edge).await.into_body();
    let begun = Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    let mut got = Vec::new();
    for word in after.split_whitespace().chain(["+12000"]) {
        let pause = match word.strip_prefix('+') {
            Some(pause) => pause.parse().expect("a number"),
            None => {
                let (edge, order) = (edge.clone(), Order::publish(channel("t"), message(word)));
                calls.spawn(async move { edge.submit(order).await.expect("accepted") });
                1
            }
        };
        let until = Instant::now() + Duration::from_millis(pause);
        while Instant::now() < until {
            sleep(Duration::from_millis(1)).await;
            let new = ready(&mut held).into_iter();
            got.extend(new.map(|text| (begun.elapsed().as_millis(), text)));
        }
    }
    got
}

/// In this order, the last of it by then.
async fn gets(body: &str, before: &str, after: &str, want: &str, by: u128) {
    let got = play(body, before, after).await;
    let texts: Vec<_> = got.iter().map(|(_, text)| &**text).collect();
    let story = format!("{before} [{body}] {after}: {got:?}");
    assert_eq!(texts.join(" "), want, "{story}");
    assert!(got.last().is_none_or(|(at, _)| *at <= by), "{story}");
}

#[tokio::test(start_paused = true)]
async fn d2_after_a_loop_for_each_form_what_follows_goes_out_at_once() {
    let loops = "s2 s3 s4 s5 r2 r3 r4 r5";
    gets("1", "b1", &format!("{loops} +6000 s6 r6"), "2 3 4 5 6", 6_050).await;
    gets("1", "b1", &format!("{loops} x"), "2 3 4 5 x", 50).await;
    gets("5", "b1 s2 s3 s4 s5", "r2 r3 r4 r5 +6000 s6", "6", 6_050).await;
    // Of what was sent nothing is missing.
    gets("1", "b1", "s2 s3 r2 r3 +300 r4 s4", "2 3 4", 350).await;
}

#[tokio::test(start_paused = true)]
async fn d2_a_form_of_what_the_body_contains_is_not_sent() {
    gets("3", "b1 r2 r3", "s2 s3", "", 0).await;
    gets("3", "b1 r2 r3", "s2 s3 b4", "4", 50).await;
    gets("4", "b1 r2 r3 r4", "s2 s3 s4 +1000 r5 s5", "5", 1_050).await;
    gets("3", "b1 b2 r3", "r4 s3 s4 b5", "4 5", 50).await;
    gets("3", "b1 b2 r3", "b4 s3", "4", 50).await;
    // However late it is.
    gets("3", "b1", "r2 r3 r4 +61000 s2 s3 s4", "4", 61_250).await;
}

#[tokio::test(start_paused = true)]
async fn d2_what_closes_is_in_no_body() {
    for [before, after] in [
        ["b1 r2", "c2"],
        ["b1", "r2 c2"],
        ["b1 b2 r3", "r4 c3"],
        ["b1 b2 r3", "r4 c4"],
    ] {
        let body = before.chars().last().expect("a number").to_string();
        let got = play(&body, before, &format!("{after} s9")).await;
        assert!(
            got.iter().any(|(_, text)| text == "end"),
            "{before} [{body}] {after}: {got:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn d2_what_follows_a_form_that_waits_comes_after_it() {
    // 2 and 4 are for polls only.
    gets("1", "b1", "r2 r3 r4 r5 s3 +50 s5 r6 s6", "3 5 6", 700).await;
    gets("1", "b1", "r2 r3 r4 s4 b5 s2 s3", "2 3 4 5", 50).await;
}

#[tokio::test(start_paused = true)]
async fn d2_the_loops_may_be_long() {
    let calls = |form: &'static str| (2..=200).map(move |n| format!("{form}{n}"));
    let all: Vec<_> = calls("r").chain(calls("s")).collect();
    let want: Vec<_> = (2..=200).map(|n| n.to_string()).collect();
    gets("1", "b1", &all.join(" "), &want.join(" "), 500).await;
}

/// Nothing says what follows what, so what the log has before what the body names may be news; then so is what the body names.
#[tokio::test(start_paused = true)]
async fn d2_what_the_body_names_comes_after_what_is_older_in_whichever_form_it_came_first() {
    for after in [
        "R2 S2 S3 R3",
        "S2 R2 S3 R3",
        "B2 S3 R3",
        "R2 S2 B3",
        "R2 S2 R3 S3",
        "B2 R3 S3",
        "S2 R3 S3 R4",
        "R2 S2 R3 S3 +1000 R4",
    ] {
        gets("3", "B1", after, "2 3", 100).await;
    }
}

/// Likewise, of two workers whose calls overtake each other: the body, made between the two changes, lacks 3.
#[tokio::test(start_paused = true)]
async fn d2_what_the_body_lacks_is_news_though_its_first_form_came_before_what_the_body_names() {
    for after in ["R3 R2 S2 S3", "R3 B2 S3", "R3 S2 S3"] {
        gets("2", "B1", after, "3", 100).await;
    }
    for after in ["R3 S3 R2 S2", "R3 R2 S3 S2", "S3 S2 R2 R3"] {
        gets("2", "B1", after, "3 2", 100).await;
    }
}

/// So it is where that came between its forms, also of messages of one form.
#[tokio::test(start_paused = true)]
async fn d2_what_the_body_names_comes_after_what_came_between_its_forms() {
    gets("3", "B1", "R3 S2 S3", "2 3", 100).await;
    gets("3", "B1", "R3 S2 S3 b4", "2 3 4", 100).await;
    gets("3", "B1", "R3 S3 S4", "4", 100).await;
    gets("3", "b1 b2", "r3 r4 s3 s4", "4", 100).await;
}

/// A process that keeps its last id in memory begins twice within a burst.
#[tokio::test(start_paused = true)]
async fn d2_what_begins_again_twice_before_the_body_goes_out_once() {
    gets("6", "b2", "b3 B4 B5 b6", "4 6", 12_000).await;
    gets("4", "b1", "s3 S2 R2 S4", "2 3 4", 12_000).await;
    let got = play("6", "b2", "s3 r3 S4 R4 S5 R5 s6 r6").await;
    let texts: Vec<_> = got.iter().map(|(_, text)| &**text).collect();
    assert_eq!(texts.last(), Some(&"6"), "{texts:?}");
}

#[tokio::test(start_paused = true)]
async fn d2_nothing_overtakes_a_form_that_waits() {
    for after in [
        "r2 r3 r4 s3 s5",
        "r2 r3 r4 s3 b5",
        "r2 r3 r4 r5 s3 s5",
        "r2 r3 s3 r4 s5",
    ] {
        gets("1", "b1", after, "3 5", 300).await;
    }
    gets("1", "b1", "r2 r3 r4 s3 s4 s5", "3 4 5", 300).await;
    gets("1", "b1", "r2 r3 r4 s4 s5", "4 5", 300).await;
    // An edge that knows nothing of what came before.
    gets("2", "", "r4 b2 s4 s3", "3 4", 300).await;
}

/// All rows are stored before the first call, so all clients have the last one by their bodies. They connect at any time in the
/// first loop. Where nothing says what follows what, nobody can tell whether a body that was made meanwhile contains what the log
/// has before what it names: that goes out once more, and what the body names after it.
#[tokio::test(start_paused = true)]
async fn d2_who_connects_in_the_first_of_two_loops_gets_nothing_that_its_body_contains() {
    for (rows, [both, first, second]) in [3, 36, 60].into_iter().flat_map(|rows| {
        let names = [["b", "r", "s"], ["B", "R", "S"]];
        names.map(|names| (rows, names))
    }) {
        for from in (2..rows).step_by(rows / 12 + 1) {
            let calls = |form: &'static str, from: usize| (from..=rows).map(move |n| format!("{form}{n} "));
            let before: String = std::iter::once(format!("{both}1 "))
                .chain(calls(first, 2).take(from - 1))
                .collect();
            let after: String = calls(first, from + 1).chain(calls(second, 2)).collect();
            let next = format!("{after} +10 {both}{}", rows + 1);
            let is_sent_again = first == "R" && from + 1 < rows;
            let begins = if is_sent_again { from + 1 } else { rows + 1 };
            let want: Vec<_> = (begins..=rows + 1).map(|n| n.to_string()).collect();
            gets(&rows.to_string(), &before, &next, &want.join(" "), 500).await;
        }
    }
    // However long the loops take.
    gets("3", "b1 r2", "r3 +5100 s2 s3", "", 0).await;
}

#[tokio::test(start_paused = true)]
async fn d2_who_polls_in_the_first_of_two_loops_is_not_answered_with_what_it_has() {
    for rows in [20, 36, 60] {
        let edge = Edge::new();
        let begun = rows / 2;
        publish(&edge, message("b1")).await;
        for n in 2..=begun {
            publish(&edge, message(&format!("s{n}"))).await;
        }
        let named = format!("t; prev-id={rows}");
        let origin = Origin::new(move |_, _| {
            let named = named.clone();
            async move {
                let hold = [
                    ("grip-hold", "response"),
                    ("grip-channel", &*named),
                    ("grip-timeout", "20"),
                ];
                Ok(reply(200, &hold, "timeout"))
            }
        });
        let waiting = origin.waiting(&edge).await;
        let poll = tokio::spawn(waiting.done());
        for word in (begun + 1..=rows)
            .map(|n| format!("s{n}"))
            .chain((2..=rows).map(|n| format!("r{n}")))
        {
            publish(&edge, message(&word)).await;
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(text(poll.await.expect("no panic")).await, "timeout", "{rows}");
    }
}
