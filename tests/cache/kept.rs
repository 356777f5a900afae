//! What has a validator and no lifetime, as most frameworks send it: kept, and validated for each request.

use gripstack::PurgeMode;
use http::Method;

use crate::origin::{Call, Reply};
use crate::world::{Ask, World, ask, done, get, head, ms, pass, secs, settle};

const OLD: &str = "Wed, 21 Oct 2015 07:28:00 GMT";

/// Validators of the answers, and a condition that they meet.
const VALIDATORS: [(&str, &str, &str); 3] = [
    ("etag", "\"5\"", "if-none-match"),
    ("etag", "W/\"5\"", "if-none-match"),
    ("last-modified", OLD, "if-modified-since"),
];

/// What says that it is not to be used without being validated, or says nothing.
const POLICIES: [(&str, &str); 7] = [
    ("x-nothing", "1"),
    ("cache-control", "max-age=0"),
    ("cache-control", "no-cache"),
    ("cache-control", "public, must-revalidate"),
    ("cache-control", "max-age=0, must-revalidate"),
    ("expires", "0"),
    ("pragma", "no-cache"),
];

/// Those of which everybody is asked for by itself: the others may be asked for together.
fn asked_for_each() -> impl Iterator<Item = (&'static str, &'static str)> {
    let is_together = |value: &str| value.contains("max-age") || value.contains("must") || value == "0";
    POLICIES.into_iter().filter(move |(_, value)| !is_together(value))
}

/// Validators with policies by which they tell one client's answer from another's.
fn kept() -> impl Iterator<
    Item = (
        (&'static str, &'static str, &'static str),
        (&'static str, &'static str),
    ),
> {
    let is_silent = |name: &str| name == "x-nothing" || name == "pragma";
    let all = VALIDATORS
        .into_iter()
        .flat_map(|validator| POLICIES.map(|policy| (validator, policy)));
    all.filter(move |(validator, policy)| validator.0 == "etag" || !is_silent(policy.0))
}

/// Ten bytes with this validator; it judges conditions as origins do.
fn ten(call: &Call, name: &'static str, value: &str, condition: &str) -> Reply {
    let reply = match call.header(condition) == Some(value) {
        true => Reply::not_modified(),
        false => Reply::ok("0123456789"),
    };
    reply.header(name, value)
}

/// The tag of a version, and a condition that names it.
fn tagged(call: &Call, version: &str) -> Reply {
    let tag = format!("\"{version}\"");
    match call.header("if-none-match") == Some(&tag) {
        true => Reply::not_modified().header("etag", &tag),
        false => Reply::ok(version.to_owned()).header("etag", &tag),
    }
}

#[tokio::test(start_paused = true)]
async fn clients_that_have_it_are_told_so_and_the_origin_is_asked_whether_it_is_right() {
    for ((name, value, condition), (policy, of_policy)) in kept() {
        let world = World::new(move |call| ten(call, name, value, condition).header(policy, of_policy));
        for n in 1..4 {
            let got = world.get(get("/a").header(condition, value)).await;
            assert_eq!(
                (got.status.as_u16(), got.body.as_str()),
                (304, ""),
                "{value} {of_policy} {n}"
            );
            assert_eq!(world.origin.count(), n);
            // Of a URL that nobody knows, all of it is asked for.
            assert_eq!(
                world.origin.last().header(condition).is_some(),
                n > 1,
                "{value} {of_policy} {n}"
            );
            settle().await;
        }
        let got = world.get("/a").await;
        assert_eq!((got.status.as_u16(), got.body.as_str()), (200, "0123456789"));
        assert_eq!(
            world.origin.last().header(condition),
            Some(value),
            "no body comes twice"
        );
        let got = world.get(head("/a")).await;
        assert_eq!((got.status.as_u16(), got.field("content-length")), (200, "10"));
    }
}

#[tokio::test(start_paused = true)]
async fn parts_of_it_can_be_had() {
    for ((name, value, condition), (policy, of_policy)) in kept() {
        let world = World::new(move |call| ten(call, name, value, condition).header(policy, of_policy));
        world.get("/a").await;
        settle().await;
        for _ in 0..2 {
            let got = world.get(get("/a").header("range", "bytes=2-4")).await;
            let case = format!("{value} {of_policy}");
            assert_eq!((got.status.as_u16(), got.body.as_str()), (206, "234"), "{case}");
            assert_eq!(got.field("content-range"), "bytes 2-4/10", "{case}");
            assert_eq!(got.field("content-length"), "3", "{case}");
            settle().await;
        }
        let other = get("/a").header("range", "bytes=2-4").header("if-range", "\"4\"");
        assert_eq!(world.get(other).await.body, "0123456789");
        let got = world.get(get("/a").header("range", "bytes=10-")).await;
        assert_eq!(
            (got.status.as_u16(), got.field("content-range")),
            (416, "bytes */10")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_anybody_elses_validation() {
    for (name, value, condition) in VALIDATORS {
        for (policy, of_policy) in asked_for_each() {
            let world = World::new(move |call| {
                let reply = ten(call, name, value, condition).header(policy, of_policy);
                if call.n == 1 { reply } else { reply.after(secs(1)) }
            });
            world.get("/a").await;
            settle().await;
            let asks: [fn() -> Ask; 4] = [
                || get("/a"),
                || get("/a"),
                || get("/a").header("range", "bytes=0-0"),
                || get("/a").header("if-none-match", "\"4\""),
            ];
            let start = tokio::time::Instant::now();
            let mut clients = Vec::new();
            for ask in asks {
                clients.push(world.start(ask()).await);
            }
            assert_eq!(world.origin.open_calls(), 4, "{value} {of_policy}");
            for client in clients {
                assert!(!done(client).await.body.is_empty());
            }
            assert_eq!(start.elapsed(), secs(1));
            world.is_idle();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_gets_it_once_it_has_changed() {
    for (policy, of_policy) in POLICIES {
        let world = World::new(move |call| {
            let version = if call.n < 3 { "a" } else { "b" };
            tagged(call, version).header(policy, of_policy)
        });
        for expected in ["a", "a", "b", "b"] {
            assert_eq!(world.get("/a").await.body, expected, "{of_policy}");
            settle().await;
        }
        assert_eq!(
            world.origin.last().header("if-none-match"),
            Some("\"b\""),
            "{of_policy}"
        );
    }
}

/// The condition that goes out is ours; the client's is judged on what comes.
#[tokio::test(start_paused = true)]
async fn a_client_that_has_another_version_is_judged_on_what_is_right_now() {
    for (policy, of_policy) in POLICIES {
        let world = World::new(move |call| {
            let version = if call.n < 3 { "5" } else { "4" };
            tagged(call, version).header(policy, of_policy)
        });
        let with = |tags: &str| get("/a").header("if-none-match", tags);
        world.get("/a").await;
        settle().await;
        let got = world.get(with("\"4\"")).await;
        assert_eq!(
            (got.status.as_u16(), got.body.as_str()),
            (200, "5"),
            "{of_policy}"
        );
        settle().await;
        // It is the other one again.
        let got = world.get(with("\"4\"")).await;
        assert_eq!(
            (got.status.as_u16(), got.field("etag")),
            (304, "\"4\""),
            "{of_policy}"
        );
        settle().await;
        let got = world.get(with("\"5\"")).await;
        assert_eq!(
            (got.status.as_u16(), got.body.as_str()),
            (200, "4"),
            "{of_policy}"
        );
    }
}

/// Nobody else may have what was made for one who said who it is (RFC 9111 3.5).
#[tokio::test(start_paused = true)]
async fn what_was_asked_for_with_authorization_or_sets_a_cookie_is_not_kept() {
    for with_cookie in [false, true] {
        let world = World::new(move |call| {
            let who = call.header("authorization").unwrap_or("nobody").to_owned();
            let reply = Reply::ok(who).header("etag", "\"5\"");
            match with_cookie {
                true => reply.header("set-cookie", "a=b"),
                false => reply,
            }
        });
        for who in ["one", "two"] {
            let ask = get("/a").header("authorization", who);
            assert_eq!(world.get(ask).await.body, who);
            settle().await;
            assert!(!world.origin.last().is_conditional());
        }
        assert_eq!(world.get("/a").await.body, "nobody");
        assert!(!world.origin.last().is_conditional());
    }
}

#[tokio::test(start_paused = true)]
async fn its_variants_are_validated_each() {
    for (policy, of_policy) in POLICIES {
        let world = World::new(move |call| {
            let accept = call.header("accept").unwrap_or("none").to_owned();
            tagged(call, &accept)
                .header(policy, of_policy)
                .header("vary", "accept")
        });
        for n in 0..3 {
            for accept in ["x", "y"] {
                let got = world.get(get("/a").header("accept", accept)).await;
                assert_eq!(got.body, accept, "{of_policy}");
                settle().await;
                if n > 0 {
                    let tag = format!("\"{accept}\"");
                    assert_eq!(
                        world.origin.last().header("if-none-match"),
                        Some(&*tag),
                        "{of_policy}"
                    );
                }
            }
        }
    }
}

/// The first ones come before anybody knows what it is.
#[tokio::test(start_paused = true)]
async fn a_crowd_that_comes_first_waits_for_no_more_than_one_fetch_each() {
    for (policy, of_policy) in POLICIES {
        let world = World::new(move |call| tagged(call, "5").header(policy, of_policy).after(secs(1)));
        let start = tokio::time::Instant::now();
        let mut clients = Vec::new();
        for _ in 0..20 {
            clients.push(world.start("/a").await);
        }
        for client in clients {
            assert_eq!(done(client).await.body, "5", "{of_policy}");
        }
        assert!(start.elapsed() <= secs(2), "{of_policy}: {:?}", start.elapsed());
        world.is_idle();
    }
}

#[tokio::test(start_paused = true)]
async fn purges_and_unsafe_methods_end_it() {
    for (policy, of_policy) in POLICIES {
        let world = World::new(move |call| tagged(call, "5").header(policy, of_policy));
        for mode in [PurgeMode::Hard, PurgeMode::SoftBlock, PurgeMode::Soft] {
            world.get("/a").await;
            settle().await;
            world.purge_url("/a", mode).await;
            assert_eq!(world.get("/a").await.body, "5");
            assert_eq!(
                world.origin.last().is_conditional(),
                mode != PurgeMode::Hard,
                "{of_policy} {mode:?}"
            );
            settle().await;
        }
        world.get(ask(Method::POST, "/a")).await;
        assert_eq!(world.get("/a").await.body, "5");
    }
}

/// Confirmed or not, there is no lifetime: a message holds nothing back.
#[tokio::test(start_paused = true)]
async fn messages_hold_no_validation_back() {
    for (policy, of_policy) in asked_for_each() {
        let world = World::new(move |call| {
            tagged(call, "5")
                .header(policy, of_policy)
                .header("surrogate-key", "ch:c")
        });
        world.get("/a").await;
        settle().await;
        let start = tokio::time::Instant::now();
        for _ in 0..5 {
            world.publish("c").await;
            assert_eq!(world.get("/a").await.body, "5");
            settle().await;
        }
        assert_eq!(start.elapsed(), ms(0), "{of_policy}");
    }
}

/// A poll that says what it has: held while it is right, answered when it is not.
#[tokio::test(start_paused = true)]
async fn a_304_that_holds_holds_those_whose_own_condition_it_answers() {
    for (policy, of_policy) in POLICIES {
        let world = World::new(move |call| {
            let reply = tagged(call, "5").header(policy, of_policy);
            match call.is_conditional() {
                true => reply.header("grip-hold", "response").header("grip-channel", "c"),
                false => reply,
            }
        });
        let with = |tag: &str| get("/a").header("if-none-match", tag).by_hold();
        // Whoever comes first asks for all of it, and is told what that tells.
        let got = world.get(with("\"5\"")).await;
        assert_eq!(got.status, 304, "{of_policy}");
        settle().await;
        for _ in 0..2 {
            let got = world.get(with("\"5\"")).await;
            let hold = got.handed().instruct.hold.as_ref().expect("a hold");
            assert_eq!(hold.channels[0].name.as_str(), "c", "{of_policy}");
            settle().await;
        }
        for ask in [get("/a").by_hold(), with("\"4\"")] {
            let got = world.get(ask).await;
            let is_held = got
                .handoff
                .as_ref()
                .is_some_and(|handed| handed.instruct.hold.is_some());
            assert_eq!(
                (got.status.as_u16(), got.body.as_str(), is_held),
                (200, "5", false),
                "{of_policy}"
            );
            settle().await;
        }
        // Nor a client that nobody can hold.
        let got = world.get(get("/a").header("if-none-match", "\"5\"")).await;
        assert_eq!(
            (got.status.as_u16(), got.handoff.is_none()),
            (304, true),
            "{of_policy}"
        );
        let before = world.origin.count();
        pass(secs(1)).await;
        assert_eq!(world.origin.count(), before);
    }
}

/// Of each client's page it may be right that it is as old as that.
#[tokio::test(start_paused = true)]
async fn what_may_be_for_one_client_is_not_told_from_others_by_a_date() {
    for (policy, of_policy) in [
        ("x-nothing", "1"),
        ("pragma", "no-cache"),
        ("cache-control", "stale-if-error=60"),
    ] {
        let world = World::new(move |call| {
            let reply = match call.header("if-modified-since") {
                Some(OLD) => Reply::not_modified(),
                _ => Reply::ok(call.header("cookie").unwrap_or("nobody").to_owned()),
            };
            reply.header("last-modified", OLD).header(policy, of_policy)
        });
        for user in ["user=1", "user=2"] {
            let got = world.get(get("/a").header("cookie", user)).await;
            assert_eq!(got.body, user, "{of_policy}");
            settle().await;
        }
    }
}
