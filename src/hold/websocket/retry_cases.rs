//! The conformance cases of an origin that is not there.

use super::script::{Case, In, Script, run_opened};
use super::*;
use crate::message::SocketKind;

use In::{Answer, Closes, Drain, Lost, No, Refresh, Says, Wait, With};
use NoAnswer::{NotReached, SentInPart, SentWhole};
use SocketKind::Text;

#[test]
fn retries() {
    let cases: &[Case<'_>] = &[
        (
            "W31 five times, and what was said is kept",
            &[
                (Says(Text, "a"), &["Events [TEXT a]"]),
                (No(NotReached), &[]),
                (Wait(999), &[]),
                (Wait(1_001), &["Events [TEXT a]"]),
                (Says(Text, "b"), &[]),
                (No(SentInPart), &[]),
                (Says(Text, "c"), &[]),
                (Wait(1_999), &[]),
                (Wait(1_001), &["Events [TEXT a, TEXT b, TEXT c]"]),
                (No(NotReached), &[]),
                (Wait(3_999), &[]),
                (Wait(1_001), &["Events [TEXT a, TEXT b, TEXT c]"]),
                (No(NotReached), &[]),
                (Wait(7_999), &[]),
                (Wait(1_001), &["Events [TEXT a, TEXT b, TEXT c]"]),
                (No(NotReached), &[]),
                (Wait(15_999), &[]),
                (Wait(1_001), &["Events [TEXT a, TEXT b, TEXT c]"]),
                (No(NotReached), &["cut origin-unreachable"]),
                (Wait(100_000), &[]),
                (Lost, &[]),
            ],
        ),
        (
            "W31 they are counted anew after an answer",
            &[
                (Says(Text, "a"), &["Events [TEXT a]"]),
                (No(NotReached), &[]),
                (Wait(2_000), &["Events [TEXT a]"]),
                (Answer(&["TEXT m:x"]), &["Text x"]),
                (Refresh, &["Refresh []"]),
                (No(NotReached), &[]),
                (Refresh, &[]),
                (Wait(2_000), &["Refresh []"]),
                (Answer(&[]), &[]),
            ],
        ),
        (
            "W31 not if the origin may have acted on it",
            &[
                (Says(Text, "a"), &["Events [TEXT a]"]),
                (No(SentWhole), &["cut origin-no-answer"]),
            ],
        ),
        (
            "W31 W14 what was offered before stays so",
            &[
                (Says(Text, "ab"), &["Events [TEXT ab]"]),
                (With(&[("content-bytes-accepted", "1")], &[]), &[]),
                (Says(Text, "c"), &["Events [TEXT b, TEXT c] replayed 1"]),
                (No(NotReached), &[]),
                (Wait(2_000), &["Events [TEXT b, TEXT c] replayed 1"]),
                (Answer(&[]), &[]),
            ],
        ),
        (
            "W31 a keep-alive",
            &[
                (Refresh, &["Refresh []"]),
                (With(&[("keep-alive-interval", "20")], &[]), &[]),
                (Wait(20_000), &["KeepAlive []"]),
                (No(NotReached), &[]),
                (Wait(2_000), &["KeepAlive []"]),
                (Answer(&[]), &[]),
            ],
        ),
        (
            "W26 W31 the client vanishes",
            &[
                (Says(Text, "a"), &["Events [TEXT a]"]),
                (No(NotReached), &[]),
                (Lost, &["cut client"]),
                (Wait(2_000), &["Last [TEXT a, DISCONNECT]"]),
                (No(NotReached), &[]),
                (Wait(3_000), &["Last [TEXT a, DISCONNECT]"]),
                (No(SentWhole), &[]),
                (Wait(100_000), &[]),
            ],
        ),
        (
            "W21 W31 the client closes, and the origin stays away",
            &[
                (Closes("CLOSE 4005"), &["Events [CLOSE 4005]"]),
                (No(NotReached), &[]),
                (Wait(2_000), &["Events [CLOSE 4005]"]),
                (No(NotReached), &[]),
                (Wait(3_000), &["Events [CLOSE 4005]"]),
                (No(NotReached), &[]),
                (Wait(5_000), &["Events [CLOSE 4005]"]),
                (No(NotReached), &[]),
                (Wait(9_000), &["Events [CLOSE 4005]"]),
                (No(NotReached), &[]),
                (Wait(17_000), &["Events [CLOSE 4005]"]),
                (No(NotReached), &["close 4005", "cut origin-unreachable"]),
            ],
        ),
        (
            "W31 a drain while it waits",
            &[
                (Says(Text, "a"), &["Events [TEXT a]"]),
                (No(NotReached), &[]),
                (Drain, &["close 1001"]),
                (Wait(2_000), &["Last [TEXT a, CLOSE]"]),
                (Answer(&[]), &[]),
                (Closes("CLOSE"), &["cut drain"]),
            ],
        ),
        (
            "a failure that belongs to no request says nothing",
            &[
                (No(SentWhole), &[]),
                (Refresh, &["Refresh []"]),
                (No(NotReached), &[]),
                (No(SentWhole), &[]),
            ],
        ),
    ];
    run_opened(&SessionConfig::default(), cases);
}

#[test]
fn sessions_do_not_come_back_together() {
    let at = || {
        let mut script = Script::opened(SessionConfig::default());
        script.tell(Refresh);
        script.tell(No(NotReached));
        script.session.deadline().unwrap() - script.now
    };
    let mut times: Vec<_> = (0..100).map(|_| at()).collect();
    times.sort();
    times.dedup();
    assert!(times.len() > 50, "W31: {}", times.len());
}
