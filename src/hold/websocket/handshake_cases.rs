//! The conformance cases of opening a connection.

use super::script::{Case, GRIP, In, Script, answer, response, run};
use super::*;
use crate::message::Channel;

use In::{Answer, Begins, Closes, Drain, Lost, No, Other, Refresh, Wait, With};

const EVENTS: (&str, &str) = ("content-type", "application/websocket-events");
const EVERY_30_S: (&str, &str) = ("keep-alive-interval", "30");

#[test]
fn accepted() {
    let cases: &[Case<'_>] = &[
        (
            "W01 a client connects",
            &[
                (Begins, &["Open [OPEN]"]),
                (Begins, &[]),
                (Answer(&["OPEN"]), &["accept"]),
                (Wait(100_000), &[]),
            ],
        ),
        (
            "W01 the client sees what is the application's",
            &[
                (Begins, &["Open [OPEN]"]),
                (
                    With(
                        &[
                            ("sec-websocket-protocol", "chat"),
                            ("set-cookie", "a=b"),
                            GRIP,
                            EVERY_30_S,
                            ("content-bytes-accepted", "0"),
                            ("set-meta-a", "b"),
                        ],
                        &["OPEN"],
                    ),
                    &["accept sec-websocket-protocol set-cookie"],
                ),
            ],
        ),
        (
            "W20 an origin opens, speaks, and closes",
            &[
                (Begins, &["Open [OPEN]"]),
                (
                    Answer(&["OPEN", "TEXT bye", "CLOSE 4000 over", "TEXT more"]),
                    &["accept", "Text bye", "close 4000 over"],
                ),
                (Closes("CLOSE 4000"), &["cut closed", "Last [CLOSE 4000]"]),
                (Answer(&[]), &[]),
            ],
        ),
        (
            "W28 an origin opens twice",
            &[
                (Begins, &["Open [OPEN]"]),
                (
                    Answer(&["OPEN", "TEXT hi", "OPEN"]),
                    &["accept", "Text hi", "cut origin-open"],
                ),
            ],
        ),
    ];
    run(&SessionConfig::default(), cases);
}

#[test]
fn refused() {
    // What the origin is told at first, what it answers, what the client gets.
    let rows = [
        (
            "W02 a refusal",
            Other(403, &[("x-why", "no"), ("content-length", "6"), GRIP], "denied"),
            "refuse 403 [x-why] denied",
        ),
        (
            "W03 a 200 of another type",
            Other(200, &[("content-type", "text/plain")], "hi"),
            "refuse 200 [content-type] hi",
        ),
        (
            "a status of events that is no 200",
            Other(404, &[EVENTS], ""),
            "refuse 404 [content-type] ",
        ),
        (
            "a status that ends nothing",
            Other(101, &[], ""),
            "refuse origin-no-events",
        ),
        ("W04 nothing, and no interval", Answer(&[]), "refuse origin-open"),
        (
            "W05 another first event",
            Answer(&["TEXT hi", "OPEN"]),
            "refuse origin-open",
        ),
        (
            "W06 a type with a charset",
            With(
                &[("content-type", "application/websocket-events; charset=utf-8")],
                &["OPEN"],
            ),
            r"refuse 200 [content-type] OPEN\r\n",
        ),
        (
            "W28 malformed events",
            Other(200, &[EVENTS], "OPEN"),
            "refuse origin-events",
        ),
        (
            "W15 something is accepted, and nothing was offered",
            With(&[("content-bytes-accepted", "1")], &["OPEN"]),
            "refuse origin-accepted",
        ),
        (
            "fields that make no sense",
            With(&[("content-bytes-accepted", "x")], &["OPEN"]),
            "refuse origin-fields",
        ),
        (
            "W31 an origin that is not reached is not asked to open again",
            No(NoAnswer::NotReached),
            "refuse origin-unreachable",
        ),
        (
            "an origin that gives no whole answer",
            No(NoAnswer::SentWhole),
            "refuse origin-no-answer",
        ),
    ];
    for (case, what, wanted) in rows {
        println!("{case}");
        let mut script = Script::new(SessionConfig::default());
        assert_eq!(script.tell(Begins), ["Open [OPEN]"], "{case}");
        assert_eq!(script.tell(what), [wanted], "{case}");
        assert!(
            script.session.is_over() && script.session.deadline().is_none(),
            "{case}"
        );
        for what in [Lost, Drain, Wait(100_000)] {
            assert!(script.tell(what).is_empty(), "{case}");
        }
    }
}

#[test]
fn what_a_refused_client_gets() {
    let refused = |response| {
        let mut script = Script::new(SessionConfig::default());
        script.tell(Begins);
        script.session.answered(response, script.now);
        let Some(Output::Refuse(refusal)) = script.session.next_output() else {
            panic!()
        };
        refusal.into_response()
    };
    let long = refused(response(403, &[], vec![b'x'; 100_001]));
    assert_eq!((long.status().as_u16(), long.body().len()), (403, 100_000), "W02");
    let failed = refused(answer(&[], &[]));
    let text = &b"Error while proxying to origin.\n"[..];
    assert_eq!((failed.status().as_u16(), &failed.body()[..]), (502, text), "W04");
    assert_eq!(failed.headers()["gripstack-error"], "origin-open");
    assert_eq!(Refusal::Failed(SocketEnd::Drain).into_response().status(), 503);
}

#[test]
fn undecided() {
    let undecided = || With(&[("keep-alive-interval", "1")], &[]);
    let cases: &[Case<'_>] = &[
        (
            "W29 OPEN again after the interval, which is 20 s at least",
            &[
                (Begins, &["Open [OPEN]"]),
                (undecided(), &[]),
                (Wait(19_999), &[]),
                (Refresh, &[]),
                (Wait(1), &["Open [OPEN]"]),
                (Wait(100_000), &[]),
                (Answer(&[]), &[]),
                (Wait(20_000), &["Open [OPEN]"]),
                (Answer(&["OPEN", "TEXT hi"]), &["accept", "Text hi"]),
                (Wait(20_000), &["KeepAlive []"]),
            ],
        ),
        (
            "W29 W04 not any more",
            &[
                (Begins, &["Open [OPEN]"]),
                (undecided(), &[]),
                (Wait(20_000), &["Open [OPEN]"]),
                (
                    With(&[("keep-alive-interval", "0")], &[]),
                    &["refuse origin-open"],
                ),
            ],
        ),
        (
            "W29 the client leaves between two requests",
            &[
                (Begins, &["Open [OPEN]"]),
                (undecided(), &[]),
                (Lost, &["Last [DISCONNECT]"]),
                (undecided(), &[]),
                (Wait(100_000), &[]),
            ],
        ),
        (
            "W29 the client leaves within a request, and the origin has not decided",
            &[
                (Begins, &["Open [OPEN]"]),
                (Lost, &[]),
                (Lost, &[]),
                (undecided(), &["Last [DISCONNECT]"]),
                (Other(500, &[], ""), &[]),
                (Wait(100_000), &[]),
            ],
        ),
        (
            "W29 W26 the client leaves within a request, and the origin opens",
            &[
                (Begins, &["Open [OPEN]"]),
                (Lost, &[]),
                (
                    With(
                        &[GRIP],
                        &[
                            "OPEN",
                            "TEXT m:hi",
                            r#"TEXT c:{"type":"subscribe","channel":"t"}"#,
                        ],
                    ),
                    &["Last [DISCONNECT]"],
                ),
                (Answer(&["TEXT m:hi"]), &[]),
            ],
        ),
        (
            "W29 the client leaves within a request, and the origin opens and disconnects",
            &[
                (Begins, &["Open [OPEN]"]),
                (Lost, &[]),
                (Answer(&["OPEN", "DISCONNECT"]), &[]),
            ],
        ),
        (
            "W29 the client leaves within a request, and the origin refuses",
            &[
                (Begins, &["Open [OPEN]"]),
                (Lost, &[]),
                (Other(403, &[], ""), &[]),
            ],
        ),
        (
            "W29 the client leaves within a request, and the origin is not reached",
            &[
                (Begins, &["Open [OPEN]"]),
                (Lost, &[]),
                (No(NoAnswer::NotReached), &[]),
                (Wait(100_000), &[]),
            ],
        ),
        (
            "W29 the client leaves before the first request",
            &[(Lost, &[]), (Wait(100_000), &[])],
        ),
        (
            "W29 the origin is no longer there",
            &[
                (Begins, &["Open [OPEN]"]),
                (undecided(), &[]),
                (Wait(20_000), &["Open [OPEN]"]),
                (No(NoAnswer::NotReached), &["refuse origin-unreachable"]),
            ],
        ),
        (
            "W29 a drain between two requests",
            &[
                (Begins, &["Open [OPEN]"]),
                (undecided(), &[]),
                (Drain, &["refuse drain", "Last [DISCONNECT]"]),
                (No(NoAnswer::SentWhole), &[]),
            ],
        ),
        (
            "W29 a drain within a request",
            &[
                (Begins, &["Open [OPEN]"]),
                (Drain, &["refuse drain"]),
                (Drain, &[]),
                (Answer(&["OPEN"]), &["Last [DISCONNECT]"]),
            ],
        ),
    ];
    run(&SessionConfig::default(), cases);
}

#[test]
fn implicit_channels() {
    let config = SessionConfig {
        implicit: Box::new([Channel::new("all").unwrap(), Channel::new("p-t").unwrap()]),
        channel_prefix: "p-".into(),
        ..SessionConfig::default()
    };
    let cases: &[Case<'_>] = &[
        (
            "W09 also where the origin speaks no GRIP",
            &[
                (Begins, &["Open [OPEN]"]),
                (
                    Answer(&["OPEN", "TEXT m:hi"]),
                    &["accept", "join all", "join p-t", "Text m:hi"],
                ),
            ],
        ),
        (
            "they are called as they are, and not left",
            &[
                (Begins, &["Open [OPEN]"]),
                (
                    With(
                        &[GRIP],
                        &[
                            "OPEN",
                            r#"TEXT c:{"type":"unsubscribe","channel":"t"}"#,
                            r#"TEXT c:{"type":"unsubscribe","channel":"all"}"#,
                            r#"TEXT c:{"type":"subscribe","channel":"all"}"#,
                            r#"TEXT c:{"type":"unsubscribe","channel":"all"}"#,
                        ],
                    ),
                    &["accept", "join all", "join p-t", "join p-all", "leave p-all"],
                ),
            ],
        ),
    ];
    run(&config, cases);
}
