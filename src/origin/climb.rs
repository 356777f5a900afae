//! Paths that lead out of what they begin in.

use std::borrow::Cow;

/// How often a path may be encoded over itself. More than that means nothing good.
const MOST_DECODINGS: usize = 4;

/// Whether somebody who resolves dot segments (RFC 3986 5.2.4) could take this path, which is empty or begins with a slash,
/// for one above its beginning: as it is, or once it is decoded, however often; with what stands for a slash elsewhere
/// (`\`); and without parameters of segments (`..;x`), which some remove first.
pub(super) fn climbs(path: &str) -> bool {
    let mut read = Cow::Borrowed(path.as_bytes());
    for _ in 0..=MOST_DECODINGS {
        if climbs_as_it_is(&read) {
            return true;
        }
        match decoded(&read) {
            Some(decoded) => read = Cow::Owned(decoded),
            None => return false,
        }
    }
    true
}

fn climbs_as_it_is(path: &[u8]) -> bool {
    // Most have none.
    if !path.windows(2).any(|two| two == b"..") {
        return false;
    }
    let mut depth = 0_usize;
    for segment in path.split(|byte| matches!(byte, b'/' | b'\\')) {
        let end = segment.iter().position(|byte| *byte == b';');
        match &segment[..end.unwrap_or(segment.len())] {
            b".." if depth == 0 => return true,
            b".." => depth -= 1,
            // Some read `a//b` as `a/b`.
            b"" | b"." => {}
            _ => depth += 1,
        }
    }
    false
}

/// With each `%xx` as what it stands for; `None` if there is none.
fn decoded(path: &[u8]) -> Option<Vec<u8>> {
    let first = path.iter().position(|byte| *byte == b'%')?;
    let mut out = path[..first].to_vec();
    let mut rest = &path[first..];
    while let [byte, after @ ..] = rest {
        let code = after.get(..2).filter(|_| *byte == b'%').and_then(hex);
        out.push(code.unwrap_or(*byte));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    (out.len() < path.len()).then_some(out)
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let value = digit(digits[0])? * 16 + digit(digits[1])?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_out_in_any_spelling() {
        for path in [
            "/..",
            "/../secret",
            "/%2e%2e/secret",
            "/%2E./secret",
            "/.%2e/secret",
            "/..%2fsecret",
            "/..%5Csecret",
            "/..\\secret",
            "/%252e%252e/secret",
            "/%25252e./secret",
            "/a/../../secret",
            "/a/..%2f../secret",
            "/a//../../secret",
            "/./../secret",
            "/..;x/secret",
            "/..;/secret",
            "/a%2fb/../../secret",
            "/x%252fy%2f..%2f../secret",
            "/a/b/../../../a/b/c",
            "/%2525252525252e/",
        ] {
            assert!(climbs(path), "{path}");
        }
    }

    #[test]
    fn what_does_not() {
        for path in [
            "",
            "/",
            "/a/../b",
            "/a%2f..%2Fb//c;d",
            "/%E2%82%AC/../.",
            "/...",
            "/a..b/..c",
            "/.hidden",
            "/100%",
            "/%zz..",
            "/%2e",
            "/a%252fb",
        ] {
            assert!(!climbs(path), "{path}");
        }
    }
}
