//! Nothing falls between an answer and its hold, whatever is published when.
#![cfg(all(feature = "hold", feature = "testing"))]

mod hold_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gripstack::body::EdgeBody;
use gripstack::{Edge, Message, Stamp};
use http_body::Frame;
use http_body_util::BodyExt;
use parking_lot::Mutex;

use hold_support::*;

/// An application with one value. It stores a change before it publishes it.
#[derive(Clone)]
struct App {
    edge: Edge,
    value: Arc<AtomicU32>,
    ids: bool,
}

impl App {
    fn new(ids: bool) -> Self {
        Self {
            edge: Edge::new(),
            value: Arc::default(),
            ids,
        }
    }

    fn store(&self) -> u32 {
        self.value.fetch_add(1, Ordering::SeqCst) + 1
    }

    async fn publish(&self, value: u32) {
        let mut message = Message::bytes(value.to_string());
        if self.ids {
            message = message
                .with_id(value.to_string())
                .with_prev_id((value - 1).to_string());
        }
        publish(&self.edge, message).await;
    }

    async fn change(&self) {
        self.publish(self.store()).await;
    }

    fn head(&self, value: u32) -> Vec<(&'static str, String)> {
        let channel = if self.ids {
            format!("t; prev-id={value}")
        } else {
            "t".into()
        };
        vec![("grip-hold", "stream".into()), ("grip-channel", channel)]
    }

    fn answer(&self) -> http::Response<EdgeBody> {
        let value = self.value.load(Ordering::SeqCst);
        let head = self.head(value);
        let head: Vec<_> = head.iter().map(|(name, value)| (*name, &**value)).collect();
        reply(200, &head, format!("{value}"))
    }
}

/// Checks what one client got: its body's value, then every later one, in order, up to the last.
fn check(got: &[String], last: u32, ids: bool, case: &str) {
    let got: Vec<u32> = got
        .iter()
        .map(|value| value.parse().unwrap_or_else(|_| panic!("{case}: {got:?}")))
        .collect();
    let mut at = got[0];
    for &value in &got[1..] {
        // Without ids a client may be told what its body contains already.
        assert!(value == at + 1 || (!ids && value <= got[0]), "{case}: {got:?}");
        at = at.max(value);
    }
    assert_eq!(at, last, "{case}: {got:?}");
}

/// A change at every step of a fetch: before it, while it is under way before and after the body is made, at its
/// head, and behind it.
#[tokio::test(start_paused = true)]
async fn grp_06_a_publish_at_every_step() {
    for ids in [false, true] {
        for steps in 0u32..(1 << 5) {
            let app = App::new(ids);
            let at = move |step: u32| steps & (1 << step) != 0;
            let origin = {
                let app = app.clone();
                Origin::new(move |_, _| {
                    let app = app.clone();
                    async move {
                        if at(1) {
                            app.change().await;
                        }
                        // Stored, but published only after the body was made.
                        let late = at(2).then(|| app.store());
                        let response = app.answer();
                        if let Some(late) = late {
                            app.publish(late).await;
                        }
                        if at(3) {
                            app.change().await;
                        }
                        Ok(response)
                    }
                })
            };
            let service = origin.held(app.edge.hold_layer());
            if at(0) {
                app.change().await;
            }
            let mut response = get(&service).await;
            if at(4) {
                app.change().await;
            }
            let got = ready(response.body_mut());
            check(
                &got,
                steps.count_ones(),
                ids,
                &format!("ids {ids}, steps {steps:05b}"),
            );
            if ids {
                assert_eq!(
                    got.len() as u32,
                    1 + steps.count_ones() - got[0].parse::<u32>().unwrap()
                );
            }
            assert_eq!(origin.calls(), 1);
            // And nothing comes late.
            tokio::time::advance(Duration::from_secs(20)).await;
            assert!(ready(response.body_mut()).is_empty());
        }
    }
}

/// The same behind a cache that stored the answer long ago.
#[tokio::test(start_paused = true)]
async fn grp_06_a_publish_after_storing() {
    for ids in [false, true] {
        let app = App::new(ids);
        app.change().await;
        let stored: Arc<Mutex<Option<(Stamp, u32)>>> = Arc::default();
        let origin = {
            let app = app.clone();
            Origin::new(move |_, _| {
                let (app, stored) = (app.clone(), stored.clone());
                async move {
                    let stamp = app.edge.hub().begin_fetch(tokio::time::Instant::now()).stamp();
                    let (stamp, value) = *stored
                        .lock()
                        .get_or_insert((stamp, app.value.load(Ordering::SeqCst)));
                    let head = app.head(value);
                    let head: Vec<_> = head.iter().map(|(name, value)| (*name, &**value)).collect();
                    Ok(cached(reply(200, &head, value.to_string()), stamp))
                }
            })
        };
        let service = origin.held(app.edge.hold_layer());
        let mut clients = Vec::new();
        for _ in 0..10 {
            clients.push(get(&service).await);
            app.change().await;
        }
        for client in &mut clients {
            assert!(!is_marked(client));
            let got = ready(client.body_mut());
            assert_eq!(got, (1..=11).map(|n| n.to_string()).collect::<Vec<_>>());
        }
    }
}

/// The channels of a JSON answer are known only when its body is there.
#[tokio::test(start_paused = true)]
async fn a_publish_while_the_instructions_arrive() {
    let app = App::new(false);
    let origin = {
        let app = app.clone();
        Origin::new(move |_, _| {
            let app = app.clone();
            async move {
                let mut response = reply(200, &[("content-type", "application/grip-instruct")], "");
                let json = r#"{"hold":{"mode":"stream","channels":[{"name":"t"}]},"response":{"body":"0"}}"#;
                let (first, second) = json.split_at(20);
                let (mut sender, body) =
                    http_body_util::channel::Channel::<Bytes, gripstack::BoxError>::new(1);
                *response.body_mut() = EdgeBody::new(body);
                tokio::spawn(async move {
                    sender.send(Frame::data(Bytes::from(first))).await.expect("read");
                    app.change().await;
                    sender.send(Frame::data(Bytes::from(second))).await.expect("read");
                });
                Ok(response)
            }
        })
    };
    let mut response = origin.get(&app.edge).await;
    assert_eq!(ready(response.body_mut()), ["0", "1"]);
}

/// Many clients, many changes, several threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_connects_while_values_change_misses_none() {
    const CHANGES: u32 = 400;
    for ids in [false, true] {
        let app = App::new(ids);
        let origin = {
            let app = app.clone();
            Origin::new(move |number, _| {
                let app = app.clone();
                async move {
                    for _ in 0..number % 5 {
                        tokio::task::yield_now().await;
                    }
                    let response = app.answer();
                    for _ in 0..number % 7 {
                        tokio::task::yield_now().await;
                    }
                    Ok(response)
                }
            })
        };
        let service = origin.held(app.edge.hold_layer());
        let mut clients = tokio::task::JoinSet::new();
        let publisher = tokio::spawn({
            let app = app.clone();
            async move {
                for n in 0..CHANGES {
                    app.change().await;
                    for _ in 0..n % 4 {
                        tokio::task::yield_now().await;
                    }
                }
            }
        });
        for n in 0..200 {
            let service = service.clone();
            clients.spawn(async move {
                for _ in 0..n {
                    tokio::task::yield_now().await;
                }
                let mut response = start(&service, request(http::Method::GET, "/", &[])).done().await;
                let mut got = Vec::new();
                let read = async {
                    while got
                        .last()
                        .is_none_or(|value: &String| *value != CHANGES.to_string())
                    {
                        let frame = response
                            .body_mut()
                            .frame()
                            .await
                            .expect("no end")
                            .expect("no error");
                        got.push(String::from_utf8(frame.into_data().expect("data").to_vec()).expect("text"));
                    }
                };
                tokio::time::timeout(Duration::from_secs(20), read)
                    .await
                    .expect("the last value comes");
                got
            });
        }
        publisher.await.expect("no panic");
        while let Some(got) = clients.join_next().await {
            check(&got.expect("no panic"), CHANGES, ids, "many");
        }
        assert_eq!(subscriptions(&app.edge), 0);
    }
}
