//! Fields on their way to and from an origin. Pure.

use http::header::{self, CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::via::Via;
use crate::error::OriginFailure;
use crate::media_type;
use crate::request::{ClientInfo, remove_forwarded};

/// What becomes of `X-Forwarded-For`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedFor {
    /// The address that the request came from is appended to what a trusted proxy sent (the default); what others
    /// sent is replaced.
    #[default]
    Append,
    /// The client's address alone.
    Replace,
    /// Removed.
    Off,
}

/// What `Host` an origin sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostPolicy {
    /// That which the client asked for (the default).
    #[default]
    Client,
    /// That of the origin's URL.
    Origin,
    /// This one.
    Fixed(Authority),
}

/// How forwarded fields are written.
#[derive(Clone, Debug, Default)]
pub(super) struct Forwarding {
    pub(super) forwarded_for: ForwardedFor,
    pub(super) host: HostPolicy,
    pub(super) via: Option<Via>,
}

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

// === requests ===

/// The authority that a request is for: that of its target, else its `Host` (RFC 9112 3.2.2).
pub(super) fn authority(uri: &Uri, headers: &HeaderMap) -> Result<Option<Authority>, OriginFailure> {
    if let Some(authority) = uri.authority() {
        return without_user(authority.clone()).map(Some);
    }
    let mut hosts = headers.get_all(HOST).iter();
    let Some(host) = hosts.next() else {
        return Ok(None);
    };
    if hosts.next().is_some() {
        return Err(OriginFailure::BadRequest);
    }
    if host.is_empty() {
        return Ok(None);
    }
    let authority = Authority::try_from(host.as_bytes()).map_err(|_| OriginFailure::BadRequest)?;
    if authority.as_str().contains('@') {
        return Err(OriginFailure::BadRequest);
    }
    Ok(Some(authority))
}

fn without_user(authority: Authority) -> Result<Authority, OriginFailure> {
    match authority.as_str().rsplit_once('@') {
        None => Ok(authority),
        Some((_, host)) => host.parse().map_err(|_| OriginFailure::BadRequest),
    }
}

/// Makes the fields of a [settled](crate::request::settle) request into those for the origin, all but `Host`, the length and an
/// upgrade.
pub(super) fn clean_request(
    headers: &mut HeaderMap,
    (client, is_https): (ClientInfo, bool),
    authority: Option<&Authority>,
    forwarding: &Forwarding,
) {
    headers.remove(header::EXPECT);
    headers.remove(CONNECTION);
    headers.remove(UPGRADE);
    if headers.contains_key(TE) {
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    if client.proxy.is_none() {
        // Of nobody that is known, or forged.
        remove_forwarded(headers);
    }
    set_forwarded_for(headers, client, forwarding.forwarded_for);
    if !headers.contains_key(X_FORWARDED_PROTO) {
        let proto = if is_https { "https" } else { "http" };
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(proto));
    }
    if !headers.contains_key(X_FORWARDED_HOST)
        && let Some(value) = authority.and_then(authority_value)
    {
        headers.insert(X_FORWARDED_HOST, value);
    }
}

/// Sets the `Host` that the policy says.
pub(super) fn set_host(
    headers: &mut HeaderMap,
    client: Option<&Authority>,
    origin: &Authority,
    policy: &HostPolicy,
) {
    let host = match policy {
        HostPolicy::Client => client.unwrap_or(origin),
        HostPolicy::Origin => origin,
        HostPolicy::Fixed(host) => host,
    };
    if let Some(value) = authority_value(host) {
        headers.insert(HOST, value);
    }
}

/// Makes `Content-Length` agree with the body; one of unknown length goes in chunks. Hyper would leave it out of a GET or a
/// HEAD that does not say so.
pub(super) fn set_length(headers: &mut HeaderMap, exact: Option<u64>) {
    match exact {
        // Said only where the client said something: a GET has none.
        Some(0) if !headers.contains_key(CONTENT_LENGTH) => {}
        Some(length) => {
            headers.insert(CONTENT_LENGTH, length.into());
        }
        None if !matches!(content_length(headers), Ok(Some(_))) => {
            headers.remove(CONTENT_LENGTH);
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        None => {}
    }
}

/// Whether an answer of 304 makes sense (RFC 9110 13.1).
pub(super) fn is_conditional(headers: &HeaderMap) -> bool {
    headers.contains_key(header::IF_NONE_MATCH) || headers.contains_key(header::IF_MODIFIED_SINCE)
}

fn authority_value(authority: &Authority) -> Option<HeaderValue> {
    HeaderValue::from_str(authority.as_str()).ok()
}

fn set_forwarded_for(headers: &mut HeaderMap, client: ClientInfo, policy: ForwardedFor) {
    // The proxy said where the request came from before.
    let from = client.proxy.or(client.addr.map(|addr| addr.ip()));
    let address = from.map(|ip| ip.to_canonical().to_string());
    let mut list = Vec::new();
    if policy == ForwardedFor::Append {
        for value in headers.get_all(&X_FORWARDED_FOR) {
            push_member(&mut list, value.as_bytes());
        }
    }
    if let (ForwardedFor::Append | ForwardedFor::Replace, Some(address)) = (policy, address) {
        push_member(&mut list, address.as_bytes());
    }
    headers.remove(&X_FORWARDED_FOR);
    if let (false, Ok(value)) = (
        list.is_empty(),
        HeaderValue::from_maybe_shared(bytes::Bytes::from(list)),
    ) {
        headers.insert(X_FORWARDED_FOR, value);
    }
}

fn push_member(list: &mut Vec<u8>, member: &[u8]) {
    if member.is_empty() {
        return;
    }
    if !list.is_empty() {
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(member);
}

// === responses ===

/// What the head of an answer says about the end of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length,
    Chunked,
    Close,
}

/// Reads the framing of an answer with a body (RFC 9112 6.3), and makes several equal lengths one.
pub(super) fn framing(headers: &mut HeaderMap) -> Result<Framing, OriginFailure> {
    let length = content_length(headers)?;
    if headers.contains_key(TRANSFER_ENCODING) {
        if length.is_some() {
            return Err(OriginFailure::AmbiguousFraming);
        }
        // No other coding was asked for (RFC 9112 7.4), and hyper undoes none.
        let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
        let only = codings.next().filter(|_| codings.next().is_none());
        return match only.map(|coding| coding.as_bytes().trim_ascii()) {
            Some(coding) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
            _ => Err(OriginFailure::AmbiguousFraming),
        };
    }
    match length {
        Some(length) => {
            headers.insert(CONTENT_LENGTH, length.into());
            Ok(Framing::Length)
        }
        None => Ok(Framing::Close),
    }
}

/// For how many seconds the origin keeps an idle connection, if it says so (`Keep-Alive: timeout=5`).
pub(super) fn announced_keep_alive(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(KEEP_ALIVE)?.to_str().ok()?;
    value.split(',').find_map(|parameter| {
        let (name, seconds) = parameter.split_once('=')?;
        if !name.trim().eq_ignore_ascii_case("timeout") {
            return None;
        }
        seconds.trim().trim_matches('"').parse().ok()
    })
}

/// Whether a body is a stream of events, which may be silent for as long as it likes.
pub(super) fn is_event_stream(headers: &HeaderMap) -> bool {
    media_type::is(headers, "text/event-stream")
        || media_type::is(headers, "multipart/x-mixed-replace")
        || media_type::is_grpc(headers)
}

// === both ===

/// The one length that all `Content-Length` fields and their members agree on.
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, OriginFailure> {
    let mut length = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        for member in value.as_bytes().split(|byte| *byte == b',') {
            let member = member.trim_ascii();
            if member.is_empty() || !member.iter().all(u8::is_ascii_digit) {
                return Err(OriginFailure::AmbiguousFraming);
            }
            let member = std::str::from_utf8(member)
                .ok()
                .and_then(|digits| digits.parse::<u64>().ok());
            match (member, length) {
                (Some(this), None) => length = Some(this),
                (Some(this), Some(other)) if this == other => {}
                _ => return Err(OriginFailure::AmbiguousFraming),
            }
        }
    }
    Ok(length)
}
