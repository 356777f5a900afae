//! What signing and verifying share: keys as GRIP's clients write them, and the process's backend.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Why a key is refused when it is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It is empty.
    #[error("the key is empty")]
    Empty,
    /// What follows `base64:` is not base64 (RFC 4648 4).
    #[error("the key begins with `base64:`, and what follows is not base64")]
    NotBase64,
    /// There is nothing that could sign or verify a token.
    #[error("compiled without a JWT backend: enable the feature jwt-rust-crypto or jwt-aws-lc")]
    NoBackend,
}

/// The bytes of a key: as it is written, or after `base64:` those that its base64 stands for.
pub(crate) fn key_bytes(key: &[u8]) -> Result<Cow<'_, [u8]>, KeyError> {
    let bytes = match key.strip_prefix(b"base64:") {
        Some(encoded) => STANDARD.decode(encoded).map_err(|_| KeyError::NotBase64)?.into(),
        None => Cow::Borrowed(key),
    };
    match bytes.is_empty() {
        true => Err(KeyError::Empty),
        false => Ok(bytes),
    }
}

/// Makes a backend the process's own, unless the application chose one before. Two at once, as features add up, would
/// otherwise be as bad as none.
pub(crate) fn install_provider() -> Result<(), KeyError> {
    #[cfg(feature = "jwt-rust-crypto")]
    let provider = Some(&jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER);
    #[cfg(all(feature = "jwt-aws-lc", not(feature = "jwt-rust-crypto")))]
    let provider = Some(&jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER);
    #[cfg(not(any(feature = "jwt-rust-crypto", feature = "jwt-aws-lc")))]
    let provider: Option<&jsonwebtoken::crypto::CryptoProvider> = None;
    let _ = provider.ok_or(KeyError::NoBackend)?.install_default();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_text_or_base64() {
        // As the Python package `gripcontrol` reads them in a `GRIP_URL`.
        for (key, bytes) in [
            ("secret", "secret"),
            ("base64:c2VjcmV0", "secret"),
            ("base64", "base64"),
        ] {
            assert_eq!(
                key_bytes(key.as_bytes()).as_deref(),
                Ok(bytes.as_bytes()),
                "{key}"
            );
        }
        for (key, error) in [
            ("", KeyError::Empty),
            ("base64:", KeyError::Empty),
            ("base64:@@@", KeyError::NotBase64),
        ] {
            assert_eq!(key_bytes(key.as_bytes()), Err(error), "{key}");
        }
    }
}
