//! Which channels are paced, and how.

use std::time::Duration;

use crate::grip::ItemPolicy;
use crate::message::Channel;
use crate::order::{PurgeMode, Target};

/// How a channel is paced.
pub type Policy = ItemPolicy;

/// What a [`Publisher`](super::Publisher) does with which channel.
///
/// ```
/// use std::time::Duration;
///
/// use gripstack::publish::{PublishConfig, Rule};
/// use gripstack::{PurgeMode, Target};
///
/// let config = PublishConfig::new()
///     // States: ten times a second at most, and the last one always.
///     .channels("counter-", Rule::latest().interval(Duration::from_millis(100)))
///     // Each message of this channel also purges what carries the key.
///     .channels("news", Rule::all().purge(Target::key("front-page")))
///     .purge_mode(PurgeMode::SoftBlock);
/// # let _ = config;
/// ```
#[derive(Clone, Debug)]
pub struct PublishConfig {
    all: Rule,
    /// Longest prefix first.
    by_prefix: Vec<(Box<str>, Rule)>,
    pub(super) purge_mode: PurgeMode,
    pub(super) max_channels: usize,
    pub(super) max_pending_bytes: usize,
    pub(super) respond_async: bool,
}

/// What is done with the messages of a channel.
#[derive(Clone, Debug)]
pub struct Rule {
    pub(super) policy: Policy,
    pub(super) interval: Duration,
    pub(super) purges: Vec<Target>,
}

// === impl PublishConfig ===

impl Default for PublishConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl PublishConfig {
    /// Every message of every channel at once.
    pub fn new() -> Self {
        Self {
            all: Rule::all(),
            by_prefix: Vec::new(),
            purge_mode: PurgeMode::Hard,
            max_channels: 100_000,
            max_pending_bytes: 64 << 20,
            respond_async: false,
        }
    }

    /// The rule of channels for which there is no other.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.all = rule;
        self
    }

    /// The rule of channels whose names begin so. The longest prefix wins.
    #[must_use]
    pub fn channels(mut self, prefix: &str, rule: Rule) -> Self {
        self.by_prefix.retain(|(known, _)| **known != *prefix);
        self.by_prefix.push((prefix.into(), rule));
        self.by_prefix
            .sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        self
    }

    /// What the purges of items and rules mean. Default [`PurgeMode::Hard`]; with [`PurgeMode::SoftBlock`] the
    /// last good copy survives a change just before an outage.
    #[must_use]
    pub fn purge_mode(mut self, mode: PurgeMode) -> Self {
        self.purge_mode = mode;
        self
    }

    /// Channels that are paced at one time: each for its interval after a message. Default 100,000. Beyond it
    /// publishes to other paced channels are refused (429).
    #[must_use]
    pub fn max_channels(mut self, channels: usize) -> Self {
        self.max_channels = channels;
        self
    }

    /// Bytes of orders that wait for their turn, and of the channels that are paced at one time, 640 each. Default 64 MiB.
    /// Beyond it publishes to paced channels are refused (429); what waits is never dropped for it.
    #[must_use]
    pub fn max_pending_bytes(mut self, bytes: usize) -> Self {
        self.max_pending_bytes = bytes;
        self
    }

    /// Whether the endpoint answers 202 at once where a message waits for the one that it names as its predecessor, as
    /// it does to each request with `Prefer: respond-async` (RFC 7240 4.1). Default no: it answers when the message has
    /// gone out, in 5 s at the latest.
    #[must_use]
    pub fn respond_async(mut self, respond_async: bool) -> Self {
        self.respond_async = respond_async;
        self
    }

    pub(super) fn rule_for(&self, channel: &Channel) -> &Rule {
        let mut rules = self.by_prefix.iter();
        rules
            .find(|(prefix, _)| channel.as_str().starts_with(&**prefix))
            .map_or(&self.all, |(_, rule)| rule)
    }
}

// === impl Rule ===

impl Rule {
    /// Every message matters: all at once and in order.
    pub fn all() -> Self {
        Self {
            policy: Policy::All,
            interval: Duration::from_secs(1),
            purges: Vec::new(),
        }
    }

    /// Only the last message matters: at most one per interval, the last one always.
    pub fn latest() -> Self {
        Self {
            policy: Policy::Latest,
            ..Self::all()
        }
    }

    /// Shortest time between two messages of a `latest` channel, also when an item asks for that policy. Default
    /// 1 s. With zero each is sent at once, one after the other.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Each message purges this, too, in its order.
    #[must_use]
    pub fn purge(mut self, target: Target) -> Self {
        self.purges.push(target);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_wins() {
        let ms = Duration::from_millis;
        let config = PublishConfig::new()
            .rule(Rule::latest().interval(ms(1)))
            .channels("a", Rule::latest().interval(ms(2)))
            .channels("abc", Rule::all())
            .channels("ab", Rule::latest().interval(ms(3)))
            .channels("a", Rule::latest().interval(ms(4)));
        let rule = |name: &str| {
            let rule = config.rule_for(&Channel::new(name).expect("a good name"));
            (rule.policy, rule.interval)
        };
        assert_eq!(rule("b"), (Policy::Latest, ms(1)));
        assert_eq!(rule("a"), (Policy::Latest, ms(4)));
        assert_eq!(rule("abd"), (Policy::Latest, ms(3)));
        assert_eq!(rule("abcd").0, Policy::All);
    }
}
