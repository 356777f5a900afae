//! May a response be shared, may it be stored (RFC 9111 3)?

use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, SET_COOKIE, UPGRADE};
use http::{HeaderMap, HeaderName, Method, StatusCode};

use super::directives::CacheControl;
use super::freshness::{Freshness, is_poisonable};
use super::list::{split_once, trim};
use super::validate::Validators;
use super::vary::VarySpec;

const GRIP_STATUS: HeaderName = HeaderName::from_static("grip-status");

/// What the decision needs to know of the request that was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestFacts<'a> {
    /// Its method.
    pub(crate) method: &'a Method,
    /// It had `Authorization`.
    pub(crate) has_authorization: bool,
    /// It asked for another protocol.
    pub(crate) is_upgrade: bool,
    /// It had content that was forwarded.
    pub(crate) has_body: bool,
}

/// What the decision needs to know of the response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseFacts<'a> {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its fields as they came.
    pub(crate) headers: &'a HeaderMap,
    /// Its policy.
    pub(crate) policy: &'a CacheControl,
    /// What that makes of its lifetime.
    pub(crate) freshness: &'a Freshness,
    /// It carries GRIP instructions: the hold layer completes its body, which itself is finite.
    pub(crate) has_instructions: bool,
}

/// How large a stored response may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoreLimits {
    /// Longest body. Default 16 MiB.
    pub(crate) max_object_bytes: u64,
    /// Longest header block, as HTTP/1.1 would write it. Default 64 KiB.
    pub(crate) max_header_bytes: usize,
}

/// Two answers that do not imply each other: `max-age=0` may be shared but is not worth storing; `no-cache` with a
/// validator may be stored but not shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Whether it may answer other requests that wait for it already. They get
    /// [`stored_headers`](super::stored_headers), not what only its own request may see.
    pub(crate) shareable: Result<(), NoStore>,
    /// Whether it may be kept for later requests.
    pub(crate) storable: Result<(), NoStore>,
}

/// Why a response is not stored, or not shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::enum_variant_names, reason = "the directive is called so")]
pub(crate) enum NoStore {
    /// The method is not GET.
    Method,
    /// The request had a body, or asked for an upgrade.
    Bypass,
    /// An interim status, or 101.
    Interim,
    /// 304 or 412: the answer to a condition.
    Conditional,
    /// 206 or 416: the answer to a range.
    Range,
    /// `must-understand`, and the status is not understood.
    NotUnderstood,
    /// `no-store`.
    NoStore,
    /// `private`.
    Private,
    /// `no-cache`: whoever gets it must have asked the origin.
    NoCache,
    /// The request had `Authorization`, and the response does not permit it.
    Authorization,
    /// `Vary: *`.
    VaryStar,
    /// `Set-Cookie`.
    SetCookie,
    /// A body without an end.
    Stream,
    /// `Grip-Status` answers a condition that is not part of the key.
    Grip,
    /// Larger than the limits.
    TooLarge,
    /// Nothing in it allows a cache to reuse it.
    NoPermission,
    /// It can neither be fresh, nor served stale, nor be validated.
    NoLifetime,
}

/// Decides both questions from the head of a response, in the order of RFC 9111 3.
pub(crate) fn decide(
    request: &RequestFacts<'_>,
    response: &ResponseFacts<'_>,
    limits: &StoreLimits,
) -> Verdict {
    match prohibition(request, response) {
        Some(reason) => Verdict {
            shareable: Err(reason),
            storable: Err(reason),
        },
        None => Verdict {
            shareable: shareable(response),
            storable: storable(response, limits),
        },
    }
}

/// What forbids both.
pub(crate) fn prohibition(request: &RequestFacts<'_>, response: &ResponseFacts<'_>) -> Option<NoStore> {
    let ResponseFacts {
        status,
        headers,
        policy,
        ..
    } = *response;
    if *request.method != Method::GET {
        return Some(NoStore::Method);
    }
    if request.is_upgrade || request.has_body {
        return Some(NoStore::Bypass);
    }
    match status.as_u16() {
        ..200 => return Some(NoStore::Interim),
        304 | 412 => return Some(NoStore::Conditional),
        206 | 416 => return Some(NoStore::Range),
        _ => {}
    }
    // Whoever understands the status heeds must-understand instead of no-store (RFC 9111 5.2.2.3).
    if policy.must_understand && !is_understood(status) {
        return Some(NoStore::NotUnderstood);
    }
    if policy.no_store && !policy.must_understand {
        return Some(NoStore::NoStore);
    }
    if policy.is_private() {
        return Some(NoStore::Private);
    }
    if request.has_authorization && !policy.permits_authorized() {
        return Some(NoStore::Authorization);
    }
    let vary = VarySpec::of(headers);
    if vary.is_star() {
        return Some(NoStore::VaryStar);
    }
    if headers.contains_key(SET_COOKIE) && !policy.drops(&SET_COOKIE) {
        return Some(NoStore::SetCookie);
    }
    if !response.has_instructions && is_endless(headers) {
        return Some(NoStore::Stream);
    }
    if !grip_status_is_keyed(headers, &vary) {
        return Some(NoStore::Grip);
    }
    None
}

/// Whether after this status an old answer may be better (RFC 5861 4).
pub(crate) fn is_error_status(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

/// Silence is no permission: pages for one user come without any `Cache-Control` from many an application. The
/// failures of an origin are shared anyhow, or each would be followed by as many requests as waited for it.
fn shareable(response: &ResponseFacts<'_>) -> Result<(), NoStore> {
    if response.policy.always_validates() {
        return Err(NoStore::NoCache);
    }
    let failure = is_error_status(response.status);
    if response.policy.is_explicit() || failure {
        Ok(())
    } else {
        Err(NoStore::NoPermission)
    }
}

fn storable(response: &ResponseFacts<'_>, limits: &StoreLimits) -> Result<(), NoStore> {
    let ResponseFacts {
        status,
        headers,
        policy,
        freshness,
        ..
    } = *response;
    let too_long = declared_length(headers).is_some_and(|length| length > limits.max_object_bytes);
    if too_long || header_bytes(headers) > limits.max_header_bytes {
        return Err(NoStore::TooLarge);
    }
    if !policy.is_explicit() && !is_heuristically_cacheable(status) {
        return Err(NoStore::NoPermission);
    }
    let windows = [policy.stale_while_revalidate, policy.stale_if_error];
    let stale = windows.into_iter().flatten().any(|window| !window.is_zero());
    // What may be for one user has to be told from those of others: that nothing changed since a date is said of each.
    let is_for_all = policy.is_explicit() || policy.always_validates();
    let proves = |validators: Validators| is_for_all || validators.etag.is_some();
    let validated = Validators::of(headers, freshness.arrival()).is_some_and(proves);
    let usable = if policy.always_validates() || !is_for_all {
        validated
    } else {
        !freshness.lifetime().is_zero() || stale || validated
    };
    if usable { Ok(()) } else { Err(NoStore::NoLifetime) }
}

// === impl RequestFacts ===

impl<'a> RequestFacts<'a> {
    /// Of a request without a body.
    pub(crate) fn of(method: &'a Method, headers: &HeaderMap) -> Self {
        Self {
            method,
            has_authorization: headers.contains_key(AUTHORIZATION),
            is_upgrade: headers.contains_key(UPGRADE),
            has_body: false,
        }
    }
}

// === impl StoreLimits ===

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            max_object_bytes: 16 << 20,
            max_header_bytes: 64 << 10,
        }
    }
}

// === impl Verdict ===

impl Verdict {
    /// The same, unless something else forbids both.
    #[must_use]
    pub(crate) fn unless(self, forbidden: Option<NoStore>) -> Self {
        match (self.shareable, forbidden) {
            (Ok(()) | Err(NoStore::NoCache | NoStore::NoPermission), Some(why)) => Self {
                shareable: Err(why),
                storable: Err(why),
            },
            _ => self,
        }
    }

    /// Whether it may be kept.
    pub(crate) fn is_storable(&self) -> bool {
        self.storable.is_ok()
    }

    /// Whether it may be kept, although nobody else gets it before the origin says so: `no-cache`, and what has an
    /// entity tag and nothing that allows to reuse it without.
    pub(crate) fn is_kept_for_validation(&self) -> bool {
        let is_validated = matches!(self.shareable, Err(NoStore::NoCache | NoStore::NoPermission));
        self.is_storable() && is_validated
    }
}

// === impl NoStore ===

impl NoStore {
    /// Whether this is about the one request that was answered: another one may still get what is stored.
    pub(crate) fn is_of_its_request(self) -> bool {
        matches!(
            self,
            Self::Method | Self::Bypass | Self::Authorization | Self::SetCookie
        )
    }

    /// Whether it answers a condition of its request, or is a part that this one asked for.
    pub(crate) fn is_of_a_condition(self) -> bool {
        matches!(self, Self::Conditional | Self::Range | Self::Interim)
    }

    /// The detail of `Cache-Status`, and the label of a metric.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Bypass => "bypass",
            Self::Interim => "interim",
            Self::Conditional => "conditional",
            Self::Range => "range",
            Self::NotUnderstood => "not-understood",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::NoCache => "no-cache",
            Self::Authorization => "authorization",
            Self::VaryStar => "vary-star",
            Self::SetCookie => "set-cookie",
            Self::Stream => "stream",
            Self::Grip => "grip",
            Self::TooLarge => "too-large",
            Self::NoPermission => "no-permission",
            Self::NoLifetime => "no-lifetime",
        }
    }
}

/// Statuses that `must-understand` may be about: the final ones of RFC 9110 15.
fn is_understood(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200..=206 | 300..=305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 500..=505)
}

/// Statuses that may be stored without a word from the origin (RFC 9110 15.1), for validation. Errors are left out
/// on purpose.
fn is_heuristically_cacheable(status: StatusCode) -> bool {
    let cacheable = matches!(
        status.as_u16(),
        200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501
    );
    cacheable && !is_poisonable(status)
}

/// Types whose bodies end when the connection does. A declared length proves the contrary.
fn is_endless(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return false;
    };
    let essence = trim(split_once(value.as_bytes(), b';').0);
    let grpc = b"application/grpc";
    let endless = essence.eq_ignore_ascii_case(b"text/event-stream")
        || essence.eq_ignore_ascii_case(b"multipart/x-mixed-replace")
        || essence
            .get(..grpc.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(grpc));
    endless && declared_length(headers).is_none()
}

/// Applications that want a held 304 answer 200 with `Grip-Status: 304`. Stored under a key without the condition,
/// it would answer every later client with nothing.
fn grip_status_is_keyed(headers: &HeaderMap, vary: &VarySpec) -> bool {
    let Some(value) = headers.get(GRIP_STATUS) else {
        return true;
    };
    let conditions: &[HeaderName] = match split_once(trim(value.as_bytes()), b' ').0 {
        b"304" => &[http::header::IF_NONE_MATCH, http::header::IF_MODIFIED_SINCE],
        b"412" => &[http::header::IF_MATCH, http::header::IF_UNMODIFIED_SINCE],
        b"206" | b"416" => &[http::header::RANGE],
        _ => return true,
    };
    conditions.iter().any(|name| vary.contains(name))
}

/// `Content-Length`, if it is a number. A number too large to be held is the largest.
fn declared_length(headers: &HeaderMap) -> Option<u64> {
    let digits = headers.get(CONTENT_LENGTH)?.as_bytes();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |length: u64, digit: &u8| length.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Some(digits.iter().fold(0, add))
}

fn header_bytes(headers: &HeaderMap) -> usize {
    let line = ": \r\n".len();
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + line)
        .sum()
}

#[cfg(test)]
mod tests;
