//! Bytes in text: base64 (RFC 4648 section 4), read leniently.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// With padding.
pub(super) fn encode(bytes: &[u8]) -> String {
    LENIENT.encode(bytes)
}

/// Padding may be missing, whitespace may be anywhere; other characters are refused.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    if !text.iter().any(u8::is_ascii_whitespace) {
        return LENIENT.decode(text).ok();
    }
    let dense: Vec<u8> = text
        .iter()
        .copied()
        .filter(|b| !b.is_ascii_whitespace())
        .collect();
    LENIENT.decode(dense).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_publishers_write() {
        assert_eq!(encode(&[0, 1]), "AAE=");
        for text in ["AAE=", "AAE", "AA\r\nE=", " AAE= "] {
            assert_eq!(decode(text.as_bytes()), Some(vec![0, 1]), "{text}");
        }
        assert_eq!(decode(b""), Some(Vec::new()));
        assert_eq!(decode(b"A*E="), None);
        assert_eq!(decode(b"A"), None);
    }
}
