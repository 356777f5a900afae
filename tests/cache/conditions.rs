//! What clients that have an answer already are told.

use http::Method;
use tokio::time::Instant;

use crate::origin::{Call, Gate, Reply, Step};
use crate::world::{Ask, Got, World, ask, done, get, head, ms, pass, secs, settle};

const AT: &str = "Wed, 21 Oct 2015 07:28:00 GMT";
const AFTER_1: &str = "Wed, 21 Oct 2015 07:28:01 GMT";
const AFTER_10: &str = "Wed, 21 Oct 2015 07:28:10 GMT";

/// Longer than it is since then.
const LONG: &str = "max-age=999999999";

fn dated(call: &Call, date: &str, modified: &str) -> Reply {
    Reply::ok(call.n.to_string())
        .cc(LONG)
        .header("date", date)
        .header("last-modified", modified)
}

fn since(date: &str) -> Ask {
    get("/a").header("if-modified-since", date)
}

fn short(got: &Got) -> (u16, &str) {
    (got.status.as_u16(), &got.body)
}

// Two values within one second (C3).

#[tokio::test(start_paused = true)]
async fn c3_last_modified_is_handed_out_only_by_an_answer_that_is_a_second_younger() {
    for (date, modified, is_handed_out) in [
        (AT, AT, false),
        (AFTER_1, AT, true),
        (AFTER_10, AT, true),
        // Its clock is ahead of itself.
        (AT, AFTER_1, false),
        (AT, AFTER_10, false),
    ] {
        let gate = Gate::new();
        let held = gate.clone();
        let world = World::new(move |call| {
            dated(call, date, modified)
                .header("surrogate-key", "ch:c")
                .gated(&held)
        });
        let leads = world.start("/a").await;
        let waits = world.start("/a").await;
        gate.open();
        let expected = if is_handed_out { modified } else { "" };
        let mut all = vec![done(leads).await, done(waits).await];
        settle().await;
        let asks = [
            get("/a"),
            head("/a"),
            get("/a").header("range", "bytes=0-0"),
            get("/a").by_hold(),
        ];
        for ask in asks {
            all.push(world.get(ask).await);
        }
        for got in all {
            assert_eq!(
                got.field("last-modified"),
                expected,
                "{date} {modified} {}",
                got.status
            );
        }
        if modified > date {
            // Nobody can have it from us.
            continue;
        }
        let got = world.get(since(modified)).await;
        assert_eq!(
            got.status.as_u16(),
            if is_handed_out { 304 } else { 200 },
            "{date} {modified}"
        );
        let got = world.get(head("/a").header("if-modified-since", modified)).await;
        assert_eq!(got.status.as_u16(), if is_handed_out { 304 } else { 200 });
    }
}

#[tokio::test(start_paused = true)]
async fn c3_without_date_it_is_as_old_as_it_was_when_it_came() {
    let world = World::new(|call| Reply::ok(call.n.to_string()).cc(LONG).header("last-modified", AT));
    assert_eq!(world.get("/a").await.field("last-modified"), AT);
    assert_eq!(world.get(since(AT)).await.status, 304);
}

/// A cache forwards what it gets (RFC 9111 3.1). Where nobody is told of changes such a date is handed out, and proves nothing
/// from then on, whoever comes with it.
#[tokio::test(start_paused = true)]
async fn c3_elsewhere_a_date_of_its_own_second_is_handed_out_and_proves_nothing() {
    for second_date in [AT, AFTER_1, AFTER_10] {
        let world = World::new(move |call| match call.n {
            1 => dated(call, AT, AT),
            2 => dated(call, second_date, AT),
            _ => dated(call, AFTER_10, AFTER_1),
        });
        assert_eq!(world.get("/a").await.field("last-modified"), AT);
        assert_eq!(short(&world.get(since(AT)).await), (200, "1"));
        world.purge_url("/a", gripstack::PurgeMode::Hard).await;
        for _ in 0..2 {
            assert_eq!(short(&world.get(since(AT)).await), (200, "2"), "{second_date}");
        }
        // A later one tells again.
        world.purge_url("/a", gripstack::PurgeMode::Hard).await;
        assert_eq!(short(&world.get(since(AT)).await), (200, "3"));
        assert_eq!(world.get(since(AFTER_1)).await.status, 304);
    }
}

/// Both values have the same `Last-Modified`; who has the first is given the second.
#[tokio::test(start_paused = true)]
async fn c3_who_has_the_older_of_two_values_of_one_second_gets_the_younger() {
    for second_date in [AT, AFTER_10] {
        let world = World::new(move |call| match call.n {
            1 => dated(call, AT, AT),
            _ => dated(call, second_date, AT),
        });
        let first = world.get("/a").await;
        world.purge_url("/a", gripstack::PurgeMode::Hard).await;
        // What a browser sends: the validators that it was given.
        let again = match first.field("last-modified") {
            "" => get("/a"),
            date => since(date),
        };
        assert_eq!(short(&world.get(again).await), (200, "2"), "{second_date}");
    }
}

/// The date of a 304 is no date of the body.
#[tokio::test(start_paused = true)]
async fn c3_a_304_does_not_make_the_body_of_another_second() {
    let world = World::new(|call| {
        match call.n {
            1 => Reply::ok("1").header("date", AT).header("etag", "\"1\""),
            _ => Reply::not_modified()
                .header("date", AFTER_10)
                .header("etag", "\"1\""),
        }
        .cc("max-age=999999999")
        .header("last-modified", AT)
        .header("surrogate-key", "ch:c")
    });
    world.get("/a").await;
    world.purge_url("/a", gripstack::PurgeMode::SoftBlock).await;
    for _ in 0..2 {
        let got = world.get("/a").await;
        assert_eq!(
            (got.body.as_str(), got.field("last-modified"), got.field("etag")),
            ("1", "", "\"1\"")
        );
        settle().await;
    }
    assert_eq!(world.origin.count(), 2);
    assert_eq!(world.get(since(AT)).await.status, 200);
    let range = get("/a").header("range", "bytes=0-0").header("if-range", AT);
    assert_eq!(world.get(range).await.status, 200);
    // The tag tells them apart.
    assert_eq!(
        world.get(get("/a").header("if-none-match", "\"1\"")).await.status,
        304
    );
}

/// We are a client, too: what we validate so, we would keep for ever.
#[tokio::test(start_paused = true)]
async fn c3_a_date_of_its_own_second_validates_nothing() {
    for policy in ["no-cache", "max-age=0", "public"] {
        for (date, validates) in [(AT, false), (AFTER_1, true)] {
            let world = World::new(move |call| {
                let reply = match call.is_conditional() {
                    true => Reply::not_modified(),
                    false => Reply::ok(call.n.to_string()),
                };
                reply
                    .header("cache-control", policy)
                    .header("date", date)
                    .header("last-modified", AT)
            });
            world.get("/a").await;
            settle().await;
            let got = world.get("/a").await;
            assert_eq!(got.body, if validates { "1" } else { "2" }, "{policy} {date}");
            assert_eq!(world.origin.count(), 2);
            assert_eq!(world.origin.last().is_conditional(), validates, "{policy} {date}");
        }
    }
}

// Clients that come with validators.

/// A page of this policy, with a tag and a date; it judges conditions as origins do.
fn page(call: &Call, policy: &str) -> Reply {
    let has_it = match call.header("if-none-match") {
        Some(tags) => tags.contains("\"1\""),
        None => call.header("if-modified-since") == Some(AT),
    };
    let reply = match has_it {
        true => Reply::not_modified(),
        false => Reply::ok("page"),
    };
    let reply = reply.header("etag", "\"1\"").header("last-modified", AT);
    match policy {
        "" => reply,
        _ => reply.cc(policy),
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_that_come_to_a_cold_edge_cost_one_request_and_get_their_304() {
    // What says nothing of its reuse is given to nobody who does not have it without being validated for that one.
    for (policy, for_all) in [
        ("max-age=60", true),
        ("max-age=0", true),
        ("", false),
        ("no-cache", false),
    ] {
        let world = World::new(move |call| page(call, policy).after(secs(1)));
        let start = Instant::now();
        let mut clients = Vec::new();
        for n in 0..10_000 {
            let (ask, expected) = match n % 10 {
                0 if for_all => (get("/a"), (200, "page")),
                1 if for_all => (get("/a").header("if-none-match", "\"2\""), (200, "page")),
                2 if for_all => (head("/a"), (200, "")),
                3 if for_all => (since(AT), (304, "")),
                4 if for_all => (since(AFTER_10), (304, "")),
                5 => (head("/a").header("if-none-match", "\"1\""), (304, "")),
                6 => (get("/a").header("if-none-match", "\"2\", \"1\""), (304, "")),
                _ => (get("/a").header("if-none-match", "W/\"1\""), (304, "")),
            };
            let service = world.service.clone();
            let client = tokio::spawn(async move {
                let answer = tower::ServiceExt::oneshot(service, ask.into_request()).await;
                Got::of(answer.expect("the service answers")).await
            });
            clients.push((client, expected));
        }
        for (client, expected) in clients {
            let got = done(client).await;
            assert_eq!(short(&got), expected, "{policy}");
        }
        assert_eq!(world.origin.count(), 1, "{policy:?}");
        assert!(!world.origin.last().is_conditional(), "{policy:?}");
        assert_eq!(start.elapsed(), secs(1), "{policy:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_for_one_client_is_judged_by_its_condition() {
    for policy in [
        "no-store",
        "private",
        "no-cache",
        "private, max-age=60",
        "no-store, no-cache",
    ] {
        for (name, value, status) in [
            ("if-none-match", "\"1\"", 304),
            ("if-none-match", "W/\"1\"", 304),
            ("if-none-match", "*", 304),
            ("if-none-match", "\"2\"", 200),
            ("if-modified-since", AT, 304),
            ("if-modified-since", "Wed, 21 Oct 2015 07:27:59 GMT", 200),
        ] {
            for method in [Method::GET, Method::HEAD] {
                let world = World::new(move |call| page(call, policy).header("set-cookie", "a=b"));
                let got = world.get(ask(method.clone(), "/a").header(name, value)).await;
                assert_eq!(got.status, status, "{method} {policy} {name}: {value}");
                assert_eq!(got.field("set-cookie"), "a=b");
                assert_eq!(got.field("etag"), "\"1\"");
                if status == 304 {
                    assert_eq!((got.body.as_str(), got.field("content-length")), ("", ""));
                }
                assert_eq!(world.origin.count(), 1);
            }
        }
    }
}

/// Nothing but a good answer is not modified (RFC 9110 13.2.1).
#[tokio::test(start_paused = true)]
async fn an_answer_for_one_client_that_is_not_good_is_given_whatever_its_condition() {
    for code in [302, 404, 410, 500, 503] {
        let world = World::new(move |_| Reply::ok("no").code(code).cc("no-store").header("etag", "\"1\""));
        let got = world.get(get("/a").header("if-none-match", "\"1\"")).await;
        assert_eq!(short(&got), (code, "no"));
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_beside_an_answer_for_one_client_goes_alone_with_its_own_condition() {
    for policy in ["no-store", "private"] {
        let gate = Gate::new();
        let held = gate.clone();
        let world = World::new(move |call| {
            let reply = page(call, policy);
            if call.n == 1 { reply.gated(&held) } else { reply }
        });
        let leads = world.start(get("/a").header("if-none-match", "\"2\"")).await;
        let waits = [
            world.start(get("/a").header("if-none-match", "\"1\"")).await,
            world.start(since(AT)).await,
            world.start(get("/a")).await,
        ];
        gate.open();
        assert_eq!(short(&done(leads).await), (200, "page"));
        let mut statuses = Vec::new();
        for client in waits {
            statuses.push(done(client).await.status.as_u16());
        }
        assert_eq!(statuses, [304, 304, 200], "{policy}");
        let calls = world.origin.calls();
        assert_eq!(calls.len(), 4);
        assert!(!calls[0].is_conditional());
        assert_eq!(
            calls[1..].iter().filter(|call| call.is_conditional()).count(),
            2,
            "{policy}"
        );
    }
}

/// The body of an answer that is not given need not come to its end.
#[tokio::test(start_paused = true)]
async fn an_endless_body_of_which_a_client_needs_nothing_is_let_go() {
    let world = World::new(|_| {
        Reply::stream([Step::data("a"), Step::Hang])
            .cc("no-store")
            .header("etag", "\"1\"")
    });
    let client = world.start(get("/a").header("if-none-match", "\"1\"")).await;
    assert_eq!(done(client).await.status, 304);
    settle().await;
    world.is_empty();
}

/// Once it is known that nothing is kept, the origin judges.
#[tokio::test(start_paused = true)]
async fn what_passes_passes_with_its_condition() {
    for policy in ["no-store", "private"] {
        let world = World::new(move |call| page(call, policy));
        for n in 1..4 {
            let got = world.get(get("/a").header("if-none-match", "\"1\"")).await;
            assert_eq!(short(&got), (304, ""));
            assert_eq!(world.origin.count(), n);
            assert_eq!(world.origin.last().is_conditional(), n > 1, "{policy} {n}");
            settle().await;
        }
        assert_eq!(
            short(&world.get(get("/a").header("if-none-match", "\"2\"")).await),
            (200, "page")
        );
        assert_eq!(world.origin.last().header("if-none-match"), Some("\"2\""));
    }
}

/// What came with neither a validator nor a word on its reuse.
#[tokio::test(start_paused = true)]
async fn a_page_that_says_nothing_of_itself_passes_with_conditions_and_parts() {
    let world = World::new(
        |call| match (call.header("range"), call.header("if-none-match")) {
            (Some(_), _) => Reply::ok("p").code(206).header("content-range", "bytes 0-0/4"),
            (_, Some("\"1\"")) => Reply::not_modified(),
            _ => Reply::ok("page"),
        },
    );
    world.get("/a").await;
    pass(ms(1)).await;
    let got = world.get(get("/a").header("range", "bytes=0-0")).await;
    assert_eq!(short(&got), (206, "p"));
    let got = world.get(get("/a").header("if-none-match", "\"1\"")).await;
    assert_eq!(short(&got), (304, ""));
    assert_eq!(short(&world.get("/a").await), (200, "page"));
}

#[tokio::test(start_paused = true)]
async fn c3_a_date_that_is_still_to_come_makes_no_other_useless() {
    const THEN: &str = "Wed, 21 Oct 2015 07:28:00 GMT";
    let world = World::new(|call| {
        let date = if call.n == 1 {
            "Wed, 21 Oct 2099 07:28:00 GMT"
        } else {
            THEN
        };
        Reply::ok(call.n.to_string())
            .cc("max-age=1")
            .header("last-modified", date)
    });
    world.get("/a").await;
    pass(secs(3_600)).await;
    world.get("/a").await;
    assert_eq!(
        world
            .get(get("/a").header("if-modified-since", THEN))
            .await
            .status,
        304
    );
}
