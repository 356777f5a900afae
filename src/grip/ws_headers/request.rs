//! Fields of the requests to the origin.

use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderMap, HeaderValue,
    SEC_WEBSOCKET_EXTENSIONS,
};

use super::Meta;
use super::names::{self, CONNECTION_ID, CONTENT_BYTES_REPLAYED, META};
use crate::grip::ws_events::EVENTS_TYPE;
use crate::hop_by_hop;

/// What one request says beside its events.
#[derive(Clone, Copy, Debug)]
pub struct RequestFields<'a> {
    /// Names the connection, for all its life. A random UUID: who knows it could speak for the connection.
    pub connection_id: &'a HeaderValue,
    /// What the origin had the edge remember.
    pub meta: &'a Meta,
    /// Bytes of the body. Said even of an empty one, by which an origin is asked for events.
    pub body_bytes: usize,
    /// Bytes of content that the origin was offered before; not said where there are none.
    pub replayed: usize,
}

/// Leaves of the fields of a client's handshake what each request for its connection has: who asks and what for
/// (`Cookie`, `Origin`, `Sec-WebSocket-Key`, `Sec-WebSocket-Protocol`, ...).
///
/// What goes: fields of its own connection, `Grip-*`, all of which [`RequestFields`] and the layers say (in any spelling),
/// and what is about a body, for the body is the edge's. So a client cannot speak as the edge.
pub fn keep_for_requests(headers: &mut HeaderMap) {
    hop_by_hop::remove(headers);
    names::remove_where(headers, |name| {
        [ACCEPT, ACCEPT_ENCODING, EXPECT].contains(name)
            || hop_by_hop::is_framing(name)
            || names::reads_as(name, CONNECTION_ID.as_str())
            || names::reads_as(name, SEC_WEBSOCKET_EXTENSIONS.as_str())
            || ["content-", "grip-", META]
                .iter()
                .any(|beginning| names::begins_as(name, beginning))
    });
}

// === impl RequestFields ===

impl RequestFields<'_> {
    /// Adds them to what [`keep_for_requests`] left.
    pub fn write(&self, headers: &mut HeaderMap) {
        let events = HeaderValue::from_static(EVENTS_TYPE);
        headers.insert(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static("grip"));
        headers.insert(ACCEPT, events.clone());
        headers.insert(CONNECTION_ID, self.connection_id.clone());
        headers.insert(CONTENT_TYPE, events);
        headers.insert(CONTENT_LENGTH, self.body_bytes.into());
        if self.replayed > 0 {
            headers.insert(CONTENT_BYTES_REPLAYED, self.replayed.into());
        }
        self.meta.write(headers);
    }
}
