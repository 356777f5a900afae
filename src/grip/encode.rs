//! Instructions into `Grip-*` headers.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::error::shown;
use super::{Hold, HoldChannel, HoldMode, Instruct, InstructError, MIN_TIMEOUT};
use super::{channel, header, syntax};

const GRIP_HOLD: HeaderName = HeaderName::from_static("grip-hold");
const GRIP_CHANNEL: HeaderName = HeaderName::from_static("grip-channel");
const GRIP_TIMEOUT: HeaderName = HeaderName::from_static("grip-timeout");
const GRIP_KEEP_ALIVE: HeaderName = HeaderName::from_static("grip-keep-alive");
const GRIP_STATUS: HeaderName = HeaderName::from_static("grip-status");
const GRIP_EXPOSE_HEADERS: HeaderName = HeaderName::from_static("grip-expose-headers");
const GRIP_LINK: HeaderName = HeaderName::from_static("grip-link");
const GRIP_SET_META: HeaderName = HeaderName::from_static("grip-set-meta");

// === impl Instruct ===

impl Instruct {
    /// The instructions as headers, ready to be added to a response.
    ///
    /// # Errors
    ///
    /// [`InstructError::Unencodable`] where the header grammar cannot carry a text: a channel's name with `;`, `,`,
    /// `"` or a space at an end, an id with a control character. Also more channels, filters or longer ids than
    /// a reader accepts, and an empty keep-alive.
    pub fn into_headers(self) -> Result<HeaderMap, InstructError> {
        let mut headers = HeaderMap::new();
        if let Some(hold) = &self.hold {
            write_hold(hold, &mut headers)?;
            write_meta(&self.meta, &mut headers)?;
        }
        self.write_rest(&mut headers)?;
        Ok(headers)
    }

    /// Writes what has no form in JSON: all but a hold and what belongs to it.
    pub(super) fn write_rest(&self, headers: &mut HeaderMap) -> Result<(), InstructError> {
        if self.hold.is_none() {
            write_channels(&self.unheld, headers)?;
            write_meta(&self.meta, headers)?;
        }
        if let Some(status) = self.status {
            if status.is_informational() {
                return Err(InstructError::Status);
            }
            let text = match self.reason.as_deref() {
                Some(reason) => format!("{} {reason}", status.as_str()),
                None => status.as_str().to_owned(),
            };
            headers.insert(GRIP_STATUS, value(text, "Grip-Status", "reason")?);
        }
        if !self.expose_headers.is_empty() {
            let names: Vec<_> = self.expose_headers.iter().map(HeaderName::as_str).collect();
            headers.insert(
                GRIP_EXPOSE_HEADERS,
                value(names.join(", "), "Grip-Expose-Headers", "name")?,
            );
        }
        if let Some(next) = &self.next {
            let uri = header::reference(next.uri.as_bytes()).ok_or(InstructError::LinkInvalid)?;
            let seconds = syntax::whole_seconds(next.timeout);
            let text = format!("<{uri}>; rel=next; timeout={seconds}");
            headers.append(GRIP_LINK, value(text, "Grip-Link", "link")?);
        }
        if let Some(gone) = &self.gone {
            let uri = header::reference(gone.as_bytes()).ok_or(InstructError::LinkInvalid)?;
            headers.append(
                GRIP_LINK,
                value(format!("<{uri}>; rel=gone"), "Grip-Link", "link")?,
            );
        }
        Ok(())
    }
}

impl TryFrom<Instruct> for HeaderMap {
    type Error = InstructError;

    fn try_from(instruct: Instruct) -> Result<Self, InstructError> {
        instruct.into_headers()
    }
}

fn write_hold(hold: &Hold, headers: &mut HeaderMap) -> Result<(), InstructError> {
    headers.insert(GRIP_HOLD, HeaderValue::from_static(hold.mode.as_str()));
    write_channels(&hold.channels, headers)?;
    if hold.mode == HoldMode::Response || hold.timeout != super::DEFAULT_TIMEOUT {
        let seconds = syntax::whole_seconds(hold.timeout.max(MIN_TIMEOUT));
        headers.insert(GRIP_TIMEOUT, HeaderValue::from(seconds));
    }
    if let Some(keep_alive) = &hold.keep_alive {
        let text = keep_alive.encode()?;
        headers.insert(GRIP_KEEP_ALIVE, value(text, "Grip-Keep-Alive", "content")?);
    }
    Ok(())
}

fn write_channels(channels: &[HoldChannel], headers: &mut HeaderMap) -> Result<(), InstructError> {
    for channel in channels {
        headers.append(GRIP_CHANNEL, write_channel(channel)?);
    }
    Ok(())
}

fn write_channel(channel: &HoldChannel) -> Result<HeaderValue, InstructError> {
    channel::check(channel)?;
    let name = channel.name.as_str();
    if name.contains([';', ',', '"']) || name.starts_with(' ') || name.ends_with(' ') {
        return Err(unencodable("Grip-Channel", "channel", name));
    }
    let mut out = name.as_bytes().to_vec();
    if let Some(id) = &channel.prev_id {
        out.extend_from_slice(b"; prev-id=");
        syntax::write_value(&mut out, id);
    }
    for filter in &channel.filters {
        out.extend_from_slice(b"; filter=");
        syntax::write_value(&mut out, filter);
    }
    HeaderValue::try_from(out).map_err(|_| {
        let id = channel.prev_id.as_deref().unwrap_or_default();
        unencodable("Grip-Channel", "prev-id or filter", id)
    })
}

fn write_meta(meta: &[(Box<str>, Box<str>)], headers: &mut HeaderMap) -> Result<(), InstructError> {
    let mut out = Vec::new();
    for (name, value) in meta {
        if name.is_empty() || name.trim_ascii() != &**name || name.contains(['=', ';', ',', '"']) {
            return Err(unencodable("Grip-Set-Meta", "name", name));
        }
        if !out.is_empty() {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(name.as_bytes());
        out.push(b'=');
        syntax::write_value(&mut out, value);
    }
    if !out.is_empty() {
        headers.insert(GRIP_SET_META, value(out, "Grip-Set-Meta", "meta")?);
    }
    Ok(())
}

/// A header value, for which control characters are no way.
fn value(
    text: impl Into<Vec<u8>>,
    header: &'static str,
    what: &'static str,
) -> Result<HeaderValue, InstructError> {
    let text = text.into();
    HeaderValue::from_bytes(&text).map_err(|_| unencodable(header, what, &String::from_utf8_lossy(&text)))
}

fn unencodable(header: &'static str, what: &'static str, text: &str) -> InstructError {
    InstructError::Unencodable {
        header,
        what,
        value: shown(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_name_that_the_grammar_cannot_carry_is_an_error_that_names_json() {
        for name in ["a;b", "a,b", "a\"b", " a", "a "] {
            let error = Instruct::stream()
                .channel(name)
                .into_headers()
                .unwrap_err()
                .to_string();
            assert_eq!(
                error,
                format!("Grip-Channel cannot carry channel '{name}'; use the JSON form (Instruct::to_json)")
            );
        }
        for name in ["a b", "übung", "a=b", "a\\b"] {
            let headers = Instruct::stream().channel(name).into_headers().unwrap();
            let hold = Instruct::from_headers(&headers).unwrap().unwrap().hold.unwrap();
            assert_eq!(hold.channels[0].name.as_str(), name);
        }
    }

    #[test]
    fn no_text_can_break_out_of_its_header() {
        let builders = [
            Instruct::stream().channel("a").prev_id("1\r\nX: y"),
            Instruct::stream().meta("a", "1\r\nX: y"),
            Instruct::stream().meta("a\n", "1"),
            Instruct::stream().next_link("/a\r\nX: y", Duration::ZERO),
            Instruct::stream().next_link("/a>; rel=gone, <b", Duration::ZERO),
        ];
        for builder in builders {
            assert!(builder.clone().into_headers().is_err(), "{builder:?}");
        }
        let mut instruct = Instruct::immediate()
            .status(http::StatusCode::NOT_FOUND)
            .build()
            .unwrap();
        instruct.reason = Some("a\r\nX: y".into());
        assert!(instruct.into_headers().is_err());
    }
}
