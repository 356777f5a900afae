//! What a session wants done.

use bytes::Bytes;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use super::end::SocketEnd;
use crate::error::ERROR_HEADER;
use crate::grip::CloseFrame;
use crate::message::{Channel, SocketKind};

/// What is to be done next.
///
/// Of one client, in this order: `Accept` or `Refuse`; then `Send`, `Join` and `Leave`; at most one `Close`; one `Cut`.
/// `Ask` comes at any time, also after `Cut`.
#[derive(Debug)]
pub(crate) enum Output {
    /// Ask the origin. What comes of it is told with [`Session::answered`](super::Session::answered).
    Ask(Ask),
    /// Complete the client's handshake, with these fields (`Sec-WebSocket-Protocol` is one of them).
    Accept(Box<HeaderMap>),
    /// Answer the client's handshake with something else.
    Refuse(Box<Refusal>),
    /// Send the client a message.
    Send(SocketKind, Bytes),
    /// Send the client a close frame.
    Close(CloseFrame),
    /// End the client's connection and its subscription, once what was sent before is written.
    Cut(SocketEnd),
    /// Read this channel, from the stamp that was taken before the last request left; if it is read already, with these
    /// filters from here on.
    Join {
        /// As publishers call it.
        channel: Channel,
        /// Names of filters, in order, known or not.
        filters: Vec<Box<str>>,
    },
    /// Read this channel no longer.
    Leave(Channel),
}

/// A request for the origin. Its fields: [`Session::request_fields`](super::Session::request_fields).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    /// What it is for.
    pub kind: AskKind,
    /// Its events.
    pub body: Bytes,
    /// How many there are.
    pub events: usize,
    /// Bytes of content.
    pub content_bytes: usize,
    /// Bytes of content that the origin was offered before.
    pub replayed: usize,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AskKind {
    /// What the client said.
    Events,
    /// Nothing was said for so long as the origin wants to be told. May offer again what it did not accept.
    KeepAlive,
    /// The application wants to be asked. May offer again what was not accepted.
    Refresh,
    /// The client wants to connect. Never repeated by the session; where the origin is not reached others may be tried.
    Open,
    /// The last one, with `CLOSE` or `DISCONNECT` at its end. Nobody waits for the answer.
    Last,
}

/// Why a client is not connected.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The origin said something else, which the client gets.
    Answer(Response<Bytes>),
    /// There is no answer that makes sense.
    Failed(SocketEnd),
}

// === impl Refusal ===

impl Refusal {
    /// What the client gets. Over HTTP/2 a 2xx would open the connection: there it has to be another one.
    pub(crate) fn into_response(self) -> Response<Bytes> {
        let end = match self {
            Self::Answer(response) => return response,
            Self::Failed(end) => end,
        };
        let mut response = Response::new(Bytes::from_static(b"Error while proxying to origin.\n"));
        *response.status_mut() = end.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        headers.insert(ERROR_HEADER, HeaderValue::from_static(end.as_str()));
        response
    }
}
