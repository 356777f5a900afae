//! `CDN-Cache-Control` (RFC 9213): a policy for caches like this one.

use std::time::Duration;

use http::{HeaderMap, HeaderName};

use super::directives::{CacheControl, Qualifier};
use super::list::MAX_DELTA_SECONDS;
use super::structured::{Value, dictionary};

pub(crate) const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// The directives that are known, in the order of [`Directive`].
const NAMES: [&str; 13] = [
    "max-age",
    "s-maxage",
    "stale-while-revalidate",
    "stale-if-error",
    "no-store",
    "no-cache",
    "private",
    "public",
    "must-revalidate",
    "proxy-revalidate",
    "must-understand",
    "immutable",
    "no-transform",
];

#[derive(Clone, Copy)]
enum Directive {
    MaxAge,
    SMaxage,
    StaleWhileRevalidate,
    StaleIfError,
    NoStore,
    NoCache,
    Private,
    Public,
    MustRevalidate,
    ProxyRevalidate,
    MustUnderstand,
    Immutable,
    NoTransform,
}

/// What each directive says. Of a repeated one the last counts, as in every dictionary.
#[derive(Default)]
struct Values<'a>([Option<Value<'a>>; NAMES.len()]);

/// A directive has a value of another type than its own.
struct WrongType;

// === impl CacheControl ===

impl CacheControl {
    /// Of a response: of its `CDN-Cache-Control`, and then of nothing else (RFC 9213 2.2); without one, or with one that
    /// is empty, malformed, or has a known directive of another type, of its `Cache-Control` and `Expires`.
    pub(crate) fn of(response: &HeaderMap) -> Self {
        targeted(response).unwrap_or_else(|| Self::parse(response))
    }
}

fn targeted(response: &HeaderMap) -> Option<CacheControl> {
    let mut lines = response.get_all(CDN_CACHE_CONTROL).iter();
    let mut text = lines.next()?.as_bytes().to_vec();
    for line in lines {
        text.extend_from_slice(b", ");
        text.extend_from_slice(line.as_bytes());
    }
    let mut values = Values::default();
    let mut is_empty = true;
    dictionary(&text, |key, value| {
        is_empty = false;
        if let Some(index) = NAMES.iter().position(|name| name.as_bytes() == key) {
            values.0[index] = Some(value);
        }
    })?;
    if is_empty {
        return None;
    }
    values.policy().ok()
}

// === impl Values ===

impl Values<'_> {
    fn policy(&self) -> Result<CacheControl, WrongType> {
        Ok(CacheControl {
            max_age: self.seconds(Directive::MaxAge)?,
            s_maxage: self.seconds(Directive::SMaxage)?,
            stale_while_revalidate: self.seconds(Directive::StaleWhileRevalidate)?,
            stale_if_error: self.seconds(Directive::StaleIfError)?,
            expires: false,
            no_store: self.flag(Directive::NoStore)?,
            no_cache: self.qualifier(Directive::NoCache)?,
            private: self.qualifier(Directive::Private)?,
            public: self.flag(Directive::Public)?,
            must_revalidate: self.flag(Directive::MustRevalidate)?,
            proxy_revalidate: self.flag(Directive::ProxyRevalidate)?,
            must_understand: self.flag(Directive::MustUnderstand)?,
            immutable: self.flag(Directive::Immutable)?,
            no_transform: self.flag(Directive::NoTransform)?,
        })
    }

    fn get(&self, directive: Directive) -> Option<&Value<'_>> {
        self.0[directive as usize].as_ref()
    }

    /// Less than nothing is nothing.
    fn seconds(&self, directive: Directive) -> Result<Option<Duration>, WrongType> {
        match self.get(directive) {
            None => Ok(None),
            Some(Value::Integer(seconds)) => {
                let seconds = u64::try_from(*seconds).unwrap_or_default();
                Ok(Some(Duration::from_secs(seconds.min(MAX_DELTA_SECONDS))))
            }
            Some(_) => Err(WrongType),
        }
    }

    fn flag(&self, directive: Directive) -> Result<bool, WrongType> {
        match self.get(directive) {
            None => Ok(false),
            Some(Value::Boolean(flag)) => Ok(*flag),
            Some(_) => Err(WrongType),
        }
    }

    fn qualifier(&self, directive: Directive) -> Result<Option<Qualifier>, WrongType> {
        match self.get(directive) {
            None | Some(Value::Boolean(false)) => Ok(None),
            Some(Value::Boolean(true)) => Ok(Some(Qualifier::Response)),
            Some(Value::String(names)) => Ok(Some(Qualifier::of(names))),
            Some(_) => Err(WrongType),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header::{CACHE_CONTROL, EXPIRES};

    use super::*;

    fn policy(lines: &[&str]) -> CacheControl {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, "no-transform, max-age=1".parse().unwrap());
        headers.insert(EXPIRES, "0".parse().unwrap());
        for line in lines {
            headers.append(CDN_CACHE_CONTROL, line.parse().unwrap());
        }
        CacheControl::of(&headers)
    }

    fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn each_directive_is_known_by_its_name() {
        let all = policy(&[
            "max-age=1, s-maxage=2, stale-while-revalidate=3, stale-if-error=4, no-store, no-cache, private",
            "public, must-revalidate, proxy-revalidate, must-understand, immutable, no-transform",
        ]);
        let expected = CacheControl {
            max_age: seconds(1),
            s_maxage: seconds(2),
            stale_while_revalidate: seconds(3),
            stale_if_error: seconds(4),
            expires: false,
            no_store: true,
            no_cache: Some(Qualifier::Response),
            private: Some(Qualifier::Response),
            public: true,
            must_revalidate: true,
            proxy_revalidate: true,
            must_understand: true,
            immutable: true,
            no_transform: true,
        };
        assert_eq!(all, expected);
    }

    #[test]
    fn what_is_beside_it_counts_for_nothing() {
        for line in ["none", "no-store=?0", "x=(1 2);y, z"] {
            assert_eq!(policy(&[line]), CacheControl::default(), "{line}");
        }
    }

    #[test]
    fn of_a_repeated_directive_the_last_counts() {
        let policy = policy(&[
            "max-age=1.5, no-store, max-age=60",
            "no-store=?0, private=x, private=?0",
        ]);
        let expected = CacheControl {
            max_age: seconds(60),
            ..CacheControl::default()
        };
        assert_eq!(policy, expected);
    }

    #[test]
    fn numbers_are_clamped() {
        assert_eq!(policy(&["max-age=-1"]).max_age, seconds(0));
        assert_eq!(policy(&["max-age=99999999999"]).max_age, seconds(1 << 31));
    }

    #[test]
    fn fields_are_named_in_a_string() {
        let policy = policy(&["private=\"X-User, set-cookie\", no-cache=\"\""]);
        assert_eq!(policy.no_cache, Some(Qualifier::Response), "it names none");
        assert!(policy.drops(&HeaderName::from_static("x-user")));
        assert!(!policy.is_private());
    }

    #[test]
    fn one_that_is_void_leaves_the_others_in_force() {
        for line in [
            "",
            " ",
            "max-age=60, &",
            "max-age=\"60\"",
            "max-age=60.0",
            "max-age",
            "no-store=1, max-age=60",
            "no-cache=(a b), max-age=60",
        ] {
            let policy = policy(&[line]);
            assert_eq!((policy.max_age, policy.expires), (seconds(1), true), "{line}");
        }
    }
}
