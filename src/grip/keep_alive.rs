//! What a stream sends in silence.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;

use super::binary;
use super::error::shown;
use super::syntax::{self, SecondsError};

/// How long a stream is silent before a keep-alive, unless told otherwise.
pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(55);

/// A shorter time is raised to this.
const MIN_TIMEOUT: Duration = Duration::from_secs(1);

/// What a stream sends in silence (`Grip-Keep-Alive`, or `hold.keep-alive` in JSON).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// What is sent. Not empty.
    pub content: Bytes,
    /// When. Whole seconds on the wire, at least 1 s. Default 55 s.
    pub timeout: Duration,
    /// Since when the time counts.
    pub mode: KeepAliveMode,
}

/// Since when the time to a keep-alive counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KeepAliveMode {
    /// Since the last thing sent.
    #[default]
    Idle,
    /// Since the last keep-alive.
    Interval,
}

/// Why a `Grip-Keep-Alive` is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeepAliveError {
    /// There is nothing to send.
    #[error("Grip-Keep-Alive cannot be empty")]
    Empty,
    /// Another mode than `idle` and `interval`.
    #[error("no such Grip-Keep-Alive mode '{0}'")]
    Mode(Box<str>),
    /// Another format than `raw`, `cstring` and `base64`.
    #[error("no such Grip-Keep-Alive format '{0}'")]
    Format(Box<str>),
    /// `timeout` is no integer.
    #[error("failed to parse Grip-Keep-Alive timeout value")]
    TimeoutParse,
    /// `timeout` is negative.
    #[error("Grip-Keep-Alive timeout has invalid value")]
    TimeoutInvalid,
    /// An escape that the format does not have.
    #[error("failed to parse Grip-Keep-Alive cstring format")]
    Cstring,
    /// What is not base64.
    #[error("failed to parse Grip-Keep-Alive base64 format")]
    Base64,
}

// === impl KeepAlive ===

impl KeepAlive {
    /// These bytes after this long a silence.
    pub fn new(content: impl Into<Bytes>, timeout: Duration) -> Self {
        Self {
            content: content.into(),
            timeout: timeout.max(MIN_TIMEOUT),
            mode: KeepAliveMode::Idle,
        }
    }

    /// This text after this long a silence.
    pub fn text(content: impl Into<String>, timeout: Duration) -> Self {
        Self::new(content.into(), timeout)
    }

    /// The same, with time counted as `mode` says. Default [`KeepAliveMode::Idle`].
    #[must_use]
    pub fn with_mode(mut self, mode: KeepAliveMode) -> Self {
        self.mode = mode;
        self
    }

    /// Reads the value of a `Grip-Keep-Alive`: `data[; format=F][; timeout=S][; mode=M]`.
    pub fn parse(value: &[u8]) -> Result<Self, KeepAliveError> {
        let (data, params) = syntax::first_and_params(value);
        if data.is_empty() {
            return Err(KeepAliveError::Empty);
        }
        let mut format = Cow::Borrowed(&b"raw"[..]);
        let mut timeout = DEFAULT_TIMEOUT;
        let mut mode = KeepAliveMode::Idle;
        for (name, value) in params {
            let Some(value) = value else { continue };
            if name.eq_ignore_ascii_case(b"format") {
                format = value;
            } else if name.eq_ignore_ascii_case(b"timeout") {
                timeout = syntax::seconds(&value).map_err(|error| match error {
                    SecondsError::NotAnInteger => KeepAliveError::TimeoutParse,
                    SecondsError::Negative => KeepAliveError::TimeoutInvalid,
                })?;
            } else if name.eq_ignore_ascii_case(b"mode") {
                let text = String::from_utf8_lossy(&value);
                mode = KeepAliveMode::from_text(&text).ok_or_else(|| KeepAliveError::Mode(shown(&text)))?;
            }
        }
        let content = match &format[..] {
            b"raw" => Bytes::copy_from_slice(data),
            b"cstring" => cstring_decode(data).ok_or(KeepAliveError::Cstring)?.into(),
            b"base64" => binary::decode(data).ok_or(KeepAliveError::Base64)?.into(),
            other => return Err(KeepAliveError::Format(shown(&String::from_utf8_lossy(other)))),
        };
        if content.is_empty() {
            return Err(KeepAliveError::Empty);
        }
        Ok(Self::new(content, timeout).with_mode(mode))
    }

    /// Writes the value of a `Grip-Keep-Alive`: `cstring` where the content is text, else `base64`.
    pub fn encode(&self) -> Result<String, KeepAliveError> {
        if self.content.is_empty() {
            return Err(KeepAliveError::Empty);
        }
        let seconds = syntax::whole_seconds(self.timeout);
        let mode = match self.mode {
            KeepAliveMode::Idle => "",
            KeepAliveMode::Interval => "; mode=interval",
        };
        Ok(match cstring_encode(&self.content) {
            Some(data) => format!("{data}; format=cstring; timeout={seconds}{mode}"),
            None => {
                let data = binary::encode(&self.content);
                format!("{data}; format=base64; timeout={seconds}{mode}")
            }
        })
    }
}

// === impl KeepAliveMode ===

impl KeepAliveMode {
    /// As GRIP spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Interval => "interval",
        }
    }

    /// `idle` or `interval`, nothing else; case-sensitive.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        match text {
            "idle" => Some(Self::Idle),
            "interval" => Some(Self::Interval),
            _ => None,
        }
    }
}

/// Resolves `\\`, `\r`, `\n`, `\t` and `\xHH`. Client libraries write `\t` for a tab.
fn cstring_decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'\\' => match bytes.next()? {
                b'\\' => b'\\',
                b'r' => b'\r',
                b'n' => b'\n',
                b't' => b'\t',
                b'x' => {
                    let mut digit = || char::from(bytes.next()?).to_digit(16);
                    let (high, low) = (digit()?, digit()?);
                    u8::try_from(high * 16 + low).ok()?
                }
                _ => return None,
            },
            other => other,
        });
    }
    Some(out)
}

/// Printable ASCII with escapes that every reader knows; `None` where that is not what the content is.
fn cstring_encode(content: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(content.len() + 8);
    let last = content.len() - 1;
    for (i, &byte) in content.iter().enumerate() {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'\r' => out.push_str("\\r"),
            b'\n' => out.push_str("\\n"),
            b'\t' => out.push_str("\\x09"),
            b';' => out.push_str("\\x3b"),
            b' ' if i == 0 || i == last => out.push_str("\\x20"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => return None,
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> Result<KeepAlive, KeepAliveError> {
        KeepAlive::parse(value.as_bytes())
    }

    #[test]
    fn s06_cstring_with_a_timeout_is_idle() {
        let expected = KeepAlive::text("ping\n", Duration::from_secs(2));
        assert_eq!(parse(r"ping\n; format=cstring; timeout=2"), Ok(expected));
    }

    #[test]
    fn s07_interval_mode() {
        let expected = KeepAlive::text("ping\n", Duration::from_secs(2)).with_mode(KeepAliveMode::Interval);
        assert_eq!(
            parse(r"ping\n; format=cstring; timeout=2; mode=interval"),
            Ok(expected)
        );
    }

    #[test]
    fn raw_is_the_default_and_keeps_backslashes_and_commas() {
        let expected = KeepAlive::text(r"a\n, b", Duration::from_secs(55));
        assert_eq!(parse(r" a\n, b "), Ok(expected.clone()));
        assert_eq!(
            parse(r#"a\n, b; Format="raw"; TIMEOUT=55; Mode=idle; other"#),
            Ok(expected)
        );
    }

    #[test]
    fn base64_is_lenient_and_never_garbage() {
        assert_eq!(parse("AAE=; format=base64").unwrap().content, &[0, 1][..]);
        assert_eq!(parse("AAE; format=base64").unwrap().content, &[0, 1][..]);
        assert_eq!(parse("A*; format=base64"), Err(KeepAliveError::Base64));
    }

    #[test]
    fn every_cstring_escape() {
        assert_eq!(
            parse(r"\\\r\n\t\x3B\xff; format=cstring").unwrap().content,
            &b"\\\r\n\t;\xff"[..]
        );
        for bad in [r"a\q", r"a\", r"a\x1", r"a\xzz"] {
            assert_eq!(
                parse(&format!("{bad}; format=cstring")),
                Err(KeepAliveError::Cstring),
                "{bad}"
            );
        }
    }

    #[test]
    fn every_refusal_has_its_text() {
        let text = |value: &str| parse(value).unwrap_err().to_string();
        assert_eq!(text("; timeout=1"), "Grip-Keep-Alive cannot be empty");
        assert_eq!(text(""), "Grip-Keep-Alive cannot be empty");
        assert_eq!(
            text("=; format=base64"),
            "failed to parse Grip-Keep-Alive base64 format"
        );
        assert_eq!(
            text("x; timeout=a"),
            "failed to parse Grip-Keep-Alive timeout value"
        );
        assert_eq!(text("x; timeout=-1"), "Grip-Keep-Alive timeout has invalid value");
        assert_eq!(
            text(r"\q; format=cstring"),
            "failed to parse Grip-Keep-Alive cstring format"
        );
    }

    #[test]
    fn a_timeout_below_a_second_is_a_second() {
        assert_eq!(parse("x; timeout=0").unwrap().timeout, Duration::from_secs(1));
    }

    #[test]
    fn encodes_text_as_cstring_and_bytes_as_base64() {
        let encode = |content: &'static [u8]| KeepAlive::new(content, Duration::from_secs(20)).encode();
        assert_eq!(
            encode(b": ping\n\n").unwrap(),
            r": ping\n\n; format=cstring; timeout=20"
        );
        assert_eq!(
            encode(b" a;\tb ").unwrap(),
            r"\x20a\x3b\x09b\x20; format=cstring; timeout=20"
        );
        assert_eq!(encode(&[0, 1]).unwrap(), "AAE=; format=base64; timeout=20");
        assert_eq!(encode(b""), Err(KeepAliveError::Empty));
    }
}
