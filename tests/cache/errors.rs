//! Errors, beside what can still be served and what cannot.

use gripstack::PurgeMode;

use crate::origin::{Gate, Reply, Step};
use crate::world::{World, done, get, pass, secs, settle};

/// Nothing of it can be served any more, so it is in the way of nothing.
#[tokio::test(start_paused = true)]
async fn sta_03_an_error_that_varies_is_kept_where_no_page_can_be_served() {
    for purge in [None, Some(PurgeMode::Hard), Some(PurgeMode::SoftBlock)] {
        let policy = match purge {
            Some(PurgeMode::Hard) => "max-age=60",
            _ => "max-age=60, must-revalidate",
        };
        let world = World::new(move |call| match call.n {
            1 => Reply::ok("good").cc(policy),
            _ => Reply::ok("bad")
                .code(503)
                .cc("max-age=5")
                .header("vary", "accept-encoding"),
        });
        world.get("/a").await;
        match purge {
            None => pass(secs(61)).await,
            Some(mode) => drop(world.purge_url("/a", mode).await),
        }
        for _ in 0..4 {
            assert_eq!(world.get("/a").await.body, "bad", "{purge:?}");
            settle().await;
        }
        assert_eq!(
            world.origin.count(),
            2,
            "it says how long it may be kept: {purge:?}"
        );
    }
}

/// It came for a request that went alone.
#[tokio::test(start_paused = true)]
async fn sta_03_an_error_that_varies_does_not_hide_a_page_that_comes_beside_all_flights() {
    let gate = Gate::new();
    let held = gate.clone();
    let world = World::new(move |call| match call.n {
        1 => Reply::stream([Step::data("go"), Step::Wait(held.clone()), Step::data("od")])
            .cc("public, max-age=60"),
        _ => Reply::ok("bad").code(503).header("vary", "accept-encoding"),
    });
    let first = world.start(get("/a").header("authorization", "Basic x")).await;
    assert_eq!(world.get("/a").await.body, "bad");
    gate.open();
    assert_eq!(done(first).await.body, "good");
    settle().await;
    assert_eq!(world.get("/a").await.body, "good");
}
