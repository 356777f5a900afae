//! One channel of the pacer: what is known of its states, and what of them waits.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::newest::{Age, Chains, Forms, forms};
use super::pacer::Due;
use crate::hub::What;
use crate::message::Message;
use crate::order::{OrderId, Publication, Purge};

/// Messages of one channel that may be newer than the newest.
const MOST_DISPLACED: usize = 32;

/// One channel.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) phase: Phase,
    pub(super) interval: Duration,
    /// Most have none.
    pub(super) pending: Option<Box<Pending>>,
    pub(super) chains: Chains,
}

/// What was the newest, until one came that does not say that it follows it.
#[derive(Debug)]
struct Displaced {
    id: Arc<str>,
    what: What,
    forms: Forms,
    /// If it waited.
    publication: Option<Publication>,
    /// One came that follows it, and is older than another.
    is_older: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    Sending { since: Instant },
    Resting { until: Due },
}

/// What waits: the newest state and what closes or hints, in their order, and the purges of all, also of the states that
/// were replaced (rule D2a).
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) purges: HashSet<Purge>,
    pub(super) publications: Vec<Publication>,
    /// When the last message was submitted.
    pub(super) since: Option<Instant>,
    /// Of an order that failed and has not changed since: it may have been taken all the same.
    pub(super) id: Option<OrderId>,
    /// What may be newer than the newest, the last one first.
    displaced: Vec<Displaced>,
    pub(super) bytes: usize,
}

// === impl Lane ===

impl Lane {
    /// A message comes. What is no longer needed.
    pub(super) fn note(&mut self, message: &Message, version: Option<u64>) -> (Age, Vec<Publication>) {
        let forms = forms(message);
        let displaced = || self.pending.iter().flat_map(|pending| &pending.displaced);
        let has_displaced = displaced().any(|one| one.forms == forms && !one.is_older);
        let chain = self.chains.of(message);
        let age = chain.note(message, version, has_displaced);
        chain.follow(message);
        let prev_id = message.predecessor();
        if let Some(pending) = &mut self.pending {
            for one in pending.displaced.iter_mut().filter(|one| one.forms == forms) {
                one.is_older |= Some(&one.id) == prev_id || matches!(age, Age::Anew);
            }
        }
        let gone = match age {
            Age::Between => self.restore(message),
            _ => Vec::new(),
        };
        (age, gone)
    }

    /// The newest is older than what it displaced last: that has its place again. What is no longer needed.
    fn restore(&mut self, like: &Message) -> Vec<Publication> {
        let forms = forms(like);
        let Some(pending) = &mut self.pending else {
            return Vec::new();
        };
        let mut gone = pending.forget_displaced(|one| one.forms == forms && one.is_older);
        let last = pending.displaced.iter().rposition(|one| one.forms == forms);
        if let Some(last) = last {
            let Displaced {
                id,
                what,
                publication,
                ..
            } = pending.displaced.remove(last);
            let older = self.chains.of(like).restore(id, what);
            let mut publications = pending.publications.iter();
            let place = publications
                .position(|waiting| waiting.message.id == older && self::forms(&waiting.message) == forms);
            gone.extend(match (place, publication) {
                (Some(place), Some(newer)) => {
                    Some(std::mem::replace(&mut pending.publications[place], newer))
                }
                // It has gone out.
                (Some(place), None) => Some(pending.publications.remove(place)),
                (None, publication) => publication,
            });
        }
        pending.weigh();
        self.pending
            .take_if(|pending| pending.bytes == 0 && pending.publications.is_empty());
        gone
    }

    pub(super) fn pending_bytes(&self) -> usize {
        self.pending.as_ref().map_or(0, |pending| pending.bytes)
    }
}

/// Which of those that wait is made useless by a newer one: nothing stands between them in whatever form they have.
pub(super) fn replaced_by<'a>(
    waiting: impl DoubleEndedIterator<Item = &'a Message> + ExactSizeIterator,
    newer: &Message,
) -> Option<usize> {
    let mut from_the_last = { waiting }.enumerate().rev();
    let (place, last) = from_the_last.find(|(_, older)| newer.shares_a_form(older) || newer.covers(older))?;
    newer.covers(last).then_some(place)
}

// === impl Pending ===

impl Pending {
    /// Adds a message, in the place of one that it makes useless: returns that one.
    pub(super) fn add(&mut self, mut publication: Publication) -> Option<Publication> {
        self.bytes += publication.message.weight();
        let waiting = self.publications.iter().map(|waiting| &*waiting.message);
        let place = replaced_by(waiting, &publication.message);
        let old = place.map(|place| self.publications.remove(place));
        self.bytes -= old.as_ref().map_or(0, |old| old.message.weight());
        // It may be the same once more.
        let same = old
            .as_ref()
            .filter(|old| old.message.id == publication.message.id);
        publication.comes_back |= same.is_some_and(|old| old.comes_back);
        self.publications.push(publication);
        old
    }

    /// The newest was displaced, by one that replaced this. What is no longer needed.
    pub(super) fn displace(
        &mut self,
        (id, what): (Arc<str>, What),
        forms: Forms,
        old: Option<Publication>,
    ) -> Vec<Publication> {
        let is_it =
            |old: &Publication| old.message.id.as_ref() == Some(&id) && self::forms(&old.message) == forms;
        // It may have gone out.
        let (publication, mut gone) = match old {
            Some(old) if is_it(&old) => (Some(old), Vec::new()),
            old => (None, Vec::from_iter(old)),
        };
        if self.displaced.len() == MOST_DISPLACED {
            gone.extend(self.forget_displaced(|one| one.is_older));
        }
        if self.displaced.len() == MOST_DISPLACED {
            let first = &self.displaced[0].id.clone();
            gone.extend(self.forget_displaced(|one| one.id == *first));
        }
        self.displaced.push(Displaced {
            id,
            what,
            forms,
            publication,
            is_older: false,
        });
        self.weigh();
        gone
    }

    /// Nothing is newer than the newest.
    pub(super) fn take_displaced(&mut self) -> Vec<Publication> {
        self.forget_displaced(|_| true)
    }

    fn forget_displaced(&mut self, is_over: impl Fn(&Displaced) -> bool) -> Vec<Publication> {
        let displaced = std::mem::take(&mut self.displaced).into_iter();
        let (over, left): (Vec<_>, Vec<_>) = displaced.partition(is_over);
        self.displaced = left;
        over.into_iter().filter_map(|one| one.publication).collect()
    }

    pub(super) fn add_purges(&mut self, purges: Vec<Purge>) {
        for purge in purges {
            let weight = purge.weight();
            if self.purges.insert(purge) {
                self.bytes += weight;
            }
        }
    }

    /// Takes out what is too much for one order: it goes out with the next one, and the purges with both.
    pub(super) fn split_off(&mut self, (entries, bytes): (usize, usize)) -> Option<Self> {
        let mut sum = 0;
        let fitting = self.publications.iter().take(entries).take_while(|publication| {
            sum += publication.message.weight();
            sum <= bytes
        });
        let fitting = fitting.count().max(1);
        if self.publications.len() <= fitting {
            return None;
        }
        Some(Self {
            purges: self.purges.clone(),
            publications: self.publications.split_off(fitting),
            since: self.since,
            ..Self::default()
        })
    }

    pub(super) fn weigh(&mut self) -> usize {
        let displaced = self.displaced.iter().filter_map(|one| one.publication.as_ref());
        let messages = self.publications.iter().chain(displaced);
        let messages = messages.map(|publication| publication.message.weight());
        let purges = self.purges.iter().map(Purge::weight);
        self.bytes = messages.sum::<usize>() + purges.sum::<usize>();
        self.bytes
    }
}
