//! Properties of whatever instructions and publishes come in.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::ws_control::{Control, MessagePrefix, Part, Verdict, judge};
use super::ws_events::{self, Event, content_bytes, drop_accepted};
use super::ws_headers::{self, Answer, KeepAliveInterval, MAX_META, MIN_INTERVAL, Meta, RequestFields};
use super::*;
use crate::fuzz::{cut, fields, fields_and_rest};
use crate::hop_by_hop::is_framing;
use crate::message::{Message, SocketKind};

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

/// The body of events: what is read is a part of it and reads back, and how it is accepted in parts does not matter.
pub fn ws_events(bytes: &[u8]) {
    let body = Bytes::copy_from_slice(bytes);
    let events = match ws_events::decode(&body, ws_events::Limits::default()) {
        Ok(events) => events,
        Err(error) => return assert!(error.at <= body.len()),
    };
    let all = content_bytes(&events);
    assert!(all <= body.len() && events.len() <= ws_events::MAX_EVENTS);
    let (inside, end) = (body.as_ptr_range(), body.as_ptr_range().end);
    for (_, content) in events.iter().filter_map(Event::as_message) {
        let part = content.as_ptr_range();
        assert!(content.is_empty() || (inside.contains(&part.start) && part.end <= end));
    }
    let written = ws_events::encode(&events);
    assert_eq!(
        ws_events::decode(&written, ws_events::Limits::default()).as_ref(),
        Ok(&events)
    );
    let count = events.len();
    let queue = VecDeque::from(events);
    let accept = |queue: &mut VecDeque<Event>, bytes: usize| {
        let offered = queue.len();
        drop_accepted(queue, offered, Some(bytes as u64))
    };
    assert!(accept(&mut queue.clone(), all + 1).is_err());
    for (first, second) in [(all / 3, all / 3), (all / 2, all - all / 2), (0, all / 5)] {
        let (mut at_once, mut in_pieces) = (queue.clone(), queue.clone());
        let Ok(whole) = accept(&mut at_once, first + second) else {
            continue;
        };
        assert_eq!(content_bytes(&at_once) + first + second, all);
        assert_eq!(at_once.len() + whole.events, count);
        if accept(&mut in_pieces, first).is_ok() {
            let last = accept(&mut in_pieces, second).expect("it is at once");
            assert_eq!((in_pieces, last.replayed), (at_once, whole.replayed));
        }
    }
}

/// The prefix of messages, a line's end, a message: it is for one of both, with nothing added, and what is read of it
/// reads back.
pub fn ws_control(bytes: &[u8]) {
    let (prefix, content) = cut(bytes, b'\n');
    let Ok(prefix) = std::str::from_utf8(prefix).map(MessagePrefix::new) else {
        return;
    };
    let content = Bytes::copy_from_slice(content);
    for kind in [
        SocketKind::Text,
        SocketKind::Binary,
        SocketKind::Ping,
        SocketKind::Pong,
    ] {
        for part in [Part::Whole, Part::FirstFrame] {
            assert_eq!(judge(None, kind, part, &content), Verdict::Pass(content.clone()));
            match judge(Some(&prefix), kind, part, &content) {
                Verdict::Pass(passed) => {
                    assert!(content.ends_with(&passed));
                    let is_text = |bytes: &[u8]| std::str::from_utf8(bytes).is_ok();
                    assert!(kind != SocketKind::Text || !content.starts_with(b"c:"));
                    assert!(!is_text(&content) || is_text(&passed));
                }
                Verdict::Control(json) => {
                    assert!(kind == SocketKind::Text && part == Part::Whole);
                    assert_eq!(content, format!("c:{json}"));
                    check_control(json);
                }
                Verdict::Drop(_) => {}
            }
        }
    }
}

fn check_control(json: &str) {
    let Ok(control) = Control::from_json(json) else {
        return;
    };
    let written = control.to_message();
    let again = written.strip_prefix("c:").map(Control::from_json);
    assert_eq!(again, Some(Ok(control)), "{written}");
}

/// Fields of a client, an empty line, fields of an answer: neither speaks as the edge, what is remembered is bounded.
pub fn ws_headers(bytes: &[u8]) {
    let (mut request, rest) = fields_and_rest(bytes);
    let mut answer = fields(rest);
    if let Ok(Answer {
        keep_alive: KeepAliveInterval::Every(interval),
        ..
    }) = Answer::from_headers(&answer)
    {
        assert!(interval >= MIN_INTERVAL && interval.as_secs() <= i32::MAX as u64);
    }
    let mut meta = Meta::default();
    if meta.apply(&answer).is_err() {
        assert!(meta.is_empty());
    }
    assert!(meta.len() <= MAX_META);
    ws_headers::keep_for_requests(&mut request);
    let kept = request.len();
    let own = RequestFields {
        connection_id: &HeaderValue::from_static("id"),
        meta: &meta,
        body_bytes: bytes.len(),
        replayed: 1,
    };
    own.write(&mut request);
    assert_eq!(request.len(), kept + 6 + meta.len());
    assert!(ws_headers::is_events_type(&request) && ws_headers::reads_as_events_type(&request));
    assert!(!has_grip(&request) && request.keys().filter(|name| is_framing(name)).count() == 1);
    ws_headers::keep_for_client(&mut answer);
    assert_eq!(Answer::from_headers(&answer), Ok(Answer::default()));
    assert!(!has_grip(&answer) && !answer.keys().any(is_framing) && !ws_headers::is_events_type(&answer));
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
