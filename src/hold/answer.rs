//! What the service below answers: reading its instructions, and making responses of it.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, ETAG, EXPIRES, HeaderMap, HeaderName, HeaderValue, LAST_MODIFIED, TRAILER, WARNING,
};
use http::{Response, StatusCode, response::Parts};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::failure::HoldError;
use crate::body::EdgeBody;
use crate::grip::{self, HoldChannel, HoldMode, Instruct, MAX_INSTRUCT_BYTES};
use crate::handoff::{ClientHasIt, Handoff, Keep, KeepAlong, is_of_foreign_cache, stamp_of};
use crate::hop_by_hop::is_framing;
use crate::hub::{Fetch, Hub};
use crate::message::{Channel, PushedResponse};
use crate::mutants::mutant;
use crate::position::Stamp;

/// How long a body that must be whole may take.
const COLLECT: Duration = Duration::from_secs(15);

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// What says to caches how long, and by what, an answer may be used again. A held answer may not be.
const VALIDITY: [HeaderName; 6] = [
    AGE,
    EXPIRES,
    ETAG,
    LAST_MODIFIED,
    HeaderName::from_static("surrogate-control"),
    HeaderName::from_static("cdn-cache-control"),
];

/// What speaks of exactly one body.
const OF_ONE_BODY: [HeaderName; 8] = [
    CONTENT_LENGTH,
    CONTENT_RANGE,
    ACCEPT_RANGES,
    TRAILER,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

/// A response of the service below, its instructions read and carried out as far as they concern its head.
pub(super) struct Answer {
    pub(super) parts: Parts,
    pub(super) body: EdgeBody,
    pub(super) instruct: std::sync::Arc<Instruct>,
    pub(super) stamp: Stamp,
    pub(super) keep: Option<Keep>,
    /// It is for all who ask: nobody asked the origin in this client's name.
    pub(super) is_for_all: bool,
    /// Its client has it already, by the condition of its request.
    pub(super) client_has_it: bool,
    /// And it is known which value that is.
    client_named_it: bool,
}

/// Whether there is anything for the hold layer in this response.
pub(super) fn is_for_us<B>(response: &Response<B>) -> bool {
    grip::speaks(response.headers()) || response.extensions().get::<Handoff>().is_some()
}

/// All of a body, if it is short enough and comes in time.
pub(super) async fn collect(body: EdgeBody) -> Result<Bytes, HoldError> {
    if body.size_hint().lower() > MAX_INSTRUCT_BYTES as u64 {
        return Err(HoldError::TooLarge);
    }
    let collected = Limited::new(body, MAX_INSTRUCT_BYTES).collect();
    match tokio::time::timeout(COLLECT, collected).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(HoldError::TooLarge),
        Ok(Err(error)) => Err(HoldError::Broken(error.to_string().into())),
        Err(_elapsed) => Err(HoldError::Late),
    }
}

/// Says that messages may be missing.
pub(super) fn mark(headers: &mut HeaderMap) {
    headers.append(CACHE_STATUS, HeaderValue::from_static("gripstack; detail=gap"));
}

// === impl Answer ===

impl Answer {
    /// Reads a response to a fetch. Afterwards nothing in it is called `Grip-*`.
    pub(super) async fn read(
        response: Response<EdgeBody>,
        fetch: &Fetch,
        hub: &Hub,
        is_head: bool,
    ) -> Result<Self, HoldError> {
        let (mut parts, mut body) = response.into_parts();
        let has_it = parts.extensions.remove::<ClientHasIt>();
        let client_named_it = has_it.as_ref().is_some_and(|has_it| !has_it.whichever);
        let keep;
        let handoff = parts.extensions.remove::<Handoff>();
        let is_for_all = handoff.is_some() || is_of_foreign_cache(&parts.headers, &parts.extensions);
        let (instruct, stamp) = if let Some(handoff) = handoff {
            keep = handoff.keep;
            (handoff.instruct, handoff.stamp)
        } else {
            keep = parts.extensions.remove::<KeepAlong>().map(|along| along.0);
            let fetched = match mutant!("stamp-late") {
                true => hub.stamp_at(hub.now()),
                false => fetch.stamp(),
            };
            let stamp = stamp_of(hub, (fetched, fetch.since()), &parts.headers, &parts.extensions);
            let instruct = if is_head && grip::is_instruct_type(&parts.headers) {
                // The instructions, and the response that they describe, stand in a body that it does not have.
                parts.headers.remove(CONTENT_TYPE);
                parts.headers.remove(CONTENT_ENCODING);
                Self::stream_head(&mut parts);
                Instruct::default()
            } else if grip::is_instruct_type(&parts.headers) {
                let json = collect(std::mem::take(&mut body)).await?;
                let (mut instruct, response) = Instruct::from_json(parts.status, &parts.headers, &json)?;
                let carried = std::mem::replace(&mut parts.headers, response.headers);
                // What it came through speaks of it, too.
                for through in carried.get_all(CACHE_STATUS) {
                    parts.headers.append(CACHE_STATUS, through.clone());
                }
                instruct.status = Some(response.status);
                instruct.reason = response.reason;
                body = response.body.into();
                instruct
            } else {
                let instruct = Instruct::from_headers(&parts.headers)?.unwrap_or_default();
                // The reference proxy collects what it does not hold as well. This streams, but refuses the same,
                // unless the response names channels: then it is for our cache.
                let too_long = body.size_hint().lower() > MAX_INSTRUCT_BYTES as u64;
                if too_long
                    && grip::has_grip(&parts.headers)
                    && instruct.channels().is_empty()
                    && instruct.hold.is_none()
                {
                    return Err(HoldError::TooLarge);
                }
                instruct
            };
            (instruct.into(), stamp)
        };
        grip::strip(&mut parts.headers);
        if let Some(status) = instruct.status {
            parts.status = status;
            set_reason(&mut parts, instruct.reason.as_deref());
            if !may_have_body(status) {
                // The length was that of a body which this status does not have (RFC 9110 8.6).
                parts.headers.remove(CONTENT_LENGTH);
                body = EdgeBody::empty();
            }
        }
        if !instruct.expose_headers.is_empty() {
            expose(&mut parts.headers, &instruct.expose_headers);
        }
        Ok(Self {
            parts,
            body,
            instruct,
            stamp,
            keep,
            is_for_all,
            client_has_it: has_it.is_some(),
            client_named_it,
        })
    }

    /// How it is to be held.
    pub(super) fn mode(&self) -> Option<HoldMode> {
        self.instruct.hold.as_ref().map(|hold| hold.mode)
    }

    /// Whether what its body contains may be news to a client that is not sent it.
    pub(super) fn may_be_news(&self) -> bool {
        self.is_for_all && !self.client_named_it
    }

    /// The channels of its hold.
    pub(super) fn channels(&self) -> &[HoldChannel] {
        self.instruct.hold.as_ref().map_or(&[], |hold| &hold.channels)
    }

    /// Their names.
    pub(super) fn names(&self) -> Vec<Channel> {
        self.channels()
            .iter()
            .map(|channel| channel.name.clone())
            .collect()
    }

    /// Whether it says that the service below has failed.
    pub(super) fn is_failure(&self) -> bool {
        self.parts.status.is_server_error() && self.mode().is_none()
    }

    /// The codings of its body, if it has any (RFC 9110 8.4): plain text cannot follow it.
    pub(super) fn coding(&self) -> Option<Box<str>> {
        let coded =
            |value: &&HeaderValue| !value.is_empty() && !value.as_bytes().eq_ignore_ascii_case(b"identity");
        let value = self
            .parts
            .headers
            .get_all(CONTENT_ENCODING)
            .into_iter()
            .find(coded)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into())
    }

    /// Whether a body can follow this head at all.
    pub(super) fn has_body(&self) -> bool {
        may_have_body(self.parts.status)
    }

    /// The response as it is, not held.
    pub(super) fn into_plain(self) -> Response<EdgeBody> {
        Response::from_parts(self.parts, self.body)
    }

    /// The head of a held stream, as it is also answered to HEAD.
    pub(super) fn stream_head(parts: &mut Parts) {
        forbid_reuse(&mut parts.headers);
        for name in OF_ONE_BODY {
            parts.headers.remove(name);
        }
    }

    /// A long poll's answer when its time is up: the origin's own, or 304 where its client has that already.
    pub(super) fn timed_out(mut parts: Parts, body: Bytes, client_has_it: bool) -> Response<EdgeBody> {
        if client_has_it && parts.status == StatusCode::OK {
            parts.status = StatusCode::NOT_MODIFIED;
            set_reason(&mut parts, None);
            Self::stream_head(&mut parts);
            for name in [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE] {
                parts.headers.remove(name);
            }
        }
        forbid_reuse(&mut parts.headers);
        complete(parts, body)
    }

    /// A long poll's answer by a message: its headers, and those of the origin that it does not name.
    pub(super) fn pushed(mut parts: Parts, pushed: &PushedResponse) -> Response<EdgeBody> {
        let own = &pushed.headers;
        forbid_reuse(&mut parts.headers);
        for name in OF_ONE_BODY.into_iter().chain([CONTENT_ENCODING, WARNING]) {
            parts.headers.remove(name);
        }
        for name in own.keys() {
            parts.headers.remove(name);
        }
        for (name, value) in own {
            if !is_framing(name) {
                parts.headers.append(name, value.clone());
            }
        }
        grip::strip(&mut parts.headers);
        parts.status = pushed.status;
        set_reason(&mut parts, None);
        complete(parts, pushed.body.clone())
    }
}

/// Whether a response with this status has a body (RFC 9110 6.4.1).
fn may_have_body(status: StatusCode) -> bool {
    !status.is_informational()
        && !matches!(
            status,
            StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
        )
}

/// A response with a body that is all there.
fn complete(mut parts: Parts, body: Bytes) -> Response<EdgeBody> {
    // What was collected has lost its trailers.
    parts.headers.remove(TRAILER);
    if !may_have_body(parts.status) {
        parts.headers.remove(CONTENT_LENGTH);
        return Response::from_parts(parts, EdgeBody::empty());
    }
    parts.headers.insert(CONTENT_LENGTH, body.len().into());
    Response::from_parts(parts, body.into())
}

/// No cache may use it again, nor validate by it. Whether it may be transformed stays.
fn forbid_reuse(headers: &mut HeaderMap) {
    for name in VALIDITY {
        headers.remove(name);
    }
    let directives = headers.get_all(CACHE_CONTROL).into_iter();
    let mut directives = directives.flat_map(|value| value.as_bytes().split(|&b| b == b','));
    let value = if directives.any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-transform")) {
        "no-store, no-transform"
    } else {
        "no-store"
    };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(value));
}

/// Keeps only these headers, and what frames the body.
fn expose(headers: &mut HeaderMap, names: &[HeaderName]) {
    let hidden = |name: &&HeaderName| **name != CONTENT_LENGTH && !names.contains(name);
    let hidden: Vec<HeaderName> = headers.keys().filter(hidden).cloned().collect();
    for name in hidden {
        headers.remove(name);
    }
}

/// The phrase beside the status: of the instructions, or none of an earlier status.
fn set_reason(parts: &mut Parts, reason: Option<&str>) {
    #[cfg(any(feature = "serve", feature = "origin"))]
    {
        parts.extensions.remove::<hyper::ext::ReasonPhrase>();
        let phrase = reason.map(|reason| hyper::ext::ReasonPhrase::try_from(reason.as_bytes()));
        if let Some(Ok(phrase)) = phrase {
            parts.extensions.insert(phrase);
        }
    }
    let _ = (parts, reason);
}
