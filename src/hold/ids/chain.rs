//! What is withheld as chains: each message is led to by the first that has the id which it names.
//!
//! A publisher may let them fork, meet, or go in a circle.

use std::collections::HashSet;

use super::track::is_unlinked;
use super::withheld::{Place, Withheld};
use crate::message::Message;

/// What goes out next when the withheld are given up on: the first of them that is not old, or what leads up to it.
///
/// As long as whatever goes out takes all that follows it along, one search for all of them takes as many steps as they are: it
/// goes back over those that go out then, and over others only once.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// All up to here have gone out, or are led.
    upto: Option<Place>,
    /// What names no predecessor leads up to them. They go out with that: it comes after what the log has before it, so their
    /// own place does not matter.
    led: HashSet<Place>,
}

// === impl Search ===

impl Search {
    /// Where the next one is. `None`: nothing is withheld.
    pub(super) fn next(&mut self, withheld: &Withheld) -> Option<Place> {
        loop {
            let place = withheld.next(self.upto)?;
            if withheld.is_old(place) {
                self.upto = Some(place);
                continue;
            }
            if let Some(first) = self.first_before(withheld, place) {
                return Some(first);
            }
            self.upto = Some(place);
        }
    }

    /// The first of what leads up to this one, or itself. `None`: it is led.
    fn first_before(&mut self, withheld: &Withheld, place: Place) -> Option<Place> {
        let (mut way, mut first) = (Vec::new(), place);
        for earlier in led_by(withheld, place).take_while(|earlier| !withheld.is_old(*earlier)) {
            if self.led.contains(&earlier) {
                self.led.extend(way);
                return None;
            }
            way.push(earlier);
            first = earlier;
        }
        if first == place || !is_unlinked(withheld.message(first)) {
            return Some(first);
        }
        way.pop();
        self.led.extend(way);
        None
    }
}

/// This one, what leads up to it, and so on back; each once.
fn led_by(withheld: &Withheld, place: Place) -> impl Iterator<Item = Place> {
    let mut seen = HashSet::new();
    std::iter::successors(Some(place), move |place| {
        seen.insert(*place);
        let earlier = withheld.before(withheld.message(*place));
        earlier.filter(|earlier| !seen.contains(earlier))
    })
}

/// What leads up to this message, the last of it first.
pub(super) fn places_before(withheld: &Withheld, message: &Message) -> Vec<Place> {
    let places = withheld.before(message).into_iter();
    places.flat_map(|last| led_by(withheld, last)).collect()
}
