//! What there may be a million of, in this process: channels, objects, purges, readers that went, messages.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use gripstack::cache::CacheConfig;
use gripstack::hub::{LogLimits, Subscription, Wants};
use gripstack::{Channel, Edge, EdgeBody, Message, PurgeMode, Target};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, ServiceExt, service_fn};

use super::{Curve, measure, sizes};
use crate::Fallible;
use crate::stats::percentile;

/// What a figure is the median of.
const TIMES: usize = 2_001;
const WATCHED: &str = "watched";

pub fn curves(most: usize, rounds: usize) -> Fallible<Vec<Curve>> {
    let runtime = Rc::new(Builder::new_current_thread().enable_all().build()?);
    let sizes = sizes(most);
    let curve = |name, prepare: Prepare, cost: Cost| {
        measure(name, &sizes, rounds, |size| {
            let inside = Inside::new(runtime.clone());
            prepare(&inside, size)?;
            cost(&inside)
        })
    };
    Ok(vec![
        curve("a publish, by other channels", Inside::channels, Inside::publish)?,
        curve("a publish, by stored objects", Inside::objects, Inside::publish)?,
        curve("a publish, by purges before", Inside::purges, Inside::publish)?,
        curve(
            "a publish, by subscribers that went",
            Inside::past,
            Inside::publish,
        )?,
        curve("a publish, by messages before", Inside::messages, Inside::publish)?,
        curve(
            "a purge by key, by stored objects",
            Inside::objects,
            Inside::purge,
        )?,
        curve("a hit, by stored objects", Inside::objects, Inside::hit)?,
        curve("a hit, by purges before", Inside::purges, Inside::hit)?,
    ])
}

type Prepare = fn(&Inside, usize) -> Fallible<()>;
type Cost = fn(&Inside) -> Fallible<f64>;

struct Inside {
    edge: Edge,
    runtime: Rc<Runtime>,
}

// === impl Inside ===

impl Inside {
    fn new(runtime: Rc<Runtime>) -> Self {
        let edge = Edge::builder()
            .log_limits(LogLimits::new().total_bytes(4 << 30))
            .cache(CacheConfig::new().capacity_bytes(16 << 30))
            .build();
        Self { edge, runtime }
    }

    fn subscribe(&self) -> Fallible<Subscription> {
        let hub = self.edge.hub();
        Ok(hub
            .subscribe(&[Channel::new(WATCHED)?], hub.stamp_at(hub.now()), Wants::Stream)
            .map_err(|_| "nothing is forgotten")?)
    }

    async fn send(&self, channel: &str) -> Fallible<()> {
        let message = Message::bytes(vec![b'x'; 100]);
        self.edge.publish(Channel::new(channel)?, message).await?;
        Ok(())
    }

    /// Asks through the cache: from the origin once.
    async fn ask(&self, number: usize) -> Fallible<()> {
        let origin = service_fn(async |_: Request<EdgeBody>| {
            Ok::<_, Infallible>(
                Response::builder()
                    .header("cache-control", "max-age=86400")
                    .header("surrogate-key", "all")
                    .body(Full::new(Bytes::from_static(&[b'x'; 100])))
                    .expect("valid"),
            )
        });
        let request = Request::get(format!("http://example.com/{number}")).body(EdgeBody::empty())?;
        let Ok(response) = self.edge.cache_layer().layer(origin).oneshot(request).await;
        let body = response.into_body().collect().await;
        body.map_err(|error| error.to_string())?;
        Ok(())
    }

    /// The median, in microseconds.
    fn median(&self, mut once: impl AsyncFnMut(usize) -> Fallible<()>) -> Fallible<f64> {
        self.runtime.block_on(async {
            let mut times = Vec::new();
            for number in 0..TIMES {
                let begun = Instant::now();
                once(number).await?;
                times.push(begun.elapsed());
                // What it left to others is done before the next.
                tokio::task::yield_now().await;
            }
            times.sort_unstable();
            Ok(percentile(&times, 0.5).map_or(0.0, |time| time.as_nanos() as f64 / 1e3))
        })
    }
}

/// What grows.
impl Inside {
    fn channels(&self, count: usize) -> Fallible<()> {
        self.runtime.block_on(async {
            for number in 0..count {
                self.send(&format!("channel-{number}")).await?;
            }
            Ok(())
        })
    }

    fn objects(&self, count: usize) -> Fallible<()> {
        self.runtime.block_on(async {
            for number in 0..count {
                self.ask(number).await?;
                // It is stored by a task.
                tokio::task::yield_now().await;
            }
            Fallible::Ok(())
        })?;
        match self.edge.cache().stats().entries {
            stored if stored == count => Ok(()),
            stored => Err(format!("{stored} of {count} objects are stored").into()),
        }
    }

    fn purges(&self, count: usize) -> Fallible<()> {
        self.runtime.block_on(async {
            self.ask(0).await?;
            for number in 0..count {
                let target = Target::Key(format!("key-{number}").into());
                self.edge.purge(target, PurgeMode::Hard).await?;
            }
            Ok(())
        })
    }

    fn past(&self, count: usize) -> Fallible<()> {
        let subscriptions: Result<Vec<_>, _> = (0..count).map(|_| self.subscribe()).collect();
        drop(subscriptions?);
        Ok(())
    }

    fn messages(&self, count: usize) -> Fallible<()> {
        self.runtime.block_on(async {
            for _ in 0..count {
                self.send(WATCHED).await?;
            }
            Ok(())
        })
    }
}

/// What it costs.
impl Inside {
    /// A publish to one subscriber, until that has it.
    fn publish(&self) -> Fallible<f64> {
        let mut subscription = self.subscribe()?;
        self.median(async |_| {
            self.send(WATCHED).await?;
            subscription.next().await;
            Ok(())
        })
    }

    fn purge(&self) -> Fallible<f64> {
        self.median(async |_| {
            self.edge
                .purge(Target::Key("all".into()), PurgeMode::Soft)
                .await?;
            Ok(())
        })
    }

    fn hit(&self) -> Fallible<f64> {
        self.median(async |_| self.ask(0).await)
    }
}
