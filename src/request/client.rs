//! Who sent a request.

use std::net::{IpAddr, SocketAddr};

/// In a request's extensions: who sent it, as its server knows. `serve` puts it there; on another server
/// whoever does so says which `X-Forwarded-*` fields may be believed. Whether the client came by TLS stands beside it,
/// as an [`http::uri::Scheme`].
///
/// | in the extensions | what the fields `X-Forwarded-*`, `X-Real-IP` and their like are |
/// |---|---|
/// | none | unknown: they stay, and are part of a cache's key; an `Origin` writes its own |
/// | one without `proxy` | forged: they are removed |
/// | one with `proxy` | that proxy's: they stay, and an `Origin` adds to them |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// The client's address.
    pub addr: Option<SocketAddr>,
    /// The trusted proxy that the request came through at last: it sent the fields.
    pub proxy: Option<IpAddr>,
}

/// In a request's extensions: fields whose names have other characters than letters, digits and dashes reach the
/// application also where their name with dashes would mean something to an edge, as `X_Forwarded_Host` does. By
/// default such fields are removed, for CGI, WSGI and PHP cannot tell the two names apart. In a cache they are part of
/// the key, so that who sends one gets an answer of his own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeepUnderscores;
