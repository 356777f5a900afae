//! `Grip-Sig`: tells an origin that it talks to a GRIP proxy it knows.

use std::time::{Duration, UNIX_EPOCH};

use http::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use tokio::time::Instant;

use crate::jwt::{KeyError, install_provider, key_bytes};
use crate::sync::Mutex;
use crate::time::Now;

/// How long a token is valid.
const LIFETIME: Duration = Duration::from_secs(3_600);

/// How long one token is used: signing takes longer than most requests need for all the rest.
const USED: Duration = Duration::from_secs(60);

/// Signs, and remembers the value for a while.
pub(super) struct Signer {
    issuer: String,
    key: EncodingKey,
    last: Mutex<(HeaderValue, Instant)>,
}

/// Why requests cannot be signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The key cannot be used, or there is no backend.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The backend refused.
    #[error("cannot sign: {0}")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
}

// === impl Signer ===

impl Signer {
    pub(super) fn new(issuer: &str, key: &[u8]) -> Result<Self, SignError> {
        install_provider()?;
        let key = EncodingKey::from_secret(&key_bytes(key)?);
        let now = Now::read();
        let value = token(issuer, &key, now)?;
        Ok(Self {
            issuer: issuer.to_owned(),
            key,
            last: Mutex::new((value, now.mono)),
        })
    }

    /// The value of the header.
    pub(super) fn value(&self, now: Now) -> HeaderValue {
        let mut last = self.last.lock();
        if now.mono.saturating_duration_since(last.1) >= USED {
            match token(&self.issuer, &self.key, now) {
                Ok(value) => *last = (value, now.mono),
                Err(error) => tracing::error!(target: "gripstack::hold", %error, "Grip-Sig is not renewed"),
            }
        }
        last.0.clone()
    }
}

fn token(issuer: &str, key: &EncodingKey, now: Now) -> Result<HeaderValue, SignError> {
    let expires = now.wall + LIFETIME;
    let expires = expires.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let claims = serde_json::json!({ "iss": issuer, "exp": expires });
    let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, key)
        .map_err(|error| SignError::Refused(error.into()))?;
    HeaderValue::try_from(token).map_err(|error| SignError::Refused(error.into()))
}
