//! Which fields a request has that somebody minds: found in one look through them, for most have none.

use http::{HeaderMap, HeaderValue, Request};

use super::host::{is_settled, scheme};
use super::names::{is_forwarded, is_keyed, is_odd, is_removed};
use crate::authority::{has_default_port, is_normal_host};

/// Kinds of fields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fields(u16);

// === impl Fields ===

impl Fields {
    /// None.
    #[cfg(feature = "cache")]
    pub(crate) const NONE: Self = Self(0);
    /// `Upgrade`. Once a request is settled: another protocol is asked for.
    pub(crate) const UPGRADE: Self = Self(1);
    /// `If-None-Match` or `If-Modified-Since`.
    pub(crate) const CONDITION: Self = Self(1 << 1);
    /// `Cache-Control`, `Authorization`, or what the client says that it has had: such an answer may be for nobody else.
    pub(crate) const LIMIT: Self = Self(1 << 2);
    /// Part of the key without being named by `Vary`.
    pub(crate) const KEYED: Self = Self(1 << 3);
    /// Named `Grip-*`.
    pub(crate) const GRIP: Self = Self(1 << 4);
    /// More than one `Host`.
    pub(crate) const HOSTS: Self = Self(1 << 5);
    /// `Range`.
    pub(crate) const RANGE: Self = Self(1 << 6);
    /// A host that is not at a glance in normal form whatever the scheme.
    pub(crate) const ODD_HOST: Self = Self(1 << 7);
    /// Of one connection, or they turn a request into another one, or have odd names.
    pub(super) const UNSETTLED: Self = Self(1 << 8);
    /// They say how the edge was reached, or by whom.
    pub(super) const FORWARDED: Self = Self(1 << 9);
    /// `Cookie`, and more than one.
    const COOKIE: Self = Self(1 << 10);
    const COOKIES: Self = Self(1 << 11);
    /// A target with an authority that its fields, or the connection, do not agree with.
    const TARGET: Self = Self(1 << 12);

    /// `Connection` that says only whether the connection goes on, as most clients send it.
    const CONNECTION: Self = Self(1 << 13);

    /// What makes it necessary to look closer. Some of it stays.
    const ANY_UNSETTLED: u16 = Self::UPGRADE.0
        | Self::HOSTS.0
        | Self::ODD_HOST.0
        | Self::UNSETTLED.0
        | Self::FORWARDED.0
        | Self::COOKIES.0
        | Self::TARGET.0
        | Self::CONNECTION.0;

    /// The kinds of fields that a request has, and its (first) `Host`.
    #[inline]
    pub(crate) fn of<B>(request: &Request<B>) -> (Self, Option<&HeaderValue>) {
        let (mut fields, host) = Self::in_headers(request.headers());
        if let Some(authority) = request.uri().authority() {
            let of_connection = || scheme(request.extensions());
            if !is_settled(request.uri().scheme(), authority, host, of_connection) {
                fields.0 |= Self::TARGET.0;
            }
        }
        (fields, host)
    }

    fn in_headers(headers: &HeaderMap) -> (Self, Option<&HeaderValue>) {
        let mut host = None;
        let mut all = 0;
        for (name, value) in headers {
            let text = name.as_str();
            // No name is empty.
            let kind = match text.as_bytes()[0] {
                b'h' if text == "host" => {
                    let kind = of_host(value);
                    match host.replace(value) {
                        Some(first) => {
                            host = Some(first);
                            Self::HOSTS.0
                        }
                        None => kind,
                    }
                }
                b'u' if text == "upgrade" => Self::UPGRADE.0,
                b'i' if text == "if-none-match" || text == "if-modified-since" => Self::CONDITION.0,
                b'r' if text == "range" => Self::RANGE.0,
                b'c' if text == "cookie" => match all & Self::COOKIE.0 {
                    0 => Self::COOKIE.0,
                    _ => Self::COOKIES.0,
                },
                b'c' if text == "cache-control" => Self::LIMIT.0,
                b'c' if text == "connection" => of_connection(value),
                b'a' if text == "authorization" => Self::LIMIT.0,
                b'k' if text == "keep-alive" => Self::UNSETTLED.0,
                b't' if text == "te" || text == "transfer-encoding" => Self::UNSETTLED.0,
                b'p' if text.starts_with("proxy") => Self::UNSETTLED.0,
                b'x' | b'f' if is_forwarded(name) => match is_keyed(name) {
                    true => Self::FORWARDED.0 | Self::KEYED.0,
                    false => Self::FORWARDED.0,
                },
                b'x' | b'f' | b'h' if is_removed(name) => Self::UNSETTLED.0,
                b'l' if text == "last-event-id" => Self::LIMIT.0,
                #[cfg(any(feature = "hold", feature = "cache", feature = "publish"))]
                b'g' if text == "grip-last" => Self::GRIP.0 | Self::LIMIT.0,
                #[cfg(any(feature = "hold", feature = "cache", feature = "publish"))]
                b'g' if crate::grip::is_grip(name) => Self::GRIP.0,
                _ if is_odd(text) => Self::KEYED.0 | Self::UNSETTLED.0,
                _ => 0,
            };
            all |= kind;
        }
        (Self(all), host)
    }

    #[inline]
    pub(crate) fn has(self, kind: Self) -> bool {
        self.0 & kind.0 != 0
    }

    /// Whether the request may not be in the form that is judged and sent.
    #[inline]
    pub(crate) fn is_unsettled(self) -> bool {
        self.0 & Self::ANY_UNSETTLED != 0
    }

    /// If a `Connection` that names no field is all that unsettles it: what there is beside.
    pub(super) fn but_for_connection(self) -> Option<Self> {
        (self.0 & Self::ANY_UNSETTLED == Self::CONNECTION.0).then_some(Self(self.0 & !Self::CONNECTION.0))
    }

    /// Whether there is something of the connection, or that turns the request into another one, or has an odd name.
    pub(super) fn has_unwanted(self) -> bool {
        self.0 & (Self::UNSETTLED.0 | Self::UPGRADE.0 | Self::CONNECTION.0) != 0
    }
}

fn of_connection(value: &HeaderValue) -> u16 {
    let value = value.as_bytes();
    match value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close") {
        true => Fields::CONNECTION.0,
        false => Fields::UNSETTLED.0,
    }
}

fn of_host(host: &HeaderValue) -> u16 {
    let host = host.as_bytes();
    match is_normal_host(host) {
        true => 0,
        false if has_default_port(host) => Fields::ODD_HOST.0 | Fields::KEYED.0,
        false => Fields::ODD_HOST.0,
    }
}

#[cfg(test)]
mod tests {
    use http::header::HOST;

    use super::*;

    #[test]
    fn each_kind_is_found_among_others() {
        let fields = |names: &[&'static str]| {
            let field =
                |name: &&'static str| (http::HeaderName::from_static(name), "a".parse().expect("valid"));
            Fields::in_headers(&names.iter().map(field).collect()).0
        };
        let forwarded = Fields(Fields::FORWARDED.0 | Fields::KEYED.0);
        for (name, kind) in [
            ("upgrade", Fields::UPGRADE),
            ("if-none-match", Fields::CONDITION),
            ("if-modified-since", Fields::CONDITION),
            ("range", Fields::RANGE),
            ("cache-control", Fields::LIMIT),
            ("authorization", Fields::LIMIT),
            ("x-forwarded-host", forwarded),
            ("front-end-https", forwarded),
            ("x-forwarded", forwarded),
            ("x-http-host-override", forwarded),
            ("x-forwarded-for", Fields::FORWARDED),
            ("forwarded", Fields::UNSETTLED),
            ("x-original-url", Fields::UNSETTLED),
            ("connection", Fields::UNSETTLED),
            ("te", Fields::UNSETTLED),
            ("proxy", Fields::UNSETTLED),
            ("proxy-connection", Fields::UNSETTLED),
            ("http2-settings", Fields::UNSETTLED),
            ("a_b", Fields(Fields::KEYED.0 | Fields::UNSETTLED.0)),
            ("x_b", Fields(Fields::KEYED.0 | Fields::UNSETTLED.0)),
            ("cookie", Fields::COOKIE),
            #[cfg(any(feature = "hold", feature = "cache", feature = "publish"))]
            ("grip-hold", Fields::GRIP),
        ] {
            assert_eq!(fields(&["host", name, "accept"]), kind, "{name}");
        }
        let none = fields(&[
            "host", "accept", "from", "if-match", "x-custom", "gripe", "priority",
        ]);
        assert_eq!(none, Fields(0));
        assert!(!none.is_unsettled());
    }

    #[cfg(feature = "cache")]
    #[test]
    fn what_resumes_limits_who_may_have_the_answer() {
        for name in &super::super::RESUMING {
            let headers = HeaderMap::from_iter([(name.clone(), HeaderValue::from_static("1"))]);
            assert!(Fields::in_headers(&headers).0.has(Fields::LIMIT), "{name}");
        }
    }

    #[test]
    fn a_second_one_is_noticed() {
        let mut headers = HeaderMap::new();
        headers.append(HOST, "a".parse().expect("valid"));
        headers.append("cookie", "a=1".parse().expect("valid"));
        let first = |headers: &HeaderMap| Fields::in_headers(headers).1.cloned();
        assert_eq!(first(&headers).expect("there is one"), "a");
        assert_eq!(Fields::in_headers(&headers).0, Fields::COOKIE);
        headers.append(HOST, "b".parse().expect("valid"));
        headers.append("cookie", "b=1".parse().expect("valid"));
        assert_eq!(first(&headers).expect("there is one"), "a");
        let fields = Fields::in_headers(&headers).0;
        assert!(fields.has(Fields::HOSTS) && fields.has(Fields::COOKIES));
    }
}
