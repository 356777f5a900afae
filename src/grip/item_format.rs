//! The formats of an item: what it does to each kind of hold.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;

use super::fields::Object;
use super::ws_close::{self, MAX_REASON_BYTES};
use super::{FieldError, ws_kind};
use crate::message::{Message, PushedResponse, ResponseForm, SocketForm, SocketKind, StreamForm};

/// The names of the formats.
pub(super) const NAMES: [&str; 3] = ["http-response", "http-stream", "ws-message"];

enum Action {
    Send,
    Hint,
    Close,
    Refresh,
}

/// Reads the formats that this object has. An action that does nothing to a kind of hold leaves no form for it.
pub(super) fn read(formats: &mut Object, message: &mut Message) -> Result<(), FieldError> {
    if let Some(value) = formats.take("http-response") {
        message.response = response(Object::new("'http-response'", value)?)?;
    }
    if let Some(value) = formats.take("http-stream") {
        message.stream = stream(Object::new("'http-stream'", value)?)?;
    }
    if let Some(value) = formats.take("ws-message") {
        message.socket = socket(Object::new("'ws-message'", value)?)?;
    }
    Ok(())
}

fn response(mut format: Object) -> Result<Option<ResponseForm>, FieldError> {
    match action(&mut format)? {
        Action::Send => {}
        Action::Hint => return Ok(Some(ResponseForm::Hint)),
        Action::Close | Action::Refresh => return Ok(None),
    }
    let status = format.status("code")?.unwrap_or(StatusCode::OK);
    // A message has no place for a phrase: HTTP/2 has none, and HTTP/1.1 writes the standard one.
    format.string("reason")?;
    let headers = format.headers("headers")?;
    let body = match content(&mut format, "body-bin", "body")? {
        Some((bytes, _)) => bytes,
        None if format.has("body-patch") => return Err(format.unsupported("body-patch")),
        None => {
            return Err(FieldError::new(
                "'http-response' does not contain 'body', 'body-bin', or 'body-patch'",
            ));
        }
    };
    Ok(Some(ResponseForm::Send(Box::new(PushedResponse {
        status,
        headers,
        body,
    }))))
}

fn stream(mut format: Object) -> Result<Option<StreamForm>, FieldError> {
    match action(&mut format)? {
        Action::Send => {}
        Action::Hint => return Ok(Some(StreamForm::Hint)),
        Action::Close => return Ok(Some(StreamForm::Close)),
        Action::Refresh => return Ok(None),
    }
    match content(&mut format, "content-bin", "content")? {
        Some((bytes, _)) => Ok(Some(StreamForm::Send(bytes))),
        None => Err(FieldError::new(
            "'http-stream' does not contain 'content' or 'content-bin'",
        )),
    }
}

fn socket(mut format: Object) -> Result<Option<SocketForm>, FieldError> {
    match action(&mut format)? {
        Action::Send => {}
        Action::Hint => return Ok(None),
        Action::Close => return close(format).map(Some),
        Action::Refresh => return Ok(Some(SocketForm::Refresh)),
    }
    let kind = ws_kind::take(&mut format, "type")?;
    let (bytes, field) = match content(&mut format, "content-bin", "content")? {
        Some(content) => content,
        None if kind.is_some_and(ws_kind::is_control) => (Bytes::new(), "content"),
        None => {
            return Err(FieldError::new(
                "'ws-message' does not contain 'content' or 'content-bin'",
            ));
        }
    };
    let kind = kind.unwrap_or(match field {
        "content-bin" => SocketKind::Binary,
        _ => SocketKind::Text,
    });
    if ws_kind::fits(kind, &bytes) {
        Ok(Some(SocketForm::Send(kind, bytes)))
    } else {
        Err(format.invalid(field))
    }
}

fn close(mut format: Object) -> Result<SocketForm, FieldError> {
    let code = match format.int("code")? {
        // Client libraries send 0 where none is given.
        None | Some(0) => None,
        Some(code) => match u16::try_from(code) {
            Ok(code) if ws_close::may_be_sent(code) => Some(code),
            _ => return Err(format.invalid("code")),
        },
    };
    let reason = format.string("reason")?.unwrap_or_default();
    if reason.len() > MAX_REASON_BYTES {
        return Err(format.invalid("reason"));
    }
    let reason = Arc::from(reason);
    Ok(SocketForm::Close { code, reason })
}

fn action(format: &mut Object) -> Result<Action, FieldError> {
    let action = match format.string("action")?.as_deref() {
        None | Some("send") => Action::Send,
        Some("hint") => Action::Hint,
        Some("close") => Action::Close,
        Some("refresh") => Action::Refresh,
        Some(_) => return Err(format.invalid("action")),
    };
    // Such content is a template. Sent as it is, it would show what a filter is there to fill in.
    if format
        .strings("content-filters")?
        .is_some_and(|filters| !filters.is_empty())
    {
        return Err(format.unsupported("content-filters"));
    }
    Ok(action)
}

/// The content and the field that it was in; the binary one wins.
pub(super) fn content(
    format: &mut Object,
    bin: &'static str,
    text: &'static str,
) -> Result<Option<(Bytes, &'static str)>, FieldError> {
    if let Some(bytes) = format.base64(bin)? {
        return Ok(Some((bytes.into(), bin)));
    }
    Ok(format.string(text)?.map(|content| (content.into(), text)))
}
