//! The pacer by hand.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::pacer::*;
use crate::message::{Channel, Message, StreamForm};
use crate::order::{Publication, Purge, PurgeMode, Target};

const T: Duration = Duration::from_secs(1);

fn update(channel: &str, message: Message) -> Update {
    Update {
        publication: Publication {
            channel: Channel::new(channel).expect("a good name"),
            message: Arc::new(message),
            latest: true,
            comes_back: false,
        },
        purges: Vec::new(),
        interval: T,
        version: None,
    }
}

fn plain(channel: &str, text: &str) -> Update {
    update(channel, Message::bytes(text.to_owned()))
}

fn key(name: &str) -> Purge {
    Purge {
        target: Target::Key(name.into()),
        mode: PurgeMode::Hard,
    }
}

fn pacer() -> Pacer {
    Pacer::new(100_000, 64 << 20, (500, 1 << 19))
}

fn one(pacer: &mut Pacer, update: Update, now: Instant) -> Verdict {
    let mut verdicts = pacer.submit(vec![update], now).expect("there is room");
    verdicts.pop().expect("one update, one verdict")
}

fn started(verdict: Verdict) -> Start {
    match verdict {
        Verdict::Start(start) => start,
        other => panic!("{other:?}"),
    }
}

#[test]
fn rlp_05_an_older_version_is_never_sent() {
    let (mut pacer, now) = (pacer(), Instant::now());
    let with = |version: u64| Update {
        version: Some(version),
        ..plain("c", &version.to_string())
    };
    let start = started(one(&mut pacer, with(5), now));
    assert!(matches!(one(&mut pacer, with(4), now), Verdict::Superseded));
    pacer.finish(&start.channel, None, now);
    assert!(matches!(one(&mut pacer, with(4), now), Verdict::Superseded));
    assert!(matches!(
        one(&mut pacer, with(7), now),
        Verdict::Waits { replaced: false }
    ));
    assert!(matches!(one(&mut pacer, with(6), now), Verdict::Superseded));
    let due = pacer.due(now + T);
    assert_eq!(due.len(), 1);
    assert_eq!(
        due[0].order.publications[0].message,
        Arc::new(Message::bytes("7"))
    );
}

#[test]
fn the_purges_of_what_was_superseded_are_kept() {
    let (mut pacer, now) = (pacer(), Instant::now());
    let with = |version: u64, purge: &str| Update {
        version: Some(version),
        purges: vec![key(purge)],
        ..plain("c", &version.to_string())
    };
    let start = started(one(&mut pacer, with(5, "a"), now));
    pacer.finish(&start.channel, None, now);
    // Nothing waits: its purge is paced alone.
    assert!(matches!(one(&mut pacer, with(4, "b"), now), Verdict::Superseded));
    let due = pacer.due(now + T);
    assert_eq!(due[0].order.purges, [key("b")]);
    assert!(due[0].order.publications.is_empty());
    pacer.finish(&start.channel, None, now + T);
    for (version, purge) in [(6, "c"), (7, "d"), (8, "c")] {
        one(&mut pacer, with(version, purge), now + T);
    }
    let due = pacer.due(now + 2 * T);
    let purged: HashSet<Purge> = due[0].order.purges.iter().cloned().collect();
    assert_eq!(purged, HashSet::from([key("c"), key("d")]));
    assert_eq!(due[0].order.publications.len(), 1);
}

#[test]
fn the_predecessor_of_the_newest_comes_too_late() {
    let (mut pacer, now) = (pacer(), Instant::now());
    let with = |id: &str, prev_id: &str| update("c", Message::bytes("x").with_id(id).with_prev_id(prev_id));
    started(one(&mut pacer, with("2", "1"), now));
    assert!(matches!(
        one(&mut pacer, with("1", "0"), now),
        Verdict::Superseded
    ));
    assert!(matches!(
        one(&mut pacer, with("3", "2"), now),
        Verdict::Waits { .. }
    ));
}

/// Whatever leads up to the newest, in whichever order it comes, is older.
#[test]
fn what_leads_up_to_the_newest_comes_too_late() {
    let (mut pacer, now) = (pacer(), Instant::now());
    let item = |id: u32| {
        let message = Message::bytes("x").with_id(id.to_string());
        update("c", message.with_prev_id((id - 1).to_string()))
    };
    started(one(&mut pacer, item(5), now));
    for late in [4, 3, 4, 2] {
        assert!(
            matches!(one(&mut pacer, item(late), now), Verdict::Superseded),
            "{late}"
        );
    }
    assert!(matches!(one(&mut pacer, item(6), now), Verdict::Waits { .. }));
    for late in [5, 4, 1] {
        assert!(
            matches!(one(&mut pacer, item(late), now), Verdict::Superseded),
            "{late}"
        );
    }
    assert!(matches!(
        one(&mut pacer, item(7), now),
        Verdict::Waits { replaced: true }
    ));
}

#[test]
fn a_full_pacer_refuses_and_keeps_what_waits() {
    let now = Instant::now();
    let mut pacer = Pacer::new(2, 64 << 20, (500, 1 << 19));
    for channel in ["a", "b"] {
        let start = started(one(&mut pacer, plain(channel, "1"), now));
        pacer.finish(&start.channel, None, now);
    }
    one(&mut pacer, plain("a", "2"), now);
    let before = pacer.sizes();
    // All or nothing: the update of a known channel is not taken either.
    let refused = pacer.submit(vec![plain("b", "2"), plain("c", "1")], now + T / 4);
    assert_eq!(
        refused.err(),
        Some(Full {
            retry_after: T * 3 / 4
        })
    );
    assert_eq!(pacer.sizes(), before);
    assert_eq!(pacer.due(now + T).len(), 1);
    // Both have rested; only what was just started is still known.
    assert!(pacer.submit(vec![plain("c", "1")], now + T).is_ok());
}

#[test]
fn pending_bytes_are_bounded_and_come_back() {
    let now = Instant::now();
    let big = "x".repeat(1000);
    // Two channels, and two updates.
    let mut pacer = Pacer::new(10, 3000 + 2 * CHANNEL_WEIGHT, (500, 1 << 19));
    let start = started(one(&mut pacer, plain("a", &big), now));
    pacer.finish(&start.channel, None, now);
    one(&mut pacer, plain("a", &big), now);
    assert!(
        pacer
            .submit(vec![plain("b", &big), plain("b", &big)], now)
            .is_err()
    );
    assert_eq!(pacer.due(now + T).len(), 1);
    assert_eq!(pacer.sizes().2, 0);
    assert!(pacer.submit(vec![plain("b", &big)], now + T).is_ok());
}

#[test]
fn one_order_gathers_a_bounded_number_of_targets() {
    let (mut pacer, now) = (pacer(), Instant::now());
    started(one(&mut pacer, plain("a", "1"), now));
    let with = |from: usize, to: usize| Update {
        purges: (from..to).map(|n| key(&n.to_string())).collect(),
        ..plain("a", "2")
    };
    assert!(pacer.submit(vec![with(0, MAX_TARGETS)], now).is_ok());
    assert!(
        pacer
            .submit(vec![with(MAX_TARGETS, MAX_TARGETS + 1)], now)
            .is_err()
    );
    // Those that are there already are no more.
    assert!(pacer.submit(vec![with(0, 1), with(0, 2)], now).is_ok());
    assert!(pacer.submit(vec![plain("a", "3")], now).is_ok());
}

#[test]
fn rlp_12_idle_channels_are_forgotten_after_their_interval() {
    let (mut pacer, now) = (pacer(), Instant::now());
    for n in 0..100_000 {
        let start = started(one(&mut pacer, plain(&n.to_string(), "1"), now));
        pacer.finish(&start.channel, None, now);
    }
    assert_eq!(pacer.sizes(), (100_000, 100_000, 0));
    assert_eq!(pacer.next_deadline(), Some(now + T));
    assert!(pacer.due(now + T).is_empty());
    assert_eq!(pacer.sizes(), (0, 0, 0));
    assert_eq!(pacer.next_deadline(), None);
}

#[test]
fn rlp_14_after_a_suspension_each_channel_is_sent_once() {
    let (mut pacer, now) = (pacer(), Instant::now());
    for channel in ["a", "b"] {
        let start = started(one(&mut pacer, plain(channel, "1"), now));
        pacer.finish(&start.channel, None, now);
        one(&mut pacer, plain(channel, "2"), now);
    }
    let later = now + 60 * T;
    let due = pacer.due(later);
    assert_eq!(due.len(), 2);
    assert_eq!(due[0].waited, 60 * T);
    assert!(pacer.due(later).is_empty());
    for start in due {
        pacer.finish(&start.channel, None, later);
    }
    assert_eq!(
        pacer.next_deadline(),
        Some(later + T),
        "spaced from the late start on"
    );
}

#[test]
fn rlp_15_a_failed_order_is_sent_again_unless_there_is_a_newer_one() {
    let (mut pacer, now) = (pacer(), Instant::now());
    let with = |text: &str, purge: &str| Update {
        purges: vec![key(purge)],
        ..plain("c", text)
    };
    let start = started(one(&mut pacer, with("1", "a"), now));
    pacer.finish(&start.channel, Some(start.order.clone()), now);
    let again = pacer.due(now + T).pop().expect("it is tried again");
    assert_eq!(again.order.publications[0].message, Arc::new(Message::bytes("1")));
    assert_eq!(again.order.id, start.order.id, "applied once");
    one(&mut pacer, with("2", "b"), now + T);
    pacer.finish(&start.channel, Some(again.order), now + T);
    let newer = pacer.due(now + 2 * T).pop().expect("the newer one");
    assert_eq!(newer.order.publications[0].message, Arc::new(Message::bytes("2")));
    assert_eq!(newer.order.purges.len(), 2, "the purges of both");
    pacer.finish(&start.channel, None, now + 2 * T);
    pacer.due(now + 3 * T);
    assert_eq!(pacer.sizes(), (0, 0, 0));
}

#[test]
fn without_an_interval_all_are_sent_one_after_the_other() {
    let (mut pacer, now) = (pacer(), Instant::now());
    let with = |text: &str| Update {
        interval: Duration::ZERO,
        ..plain("c", text)
    };
    let start = started(one(&mut pacer, with("1"), now));
    assert!(matches!(one(&mut pacer, with("2"), now), Verdict::Waits { .. }));
    pacer.finish(&start.channel, None, now);
    assert_eq!(pacer.due(now).len(), 1);
    pacer.finish(&start.channel, None, now);
    assert_eq!(pacer.sizes(), (0, 0, 0));
}

#[test]
fn an_interval_may_be_for_ever() {
    let (mut pacer, now) = (pacer(), Instant::now());
    let first = Update {
        interval: Duration::MAX,
        ..plain("c", "1")
    };
    let start = started(one(&mut pacer, first, now));
    pacer.finish(&start.channel, None, now);
    assert!(matches!(
        one(&mut pacer, plain("c", "2"), now + 1_000 * T),
        Verdict::Waits { .. }
    ));
    assert!(pacer.due(now + 1_000 * T).is_empty());
}

fn act(form: StreamForm) -> Update {
    let message = Message {
        stream: Some(form),
        ..Message::default()
    };
    update("c", message)
}

fn texts(start: &Start) -> Vec<String> {
    let publications = start.order.publications.iter();
    let text = |publication: &Publication| match &publication.message.stream {
        Some(StreamForm::Send(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        form => format!("{:?}", form.as_ref().expect("a stream's")),
    };
    publications.map(text).collect()
}

/// A state takes the place of a state, never of what closes or hints.
#[test]
fn d2a_what_closes_or_hints_waits_in_its_place() {
    let (mut pacer, now) = (pacer(), Instant::now());
    let first = started(one(&mut pacer, plain("c", "1"), now));
    let updates = vec![
        plain("c", "2"),
        plain("c", "3"),
        act(StreamForm::Close),
        act(StreamForm::Close),
        plain("c", "4"),
        act(StreamForm::Hint),
        plain("c", "5"),
        plain("c", "6"),
    ];
    pacer.submit(updates, now).expect("there is room");
    pacer.finish(&first.channel, None, now);
    let due = pacer.due(now + T);
    assert_eq!(texts(&due[0]), ["3", "Close", "4", "Hint", "6"]);
    assert_eq!(pacer.take_gone().len(), 3);
    // One that failed goes before what came meanwhile.
    pacer
        .submit(vec![plain("c", "7"), act(StreamForm::Close)], now + T)
        .expect("there is room");
    pacer.finish(&due[0].channel, Some(due[0].order.clone()), now + T);
    let due = pacer.due(now + 3 * T);
    assert_eq!(texts(&due[0]), ["3", "Close", "4", "Hint", "7", "Close"]);
}

/// They may be more than an order may have, and no more than that.
#[test]
fn what_is_too_much_for_an_order_goes_out_with_the_next() {
    let (mut pacer, now) = (Pacer::new(100_000, 64 << 20, (2, 1 << 19)), Instant::now());
    let first = started(one(&mut pacer, plain("c", "1"), now));
    let mut alternating = (0..).map(|n| match n % 2 {
        0 => act(StreamForm::Hint),
        _ => plain("c", &n.to_string()),
    });
    pacer
        .submit(alternating.by_ref().take(5).collect(), now)
        .expect("there is room");
    pacer.finish(&first.channel, None, now);
    let mut got = Vec::new();
    for n in 1..=3 {
        let due = pacer.due(now + n * T);
        got.push((texts(&due[0]), due[0].more));
        pacer.finish(&due[0].channel, None, now + n * T);
    }
    let expected = [
        (vec!["Hint".to_owned(), "1".into()], true),
        (vec!["Hint".into(), "3".into()], true),
        (vec!["Hint".into()], false),
    ];
    assert_eq!(got, expected);
    let mut taken = 0;
    while pacer
        .submit(alternating.by_ref().take(1).collect(), now + 3 * T)
        .is_ok()
    {
        taken += 1;
    }
    assert_eq!(taken, MAX_MESSAGES);
    assert_eq!(pacer.take_gone().len(), 1, "what found no room");
}

/// What closes or hints is a message that nothing replaces, also where it comes after what follows it.
#[test]
fn d2a_what_closes_or_hints_may_be_late() {
    for form in [StreamForm::Close, StreamForm::Hint] {
        let (mut pacer, now) = (pacer(), Instant::now());
        let item = |mut update: Update, id: u32| {
            let message = Arc::make_mut(&mut update.publication.message);
            *message = message
                .clone()
                .with_id(id.to_string())
                .with_prev_id((id - 1).to_string());
            update
        };
        started(one(&mut pacer, item(plain("c", "1"), 1), now));
        pacer.finish(&channel("c"), None, now);
        let three = || item(plain("c", "3"), 3);
        assert!(matches!(one(&mut pacer, three(), now), Verdict::Waits { .. }));
        let late = one(&mut pacer, item(act(form.clone()), 2), now);
        assert!(matches!(late, Verdict::Waits { replaced: false }), "{late:?}");
        let due = pacer.due(now + T);
        let texts = texts(&due[0]);
        assert_eq!((texts.len(), &*texts[0]), (2, "3"));
        // It is not the newest for that.
        pacer.finish(&channel("c"), None, now + T);
        let late = one(&mut pacer, item(plain("c", "1"), 1), now + T);
        assert!(matches!(late, Verdict::Superseded));
        assert!(matches!(
            one(&mut pacer, three(), now + T),
            Verdict::Waits { replaced: false }
        ));
    }
}

fn channel(name: &str) -> Channel {
    Channel::new(name).expect("a good name")
}

/// Calls of one publisher that overtake each other: whichever order its states come in, the last one is sent last, and nothing
/// that is known to be older after it.
#[test]
fn d2a_the_last_of_a_chain_is_sent_last_in_whichever_order_it_comes() {
    for count in 2..=7 {
        let mut order: Vec<usize> = (1..=count).collect();
        permutations(&mut order, 0, &mut |order| {
            let (mut pacer, now) = (pacer(), Instant::now());
            let mut sent = Vec::new();
            let mut note = |start: &Start| {
                let ids = start.order.publications.iter();
                sent.extend(ids.map(|one| one.message.id.as_deref().map(ToOwned::to_owned)));
            };
            // What came before all of them.
            let start = started(one(&mut pacer, chained(0), now));
            note(&start);
            pacer.finish(&start.channel, None, now);
            for n in order {
                assert!(!matches!(one(&mut pacer, chained(*n), now), Verdict::Start(_)));
            }
            for start in pacer.due(now + T) {
                note(&start);
                pacer.finish(&start.channel, None, now + T);
            }
            assert_eq!(sent, [Some("0".into()), Some(count.to_string())], "{order:?}");
            assert_eq!(pacer.sizes().2, 0, "{order:?}");
        });
    }
}

fn chained(n: usize) -> Update {
    let prev_id = n.checked_sub(1).map_or("none".to_owned(), |n| n.to_string());
    let text = "x".repeat(n + 1);
    update(
        "c",
        Message::bytes(text).with_id(n.to_string()).with_prev_id(prev_id),
    )
}

fn permutations(order: &mut Vec<usize>, from: usize, each: &mut impl FnMut(&[usize])) {
    if from == order.len() {
        return each(order);
    }
    for other in from..order.len() {
        order.swap(from, other);
        permutations(order, from + 1, each);
        order.swap(from, other);
    }
}

#[test]
fn d2a_what_has_rested_is_known_for_a_minute_and_within_its_bytes() {
    let state = |channel: &str, id: u32| {
        let id_and_last = (id.to_string(), (id - 1).to_string());
        update(
            channel,
            Message::bytes("s")
                .with_id(id_and_last.0)
                .with_prev_id(id_and_last.1),
        )
    };
    let rests = |pacer: &mut Pacer, update: Update, now: Instant| {
        let start = started(one(pacer, update, now));
        pacer.finish(&start.channel, None, now);
        assert!(pacer.due(now + T).is_empty());
        start
    };
    let (mut pacer, now) = (pacer(), Instant::now());
    rests(&mut pacer, state("c", 3), now);
    assert_eq!(pacer.sizes(), (0, 0, 0));
    let late = now + T + Duration::from_secs(59);
    assert!(matches!(
        one(&mut pacer, state("c", 2), late),
        Verdict::Superseded
    ));
    // What it asks to purge is purged.
    let purging = Update {
        purges: vec![key("k")],
        ..state("c", 2)
    };
    let start = rests(&mut pacer, purging, late);
    assert_eq!((start.order.purges.len(), start.order.publications.len()), (1, 0));
    // A version may begin again.
    let versioned = |version| Update {
        version: Some(version),
        ..state("v", 7)
    };
    rests(&mut pacer, versioned(9), now);
    rests(&mut pacer, versioned(1), now + 2 * T);
    // In the end it is forgotten.
    rests(&mut pacer, state("c", 2), late + T + Duration::from_secs(61));
    for n in 0..100_000 {
        rests(&mut pacer, state(&n.to_string(), 3), late + 3 * T);
    }
    let (channels, _, bytes) = pacer.rested_sizes();
    assert!(
        bytes <= (64 << 20) / 16 && channels > 10_000,
        "{channels}: {bytes}"
    );
    assert!(pacer.due(late + 600 * T).is_empty());
    rests(&mut pacer, plain("other", "1"), late + 600 * T);
    assert_eq!(pacer.rested_sizes(), (0, 0, 0));
}

/// The last state, which was displaced, is another order than that which failed before it was known to be the last.
#[test]
fn d2a_what_is_the_last_after_all_is_another_order_than_one_that_failed() {
    let (mut pacer, now) = (pacer(), Instant::now());
    let first = started(one(&mut pacer, chained(1), now));
    pacer.finish(&first.channel, None, now);
    one(&mut pacer, chained(4), now);
    one(&mut pacer, chained(2), now);
    let sent = pacer.due(now + T).pop().expect("2");
    let failed = sent.order.id;
    pacer.finish(&sent.channel, Some(sent.order), now + T);
    let late = one(&mut pacer, chained(3), now + T);
    assert!(matches!(late, Verdict::Superseded), "{late:?}");
    let next = pacer.due(now + 3 * T).pop().expect("4");
    assert_eq!(next.order.publications[0].message.id.as_deref(), Some("4"));
    assert_ne!(next.order.id, failed);
}

#[test]
fn d2a_what_was_displaced_on_its_way_and_failed_has_not_gone_out() {
    let (mut pacer, now) = (pacer(), Instant::now());
    let first = started(one(&mut pacer, chained(4), now));
    one(&mut pacer, chained(2), now);
    pacer.finish(&first.channel, Some(first.order), now);
    one(&mut pacer, chained(3), now);
    let next = pacer.due(now + 3 * T).pop().expect("4");
    assert_eq!(next.order.publications[0].message.id.as_deref(), Some("4"));
    pacer.finish(&next.channel, None, now + 3 * T);
    assert_eq!(pacer.sizes().2, 0);
}
