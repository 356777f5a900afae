//! How much of the marks an object has seen.

use super::{Happened, Marks};
use crate::mutants::mutant;
use crate::order::TargetKey;
use crate::position::Position;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Up to where marks were applied to an object, and what they did (rule C4). Looking up moves it on, and so does a sweep:
/// what it has seen may be forgotten.
#[derive(Default)]
pub(crate) struct Seen {
    /// Nothing was marked up to here since its stamp.
    clean: AtomicU64,
    /// Names the set of its URL's channels for which that holds, too.
    clean_with: AtomicU64,
    applied: Mutex<Applied>,
}

#[derive(Clone, Default)]
struct Applied {
    upto: Position,
    /// The channels that its URL had then.
    channels: KeySet,
    /// `None`: nothing.
    happened: Option<Box<Happened>>,
}

/// The targets that a URL's channels are. A set never changes: where channels come or go, another takes its place.
#[derive(Clone, Default, Debug)]
pub(crate) struct KeySet {
    /// `None`: it is empty.
    keys: Option<std::sync::Arc<[TargetKey]>>,
    /// No other set has it; zero, if it is empty.
    name: u64,
}

// === impl Seen ===

impl Seen {
    /// Whether nothing happened to an object's own targets since its stamp.
    pub(crate) fn is_clean(&self, now: Position) -> bool {
        self.clean.load(Ordering::Relaxed) >= now.get()
    }

    /// Whether nothing happened to these, either.
    pub(crate) fn is_clean_with(&self, channels: &KeySet, now: Position) -> bool {
        // In this order: they are written in the other one.
        self.clean.load(Ordering::Acquire) >= now.get()
            && self.clean_with.load(Ordering::Relaxed) == channels.name
    }

    /// Applies what came since: to be called under the lock of the marks, with a clock that is read under it. All marks up to
    /// there are set, and some above it may be: those count, too.
    pub(crate) fn move_on(
        &self,
        marks: &Marks,
        stamp: Position,
        own: &[&[TargetKey]; 2],
        channels: &KeySet,
        now: Position,
    ) -> Happened {
        let mut applied = self.applied.lock();
        let from = applied.upto.max(stamp);
        let mut happened = applied.happened.as_deref().copied().unwrap_or_default();
        let is_known = applied.channels.name == channels.name;
        if marks.last() > from {
            // Most have no keys beside their URL's.
            for keys in own.iter().filter(|keys| !keys.is_empty()) {
                marks.add(keys, from, &mut happened);
            }
            if is_known && !channels.is_empty() {
                marks.add(channels, from, &mut happened);
            }
        }
        if !is_known {
            applied.learn(marks, stamp, channels, &mut happened);
        }
        applied.upto = now.max(from);
        if happened.is_nothing() {
            self.clean_with.store(channels.name, Ordering::Relaxed);
            self.clean.store(applied.upto.get(), Ordering::Release);
        } else {
            self.clean.store(0, Ordering::Relaxed);
            **applied.happened.get_or_insert_default() = happened;
        }
        happened
    }

    /// The same for a copy of the object, with the same stamp, that has these targets beside or instead.
    pub(crate) fn inherit(&self, marks: &Marks, stamp: Position, keys: &[TargetKey]) -> Self {
        let mut applied = self.applied.lock().clone();
        let mut happened = applied.happened.as_deref().copied().unwrap_or_default();
        marks.add(keys, stamp, &mut happened);
        if mutant!("seen-not-inherited") {
            (happened, applied.upto) = (Happened::default(), marks.last());
        }
        applied.happened = (!happened.is_nothing()).then(|| Box::new(happened));
        Self {
            applied: Mutex::new(applied),
            ..Self::default()
        }
    }
}

// === impl Applied ===

impl Applied {
    /// Adds what was done to other channels than it has seen before: new ones may have been purged before they were
    /// learned.
    #[inline(never)]
    fn learn(&mut self, marks: &Marks, stamp: Position, channels: &KeySet, to: &mut Happened) {
        for key in channels.iter() {
            let from = match self.channels.contains(key) {
                true => self.upto.max(stamp),
                false => stamp,
            };
            marks.add(std::slice::from_ref(key), from, to);
        }
        self.channels = channels.clone();
    }
}

/// For a copy of the object that has the same stamp and the same targets.
impl Clone for Seen {
    fn clone(&self) -> Self {
        Self {
            applied: Mutex::new(self.applied.lock().clone()),
            ..Self::default()
        }
    }
}

// === impl KeySet ===

impl KeySet {
    pub(crate) const EMPTY: Self = Self { keys: None, name: 0 };
}

impl FromIterator<TargetKey> for KeySet {
    fn from_iter<I: IntoIterator<Item = TargetKey>>(keys: I) -> Self {
        static NAMES: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        let keys: std::sync::Arc<[TargetKey]> = keys.into_iter().collect();
        if keys.is_empty() {
            return Self::EMPTY;
        }
        Self {
            keys: Some(keys),
            name: NAMES.fetch_add(1, Ordering::Relaxed),
        }
    }
}

impl std::ops::Deref for KeySet {
    type Target = [TargetKey];

    fn deref(&self) -> &[TargetKey] {
        self.keys.as_deref().unwrap_or_default()
    }
}
