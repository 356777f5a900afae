//! Instructions while they are read or built: the parts of a hold before it is known whether there is one.

use std::time::Duration;

use super::channel::Channels;
use super::{DEFAULT_TIMEOUT, Hold, HoldMode, Instruct, KeepAlive, MIN_TIMEOUT};

/// Everything that may become an [`Instruct`].
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    pub(super) mode: Option<HoldMode>,
    pub(super) channels: Channels,
    pub(super) timeout: Option<Duration>,
    pub(super) keep_alive: Option<KeepAlive>,
    /// The rest; its hold is empty until the end.
    pub(super) instruct: Instruct,
}

// === impl Draft ===

impl Draft {
    /// Without a mode there is no hold; its channels are kept, its timers are not.
    pub(super) fn finish(self) -> Instruct {
        let Some(mode) = self.mode else {
            return Instruct {
                unheld: self.channels.all,
                ..self.instruct
            };
        };
        Instruct {
            hold: Some(Hold {
                mode,
                channels: self.channels.all,
                timeout: self.timeout.unwrap_or(DEFAULT_TIMEOUT).max(MIN_TIMEOUT),
                keep_alive: self.keep_alive,
            }),
            ..self.instruct
        }
    }

    /// Sets a name of the meta; the last value counts.
    pub(super) fn set_meta(&mut self, name: &str, value: &str) {
        self.instruct.meta.push((name.into(), value.into()));
    }
}
