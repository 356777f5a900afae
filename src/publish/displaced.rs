//! States that were the newest of their channel, until one came that does not say that it follows them. One that comes later may
//! tell that they are: they are kept for the turn in which they were displaced and, if none of their readers has had them, for
//! the next one.

use std::sync::Arc;

use super::newest::{Forms, forms};
use crate::hub::What;
use crate::order::Publication;

/// Messages of one channel that may be newer than the newest.
const MOST: usize = 32;

/// Those of one channel, the first one first. Nearly always none.
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "each paced channel has one")]
pub(super) struct Displaced(Option<Box<Vec<One>>>);

#[derive(Debug)]
pub(super) struct One {
    pub(super) id: Arc<str>,
    pub(super) what: What,
    pub(super) forms: Forms,
    /// If it waited.
    pub(super) publication: Option<Publication>,
    /// One came that follows it, and is older than another.
    pub(super) is_older: bool,
    /// A turn has begun since.
    pub(super) is_kept: bool,
}

// === impl Displaced ===

impl Displaced {
    /// One more. What is no longer needed.
    pub(super) fn push(&mut self, one: One) -> Vec<Publication> {
        let mut gone = Vec::new();
        if self.all().len() == MOST {
            gone.extend(self.forget(|one| one.is_older));
        }
        let all = self.0.get_or_insert_default();
        if all.len() == MOST {
            gone.extend(all.remove(0).publication);
        }
        all.push(one);
        gone
    }

    /// Whether one of these forms may be newer than the newest.
    pub(super) fn may_be_newest(&self, forms: Forms) -> bool {
        self.all().iter().any(|one| one.forms == forms && !one.is_older)
    }

    /// Those of these forms of which this is true are older than another.
    pub(super) fn mark_older(&mut self, forms: Forms, is_older: impl Fn(&Arc<str>) -> bool) {
        let all = self.0.iter_mut().flat_map(|all| all.iter_mut());
        for one in all.filter(|one| one.forms == forms) {
            one.is_older |= is_older(&one.id);
        }
    }

    /// The last one of these forms.
    pub(super) fn take_last(&mut self, forms: Forms) -> Option<One> {
        let last = self.all().iter().rposition(|one| one.forms == forms)?;
        self.0.as_mut().map(|all| all.remove(last))
    }

    /// These have not gone out after all.
    pub(super) fn bring_back(&mut self, publications: &[Publication]) {
        for one in self.0.iter_mut().flat_map(|all| all.iter_mut()) {
            let is_it = |publication: &&Publication| {
                publication.message.id.as_ref() == Some(&one.id) && forms(&publication.message) == one.forms
            };
            if one.publication.is_none() {
                one.publication = publications.iter().find(is_it).cloned();
            }
        }
    }

    /// A turn begins. What is no longer needed.
    pub(super) fn begin_turn(&mut self) -> Vec<Publication> {
        let gone = self.forget(|one| one.is_kept || one.is_older || one.publication.is_none());
        let all = self.0.iter_mut().flat_map(|all| all.iter_mut());
        all.for_each(|one| one.is_kept = true);
        gone
    }

    pub(super) fn forget(&mut self, is_over: impl Fn(&One) -> bool) -> Vec<Publication> {
        let over = self
            .0
            .iter_mut()
            .flat_map(|all| all.extract_if(.., |one| is_over(one)));
        let over = over.filter_map(|one| one.publication).collect();
        self.0.take_if(|all| all.is_empty());
        over
    }

    /// Bytes of their messages.
    pub(super) fn bytes(&self) -> usize {
        let waiting = self.all().iter().filter_map(|one| one.publication.as_ref());
        waiting.map(|publication| publication.message.weight()).sum()
    }

    fn all(&self) -> &[One] {
        self.0.as_ref().map_or(&[], |all| all)
    }
}
