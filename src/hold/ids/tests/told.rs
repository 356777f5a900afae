//! What the ids in hand tell.

use super::super::*;
use super::*;

/// Two follow what the body names: neither is in the body, whichever goes out first.
#[test]
fn d2_what_follows_the_body_is_news_although_another_that_does_goes_out_before_it() {
    for (script, got) in [
        ("9() x(d) c(10) d(10)", "9 d x c"),
        ("9() c(10) d(10)!", "9 d c"),
        ("30(29)! c(10) d(10)!", "30 d c"),
    ] {
        assert_eq!(play("10", script), got, "{script}");
    }
}

/// What follows news is news, also if the log has that behind what follows the body: 21, 22, 23.
#[test]
fn d2_what_follows_what_comes_after_the_body_goes_out_before_its_own_successor() {
    let script = "9() 12(11) 22(21) 11(10) 23(22) 21(20)";
    assert_eq!(play("10", script), "9 11 12 21 22 23");
}

/// Its client was sent 9, which says that 8 came before it; and 10 says that the body has it.
#[test]
fn d2_what_leads_up_to_the_body_by_what_was_sent_is_skipped() {
    for (script, got) in [
        ("9(8)! 11(10)! 10(9) 8(7)", "9 11"),
        ("9(8)! 12() 10(9) 8(7)", "9 12 10"),
        ("9(8) . 11(10) . 10(9) 8(7)", "9 11"),
    ] {
        assert_eq!(play("10", script), got, "{script}");
    }
}

/// 14, 13, 12, 11: what was sent of them says so, too.
#[test]
fn d2_what_follows_the_body_by_what_was_sent_is_not_lost() {
    for (script, got) in [
        ("13(12)! 12(11)! 14(13) 11(10) 10(9)", "13 12 10 11 14"),
        ("12(11)! 20() 13(12) 10(9) 11(10)", "12 20 10 11 13"),
        ("12(11)! 30(29)! 13(12) 11(10)", "12 30 11 13"),
    ] {
        assert_eq!(play("10", script), got, "{script}");
    }
}

/// It need not wait for its predecessor, which has gone out before what all others waited for.
#[test]
fn d2_what_follows_what_went_out_on_the_way_follows_it() {
    let mut hold = Hold::new(Some("4"));
    let got = offer_all(&mut hold, &[("9", "8"), ("x", ""), ("y", "x"), ("8", "")]);
    assert_eq!(got.len(), 4, "{got:?}");
    assert_eq!(hold.ids.deadline(), None);
}

/// What is given up on takes nothing along that waits for something else, and has only come.
#[test]
fn d2_what_has_not_waited_for_five_seconds_is_not_given_up_on() {
    let mut hold = Hold::new(Some("10"));
    assert!(hold.offer(message("7", "6")).is_empty());
    assert!(hold.wait(STREAM_PATIENCE - Duration::from_millis(1)).is_empty());
    assert!(hold.offer(message("12", "11")).is_empty());
    let mut got = hold.wait(Duration::from_millis(1));
    got.extend(hold.offer(message("11", "10")));
    got.extend(hold.wait(STREAM_PATIENCE));
    assert_eq!(got, ["7", "11", "12"]);
}

/// What is old makes room, wherever it is, before anything is given up on.
#[test]
fn d2_what_is_old_makes_room_for_what_is_news() {
    let mut hold = Hold::new(Some("10"));
    assert!(hold.offer(message("13", "12")).is_empty());
    for n in 0..MOST - 2 {
        let (id, prev_id) = (format!("old{n}"), format!("lost{n}"));
        assert!(hold.offer(message(&id, &prev_id)).is_empty());
    }
    let rest = [("10", "9"), ("12", "11"), ("14", "13"), ("11", "10")];
    let mut got = offer_all(&mut hold, &rest);
    got.extend(hold.wait(STREAM_PATIENCE));
    assert_eq!(got, ["11", "12", "13", "14"]);
}

/// A large one, when many are led and many others wait.
#[test]
fn d4_room_for_a_large_one_is_made_in_as_many_steps_as_are_withheld() {
    let mut hold = Hold::new(Some("body"));
    let half = MOST / 2;
    for n in (1..half).rev() {
        assert!(
            hold.offer(message(&n.to_string(), &(n - 1).to_string()))
                .is_empty()
        );
    }
    for n in 0..half - 1 {
        let (id, prev_id) = (format!("x{n}"), format!("lost{n}"));
        assert!(hold.offer(message(&id, &prev_id)).is_empty());
    }
    assert!(hold.offer(message("0", "")).is_empty());
    let large = Message::bytes(vec![0; MOST_BYTES - 100]);
    let large = large.with_id("large").with_prev_id("gone");
    let begun = hold.looks();
    let got = hold.offer(large).len();
    let looks = hold.looks() - begun;
    assert!(looks <= 16 * MOST, "{looks} for {got}");
}

/// What the body names has no form for streams: who was sent what may be older gets what leads up to it, not only that.
#[test]
fn d2_who_cannot_be_sent_what_the_body_names_gets_what_leads_up_to_it() {
    let mut hold = Hold::new(Some("13"));
    let rest = [
        ("1", "0"),
        ("2", ""),
        ("3", "2"),
        ("10", ""),
        ("11", "10"),
        ("12", "11"),
    ];
    assert!(offer_all(&mut hold, &rest).is_empty());
    let body = Message {
        stream: None,
        ..message("13", "12")
    };
    assert_eq!(hold.offer(body), ["2", "3", "10", "11", "12", "13"]);
    assert_eq!(offer_all(&mut hold, &[("14", "13")]), ["14"]);
    assert!(hold.wait(STREAM_PATIENCE).is_empty());
}
