//! The grammar of GRIP headers, over bytes: lists, parameters, quoted values, whole seconds.

use std::borrow::Cow;
use std::time::Duration;

use crate::time;

/// Elements of a list: what stands between commas outside double quotes, trimmed. An element with an
/// unterminated quote is dropped.
pub(super) struct Elements<'a> {
    rest: Option<&'a [u8]>,
    links: bool,
}

/// Parameters: `name`, `name=value` or `name="value"`, between semicolons outside double quotes.
pub(super) struct Params<'a> {
    rest: &'a [u8],
}

/// Why a number of seconds is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SecondsError {
    NotAnInteger,
    Negative,
}

/// The elements of one header value.
pub(super) fn elements(value: &[u8]) -> Elements<'_> {
    Elements {
        rest: Some(value),
        links: false,
    }
}

/// The elements of one header value where an element may begin with a `<...>` that contains anything.
pub(super) fn link_elements(value: &[u8]) -> Elements<'_> {
    Elements {
        rest: Some(value),
        links: true,
    }
}

/// The first element of `value; name=val`, trimmed and never unquoted, and its parameters.
pub(super) fn first_and_params(element: &[u8]) -> (&[u8], Params<'_>) {
    let (first, rest) = cut(element, b';');
    (first.trim_ascii(), params(rest))
}

/// What consists of parameters only.
pub(super) fn params(element: &[u8]) -> Params<'_> {
    Params { rest: element }
}

/// Whole seconds from 0 to `i32::MAX`.
pub(super) fn seconds(text: &[u8]) -> Result<Duration, SecondsError> {
    let text = std::str::from_utf8(text.trim_ascii()).map_err(|_| SecondsError::NotAnInteger)?;
    let number: i32 = text.parse().map_err(|_| SecondsError::NotAnInteger)?;
    let number = u64::try_from(number).map_err(|_| SecondsError::Negative)?;
    Ok(Duration::from_secs(number))
}

/// A duration as whole seconds, rounded up, at most `i32::MAX`.
pub(super) fn whole_seconds(duration: Duration) -> u64 {
    time::whole_seconds(duration).min(i32::MAX as u64)
}

/// Appends a parameter value, quoted where it must be.
pub(super) fn write_value(out: &mut Vec<u8>, value: &str) {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:/+*~@!#$%&'^`|".contains(&b);
    if !value.is_empty() && value.bytes().all(plain) {
        out.extend_from_slice(value.as_bytes());
        return;
    }
    out.push(b'"');
    for byte in value.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// Whether a quote begins that does not end: then [`elements`] drops what it is in.
#[cfg(feature = "hold")]
pub(super) fn has_open_quote(value: &[u8]) -> bool {
    let mut rest = value;
    while let Some(open) = rest.iter().position(|&byte| byte == b'"') {
        let quoted = &rest[open + 1..];
        match closing_quote(quoted) {
            Some(end) => rest = &quoted[end + 1..],
            None => return true,
        }
    }
    false
}

/// Before and after the first `at`; all and nothing where there is none.
fn cut(bytes: &[u8], at: u8) -> (&[u8], &[u8]) {
    match bytes.iter().position(|&b| b == at) {
        Some(i) => (&bytes[..i], &bytes[i + 1..]),
        None => (bytes, &[]),
    }
}

/// Where the quoted text that begins at the start of `bytes`, after its opening quote, ends: the index of the
/// closing quote.
fn closing_quote(bytes: &[u8]) -> Option<usize> {
    let mut i = 0;
    while i < bytes.len() {
        match bytes[i] {
            b'"' => return Some(i),
            b'\\' => i += 2,
            _ => i += 1,
        }
    }
    None
}

/// Quoted text without its escapes.
fn unescape(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'\\') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\\' => out.extend(bytes.next()),
            _ => out.push(byte),
        }
    }
    Cow::Owned(out)
}

// === impl Elements ===

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let mut i = 0;
        if self.links {
            let start = rest.len() - rest.trim_ascii_start().len();
            if rest.get(start) == Some(&b'<') {
                // Without its `>` the rest of the value is one element, which then fails to parse.
                i = rest.iter().position(|&b| b == b'>').unwrap_or(rest.len());
            }
        }
        while i < rest.len() {
            match rest[i] {
                b',' => {
                    self.rest = Some(&rest[i + 1..]);
                    return Some(rest[..i].trim_ascii());
                }
                b'"' => match closing_quote(&rest[i + 1..]) {
                    Some(end) => i += end + 2,
                    None => {
                        self.rest = None;
                        return None;
                    }
                },
                _ => i += 1,
            }
        }
        self.rest = None;
        Some(rest.trim_ascii())
    }
}

// === impl Params ===

impl<'a> Iterator for Params<'a> {
    /// The name, and the value where there is a `=`, be it empty.
    type Item = (&'a [u8], Option<Cow<'a, [u8]>>);

    fn next(&mut self) -> Option<Self::Item> {
        self.rest = self.rest.trim_ascii_start();
        if self.rest.is_empty() {
            return None;
        }
        let end = self.rest.iter().position(|&b| matches!(b, b'=' | b';'));
        let Some(end) = end else {
            let name = self.rest.trim_ascii_end();
            self.rest = &[];
            return Some((name, None));
        };
        let name = self.rest[..end].trim_ascii();
        let after = &self.rest[end + 1..];
        if self.rest[end] == b';' {
            self.rest = after;
            return Some((name, None));
        }
        let value = after.trim_ascii_start();
        if let Some(quoted) = value.strip_prefix(b"\"") {
            // Without its closing quote the value runs to the end.
            let end = closing_quote(quoted).unwrap_or(quoted.len());
            self.rest = cut(&quoted[end..], b';').1;
            return Some((name, Some(unescape(&quoted[..end]))));
        }
        let (value, rest) = cut(value, b';');
        self.rest = rest;
        Some((name, Some(Cow::Borrowed(value.trim_ascii_end()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(value: &str) -> Vec<&str> {
        elements(value.as_bytes())
            .map(|e| std::str::from_utf8(e).unwrap())
            .collect()
    }

    fn pairs(value: &str) -> Vec<(String, Option<String>)> {
        let text = |b: &[u8]| String::from_utf8(b.to_vec()).unwrap();
        params(value.as_bytes())
            .map(|(name, value)| (text(name), value.map(|v| text(&v))))
            .collect()
    }

    #[test]
    fn lists_split_outside_quotes_and_drop_an_unterminated_one() {
        assert_eq!(list("a, b ,c"), ["a", "b", "c"]);
        assert_eq!(list(r#"a; x="1,2", b"#), [r#"a; x="1,2""#, "b"]);
        assert_eq!(list(r#"a; x="1\",2", b"#), [r#"a; x="1\",2""#, "b"]);
        assert_eq!(list(r#"a, b; x="1, c"#), ["a"]);
        assert_eq!(list(r#"a; x="\"#), [""; 0]);
        assert_eq!(list("a,"), ["a", ""]);
    }

    #[test]
    #[cfg(feature = "hold")]
    fn a_quote_is_open_or_ends() {
        for closed in ["", "a", r#"a; x="1""#, r#"a; x="\"", b; y="""#] {
            assert!(!has_open_quote(closed.as_bytes()), "{closed}");
        }
        for open in [r#"""#, r#"a; x="1"#, r#"a; x="1\""#, r#"a; x="1", b; y="\\\""#] {
            assert!(has_open_quote(open.as_bytes()), "{open}");
        }
    }

    #[test]
    fn links_keep_what_is_inside_angle_brackets() {
        let all: Vec<_> = link_elements(b" </a?x=1,2\">; rel=next, </b>; rel=gone").collect();
        assert_eq!(all, [&b"</a?x=1,2\">; rel=next"[..], b"</b>; rel=gone"]);
        let all: Vec<_> = link_elements(b"</a, b").collect();
        assert_eq!(all, [&b"</a, b"[..]]);
    }

    #[test]
    fn parameters_are_bare_plain_or_quoted() {
        let some = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        assert_eq!(
            pairs(r#"a=1; b = two ;c="x;\"y\\";d=; e;f"#),
            [
                some("a", "1"),
                some("b", "two"),
                some("c", r#"x;"y\"#),
                some("d", ""),
                ("e".to_owned(), None),
                ("f".to_owned(), None)
            ]
        );
        assert_eq!(pairs(r#"a="open; b=1"#), [some("a", "open; b=1")]);
        assert_eq!(pairs(r#"a="open\"#), [some("a", "open")]);
        assert_eq!(pairs(r#"a="x" junk; b=2"#), [some("a", "x"), some("b", "2")]);
    }

    #[test]
    fn the_first_element_is_never_unquoted() {
        let (first, mut rest) = first_and_params(br#" "a" ; prev-id=1"#);
        assert_eq!(first, br#""a""#);
        assert_eq!(
            rest.next(),
            Some((&b"prev-id"[..], Some(Cow::Borrowed(&b"1"[..]))))
        );
    }

    #[test]
    fn seconds_are_whole_and_not_negative() {
        assert_eq!(seconds(b" 7 "), Ok(Duration::from_secs(7)));
        assert_eq!(seconds(b"-1"), Err(SecondsError::Negative));
        for bad in ["", "abc", "1.5", "5s", "99999999999999999999", "2147483648"] {
            assert_eq!(seconds(bad.as_bytes()), Err(SecondsError::NotAnInteger), "{bad}");
        }
        assert_eq!(whole_seconds(Duration::from_millis(1001)), 2);
        assert_eq!(whole_seconds(Duration::MAX), i32::MAX as u64);
    }
}
