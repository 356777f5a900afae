//! What is published: a message for a channel, in the forms that the different holds take.

use std::borrow::Borrow;
use std::convert::Infallible;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

/// Longest channel name, in bytes.
pub const MAX_CHANNEL_BYTES: usize = 1024;

/// What a place for a field takes of a header map. Measured.
const FIELD_WEIGHT: usize = 112;

/// The name of a channel: 1 to [`MAX_CHANNEL_BYTES`] bytes without control characters. Matched exactly.
///
/// Whatever takes a channel takes its name, too, and says if that is none.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel(Arc<str>);

/// Why a channel name is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// It is empty.
    #[error("the channel name is empty")]
    Empty,
    /// It is longer than [`MAX_CHANNEL_BYTES`].
    #[error("the channel name has {0} bytes, at most {MAX_CHANNEL_BYTES} are allowed")]
    TooLong(usize),
    /// It contains a control character.
    #[error("the channel name contains the control character {0:?}")]
    Control(char),
}

/// One message. A hold takes the form made for its kind; a hold whose form is absent does not see it.
///
/// ```
/// use gripstack::Message;
/// use gripstack::message::{PushedResponse, ResponseForm};
///
/// let event = Message::sse(Some("likes"), "7"); // for streams
/// let bytes = Message::bytes("data: 7\n\n"); // the same, as it goes over the wire
/// let answer = Message::response(PushedResponse::new("7")); // for long polls
/// // One message for both; its id lets a client have each once and in order.
/// let form = ResponseForm::Send(Box::new(PushedResponse::new("7")));
/// let both = event.with_response(form).with_id("7").with_prev_id("6");
/// # assert!(both.stream.is_some() && both.response.is_some() && both.id.as_deref() == Some("7"));
/// # let _ = (bytes, answer);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// Names this message within its channel. Opaque; only equality counts.
    pub id: Option<Arc<str>>,
    /// The id of the message before this one.
    pub prev_id: Option<Arc<str>>,
    /// Delivered as it comes, without ordering by `prev_id` (GRIP `no-seq`).
    pub no_seq: bool,
    /// For stream holds.
    pub stream: Option<StreamForm>,
    /// For response holds (long polls).
    pub response: Option<ResponseForm>,
    /// For WebSockets.
    pub socket: Option<SocketForm>,
}

/// What a message does to a stream hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamForm {
    /// Appends these bytes to the body.
    Send(Bytes),
    /// Asks holders to fetch anew; a stream without a next-link ignores it.
    Hint,
    /// Ends the body cleanly.
    Close,
}

/// What a message does to a response hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseForm {
    /// Answers with this response.
    Send(Box<PushedResponse>),
    /// Asks the origin again, now.
    Hint,
}

/// A response that answers a long poll. Headers it does not name come from the origin's response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedResponse {
    /// Its status. Default 200.
    pub status: StatusCode,
    /// Its own headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// What a message does to a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketForm {
    /// Sends one message of this kind.
    Send(SocketKind, Bytes),
    /// Sends a close frame.
    Close {
        /// Default 1000 (RFC 6455 7.4.1).
        code: Option<u16>,
        /// At most 123 bytes.
        reason: Arc<str>,
    },
    /// Makes the edge ask the origin again.
    Refresh,
}

/// Kinds of WebSocket messages (RFC 6455 5.6, 5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketKind {
    /// UTF-8 text.
    Text,
    /// Bytes.
    Binary,
    /// Ping frame.
    Ping,
    /// Pong frame.
    Pong,
}

/// The forms that a message can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Stream,
    Response,
    Socket,
}

// === impl Channel ===

impl Channel {
    /// Checks the name.
    pub fn new(name: &str) -> Result<Self, ChannelError> {
        if name.is_empty() {
            return Err(ChannelError::Empty);
        }
        if name.len() > MAX_CHANNEL_BYTES {
            return Err(ChannelError::TooLong(name.len()));
        }
        match name.chars().find(|c| c.is_control()) {
            Some(c) => Err(ChannelError::Control(c)),
            None => Ok(Self(name.into())),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Channel {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl TryFrom<String> for Channel {
    type Error = ChannelError;

    fn try_from(name: String) -> Result<Self, ChannelError> {
        Self::new(&name)
    }
}

impl From<&Channel> for Channel {
    fn from(channel: &Channel) -> Self {
        channel.clone()
    }
}

impl From<Infallible> for ChannelError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl TryFrom<&str> for Channel {
    type Error = ChannelError;

    fn try_from(name: &str) -> Result<Self, ChannelError> {
        Self::new(name)
    }
}

// === impl Message ===

impl Message {
    /// About how many bytes of memory it takes.
    pub fn weight(&self) -> usize {
        let ids = self.id.as_ref().map_or(0, |id| id.len()) + self.prev_id.as_ref().map_or(0, |id| id.len());
        let stream = match &self.stream {
            Some(StreamForm::Send(bytes)) => bytes.len(),
            _ => 0,
        };
        let response = match &self.response {
            Some(ResponseForm::Send(response)) => {
                let headers = response.headers.iter();
                let headers = headers.map(|(name, value)| name.as_str().len() + value.len());
                // The map has room for more.
                let fields = response.headers.capacity() * FIELD_WEIGHT;
                response.body.len() + headers.sum::<usize>() + fields + size_of::<PushedResponse>()
            }
            _ => 0,
        };
        let socket = match &self.socket {
            Some(SocketForm::Send(_, bytes)) => bytes.len(),
            Some(SocketForm::Close { reason, .. }) => reason.len(),
            _ => 0,
        };
        size_of::<Self>() + ids + stream + response + socket
    }

    /// The id of the message that it follows, and waits for.
    pub(crate) fn predecessor(&self) -> Option<&Arc<str>> {
        self.prev_id.as_ref().filter(|_| !self.no_seq)
    }

    /// Has the forms of another one as well, where it has none.
    pub(crate) fn add_forms_of(&mut self, other: &Self) {
        let Self {
            stream,
            response,
            socket,
            ..
        } = self;
        *stream = stream.take().or_else(|| other.stream.clone());
        *response = response.take().or_else(|| other.response.clone());
        *socket = socket.take().or_else(|| other.socket.clone());
    }

    /// Whether it neither closes nor hints, in whichever form.
    #[cfg(feature = "publish")]
    pub(crate) fn is_state(&self) -> bool {
        let mut forms = Form::ALL.into_iter().filter(|form| form.is_in(self));
        forms.all(|form| form.is_sent_by(self))
    }

    /// Whether both do something to the same kind of hold.
    #[cfg(feature = "publish")]
    pub(crate) fn shares_a_form(&self, other: &Self) -> bool {
        let mut forms = Form::ALL.into_iter();
        forms.any(|form| form.is_in(self) && form.is_in(other))
    }

    /// Whether whoever has not had the older one, which carries a state, has enough with this one, whatever the hold
    /// (rule D2a): in each form of the older one it sends something as well. What closes, or asks to ask anew, is no
    /// state: only the same once more covers it.
    pub(crate) fn covers(&self, older: &Self) -> bool {
        let mut forms = Form::ALL.into_iter().filter(|form| form.is_in(older));
        forms.all(|form| match form.is_sent_by(older) {
            true => form.is_sent_by(self),
            false => form.is_the_same(self, older),
        })
    }

    /// A message for stream holds: these bytes as they are.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self {
            stream: Some(StreamForm::Send(bytes.into())),
            ..Self::default()
        }
    }

    /// A server-sent event for stream holds: its name, if any, and its data, a `data:` line for each line of it
    /// (HTML standard, 9.2.6). Any line end in the data starts a new line; line ends in the name are left out.
    /// The event has no `id:` line.
    pub fn sse(event: Option<&str>, data: &str) -> Self {
        let mut out = String::with_capacity(data.len() + event.map_or(0, str::len) + 16);
        if let Some(event) = event {
            out.push_str("event: ");
            out.extend(event.chars().filter(|c| !matches!(c, '\r' | '\n')));
            out.push('\n');
        }
        let mut rest = data;
        loop {
            let end = rest.find(['\r', '\n']);
            out.push_str("data: ");
            out.push_str(&rest[..end.unwrap_or(rest.len())]);
            out.push('\n');
            let Some(end) = end else { break };
            rest = rest[end..].strip_prefix("\r\n").unwrap_or(&rest[end + 1..]);
        }
        out.push('\n');
        Self::bytes(out)
    }

    /// A line for stream holds: this text and a newline.
    pub fn line(text: impl Into<String>) -> Self {
        let mut text = text.into();
        text.push('\n');
        Self::bytes(text)
    }

    /// A text message for WebSockets.
    pub fn text_socket(text: impl Into<String>) -> Self {
        Self {
            socket: Some(SocketForm::Send(SocketKind::Text, text.into().into())),
            ..Self::default()
        }
    }

    /// A message for response holds: answers with this response.
    pub fn response(response: PushedResponse) -> Self {
        Self::default().with_response(response.into())
    }

    /// A message that ends stream holds.
    pub fn close() -> Self {
        Self::default().with_stream(StreamForm::Close)
    }

    /// A message that makes the origin be asked anew.
    pub fn hint() -> Self {
        Self::default()
            .with_stream(StreamForm::Hint)
            .with_response(ResponseForm::Hint)
    }

    /// The same message with an id.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The same message with the id of its predecessor.
    #[must_use]
    pub fn with_prev_id(mut self, prev_id: impl Into<Arc<str>>) -> Self {
        self.prev_id = Some(prev_id.into());
        self
    }

    /// The same message, delivered as it comes whatever its ids say.
    #[must_use]
    pub fn with_no_seq(mut self) -> Self {
        self.no_seq = true;
        self
    }

    /// The same message with this form for stream holds.
    #[must_use]
    pub fn with_stream(mut self, form: StreamForm) -> Self {
        self.stream = Some(form);
        self
    }

    /// The same message with this form for response holds.
    #[must_use]
    pub fn with_response(mut self, form: ResponseForm) -> Self {
        self.response = Some(form);
        self
    }

    /// The same message with this form for WebSockets.
    #[must_use]
    pub fn with_socket(mut self, form: SocketForm) -> Self {
        self.socket = Some(form);
        self
    }
}

// === impl Form ===

impl Form {
    pub(crate) const ALL: [Self; 3] = [Self::Stream, Self::Response, Self::Socket];

    /// Whether the message has this form.
    pub(crate) fn is_in(self, message: &Message) -> bool {
        match self {
            Self::Stream => message.stream.is_some(),
            Self::Response => message.response.is_some(),
            Self::Socket => message.socket.is_some(),
        }
    }

    /// Whether both are the same in this form.
    fn is_the_same(self, one: &Message, other: &Message) -> bool {
        match self {
            Self::Stream => one.stream == other.stream,
            Self::Response => one.response == other.response,
            Self::Socket => one.socket == other.socket,
        }
    }

    /// Of two messages that differ in this form, the hashes do.
    pub(crate) fn hash_in(self, message: &Message, hasher: &mut impl Hasher) {
        match self {
            Self::Stream => match &message.stream {
                None => 0_u8.hash(hasher),
                Some(StreamForm::Close) => 1_u8.hash(hasher),
                Some(StreamForm::Hint) => 2_u8.hash(hasher),
                Some(StreamForm::Send(bytes)) => (3_u8, bytes).hash(hasher),
            },
            Self::Response => match &message.response {
                None => 0_u8.hash(hasher),
                Some(ResponseForm::Hint) => 1_u8.hash(hasher),
                Some(ResponseForm::Send(response)) => {
                    (2_u8, response.status, &response.body).hash(hasher);
                    // Their order says nothing, but for fields of one name (RFC 9110 5.3).
                    let mut fields: Vec<_> = response.headers.iter().collect();
                    fields.sort_by_key(|(name, _)| name.as_str());
                    fields.hash(hasher);
                }
            },
            Self::Socket => match &message.socket {
                None => 0_u8.hash(hasher),
                Some(SocketForm::Refresh) => 1_u8.hash(hasher),
                Some(SocketForm::Send(kind, bytes)) => (2_u8, kind, bytes).hash(hasher),
                Some(SocketForm::Close { code, reason }) => (3_u8, code, reason).hash(hasher),
            },
        }
    }

    /// Whether the message sends something in this form.
    pub(crate) fn is_sent_by(self, message: &Message) -> bool {
        match self {
            Self::Stream => matches!(message.stream, Some(StreamForm::Send(_))),
            Self::Response => matches!(message.response, Some(ResponseForm::Send(_))),
            Self::Socket => matches!(message.socket, Some(SocketForm::Send(..))),
        }
    }
}

// === impl ResponseForm ===

impl From<PushedResponse> for ResponseForm {
    fn from(response: PushedResponse) -> Self {
        Self::Send(Box::new(response))
    }
}

// === impl PushedResponse ===

impl PushedResponse {
    /// A 200 with this body and no headers of its own.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: body.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sse(event: Option<&str>, data: &str) -> String {
        match Message::sse(event, data).stream {
            Some(StreamForm::Send(bytes)) => String::from_utf8(bytes.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_event_has_a_data_line_for_each_line() {
        assert_eq!(sse(Some("message"), "1"), "event: message\ndata: 1\n\n");
        assert_eq!(
            sse(None, "a\nb\r\nc\rd"),
            "data: a\ndata: b\ndata: c\ndata: d\n\n"
        );
        assert_eq!(sse(None, "a\n"), "data: a\ndata: \n\n");
        assert_eq!(sse(None, "\r\r\n"), "data: \ndata: \ndata: \n\n");
        assert_eq!(sse(None, ""), "data: \n\n");
        assert_eq!(sse(None, " ü"), "data:  ü\n\n");
    }

    #[test]
    fn no_text_can_add_a_field_to_an_event() {
        assert_eq!(
            sse(Some("a\r\nid: 1"), "x\nretry: 1"),
            "event: aid: 1\ndata: x\ndata: retry: 1\n\n"
        );
    }

    #[test]
    fn typed_messages_fill_the_form_of_their_hold() {
        assert_eq!(Message::line("a"), Message::bytes("a\n"));
        let socket = Message::text_socket("a").socket;
        assert_eq!(socket, Some(SocketForm::Send(SocketKind::Text, Bytes::from("a"))));
        let pushed = PushedResponse::new("a");
        let response = Message::response(pushed.clone()).response;
        assert_eq!(response, Some(ResponseForm::Send(Box::new(pushed))));
    }
}
