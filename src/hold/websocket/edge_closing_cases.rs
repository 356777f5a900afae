//! The conformance cases of connections that the edge closes, or detaches.

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
