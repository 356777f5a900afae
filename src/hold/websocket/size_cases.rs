//! What a session takes, what it remembers, and how much of it there may be.

use bytes::Bytes;
use http::HeaderValue;

use super::script::{In, Script, response};
use super::*;
use crate::grip::ws_events::MAX_EVENTS_BYTES;
use crate::message::SocketKind;

use In::{Answer, Begins, Refresh, Says, With};
use SocketKind::{Binary, Text};

#[test]
fn a_silent_session_is_small() {
    let (session, output) = (size_of::<Session>(), size_of::<Output>());
    println!("a session takes {session} bytes, an output {output}");
    assert!(session <= 400, "{session}");
    // After it was busy nothing of that is left.
    let mut script = Script::opened(SessionConfig::default());
    for text in ["a", "b", "c"] {
        script.tell(Says(Text, text));
        script.tell(Answer(&["TEXT m:x", "TEXT m:y"]));
    }
    script.tell(Answer(&[]));
    let session = &script.session;
    assert_eq!((session.outputs.capacity(), session.backlog.len()), (0, 0));
    assert!(session.quiet.is_none() && session.filter_meta.is_none());
    assert_eq!(session.deadline(), None);
}

#[test]
fn ends_have_names_of_their_own() {
    let mut names = SocketEnd::ALL.map(SocketEnd::as_str);
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
}

#[test]
fn what_the_origin_has_the_edge_remember() {
    let mut script = Script::opened_with(SessionConfig::default(), &[("set-meta-user", "bob")]);
    let id = HeaderValue::from_static("id");
    let ask = |script: &mut Script| {
        script.session.refresh();
        let Some(Output::Ask(ask)) = script.session.next_output() else {
            panic!()
        };
        let mut headers = http::HeaderMap::new();
        script.session.request_fields(&ask, &id).write(&mut headers);
        headers
    };
    let headers = ask(&mut script);
    let of = |name| headers.get(name).map(HeaderValue::as_bytes);
    assert_eq!(
        (of("meta-user"), of("connection-id")),
        (Some(&b"bob"[..]), Some(&b"id"[..])),
        "W13"
    );
    assert_eq!(
        (of("content-length"), of("content-bytes-replayed")),
        (Some(&b"0"[..]), None),
        "W16"
    );
    script.tell(With(&[("set-meta-user", ""), ("set-meta-a", "b")], &[]));
    let headers = ask(&mut script);
    let of = |name| headers.get(name).map(HeaderValue::as_bytes);
    assert_eq!((of("meta-user"), of("meta-a")), (None, Some(&b"b"[..])), "W13");
}

fn text(len: usize) -> Bytes {
    vec![b'x'; len].into()
}

#[test]
fn a_full_backlog_is_read_no_further() {
    let mut script = Script::opened(SessionConfig::default());
    let now = script.now;
    script.tell(Refresh);
    script
        .session
        .client_message(Text, text(MAX_BACKLOG_BYTES - 100), now);
    assert!(script.session.wants_more());
    script.session.client_message(Text, text(MAX_BACKLOG_BYTES), now);
    assert!(!script.session.wants_more());
    script.tell(Answer(&[]));
    // A part makes room in time, and the rest is offered again without anything new.
    let rest = script.tell(With(&[("content-bytes-accepted", "150000")], &[]));
    assert!(rest[0].ends_with("replayed 249900"), "W14");
    assert!(!script.session.wants_more());
    assert!(
        script
            .tell(With(&[("content-bytes-accepted", "249000")], &[]))
            .is_empty()
    );
    assert!(script.session.wants_more());
}

#[test]
fn a_client_whose_origin_needs_nothing_is_read() {
    let mut script = Script::opened(SessionConfig::default());
    script.tell(Refresh);
    script
        .session
        .client_message(Text, text(MAX_BACKLOG_BYTES), script.now);
    assert!(!script.session.wants_more());
    script.tell(Answer(&[r#"TEXT c:{"type":"detach"}"#]));
    // Its close frame is to be seen.
    assert!(script.session.wants_more(), "W22");
}

#[test]
fn an_origin_that_accepts_nothing_of_all_there_can_be() {
    const NOTHING: In = With(&[("content-bytes-accepted", "0")], &[]);
    let mut script = Script::opened(SessionConfig::default());
    let now = script.now;
    script.tell(Says(Text, "a"));
    // It has not seen this yet.
    script.session.client_message(Text, text(MAX_BACKLOG_BYTES), now);
    assert!(script.tell(NOTHING)[0].ends_with("replayed 1"), "W14");
    assert_eq!(script.tell(NOTHING), ["cut origin-stuck"], "W14");
}

#[test]
fn no_message_is_longer_and_none_comes_unasked() {
    for first in [text(MAX_BACKLOG_BYTES + 1), text(MAX_BACKLOG_BYTES)] {
        let mut script = Script::opened(SessionConfig::default());
        script.tell(Refresh);
        script.session.client_message(Binary, first, script.now);
        script.session.client_message(Binary, text(1), script.now);
        assert_eq!(script.wants(), ["close 1009", "cut client-fault"]);
    }
    let mut script = Script::new(SessionConfig::default());
    script.session.client_message(Text, text(1), script.now);
    assert_eq!(script.tell(Begins), ["Open [OPEN]"]);
}

#[test]
fn an_answer_that_is_too_long() {
    let mut script = Script::opened(SessionConfig::default());
    script.tell(Refresh);
    let events = ("content-type", "application/websocket-events");
    let long = response(200, &[events], text(MAX_EVENTS_BYTES + 1));
    script.session.answered(long, script.now);
    assert_eq!(script.wants(), ["cut origin-events"]);
}
