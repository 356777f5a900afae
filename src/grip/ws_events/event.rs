//! One event.

use bytes::{Buf, Bytes};

use crate::grip::CloseFrame;
use crate::message::SocketKind;

/// What happened on one side, told to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The connection is to be opened, or is.
    Open,
    /// A text message. UTF-8, but for what is left of one that an origin [accepted in part](super::drop_accepted).
    Text(Bytes),
    /// A message of bytes.
    Binary(Bytes),
    /// A ping. At most 125 bytes.
    Ping(Bytes),
    /// A pong. At most 125 bytes.
    Pong(Bytes),
    /// A close frame; without one that says more it means 1000.
    Close(Option<CloseFrame>),
    /// The connection ended without a close frame.
    Disconnect,
}

// === impl Event ===

impl Event {
    /// A message of this kind.
    pub fn message(kind: SocketKind, content: Bytes) -> Self {
        match kind {
            SocketKind::Text => Self::Text(content),
            SocketKind::Binary => Self::Binary(content),
            SocketKind::Ping => Self::Ping(content),
            SocketKind::Pong => Self::Pong(content),
        }
    }

    /// Its kind and content, if it is a message.
    pub fn as_message(&self) -> Option<(SocketKind, &Bytes)> {
        match self {
            Self::Text(content) => Some((SocketKind::Text, content)),
            Self::Binary(content) => Some((SocketKind::Binary, content)),
            Self::Ping(content) => Some((SocketKind::Ping, content)),
            Self::Pong(content) => Some((SocketKind::Pong, content)),
            Self::Open | Self::Close(_) | Self::Disconnect => None,
        }
    }

    /// Bytes of its content.
    pub fn content_bytes(&self) -> usize {
        match self {
            Self::Text(content) | Self::Binary(content) | Self::Ping(content) | Self::Pong(content) => {
                content.len()
            }
            Self::Close(frame) => frame.as_ref().map_or(0, CloseFrame::payload_bytes),
            Self::Open | Self::Disconnect => 0,
        }
    }

    /// As the protocol spells its type.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Text(_) => "TEXT",
            Self::Binary(_) => "BINARY",
            Self::Ping(_) => "PING",
            Self::Pong(_) => "PONG",
            Self::Close(_) => "CLOSE",
            Self::Disconnect => "DISCONNECT",
        }
    }

    /// Leaves of a message what follows its first bytes, of which it has more. Nothing else has parts.
    pub(super) fn skip_content(&mut self, bytes: usize) {
        if let Self::Text(content) | Self::Binary(content) | Self::Ping(content) | Self::Pong(content) = self
        {
            content.advance(bytes);
        }
    }
}
