//! A world: what its application is like, what it has stored, and what was announced.

use super::*;

pub const CHANNELS: [&str; 2] = ["t", "u"];
/// Its URLs: a stream, a long poll, a page, and one that is a stream or a page by `Accept`.
pub const PATHS: [&str; 4] = ["/s", "/p", "/j", "/m"];

/// Two channels' values, one that is purged, and one for each URL that is posted.
pub type Values = [u64; 4];

#[derive(Clone, Debug)]
pub struct Kind {
    pub ids: bool,
    pub policy: &'static str,
    /// 0: none, 1: strong, 2: weak.
    pub tags: u64,
    /// A 304 names what a 200 does.
    pub talks: bool,
    pub varies: bool,
    pub entries: usize,
    pub latest: bool,
    pub acts: bool,
    pub fails: u64,
    pub slow_bodies: bool,
    pub interval: u64,
    pub paced: bool,
    pub forms: bool,
    pub by_tag: bool,
}

#[derive(Default)]
pub struct State {
    pub stored: [u64; 3],
    pub posted: BTreeMap<String, u64>,
    /// What was announced: nothing older is for whoever asks now.
    pub floor: [u64; 3],
    pub posted_floor: BTreeMap<String, u64>,
    /// What streams of `/m` have told: its page names no channels itself.
    pub told: [u64; 2],
    /// Not even marked.
    pub hard: u64,
    /// Positions of messages with a response form: channel, number.
    pub answers: Vec<(u64, usize, u64)>,
    pub latest: Vec<(usize, u64)>,
    pub no_stream: Vec<(usize, u64)>,
    pub down: bool,
    pub story: Vec<String>,
    pub wrong: Vec<String>,
    /// What each open, unmarked stream has.
    pub open: BTreeMap<String, [u64; 2]>,
}

pub struct World {
    pub kind: Kind,
    pub edge: Edge,
    pub dice: Mutex<Dice>,
    pub state: Mutex<State>,
    pub begun: Instant,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut one_in = |n| dice.roll(n) == 0;
        let ids = !one_in(2);
        let kind = Kind {
            ids,
            latest: one_in(4),
            acts: one_in(3),
            varies: one_in(3),
            slow_bodies: one_in(3),
            talks: !one_in(3),
            paced: one_in(4),
            forms: one_in(4),
            by_tag: one_in(3),
            entries: if one_in(3) { 6 } else { 1_000 },
            tags: dice.roll(3),
            policy: [
                "max-age=600",
                "max-age=600",
                "max-age=2, stale-while-revalidate=60",
                "no-cache",
                "no-store",
                "max-age=3",
            ][dice.roll(6) as usize],
            fails: [1_000, 1_000, 12, 5][dice.roll(4) as usize],
            interval: [0, 300, 1_000, 4_000][dice.roll(4) as usize],
        };
        let paced = if kind.paced {
            PacedReads::Stale
        } else {
            PacedReads::Wait
        };
        let config = CacheConfig::new()
            .interval(Duration::from_millis(kind.interval))
            .paced_reads(paced);
        let limits = LogLimits::new().entries(kind.entries);
        Self {
            edge: Edge::builder().log_limits(limits).cache(config).build(),
            kind,
            dice: Mutex::new(dice),
            state: Mutex::default(),
            begun: Instant::now(),
        }
    }

    pub fn roll(&self, sides: u64) -> u64 {
        self.dice.lock().roll(sides)
    }

    pub fn one_in(&self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    pub async fn pause(&self, ms: u64) {
        let ms = self.roll(ms.max(1));
        sleep(Duration::from_millis(ms)).await;
    }

    pub fn tell(&self, what: String) {
        let line = format!("{:?} [{}] {what}", self.begun.elapsed(), self.edge.hub().now());
        self.state.lock().story.push(line);
    }

    pub fn wrong(&self, what: String) {
        self.tell(format!("WRONG {what}"));
        self.state.lock().wrong.push(what);
    }

    pub fn values(&self, path: &str) -> Values {
        let state = self.state.lock();
        let [t, u, x] = state.stored;
        [t, u, x, state.posted.get(path).copied().unwrap_or_default()]
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Floor {
    pub values: [u64; 3],
    pub posted: u64,
    pub hard: u64,
}
