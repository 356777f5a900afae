//! Something that only those who may do a thing know.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::hint::black_box;
use std::sync::{Arc, OnceLock};

/// A token, or credentials, to compare what is presented with. Never shown.
#[derive(Clone)]
pub(crate) struct Secret {
    bytes: Arc<[u8]>,
    digest: u128,
}

// === impl Secret ===

impl Secret {
    /// An empty one matches nothing, so that a configuration without a value does not open a door.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.into(),
            digest: digest(bytes),
        }
    }

    /// The same for the same bytes, in this process only. Tells nothing of them.
    #[cfg(feature = "purge")]
    pub(crate) fn digest(&self) -> u128 {
        self.digest
    }

    /// Compares in a time that tells nothing of the secret: first digests under keys of this process, which
    /// nobody outside can aim at, then all bytes of what can only be the same.
    pub(crate) fn matches(&self, presented: &[u8]) -> bool {
        let same_digest = black_box(self.digest ^ digest(presented)) == 0;
        if !same_digest || self.bytes.is_empty() || self.bytes.len() != presented.len() {
            return false;
        }
        let pairs = self.bytes.iter().zip(presented);
        black_box(pairs.fold(0, |difference, (ours, theirs)| difference | (ours ^ theirs))) == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

fn digest(bytes: &[u8]) -> u128 {
    static KEYS: OnceLock<(RandomState, RandomState)> = OnceLock::new();
    let (high, low) = KEYS.get_or_init(Default::default);
    (u128::from(high.hash_one(bytes)) << 64) | u128::from(low.hash_one(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_bytes_match() {
        let secret = Secret::new(b"token");
        assert!(secret.matches(b"token"));
        for other in ["", "t", "toke", "token ", "tokem", "Token"] {
            assert!(!secret.matches(other.as_bytes()), "{other:?}");
        }
    }

    #[test]
    fn an_empty_secret_opens_nothing() {
        assert!(!Secret::new(b"").matches(b""));
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Secret::new(b"token")), "Secret(..)");
    }
}
