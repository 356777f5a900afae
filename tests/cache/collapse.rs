//! Many who want the same at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gripstack::EdgeBody;
use gripstack::cache::CacheConfig;
use http::Response;
use http_body_util::BodyExt;
use tokio::time::Instant;
use tower::ServiceExt;

use crate::origin::{Gate, Origin, Refused, Reply, Step};
use crate::world::{Got, World, chunk, done, get, head, ms, pass, secs, settle};

#[tokio::test(start_paused = true)]
async fn col_01_a_thousand_get_the_head_at_once_and_the_body_as_it_comes() {
    let world = World::new(|_| {
        Reply::stream([Step::data("a"), Step::Pause(secs(2)), Step::data("b")])
            .after(ms(100))
            .cc("max-age=60")
    });
    let start = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..1_000 {
        let service = world.service.clone();
        clients.push(tokio::spawn(async move {
            let response = service.oneshot(get("/a").into_request()).await.expect("answered");
            let head = start.elapsed();
            let mut body = response.into_body();
            let first = body.frame().await.expect("a frame").expect("whole");
            let first_byte = start.elapsed();
            let rest = body.collect().await.expect("whole").to_bytes();
            (head, first.into_data().expect("data"), first_byte, rest)
        }));
    }
    for client in clients {
        let (head, first, first_byte, rest) = done(client).await;
        assert!(
            head <= ms(110) && first_byte <= ms(110),
            "{head:?} {first_byte:?}"
        );
        assert_eq!((&first[..], &rest[..]), (&b"a"[..], &b"b"[..]));
    }
    assert_eq!(world.origin.count(), 1);
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn col_04_a_private_answer_is_for_one_and_the_others_go_at_once() {
    let world = World::new(|call| Reply::ok(call.n.to_string()).cc("private").after(ms(100)));
    let start = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..100 {
        clients.push(tokio::spawn(
            world.service.clone().oneshot(get("/a").into_request()),
        ));
    }
    let mut bodies = Vec::new();
    for client in clients {
        bodies.push(Got::of(done(client).await.expect("answered")).await.body);
    }
    assert!(start.elapsed() <= ms(210), "{:?}", start.elapsed());
    bodies.sort();
    bodies.dedup();
    assert_eq!((bodies.len(), world.origin.count()), (100, 100));
    // And later ones do not even wait for each other.
    let start = Instant::now();
    let (one, two) = tokio::join!(world.get("/a"), world.get("/a"));
    assert!(start.elapsed() <= ms(110), "{:?}", start.elapsed());
    assert_ne!(one.body, two.body);
    assert_eq!(one.in_short().1, "fwd=uri-miss; stored=?0; detail=private");
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn col_05_a_storable_answer_ends_the_marker() {
    let world = World::new(|call| match call.n {
        1 => Reply::ok("private").cc("private"),
        n => Reply::ok(n.to_string()).cc("max-age=60"),
    });
    world.get("/a").await;
    assert_eq!(world.get("/a").await.body, "2");
    settle().await;
    world.get("/a").await.expect_short("2", "hit");
}

#[tokio::test(start_paused = true)]
async fn col_05_the_marker_ends_after_its_time() {
    let world = World::new(|call| Reply::ok(call.n.to_string()).cc("private").after(ms(100)));
    world.get("/a").await;
    pass(secs(121)).await;
    let one = world.start("/a").await;
    let two = world.start("/a").await;
    assert_eq!(world.origin.count(), 2, "they are collapsed again");
    done(one).await;
    done(two).await;
}

#[tokio::test(start_paused = true)]
async fn col_06_a_cookie_is_for_the_client_that_asked() {
    let world = World::new(|call| {
        Reply::ok("a")
            .cc("max-age=60")
            .header("set-cookie", &format!("id={}", call.n))
            .after(ms(10))
    });
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(world.start("/a").await);
    }
    let mut cookies = Vec::new();
    for client in clients {
        cookies.push(done(client).await.field("set-cookie").to_owned());
    }
    cookies.sort();
    cookies.dedup();
    assert_eq!(cookies.len(), 10);
    assert_eq!(world.edge.cache().stats().entries, 0);
}

#[tokio::test(start_paused = true)]
async fn col_07_what_was_asked_with_authorization_is_not_shared() {
    let world = World::new(|call| {
        Reply::ok(call.header("authorization").unwrap_or("nobody").to_owned())
            .cc("max-age=60")
            .after(ms(10))
    });
    let one = world.start(get("/a").header("authorization", "one")).await;
    let two = world.start(get("/a").header("authorization", "two")).await;
    let none = world.start("/a").await;
    assert_eq!(done(one).await.body, "one");
    assert_eq!(done(two).await.body, "two");
    assert_eq!(done(none).await.body, "nobody");
    assert_eq!(world.origin.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn col_07_nobody_shares_a_revalidation_with_authorization_either() {
    let gate = Gate::new();
    let held = gate.clone();
    let world = World::new(move |call| {
        let who = call.header("authorization").unwrap_or("nobody").to_owned();
        let reply = Reply::ok(who).cc("max-age=60").header("etag", "\"1\"");
        if call.n == 2 { reply.gated(&held) } else { reply }
    });
    world.get("/a").await;
    pass(secs(61)).await;
    let one = world.start(get("/a").header("authorization", "one")).await;
    let two = world.start("/a").await;
    gate.open();
    assert_eq!(done(one).await.body, "one");
    assert_eq!(done(two).await.body, "nobody");
}

#[tokio::test(start_paused = true)]
async fn col_08_an_answer_that_lives_no_second_is_for_those_who_waited() {
    let (head, tail) = (Gate::new(), Gate::new());
    let (held_head, held_tail) = (head.clone(), tail.clone());
    let world = World::new(move |call| match call.n {
        1 => Reply::stream([Step::data("1"), Step::Wait(held_tail.clone())])
            .cc("max-age=0")
            .gated(&held_head),
        n => Reply::ok(n.to_string()).cc("max-age=0"),
    });
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(world.start("/a").await);
    }
    head.open();
    settle().await;
    // After the head: on its own.
    assert_eq!(world.get("/a").await.body, "2");
    tail.open();
    for (n, client) in clients.into_iter().enumerate() {
        let got = done(client).await;
        let expected = match n {
            0 => "fwd=uri-miss; stored=?0; detail=no-lifetime",
            _ => "fwd=uri-miss; collapsed; detail=no-lifetime",
        };
        got.expect_short("1", expected);
    }
    assert_eq!(world.origin.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn col_09_three_values_of_a_vary_are_three_requests() {
    for steps in [0, 1] {
        let world = World::new(move |call| {
            let accept = call.header("accept").unwrap_or_default().to_owned();
            let pause = vec![Step::Pause(secs(2)); steps];
            Reply::stream(pause)
                .then([Step::data(accept)])
                .cc("max-age=60")
                .header("vary", "accept")
                .after(ms(100))
        });
        let mut clients = Vec::new();
        for n in 0..10 {
            let accept = ["text/a", "text/b", "text/c"][n % 3];
            clients.push((accept, world.start(get("/a").header("accept", accept)).await));
        }
        for (accept, client) in clients {
            assert_eq!(done(client).await.body, accept);
        }
        assert_eq!(world.origin.count(), 3, "the body comes {steps} pauses later");
        for accept in ["text/a", "text/b", "text/c"] {
            let got = world.get(get("/a").header("accept", accept)).await;
            got.expect_short(accept, "hit");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn col_09_who_comes_while_a_body_arrives_gets_its_own_variant() {
    let gate = Gate::new();
    let held = gate.clone();
    let world = World::new(move |call| {
        let accept = call.header("accept").unwrap_or_default().to_owned();
        Reply::stream([Step::data(accept), Step::Wait(held.clone())])
            .cc("max-age=60")
            .header("vary", "accept")
    });
    let a = world.start(get("/a").header("accept", "text/a")).await;
    let b = world.start(get("/a").header("accept", "text/b")).await;
    let more = world.start(get("/a").header("accept", "text/b")).await;
    gate.open();
    assert_eq!(done(a).await.body, "text/a");
    assert_eq!(done(b).await.body, "text/b");
    assert_eq!(done(more).await.body, "text/b");
    assert_eq!(world.origin.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn col_09_many_variants_of_an_answer_that_is_not_stored() {
    let world = World::new(|call| {
        Reply::ok(call.header("accept").unwrap_or_default().to_owned())
            .cc("max-age=0")
            .header("vary", "accept")
            .after(ms(100))
    });
    let start = Instant::now();
    let mut clients = Vec::new();
    for n in 0..60 {
        let accept = format!("text/{}", n % 20);
        clients.push((
            accept.clone(),
            world.start(get("/a").header("accept", &accept)).await,
        ));
    }
    for (accept, client) in clients {
        assert_eq!(done(client).await.body, accept);
    }
    assert_eq!(world.origin.count(), 20);
    assert!(
        start.elapsed() < ms(250),
        "one after the other: {:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn col_10_an_origin_that_never_answers_is_not_piled_upon() {
    let world = World::new(|_| Reply::hang());
    let start = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..100 {
        clients.push(world.start("/a").await);
    }
    for client in clients {
        let got = done(client).await;
        assert_eq!(got.status, 504);
        assert_ne!(got.field("gripstack-error"), "");
    }
    assert!(start.elapsed() <= secs(31), "{:?}", start.elapsed());
    assert!(world.origin.count() <= 6, "{} requests", world.origin.count());
    pass(secs(30)).await;
    world.is_empty();
}

#[tokio::test(start_paused = true)]
async fn col_10_a_slow_first_fetch_is_left_for_a_quicker_one() {
    let world = World::new(|call| match call.n {
        1 => Reply::ok("1").cc("max-age=60").after(secs(14)),
        n => Reply::ok(n.to_string()).cc("max-age=60").after(ms(10)),
    });
    let start = Instant::now();
    let first = world.start("/a").await;
    let others = [
        world.start("/a").await,
        world.start("/a").await,
        world.start("/a").await,
    ];
    for other in others {
        assert_eq!(done(other).await.body, "2");
    }
    assert!(start.elapsed() < secs(6), "{:?}", start.elapsed());
    assert_eq!(done(first).await.body, "1");
    assert_eq!(world.origin.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn col_11_a_failure_is_one_request_and_the_same_end_for_all() {
    let world = World::new(|_| Reply::fail(Refused("refused")).after(ms(10)));
    let start = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..100 {
        clients.push(tokio::spawn(
            world.service.clone().oneshot(get("/a").into_request()),
        ));
    }
    let (mut errors, mut answers) = (Vec::new(), 0);
    for client in clients {
        match done(client).await {
            Err(error) => errors.push(error),
            Ok(response) => {
                assert_eq!(response.status(), 502);
                assert_eq!(response.headers()["gripstack-error"], "origin-error");
                assert_eq!(response.headers()["cache-control"], "no-store");
                answers += 1;
            }
        }
    }
    assert_eq!((errors, answers), (vec![Refused("refused")], 99));
    assert!(start.elapsed() <= ms(20), "{:?}", start.elapsed());
    assert_eq!(world.origin.count(), 1);
    world.is_empty();
}

#[tokio::test(start_paused = true)]
async fn col_12_a_panic_leaves_nobody_waiting() {
    let world = World::new(|call| match call.n {
        1 => Reply::panic().after(ms(10)),
        _ => Reply::ok("a").cc("max-age=60"),
    });
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(world.start("/a").await);
    }
    for client in clients {
        let got = done(client).await;
        assert_eq!(
            (got.status.as_u16(), got.field("gripstack-error")),
            (502, "fetch-died")
        );
    }
    world.is_empty();
    assert_eq!(world.get("/a").await.body, "a");
}

/// Reads a body one frame at a time, with a pause after each.
async fn read_slowly(response: Response<EdgeBody>, pause: std::time::Duration) -> Result<u64, u64> {
    let mut body = response.into_body();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        match frame.map(http_body::Frame::into_data) {
            Ok(Ok(data)) => bytes += data.len() as u64,
            Ok(Err(_)) => {}
            Err(_) => return Err(bytes),
        }
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    Ok(bytes)
}

#[tokio::test(start_paused = true)]
async fn col_13_a_slow_reader_holds_up_nobody() {
    let steps = || (0..1_000).map(|_| Step::Data(chunk(1_000)));
    let world = World::new(move |_| Reply::stream(steps()).cc("max-age=600"));
    let slow = world.response("/a").await;
    let mut quick = Vec::new();
    for _ in 0..9 {
        quick.push(tokio::spawn(read_slowly(world.response("/a").await, ms(0))));
    }
    let start = Instant::now();
    for quick in quick {
        assert_eq!(done(quick).await, Ok(1_000_000));
    }
    assert!(start.elapsed() < ms(10), "{:?}", start.elapsed());
    assert_eq!(read_slowly(slow, ms(100)).await, Ok(1_000_000));
    world.get("/a").await;
    assert_eq!(world.origin.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn col_14_a_body_larger_than_the_largest_passes_whole_to_three_readers() {
    let config = CacheConfig::new().max_object_bytes(100_000);
    let most = Arc::new(AtomicUsize::new(0));
    let gate = Gate::new();
    let held = gate.clone();
    let steps = || (0..1_000).map(|_| Step::Data(chunk(1_000)));
    let world = World::config(config, move |call| match call.n {
        1 => Reply::stream(steps()).cc("max-age=60").gated(&held),
        _ => Reply::ok("small").cc("max-age=60"),
    });
    let mut readers = Vec::new();
    for n in 0..3 {
        let service = world.service.clone();
        readers.push(tokio::spawn(async move {
            let response = service.oneshot(get("/a").into_request()).await.expect("answered");
            read_slowly(response, ms(n)).await
        }));
    }
    settle().await;
    gate.open();
    let watch = {
        let (edge, most) = (world.edge.clone(), most.clone());
        tokio::spawn(async move {
            loop {
                most.fetch_max(edge.cache().stats().arriving_bytes as usize, Ordering::SeqCst);
                tokio::time::sleep(ms(1)).await;
            }
        })
    };
    for reader in readers {
        assert_eq!(done(reader).await, Ok(1_000_000));
    }
    watch.abort();
    assert!(
        most.load(Ordering::SeqCst) <= 110_000,
        "{}",
        most.load(Ordering::SeqCst)
    );
    settle().await;
    world.is_empty();
    assert_eq!(world.origin.count(), 1);
    // It says nothing of later ones.
    world
        .get("/a")
        .await
        .expect_short("small", "fwd=uri-miss; stored");
    world.get("/a").await.expect_short("small", "hit");
}

#[tokio::test(start_paused = true)]
async fn col_14_who_does_not_read_at_all_loses_its_place_and_the_others_go_on() {
    let config = CacheConfig::new().max_object_bytes(10_000);
    let gate = Gate::new();
    let held = gate.clone();
    let steps = || (0..500).map(|_| Step::Data(chunk(1_000)));
    let world = World::config(config, move |_| {
        Reply::stream(steps()).cc("max-age=60").gated(&held)
    });
    let call = || tokio::spawn(world.service.clone().oneshot(get("/a").into_request()));
    let (stuck, quick) = (call(), call());
    settle().await;
    gate.open();
    let stuck = done(stuck).await.expect("answered");
    let quick = done(quick).await.expect("answered");
    let start = Instant::now();
    assert_eq!(read_slowly(quick, ms(0)).await, Ok(500_000));
    assert!(
        start.elapsed() < secs(40),
        "once, not for each chunk: {:?}",
        start.elapsed()
    );
    assert_eq!(world.origin.count(), 1);
    assert!(
        read_slowly(stuck, ms(0)).await.is_err(),
        "cut off is no clean end"
    );
    settle().await;
    world.is_empty();
}

#[tokio::test(start_paused = true)]
async fn col_14_who_reads_slowly_keeps_its_place_where_nobody_waits_for_it() {
    let config = CacheConfig::new().max_object_bytes(100_000);
    for readers in [1, 2] {
        let gate = Gate::new();
        let held = gate.clone();
        let steps = || (0..300).map(|_| Step::Data(chunk(1_000)));
        let world = World::config(config.clone(), move |_| {
            Reply::stream(steps()).cc("max-age=60").gated(&held)
        });
        let call = || tokio::spawn(world.service.clone().oneshot(get("/a").into_request()));
        let calls: Vec<_> = (0..readers).map(|_| call()).collect();
        settle().await;
        gate.open();
        let mut bodies = Vec::new();
        for call in calls {
            let response = done(call).await.expect("answered");
            bodies.push(tokio::spawn(read_slowly(response, secs(20))));
        }
        for body in bodies {
            assert_eq!(body.await.expect("no panic"), Ok(300_000), "{readers}");
        }
        assert_eq!(world.origin.count(), 1);
        settle().await;
        world.is_empty();
    }
}

/// No head, no length, no pause: a careless origin in the same process.
#[tokio::test(start_paused = true)]
async fn an_endless_body_that_is_always_ready_passes_and_starves_nobody() {
    let config = CacheConfig::new().max_object_bytes(100_000);
    for policy in ["max-age=60", "max-age=0"] {
        let world = World::config(config.clone(), move |_| {
            Reply::stream([Step::Forever(chunk(1_000))]).cc(policy)
        });
        let response = world.response("/a").await;
        let mut body = response.into_body();
        for _ in 0..1_000 {
            let frame = body.frame().await.expect("endless").expect("whole");
            assert_eq!(frame.into_data().expect("data").len(), 1_000);
            assert!(world.edge.cache().stats().arriving_bytes <= 200_000);
        }
        drop(body);
        settle().await;
        world.is_empty();
    }
}

/// Its client is there, but takes its time to look at the head.
#[tokio::test(start_paused = true)]
async fn an_endless_body_waits_for_a_client_that_has_not_looked_yet() {
    let config = CacheConfig::new().max_object_bytes(100_000);
    for policy in ["max-age=60", "max-age=0"] {
        let world = World::config(config.clone(), move |_| {
            Reply::stream([Step::Forever(chunk(1_000))]).cc(policy)
        });
        let mut client = Box::pin(world.call("/a"));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(client.as_mut().poll(&mut cx).is_pending());
        settle().await;
        let response = client.await.expect("answered");
        let mut body = response.into_body();
        for _ in 0..500 {
            body.frame().await.expect("endless").expect("whole");
        }
        assert_eq!(
            world.origin.count(),
            1,
            "{policy}: it went alone, for the beginning was gone"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn col_15_head_and_get_are_one_get() {
    let world = World::new(|_| {
        Reply::ok("hello")
            .cc("max-age=60")
            .header("content-length", "5")
            .after(ms(10))
    });
    let first = world.start(head("/a")).await;
    let second = world.start("/a").await;
    let (first, second) = (done(first).await, done(second).await);
    assert_eq!((first.body.as_str(), first.field("content-length")), ("", "5"));
    assert_eq!(
        (second.body.as_str(), second.field("content-length")),
        ("hello", "5")
    );
    assert_eq!(world.origin.count(), 1);
    assert_eq!(world.origin.last().method, "GET");
}

/// While it arrives, whoever asks for a range gets all of it, which is always allowed. So does later who has another one.
#[tokio::test(start_paused = true)]
async fn col_16_a_range_request_joins_and_the_origin_sees_no_range() {
    let world = World::new(|_| Reply::ok("hello").cc("max-age=60").after(ms(10)));
    let range = || get("/a").header("range", "bytes=1-2").header("if-range", "\"1\"");
    let first = world.start(range()).await;
    let second = world.start("/a").await;
    assert_eq!(done(first).await.body, "hello");
    assert_eq!(done(second).await.body, "hello");
    assert_eq!(world.origin.count(), 1);
    let last = world.origin.last();
    assert_eq!((last.header("range"), last.header("if-range")), (None, None));
    world.get(range()).await.expect_short("hello", "hit");
}

#[tokio::test(start_paused = true)]
async fn a_service_without_errors_works_the_same() {
    let origin: Origin<std::convert::Infallible> = Origin::new(|_| Reply::ok("a").cc("max-age=60"));
    let world = World::with(CacheConfig::default(), origin);
    world.get("/a").await.expect_short("a", "fwd=uri-miss; stored");
    world.get("/a").await.expect_short("a", "hit");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_is_not_what_later_clients_wait_for() {
    let world = World::new(|call| match call.n {
        1 => Reply::stream([Step::data("1"), Step::Pause(secs(100)), Step::data("!")]).cc("max-age=600"),
        n => Reply::ok(n.to_string()).cc("max-age=600"),
    });
    let first = world.start("/a").await;
    pass(secs(5)).await;
    let second = world.start("/a").await;
    assert_eq!(world.origin.count(), 1, "it may go on");
    pass(secs(11)).await;
    world.get("/a").await.expect_short("2", "fwd=uri-miss; stored");
    let both = tokio::time::timeout(secs(100), async { (first.await, second.await) });
    let (first, second) = both.await.expect("in time");
    for got in [first.expect("no panic"), second.expect("no panic")] {
        assert_eq!((got.body.as_str(), got.broken), ("1!", false));
    }
    world.get("/a").await.expect_short("2", "hit");
    settle().await;
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_stalls_is_not_the_last_one() {
    let world = World::new(|call| match call.n {
        2 => Reply::stream([Step::data("2"), Step::Hang]).cc("max-age=60"),
        n => Reply::ok(n.to_string()).cc("max-age=60, stale-while-revalidate=600"),
    });
    world.get("/a").await;
    pass(secs(61)).await;
    world.get("/a").await.expect_short("1", "hit; detail=swr");
    pass(secs(16)).await;
    world.get("/a").await.expect_short("1", "hit; detail=swr");
    settle().await;
    world.get("/a").await.expect_short("3", "hit");
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn col_08_nobody_joins_a_transfer_whose_answer_is_no_longer_fresh() {
    for cc in [
        "max-age=1, must-revalidate",
        "max-age=1",
        "max-age=0, stale-if-error=60",
    ] {
        let world = World::new(move |call| {
            let last = if call.n == 1 {
                Step::Pause(secs(9))
            } else {
                Step::Pause(ms(1))
            };
            Reply::stream([Step::data(call.n.to_string()), last, Step::data(".")]).cc(cc)
        });
        let first = world.start("/a").await;
        settle().await;
        if cc.starts_with("max-age=1") {
            // Still fresh.
            let joined = world.start("/a").await;
            settle().await;
            assert_eq!(world.origin.count(), 1, "{cc}");
            drop(joined);
        }
        pass(secs(2)).await;
        let late = world.get("/a").await;
        assert_eq!(late.body, "2.", "{cc}: {late:?}");
        assert_eq!(done(first).await.body, "1.", "{cc}");
        // What came first and was whole last takes nothing's place.
        settle().await;
        let got = world.get("/a").await;
        assert_ne!(got.body, "1.", "{cc}: {got:?}");
    }
}
