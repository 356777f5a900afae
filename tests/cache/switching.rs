//! `Upgrade` (RFC 9110 7.8): only a switch that is forwarded goes past the cache. All others are offers that nobody has to
//! take, and they are for the next hop alone.

use http::Method;

use crate::origin::{Refused, Reply};
use crate::world::{Ask, World, ask, done, get, head, pass, secs, settle};

/// What Java's and curl's clients offer, and some that is none.
fn offers() -> Vec<fn(Ask) -> Ask> {
    vec![
        |ask| {
            ask.header("connection", "Upgrade, HTTP2-Settings")
                .header("upgrade", "h2c")
                .header("http2-settings", "AAMAAABkAAQAoAAAAAIAAAAA")
        },
        |ask| ask.header("upgrade", "h2c"),
        |ask| ask.header("upgrade", "TLS/1.2").header("connection", "upgrade"),
        |ask| ask.header("upgrade", "TLS/1.2, HTTP/2.0"),
        |ask| ask.header("upgrade", "").header("connection", "upgrade"),
        |ask| ask.header("connection", "upgrade"),
    ]
}

#[tokio::test(start_paused = true)]
async fn an_offer_is_no_reason_to_pass() {
    for (n, offer) in offers().into_iter().enumerate() {
        let world = World::new(|call| Reply::ok(call.n.to_string()).cc("max-age=60"));
        let got = world.get(offer(get("/a"))).await;
        got.expect_short("1", "fwd=uri-miss; stored");
        for name in ["upgrade", "http2-settings"] {
            assert!(
                world.origin.last().header(name).is_none(),
                "offer {n}: {name} went on"
            );
        }
        world.get(offer(get("/a"))).await.expect_short("1", "hit");
        world.get("/a").await.expect_short("1", "hit");
        world.get(offer(head("/a"))).await.expect_short("", "hit");
        assert_eq!(world.origin.count(), 1, "offer {n}");
        // The hold layer's answers are others.
        world.get(offer(get("/a")).by_hold()).await;
        world.get(get("/a").by_hold()).await.expect_short("2", "hit");
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_offer_share_one_request_with_those_who_do_not() {
    for offer in offers() {
        let world = World::new(|call| Reply::ok(call.n.to_string()).cc("max-age=0").after(secs(1)));
        let clients = [
            world.start(offer(get("/a"))).await,
            world.start("/a").await,
            world.start(offer(get("/a"))).await,
        ];
        for client in clients {
            assert_eq!(done(client).await.body, "1");
        }
        assert_eq!(world.origin.count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_offer_gets_what_there_is_while_the_origin_is_down() {
    for offer in offers() {
        let world = World::new(|call| match call.n {
            1 => Reply::ok("1").cc("max-age=60"),
            _ => Reply::fail(Refused("down")),
        });
        world.get("/a").await;
        world.get(offer(get("/a"))).await.expect_short("1", "hit");
        pass(secs(61)).await;
        world
            .get(offer(get("/a")))
            .await
            .expect_short("1", "fwd=stale; detail=outage");
    }
}

#[tokio::test(start_paused = true)]
async fn an_offer_that_passes_stays_here_too() {
    for offer in offers() {
        let world = World::new(|call| Reply::ok(call.n.to_string()).cc("no-store"));
        for _ in 0..2 {
            world.get(offer(get("/a"))).await;
            assert!(world.origin.last().header("upgrade").is_none());
            settle().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_unsafe_method_with_an_offer_invalidates() {
    for offer in offers() {
        let world = World::new(|call| Reply::ok(call.n.to_string()).cc("max-age=60"));
        world.get("/a").await;
        world.get(offer(ask(Method::POST, "/a"))).await;
        world.get("/a").await.expect_short("3", "fwd=stale; stored");
    }
}

#[tokio::test(start_paused = true)]
async fn a_websocket_passes() {
    let world = World::new(|call| Reply::ok(call.n.to_string()).cc("max-age=60"));
    world.get("/a").await;
    for (n, upgrade) in ["websocket", "WebSocket"].into_iter().enumerate() {
        let ask = get("/a")
            .header("upgrade", upgrade)
            .header("connection", "keep-alive, Upgrade");
        let got = world.get(ask).await;
        assert_eq!(got.body, (n + 2).to_string(), "{upgrade}");
        got.expect_short(&(n + 2).to_string(), "fwd=bypass");
    }
    world.get("/a").await.expect_short("1", "hit");
}
