//! The hold layer over the cache, as clients meet them.

use gripstack::message::PushedResponse;
use gripstack::{Edge, EdgeBody, Message};
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt};

use crate::origin::{Call, Origin, Refused, Reply};
use crate::world::{Ask, Got, ask, channel, done, get, head, ms, pass, secs, settle};

type Boxed = BoxCloneSyncService<Request<EdgeBody>, Response<EdgeBody>, Refused>;

/// Both layers in front of a scripted origin.
struct Stack {
    edge: Edge,
    origin: Origin,
    service: Boxed,
}

impl Stack {
    fn new(script: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        let (edge, origin) = (Edge::new(), Origin::new(script));
        let cache = edge.cache_layer().layer(origin.clone());
        let service = BoxCloneSyncService::new(edge.hold_layer().layer(cache));
        Self {
            edge,
            origin,
            service,
        }
    }

    fn service(&self) -> Boxed {
        self.service.clone()
    }

    async fn response(&self, ask: impl Into<Ask>) -> Response<EdgeBody> {
        let answer = self.service().oneshot(ask.into().into_request());
        answer.await.expect("the service answers")
    }

    async fn get(&self, ask: impl Into<Ask>) -> Got {
        Got::of(self.response(ask).await).await
    }

    async fn start(&self, ask: impl Into<Ask>) -> JoinHandle<Got> {
        let answer = self.service().oneshot(ask.into().into_request());
        let task = tokio::spawn(async move { Got::of(answer.await.expect("the service answers")).await });
        settle().await;
        task
    }

    async fn publish(&self, body: &'static str) {
        let message = Message::bytes(body);
        self.edge.publish(channel("c"), message).await.expect("accepted");
        settle().await;
    }
}

/// What a stream has for its reader by now.
async fn so_far(response: &mut Response<EdgeBody>) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(frame)) = tokio::time::timeout(ms(1), response.body_mut().frame()).await {
        if let Ok(data) = frame.expect("whole").into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    String::from_utf8(bytes).expect("text")
}

// Ranges.

#[tokio::test(start_paused = true)]
async fn ranges_work_through_the_hold_layer_for_whatever_is_not_held() {
    for policy in ["max-age=60", "max-age=0", "no-cache", ""] {
        let stack = Stack::new(move |call| {
            let reply = match call.header("if-none-match") {
                Some("\"1\"") => Reply::not_modified(),
                _ => Reply::ok("0123456789"),
            };
            reply.header("cache-control", policy).header("etag", "\"1\"")
        });
        stack.get("/a").await;
        settle().await;
        for (range, status, body, content_range) in [
            ("bytes=2-4", 206, "234", "bytes 2-4/10"),
            ("bytes=-1", 206, "9", "bytes 9-9/10"),
            ("bytes=10-", 416, "", "bytes */10"),
            ("bytes=4-2", 200, "0123456789", ""),
            ("bytes=0-1,3-4", 200, "0123456789", ""),
        ] {
            let got = stack.get(get("/a").header("range", range)).await;
            assert_eq!(
                (got.status.as_u16(), got.body.as_str(), got.field("content-range")),
                (status, body, content_range),
                "{policy} {range}"
            );
            settle().await;
        }
        for (if_range, status) in [("\"1\"", 206), ("\"2\"", 200), ("W/\"1\"", 200)] {
            let ask = get("/a")
                .header("range", "bytes=2-4")
                .header("if-range", if_range);
            assert_eq!(
                stack.get(ask).await.status.as_u16(),
                status,
                "{policy} {if_range}"
            );
            settle().await;
        }
        let got = stack
            .get(
                get("/a")
                    .header("range", "bytes=2-4")
                    .header("if-none-match", "\"1\""),
            )
            .await;
        assert_eq!(got.status, 304);
        let got = stack.get(head("/a").header("range", "bytes=2-4")).await;
        assert_eq!((got.status.as_u16(), got.field("content-length")), (200, "10"));
    }
}

/// What is not cached is the origin's to take apart.
#[tokio::test(start_paused = true)]
async fn ranges_of_what_passes_reach_the_origin_through_the_hold_layer() {
    let stack = Stack::new(|call| match call.header("range") {
        Some("bytes=2-4") => Reply::ok("234")
            .code(206)
            .header("content-range", "bytes 2-4/10")
            .cc("no-store"),
        _ => Reply::ok("0123456789").cc("no-store"),
    });
    stack.get("/a").await;
    settle().await;
    let got = stack.get(get("/a").header("range", "bytes=2-4")).await;
    assert_eq!((got.status.as_u16(), got.body.as_str()), (206, "234"));
}

#[tokio::test(start_paused = true)]
async fn a_hold_has_no_parts() {
    for mode in ["stream", "response"] {
        let stack = Stack::new(move |_| {
            Reply::ok("0123456789")
                .cc("max-age=60")
                .header("grip-hold", mode)
                .header("grip-channel", "c")
        });
        for _ in 0..2 {
            let client = stack.start(get("/a").header("range", "bytes=2-4")).await;
            pass(secs(1)).await;
            assert!(!client.is_finished(), "{mode}");
            client.abort();
            assert!(stack.origin.last().header("range").is_none());
        }
    }
}

// Polls.

/// A poll that says what it has. The origin holds whom it answers 304.
fn polls(policy: &'static str) -> Stack {
    Stack::new(move |call| {
        let reply = match call.header("if-none-match") {
            Some("\"5\"") => Reply::not_modified()
                .header("grip-hold", "response")
                .header("grip-channel", "c"),
            _ => Reply::ok("page"),
        };
        let reply = reply.header("etag", "\"5\"");
        match policy {
            "" => reply,
            _ => reply.cc(policy),
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_poll_of_a_304_that_holds_does_not_spin() {
    for policy in ["", "no-cache", "max-age=0", "no-store", "private"] {
        let stack = polls(policy);
        let start = Instant::now();
        let mut polls = 0;
        while start.elapsed() < secs(120) {
            let client = stack.start(get("/a").header("if-none-match", "\"5\"")).await;
            let patience = tokio::time::timeout(secs(100), client);
            patience.await.expect("in time").expect("no panic");
            polls += 1;
        }
        // The first may be told at once. Each of the others is held for 55 s.
        assert!(polls <= 4, "{policy}: {polls} polls in two minutes");
        assert!(stack.origin.count() <= 8, "{policy}: {}", stack.origin.count());
    }
}

#[tokio::test(start_paused = true)]
async fn a_poll_at_its_timeout_is_told_that_nothing_changed() {
    for policy in ["", "no-cache", "max-age=0", "no-store", "private"] {
        let stack = polls(policy);
        for n in 0..3 {
            let client = stack.start(get("/a").header("if-none-match", "\"5\"")).await;
            let patience = tokio::time::timeout(secs(100), client);
            let got = patience.await.expect("in time").expect("no panic");
            assert_eq!(
                (got.status.as_u16(), got.body.as_str()),
                (304, ""),
                "{policy} {n}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_poll_of_a_304_that_holds_is_answered_by_a_message_and_others_get_the_page() {
    for policy in ["", "no-cache", "max-age=0", "no-store"] {
        let stack = polls(policy);
        stack.get("/a").await;
        settle().await;
        let poll = stack.start(get("/a").header("if-none-match", "\"5\"")).await;
        pass(secs(1)).await;
        assert!(!poll.is_finished(), "{policy}");
        for ask in [get("/a"), get("/a").header("if-none-match", "\"4\""), head("/a")] {
            let client = stack.start(ask).await;
            let got = tokio::time::timeout(secs(5), client).await;
            let got = got
                .unwrap_or_else(|_| panic!("{policy}: held"))
                .expect("no panic");
            assert_eq!(got.status, 200, "{policy}");
        }
        let message = Message::response(PushedResponse::new("news"));
        stack.edge.publish(channel("c"), message).await.expect("accepted");
        assert_eq!(done(poll).await.body, "news", "{policy}");
    }
}

// Instructions.

/// Whole or not at all.
#[tokio::test(start_paused = true)]
async fn a_hold_of_more_channels_than_there_may_be_is_refused() {
    for mode in ["stream", "response"] {
        for (channels, status) in [(200, 200), (201, 502)] {
            let stack = Stack::new(move |_| {
                let reply = Reply::ok("a").cc("max-age=60").header("grip-hold", mode);
                (0..channels).fold(reply, |reply, n| reply.header("grip-channel", &format!("c{n}")))
            });
            for _ in 0..2 {
                let client = tokio::spawn({
                    let service = stack.service();
                    async move {
                        service
                            .oneshot(get("/a").into_request())
                            .await
                            .map(|r| r.status().as_u16())
                            .ok()
                    }
                });
                let got = tokio::time::timeout(secs(1), client).await;
                let got = got.ok().and_then(|got| got.expect("no panic"));
                match (mode, status) {
                    // It is held.
                    ("response", 200) => assert_eq!(got, None),
                    _ => assert_eq!(got, Some(status), "{mode} {channels}"),
                }
            }
        }
    }
}

// Foreign caches (X1).

#[tokio::test(start_paused = true)]
async fn x1_a_stream_over_a_foreign_cache_gets_what_came_since_its_body_was_made() {
    for with_cache in [false, true] {
        let stack = Stack::new(|_| {
            Reply::ok("v0 ")
                .cc("s-maxage=600")
                .header("age", "30")
                .header("grip-hold", "stream")
                .header("grip-channel", "c")
        });
        pass(secs(60)).await;
        stack.publish("v1 ").await;
        pass(secs(10)).await;
        let ask = || get("/a").into_request();
        for _ in 0..2 {
            let mut stream = match with_cache {
                true => stack.response("/a").await,
                false => {
                    let held = stack.edge.hold_layer().layer(stack.origin.clone());
                    held.oneshot(ask()).await.expect("an answer")
                }
            };
            assert_eq!(so_far(&mut stream).await, "v0 v1 ", "{with_cache}");
        }
    }
}

// Channels (M1, M3).

/// A stream for one client beside a page for all.
#[tokio::test(start_paused = true)]
async fn who_saw_a_message_on_its_stream_gets_no_older_page() {
    for policy in ["no-store", "private", "s-maxage=600"] {
        for reads_on in [false, true] {
            let stack = Stack::new(move |call| {
                let reply = Reply::ok(call.n.to_string()).header("vary", "accept");
                match call.header("accept") {
                    Some("text/event-stream") => reply
                        .cc(policy)
                        .header("content-type", "text/event-stream")
                        .header("grip-hold", "stream")
                        .header("grip-channel", "c"),
                    _ => reply.cc("s-maxage=600"),
                }
            });
            stack.get("/a").await;
            let mut stream = stack
                .response(get("/a").header("accept", "text/event-stream"))
                .await;
            stack.publish("news").await;
            assert!(so_far(&mut stream).await.ends_with("news"));
            if !reads_on {
                drop(stream);
                settle().await;
            }
            let got = stack.get("/a").await;
            assert_ne!(got.body, "1", "{policy} {reads_on}: {}", got.cache_status());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn m1_a_stream_never_starts_from_what_it_would_stay_on() {
    let stack = Stack::new(|call| {
        Reply::ok(format!("{} ", call.n))
            .cc("s-maxage=600")
            .header("grip-hold", "stream")
            .header("grip-channel", "c")
            .header("surrogate-key", "ch:d")
    });
    drop(stack.response("/a").await);
    settle().await;
    stack
        .edge
        .publish(channel("d"), Message::bytes("x"))
        .await
        .expect("accepted");
    let mut stream = stack.response("/a").await;
    assert_eq!(so_far(&mut stream).await, "2 ");
    stack.publish("news ").await;
    assert_eq!(so_far(&mut stream).await, "news ");
    let mut other = stack.response("/a").await;
    assert_eq!(so_far(&mut other).await, "2 news ");
}

// Conditions of clients.

#[tokio::test(start_paused = true)]
async fn conditions_are_answered_through_the_hold_layer_for_whatever_is_not_held() {
    for policy in ["max-age=60", "no-cache", "no-store", "max-age=0", ""] {
        let stack = Stack::new(move |call| {
            let reply = match call.header("if-none-match") {
                Some("\"1\"") => Reply::not_modified(),
                _ => Reply::ok("page"),
            };
            reply.header("cache-control", policy).header("etag", "\"1\"")
        });
        for method in [Method::GET, Method::HEAD, Method::GET] {
            let got = stack
                .get(ask(method, "/a").header("if-none-match", "\"1\""))
                .await;
            assert_eq!((got.status.as_u16(), got.body.as_str()), (304, ""), "{policy}");
            settle().await;
        }
        let got = stack.get(get("/a").header("if-none-match", "\"2\"")).await;
        assert_eq!((got.status.as_u16(), got.body.as_str()), (200, "page"));
        assert!(stack.origin.count() <= 5);
    }
}

#[tokio::test(start_paused = true)]
async fn d7_a_client_of_the_hold_layer_shapes_nothing_for_others() {
    let stack = Stack::new(|call| {
        let id = call.header("last-event-id").or(call.header("grip-last"));
        Reply::ok(format!("since {}", id.unwrap_or("the start"))).cc("max-age=60")
    });
    let got = stack.get(get("/a").header("last-event-id", "41")).await;
    assert_eq!(got.body, "since the start");
    assert_eq!(stack.get("/a").await.body, "since the start");
    assert_eq!(stack.origin.count(), 1);
}
