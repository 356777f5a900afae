//! What a `Content-Type` says (RFC 9110 8.3.1).

use http::{HeaderMap, HeaderValue, header};

/// Whether a body is of this type, whatever its parameters.
pub(crate) fn is(headers: &HeaderMap, media_type: &str) -> bool {
    of(headers).is_some_and(|of| of.eq_ignore_ascii_case(media_type.as_bytes()))
}

/// Whether a body is one of gRPC: `application/grpc`, alone or with `+` and the format of its messages.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    of(headers).is_some_and(|of| {
        let (start, rest) = of.split_at(of.len().min(GRPC.len()));
        start.eq_ignore_ascii_case(GRPC) && matches!(rest, [] | [b'+', _, ..])
    })
}

/// The type without its parameters.
fn of(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes)?;
    let end = value.iter().position(|byte| *byte == b';');
    Some(value[..end.unwrap_or(value.len())].trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(value))])
    }

    #[test]
    fn a_type_is_compared_whole() {
        for (value, expected) in [
            ("text/event-stream", true),
            ("Text/Event-Stream ; charset=utf-8", true),
            ("text/event-stream-or-so", false),
            ("text/event", false),
            ("", false),
        ] {
            assert_eq!(is(&headers(value), "text/event-stream"), expected, "{value}");
        }
        assert!(!is(&HeaderMap::new(), "text/plain"));
    }

    #[test]
    fn grpc_is_nothing_that_only_begins_so() {
        for (value, expected) in [
            ("application/grpc", true),
            ("Application/gRPC;x=y", true),
            ("application/grpc+proto", true),
            ("application/grpc+json; x", true),
            ("application/grpc+", false),
            ("application/grpc-web", false),
            ("application/grpc-or-so", false),
            ("application/grp", false),
        ] {
            assert_eq!(is_grpc(&headers(value)), expected, "{value}");
        }
    }
}
