//! What can be set.

use std::time::Duration;

use crate::settings::settings;

settings! {
    /// Limits and times of a cache. Start from the defaults and set what differs:
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use gripstack::Edge;
    /// use gripstack::cache::{CacheConfig, PacedReads};
    ///
    /// let config = CacheConfig::new()
    ///     .capacity_bytes(1 << 30)
    ///     .interval(Duration::from_millis(250)) // asked at most four times a second for what messages made older
    ///     .paced_reads(PacedReads::Stale); // who asks meanwhile gets the old answer, marked, and does not wait
    /// let edge = Edge::builder().cache(config).build();
    /// # let _ = edge;
    /// ```
    #[derive(Clone, Debug)]
    pub struct CacheConfig {
        /// Bytes of stored answers: bodies, headers, and a fixed sum each. Default 256 MiB.
        pub capacity_bytes: u64,
        /// Bytes of the largest body that is stored; a larger one passes. Default 16 MiB.
        pub max_object_bytes: u64,
        /// Bytes of bodies beside the stored ones: of those that are arriving, and of those that clients still read
        /// although they left the store. Beyond it answers pass unstored. Default 64 MiB.
        pub flight_budget_bytes: u64,
        /// At most one revalidation per interval and variant for what messages have made older. Default 1 s.
        pub interval: Duration,
        /// How long a request waits for another one's flight. Then all who waited make a new one together, until the
        /// first of them has waited for `flight_timeout`: that is a 504. Default 5 s.
        pub wait_timeout: Duration,
        /// How long a flight waits for a response head. Default 15 s.
        pub flight_timeout: Duration,
        /// How long a URL that proved uncacheable is not collapsed. Default 120 s.
        pub uncacheable_ttl: Duration,
        /// How long after its lifetime an answer is still served while the origin is down, even under `s-maxage` and
        /// `proxy-revalidate`, never under `must-revalidate` or `no-cache`. `None`: only what RFC 9111 4.2.4 and RFC
        /// 5861 allow. Default 24 h.
        pub outage: Option<Duration>,
        /// What a plain request gets while a message has made the stored answer older. Default: it waits.
        pub paced_reads: PacedReads,
        /// The name in `Cache-Status` (RFC 9211). Default `gripstack`.
        pub name: &'static str,
    }
}

/// What a plain request, or a long poll, gets while the revalidation that a message caused is held back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PacedReads {
    /// It waits for the revalidation.
    #[default]
    Wait,
    /// The old answer, marked.
    Stale,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            capacity_bytes: 256 << 20,
            max_object_bytes: 16 << 20,
            flight_budget_bytes: 64 << 20,
            interval: Duration::from_secs(1),
            wait_timeout: Duration::from_secs(5),
            flight_timeout: Duration::from_secs(15),
            uncacheable_ttl: Duration::from_secs(120),
            outage: Some(Duration::from_secs(24 * 3600)),
            paced_reads: PacedReads::Wait,
            name: "gripstack",
        }
    }
}
