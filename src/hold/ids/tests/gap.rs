//! What is missing.

use super::super::*;
use super::*;

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
            hold.ids = hold.ids.bodiless(|_| None);
        }
        let early = [("11", "10"), ("9", "8"), ("x", "")];
        assert_eq!(offer_all(&mut hold, &early), ["11"]);
        let got = hold.offer(message("10", "9"));
        assert_eq!(got, if bodiless { &["9", "x", "10"][..] } else { &["x"] });
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
        // Of one id are the forms of one message.
        (&[("a", "?"), ("b", "a"), ("a", "?"), ("b", "a")], "a a b b"),
    ] {
        let mut hold = Hold::new(Some("body"));
        assert!(offer_all(&mut hold, messages).is_empty());
        assert_eq!(hold.wait(STREAM_PATIENCE).join(" "), order, "{messages:?}");
        assert_eq!(hold.ids.deadline(), None);
    }
}
