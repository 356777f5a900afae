//! Long polls over our cache.
#![cfg(all(feature = "hold", feature = "cache", feature = "testing"))]

mod hold_support;

use gripstack::Edge;
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
