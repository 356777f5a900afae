//! Which requests mean the same: only where the grammar of a field says so.

use crate::origin::Reply;
use crate::world::{World, get, pass, secs};

/// Two values of the field that `Vary` names, and whether they are one variant.
async fn are_one(field: &'static str, first: &[&str], second: &[&str]) -> bool {
    let world = World::new(move |call| {
        Reply::ok(call.n.to_string())
            .cc("max-age=60")
            .header("vary", field)
    });
    let ask = |values: &[&str]| {
        values
            .iter()
            .fold(get("/a"), |ask, value| ask.header(field, value))
    };
    assert_eq!(world.get(ask(first)).await.body, "1");
    let is_one = world.get(ask(second)).await.body == "1";
    world.get(ask(first)).await.expect_short("1", "hit");
    assert_eq!(world.origin.count(), if is_one { 1 } else { 2 });
    is_one
}

#[tokio::test(start_paused = true)]
async fn values_of_unknown_meaning_are_the_same_only_byte_for_byte() {
    for (first, second) in [
        ("a,b", "a, b"),
        ("a, b", "b, a"),
        ("a", "A"),
        ("a", "a,"),
        ("a;q=1", "a"),
        ("a  b", "a b"),
        ("", ","),
        ("\"a,b\"", "\"a, b\""),
    ] {
        assert!(
            !are_one("x-filter", &[first], &[second]).await,
            "{first:?} {second:?}"
        );
        assert!(
            !are_one("cookie", &[first], &[second]).await,
            "{first:?} {second:?}"
        );
        assert!(
            !are_one("user-agent", &[first], &[second]).await,
            "{first:?} {second:?}"
        );
    }
    assert!(!are_one("x-filter", &["a", "b"], &["b", "a"]).await);
    assert!(!are_one("x-filter", &["a", "b"], &["ab"]).await);
    assert!(!are_one("x-filter", &["a"], &["a", "a"]).await);
    assert!(are_one("x-filter", &["a,b"], &["a,b"]).await);
}

/// Many servers take the first of equal weight.
#[tokio::test(start_paused = true)]
async fn the_order_of_languages_counts() {
    for (first, second) in [
        ("en, de", "de, en"),
        ("en, de", "en"),
        ("en;q=0.5, de", "en, de"),
        ("en", "en-GB"),
    ] {
        assert!(
            !are_one("accept-language", &[first], &[second]).await,
            "{first} {second}"
        );
    }
    for (first, second) in [("en, de", "en,de"), ("en,  de", "EN ,de"), ("en", "en ,")] {
        assert!(
            are_one("accept-language", &[first], &[second]).await,
            "{first} {second}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_order_of_types_counts() {
    for (first, second) in [
        ("text/html, text/plain", "text/plain, text/html"),
        ("text/html", "text/html;level=1"),
        ("a/b;x=\"1,2\"", "a/b;x=\"1, 2\""),
        ("a/b;x=\"A\"", "a/b;x=\"a\""),
    ] {
        assert!(!are_one("accept", &[first], &[second]).await, "{first} {second}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_makes_variants_does_not_make_the_url_forget_its_channels() {
    let world = World::new(|call| {
        let reply = Reply::ok(call.n.to_string())
            .cc("max-age=600")
            .header("vary", "x-a");
        match call.header("x-a") {
            Some("held") => reply.header("grip-hold", "response").header("grip-channel", "c"),
            _ => reply,
        }
    });
    let plain = world.get("/a").await.body;
    world.get(get("/a").header("x-a", "held").by_hold()).await;
    for n in 0..100 {
        // That one stays in use.
        world.get("/a").await.expect_short(&plain, "hit");
        world.get(get("/a").header("x-a", &n.to_string())).await;
    }
    world.publish("c").await;
    let got = world.get("/a").await;
    assert_ne!(got.body, plain, "{got:?}");
}

#[tokio::test(start_paused = true)]
async fn poi_08_what_depends_on_the_address_of_a_client_is_for_that_client() {
    let world = World::new(|call| {
        Reply::ok(call.n.to_string())
            .cc("max-age=60")
            .header("vary", "X-Forwarded-For")
    });
    for n in 1..4 {
        let got = world.get("/a").await;
        assert_eq!(got.body, n.to_string());
        assert!(got.cache_status().ends_with("detail=vary-star"), "{got:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn channels_of_answers_that_made_room_leave_when_those_would_have_ended() {
    let world = World::new(|call| {
        let value = call.header("x-v").unwrap_or("home").to_owned();
        Reply::ok(call.n.to_string())
            .cc("max-age=60")
            .header("vary", "x-v")
            .header("surrogate-key", &format!("ch:{value}"))
    });
    for n in 0..70 {
        world.get("/a").await;
        world.get(get("/a").header("x-v", &n.to_string())).await;
    }
    // There were too many to be told apart: any may be its own.
    let asked = world.origin.count();
    world.publish("other").await;
    world.get("/a").await;
    assert_eq!(world.origin.count(), asked + 1);
    pass(secs(61)).await;
    world.get("/a").await;
    let asked = world.origin.count();
    world.publish("other").await;
    world.get("/a").await;
    assert_eq!(world.origin.count(), asked);
}
