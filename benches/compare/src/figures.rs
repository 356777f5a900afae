//! The figures: what each is called, and which way is better.

/// A figure that is measured of each peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure {
    pub title: &'static str,
    pub unit: &'static str,
    pub better: Better,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    Less,
    More,
}

/// One value of it.
pub struct Measured {
    pub figure: &'static Figure,
    pub peer: &'static str,
    pub round: usize,
    pub value: f64,
}

const fn less(title: &'static str, unit: &'static str) -> Figure {
    Figure {
        title,
        unit,
        better: Better::Less,
    }
}

const fn more(title: &'static str, unit: &'static str) -> Figure {
    Figure {
        title,
        unit,
        better: Better::More,
    }
}

pub const HOLD_MEMORY: Figure = less("memory per held connection", "B");
pub const CONNECT_CPU: Figure = less("CPU per connect to a hold", "us");
pub const REPEATED: Figure = less("connects that failed and were repeated", "");
pub const DELIVERY_CPU: Figure = less("CPU per delivery, 10 messages/s to all", "us");
pub const LAST_P50: Figure = less("last receipt, p50", "ms");
pub const LAST_P99: Figure = less("last receipt, p99", "ms");
pub const FLAT_OUT: Figure = more("deliveries flat out", "/s");
pub const UNICAST: Figure = more("publishes to channels of one subscriber", "/s");
pub const UNICAST_CPU: Figure = less("CPU per such publish", "us");

pub const HIT_100: Figure = more("hits of 100 B", "/s");
pub const HIT_100_CPU: Figure = less("CPU per hit of 100 B", "us");
pub const HIT_10K: Figure = more("hits of 10 kB", "/s");
pub const HIT_10K_CPU: Figure = less("CPU per hit of 10 kB", "us");
pub const HIT_1M: Figure = more("hits of 1 MB", "/s");
pub const HIT_1M_CPU: Figure = less("CPU per hit of 1 MB", "us");
pub const FILL: Figure = more("objects of 1 kB stored", "/s");
pub const FILL_CPU: Figure = less("CPU per object stored", "us");
pub const OBJECT_MEMORY: Figure = less("memory per stored object of 1 kB, all in", "B");
pub const ZIPF: Figure = more("hits among all objects, by Zipf", "/s");
pub const ZIPF_CPU: Figure = less("CPU per such hit", "us");
pub const COLD_WAIT: Figure = less(
    "1,000 ask at once for a cold object of 500 ms, longest wait",
    "ms",
);
pub const COLD_ASKED: Figure = less("requests at the origin for it", "");
