//! Which requests mean the same: only where the grammar of a field says so.

use crate::origin::Reply;
use crate::world::{World, get};

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
