//! What is kept of a request: enough to log it and, where that is safe, to ask again.

use std::borrow::Cow;

use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONNECTION, HeaderMap, HeaderName, HeaderValue, IF_RANGE, RANGE, UPGRADE,
};
use http::{Extensions, Method, Request, StatusCode, Uri, Version};

use super::layer::Options;
use super::plain_urls::{PlainUrls, UrlHash};
use crate::body::EdgeBody;
use crate::drain::Drain;
use crate::grip;
use crate::handoff::AskedByHold;
use crate::position::Position;
use crate::request::who_asks;
use crate::time::Now;
use crate::waiting::Waiting;

const GRIP_FEATURE: HeaderName = HeaderName::from_static("grip-feature");
const GRIP_LAST: HeaderName = HeaderName::from_static("grip-last");
#[cfg(feature = "jwt")]
const GRIP_SIG: HeaderName = HeaderName::from_static("grip-sig");

/// A request, as it went to the service below.
pub(super) struct Original {
    method: Method,
    uri: Uri,
    pub(super) drain: Option<Drain>,
    /// Of one that it is safe to make again.
    url: Option<UrlHash>,
    rest: Rest,
}

/// What is kept of the rest of a request.
enum Rest {
    /// All: it may be made again.
    All(Saved),
    /// By what a server is told that the client is kept waiting.
    Waiting(Option<Waiting>),
}

/// The rest of a request that may be made again. A list takes one allocation where a map takes more.
struct Saved {
    version: Version,
    headers: Vec<(HeaderName, HeaderValue)>,
    extensions: Extensions,
}

/// How a request is made again.
#[derive(Debug, Default)]
pub(super) struct Again {
    /// An answer stamped below this is of no use.
    pub(super) at_least: Position,
    /// Past every cache: without it an answer is sought that ours find good enough.
    pub(super) no_cache: bool,
    /// Values of `Grip-Last`.
    pub(super) last: Vec<HeaderValue>,
}

/// Makes a client's request one of the edge's: without `Grip-*` and `Accept-Encoding` (what is pushed is appended
/// as it is), with what the edge says of itself.
pub(super) fn prepare(headers: &mut HeaderMap, options: &Options, now: impl FnOnce() -> Now) {
    grip::strip(headers);
    headers.remove(ACCEPT_ENCODING);
    headers.insert(GRIP_FEATURE, options.features.clone());
    #[cfg(feature = "jwt")]
    if let Some(signer) = &options.signer {
        headers.insert(GRIP_SIG, signer.value(now()));
    }
    #[cfg(not(feature = "jwt"))]
    let _ = now;
}

/// Tells a cache of ours who asks, and for what. Returns whether a hold layer has said so already.
pub(super) fn ask(extensions: &mut Extensions, at_least: Position) -> bool {
    AskedByHold { at_least }.say(extensions)
}

// === impl Original ===

impl Original {
    /// Of a prepared request. Only a GET without a body is copied, unless its URL never has instructions. A handle
    /// for an upgrade must not be: two takers panic.
    pub(super) fn of<B>(request: &Request<B>, has_body: bool, plain_urls: &PlainUrls) -> Self {
        let drain: Option<Drain> = request.extensions().get().cloned();
        // A server that puts one there puts the other, too.
        let waiting = || drain.as_ref().and_then(|_| request.extensions().get::<Waiting>());
        let url = (*request.method() == Method::GET && !has_body).then(|| PlainUrls::hash(request));
        let copied = url.is_some_and(|url| !plain_urls.is_plain(url));
        let rest = if copied {
            let all = request.headers();
            let upgrades = all.contains_key(UPGRADE);
            let kept = |name: &HeaderName| !upgrades || (name != UPGRADE && name != CONNECTION);
            let mut headers = Vec::with_capacity(all.len());
            let all = all.iter().filter(|(name, _)| kept(name));
            headers.extend(all.map(|(name, value)| (name.clone(), value.clone())));
            let extensions = if upgrades {
                let mut extensions = who_asks(request.extensions());
                waiting().map(|waiting| extensions.insert(waiting.clone()));
                extensions
            } else {
                request.extensions().clone()
            };
            Rest::All(Saved {
                version: request.version(),
                headers,
                extensions,
            })
        } else {
            Rest::Waiting(waiting().cloned())
        };
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            drain,
            url,
            rest,
        }
    }

    pub(super) fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }

    /// Whether its client may make it again at any time.
    pub(super) fn is_safe(&self) -> bool {
        self.url.is_some()
    }

    /// Its answer had instructions, or not. A failure of the service tells nothing, nor does a refusal, or whoever may
    /// not hold a URL could make it known as plain for those who may.
    pub(super) fn note(&self, plain_urls: &PlainUrls, status: StatusCode, instructions: bool) {
        if let Some(url) = self.url
            && (instructions || status.is_success())
        {
            plain_urls.saw(url, instructions);
        }
    }

    /// Whether it can be made again here.
    pub(super) fn is_repeatable(&self) -> bool {
        matches!(self.rest, Rest::All(_))
    }

    /// Tells the server that the client is kept waiting from here on: if it ends its side, nobody waits any more.
    pub(super) fn say_waiting(&self) {
        let waiting = match &self.rest {
            Rest::All(saved) => saved.extensions.get(),
            Rest::Waiting(waiting) => waiting.as_ref(),
        };
        if let Some(waiting) = waiting {
            waiting.begin();
        }
    }

    /// Method and path, for logs: a query may hold secrets.
    pub(super) fn describe(&self) -> (&str, &str) {
        (self.method.as_str(), self.uri.path())
    }

    /// The request once more: for the whole, since a part of a body cannot be held from.
    pub(super) fn again(&self, again: Again, options: &Options, now: Now) -> Option<Request<EdgeBody>> {
        let Rest::All(copy) = &self.rest else {
            return None;
        };
        let mut request = Request::new(EdgeBody::empty());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = copy.version;
        *request.extensions_mut() = copy.extensions.clone();
        request.headers_mut().reserve(copy.headers.len() + 4);
        for (name, value) in &copy.headers {
            request.headers_mut().append(name, value.clone());
        }
        let headers = request.headers_mut();
        prepare(headers, options, || now);
        headers.remove(RANGE);
        headers.remove(IF_RANGE);
        if again.no_cache {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        }
        for value in again.last {
            headers.append(GRIP_LAST, value);
        }
        ask(request.extensions_mut(), again.at_least);
        Some(request)
    }
}

/// `channel; last-id=id`, if a header can carry it.
pub(super) fn grip_last(channel: &str, id: &str) -> Option<HeaderValue> {
    let plain = |text: &str| !text.contains([';', ',', '"']) && text == text.trim();
    if !plain(channel) || !plain(id) {
        return None;
    }
    HeaderValue::from_bytes(format!("{channel}; last-id={id}").as_bytes()).ok()
}

/// Text as a header's value: what it cannot carry is replaced.
pub(super) fn header_text(text: &str) -> HeaderValue {
    let clean = |c: char| matches!(c, ' '..='~');
    let text = if text.chars().all(clean) {
        Cow::Borrowed(text)
    } else {
        text.chars().map(|c| if clean(c) { c } else { '?' }).collect()
    };
    HeaderValue::from_str(&text).expect("only visible ASCII and spaces are left")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_that_could_have_had_instructions_make_a_url_plain() {
        let is_copied = |status: u16| {
            let plain_urls = PlainUrls::new();
            let request = Request::builder().uri("http://h/a").body(()).expect("valid");
            let original = || Original::of(&request, false, &plain_urls);
            for _ in 0..100 {
                let status = StatusCode::from_u16(status).expect("valid");
                original().note(&plain_urls, status, false);
            }
            original().is_repeatable()
        };
        for status in [302, 304, 401, 403, 404, 429, 502] {
            assert!(is_copied(status), "{status}");
        }
        assert!(!is_copied(200));
    }

    #[test]
    fn ids_travel_where_a_header_can_carry_them() {
        assert_eq!(
            grip_last("t", "1").as_ref().map(HeaderValue::as_bytes),
            Some(&b"t; last-id=1"[..])
        );
        for (channel, id) in [("a;b", "1"), ("t", "1,2"), ("t", " 1"), ("t", "\n")] {
            assert_eq!(grip_last(channel, id), None);
        }
        assert_eq!(header_text("a\tb\u{e9}c"), "a?b?c");
    }
}
