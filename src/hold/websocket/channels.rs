//! The channels that a client reads.

use crate::message::Channel;

/// Most channels of one connection, implicit ones included. As the reference proxy has it.
pub(super) const MAX_CHANNELS: usize = 20;

/// The channels that a client reads, as publishers call them.
#[derive(Debug, Default)]
pub(super) struct Channels(Vec<Channel>);

// === impl Channels ===

impl Channels {
    /// Whether it is read from here on.
    pub(super) fn join(&mut self, channel: &Channel) -> bool {
        if self.0.contains(channel) {
            return true;
        }
        let has_room = self.0.len() < MAX_CHANNELS;
        if has_room {
            self.0.push(channel.clone());
        }
        has_room
    }

    /// Whether it was read until now.
    pub(super) fn leave(&mut self, channel: &Channel) -> bool {
        let place = self.0.iter().position(|other| other == channel);
        place.map(|place| self.0.swap_remove(place)).is_some()
    }
}

/// An origin's channel as publishers call it; `None` where that is no name.
pub(super) fn published_name(prefix: &str, channel: &Channel) -> Option<Channel> {
    if prefix.is_empty() {
        return Some(channel.clone());
    }
    Channel::new(&format!("{prefix}{channel}")).ok()
}
