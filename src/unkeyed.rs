//! Request fields that applications trust although no key covers them: who sends one could poison what others get.
//! Of `X-Forwarded-*` there is no list here: a cache minds them all, an origin is sent those that it may trust.

use http::HeaderName;
use http::header::FORWARDED;

/// They say how the edge was reached.
pub(crate) static REACHED: [HeaderName; 5] = [
    HeaderName::from_static("x-host"),
    HeaderName::from_static("x-original-host"),
    HeaderName::from_static("x-url-scheme"),
    HeaderName::from_static("front-end-https"),
    HeaderName::from_static("x-wap-profile"),
];

/// They turn a request into another one.
pub(crate) static REWRITING: [HeaderName; 6] = [
    FORWARDED,
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-method-override"),
];
