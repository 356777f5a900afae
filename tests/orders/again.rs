//! Publishers that say the same ids again: what real ones do.

use std::time::Duration;

use gripstack::Edge;
use gripstack::publish::{PublishConfig, Rule};

use crate::alone::{log, stream};
use crate::hold_support::{publish, ready, with_ids};

fn texts(body: &mut gripstack::EdgeBody) -> Vec<String> {
    ready(body)
        .into_iter()
        .filter(|text| !text.trim().is_empty())
        .collect()
}

/// A switch whose ids are its values' (an `ETag`), each with the one before it. The edge began after it did (or forgot the
/// channel, 15 min being over), so it does not know the first predecessor. The third value follows the channel's last item: it came back,
/// and is no repeat (D1, "Not so if it follows the channel's last item (a value that came back)"; the promise).
#[tokio::test(start_paused = true)]
async fn d1_a_value_that_comes_back_is_not_lost_where_the_first_predecessor_is_not_known() {
    let edge = Edge::new();
    let mut response = stream(&edge).await;
    for (id, prev_id) in [("off", "on"), ("on", "off"), ("off", "on")] {
        publish(&edge, with_ids(id, id, prev_id)).await;
        tokio::time::sleep(Duration::from_secs(120)).await;
    }
    let got = texts(response.body_mut());
    assert_eq!(got, ["off", "on", "off"], "log {:?}", log(&edge));
}

/// The same where the hold has been there all the time, and the switch rested for longer than the log remembers: the first value after
/// that follows the channel's last item, which nobody missed.
#[tokio::test(start_paused = true)]
async fn d1_a_value_that_comes_back_is_not_lost_after_a_night() {
    let edge = Edge::new();
    let mut response = stream(&edge).await;
    let mut got = Vec::new();
    publish(&edge, with_ids("on", "on", "off")).await;
    got.extend(texts(response.body_mut()));
    tokio::time::sleep(Duration::from_secs(8 * 3_600)).await;
    // Others publish: what is old is forgotten.
    let other = gripstack::Order::publish(crate::alone::channel("other"), gripstack::Message::bytes("x"));
    edge.submit(other).await.expect("accepted");
    got.extend(texts(response.body_mut()));
    for (id, prev_id) in [("off", "on"), ("on", "off"), ("off", "on")] {
        publish(&edge, with_ids(id, id, prev_id)).await;
        got.extend(texts(response.body_mut()));
        tokio::time::sleep(Duration::from_secs(120)).await;
        got.extend(texts(response.body_mut()));
    }
    assert_eq!(got, ["on", "off", "on", "off"]);
}

/// A counter in memory begins again at 1, and does not wait for its answers (a thread each, a queue). Its calls come in their order:
/// so they go out (D1: "what need not wait any more goes out in the order in which it came"), and the last one is the last that a client gets.
#[tokio::test(start_paused = true)]
async fn d1_what_begins_again_at_one_keeps_its_order_though_nobody_waits_for_answers() {
    for first in ["", "0"] {
        let edge = Edge::new();
        let mut connected = stream(&edge).await;
        for n in 1..=5 {
            publish(
                &edge,
                with_ids(&format!("a{n}"), &n.to_string(), &(n - 1).to_string()),
            )
            .await;
        }
        tokio::time::sleep(Duration::from_secs(300)).await;
        let mut fresh = stream(&edge).await;
        for n in 1..=3u32 {
            let prev_id = if n == 1 {
                first.to_owned()
            } else {
                (n - 1).to_string()
            };
            let message = with_ids(&format!("b{n}"), &n.to_string(), &prev_id);
            let order = gripstack::Order::publish(crate::alone::channel("t"), message);
            let _ = edge.accept(order).await.expect("accepted");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        tokio::time::sleep(Duration::from_secs(30)).await;
        let fresh = texts(fresh.body_mut());
        let connected = texts(connected.body_mut());
        assert_eq!(
            (&fresh[..], &connected[5..]),
            (
                &["b1", "b2", "b3"].map(String::from)[..],
                &["b1", "b2", "b3"].map(String::from)[..]
            ),
            "first {first:?}, log {:?}",
            log(&edge)
        );
    }
}

/// A counter of states that begins again at 1 within its channel's interval: the last that is said is the last that is sent (D2a; rules.md D1:
/// "With the same id and another predecessor or content it is another item: of a counter that began again").
#[tokio::test(start_paused = true)]
async fn d2a_the_last_of_states_that_began_again_at_one_is_sent() {
    let mut bad = Vec::new();
    for (interval, pause) in [(1_000, 300), (1_000, 1_200), (30_000, 5_000)] {
        for with_prev in [true, false] {
            let edge = Edge::new();
            let rule = Rule::latest().interval(Duration::from_millis(interval));
            let publisher = edge.publisher(PublishConfig::new().rule(rule));
            let mut response = stream(&edge).await;
            for (run, last) in [("a", 50), ("b", 3)] {
                for n in 1..=last {
                    let prev_id = if with_prev {
                        (n - 1).to_string()
                    } else {
                        String::new()
                    };
                    let message = with_ids(&format!("{run}{n}"), &n.to_string(), &prev_id);
                    publisher.publish("t", message).await.expect("accepted");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            tokio::time::sleep(Duration::from_secs(600)).await;
            let got = texts(response.body_mut());
            if got.last().map(|text| &**text) != Some("b3") {
                bad.push(format!("interval {interval} ms, with_prev {with_prev}: {got:?}"));
            }
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

fn answer(n: u32) -> gripstack::Message {
    gripstack::Message::response(gripstack::message::PushedResponse::new(n.to_string()))
        .with_id(n.to_string())
        .with_prev_id((n - 1).to_string())
}

/// As the GRIP libraries' `publish_http_stream` and `publish_http_response`, one call each under one id. One call is sent again, for its answer
/// did not come in time, and others went on: it has the id, the predecessor and the content of one that the log has, so it is not
/// appended (rules.md D1), and who holds a stream gets it once (D2: "with ids exactly once").
#[tokio::test(start_paused = true)]
async fn d1_what_is_said_form_by_form_and_sent_again_is_not_there_twice() {
    for prev in [true, false] {
        let edge = Edge::new();
        let say = |n: u32| {
            with_ids(
                &n.to_string(),
                &n.to_string(),
                &if prev { (n - 1).to_string() } else { String::new() },
            )
        };
        let form = |n: u32| {
            let mut message = answer(n);
            message.prev_id.take_if(|_| !prev);
            message
        };
        let mut connected = stream(&edge).await;
        for n in 1..=6 {
            publish(&edge, say(n)).await;
            publish(&edge, form(n)).await;
        }
        publish(&edge, say(5)).await;
        publish(&edge, say(7)).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        let got = texts(connected.body_mut());
        assert_eq!(
            got,
            ["1", "2", "3", "4", "5", "6", "7"],
            "prev {prev}: log {:?}",
            log(&edge)
        );
        let times = log(&edge).iter().filter(|id| *id == "5").count();
        assert_eq!(times, 1, "prev {prev}: log of streams {:?}", log(&edge));
    }
}

/// A stream of `t` whose body names this id.
async fn stream_of(
    edge: &Edge,
    body: &'static str,
    id: Option<&'static str>,
) -> http::Response<gripstack::EdgeBody> {
    let origin = crate::hold_support::Origin::new(move |_, _| async move {
        let named = id.map_or("t".to_owned(), |id| format!("t; prev-id={id}"));
        Ok(crate::hold_support::reply(
            200,
            &[("grip-hold", "stream"), ("grip-channel", &named)],
            body,
        ))
    });
    let mut response = origin.get(edge).await;
    assert_eq!(ready(response.body_mut()), [body]);
    response
}

/// A switch whose ids are its values'. The edge has begun after it: the first thing that it hears is `off`, which names `on`. A client comes then, and
/// `on` is said, which follows `off`: accepted after the body was made, so the client gets it (the promise, C6, D1). It does not come late: it
/// follows the channel's last item.
#[tokio::test(start_paused = true)]
async fn d1_a_value_that_was_a_missing_predecessor_once_is_news_when_it_is_said() {
    for named in [None, Some("off")] {
        let edge = Edge::new();
        publish(&edge, with_ids("off", "off", "on")).await;
        let mut response = stream_of(&edge, "off", named).await;
        publish(&edge, with_ids("on", "on", "off")).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(
            texts(response.body_mut()),
            ["on"],
            "body names {named:?}, log {:?}",
            log(&edge)
        );
    }
}

/// A counter whose call 7 was lost for ever begins again at 1, and comes to 7: that is news to who came in between (the promise, D1).
#[tokio::test(start_paused = true)]
async fn d1_an_id_that_was_lost_in_another_run_is_news_in_this_one() {
    for named in [None, Some("9")] {
        for first in ["", "0"] {
            let edge = Edge::new();
            for n in (1..=9).filter(|n| *n != 7) {
                publish(
                    &edge,
                    with_ids(&format!("a{n}"), &n.to_string(), &(n - 1).to_string()),
                )
                .await;
            }
            let mut response = stream_of(&edge, "a9", named).await;
            tokio::time::sleep(Duration::from_secs(300)).await;
            let mut got = Vec::new();
            for n in 1..=9u32 {
                let prev_id = if n == 1 {
                    first.to_owned()
                } else {
                    (n - 1).to_string()
                };
                publish(&edge, with_ids(&format!("b{n}"), &n.to_string(), &prev_id)).await;
                got.extend(texts(response.body_mut()));
            }
            tokio::time::sleep(Duration::from_secs(30)).await;
            got.extend(texts(response.body_mut()));
            let expected: Vec<String> = (1..=9).map(|n| format!("b{n}")).collect();
            assert_eq!(
                got,
                expected,
                "body names {named:?}, first {first:?}, log {:?}",
                log(&edge)
            );
        }
    }
}

/// A counter in memory begins again at 1, a message a second (or ten). A client's body names the last id of the run before. It gets all of the
/// new run (the promise, D1, D2).
#[tokio::test(start_paused = true)]
async fn d1_a_run_that_begins_again_comes_whole_though_the_body_names_an_id_that_comes_back() {
    let mut bad = Vec::new();
    for (named, pause, first) in [
        ("5", 0, "0"),
        ("5", 1_000, "0"),
        ("5", 10_000, "0"),
        ("5", 0, ""),
        ("5", 1_000, ""),
        ("5", 10_000, ""),
    ] {
        let edge = Edge::new();
        for n in 1..=5 {
            publish(
                &edge,
                with_ids(&format!("a{n}"), &n.to_string(), &(n - 1).to_string()),
            )
            .await;
        }
        let mut response = stream_of(&edge, "a5", Some(named)).await;
        tokio::time::sleep(Duration::from_secs(300)).await;
        let mut got = Vec::new();
        for n in 1..=9u32 {
            let prev_id = if n == 1 {
                first.to_owned()
            } else {
                (n - 1).to_string()
            };
            publish(&edge, with_ids(&format!("b{n}"), &n.to_string(), &prev_id)).await;
            got.extend(texts(response.body_mut()));
            tokio::time::sleep(Duration::from_millis(pause)).await;
            got.extend(texts(response.body_mut()));
        }
        tokio::time::sleep(Duration::from_secs(30)).await;
        got.extend(texts(response.body_mut()));
        let expected: Vec<String> = (1..=9).map(|n| format!("b{n}")).collect();
        if got != expected {
            bad.push(format!("pause {pause}, first {first:?}: {got:?}"));
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

/// The smallest: `publish_http_stream` and `publish_http_response` for each of three states, their calls swapped on the way, within one interval. Each
/// form's newest waits for its turn, and is sent (D2a; `Rule::latest`: "the last one always").
#[tokio::test(start_paused = true)]
async fn d2a_no_form_is_lost_where_states_said_form_by_form_overtake_each_other() {
    let mut bad = Vec::new();
    for calls in [
        "s3 s1 r2 r3 r1 s2",
        "s3 r1 s1 s2 r3 r2",
        "s2 r2 s1 r1 s3 r3",
        "s1 r1 s3 r2 s2 r3",
        "r1 s1 r3 s3 r2 s2",
        "s1 r1 s3 r3 s2 r2",
    ] {
        let edge = Edge::new();
        let publisher = edge.publisher(PublishConfig::new().rule(Rule::latest()));
        let mut response = stream(&edge).await;
        let mut polls = edge
            .hub()
            .subscribe(
                &[crate::alone::channel("t")],
                edge.hub().stamp_at(gripstack::Position::ZERO),
                gripstack::hub::Wants::Response,
            )
            .expect("no gap");
        publisher
            .publish("t", with_ids("0", "0", ""))
            .await
            .expect("accepted");
        for call in calls.split(' ') {
            let n: u32 = call[1..].parse().expect("a number");
            let message = match &call[..1] {
                "s" => with_ids(&n.to_string(), &n.to_string(), &(n - 1).to_string()),
                _ => answer(n),
            };
            publisher.publish("t", message).await.expect("accepted");
        }
        tokio::time::sleep(Duration::from_secs(12)).await;
        let last = texts(response.body_mut()).pop();
        let mut poll = None;
        while let std::task::Poll::Ready(gripstack::hub::Delivery::Message { message, .. }) =
            crate::alone::once(polls.next())
        {
            poll = message.id.as_deref().map(str::to_owned);
        }
        if (last.as_deref(), poll.as_deref()) != (Some("3"), Some("3")) {
            bad.push(format!("{calls}: streams end on {last:?}, polls on {poll:?}"));
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

/// A counter whose call 7 was lost for ever began again at 1. A client comes when it is at 6: 7 and what follows are news to it (the promise), and
/// come to the log in order, so nothing of it is late.
#[tokio::test(start_paused = true)]
async fn d1_an_id_that_was_lost_in_another_run_is_news_to_who_came_just_before_it() {
    for named in [None, Some("6"), Some("5")] {
        let edge = Edge::new();
        for n in (1..=9).filter(|n| *n != 7) {
            publish(
                &edge,
                with_ids(&format!("a{n}"), &n.to_string(), &(n - 1).to_string()),
            )
            .await;
        }
        tokio::time::sleep(Duration::from_secs(300)).await;
        for n in 1..=6u32 {
            let prev_id = if n == 1 {
                String::new()
            } else {
                (n - 1).to_string()
            };
            publish(&edge, with_ids(&format!("b{n}"), &n.to_string(), &prev_id)).await;
        }
        let mut response = stream_of(&edge, "b6", named).await;
        let mut got = Vec::new();
        for n in 7..=9u32 {
            publish(
                &edge,
                with_ids(&format!("b{n}"), &n.to_string(), &(n - 1).to_string()),
            )
            .await;
            got.extend(texts(response.body_mut()));
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        got.extend(texts(response.body_mut()));
        assert_eq!(got, ["b7", "b8", "b9"], "body names {named:?}");
    }
}

/// Values with ids of their own, each with the one before it. The call of `d` was lost for ever, all others come in their order: `a` waits for `d`, and `b`,
/// which follows it, waits as well (rules.md D1: "has not the predecessor that the item names, or that waits itself"). The last one is the last.
#[tokio::test(start_paused = true)]
async fn d1_what_follows_a_value_that_waits_waits_though_the_log_has_one_with_its_id() {
    let edge = Edge::new();
    let mut response = stream(&edge).await;
    for (n, (id, prev_id)) in [("a", ""), ("b", "a"), ("c", "b"), ("a", "d"), ("b", "a")]
        .into_iter()
        .enumerate()
    {
        let message = with_ids(&format!("{id}{n}"), id, prev_id);
        let order = gripstack::Order::publish(crate::alone::channel("t"), message);
        let _ = edge.accept(order).await.expect("accepted");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    let got = texts(response.body_mut());
    assert_eq!(got, ["a0", "b1", "c2", "a3", "b4"], "log {:?}", log(&edge));
}

/// `publish_http_stream` and `publish_http_response` for each message, in order, and one message's calls were lost for ever: each form of the next one
/// is accepted, and reaches those who wait for it ("every message at once and in order", the promise).
#[tokio::test(start_paused = true)]
async fn d1_both_forms_of_what_waits_are_sent() {
    let edge = Edge::new();
    let mut polls = edge
        .hub()
        .subscribe(
            &[crate::alone::channel("t")],
            edge.hub().stamp_at(gripstack::Position::ZERO),
            gripstack::hub::Wants::Response,
        )
        .expect("no gap");
    for n in [1, 3, 4] {
        for message in [
            with_ids(&n.to_string(), &n.to_string(), &(n - 1).to_string()),
            answer(n),
        ] {
            let order = gripstack::Order::publish(crate::alone::channel("t"), message);
            let _ = edge.accept(order).await.expect("accepted");
        }
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    let mut got = Vec::new();
    while let std::task::Poll::Ready(gripstack::hub::Delivery::Message { message, .. }) =
        crate::alone::once(polls.next())
    {
        got.push(message.id.as_deref().expect("id").to_owned());
    }
    assert_eq!(got, ["1", "3", "4"], "what polls are answered with");
}

/// States whose ids are their values', within one interval. The call of `d` was lost for ever, all others come in their order: the last that came is the
/// last that is sent (D2a; rules.md D1: with another predecessor or content it is another item).
#[tokio::test(start_paused = true)]
async fn d2a_a_state_that_comes_back_after_one_that_was_lost_is_sent() {
    let edge = Edge::new();
    let publisher = edge.publisher(PublishConfig::new().rule(Rule::latest()));
    let mut response = stream(&edge).await;
    for (n, (id, prev_id)) in [("a", ""), ("b", "a"), ("c", "b"), ("a", "d")]
        .into_iter()
        .enumerate()
    {
        let message = with_ids(&format!("{id}{n}"), id, prev_id);
        publisher.publish("t", message).await.expect("accepted");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    let got = texts(response.body_mut());
    assert_eq!(got.last().map(|text| &**text), Some("a3"), "{got:?}");
}
