//! What the body contains.

use super::super::*;
use super::*;

#[test]
fn what_a_body_contains_that_is_not_sent_goes_out_in_order_and_once() {
    for (offered, got) in [
        (&[("4", "3")][..], &["4"][..]),
        (&[("2", "1"), ("3", "2"), ("4", "3")], &["2", "3", "4"]),
        (&[("3", "2"), ("2", "1"), ("4", "3")], &["2", "3", "4"]),
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
        hold.ids = hold.ids.bodiless(|_| None);
        assert_eq!(offer_all(&mut hold, offered), got, "{offered:?}");
    }
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
    // Unless ids say that it is a later one, if only in the end.
    let mut hold = Hold::new(Some("10"));
    assert_eq!(offer_all(&mut hold, &[("13", "12"), ("11", "10")]), ["11"]);
    assert_eq!(
        offer_all(&mut hold, &[("x", ""), ("12", "11")]),
        ["x", "12", "13"]
    );
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
            &["6", "7", "10"],
        ),
        (&[("6", ""), ("9", "8"), ("10", "")], &["6", "10"]),
        (
            &[("5", "4"), ("6", ""), ("8", ""), ("9", "8"), ("10", "9")],
            &["6", "10"],
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

/// What leads up to what the body names comes after that was sent: it is older.
#[test]
fn d2_what_the_body_contains_is_sent_once_more_and_nothing_that_leads_up_to_it() {
    for (script, got) in [
        ("8() 10(9) 11(10) 9(8) 12(11)", "8 10 11 12"),
        ("8(7) . 10(9) 11(10) 9(8) 12(11)", "8 10 11 12"),
        ("8(7) . 9(8) 10(9) 11(10) 7(6) 12(11)", "8 9 10 11 12"),
        // What follows it says the same.
        ("7(6) . 11(10) . 10(9) 12(11)", "7 11 12"),
        ("11(10)! 10(9) 12(11)", "11 12"),
        ("9(8)! 11(10)! 10(9) 12(11)", "9 11 12"),
        // The client was sent what leads up to it, and not for the first time.
        ("11(10) 9() 10(9)", "11 9 10"),
        // A state and back: each id comes again.
        ("11(10) 10(11) 11(10)", "11 10 11"),
    ] {
        assert_eq!(play("10", script), got, "{script}");
    }
}

/// Whatever goes out, and whatever has no ids: what the body contains stays in it.
#[test]
fn d2_nothing_old_goes_out_with_what_is_given_up_on() {
    for (script, got) in [
        ("5(4) 11(10) -(11) 12()", "11 - 12"),
        ("5(4) 11(10) -(11) 12(x)", "11 - 12"),
        ("5(4) 11(10) 13(12)", "11 13"),
        // News, and it came before what is old.
        ("12(11) c(11) 5(4) 11(10)", "11 12 c"),
        ("5(4) 8() 13(12) 11(10)", "8 11"),
        ("8() 13(12) 11(10) 12(11)", "8 11 12 13"),
    ] {
        assert_eq!(play("10", script), got, "{script}");
    }
}

/// The log has it before what follows the body; later it is known to follow that, too.
#[test]
fn d2_what_follows_news_is_news_wherever_the_log_has_it() {
    for (script, got) in [
        ("13(12) 11(10) x() 12(11)", "11 x 12 13"),
        ("14(13) 13(12) 11(10) x() 12(11)", "11 x 12 13 14"),
        ("13(12) c(12) 11(10) 12(11)", "11 12 13 c"),
        ("13(12) 11(10) 12()", "11 12 13"),
        ("13(12) 11(10) 12(x)", "11 12 13"),
    ] {
        assert_eq!(play("10", script), got, "{script}");
    }
    assert_eq!(play("3", "5(4) 3(2) 6() 4(3)"), "6 4 5");
}

/// What is old waits for nothing, so what is given up on beside it is the first.
#[test]
fn d3_what_follows_what_was_given_up_on_does_not_wait() {
    let mut hold = Hold::new(Some("10"));
    assert_eq!(
        offer_all(&mut hold, &[("5", "4"), ("11", "10"), ("13", "12")]),
        ["11"]
    );
    assert_eq!(hold.wait(STREAM_PATIENCE), ["13"]);
    assert_eq!(offer_all(&mut hold, &[("14", "13")]), ["14"]);
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
