//! What an answer of the origin says.

use bytes::Bytes;
use http::header::HeaderMap;
use http::{Response, StatusCode};

use super::end::SocketEnd;
use super::output::Refusal;
use crate::grip::ws_events::{Event, Limits, decode};
use crate::grip::ws_headers::{Answer, is_events_type, keep_for_client, strip_for_edge};
use crate::hop_by_hop;

/// So much of an answer that refuses a client reaches it. As the reference proxy has it.
const MAX_REFUSAL_BYTES: usize = 100_000;

/// What an answer says.
pub(super) struct Said {
    pub(super) fields: Answer,
    pub(super) events: Vec<Event>,
}

/// Whether it is one of events. Any other is an answer for a client that is not connected yet.
pub(super) fn has_events(response: &Response<Bytes>) -> bool {
    response.status() == StatusCode::OK && is_events_type(response.headers())
}

/// Reads an answer whole, or not at all.
pub(super) fn read(response: &Response<Bytes>) -> Result<Said, SocketEnd> {
    if !has_events(response) {
        return Err(SocketEnd::NoEvents);
    }
    let fields = Answer::from_headers(response.headers()).map_err(|_| SocketEnd::Fields)?;
    let events = decode(response.body(), Limits::default()).map_err(|_| SocketEnd::Events)?;
    Ok(Said { fields, events })
}

/// What a client gets of an answer that does not connect it.
pub(super) fn refusal(mut response: Response<Bytes>) -> Refusal {
    // It would go on where there is nothing that goes on.
    if response.status().is_informational() {
        return Refusal::Failed(SocketEnd::NoEvents);
    }
    let headers = response.headers_mut();
    strip_for_edge(headers);
    hop_by_hop::remove(headers);
    headers.remove(http::header::CONTENT_LENGTH);
    headers.remove(http::header::TRAILER);
    response.body_mut().truncate(MAX_REFUSAL_BYTES);
    Refusal::Answer(response)
}

/// The fields of a 101.
pub(super) fn handshake(mut headers: HeaderMap) -> Box<HeaderMap> {
    keep_for_client(&mut headers);
    Box::new(headers)
}
