//! Targets of the fuzzer in this room.

use http::request::Parts;

use super::key::url_of;
pub(crate) use super::policy::fuzz as policy;
use crate::order::{TargetKey, Url};
use crate::request::Fields;

/// The key and the URL by which this request is looked up.
pub(crate) fn named(parts: &Parts) -> Option<(TargetKey, Url)> {
    let request = http::Request::from_parts(parts.clone(), ());
    let named = url_of(&parts.uri, &parts.extensions, Fields::of(&request), "")?;
    Some((named.key(), named.into_url()))
}

/// The URL that a location names, if it is of the same origin.
pub(crate) fn same_origin_url(location: &str, base: &Url) -> Option<Url> {
    super::location::same_origin_url(location, base)
}
