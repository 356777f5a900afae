//! What all worlds have: an edge, what the application has stored of each channel, choices, and what happened.

use std::time::Duration;

use gripstack::Edge;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::hold_support::seeds::Dice;

/// What messages say of their order.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Link {
    /// `id` and `prev-id`, by two processes.
    Chain,
    /// `id` alone, by one process.
    Ids,
    /// Neither, by one process.
    None,
}

pub(crate) struct Story {
    pub(crate) edge: Edge,
    pub(crate) link: Link,
    /// The last number of each channel.
    pub(crate) stored: Mutex<Vec<usize>>,
    dice: Mutex<Dice>,
    told: Mutex<Vec<String>>,
    wrong: Mutex<Vec<String>>,
}

impl Link {
    pub(crate) fn of(dice: &mut Dice) -> Self {
        [Self::Chain, Self::Chain, Self::Ids, Self::None][dice.roll(4) as usize]
    }
}

impl Story {
    pub(crate) fn new(link: Link, stored: Vec<usize>, dice: Dice) -> Self {
        Self {
            edge: Edge::new(),
            link,
            stored: Mutex::new(stored),
            dice: Mutex::new(dice),
            told: Mutex::default(),
            wrong: Mutex::default(),
        }
    }

    pub(crate) fn channels(&self) -> usize {
        self.stored.lock().len()
    }

    pub(crate) fn roll(&self, sides: u64) -> u64 {
        self.dice.lock().roll(sides)
    }

    pub(crate) async fn pause(&self, ms: u64) {
        sleep(Duration::from_millis(self.roll(ms))).await;
    }

    pub(crate) fn tell(&self, what: String) {
        let line = format!("{:?} [{}] {what}", Instant::now(), self.edge.hub().now());
        self.told.lock().push(line);
    }

    pub(crate) fn wrong(&self, what: String) {
        self.tell(format!("WRONG {what}"));
        self.wrong.lock().push(what);
    }

    /// What was wrong, and all that happened.
    pub(crate) fn end(&self, seed: u64, world: &str) -> Result<(), String> {
        let wrong = self.wrong.lock();
        if wrong.is_empty() {
            return Ok(());
        }
        let told = self.told.lock().join("\n");
        Err(format!(
            "seed {seed} {:?} {world}\n{told}\n{}",
            self.link,
            wrong.join("\n")
        ))
    }
}

pub(crate) fn name(c: usize) -> String {
    format!("c{c}")
}

/// `Grip-Channel`, by an application that has stored this.
pub(crate) fn named(stored: &[usize], link: Link) -> String {
    let named = stored.iter().enumerate().map(|(c, n)| match link {
        Link::None => name(c),
        Link::Chain | Link::Ids => format!("{}; prev-id={n}", name(c)),
    });
    named.collect::<Vec<_>>().join(", ")
}
