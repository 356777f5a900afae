//! The handshake of a client (RFC 6455 4.2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Method, Response, StatusCode, Version, request};
use sha1::{Digest, Sha1};

use crate::body::EdgeBody;
use crate::error::ERROR_HEADER;
use crate::request::wanted_upgrade;

/// What is appended to a client's key (RFC 6455 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Why a handshake is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandshakeError {
    /// It has no key, or more than one, or one that is not that of 16 bytes.
    Key,
    /// It is of another version than 13.
    Version,
}

/// Whether this request asks for a WebSocket, and for nothing else.
pub(in crate::hold) fn is_asked_for<B>(request: &http::Request<B>) -> bool {
    *request.method() == Method::GET
        && wanted_upgrade(request.version(), request.headers()).is_some_and(|protocols| {
            protocols
                .as_bytes()
                .trim_ascii()
                .eq_ignore_ascii_case(b"websocket")
        })
}

/// What a client's key is answered with.
pub(super) fn accept_key(request: &request::Parts) -> Result<HeaderValue, HandshakeError> {
    debug_assert_eq!(request.version, Version::HTTP_11);
    let only = |name| {
        let mut values = request.headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none())
    };
    if only(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(HandshakeError::Version);
    }
    let key = only(SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24 && key.as_bytes().ends_with(b"=="));
    let key = key.ok_or(HandshakeError::Key)?;
    let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    Ok(HeaderValue::try_from(STANDARD.encode(hash)).expect("it is base64"))
}

/// The answer that opens the connection.
pub(super) fn accept(key: HeaderValue, mut headers: HeaderMap) -> Response<EdgeBody> {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, key);
    let mut response = Response::new(EdgeBody::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = headers;
    response
}

/// The answer of a server that cannot hand over the client's connection.
pub(super) fn unsupported() -> Response<EdgeBody> {
    let text = "This server cannot open WebSockets\n";
    refused(StatusCode::NOT_IMPLEMENTED, "websocket-unsupported", text)
}

fn refused(status: StatusCode, reason: &'static str, text: &'static str) -> Response<EdgeBody> {
    let mut response = Response::new(EdgeBody::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(ERROR_HEADER, HeaderValue::from_static(reason));
    response
}

// === impl HandshakeError ===

impl HandshakeError {
    pub(super) fn into_response(self) -> Response<EdgeBody> {
        let (status, reason, text) = match self {
            Self::Key => (
                StatusCode::BAD_REQUEST,
                "websocket-key",
                "Sec-WebSocket-Key is not the base64 of 16 bytes\n",
            ),
            Self::Version => (
                StatusCode::UPGRADE_REQUIRED,
                "websocket-version",
                "Sec-WebSocket-Version has to be 13\n",
            ),
        };
        let mut response = refused(status, reason, text);
        if self == Self::Version {
            let headers = response.headers_mut();
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        }
        response
    }
}
