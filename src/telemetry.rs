//! Names and handles of metrics. Without the feature `metrics` they count nothing and cost nothing.
//!
//! Handles are made when a layer is made: install the recorder before that. What an edge need not count as it goes,
//! since it can be looked up, is set by [`record`], which whoever shows the metrics calls first:
//!
//! ```
//! use gripstack::{Edge, telemetry};
//!
//! fn metrics(edge: &Edge, render: impl Fn() -> String) -> String {
//!     telemetry::record(edge);
//!     render() // `PrometheusHandle::render`, or whatever the recorder has
//! }
//! # assert_eq!(metrics(&Edge::new(), || "text".into()), "text");
//! ```

use crate::edge::Edge;

/// Sets the gauges that are looked up: [`names::CHANNELS`], [`names::SUBSCRIPTIONS`], [`names::CHANNEL_BYTES`],
/// [`names::WAITING`], [`names::WAITING_BYTES`] and [`names::CACHE_MEMORY_BYTES`]. It goes through all channels, so call it when somebody asks for the metrics, not with
/// each request.
///
/// The gauges have no labels: of several edges in one process they say what the last one recorded has.
pub fn record(edge: &Edge) {
    #[cfg(feature = "metrics")]
    {
        let stats = edge.hub().stats();
        metrics::gauge!(names::CHANNELS).set(stats.channels as f64);
        metrics::gauge!(names::SUBSCRIPTIONS).set(stats.subscriptions as f64);
        metrics::gauge!(names::CHANNEL_BYTES).set(stats.bytes as f64);
        metrics::gauge!(names::WAITING).set(stats.waiting as f64);
        metrics::gauge!(names::WAITING_BYTES).set(stats.waiting_bytes as f64);
        #[cfg(feature = "cache")]
        metrics::gauge!(names::CACHE_MEMORY_BYTES).set(edge.cache().stats().memory_bytes as f64);
    }
    let _ = edge;
}

/// Counts something.
#[derive(Clone)]
pub(crate) struct Counter(#[cfg(feature = "metrics")] metrics::Counter);

/// Counts what there is now.
#[cfg(any(feature = "hold", feature = "cache"))]
#[derive(Clone)]
pub(crate) struct Gauge(#[cfg(feature = "metrics")] metrics::Gauge);

/// Collects values, in seconds.
#[cfg(feature = "publish")]
#[derive(Clone)]
pub(crate) struct Histogram(#[cfg(feature = "metrics")] metrics::Histogram);

impl Counter {
    /// `name` is a constant of [`names`].
    pub(crate) fn new(name: &'static str) -> Self {
        let _ = name;
        Self(
            #[cfg(feature = "metrics")]
            metrics::counter!(name),
        )
    }

    /// One series of a family.
    #[cfg(any(feature = "hold", feature = "cache"))]
    pub(crate) fn labelled(name: &'static str, label: &'static str, value: &'static str) -> Self {
        let _ = (name, label, value);
        Self(
            #[cfg(feature = "metrics")]
            metrics::counter!(name, label => value),
        )
    }

    pub(crate) fn add(&self, n: u64) {
        let _ = n;
        #[cfg(feature = "metrics")]
        self.0.increment(n);
    }
}

#[cfg(any(feature = "hold", feature = "cache"))]
impl Gauge {
    pub(crate) fn new(name: &'static str) -> Self {
        let _ = name;
        Self(
            #[cfg(feature = "metrics")]
            metrics::gauge!(name),
        )
    }

    #[cfg(feature = "cache")]
    pub(crate) fn set(&self, value: f64) {
        let _ = value;
        #[cfg(feature = "metrics")]
        self.0.set(value);
    }

    #[cfg(feature = "hold")]
    pub(crate) fn add(&self, value: f64) {
        let _ = value;
        #[cfg(feature = "metrics")]
        self.0.increment(value);
    }
}

#[cfg(feature = "publish")]
impl Histogram {
    pub(crate) fn new(name: &'static str) -> Self {
        let _ = name;
        Self(
            #[cfg(feature = "metrics")]
            metrics::histogram!(name),
        )
    }

    pub(crate) fn record(&self, value: std::time::Duration) {
        let _ = value;
        #[cfg(feature = "metrics")]
        self.0.record(value.as_secs_f64());
    }
}

/// The names, as a Prometheus exporter shows them.
pub mod names {
    /// Gauge: holds that are open.
    pub const HOLDS: &str = "gripstack_holds";
    /// Counter by `reason`: holds that ended.
    pub const HOLDS_ENDED: &str = "gripstack_holds_ended_total";
    /// Counter: holds that go on although messages may be missing, and are marked so.
    pub const HOLDS_MARKED: &str = "gripstack_holds_marked_total";
    /// Counter: messages handed to holds.
    pub const DELIVERIES: &str = "gripstack_deliveries_total";
    /// Counter: messages accepted.
    pub const PUBLISHED: &str = "gripstack_published_total";
    /// Counter: updates that a later one of the same channel replaced before they went out.
    pub const SUPERSEDED: &str = "gripstack_superseded_total";
    /// Histogram, seconds: how long updates waited for their turn.
    pub const QUEUE_SECONDS: &str = "gripstack_publish_queue_seconds";
    /// Counter: purges of a target.
    pub const PURGES: &str = "gripstack_purges_total";
    /// Counter by `result`: answers of the cache (`hit`, `stale`, `miss`, `collapsed`, `pass`).
    pub const CACHE: &str = "gripstack_cache_total";
    /// Counter: requests that left the cache for the service below it.
    pub const FETCHES: &str = "gripstack_fetches_total";
    /// Counter: fetches that failed.
    pub const FETCH_ERRORS: &str = "gripstack_fetch_errors_total";
    /// Gauge: bytes of stored objects.
    pub const CACHE_BYTES: &str = "gripstack_cache_bytes";
    /// Gauge: bytes of what is stored, of what is arriving, and of what clients still read although it left the store.
    /// Set by [`record`](super::record).
    pub const CACHE_MEMORY_BYTES: &str = "gripstack_cache_memory_bytes";
    /// Gauge: channels that are remembered. Set by [`record`](super::record).
    pub const CHANNELS: &str = "gripstack_channels";
    /// Gauge: subscriptions, one for each channel of each hold. Set by [`record`](super::record).
    pub const SUBSCRIPTIONS: &str = "gripstack_subscriptions";
    /// Gauge: bytes that channels with messages take. Set by [`record`](super::record).
    pub const CHANNEL_BYTES: &str = "gripstack_channel_bytes";
    /// Gauge: messages that wait for the one that they name as their predecessor. Set by [`record`](super::record).
    pub const WAITING: &str = "gripstack_waiting_messages";
    /// Gauge: bytes that they take. Set by [`record`](super::record).
    pub const WAITING_BYTES: &str = "gripstack_waiting_bytes";
}

#[cfg(all(test, feature = "metrics"))]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use metrics::{Key, KeyName, Metadata, Recorder, SharedString, Unit};
    use parking_lot::Mutex;

    use super::*;
    use crate::hub::Wants;
    use crate::message::{Channel, Message};

    /// Remembers gauges.
    #[derive(Default)]
    struct Gauges(Mutex<HashMap<String, Arc<AtomicU64>>>);

    impl Gauges {
        fn get(&self, name: &str) -> Option<f64> {
            let gauges = self.0.lock();
            Some(f64::from_bits(gauges.get(name)?.load(Ordering::SeqCst)))
        }
    }

    impl Recorder for Gauges {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> metrics::Counter {
            metrics::Counter::noop()
        }

        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> metrics::Gauge {
            let gauge = self.0.lock().entry(key.name().to_owned()).or_default().clone();
            metrics::Gauge::from_arc(gauge)
        }

        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> metrics::Histogram {
            metrics::Histogram::noop()
        }
    }

    #[tokio::test]
    async fn channels_and_subscriptions_are_those_of_the_moment() {
        let gauges = Gauges::default();
        let edge = Edge::new();
        let recorded = || {
            metrics::with_local_recorder(&gauges, || record(&edge));
            (gauges.get(names::CHANNELS), gauges.get(names::SUBSCRIPTIONS))
        };
        assert_eq!(recorded(), (Some(0.0), Some(0.0)));
        let channel = |name| Channel::new(name).expect("a good name");
        edge.publish(channel("a"), Message::bytes("1"))
            .await
            .expect("accepted");
        let stamp = edge.hub().stamp_at(edge.hub().now());
        let subscription = edge
            .hub()
            .subscribe(&[channel("a"), channel("b")], stamp, Wants::Stream)
            .expect("the log reaches back");
        assert_eq!(recorded(), (Some(2.0), Some(2.0)));
        drop(subscription);
        assert_eq!(recorded(), (Some(1.0), Some(0.0)), "a message is remembered");
        let bytes = edge.hub().stats().bytes as f64;
        assert!(bytes > 0.0);
        assert_eq!(gauges.get(names::CHANNEL_BYTES), Some(bytes));
        assert_eq!(gauges.get(names::WAITING), Some(0.0));
        assert_eq!(gauges.get(names::WAITING_BYTES), Some(0.0));
    }
}
