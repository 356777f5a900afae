//! What ends, and what is sent all the same.

use super::*;

#[tokio::test(start_paused = true)]
async fn rlp_11_a_flush_sends_what_waits() {
    let publisher = latest();
    for name in ["a", "b"] {
        publish(&publisher, name, "1").await;
        publish_purging(&publisher, name, "2", name).await;
    }
    let (mut a, start) = (subscribe(publisher.edge(), "a"), Instant::now());
    publisher.flush().await;
    assert_eq!(text(&next(&mut a).await.1), "2");
    assert!(publisher.edge().hub().last_purge(&Target::Key("b".into())) > Position::ZERO);
    assert_eq!(start.elapsed(), Duration::ZERO);
    // It is paced on.
    assert_eq!(publish(&publisher, "a", "3").await.queued, 1);
}

#[tokio::test(start_paused = true)]
async fn rlp_11_a_drain_sends_what_waits() {
    let publisher = latest();
    publish(&publisher, "a", "1").await;
    publish(&publisher, "a", "2").await;
    let (mut a, start) = (subscribe(publisher.edge(), "a"), Instant::now());
    tokio::task::yield_now().await;
    publisher.edge().drain();
    assert_eq!(text(&next(&mut a).await.1), "2");
    publish(&publisher, "a", "3").await;
    assert_eq!(text(&next(&mut a).await.1), "3");
    assert_eq!(start.elapsed(), Duration::ZERO, "nothing waits any more");
}

#[tokio::test(start_paused = true)]
async fn rlp_12_the_task_ends_with_the_last_channel_and_starts_anew() {
    let publisher = latest();
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    for round in 0..3 {
        assert_eq!(tasks(), 0, "round {round}");
        for n in 0..1_000 {
            publish(&publisher, &n.to_string(), "1").await;
        }
        assert_eq!(tasks(), 1, "one for all");
        publish(&publisher, "7", "2").await;
        tokio::time::sleep(T * 2 + Duration::from_millis(2)).await;
        assert!(!publisher.paces_any());
    }
}

#[tokio::test(start_paused = true)]
async fn a_publish_that_is_dropped_is_published_all_the_same() {
    // Its predecessor is missing, so that it is on its way for five seconds.
    let publisher = latest();
    let edge = publisher.edge().clone();
    let first = Message::bytes("1").with_id("1");
    edge.publish(channel("c"), first).await.expect("accepted");
    let waits = Message::bytes("3").with_id("3").with_prev_id("2");
    let order = Order::publish(channel("c"), waits);
    let mut dropped = Box::pin(edge.submit(order));
    assert!(
        dropped
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    drop(dropped);
    let mut subscription = subscribe(&edge, "c");
    assert_eq!(text(&next(&mut subscription).await.1), "3");

    // And so is one that waits in the pacer.
    publish(&publisher, "d", "1").await;
    let mut subscription = subscribe(&edge, "d");
    let mut dropped = Box::pin(publisher.publish(channel("d"), Message::bytes("2")));
    assert!(
        dropped
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    );
    drop(dropped);
    assert_eq!(text(&next(&mut subscription).await.1), "2");
}

#[test]
fn a_publisher_survives_its_runtime() {
    let publisher = latest();
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime")
    };
    runtime().block_on(async {
        publish(&publisher, "c", "1").await;
        publish(&publisher, "c", "2").await;
        tokio::task::yield_now().await;
    });
    // The task died with its runtime; another is started here.
    runtime().block_on(async {
        publish(&publisher, "d", "1").await;
        tokio::time::sleep(5 * T).await;
        assert!(!publisher.paces_any());
    });
}

/// The timer's task may never have run where its runtime ended: another runtime's has to.
#[test]
fn rlp_01_the_last_one_is_sent_whichever_runtime_has_ended() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime")
    };
    let publisher = latest();
    runtime().block_on(async {
        assert!(publish(&publisher, "c", "0").await.position.is_some());
    });
    runtime().block_on(async {
        let seen = record(subscribe(publisher.edge(), "c"));
        assert_eq!(publish(&publisher, "c", "1").await.queued, 1);
        tokio::time::sleep(3 * T).await;
        let texts: Vec<String> = seen.lock().iter().map(|(_, text)| text.clone()).collect();
        assert_eq!(texts, ["1"]);
        assert!(!publisher.paces_any());
    });
    // Nor where it waited.
    runtime().block_on(async {
        publish(&publisher, "c", "2").await;
        assert_eq!(publish(&publisher, "c", "3").await.queued, 1);
        tokio::task::yield_now().await;
    });
    runtime().block_on(async {
        let seen = record(subscribe(publisher.edge(), "c"));
        assert_eq!(publish(&publisher, "c", "4").await.queued, 1);
        tokio::time::sleep(2 * T).await;
        let texts: Vec<String> = seen.lock().iter().map(|(_, text)| text.clone()).collect();
        assert_eq!(texts, ["4"]);
    });
}

/// The runtime of whoever published first stands still: it is there, and nobody drives it.
#[test]
fn rlp_01_the_last_one_is_sent_although_a_runtime_stands_still() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime")
    };
    let publisher = latest();
    let (never_looked, sleeps) = (runtime(), runtime());
    never_looked.block_on(async {
        assert!(publish(&publisher, "c", "0").await.position.is_some());
    });
    sleeps.block_on(async {
        assert_eq!(publish(&publisher, "c", "1").await.queued, 1);
        tokio::task::yield_now().await;
    });
    runtime().block_on(async {
        let seen = record(subscribe(publisher.edge(), "c"));
        assert_eq!(publish(&publisher, "c", "2").await.queued, 1);
        tokio::time::sleep(3 * T).await;
        let texts: Vec<String> = seen.lock().iter().map(|(_, text)| text.clone()).collect();
        assert_eq!(texts, ["2"]);
        assert!(!publisher.paces_any());
    });
}
