use super::*;
use crate::message::Channel;
use proptest::prelude::*;

fn channel(prev_id: Option<&str>) -> HoldChannel {
    let mut channel = HoldChannel::new(Channel::new("t").expect("a valid name"));
    channel.prev_id = prev_id.map(Into::into);
    channel
}

fn message(id: &str, prev_id: &str) -> Message {
    let mut message = Message::bytes(format!("{prev_id}>{id}"));
    message.id = (!id.is_empty()).then(|| id.into());
    message.prev_id = (!prev_id.is_empty()).then(|| prev_id.into());
    message
}

/// A hold on one channel, and what it gives out.
struct Hold {
    ids: Ids,
    now: Instant,
    count: u64,
}

impl Hold {
    fn new(prev_id: Option<&str>) -> Self {
        Self {
            ids: Ids::new(&[channel(prev_id)], STREAM_PATIENCE),
            now: Instant::now(),
            count: 0,
        }
    }

    fn offer(&mut self, message: Message) -> Vec<String> {
        self.count += 1;
        let placed = Placed {
            at: Position::new(self.count),
            message: Arc::new(message),
        };
        let now = self.now;
        let first = self.ids.offer(0, placed, || now);
        self.drain(first)
    }

    fn wait(&mut self, time: Duration) -> Vec<String> {
        self.now += time;
        self.ids.release_overdue(self.now);
        self.drain(None)
    }

    /// How many of what is withheld were looked at.
    fn looks(&self) -> usize {
        self.ids.channels[0].withheld.looks()
    }

    fn drain(&mut self, first: Option<Placed>) -> Vec<String> {
        let rest = std::iter::from_fn(|| self.ids.ready());
        let name = |placed: Placed| placed.message.id.as_deref().unwrap_or("-").to_owned();
        first.into_iter().chain(rest).map(name).collect()
    }
}

fn offer_all(hold: &mut Hold, messages: &[(&str, &str)]) -> Vec<String> {
    let offered = messages
        .iter()
        .flat_map(|(id, prev_id)| hold.offer(message(id, prev_id)));
    offered.collect()
}

#[test]
fn s19_without_an_id_in_the_body_everything_goes_out_as_it_comes() {
    let mut hold = Hold::new(None);
    let got = offer_all(&mut hold, &[("7", "3"), ("2", "9"), ("", "x"), ("2", "")]);
    assert_eq!(got, ["7", "2", "-", "2"]);
    assert_eq!(hold.ids.deadline(), None);
}

#[test]
fn what_a_body_contains_that_is_not_sent_goes_out_in_order_and_once() {
    for (offered, got) in [
        (&[("4", "3")][..], &["4"][..]),
        (&[("2", "1"), ("3", "2"), ("4", "3")], &["2", "3", "4"]),
        (
            &[("3", "2"), ("2", "1"), ("4", "3"), ("4", "3")],
            &["2", "3", "4"],
        ),
        (
            &[("3", "2"), ("4", "3"), ("5", "4"), ("3", "2")],
            &["3", "4", "5"],
        ),
        (&[("5", "4"), ("4", "3")], &["5", "4"]),
        // The log has what is withheld before it.
        (&[("3", "9"), ("4", "")], &["3", "4"]),
        (&[("1", "0"), ("4", ""), ("5", "4")], &["1", "4", "5"]),
        (&[("1", "0"), ("3", ""), ("4", "3")], &["1", "3", "4"]),
        (
            &[("1", "0"), ("x", ""), ("3", "2"), ("4", "3")],
            &["1", "x", "3", "4"],
        ),
    ] {
        let mut hold = Hold::new(Some("4"));
        hold.ids = hold.ids.bodiless();
        assert_eq!(offer_all(&mut hold, offered), got, "{offered:?}");
    }
}

#[test]
fn a_gap_is_withheld_for_five_seconds() {
    let mut hold = Hold::new(Some("1"));
    assert_eq!(offer_all(&mut hold, &[("2", "1"), ("4", "3"), ("5", "4")]), ["2"]);
    assert_eq!(hold.ids.deadline(), Some(hold.now + STREAM_PATIENCE));
    assert!(hold.wait(Duration::from_millis(4_999)).is_empty());
    assert_eq!(hold.wait(Duration::from_millis(1)), ["4", "5"]);
    assert_eq!(hold.ids.deadline(), None);
    assert_eq!(offer_all(&mut hold, &[("6", "5")]), ["6"]);
}

#[test]
fn what_arrives_early_follows_its_predecessor() {
    let mut hold = Hold::new(Some("1"));
    assert!(offer_all(&mut hold, &[("4", "3"), ("3", "2")]).is_empty());
    assert_eq!(offer_all(&mut hold, &[("2", "1")]), ["2", "3", "4"]);
    assert_eq!(hold.ids.deadline(), None);
}

#[test]
fn a_replay_from_below_the_body_is_silent_and_does_not_stall() {
    let mut hold = Hold::new(Some("10"));
    let got = offer_all(&mut hold, &[("8", "7"), ("9", "8"), ("10", "9"), ("11", "10")]);
    assert_eq!(got, ["11"]);
    assert_eq!(hold.ids.deadline(), None);
}

#[test]
fn what_is_in_the_body_may_come_late() {
    let mut hold = Hold::new(Some("10"));
    assert!(offer_all(&mut hold, &[("9", "8")]).is_empty());
    assert!(hold.ids.deadline().is_some());
    assert_eq!(
        offer_all(&mut hold, &[("11", "10"), ("10", "9"), ("8", "7")]),
        ["11"]
    );
    assert_eq!(hold.ids.deadline(), None);
}

/// The publisher died after storing what the body names.
#[test]
fn a_body_that_was_never_published_delays_nothing_that_follows_it() {
    let mut hold = Hold::new(Some("10"));
    assert_eq!(offer_all(&mut hold, &[("9", "8"), ("11", "10")]), ["11"]);
    // 9 came before what follows the body: its client does not go back to it.
    assert!(hold.wait(STREAM_PATIENCE).is_empty());
    assert_eq!(offer_all(&mut hold, &[("12", "11")]), ["12"]);
    // Unless ids say that it is a later one.
    let mut hold = Hold::new(Some("10"));
    assert_eq!(offer_all(&mut hold, &[("13", "12"), ("11", "10")]), ["11"]);
    assert_eq!(offer_all(&mut hold, &[("x", ""), ("12", "11")]), ["x"]);
    assert_eq!(hold.wait(STREAM_PATIENCE), ["12"]);
}

#[test]
fn messages_without_a_predecessor_fit_and_the_last_of_them_comes_last() {
    let mut hold = Hold::new(Some("10"));
    assert_eq!(offer_all(&mut hold, &[("10", ""), ("11", "")]), ["11"]);
    // Older than the body: what that contains comes after it.
    let mut hold = Hold::new(Some("10"));
    assert_eq!(
        offer_all(&mut hold, &[("8", ""), ("11", "10"), ("9", ""), ("10", "")]),
        ["8", "9", "10", "11"]
    );
    let mut hold = Hold::new(Some("10"));
    let got = offer_all(
        &mut hold,
        &[("9", ""), ("10", ""), ("11", "10"), ("x", ""), ("12", "x")],
    );
    assert_eq!(got, ["9", "10", "11", "x", "12"]);
    // One without an id: what comes next fits.
    assert_eq!(
        offer_all(&mut hold, &[("", "12"), ("20", "19"), ("21", "20")]),
        ["-", "20", "21"]
    );
    let unordered = Message {
        no_seq: true,
        ..message("30", "29")
    };
    assert_eq!(hold.offer(unordered), ["30"]);
}

/// The client was sent what is older than its body: it does not stay on that.
#[test]
fn what_the_body_contains_follows_what_was_given_up_on() {
    let mut hold = Hold::new(Some("10"));
    assert!(offer_all(&mut hold, &[("8", "7")]).is_empty());
    assert_eq!(hold.wait(STREAM_PATIENCE), ["8"]);
    let rest = [("9", "8"), ("10", "9"), ("11", "10")];
    assert_eq!(offer_all(&mut hold, &rest), ["9", "10", "11"]);
    assert_eq!(hold.ids.deadline(), None);
    // Out of order, as from another node.
    let mut hold = Hold::new(Some("10"));
    let unordered = Message {
        no_seq: true,
        ..message("12", "11")
    };
    assert_eq!(hold.offer(unordered), ["12"]);
    assert_eq!(offer_all(&mut hold, &[("10", "9"), ("11", "10")]), ["10", "11"]);
    assert_eq!(hold.ids.deadline(), None);
    let last = MOST + 10;
    let mut hold = Hold::new(Some(&last.to_string()));
    let got = (1..=last).flat_map(|n| hold.offer(message(&n.to_string(), &(n - 1).to_string())));
    assert_eq!(got.last(), Some(last.to_string()));
}

/// What leads up to the body is broken off: by what was lost, or names no predecessor.
#[test]
fn d2_nothing_that_the_log_has_before_the_body_comes_after_it() {
    for (offered, got) in [
        (
            &[("5", "4"), ("7", "6"), ("9", "8"), ("10", "9"), ("11", "10")][..],
            &["11"][..],
        ),
        (&[("5", "4"), ("10", "")], &[]),
        (
            &[("5", "4"), ("6", ""), ("10", "9"), ("11", "10")],
            &["6", "10", "11"],
        ),
        (
            &[("5", "4"), ("6", ""), ("7", "6"), ("9", "8"), ("10", "")],
            &["6", "7", "9", "10"],
        ),
        (&[("6", ""), ("9", "8"), ("10", "")], &["6", "9", "10"]),
        (
            &[("5", "4"), ("6", ""), ("8", ""), ("9", "8"), ("10", "9")],
            &["6", "8", "9", "10"],
        ),
        (&[("5", "4"), ("8", ""), ("9", "8"), ("10", "9")], &[]),
        (&[("5", "4"), ("", ""), ("10", "9"), ("11", "10")], &["-", "11"]),
        (&[("5", "4"), ("6", ""), ("11", "10")], &["6", "11"]),
    ] {
        let mut hold = Hold::new(Some("10"));
        assert_eq!(offer_all(&mut hold, offered), got, "{offered:?}");
        assert!(hold.wait(STREAM_PATIENCE).is_empty(), "{offered:?}");
        assert_eq!(hold.ids.deadline(), None);
    }
}

/// X1: a replay that begins far below what the body contains stays silent, and what follows goes out.
#[test]
fn a_long_replay_before_the_body_is_forgotten_when_its_last_message_comes() {
    let mut hold = Hold::new(Some("500"));
    for n in 1..500 {
        assert!(
            hold.offer(message(&format!("{n}"), &format!("{}", n - 1)))
                .is_empty()
        );
    }
    assert!(hold.offer(message("500", "499")).is_empty());
    assert_eq!(hold.offer(message("501", "500")), ["501"]);
    assert_eq!(hold.ids.deadline(), None);
}

#[test]
fn one_too_many_of_a_gap_pushes_the_first_out() {
    let mut hold = Hold::new(Some("a"));
    for n in 0..MOST {
        assert!(hold.offer(message(&format!("{n}"), &format!("{n}-"))).is_empty());
    }
    assert_eq!(hold.offer(message("last", "last-")), ["0"]);
    assert_eq!(hold.wait(STREAM_PATIENCE).len(), MOST);
    let big = Message::bytes(vec![0; MOST_BYTES]).with_id("b").with_prev_id("?");
    assert_eq!(hold.offer(big), ["b"]);
}

/// D3: while a gap is known, its channel stops. What says nothing of the order comes after what the log has before it.
#[test]
fn d3_nothing_overtakes_what_is_withheld_unless_it_leads_up_to_that() {
    let after_five = || {
        let mut hold = Hold::new(Some("4"));
        assert_eq!(hold.offer(message("5", "4")), ["5"]);
        hold
    };
    let mut hold = after_five();
    assert!(offer_all(&mut hold, &[("7", "6"), ("x", ""), ("", "")]).is_empty());
    assert_eq!(hold.wait(STREAM_PATIENCE), ["7", "x", "-"]);
    assert_eq!(offer_all(&mut hold, &[("8", "x")]), ["8"]);
    // Its predecessor comes late.
    let mut hold = after_five();
    assert!(offer_all(&mut hold, &[("7", "6"), ("x", "")]).is_empty());
    assert_eq!(
        offer_all(&mut hold, &[("6", "5"), ("8", "x")]),
        ["6", "7", "x", "8"]
    );
    assert_eq!(hold.ids.deadline(), None);
    // One gap of two is closed.
    let mut hold = after_five();
    let rest = [("9", "8"), ("7", "6"), ("x", ""), ("6", "5")];
    assert_eq!(offer_all(&mut hold, &rest), ["6", "7"]);
    assert_eq!(hold.wait(STREAM_PATIENCE), ["9", "x"]);
    // What the body contains closes the gap.
    for bodiless in [false, true] {
        let mut hold = Hold::new(Some("10"));
        if bodiless {
            hold.ids = hold.ids.bodiless();
        }
        let early = [("11", "10"), ("9", "8"), ("x", "")];
        assert_eq!(offer_all(&mut hold, &early), ["11"]);
        let got = hold.offer(message("10", "9"));
        assert_eq!(got, if bodiless { &["9", "10", "x"][..] } else { &["x"] });
    }
    // It leads up to one of two.
    let mut hold = after_five();
    assert!(offer_all(&mut hold, &[("9", "8"), ("7", "6"), ("6", "")]).is_empty());
    assert_eq!(hold.wait(STREAM_PATIENCE), ["9", "6", "7"]);
}

#[test]
fn d2_what_is_given_up_on_goes_out_in_the_order_of_its_ids() {
    for moved_on in [false, true] {
        let mut hold = Hold::new(Some("0"));
        assert_eq!(hold.offer(message("1", "0")), ["1"]);
        assert!(offer_all(&mut hold, &[("9", "8"), ("8", "7"), ("7", "6")]).is_empty());
        if moved_on {
            assert_eq!(offer_all(&mut hold, &[("2", "1")]), ["2"]);
        }
        assert_eq!(hold.wait(STREAM_PATIENCE), ["7", "8", "9"]);
    }
    // Names that lead in a circle.
    let mut hold = Hold::new(Some("1"));
    assert!(offer_all(&mut hold, &[("9", "8"), ("8", "9")]).is_empty());
    assert_eq!(hold.wait(STREAM_PATIENCE).len(), 2);
    let mut hold = Hold::new(Some("a"));
    for n in (0..MOST).rev() {
        let message = message(&format!("{n}"), &format!("{}", n as i64 - 1));
        assert!(hold.offer(message).is_empty());
    }
    let got = hold.offer(message("last", "last-"));
    assert_eq!((got.len(), got.first().map(String::as_str)), (MOST, Some("0")));
}

/// As many as are withheld at most, in chains of every shape.
fn chains() -> Vec<(&'static str, Vec<(String, String)>)> {
    let named = |names: &dyn Fn(usize) -> (String, String)| (0..MOST).map(names).collect::<Vec<_>>();
    let half = MOST / 2;
    let one = |n: usize, prev_id: String| (format!("{n}"), prev_id);
    let chain = named(&|n| one(n, format!("{}", n as i64 - 1)));
    let mut backwards = chain.clone();
    backwards.reverse();
    let mut led = backwards.clone();
    led[MOST - 1].1 = String::new();
    // Or the last one is all that lacks.
    led[0] = ("gap".into(), "lost".into());
    let mut led_forwards = led.clone();
    led_forwards[1..MOST - 1].reverse();
    // Each waits for its place before the one that names no predecessor.
    let mut led_and_others = led[half..].to_vec();
    let last = led_and_others.pop().expect("the first of the chain");
    led_and_others.extend((half..MOST).map(|n| one(n, format!("lost{n}"))));
    led_and_others.push(last);
    // Its end comes first, and each of it leads to a second one, which comes before the next.
    let mut forks: Vec<_> = (0..half)
        .flat_map(|n| {
            let prev_id = format!("{}", n as i64 - 1);
            [one(n, prev_id.clone()), (format!("fork{n}"), prev_id)]
        })
        .collect();
    forks.rotate_right(2);
    let mut forks_backwards = forks.clone();
    forks_backwards.reverse();
    vec![
        ("gaps", named(&|n| one(n, format!("lost{n}")))),
        ("a chain", chain),
        ("a chain, backwards", backwards),
        ("a chain of which the rest comes first", led_forwards),
        ("a chain without a predecessor, backwards", led),
        ("such a chain, and others", led_and_others),
        ("forks", forks),
        ("forks, backwards", forks_backwards),
        ("one with many successors", named(&|n| one(n, "lost".into()))),
        ("a circle", named(&|n| one(n, format!("{}", (n + 1) % MOST)))),
        (
            "a circle, and what it leads to",
            named(&|n| one(n, format!("{}", (n + 1).min(MOST - 1) % half))),
        ),
        ("themselves", named(&|n| one(n, format!("{n}")))),
        ("one again and again", named(&|_| one(1, "2".into()))),
        (
            "two again and again",
            named(&|n| one(n % 2, format!("{}", (n + 1) % 2))),
        ),
        ("no ids", named(&|n| (String::new(), format!("{}", n % 7)))),
    ]
}

/// Each hold of a channel gives up at the same moment, on what one publisher sent.
#[test]
fn d3_giving_up_takes_as_many_steps_as_are_withheld() {
    for (shape, messages) in chains() {
        let mut hold = Hold::new(Some("body"));
        for (id, prev_id) in &messages {
            assert!(hold.offer(message(id, prev_id)).is_empty(), "{shape}");
        }
        let begun = hold.looks();
        assert_eq!(hold.wait(STREAM_PATIENCE).len(), MOST, "{shape}");
        let looks = hold.looks() - begun;
        assert!(looks <= 16 * MOST, "{shape}: {looks}");
    }
}

/// When one too many comes, again and again.
#[test]
fn d3_room_is_made_in_as_many_steps_as_are_withheld() {
    for (shape, messages) in chains() {
        let mut hold = Hold::new(Some("body"));
        for (id, prev_id) in &messages {
            assert!(hold.offer(message(id, prev_id)).is_empty(), "{shape}");
        }
        for n in 0..20 {
            let begun = hold.looks();
            hold.offer(message(&format!("more{n}"), &format!("lost{n}")));
            let looks = hold.looks() - begun;
            assert!(looks <= 16 * MOST, "{shape}: {looks}");
        }
    }
}

/// What lacks comes, after all that waits for it.
#[test]
fn d2_what_follows_goes_out_in_as_many_steps_as_are_withheld() {
    let mut hold = Hold::new(Some("body"));
    for n in (0..MOST).rev() {
        let prev_id = n.checked_sub(1).map_or("lacks".into(), |n| n.to_string());
        assert!(hold.offer(message(&n.to_string(), &prev_id)).is_empty());
    }
    let begun = hold.looks();
    assert_eq!(hold.offer(message("lacks", "body")).len(), MOST + 1);
    let looks = hold.looks() - begun;
    assert!(looks <= 16 * MOST, "{looks}");
}

/// Forks, circles, and one message twice: everything goes out, and after what leads up to it.
#[test]
fn d2_what_is_given_up_on_goes_out_after_what_leads_up_to_it() {
    for (messages, order) in [
        // A second successor comes before the next.
        (
            &[("c", "b"), ("b", "a"), ("a2", "r"), ("a", "r"), ("r", "?")][..],
            "r a2 a b c",
        ),
        // What names no predecessor has its place in the log; what it leads up to has not.
        (
            &[("b", "a"), ("x", "?"), ("a", ""), ("y", "?"), ("c", "b")],
            "x a b c y",
        ),
        (&[("b", "a"), ("a", "b"), ("c", "b"), ("x", "?")], "a b c x"),
        (&[("a", "a"), ("b", "a")], "a b"),
        (&[("a", "?"), ("b", "a"), ("a", "?"), ("b", "a")], "a b b a"),
    ] {
        let mut hold = Hold::new(Some("body"));
        assert!(offer_all(&mut hold, messages).is_empty());
        assert_eq!(hold.wait(STREAM_PATIENCE).join(" "), order, "{messages:?}");
        assert_eq!(hold.ids.deadline(), None);
    }
}

#[test]
fn channels_do_not_wait_for_each_other() {
    let channels = [channel(Some("1")), channel(Some("1")), channel(None)];
    let mut ids = Ids::new(&channels, STREAM_PATIENCE);
    let now = Instant::now();
    let mut offer = |index, id, prev_id| {
        let placed = Placed {
            at: Position::new(7),
            message: Arc::new(message(id, prev_id)),
        };
        ids.offer(index, placed, || now).is_some()
    };
    assert!(!offer(0, "3", "2"));
    assert!(offer(1, "2", "1"));
    assert!(offer(2, "5", "4"));
    assert_eq!(ids.last_withheld(), Some(Position::new(7)));
    let known: Vec<_> = ids.known().map(|(index, id)| (index, &**id)).collect();
    assert_eq!(known, [(0, "1"), (1, "2")]);
}

proptest! {
    /// Whatever the order of the log: what the body contains never comes, the rest comes once and in order.
    #[test]
    fn d2_each_once_and_in_order(
        order in (1u32..40).prop_flat_map(|n| Just((1..=n).collect::<Vec<_>>()).prop_shuffle()),
        contained in 0u32..40,
    ) {
        let last = order.len() as u32;
        let contained = contained.min(last);
        let mut hold = Hold::new(Some(&contained.to_string()));
        let mut got = Vec::new();
        for n in order {
            got.extend(hold.offer(message(&n.to_string(), &(n - 1).to_string())));
        }
        let expected: Vec<String> = (contained + 1..=last).map(|n| n.to_string()).collect();
        prop_assert_eq!(got, expected);
        prop_assert_eq!(hold.ids.deadline(), None);
    }

    /// In the order of the log, whether or not messages say what they follow: no client stays on an older one.
    #[test]
    fn d2_the_last_of_the_log_is_what_a_client_has_last(
        chained in any::<bool>(),
        pauses in prop::collection::vec(0u64..7, 1..30),
        contained in 0usize..30,
    ) {
        let contained = contained.min(pauses.len());
        let mut hold = Hold::new(Some(&contained.to_string()));
        let mut got = vec![contained];
        for (n, pause) in pauses.iter().enumerate() {
            let prev_id = if chained { n.to_string() } else { String::new() };
            let mut out = hold.wait(Duration::from_secs(*pause));
            out.extend(hold.offer(message(&(n + 1).to_string(), &prev_id)));
            got.extend(out.iter().map(|id| id.parse::<usize>().expect("a number")));
        }
        got.extend(hold.wait(STREAM_PATIENCE).iter().map(|id| id.parse::<usize>().expect("a number")));
        prop_assert_eq!(got.last(), Some(&pauses.len()), "{:?}", got);
        prop_assert!(got[1..].is_sorted(), "{:?}", got);
        prop_assert!((contained + 1..=pauses.len()).all(|n| got.contains(&n)), "{:?}", got);
    }

    /// Whatever is missing, and whether or not messages say what they follow: the order of the log stays, also
    /// where the log begins below the body.
    #[test]
    fn d3_what_is_missing_changes_no_order(
        contained in 0u32..20,
        items in prop::collection::vec((0u8..4, 0u64..4, prop::bool::weighted(0.7)), 1..40),
    ) {
        let mut hold = Hold::new(Some(&contained.to_string()));
        let (mut got, mut sent) = (Vec::new(), Vec::new());
        let mut came = false;
        for (n, (lost, pause, chained)) in (1u32..).zip(items) {
            let out = hold.wait(Duration::from_secs(pause));
            got.extend(out);
            if lost > 0 {
                let prev_id = if chained { (n - 1).to_string() } else { String::new() };
                sent.push(n);
                came |= n >= contained && chained || n == contained;
                got.extend(hold.offer(message(&n.to_string(), &prev_id)));
            }
        }
        got.extend(hold.wait(STREAM_PATIENCE));
        let got: Vec<u32> = got.iter().map(|id| id.parse().expect("a number")).collect();
        prop_assert!(got.is_sorted(), "{:?} of {:?}", got, sent);
        let news = |n: &&u32| **n > contained;
        prop_assert!(got.iter().filter(news).eq(sent.iter().filter(news)), "{:?} of {:?}", got, sent);
        // Who was sent what is older than the body does not stay on that.
        let last = sent.last().copied().filter(|last| *last >= contained);
        if came && got.iter().any(|n| *n < contained) {
            prop_assert_eq!(got.last().copied(), last);
        }
        prop_assert_eq!(hold.ids.deadline(), None);
    }

    /// Whatever is missing: everything that came goes out, once, at most five seconds late.
    #[test]
    fn d2_nothing_is_kept(
        items in prop::collection::vec((0u32..30, 0u64..3), 1..60),
    ) {
        let mut hold = Hold::new(Some("1000"));
        let mut seen = std::collections::BTreeSet::new();
        let mut got = Vec::new();
        for (n, pause) in items {
            got.extend(hold.wait(Duration::from_secs(pause)));
            if seen.insert(n.to_string()) {
                got.extend(hold.offer(message(&n.to_string(), &(n + 1).to_string())));
            }
            prop_assert!(hold.ids.deadline().is_none_or(|deadline| deadline <= hold.now + STREAM_PATIENCE));
        }
        got.extend(hold.wait(STREAM_PATIENCE));
        got.sort();
        let mut expected: Vec<_> = seen.into_iter().collect();
        expected.sort();
        prop_assert_eq!(got, expected);
    }
}

/// Large ones after many small ones.
#[test]
fn d4_what_is_withheld_stays_within_its_bytes() {
    let mut hold = Hold::new(Some("a"));
    for n in 0..MOST / 2 {
        hold.offer(message(&format!("{n}"), &format!("lost{n}")));
    }
    for n in 0..20 {
        let large = Message::bytes(vec![0; MOST_BYTES / 2]);
        let large = large
            .with_id(format!("large{n}"))
            .with_prev_id(format!("gone{n}"));
        hold.offer(large);
        let bytes = hold.ids.channels[0].withheld.bytes();
        assert!(bytes <= MOST_BYTES, "{n}: {bytes}");
    }
}

/// What was made room for is given back: there are many holds, and few gaps.
#[test]
fn a_gap_that_is_over_leaves_no_memory_behind() {
    let mut hold = Hold::new(Some("a"));
    for n in 0..MOST {
        hold.offer(message(&format!("{n}"), &format!("lost{n}")));
    }
    assert_eq!(hold.wait(STREAM_PATIENCE).len(), MOST);
    assert!(hold.ids.channels[0].ready.capacity() <= 64);
}
