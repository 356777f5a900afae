//! Properties of whatever instructions and publishes come in.

use std::collections::BTreeMap;

use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::*;
use crate::fuzz::{fields, fields_and_rest};
use crate::hop_by_hop::is_framing;
use crate::message::Message;

/// `Grip-*` headers, one in each line: what is read is within its limits, and reads back from all that we write.
pub fn headers(bytes: &[u8]) {
    let mut headers = fields(bytes);
    let read = Instruct::from_headers(&headers);
    assert_eq!(has_grip(&headers), !matches!(read, Ok(None)));
    if let Ok(Some(instruct)) = read {
        check(&instruct, bytes.len());
        if let Ok(mut written) = instruct.clone().into_headers() {
            written.insert("grip-other", HeaderValue::from_static("1"));
            let again = Instruct::from_headers(&written);
            assert_eq!(again, Ok(Some(instruct.clone())), "{written:?}");
        }
        check_json(&instruct, &JsonResponse::default());
    }
    if let Some(value) = headers.get("grip-keep-alive")
        && let Ok(keep_alive) = KeepAlive::parse(value.as_bytes())
    {
        let written = keep_alive.encode().expect("what was read has content");
        assert_eq!(KeepAlive::parse(written.as_bytes()), Ok(keep_alive), "{written}");
    }
    let count = headers.len();
    let grip = headers.iter().filter(|(name, _)| feature::is_grip(name)).count();
    strip(&mut headers);
    assert!(!has_grip(&headers) && headers.len() == count - grip);
}

/// `Grip-*` headers, an empty line, instructions as JSON: the same, and the response inside frames no message.
pub fn json(bytes: &[u8]) {
    let (headers, body) = fields_and_rest(bytes);
    let Ok((instruct, response)) = Instruct::from_json(StatusCode::OK, &headers, body) else {
        return;
    };
    check(&instruct, bytes.len());
    assert!(!response.status.is_informational() && response.body.len() <= body.len());
    assert!(!has_grip(&response.headers) && !response.headers.keys().any(is_framing));
    check_json(&instruct, &response);
}

/// The body of a publish: what is read takes memory in proportion, and reads back in both shapes.
pub fn publish(bytes: &[u8]) {
    let Ok(items) = parse_publish(bytes) else {
        return;
    };
    let weights = items
        .iter()
        .map(|item| item.message.weight() - size_of::<Message>());
    assert!(weights.sum::<usize>() <= 16 * bytes.len());
    let nested: Vec<Value> = items.iter().map(PublishItem::to_json).collect();
    assert_eq!(parse(&nested), Ok(items.clone()));
    for (item, nested) in items.iter().zip(&nested) {
        if let Some(flat) = flat(nested) {
            assert_eq!(parse(&[flat]), Ok(vec![item.clone()]));
        }
        let message = to_item_json(&item.channel, &item.message);
        assert_eq!(parse(&[message]).expect("it is one")[0].message, item.message);
    }
}

fn parse(items: &[Value]) -> Result<Vec<PublishItem>, PublishFormatError> {
    parse_publish(json!({ "items": items }).to_string().as_bytes())
}

/// An item with its formats directly in it; `None` if it has none.
fn flat(nested: &Value) -> Option<Value> {
    let mut item = nested.as_object().expect("an item").clone();
    let Some(Value::Object(mut formats)) = item.remove("formats") else {
        panic!("an item is written with formats");
    };
    let some = !formats.is_empty();
    item.append(&mut formats);
    some.then(|| item.into())
}

/// What was read is within its limits, and nothing in it is longer than what it was read from.
fn check(instruct: &Instruct, input_bytes: usize) {
    let channels = instruct.channels();
    assert!(channels.len() <= input_bytes);
    for (at, channel) in channels.iter().enumerate() {
        assert!(channels[..at].iter().all(|earlier| earlier.name != channel.name));
        assert!(channel.filters.len() <= MAX_FILTERS);
        assert!(channel.prev_id.as_ref().is_none_or(|id| id.len() <= MAX_ID_BYTES));
    }
    if let Some(hold) = &instruct.hold {
        assert!(instruct.unheld.is_empty());
        assert!(hold.timeout >= MIN_TIMEOUT && hold.timeout.as_secs() <= i32::MAX as u64);
        if let Some(keep_alive) = &hold.keep_alive {
            assert!(!keep_alive.content.is_empty() && keep_alive.timeout.as_secs() >= 1);
        }
    }
    assert!(instruct.status.is_none_or(|status| !status.is_informational()));
    let content = |hold: &Hold| hold.keep_alive.as_ref().map_or(0, |it| it.content.len());
    let texts = [
        channels.iter().map(|channel| channel.name.as_str().len()).sum(),
        instruct
            .meta
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum(),
        instruct.reason.as_ref().map_or(0, |reason| reason.len()),
        instruct.hold.as_ref().map_or(0, content),
    ];
    assert!(texts.iter().sum::<usize>() <= input_bytes);
}

/// What is written as JSON reads back the same. Of several values of a name in the meta, the last one.
fn check_json(instruct: &Instruct, response: &JsonResponse) {
    let Ok((headers, body)) = instruct.to_json(response) else {
        return;
    };
    assert!(is_instruct_type(&headers) && body.len() <= MAX_INSTRUCT_BYTES);
    let again = Instruct::from_json(StatusCode::OK, &headers, &body);
    let (again, response_again) = again.unwrap_or_else(|error| panic!("{error}: {headers:?} {body:?}"));
    assert_eq!(&response_again, response);
    assert_eq!(meta(&again), meta(instruct));
    let without_meta = |instruct: &Instruct| Instruct {
        meta: Vec::new(),
        ..instruct.clone()
    };
    assert_eq!(without_meta(&again), without_meta(instruct));
}

fn meta(instruct: &Instruct) -> BTreeMap<&str, &str> {
    let pairs = instruct.meta.iter();
    pairs.map(|(name, value)| (&**name, &**value)).collect()
}
