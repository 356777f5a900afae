//! Hosts with their ports: what they may look like, and when two are the same. Whoever reads one decides by this.

use std::borrow::Cow;

/// Classes of bytes: in a name in lower case, which end it, and those that are written otherwise or not at all.
const NAME: u8 = 0;
const COLON: u8 = 1;
const ODD: u8 = 2;

const CLASSES: [u8; 256] = {
    let mut classes = [ODD; 256];
    let mut byte = 0;
    while byte < 128 {
        if byte == b':' {
            classes[byte as usize] = COLON;
        } else if is_name(byte) && !byte.is_ascii_uppercase() {
            classes[byte as usize] = NAME;
        }
        byte += 1;
    }
    classes
};

/// Whether this is `host[:port]` (RFC 9110 4.2, 7.2): not empty, without userinfo, the port a number or empty.
#[cfg(any(
    feature = "hold",
    feature = "cache",
    feature = "purge",
    feature = "publish",
    feature = "serve",
    feature = "origin"
))]
pub(crate) fn is_host(value: &[u8]) -> bool {
    let port = match value {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|&byte| byte == b']') else {
                return false;
            };
            let address = &rest[..end];
            let is_address = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
            if address.is_empty() || !address.iter().all(is_address) {
                return false;
            }
            &rest[end + 1..]
        }
        _ => {
            let end = value.iter().position(|&byte| byte == b':').unwrap_or(value.len());
            let name = &value[..end];
            if name.is_empty() || !name.iter().copied().all(is_name) {
                return false;
            }
            &value[end..]
        }
    };
    match port {
        [] => true,
        [b':'] => true,
        [b':', digits @ ..] => is_port(digits),
        _ => false,
    }
}

/// Whether this is a number of at most five digits that a port can have.
fn is_port(digits: &[u8]) -> bool {
    let add = |port: u16, digit: &u8| {
        let digit = digit.is_ascii_digit().then(|| u16::from(digit - b'0'))?;
        port.checked_mul(10)?.checked_add(digit)
    };
    digits.len() <= 5 && digits.iter().try_fold(0, add).is_some()
}

/// Characters of a registered name (RFC 3986 3.2.2), without the comma: it would be two names in one field; and
/// without `%`: a name has one spelling.
const fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'='
        )
}

/// Default ports: of plain HTTP, and of HTTPS.
const DEFAULT_PORTS: [&str; 2] = ["80", "443"];

/// Normal form of what a [`Url`](crate::Url) names: lower case, without the root's dot, the port without leading zeros and only where
/// it is not a default one (an empty one is: RFC 3986 6.2.3). A `Url` names no scheme, so both default ports are none: of
/// the two, who came [with the other scheme's](has_default_port) is told apart by that port beside the URL, and a purge
/// of either name reaches both. What is no port stays as it is, and so do several dots, for no name ends in them, and a
/// dot alone: what is a host stays one.
pub(crate) fn normal(authority: &str) -> Cow<'_, str> {
    normal_without(authority, &DEFAULT_PORTS)
}

/// Normal form of the host that a request is for, and that is sent on: the same, where only the default port of its own
/// scheme is none.
#[cfg(any(feature = "hold", feature = "cache", feature = "serve", feature = "origin"))]
pub(crate) fn normal_over(authority: &str, is_https: bool) -> Cow<'_, str> {
    normal_without(authority, &DEFAULT_PORTS[usize::from(is_https)..][..1])
}

/// Whether a host in [normal form](normal_over) names a default port: that of the other scheme then.
#[cfg(any(feature = "hold", feature = "cache", feature = "serve", feature = "origin"))]
pub(crate) fn has_default_port(host: &[u8]) -> bool {
    host.ends_with(b":80") || host.ends_with(b":443")
}

fn normal_without<'a>(authority: &'a str, default_ports: &[&str]) -> Cow<'a, str> {
    if is_normal_host(authority.as_bytes()) {
        return Cow::Borrowed(authority);
    }
    let host = authority
        .rsplit('@')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    // An address in brackets has colons of its own.
    let address = host.rfind(']').map_or(0, |bracket| bracket + 1);
    let end = host[address..]
        .find(':')
        .map_or(host.len(), |colon| address + colon);
    let (name, port) = host.split_at(end);
    let root = name
        .strip_suffix('.')
        .filter(|name| !name.is_empty() && !name.ends_with('.'));
    let name = root.unwrap_or(name);
    let digits = port.strip_prefix(':').unwrap_or_default();
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return format!("{name}{port}").into();
    }
    match digits.trim_start_matches('0') {
        "" if !digits.is_empty() => format!("{name}:0").into(),
        "" => name.to_owned().into(),
        number if default_ports.contains(&number) => name.to_owned().into(),
        number => format!("{name}:{number}").into(),
    }
}

/// Whether it surely is a host, and in normal form. Almost all are; a few others (addresses in brackets) take the longer
/// way.
pub(crate) fn is_normal_host(authority: &[u8]) -> bool {
    let seen = authority
        .iter()
        .fold(0, |seen, byte| seen | CLASSES[usize::from(*byte)]);
    let (name, port) = match seen {
        NAME => (authority, None),
        COLON => {
            let colon = authority.iter().position(|byte| *byte == b':');
            let (name, port) = authority.split_at(colon.unwrap_or(authority.len()));
            (name, Some(port.get(1..).unwrap_or_default()))
        }
        _ => return false,
    };
    let is_own = |port: &[u8]| !matches!(port, b"" | b"80" | b"443" | [b'0', ..]) && is_port(port);
    !name.is_empty() && !name.ends_with(b".") && port.is_none_or(is_own)
}

#[cfg(test)]
mod tests {
    #[cfg(any(feature = "cache", feature = "purge", feature = "publish", feature = "serve"))]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_port_that_says_nothing_is_no_port() {
        // An empty port is the default one (RFC 3986 6.2.3), and a port is a number.
        for authority in [
            "example.com:",
            "example.com.:",
            "EXAMPLE.com:080",
            "example.com:00443",
        ] {
            assert!(!is_normal_host(authority.as_bytes()), "{authority}");
            assert_eq!(normal(authority), "example.com", "{authority}");
        }
        // Not that name, so nothing of it may be found under that name.
        assert_eq!(normal("example.com.."), "example.com..");
        assert_eq!(normal("h:08080"), "h:8080");
        assert_eq!(normal("[::1]:"), "[::1]");
        assert_eq!(normal("[::443]"), "[::443]");
        assert_eq!(normal(".:80"), ".");
    }

    #[cfg(any(feature = "hold", feature = "cache", feature = "serve", feature = "origin"))]
    #[test]
    fn only_the_default_port_of_its_own_scheme_is_none() {
        for (authority, plain, tls) in [
            ("SHOP.test.", "shop.test", "shop.test"),
            ("shop.test:", "shop.test", "shop.test"),
            ("shop.test:80", "shop.test", "shop.test:80"),
            ("shop.test:0443", "shop.test:443", "shop.test"),
            ("[::1]:443", "[::1]:443", "[::1]"),
            ("shop.test:8080", "shop.test:8080", "shop.test:8080"),
        ] {
            assert_eq!(normal_over(authority, false), plain, "{authority}");
            assert_eq!(normal_over(authority, true), tls, "{authority}");
            for host in [plain, tls] {
                let names_other = normal(host) != host;
                assert_eq!(has_default_port(host.as_bytes()), names_other, "{host}");
            }
        }
    }

    #[test]
    fn what_is_normal_at_a_glance() {
        for authority in ["example.com", "h:8080", "127.0.0.1:1", "a_b-c~", "h:65535"] {
            assert!(is_normal_host(authority.as_bytes()), "{authority}");
        }
        for authority in [
            "", ":", ":1", "H", "h:", "h:80", "h:443", "h:01", "h:65536", "h:x", "h:1:2", "h.", "h.:8080",
            "h:8080.", "u@h", "h/a", "h,i", "h%61", "h a", "\u{e9}", "[::1]",
        ] {
            assert!(!is_normal_host(authority.as_bytes()), "{authority}");
        }
    }

    #[test]
    fn a_normal_form_is_its_own() {
        for authority in [
            "a..", "a.:80.", "a:80:443", "a:80.", "u@v@A.:", "a.:8080", "[::1]:0", ":", ".", "a:x.",
        ] {
            let once = normal(authority).into_owned();
            assert_eq!(normal(&once), once, "{authority}");
        }
    }

    #[cfg(any(feature = "cache", feature = "purge", feature = "publish", feature = "serve"))]
    proptest! {
        #[test]
        fn what_is_normal_at_a_glance_is_a_host_and_its_own_normal_form(
            authority in "([a-z.]{0,3}|[A-Za-z%,@/]{0,3}|\\[::1\\])(:[0-9a:.]{0,6})?"
        ) {
            if is_normal_host(authority.as_bytes()) {
                prop_assert!(is_host(authority.as_bytes()));
                let longer = normal(&format!("{authority}@{authority}")).into_owned();
                prop_assert_eq!(longer, authority.as_str());
            }
            if is_host(authority.as_bytes()) {
                prop_assert!(is_host(normal(&authority).as_bytes()));
            }
        }
    }
}
