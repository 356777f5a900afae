//! Keys and variants, and what could poison them.

use gripstack::PurgeMode;

use crate::origin::Reply;
use crate::world::{World, get, pass, secs, settle};

fn counted() -> World {
    World::new(|call| Reply::ok(call.n.to_string()).cc("max-age=60"))
}

#[tokio::test(start_paused = true)]
async fn k2_poi_09_hosts_are_told_apart_and_written_differently_are_the_same() {
    let world = counted();
    world.get("/a").await;
    for same in ["EXAMPLE.com", "example.com:80", "example.com:080", "example.com."] {
        world.get(get("/a").host(same)).await.expect_short("1", "hit");
        assert_eq!(world.origin.last().header("host"), Some("example.com"), "{same}");
    }
    // The last one is the default port of the other scheme: an application may send whoever names it elsewhere.
    let others = [
        "www.example.com",
        "example.com:8080",
        "example.co",
        "xample.com",
        "example.com:443",
    ];
    for (n, other) in others.into_iter().enumerate() {
        world
            .get(get("/a").host(other))
            .await
            .expect_short(&(n + 2).to_string(), "fwd=uri-miss; stored");
    }
    world.purge_url("/a", PurgeMode::Hard).await;
    for host in ["example.com", "example.com:443"] {
        let got = world.get(get("/a").host(host)).await;
        assert_eq!(got.in_short().1, "fwd=uri-miss; stored", "{host}");
    }
}

#[tokio::test(start_paused = true)]
async fn k2_two_hosts_are_not_cached_and_no_host_is_one() {
    let world = counted();
    for n in 0..2 {
        let two = get("/a").header("host", "evil.com");
        assert_eq!(world.get(two).await.body, (n + 1).to_string());
    }
    world.is_empty();
    // As a test of a library's user makes it.
    for status in ["fwd=uri-miss; ttl=60; stored", "hit; ttl=60"] {
        let none = http::Request::get("/a")
            .body(gripstack::EdgeBody::empty())
            .expect("valid");
        let response = tower::ServiceExt::oneshot(world.service.clone(), none)
            .await
            .expect("answered");
        assert_eq!(response.headers()["cache-status"], format!("gripstack; {status}"));
        settle().await;
    }
    world
        .purge(
            gripstack::Target::Url(gripstack::Url::new("", "/a")),
            PurgeMode::Hard,
        )
        .await;
    world.get("/a").await.expect_short("4", "fwd=uri-miss; stored");
}

/// Not every server in front of this layer looks at `Host`.
#[tokio::test(start_paused = true)]
async fn poi_09_a_host_that_is_none_cannot_file_an_answer_under_another_url() {
    let world = counted();
    for (n, (host, path)) in [
        ("example.com/a", "/b"),
        ("evil@example.com", "/a/b"),
        ("example.com/a/b?x=", "/"),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = world.get(get(path).host(host)).await;
        answer.expect_short(&(n + 1).to_string(), "fwd=bypass");
    }
    world.get("/a/b").await.expect_short("4", "fwd=uri-miss; stored");
    world
        .get("/a/b?x=/")
        .await
        .expect_short("5", "fwd=uri-miss; stored");
}

#[tokio::test(start_paused = true)]
async fn k4_k5_poi_04_paths_and_queries_count_byte_for_byte() {
    let world = counted();
    let paths = [
        "/b",
        "/a%2f..%2fb",
        "/a/../b",
        "/B",
        "//b",
        "/b/",
        "/b?",
        "/b?x",
        "/b?x=",
        "/b?x=1&y=2",
        "/b?y=2&x=1",
        "/%62",
    ];
    for (n, path) in paths.into_iter().enumerate() {
        world
            .get(path)
            .await
            .expect_short(&(n + 1).to_string(), "fwd=uri-miss; stored");
        assert_eq!(world.origin.last().uri.to_string(), path);
    }
    for (n, path) in paths.into_iter().enumerate() {
        world.get(path).await.expect_short(&(n + 1).to_string(), "hit");
    }
}

#[tokio::test(start_paused = true)]
async fn poi_01_nobody_else_gets_what_an_unkeyed_field_made() {
    let fields = [
        "x-forwarded-host",
        "x-host",
        "x-forwarded-server",
        "x-forwarded-scheme",
        "x-forwarded-proto",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-original-host",
        "x-forwarded",
        "x-http-host-override",
        "x-original-url",
        "x-rewrite-url",
        "x-http-method-override",
        "x-http-method",
        "x-method-override",
        "front-end-https",
        "forwarded",
    ];
    for field in fields {
        let world = World::new(move |call| {
            let seen = call
                .headers
                .get(field)
                .map_or("none", |value| value.to_str().expect("ascii"));
            Reply::ok(seen.to_owned()).cc("max-age=60, stale-while-revalidate=600")
        });
        world.get(get("/a").header(field, "evil")).await;
        assert_eq!(world.get("/a").await.body, "none", "{field}");
        // Nor what it refreshes.
        pass(secs(61)).await;
        world.get(get("/a").header(field, "evil")).await;
        settle().await;
        assert_eq!(world.get("/a").await.body, "none", "{field}");
    }
}

/// Behind a proxy of one's own all requests carry them.
#[tokio::test(start_paused = true)]
async fn poi_01_but_those_that_agree_share() {
    let world = counted();
    for n in 0..3 {
        let ask = get("/a")
            .header("x-forwarded-host", "www.example.com")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-for", &format!("10.0.0.{n}"));
        assert_eq!(world.get(ask).await.body, "1");
    }
    world.purge_url("/a", PurgeMode::Hard).await;
    assert_eq!(
        world
            .get(get("/a").header("x-forwarded-host", "www.example.com"))
            .await
            .body,
        "2"
    );
}

#[tokio::test(start_paused = true)]
async fn poi_03_an_absolute_target_decides_and_is_what_the_origin_sees() {
    let world =
        World::new(|call| Reply::ok(call.header("host").unwrap_or("none").to_owned()).cc("max-age=60"));
    let mut absolute = get("/a").host("evil.com").into_request();
    *absolute.uri_mut() = "http://example.com/a".parse().expect("a uri");
    let response = tower::ServiceExt::oneshot(world.service.clone(), absolute)
        .await
        .expect("answered");
    drop(response);
    settle().await;
    let got = world.get("/a").await;
    assert_eq!(got.body, "example.com");
    assert_eq!(world.get(get("/a").host("evil.com")).await.body, "evil.com");
}

#[tokio::test(start_paused = true)]
async fn poi_05_what_a_path_looks_like_makes_nothing_cacheable() {
    let world = World::new(|call| Reply::ok(call.n.to_string()).header("content-type", "text/html"));
    for path in [
        "/account/x.css",
        "/account;x.css",
        "/account%2fx.css",
        "/account/x.css?v=1",
    ] {
        let first = world.get(path).await.body;
        settle().await;
        assert_ne!(world.get(path).await.body, first, "{path}");
    }
    world.is_empty();
}

#[tokio::test(start_paused = true)]
async fn poi_06_an_error_that_a_client_provoked_does_not_last() {
    for code in [400, 413, 414, 431, 500, 501] {
        let world = World::new(move |call| match call.headers.contains_key("x-large") {
            true => Reply::ok("bad").code(code).cc("max-age=3600"),
            false => Reply::ok("good").cc("max-age=60"),
        });
        world.get(get("/a").header("x-large", "x")).await;
        pass(secs(11)).await;
        assert_eq!(world.get("/a").await.body, "good", "{code}");
        world
            .get(get("/a").header("x-large", "x"))
            .await
            .expect_short("good", "hit");
    }
}

#[tokio::test(start_paused = true)]
async fn poi_07_a_get_with_a_body_is_neither_answered_from_the_store_nor_stored() {
    let world = counted();
    let fat = || get("/a").header("content-length", "4").body("evil");
    assert_eq!(world.get(fat()).await.body, "1");
    world.get("/a").await.expect_short("2", "fwd=uri-miss; stored");
    assert_eq!(world.get(fat()).await.body, "3");
    world.get("/a").await.expect_short("2", "hit");
}

#[tokio::test(start_paused = true)]
async fn poi_07_upgrades_pass() {
    let world = counted();
    for n in 1..3 {
        let ask = get("/a")
            .header("connection", "Upgrade")
            .header("upgrade", "websocket");
        let got = world.get(ask).await;
        assert_eq!(got.body, n.to_string());
        assert_eq!(got.headers["cache-status"], "gripstack; fwd=bypass");
    }
    // What is not passed on is no reason to pass.
    for (connection, protocol) in [
        ("keep-alive", "websocket"),
        ("upgrade, http2-settings", "h2c"),
        ("Upgrade", "TLS/1.2"),
        ("Upgrade", "HTTP/2.0"),
    ] {
        let ask = get("/b")
            .header("connection", connection)
            .header("upgrade", protocol);
        assert_eq!(
            world.get(ask.header("http2-settings", "AAMAAABk")).await.body,
            "3"
        );
        assert_eq!(world.origin.last().header("upgrade"), None);
        assert_eq!(world.origin.last().header("http2-settings"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn poi_11_a_vary_on_signatures_makes_one_variant() {
    let world = World::new(|call| {
        Reply::ok(call.n.to_string())
            .cc("max-age=60")
            .header("vary", "grip-sig, grip-feature")
    });
    for n in 0..5 {
        let ask = get("/a").by_hold().header("grip-sig", &n.to_string());
        assert_eq!(world.get(ask).await.body, "1");
    }
}

#[tokio::test(start_paused = true)]
async fn v1_each_combination_is_a_variant_and_absent_differs_from_empty() {
    let world = World::new(|call| {
        Reply::ok(call.n.to_string())
            .cc("max-age=60")
            .header("vary", "X-A, x-b")
    });
    let asks = [
        || get("/a"),
        || get("/a").header("x-a", ""),
        || get("/a").header("x-a", "1"),
        || get("/a").header("x-b", "1"),
        || get("/a").header("x-a", "1").header("x-b", "1"),
    ];
    for (n, ask) in asks.into_iter().enumerate() {
        assert_eq!(world.get(ask()).await.body, (n + 1).to_string());
    }
    for (n, ask) in asks.into_iter().enumerate() {
        world.get(ask()).await.expect_short(&(n + 1).to_string(), "hit");
    }
}

#[tokio::test(start_paused = true)]
async fn v2_a_newer_vary_rules() {
    let world = World::new(|call| {
        let vary = if call.n < 3 { "x-a" } else { "x-b" };
        Reply::ok(call.n.to_string())
            .cc("max-age=60")
            .header("vary", vary)
    });
    world.get(get("/a").header("x-a", "1")).await;
    world.get(get("/a").header("x-a", "2")).await;
    world.get(get("/a").header("x-a", "3")).await;
    // Two requests that differ in what no longer counts.
    world
        .get(get("/a").header("x-a", "3"))
        .await
        .expect_short("3", "hit");
    world
        .get(get("/a").header("x-a", "4"))
        .await
        .expect_short("3", "hit");
    assert_eq!(world.get(get("/a").header("x-b", "1")).await.body, "4");
}

#[tokio::test(start_paused = true)]
async fn v2_an_answer_without_vary_does_not_swallow_the_others() {
    // A default answer without Vary between those that have it.
    let world = World::new(|call| {
        let reply =
            Reply::ok(format!("{} {}", call.n, call.header("accept").unwrap_or("none"))).cc("max-age=60");
        match call.header("accept") {
            Some(_) => reply.header("vary", "accept"),
            None => reply,
        }
    });
    let html = || get("/a").header("accept", "text/html");
    let json = || get("/a").header("accept", "text/json");
    world.get(html()).await;
    world.get("/a").await;
    world.get(html()).await.expect_short("1 text/html", "hit");
    world.get("/a").await.expect_short("2 none", "hit");
    assert_eq!(world.get(json()).await.body, "3 text/json");
}

#[tokio::test(start_paused = true)]
async fn v3_what_means_the_same_is_the_same_variant() {
    let world = World::new(|call| {
        Reply::ok(call.n.to_string())
            .cc("max-age=60")
            .header("vary", "accept-language, accept-encoding, accept")
    });
    let ask = |language: &str, coding: &str, accept: &str| {
        get("/a")
            .header("accept-language", language)
            .header("accept-encoding", coding)
            .header("accept", accept)
    };
    assert_eq!(
        world
            .get(ask("de, en", "gzip, deflate, br", "text/html, */*"))
            .await
            .body,
        "1"
    );
    assert_eq!(
        world.get(ask("DE,en", "br;q=0.5", "Text/HTML,*/*")).await.body,
        "1"
    );
    assert_eq!(
        world.origin.calls()[0].header("accept-encoding"),
        Some("br"),
        "one coding is asked for"
    );
    assert_eq!(world.get(ask("en, de", "gzip", "text/html, */*")).await.body, "2");
}

#[tokio::test(start_paused = true)]
async fn v5_a_condition_that_vary_names_goes_along_and_is_keyed() {
    let world = World::new(|call| {
        Reply::ok(format!(
            "{} {}",
            call.n,
            call.header("if-none-match").unwrap_or("none")
        ))
        .cc("max-age=60")
        .header("vary", "if-none-match")
        .header("etag", "\"9\"")
    });
    let with = |tags: &str| get("/a").header("if-none-match", tags);
    assert_eq!(world.get("/a").await.body, "1 none");
    assert_eq!(world.get(with("\"1\"")).await.body, "2 \"1\"");
    assert_eq!(world.get(with("\"2\"")).await.body, "3 \"2\"");
    world.get(with("\"1\"")).await.expect_short("2 \"1\"", "hit");
    world.get("/a").await.expect_short("1 none", "hit");
    // Ours must not take its place when it is fetched anew.
    pass(secs(61)).await;
    assert_eq!(world.get(with("\"1\"")).await.body, "4 \"1\"");
    assert_eq!(world.get("/a").await.body, "5 none");
    world.get(with("\"1\"")).await.expect_short("4 \"1\"", "hit");
}

#[tokio::test(start_paused = true)]
async fn v6_another_variant_is_a_vary_miss() {
    let world = World::new(|call| {
        Reply::ok(call.n.to_string())
            .cc("max-age=60")
            .header("vary", "x-a")
    });
    world
        .get(get("/a").header("x-a", "1"))
        .await
        .expect_short("1", "fwd=uri-miss; stored");
    world
        .get(get("/a").header("x-a", "2"))
        .await
        .expect_short("2", "fwd=vary-miss; stored");
    world.purge_url("/a", PurgeMode::Hard).await;
    world
        .get(get("/a").header("x-a", "2"))
        .await
        .expect_short("3", "fwd=uri-miss; stored");
}

#[tokio::test(start_paused = true)]
async fn v_star_is_for_one_request() {
    let world = World::new(|call| Reply::ok(call.n.to_string()).cc("max-age=60").header("vary", "*"));
    for n in 1..4 {
        assert_eq!(world.get("/a").await.body, n.to_string());
    }
    world.is_empty();
}
