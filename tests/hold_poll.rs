//! Response holds (long polls).
#![cfg(all(feature = "hold", feature = "testing"))]

mod hold_support;

use std::time::Duration;

use gripstack::hold::EndReason;
use gripstack::{DrainSignal, Edge, Message, Order, Position, Publication};
use http::Method;
use tokio::time::{Instant, advance};

use hold_support::*;

fn get_request() -> http::Request<gripstack::EdgeBody> {
    request(Method::GET, "/", &[])
}

/// Publishes an answer with ids.
async fn publish_answer(edge: &Edge, body: &str, id: &str, prev_id: &str) -> Position {
    publish(edge, identified(answer(200, &[], body), id, prev_id)).await
}

#[tokio::test(start_paused = true)]
async fn l01_a_message_is_the_answer_without_inherited_validators() {
    let edge = Edge::new();
    let origin = Origin::fixed(
        200,
        &[
            ("grip-hold", "response"),
            ("grip-channel", "t"),
            ("content-type", "text/plain"),
            ("x-foo", "bar"),
            ("etag", "\"1\""),
            ("last-modified", "Thu, 01 Jan 1998 00:00:00 GMT"),
            ("cache-control", "max-age=60"),
            ("age", "0"),
            ("expires", "Thu, 01 Jan 2032 00:00:00 GMT"),
            ("content-encoding", "gzip"),
            ("content-length", "8"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
        ],
        "nothing\n",
    );
    let service = origin.held(edge.hold_layer());
    let mut waiting = start(&service, get_request());
    assert!(waiting.now().await.is_none());
    assert_eq!(subscriptions(&edge), 1);
    publish(
        &edge,
        answer(
            201,
            &[("x-foo", "new"), ("X-Bar", "1"), ("content-length", "99")],
            "hi\n",
        ),
    )
    .await;
    let response = waiting.now().await.expect("answered");
    assert_eq!(response.status(), 201);
    let mut headers: Vec<_> = response
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    headers.sort_unstable();
    let expected = [
        ("cache-control", "no-store"),
        ("content-length", "3"),
        ("content-type", "text/plain"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("x-bar", "1"),
        ("x-foo", "new"),
    ];
    assert_eq!(headers, expected);
    assert_eq!(ended(&response).reason(), Some(EndReason::Answered));
    assert_eq!(text(response).await, "hi\n");
    assert_eq!(subscriptions(&edge), 0, "released before the answer is read");
}

#[tokio::test(start_paused = true)]
async fn l01_a_message_brings_its_own_validators() {
    let edge = Edge::new();
    let mut waiting = Origin::polls("nothing\n").waiting(&edge).await;
    publish(
        &edge,
        answer(200, &[("etag", "\"2\""), ("cache-control", "max-age=1")], "hi\n"),
    )
    .await;
    let response = waiting.now().await.expect("answered");
    assert_eq!(header(&response, "etag"), Some("\"2\""));
    assert_eq!(header(&response, "cache-control"), Some("max-age=1"));
}

#[tokio::test(start_paused = true)]
async fn l02_i07_i08_at_the_timeout_the_origins_own_response() {
    for (timeout, seconds) in [(None, 55), (Some("0"), 5), (Some("20"), 20)] {
        let origin = Origin::new(move |_, _| async move {
            let mut response = poll("nothing\n");
            response.headers_mut().insert("etag", "\"1\"".parse()?);
            response.headers_mut().insert("x-a", "1".parse()?);
            if let Some(timeout) = timeout {
                response.headers_mut().insert("grip-timeout", timeout.parse()?);
            }
            Ok(response)
        });
        let edge = Edge::new();
        let begun = Instant::now();
        let response = origin.start(&edge).done().await;
        assert_eq!(begun.elapsed().as_secs(), seconds);
        assert_eq!(response.status(), 200);
        assert!(!gripstack::grip::has_grip(response.headers()));
        assert_eq!(header(&response, "x-a"), Some("1"));
        assert_eq!(header(&response, "etag"), None);
        assert_eq!(header(&response, "cache-control"), Some("no-store"));
        assert_eq!(header(&response, "content-length"), Some("8"));
        assert_eq!(ended(&response).reason(), Some(EndReason::Timeout));
        assert_eq!(text(response).await, "nothing\n");
        assert_eq!(subscriptions(&edge), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn i33_a_coded_body_is_relayed_as_it_is_and_a_message_is_not_coded() {
    let origin = Origin::fixed(
        200,
        &[
            ("grip-hold", "response"),
            ("grip-channel", "t"),
            ("content-encoding", "gzip"),
        ],
        "coded",
    );
    let edge = Edge::new();
    let service = origin.held(edge.hold_layer());
    let waiting = start(&service, get_request());
    advance(Duration::from_secs(56)).await;
    let response = waiting.done().await;
    assert_eq!(header(&response, "content-encoding"), Some("gzip"));
    assert_eq!(text(response).await, "coded");
    let mut waiting = start(&service, get_request());
    assert!(waiting.now().await.is_none());
    publish(&edge, answer(200, &[], "plain")).await;
    let response = waiting.done().await;
    assert_eq!(header(&response, "content-encoding"), None);
    assert_eq!(text(response).await, "plain");
}

#[tokio::test(start_paused = true)]
async fn l03_l04_grip_headers_of_a_message_are_stripped_and_mean_nothing() {
    let edge = Edge::new();
    let mut waiting = Origin::polls("nothing\n").waiting(&edge).await;
    let headers = [
        ("Grip-Zed", "1"),
        ("Grip-Expose-Headers", "X-A"),
        ("X-A", "1"),
        ("X-B", "2"),
    ];
    publish(&edge, answer(200, &headers, "hi")).await;
    let response = waiting.now().await.expect("answered");
    assert!(!gripstack::grip::has_grip(response.headers()));
    assert_eq!(
        (header(&response, "x-a"), header(&response, "x-b")),
        (Some("1"), Some("2"))
    );
}

#[tokio::test(start_paused = true)]
async fn l07_l08_what_is_for_streams_does_not_concern_it() {
    let edge = Edge::new();
    let mut waiting = Origin::polls("nothing\n").waiting(&edge).await;
    publish(&edge, Message::bytes("x")).await;
    publish(&edge, close()).await;
    assert!(waiting.now().await.is_none());
    publish(&edge, answer(200, &[], "hi")).await;
    assert_eq!(text(waiting.now().await.expect("answered")).await, "hi");
}

#[tokio::test(start_paused = true)]
async fn l09_a_hint_asks_the_origin_now() {
    let edge = Edge::new();
    let origin = Origin::new(|number, _| async move {
        Ok(match number {
            1 => poll("nothing\n"),
            2 => poll("still nothing\n"),
            _ => reply(200, &[("etag", "\"3\"")], "news\n"),
        })
    });
    let mut waiting = origin.waiting(&edge).await;
    let first = publish(&edge, hint()).await;
    // Its answer is a hold of its own.
    assert!(waiting.now().await.is_none());
    assert_eq!((origin.calls(), origin.at_least(2)), (2, first));
    assert_eq!(subscriptions(&edge), 1);
    let second = publish(&edge, hint()).await;
    let response = waiting.now().await.expect("answered");
    assert_eq!((origin.calls(), origin.at_least(3)), (3, second));
    assert_eq!(header(&response, "etag"), Some("\"3\""), "an ordinary response");
    assert_eq!(text(response).await, "news\n");
    assert_eq!(subscriptions(&edge), 0);
}

#[tokio::test(start_paused = true)]
async fn l09_a_message_after_a_hint_is_not_lost_while_the_origin_is_asked() {
    let edge = Edge::new();
    let origin = Origin::of(&edge, |edge, number| async move {
        if number == 2 {
            publish(&edge, answer(200, &[], "hi")).await;
        }
        Ok(poll("nothing\n"))
    });
    let mut waiting = origin.waiting(&edge).await;
    publish(&edge, hint()).await;
    assert_eq!(text(waiting.now().await.expect("answered")).await, "hi");
}

#[tokio::test(start_paused = true)]
async fn l09_hints_are_obeyed_a_bounded_number_of_times() {
    let edge = Edge::new();
    let origin = Origin::polls("nothing\n");
    let mut waiting = origin.start(&edge);
    for _ in 0..30 {
        assert!(waiting.now().await.is_none());
        publish(&edge, hint()).await;
    }
    assert!(waiting.now().await.is_none());
    assert_eq!(origin.calls(), 11);
    publish(&edge, answer(200, &[], "hi")).await;
    assert_eq!(text(waiting.now().await.expect("answered")).await, "hi");
}

#[tokio::test(start_paused = true)]
async fn l09_with_the_origin_down_a_hint_is_answered_by_its_failure() {
    let edge = Edge::new();
    let origin = Origin::new(|number, _| async move {
        Ok(match number {
            1 => poll("nothing\n"),
            _ => reply(503, &[], "down\n"),
        })
    });
    let mut waiting = origin.waiting(&edge).await;
    publish(&edge, hint()).await;
    assert_eq!(waiting.now().await.expect("answered").status(), 503);
}

fn with_prev_id(prev_id: &'static str) -> http::Response<gripstack::EdgeBody> {
    let channel = format!("t; prev-id={prev_id}");
    reply(
        200,
        &[("grip-hold", "response"), ("grip-channel", &channel)],
        "nothing\n",
    )
}

#[tokio::test(start_paused = true)]
async fn l10_a_gap_asks_the_origin_with_the_last_id() {
    let edge = Edge::new();
    let origin = Origin::new(|number, _| async move {
        Ok(match number {
            1 => with_prev_id("1"),
            _ => reply(200, &[], "2 and 3\n"),
        })
    });
    let begun = Instant::now();
    let mut waiting = origin.waiting(&edge).await;
    let at = publish_answer(&edge, "3\n", "3", "2").await;
    assert!(waiting.now().await.is_none(), "not delivered");
    let response = waiting.done().await;
    assert!(begun.elapsed() <= Duration::from_millis(210));
    assert_eq!(text(response).await, "2 and 3\n");
    assert_eq!(origin.head(2).headers["grip-last"], "t; last-id=1");
    assert_eq!(origin.at_least(2), at);
    assert_eq!(subscriptions(&edge), 0);
}

#[tokio::test(start_paused = true)]
async fn l10_with_the_origin_down_the_message_comes_late_and_marked() {
    let edge = Edge::new();
    let origin = Origin::new(|number, _| async move {
        match number {
            1 => Ok(with_prev_id("1")),
            _ => Err("down".into()),
        }
    });
    let waiting = origin.waiting(&edge).await;
    publish_answer(&edge, "3\n", "3", "2").await;
    let response = waiting.done().await;
    assert!(is_marked(&response));
    assert_eq!(text(response).await, "3\n");
}

#[tokio::test(start_paused = true)]
async fn l10_messages_of_a_burst_may_come_in_any_order() {
    let edge = Edge::new();
    let origin = Origin::new(|_, _| async { Ok(with_prev_id("1")) });
    let mut waiting = origin.waiting(&edge).await;
    publish_answer(&edge, "3\n", "3", "2").await;
    assert!(waiting.now().await.is_none());
    advance(Duration::from_millis(190)).await;
    assert!(waiting.now().await.is_none());
    // Past the edge's own ordering, as from another node.
    let late = identified(answer(200, &[], "2\n"), "2", "1").with_no_seq();
    publish(&edge, late).await;
    assert_eq!(text(waiting.now().await.expect("answered")).await, "2\n");
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn l10_a_message_that_waits_for_another_is_not_lost_by_a_hint() {
    for told in [false, true] {
        let edge = Edge::new();
        let origin = Origin::new(move |number, _| async move {
            Ok(match number {
                1 => with_prev_id("1"),
                _ if told => reply(200, &[], "2 and 3\n"),
                _ => with_prev_id("3"),
            })
        });
        let mut waiting = origin.waiting(&edge).await;
        publish_answer(&edge, "3\n", "3", "2").await;
        let at = publish(&edge, hint()).await;
        let response = waiting.now().await.expect("answered");
        assert_eq!((origin.calls(), origin.at_least(2)), (2, at));
        assert_eq!(origin.head(2).headers["grip-last"], "t; last-id=1");
        assert_eq!(is_marked(&response), !told);
        assert_eq!(text(response).await, if told { "2 and 3\n" } else { "3\n" });
    }
}

/// An origin that was told the last id, and holds all the same, has nothing for it.
#[tokio::test(start_paused = true)]
async fn l10_where_the_origin_holds_once_more_the_message_comes_late_and_marked() {
    let edge = Edge::new();
    let origin =
        Origin::new(|number, _| async move { Ok(with_prev_id(if number == 1 { "1" } else { "3" })) });
    let begun = Instant::now();
    let waiting = origin.waiting(&edge).await;
    publish_answer(&edge, "3\n", "3", "2").await;
    publish_answer(&edge, "4\n", "4", "3").await;
    let response = waiting.done().await;
    assert!(begun.elapsed() <= Duration::from_millis(210));
    assert!(is_marked(&response));
    assert_eq!(text(response).await, "3\n");
}

/// M2: what came while it waited answers it.
#[tokio::test(start_paused = true)]
async fn l10_a_message_that_waits_for_another_when_the_time_is_up_answers() {
    let edge = Edge::new();
    let origin = Origin::new(|_, _| async {
        let mut poll = with_prev_id("1");
        poll.headers_mut().insert("grip-timeout", "5".parse()?);
        Ok(poll)
    });
    let mut waiting = origin.waiting(&edge).await;
    advance(Duration::from_millis(4_900)).await;
    assert!(waiting.now().await.is_none());
    publish_answer(&edge, "3\n", "3", "2").await;
    assert!(waiting.now().await.is_none());
    let response = waiting.done().await;
    assert!(is_marked(&response));
    assert_eq!(text(response).await, "3\n");
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn l11_what_fits_answers() {
    let edge = Edge::new();
    let origin = Origin::new(|_, _| async { Ok(with_prev_id("1")) });
    let mut waiting = origin.waiting(&edge).await;
    publish_answer(&edge, "2\n", "2", "1").await;
    assert_eq!(text(waiting.now().await.expect("answered")).await, "2\n");
    assert_eq!(origin.calls(), 1);
}

/// L12: unlike in the reference proxy, without a prev-id a message fits.
#[tokio::test(start_paused = true)]
async fn l12_a_message_without_prev_id_answers() {
    let edge = Edge::new();
    let origin = Origin::new(|_, _| async { Ok(with_prev_id("1")) });
    let mut waiting = origin.waiting(&edge).await;
    publish_answer(&edge, "x\n", "7", "").await;
    assert_eq!(text(waiting.now().await.expect("answered")).await, "x\n");
}

#[tokio::test(start_paused = true)]
async fn l13_a_message_between_two_polls_is_found_by_its_id() {
    let edge = Edge::new();
    let origin = Origin::new(|_, _| async { Ok(with_prev_id("1")) });
    let service = origin.held(edge.hold_layer());
    publish_answer(&edge, "2\n", "2", "1").await;
    let mut waiting = start(&service, get_request());
    assert!(
        waiting.now().await.is_none(),
        "the second answer is accepted, whatever it names"
    );
    assert_eq!(origin.calls(), 2);
    assert_eq!(origin.head(2).headers["grip-last"], "t; last-id=1");
    assert!(!origin.head(1).headers.contains_key("grip-last"));
    publish_answer(&edge, "x\n", "", "").await;
    assert_eq!(text(waiting.now().await.expect("answered")).await, "x\n");
}

#[tokio::test(start_paused = true)]
async fn l14_a_post_is_never_made_again_its_hold_ends() {
    let edge = Edge::new();
    let origin = Origin::new(|_, _| async { Ok(with_prev_id("1")) });
    let mut post = request(Method::POST, "/", &[]);
    *post.body_mut() = "body".into();
    let mut waiting = start(&origin.held(edge.hold_layer()), post);
    assert!(waiting.now().await.is_none());
    publish(&edge, hint()).await;
    assert!(waiting.now().await.is_none(), "it does not hear hints");
    publish_answer(&edge, "3\n", "3", "2").await;
    let begun = Instant::now();
    let response = waiting.done().await;
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert!(is_marked(&response));
    assert_eq!(text(response).await, "3\n");
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn l18_of_two_messages_in_one_order_the_first_answers() {
    let edge = Edge::new();
    let mut waiting = Origin::polls("nothing\n").waiting(&edge).await;
    let publication = |body: &str| Publication::new(channel("t"), answer(200, &[], body));
    let order = Order::default().and(publication("1")).and(publication("2"));
    edge.submit(order).await.expect("accepted");
    assert_eq!(text(waiting.now().await.expect("answered")).await, "1");
}

#[tokio::test(start_paused = true)]
async fn l20_status_304_at_the_timeout() {
    let origin = Origin::fixed(
        200,
        &[
            ("grip-hold", "response"),
            ("grip-channel", "t"),
            ("grip-status", "304"),
            ("content-length", "0"),
        ],
        "",
    );
    let response = origin.start(&Edge::new()).done().await;
    assert_eq!(response.status(), 304);
    assert_eq!(header(&response, "content-length"), None);
}

#[tokio::test(start_paused = true)]
async fn i22_without_a_channel_it_is_held_all_the_same() {
    let origin = Origin::fixed(200, &[("grip-hold", "response"), ("grip-timeout", "1")], "x");
    let begun = Instant::now();
    let response = origin.start(&Edge::new()).done().await;
    assert_eq!(begun.elapsed().as_secs(), 5);
    assert_eq!(text(response).await, "x");
}

#[tokio::test(start_paused = true)]
async fn a_drain_gives_the_timeout_answer() {
    for servers in [false, true] {
        let edge = Edge::new();
        let (signal, watch) = DrainSignal::new();
        let mut request = get_request();
        if servers {
            request.extensions_mut().insert(watch);
        }
        let mut waiting = start(&Origin::polls("nothing\n").held(edge.hold_layer()), request);
        assert!(waiting.now().await.is_none());
        if servers {
            signal.start();
        } else {
            edge.drain();
        }
        let response = waiting.now().await.expect("answered");
        assert_eq!(ended(&response).reason(), Some(EndReason::Drain));
        assert_eq!(text(response).await, "nothing\n");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_leaves_nothing_behind() {
    let edge = Edge::new();
    let waiting = Origin::polls("nothing\n").waiting(&edge).await;
    assert_eq!(subscriptions(&edge), 1);
    drop(waiting);
    assert_eq!(subscriptions(&edge), 0);
    assert_eq!(edge.hub().stats().channels, 0);
}

#[tokio::test(start_paused = true)]
async fn m2_its_cursor_starts_where_its_request_arrived() {
    let edge = Edge::new();
    publish_answer(&edge, "before\n", "", "").await;
    let origin = Origin::of(&edge, |edge, _| async move {
        publish_answer(&edge, "while it was asked\n", "", "").await;
        Ok(poll("nothing\n"))
    });
    let response = origin.start(&edge).now().await.expect("answered");
    assert_eq!(text(response).await, "while it was asked\n");
    assert_eq!(origin.calls(), 1);
}

/// The body is not sent: that it contains a message is no reason to skip that, if it is one for all who ask.
#[tokio::test(start_paused = true)]
async fn m2_what_came_while_a_foreign_cache_was_asked_answers() {
    for foreign in [false, true] {
        let edge = Edge::new();
        let origin = Origin::of(&edge, move |edge, _| async move {
            publish_answer(&edge, "2\n", "2", "1").await;
            let mut poll = with_prev_id("2");
            if foreign {
                poll.headers_mut().insert("age", "0".parse()?);
            }
            Ok(poll)
        });
        let answered = origin.start(&edge).now().await;
        assert_eq!(answered.is_some(), foreign, "an origin knows what its client has");
        if let Some(response) = answered {
            assert_eq!(text(response).await, "2\n");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn m2_an_old_object_is_not_polled_from() {
    for down in [false, true] {
        let edge = Edge::new();
        let at = publish_answer(&edge, "1\n", "", "").await;
        let origin = Origin::of(&edge, move |edge, number| async move {
            match number {
                1 => Ok(old(&edge, poll("old\n"))),
                _ if down => Err("down".into()),
                _ => Ok(poll("new\n")),
            }
        });
        let mut waiting = origin.start(&edge);
        assert!(
            waiting.now().await.is_none(),
            "not answered by what was published before it asked"
        );
        assert_eq!(origin.calls(), 2);
        assert_eq!(origin.at_least(2), at);
        let response = waiting.done().await;
        assert_eq!(is_marked(&response), down);
        assert_eq!(text(response).await, if down { "old\n" } else { "new\n" });
    }
}

#[tokio::test(start_paused = true)]
async fn m2_with_the_origin_down_nobody_gets_a_message_twice() {
    let edge = Edge::new();
    let stale = Origin::of(&edge, |edge, number| async move {
        // The first poll asks once, each other one twice.
        if number == 1 || number % 2 == 0 {
            Ok(old(&edge, poll("old\n")))
        } else {
            Err("down".into())
        }
    });
    let service = stale.held(edge.hold_layer());
    for n in 0..5 {
        // Before the first message nothing is too old, and there is one fetch only.
        let mut waiting = start(&service, get_request());
        assert!(waiting.now().await.is_none());
        if n == 0 {
            assert_eq!(stale.calls(), 1);
        }
        publish_answer(&edge, &n.to_string(), "", "").await;
        assert_eq!(text(waiting.now().await.expect("answered")).await, n.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn d5_a_log_that_lost_what_came_while_it_was_asked() {
    for post in [false, true] {
        let edge = forgetful();
        let origin = Origin::of(&edge, |edge, number| async move {
            if number == 1 {
                // Longer than a fetch keeps the logs.
                tokio::time::sleep(Duration::from_secs(16)).await;
                for n in 1..=4 {
                    publish_answer(&edge, &n.to_string(), "", "").await;
                }
            }
            Ok(poll("nothing\n"))
        });
        let method = if post { Method::POST } else { Method::GET };
        let response = start(&origin.held(edge.hold_layer()), request(method, "/", &[]))
            .done()
            .await;
        assert!(is_marked(&response));
        assert_eq!(origin.calls(), if post { 1 } else { 2 });
        assert_eq!(text(response).await, "3");
    }
}

/// A hint among them asks as it does where nothing is gone: once, and nobody hears it again.
#[tokio::test(start_paused = true)]
async fn d5_a_hint_beside_a_gap_is_heard_once() {
    for down in [false, true] {
        let edge = forgetful();
        let origin = Origin::of(&edge, move |edge, number| async move {
            if number == 1 {
                tokio::time::sleep(Duration::from_secs(16)).await;
                for n in 1..=3 {
                    publish(&edge, bytes(&n.to_string())).await;
                }
                publish(&edge, hint()).await;
            } else if down {
                return Err("down".into());
            }
            Ok(poll("nothing\n"))
        });
        let response = origin.start(&edge).done().await;
        assert_eq!(response.status(), 200);
        assert_eq!(is_marked(&response), down);
        assert_eq!(origin.calls(), 2);
        assert_eq!(origin.at_least(2), Position::new(4));
    }
}

#[tokio::test(start_paused = true)]
async fn a_hint_while_it_was_asked_asks_again() {
    let edge = Edge::new();
    let origin = Origin::of(&edge, |edge, number| async move {
        if number == 1 {
            publish(&edge, hint()).await;
        }
        Ok(poll("nothing\n"))
    });
    let mut waiting = origin.waiting(&edge).await;
    assert_eq!(origin.calls(), 2);
    publish(&edge, answer(200, &[], "hi")).await;
    let response = waiting.now().await.expect("answered");
    assert!(!is_marked(&response));
    assert_eq!(text(response).await, "hi");
}

/// What was accepted before the hint while the origin was asked is not in the answer that a client of a poll gets.
#[tokio::test(start_paused = true)]
async fn m2_a_message_before_a_hint_while_it_was_asked_answers() {
    for asked in [1, 2] {
        let edge = Edge::new();
        let origin = Origin::of(&edge, move |edge, number| async move {
            if number == asked {
                publish(&edge, answer(200, &[], "hi")).await;
                publish(&edge, hint()).await;
            }
            Ok(poll("nothing\n"))
        });
        let mut waiting = origin.start(&edge);
        if asked == 2 {
            assert!(waiting.now().await.is_none());
            publish(&edge, hint()).await;
        }
        let response = waiting.now().await.expect("answered");
        assert!(!is_marked(&response));
        assert_eq!(text(response).await, "hi");
    }
}

/// A URL that never held is not copied for; when it holds after all, nothing is lost.
#[tokio::test(start_paused = true)]
async fn a_url_that_never_held_before() {
    let edge = Edge::new();
    let origin = Origin::new(|number, _| async move {
        Ok(match number {
            ..=20 => reply(200, &[], "plain"),
            _ => poll("nothing\n"),
        })
    });
    let service = origin.held(edge.hold_layer());
    for _ in 0..20 {
        assert_eq!(text(get(&service).await).await, "plain");
    }
    let mut waiting = start(&service, get_request());
    assert!(waiting.now().await.is_none());
    publish(&edge, hint()).await;
    let response = waiting.now().await.expect("answered: its client asks again");
    assert!(is_marked(&response));
    assert_eq!(origin.calls(), 21);
    // From now on it is known to hold.
    let mut waiting = start(&service, get_request());
    assert!(waiting.now().await.is_none());
    publish(&edge, hint()).await;
    assert!(waiting.now().await.is_none());
    assert_eq!(origin.calls(), 23);
}

/// Trailers do not outlive the collecting of a body, nor does what announces them.
#[tokio::test(start_paused = true)]
async fn l02_a_timeout_answer_announces_no_trailers() {
    let origin = Origin::fixed(
        200,
        &[
            ("grip-hold", "response"),
            ("grip-channel", "t"),
            ("trailer", "x-checksum"),
        ],
        "nothing\n",
    );
    let response = origin.start(&Edge::new()).done().await;
    assert_eq!(header(&response, "trailer"), None);
    assert_eq!(header(&response, "content-length"), Some("8"));
}

/// What answers a long poll is gone before it looks, and nothing is left that does.
async fn lagged(edge: &Edge, origin: &Origin, method: Method) -> http::Response<gripstack::EdgeBody> {
    let mut waiting = start(&origin.held(edge.hold_layer()), request(method, "/", &[]));
    assert!(waiting.now().await.is_none(), "it waits");
    publish_answer(edge, "2\n", "2", "1").await;
    for n in 0..5 {
        publish(edge, bytes(&n.to_string())).await;
    }
    match waiting.now().await {
        Some(response) => response,
        None => waiting.done().await,
    }
}

#[tokio::test(start_paused = true)]
async fn d3_a_poll_whose_message_is_gone_asks_the_origin_with_the_last_id() {
    let edge = forgetful();
    let origin = Origin::new(|number, _| async move {
        Ok(match number {
            1 => with_prev_id("1"),
            _ => reply(200, &[], "2\n"),
        })
    });
    let begun = Instant::now();
    let response = lagged(&edge, &origin, Method::GET).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert!(!is_marked(&response));
    assert_eq!(text(response).await, "2\n");
    assert_eq!(origin.calls(), 2);
    assert_eq!(origin.head(2).headers["grip-last"], "t; last-id=1");
    assert_eq!(origin.at_least(2), Position::new(6));
}

/// An origin that holds once more knows of nothing that answers it. What is left does.
#[tokio::test(start_paused = true)]
async fn d3_a_poll_whose_message_is_gone_is_answered_by_the_oldest_that_is_left() {
    for cached in [false, true] {
        let edge = forgetful();
        let origin = Origin::new(|number, _| async move {
            let mut poll = poll("nothing\n");
            let timeout = if number == 1 { "600" } else { "20" };
            poll.headers_mut().insert("grip-timeout", timeout.parse()?);
            poll.headers_mut().insert("cache-control", "max-age=60".parse()?);
            Ok(poll)
        });
        let service = match cached {
            true => origin.cached(&edge),
            false => origin.held(edge.hold_layer()),
        };
        for left in [true, false] {
            let calls = origin.calls();
            let mut waiting = start(&service, request(Method::GET, "/", &[("host", "h")]));
            assert!(waiting.now().await.is_none());
            let begun = Instant::now();
            for n in 1..4 {
                let message = if left {
                    answer(200, &[], &n.to_string())
                } else {
                    bytes("x")
                };
                publish(&edge, message).await;
            }
            let response = waiting.done().await;
            let mut said = response.headers().get_all("cache-status").iter();
            assert!(
                said.any(|said| said == "gripstack; detail=gap"),
                "{cached} {left}"
            );
            assert_eq!(text(response).await, if left { "2" } else { "nothing\n" });
            let waited = begun.elapsed() >= Duration::from_secs(20);
            assert_eq!(waited, !left, "{:?}", begun.elapsed());
            assert!(begun.elapsed() <= Duration::from_secs(22));
            assert!(origin.calls() <= calls + 2);
            assert_eq!(subscriptions(&edge), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn d3_a_poll_whose_message_is_gone_is_marked_where_the_origin_cannot_be_asked() {
    for method in [Method::GET, Method::POST] {
        let edge = forgetful();
        let origin = Origin::new(|number, _| async move {
            match number {
                1 => Ok(poll("nothing\n")),
                _ => Err("down".into()),
            }
        });
        let response = lagged(&edge, &origin, method).await;
        assert!(is_marked(&response));
        assert_eq!(text(response).await, "nothing\n");
    }
}

/// What came while it waited answers it, also where the new answer holds on other channels.
#[tokio::test(start_paused = true)]
async fn d3_what_is_left_answers_also_where_the_origin_names_other_channels() {
    let edge = forgetful();
    let origin = Origin::new(|number, _| async move {
        let channel = if number == 1 { "t" } else { "t, u" };
        Ok(reply(
            200,
            &[("grip-hold", "response"), ("grip-channel", channel)],
            "nothing\n",
        ))
    });
    let mut waiting = origin.waiting(&edge).await;
    for n in 1..4 {
        publish(&edge, answer(200, &[], &n.to_string())).await;
    }
    let response = waiting.now().await.expect("answered");
    assert!(is_marked(&response));
    assert_eq!(text(response).await, "2");
}

#[tokio::test(start_paused = true)]
async fn d3_what_is_left_answers_a_post() {
    let edge = forgetful();
    let origin = Origin::polls("nothing\n");
    let mut waiting = start(&origin.held(edge.hold_layer()), request(Method::POST, "/", &[]));
    assert!(waiting.now().await.is_none());
    for n in 1..4 {
        publish(&edge, answer(200, &[], &n.to_string())).await;
    }
    let response = waiting.now().await.expect("answered");
    assert!(is_marked(&response));
    assert_eq!(text(response).await, "2");
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn d3_what_waits_for_another_answers_a_post() {
    for hinted in [false, true] {
        let edge = Edge::new();
        let origin = Origin::new(|_, _| async { Ok(with_prev_id("1")) });
        let mut waiting = start(&origin.held(edge.hold_layer()), request(Method::POST, "/", &[]));
        assert!(waiting.now().await.is_none());
        publish_answer(&edge, "3\n", "3", "2").await;
        if hinted {
            publish(&edge, hint()).await;
        }
        let response = waiting.done().await;
        assert!(is_marked(&response));
        assert_eq!(text(response).await, "3\n");
        assert_eq!(origin.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn l09_what_came_while_a_hint_was_answered_too_late_answers() {
    let edge = Edge::new();
    let origin = Origin::of(&edge, |edge, number| async move {
        if number > 1 {
            publish(&edge, answer(200, &[], "hi")).await;
            std::future::pending::<()>().await;
        }
        Ok(poll("nothing\n"))
    });
    let waiting = origin.waiting(&edge).await;
    publish(&edge, hint()).await;
    let response = waiting.done().await;
    assert_eq!(text(response).await, "hi");
}

#[tokio::test(start_paused = true)]
async fn l09_a_message_beside_a_hint_in_one_order_is_not_lost() {
    for (first, second) in [("t", "t"), ("t", "u"), ("u", "t")] {
        let edge = Edge::new();
        let origin = Origin::new(|_, _| async {
            Ok(reply(
                200,
                &[("grip-hold", "response"), ("grip-channel", "t, u")],
                "nothing\n",
            ))
        });
        let mut waiting = origin.waiting(&edge).await;
        let order = Order::default()
            .and(Publication::new(channel(first), hint()))
            .and(Publication::new(channel(second), answer(200, &[], "hi")));
        edge.submit(order).await.expect("accepted");
        let response = waiting.now().await.unwrap_or_else(|| panic!("{first} {second}"));
        assert_eq!(text(response).await, "hi");
    }
}

/// What is left of it from before a hint answers, marked: something was gone.
#[tokio::test(start_paused = true)]
async fn d5_what_is_left_before_a_hint_answers() {
    for down in [false, true] {
        let edge = forgetful();
        let origin = Origin::of(&edge, move |edge, number| async move {
            if number == 1 {
                tokio::time::sleep(Duration::from_secs(16)).await;
                for n in 1..=3 {
                    publish(&edge, bytes(&n.to_string())).await;
                }
                publish(&edge, answer(200, &[], "hi")).await;
                publish(&edge, hint()).await;
            } else if down {
                return Err("down".into());
            }
            Ok(poll("nothing\n"))
        });
        let response = origin.start(&edge).done().await;
        assert!(is_marked(&response));
        assert_eq!(text(response).await, "hi");
        assert_eq!(origin.calls(), 2);
    }
}

/// A request that is not made again is answered by what is left.
#[tokio::test(start_paused = true)]
async fn d5_what_is_left_of_what_came_while_it_was_asked_answers_a_post() {
    for left in [false, true] {
        let edge = forgetful();
        let origin = Origin::of(&edge, move |edge, _| async move {
            tokio::time::sleep(Duration::from_secs(16)).await;
            for n in 1..=3 {
                publish(&edge, bytes(&n.to_string())).await;
            }
            if left {
                publish(&edge, answer(200, &[], "hi")).await;
            }
            Ok(poll("nothing\n"))
        });
        let begun = Instant::now();
        let service = origin.held(edge.hold_layer());
        let response = send(&service, request(Method::POST, "/", &[])).await;
        assert!(begun.elapsed() < Duration::from_secs(17));
        assert!(is_marked(&response));
        assert_eq!(text(response).await, if left { "hi" } else { "nothing\n" });
        assert_eq!(origin.calls(), 1);
    }
}

/// Of a burst that its log could not keep, what is left waits for what is gone.
#[tokio::test(start_paused = true)]
async fn d3_what_is_left_and_waits_for_what_is_gone_answers_where_the_poll_does_not_go_on() {
    for method in [Method::POST, Method::GET] {
        let edge = forgetful();
        let origin = Origin::new(|number, _| async move {
            let channel = if number == 1 {
                "t; prev-id=1"
            } else {
                "t; prev-id=1, u"
            };
            Ok(reply(
                200,
                &[("grip-hold", "response"), ("grip-channel", channel)],
                "nothing\n",
            ))
        });
        let mut waiting = start(&origin.held(edge.hold_layer()), request(method, "/", &[]));
        assert!(waiting.now().await.is_none(), "it waits");
        for n in 2..=5 {
            publish_answer(&edge, &n.to_string(), &n.to_string(), &(n - 1).to_string()).await;
        }
        let response = waiting.now().await.expect("answered");
        assert!(is_marked(&response));
        assert_eq!(text(response).await, "4");
    }
}

#[tokio::test(start_paused = true)]
async fn l09_a_message_beside_a_hint_that_waits_for_another_is_not_lost() {
    let edge = Edge::new();
    let origin = Origin::new(|_, _| async { Ok(with_prev_id("1")) });
    let waiting = origin.waiting(&edge).await;
    let message = identified(answer(200, &[], "3\n"), "3", "2");
    let order = Order::default()
        .and(Publication::new(channel("t"), hint()))
        .and(Publication::new(channel("t"), message));
    edge.submit(order).await.expect("accepted");
    let response = waiting.done().await;
    assert_eq!(text(response).await, "3\n");
}

/// Of what came before its request arrived, nothing is hidden by what came after it and answers nothing.
#[tokio::test(start_paused = true)]
async fn m2_a_message_that_answers_nothing_hides_no_older_one() {
    let edge = Edge::new();
    publish_answer(&edge, "1\n", "", "").await;
    let origin = Origin::of(&edge, |edge, number| async move {
        if number > 1 {
            return Ok(poll("new\n"));
        }
        publish(&edge, bytes("for streams")).await;
        Ok(old(&edge, poll("old\n")))
    });
    let response = origin.start(&edge).done().await;
    assert_eq!(text(response).await, "new\n");
    assert_eq!(origin.calls(), 2);
}

/// A message in another form has come all the same: there is no gap.
#[tokio::test(start_paused = true)]
async fn d2_a_poll_misses_nothing_where_a_message_was_for_streams_only() {
    let edge = Edge::new();
    let origin = Origin::new(|_, _| async { Ok(with_prev_id("1")) });
    let mut waiting = origin.waiting(&edge).await;
    publish(&edge, with_ids("2", "2", "1")).await;
    assert!(waiting.now().await.is_none(), "it waits");
    publish_answer(&edge, "3\n", "3", "2").await;
    let response = waiting.now().await.expect("answered at once");
    assert!(!is_marked(&response));
    assert_eq!(text(response).await, "3\n");
    assert_eq!(origin.calls(), 1);
}

/// It came after the answer that the poll is held from, so it asks again, whatever else was gone.
#[tokio::test(start_paused = true)]
async fn d5_a_hint_after_the_younger_answer_is_heard() {
    let limits = gripstack::hub::LogLimits::new().bytes(4_000);
    let edge = Edge::builder().log_limits(limits).build();
    let origin = Origin::of(&edge, |edge, number| async move {
        if number == 3 {
            return Ok(reply(200, &[], "new\n"));
        }
        for _ in 0..4 {
            publish(&edge, bytes(&"x".repeat(1_500))).await;
        }
        publish(&edge, hint()).await;
        Ok(poll("nothing\n"))
    });
    let response = origin.start(&edge).done().await;
    assert_eq!(text(response).await, "new\n");
    assert_eq!(origin.calls(), 3);
}

/// A hint says that what a poll waits with is old. Where the origin was asked too often for one poll to be asked once more,
/// its client is told so.
#[tokio::test(start_paused = true)]
async fn m2_what_is_older_than_a_hint_that_was_not_heard_is_marked() {
    let edge = Edge::new();
    let origin = Origin::polls("old\n");
    let mut waiting = origin.waiting(&edge).await;
    for _ in 0..20 {
        publish(&edge, hint()).await;
        assert!(waiting.now().await.is_none());
    }
    assert_eq!(origin.calls(), 11);
    let response = waiting.done().await;
    assert!(is_marked(&response), "{:?}", response.headers());
}

/// M2: a message before a poll came makes its answer too old, also where the log has forgotten it for a newer state.
#[tokio::test(start_paused = true)]
async fn m2_a_state_that_is_forgotten_for_a_newer_one_makes_an_answer_too_old() {
    for (edge, what) in [(Edge::new(), "kept"), (forgetful(), "forgotten")] {
        let state = |text: &str| Publication::new(channel("t"), bytes(text)).latest();
        let order = |item: Publication| -> Order { [item].into_iter().collect() };
        edge.submit(order(state("1"))).await.expect("accepted");
        let (one, others) = (
            edge.clone(),
            [Publication::new(channel("t"), bytes("2")), state("3")],
        );
        let origin = Origin::new(move |number, _| {
            let (edge, others) = (one.clone(), others.clone());
            async move {
                if number > 1 {
                    return Ok(poll("new\n"));
                }
                for item in others {
                    edge.submit([item].into_iter().collect()).await.expect("accepted");
                }
                // Of a foreign cache.
                let held = [("grip-hold", "response"), ("grip-channel", "t"), ("age", "100")];
                Ok(reply(200, &held, "old\n"))
            }
        });
        let response = origin.start(&edge).done().await;
        assert!(is_marked(&response) || text(response).await == "new\n", "{what}");
    }
}

/// Nor does a request that is not made twice hear any.
#[tokio::test(start_paused = true)]
async fn m2_what_is_older_than_a_hint_is_marked_for_a_post() {
    for hinted in [true, false] {
        let edge = Edge::new();
        let origin = Origin::polls("old\n");
        let service = origin.held(edge.hold_layer());
        let mut waiting = start(&service, request(Method::POST, "/", &[]));
        assert!(waiting.now().await.is_none());
        if hinted {
            publish(&edge, hint()).await;
        }
        let response = waiting.done().await;
        assert_eq!(is_marked(&response), hinted);
        assert_eq!(text(response).await, "old\n");
        assert_eq!(origin.calls(), 1);
    }
}

/// What was asked for because of a hint, and came from a foreign cache, may be older than the hint.
#[tokio::test(start_paused = true)]
async fn d5_a_younger_answer_that_is_older_than_a_hint_is_marked() {
    for age in ["100", ""] {
        let edge = forgetful();
        let origin = Origin::of(&edge, move |edge, number| async move {
            if number == 1 {
                tokio::time::sleep(Duration::from_secs(16)).await;
                for n in 1..=3 {
                    publish(&edge, bytes(&n.to_string())).await;
                }
                publish(&edge, hint()).await;
            }
            let mut response = poll("nothing\n");
            if number == 2 && !age.is_empty() {
                let age = age.parse().expect("valid");
                response.headers_mut().insert("age", age);
            }
            Ok(response)
        });
        let response = origin.start(&edge).done().await;
        assert_eq!(origin.calls(), 2);
        assert_eq!(is_marked(&response), !age.is_empty(), "{age}");
    }
}
