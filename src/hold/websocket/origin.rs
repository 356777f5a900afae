//! The origin of a connection: one request after the other.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{HeaderMap, HeaderValue};
use http::{Extensions, Method, Request, Response, Uri, Version, request};
use http_body_util::BodyExt;
use uuid::Builder;

use super::input::NoAnswer;
use super::output::Ask;
use super::session::Session;
use crate::below::{Below, call};
use crate::body::EdgeBody;
use crate::error::OriginError;
use crate::grip::ws_events::MAX_EVENTS_BYTES;
use crate::grip::ws_headers::keep_for_requests;
use crate::handoff::SocketEvents;
use crate::hold::layer::Options;
use crate::hold::original::prepare;
use crate::request::who_asks;
use crate::time::Now;

/// How long an answer may take, its body included.
const PATIENCE: Duration = Duration::from_secs(60);

/// What all requests of a connection have in common.
pub(super) struct Origin {
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
    connection_id: HeaderValue,
}

// === impl Origin ===

impl Origin {
    /// Of the client's handshake.
    pub(super) fn of(handshake: &request::Parts) -> Self {
        let mut headers = handshake.headers.clone();
        keep_for_requests(&mut headers);
        let mut extensions = who_asks(&handshake.extensions);
        extensions.insert(SocketEvents);
        Self {
            uri: handshake.uri.clone(),
            headers,
            extensions,
            connection_id: connection_id(),
        }
    }

    /// The request with these events.
    pub(super) fn request(&self, session: &Session, ask: &Ask, options: &Options) -> Request<EdgeBody> {
        let mut request = Request::new(EdgeBody::from(ask.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = self.headers.clone();
        *request.extensions_mut() = self.extensions.clone();
        let headers = request.headers_mut();
        prepare(headers, options, Now::read);
        session.request_fields(ask, &self.connection_id).write(headers);
        request
    }
}

/// Asks. The answer has no more than one byte above what events may have.
pub(super) async fn ask<S: Below>(
    mut service: S,
    request: Request<EdgeBody>,
) -> Result<Response<Bytes>, NoAnswer> {
    let answer = async {
        let response = call(&mut service, request).await;
        let response = response.map_err(|_| NoAnswer::SentWhole)?;
        if let Some(error) = response.extensions().get::<OriginError>() {
            return Err(match error.failure.is_after_asking() {
                true => NoAnswer::SentWhole,
                false => NoAnswer::NotReached,
            });
        }
        let (parts, body) = response.into_parts();
        let mut body = std::pin::pin!(body);
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| NoAnswer::SentWhole)?;
            let Ok(data) = frame.into_data() else { continue };
            let room = MAX_EVENTS_BYTES + 1 - whole.len();
            whole.extend_from_slice(&data[..data.len().min(room)]);
            if whole.len() > MAX_EVENTS_BYTES {
                break;
            }
        }
        Ok(Response::from_parts(parts, whole.freeze()))
    };
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answer) => answer,
        Err(_elapsed) => Err(NoAnswer::SentWhole),
    }
}

/// Whoever knows it could speak for the connection.
fn connection_id() -> HeaderValue {
    let mut random = [0; 16];
    getrandom::fill(&mut random).expect("the system has random bytes");
    let id = Builder::from_random_bytes(random).into_uuid();
    HeaderValue::try_from(id.to_string()).expect("digits and dashes")
}
