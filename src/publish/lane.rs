//! One channel of the pacer: what is known of its states, and what of them waits.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::displaced::{Displaced, One};
use super::newest::{Age, Chains, Forms, forms};
use super::pacer::Due;
use crate::hub::What;
use crate::message::Message;
use crate::order::{OrderId, Publication, Purge};

/// One channel.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) phase: Phase,
    pub(super) interval: Duration,
    /// Most have none.
    pub(super) pending: Option<Box<Pending>>,
    pub(super) chains: Chains,
    /// What may be newer than the newest.
    pub(super) displaced: Displaced,
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
    pub(super) bytes: usize,
}

// === impl Lane ===

impl Lane {
    /// A message comes. What is no longer needed.
    pub(super) fn note(&mut self, message: &Message, version: Option<u64>) -> (Age, Vec<Publication>) {
        let forms = forms(message);
        let chain = self.chains.of(message);
        let age = chain.note(message, version, self.displaced.may_be_newest(forms));
        chain.follow(message);
        let prev_id = message.predecessor();
        let is_anew = matches!(age, Age::Anew);
        self.displaced
            .mark_older(forms, |id| Some(id) == prev_id || is_anew);
        let gone = match age {
            Age::Between => self.restore(message),
            _ => Vec::new(),
        };
        (age, gone)
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
        gone.extend(self.displaced.push(One {
            id,
            what,
            forms,
            publication,
            is_older: false,
            is_kept: false,
        }));
        gone
    }

    /// The newest is older than what it displaced last: that has its place again. What is no longer needed.
    fn restore(&mut self, like: &Message) -> Vec<Publication> {
        let forms = forms(like);
        let mut gone = self.displaced.forget(|one| one.forms == forms && one.is_older);
        if let Some(One {
            id,
            what,
            publication,
            ..
        }) = self.displaced.take_last(forms)
        {
            let older = self.chains.of(like).restore(id, what);
            let waiting = self.pending.iter().flat_map(|pending| &pending.publications);
            let place = { waiting }
                .position(|waiting| waiting.message.id == older && self::forms(&waiting.message) == forms);
            let pending = self.pending.get_or_insert_default();
            // It is another order.
            pending.id = None;
            gone.extend(match (place, publication) {
                (Some(place), Some(newer)) => {
                    Some(std::mem::replace(&mut pending.publications[place], newer))
                }
                // It has gone out.
                (Some(place), None) => Some(pending.publications.remove(place)),
                // The other one has.
                (None, Some(newer)) => pending.add(newer),
                (None, None) => None,
            });
            pending.weigh();
        }
        self.pending
            .take_if(|pending| pending.bytes == 0 && pending.publications.is_empty());
        gone
    }

    /// Bytes of all that waits, or may have to.
    pub(super) fn bytes(&self) -> usize {
        self.pending.as_ref().map_or(0, |pending| pending.bytes) + self.displaced.bytes()
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
        let messages = self.publications.iter();
        let messages = messages.map(|publication| publication.message.weight());
        let purges = self.purges.iter().map(Purge::weight);
        self.bytes = messages.sum::<usize>() + purges.sum::<usize>();
        self.bytes
    }
}
