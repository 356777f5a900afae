//! Who may publish.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::request::Parts;

use super::publisher::Item;
use crate::control::{Authorizer, Caller, Custom, Denied, Secret};
#[cfg(feature = "jwt")]
use crate::jwt::{KeyError, install_provider, key_bytes};

/// Who may publish.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Auth {
    /// Everybody who can reach the layer. For a listener that only the application reaches.
    Open,
    /// Who presents one of these. With none of them: nobody.
    Keys(Vec<Key>),
    /// Whom the application's own rules let in. They see the items as they will be published, with what is to be
    /// purged by them.
    Custom(Custom<Item>),
}

/// What a publisher presents. Never shown.
#[derive(Clone, Debug)]
pub struct Key(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Token(Secret),
    Basic(Secret),
    #[cfg(feature = "jwt")]
    Jwt(std::sync::Arc<jwt::Verifier>),
}

// === impl Auth ===

impl Auth {
    /// Who presents this bearer token. An empty token lets nobody in.
    pub fn token(token: &str) -> Self {
        Self::Keys(vec![Key::token(token)])
    }

    /// Whom these rules let in.
    pub fn custom(rules: impl Authorizer<Item>) -> Self {
        Self::Custom(Custom::new(rules))
    }

    /// Whether a request may publish at all; who sends it, if that is known.
    pub(super) fn identify(&self, head: &Parts) -> Result<Option<Caller>, Denied> {
        let keys = match self {
            Self::Open => return Ok(None),
            Self::Custom(rules) => return rules.identify(head).map(Some),
            Self::Keys(keys) => keys,
        };
        let mut denied = Denied::missing("the credentials are missing");
        let invalid = || Denied::invalid("the credentials are not valid");
        for presented in head.headers.get_all(AUTHORIZATION) {
            denied = invalid();
            let presented = presented.as_bytes();
            let end = presented
                .iter()
                .position(|b| *b == b' ')
                .unwrap_or(presented.len());
            let (scheme, credentials) = presented.split_at(end);
            if accepts(keys, scheme, credentials.trim_ascii()) {
                return Ok(None);
            }
        }
        // How clients of a hosted publish API send their token.
        for presented in head.headers.get_all("fastly-key") {
            denied = invalid();
            if accepts(keys, b"bearer", presented.as_bytes()) {
                return Ok(None);
            }
        }
        Err(denied)
    }

    /// Whether they may publish all of these.
    pub(super) fn authorize(
        &self,
        caller: Option<&Caller>,
        head: &Parts,
        items: &[Item],
    ) -> Result<(), Denied> {
        match (self, caller) {
            (Self::Custom(rules), Some(caller)) => rules.authorize(caller, head, items),
            _ => Ok(()),
        }
    }
}

/// Compares with all of them, so that the time does not tell which one it is.
fn accepts(keys: &[Key], scheme: &[u8], credentials: &[u8]) -> bool {
    let accepting = keys.iter().filter(|key| match &key.0 {
        Kind::Token(token) => scheme.eq_ignore_ascii_case(b"bearer") && token.matches(credentials),
        Kind::Basic(basic) => scheme.eq_ignore_ascii_case(b"basic") && basic.matches(credentials),
        #[cfg(feature = "jwt")]
        Kind::Jwt(verifier) => scheme.eq_ignore_ascii_case(b"bearer") && verifier.accepts(credentials),
    });
    accepting.count() > 0
}

// === impl Key ===

impl Key {
    /// A bearer token (RFC 6750): in a client's `GRIP_URL`, a `key` without an `iss`. An empty one matches nothing.
    pub fn token(token: &str) -> Self {
        Self(Kind::Token(Secret::new(token.as_bytes())))
    }

    /// A user and a password (RFC 7617): in a client's `GRIP_URL`, what precedes the `@`.
    pub fn basic(user: &str, password: &str) -> Self {
        let credentials = STANDARD.encode(format!("{user}:{password}"));
        Self(Kind::Basic(Secret::new(credentials.as_bytes())))
    }

    /// A JSON Web Token (RFC 7519), signed with HS256 and this key, which is text or `base64:` and its bytes in
    /// base64: in a client's `GRIP_URL`, `iss` and `key`. The token must have the claim `exp`, which may lie at
    /// most 60 s in the past, and, if an issuer is given here, that `iss`; it must not have a header parameter `crit`.
    ///
    /// Needs a backend, one of the features `jwt-rust-crypto` and `jwt-aws-lc`; it becomes the process's own, unless
    /// the application chose one before.
    #[cfg(feature = "jwt")]
    pub fn jwt(key: &str, issuer: Option<&str>) -> Result<Self, KeyError> {
        let bytes = key_bytes(key.as_bytes())?;
        install_provider()?;
        Ok(Self(Kind::Jwt(std::sync::Arc::new(jwt::Verifier::new(
            &bytes, issuer,
        )))))
    }
}

#[cfg(feature = "jwt")]
mod jwt {
    use std::fmt;

    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};

    /// More than any of ours is; nothing longer is looked at.
    const MAX_BYTES: usize = 8192;

    pub(super) struct Verifier {
        key: DecodingKey,
        validation: Validation,
    }

    impl Verifier {
        pub(super) fn new(key: &[u8], issuer: Option<&str>) -> Self {
            let mut validation = Validation::new(Algorithm::HS256);
            // Publishers name no audience, or another one of theirs.
            validation.validate_aud = false;
            validation.validate_nbf = true;
            if let Some(issuer) = issuer {
                validation.set_issuer(&[issuer]);
                validation.set_required_spec_claims(&["exp", "iss"]);
            }
            Self {
                key: DecodingKey::from_secret(key),
                validation,
            }
        }

        pub(super) fn accepts(&self, token: &[u8]) -> bool {
            // No extension is understood here, so none may be critical (RFC 7515 4.1.11).
            token.len() <= MAX_BYTES
                && decode::<serde_json::Value>(token, &self.key, &self.validation)
                    .is_ok_and(|token| token.header.crit.is_none())
        }
    }

    impl fmt::Debug for Verifier {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Verifier(..)")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    enum Refused {
        Missing,
        Invalid,
    }

    impl Auth {
        fn check(&self, head: &Parts) -> Result<(), Refused> {
            match self.identify(head) {
                Ok(_) => Ok(()),
                Err(Denied::Missing(_)) => Err(Refused::Missing),
                Err(Denied::Invalid(_)) => Err(Refused::Invalid),
                Err(denied) => panic!("{denied:?}"),
            }
        }
    }

    fn head() -> Parts {
        http::Request::new(()).into_parts().0
    }

    fn check(auth: &Auth, header: &'static str, value: &str) -> Result<(), Refused> {
        let mut head = head();
        let value = value.parse().expect("the test made it well");
        head.headers.insert(header, value);
        auth.check(&head)
    }

    #[test]
    fn a_token_is_a_bearer_or_a_fastly_key() {
        let auth = Auth::token("secret");
        assert_eq!(auth.check(&head()), Err(Refused::Missing));
        assert_eq!(check(&auth, "authorization", "Bearer secret"), Ok(()));
        assert_eq!(check(&auth, "authorization", "bearer secret"), Ok(()));
        assert_eq!(check(&auth, "fastly-key", "secret"), Ok(()));
        for bad in [
            "secret",
            "Bearer",
            "Bearer ",
            "Bearer secre",
            "Basic secret",
            "Bearer secret x",
        ] {
            assert_eq!(check(&auth, "authorization", bad), Err(Refused::Invalid), "{bad}");
        }
        for auth in [Auth::token(""), Auth::Keys(Vec::new())] {
            assert_eq!(check(&auth, "authorization", "Bearer "), Err(Refused::Invalid));
        }
        assert_eq!(Auth::Open.check(&head()), Ok(()));
    }

    #[test]
    fn basic_is_the_user_and_the_password() {
        let auth = Auth::Keys(vec![Key::basic("Aladdin", "open sesame")]);
        let good = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
        assert_eq!(check(&auth, "authorization", good), Ok(()));
        assert_eq!(
            check(&auth, "authorization", "Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            Err(Refused::Invalid)
        );
    }

    #[test]
    fn credentials_are_not_shown() {
        let auth = Auth::Keys(vec![Key::token("hidden"), Key::basic("u", "hidden")]);
        assert!(!format!("{auth:?}").contains("hidden"));
    }

    #[cfg(feature = "jwt")]
    #[test]
    fn an_unusable_key_is_refused_when_it_is_configured() {
        assert_eq!(Key::jwt("", None).err(), Some(KeyError::Empty));
        assert_eq!(Key::jwt("base64:", None).err(), Some(KeyError::Empty));
        assert_eq!(Key::jwt("base64:?", None).err(), Some(KeyError::NotBase64));
    }

    #[cfg(any(feature = "jwt-rust-crypto", feature = "jwt-aws-lc"))]
    mod tokens {
        use std::time::{SystemTime, UNIX_EPOCH};

        use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
        use serde_json::{Value, json};

        use super::*;

        fn signed(key: &[u8], algorithm: Algorithm, claims: &Value) -> String {
            install_provider().expect("a backend is compiled in");
            let token = encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(key));
            format!("Bearer {}", token.expect("claims can be encoded"))
        }

        fn in_seconds(seconds: i64) -> i64 {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            since.expect("after 1970").as_secs() as i64 + seconds
        }

        #[test]
        fn a_jwt_needs_the_key_an_exp_and_the_issuer() {
            let issued = |issuer| Auth::Keys(vec![Key::jwt("key", issuer).expect("a good key")]);
            let check = |issuer, presented: &str| check(&issued(issuer), "authorization", presented);
            let soon = in_seconds(3600);
            let good = signed(
                b"key",
                Algorithm::HS256,
                &json!({"iss": "app", "exp": soon, "aud": "x"}),
            );
            assert_eq!(check(None, &good), Ok(()));
            assert_eq!(check(Some("app"), &good), Ok(()));
            for (issuer, bad) in [
                (Some("other"), good.clone()),
                (None, signed(b"kex", Algorithm::HS256, &json!({"exp": soon}))),
                (None, signed(b"key", Algorithm::HS512, &json!({"exp": soon}))),
                (None, signed(b"key", Algorithm::HS256, &json!({"iss": "app"}))),
                (
                    None,
                    signed(b"key", Algorithm::HS256, &json!({"exp": in_seconds(-120)})),
                ),
                (
                    None,
                    signed(
                        b"key",
                        Algorithm::HS256,
                        &json!({"exp": soon, "nbf": in_seconds(600)}),
                    ),
                ),
                (
                    Some("app"),
                    signed(b"key", Algorithm::HS256, &json!({"exp": soon})),
                ),
                (None, good[..good.len() - 2].to_owned()),
                // `{"alg":"none"}`, no signature.
                (
                    None,
                    "Bearer eyJhbGciOiJub25lIn0.eyJleHAiOjk5OTk5OTk5OTl9.".to_owned(),
                ),
                (None, format!("Bearer {}", "x".repeat(10_000))),
            ] {
                assert_eq!(check(issuer, &bad), Err(Refused::Invalid), "{bad}");
            }
        }

        /// RFC 7515 4.1.11: what it names must be understood, and it names something.
        #[test]
        fn a_jwt_that_must_be_understood_is_refused() {
            install_provider().expect("a backend is compiled in");
            let auth = Auth::Keys(vec![Key::jwt("key", None).expect("a good key")]);
            for (critical, expected) in [
                (None, Ok(())),
                (Some(vec!["exp".to_owned()]), Err(Refused::Invalid)),
                (Some(vec!["b64".to_owned()]), Err(Refused::Invalid)),
                (Some(Vec::new()), Err(Refused::Invalid)),
            ] {
                let mut header = Header::new(Algorithm::HS256);
                header.crit = critical.clone();
                let key = EncodingKey::from_secret(b"key");
                let token = encode(&header, &json!({"exp": in_seconds(3600)}), &key).expect("encodes");
                let presented = format!("Bearer {token}");
                assert_eq!(
                    check(&auth, "authorization", &presented),
                    expected,
                    "{critical:?}"
                );
            }
        }

        #[test]
        fn a_key_may_be_base64() {
            let auth = Auth::Keys(vec![Key::jwt("base64:AP8=", None).expect("a good key")]);
            let good = signed(&[0x00, 0xff], Algorithm::HS256, &json!({"exp": in_seconds(60)}));
            assert_eq!(check(&auth, "authorization", &good), Ok(()));
        }
    }
}
