//! What a publisher posts: a list of items.

use http::Uri;
use serde_json::Value;

use super::fields::Object;
use super::{FieldError, MAX_ID_BYTES, PublishFormatError, item_format};
use crate::message::{Channel, Message};

/// More items in one publish are refused.
pub const MAX_ITEMS: usize = 10_000;

/// More surrogate keys, or more URLs, in one item are refused. As many as one purge of many keys takes.
pub const MAX_PURGE_TARGETS: usize = 256;

/// Longest surrogate key, in bytes.
const MAX_KEY_BYTES: usize = 1024;

/// Longest URL to purge, in bytes.
const MAX_URL_BYTES: usize = 8192;

const ITEM: &str = "publish item object";

/// One item of a publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishItem {
    /// Where it goes.
    pub channel: Channel,
    /// What goes there.
    pub message: Message,
    /// How the channel is paced (`policy`, an extension). Default: as the edge is configured.
    pub policy: Option<ItemPolicy>,
    /// What to purge in the same order.
    pub purge: ItemPurge,
}

/// How an item asks to be paced (the field `policy`, an extension).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ItemPolicy {
    /// Only the last one matters: the order is paced, and a newer item replaces one that waits.
    Latest,
    /// Every one matters: sent at once.
    All,
}

/// What an item purges besides what its channel implies (an extension).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ItemPurge {
    /// Surrogate keys (the field `surrogate-keys`): 1 to 1,024 visible ASCII characters each.
    pub surrogate_keys: Vec<Box<str>>,
    /// URLs (the field `purge`): with scheme and host, or a path with its query. At most 8,192 bytes each.
    pub urls: Vec<Uri>,
}

/// Reads the body of a publish: `{"items": [..]}`, at most [`MAX_ITEMS`]. The formats of an item are under
/// `formats` or directly in it. All or nothing: one malformed item refuses all.
///
/// An item may be without any format that this knows; its message then reaches nobody. Unknown fields are passed
/// over. `size` and `meta` are checked and not kept.
///
/// # Errors
///
/// As text, the body of the 400 response without its newline.
pub fn parse_publish(body: &[u8]) -> Result<Vec<PublishItem>, PublishFormatError> {
    let json =
        serde_json::from_slice(body).map_err(|error| match item_at(body, error.line(), error.column()) {
            Some(item) => PublishFormatError::ItemNotJson(item),
            None => PublishFormatError::NotJson,
        })?;
    let mut root = Object::new("object", json).map_err(|_| PublishFormatError::NotAnObject)?;
    let items = root.array("items")?.ok_or_else(|| root.missing("items"))?;
    if items.len() > MAX_ITEMS {
        return Err(PublishFormatError::TooManyItems);
    }
    Ok(items.into_iter().map(parse_item).collect::<Result<_, _>>()?)
}

/// In which element of `items` this place is, if in one. The line is counted from 1.
fn item_at(body: &[u8], line: usize, column: usize) -> Option<usize> {
    let lines: usize = body
        .split_inclusive(|byte| *byte == b'\n')
        .take(line.saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    // The last byte is the one that was not expected.
    let read = &body[..body.len().min(lines + column.saturating_sub(1))];
    let (mut depth, mut item) = (0_usize, None);
    let (mut key, mut begun): (&[u8], Option<usize>) = (b"", None);
    let mut is_escaped = false;
    for (at, byte) in read.iter().enumerate() {
        if let Some(start) = begun {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => {
                    if depth == 1 {
                        key = &read[start..at];
                    }
                    begun = None;
                }
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => begun = Some(at + 1),
            b'{' | b'[' => {
                if depth == 1 {
                    item = (*byte == b'[' && key == b"items").then_some(0);
                }
                depth += 1;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 1 {
                    item = None;
                }
            }
            b',' if depth == 2 => item = item.map(|item| item + 1),
            _ => {}
        }
    }
    item
}

fn parse_item(value: Value) -> Result<PublishItem, FieldError> {
    let mut item = Object::new(ITEM, value)?;
    let channel = Channel::new(&item.required_string("channel")?)
        .map_err(|error| FieldError::new(format!("{ITEM} contains invalid 'channel': {error}")))?;
    let mut message = Message {
        id: id(&mut item, "id")?,
        prev_id: id(&mut item, "prev-id")?,
        no_seq: item.bool("no-seq")?.unwrap_or(false),
        ..Message::default()
    };
    if item.int("size")?.is_some_and(|size| size < 0) {
        return Err(item.invalid("size"));
    }
    item.string_map("meta")?;
    let policy = match item.string("policy")?.as_deref() {
        None => None,
        Some("latest") => Some(ItemPolicy::Latest),
        Some("all") => Some(ItemPolicy::All),
        Some(_) => return Err(item.invalid("policy")),
    };
    let purge = ItemPurge {
        surrogate_keys: targets(&mut item, "surrogate-keys", surrogate_key)?,
        urls: targets(&mut item, "purge", url)?,
    };
    match item.take("formats") {
        Some(formats) => {
            let mut formats = Object::new("formats", formats).map_err(|_| item.wrong_type("formats"))?;
            item_format::read(&mut formats, &mut message)?;
        }
        None => {
            if !item_format::NAMES.iter().any(|name| item.has(name)) {
                return Err(FieldError::new("no formats specified"));
            }
            item_format::read(&mut item, &mut message)?;
        }
    }
    Ok(PublishItem {
        channel,
        message,
        policy,
        purge,
    })
}

fn id(item: &mut Object, field: &str) -> Result<Option<std::sync::Arc<str>>, FieldError> {
    match item.string(field)? {
        Some(id) if id.len() > MAX_ID_BYTES => Err(FieldError::new(format!(
            "{ITEM} contains '{field}' with more than {MAX_ID_BYTES} bytes"
        ))),
        // Who writes all fields always means none by it.
        id => Ok(id.filter(|id| !id.is_empty()).map(Into::into)),
    }
}

/// An array of strings that each pass the check.
fn targets<T>(item: &mut Object, field: &str, check: fn(String) -> Option<T>) -> Result<Vec<T>, FieldError> {
    let texts = item.strings(field)?.unwrap_or_default();
    if texts.len() > MAX_PURGE_TARGETS {
        return Err(FieldError::new(format!(
            "{ITEM} contains '{field}' with more than {MAX_PURGE_TARGETS} values"
        )));
    }
    let checked = texts.into_iter().map(check).collect::<Option<_>>();
    checked.ok_or_else(|| item.invalid(field))
}

fn surrogate_key(key: String) -> Option<Box<str>> {
    let fits = (1..=MAX_KEY_BYTES).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    fits.then(|| key.into())
}

fn url(url: String) -> Option<Uri> {
    if url.len() > MAX_URL_BYTES {
        return None;
    }
    let uri: Uri = url.try_into().ok()?;
    // `example.com:80` alone is an authority and `*` is no path of a stored response.
    let whole = uri.scheme().is_some() && uri.authority().is_some();
    (whole || (uri.authority().is_none() && uri.path().starts_with('/'))).then_some(uri)
}
