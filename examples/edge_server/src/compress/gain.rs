//! What gains from compression and comes to no harm.

use gripstack::EdgeBody;
use gripstack::body::{Held, Selected};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::Body;

use super::tags::is_known_weak;

/// Fields that a compressed form would belie: what they were made for is the content as it was (RFC 9530, RFC 9421).
const SEALS: [&str; 6] = [
    "content-digest",
    "repr-digest",
    "digest",
    "content-md5",
    "signature",
    "signature-input",
];

/// Smallest body, in bytes.
const WORTHWHILE: u64 = 256;

/// Whether there is a compressed form of what the answer is, or stands for. `has`: the validators that the client has.
pub(super) fn gains(response: &Response<EdgeBody>, is_head: bool, has: &[HeaderValue]) -> bool {
    let headers = response.headers();
    match response.status() {
        StatusCode::NOT_MODIFIED => match response.extensions().get::<Selected>() {
            Some(Selected(selected)) => is_suited(selected, length(selected)),
            // Not from our cache, and it says nothing of the content: whoever has a weak form has it from here.
            None => is_known_weak(headers.get(header::ETAG), has) && may_change(headers),
        },
        status if status.is_informational() || status == StatusCode::NO_CONTENT => false,
        StatusCode::PARTIAL_CONTENT => is_suited(headers, whole_length(headers)),
        _ if response.extensions().get::<Held>().is_some() => false,
        _ if is_head => is_suited(headers, length(headers)),
        _ => is_suited(headers, response.body().size_hint().exact()),
    }
}

fn is_suited(headers: &HeaderMap, length: Option<u64>) -> bool {
    length.is_some_and(|length| length >= WORTHWHILE)
        && !headers.contains_key(header::CONTENT_ENCODING)
        && is_text(headers)
        && may_change(headers)
}

fn length(headers: &HeaderMap) -> Option<u64> {
    number(headers.get(header::CONTENT_LENGTH)?.to_str().ok()?)
}

/// Of what a part is of.
fn whole_length(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    number(range.rsplit('/').next()?)
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

fn is_text(headers: &HeaderMap) -> bool {
    let Some(kind) = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
    else {
        return false;
    };
    let kind = kind
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    if kind == "text/event-stream" {
        return false;
    }
    let known = [
        "application/json",
        "application/javascript",
        "application/xml",
        "application/wasm",
        "image/svg+xml",
    ];
    kind.starts_with("text/")
        || known.contains(&kind.as_str())
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
}

fn may_change(headers: &HeaderMap) -> bool {
    let mut fields = headers.get_all(header::CACHE_CONTROL).iter();
    let forbidden = fields.any(|field| {
        let field = String::from_utf8_lossy(field.as_bytes()).to_ascii_lowercase();
        field.contains("no-transform")
    });
    !forbidden && !SEALS.iter().any(|seal| headers.contains_key(*seal))
}
