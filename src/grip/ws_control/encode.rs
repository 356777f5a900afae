//! Messages for the edge, as an origin writes them.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::prefix::CONTROL;
use super::{Control, DelayedMessage, SocketKeepAlive};
use crate::grip::{json, syntax, ws_kind};
use crate::message::SocketKind;

// === impl Control ===

impl Control {
    /// The whole message, with its `c:`. Times are rounded up to whole seconds.
    pub fn to_message(&self) -> String {
        format!("{CONTROL}{}", Value::Object(self.fields()))
    }

    /// As GRIP spells its type.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Subscribe { .. } => "subscribe",
            Self::Unsubscribe { .. } => "unsubscribe",
            Self::Detach => "detach",
            Self::SetMeta { .. } => "set-meta",
            Self::KeepAlive(_) => "keep-alive",
            Self::SendDelayed(_) => "send-delayed",
            Self::FlushDelayed => "flush-delayed",
            Self::Session { .. } => "session",
        }
    }

    fn fields(&self) -> Map<String, Value> {
        let mut out = Map::new();
        let mut set = |name: &str, value: Value| {
            out.insert(name.into(), value);
        };
        set("type", self.type_name().into());
        match self {
            Self::Subscribe { channel, filters } => {
                set("channel", channel.as_str().into());
                if !filters.is_empty() {
                    let filters: Vec<Value> = filters.iter().map(|filter| (**filter).into()).collect();
                    set("filters", filters.into());
                }
            }
            Self::Unsubscribe { channel } => set("channel", channel.as_str().into()),
            Self::SetMeta { name, value } => {
                set("name", (**name).into());
                if let Some(value) = value {
                    set("value", (**value).into());
                }
            }
            Self::Session { id: Some(id) } => set("id", (**id).into()),
            Self::KeepAlive(Some(keep_alive)) => {
                let SocketKeepAlive {
                    kind,
                    content,
                    timeout,
                    mode,
                } = keep_alive;
                set("mode", mode.as_str().into());
                message(&mut out, *kind, content, *timeout);
            }
            Self::SendDelayed(DelayedMessage {
                kind,
                content,
                timeout,
            }) => message(&mut out, *kind, content, *timeout),
            Self::Detach | Self::KeepAlive(None) | Self::FlushDelayed | Self::Session { id: None } => {}
        }
        out
    }
}

fn message(out: &mut Map<String, Value>, kind: SocketKind, content: &Bytes, timeout: Duration) {
    out.insert("message-type".into(), ws_kind::name(kind).into());
    json::write_bytes(out, "content", "content-bin", content);
    out.insert("timeout".into(), syntax::whole_seconds(timeout).into());
}
