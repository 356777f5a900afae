//! Instructions made by a handler.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};

use super::draft::Draft;
use super::{HoldChannel, HoldMode, Instruct, InstructError, JsonResponse, KeepAlive, NextLink};
use crate::message::Channel;

/// Makes an [`Instruct`] without spelling a header. A mistake is kept and reported at the end.
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it becomes headers or JSON"]
pub struct InstructBuilder {
    draft: Draft,
    /// The channel named last.
    last: Option<usize>,
    error: Option<InstructError>,
}

// === impl Instruct ===

impl Instruct {
    /// Sends the response at once and goes on with what is published on its channels.
    pub fn stream() -> InstructBuilder {
        InstructBuilder::new(Some(HoldMode::Stream))
    }

    /// Waits for the next message on its channels; the response itself is the answer at the timeout.
    pub fn response() -> InstructBuilder {
        InstructBuilder::new(Some(HoldMode::Response))
    }

    /// Holds nothing: names the channels that the response belongs to, a status, a list of headers to show.
    pub fn immediate() -> InstructBuilder {
        InstructBuilder::new(None)
    }
}

// === impl InstructBuilder ===

impl InstructBuilder {
    fn new(mode: Option<HoldMode>) -> Self {
        Self {
            draft: Draft {
                mode,
                ..Draft::default()
            },
            last: None,
            error: None,
        }
    }

    /// Listens to this channel as well.
    pub fn channel(mut self, name: &str) -> Self {
        let added = match Channel::new(name) {
            Ok(name) => self.draft.channels.add(HoldChannel::new(name)),
            Err(error) => Err(error.into()),
        };
        match added {
            Ok(i) => self.last = Some(i),
            Err(error) => self.fail(error),
        }
        self
    }

    /// The id of the last message of the channel named last that the body already contains.
    pub fn prev_id(mut self, id: impl Into<Arc<str>>) -> Self {
        match self.last.and_then(|i| self.draft.channels.all.get_mut(i)) {
            Some(channel) => channel.prev_id = Some(id.into()),
            None => self.fail(InstructError::PrevIdWithoutChannel),
        }
        self
    }

    /// How long a long poll waits. Rounded up to whole seconds, at least
    /// [`MIN_TIMEOUT`](super::MIN_TIMEOUT). Default [`DEFAULT_TIMEOUT`](super::DEFAULT_TIMEOUT).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.draft.timeout = Some(timeout);
        self
    }

    /// What a stream sends in silence. Default: nothing.
    pub fn keep_alive(mut self, keep_alive: KeepAlive) -> Self {
        self.draft.keep_alive = Some(keep_alive);
        self
    }

    /// What the client sees as the status. Default: that of the response.
    pub fn status(mut self, status: StatusCode) -> Self {
        self.draft.instruct.status = Some(status);
        self
    }

    /// Lets this header reach the client, and hides all that are not named so.
    pub fn expose_header(mut self, name: HeaderName) -> Self {
        self.draft.instruct.expose_headers.push(name);
        self
    }

    /// Where the stream goes on, or recovers, after `timeout` without activity.
    pub fn next_link(mut self, uri: &str, timeout: Duration) -> Self {
        let uri = uri.into();
        self.draft.instruct.next = Some(NextLink { uri, timeout });
        self
    }

    /// A name and a value for filters.
    pub fn meta(mut self, name: &str, value: &str) -> Self {
        self.draft.set_meta(name, value);
        self
    }

    /// The instructions.
    ///
    /// # Errors
    ///
    /// The first mistake: a name that no channel may have, too many channels, an id without a channel or too long.
    pub fn build(self) -> Result<Instruct, InstructError> {
        match self.error {
            Some(error) => Err(error),
            None => Ok(self.draft.finish()),
        }
    }

    /// The instructions as headers, ready to be added to a response.
    ///
    /// # Errors
    ///
    /// Those of [`build`](Self::build) and of [`Instruct::into_headers`].
    pub fn into_headers(self) -> Result<HeaderMap, InstructError> {
        self.build()?.into_headers()
    }

    /// The instructions and a response as JSON, with the headers that go beside it.
    ///
    /// # Errors
    ///
    /// Those of [`build`](Self::build) and of [`Instruct::to_json`].
    pub fn to_json(self, response: &JsonResponse) -> Result<(HeaderMap, Bytes), InstructError> {
        self.build()?.to_json(response)
    }

    /// Keeps the first mistake.
    fn fail(&mut self, error: InstructError) {
        self.error.get_or_insert(error);
    }
}

impl TryFrom<InstructBuilder> for HeaderMap {
    type Error = InstructError;

    fn try_from(builder: InstructBuilder) -> Result<Self, InstructError> {
        builder.into_headers()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_mistake_is_reported() {
        let error = |builder: InstructBuilder| builder.into_headers().unwrap_err().to_string();
        assert_eq!(error(Instruct::stream().channel("")), "the channel name is empty");
        assert_eq!(
            error(Instruct::stream().channel("a\nb").channel("")),
            r"the channel name contains the control character '\n'"
        );
        assert_eq!(
            error(Instruct::stream().prev_id("1")),
            "prev_id is called after channel"
        );
        let long = "x".repeat(1025);
        assert!(error(Instruct::stream().channel(&long)).contains("1025 bytes"));
        assert!(error(Instruct::stream().channel("a").prev_id(long)).contains("prev-id of channel 'a'"));
    }

    #[test]
    fn every_way_to_headers_gives_the_same() {
        let builder = Instruct::response()
            .channel("a")
            .prev_id("1")
            .channel("b c")
            .timeout(Duration::from_millis(9_500))
            .status(StatusCode::ACCEPTED)
            .expose_header(http::header::ETAG)
            .next_link("/a?after=1", Duration::from_secs(3))
            .meta("user", "al");
        let headers = builder.clone().into_headers().unwrap();
        let mut expected = HeaderMap::new();
        for (name, value) in [
            ("grip-hold", "response"),
            ("grip-channel", "a; prev-id=1"),
            ("grip-channel", "b c"),
            ("grip-timeout", "10"),
            ("grip-set-meta", "user=al"),
            ("grip-status", "202"),
            ("grip-expose-headers", "etag"),
            ("grip-link", "</a?after=1>; rel=next; timeout=3"),
        ] {
            expected.append(name, http::HeaderValue::from_static(value));
        }
        assert_eq!(headers, expected);
        assert_eq!(HeaderMap::try_from(builder.clone()), Ok(expected.clone()));
        assert_eq!(HeaderMap::try_from(builder.build().unwrap()), Ok(expected));
    }

    #[test]
    fn headers_are_axum_response_parts() {
        use axum::response::IntoResponse;

        let headers = Instruct::stream()
            .channel("a")
            .channel("b")
            .into_headers()
            .unwrap();
        let response = (headers, "body").into_response();
        let hold = Instruct::from_headers(response.headers())
            .unwrap()
            .unwrap()
            .hold
            .unwrap();
        assert_eq!(hold.mode, HoldMode::Stream);
        assert_eq!(hold.channels.len(), 2);
    }
}
