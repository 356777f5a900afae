//! `Cache-Control` (RFC 9111 5.2).

use std::time::Duration;

use http::header::{CACHE_CONTROL, EXPIRES};
use http::{HeaderMap, HeaderName};

use super::list::{delta_seconds, is_token, members, split_once, trim, unquote};

/// Longest directive name that is known.
const MAX_NAME_BYTES: usize = "stale-while-revalidate".len();

/// The caching policy of a response: what its one selected source says. No later decision reads `Cache-Control`
/// again, or `Expires` unless [`expires`](Self::expires) allows it, so that a policy from another field replaces
/// this one whole (RFC 9213 2.2).
///
/// Of a repeated directive the first value counts. A lifetime that is no number is zero (RFC 9111 4.2.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CacheControl {
    /// `max-age`; at most 2^31 s.
    pub(crate) max_age: Option<Duration>,
    /// `s-maxage`; at most 2^31 s.
    pub(crate) s_maxage: Option<Duration>,
    /// Whether `Expires` is present and part of this policy.
    pub(crate) expires: bool,
    /// `no-store`.
    pub(crate) no_store: bool,
    /// `no-cache`, with or without fields.
    pub(crate) no_cache: Option<Qualifier>,
    /// `private`, with or without fields.
    pub(crate) private: Option<Qualifier>,
    /// `public`.
    pub(crate) public: bool,
    /// `must-revalidate`.
    pub(crate) must_revalidate: bool,
    /// `proxy-revalidate` as written; `s-maxage` implies it, too (RFC 9111 5.2.2.10).
    pub(crate) proxy_revalidate: bool,
    /// `must-understand`.
    pub(crate) must_understand: bool,
    /// `stale-while-revalidate` (RFC 5861 3).
    pub(crate) stale_while_revalidate: Option<Duration>,
    /// `stale-if-error` (RFC 5861 4).
    pub(crate) stale_if_error: Option<Duration>,
    /// `immutable` (RFC 8246).
    pub(crate) immutable: bool,
    /// `no-transform`.
    pub(crate) no_transform: bool,
}

/// What `private` or `no-cache` is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Qualifier {
    /// The whole response. Also if its argument names no field.
    Response,
    /// Only these fields. Never empty.
    Fields(Vec<HeaderName>),
}

/// The request directives that are honoured. The others are advisory (RFC 9111 5.2.1), and obeying them would
/// let any client force traffic on the origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestDirectives {
    /// `only-if-cached`: a stored response or 504 (RFC 9111 5.2.1.7).
    pub(crate) only_if_cached: bool,
}

// === impl CacheControl ===

impl CacheControl {
    /// Reads `Cache-Control` of a response, and whether it has `Expires`. To be asked where no other field is the
    /// source: see [`of`](Self::of).
    pub(crate) fn parse(response: &HeaderMap) -> Self {
        let mut policy = Self {
            expires: response.contains_key(EXPIRES),
            ..Self::default()
        };
        for member in members(response.get_all(CACHE_CONTROL)) {
            policy.add(member);
        }
        policy
    }

    fn add(&mut self, member: &[u8]) {
        each_directive(member, |name, argument| match name {
            b"max-age" => keep_first(&mut self.max_age, argument),
            b"s-maxage" => keep_first(&mut self.s_maxage, argument),
            b"stale-while-revalidate" => keep_first(&mut self.stale_while_revalidate, argument),
            b"stale-if-error" => keep_first(&mut self.stale_if_error, argument),
            b"no-store" => self.no_store = true,
            b"no-cache" => Qualifier::widen(&mut self.no_cache, argument),
            b"private" => Qualifier::widen(&mut self.private, argument),
            b"public" => self.public = true,
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"must-understand" => self.must_understand = true,
            b"immutable" => self.immutable = true,
            b"no-transform" => self.no_transform = true,
            _ => {}
        });
    }

    /// Whether every reuse needs a validation: `no-cache` without fields.
    pub(crate) fn always_validates(&self) -> bool {
        self.no_cache == Some(Qualifier::Response)
    }

    /// Whether the response is for one user: `private` without fields.
    pub(crate) fn is_private(&self) -> bool {
        self.private == Some(Qualifier::Response)
    }

    /// Whether the origin gave a lifetime, even zero or a bad one, so that nothing may be guessed.
    pub(crate) fn has_lifetime(&self) -> bool {
        self.s_maxage.is_some() || self.max_age.is_some() || self.expires
    }

    /// Whether the origin allows caching in so many words, and not by its silence.
    pub(crate) fn is_explicit(&self) -> bool {
        self.public || self.has_lifetime()
    }

    /// Whether a response to a request with `Authorization` may be reused (RFC 9111 3.5).
    pub(crate) fn permits_authorized(&self) -> bool {
        self.public || self.s_maxage.is_some() || self.must_revalidate
    }

    /// Whether there are such fields at all.
    pub(crate) fn drops_any(&self) -> bool {
        [&self.no_cache, &self.private]
            .into_iter()
            .any(|qualifier| matches!(qualifier, Some(Qualifier::Fields(_))))
    }

    /// Whether this field must not be stored: `private=` or `no-cache=` names it.
    pub(crate) fn drops(&self, name: &HeaderName) -> bool {
        [&self.no_cache, &self.private]
            .into_iter()
            .any(|qualifier| matches!(qualifier, Some(Qualifier::Fields(fields)) if fields.contains(name)))
    }
}

// === impl Qualifier ===

impl Qualifier {
    /// Adds one more directive. The wider one rules.
    fn widen(slot: &mut Option<Self>, argument: Option<&[u8]>) {
        let mut fields = match slot.take() {
            Some(Self::Response) => {
                *slot = Some(Self::Response);
                return;
            }
            Some(Self::Fields(fields)) => fields,
            None => Vec::new(),
        };
        *slot = match argument.map(|argument| Self::of(&unquote(argument))) {
            Some(Self::Fields(named)) => {
                fields.extend(named);
                Some(Self::Fields(fields))
            }
            Some(Self::Response) | None => Some(Self::Response),
        };
    }

    /// Of the names in this list.
    pub(super) fn of(names: &[u8]) -> Self {
        let names = names.split(|&byte| byte == b',');
        let fields: Vec<_> = names
            .filter_map(|name| HeaderName::from_bytes(trim(name)).ok())
            .collect();
        match fields.is_empty() {
            true => Self::Response,
            false => Self::Fields(fields),
        }
    }
}

// === impl RequestDirectives ===

impl RequestDirectives {
    /// Reads `Cache-Control` of a request.
    pub(crate) fn parse(request: &HeaderMap) -> Self {
        let mut directives = Self::default();
        for member in members(request.get_all(CACHE_CONTROL)) {
            each_directive(member, |name, _| {
                directives.only_if_cached |= name == b"only-if-cached";
            });
        }
        directives
    }
}

/// Calls with the name in lower case and the argument, unless the member is no directive. White space around
/// the equals sign makes it none.
fn each_directive(member: &[u8], apply: impl FnOnce(&[u8], Option<&[u8]>)) {
    let (name, argument) = split_once(member, b'=');
    let padded = matches!(argument, Some([b' ' | b'\t', ..]));
    if name.len() > MAX_NAME_BYTES || !is_token(name) || padded {
        return;
    }
    let mut lower = [0; MAX_NAME_BYTES];
    let lower = &mut lower[..name.len()];
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    apply(lower, argument);
}

fn keep_first(slot: &mut Option<Duration>, argument: Option<&[u8]>) {
    slot.get_or_insert_with(|| {
        argument
            .and_then(|argument| delta_seconds(&unquote(argument)))
            .unwrap_or_default()
    });
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::{CONTENT_TYPE, SET_COOKIE};
    use proptest::prelude::*;

    use super::*;

    fn parse(lines: &[&str]) -> CacheControl {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CACHE_CONTROL, line.parse().unwrap());
        }
        CacheControl::parse(&headers)
    }

    fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn rule_s7_names_in_any_case_values_quoted_or_not() {
        let policy = parse(&[
            "Max-AGE=\"60\", S-MaxAge=5",
            "PUBLIC, must-revalidate, proxy-revalidate, must-understand, immutable, no-transform",
            "stale-while-revalidate=7, stale-if-error=\"8\", no-store, nothing-to-see=here",
        ]);
        let expected = CacheControl {
            max_age: seconds(60),
            s_maxage: seconds(5),
            public: true,
            must_revalidate: true,
            proxy_revalidate: true,
            must_understand: true,
            immutable: true,
            no_transform: true,
            stale_while_revalidate: seconds(7),
            stale_if_error: seconds(8),
            no_store: true,
            ..CacheControl::default()
        };
        assert_eq!(policy, expected);
    }

    #[test]
    fn rule_s7_quoted_strings_hide_directives() {
        let policy = parse(&[r#"extension="max-age=3600", max-age=1"#]);
        assert_eq!(policy.max_age, seconds(1));
        let policy = parse(&[r#"extension="a, no-store, \", private", max-age=1"#]);
        assert!(!policy.no_store && policy.private.is_none());
    }

    #[test]
    fn rule_s8_deltas() {
        for (text, expected) in [
            ("max-age=003600", 3600),
            ("max-age=2147483648", 1 << 31),
            ("max-age=99999999999999999999", 1 << 31),
            ("max-age=-1", 0),
            ("max-age=a3600", 0),
            ("max-age=3600a", 0),
            ("max-age='3600'", 0),
            ("max-age=3600.0", 0),
            ("max-age=", 0),
            ("max-age=\"\"", 0),
            ("max-age", 0),
            ("max-age=36 00", 0),
        ] {
            assert_eq!(parse(&[text]).max_age, seconds(expected), "{text}");
        }
    }

    #[test]
    fn rule_s9_space_around_the_equals_sign_makes_it_another_directive() {
        assert_eq!(parse(&["max-age =3600"]).max_age, None);
        assert_eq!(parse(&["max-age= 3600"]).max_age, None);
    }

    #[test]
    fn rule_s10_first_value_wins_across_lines() {
        assert_eq!(parse(&["max-age=1, max-age=2", "max-age=3"]).max_age, seconds(1));
        assert_eq!(parse(&["max-age=x", "max-age=3"]).max_age, seconds(0));
    }

    #[test]
    fn qualified_directives_name_fields() {
        let policy = parse(&[r#"no-cache="Set-Cookie, Content-Type", private=x-user"#]);
        assert!(!policy.always_validates() && !policy.is_private());
        for name in [SET_COOKIE, CONTENT_TYPE, HeaderName::from_static("x-user")] {
            assert!(policy.drops(&name), "{name}");
        }
        assert!(!policy.drops(&EXPIRES));
    }

    #[test]
    fn rule_s10_the_unqualified_form_rules() {
        for lines in [
            &["private=\"a\", private"][..],
            &["private", "private=\"a\""],
            &["private=\"\""],
            &["private=\" , \""],
            &["private=\"a"],
            &["private="],
            &["private=\"no field\""],
        ] {
            assert!(parse(lines).is_private(), "{lines:?}");
        }
        let policy = parse(&["private=\"a\"", "private=\"b\""]);
        assert!(policy.drops(&HeaderName::from_static("a")) && policy.drops(&HeaderName::from_static("b")));
    }

    #[test]
    fn expires_is_part_of_the_policy() {
        let mut headers = HeaderMap::new();
        assert!(!CacheControl::parse(&headers).has_lifetime());
        headers.insert(EXPIRES, HeaderValue::from_static("0"));
        assert!(CacheControl::parse(&headers).has_lifetime());
    }

    #[test]
    fn only_if_cached_is_honoured() {
        let mut headers = HeaderMap::new();
        headers.append(CACHE_CONTROL, HeaderValue::from_static("nothing-to-see-here"));
        assert!(!RequestDirectives::parse(&headers).only_if_cached);
        headers.append(
            CACHE_CONTROL,
            HeaderValue::from_static("no-cache, Only-If-Cached"),
        );
        assert!(RequestDirectives::parse(&headers).only_if_cached);
    }

    proptest! {
        #[test]
        fn any_value_is_read_without_panic(
            value in "[ -~\\u{80}-\\u{ff}\t]{0,80}",
        ) {
            if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
                let headers = HeaderMap::from_iter([(CACHE_CONTROL, value)]);
                CacheControl::parse(&headers);
                RequestDirectives::parse(&headers);
            }
        }

        #[test]
        fn near_values_are_read_without_panic(
            value in "((max-age|private|no-cache|no-store|s-maxage)(=(\"[a-z,\\\\ ]{0,6}\"?|[0-9]{0,25}))?,? ?){0,6}",
        ) {
            let policy = parse(&[&value]);
            prop_assert!(policy.max_age.is_none_or(|age| age <= Duration::from_secs(1 << 31)));
        }
    }
}
