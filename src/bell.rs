//! A bell that is rung once, for many who wait.
//!
//! Each that waits costs a place for its waker, nothing else: a held connection waits for several bells at once.

use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use slab::Slab;

use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex};

/// So that those who come and go do not wait for one lock.
const SHARDS: usize = 16;

/// Places that a shard keeps after a peak.
const KEPT: usize = 64;

/// A bell that is rung once, for many who wait. A cheap handle.
#[derive(Clone)]
pub(crate) struct Bell(Arc<Inner>);

struct Inner {
    has_rung: AtomicBool,
    /// Where the next listener goes.
    turn: AtomicUsize,
    shards: [Mutex<Slab<Waker>>; SHARDS],
}

/// Waits for a bell.
pub(crate) struct Listener {
    bell: Bell,
    place: Place,
}

/// Where a waker is: the shard by the remainder, the place there by the quotient.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place(u32);

// === impl Bell ===

impl Bell {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            has_rung: AtomicBool::new(false),
            turn: AtomicUsize::new(0),
            shards: std::array::from_fn(|_| Mutex::new(Slab::new())),
        }))
    }

    pub(crate) fn has_rung(&self) -> bool {
        self.0.has_rung.load(Ordering::Acquire)
    }

    /// Wakes all who wait, and who comes later does not wait. Idempotent.
    pub(crate) fn ring(&self) {
        self.0.has_rung.store(true, Ordering::Release);
        for shard in &self.0.shards {
            // Who is not in there by now looks again under the lock, and hears it.
            let wakers = std::mem::take(&mut *shard.lock());
            for (_, waker) in wakers {
                waker.wake();
            }
        }
    }

    pub(crate) fn listen(&self) -> Listener {
        Listener {
            bell: self.clone(),
            place: Place::NONE,
        }
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bell").field(&self.has_rung()).finish()
    }
}

// === impl Listener ===

impl Listener {
    /// Ready once the bell has rung.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let inner = &*self.bell.0;
        if self.bell.has_rung() {
            return Poll::Ready(());
        }
        // Wakers are their users': they are cloned and dropped without the lock.
        let mut new = None;
        let shard = match self.place.parts() {
            Some((shard, _)) => shard,
            None => inner.turn.fetch_add(1, Ordering::Relaxed) % SHARDS,
        };
        loop {
            let mut wakers = inner.shards[shard].lock();
            if self.bell.has_rung() {
                return Poll::Ready(());
            }
            let kept = self.place.parts().and_then(|(_, key)| wakers.get_mut(key));
            if kept.as_ref().is_some_and(|kept| kept.will_wake(cx.waker())) {
                return Poll::Pending;
            }
            let Some(new) = new.take() else {
                drop(wakers);
                new = Some(cx.waker().clone());
                continue;
            };
            let old = match kept {
                Some(kept) => Some(std::mem::replace(kept, new)),
                None => {
                    self.place = Place::new(shard, wakers.insert(new));
                    None
                }
            };
            drop(wakers);
            drop(old);
            return Poll::Pending;
        }
    }

    /// Resolves once the bell has rung.
    pub(crate) async fn heard(&mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let Some((shard, key)) = self.place.parts() else {
            return;
        };
        let mut wakers = self.bell.0.shards[shard].lock();
        // Once it has rung nobody is in there, and nobody comes.
        let waker = wakers.try_remove(key);
        if wakers.is_empty() && wakers.capacity() > KEPT {
            *wakers = Slab::new();
        }
        drop(wakers);
        drop(waker);
    }
}

// === impl Place ===

impl Place {
    const NONE: Self = Self(u32::MAX);

    fn new(shard: usize, key: usize) -> Self {
        Self(u32::try_from(key * SHARDS + shard).expect("fewer wait than have an address"))
    }

    fn parts(self) -> Option<(usize, usize)> {
        let place = self.0 as usize;
        (self != Self::NONE).then_some((place % SHARDS, place / SHARDS))
    }
}

#[cfg(all(test, not(gripstack_shuttle)))]
mod tests {
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn counted() -> (Arc<Count>, Waker) {
        let count = Arc::<Count>::default();
        (count.clone(), count.into())
    }

    impl Count {
        fn get(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn all_who_wait_are_woken_once_and_who_left_is_not() {
        let bell = Bell::new();
        let wakers: Vec<_> = (0..40).map(|_| counted()).collect();
        let mut listeners: Vec<_> = wakers.iter().map(|_| bell.listen()).collect();
        for _ in 0..2 {
            for (listener, (_, waker)) in listeners.iter_mut().zip(&wakers) {
                assert!(listener.poll(&mut Context::from_waker(waker)).is_pending());
            }
        }
        listeners.truncate(30);
        bell.ring();
        bell.ring();
        let counts: Vec<_> = wakers.iter().map(|(count, _)| count.get()).collect();
        assert_eq!(counts, [vec![1; 30], vec![0; 10]].concat());
        let (_, waker) = &wakers[0];
        for mut listener in listeners.into_iter().chain([bell.listen()]) {
            assert!(listener.poll(&mut Context::from_waker(waker)).is_ready());
        }
    }

    #[test]
    fn who_waits_is_spread_over_all_shards() {
        let bell = Bell::new();
        let mut listeners = [(); 2 * SHARDS].map(|()| bell.listen());
        for listener in &mut listeners {
            assert!(
                listener
                    .poll(&mut Context::from_waker(Waker::noop()))
                    .is_pending()
            );
        }
        let lengths = bell.0.shards.each_ref().map(|shard| shard.lock().len());
        assert_eq!(lengths, [2; SHARDS]);
    }

    #[test]
    fn the_last_waker_is_woken() {
        let bell = Bell::new();
        let (first, second) = (counted(), counted());
        let mut listener = bell.listen();
        assert!(listener.poll(&mut Context::from_waker(&first.1)).is_pending());
        assert!(listener.poll(&mut Context::from_waker(&second.1)).is_pending());
        bell.ring();
        assert_eq!((first.0.get(), second.0.get()), (0, 1));
    }
}

#[cfg(all(test, gripstack_shuttle))]
mod model {
    use super::*;
    use crate::hub::model::check;

    /// Whoever begins to wait while it is rung hears it, and so does who moves on to another waker or leaves.
    #[test]
    fn model_a_bell_is_heard_by_all() {
        check(|| {
            let bell = Bell::new();
            let mut leaves = bell.listen();
            let listeners = [(); 2].map(|()| {
                let mut listener = bell.listen();
                shuttle::thread::spawn(move || shuttle::future::block_on(listener.heard()))
            });
            let other = shuttle::thread::spawn(move || {
                let _ = leaves.poll(&mut Context::from_waker(Waker::noop()));
            });
            bell.ring();
            for listener in listeners {
                listener.join().expect("no panic");
            }
            other.join().expect("no panic");
        });
    }
}
