//! The publisher on a bus that takes its time, and that fails.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::tests::{T, channel, publish, publish_purging, record, seen, subscribe};
use super::*;
use crate::cluster::{BoxFuture, Bus, BusError, Local};
use crate::edge::Edge;
use crate::message::Message;
use crate::order::{Order, Target};
use crate::position::Position;

/// A bus that is three seconds away, and fails as often as it is told.
struct Far {
    local: Local,
    failures: Arc<AtomicUsize>,
    sending: AtomicUsize,
}

impl Bus for Far {
    fn submit(&self, order: Order) -> BoxFuture<'_, Result<Position, BusError>> {
        Box::pin(async move {
            let sending = self.sending.fetch_add(1, Ordering::SeqCst);
            assert_eq!(sending, 0, "two on their way");
            tokio::time::sleep(3 * T).await;
            self.sending.fetch_sub(1, Ordering::SeqCst);
            let failing = |left: usize| left.checked_sub(1);
            match self
                .failures
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, failing)
            {
                Ok(_) => Err(BusError("told to".to_owned())),
                Err(_) => self.local.submit(order).await,
            }
        })
    }
}

fn far(failures: usize) -> (Publisher, Arc<AtomicUsize>) {
    let failures = Arc::new(AtomicUsize::new(failures));
    let left = failures.clone();
    let edge = Edge::builder().build_on(|hub| {
        Arc::new(Far {
            local: Local::new(hub),
            failures: left,
            sending: AtomicUsize::new(0),
        })
    });
    let publisher = Publisher::new(edge, PublishConfig::new().rule(Rule::latest()));
    (publisher, failures)
}

#[tokio::test(start_paused = true)]
async fn rlp_06_orders_that_take_longer_than_the_interval_do_not_overlap() {
    let (publisher, _) = far(0);
    let seen_by_holds = record(subscribe(publisher.edge(), "c"));
    let publisher = &publisher;
    let start = Instant::now();
    // The first answer comes when the order has a position.
    let (first, ()) = tokio::join!(publish(publisher, "c", "0"), async {
        for n in 1..70 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert_eq!(publish(publisher, "c", &n.to_string()).await.queued, 1);
        }
    });
    assert!(first.position.is_some());
    assert_eq!(start.elapsed(), Duration::from_millis(6900));
    tokio::time::sleep(10 * T).await;
    let seen_by_holds = seen_by_holds.lock();
    let times: Vec<u64> = seen_by_holds.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [3000, 6000, 9000, 12000], "{seen_by_holds:?}");
    assert_eq!(seen_by_holds[3].1, "69", "the last one is always sent");
}

#[tokio::test(start_paused = true)]
async fn rlp_15_what_the_bus_does_not_take_is_tried_again() {
    let (publisher, left) = far(2);
    let seen_by_holds = record(subscribe(publisher.edge(), "c"));
    let receipt = publish_purging(&publisher, "c", "1", "k").await;
    assert_eq!(
        (receipt.position, receipt.queued),
        (None, 1),
        "it will be tried again"
    );
    publish(&publisher, "c", "2").await;
    tokio::time::sleep(20 * T).await;
    assert_eq!(left.load(Ordering::SeqCst), 0);
    // At 3 s and at 6 s it failed.
    assert_eq!(*seen_by_holds.lock(), seen(&[(9000, "2")]));
    let hub = publisher.edge().hub();
    assert_eq!(
        hub.last_purge(&Target::Key("k".into())),
        hub.now(),
        "with its purge"
    );
    assert!(!publisher.paces_any());
}

#[tokio::test(start_paused = true)]
async fn a_publish_that_is_dropped_on_its_way_is_published_once() {
    let (publisher, _) = far(0);
    let seen_by_holds = record(subscribe(publisher.edge(), "c"));
    let mut dropped = Box::pin(publisher.publish(channel("c"), Message::bytes("1")));
    assert!(
        dropped
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    drop(dropped);
    publish(&publisher, "c", "2").await;
    tokio::time::sleep(10 * T).await;
    assert_eq!(*seen_by_holds.lock(), seen(&[(3000, "1"), (6000, "2")]));
}

#[tokio::test(start_paused = true)]
async fn rlp_11_a_flush_waits_for_what_is_on_its_way_and_for_what_waits_behind_it() {
    let (publisher, _) = far(0);
    let seen_by_holds = record(subscribe(publisher.edge(), "c"));
    let first = tokio::spawn({
        let publisher = publisher.clone();
        async move { publish(&publisher, "c", "1").await }
    });
    tokio::time::sleep(T).await;
    publish(&publisher, "c", "2").await;
    publisher.flush().await;
    tokio::task::yield_now().await;
    assert_eq!(*seen_by_holds.lock(), seen(&[(3000, "1"), (6000, "2")]));
    assert!(first.await.expect("it published").position.is_some());
}
