//! The conformance cases of messages, both ways.

use super::script::{In, run_opened};
use super::*;
use crate::message::{SocketForm, SocketKind};

use In::{Answer, Drain, Lost, Other, Published, Refresh, Says, Wait, With};
use SocketKind::{Binary, Ping, Pong, Text};

const EVENTS: (&str, &str) = ("content-type", "application/websocket-events");
const EVERY_30_S: (&str, &str) = ("keep-alive-interval", "30");
const NOTHING_ACCEPTED: (&str, &str) = ("content-bytes-accepted", "0");
const ONE_ACCEPTED: (&str, &str) = ("content-bytes-accepted", "1");

/// More than half of what is remembered.
const LONG: &str = match str::from_utf8(&[b'x'; 17_000]) {
    Ok(long) => long,
    Err(_) => panic!(),
};

#[test]
fn from_the_client() {
    run_opened(
        &SessionConfig::default(),
        &[
            (
                "W12 pings and pongs",
                &[
                    (Says(Ping, ""), &["Events [PING]"]),
                    (Says(Ping, "data"), &[]),
                    (Says(Pong, "x"), &[]),
                    (
                        Answer(&["PONG", "PING y"]),
                        &["Pong ", "Ping y", "Events [PING data, PONG x]"],
                    ),
                ],
            ),
            (
                "W11 messages that come meanwhile go together",
                &[
                    (Says(Text, "a"), &["Events [TEXT a]"]),
                    (Says(Text, "b"), &[]),
                    (Says(Binary, "c"), &[]),
                    (Says(Text, ""), &[]),
                    (Answer(&[]), &["Events [TEXT b, BINARY c, TEXT]"]),
                    (Answer(&[]), &[]),
                ],
            ),
            (
                "W26 a client vanishes",
                &[
                    (Lost, &["cut client", "Last [DISCONNECT]"]),
                    (Lost, &[]),
                    (Says(Text, "a"), &[]),
                    (Answer(&["TEXT m:a", "CLOSE"]), &[]),
                ],
            ),
            (
                "W26 a client vanishes within a request, and said something before",
                &[
                    (Says(Text, "a"), &["Events [TEXT a]"]),
                    (Says(Text, "b"), &[]),
                    (Lost, &["cut client"]),
                    (Published(SocketForm::Send(Text, "x".into())), &[]),
                    (Drain, &[]),
                    (Answer(&["TEXT m:a"]), &["Last [TEXT b, DISCONNECT]"]),
                    (With(&[NOTHING_ACCEPTED], &[]), &[]),
                    (Wait(100_000), &[]),
                ],
            ),
            (
                "W26 W14 a client vanishes within a request, of which nothing is accepted",
                &[
                    (Says(Text, "a"), &["Events [TEXT a]"]),
                    (Lost, &["cut client"]),
                    (
                        With(&[NOTHING_ACCEPTED], &[]),
                        &["Last [TEXT a, DISCONNECT] replayed 1"],
                    ),
                    (Answer(&[]), &[]),
                ],
            ),
            (
                "W26 a client vanishes within a request, and so does its origin",
                &[
                    (Says(Text, "a"), &["Events [TEXT a]"]),
                    (Lost, &["cut client"]),
                    (Answer(&["DISCONNECT"]), &[]),
                ],
            ),
        ],
    );
}

#[test]
fn accepted_in_parts() {
    run_opened(
        &SessionConfig::default(),
        &[
            (
                "W14 the client says more",
                &[
                    (Says(Text, "abcdef"), &["Events [TEXT abcdef]"]),
                    (With(&[("content-bytes-accepted", "2")], &[]), &[]),
                    (Wait(100_000), &[]),
                    (Says(Text, "GH"), &["Events [TEXT cdef, TEXT GH] replayed 4"]),
                    (With(&[("content-bytes-accepted", "5")], &[]), &[]),
                    (Refresh, &["Events [TEXT H] replayed 1"]),
                    (Answer(&[]), &[]),
                ],
            ),
            (
                "W14 the client said more meanwhile",
                &[
                    (Says(Text, "abcdef"), &["Events [TEXT abcdef]"]),
                    (Says(Text, "GH"), &[]),
                    (
                        With(&[NOTHING_ACCEPTED], &["TEXT m:wait"]),
                        &["Text wait", "Events [TEXT abcdef, TEXT GH] replayed 6"],
                    ),
                ],
            ),
            (
                "W14 a keep-alive offers the rest again",
                &[
                    (Says(Text, "ab"), &["Events [TEXT ab]"]),
                    (With(&[ONE_ACCEPTED, EVERY_30_S], &[]), &[]),
                    (Wait(29_999), &[]),
                    (Wait(1), &["Events [TEXT b] replayed 1"]),
                    (With(&[NOTHING_ACCEPTED], &[]), &[]),
                    (Wait(30_000), &["Events [TEXT b] replayed 1"]),
                    (Answer(&[]), &[]),
                    (Wait(30_000), &["KeepAlive []"]),
                    (With(&[("keep-alive-interval", "0")], &[]), &[]),
                    (Wait(100_000), &[]),
                ],
            ),
            (
                "a silence begins with the last answer",
                &[
                    (Refresh, &["Refresh []"]),
                    (With(&[EVERY_30_S], &[]), &[]),
                    (Wait(29_000), &[]),
                    (Says(Text, "a"), &["Events [TEXT a]"]),
                    (Wait(40_000), &[]),
                    (Answer(&[]), &[]),
                    (Wait(29_999), &[]),
                    (Wait(1), &["KeepAlive []"]),
                ],
            ),
            (
                "W15 more is accepted than was offered",
                &[
                    (Says(Text, "ab"), &["Events [TEXT ab]"]),
                    (Says(Text, "cd"), &[]),
                    (
                        With(&[("content-bytes-accepted", "3")], &["TEXT m:x"]),
                        &["cut origin-accepted"],
                    ),
                    (Says(Text, "ef"), &[]),
                    (Lost, &[]),
                ],
            ),
        ],
    );
}

#[test]
fn refreshes() {
    run_opened(
        &SessionConfig::default(),
        &[
            (
                "W16 a published one",
                &[
                    (Published(SocketForm::Refresh), &["Refresh []"]),
                    (Refresh, &[]),
                    (Published(SocketForm::Refresh), &[]),
                    (Answer(&["TEXT m:a"]), &["Text a", "Refresh []"]),
                    (Answer(&[]), &[]),
                ],
            ),
            (
                "W16 behind a message",
                &[
                    (Says(Text, "a"), &["Events [TEXT a]"]),
                    (Refresh, &[]),
                    (Says(Text, "b"), &[]),
                    (Answer(&[]), &["Events [TEXT b]"]),
                    (Answer(&[]), &[]),
                ],
            ),
        ],
    );
}

#[test]
fn errors_of_the_origin() {
    run_opened(
        &SessionConfig::default(),
        &[
            (
                "W27 an error later",
                &[
                    (Says(Text, "a"), &["Events [TEXT a]"]),
                    (Other(500, &[], "TEXT m:a"), &["cut origin-no-events"]),
                    (Lost, &[]),
                ],
            ),
            (
                "W27 another type later",
                &[
                    (Refresh, &["Refresh []"]),
                    (
                        Other(200, &[("content-type", "text/plain")], ""),
                        &["cut origin-no-events"],
                    ),
                ],
            ),
            (
                "W28 a second OPEN",
                &[
                    (Refresh, &["Refresh []"]),
                    (
                        Answer(&["TEXT m:a", "OPEN", "TEXT m:b"]),
                        &["Text a", "cut origin-open"],
                    ),
                ],
            ),
            (
                "W28 a length that is none",
                &[
                    (Refresh, &["Refresh []"]),
                    (
                        Other(200, &[EVENTS], "TEXT m:a\r\nTEXT x\r\n"),
                        &["cut origin-events"],
                    ),
                ],
            ),
            (
                "an origin disconnects",
                &[
                    (Refresh, &["Refresh []"]),
                    (
                        Answer(&["TEXT m:a", "DISCONNECT", "TEXT m:b"]),
                        &["Text a", "cut disconnected"],
                    ),
                    (Lost, &[]),
                ],
            ),
            (
                "W13 too much is to be remembered",
                &[
                    (Refresh, &["Refresh []"]),
                    (
                        With(&[("set-meta-a", LONG), ("set-meta-b", LONG)], &[]),
                        &["cut origin-fields"],
                    ),
                ],
            ),
            (
                "a second answer to one request says nothing",
                &[
                    (Refresh, &["Refresh []"]),
                    (Answer(&[]), &[]),
                    (Answer(&["TEXT m:a"]), &[]),
                ],
            ),
        ],
    );
}

#[test]
fn one_event_a_request() {
    let config = SessionConfig {
        one_event: true,
        ..SessionConfig::default()
    };
    run_opened(
        &config,
        &[
            (
                "W11 one by one",
                &[
                    (Says(Text, "a"), &["Events [TEXT a]"]),
                    (Says(Text, "b"), &[]),
                    (Says(Ping, ""), &[]),
                    (Lost, &["cut client"]),
                    (Answer(&[]), &["Events [TEXT b]"]),
                    (Answer(&[]), &["Events [PING]"]),
                    (Answer(&[]), &["Last [DISCONNECT]"]),
                    (Answer(&[]), &[]),
                ],
            ),
            (
                "W14 a part of one",
                &[
                    (Says(Text, "ab"), &["Events [TEXT ab]"]),
                    (Says(Text, "c"), &[]),
                    (With(&[ONE_ACCEPTED], &[]), &["Events [TEXT b] replayed 1"]),
                    (Answer(&[]), &["Events [TEXT c]"]),
                ],
            ),
            (
                "W14 nothing is accepted, and there is more than fits",
                &[
                    (Says(Text, "ab"), &["Events [TEXT ab]"]),
                    (With(&[NOTHING_ACCEPTED], &[]), &[]),
                    (Says(Text, "c"), &["Events [TEXT ab] replayed 2"]),
                    (With(&[NOTHING_ACCEPTED], &[]), &["cut origin-stuck"]),
                ],
            ),
            (
                "W26 what cannot be told is left out",
                &[
                    (Says(Text, "ab"), &["Events [TEXT ab]"]),
                    (Says(Text, "c"), &[]),
                    (Lost, &["cut client"]),
                    (With(&[ONE_ACCEPTED], &[]), &["Events [TEXT b] replayed 1"]),
                    (With(&[NOTHING_ACCEPTED], &[]), &["Last [DISCONNECT]"]),
                    (Answer(&[]), &[]),
                ],
            ),
        ],
    );
}

#[test]
fn published() {
    let send = |kind, content: &'static str| Published(SocketForm::Send(kind, content.into()));
    run_opened(
        &SessionConfig::default(),
        &[(
            "each kind as it is, within a request too",
            &[
                (send(Text, "a"), &["Text a"]),
                (Refresh, &["Refresh []"]),
                (send(Binary, "m:b"), &["Binary m:b"]),
                (send(Ping, ""), &["Ping "]),
                (send(Pong, "x"), &["Pong x"]),
                (
                    send(Text, r#"c:{"type":"detach"}"#),
                    &[r#"Text c:{\"type\":\"detach\"}"#],
                ),
                (Published(SocketForm::Send(Ping, vec![b'x'; 126].into())), &[]),
            ],
        )],
    );
}
