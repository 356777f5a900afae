//! The conformance cases of how a connection ends.

use super::script::{Case, In, Script, run_opened};
use super::*;
use crate::message::{SocketForm, SocketKind};

use In::{Answer, Closes, Drain, Fault, Lost, No, Other, Published, Refresh, Says, Wait, With};
use SocketKind::{Ping, Text};

const EVERY_30_S: (&str, &str) = ("keep-alive-interval", "30");
const DETACH: &str = r#"TEXT c:{"type":"detach"}"#;

fn close(code: impl Into<Option<u16>>, reason: &str) -> In {
    Published(SocketForm::Close {
        code: code.into(),
        reason: reason.into(),
    })
}

fn send(text: &'static str) -> In {
    Published(SocketForm::Send(Text, text.into()))
}

fn run(cases: &[Case<'_>]) {
    run_opened(&SessionConfig::default(), cases);
}

#[test]
fn the_client_closes() {
    run(&[
        (
            "W19 the origin's code is the client's",
            &[
                (Says(Text, "a"), &["Events [TEXT a]"]),
                (Says(Text, "b"), &[]),
                (Closes("CLOSE 4005 cya"), &[]),
                (Says(Text, "c"), &[]),
                (Closes("CLOSE 4006"), &[]),
                (Answer(&[]), &["Events [TEXT b, CLOSE 4005 cya]"]),
                (send("bye"), &["Text bye"]),
                (
                    Answer(&["TEXT m:x", "CLOSE 4010 ok", "TEXT m:y"]),
                    &["Text x", "close 4010 ok", "cut closed"],
                ),
                (Lost, &[]),
                (Wait(100_000), &[]),
            ],
        ),
        (
            "W20 the origin closes without a code",
            &[
                (Closes("CLOSE"), &["Events [CLOSE]"]),
                (Answer(&["CLOSE"]), &["close 1000", "cut closed"]),
            ],
        ),
        (
            "W19 the origin closed before it heard of it",
            &[
                (Refresh, &["Refresh []"]),
                (Closes("CLOSE 4005"), &[]),
                (Answer(&["CLOSE 4010"]), &["close 4010", "cut closed"]),
            ],
        ),
        (
            "W21 no answer, no interval",
            &[
                (Closes("CLOSE 4005 cya"), &["Events [CLOSE 4005 cya]"]),
                (Answer(&[]), &["close 4005 cya", "cut closed"]),
                (Wait(100_000), &[]),
            ],
        ),
        (
            "W21 no answer at all",
            &[
                (Closes("CLOSE 4005"), &["Events [CLOSE 4005]"]),
                (No(NoAnswer::SentWhole), &["close 4005", "cut origin-no-answer"]),
            ],
        ),
        (
            "W21 an answer that makes no sense",
            &[
                (Closes("CLOSE"), &["Events [CLOSE]"]),
                (Other(500, &[], ""), &["close 1000", "cut origin-no-events"]),
            ],
        ),
        (
            "W21 the close is repeated each interval, five times",
            &[
                (Closes("CLOSE 4005"), &["Events [CLOSE 4005]"]),
                (With(&[EVERY_30_S], &[]), &[]),
                (Refresh, &[]),
                (Wait(30_000), &["Events [CLOSE 4005]"]),
                (Answer(&[]), &[]),
                (Wait(30_000), &["Events [CLOSE 4005]"]),
                (Answer(&[]), &[]),
                (Wait(30_000), &["Events [CLOSE 4005]"]),
                (Answer(&[]), &[]),
                (Wait(30_000), &["Events [CLOSE 4005]"]),
                (Answer(&["TEXT m:x"]), &["Text x"]),
                (Wait(30_000), &["Events [CLOSE 4005]"]),
                (Answer(&[]), &["close 4005", "cut closed"]),
                (Wait(100_000), &[]),
            ],
        ),
        (
            "W19 a repeated close is answered",
            &[
                (Closes("CLOSE 4005"), &["Events [CLOSE 4005]"]),
                (With(&[EVERY_30_S], &[]), &[]),
                (Wait(30_000), &["Events [CLOSE 4005]"]),
                (Answer(&["CLOSE"]), &["close 1000", "cut closed"]),
            ],
        ),
        (
            "the origin disconnects",
            &[
                (Closes("CLOSE"), &["Events [CLOSE]"]),
                (Answer(&["DISCONNECT"]), &["cut disconnected"]),
            ],
        ),
        (
            "W14 what is before the close is accepted in parts",
            &[
                (Says(Text, "abc"), &["Events [TEXT abc]"]),
                (Closes("CLOSE"), &[]),
                (
                    With(&[("content-bytes-accepted", "1")], &[]),
                    &["Events [TEXT bc, CLOSE] replayed 2"],
                ),
                (
                    With(&[("content-bytes-accepted", "1")], &[]),
                    &["Events [TEXT c, CLOSE] replayed 1"],
                ),
                (
                    With(&[("content-bytes-accepted", "0")], &[]),
                    &["close 1000", "cut closed"],
                ),
            ],
        ),
        (
            "W14 all but the close",
            &[
                (Closes("CLOSE 4005"), &["Events [CLOSE 4005]"]),
                (
                    With(&[("content-bytes-accepted", "0")], &[]),
                    &["close 4005", "cut origin-accepted"],
                ),
            ],
        ),
        (
            "W26 the client is gone before the close is told",
            &[
                (Says(Text, "a"), &["Events [TEXT a]"]),
                (Closes("CLOSE 4005"), &[]),
                (Lost, &["cut client"]),
                (With(&[EVERY_30_S], &[]), &["Last [CLOSE 4005]"]),
                (Answer(&[]), &[]),
                (Wait(100_000), &[]),
            ],
        ),
        (
            "W26 the client is gone while its close is told",
            &[
                (Closes("CLOSE"), &["Events [CLOSE]"]),
                (Lost, &["cut client"]),
                (With(&[EVERY_30_S], &[]), &[]),
                (Wait(100_000), &[]),
            ],
        ),
        (
            "W26 the client is gone after its close was told",
            &[
                (Closes("CLOSE"), &["Events [CLOSE]"]),
                (With(&[EVERY_30_S], &[]), &[]),
                (Lost, &["cut client"]),
                (Wait(100_000), &[]),
            ],
        ),
        (
            "W14 the client is gone, and the close was not accepted",
            &[
                (Says(Text, "ab"), &["Events [TEXT ab]"]),
                (Closes("CLOSE"), &[]),
                (
                    With(&[("content-bytes-accepted", "0"), EVERY_30_S], &[]),
                    &["Events [TEXT ab, CLOSE] replayed 2"],
                ),
                (With(&[("content-bytes-accepted", "0")], &[]), &[]),
                (Lost, &["cut client", "Last [TEXT ab, CLOSE] replayed 2"]),
                (With(&[("content-bytes-accepted", "0")], &[]), &[]),
                (Wait(100_000), &[]),
            ],
        ),
    ]);
}

#[test]
fn the_origin_closes() {
    run(&[
        (
            "W19 the client answers",
            &[
                (Refresh, &["Refresh []"]),
                (
                    Answer(&["TEXT m:a", "CLOSE 4001 bye", "TEXT m:b", "OPEN"]),
                    &["Text a", "close 4001 bye"],
                ),
                (send("late"), &[]),
                (Refresh, &[]),
                (Closes("CLOSE 4001"), &["cut closed", "Last [CLOSE 4001]"]),
                (No(NoAnswer::SentWhole), &[]),
            ],
        ),
        (
            "W19 the client said something meanwhile",
            &[
                (Refresh, &["Refresh []"]),
                (Says(Text, "a"), &[]),
                (Answer(&["CLOSE"]), &["close 1000", "Events [TEXT a]"]),
                (Answer(&["TEXT m:b", "CLOSE"]), &[]),
                (Says(Text, "c"), &["Events [TEXT c]"]),
                (Closes("CLOSE"), &["cut closed"]),
                (Answer(&[]), &["Last [CLOSE]"]),
            ],
        ),
        (
            "the client does not answer",
            &[
                (Refresh, &["Refresh []"]),
                (Answer(&["CLOSE"]), &["close 1000"]),
                (Wait(9_999), &[]),
                (Wait(1), &["cut client-silent", "Last [DISCONNECT]"]),
                (Wait(100_000), &[]),
            ],
        ),
        (
            "W26 the client vanishes",
            &[
                (Refresh, &["Refresh []"]),
                (Answer(&["CLOSE"]), &["close 1000"]),
                (Lost, &["cut client", "Last [DISCONNECT]"]),
            ],
        ),
        (
            "the origin breaks",
            &[
                (Refresh, &["Refresh []"]),
                (Says(Text, "a"), &[]),
                (Answer(&["CLOSE"]), &["close 1000", "Events [TEXT a]"]),
                (Other(500, &[], ""), &[]),
                (Closes("CLOSE"), &["cut closed"]),
            ],
        ),
    ]);
}

#[test]
fn the_edge_closes() {
    run(&[
        (
            "W17 a published close",
            &[
                (close(4001, "bye"), &["close 4001 bye", "Last [CLOSE]"]),
                (close(4002, ""), &[]),
                (send("late"), &[]),
                (Says(Text, "late"), &[]),
                (Answer(&["TEXT m:late", "CLOSE 4003", "CLOSE"]), &[]),
                (Closes("CLOSE 4001"), &["cut closed"]),
                (Wait(100_000), &[]),
            ],
        ),
        (
            "W18 without a code",
            &[(close(None, ""), &["close 1000", "Last [CLOSE]"])],
        ),
        (
            "W18 without a code, with a reason",
            &[(close(None, "why"), &["close 1000 why", "Last [CLOSE]"])],
        ),
        (
            "W18 a code that none may have",
            &[(close(1005, "why"), &["close 1000 why", "Last [CLOSE]"])],
        ),
        (
            "W17 behind what the client said",
            &[
                (Says(Text, "a"), &["Events [TEXT a]"]),
                (Says(Text, "b"), &[]),
                (close(4001, ""), &["close 4001"]),
                (Answer(&["TEXT m:x"]), &["Last [TEXT b, CLOSE]"]),
                (Wait(10_000), &["cut client-silent"]),
                (Answer(&[]), &[]),
            ],
        ),
        (
            "W17 the client closed before",
            &[
                (Closes("CLOSE 4005"), &["Events [CLOSE 4005]"]),
                (close(4001, ""), &["close 4001", "cut closed"]),
                (Answer(&["CLOSE"]), &[]),
            ],
        ),
        (
            "W17 the client closed before, and the origin knows",
            &[
                (Closes("CLOSE 4005"), &["Events [CLOSE 4005]"]),
                (With(&[EVERY_30_S], &[]), &[]),
                (close(4001, ""), &["close 4001", "cut closed"]),
                (Wait(100_000), &[]),
            ],
        ),
        (
            "W26 the client vanishes",
            &[
                (close(4001, "bye"), &["close 4001 bye", "Last [CLOSE]"]),
                (Lost, &["cut client"]),
                (Answer(&[]), &[]),
                (Wait(100_000), &[]),
            ],
        ),
        (
            "a drain",
            &[
                (Drain, &["close 1001", "Last [CLOSE]"]),
                (Drain, &[]),
                (Answer(&[]), &[]),
                (Closes("CLOSE 1001"), &["cut drain"]),
            ],
        ),
        (
            "a fault of the client",
            &[(
                Fault(ClientFault::NotUtf8),
                &["close 1007", "cut client-fault", "Last [DISCONNECT]"],
            )],
        ),
        (
            "a fault of a client that is closing",
            &[
                (Drain, &["close 1001", "Last [CLOSE]"]),
                (Fault(ClientFault::Protocol), &["cut client-fault"]),
            ],
        ),
        (
            "a fault of a client that has closed",
            &[
                (Closes("CLOSE"), &["Events [CLOSE]"]),
                (Fault(ClientFault::Protocol), &["close 1002", "cut client-fault"]),
                (Answer(&[]), &[]),
            ],
        ),
    ]);
}

#[test]
fn the_client_is_detached() {
    run(&[
        (
            "W22 it stays, and gets what is published",
            &[
                (Says(Text, "a"), &["Events [TEXT a]"]),
                (Says(Text, "b"), &[]),
                (
                    With(
                        &[EVERY_30_S],
                        &["TEXT m:1", DETACH, "TEXT m:2", DETACH, "CLOSE 4000"],
                    ),
                    &["Text 1", "Text 2", "Last [TEXT b, CLOSE]"],
                ),
                (Answer(&["TEXT m:3", "CLOSE"]), &["Text 3"]),
                (send("4"), &["Text 4"]),
                (Says(Text, "c"), &[]),
                (Says(Ping, "d"), &["Pong d"]),
                (Refresh, &[]),
                (Wait(100_000), &[]),
                (Closes("CLOSE 4005 cya"), &["close 4005 cya", "cut closed"]),
                (Wait(100_000), &[]),
            ],
        ),
        (
            "W22 whatever the origin answers",
            &[
                (Refresh, &["Refresh []"]),
                (Answer(&[DETACH]), &["Last [CLOSE]"]),
                (Other(500, &[], ""), &[]),
                (send("a"), &["Text a"]),
                (Lost, &["cut client"]),
            ],
        ),
        (
            "W22 the origin disconnects",
            &[
                (Refresh, &["Refresh []"]),
                (Answer(&[DETACH, "DISCONNECT"]), &[]),
                (close(4001, ""), &["close 4001"]),
                (Closes("CLOSE"), &["cut closed"]),
            ],
        ),
        (
            "W22 it leaves before the origin is told",
            &[
                (Refresh, &["Refresh []"]),
                (Answer(&[DETACH]), &["Last [CLOSE]"]),
                (Closes("CLOSE"), &["close 1000", "cut closed"]),
                (Answer(&[]), &[]),
            ],
        ),
        (
            "W22 one that closes is not detached",
            &[
                (Closes("CLOSE 4005"), &["Events [CLOSE 4005]"]),
                (With(&[EVERY_30_S], &[DETACH]), &[]),
                (Wait(30_000), &["Events [CLOSE 4005]"]),
            ],
        ),
    ]);
}

#[test]
fn a_session_is_over_when_both_sides_know() {
    let mut script = Script::opened(SessionConfig::default());
    for (what, is_over) in [
        (Refresh, false),
        (Lost, false),
        (Answer(&[]), false),
        (No(NoAnswer::NotReached), false),
        (Wait(2_000), false),
        (Answer(&[]), true),
    ] {
        script.tell(what.clone());
        assert_eq!(script.session.is_over(), is_over, "{what:?}");
    }
    assert_eq!(script.session.deadline(), None);
}
