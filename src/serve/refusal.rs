//! Why a request is refused before the service sees it.

use std::fmt;

use http::{Method, StatusCode, Uri};

use super::listener::Peer;
use crate::reasons::reasons;

macro_rules! refusals {
    ($($(#[doc = $doc:literal])+ $name:ident = $status:ident, $label:literal, $why:literal;)+) => {
        reasons! {
            /// Why a request was refused. It was answered with [`status`](Self::status) and one line that says why.
            pub enum Refusal {
                $($(#[doc = $doc])+ $name = $label,)+
            }
        }

        impl Refusal {
            /// The status of the answer.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }

            fn why(self) -> &'static str {
                match self { $(Self::$name => $why,)+ }
            }
        }
    };
}

refusals! {
    /// A line of the head ends in LF without CR (RFC 9112 2.2).
    BareLf = BAD_REQUEST, "bare-lf", "a line ends in a bare LF";
    /// A CR that no LF follows (RFC 9112 2.2).
    BareCr = BAD_REQUEST, "bare-cr", "a CR without LF";
    /// NUL or another control character (RFC 9110 5.5).
    ControlCharacter = BAD_REQUEST, "control-character", "a control character in the head";
    /// A field line that continues the one before (RFC 9112 5.2).
    FoldedLine = BAD_REQUEST, "folded-line", "a folded field line";
    /// Not `method SP target SP version` (RFC 9112 3).
    RequestLine = BAD_REQUEST, "request-line", "malformed request line";
    /// Not a request target that the method may have (RFC 9112 3.2).
    Target = BAD_REQUEST, "target", "malformed request target";
    /// Not HTTP/1.0, HTTP/1.1 or HTTP/2.
    Version = HTTP_VERSION_NOT_SUPPORTED, "version", "only HTTP/1.0, HTTP/1.1 and HTTP/2 are spoken here";
    /// A field name that is not a token, or a line without a colon (RFC 9110 5.1).
    FieldName = BAD_REQUEST, "field-name", "malformed field name";
    /// Whitespace between a field name and the colon (RFC 9112 5.1).
    SpaceBeforeColon = BAD_REQUEST, "space-before-colon", "whitespace before the colon of a field";
    /// In HTTP/2, a field value with whitespace at its ends (RFC 9113 8.2.1).
    FieldValue = BAD_REQUEST, "field-value", "whitespace around a field value";
    /// No Host where one is required (RFC 9112 3.2).
    HostMissing = BAD_REQUEST, "host-missing", "no Host field";
    /// More than one Host (RFC 9112 3.2).
    HostTwice = BAD_REQUEST, "host-twice", "more than one Host field";
    /// A Host that is not `host[:port]` (RFC 9112 3.2).
    HostInvalid = BAD_REQUEST, "host-invalid", "malformed host";
    /// In HTTP/2, Host and `:authority` differ (RFC 9113 8.3.1). In HTTP/1 the target's authority counts (RFC 9112 3.2.2).
    HostMismatch = BAD_REQUEST, "host-mismatch", "Host differs from the authority of the target";
    /// More than one Content-Length (RFC 9112 6.3).
    LengthTwice = BAD_REQUEST, "length-twice", "more than one Content-Length";
    /// A Content-Length that is not a decimal number (RFC 9110 8.6).
    LengthInvalid = BAD_REQUEST, "length-invalid", "malformed Content-Length";
    /// Content-Length with Transfer-Encoding (RFC 9112 6.3).
    LengthAndCoding = BAD_REQUEST, "length-and-coding", "Content-Length with Transfer-Encoding";
    /// Transfer-Encoding in HTTP/1.0 (RFC 9112 6.1).
    CodingInOldVersion = BAD_REQUEST, "coding-in-old-version", "Transfer-Encoding in HTTP/1.0";
    /// A Transfer-Encoding that does not end in one `chunked`, or more than one (RFC 9112 6.1, 6.3).
    CodingInvalid = BAD_REQUEST, "coding-invalid", "malformed Transfer-Encoding";
    /// A transfer coding other than `chunked` (RFC 9112 6.1).
    CodingUnknown = NOT_IMPLEMENTED, "coding-unknown", "the only transfer coding spoken here is chunked";
    /// CONNECT with a body (RFC 9110 9.3.6).
    ConnectWithBody = BAD_REQUEST, "connect-with-body", "CONNECT with a body";
    /// A chunk size that is not a hexadecimal number, or too large (RFC 9112 7.1).
    ChunkSize = BAD_REQUEST, "chunk-size", "malformed chunk size";
    /// A chunk that does not end where its size says, or a malformed chunk extension (RFC 9112 7.1).
    ChunkFraming = BAD_REQUEST, "chunk-framing", "malformed chunk";
    /// A malformed or too large trailer section (RFC 9112 7.1.2).
    Trailers = BAD_REQUEST, "trailers", "malformed or too large trailer section";
    /// The target exceeds `Limits::target_bytes`.
    TargetTooLong = URI_TOO_LONG, "target-too-long", "the request target is too long";
    /// The head exceeds `Limits::head_bytes`.
    HeadTooLarge = REQUEST_HEADER_FIELDS_TOO_LARGE, "head-too-large", "the head is too large";
    /// The head exceeds `Limits::head_fields`.
    TooManyFields = REQUEST_HEADER_FIELDS_TOO_LARGE, "too-many-fields", "too many field lines";
    /// The head took longer than `Limits::head`.
    HeadTimeout = REQUEST_TIMEOUT, "head-timeout", "the head took too long";
    /// The body came slower than `Limits::body_rate`.
    BodyTooSlow = REQUEST_TIMEOUT, "body-too-slow", "the body comes too slowly";
}

/// A request that was refused: what is known of it. For [`Serve::on_refusal`](super::Serve::on_refusal).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// Why, and with that the status of the answer.
    pub reason: Refusal,
    /// The two ends of its connection.
    pub peer: Peer,
    /// Its method, if there is one.
    pub method: Option<Method>,
    /// Its target, query included, if it got that far: at most 1,024 bytes, without a user and a
    /// password, and what is not printable escaped.
    pub target: Option<String>,
}

/// What a request asked for, as far as that can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    method: Option<Method>,
    target: Option<String>,
}

/// What is kept of a target, in bytes.
const MOST_TARGET: usize = 1024;

// === impl Asked ===

impl Asked {
    /// By the beginning of a head that may be anything.
    pub(super) fn of_head(head: &[u8]) -> Self {
        let end = head.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        let mut words = head[..end.unwrap_or(head.len())].split(|byte| *byte == b' ');
        let method = words.next().and_then(|word| Method::from_bytes(word).ok());
        // Without a method the rest is no request line.
        let target = words
            .next()
            .filter(|target| method.is_some() && !target.is_empty());
        Self {
            method,
            target: target.map(shown),
        }
    }

    /// By a head that was read.
    pub(super) fn new(method: &Method, uri: &Uri) -> Self {
        Self {
            method: Some(method.clone()),
            target: uri
                .path_and_query()
                .map(|target| shown(target.as_str().as_bytes())),
        }
    }

    pub(super) fn refused(self, reason: Refusal, peer: Peer) -> Refused {
        Refused {
            reason,
            peer,
            method: self.method,
            target: self.target,
        }
    }
}

fn shown(target: &[u8]) -> String {
    let (before, after) = around_user(target);
    let kept = before.len().min(MOST_TARGET);
    let rest = after.len().min(MOST_TARGET - kept);
    format!(
        "{}{}",
        before[..kept].escape_ascii(),
        after[..rest].escape_ascii()
    )
}

/// What is before a user and password, and after. A target with these is refused (RFC 9110 4.2.4), but they are nobody's
/// business.
fn around_user(target: &[u8]) -> (&[u8], &[u8]) {
    if target.starts_with(b"/") {
        return (target, b"");
    }
    let scheme = target.windows(3).position(|three| three == b"://");
    let start = scheme.map_or(0, |at| at + 3);
    let authority = target[start..]
        .split(|byte| matches!(byte, b'/' | b'?' | b'#'))
        .next()
        .unwrap_or_default();
    match authority.iter().rposition(|byte| *byte == b'@') {
        Some(at) => (&target[..start], &target[start + at + 1..]),
        None => (target, b""),
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_is_told_as_far_as_it_can_be() {
        let asked = |head: &[u8]| {
            let Asked { method, target } = Asked::of_head(head);
            (method.map(|method| method.to_string()), target)
        };
        let some = |method: &str, target: &str| (Some(method.to_owned()), Some(target.to_owned()));
        assert_eq!(asked(b"GET /a?b HTTP/1.1\r\nHost: a b\r\n"), some("GET", "/a?b"));
        assert_eq!(asked(b"GET /a\nb"), some("GET", "/a"));
        assert_eq!(asked(b"GET /\x1b[2J\xe4\" x"), some("GET", "/\\x1b[2J\\xe4\\\""));
        assert_eq!(asked(b"PUT /"), some("PUT", "/"));
        assert_eq!(asked(b"PUT"), (Some("PUT".to_owned()), None));
        assert_eq!(asked(b"G@T /secret"), (None, None));
        assert_eq!(asked(b"\x16\x03\x01 /"), (None, None));
        assert_eq!(asked(b""), (None, None));
        assert_eq!(asked(b"GET http://me:p@h@h/x@y "), some("GET", "http://h/x@y"));
        assert_eq!(asked(b"GET HTTPS://me:p@h"), some("GET", "HTTPS://h"));
        assert_eq!(asked(b"CONNECT me:p@h:80 "), some("CONNECT", "h:80"));
        assert_eq!(asked(b"GET /a@b?c=http://d@e "), some("GET", "/a@b?c=http://d@e"));
        let long = [b"GET /".as_slice(), &[b'a'; 9_000]].concat();
        assert_eq!(asked(&long).1.map(|target| target.len()), Some(MOST_TARGET));
    }
}
