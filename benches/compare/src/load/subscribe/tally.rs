//! What has arrived, over all subscribers, and what went wrong.

use crate::load::now;

/// Faults that are told; more of them say nothing new.
const FAULTS: usize = 5;

pub struct Tally {
    /// Subscribers in all.
    of: usize,
    /// By number of a message: how many have it.
    counts: Vec<usize>,
    total: u64,
    awaited: Option<u64>,
    faults: usize,
}

impl Tally {
    pub fn new(of: usize) -> Self {
        Self {
            of,
            counts: Vec::new(),
            total: 0,
            awaited: None,
            faults: 0,
        }
    }

    pub fn arrived(&mut self, number: u32, time: u64) {
        let index = number as usize;
        if self.counts.len() <= index {
            self.counts.resize(index + 1, 0);
        }
        self.counts[index] += 1;
        if self.counts[index] == self.of {
            println!("all {number} {time}");
        }
        self.total += 1;
        self.reached();
    }

    /// Says it when so many messages have arrived.
    pub fn wait(&mut self, count: u64) {
        self.awaited = Some(count);
        self.reached();
    }

    fn reached(&mut self) {
        if let Some(count) = self.awaited.take_if(|count| *count <= self.total) {
            println!("reached {count} {}", now());
        }
    }

    pub fn fault(&mut self, text: &str) {
        self.faults += 1;
        if self.faults <= FAULTS {
            println!("fault {text}");
        }
    }
}
