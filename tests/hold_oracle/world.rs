//! A world: what it is like, and what has changed in it.

use super::*;

pub const CHANNELS: [&str; 2] = ["t", "u"];

/// How a world is made.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub ids: bool,
    /// They say what they follow.
    pub links: bool,
    pub below: Below,
    pub entries: usize,
    /// Some messages are never published.
    pub loses: bool,
    /// Some come late, after later ones.
    pub reorders: bool,
    /// Some are states.
    pub latest: bool,
    /// Some have one form only.
    pub forms: bool,
    /// Some hints and closes.
    pub acts: bool,
    /// The origin fails at times.
    pub fails: bool,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Below {
    Origin,
    Cache,
    Foreign,
}

/// One change of a channel; its number, from 1, is its place there.
#[derive(Clone, Copy)]
pub struct Change {
    pub stored: Instant,
    pub lost: bool,
    pub latest: bool,
    pub stream: bool,
    pub response: bool,
    /// Where it was accepted.
    pub at: Option<u64>,
}

pub struct World {
    pub kind: Kind,
    pub edge: Edge,
    pub changes: [Mutex<Vec<Change>>; 2],
    pub dice: Mutex<Dice>,
    pub down: Mutex<bool>,
    pub wrong: Mutex<Vec<String>>,
    pub story: Mutex<Vec<String>>,
    pub begun: Instant,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let kind = Kind {
            ids: !dice.one_in(3),
            below: match dice.roll(3) {
                0 => Below::Origin,
                1 => Below::Cache,
                _ => Below::Foreign,
            },
            entries: if dice.one_in(3) { 6 } else { 1_000 },
            loses: dice.one_in(3),
            reorders: dice.one_in(2),
            latest: dice.one_in(4),
            forms: dice.one_in(3),
            acts: dice.one_in(3),
            fails: dice.one_in(4),
            links: !dice.one_in(4),
        };
        // What names no predecessor goes out at once, and what waits for one comes after it, by rule D1.
        let is_linked = !kind.acts && !kind.latest && kind.links;
        let kind = Kind {
            reorders: kind.reorders && is_linked && kind.ids && !kind.loses,
            loses: kind.loses && (is_linked || !kind.ids),
            ..kind
        };
        let limits = LogLimits::new().entries(kind.entries);
        Self {
            kind,
            edge: Edge::builder().log_limits(limits).build(),
            changes: [Mutex::default(), Mutex::default()],
            dice: Mutex::new(dice),
            down: Mutex::new(false),
            wrong: Mutex::default(),
            story: Mutex::default(),
            begun: Instant::now(),
        }
    }

    pub fn roll(&self, sides: u64) -> u64 {
        self.dice.lock().roll(sides)
    }

    pub fn one_in(&self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    pub fn tell(&self, what: String) {
        let at = self.begun.elapsed();
        self.story
            .lock()
            .push(format!("{at:?} [{}] {what}", self.edge.hub().now()));
    }

    pub fn wrong(&self, what: String) {
        self.tell(format!("WRONG {what}"));
        self.wrong.lock().push(what);
    }

    /// How many changes each channel had at a moment.
    pub fn stored(&self, at: Instant) -> [usize; 2] {
        [0, 1].map(|c| {
            self.changes[c]
                .lock()
                .iter()
                .filter(|change| change.stored <= at)
                .count()
        })
    }

    pub fn change(&self, c: usize, n: usize) -> Change {
        self.changes[c].lock()[n - 1]
    }

    /// A hold's head and body: what was stored at a moment.
    pub fn hold(&self, mode: &str, stored: [usize; 2]) -> http::Response<gripstack::EdgeBody> {
        let name = |c: usize| match self.kind.ids {
            true => format!("{}; prev-id={}", CHANNELS[c], stored[c]),
            false => CHANNELS[c].into(),
        };
        let channels = format!("{}, {}", name(0), name(1));
        let mut held = vec![
            ("grip-hold", mode),
            ("grip-channel", &*channels),
            ("grip-timeout", "20"),
            ("cache-control", "max-age=600"),
        ];
        if self.kind.below == Below::Origin {
            held[3].1 = "no-store";
        }
        reply(200, &held, format!("[{},{}]\n", stored[0], stored[1]))
    }
}

pub fn numbers(text: &str) -> [usize; 2] {
    let text = text.trim().trim_matches(['[', ']']);
    let mut parts = text.split(',').map(|part| part.parse().expect("a number"));
    [parts.next().expect("two"), parts.next().expect("two")]
}

/// A message's text: its channel and number.
pub fn item(text: &str) -> Option<(usize, usize)> {
    let text = text.trim();
    let c = CHANNELS.iter().position(|name| text.starts_with(name))?;
    Some((c, text[1..].parse().expect("a number")))
}
