//! Random publishers as real ones are, by HTTP: chains over several channels in batches, parallel calls that arrive swapped, calls that
//! never arrive, calls whose connection closes in mid-call, and retries of both. Nothing comes later than an item waits, so every log is in
//! order, has each once, each call is answered in time, and purges hold.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use gripstack::hub::{Delivery, LogLimits, Subscription, Wants};
use gripstack::publish::{Auth, PublishConfig};
use gripstack::{Edge, EdgeBody, Position, Target};
use http::Request;
use http_body_util::Full;
use tokio::time::Instant;
use tower::{Layer, ServiceExt};

use crate::alone::channel;
use crate::hold_support::seeds::Dice;
use crate::hold_support::{Origin, ready, reply};

const CHANNELS: usize = 3;

struct Call {
    items: Vec<(usize, u32)>,
    body: String,
}

/// Sends a call; `leaves`: the connection closes at once.
async fn post(edge: Edge, publisher: gripstack::Publisher, call: std::sync::Arc<Call>, leaves: bool) -> bool {
    let service = publisher.layer(Auth::Open).layer(gripstack::control::NotFound);
    let request = Request::post("/publish/")
        .body(Full::new(Bytes::from(call.body.clone())))
        .expect("valid");
    let begun = Instant::now();
    let answer = service.oneshot(request);
    let mut answer = std::pin::pin!(answer);
    let first = std::future::poll_fn(|cx| std::task::Poll::Ready(answer.as_mut().poll(cx))).await;
    // Its purges have been done.
    for (c, n) in &call.items {
        let at = edge.hub().last_purge(&Target::key(format!("k{c}-{n}")));
        assert!(at > Position::ZERO, "{c}/{n} is not purged");
    }
    let answered: Result<http::Response<EdgeBody>, Infallible> = match first {
        std::task::Poll::Ready(answer) => answer,
        std::task::Poll::Pending if leaves => return false,
        std::task::Poll::Pending => answer.await,
    };
    let answer = answered.expect("infallible");
    assert_eq!(answer.status(), 200, "{:?}", call.items);
    assert!(
        begun.elapsed() <= Duration::from_millis(5_100),
        "{:?}",
        begun.elapsed()
    );
    true
}

async fn read(subscription: &mut Subscription, got: &mut Vec<(u32, Position)>) {
    while let Ok(next) = tokio::time::timeout(Duration::ZERO, subscription.next()).await {
        let Delivery::Message { at, message, .. } = next else {
            panic!("lagged")
        };
        got.push((message.id.as_deref().expect("id").parse().expect("number"), at));
    }
}

async fn run(seed: u64) {
    let mut dice = Dice::new(seed << 20);
    let entries = if dice.one_in(2) { 1_000 } else { 60 };
    let edge = Edge::builder()
        .log_limits(LogLimits::new().entries(entries))
        .build();
    let publisher = edge.publisher(PublishConfig::new());
    let mut logs: Vec<_> = (0..CHANNELS)
        .map(|c| {
            let stamp = edge.hub().stamp_at(Position::ZERO);
            edge.hub()
                .subscribe(&[channel(&format!("c{c}"))], stamp, Wants::Stream)
                .expect("no gap")
        })
        .collect();
    let mut got = vec![Vec::new(); CHANNELS];
    let held = |c: usize, id: bool| {
        let origin = Origin::new(move |_, _| async move {
            let named = if id {
                format!("c{c}; prev-id=0")
            } else {
                format!("c{c}")
            };
            Ok(reply(
                200,
                &[("grip-hold", "stream"), ("grip-channel", &named)],
                "",
            ))
        });
        let edge = edge.clone();
        async move { origin.get(&edge).await }
    };
    let mut streams = Vec::new();
    for c in 0..CHANNELS {
        streams.push((c, held(c, false).await, Vec::new()));
        streams.push((c, held(c, true).await, Vec::new()));
    }
    // A fresh channel knows no last id: there the first to come is the first (D1).
    let mut last = [1u32; CHANNELS];
    for c in 0..CHANNELS {
        let first = crate::hold_support::with_ids("1 ", "1", "0");
        let order = gripstack::Order::publish(channel(&format!("c{c}")), first)
            .and_purge(Target::key(format!("k{c}-1")), gripstack::PurgeMode::Hard);
        edge.submit(order).await.expect("accepted");
    }
    let mut tasks = Vec::new();
    let calls = 20 + dice.roll(60);
    for _ in 0..calls {
        let mut items = Vec::new();
        for _ in 0..=dice.roll(3) {
            let c = dice.roll(CHANNELS as u64) as usize;
            last[c] += 1;
            items.push((c, last[c]));
        }
        let body: Vec<String> = items
            .iter()
            .map(|(c, n)| {
                format!(
                    r#"{{"channel":"c{c}","id":"{n}","prev-id":"{}","surrogate-keys":["k{c}-{n}"],"http-stream":{{"content":"{n} "}}}}"#,
                    n - 1
                )
            })
            .collect();
        let call = std::sync::Arc::new(Call {
            items,
            body: format!("{{\"items\":[{}]}}", body.join(",")),
        });
        let late = [0, 0, 5, 50, 400, 900][dice.roll(6) as usize];
        let fate = dice.roll(6);
        let more = 500 + dice.roll(2_500);
        let (edge_of_call, publisher) = (edge.clone(), publisher.clone());
        tasks.push(tokio::spawn(async move {
            let edge = edge_of_call;
            tokio::time::sleep(Duration::from_millis(late)).await;
            match fate {
                // It is lost on the way, and sent again.
                0 => tokio::time::sleep(Duration::from_millis(more)).await,
                // It comes, the publisher hears nothing, and sends it again.
                1 => {
                    post(edge.clone(), publisher.clone(), call.clone(), true).await;
                    tokio::time::sleep(Duration::from_millis(more)).await;
                }
                // It comes twice at the same time.
                2 => {
                    let (edge, publisher, call) = (edge.clone(), publisher.clone(), call.clone());
                    tokio::spawn(post(edge, publisher, call, false));
                }
                _ => {}
            }
            post(edge, publisher, call, false).await
        }));
        if dice.one_in(20) {
            edge.drain();
        }
        let wait = [0, 0, 10, 100, 300][dice.roll(5) as usize];
        for _ in 0..=wait / 10 {
            tokio::time::sleep(Duration::from_millis(if wait > 0 { 10 } else { 0 })).await;
            for (c, log) in logs.iter_mut().enumerate() {
                read(log, &mut got[c]).await;
            }
            for (_, stream, texts) in &mut streams {
                if texts.last().is_none_or(|text: &String| text != "end") {
                    texts.extend(ready(stream.body_mut()));
                }
            }
        }
    }
    for _ in 0..800 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        for (c, log) in logs.iter_mut().enumerate() {
            read(log, &mut got[c]).await;
        }
        for (_, stream, texts) in &mut streams {
            if texts.last().is_none_or(|text: &String| text != "end") {
                texts.extend(ready(stream.body_mut()));
            }
        }
    }
    for task in tasks {
        assert!(task.is_finished(), "answered");
        task.await.expect("no panic");
    }
    let stats = edge.hub().stats();
    assert_eq!((stats.waiting, stats.waiting_bytes), (0, 0));
    for c in 0..CHANNELS {
        let ids: Vec<u32> = got[c].iter().map(|(n, _)| *n).collect();
        assert_eq!(ids, (1..=last[c]).collect::<Vec<_>>(), "seed {seed}, channel {c}");
        for (n, at) in &got[c] {
            let purged = edge.hub().last_purge(&Target::key(format!("k{c}-{n}")));
            assert!(purged >= *at, "seed {seed}: {c}/{n} at {at}, purged {purged}");
        }
    }
    for (c, _, texts) in &streams {
        let text = texts.concat();
        if let Some(rest) = text.strip_suffix("end") {
            let ids: Vec<u32> = rest
                .split_whitespace()
                .map(|n| n.parse().expect("number"))
                .collect();
            assert_eq!(
                ids,
                (1..=ids.len() as u32).collect::<Vec<_>>(),
                "seed {seed}, stream of {c}"
            );
            continue;
        }
        let ids: Vec<u32> = text
            .split_whitespace()
            .map(|n| n.parse().expect("number"))
            .collect();
        assert_eq!(
            ids,
            (1..=last[*c]).collect::<Vec<_>>(),
            "seed {seed}, stream of {c}"
        );
    }
}

#[test]
fn d1_real_publishers_lose_nothing_and_keep_their_order() {
    let many: u64 = std::env::var("SEEDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(60);
    for seed in 0..many {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(run(seed));
    }
}
