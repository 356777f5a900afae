//! Comma-separated lists (RFC 9110 5.6.1) and the small syntax inside their members.

use std::borrow::Cow;
use std::time::Duration;

use http::HeaderValue;
use http::header::GetAll;

/// Largest number of seconds that is told apart (RFC 9111 1.2.2): 2^31.
pub(super) const MAX_DELTA_SECONDS: u64 = 1 << 31;

/// Iterator over the members of one field line, trimmed. Empty members are yielded, too.
pub(super) struct Members<'a> {
    rest: Option<&'a [u8]>,
    /// A quote was never closed: it and all later ones are ordinary bytes, so that it can hide no member.
    /// (It also keeps the scan linear.)
    unbalanced: bool,
}

/// The members of a list field over all its lines, as if they had been joined by commas.
pub(super) fn members<'a>(lines: GetAll<'a, HeaderValue>) -> impl Iterator<Item = &'a [u8]> {
    lines.into_iter().flat_map(|line| Members::of(line.as_bytes()))
}

/// `1*DIGIT`, clamped; `None` for anything else.
pub(super) fn delta_seconds(digits: &[u8]) -> Option<Duration> {
    if digits.is_empty() {
        return None;
    }
    let mut seconds = 0u64;
    for byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        seconds = (seconds * 10 + u64::from(byte - b'0')).min(MAX_DELTA_SECONDS);
    }
    Some(Duration::from_secs(seconds))
}

/// The content of a quoted string (RFC 9110 5.6.4), or the bytes as they are if it is none.
pub(super) fn unquote(value: &[u8]) -> Cow<'_, [u8]> {
    let [b'"', inner @ .., b'"'] = value else {
        return Cow::Borrowed(value);
    };
    if !inner.contains(&b'\\') {
        return Cow::Borrowed(inner);
    }
    let mut content = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\\' => content.extend(bytes.next()),
            _ => content.push(byte),
        }
    }
    Cow::Owned(content)
}

/// Whether these bytes are a token (RFC 9110 5.6.2).
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_tchar(byte))
}

/// Whether this byte may be in a token (RFC 9110 5.6.2).
pub(super) fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Without spaces and tabs at both ends.
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The bytes before and after the first separator; all and `None` if there is none.
pub(super) fn split_once(bytes: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    match bytes.iter().position(|&byte| byte == separator) {
        Some(at) => (&bytes[..at], Some(&bytes[at + 1..])),
        None => (bytes, None),
    }
}

// === impl Members ===

impl<'a> Members<'a> {
    pub(super) fn of(line: &'a [u8]) -> Self {
        Self {
            rest: Some(line),
            unbalanced: false,
        }
    }

    /// Where the first member of `rest` ends, if a comma ends it.
    fn comma(&mut self, rest: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(&byte) = rest.get(at) {
            match byte {
                b',' => return Some(at),
                b'"' if !self.unbalanced => match closing_quote(&rest[at + 1..]) {
                    Some(length) => at += length + 2,
                    None => {
                        self.unbalanced = true;
                        at += 1;
                    }
                },
                _ => at += 1,
            }
        }
        None
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let member = match self.comma(rest) {
            Some(at) => {
                self.rest = Some(&rest[at + 1..]);
                &rest[..at]
            }
            None => {
                self.rest = None;
                rest
            }
        };
        Some(trim(member))
    }
}

/// The length of a quoted string's inside, given what follows its opening quote.
fn closing_quote(inner: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match inner.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(line: &str) -> Vec<&str> {
        Members::of(line.as_bytes())
            .map(|member| std::str::from_utf8(member).unwrap())
            .collect()
    }

    #[test]
    fn commas_separate_outside_quotes() {
        assert_eq!(split("a, b ,c"), ["a", "b", "c"]);
        assert_eq!(split(r#"x="a, \", b", c"#), [r#"x="a, \", b""#, "c"]);
        assert_eq!(split(", a,"), ["", "a", ""]);
    }

    #[test]
    fn an_unclosed_quote_hides_nothing() {
        assert_eq!(split(r#"x="a, no-store, "#), [r#"x="a"#, "no-store", ""]);
    }

    #[test]
    fn delta_seconds_are_digits_only_and_clamped() {
        assert_eq!(delta_seconds(b"003600"), Some(Duration::from_secs(3600)));
        assert_eq!(
            delta_seconds(b"99999999999999999999999"),
            Some(Duration::from_secs(1 << 31))
        );
        for bad in [
            "", "-1", "+1", "a3600", "3600a", "'3600'", "3600.0", "3 600", " 1",
        ] {
            assert_eq!(delta_seconds(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn unquoting_resolves_pairs() {
        assert_eq!(&*unquote(br#""a\"b\\""#), br#"a"b\"#);
        assert_eq!(&*unquote(b"token"), b"token");
        assert_eq!(&*unquote(b"\""), b"\"");
    }

    proptest! {
        #[test]
        fn any_bytes_split(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            // Nothing but separators and padding is lost.
            let kept: usize = Members::of(&line).map(<[u8]>::len).sum();
            prop_assert!(kept <= line.len());
            let _ = unquote(&line);
            let _ = delta_seconds(&line);
        }
    }
}
