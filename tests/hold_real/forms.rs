//! A publisher that says a message form by form, as the GRIP libraries' `publish_http_stream` and `publish_http_response` do, and
//! makes a call once more that was not answered in time.

use std::time::Duration;

use gripstack::{Edge, Publication};
use tokio::time::sleep;

use crate::hold_support::seeds::*;
use crate::hold_support::*;

fn stream_form(n: u32) -> gripstack::Message {
    with_ids(&n.to_string(), &n.to_string(), &(n - 1).to_string())
}

fn response_form(n: u32) -> gripstack::Message {
    identified(
        answer(200, &[], &n.to_string()),
        &n.to_string(),
        &(n - 1).to_string(),
    )
}

/// Each call is a task of a queue; that of the stream form of 5 was accepted, but its worker heard no answer: it is made again.
/// "An item with the id, the predecessor and the content of one that the log has [...] is that one said once more" (rules.md, D1).
#[tokio::test(start_paused = true)]
async fn d1_a_form_is_said_once_more_whatever_form_came_between() {
    for named in ["t", "t; prev-id=4"] {
        let edge = Edge::new();
        publish(&edge, stream_form(4)).await;
        let origin = Origin::new(move |_, _| async move {
            Ok(reply(
                200,
                &[("grip-hold", "stream"), ("grip-channel", named)],
                "",
            ))
        });
        let mut held = origin.get(&edge).await.into_body();
        publish(&edge, stream_form(5)).await;
        publish(&edge, response_form(5)).await;
        sleep(Duration::from_secs(2)).await;
        publish(&edge, stream_form(6)).await;
        publish(&edge, response_form(6)).await;
        sleep(Duration::from_secs(1)).await;
        publish(&edge, stream_form(5)).await;
        sleep(Duration::from_secs(20)).await;
        assert_eq!(ready(&mut held), ["5", "6"], "{named}");
    }
}

/// The calls of two messages overtake each other, form by form: those of 6 come before those of 5. The second form of what waits
/// is not the first one said once more: who waits for it by a long poll gets it (the promise).
#[tokio::test(start_paused = true)]
async fn d1_each_form_of_what_waits_reaches_its_holds() {
    let edge = Edge::new();
    publish(&edge, stream_form(4)).await;
    publish(&edge, response_form(4)).await;
    let origin = Origin::fixed(
        200,
        &[
            ("grip-hold", "response"),
            ("grip-channel", "t"),
            ("grip-timeout", "30"),
        ],
        "timeout",
    );
    let mut calls = tokio::task::JoinSet::new();
    for message in [stream_form(6), response_form(6), stream_form(5)] {
        let edge = edge.clone();
        calls.spawn(async move { publish(&edge, message).await });
        sleep(Duration::from_millis(5)).await;
    }
    let waiting = origin.waiting(&edge).await;
    let poll = tokio::spawn(waiting.done());
    sleep(Duration::from_millis(5)).await;
    // Sent before 6 was, were both forms in one call.
    publish(&edge, response_form(5)).await;
    assert_eq!(text(poll.await.expect("no panic")).await, "5");
    while let Some(done) = calls.join_next().await {
        done.expect("no panic");
    }
    sleep(Duration::from_secs(20)).await;
    let forms = forms_of_6(&edge).await;
    assert_eq!(forms, ["stream 6", "response 6"]);
}

/// What of 6 the log has: a hold that is made of an old answer replays it.
async fn forms_of_6(edge: &Edge) -> Vec<String> {
    use gripstack::hub::Delivery;
    use gripstack::hub::Wants;
    let hub = edge.hub();
    let mut forms = Vec::new();
    for (wants, name) in [(Wants::Stream, "stream"), (Wants::Response, "response")] {
        let from = hub.stamp_at(gripstack::Position::ZERO);
        let mut all = match hub.subscribe(&[channel("t")], from, wants) {
            Ok(all) => all,
            Err(error) => error.anyway(),
        };
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        while let std::task::Poll::Ready(Delivery::Message { message, .. }) = all.poll_next(&mut cx) {
            if message.id.as_deref() == Some("6") {
                forms.push(format!("{name} 6"));
            }
        }
    }
    forms
}

/// Two workers, one of which makes the calls of all stream forms, the other those of all response forms: each in order, and at its
/// own pace. Whoever is held by a stream gets each once and in order.
#[test]
fn d2_the_other_form_of_a_message_may_come_later() {
    worlds(2_000, 20_000, |seed| {
        paused(async {
            let mut dice = Dice::new(seed);
            let edge = Edge::new();
            publish(&edge, stream_form(4)).await;
            let retries = dice.one_in(2);
            let origin = Origin::fixed(
                200,
                &[("grip-hold", "stream"), ("grip-channel", "t; prev-id=4")],
                "",
            );
            let mut held = origin.get(&edge).await.into_body();
            let (mut streams, mut responses, mut story, mut got) = (5, 4, vec![], Vec::new());
            while streams < 16 {
                sleep(Duration::from_millis([1, 400, 3_000][dice.roll(3) as usize])).await;
                let of_stream = dice.one_in(2) || responses == streams - 1;
                if of_stream {
                    story.push(format!("s{streams}"));
                    publish(&edge, stream_form(streams)).await;
                    if retries && dice.one_in(3) {
                        publish(&edge, stream_form(streams)).await;
                    }
                    streams += 1;
                } else {
                    responses += 1;
                    story.push(format!("r{responses}"));
                    publish(&edge, response_form(responses)).await;
                }
                let new = ready(&mut held);
                story.extend(new.iter().map(|text| format!("={text}")));
                got.extend(new);
                let want: Vec<_> = (5..streams).map(|n| n.to_string()).collect();
                if !want.starts_with(&got) {
                    return Err(format!("seed {seed}: {got:?} {}", story.join(" ")));
                }
            }
            sleep(Duration::from_secs(20)).await;
            got.extend(ready(&mut held));
            let want: Vec<_> = (5..streams).map(|n| n.to_string()).collect();
            if got == want {
                Ok(())
            } else {
                Err(format!("seed {seed}: {got:?} {}", story.join(" ")))
            }
        })
    });
}

/// A stream whose body names 1: what it gets of these calls, `r` and `s` for the forms, with this long between them.
async fn stream_gets(edge: &Edge, calls: &[(char, u32)], pause: Duration) -> Vec<String> {
    let origin = Origin::fixed(
        200,
        &[("grip-hold", "stream"), ("grip-channel", "t; prev-id=1")],
        "",
    );
    let mut held = origin.get(edge).await.into_body();
    let mut tasks = tokio::task::JoinSet::new();
    let mut got = Vec::new();
    for (form, n) in calls.iter().copied() {
        let edge = edge.clone();
        tasks.spawn(async move { publish(&edge, form_of(form, n)).await });
        sleep(pause).await;
        got.extend(ready(&mut held));
    }
    for _ in 0..30 {
        sleep(Duration::from_secs(1)).await;
        got.extend(ready(&mut held));
    }
    got
}

fn form_of(form: char, n: u32) -> gripstack::Message {
    match form {
        's' => stream_form(n),
        _ => response_form(n),
    }
}

/// Where the log knows the first one, and where it is fresh, or has forgotten all.
async fn edges() -> [Edge; 2] {
    let known = Edge::new();
    for form in ['s', 'r'] {
        publish(&known, form_of(form, 1)).await;
    }
    [known, Edge::new()]
}

/// One loop says the forms for polls of all rows, another one those for streams.
#[tokio::test(start_paused = true)]
async fn d2_the_forms_of_many_messages_may_come_after_all_others_of_them() {
    for edge in edges().await {
        let calls = ['r', 's'].map(|form| [2, 3, 4].map(|n| (form, n))).concat();
        let got = stream_gets(&edge, &calls, Duration::from_millis(100)).await;
        assert_eq!(got, ["2", "3", "4"]);
    }
    for edge in edges().await {
        let origin = Origin::fixed(
            200,
            &[
                ("grip-hold", "response"),
                ("grip-channel", "t; prev-id=1"),
                ("grip-timeout", "30"),
            ],
            "timeout",
        );
        let waiting = origin.waiting(&edge).await;
        let poll = tokio::spawn(waiting.done());
        for (form, n) in ['s', 'r'].map(|form| [2, 3, 4].map(|n| (form, n))).concat() {
            publish(&edge, form_of(form, n)).await;
            sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(text(poll.await.expect("no panic")).await, "2");
    }
}

/// Two processes, whose calls overtake each other: those for streams come in the other order, within the time that they are waited
/// for.
#[tokio::test(start_paused = true)]
async fn d2_a_form_waits_for_that_of_the_message_before() {
    for edge in edges().await {
        let calls = [('r', 2), ('r', 3), ('r', 4), ('s', 4), ('s', 3), ('s', 2)];
        let got = stream_gets(&edge, &calls, Duration::from_millis(50)).await;
        assert_eq!(got, ["2", "3", "4"]);
    }
}

/// It need not come: many a message has one form only.
#[tokio::test(start_paused = true)]
async fn d2_a_form_does_not_wait_long_for_one_that_is_not_said() {
    let [edge, _] = edges().await;
    let origin = Origin::fixed(
        200,
        &[("grip-hold", "stream"), ("grip-channel", "t; prev-id=1")],
        "",
    );
    let mut held = origin.get(&edge).await.into_body();
    for (form, n) in [('r', 2), ('r', 3), ('s', 3)] {
        publish(&edge, form_of(form, n)).await;
    }
    publish(&edge, bytes("after it")).await;
    publish(&edge, stream_form(4)).await;
    assert!(ready(&mut held).is_empty());
    sleep(Duration::from_millis(201)).await;
    assert_eq!(ready(&mut held), ["3", "after it", "4"]);
}

/// One process that makes one call after the other, first the one for polls. Both of 2 fail.
#[tokio::test(start_paused = true)]
async fn d2_what_is_given_up_on_goes_out_in_order_form_by_form() {
    for [first, second] in [['r', 's'], ['s', 'r']] {
        for pause in [10, 300, 1_000].map(Duration::from_millis) {
            for edge in edges().await {
                let calls: Vec<_> = (3..=6).flat_map(|n| [(first, n), (second, n)]).collect();
                let got = stream_gets(&edge, &calls, pause).await;
                assert_eq!(got, ["3", "4", "5", "6"], "{first} {pause:?}");
            }
        }
    }
}

/// The body has 3, whose calls overtake those of 2 on a channel that knows no ids, or by more than what is waited for.
#[tokio::test(start_paused = true)]
async fn d2_what_the_body_contains_is_not_sent_in_its_other_form() {
    for late in [10, 6_000].map(Duration::from_millis) {
        for [first, second] in [['r', 's'], ['s', 'r']] {
            let edge = Edge::new();
            for form in [first, second] {
                publish(&edge, form_of(form, 3)).await;
            }
            let origin = Origin::of(&edge, |edge, _| async move {
                let hold = [("grip-hold", "stream"), ("grip-channel", "t; prev-id=3")];
                Ok(old(&edge, reply(200, &hold, "")))
            });
            let mut held = origin.get(&edge).await.into_body();
            sleep(late).await;
            for (form, n) in [(first, 2), (second, 2), (first, 4), (second, 4)] {
                publish(&edge, form_of(form, n)).await;
            }
            sleep(Duration::from_secs(20)).await;
            assert_eq!(ready(&mut held), ["4"], "{first} {late:?}");
        }
    }
}

/// A worker for each form of the states of a channel; one of its calls is made again.
#[tokio::test(start_paused = true)]
async fn d2a_a_state_that_was_replaced_is_not_said_again_in_one_of_its_forms() {
    for calls in [
        "s2 s3 r2 s2 r3",
        "s2 s3 r2 s3 r3",
        "s2 s3 r2 r3 s3",
        "s2 s3 r2 r3 s2",
    ] {
        for links in [true, false] {
            let edge = Edge::new();
            let origin = Origin::fixed(200, &[("grip-hold", "stream"), ("grip-channel", "t")], "");
            let mut held = origin.get(&edge).await.into_body();
            let mut got = Vec::new();
            for call in calls.split(' ') {
                let (form, n) = call.split_at(1);
                let mut message = form_of(form.chars().next().expect("a form"), n.parse().expect("a number"));
                message.prev_id = message.prev_id.filter(|_| links);
                let state = Publication::new(channel("t"), message).latest();
                edge.submit([state].into_iter().collect())
                    .await
                    .expect("accepted");
                got.extend(ready(&mut held));
            }
            assert_eq!(got, ["2", "3"], "{calls} {links}");
        }
    }
}
