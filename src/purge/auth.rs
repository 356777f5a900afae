//! Who may purge.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::control::Secret;

/// The header in which Fastly's clients send their token.
pub(super) const FASTLY_KEY: &str = "fastly-key";

/// Who may purge.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Auth {
    /// Everybody who can reach the layer. For a listener that only the operator reaches.
    Open,
    /// Who presents one of these tokens. With none of them: nobody.
    Tokens(Vec<Token>),
}

/// A token and what it is good for. Never shown.
#[derive(Clone, Debug)]
pub struct Token {
    secret: Secret,
    scope: Scope,
}

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// Purges of URLs and keys (Fastly's `purge_select`).
    Select,
    /// All purges (Fastly's `purge_all`).
    All,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// No credentials.
    Missing,
    /// Credentials that nobody knows.
    Unknown,
    /// A token that is good for less.
    Scope,
}

// === impl Auth ===

impl Auth {
    /// Who presents this token may purge all. An empty token lets nobody in.
    pub fn token(token: &str) -> Self {
        Self::Tokens(vec![Token::new(token)])
    }

    /// Who presents one of these tokens may purge all.
    pub fn tokens<'a>(tokens: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Tokens(tokens.into_iter().map(Token::new).collect())
    }

    pub(super) fn check(&self, headers: &HeaderMap, needed: Scope) -> Result<(), Refused> {
        let Self::Tokens(tokens) = self else {
            return Ok(());
        };
        let mut verdict = Err(Refused::Missing);
        for presented in presented(headers) {
            match scope_of(tokens, presented) {
                Some(scope) if scope >= needed => return Ok(()),
                Some(_) => verdict = Err(Refused::Scope),
                None if verdict == Err(Refused::Missing) => verdict = Err(Refused::Unknown),
                None => {}
            }
        }
        verdict
    }

    /// Whether a `Fastly-Key` is one of ours, which goes no further than here.
    pub(super) fn owns_key_in(&self, headers: &HeaderMap) -> bool {
        let Self::Tokens(tokens) = self else {
            return false;
        };
        let mut keys = headers.get_all(FASTLY_KEY).iter();
        keys.any(|key| scope_of(tokens, key.as_bytes()).is_some())
    }
}

fn presented(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let keys = headers.get_all(FASTLY_KEY).iter().map(|value| value.as_bytes());
    let bearers = headers.get_all(AUTHORIZATION).iter().filter_map(|value| {
        let (scheme, token) = value.as_bytes().split_at_checked("bearer ".len())?;
        scheme
            .eq_ignore_ascii_case(b"bearer ")
            .then(|| token.trim_ascii())
    });
    keys.chain(bearers)
}

/// Compares with all of them, so that the time does not tell which one it is.
fn scope_of(tokens: &[Token], presented: &[u8]) -> Option<Scope> {
    let matching = tokens.iter().filter(|token| token.secret.matches(presented));
    matching.map(|token| token.scope).max()
}

// === impl Token ===

impl Token {
    /// Good for all purges.
    pub fn new(token: &str) -> Self {
        Self {
            secret: Secret::new(token.as_bytes()),
            scope: Scope::All,
        }
    }

    /// Good for purges of URLs and keys, not of everything.
    pub fn select(token: &str) -> Self {
        Self {
            scope: Scope::Select,
            ..Self::new(token)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            let name = http::HeaderName::from_static(name);
            (name, value.parse().expect("the test made it well"))
        });
        pairs.collect()
    }

    #[test]
    fn either_header_carries_the_token() {
        let auth = Auth::tokens(["a", "b"]);
        for good in [
            headers(&[("fastly-key", "a")]),
            headers(&[("authorization", "Bearer b")]),
            headers(&[("authorization", "bearer  b")]),
            headers(&[("authorization", "Bearer x"), ("fastly-key", "b")]),
        ] {
            assert_eq!(auth.check(&good, Scope::All), Ok(()), "{good:?}");
        }
        assert_eq!(auth.check(&headers(&[]), Scope::Select), Err(Refused::Missing));
        for bad in [
            headers(&[("fastly-key", "")]),
            headers(&[("fastly-key", "ab")]),
            headers(&[("authorization", "Bearer ")]),
            headers(&[("authorization", "Bearer c")]),
        ] {
            assert_eq!(auth.check(&bad, Scope::Select), Err(Refused::Unknown), "{bad:?}");
        }
        let basic = headers(&[("authorization", "Basic a")]);
        assert_eq!(auth.check(&basic, Scope::Select), Err(Refused::Missing));
    }

    #[test]
    fn a_token_without_the_scope_is_known_and_not_enough() {
        let auth = Auth::Tokens(vec![Token::select("s"), Token::new("a")]);
        let select = headers(&[("fastly-key", "s")]);
        assert_eq!(auth.check(&select, Scope::Select), Ok(()));
        assert_eq!(auth.check(&select, Scope::All), Err(Refused::Scope));
        assert_eq!(auth.check(&headers(&[("fastly-key", "a")]), Scope::All), Ok(()));
    }

    #[test]
    fn no_token_and_an_empty_token_let_nobody_in() {
        for auth in [Auth::Tokens(Vec::new()), Auth::token("")] {
            let empty = headers(&[("fastly-key", ""), ("authorization", "Bearer ")]);
            assert_eq!(auth.check(&empty, Scope::Select), Err(Refused::Unknown));
        }
        assert_eq!(Auth::Open.check(&headers(&[]), Scope::All), Ok(()));
    }
}
