//! What an origin has the edge remember of a connection.

use std::collections::HashMap;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::names::{META, SET_META};

/// Most names of one connection.
pub const MAX_META: usize = 100;

/// Most bytes of one connection's names and values. As much is in each of its requests.
pub const MAX_META_BYTES: usize = 32 << 10;

/// What an origin has the edge remember of one connection: `Set-Meta-User: bob` in an answer becomes `Meta-User: bob` in
/// each request after it, until an empty value takes it away. Names have no case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// By the names that they have in requests, each once.
    fields: Vec<(HeaderName, HeaderValue)>,
}

/// Why an origin asks the edge to remember too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetaError {
    /// More than [`MAX_META`] names.
    #[error("more than {MAX_META} names in Set-Meta-* fields")]
    TooMany,
    /// More than [`MAX_META_BYTES`].
    #[error("more than {MAX_META_BYTES} bytes in Set-Meta-* fields")]
    TooLarge,
}

// === impl Meta ===

impl Meta {
    /// Remembers what an answer says. Of several values of a name the last one counts.
    ///
    /// # Errors
    ///
    /// When it would be too much. Nothing has changed then.
    pub fn apply(&mut self, answer: &HeaderMap) -> Result<(), MetaError> {
        let said = |name| Some((remembered(name)?, answer.get_all(name).iter().next_back()?));
        let said: HashMap<_, _> = answer.keys().filter_map(said).collect();
        if said.is_empty() {
            return Ok(());
        }
        let mut fields = self.fields.clone();
        fields.retain(|(known, _)| !said.contains_key(known));
        // What goes makes room for what comes.
        let come = answer.keys().filter_map(remembered);
        let come = come.filter_map(|name| said.get(&name).map(|value| (name, (*value).clone())));
        fields.extend(come.filter(|(_, value)| !value.is_empty()));
        if fields.len() > MAX_META {
            return Err(MetaError::TooMany);
        }
        let bytes = fields
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len());
        if bytes.sum::<usize>() > MAX_META_BYTES {
            return Err(MetaError::TooLarge);
        }
        self.fields = fields;
        Ok(())
    }

    /// Adds `Meta-*` to a request, in place of what it has of these names.
    pub fn write(&self, request: &mut HeaderMap) {
        for (name, value) in &self.fields {
            request.insert(name, value.clone());
        }
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

/// `meta-user` of `set-meta-user`. Without a name there is nothing to remember.
fn remembered(name: &HeaderName) -> Option<HeaderName> {
    let rest = name.as_str().strip_prefix(SET_META)?;
    if rest.is_empty() {
        return None;
    }
    HeaderName::from_bytes(format!("{META}{rest}").as_bytes()).ok()
}
