//! Items into JSON.

use serde_json::{Map, Value};

use super::json::{write_bytes, write_headers};
use super::{ItemPolicy, PublishItem, ws_kind};
use crate::message::{Channel, Message, ResponseForm, SocketForm, StreamForm};

/// One element of `items`, which [`parse_publish`](super::parse_publish) reads back. What has no form there is
/// lost: headers named `Grip-*` or of framing, and bytes in header values that are not UTF-8.
pub fn to_item_json(channel: &Channel, message: &Message) -> Value {
    item(channel, message).into()
}

// === impl PublishItem ===

impl PublishItem {
    /// One element of `items`, with the extensions.
    pub fn to_json(&self) -> Value {
        let mut out = item(&self.channel, &self.message);
        if let Some(policy) = self.policy {
            out.insert("policy".into(), policy.as_str().into());
        }
        if !self.purge.surrogate_keys.is_empty() {
            let keys: Vec<Value> = self
                .purge
                .surrogate_keys
                .iter()
                .map(|key| (**key).into())
                .collect();
            out.insert("surrogate-keys".into(), keys.into());
        }
        if !self.purge.urls.is_empty() {
            let urls: Vec<Value> = self.purge.urls.iter().map(|url| url.to_string().into()).collect();
            out.insert("purge".into(), urls.into());
        }
        out.into()
    }
}

// === impl ItemPolicy ===

impl ItemPolicy {
    /// As the field `policy` spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Latest => "latest",
            Self::All => "all",
        }
    }
}

fn item(channel: &Channel, message: &Message) -> Map<String, Value> {
    let mut formats = Map::new();
    if let Some(form) = &message.response {
        formats.insert("http-response".into(), response(form).into());
    }
    if let Some(form) = &message.stream {
        formats.insert("http-stream".into(), stream(form).into());
    }
    if let Some(form) = &message.socket {
        formats.insert("ws-message".into(), socket(form).into());
    }
    let mut out = Map::new();
    out.insert("channel".into(), channel.as_str().into());
    if let Some(id) = &message.id {
        out.insert("id".into(), (**id).into());
    }
    if let Some(id) = &message.prev_id {
        out.insert("prev-id".into(), (**id).into());
    }
    if message.no_seq {
        out.insert("no-seq".into(), true.into());
    }
    out.insert("formats".into(), formats.into());
    out
}

fn response(form: &ResponseForm) -> Map<String, Value> {
    let mut out = Map::new();
    match form {
        ResponseForm::Send(response) => {
            out.insert("code".into(), response.status.as_u16().into());
            if let Some(headers) = write_headers(&response.headers) {
                out.insert("headers".into(), headers);
            }
            write_bytes(&mut out, "body", "body-bin", &response.body);
        }
        ResponseForm::Hint => action(&mut out, "hint"),
    }
    out
}

fn stream(form: &StreamForm) -> Map<String, Value> {
    let mut out = Map::new();
    match form {
        StreamForm::Send(bytes) => write_bytes(&mut out, "content", "content-bin", bytes),
        StreamForm::Hint => action(&mut out, "hint"),
        StreamForm::Close => action(&mut out, "close"),
    }
    out
}

fn socket(form: &SocketForm) -> Map<String, Value> {
    let mut out = Map::new();
    match form {
        SocketForm::Send(kind, bytes) => {
            out.insert("type".into(), ws_kind::name(*kind).into());
            write_bytes(&mut out, "content", "content-bin", bytes);
        }
        SocketForm::Close { code, reason } => {
            action(&mut out, "close");
            if let Some(code) = code {
                out.insert("code".into(), (*code).into());
            }
            if !reason.is_empty() {
                out.insert("reason".into(), (**reason).into());
            }
        }
        SocketForm::Refresh => action(&mut out, "refresh"),
    }
    out
}

fn action(out: &mut Map<String, Value>, name: &str) {
    out.insert("action".into(), name.into());
}
