//! What an answer names: its surrogate keys and its channels.

use std::collections::HashSet;

use http::{HeaderMap, HeaderName};

use crate::message::Channel;
use crate::order::{CHANNEL_KEY, Target, TargetKey};

/// The field that lists surrogate keys, separated by spaces.
pub(super) const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");

/// What an origin says to surrogates alone. Nothing of it is read here.
const SURROGATE_CONTROL: HeaderName = HeaderName::from_static("surrogate-control");

/// Whether this field of a response is for surrogates: clients do not see it.
pub(super) fn is_for_surrogates(name: &HeaderName) -> bool {
    *name == SURROGATE_KEY || *name == SURROGATE_CONTROL
}

/// Removes what is for surrogates.
pub(super) fn strip(headers: &mut HeaderMap) {
    headers.remove(SURROGATE_KEY);
    headers.remove(SURROGATE_CONTROL);
}

/// Longest key, in bytes.
const MAX_KEY: usize = 1_024;
/// Longest list, in bytes. The key that crosses it and all after it are ignored.
const MAX_LIST: usize = 16_384;

/// The surrogate keys of an answer.
#[derive(Debug, Default)]
pub(super) struct Tags {
    pub(super) keys: Vec<TargetKey>,
    /// Those, as they are written, separated by spaces.
    pub(super) text: String,
    /// Keys of the form `ch:<channel>` make the channel one of the URL's.
    pub(super) channels: Vec<Channel>,
    /// The list was longer than is read.
    pub(super) truncated: bool,
    /// Among what is not read are channels.
    pub(super) more_channels: bool,
}

impl Tags {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut tags = Self::default();
        let mut read = 0;
        let lines = headers.get_all(SURROGATE_KEY).iter();
        let keys = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b' '));
        for key in keys.filter(|key| !key.is_empty()) {
            read += key.len() + 1;
            tags.truncated |= read > MAX_LIST || key.len() > MAX_KEY;
            if tags.truncated {
                tags.more_channels |= key.starts_with(CHANNEL_KEY.as_bytes());
                continue;
            }
            let Ok(key) = std::str::from_utf8(key) else {
                continue;
            };
            tags.add(key);
        }
        tags
    }

    /// These, and those of another list, as far as there is room.
    pub(super) fn and(mut self, others: &str) -> Self {
        let known: HashSet<TargetKey> = self.keys.iter().copied().collect();
        for key in others.split(' ').filter(|key| !key.is_empty()) {
            if self.text.len() + key.len() < MAX_LIST
                && !known.contains(&TargetKey::of(&Target::Key(key.into())))
            {
                self.add(key);
            }
        }
        self
    }

    fn add(&mut self, key: &str) {
        self.keys.push(TargetKey::of(&Target::Key(key.into())));
        if let Some(channel) = key
            .strip_prefix(CHANNEL_KEY)
            .and_then(|name| Channel::new(name).ok())
        {
            self.channels.push(channel);
        }
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        self.text.push_str(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[String]) -> HeaderMap {
        lines
            .iter()
            .map(|line| (SURROGATE_KEY, line.parse().expect("a valid value")))
            .collect()
    }

    #[test]
    fn pur_11_the_crossing_key_and_the_rest_are_ignored() {
        let list: Vec<String> = (0..20).map(|n| format!("{n:0>999}")).collect();
        let tags = Tags::of(&headers(&[list.join(" ")]));
        assert!(tags.truncated);
        assert_eq!(tags.keys.len(), 16);
        let tags = Tags::of(&headers(&["a b".into(), "x".repeat(1_025), "c".into()]));
        assert_eq!((tags.keys.len(), tags.truncated), (2, true));
        assert!(!tags.more_channels);
        let tags = Tags::of(&headers(&["x".repeat(1_025), "ch:c".into()]));
        assert!(tags.more_channels && tags.channels.is_empty());
    }

    #[test]
    fn a_key_can_name_a_channel() {
        let tags = Tags::of(&headers(&["a ch:updates  b".into()]));
        assert_eq!(tags.channels, [Channel::new("updates").expect("valid")]);
        assert_eq!((tags.keys.len(), &*tags.text), (3, "a ch:updates b"));
    }
}
