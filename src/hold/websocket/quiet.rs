//! What a client is sent because time goes by: keep-alives, and the message that waits.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::grip::KeepAliveMode;
use crate::grip::ws_control::{DelayedMessage, SocketKeepAlive};
use crate::message::SocketKind;
use crate::time::after;

/// Keep-alives go out earlier than asked by at most this, at random: a message that reaches many clients at once
/// starts all their clocks together.
const MOST_JITTER: Duration = Duration::from_secs(1);

/// A message for the client.
pub(super) type Said = (SocketKind, Bytes);

/// What a client is sent because time goes by. Most connections want nothing of this.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    keep_alive: Option<KeepAlive>,
    /// There is one place.
    delayed: Option<(Said, Instant)>,
}

#[derive(Debug)]
struct KeepAlive {
    asked: SocketKeepAlive,
    earlier: Duration,
    since: Instant,
}

// === impl Quiet ===

impl Quiet {
    /// Sends this in silence from now on, or nothing.
    pub(super) fn keep_alive(&mut self, asked: Option<SocketKeepAlive>, now: Instant) {
        self.keep_alive = asked.map(|asked| KeepAlive {
            earlier: MOST_JITTER.min(asked.timeout / 4).mul_f64(fastrand::f64()),
            asked,
            since: now,
        });
    }

    /// Lets a message wait. The one that did so before.
    pub(super) fn delay(&mut self, message: DelayedMessage, now: Instant) -> Option<Said> {
        let at = after(now, message.timeout);
        let before = self.delayed.replace(((message.kind, message.content), at));
        before.map(|(said, _)| said)
    }

    /// The message that waited.
    pub(super) fn flush(&mut self) -> Option<Said> {
        self.delayed.take().map(|(said, _)| said)
    }

    /// Something was sent.
    pub(super) fn sent(&mut self, now: Instant) {
        if let Some(keep_alive) = &mut self.keep_alive
            && keep_alive.asked.mode == KeepAliveMode::Idle
        {
            keep_alive.since = now;
        }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        let keep_alive = self.keep_alive.as_ref().map(KeepAlive::due);
        let delayed = self.delayed.as_ref().map(|(_, at)| *at);
        keep_alive.into_iter().chain(delayed).min()
    }

    /// What it is time for, one after the other. The message that waited comes first: it may make the other needless.
    pub(super) fn take(&mut self, now: Instant) -> Option<Said> {
        if let Some((said, _)) = self.delayed.take_if(|(_, at)| *at <= now) {
            return Some(said);
        }
        let keep_alive = self
            .keep_alive
            .as_mut()
            .filter(|keep_alive| keep_alive.due() <= now)?;
        keep_alive.since = now;
        Some((keep_alive.asked.kind, keep_alive.asked.content.clone()))
    }

    /// Whether there is nothing to wait for.
    pub(super) fn is_idle(&self) -> bool {
        self.keep_alive.is_none() && self.delayed.is_none()
    }
}

// === impl KeepAlive ===

impl KeepAlive {
    fn due(&self) -> Instant {
        after(self.since, self.asked.timeout.saturating_sub(self.earlier))
    }
}
