//! `Cache-Status` (RFC 9211).

use std::fmt::{self, Write};

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use super::list::is_tchar;

/// The name this cache goes by unless told otherwise.
const DEFAULT_NAME: &str = "gripstack";

/// Largest integer of a structured field (RFC 9651 3.3.1).
const MAX_INTEGER: i64 = 999_999_999_999_999;

/// How this cache handled a request: one member of `Cache-Status`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CacheStatus<'a> {
    name: &'a str,
    handled: Handled,
    ttl: Option<i64>,
    detail: Option<&'a str>,
}

/// Why a request went forward (RFC 9211 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fwd {
    /// The cache was told not to handle it.
    Bypass,
    /// Its method cannot be answered from a cache.
    Method,
    /// Nothing is stored for the URI.
    UriMiss,
    /// Something is, but no variant fits.
    VaryMiss,
    /// What is stored is stale.
    Stale,
}

#[derive(Clone, Copy, Debug)]
enum Handled {
    Hit,
    Forwarded {
        why: Fwd,
        status: Option<StatusCode>,
        stored: Option<bool>,
        collapsed: Option<bool>,
    },
}

// === impl CacheStatus ===

impl<'a> CacheStatus<'a> {
    /// Answered without going forward.
    pub(crate) fn hit() -> Self {
        Self::new(Handled::Hit)
    }

    /// Went forward for this reason, or waited for a request that did.
    pub(crate) fn forwarded(why: Fwd) -> Self {
        Self::new(Handled::Forwarded {
            why,
            status: None,
            stored: None,
            collapsed: None,
        })
    }

    fn new(handled: Handled) -> Self {
        Self {
            name: DEFAULT_NAME,
            handled,
            ttl: None,
            detail: None,
        }
    }

    /// The name of this cache. Default `gripstack`.
    #[must_use]
    pub(crate) fn name(mut self, name: &'a str) -> Self {
        self.name = name;
        self
    }

    /// Seconds of freshness left; negative when stale. Default: unknown.
    #[must_use]
    pub(crate) fn ttl(mut self, seconds: i64) -> Self {
        self.ttl = Some(seconds);
        self
    }

    /// What the origin answered, if the client gets another status. A hit has none.
    #[must_use]
    pub(crate) fn fwd_status(mut self, code: StatusCode) -> Self {
        if let Handled::Forwarded { status, .. } = &mut self.handled {
            *status = Some(code);
        }
        self
    }

    /// Whether the answer is being stored. A hit has none.
    #[must_use]
    pub(crate) fn stored(mut self, yes: bool) -> Self {
        if let Handled::Forwarded { stored, .. } = &mut self.handled {
            *stored = Some(yes);
        }
        self
    }

    /// Whether another request's fetch answered; false if that was tried in vain. A hit has none.
    #[must_use]
    pub(crate) fn collapsed(mut self, yes: bool) -> Self {
        if let Handled::Forwarded { collapsed, .. } = &mut self.handled {
            *collapsed = Some(yes);
        }
        self
    }

    /// A word on why.
    #[must_use]
    pub(crate) fn detail(mut self, detail: &'a str) -> Self {
        self.detail = Some(detail);
        self
    }

    /// As one member of the list.
    pub(crate) fn to_value(self) -> HeaderValue {
        HeaderValue::from_maybe_shared(Bytes::from(self.to_text())).expect("only visible ASCII is written")
    }

    /// Formats twice, first to measure: a buffer of the exact length becomes the value without a copy.
    fn to_text(self) -> String {
        // Neither of these two refuses to be written to.
        let mut length = Length(0);
        let _ = write!(length, "{self}");
        let mut text = String::with_capacity(length.0);
        let _ = write!(text, "{self}");
        text
    }
}

impl fmt::Display for CacheStatus<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_item(f, self.name)?;
        match self.handled {
            Handled::Hit => f.write_str("; hit")?,
            Handled::Forwarded { why, status, .. } => {
                write!(f, "; fwd={}", why.as_str())?;
                if let Some(status) = status {
                    write!(f, "; fwd-status={}", status.as_str())?;
                }
            }
        }
        if let Some(ttl) = self.ttl {
            write!(f, "; ttl={}", ttl.clamp(-MAX_INTEGER, MAX_INTEGER))?;
        }
        if let Handled::Forwarded {
            stored, collapsed, ..
        } = self.handled
        {
            for (name, value) in [("stored", stored), ("collapsed", collapsed)] {
                match value {
                    Some(true) => write!(f, "; {name}")?,
                    Some(false) => write!(f, "; {name}=?0")?,
                    None => {}
                }
            }
        }
        if let Some(detail) = self.detail {
            f.write_str("; detail=")?;
            write_item(f, detail)?;
        }
        Ok(())
    }
}

// === impl Fwd ===

impl Fwd {
    /// As it is written.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Stale => "stale",
        }
    }
}

/// Counts the bytes that are written to it.
struct Length(usize);

// === impl Length ===

impl Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

/// A token if it can be one, else a string (RFC 9651 3.3.3, 3.3.4). What a string cannot hold becomes `?`.
fn write_item(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let starts = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '*');
    if starts
        && text
            .bytes()
            .all(|byte| is_tchar(byte) || matches!(byte, b':' | b'/'))
    {
        return f.write_str(text);
    }
    f.write_char('"')?;
    for char in text.chars() {
        match char {
            '"' | '\\' => write!(f, "\\{char}")?,
            ' '..='~' => f.write_char(char)?,
            _ => f.write_char('?')?,
        }
    }
    f.write_char('"')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn examples_of_the_reference() {
        let edge = |status: CacheStatus<'static>| status.name("Edge").to_value();
        assert_eq!(edge(CacheStatus::hit().ttl(545)), "Edge; hit; ttl=545");
        assert_eq!(
            edge(CacheStatus::hit().ttl(-12).detail("swr")),
            "Edge; hit; ttl=-12; detail=swr"
        );
        assert_eq!(
            edge(
                CacheStatus::forwarded(Fwd::Stale)
                    .fwd_status(StatusCode::NOT_MODIFIED)
                    .ttl(60)
                    .stored(true)
            ),
            "Edge; fwd=stale; fwd-status=304; ttl=60; stored"
        );
        assert_eq!(
            edge(CacheStatus::forwarded(Fwd::UriMiss).collapsed(true)),
            "Edge; fwd=uri-miss; collapsed"
        );
        assert_eq!(
            edge(
                CacheStatus::forwarded(Fwd::UriMiss)
                    .stored(false)
                    .detail("no-store")
            ),
            "Edge; fwd=uri-miss; stored=?0; detail=no-store"
        );
    }

    #[test]
    fn the_default_name() {
        assert_eq!(CacheStatus::hit().to_value(), "gripstack; hit");
    }

    #[test]
    fn a_hit_has_no_parameters_of_a_forward() {
        let status = CacheStatus::hit()
            .fwd_status(StatusCode::OK)
            .stored(true)
            .collapsed(false);
        assert_eq!(status.to_value(), "gripstack; hit");
    }

    #[test]
    fn one_allocation_of_the_exact_length() {
        let text = CacheStatus::forwarded(Fwd::Stale)
            .ttl(-5)
            .detail("a \"b\"")
            .to_text();
        assert_eq!(text.capacity(), text.len());
        let address = text.as_ptr();
        let bytes = Bytes::from(text);
        assert_eq!(bytes.as_ptr(), address);
    }

    #[test]
    fn what_is_no_token_is_a_string() {
        let value = CacheStatus::hit()
            .name("9 \"lives\"")
            .detail("a\\b\u{e9}\n")
            .to_value();
        assert_eq!(value, r#""9 \"lives\""; hit; detail="a\\b??""#);
        assert_eq!(CacheStatus::hit().name("").to_value(), r#"""; hit"#);
    }

    #[test]
    fn integers_have_at_most_fifteen_digits() {
        assert_eq!(
            CacheStatus::hit().ttl(i64::MIN).to_value(),
            "gripstack; hit; ttl=-999999999999999"
        );
        assert_eq!(
            CacheStatus::hit().ttl(i64::MAX).to_value(),
            "gripstack; hit; ttl=999999999999999"
        );
    }

    proptest! {
        #[test]
        fn any_text_makes_a_value(name in any::<String>(), detail in any::<String>()) {
            let value = CacheStatus::hit().name(&name).detail(&detail).to_value();
            prop_assert!(value.to_str().is_ok());
        }
    }
}
