//! Which of a channel's states is the newest, as their versions and ids say. States that are said form by form are apart.

use std::sync::Arc;

use crate::hub::{LastSaid, Likeness, What};
use crate::message::{Form, Message};

/// Older states that are remembered, of one channel and form.
const MOST: usize = 256;

/// Which forms a message has.
pub(super) type Forms = [bool; Form::ALL.len()];

/// All states of a channel. Nearly always of one kind.
#[derive(Debug, Default)]
pub(super) struct Chains(Vec<(Forms, Chain)>);

/// Those of one kind.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// The highest version that was submitted.
    version: Option<u64>,
    newest: Option<(Arc<str>, What)>,
    /// Those that came before it, or that it or one of them follows, as their publishers say: these may not have come.
    older: LastSaid<Option<What>, MOST>,
}

/// What a message is beside those that came before it.
pub(super) enum Age {
    /// It goes out. In the place of the newest, perhaps, which it does not say that it follows.
    New(Option<(Arc<str>, What)>),
    /// It goes out. It follows the newest, so if the same was said before, that was another one.
    Next,
    /// Likewise, and what is known of ids is of others.
    Anew,
    /// A newer one came before it.
    Old,
    /// Likewise, and the newest is older than it: so one that was displaced is the newest.
    Between,
}

// === impl Age ===

impl Age {
    /// Whether a newer one came before it.
    pub(super) fn is_superseded(&self) -> bool {
        matches!(self, Self::Old | Self::Between)
    }

    /// Whether it is another one than that which was said before under its id, if any was.
    pub(super) fn is_another(&self) -> bool {
        matches!(self, Self::Next | Self::Anew)
    }
}

// === impl Chains ===

impl Chains {
    pub(super) fn of(&mut self, message: &Message) -> &mut Chain {
        let forms = forms(message);
        let place = self.0.iter().position(|(others, _)| *others == forms);
        let place = place.unwrap_or_else(|| {
            self.0.push((forms, Chain::default()));
            self.0.len() - 1
        });
        &mut self.0[place].1
    }

    /// All that is to be known once the channel has rested: which states are older, though they have not come. Bytes that it
    /// takes; `None`: nothing.
    pub(super) fn rest(&mut self) -> Option<usize> {
        for (_, chain) in &mut self.0 {
            // Those that came are known to the log. A publisher may begin its versions again.
            chain.older.retain(|what| what.is_none());
            chain.version = None;
        }
        self.0.retain(|(_, chain)| !chain.older.is_empty());
        self.0.shrink_to_fit();
        let weight = self.0.iter().map(|(_, chain)| chain.weight()).sum();
        (!self.0.is_empty()).then_some(weight)
    }
}

pub(super) fn forms(message: &Message) -> Forms {
    Form::ALL.map(|form| form.is_in(message))
}

// === impl Chain ===

impl Chain {
    /// A message comes. It is superseded by one that came before it: by its version, or by its id if it carries nothing but
    /// states. `has_displaced`: one that was the newest may be newer.
    pub(super) fn note(&mut self, message: &Message, version: Option<u64>, has_displaced: bool) -> Age {
        let is_older = |(its, ours)| its <= ours;
        let by_version = version.zip(self.version).is_some_and(is_older);
        let prev_id = message.predecessor();
        let follows = prev_id.is_some() && prev_id == self.newest_id();
        let is_between = follows && has_displaced;
        // All of it is hashed: only where it has a name.
        let what = message.id.as_ref().map(|_| What::of(message));
        let known = message.id.as_ref().and_then(|id| self.older.find(id));
        let is_another = what
            .zip(known.copied().flatten())
            .is_some_and(|(what, known)| what.likeness(&known) == Likeness::Other);
        let by_id = known.is_some() && !is_another && (is_between || !follows);
        if by_version || by_id {
            self.remember(message.id.as_ref(), what);
            return match message.is_state() {
                true if is_between && !by_version => Age::Between,
                is_state if by_version || is_state => Age::Old,
                _ => Age::New(None),
            };
        }
        if is_another {
            self.older.clear();
        }
        self.version = version.or(self.version);
        let newest = message.id.clone().zip(what);
        let older = std::mem::replace(&mut self.newest, newest);
        let is_the_same = message.id.as_ref() == older.as_ref().map(|(id, _)| id);
        if let Some((id, what)) = older.as_ref().filter(|_| !is_another) {
            self.remember(Some(id), Some(*what));
        }
        match () {
            () if is_another => Age::Anew,
            () if follows => Age::Next,
            // Of what does not say what it follows, all is known.
            () => Age::New(older.filter(|_| prev_id.is_some() && !is_the_same)),
        }
    }

    /// This one, which was displaced, is the newest again. Which was it meanwhile.
    pub(super) fn restore(&mut self, id: Arc<str>, what: What) -> Option<Arc<str>> {
        let (older, its) = self.newest.replace((id, what))?;
        self.remember(Some(&older), Some(its));
        Some(older)
    }

    fn weight(&self) -> usize {
        self.older.weight() + self.newest_id().map_or(0, |id| id.len())
    }

    fn newest_id(&self) -> Option<&Arc<str>> {
        self.newest.as_ref().map(|(id, _)| id)
    }

    /// What a message follows is older than it.
    pub(super) fn follow(&mut self, message: &Message) {
        self.remember(message.predecessor(), None);
    }

    fn remember(&mut self, id: Option<&Arc<str>>, what: Option<What>) {
        // The newest one may be said once more.
        let Some(id) = id.filter(|id| self.newest_id() != Some(id)) else {
            return;
        };
        match self.older.find(id) {
            Some(Some(_)) => {}
            Some(None) if what.is_none() => {}
            _ => self.older.remember(id, what),
        }
    }
}
