//! Which URLs never have instructions.
//!
//! To be able to ask again, a GET is copied before it is sent, for then it is gone: that costs more than all else
//! that the layer does for a response without instructions. So a URL that was answered many times without any, and
//! never with, is not copied for. Nothing depends on it but what happens if such a URL suddenly holds, and that very
//! answer cannot be held from: the hold is then marked at once instead of after asking.

use http::Request;
use http::header::HOST;

use crate::order::TargetKey;
use crate::sync::atomic::{AtomicU64, Ordering};

/// URLs that are remembered; 32 KiB.
const SLOTS: usize = 4_096;

/// After so many answers without instructions a URL is known as plain.
const ENOUGH: u64 = 16;

/// The bits that hold how often a URL was answered without instructions; all set: it had some.
const COUNT: u64 = 0x1f;

/// Remembers URLs by their hashes. One that is forgotten is only copied for again.
pub(super) struct PlainUrls {
    /// A hash of 59 bits and a count, each.
    slots: Box<[AtomicU64]>,
}

/// A URL, hashed. Whoever makes two collide gains nothing.
#[derive(Clone, Copy)]
pub(super) struct UrlHash(u64);

// === impl PlainUrls ===

impl PlainUrls {
    pub(super) fn new() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    pub(super) fn hash<B>(request: &Request<B>) -> UrlHash {
        let uri = request.uri();
        let host = match uri.authority() {
            Some(authority) => authority.as_str().as_bytes(),
            None => request
                .headers()
                .get(HOST)
                .map_or(&b""[..], |host| host.as_bytes()),
        };
        let path = uri.path_and_query().map_or("", |path| path.as_str());
        UrlHash(TargetKey::of_url(host, path).get())
    }

    /// Whether it is known never to have instructions.
    pub(super) fn is_plain(&self, url: UrlHash) -> bool {
        let seen = self.slot(url).load(Ordering::Relaxed);
        seen & !COUNT == url.0 & !COUNT && (ENOUGH..COUNT).contains(&(seen & COUNT))
    }

    /// Its answer had instructions, or not. Two at once may count as one.
    pub(super) fn saw(&self, url: UrlHash, instructions: bool) {
        let slot = self.slot(url);
        let seen = slot.load(Ordering::Relaxed);
        let name = url.0 & !COUNT;
        let count = if seen & !COUNT == name { seen & COUNT } else { 0 };
        let count = match count {
            COUNT => COUNT,
            _ if instructions => COUNT,
            count => (count + 1).min(ENOUGH),
        };
        if seen != name | count {
            slot.store(name | count, Ordering::Relaxed);
        }
    }

    fn slot(&self, url: UrlHash) -> &AtomicU64 {
        &self.slots[(url.0 >> 32) as usize % SLOTS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_times_plain_and_never_again_after_one_hold() {
        let urls = PlainUrls::new();
        let hash = |uri: &str, host: &str| {
            let request = http::Request::builder().uri(uri).header(HOST, host).body(());
            PlainUrls::hash(&request.expect("valid"))
        };
        let url = hash("/a?b", "h");
        assert_eq!(url.0, hash("http://h/a?b", "x").0);
        assert_ne!(url.0, hash("/a?b", "i").0);
        for _ in 0..ENOUGH {
            assert!(!urls.is_plain(url));
            urls.saw(url, false);
        }
        urls.saw(url, false);
        assert!(urls.is_plain(url));
        assert!(!urls.is_plain(hash("/a?c", "h")));
        urls.saw(url, true);
        for _ in 0..100 {
            urls.saw(url, false);
        }
        assert!(!urls.is_plain(url));
    }
}
