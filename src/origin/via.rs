//! Who passed a message on (RFC 9110 7.6.3).

use http::header::VIA;
use http::{HeaderMap, HeaderName, HeaderValue, Version};

/// What is appended to messages of each version.
#[derive(Clone, Debug)]
pub(super) struct Via([HeaderValue; 4]);

impl Via {
    /// With this pseudonym.
    pub(super) fn new(name: &HeaderName) -> Self {
        Self(["1.0", "1.1", "2", "3"].map(|version| {
            HeaderValue::from_str(&format!("{version} {name}"))
                .expect("a field name is a token, as a pseudonym is")
        }))
    }

    /// Says that a message of this version was received here.
    pub(super) fn append(&self, headers: &mut HeaderMap, version: Version) {
        let [one, one_one, two, three] = &self.0;
        let value = match version {
            Version::HTTP_09 | Version::HTTP_10 => one,
            Version::HTTP_2 => two,
            Version::HTTP_3 => three,
            _ => one_one,
        };
        headers.append(VIA, value.clone());
    }
}
