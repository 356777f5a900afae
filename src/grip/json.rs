//! Instructions as JSON: `application/grip-instruct`.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{HeaderName, StatusCode};
use serde_json::{Map, Value, json};

use super::draft::Draft;
use super::fields::Object;
use super::{
    FieldError, Hold, HoldChannel, HoldMode, Instruct, InstructError, KeepAlive, KeepAliveMode,
    MAX_INSTRUCT_BYTES, MIN_TIMEOUT, binary, channel, feature, header as grip_header, keep_alive, syntax,
};
use crate::hop_by_hop::is_framing;
use crate::message::Channel;

/// The media type of instructions as JSON.
pub const INSTRUCT_TYPE: &str = "application/grip-instruct";

/// The response inside instructions as JSON. The response that carries them is discarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonResponse {
    /// What the client sees, whatever [`Instruct::status`] says. Default: that of `Grip-Status`, else 200.
    pub status: StatusCode,
    /// The phrase beside the status, for HTTP/1.1. Default: the standard one.
    pub reason: Option<Box<str>>,
    /// All its headers. Never a `Grip-*` or one that frames a message.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// Whether a response's body is instructions as JSON.
pub fn is_instruct_type(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(is_instruct)
}

/// Whether a `Content-Type` is that of instructions.
pub(crate) fn is_instruct(value: &HeaderValue) -> bool {
    // What nearly all others begin with decides soonest.
    if !matches!(value.as_bytes(), [b'a' | b'A' | b' ' | b'\t', ..]) {
        return false;
    }
    let essence = value.as_bytes().split(|&b| b == b';').next().unwrap_or_default();
    essence
        .trim_ascii()
        .eq_ignore_ascii_case(INSTRUCT_TYPE.as_bytes())
}

// === impl Instruct ===

impl Instruct {
    /// Reads a response for which [`is_instruct_type`] holds: its `Grip-*` headers first, then the JSON, which
    /// overrides what it sets and adds its channels and meta. Without `hold.mode` the header's mode stays, and
    /// without that it is `response`.
    ///
    /// # Errors
    ///
    /// When the status is not 200, the body is too long or no JSON, or a field or header is malformed.
    pub fn from_json(
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(Self, JsonResponse), InstructError> {
        if status != StatusCode::OK {
            return Err(InstructError::CarrierStatus);
        }
        if body.len() > MAX_INSTRUCT_BYTES {
            return Err(InstructError::TooLarge);
        }
        let mut draft = grip_header::read(headers)?;
        let json = serde_json::from_slice(body).map_err(|_| InstructError::NotJson)?;
        let mut root = Object::new("instruct", json).map_err(|_| InstructError::NotAnObject)?;
        if let Some(hold) = root.take("hold") {
            let hold = Object::new("hold", hold).map_err(|_| root.wrong_type("hold"))?;
            read_hold(hold, &mut draft)?;
        }
        let mut response = JsonResponse {
            status: draft.instruct.status.unwrap_or_default(),
            reason: draft.instruct.reason.clone(),
            ..JsonResponse::default()
        };
        if let Some(value) = root.take("response") {
            let value = Object::new("response", value).map_err(|_| root.wrong_type("response"))?;
            read_response(value, &mut response)?;
        }
        Ok((draft.finish(), response))
    }

    /// The instructions and a response as JSON, and the headers of the 200 that carries it: its type, and the
    /// instructions that have no form in JSON.
    ///
    /// # Errors
    ///
    /// More channels, filters or longer ids than a reader accepts, a status that is not final, a result longer
    /// than [`MAX_INSTRUCT_BYTES`], and what [`into_headers`](Self::into_headers) refuses in those headers.
    pub fn to_json(&self, response: &JsonResponse) -> Result<(HeaderMap, Bytes), InstructError> {
        let mut headers = HeaderMap::new();
        self.write_rest(&mut headers)?;
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(INSTRUCT_TYPE));
        let mut root = Map::new();
        if let Some(hold) = &self.hold {
            root.insert("hold".into(), write_hold(hold, &self.meta)?);
        }
        if response.status.is_informational() {
            return Err(InstructError::Status);
        }
        root.insert("response".into(), write_response(response));
        let body = Bytes::from(Value::Object(root).to_string());
        if body.len() > MAX_INSTRUCT_BYTES {
            return Err(InstructError::TooLarge);
        }
        Ok((headers, body))
    }
}

// === impl JsonResponse ===

impl Default for JsonResponse {
    /// An empty 200.
    fn default() -> Self {
        Self {
            status: StatusCode::OK,
            reason: None,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }
}

fn read_hold(mut hold: Object, draft: &mut Draft) -> Result<(), InstructError> {
    draft.mode = match hold.string("mode")? {
        Some(mode) => Some(HoldMode::from_bytes(mode.as_bytes()).ok_or(InstructError::JsonHoldMode)?),
        None => draft.mode.or(Some(HoldMode::Response)),
    };
    for value in hold.array("channels")?.ok_or_else(|| hold.missing("channels"))? {
        draft.channels.add(read_channel(value)?)?;
    }
    if let Some(timeout) = hold.seconds("timeout")? {
        draft.timeout = Some(timeout);
    }
    if let Some(value) = hold.take("keep-alive") {
        let value = Object::new("keep-alive", value).map_err(|_| hold.wrong_type("keep-alive"))?;
        draft.keep_alive = read_keep_alive(value)?;
    }
    for (name, value) in hold.string_map("meta")? {
        draft.set_meta(&name, &value);
    }
    Ok(())
}

fn read_channel(value: Value) -> Result<HoldChannel, InstructError> {
    let mut object = Object::new("channel", value)?;
    let mut channel = HoldChannel::new(Channel::new(&object.required_string("name")?)?);
    channel.prev_id = object.string("prev-id")?.map(Into::into);
    let filters = object.strings("filters")?.unwrap_or_default();
    channel.filters = filters.into_iter().map(Into::into).collect();
    // The number of filters is checked with the other limits, where the channel is added.
    Ok(channel)
}

/// Without content there is no keep-alive.
fn read_keep_alive(mut object: Object) -> Result<Option<KeepAlive>, InstructError> {
    let content = match object.base64("content-bin")? {
        Some(bytes) => bytes,
        None => object.string("content")?.unwrap_or_default().into_bytes(),
    };
    let timeout = object.seconds("timeout")?.unwrap_or(keep_alive::DEFAULT_TIMEOUT);
    let mode = match object.string("mode")? {
        Some(mode) => KeepAliveMode::from_text(&mode).ok_or(InstructError::JsonKeepAliveMode)?,
        None => KeepAliveMode::Idle,
    };
    Ok((!content.is_empty()).then(|| KeepAlive::new(content, timeout).with_mode(mode)))
}

fn read_response(mut object: Object, response: &mut JsonResponse) -> Result<(), FieldError> {
    if let Some(status) = object.status("code")? {
        response.status = status;
        response.reason = None;
    }
    if let Some(reason) = object.string("reason")? {
        response.reason = Some(reason.into());
    }
    response.headers = object.headers("headers")?;
    response.body = match object.base64("body-bin")? {
        Some(bytes) => bytes.into(),
        None => object.string("body")?.unwrap_or_default().into(),
    };
    Ok(())
}

fn write_hold(hold: &Hold, meta: &[(Box<str>, Box<str>)]) -> Result<Value, InstructError> {
    let channels = hold
        .channels
        .iter()
        .map(write_channel)
        .collect::<Result<Vec<_>, _>>()?;
    let mut out = Map::new();
    out.insert("mode".into(), hold.mode.as_str().into());
    out.insert("channels".into(), channels.into());
    out.insert(
        "timeout".into(),
        syntax::whole_seconds(hold.timeout.max(MIN_TIMEOUT)).into(),
    );
    if let Some(keep_alive) = &hold.keep_alive {
        let mut object = Map::new();
        write_bytes(&mut object, "content", "content-bin", &keep_alive.content);
        object.insert("timeout".into(), syntax::whole_seconds(keep_alive.timeout).into());
        object.insert("mode".into(), keep_alive.mode.as_str().into());
        out.insert("keep-alive".into(), object.into());
    }
    if !meta.is_empty() {
        let meta: Map<_, _> = meta
            .iter()
            .map(|(name, value)| (name.to_string(), (**value).into()))
            .collect();
        out.insert("meta".into(), meta.into());
    }
    Ok(out.into())
}

fn write_channel(channel: &HoldChannel) -> Result<Value, InstructError> {
    channel::check(channel)?;
    let mut out = Map::new();
    out.insert("name".into(), channel.name.as_str().into());
    if let Some(id) = &channel.prev_id {
        out.insert("prev-id".into(), (**id).into());
    }
    if !channel.filters.is_empty() {
        let filters: Vec<Value> = channel.filters.iter().map(|filter| (**filter).into()).collect();
        out.insert("filters".into(), filters.into());
    }
    Ok(out.into())
}

fn write_response(response: &JsonResponse) -> Value {
    let mut out = Map::new();
    out.insert("code".into(), response.status.as_u16().into());
    if let Some(reason) = &response.reason {
        out.insert("reason".into(), (**reason).into());
    }
    if let Some(headers) = write_headers(&response.headers) {
        out.insert("headers".into(), headers);
    }
    write_bytes(&mut out, "body", "body-bin", &response.body);
    out.into()
}

/// Headers as pairs, which keeps order and duplicates; `None` where there are none to write. A value that is not
/// UTF-8 has no form in JSON: its foreign bytes become U+FFFD.
pub(super) fn write_headers(headers: &HeaderMap) -> Option<Value> {
    let kept = |name: &HeaderName| !feature::is_grip(name) && !is_framing(name);
    let pairs: Vec<Value> = headers
        .iter()
        .filter(|(name, _)| kept(name))
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
        .collect();
    (!pairs.is_empty()).then(|| pairs.into())
}

/// Bytes as text where they are text, else as base64.
pub(super) fn write_bytes(out: &mut Map<String, Value>, text: &str, bin: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(content) => out.insert(text.into(), content.into()),
        Err(_) => out.insert(bin.into(), binary::encode(bytes).into()),
    };
}
