//! The conformance cases of how a connection ends.

use super::script::{Case, In, run_opened};
use super::*;
use crate::message::{SocketForm, SocketKind};

use In::{Answer, Closes, Lost, No, Other, Published, Refresh, Says, Wait, With};
use SocketKind::Text;

const EVERY_30_S: (&str, &str) = ("keep-alive-interval", "30");

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
            "W21 what was answered before the close was told is no answer to it",
            &[
                (Refresh, &["Refresh []"]),
                (Says(Text, "ab"), &[]),
                (Answer(&[]), &["Events [TEXT ab]"]),
                (Closes("CLOSE 4005"), &[]),
                (
                    With(&[("content-bytes-accepted", "0")], &[]),
                    &["Events [TEXT ab, CLOSE 4005] replayed 2"],
                ),
                (Answer(&[]), &["close 4005", "cut closed"]),
            ],
        ),
        (
            "W19 the origin closed before it heard of it",
            &[
                (Refresh, &["Refresh []"]),
                (Says(Text, "a"), &[]),
                (Closes("CLOSE 4005"), &[]),
                (
                    Answer(&["CLOSE 4010"]),
                    &["close 4010", "cut closed", "Last [TEXT a, CLOSE 4005]"],
                ),
                (Answer(&["CLOSE"]), &[]),
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
