//! Kinds of WebSocket messages in JSON: their names, and what fits in each.

use std::str;

use super::FieldError;
use super::fields::Object;
use super::ws_close::MAX_CONTROL_BYTES;
use crate::message::SocketKind;

/// As GRIP spells it.
pub(super) const fn name(kind: SocketKind) -> &'static str {
    match kind {
        SocketKind::Text => "text",
        SocketKind::Binary => "binary",
        SocketKind::Ping => "ping",
        SocketKind::Pong => "pong",
    }
}

/// The kind that a field names, if the object has that field.
pub(super) fn take(object: &mut Object, field: &str) -> Result<Option<SocketKind>, FieldError> {
    Ok(Some(match object.string(field)?.as_deref() {
        None => return Ok(None),
        Some("text") => SocketKind::Text,
        Some("binary") => SocketKind::Binary,
        Some("ping") => SocketKind::Ping,
        Some("pong") => SocketKind::Pong,
        Some(_) => return Err(object.invalid(field)),
    }))
}

/// Whether it is one of a single, short frame, which may be without content.
pub(super) const fn is_control(kind: SocketKind) -> bool {
    matches!(kind, SocketKind::Ping | SocketKind::Pong)
}

/// Whether a message of this kind may have this content. Text that is not UTF-8 (RFC 6455 5.6) or a long control frame
/// would cost the client its connection.
pub(super) fn fits(kind: SocketKind, content: &[u8]) -> bool {
    match kind {
        SocketKind::Text => str::from_utf8(content).is_ok(),
        SocketKind::Binary => true,
        SocketKind::Ping | SocketKind::Pong => content.len() <= MAX_CONTROL_BYTES,
    }
}
