//! Who reads a log, and who of them waits.
//!
//! Readers sit in rows. A row has a lock of its own, so that a reader which goes to sleep meets only its neighbours, and
//! a row is what is woken at once: whoever wakes a large crowd takes one row after the other, and may be one of several.
//! A row goes when its last reader does.
//!
//! Whoever changes the log counts that. A reader goes to sleep with the count of when it looked, and looks again if it
//! has changed meanwhile; who has seen the last change is not woken. Wakers are their users': under a lock they are moved,
//! never dropped, woken or cloned, for that may call back.

use std::task::Waker;

use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex};

/// Readers of one row.
pub(crate) const ROW: usize = if cfg!(gripstack_shuttle) { 2 } else { 128 };

/// The readers of one log. It is guarded by that log's lock.
#[derive(Default)]
pub(crate) struct Readers {
    rows: Vec<Place>,
    count: usize,
    /// Rows that are to be woken.
    due: usize,
    /// The row that was looked at last for one that is due, and for one that has room.
    due_hand: usize,
    room_hand: usize,
}

/// A row at its place.
struct Place {
    row: Arc<Row>,
    taken: usize,
    is_due: bool,
}

/// Readers that are woken together.
pub(crate) struct Row {
    /// Its place among the rows. Guarded by the log's lock.
    place: AtomicUsize,
    seats: Mutex<Seats>,
}

#[derive(Default)]
struct Seats {
    waiting: Vec<Waiting>,
    free: Vec<u8>,
}

#[derive(Default)]
struct Waiting {
    waker: Option<Waker>,
    /// The changes that it has seen.
    seen: u32,
}

/// A reader's place.
pub(crate) struct Seat {
    row: Arc<Row>,
    number: u8,
}

// === impl Readers ===

impl Readers {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// A place for one more.
    pub(crate) fn join(&mut self) -> Seat {
        self.count += 1;
        let rows = self.rows.len();
        if self.count > rows * ROW {
            self.room_hand = rows;
            self.rows.push(Place {
                row: Arc::new(Row {
                    place: AtomicUsize::new(rows),
                    seats: Mutex::default(),
                }),
                taken: 0,
                is_due: false,
            });
        }
        // There is one with room.
        self.room_hand = hand(self.room_hand, &self.rows, |place| place.taken < ROW);
        let place = &mut self.rows[self.room_hand];
        place.taken += 1;
        let number = place.row.seats.lock().take();
        Seat {
            row: place.row.clone(),
            number,
        }
    }

    /// It is to be dropped without the lock.
    pub(crate) fn leave(&mut self, seat: &Seat) -> Option<Waker> {
        self.count -= 1;
        let index = seat.row.place.load(Ordering::Relaxed);
        let place = &mut self.rows[index];
        place.taken -= 1;
        if place.taken > 0 {
            return seat.row.seats.lock().give_back(seat.number);
        }
        let place = self.rows.swap_remove(index);
        self.due -= usize::from(place.is_due);
        if let Some(moved) = self.rows.get(index) {
            moved.row.place.store(index, Ordering::Relaxed);
        }
        if self.rows.capacity() > 2 * self.rows.len() + 16 {
            self.rows.shrink_to_fit();
        }
        seat.row.seats.lock().give_back(seat.number)
    }

    /// All who wait are to be woken. Returns how many read.
    pub(crate) fn call(&mut self) -> usize {
        self.rows.iter_mut().for_each(|place| place.is_due = true);
        self.due = self.rows.len();
        self.count
    }

    /// A row that is to be woken, and whether there are more.
    pub(crate) fn next_due(&mut self) -> Option<(Arc<Row>, bool)> {
        self.due = self.due.checked_sub(1)?;
        self.due_hand = hand(self.due_hand, &self.rows, |place| place.is_due);
        let place = &mut self.rows[self.due_hand];
        place.is_due = false;
        Some((place.row.clone(), self.due > 0))
    }
}

/// The next row of this kind, which must exist, from this one on.
fn hand(from: usize, rows: &[Place], wanted: impl Fn(&Place) -> bool) -> usize {
    let (before, after) = rows.split_at(from.min(rows.len()));
    let found = after.iter().position(&wanted).map(|index| before.len() + index);
    found
        .or_else(|| before.iter().position(&wanted))
        .expect("the rows of each kind are counted")
}

// === impl Row ===

impl Row {
    /// Wakes who waits and has not seen this change. To be called without a lock.
    pub(crate) fn wake(&self, changes: u32) {
        let wakers: Vec<Waker> = {
            let mut seats = self.seats.lock();
            let behind = |waiting: &&mut Waiting| waiting.seen != changes;
            let waiting = seats.waiting.iter_mut().filter(behind);
            waiting.filter_map(|waiting| waiting.waker.take()).collect()
        };
        for waker in wakers {
            waker.wake();
        }
    }
}

// === impl Seats ===

impl Seats {
    fn take(&mut self) -> u8 {
        self.free.pop().unwrap_or_else(|| {
            // Most logs have one reader.
            let seats = self.waiting.len();
            self.waiting
                .reserve_exact(if seats == 0 { 1 } else { seats.min(ROW - seats) });
            self.waiting.push(Waiting::default());
            seats as u8
        })
    }

    fn give_back(&mut self, number: u8) -> Option<Waker> {
        self.free.push(number);
        self.waiting[usize::from(number)].waker.take()
    }
}

// === impl Seat ===

impl Seat {
    /// Waits from now on, having seen this change. `anew`: its last waker has probably been woken.
    pub(crate) fn wait(&self, seen: u32, waker: &Waker, anew: bool) {
        let mut new = anew.then(|| waker.clone());
        loop {
            let mut seats = self.row.seats.lock();
            let waiting = &mut seats.waiting[usize::from(self.number)];
            if waiting.waker.as_ref().is_some_and(|old| old.will_wake(waker)) {
                waiting.seen = seen;
                return drop(seats);
            }
            if let Some(new) = new.take() {
                waiting.seen = seen;
                let old = waiting.waker.replace(new);
                drop(seats);
                return drop(old);
            }
            // Cloned without the lock: then it is looked once more.
            drop(seats);
            new = Some(waker.clone());
        }
    }
}

#[cfg(test)]
#[cfg(not(gripstack_shuttle))]
mod tests {
    use std::sync::atomic::AtomicUsize as Count;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(Count);

    impl Wake for Woken {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn wake_all(readers: &mut Readers, changes: u32) -> usize {
        readers.call();
        let mut rows = 0;
        while let Some((row, _)) = readers.next_due() {
            row.wake(changes);
            rows += 1;
        }
        rows
    }

    #[test]
    fn after_a_peak_rows_without_readers_are_gone() {
        let mut readers = Readers::default();
        let mut seats: Vec<Seat> = std::iter::repeat_with(|| readers.join())
            .take(1_000 * ROW)
            .collect();
        let last = seats.swap_remove(500 * ROW);
        for seat in seats {
            readers.leave(&seat);
        }
        assert_eq!((readers.len(), wake_all(&mut readers, 1)), (1, 1));
        assert!(readers.rows.capacity() <= 32, "{}", readers.rows.capacity());
        readers.leave(&last);
        assert_eq!((readers.len(), readers.rows.len()), (0, 0));
    }

    #[test]
    fn rows_are_full_before_there_is_another() {
        let mut readers = Readers::default();
        let mut seats: Vec<Seat> = std::iter::repeat_with(|| readers.join()).take(3 * ROW).collect();
        for nth in [0, ROW, 2 * ROW - 2] {
            readers.leave(&seats.swap_remove(nth));
        }
        seats.extend(std::iter::repeat_with(|| readers.join()).take(3));
        assert_eq!((readers.len(), readers.rows.len()), (3 * ROW, 3));
        readers.join();
        assert_eq!(readers.rows.len(), 4);
    }

    #[test]
    fn who_has_seen_the_last_change_sleeps_on() {
        let woken = std::sync::Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut readers = Readers::default();
        let seats: Vec<Seat> = std::iter::repeat_with(|| readers.join()).take(2 * ROW).collect();
        for (nth, seat) in (0..).zip(&seats) {
            seat.wait(nth % 2, &waker, true);
        }
        assert_eq!(wake_all(&mut readers, 1), 2);
        assert_eq!(woken.0.load(Ordering::SeqCst), ROW);
        assert_eq!(wake_all(&mut readers, 2), 2);
        assert_eq!(woken.0.load(Ordering::SeqCst), 2 * ROW);
    }

    #[test]
    fn a_row_that_leaves_takes_no_other_along() {
        let woken = std::sync::Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut readers = Readers::default();
        let seats: Vec<Seat> = std::iter::repeat_with(|| readers.join()).take(4 * ROW).collect();
        for seat in &seats {
            seat.wait(0, &waker, true);
        }
        readers.call();
        let (row, more) = readers.next_due().expect("all are due");
        row.wake(1);
        assert!(more);
        // The first two rows go: one was woken, the other was due.
        for seat in &seats[..2 * ROW] {
            readers.leave(seat);
        }
        while let Some((row, _)) = readers.next_due() {
            row.wake(1);
        }
        assert_eq!(woken.0.load(Ordering::SeqCst), 3 * ROW);
    }
}
