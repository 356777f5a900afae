//! What was said: its publisher may say it once more, for it heard no answer, and that must not bring it back. But an id may
//! be that of another message: of a counter that began again at 1, of a state that came back. Then ids begin anew.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::time::Instant;

use crate::message::{Form, Message};
use crate::order::Publication;

/// How long the same message is no other one, where nothing else tells: as long as the reference proxy remembers ids.
const REPEATED_FOR: Duration = Duration::from_secs(60);

/// A message as its publisher says it.
pub(super) struct Saying {
    pub(super) id: Arc<str>,
    pub(super) prev_id: Option<Arc<str>>,
    pub(super) what: What,
    pub(super) is_state: bool,
    /// See [`Publication`].
    pub(super) comes_back: bool,
    now: Instant,
}

/// What is said under an id: hashes of its predecessor's id, and of each form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct What {
    prev_id: u32,
    forms: [Option<std::num::NonZero<u32>>; Form::ALL.len()],
}

/// What was said under an id.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    pub(super) what: What,
    pub(super) at: Instant,
}

/// What a message is to one that was said before under its id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Likeness {
    /// The same.
    Same,
    /// Another form of it.
    Form,
    /// Another one.
    Other,
}

/// The last of many, by their ids: hashes of these.
#[derive(Clone, Debug)]
pub(crate) struct LastSaid<T, const MOST: usize>(VecDeque<(u64, T)>);

// === impl Saying ===

impl Saying {
    /// `None`, if it has no id.
    pub(super) fn of(publication: &Publication, now: Instant) -> Option<Self> {
        let message = &publication.message;
        Some(Self {
            id: message.id.clone()?,
            prev_id: message.predecessor().cloned(),
            what: What::of(message),
            is_state: publication.latest,
            comes_back: publication.comes_back,
            now,
        })
    }

    /// Whether that was within a minute.
    pub(super) fn is_soon_after(&self, said: &Said) -> bool {
        self.now.saturating_duration_since(said.at) <= REPEATED_FOR
    }

    /// Whether the same was said so long ago, by a channel whose log reaches back so far, that it is another one; or it is known to
    /// be that.
    pub(super) fn is_another_than(&self, said: Said, age: Duration) -> bool {
        let within = match self.prev_id {
            Some(_) if !self.is_state => age,
            _ => age.min(REPEATED_FOR),
        };
        self.now.saturating_duration_since(said.at) > within || self.comes_back
    }
}

// === impl What ===

impl What {
    pub(crate) fn of(message: &Message) -> Self {
        let form = |form: Form| {
            form.is_in(message).then(|| {
                let mut hasher = seeded().build_hasher();
                form.hash_in(message, &mut hasher);
                std::num::NonZero::new(hasher.finish() as u32).unwrap_or(std::num::NonZero::<u32>::MIN)
            })
        };
        Self {
            prev_id: seeded().hash_one(&message.prev_id) as u32,
            forms: Form::ALL.map(form),
        }
    }

    /// What this is to what was said before.
    pub(crate) fn likeness(&self, said: &Self) -> Likeness {
        let mut forms = self
            .forms
            .iter()
            .zip(&said.forms)
            .filter(|(form, _)| form.is_some());
        if self.prev_id != said.prev_id {
            Likeness::Other
        } else if forms.clone().all(|(form, said)| form == said) {
            Likeness::Same
        } else if forms.all(|(_, said)| said.is_none()) {
            Likeness::Form
        } else {
            Likeness::Other
        }
    }

    /// With the forms of another one.
    pub(super) fn and(mut self, other: &Self) -> Self {
        for (form, other) in self.forms.iter_mut().zip(other.forms) {
            *form = form.or(other);
        }
        self
    }
}

// === impl LastSaid ===

impl<T, const MOST: usize> LastSaid<T, MOST> {
    pub(crate) fn remember(&mut self, id: &str, what: T) {
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back((hash(id), what));
    }

    /// What was said last under this id.
    pub(crate) fn find(&self, id: &str) -> Option<&T> {
        if self.0.is_empty() {
            return None;
        }
        let id = hash(id);
        let found = self.0.iter().rev().find(|(other, _)| *other == id);
        found.map(|(_, said)| said)
    }

    /// Forgets all but these.
    #[cfg(feature = "publish")]
    pub(crate) fn retain(&mut self, is_one: impl Fn(&T) -> bool) {
        self.0.retain(|(_, what)| is_one(what));
        self.0.shrink_to_fit();
    }

    #[cfg(feature = "publish")]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes all of another one.
    pub(super) fn append(&mut self, other: &mut Self) {
        self.0.append(&mut other.0);
        self.0.drain(..self.0.len().saturating_sub(MOST));
    }

    #[cfg(feature = "publish")]
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Bytes of memory that they take beside this.
    pub(crate) fn weight(&self) -> usize {
        self.0.capacity() * size_of::<(u64, T)>()
    }
}

impl<T, const MOST: usize> Default for LastSaid<T, MOST> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

fn hash(id: &str) -> u64 {
    seeded().hash_one(id)
}

fn seeded() -> &'static RandomState {
    static SEEDED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    &SEEDED
}
