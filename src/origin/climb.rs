//! Paths that lead out of what they begin in.

use std::borrow::Cow;

/// How often a path may be encoded over itself. More than that means nothing good.
const MOST_DECODINGS: usize = 4;

/// What some take for the end of a segment, where it is within one for others.
const SEPARATORS: [&[u8]; 4] = [b"", b"/", b"\\", b"/\\"];

/// Where a part of a path leads, from where it begins.
#[derive(Clone, Copy)]
struct Course {
    lowest: isize,
    end: isize,
}

/// Whether somebody who resolves dot segments (RFC 3986 5.2.4) could take this path, which is empty or begins with a slash,
/// for one above its beginning: as it is, or once it is decoded, however often; with what stands for a slash elsewhere
/// (`\`), or without; and without parameters of segments (`..;x`), which some remove first.
///
/// Some decode dots and leave slashes (RFC 3986 6.2.2.2), so how deep `a%2fb` leads and how far up `%2e%2e` are two
/// questions: each segment counts as what leads furthest up.
pub(super) fn climbs(path: &str) -> bool {
    // Most lead nowhere else.
    if !path.contains("..") && !path.contains('%') {
        return false;
    }
    let mut depth = 0;
    for segment in path.split('/') {
        match worst(segment.as_bytes()) {
            Some(course) if depth + course.lowest >= 0 => depth += course.end,
            _ => return true,
        }
    }
    false
}

/// The worst of all ways to read what stands between two slashes; `None`, if it is encoded too often to tell.
fn worst(segment: &[u8]) -> Option<Course> {
    let mut read = Cow::Borrowed(segment);
    let mut worst = Course::of(&read, SEPARATORS[0]);
    for _ in 0..=MOST_DECODINGS {
        for separators in SEPARATORS {
            let course = Course::of(&read, separators);
            worst.lowest = worst.lowest.min(course.lowest);
            worst.end = worst.end.min(course.end);
        }
        match decoded(&read) {
            Some(decoded) => read = Cow::Owned(decoded),
            None => return Some(worst),
        }
    }
    None
}

// === impl Course ===

impl Course {
    fn of(path: &[u8], separators: &[u8]) -> Self {
        let mut course = Self { lowest: 0, end: 0 };
        for segment in path.split(|byte| separators.contains(byte)) {
            let end = segment.iter().position(|byte| *byte == b';');
            course.end += match &segment[..end.unwrap_or(segment.len())] {
                b".." => -1,
                // Some read `a//b` as `a/b`.
                b"" | b"." => 0,
                _ => 1,
            };
            course.lowest = course.lowest.min(course.end);
        }
        course
    }
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
            // Some decode dots alone (RFC 3986 6.2.2.2), and to some a backslash is a letter: less is left than to others.
            "/a%2fb/%2e%2e/%2e%2e/secret",
            "/a%5Cb/%2E%2e/.%2e/secret",
            "/a%252fb/%2e%2e/%2e%2e/secret",
            "/a\\b/../../secret",
            "/a\\b%2fc\\d/../%2e%2e/secret",
            "/a%2fb%2f.%2e/../../secret",
            "/a%2fb\\../%2e%2e/secret",
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
            "/a%2fb/%2e%2e/c",
            "/a%2f..%2fb%2f../c/%2e%2e",
            "/a\\b/c/../%2e%2e",
        ] {
            assert!(!climbs(path), "{path}");
        }
    }
}
