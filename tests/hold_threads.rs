//! Clients and publishers on several threads at once: what streams and long polls see of messages with ids, and of states.
#![cfg(all(feature = "hold", feature = "cache", feature = "publish", feature = "testing"))]

mod hold_support;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gripstack::hub::LogLimits;
use gripstack::message::PushedResponse;
use gripstack::publish::{PublishConfig, Publisher, Rule};
use gripstack::{Edge, EdgeBody, Message};
use http::Method;
use http_body_util::BodyExt;
use tokio::task::{JoinSet, yield_now};
use tower::ServiceExt;

use hold_support::*;

type Service = gripstack::hold::GripHold<Inner>;

const PATIENCE: Duration = Duration::from_secs(60);

/// What the application has stored.
#[derive(Default)]
struct App {
    items: AtomicU64,
    state: AtomicU64,
}

fn message(n: u64) -> Message {
    let text = format!("{n}\n");
    bytes(&text).with_response(PushedResponse::new(text).into())
}

/// Answers `/stream`, `/state`, `/state-poll`, and `/poll/N` of whoever has N.
async fn answer(app: Arc<App>, path: String) -> Reply {
    let items = app.items.load(Ordering::SeqCst);
    let state = app.state.load(Ordering::SeqCst);
    yield_now().await;
    let age = ("cache-control", "max-age=600");
    let held = |mode, channel: &str, n: u64| {
        let held = [
            ("grip-hold", mode),
            ("grip-channel", channel),
            ("grip-timeout", "1"),
            age,
        ];
        Ok(reply(200, &held, format!("{n}\n")))
    };
    match &*path {
        "/stream" => held("stream", &format!("items; prev-id={items}"), items),
        "/state" => held("stream", "state", state),
        "/state-poll" => held("response", "state", state),
        _ => {
            let has: u64 = path
                .rsplit('/')
                .next()
                .expect("a part")
                .parse()
                .expect("a number");
            match items > has {
                true => Ok(reply(
                    200,
                    &[("cache-control", "no-store")],
                    format!("{items}!\n"),
                )),
                false => held("response", &format!("items; prev-id={has}"), has),
            }
        }
    }
}

async fn ask(service: &Service, path: &str) -> http::Response<EdgeBody> {
    let request = request(Method::GET, path, &[("host", "h")]);
    let asked: Pin<Box<dyn Future<Output = Reply> + Send>> = Box::pin(service.clone().oneshot(request));
    let response = tokio::time::timeout(PATIENCE, asked).await;
    response.expect("an answer").expect("the service does not fail")
}

/// Reads until the last number, and comes back after some messages. Each message once, in order.
async fn stream(service: Service, app: Arc<App>, last: u64, path: &'static str, n: u64, cached: bool) {
    let mut least = 0;
    loop {
        let response = ask(&service, path).await;
        assert_eq!(
            header(&response, "cache-status").filter(|said| said.contains("gap")),
            None
        );
        let mut body = response.into_body();
        let mut at = None;
        let mut text = String::new();
        let mut left = 40 + n * 37;
        while left > 0 {
            left -= 1;
            yield_now().await;
            let frame = tokio::time::timeout(PATIENCE, body.frame()).await;
            let Ok(frame) = frame else {
                panic!(
                    "{path} stays on {at:?} of {last}, stored {}",
                    app.items.load(Ordering::SeqCst)
                );
            };
            let Some(Ok(frame)) = frame else {
                break;
            };
            text.push_str(std::str::from_utf8(&frame.into_data().expect("data")).expect("text"));
            while let Some((line, rest)) = text.split_once('\n') {
                let number: u64 = line.parse().expect("a number");
                text = rest.to_owned();
                match at {
                    None => assert!(
                        cached || number >= least,
                        "{path} goes back to {number} from {least}"
                    ),
                    Some(at) if path == "/stream" => assert_eq!(number, at + 1, "{path}"),
                    // Without ids, what the body contains may come once more.
                    Some(_) => {}
                }
                at = Some(number);
            }
            least = at
                .unwrap_or(0)
                .max(least)
                .min(if path == "/stream" { u64::MAX } else { 0 });
            if at == Some(last) {
                return;
            }
        }
    }
}

/// Polls with what it has. Nothing is left out.
async fn poll(service: Service, last: u64, cached: bool) {
    let mut has = 0;
    while has < last {
        let text = text(ask(&service, &format!("/poll/{has}")).await).await;
        yield_now().await;
        let text = text.trim();
        match text.strip_suffix('!') {
            Some(all) => has = all.parse().expect("a number"),
            None => {
                let n: u64 = text.parse().unwrap_or_else(|_| panic!("{text}"));
                // Of an answer for all who ask only its client knows that it has what that contains.
                assert!(
                    n == has + 1 || (n <= has && (cached || n == has)),
                    "{n} after {has}"
                );
                has = has.max(n);
            }
        }
    }
}

async fn poll_state(service: Service, last: u64) {
    loop {
        let text = text(ask(&service, "/state-poll").await).await;
        yield_now().await;
        if text.trim() == last.to_string() {
            return;
        }
    }
}

fn run(entries: usize, cached: bool, items: u64, publishers: u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async move {
        let edge = Edge::builder()
            .log_limits(LogLimits::new().entries(entries))
            .build();
        let app = Arc::new(App::default());
        let origin = Origin::new({
            let app = app.clone();
            move |_, call| answer(app.clone(), call.uri.path().to_owned())
        });
        let service = match cached {
            true => origin.cached(&edge),
            false => origin.held(edge.hold_layer()),
        };
        let states = items / 4;
        let mut clients = JoinSet::new();
        for n in 0..6 {
            clients.spawn(stream(service.clone(), app.clone(), items, "/stream", n, cached));
            clients.spawn(stream(service.clone(), app.clone(), states, "/state", n, cached));
            clients.spawn(poll(service.clone(), items, cached));
            clients.spawn(poll_state(service.clone(), states));
        }
        let config =
            PublishConfig::new().channels("state", Rule::latest().interval(Duration::from_millis(5)));
        let publisher = Publisher::new(edge.clone(), config);
        for _ in 0..publishers {
            let (app, publisher) = (app.clone(), publisher.clone());
            clients.spawn(async move {
                loop {
                    let n = app.items.fetch_add(1, Ordering::SeqCst) + 1;
                    if n > items {
                        app.items.fetch_sub(1, Ordering::SeqCst);
                        return;
                    }
                    for _ in 0..n % 3 {
                        yield_now().await;
                    }
                    let message = identified(message(n), &n.to_string(), &(n - 1).to_string());
                    let sent = publisher.publish("items", message);
                    tokio::time::timeout(PATIENCE, sent)
                        .await
                        .expect("in time")
                        .expect("accepted");
                }
            });
        }
        {
            let (app, publisher) = (app.clone(), publisher.clone());
            clients.spawn(async move {
                for n in 1..=states {
                    app.state.store(n, Ordering::SeqCst);
                    publisher.publish("state", message(n)).await.expect("accepted");
                    yield_now().await;
                }
            });
        }
        while let Some(done) = clients.join_next().await {
            done.expect("no client is wrong");
        }
        assert_eq!(edge.hub().stats().waiting, 0);
        assert_eq!(edge.hub().stats().subscriptions, 0);
    });
}

#[test]
fn d1_d2_each_message_once_on_several_threads() {
    for cached in [false, true] {
        run(100_000, cached, 2_000, 3);
    }
}
