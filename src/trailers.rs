//! Fields that are no trailers, whoever sends them. A recipient that merges trailers into the head would read another
//! message (RFC 9110 6.5.1).

use http::HeaderMap;
use http::header::{self, HeaderName};
use http_body::Frame;

use crate::{hop_by_hop, request};

/// They route a message, say who asks and whom, change what is asked, are of one client, or say what the content is and
/// how it may be used again. Beside those of a connection and of the framing, those that turn a request into another one, and
/// `Grip-*`.
static REFUSED: [HeaderName; 29] = [
    header::AGE,
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::DATE,
    header::EXPECT,
    header::EXPIRES,
    header::HOST,
    header::IF_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::IF_RANGE,
    header::IF_UNMODIFIED_SINCE,
    header::LOCATION,
    header::MAX_FORWARDS,
    header::PRAGMA,
    header::RANGE,
    header::RETRY_AFTER,
    header::SET_COOKIE,
    header::VARY,
    header::WARNING,
    header::WWW_AUTHENTICATE,
    HeaderName::from_static("cdn-cache-control"),
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("surrogate-control"),
    HeaderName::from_static("surrogate-key"),
];

/// Removes what is none.
pub(crate) fn clean(trailers: &mut HeaderMap) {
    let refused: Vec<HeaderName> = trailers.keys().filter(|name| is_refused(name)).cloned().collect();
    for name in refused {
        trailers.remove(name);
    }
}

/// A frame of a body, without what is none.
pub(crate) fn clean_frame<D>(mut frame: Frame<D>) -> Frame<D> {
    if let Some(trailers) = frame.trailers_mut() {
        clean(trailers);
    }
    frame
}

/// Whether this field goes no further in trailers.
fn is_refused(name: &HeaderName) -> bool {
    REFUSED.contains(name)
        || hop_by_hop::is_hop_by_hop(name)
        || hop_by_hop::is_framing(name)
        || request::is_misleading(name)
        || name.as_str().starts_with("grip-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_describes_a_sent_body_is_left() {
        let kept = [
            "grpc-status",
            "x-sum",
            "etag",
            "server-timing",
            "content-digest",
            "user_id",
        ];
        let refused = [
            "authorization",
            "content-length",
            "content_length",
            "cookie",
            "forwarded",
            "grip-channel",
            "grip_sig",
            "host",
            "if-none-match",
            "keep-alive",
            "proxy-authenticate",
            "set-cookie",
            "surrogate-key",
            "te",
            "trailer",
            "transfer-encoding",
            "x-forwarded-for",
            "x-original-url",
        ];
        let mut trailers = HeaderMap::new();
        for name in kept.iter().chain(&refused) {
            trailers.append(*name, "1".parse().expect("valid"));
            trailers.append(*name, "2".parse().expect("valid"));
        }
        clean(&mut trailers);
        assert_eq!(trailers.keys().collect::<Vec<_>>(), kept);
    }
}
