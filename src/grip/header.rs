//! Instructions in `Grip-*` headers.

use http::{HeaderMap, HeaderName, StatusCode};

use super::draft::Draft;
use super::error::shown;
use super::syntax::{self, SecondsError};
use super::{HoldMode, Instruct, InstructError, KeepAlive, NextLink, channel, feature};

/// How long a stream waits before it follows its next link, unless told otherwise.
const DEFAULT_LINK_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(120);

// === impl Instruct ===

impl Instruct {
    /// Reads the instructions of a response; `None` when no header's name starts with `Grip-`. A header that
    /// this does not know counts as instructions that ask nothing.
    ///
    /// # Errors
    ///
    /// When a known header is malformed. The response is then a 502; the text is for operators.
    pub fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, InstructError> {
        if !feature::has_grip(headers) {
            return Ok(None);
        }
        Ok(Some(read(headers)?.finish()))
    }
}

/// Reads all that headers say.
pub(super) fn read(headers: &HeaderMap) -> Result<Draft, InstructError> {
    let mut draft = Draft::default();
    let first = |name: &'static str| headers.get(name).map(|value| value.as_bytes());
    let all = |name: &'static str| headers.get_all(name).into_iter().map(|value| value.as_bytes());

    if let Some(value) = first("grip-hold") {
        draft.mode = Some(HoldMode::from_bytes(value.trim_ascii()).ok_or(InstructError::Hold)?);
    }
    for element in all("grip-channel").flat_map(syntax::elements) {
        draft.channels.add(channel::parse(element)?)?;
    }
    if let Some(value) = first("grip-timeout") {
        draft.timeout = Some(syntax::seconds(value).map_err(|error| match error {
            SecondsError::NotAnInteger => InstructError::TimeoutParse,
            SecondsError::Negative => InstructError::TimeoutInvalid,
        })?);
    }
    if let Some(value) = first("grip-keep-alive") {
        draft.keep_alive = Some(KeepAlive::parse(value)?);
    }
    if let Some(value) = first("grip-status") {
        read_status(value, &mut draft.instruct)?;
    }
    for element in all("grip-expose-headers").flat_map(syntax::elements) {
        if !element.is_empty() {
            let name = HeaderName::from_bytes(element)
                .map_err(|_| InstructError::ExposeHeaders(shown(&String::from_utf8_lossy(element))))?;
            draft.instruct.expose_headers.push(name);
        }
    }
    for element in all("grip-link").flat_map(syntax::link_elements) {
        read_link(element, &mut draft.instruct)?;
    }
    for element in all("grip-set-meta").flat_map(syntax::elements) {
        let pair = syntax::params(element)
            .next()
            .filter(|(name, _)| !name.is_empty());
        let (name, value) = pair.ok_or(InstructError::MetaEmpty)?;
        let utf8 = |_| InstructError::NotUtf8("Grip-Set-Meta");
        let name = std::str::from_utf8(name).map_err(utf8)?;
        let value = value.unwrap_or_default();
        draft.set_meta(name, std::str::from_utf8(&value).map_err(utf8)?);
    }
    Ok(draft)
}

/// `CODE[ REASON]`; an empty value says nothing.
fn read_status(value: &[u8], instruct: &mut Instruct) -> Result<(), InstructError> {
    let value = value.trim_ascii();
    if value.is_empty() {
        return Ok(());
    }
    let text = std::str::from_utf8(value).map_err(|_| InstructError::NotUtf8("Grip-Status"))?;
    let (code, reason) = text.split_once(' ').unwrap_or((text, ""));
    instruct.status = Some(
        code.parse()
            .ok()
            .and_then(final_status)
            .ok_or(InstructError::Status)?,
    );
    let reason = reason.trim();
    instruct.reason = (!reason.is_empty()).then(|| reason.into());
    Ok(())
}

/// A status that can end an exchange: an informational one (RFC 9110 15.2) or one below 100 cannot.
pub(super) fn final_status(code: u16) -> Option<StatusCode> {
    StatusCode::from_u16(code)
        .ok()
        .filter(|status| !status.is_informational())
}

/// `<uri>; rel=next[; timeout=S]` or `<uri>; rel=gone`. Other relations, and none, are passed over.
fn read_link(element: &[u8], instruct: &mut Instruct) -> Result<(), InstructError> {
    let inside = element.strip_prefix(b"<").ok_or(InstructError::LinkParse)?;
    let end = inside
        .iter()
        .position(|&b| b == b'>')
        .ok_or(InstructError::LinkParse)?;
    let uri = reference(&inside[..end]).ok_or(InstructError::LinkInvalid)?;
    let (_, params) = syntax::first_and_params(&inside[end + 1..]);
    let mut rel = None;
    let mut timeout = DEFAULT_LINK_TIMEOUT;
    for (name, value) in params {
        let Some(value) = value else { continue };
        if name.eq_ignore_ascii_case(b"rel") {
            rel = Some(value);
        } else if name.eq_ignore_ascii_case(b"timeout") {
            timeout = syntax::seconds(&value).map_err(|error| match error {
                SecondsError::NotAnInteger => InstructError::LinkTimeoutParse,
                SecondsError::Negative => InstructError::LinkTimeoutInvalid,
            })?;
        }
    }
    match rel.as_deref() {
        Some(b"next") => {
            instruct.next = Some(NextLink {
                uri: uri.into(),
                timeout,
            })
        }
        Some(b"gone") => instruct.gone = Some(uri.into()),
        _ => {}
    }
    Ok(())
}

/// What can be a URI reference (RFC 3986 4.1): not empty, visible ASCII without delimiters of its surroundings.
pub(super) fn reference(text: &[u8]) -> Option<&str> {
    let fits = |&b: &u8| b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b'"');
    let text = text.trim_ascii();
    (!text.is_empty() && text.iter().all(fits))
        .then_some(text)
        .and_then(|text| std::str::from_utf8(text).ok())
}
