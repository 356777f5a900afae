//! One publish to many subscribers, without sockets: `cargo bench --bench fanout`.
//!
//! Each subscriber is a task that waits for its subscription's next message, in a runtime with a worker per core.
//! `last` is the time from the publish until the last of them has the message, `returns` until the publisher goes on.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};
use gripstack::hub::{Delivery, Wants};
use gripstack::{Channel, Edge, Message};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Subscribers of one channel.
struct Crowd {
    edge: Edge,
    channel: Channel,
    /// Who have not had the last message.
    left: Arc<AtomicUsize>,
    size: usize,
    /// When the last of them had it.
    done: mpsc::Receiver<Instant>,
}

impl Crowd {
    async fn gather(size: usize) -> Self {
        let edge = Edge::new();
        let channel = Channel::new("updates").expect("a valid name");
        let left = Arc::new(AtomicUsize::new(size));
        let (tell, mut done) = mpsc::channel(1);
        for _ in 0..size {
            let hub = edge.hub();
            let mut subscription = hub
                .subscribe(
                    std::slice::from_ref(&channel),
                    hub.stamp_at(hub.now()),
                    Wants::Stream,
                )
                .expect("nothing is forgotten");
            let (left, tell) = (left.clone(), tell.clone());
            tokio::spawn(async move {
                loop {
                    if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                        // Nobody else sends before this is received.
                        let _ = tell.try_send(Instant::now());
                    }
                    let Delivery::Message { message, .. } = subscription.next().await else {
                        panic!("a subscriber lagged");
                    };
                    black_box(message);
                }
            });
        }
        done.recv().await.expect("they live");
        Self {
            edge,
            channel,
            left,
            size,
            done,
        }
    }

    /// Publishes once. Returns when the publisher could go on, and when the last one had it.
    async fn publish(&mut self) -> (Duration, Duration) {
        self.left.store(self.size, Ordering::Release);
        let message = Message::bytes(vec![b'x'; 200]);
        let start = Instant::now();
        self.edge
            .publish(self.channel.clone(), message)
            .await
            .expect("it fits");
        let returned = start.elapsed();
        let last = self.done.recv().await.expect("they live");
        (returned, last - start)
    }
}

fn fanout(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fanout");
    group.sampling_mode(SamplingMode::Flat).sample_size(20);
    for size in [1, 1_000, 100_000] {
        let runtime = tokio::runtime::Runtime::new().expect("nothing is in its way");
        // The publisher is a task as well: it runs on a worker, as a handler of a server does.
        let crowd = runtime.block_on(async { tokio::spawn(Crowd::gather(size)).await.expect("no panic") });
        let crowd = Arc::new(tokio::sync::Mutex::new(crowd));
        for what in ["last", "returns"] {
            group.bench_function(BenchmarkId::new(what, size), |bencher| {
                bencher.iter_custom(|times| {
                    let crowd = crowd.clone();
                    let rounds = async move {
                        let mut crowd = crowd.lock().await;
                        let mut all = Duration::ZERO;
                        for _ in 0..times {
                            let (returned, last) = crowd.publish().await;
                            all += if what == "last" { last } else { returned };
                        }
                        all
                    };
                    runtime.block_on(async { tokio::spawn(rounds).await.expect("no panic") })
                });
            });
        }
    }
}

criterion_group!(benches, fanout);
criterion_main!(benches);
