//! Values of options. Each is read from text, the same for flags, variables and the file.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use gripstack::serve::TrustedProxies;
use http::uri::Authority;
use http::{HeaderName, Uri};
use serde::de::{Error, IgnoredAny, Visitor};
use serde::{Deserialize, Deserializer};

/// An address to listen at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addr(pub SocketAddr);

/// The URL of an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url(pub String);

/// Which origin is asked for a host, or for what is below a path of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// `host[/prefix]`, or `*` for all hosts.
    pub pattern: String,
    /// The origin.
    pub url: Url,
    /// The option that says so.
    pub option: &'static str,
}

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount(pub u64);

/// Networks of proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies(pub TrustedProxies);

/// How often channels may send that begin so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Empty: all.
    pub prefix: String,
    pub interval: Duration,
}

/// How the server calls itself to others; `None`: not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pseudonym(pub Option<HeaderName>);

/// The name of a host, without a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(pub String);

/// A key or token. It is shown nowhere, but for the key that the demo makes for itself, on its page.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// A number of things.
pub fn count(text: &str) -> Result<usize, String> {
    text.parse()
        .map_err(|_| format!("{} is not a number like 10000", shown(text)))
}

// === impl Addr ===

impl FromStr for Addr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse()
            .map(Self)
            .map_err(|_| format!("{text:?} is not an address like 127.0.0.1:7999 or [::1]:7999"))
    }
}

// === impl Url ===

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| Err(format!("{} {what}", shown(text)));
        let Ok(uri) = text.parse::<Uri>() else {
            return wrong("is not a URL like http://127.0.0.1:8000");
        };
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return wrong("does not begin with http:// or https://");
        }
        if uri
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'))
        {
            return wrong("has a user in it, which is not supported");
        }
        if uri.query().is_some() {
            return wrong("has a query, which is not supported");
        }
        Ok(Self(text.to_owned()))
    }
}

/// A URL for an error's text, without what may be a password in it.
fn shown(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((before, after)) => {
            let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
            format!("\"{scheme}://...@{after}\"")
        }
        None => format!("{text:?}"),
    }
}

// === impl Route ===

impl FromStr for Route {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((pattern, url)) if !pattern.is_empty() => Ok(Self {
                pattern: pattern.to_owned(),
                url: url.parse()?,
                option: "route",
            }),
            _ => Err(format!("{} is not HOST[/PREFIX]=URL", shown(text))),
        }
    }
}

// === impl Span ===

impl Span {
    /// As a limit: no time is none.
    pub fn limit(self) -> Option<Duration> {
        (!self.0.is_zero()).then_some(self.0)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a time like 500ms, 10s, 5m, 24h or 7d");
        let (number, unit) = split_unit(text);
        let scale = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "" if number.bytes().all(|b| b == b'0') => 1,
            _ => return Err(wrong()),
        };
        let millis = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(scale));
        // Deadlines are sums of now and this.
        const LONGEST: u64 = 10 * 365 * 86_400_000;
        match millis {
            Some(millis) if millis <= LONGEST => Ok(Self(Duration::from_millis(millis))),
            Some(_) => Err(format!("{text:?} is longer than ten years")),
            None => Err(wrong()),
        }
    }
}

// === impl Proxies ===

impl FromStr for Proxies {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse()
            .map(Self)
            .map_err(|error: gripstack::serve::NotANetwork| error.to_string())
    }
}

// === impl Pace ===

impl FromStr for Pace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The name of a channel may have a `=` in it.
        let Some((prefix, interval)) = text.rsplit_once('=') else {
            return Err(format!("{text:?} is not PREFIX=TIME, as in counter-=100ms"));
        };
        let Span(interval) = interval.parse()?;
        let prefix = prefix.to_owned();
        Ok(Self { prefix, interval })
    }
}

// === impl Pseudonym ===

impl Default for Pseudonym {
    fn default() -> Self {
        Self(Some(HeaderName::from_static("gripstack")))
    }
}

impl FromStr for Pseudonym {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self(None)),
            name => name
                .parse()
                .map(|name| Self(Some(name)))
                .map_err(|_| format!("{text:?} is not a name of letters, digits and dashes")),
        }
    }
}

// === impl HostName ===

impl FromStr for HostName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<Authority>() {
            Ok(authority) if authority.host() == text && !text.is_empty() => Ok(Self(text.to_owned())),
            _ => Err(format!(
                "{} is not the name of a host, without a port",
                shown(text)
            )),
        }
    }
}

// === impl Amount ===

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a number of bytes like 65536, 64k, 256M or 2G");
        let (number, unit) = split_unit(text);
        let scale = match unit {
            "" => 1,
            "k" | "K" | "KiB" => 1 << 10,
            "M" | "MiB" => 1 << 20,
            "G" | "GiB" => 1 << 30,
            _ => return Err(wrong()),
        };
        let bytes = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(scale));
        bytes.map(Self).ok_or_else(wrong)
    }
}

fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

// === impl Secret ===

impl Secret {
    /// 128 bits that nobody knows.
    pub fn random() -> Self {
        let keys = RandomState::new();
        Self(format!("{:016x}{:016x}", keys.hash_one(0u8), keys.hash_one(1u8)))
    }

    /// This.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Why nobody can present it in a field of a request (RFC 9110 5.5), if so.
    pub fn is_no_field(&self) -> Option<&'static str> {
        if self
            .0
            .bytes()
            .any(|byte| byte.is_ascii_control() && byte != b'\t')
        {
            return Some(
                "has a line break or another control character in it, which no field of a request carries",
            );
        }
        let is_space = |c| matches!(c, ' ' | '\t');
        (self.0.starts_with(is_space) || self.0.ends_with(is_space))
            .then_some("begins or ends with a space, which is no part of a field's value")
    }

    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret(text.to_owned()))
            }

            // The usual texts of errors contain the value.
            fn visit_bool<E: Error>(self, _: bool) -> Result<Secret, E> {
                Err(E::custom("is not a string"))
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<Secret, E> {
                Err(E::custom("is not a string"))
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Secret, E> {
                Err(E::custom("is not a string"))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, _: A) -> Result<Secret, A::Error> {
                Err(A::Error::custom("is not a string"))
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Err(A::Error::custom("is not a string"))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

/// Reads a value from the same text in the file as behind a flag; numbers may go without quotes.
macro_rules! from_text {
    ($($value:ty),*) => {$(
        impl<'de> Deserialize<'de> for $value {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[derive(Deserialize)]
                #[serde(untagged, expecting = "expected a string")]
                enum Text {
                    Text(String),
                    Number(u64),
                }
                let text = match Text::deserialize(deserializer)? {
                    Text::Text(text) => text,
                    Text::Number(number) => number.to_string(),
                };
                text.parse().map_err(D::Error::custom)
            }
        }
    )*};
}

from_text!(Addr, Url, Span, Amount, Pseudonym);

/// Values of one option in the file: between commas, as behind the flag, or in a list.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a string, or a list of strings")]
enum Listed {
    Text(String),
    List(Vec<String>),
}

/// Reads a list in either form.
pub fn list<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = String>,
{
    let values = match Listed::deserialize(deserializer)? {
        Listed::Text(text) => text.split(',').map(str::parse).collect(),
        Listed::List(values) => values.iter().map(|value| value.parse()).collect(),
    };
    let values: Result<Vec<T>, String> = values;
    values.map(Some).map_err(D::Error::custom)
}

impl<'de> Deserialize<'de> for Proxies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match Listed::deserialize(deserializer)? {
            Listed::Text(text) => text,
            Listed::List(values) => values.join(","),
        };
        text.parse().map_err(D::Error::custom)
    }
}

/// Reads a number, with quotes or without.
pub fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a number like 10000")]
    enum Number {
        Number(usize),
        Text(String),
    }
    match Number::deserialize(deserializer)? {
        Number::Number(number) => Ok(Some(number)),
        Number::Text(text) => count(&text).map(Some).map_err(D::Error::custom),
    }
}

/// Reads a switch.
pub fn switch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected true or false, without quotes")]
    enum Switch {
        Switch(bool),
    }
    let Switch::Switch(switch) = Switch::deserialize(deserializer)?;
    Ok(Some(switch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let ok = |text: &str| text.parse::<Span>().unwrap().0;
        assert_eq!(ok("500ms"), Duration::from_millis(500));
        assert_eq!(ok("10s"), Duration::from_secs(10));
        assert_eq!(ok("24h"), Duration::from_secs(86_400));
        assert_eq!(ok("2d"), Duration::from_secs(172_800));
        assert_eq!(ok("0"), Duration::ZERO);
        for wrong in [
            "",
            "10",
            "s",
            "-1s",
            "1.5s",
            "10 s",
            "1w",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert!(wrong.parse::<Span>().is_err(), "{wrong:?}");
        }
        assert!("4000d".parse::<Span>().unwrap_err().contains("ten years"));
    }

    #[test]
    fn bytes_are_powers_of_1024() {
        let ok = |text: &str| text.parse::<Amount>().unwrap().0;
        assert_eq!(ok("65536"), 65_536);
        assert_eq!(ok("64k"), 65_536);
        assert_eq!(ok("2GiB"), 2 << 30);
        for wrong in ["", "M", "1T", "-1", "1.5M", "99999999999G"] {
            assert!(wrong.parse::<Amount>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn urls_are_of_http() {
        assert!("http://127.0.0.1:8000".parse::<Url>().is_ok());
        assert!("https://example.com/app".parse::<Url>().is_ok());
        for wrong in [
            "",
            "127.0.0.1:8000",
            "ftp://a",
            "/a",
            "http://a/?b=c",
            "http:// a",
        ] {
            assert!(wrong.parse::<Url>().is_err(), "{wrong:?}");
        }
        let error = "http://joe:hunter2@a/".parse::<Url>().unwrap_err();
        assert!(error.contains("user") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_route_is_a_pattern_and_a_url() {
        let route: Route = "example.com/api=http://a:80/x".parse().unwrap();
        assert_eq!(route.pattern, "example.com/api");
        assert_eq!(route.url, Url("http://a:80/x".to_owned()));
        for wrong in ["", "example.com", "=http://a", "example.com=a"] {
            assert!(wrong.parse::<Route>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_pace_is_a_prefix_and_a_time() {
        let pace: Pace = "a=b-=100ms".parse().unwrap();
        assert_eq!(
            (&*pace.prefix, pace.interval),
            ("a=b-", Duration::from_millis(100))
        );
        assert_eq!("=1s".parse::<Pace>().unwrap().prefix, "");
        for wrong in ["", "a", "a=", "a=1"] {
            assert!(wrong.parse::<Pace>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_pseudonym_is_a_name_or_none() {
        assert_eq!("off".parse(), Ok(Pseudonym(None)));
        assert_eq!("gripstack".parse(), Ok(Pseudonym::default()));
        for wrong in ["", "a b", "a/b"] {
            assert!(wrong.parse::<Pseudonym>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_host_has_no_port() {
        assert_eq!("edge.internal".parse(), Ok(HostName("edge.internal".to_owned())));
        for wrong in ["", "a:80", "u@a", "a/b", "a b"] {
            assert!(wrong.parse::<HostName>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let secret: Secret = "hunter2".parse().unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert_eq!(secret.reveal(), "hunter2");
    }
}
