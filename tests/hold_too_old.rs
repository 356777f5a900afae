//! Answers that are too old to hold a stream from.
#![cfg(all(feature = "hold", feature = "testing"))]

mod hold_support;

use std::time::Duration;

use gripstack::body::EdgeBody;
use gripstack::hold::EndReason;
use gripstack::{Edge, Position};
use http::{Method, Response};
use http_body_util::BodyExt;
use tokio::time::Instant;

use hold_support::*;

#[tokio::test(start_paused = true)]
async fn d5_an_answer_older_than_the_log_is_asked_for_anew_once() {
    let edge = overflowed().await;
    let origin = Origin::of(&edge, move |edge, number| async move {
        Ok(match number {
            1 => old(&edge, stream("old\n")),
            _ => stream("new\n"),
        })
    });
    let service = origin.held(edge.hold_layer());
    let asked = request(
        Method::GET,
        "/a?b",
        &[
            ("cookie", "a=b"),
            ("cache-control", "max-age=5"),
            ("grip-sig", "x"),
        ],
    );
    let mut response = send(&service, asked).await;
    assert_eq!(ready(response.body_mut()), ["new\n"]);
    assert!(!is_marked(&response));
    assert_eq!(origin.calls(), 2);
    // What is gone from the log: nothing older than that, and nothing younger is needed.
    assert_eq!(origin.at_least(2), Position::new(3));
    let head = origin.head(2);
    assert_eq!(head.headers["cache-control"], "no-cache");
    assert_eq!(head.headers["cookie"], "a=b");
    assert_eq!(head.headers["grip-feature"], gripstack::grip::FEATURES);
    assert!(!head.headers.contains_key("grip-sig"));
    assert_eq!(head.uri, "/a?b");
    publish(&edge, bytes("6")).await;
    assert_eq!(ready(response.body_mut()), ["6"]);
}

#[tokio::test(start_paused = true)]
async fn d5_without_a_younger_answer_the_hold_is_marked_never_refused() {
    type Second = fn(Edge) -> Reply;
    let seconds: [(&str, Second, &str); 4] = [
        ("the origin fails", |_| Err("down".into()), "old\n"),
        ("it answers 503", |_| Ok(reply(503, &[], "down")), "old\n"),
        (
            "it makes no sense",
            |_| Ok(reply(200, &[("grip-hold", "x")], "")),
            "old\n",
        ),
        (
            "its answer is as old",
            |edge| Ok(cached(stream("as old\n"), edge.hub().stamp_at(Position::new(1)))),
            "as old\n",
        ),
    ];
    for (case, second, body) in seconds {
        let edge = overflowed().await;
        let origin = Origin::of(&edge, move |edge, number| async move {
            match number {
                1 => Ok(old(&edge, stream("old\n"))),
                _ => second(edge),
            }
        });
        let mut response = origin.get(&edge).await;
        let end = ended(&response);
        assert!(is_marked(&response), "{case}");
        assert_eq!(response.status(), 200);
        assert_eq!(origin.calls(), 2, "{case}");
        assert_eq!(ready(response.body_mut()), [body, "4", "5"], "{case}");
        publish(&edge, bytes("6")).await;
        assert_eq!(ready(response.body_mut()), ["6"], "{case}");
        // Its client is made to come back.
        let begun = Instant::now();
        assert!(response.body_mut().frame().await.is_none());
        assert!(
            begun.elapsed() >= Duration::from_secs(30) && begun.elapsed() <= Duration::from_secs(91),
            "{case}"
        );
        assert_eq!(end.reason(), Some(EndReason::Gap));
    }
}

#[tokio::test(start_paused = true)]
async fn d5_an_origin_that_never_answers_the_second_time_does_not_stop_the_hold() {
    let edge = overflowed().await;
    let origin = Origin::of(&edge, move |edge, number| async move {
        if number > 1 {
            std::future::pending::<()>().await;
        }
        Ok(old(&edge, stream("old\n")))
    });
    let begun = Instant::now();
    let response = origin.get(&edge).await;
    assert!(is_marked(&response));
    assert_eq!(begun.elapsed().as_secs(), 15);
}

#[tokio::test(start_paused = true)]
async fn d5_marked_holds_end_spread_over_time() {
    let edge = overflowed().await;
    let origin = Origin::of(&edge, move |edge, number| async move {
        match number % 2 {
            1 => Ok(old(&edge, stream(""))),
            _ => Err("down".into()),
        }
    });
    let service = origin.held(edge.hold_layer().marked_age(Duration::from_secs(600)));
    let begun = Instant::now();
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let mut response = get(&service).await;
        readers.spawn(async move {
            let _ = ready(response.body_mut());
            while response.body_mut().frame().await.is_some() {}
            begun.elapsed()
        });
    }
    let ends = readers.join_all().await;
    let (first, last) = (ends.iter().min().expect("20"), ends.iter().max().expect("20"));
    assert!(
        *first >= Duration::from_secs(300) && *last <= Duration::from_secs(901),
        "{first:?} {last:?}"
    );
    assert!(*last - *first > Duration::from_secs(60), "{first:?} {last:?}");
}

#[tokio::test(start_paused = true)]
async fn d5_what_is_not_a_get_is_not_made_again() {
    let edge = overflowed().await;
    let origin = Origin::of(
        &edge,
        move |edge, _| async move { Ok(old(&edge, stream("old\n"))) },
    );
    let response = send(&origin.held(edge.hold_layer()), request(Method::POST, "/", &[])).await;
    assert!(is_marked(&response));
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn d5_the_second_answer_may_be_anything() {
    type Case = (fn() -> Response<EdgeBody>, &'static str, u16);
    let cases: [Case; 3] = [
        (|| reply(404, &[], "gone"), "gone", 404),
        (|| reply(200, &[("grip-status", "410")], "over"), "over", 410),
        (|| poll("nothing"), "nothing", 200),
    ];
    for (second, body, status) in cases {
        let edge = overflowed().await;
        let origin = Origin::of(&edge, move |edge, number| async move {
            Ok(match number {
                1 => old(&edge, stream("old\n")),
                _ => second(),
            })
        });
        let response = origin.get(&edge).await;
        assert_eq!(response.status().as_u16(), status);
        assert!(!is_marked(&response));
        assert_eq!(text(response).await, body);
        assert_eq!(origin.calls(), 2);
        assert_eq!(subscriptions(&edge), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stamp_of_another_clock_is_too_old() {
    let edge = Edge::new();
    let other = Edge::new().hub().stamp_at(Position::new(99));
    let origin = Origin::new(move |number, _| async move {
        Ok(match number {
            1 => cached(stream("old\n"), other),
            _ => stream("new\n"),
        })
    });
    let mut response = origin.get(&edge).await;
    assert_eq!(ready(response.body_mut()), ["new\n"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_with_an_age_is_stamped_zero() {
    let edge = Edge::new();
    publish(&edge, bytes("1")).await;
    let origin = Origin::fixed(
        200,
        &[("age", "0"), ("grip-hold", "stream"), ("grip-channel", "t")],
        "open\n",
    );
    let mut response = origin.get(&edge).await;
    // The log reaches back to its beginning.
    assert_eq!(ready(response.body_mut()), ["open\n", "1"]);
    assert_eq!((origin.calls(), is_marked(&response)), (1, false));
    assert_eq!(header(&response, "age"), None);
    // Here it does not: asked past the cache, once, then marked.
    let edge = overflowed().await;
    let mut response = origin.get(&edge).await;
    assert_eq!(ready(response.body_mut()), ["open\n", "4", "5"]);
    assert_eq!((origin.calls(), is_marked(&response)), (3, true));
}

#[tokio::test(start_paused = true)]
async fn a_close_or_hint_above_the_stamp_asks_for_a_younger_answer() {
    for message in [close(), hint()] {
        let edge = Edge::new();
        publish(&edge, bytes("1")).await;
        let by = publish(&edge, message).await;
        publish(&edge, bytes("3")).await;
        let origin = Origin::of(&edge, |edge, number| async move {
            Ok(match number {
                1 => old(&edge, stream("old\n")),
                2 => cached(stream("new\n"), edge.hub().stamp_at(Position::new(2))),
                _ => return Err("down".into()),
            })
        });
        let mut response = origin.get(&edge).await;
        assert_eq!(ready(response.body_mut()), ["new\n", "3"]);
        assert_eq!(origin.at_least(2), by);
    }
}

/// With the origin down a replayed `close` would end each reconnect at once.
#[tokio::test(start_paused = true)]
async fn a_close_above_the_stamp_of_a_marked_hold_does_not_end_it() {
    let edge = Edge::new();
    publish(&edge, bytes("1")).await;
    publish(&edge, close()).await;
    publish(&edge, bytes("3")).await;
    let origin = Origin::of(&edge, move |edge, number| async move {
        match number {
            1 => Ok(old(&edge, stream("old\n"))),
            _ => Err("down".into()),
        }
    });
    let mut response = origin.get(&edge).await;
    assert!(is_marked(&response));
    assert_eq!(ready(response.body_mut()), ["old\n", "1", "3"]);
    publish(&edge, close()).await;
    assert_eq!(ready(response.body_mut()), ["end"]);
}

/// Messages of which the log remembers the last two, and then a `close`.
async fn overflowed_and_closed() -> Edge {
    let edge = forgetful();
    for n in 1..=4 {
        publish(&edge, bytes(&n.to_string())).await;
    }
    publish(&edge, close()).await;
    edge
}

/// The same where messages are gone as well.
#[tokio::test(start_paused = true)]
async fn d5_a_close_beside_a_gap_does_not_end_each_reconnect() {
    let edge = overflowed_and_closed().await;
    let origin = Origin::of(&edge, move |edge, number| async move {
        match number % 2 {
            1 => Ok(old(&edge, stream("old\n"))),
            _ => Err("down".into()),
        }
    });
    let mut responses = Vec::new();
    for _ in 0..3 {
        let mut response = origin.get(&edge).await;
        assert!(is_marked(&response));
        assert_eq!(ready(response.body_mut()), ["old\n", "4"]);
        responses.push(response);
    }
    publish(&edge, close()).await;
    for mut response in responses {
        assert_eq!(ready(response.body_mut()), ["end"]);
    }
}

#[tokio::test(start_paused = true)]
async fn d5_a_younger_answer_is_above_the_gap_and_the_close() {
    let edge = overflowed_and_closed().await;
    let origin = Origin::of(&edge, move |edge, number| async move {
        Ok(match number {
            1 => old(&edge, stream("old\n")),
            _ => stream("new\n"),
        })
    });
    let mut response = origin.get(&edge).await;
    assert_eq!(ready(response.body_mut()), ["new\n"]);
    assert!(!is_marked(&response));
    assert_eq!(origin.at_least(2), Position::new(5));
}
