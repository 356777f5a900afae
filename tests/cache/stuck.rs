//! Fetches whose maker dies: nobody waits for what will never come.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use gripstack::{Edge, EdgeBody};
use http::{Request, Response};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt};

use crate::origin::{Origin, Reply};
use crate::world::{Ask, Got, World, done, get, head, ms, pass, post, secs, settle};

/// What dies, after so many times that it did not.
#[derive(Clone, Default)]
struct Fuse(Arc<AtomicUsize>);

impl Fuse {
    fn after(times: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(times + 1)))
    }

    fn burn(&self, what: &str) {
        let left = self.0.load(Ordering::SeqCst);
        if left > 0 {
            self.0.store(left - 1, Ordering::SeqCst);
            assert_ne!(left, 1, "{what} panics, as its test wants");
        }
    }
}

/// A service whose clones may panic.
struct Fragile {
    origin: Origin,
    clone: Fuse,
    ready: Fuse,
    call: Fuse,
}

impl Clone for Fragile {
    fn clone(&self) -> Self {
        self.clone.burn("clone");
        Self {
            origin: self.origin.clone(),
            clone: self.clone.clone(),
            ready: self.ready.clone(),
            call: self.call.clone(),
        }
    }
}

impl Service<Request<EdgeBody>> for Fragile {
    type Response = <Origin as Service<Request<EdgeBody>>>::Response;
    type Error = <Origin as Service<Request<EdgeBody>>>::Error;
    type Future = <Origin as Service<Request<EdgeBody>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.ready.burn("poll_ready");
        Service::<Request<EdgeBody>>::poll_ready(&mut self.origin, cx)
    }

    fn call(&mut self, request: Request<EdgeBody>) -> Self::Future {
        self.call.burn("call");
        self.origin.call(request)
    }
}

/// An extension whose clones may panic.
struct Bomb(Fuse);

impl Clone for Bomb {
    fn clone(&self) -> Self {
        self.0.burn("clone");
        Self(self.0.clone())
    }
}

/// One that panics as it is dropped.
struct DropBomb(Fuse);

impl Clone for DropBomb {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl Drop for DropBomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.0.burn("drop");
        }
    }
}

/// In a task of its own, so that a panic stays there.
async fn tried<F>(future: F) -> Option<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::time::timeout(secs(120), tokio::spawn(future))
        .await
        .expect("in time")
        .ok()
}

/// It can still be asked for, now.
async fn is_alive(world: &World, ask: impl Fn() -> Ask, case: &str) {
    let start = Instant::now();
    let clients = [world.start(ask()).await, world.start(ask()).await];
    for client in clients {
        let got = done(client).await;
        assert_eq!(got.status, 200, "{case}");
    }
    assert!(start.elapsed() <= ms(10), "{case}: {:?}", start.elapsed());
    settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_panics_while_it_is_cloned_asked_or_called_stops_nobody_else() {
    for policy in [
        "max-age=60",
        "no-cache",
        "no-store",
        "max-age=1, stale-while-revalidate=600",
    ] {
        for when in 0..6 {
            for which in 0..3 {
                let fuse = Fuse::after(when);
                let none = Fuse::default();
                let origin = Origin::new(move |call| {
                    Reply::ok(call.n.to_string())
                        .cc(policy)
                        .header("etag", &format!("\"{}\"", call.n))
                });
                let of = |n: usize| if which == n { fuse.clone() } else { none.clone() };
                let fragile = Fragile {
                    origin: origin.clone(),
                    clone: of(0),
                    ready: of(1),
                    call: of(2),
                };
                let edge = Edge::new();
                let service = edge.cache_layer();
                let service = match std::panic::catch_unwind(AssertUnwindSafe(|| service.layer(fragile))) {
                    Ok(service) => service,
                    Err(_) => continue,
                };
                let service = Arc::new(parking_lot::Mutex::new(service));
                let ask = |path: &'static str| {
                    let service = service.clone();
                    async move {
                        let service = service.lock().clone();
                        let answer = service.oneshot(get(path).into_request()).await;
                        Got::of(answer.expect("the service answers")).await
                    }
                };
                // One of these meets it; two that come together, one after them, one after a while.
                let case = format!("{policy} {when} {which}");
                for _ in 0..3 {
                    let together = [tokio::spawn(ask("/a")), tokio::spawn(ask("/a"))];
                    for task in together {
                        let _ = tokio::time::timeout(secs(120), task).await.expect("in time");
                    }
                    pass(secs(2)).await;
                }
                let start = Instant::now();
                for _ in 0..2 {
                    let got = tried(ask("/a")).await.expect("no panic is left");
                    assert_eq!(got.status, 200, "{case}");
                    settle().await;
                }
                assert!(start.elapsed() <= ms(10), "{case}: {:?}", start.elapsed());
                assert_eq!((origin.open_calls(), origin.open_bodies()), (0, 0), "{case}");
                assert_eq!(edge.cache().stats().arriving_bytes, 0, "{case}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_extension_that_panics_while_it_is_cloned_or_dropped_stops_nobody_else() {
    for policy in [
        "max-age=60",
        "no-cache",
        "no-store",
        "max-age=1, stale-while-revalidate=600",
    ] {
        for known in [false, true] {
            for when in 0..4 {
                for drops in [false, true] {
                    let asks: [fn() -> Ask; 4] =
                        [|| get("/a"), || head("/a"), || get("/a").by_hold(), || post("/a")];
                    for (n, ask) in asks.into_iter().enumerate() {
                        let world = World::new(move |call| {
                            Reply::ok(call.n.to_string())
                                .cc(policy)
                                .header("etag", &format!("\"{}\"", call.n))
                        });
                        if known {
                            world.get("/a").await;
                            pass(secs(2)).await;
                        }
                        let fuse = Fuse::after(when);
                        let ask = match drops {
                            true => ask().extension(DropBomb(fuse.clone())),
                            false => ask().extension(Bomb(fuse.clone())),
                        };
                        let service = world.service.clone();
                        let client = async move {
                            Got::of(service.oneshot(ask.into_request()).await.expect("an answer")).await
                        };
                        let _ = tried(client).await;
                        settle().await;
                        fuse.0.store(0, Ordering::SeqCst);
                        let case = format!("{policy} {known} {when} {drops} {n}");
                        is_alive(&world, || get("/a"), &case).await;
                        is_alive(&world, || get("/a").by_hold(), &case).await;
                        if !drops {
                            world.is_idle();
                        }
                    }
                }
            }
        }
    }
}

/// A script that panics, or a service that does so in its future, is no more than a failure.
#[tokio::test(start_paused = true)]
async fn who_waited_for_one_that_panicked_waits_no_longer() {
    for policy in ["max-age=60", "no-store"] {
        let world = World::new(move |call| match call.n {
            1 => Reply::ok("1").cc(policy),
            2 => Reply::panic().after(secs(1)),
            n => Reply::ok(n.to_string()).cc(policy),
        });
        world.get("/a").await;
        world.purge_url("/a", gripstack::PurgeMode::Hard).await;
        let leads = world.start("/a").await;
        let waits = world.start("/a").await;
        pass(secs(1)).await;
        let _ = tokio::time::timeout(ms(10), leads).await.expect("in time");
        let _ = tokio::time::timeout(ms(10), waits).await.expect("in time");
        is_alive(&world, || get("/a"), policy).await;
    }
}

/// A runtime of its own, on the paused clock.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime")
}

type Boxed = Pin<Box<dyn Future<Output = Result<Response<EdgeBody>, Infallible>> + Send>>;

/// A fetch is a task, and a runtime that ends drops its tasks, perhaps before they ran once.
#[test]
fn a_runtime_that_ends_leaves_nothing_behind() {
    for policy in [
        "max-age=60",
        "no-cache",
        "no-store",
        "max-age=1, stale-while-revalidate=600",
    ] {
        for known in [false, true] {
            // How far the request gets before that.
            for turns in 0..4 {
                let world = World::new(move |call| match call.n {
                    n if turns == 3 && n == 1 + usize::from(known) => Reply::hang(),
                    n => Reply::ok(n.to_string())
                        .cc(policy)
                        .header("etag", &format!("\"{n}\"")),
                });
                if known {
                    runtime().block_on(async {
                        world.get("/a").await;
                        pass(secs(2)).await;
                    });
                }
                let first = runtime();
                let answer: Boxed = {
                    let _entered = first.enter();
                    let answer = world.call("/a");
                    Box::pin(async move { Ok(answer.await.unwrap_or_default()) })
                };
                let task = first.spawn(answer);
                first.block_on(async {
                    for _ in 0..turns {
                        tokio::task::yield_now().await;
                    }
                });
                drop(first);
                drop(task);
                let case = format!("{policy} {known} {turns}");
                runtime().block_on(is_alive(&world, || get("/a"), &case));
                runtime().block_on(is_alive(&world, || get("/a"), &case));
                world.is_idle();
            }
        }
    }
}

/// Nor does one that ends before its first task ran: nothing was polled but the request.
#[test]
fn a_runtime_that_ends_before_anything_ran_leaves_nothing_behind() {
    for policy in ["max-age=60", "no-store"] {
        let world = World::new(move |call| Reply::ok(call.n.to_string()).cc(policy));
        let first = runtime();
        {
            let _entered = first.enter();
            let mut answer = Box::pin(world.call("/a"));
            let waker = std::task::Waker::noop();
            let _ = answer.as_mut().poll(&mut Context::from_waker(waker));
            drop(first);
            drop(answer);
        }
        runtime().block_on(is_alive(&world, || get("/a"), policy));
        assert_eq!(world.edge.cache().stats().arriving_bytes, 0);
    }
}
