//! Marks: however many purges come, they concern what they name (rule C4), and are forgotten when everything has seen them.

use gripstack::{Order, PurgeMode, Target, Url};

use crate::origin::{Gate, Refused, Reply, Step};
use crate::world::{HOST, World, ask, done, get, pass, secs, settle};
use http::Method;

/// With `GRIPSTACK_FULL=1` as many as are promised, otherwise fewer.
fn many(full: usize, few: usize) -> usize {
    match std::env::var("GRIPSTACK_FULL") {
        Ok(is_full) if is_full == "1" => full,
        _ => few,
    }
}

fn key(n: usize) -> Target {
    Target::Key(format!("k{n}").into())
}

fn url(host: &str, n: usize) -> Target {
    Target::Url(Url::new(host, &format!("/{n}")))
}

fn pages() -> World {
    World::new(|_| Reply::ok("1").cc("max-age=86400"))
}

async fn is_hit(world: &World, host: &str, path: &str) -> bool {
    let got = world.get(get(path).host(host)).await;
    got.in_short().1 == "hit"
}

/// Purges on one host, in real time, so that whoever purges has to sweep.
async fn purges_on_another_host(purges: usize) {
    let world = pages();
    for n in 0..200 {
        world.get(get(&format!("/{n}")).host("kept.test")).await;
    }
    for n in 0..purges {
        world.purge(url("purged.test", n), PurgeMode::Hard).await;
    }
    for n in 0..200 {
        assert!(is_hit(&world, "kept.test", &format!("/{n}")).await, "/{n}");
    }
    assert_eq!(world.origin.count(), 200);
}

#[tokio::test(start_paused = true)]
async fn pur_21_65_536_purges_on_one_host_leave_another_one_alone() {
    purges_on_another_host(65_536).await;
}

#[tokio::test(start_paused = true)]
async fn pur_21_so_do_66_560() {
    purges_on_another_host(66_560).await;
}

#[tokio::test(start_paused = true)]
async fn pur_22_one_key_purged_again_and_again_costs_no_last_good_copy() {
    let world: World = World::new(|call| match call.n {
        0..=50 => Reply::ok("1").cc("max-age=60"),
        _ => Reply::fail(Refused("down")),
    });
    for n in 0..50 {
        world.get(get(&format!("/{n}"))).await;
    }
    for n in 0..2_000 {
        world.purge(url("purged.test", n), PurgeMode::Hard).await;
    }
    for _ in 0..65_536 {
        world.purge(key(0), PurgeMode::Hard).await;
    }
    pass(secs(61)).await;
    for n in 0..50 {
        let got = world.get(get(&format!("/{n}"))).await;
        assert_eq!(got.body, "1", "/{n}: {}", got.cache_status());
    }
}

/// The bound of marks, and what may come while a pass is under way.
const MARKS: usize = 65_536 * 2;

#[tokio::test(start_paused = true)]
async fn pur_21_ten_million_purges_concern_what_they_name() {
    let world = World::new(|call| {
        let key = call.uri.path().trim_start_matches('/').to_owned();
        Reply::ok("1")
            .cc("max-age=86400")
            .header("surrogate-key", &format!("k{key}"))
    });
    let purges = many(10_000_000, 300_000);
    // The first of them are purged early, the others late, and between them nobody asks for them.
    let purged: Vec<usize> = (0..100).chain(purges - 100..purges).collect();
    for n in &purged {
        world.get(get(&format!("/{n}"))).await;
    }
    for n in 0..1_000 {
        world.get(get(&format!("/x{n}"))).await;
    }
    let before = world.origin.count();
    let mut most = 0;
    for n in 0..purges {
        world.purge(key(n), PurgeMode::Hard).await;
        if n % 1_024 == 0 {
            most = most.max(world.edge.hub().stats().marks);
        }
    }
    assert!(most <= MARKS, "{most} marks");
    let mut hits = 0;
    for n in 0..1_000 {
        hits += usize::from(is_hit(&world, HOST, &format!("/x{n}")).await);
    }
    assert!(hits >= 999, "{hits} hits");
    assert_eq!(world.origin.count() - before, 1_000 - hits);
    for n in purged {
        let got = world.get(get(&format!("/{n}"))).await;
        assert_eq!(got.in_short().1, "fwd=uri-miss; stored", "/{n}");
    }
}

#[tokio::test(start_paused = true)]
async fn pur_20_what_was_purged_leaves_memory_by_itself() {
    let targets: [fn(usize) -> Target; 4] = [
        |n| url(HOST, n),
        |_| Target::Key("t".into()),
        |_| Target::Host(HOST.into()),
        |_| Target::Everything,
    ];
    for target in targets {
        let world = World::new(|_| Reply::ok("1").cc("max-age=60").header("surrogate-key", "t"));
        for n in 0..300 {
            world.get(get(&format!("/{n}"))).await;
        }
        world.get(get("/z").host("other.test")).await;
        settle().await;
        assert_eq!(world.edge.cache().stats().entries, 301);
        let order = (0..300).fold(Order::default(), |order, n| {
            order.and_purge(target(n), PurgeMode::Hard)
        });
        world.edge.submit(order).await.expect("accepted");
        pass(secs(3)).await;
        let left = world.edge.cache().stats();
        assert!(left.entries <= 1 && left.urls <= 1, "{:?}: {left:?}", target(0));
        assert_eq!(world.edge.hub().stats().marks, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_purged_softly_stays_and_is_known_as_that() {
    let world: World = World::new(|call| match call.n {
        1 | 2 => Reply::ok("1").cc("max-age=60, stale-while-revalidate=60"),
        _ => Reply::fail(Refused("down")),
    });
    world.get(get("/a")).await;
    world.get(get("/b")).await;
    world.purge_url("/a", PurgeMode::Soft).await;
    world.purge_url("/b", PurgeMode::SoftBlock).await;
    pass(secs(5)).await;
    assert_eq!(world.edge.hub().stats().marks, 0, "they are forgotten");
    assert_eq!(world.get("/a").await.in_short().1, "hit; detail=swr");
    settle().await;
    let got = world.get("/b").await;
    assert_eq!(got.body, "1", "{}", got.cache_status());
    assert!(got.cache_status().contains("outage"), "{}", got.cache_status());
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_learned_after_its_purge_was_forgotten_is_purged_all_the_same() {
    let world = World::new(|call| {
        let reply = Reply::ok(format!("{}", call.n))
            .cc("max-age=600")
            .header("vary", "x");
        match call.headers.contains_key("x") {
            true => reply.header("surrogate-key", "ch:news"),
            false => reply,
        }
    });
    world
        .get(get("/a"))
        .await
        .expect_short("1", "fwd=uri-miss; stored");
    world.purge_key("ch:news", PurgeMode::Hard).await;
    pass(secs(5)).await;
    assert_eq!(world.edge.hub().stats().marks, 0);
    // It is not one of its channels.
    world.get(get("/a")).await.expect_short("1", "hit");
    world.get(get("/a").header("x", "1")).await;
    let got = world.get(get("/a")).await;
    assert_eq!(got.body, "3", "{}", got.cache_status());
}

/// What is purged by a channel of its URL stays so when the answer that named the channel is gone.
#[tokio::test(start_paused = true)]
async fn what_was_purged_by_a_channel_stays_purged_when_the_channel_leaves() {
    for mode in [PurgeMode::Hard, PurgeMode::SoftBlock, PurgeMode::Soft] {
        let world = World::new(|call| {
            let reply = Reply::ok(format!("{}", call.n))
                .cc("max-age=600")
                .header("vary", "x");
            match call.n {
                1 => reply.header("surrogate-key", "ch:news"),
                _ => reply,
            }
        });
        world.get(get("/a").header("x", "1")).await;
        world.get(get("/a")).await;
        world.purge_key("ch:news", mode).await;
        world.get(get("/a").header("x", "1")).await.expect_short(
            "3",
            match mode {
                PurgeMode::Hard => "fwd=uri-miss; stored",
                _ => "fwd=stale; stored",
            },
        );
        settle().await;
        let got = world.get(get("/a")).await;
        assert_eq!(got.body, "4", "{mode:?}: {}", got.cache_status());
        world.get(get("/a")).await.expect_short("4", "hit");
    }
}

#[tokio::test(start_paused = true)]
async fn a_url_that_is_remembered_as_uncacheable_is_purged_whatever_is_forgotten() {
    let world = World::new(|call| match call.n {
        1 => Reply::ok("1").cc("no-store"),
        n => Reply::ok(n.to_string()).cc("max-age=60"),
    });
    world.get(get("/a")).await;
    world.purge_url("/a", PurgeMode::Hard).await;
    for n in 0..100 {
        world.purge(key(n), PurgeMode::Hard).await;
    }
    pass(secs(5)).await;
    assert_eq!(world.edge.hub().stats().marks, 0);
    let got = world.get("/a").await;
    assert_eq!(got.in_short(), ("2", "fwd=uri-miss; stored".into()));
}

/// A body that does not end keeps marks back, up to their bound: then it is no longer one to store.
#[tokio::test(start_paused = true)]
async fn an_endless_body_does_not_let_marks_pile_up() {
    let gate = Gate::new();
    let held = gate.clone();
    let world = World::new(move |call| match call.uri.path() {
        "/endless" => {
            Reply::stream([Step::data("1"), Step::Wait(held.clone()), Step::data("2")]).cc("max-age=600")
        }
        _ => Reply::ok("1").cc("max-age=600"),
    });
    for n in 0..100 {
        world.get(get(&format!("/{n}"))).await;
    }
    let endless = world.start("/endless").await;
    let mut most = 0;
    for n in 0..150_000 {
        world.purge(key(n), PurgeMode::Hard).await;
        if n % 1_024 == 0 {
            most = most.max(world.edge.hub().stats().marks);
        }
    }
    assert!(most <= MARKS, "{most} marks");
    gate.open();
    assert_eq!(done(endless).await.body, "12");
    settle().await;
    for n in 0..100 {
        assert!(is_hit(&world, HOST, &format!("/{n}")).await, "/{n}");
    }
    let again = world.get("/endless").await;
    assert!(
        again.cache_status().contains("fwd=uri-miss"),
        "{}",
        again.cache_status()
    );
}

/// A flight that began before a pass, and what it took along, is known as exactly as what is stored.
#[tokio::test(start_paused = true)]
async fn pur_01_a_pass_does_not_forget_what_a_flight_has_not_seen() {
    for at_head in [true, false] {
        let gate = Gate::new();
        let held = gate.clone();
        let world = World::new(move |call| {
            let reply = match (call.n, at_head) {
                (1, true) => Reply::ok("1").gated(&held),
                (1, false) => Reply::stream([Step::data("1"), Step::Wait(held.clone())]),
                _ => return Reply::fail(Refused("down")),
            };
            reply.cc("max-age=60").header("surrogate-key", "t")
        });
        let first = world.start("/a").await;
        world.purge_key("t", PurgeMode::Hard).await;
        for n in 0..100 {
            world.purge(key(n), PurgeMode::Hard).await;
        }
        pass(secs(5)).await;
        assert!(world.edge.hub().stats().marks > 0, "they are needed");
        gate.open();
        assert_eq!(done(first).await.body, "1");
        settle().await;
        assert_eq!(world.edge.cache().stats().entries, 0, "it was purged");
        world
            .try_response("/a")
            .await
            .expect_err("not even as the last good copy");
        pass(secs(5)).await;
        assert_eq!(world.edge.hub().stats().marks, 0);
    }
}

/// Who waits with an old answer in its hands, whose purge was forgotten meanwhile, does not get it.
#[tokio::test(start_paused = true)]
async fn what_a_request_holds_is_not_given_after_its_purge_was_seen_by_all_others() {
    let gate = Gate::new();
    let held = gate.clone();
    let world = World::new(move |call| match call.n {
        1 => Reply::ok("1").cc("max-age=1"),
        _ => Reply::fail(Refused("down")).gated(&held),
    });
    world.get("/a").await;
    pass(secs(2)).await;
    let service = world.call("/a");
    let waits = tokio::spawn(service);
    settle().await;
    world.purge_url("/a", PurgeMode::Hard).await;
    pass(secs(4)).await;
    assert_eq!(world.edge.cache().stats().entries, 0);
    gate.open();
    let response = waits.await.expect("no panic");
    assert!(response.is_err(), "{response:?}");
    pass(secs(5)).await;
    assert_eq!(world.edge.hub().stats().marks, 0);
}

/// The task that sweeps ends with its runtime, and another one takes its place.
#[test]
fn it_goes_on_in_another_runtime() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime")
    };
    let world = pages();
    runtime().block_on(async {
        world.get(get("/1")).await;
        settle().await;
        world.purge_url("/1", PurgeMode::Hard).await;
    });
    assert_eq!(world.edge.cache().stats().entries, 1);
    runtime().block_on(async {
        world.get(ask(Method::GET, "/2")).await;
        world.purge_url("/3", PurgeMode::Hard).await;
        pass(secs(5)).await;
    });
    assert_eq!(world.edge.cache().stats().entries, 1);
    assert_eq!(world.edge.hub().stats().marks, 0);
}
