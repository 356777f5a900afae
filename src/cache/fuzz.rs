//! Targets of the fuzzer in this room.

use http::request::Parts;

use super::fields::Fields;
use super::key::{self, named_by};
pub(crate) use super::policy::fuzz as policy;
use crate::order::{TargetKey, Url};

/// The key and the URL by which this request is looked up.
pub(crate) fn named(parts: &Parts) -> Option<(TargetKey, Url)> {
    let named = named_by(&parts.uri, Fields::of(&parts.headers), "")?;
    Some((named.key(), named.into_url()))
}

/// The URL that a location names, if it is of the same origin.
pub(crate) fn same_origin_url(location: &str, base: &Url) -> Option<Url> {
    key::same_origin_url(location, base)
}
