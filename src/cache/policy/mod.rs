//! What HTTP says about caching, as pure functions of headers and time (RFC 9110, 9111, 5861, 9211, 9213).
//!
//! Nothing here does I/O, reads a clock, or knows the rest of the cache. In the order of a request's life:
//!
//! | Question | Asked of |
//! |---|---|
//! | Which variant does this request want? | [`VarySpec::variant_key`] |
//! | May a stored response answer it now? | [`Freshness::is_fresh`], [`Freshness::may_serve_stale`] |
//! | Does the client have it already? | [`is_not_modified`] |
//! | Does it want a part only? | [`Part::of`] |
//! | What is sent to validate it? | [`Validators::conditional_headers`] |
//! | What does the origin allow? | [`CacheControl::of`] |
//! | May the answer be shared, may it be stored? | [`decide`] |
//! | With which fields? | [`stored_headers`], [`merge_304`] |
//! | What is the client told? | [`CacheStatus`] |

mod date;
mod directives;
mod freshness;
mod headers;
mod list;
mod range;
mod status;
mod storable;
mod structured;
mod targeted;
mod validate;
mod vary;

#[cfg(all(feature = "full", any(test, fuzzing)))]
pub(crate) mod fuzz;
#[cfg(test)]
mod tests;

pub(crate) use date::format_http_date;
pub(crate) use directives::{CacheControl, RequestDirectives};
pub(crate) use freshness::{Freshness, Outage, StaleReason};
pub(crate) use headers::{detach, merge_304, own_fields, stored_headers, stored_trailers};
pub(crate) use range::{Part, part_headers, unsatisfiable_headers};
pub(crate) use status::{CacheStatus, Fwd};
pub(crate) use storable::{
    NoStore, RequestFacts, ResponseFacts, StoreLimits, Verdict, decide, is_error_status, prohibition,
};
pub(crate) use targeted::CDN_CACHE_CONTROL;
pub(crate) use validate::{
    Arrival, Validators, ambiguous_date, is_not_modified, names_no_tag, names_tag_of, not_modified_headers,
    strip_client_conditionals,
};
pub(crate) use vary::{VariantHasher, VarySpec, reduce_accept_encoding};
