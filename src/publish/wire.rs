//! The wire form: which requests are publishes, what they say, what they are answered. The texts are the
//! reference proxy's where it has one.

use std::time::Duration;

use http::header::{ACCEPT, ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

use super::publisher::{Item, PublishError, PublishOptions, Receipt};
use crate::body::EdgeBody;
use crate::control::{Denied, authority, respond, seconds_to_wait, text, url};
use crate::grip::{ItemPurge, PublishFormatError, PublishItem};
use crate::order::{Purge, PurgeMode, Target};

/// Says at which position an order was applied.
const POSITION: &str = "gripstack-position";

const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const RESPOND_ASYNC: &str = "respond-async";

/// In which type the answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Json,
}

/// Why a request is answered with an error.
#[derive(Debug)]
pub(super) enum Failure {
    Method(Method),
    Denied(Denied),
    NotAcceptable,
    BodyTooLarge,
    BodyBroken,
    Format(PublishFormatError),
    /// A path is to be purged, and the request names no host.
    NoHost,
    /// What is to be purged is no URL that a request can be for.
    NoUrl,
    Publish(PublishError),
}

// === requests ===

/// Whether a request is for us: this path, with or without a slash behind it, and no query.
pub(super) fn is_ours(parts: &Parts, path: &str) -> bool {
    let rest = parts.uri.path().strip_prefix(path);
    matches!(rest, Some("" | "/")) && parts.uri.query().is_none()
}

impl Format {
    /// The last type of `Accept` that is known wins, as in the reference proxy. `None`: there is none.
    pub(super) fn wanted(headers: &HeaderMap) -> Option<Self> {
        let mut any = false;
        let mut wanted = None;
        for value in headers.get_all(ACCEPT) {
            for element in value.as_bytes().split(|b| *b == b',') {
                let media_type = element.split(|b| *b == b';').next().unwrap_or_default();
                any |= !media_type.trim_ascii().is_empty();
                match media_type.trim_ascii().to_ascii_lowercase().as_slice() {
                    b"text/plain" | b"text/*" | b"*/*" | b"*" => wanted = Some(Self::Text),
                    b"application/json" | b"application/*" => wanted = Some(Self::Json),
                    _ => {}
                }
            }
        }
        if any { wanted } else { Some(Self::Text) }
    }
}

/// Whether the request prefers to be answered before all is done (RFC 7240 4.1).
pub(super) fn prefers_async(headers: &HeaderMap) -> bool {
    headers.get_all(PREFER).iter().any(|line| {
        let mut quoted = false;
        let comma = |byte: &u8| {
            quoted ^= *byte == b'"';
            *byte == b',' && !quoted
        };
        let mut preferences = line.as_bytes().split(comma);
        preferences.any(|preference| {
            let name = preference.split(|byte| matches!(byte, b'=' | b';')).next();
            let name = name.unwrap_or_default().trim_ascii();
            name.eq_ignore_ascii_case(RESPOND_ASYNC.as_bytes())
        })
    })
}

/// What an item of a request publishes and purges. A URL without a host is one of the host that the request was
/// sent to.
pub(super) fn item(item: PublishItem, parts: &Parts, mode: PurgeMode) -> Result<Item, Failure> {
    let PublishItem {
        channel,
        message,
        policy,
        purge: ItemPurge {
            surrogate_keys, urls, ..
        },
        ..
    } = item;
    let keys = surrogate_keys.into_iter().map(|key| Ok(Target::Key(key.into())));
    let urls = urls.iter().map(|uri| {
        let named = uri.authority().map(|authority| authority.as_str());
        let host = named.or_else(|| authority(parts)).ok_or(Failure::NoHost)?;
        let path_and_query = uri.path_and_query().map_or("/", |target| target.as_str());
        url(host, path_and_query).map(Target::Url).ok_or(Failure::NoUrl)
    });
    let purges = keys
        .chain(urls)
        .map(|target| {
            Ok(Purge {
                target: target?,
                mode,
            })
        })
        .collect::<Result<_, Failure>>()?;
    Ok(Item {
        channel,
        message,
        options: PublishOptions {
            policy,
            purges,
            version: None,
        },
    })
}

// === answers ===

/// `Published`, or, with 202, `Accepted`: then something waits for its predecessor. In JSON also what has not been sent
/// yet, if any. `preferred`: the request asked for a 202.
pub(super) fn published(receipt: Receipt, format: Format, preferred: bool) -> Response<EdgeBody> {
    let Receipt {
        queued,
        superseded,
        waiting,
        ..
    } = receipt;
    let (status, message) = match waiting {
        0 => (StatusCode::OK, "Published"),
        _ => (StatusCode::ACCEPTED, "Accepted"),
    };
    let mut response = match format {
        Format::Text => text(status, message),
        Format::Json => {
            let mut body = format!("{{\"message\":\"{message}\"");
            if queued + superseded > 0 {
                body += &format!(",\"queued\":{queued},\"superseded\":{superseded}");
            }
            if waiting > 0 {
                body += &format!(",\"waiting\":{waiting}");
            }
            body += "}\n";
            respond(status, "application/json", body)
        }
    };
    if preferred && waiting > 0 {
        let applied = HeaderValue::from_static(RESPOND_ASYNC);
        response.headers_mut().insert(PREFERENCE_APPLIED, applied);
    }
    if let Some(at) = receipt.position {
        response.headers_mut().insert(POSITION, at.get().into());
    }
    response
}

impl Failure {
    pub(super) fn into_response(self) -> Response<EdgeBody> {
        match self {
            Self::Method(method) => with(
                text(
                    StatusCode::METHOD_NOT_ALLOWED,
                    format_args!("Method not allowed: {method}."),
                ),
                ALLOW,
                HeaderValue::from_static("POST"),
            ),
            Self::Denied(denied) => {
                let (challenge, reason) = match denied {
                    Denied::Missing(reason) => ("Bearer", reason),
                    Denied::Invalid(reason) => ("Bearer error=\"invalid_token\"", reason),
                    Denied::Forbidden(reason) => {
                        return text(StatusCode::FORBIDDEN, format_args!("Forbidden: {reason}."));
                    }
                };
                with(
                    text(StatusCode::UNAUTHORIZED, format_args!("Unauthorized: {reason}.")),
                    WWW_AUTHENTICATE,
                    HeaderValue::from_static(challenge),
                )
            }
            Self::NotAcceptable => text(
                StatusCode::NOT_ACCEPTABLE,
                "Not Acceptable. Supported formats are text/plain and application/json.",
            ),
            Self::BodyTooLarge => text(StatusCode::BAD_REQUEST, "Request body too large."),
            Self::BodyBroken => text(StatusCode::BAD_REQUEST, "Failed to read request body."),
            Self::Format(error) => text(StatusCode::BAD_REQUEST, error),
            Self::NoHost => text(
                StatusCode::BAD_REQUEST,
                "Invalid format: a URL to purge has no host, and neither has the request",
            ),
            Self::NoUrl => text(
                StatusCode::BAD_REQUEST,
                "Invalid format: no request can be for a URL to purge",
            ),
            Self::Publish(error) => {
                let status = match &error {
                    PublishError::Channel(_) => StatusCode::BAD_REQUEST,
                    PublishError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
                    PublishError::Full { .. } => StatusCode::TOO_MANY_REQUESTS,
                    PublishError::Conflict(_) => StatusCode::CONFLICT,
                    PublishError::Submit(_) => StatusCode::SERVICE_UNAVAILABLE,
                };
                let retry_after = match &error {
                    PublishError::Channel(_) | PublishError::TooLarge(_) | PublishError::Conflict(_) => None,
                    PublishError::Full { retry_after } => Some(*retry_after),
                    PublishError::Submit(_) => Some(Duration::from_secs(1)),
                };
                // The cause of a refusal by the bus is for the log, not for the publisher.
                let response = match error {
                    PublishError::Submit(_) => text(status, "The publish was not accepted."),
                    error => text(status, error),
                };
                match retry_after {
                    Some(after) => with(response, RETRY_AFTER, seconds_to_wait(after).into()),
                    None => response,
                }
            }
        }
    }
}

fn with(mut response: Response<EdgeBody>, name: http::HeaderName, value: HeaderValue) -> Response<EdgeBody> {
    response.headers_mut().insert(name, value);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preference_is_found_in_a_list_and_nowhere_else() {
        let prefers = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(PREFER, HeaderValue::from_static(line));
            }
            prefers_async(&headers)
        };
        assert!(prefers(&["respond-async"]));
        assert!(prefers(&["wait=9", "a=\"b,c\", RESPOND-async ; x"]));
        assert!(!prefers(&[]));
        assert!(!prefers(&[
            "",
            "a=\", respond-async\"",
            "respond-asynchronously, return=minimal"
        ]));
    }

    #[test]
    fn the_last_known_type_wins() {
        let wanted = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(ACCEPT, HeaderValue::from_static(line));
            }
            Format::wanted(&headers)
        };
        assert_eq!(wanted(&[]), Some(Format::Text));
        assert_eq!(wanted(&[""]), Some(Format::Text));
        assert_eq!(wanted(&["*/*"]), Some(Format::Text));
        assert_eq!(wanted(&["Application/JSON"]), Some(Format::Json));
        assert_eq!(wanted(&["application/json;q=0.5, text/html"]), Some(Format::Json));
        assert_eq!(wanted(&["application/json, text/plain"]), Some(Format::Text));
        assert_eq!(wanted(&["text/plain", "application/*"]), Some(Format::Json));
        assert_eq!(wanted(&["text/html"]), None);
    }
}
