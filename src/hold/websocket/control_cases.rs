//! The conformance cases of what an origin says to the edge inside a connection.

use std::time::Duration;

use super::channels::MAX_CHANNELS;
use super::script::{Case, GRIP, In, Script, run, run_opened};
use super::*;
use crate::message::{SocketForm, SocketKind};

use In::{Answer, Begins, Closes, Lost, Published, Refresh, Says, Wait, With};
use SocketKind::Text;

/// Sent in silence, after 2 s.
const KA: &str = r#"TEXT c:{"type":"keep-alive","content":"KA","timeout":2}"#;

fn send(text: &'static str) -> In {
    Published(SocketForm::Send(Text, text.into()))
}

#[test]
fn prefixes() {
    let cases: &[Case<'_>] = &[
        (
            "W07 prefixed text",
            &[
                (Begins, &["Open [OPEN]"]),
                (
                    With(&[GRIP], &["OPEN", "TEXT m:hello"]),
                    &["accept", "Text hello"],
                ),
            ],
        ),
        (
            "W08 text without it",
            &[
                (Begins, &["Open [OPEN]"]),
                (
                    With(
                        &[GRIP],
                        &["OPEN", "TEXT hello", "BINARY m:a", "BINARY a", "PING a", "PONG"],
                    ),
                    &["accept", "Binary a", "Ping a", "Pong "],
                ),
            ],
        ),
        (
            "W09 without GRIP all is the client's",
            &[
                (Begins, &["Open [OPEN]"]),
                (
                    Answer(&["OPEN", "TEXT m:a", r#"TEXT c:{"type":"detach"}"#]),
                    &["accept", "Text m:a", r#"Text c:{\"type\":\"detach\"}"#],
                ),
                (Refresh, &["Refresh []"]),
                // It says so when it opens, or not at all.
                (With(&[GRIP], &["TEXT m:b"]), &["Text m:b"]),
            ],
        ),
        (
            "W10 an empty prefix",
            &[
                (Begins, &["Open [OPEN]"]),
                (
                    With(
                        &[("sec-websocket-extensions", r#"grip; message-prefix="""#)],
                        &[
                            "OPEN",
                            "TEXT a",
                            "TEXT m:b",
                            r#"TEXT c:{"type":"subscribe","channel":"t"}"#,
                        ],
                    ),
                    &["accept", "Text a", "Text m:b", "join t"],
                ),
            ],
        ),
    ];
    run(&SessionConfig::default(), cases);
}

#[test]
fn subscriptions() {
    let config = SessionConfig {
        channel_prefix: "p-".into(),
        ..SessionConfig::default()
    };
    let cases: &[Case<'_>] = &[
        (
            "W25 a channel, its filters, and the end of it",
            &[
                (Refresh, &["Refresh []"]),
                (
                    Answer(&[
                        r#"TEXT c:{"type":"subscribe","channel":"t","filters":["skip-self","x"]}"#,
                        r#"TEXT c:{"type":"subscribe","channel":"t"}"#,
                        r#"TEXT c:{"type":"unsubscribe","channel":"u"}"#,
                        r#"TEXT c:{"type":"unsubscribe","channel":"t"}"#,
                        r#"TEXT c:{"type":"unsubscribe","channel":"t"}"#,
                        "TEXT m:after",
                    ]),
                    &["join p-t skip-self x", "join p-t", "leave p-t", "Text after"],
                ),
            ],
        ),
        (
            "W25 too many filters",
            &[
                (Refresh, &["Refresh []"]),
                (
                    Answer(&[
                        "TEXT m:a",
                        r#"TEXT c:{"type":"subscribe","channel":"t","filters":["1","2","3","4","5","6"]}"#,
                        r#"TEXT c:{"type":"subscribe","channel":"t"}"#,
                        "TEXT m:b",
                    ]),
                    &["Text a", "close 1011", "Last [CLOSE]"],
                ),
                (Closes("CLOSE 1011"), &["cut too-many-filters"]),
            ],
        ),
        (
            "what makes no sense has no effect",
            &[
                (Refresh, &["Refresh []"]),
                (
                    Answer(&[
                        "TEXT c:",
                        "TEXT c:[]",
                        r#"TEXT c:{"type":"novel"}"#,
                        r#"TEXT c:{"type":"subscribe"}"#,
                        r#"TEXT c:{"type":"subscribe","channel":""}"#,
                        r#"TEXT c:{"type":"session","id":"s"}"#,
                        r#"TEXT c:{"type":"flush-delayed"}"#,
                        r#"TEXT c:{"type":"keep-alive"}"#,
                        "TEXT m:a",
                    ]),
                    &["Text a"],
                ),
                (Wait(100_000), &[]),
            ],
        ),
    ];
    run_opened(&config, cases);
}

#[test]
fn channels_and_names_have_limits() {
    let subscribe = |name: &str, filter: &str| {
        format!(r#"TEXT c:{{"type":"subscribe","channel":"{name}","filters":["{filter}","f"]}}"#)
    };
    let mut script = Script::opened(SessionConfig {
        channel_prefix: "p".into(),
        ..SessionConfig::default()
    });
    let mut events: Vec<_> = (0..MAX_CHANNELS + 1)
        .map(|n| subscribe(&n.to_string(), &"x".repeat(65)))
        .collect();
    events.push(r#"TEXT c:{"type":"unsubscribe","channel":"3"}"#.into());
    // With the prefix it is no name.
    events.push(subscribe(&"x".repeat(crate::message::MAX_CHANNEL_BYTES), "a"));
    events.push(subscribe("last", "a"));
    events.push(subscribe("too-many", "a"));
    script.tell(Refresh);
    let events: Vec<_> = events.iter().map(String::as_str).collect();
    script
        .session
        .answered(super::script::answer(&[], &events), script.now);
    let mut wants = script.wants();
    assert_eq!(wants.split_off(MAX_CHANNELS), ["leave p3", "join plast a f"]);
    assert_eq!(
        (wants[0].as_str(), wants[19].as_str()),
        ("join p0 f", "join p19 f")
    );
}

#[test]
fn meta_for_filters() {
    let mut script = Script::opened(SessionConfig::default());
    script.tell(Refresh);
    script.tell(Answer(&[
        r#"TEXT c:{"type":"set-meta","name":"user","value":"al"}"#,
        r#"TEXT c:{"type":"set-meta","name":"a","value":"b"}"#,
        r#"TEXT c:{"type":"set-meta","name":"a"}"#,
        r#"TEXT c:{"type":"set-meta","name":"","value":"b"}"#,
    ]));
    let of = |name| script.session.filter_meta(name);
    assert_eq!((of("user"), of("a"), of("")), (Some("al"), None, None), "W25");
    script.tell(Lost);
    assert_eq!(script.session.filter_meta("user"), None, "W26");
}

#[test]
fn keep_alives() {
    let cases: &[Case<'_>] = &[
        (
            "W23 in silence",
            &[
                (Refresh, &["Refresh []"]),
                (Answer(&[KA]), &[]),
                // A quarter earlier at most.
                (Wait(1_499), &[]),
                (Wait(501), &["Text KA"]),
                (Wait(900), &[]),
                (send("a"), &["Text a"]),
                (Wait(1_499), &[]),
                (Wait(501), &["Text KA"]),
                (Refresh, &["Refresh []"]),
                (Answer(&[r#"TEXT c:{"type":"keep-alive"}"#]), &[]),
                (Wait(100_000), &[]),
            ],
        ),
        (
            "W23 whatever is sent",
            &[
                (Refresh, &["Refresh []"]),
                (
                    Answer(&[
                        r#"TEXT c:{"type":"keep-alive","content-bin":"AAE=","message-type":"binary","timeout":2,"mode":"interval"}"#,
                    ]),
                    &[],
                ),
                (Wait(1_400), &[]),
                (send("a"), &["Text a"]),
                (Wait(600), &[r"Binary \x00\x01"]),
            ],
        ),
        (
            "W23 no longer than the client is there",
            &[
                (Refresh, &["Refresh []"]),
                (Answer(&[KA, "CLOSE"]), &["close 1000"]),
                (Wait(9_000), &[]),
                (Lost, &["cut client", "Last [DISCONNECT]"]),
                (Answer(&[KA]), &[]),
                (Wait(100_000), &[]),
            ],
        ),
    ];
    run_opened(&SessionConfig::default(), cases);
}

#[test]
fn nothing_waits_for_a_client_that_closes() {
    let mut script = Script::opened(SessionConfig::default());
    script.tell(Refresh);
    script.tell(Answer(&[KA]));
    assert!(
        script.session.deadline().unwrap() < script.now + Duration::from_secs(3),
        "W23"
    );
    script.tell(In::Drain);
    assert_eq!(
        script.session.deadline(),
        Some(script.now + Duration::from_secs(10)),
        "W23"
    );
}

#[test]
fn delayed_messages() {
    const SD: &str = r#"TEXT c:{"type":"send-delayed","content":"SD","timeout":1}"#;
    let cases: &[Case<'_>] = &[
        (
            "W24 after its time",
            &[
                (Refresh, &["Refresh []"]),
                (Answer(&[SD]), &[]),
                (Wait(999), &[]),
                (Wait(1), &["Text SD"]),
                (Wait(100_000), &[]),
            ],
        ),
        (
            "W24 the second one sends the first",
            &[
                (Refresh, &["Refresh []"]),
                (Answer(&[SD]), &[]),
                (Refresh, &["Refresh []"]),
                (
                    Answer(&[
                        "TEXT m:a",
                        r#"TEXT c:{"type":"send-delayed","message-type":"ping"}"#,
                    ]),
                    &["Text a", "Text SD"],
                ),
                (Wait(1_000), &["Ping "]),
            ],
        ),
        (
            "W24 at once",
            &[
                (Refresh, &["Refresh []"]),
                (
                    Answer(&[SD, r#"TEXT c:{"type":"flush-delayed"}"#, "TEXT m:a"]),
                    &["Text SD", "Text a"],
                ),
                (Wait(100_000), &[]),
            ],
        ),
        (
            "W23 W24 it counts as something sent",
            &[
                (Refresh, &["Refresh []"]),
                (Answer(&[KA, SD]), &[]),
                (Wait(1_000), &["Text SD"]),
                (Wait(1_400), &[]),
                (Wait(600), &["Text KA"]),
            ],
        ),
        (
            "W22 W24 also of one that is detached",
            &[
                (Refresh, &["Refresh []"]),
                (Answer(&[r#"TEXT c:{"type":"detach"}"#, SD]), &["Last [CLOSE]"]),
                (Says(Text, "a"), &[]),
                (Wait(1_000), &["Text SD"]),
            ],
        ),
    ];
    run_opened(&SessionConfig::default(), cases);
}
