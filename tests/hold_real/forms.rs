//! A publisher that says a message form by form, as the GRIP libraries' `publish_http_stream` and `publish_http_response` do, and
//! makes a call once more that was not answered in time.

use std::time::Duration;

use gripstack::Edge;
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
