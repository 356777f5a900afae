//! Stream holds: replay and live, keep-alives, ids, ends, and answers that are too old.
#![cfg(all(feature = "hold", feature = "testing"))]

mod hold_support;

use std::time::Duration;

use bytes::Bytes;
use gripstack::body::{EdgeBody, Held};
use gripstack::hold::{EndReason, Lagged};
use gripstack::{Channel, Drain, DrainSignal, Edge, Message, Order, Publication};
use http::Method;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::time::{Instant, advance, timeout};

use hold_support::*;

#[tokio::test(start_paused = true)]
async fn s01_s03_s04_s05_open_pushes_and_a_clean_end() {
    let edge = Edge::new();
    let origin = Origin::fixed(
        200,
        &[
            ("grip-hold", "stream"),
            ("grip-channel", "t"),
            ("content-type", "text/plain"),
            ("content-length", "5"),
        ],
        "open\n",
    );
    let mut response = origin.get(&edge).await;
    assert_eq!(header(&response, "content-length"), None);
    assert_eq!(header(&response, "content-type"), Some("text/plain"));
    assert!(response.extensions().get::<Held>().is_some());
    let end = ended(&response);
    let body = response.body_mut();
    assert_eq!(body.size_hint().exact(), None);
    assert_eq!(ready(body), ["open\n"]);
    publish(&edge, bytes("x\n")).await;
    publish(&edge, Message::bytes(vec![0, 1])).await;
    publish(&edge, answer(200, &[], "not for streams")).await;
    assert_eq!(ready(body), ["x\n", "\0\u{1}"]);
    assert!(!body.is_end_stream());
    advance(Duration::from_secs(3_600)).await;
    assert!(ready(body).is_empty());
    publish(&edge, bytes("last\n")).await;
    publish(&edge, close()).await;
    publish(&edge, bytes("never\n")).await;
    assert_eq!(ready(body), ["last\n", "end"]);
    assert!(body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(0));
    assert_eq!(ready(body), ["end"]);
    assert_eq!(end.reason(), Some(EndReason::Close));
    assert_eq!(subscriptions(&edge), 0);
}

#[tokio::test(start_paused = true)]
async fn d6_a_held_stream_says_nothing_that_a_cache_could_use() {
    let origin = Origin::fixed(
        200,
        &[
            ("grip-hold", "stream"),
            ("grip-channel", "t"),
            ("cache-control", "max-age=60, s-maxage=600"),
            ("cache-control", "no-transform"),
            ("expires", "Thu, 01 Jan 2032 00:00:00 GMT"),
            ("etag", "\"1\""),
            ("last-modified", "Thu, 01 Jan 1998 00:00:00 GMT"),
            ("surrogate-control", "max-age=9"),
            ("cdn-cache-control", "max-age=9"),
            ("content-digest", "sha-256=:x:"),
            ("vary", "accept"),
        ],
        "open\n",
    );
    let response = origin.get(&Edge::new()).await;
    let mut left: Vec<_> = response
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    left.sort_unstable();
    assert_eq!(
        left,
        [("cache-control", "no-store, no-transform"), ("vary", "accept")]
    );
}

#[tokio::test(start_paused = true)]
async fn i33_what_is_pushed_cannot_follow_a_coded_body() {
    let edge = Edge::new();
    for (coding, held) in [
        ("gzip", false),
        ("br, gzip", false),
        ("identity", true),
        ("", true),
    ] {
        let origin = Origin::new(move |_, _| {
            let mut response = stream("open\n");
            let value = coding.parse().expect("valid");
            response.headers_mut().insert("content-encoding", value);
            async { Ok(response) }
        });
        let service = origin.held(edge.hold_layer());
        let response = get(&service).await;
        assert_eq!(response.extensions().get::<Held>().is_some(), held, "{coding}");
        if !held {
            assert_eq!(response.status(), 502);
            let why = "grip-instruct; a stream hold cannot follow a body with Content-Encoding";
            assert_eq!(header(&response, "gripstack-error"), Some(why));
        }
        // HEAD gets no hold, so nothing is in its way.
        let head = send(&service, request(Method::HEAD, "/", &[])).await;
        assert_eq!(head.status(), 200);
    }
}

/// Reads what comes within this time: when, and what.
async fn listen(body: &mut EdgeBody, time: Duration) -> Vec<(Duration, String)> {
    let begun = Instant::now();
    let mut got = Vec::new();
    while let Ok(Some(Ok(frame))) = tokio::time::timeout_at(begun + time, body.frame()).await {
        got.push((
            begun.elapsed(),
            String::from_utf8_lossy(&frame.into_data().unwrap()).into_owned(),
        ));
    }
    got
}

fn keep_alive(value: &'static str) -> Origin {
    Origin::new(move |_, _| async move {
        let headers = [
            ("grip-hold", "stream"),
            ("grip-channel", "t"),
            ("grip-keep-alive", value),
        ];
        Ok(reply(200, &headers, "open\n"))
    })
}

#[tokio::test(start_paused = true)]
async fn s06_keep_alive_idle() {
    let edge = Edge::new();
    let mut response = keep_alive(r"ping\n; format=cstring; timeout=2").get(&edge).await;
    let body = response.body_mut();
    assert_eq!(data(body).await, "open\n");
    let got = listen(body, Duration::from_secs(60)).await;
    assert!(got.len() >= 30 && got.len() <= 40, "{}", got.len());
    let mut before = Duration::ZERO;
    for (at, text) in got {
        assert_eq!(text, "ping\n");
        let pause = at - before;
        assert!(
            pause >= Duration::from_secs(1) && pause <= Duration::from_millis(2_010),
            "{pause:?}"
        );
        before = at;
    }
    // Pushes restart it.
    for _ in 0..20 {
        publish(&edge, bytes("x")).await;
        assert_eq!(data(body).await, "x");
        advance(Duration::from_millis(900)).await;
        assert!(ready(body).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn s07_keep_alive_interval() {
    let edge = Edge::new();
    let origin = keep_alive(r"ping\n; format=cstring; timeout=2; mode=interval");
    let mut response = origin.get(&edge).await;
    let body = response.body_mut();
    let (mut pings, begun) = (0, Instant::now());
    while begun.elapsed() < Duration::from_secs(60) {
        publish(&edge, bytes("x")).await;
        pings += ready(body).iter().filter(|text| *text == "ping\n").count();
        advance(Duration::from_millis(500)).await;
    }
    assert!((28..=40).contains(&pings), "{pings}");
}

#[tokio::test(start_paused = true)]
async fn s08_keep_alive_in_json_is_idle_by_default_and_its_mode_is_read() {
    for (mode, expected) in [("", 0..=0), (r#","mode":"interval""#, 5..=9)] {
        let edge = Edge::new();
        let origin = Origin::new(move |_, _| async move {
            let keep_alive = format!(r#"{{"content":"ping\n","timeout":2{mode}}}"#);
            let hold =
                format!(r#"{{"mode":"stream","channels":[{{"name":"t"}}],"keep-alive":{keep_alive}}}"#);
            let body = format!(r#"{{"hold":{hold}}}"#);
            Ok(reply(200, &[("content-type", "application/grip-instruct")], body))
        });
        let mut response = origin.get(&edge).await;
        let mut pings = 0;
        for _ in 0..20 {
            publish(&edge, bytes("x")).await;
            pings += ready(response.body_mut())
                .iter()
                .filter(|text| *text == "ping\n")
                .count();
            advance(Duration::from_millis(700)).await;
        }
        assert!(expected.contains(&pings), "{mode}: {pings}");
    }
}

#[tokio::test(start_paused = true)]
async fn s09_a_prev_id_without_a_link_is_held() {
    let edge = Edge::new();
    let origin = Origin::fixed(
        200,
        &[("grip-hold", "stream"), ("grip-channel", "t; prev-id=1")],
        "open\n",
    );
    let mut response = origin.get(&edge).await;
    assert_eq!(ready(response.body_mut()), ["open\n"]);
    advance(Duration::from_secs(60)).await;
    publish(&edge, with_ids("2", "2", "1")).await;
    assert_eq!(ready(response.body_mut()), ["2"]);
}

/// A body of these pieces, then trailers.
fn pieces(pieces: Vec<Bytes>) -> EdgeBody {
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-checksum", "1".parse().unwrap());
    let frames = pieces
        .into_iter()
        .map(Frame::data)
        .chain([Frame::trailers(trailers)]);
    EdgeBody::new(http_body_util::StreamBody::new(tokio_stream::iter(
        frames.map(Ok::<_, gripstack::BoxError>).collect::<Vec<_>>(),
    )))
}

#[tokio::test(start_paused = true)]
async fn s10_s11_a_long_body_is_delivered_whole_then_held() {
    let edge = Edge::new();
    let origin = Origin::new(|_, _| async {
        let headers = [
            ("grip-hold", "stream"),
            ("grip-channel", "t"),
            ("grip-expose-headers", "X-A"),
            ("x-a", "1"),
            ("x-b", "2"),
        ];
        let mut response = reply(200, &headers, "");
        *response.body_mut() = pieces(vec![
            Bytes::from(vec![b'x'; 50_000]),
            Bytes::new(),
            vec![b'y'; 100_000].into(),
        ]);
        Ok(response)
    });
    let mut response = origin.get(&edge).await;
    assert_eq!(header(&response, "x-a"), Some("1"));
    assert_eq!(header(&response, "x-b"), None);
    let got = ready(response.body_mut());
    assert_eq!(
        got.iter().map(String::len).collect::<Vec<_>>(),
        [50_000, 100_000],
        "no empty frame, no trailers"
    );
    publish(&edge, bytes("1")).await;
    assert_eq!(ready(response.body_mut()), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn s19_without_ids_in_the_body_arbitrary_ids_are_delivered() {
    let edge = Edge::new();
    let mut response = Origin::streams("").get(&edge).await;
    for (id, prev_id) in [("7", ""), ("2", ""), ("b", "2"), ("c", "b")] {
        publish(&edge, with_ids(id, id, prev_id)).await;
    }
    assert_eq!(ready(response.body_mut()), ["7", "2", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn s22_s23_a_hint_means_nothing_to_a_stream() {
    let edge = Edge::new();
    let origin = Origin::streams("open\n");
    let mut response = origin.get(&edge).await;
    publish(&edge, bytes("1")).await;
    publish(&edge, hint()).await;
    publish(&edge, bytes("2")).await;
    assert_eq!(ready(response.body_mut()), ["open\n", "1", "2"]);
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn s27_whoever_does_not_read_loses_nothing_while_the_log_reaches_back() {
    let edge = Edge::new();
    let mut response = Origin::streams("").get(&edge).await;
    assert!(ready(response.body_mut()).is_empty());
    for n in 0..1_000 {
        publish(&edge, bytes(&n.to_string())).await;
    }
    let expected: Vec<String> = (0..1_000).map(|n| n.to_string()).collect();
    assert_eq!(ready(response.body_mut()), expected);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_falls_behind_is_cut_so_that_it_comes_back() {
    let edge = forgetful();
    let mut response = Origin::streams("").get(&edge).await;
    let end = ended(&response);
    publish(&edge, bytes("1")).await;
    assert_eq!(ready(response.body_mut()), ["1"]);
    for n in 2..=5 {
        publish(&edge, bytes(&n.to_string())).await;
    }
    let error = response
        .body_mut()
        .frame()
        .await
        .expect("no clean end")
        .expect_err("it lagged");
    assert!(error.is::<Lagged>());
    assert_eq!(end.reason(), Some(EndReason::Lagged));
    assert!(response.body().is_end_stream());
    assert_eq!(subscriptions(&edge), 0);
}

#[tokio::test(start_paused = true)]
async fn a_channel_declared_latest_skips_instead() {
    let edge = forgetful();
    let mut response = Origin::streams("").get(&edge).await;
    assert!(ready(response.body_mut()).is_empty());
    for n in 1..=9 {
        let publication = Publication::new(channel("t"), bytes(&n.to_string())).latest();
        let order = Order::default().and(publication);
        edge.submit(order).await.expect("accepted");
    }
    assert_eq!(ready(response.body_mut()), ["9"]);
}

/// D3: its client comes back, too, but it is not cut at once.
#[tokio::test(start_paused = true)]
async fn d3_who_falls_behind_while_reading_the_initial_body_goes_live() {
    let edge = forgetful();
    let origin = Origin::streams("open\n");
    let mut response = origin.get(&edge).await;
    let end = ended(&response);
    for n in 1..=5 {
        publish(&edge, bytes(&n.to_string())).await;
    }
    let body = response.body_mut();
    assert_eq!(ready(body), ["open\n", "4", "5"]);
    publish(&edge, bytes("6")).await;
    assert_eq!(ready(body), ["6"]);
    let begun = Instant::now();
    assert!(body.frame().await.is_none());
    let lasted = begun.elapsed();
    assert!(
        lasted >= Duration::from_secs(30) && lasted <= Duration::from_secs(91),
        "{lasted:?}"
    );
    assert_eq!(end.reason(), Some(EndReason::Gap));
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hold_has_a_maximum_age() {
    let edge = Edge::new();
    let origin = keep_alive("x; timeout=3600");
    let service = origin.held(edge.hold_layer().max_age(Duration::from_secs(1_000)));
    let mut response = get(&service).await;
    let end = ended(&response);
    let begun = Instant::now();
    assert_eq!(data(response.body_mut()).await, "open\n");
    assert!(response.body_mut().frame().await.is_none());
    let lasted = begun.elapsed();
    assert!(
        lasted >= Duration::from_secs(900) && lasted <= Duration::from_secs(1_101),
        "{lasted:?}"
    );
    assert_eq!(end.reason(), Some(EndReason::Expired));
}

#[tokio::test(start_paused = true)]
async fn an_initial_body_that_never_ends_has_the_same_age() {
    let edge = Edge::new();
    let origin = Origin::new(|_, _| async {
        let mut response = stream("");
        *response.body_mut() = silent();
        Ok(response)
    });
    let mut response = get(&origin.held(edge.hold_layer().max_age(Duration::from_secs(100)))).await;
    assert!(response.body_mut().frame().await.is_none());
    assert_eq!(subscriptions(&edge), 0);
    // And it drains.
    let mut response = origin.get(&edge).await;
    assert!(ready(response.body_mut()).is_empty());
    edge.drain();
    assert!(response.body_mut().frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_streams_after_what_was_published() {
    for servers in [false, true] {
        let edge = Edge::new();
        let (signal, watch): (DrainSignal, Drain) = DrainSignal::new();
        let service = Origin::streams("open\n").held(edge.hold_layer());
        let mut request = request(Method::GET, "/", &[]);
        if servers {
            request.extensions_mut().insert(watch);
        }
        let mut response = send(&service, request).await;
        let end = ended(&response);
        assert_eq!(ready(response.body_mut()), ["open\n"]);
        publish(&edge, bytes("1")).await;
        if servers {
            signal.start();
        } else {
            edge.drain();
        }
        assert_eq!(ready(response.body_mut()), ["1", "end"]);
        assert_eq!(end.reason(), Some(EndReason::Drain));
        assert_eq!(subscriptions(&edge), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn in_a_drain_that_is_spread_holds_end_one_after_the_other() {
    let edge = Edge::new();
    let layer = edge.hold_layer().drain_spread(Duration::from_secs(100));
    let service = Origin::streams("open\n").held(layer);
    let mut held = Vec::new();
    for _ in 0..64 {
        let mut response = get(&service).await;
        assert_eq!(ready(response.body_mut()), ["open\n"]);
        held.push(response);
    }
    edge.drain();
    publish(&edge, bytes("late")).await;
    let mut open = || {
        let seen: Vec<_> = held
            .iter_mut()
            .map(|response| ready(response.body_mut()))
            .collect();
        held.retain(|response| !response.body().is_end_stream());
        (seen, held.len())
    };
    let (seen, at_once) = open();
    // Who is still there has what was published meanwhile.
    assert!(seen.iter().all(|seen| seen[0] == "late"), "{seen:?}");
    advance(Duration::from_secs(50)).await;
    let (_, halfway) = open();
    advance(Duration::from_secs(51)).await;
    let (_, at_last) = open();
    assert!(at_once > halfway && halfway > 0, "{at_once}, {halfway}");
    assert_eq!((at_last, subscriptions(&edge)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn each_reader_of_events_is_told_a_time_of_its_own_to_come_back() {
    let edge = Edge::new();
    const EVENTS: &[(&str, &str)] = &[
        ("grip-hold", "stream"),
        ("grip-channel", "t"),
        ("content-type", "Text/Event-Stream; charset=utf-8"),
    ];
    let service = |headers: &'static [(&str, &str)], body| {
        let layer = edge.hold_layer();
        let layer = layer.retry(Duration::from_secs(1)..=Duration::from_secs(10_000));
        Origin::fixed(200, headers, body).held(layer)
    };
    let service_of_events = service(EVENTS, "data: 0\n\n");
    let mut times = Vec::new();
    for _ in 0..8 {
        let mut response = get(&service_of_events).await;
        let got = ready(response.body_mut());
        let [retry, first] = &got[..] else {
            panic!("{got:?}");
        };
        let time = retry
            .strip_prefix("retry: ")
            .and_then(|rest| rest.strip_suffix("\n\n"));
        times.push(time.expect("a line").parse::<u64>().expect("milliseconds"));
        assert_eq!(first, "data: 0\n\n");
    }
    assert!(
        times.iter().all(|time| (1_000..=10_000_000).contains(time)),
        "{times:?}"
    );
    times.dedup();
    assert!(times.len() > 1, "{times:?}");
    let mut response = get(&service(&EVENTS[..2], "data: 0\n\n")).await;
    assert_eq!(
        ready(response.body_mut()),
        ["data: 0\n\n"],
        "it does not say that these are events"
    );
}

#[tokio::test(start_paused = true)]
async fn a_backlog_does_not_put_off_a_drain() {
    let edge = Edge::new();
    let mut response = Origin::streams("").get(&edge).await;
    for n in 0..1_000 {
        publish(&edge, bytes(&n.to_string())).await;
    }
    edge.drain();
    let got = ready(response.body_mut());
    assert_eq!(got.last().map(String::as_str), Some("end"));
    assert!(got.len() < 100, "{}", got.len());
}

#[tokio::test(start_paused = true)]
async fn a_waiting_reader_is_woken() {
    let edge = Edge::new();
    let service = Origin::streams("").held(edge.hold_layer());
    let mut response = get(&service).await;
    let reader = tokio::spawn(async move { data(response.body_mut()).await });
    tokio::task::yield_now().await;
    publish(&edge, bytes("1")).await;
    assert_eq!(reader.await.expect("no panic"), "1");
    let mut response = get(&service).await;
    let reader = tokio::spawn(async move { response.body_mut().frame().await.is_none() });
    tokio::task::yield_now().await;
    edge.drain();
    assert!(reader.await.expect("no panic"));
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_breaks_off_breaks_the_stream_off() {
    let edge = Edge::new();
    let origin = Origin::new(|_, _| async {
        let frames = [Ok(Frame::data(Bytes::from("op"))), Err("broken")];
        let mut response = stream("");
        *response.body_mut() = EdgeBody::new(http_body_util::StreamBody::new(tokio_stream::iter(frames)));
        Ok(response)
    });
    let mut response = origin.get(&edge).await;
    let end = ended(&response);
    assert_eq!(ready(response.body_mut()), ["op", "error"]);
    assert_eq!(end.reason(), Some(EndReason::OriginBroke));
    assert_eq!(subscriptions(&edge), 0);
}

#[tokio::test(start_paused = true)]
async fn d2_ids_across_a_replay_and_a_gap() {
    let edge = Edge::new();
    let origin = Origin::of(&edge, |edge, _| async move {
        // Stored and published while the fetch is under way: the body contains both.
        publish(&edge, with_ids("9", "9", "8")).await;
        publish(&edge, with_ids("10", "10", "9")).await;
        Ok(reply(
            200,
            &[("grip-hold", "stream"), ("grip-channel", "t; prev-id=10")],
            "open\n",
        ))
    });
    let mut response = origin.get(&edge).await;
    let body = response.body_mut();
    assert_eq!(ready(body), ["open\n"]);
    publish(&edge, with_ids("11", "11", "10")).await;
    assert_eq!(ready(body), ["11"]);
    // The edge itself waits for 12, then gives up; the hold waits as long again.
    let late = tokio::spawn({
        let edge = edge.clone();
        async move { publish(&edge, with_ids("13", "13", "12")).await }
    });
    let begun = Instant::now();
    assert_eq!(data(body).await, "13");
    assert!(begun.elapsed() >= Duration::from_secs(10) && begun.elapsed() <= Duration::from_millis(10_100));
    late.await.expect("no panic");
    publish(&edge, with_ids("14", "14", "13")).await;
    assert_eq!(ready(body), ["14"]);
}

/// Two publishers, and a channel that knows no last id: the second message came first. Nobody stays on the first one.
#[tokio::test(start_paused = true)]
async fn d1_d2_the_first_messages_of_a_channel_may_come_in_any_order() {
    let edge = Edge::new();
    let held = [("grip-hold", "stream"), ("grip-channel", "t; prev-id=0")];
    let origin = Origin::new(move |_, _| async move { Ok(reply(200, &held, "0")) });
    let mut response = origin.get(&edge).await;
    let body = response.body_mut();
    assert_eq!(ready(body), ["0"]);
    publish(&edge, with_ids("2", "2", "1")).await;
    tokio::time::advance(Duration::from_secs(1)).await;
    let late = tokio::spawn({
        let edge = edge.clone();
        async move { publish(&edge, with_ids("1", "1", "0")).await }
    });
    assert_eq!((data(body).await, data(body).await), ("1".into(), "2".into()));
    late.await.expect("no panic");
    publish(&edge, with_ids("3", "3", "2")).await;
    assert_eq!(ready(body), ["3"]);
}

/// Of one order, and after a message without an id: what is late waits no longer than holds do.
#[tokio::test(start_paused = true)]
async fn d1_d2_no_stream_stays_on_what_the_log_has_late() {
    let held = [("grip-hold", "stream"), ("grip-channel", "t; prev-id=0")];
    let item = |id: u32| with_ids(&id.to_string(), &id.to_string(), &(id - 1).to_string());
    let publication = |message| Publication::new(Channel::new("t").expect("valid"), message);
    for (orders, seen) in [
        (vec![vec![item(2), item(1)]], &["1", "2"][..]),
        (
            vec![
                vec![item(1)],
                vec![item(3)],
                vec![Message::bytes("-")],
                vec![item(4)],
                vec![item(2)],
            ],
            &["1", "-", "2", "3", "4"],
        ),
    ] {
        let edge = Edge::new();
        let origin = Origin::new(move |_, _| async move { Ok(reply(200, &held, "")) });
        let mut response = origin.get(&edge).await;
        let body = response.body_mut();
        let mut got = Vec::new();
        for messages in orders {
            let order: Order = messages.into_iter().map(publication).collect();
            let edge = edge.clone();
            tokio::spawn(async move { edge.submit(order).await });
            while let Ok(data) = timeout(Duration::from_secs(1), data(body)).await {
                got.push(data);
            }
        }
        while let Ok(data) = timeout(Duration::from_secs(20), data(body)).await {
            got.push(data);
        }
        assert_eq!(got, seen);
    }
}

/// Whatever the order in which messages come, and of how many orders: each once, in the order of their ids, at once when the
/// last of them has come; on a new channel and on one that knows a last id.
#[tokio::test(start_paused = true)]
async fn d1_d2_any_order_of_messages_is_put_right() {
    const LAST: u32 = 4;
    let held = [("grip-hold", "stream"), ("grip-channel", "t; prev-id=0")];
    let publication = |id: &u32| {
        let message = with_ids(
            &id.to_string(),
            &id.to_string(),
            &(i64::from(*id) - 1).to_string(),
        );
        Publication::new(Channel::new("t").expect("valid"), message)
    };
    let in_order: Vec<String> = (1..=LAST).map(|id| id.to_string()).collect();
    for ids in permutations(&(1..=LAST).collect::<Vec<_>>()) {
        for cuts in 0..1 << (LAST - 1) {
            for is_new in [true, false] {
                let edge = Edge::new();
                let origin = Origin::new(move |_, _| async move { Ok(reply(200, &held, "")) });
                if !is_new {
                    edge.submit(Order::from_iter([publication(&0)]))
                        .await
                        .expect("accepted");
                }
                let mut response = origin.get(&edge).await;
                let body = response.body_mut();
                let mut got = Vec::new();
                let mut rest = &ids[..];
                while !rest.is_empty() {
                    let is_cut =
                        |n: &usize| *n == rest.len() || cuts & 1 << (ids.len() - rest.len() + n - 1) != 0;
                    let (now, later) = rest.split_at((1..=rest.len()).find(is_cut).expect("the end"));
                    rest = later;
                    advance(Duration::from_secs(1)).await;
                    let order: Order = now.iter().map(publication).collect();
                    let edge = edge.clone();
                    tokio::spawn(async move { edge.submit(order).await });
                    tokio::task::yield_now().await;
                    got.extend(ready(body));
                }
                let case = format!("{ids:?} cut at {cuts:b}, new: {is_new}");
                assert_eq!(got, in_order, "{case}");
                assert_eq!(edge.hub().stats().waiting, 0, "{case}");
            }
        }
    }
}

fn permutations(of: &[u32]) -> Vec<Vec<u32>> {
    let Some((first, rest)) = of.split_first() else {
        return vec![Vec::new()];
    };
    let all = permutations(rest).into_iter().flat_map(|rest| {
        (0..=rest.len()).map(move |place| {
            let mut one = rest.clone();
            one.insert(place, *first);
            one
        })
    });
    all.collect()
}

/// Longest of all durations: nothing overflows, and the hold just stays.
#[tokio::test(start_paused = true)]
async fn a_hold_may_last_for_ever() {
    let edge = Edge::new();
    let layer = edge.hold_layer().max_age(Duration::MAX).marked_age(Duration::MAX);
    let mut response = get(&Origin::streams("0").held(layer.clone())).await;
    publish(&edge, bytes("1")).await;
    assert_eq!(ready(response.body_mut()), ["0", "1"]);
    let origin = Origin::polls("nothing");
    let service = origin.held(layer);
    let waiting = start(&service, request(Method::GET, "/", &[]));
    assert_eq!(
        text(waiting.done().await).await,
        "nothing",
        "its own timeout counts"
    );
}

/// States do not say what they follow. One that is older than the body is not the last that a client sees.
#[tokio::test(start_paused = true)]
async fn d2_a_state_that_the_body_contains_comes_after_an_older_one() {
    let edge = Edge::new();
    let state = |n: &str, prev_id: &str| {
        Order::from_iter([Publication::new(channel("t"), with_ids(n, n, prev_id)).latest()])
    };
    // Both are stored, but not published before the body is made.
    let origin = Origin::new(|_, _| async {
        let held = [("grip-hold", "stream"), ("grip-channel", "t; prev-id=2")];
        Ok(reply(200, &held, "2"))
    });
    let mut response = origin.get(&edge).await;
    edge.submit(state("1", "0")).await.expect("accepted");
    assert_eq!(ready(response.body_mut()), ["2", "1"]);
    edge.submit(state("2", "1")).await.expect("accepted");
    assert_eq!(ready(response.body_mut()), ["2"]);
    edge.submit(state("3", "2")).await.expect("accepted");
    assert_eq!(ready(response.body_mut()), ["3"]);
}

/// What is withheld came before it.
#[tokio::test(start_paused = true)]
async fn d3_a_close_takes_nothing_that_is_withheld() {
    let edge = Edge::new();
    let held = [("grip-hold", "stream"), ("grip-channel", "t; prev-id=1")];
    let origin = Origin::new(move |_, _| async move { Ok(reply(200, &held, "1")) });
    let mut response = origin.get(&edge).await;
    assert_eq!(ready(response.body_mut()), ["1"]);
    publish(&edge, with_ids("3", "3", "2")).await;
    publish(&edge, bytes("x")).await;
    publish(&edge, close()).await;
    let body = response.body_mut();
    assert!(ready(body).is_empty(), "a gap");
    assert_eq!(data(body).await, "3");
    assert_eq!(ready(body), ["x", "end"]);
}

/// A message in another form has come all the same: there is no gap.
#[tokio::test(start_paused = true)]
async fn d2_a_stream_misses_nothing_where_a_message_was_for_long_polls_only() {
    let edge = Edge::new();
    let held = [("grip-hold", "stream"), ("grip-channel", "t; prev-id=1, u")];
    let origin = Origin::new(move |_, _| async move { Ok(reply(200, &held, "1")) });
    let mut response = origin.get(&edge).await;
    let body = response.body_mut();
    assert_eq!(ready(body), ["1"]);
    publish(&edge, identified(answer(200, &[], "2"), "2", "1")).await;
    assert!(ready(body).is_empty());
    publish(&edge, with_ids("3", "3", "2")).await;
    assert_eq!(ready(body), ["3"]);
}
