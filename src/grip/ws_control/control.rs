//! Messages for the edge.

use std::time::Duration;

use bytes::Bytes;

use super::ControlError;
use crate::grip::error::shown;
use crate::grip::fields::Object;
use crate::grip::{FieldError, KeepAliveMode, MAX_FILTERS, item_format, keep_alive, ws_kind};
use crate::message::{Channel, SocketKind};

/// How long a delayed message waits, unless told otherwise.
pub const DEFAULT_DELAY: Duration = Duration::from_secs(1);

/// What an origin asks of the edge for one connection.
///
/// ```
/// use gripstack::grip::ws_control::Control;
///
/// let meta = Control::from_json(r#"{"type":"set-meta","name":"user","value":"al"}"#)?;
/// assert_eq!(meta.to_message(), r#"c:{"name":"user","type":"set-meta","value":"al"}"#);
/// # Ok::<(), gripstack::grip::ws_control::ControlError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Control {
    /// `subscribe`: what is published on this channel goes to the client.
    Subscribe {
        /// As the origin calls it.
        channel: Channel,
        /// Names of filters, in order, known or not. At most [`MAX_FILTERS`].
        filters: Vec<Box<str>>,
    },
    /// `unsubscribe`: no longer.
    Unsubscribe {
        /// As the origin calls it.
        channel: Channel,
    },
    /// `detach`: from here on the origin has nothing to do with the connection, which goes on.
    Detach,
    /// `set-meta`: a name and value for filters. Other than what an answer has the edge remember with `Set-Meta-*`.
    SetMeta {
        /// Not empty.
        name: Box<str>,
        /// `None` takes the name away.
        value: Option<Box<str>>,
    },
    /// `keep-alive`: what is sent while nothing else is; `None` for nothing.
    KeepAlive(Option<SocketKeepAlive>),
    /// `send-delayed`: a message that waits. There is one place for it: another one sends the first at once.
    SendDelayed(DelayedMessage),
    /// `flush-delayed`: the message that waits is sent now.
    FlushDelayed,
    /// `session`: names a session of a state service.
    Session {
        /// Its id.
        id: Option<Box<str>>,
    },
}

/// What a connection sends in silence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketKeepAlive {
    /// Default text, also for what was written in base64.
    pub kind: SocketKind,
    /// May be empty.
    pub content: Bytes,
    /// When. Whole seconds, never 0. Default 55 s.
    pub timeout: Duration,
    /// Since when the time counts.
    pub mode: KeepAliveMode,
}

/// A message that is sent later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelayedMessage {
    /// Default text, also for what was written in base64.
    pub kind: SocketKind,
    /// May be empty.
    pub content: Bytes,
    /// When. Whole seconds. Default [`DEFAULT_DELAY`].
    pub timeout: Duration,
}

// === impl Control ===

impl Control {
    /// Reads what follows the `c:`: an object with a `type`. Fields that the type does not have are passed over.
    ///
    /// # Errors
    ///
    /// When it is no such object. The message then has no effect, and the connection goes on.
    pub fn from_json(json: &str) -> Result<Self, ControlError> {
        let value = serde_json::from_str(json).map_err(|_| ControlError::NotJson)?;
        let mut object = Object::new("grip control object", value)
            .map_err(|_| FieldError::not_an_object("grip control packet"))?;
        Ok(match &*object.required_string("type")? {
            "subscribe" => subscribe(object)?,
            "unsubscribe" => Self::Unsubscribe {
                channel: channel(&mut object)?,
            },
            "detach" => Self::Detach,
            "set-meta" => set_meta(object)?,
            "keep-alive" => Self::KeepAlive(socket_keep_alive(object)?),
            "send-delayed" => Self::SendDelayed(delayed(object)?),
            "flush-delayed" => Self::FlushDelayed,
            "session" => Self::Session {
                id: object.string("id")?.map(Into::into),
            },
            other => return Err(ControlError::UnknownType(shown(other))),
        })
    }
}

fn subscribe(mut object: Object) -> Result<Control, ControlError> {
    let channel = channel(&mut object)?;
    let filters = object.strings("filters")?.unwrap_or_default();
    if filters.len() > MAX_FILTERS {
        return Err(ControlError::TooManyFilters(channel));
    }
    let filters = filters.into_iter().map(Into::into).collect();
    Ok(Control::Subscribe { channel, filters })
}

fn channel(object: &mut Object) -> Result<Channel, ControlError> {
    Ok(Channel::new(&object.required_string("channel")?)?)
}

fn set_meta(mut object: Object) -> Result<Control, FieldError> {
    let name = object.required_string("name")?;
    if name.is_empty() {
        return Err(object.invalid("name"));
    }
    let value = object.string("value")?.map(Into::into);
    let name = name.into();
    Ok(Control::SetMeta { name, value })
}

/// Without content there is none, whatever its time.
fn socket_keep_alive(mut object: Object) -> Result<Option<SocketKeepAlive>, FieldError> {
    let (kind, content) = message(&mut object)?;
    let Some(content) = content else {
        return Ok(None);
    };
    let timeout = object.seconds("timeout")?.filter(|timeout| !timeout.is_zero());
    let mode = match object.string("mode")? {
        Some(mode) => KeepAliveMode::from_text(&mode).ok_or_else(|| object.invalid("mode"))?,
        None => KeepAliveMode::default(),
    };
    Ok(Some(SocketKeepAlive {
        kind,
        content,
        timeout: timeout.unwrap_or(keep_alive::DEFAULT_TIMEOUT),
        mode,
    }))
}

/// A ping or pong needs no content.
fn delayed(mut object: Object) -> Result<DelayedMessage, FieldError> {
    let (kind, content) = message(&mut object)?;
    let content = match content {
        Some(content) => content,
        None if ws_kind::is_control(kind) => Bytes::new(),
        None => return Err(object.missing("content")),
    };
    Ok(DelayedMessage {
        kind,
        content,
        timeout: object.seconds("timeout")?.unwrap_or(DEFAULT_DELAY),
    })
}

/// Kind and content, if there is content. Text is the default for bytes, too: unlike in a publish, where the field that
/// they are in decides.
fn message(object: &mut Object) -> Result<(SocketKind, Option<Bytes>), FieldError> {
    let kind = ws_kind::take(object, "message-type")?.unwrap_or(SocketKind::Text);
    match item_format::content(object, "content-bin", "content")? {
        Some((content, field)) if !ws_kind::fits(kind, &content) => Err(object.invalid(field)),
        content => Ok((kind, content.map(|(content, _)| content))),
    }
}
