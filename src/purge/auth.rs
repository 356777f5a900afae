//! Who may purge.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;

use crate::control::{Authorizer, Caller, Custom, Denied, Secret};
use crate::order::Target;

/// The header in which Fastly's clients send their token.
pub(super) const FASTLY_KEY: &str = "fastly-key";

/// Who may purge.
///
/// ```
/// use gripstack::purge::{Auth, Token};
///
/// // The application's own token purges what it changed; only operators empty the cache.
/// let auth = Auth::Tokens(vec![Token::select("for the application"), Token::new("for operators")]);
/// # let _ = auth;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Auth {
    /// Everybody who can reach the layer. For a listener that only the operator reaches.
    Open,
    /// Who presents one of these tokens. With none of them: nobody.
    Tokens(Vec<Token>),
    /// Whom the application's own rules let in.
    Custom(Custom<Target>),
}

/// A token and what it is good for. Never shown.
///
/// ```
/// use gripstack::purge::Token;
///
/// let (all, but_not_everything) = (Token::new("a"), Token::select("b"));
/// # let _ = (all, but_not_everything);
/// ```
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

/// Who is known to send a request: limits are theirs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    /// Anybody.
    Everybody,
    /// Whoever has this token, by its digest.
    Token(u128),
    /// Whom the application knows.
    Custom(Caller),
}

const HOW: &str = "send a valid token as Fastly-Key or as Authorization: Bearer";

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

    /// Whom these rules let in.
    pub fn custom(rules: impl Authorizer<Target>) -> Self {
        Self::Custom(Custom::new(rules))
    }

    /// Who sends this request, if they may send such a one at all.
    pub(super) fn identify(&self, head: &Parts, needed: Scope) -> Result<Who, Denied> {
        let tokens = match self {
            Self::Open => return Ok(Who::Everybody),
            Self::Custom(rules) => return rules.identify(head).map(Who::Custom),
            Self::Tokens(tokens) => tokens,
        };
        let mut denied = Denied::missing(HOW);
        for presented in presented(&head.headers) {
            match matching(tokens, presented) {
                Some(token) if token.scope >= needed => return Ok(Who::Token(token.secret.digest())),
                Some(_) => denied = Denied::forbidden("the token is not good for a purge of everything"),
                None if matches!(denied, Denied::Missing(_)) => denied = Denied::invalid(HOW),
                None => {}
            }
        }
        Err(denied)
    }

    /// Whether they may purge all of these.
    pub(super) fn authorize(&self, who: &Who, head: &Parts, targets: &[Target]) -> Result<(), Denied> {
        match (self, who) {
            (Self::Custom(rules), Who::Custom(caller)) => rules.authorize(caller, head, targets),
            _ => Ok(()),
        }
    }

    /// Whether a `Fastly-Key` is for us: then it goes no further than here.
    pub(super) fn owns_key_in(&self, head: &Parts) -> bool {
        match self {
            Self::Open => false,
            Self::Custom(rules) => rules.identify(head).is_ok(),
            Self::Tokens(tokens) => {
                let mut keys = head.headers.get_all(FASTLY_KEY).iter();
                keys.any(|key| matching(tokens, key.as_bytes()).is_some())
            }
        }
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

/// The token that this is, with its widest scope. Compares with all of them, so that the time does not tell which one
/// it is.
fn matching<'a>(tokens: &'a [Token], presented: &[u8]) -> Option<&'a Token> {
    let matching = tokens.iter().filter(|token| token.secret.matches(presented));
    matching.max_by_key(|token| token.scope)
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

    fn head(pairs: &[(&'static str, &str)]) -> Parts {
        let pairs = pairs.iter().map(|(name, value)| {
            let name = http::HeaderName::from_static(name);
            (name, value.parse().expect("the test made it well"))
        });
        let mut head = http::Request::new(()).into_parts().0;
        head.headers = pairs.collect();
        head
    }

    #[derive(Debug, PartialEq, Eq)]
    enum Refused {
        Missing,
        Unknown,
        Scope,
    }

    impl Auth {
        fn check(&self, head: &Parts, needed: Scope) -> Result<(), Refused> {
            match self.identify(head, needed) {
                Ok(_) => Ok(()),
                Err(Denied::Missing(_)) => Err(Refused::Missing),
                Err(Denied::Invalid(_)) => Err(Refused::Unknown),
                Err(Denied::Forbidden(_)) => Err(Refused::Scope),
            }
        }
    }

    #[test]
    fn either_header_carries_the_token() {
        let auth = Auth::tokens(["a", "b"]);
        for good in [
            head(&[("fastly-key", "a")]),
            head(&[("authorization", "Bearer b")]),
            head(&[("authorization", "bearer  b")]),
            head(&[("authorization", "Bearer x"), ("fastly-key", "b")]),
        ] {
            assert_eq!(auth.check(&good, Scope::All), Ok(()), "{good:?}");
        }
        assert_eq!(auth.check(&head(&[]), Scope::Select), Err(Refused::Missing));
        for bad in [
            head(&[("fastly-key", "")]),
            head(&[("fastly-key", "ab")]),
            head(&[("authorization", "Bearer ")]),
            head(&[("authorization", "Bearer c")]),
        ] {
            assert_eq!(auth.check(&bad, Scope::Select), Err(Refused::Unknown), "{bad:?}");
        }
        let basic = head(&[("authorization", "Basic a")]);
        assert_eq!(auth.check(&basic, Scope::Select), Err(Refused::Missing));
    }

    #[test]
    fn a_token_without_the_scope_is_known_and_not_enough() {
        let auth = Auth::Tokens(vec![Token::select("s"), Token::new("a")]);
        let select = head(&[("fastly-key", "s")]);
        assert_eq!(auth.check(&select, Scope::Select), Ok(()));
        assert_eq!(auth.check(&select, Scope::All), Err(Refused::Scope));
        assert_eq!(auth.check(&head(&[("fastly-key", "a")]), Scope::All), Ok(()));
    }

    #[test]
    fn no_token_and_an_empty_token_let_nobody_in() {
        for auth in [Auth::Tokens(Vec::new()), Auth::token("")] {
            let empty = head(&[("fastly-key", ""), ("authorization", "Bearer ")]);
            assert_eq!(auth.check(&empty, Scope::Select), Err(Refused::Unknown));
        }
        assert_eq!(Auth::Open.check(&head(&[]), Scope::All), Ok(()));
    }

    #[test]
    fn a_token_is_the_same_caller_however_it_comes() {
        let who = |auth: &Auth, pair| auth.identify(&head(&[pair]), Scope::Select).expect("a token");
        let (one, another) = (Auth::tokens(["a", "b"]), Auth::Tokens(vec![Token::select("a")]));
        let a = who(&one, ("fastly-key", "a"));
        assert_eq!(who(&one, ("authorization", "Bearer a")), a);
        assert_eq!(who(&another, ("fastly-key", "a")), a);
        assert_ne!(who(&one, ("fastly-key", "b")), a);
        let twice = Auth::Tokens(vec![Token::new("a"), Token::select("a")]);
        assert_eq!(twice.check(&head(&[("fastly-key", "a")]), Scope::All), Ok(()));
    }
}
