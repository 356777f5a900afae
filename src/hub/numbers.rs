//! Which number each entry has. They are consecutive, but for those of entries that were replaced: a newer one, with
//! the next number, has their place.

use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// Of the first entry that is still here, or of the next one if there is none.
    first: u64,
    /// Most channels have no states.
    replaced: Option<Box<Replaced>>,
}

#[derive(Debug, Default)]
struct Replaced {
    /// Numbers between those of the entries that no entry has any more, oldest first.
    holes: VecDeque<Hole>,
    /// Numbers before `first` that were replaced.
    missing: u64,
}

#[derive(Debug)]
struct Hole {
    start: u64,
    /// The number of the entry after it.
    end: u64,
    /// Numbers that were replaced since the log began, up to here.
    missing: u64,
}

// === impl Numbers ===

impl Numbers {
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The first entry at or after a number: its place, and its own number.
    pub(super) fn at_or_after(&self, number: u64) -> (usize, u64) {
        let number = number.max(self.first);
        let Some(replaced) = &self.replaced else {
            return ((number - self.first) as usize, number);
        };
        let before = replaced.holes.partition_point(|hole| hole.start <= number);
        match before.checked_sub(1).and_then(|last| replaced.holes.get(last)) {
            None => ((number - self.first) as usize, number),
            Some(hole) => {
                let number = number.max(hole.end);
                let missing = hole.missing - replaced.missing;
                ((number - self.first - missing) as usize, number)
            }
        }
    }

    /// The number of the entry at this place; behind the last one, that of the next to come.
    pub(super) fn number(&self, place: usize) -> u64 {
        let Some(replaced) = &self.replaced else {
            return self.first + place as u64;
        };
        let dense = self.first - replaced.missing + place as u64;
        let before = replaced
            .holes
            .partition_point(|hole| hole.end - hole.missing <= dense);
        let last = before.checked_sub(1).and_then(|last| replaced.holes.get(last));
        dense + last.map_or(replaced.missing, |hole| hole.missing)
    }

    /// The first entry goes.
    pub(super) fn pop_front(&mut self) {
        self.first += 1;
        if let Some(replaced) = &mut self.replaced
            && replaced
                .holes
                .front()
                .is_some_and(|hole| hole.start == self.first)
            && let Some(hole) = replaced.holes.pop_front()
        {
            self.first = hole.end;
            replaced.missing = hole.missing;
        }
    }

    /// The last of so many entries gets the next number.
    pub(super) fn replace_last(&mut self, entries: usize) {
        let last = self.number(entries - 1);
        let replaced = self.replaced.get_or_insert_default();
        if last == self.first {
            self.first += 1;
            replaced.missing += 1;
            return;
        }
        match replaced.holes.back_mut() {
            Some(hole) if hole.end == last => {
                hole.end += 1;
                hole.missing += 1;
            }
            other => {
                let missing = other.map_or(replaced.missing, |hole| hole.missing) + 1;
                replaced.holes.push_back(Hole {
                    start: last,
                    end: last + 1,
                    missing,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a list of the numbers themselves.
        #[test]
        fn places_and_numbers_belong_together(steps in prop::collection::vec(0u8..4, 1..200)) {
            let mut numbers = Numbers::default();
            let mut naive: VecDeque<u64> = VecDeque::new();
            let mut next = 0;
            for step in steps {
                match step {
                    0 | 1 => {
                        prop_assert_eq!(numbers.number(naive.len()), next);
                        naive.push_back(next);
                        next += 1;
                    }
                    2 if naive.pop_front().is_some() => numbers.pop_front(),
                    3 if !naive.is_empty() => {
                        numbers.replace_last(naive.len());
                        naive.pop_back();
                        naive.push_back(next);
                        next += 1;
                    }
                    _ => {}
                }
                let holes = numbers.replaced.as_ref().map_or(0, |replaced| replaced.holes.len());
                prop_assert!(holes <= naive.len());
                prop_assert_eq!(numbers.first(), naive.front().copied().unwrap_or(next));
                for (place, number) in naive.iter().enumerate() {
                    prop_assert_eq!(numbers.number(place), *number);
                }
                for number in 0..=next {
                    let place = naive.partition_point(|other| *other < number);
                    let found = naive.get(place).copied().unwrap_or(next);
                    prop_assert_eq!(numbers.at_or_after(number), (place, found), "{}", number);
                }
            }
        }
    }
}
