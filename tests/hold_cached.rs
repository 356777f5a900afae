//! Long polls over our cache.
#![cfg(all(feature = "hold", feature = "cache", feature = "testing"))]

mod hold_support;

use gripstack::{Edge, Order, PurgeMode, Target};
use http::Method;

use hold_support::*;

/// An origin whose answers are held, and cached with these fields.
fn origin(fields: &'static [(&'static str, &'static str)]) -> Origin {
    Origin::new(move |_, _| async move {
        let held = [("grip-hold", "response"), ("grip-channel", "t; prev-id=1")];
        Ok(reply(200, &[&held[..], fields].concat(), "nothing\n"))
    })
}

/// A body that names another id than the log's last is asked for anew once, not by each who polls, whatever is published
/// elsewhere.
#[tokio::test(start_paused = true)]
async fn m4_polls_whose_answer_names_another_id_share_what_it_costs() {
    let edge = Edge::new();
    let origin = origin(&[("cache-control", "max-age=60")]);
    let service = origin.cached(&edge);
    let poll = || start(&service, request(Method::GET, "/", &[("host", "h")]));
    let mut first = poll();
    assert!(first.now().await.is_none());
    assert_eq!(origin.calls(), 1);
    publish(&edge, identified(answer(200, &[], "2\n"), "2", "1")).await;
    assert_eq!(text(first.now().await.expect("answered")).await, "2\n");
    let mut waiting = Vec::new();
    for n in 0..20 {
        publish_on(&edge, "foreign", bytes("x")).await;
        let mut poll = poll();
        assert!(poll.now().await.is_none(), "{n}");
        waiting.push(poll);
    }
    assert_eq!(origin.calls(), 2, "one that contains the message");
    publish(&edge, identified(answer(200, &[], "3\n"), "3", "2")).await;
    for poll in waiting {
        poll.done().await;
    }
}

/// RFC 9110 13.2.2: the cache gives the hold all of an answer; what the client gets is judged by its condition.
#[tokio::test(start_paused = true)]
async fn a_timeout_answer_heeds_the_clients_condition() {
    let fields: [&[(&str, &str)]; 2] = [
        &[
            ("cache-control", "max-age=600"),
            ("etag", "\"5\""),
            ("content-type", "text/plain"),
        ],
        &[
            ("cache-control", "no-store"),
            ("etag", "\"5\""),
            ("content-type", "text/plain"),
        ],
    ];
    for fields in fields {
        for (condition, has_it) in [("\"5\"", true), ("W/\"5\"", true), ("\"4\"", false)] {
            let edge = Edge::new();
            let origin = origin(fields);
            let service = origin.cached(&edge);
            // What is not stored passes from the second time on, with its condition.
            let times = if fields[0].1 == "no-store" { 1 } else { 2 };
            for time in 0..times {
                let asks = request(Method::GET, "/", &[("host", "h"), ("if-none-match", condition)]);
                let response = start(&service, asks).done().await;
                let case = format!("{fields:?}, {condition}, {time}");
                assert_eq!(response.status(), if has_it { 304 } else { 200 }, "{case}");
                assert_eq!(header(&response, "cache-control"), Some("no-store"));
                assert_eq!(header(&response, "etag"), None);
                let length = (!has_it).then_some("8");
                assert_eq!(header(&response, "content-length"), length, "{case}");
                assert_eq!(response.headers().contains_key("content-type"), !has_it, "{case}");
                assert_eq!(text(response).await, if has_it { "" } else { "nothing\n" });
            }
            assert_eq!(origin.calls(), 1);
        }
    }
}

/// A message is news, whatever the client has.
#[tokio::test(start_paused = true)]
async fn a_message_answers_also_who_has_the_timeouts_answer() {
    let edge = Edge::new();
    let origin = origin(&[("cache-control", "max-age=600"), ("etag", "\"5\"")]);
    let service = origin.cached(&edge);
    let asks = request(Method::GET, "/", &[("host", "h"), ("if-none-match", "\"5\"")]);
    let mut waiting = start(&service, asks);
    assert!(waiting.now().await.is_none());
    publish(&edge, identified(answer(200, &[], "2\n"), "2", "1")).await;
    let response = waiting.now().await.expect("answered");
    assert_eq!(response.status(), 200);
    assert_eq!(text(response).await, "2\n");
}

/// Each answer that came through the cache says so, whatever form the origin's instructions have, after what others said.
#[tokio::test(start_paused = true)]
async fn grp_04_instructions_in_json_keep_what_the_cache_says() {
    const JSON: &str = r#"{"hold":{"mode":"stream","channels":[{"name":"t"}]},
        "response":{"headers":{"Cache-Status":"app; hit"},"body":"hi"}}"#;
    for (reuse, said) in [("no-store", "no-store"), ("max-age=60", "stored")] {
        let origin = Origin::new(move |_, _| async move {
            let fields = [
                ("content-type", "application/grip-instruct"),
                ("cache-control", reuse),
            ];
            Ok(reply(200, &fields, JSON))
        });
        let service = origin.cached(&Edge::new());
        let response = send(&service, request(Method::GET, "/", &[("host", "h")])).await;
        let members = response.headers().get_all("cache-status");
        let members: Vec<_> = members
            .iter()
            .map(|value| value.to_str().expect("text"))
            .collect();
        assert_eq!(members.len(), 2, "{members:?}");
        assert_eq!(members[0], "app; hit");
        assert!(
            members[1].starts_with("gripstack; ") && members[1].contains(said),
            "{members:?}"
        );
    }
}

/// A cache keeps `Grip-Last` from the origin, whose answer is for all: it holds once more, and knows nothing of what this
/// client lacks.
#[tokio::test(start_paused = true)]
async fn d3_a_message_whose_predecessor_is_missing_answers_a_poll_over_the_cache() {
    let edge = Edge::new();
    let origin = Origin::new(|number, _| async move {
        let channel = format!("t; prev-id={}", if number == 1 { 1 } else { 3 });
        let fields = [
            ("grip-hold", "response"),
            ("grip-channel", channel.as_str()),
            ("cache-control", "max-age=60"),
        ];
        Ok(reply(200, &fields, "nothing\n"))
    });
    let service = origin.cached(&edge);
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let mut poll = start(&service, request(Method::GET, "/", &[("host", "h")]));
        assert!(poll.now().await.is_none());
        waiting.push(poll);
    }
    assert_eq!(origin.calls(), 1);
    let begun = tokio::time::Instant::now();
    publish(&edge, identified(answer(200, &[], "3\n"), "3", "2")).await;
    for poll in waiting {
        let response = poll.done().await;
        let mut said = response.headers().get_all("cache-status").iter();
        assert!(said.any(|said| said == "gripstack; detail=gap"), "{said:?}");
        assert_eq!(text(response).await, "3\n");
    }
    assert!(begun.elapsed() < std::time::Duration::from_secs(5));
    assert_eq!(origin.calls(), 2);
}

/// An origin whose answers are held, cached, and name the last id that is stored, and a publisher that stores first.
struct Counting {
    edge: Edge,
    origin: Origin,
    stored: std::sync::Arc<std::sync::atomic::AtomicU32>,
}

impl Counting {
    fn new() -> Self {
        let stored = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(1));
        let last = stored.clone();
        let origin = Origin::new(move |_, _| {
            let last = last.load(std::sync::atomic::Ordering::SeqCst);
            async move {
                let channel = format!("t; prev-id={last}");
                let fields = [
                    ("grip-hold", "response"),
                    ("grip-channel", channel.as_str()),
                    ("cache-control", "max-age=60"),
                    ("etag", &format!("\"{last}\"")),
                ];
                Ok(reply(200, &fields, "nothing\n"))
            }
        });
        Self {
            edge: Edge::new(),
            origin,
            stored,
        }
    }

    fn store(&self) -> u32 {
        1 + self.stored.fetch_add(1, std::sync::atomic::Ordering::SeqCst)
    }

    async fn publish(&self, value: u32) {
        let message = answer(200, &[], &value.to_string());
        let message = identified(message, &value.to_string(), &(value - 1).to_string());
        publish(&self.edge, message).await;
    }
}

/// The answer was made after the message was accepted, but its body is not what a poll gets.
#[tokio::test(start_paused = true)]
async fn m2_what_came_while_a_poll_waited_for_a_younger_answer_answers_it() {
    for between in 1..4 {
        let world = Counting::new();
        let service = world.origin.cached(&world.edge);
        let poll = || start(&service, request(Method::GET, "/", &[("host", "h")]));
        for n in 2..4 {
            let mut waiting = poll();
            assert!(waiting.now().await.is_none());
            world.publish(world.store()).await;
            assert_eq!(text(waiting.done().await).await, n.to_string());
        }
        let mut waiting = poll();
        assert!(waiting.now().await.is_none());
        assert_eq!(world.origin.calls(), 2, "it waits for its turn");
        for _ in 0..between {
            world.publish(world.store()).await;
        }
        let begun = tokio::time::Instant::now();
        let response = waiting.done().await;
        assert!(begun.elapsed() <= std::time::Duration::from_secs(1), "{between}");
        assert!(!is_marked(&response));
        assert_eq!(text(response).await, "4", "{between}");
    }
}

/// Numbers that look random, the same ones each time.
fn numbers(mut seed: u64) -> impl FnMut(u64) -> std::time::Duration + Send {
    move |below| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        std::time::Duration::from_millis((seed >> 33) % below.max(1))
    }
}

/// Whatever is published when, each poll is answered by the first message that was accepted after it came.
#[tokio::test(start_paused = true)]
async fn m2_each_poll_is_answered_by_the_first_message_after_it_came() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    let cases = [
        (false, "max-age=60"),
        (true, "max-age=60"),
        (true, "max-age=1, stale-while-revalidate=60"),
        (false, "no-store"),
        (true, "no-cache"),
    ];
    for (seed, (ids, policy)) in (0..).zip(cases.into_iter().cycle().take(25)) {
        let hints = seed % 2 == 1;
        let modes = match seed % 3 {
            0 => vec![],
            _ => vec![PurgeMode::Hard, PurgeMode::SoftBlock, PurgeMode::Soft],
        };
        let case = format!("{seed} {ids} {policy}");
        let edge = Edge::new();
        let (stored, accepted) = (Arc::new(AtomicU32::new(1)), Arc::new(AtomicU32::new(1)));
        let origin = {
            let stored = stored.clone();
            Origin::new(move |number, call| {
                let stored = stored.clone();
                async move {
                    let mut random = numbers(number as u64 + 1_000 * seed);
                    tokio::time::sleep(random(200)).await;
                    let last = stored.load(Ordering::SeqCst);
                    tokio::time::sleep(random(200)).await;
                    let channel = if ids {
                        format!("t; prev-id={last}")
                    } else {
                        "t".into()
                    };
                    let tag = format!("\"{last}\"");
                    let fields = [
                        ("grip-hold", "response"),
                        ("grip-channel", channel.as_str()),
                        ("cache-control", policy),
                        ("etag", tag.as_str()),
                    ];
                    let unchanged = call.header("if-none-match") == Some(&tag);
                    Ok(reply(if unchanged { 304 } else { 200 }, &fields, "nothing\n"))
                }
            })
        };
        let service = origin.cached(&edge);
        let publisher = tokio::spawn({
            let (edge, accepted) = (edge.clone(), accepted.clone());
            async move {
                let mut random = numbers(seed);
                loop {
                    let value = 1 + stored.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(random(50)).await;
                    let mut message = answer(200, &[], &value.to_string());
                    if ids {
                        message = identified(message, &value.to_string(), &(value - 1).to_string());
                    }
                    let mut order = Order::publish(channel("t"), message);
                    if let Some(mode) = modes.get(random(6).as_millis() as usize) {
                        order = order.and_purge(Target::url("h", "/"), *mode);
                    }
                    edge.submit(order).await.expect("accepted");
                    accepted.store(value, Ordering::SeqCst);
                    if hints && random(4).is_zero() {
                        publish(&edge, hint()).await;
                    }
                    let pause = random(3);
                    tokio::time::sleep(random([5, 300, 2_500][pause.as_millis() as usize])).await;
                }
            }
        });
        let mut clients = tokio::task::JoinSet::new();
        for n in 0..5 {
            let (service, accepted, case) = (service.clone(), accepted.clone(), case.clone());
            clients.spawn(async move {
                let mut random = numbers(100 * n + seed);
                for time in 0..40 {
                    tokio::time::sleep(random(1_000)).await;
                    let before = accepted.load(Ordering::SeqCst);
                    let response = start(&service, request(Method::GET, "/", &[("host", "h")]))
                        .done()
                        .await;
                    let said = format!("{:?}", response.headers());
                    let got = text(response).await;
                    assert_eq!(got, (before + 1).to_string(), "{case}: {n} {time} {said}");
                    // What waits for its predecessor when a hint comes may be out of order.
                    assert!(hints || !said.contains("detail=gap"), "{case}: {n} {time} {said}");
                }
            });
        }
        while let Some(done) = clients.join_next().await {
            done.expect("no panic");
        }
        publisher.abort();
    }
}
