//! States that come back, publishers that race, and messages in another form.

use super::*;

/// What a hold gives out, as [`play`] does; what is `~` is not for streams.
fn play_forms(body: &str, script: &str) -> String {
    let mut hold = Hold::new(Some(body));
    let mut got = Vec::new();
    for word in script.split(' ') {
        let ids = word.trim_end_matches([')', '!']);
        let (id, prev_id) = ids.split_once('(').expect("a message");
        let mut message = message(id.trim_end_matches('~'), prev_id);
        message.no_seq = word.ends_with('!');
        if id.ends_with('~') {
            message.stream = None;
        }
        got.extend(hold.offer(message));
    }
    got.extend(hold.wait(STREAM_PATIENCE));
    got.join(" ")
}

/// The id of a state is its hash. What led up to the body long ago is news when it comes after what followed that.
#[test]
fn d2_a_state_that_comes_back_after_the_body_is_news() {
    for (script, got) in [
        ("10(9) 11(10) 9()", "11 9"),
        ("10(9)! 11(10)! 9(12)!", "11 9"),
        ("10(9)! 11(10)! 9()!", "11 9"),
        ("10(9)! 11(10)! 12(11)! 9(13)! 13(9)!", "11 12 9 13"),
    ] {
        assert_eq!(play("10", script), got, "{script}");
    }
}

/// Two publishers read the same last id. The second message lacks nothing: its place is that in the log.
#[test]
fn d1_what_follows_what_was_delivered_before_waits_for_nothing() {
    for (script, got) in [
        ("a(10) b(10) c(a)", "a b c"),
        ("10(9) a(10) b(10) c(a) d(c)", "a b c d"),
        ("11(10) a(11) b(11) c(a) . d(c)", "11 a b c d"),
    ] {
        assert_eq!(play("10", script), got, "{script}");
    }
}

/// What went out with what names no predecessor, before what the body names, is older than that.
#[test]
fn d2_who_was_sent_what_follows_what_names_none_gets_what_the_body_contains() {
    assert_eq!(play_forms("10", "7(6) 8~() 9(8) 10()"), "8 9 10");
}

/// Unordered, as paced states are, and from two publishers. Nothing newer was sent than 8.
#[test]
fn d2_what_was_not_sent_does_not_stand_for_what_the_body_contains() {
    assert_eq!(play_forms("10", "8(7)! 11~(10)! 10(9)!"), "8 11 10");
}

/// What names no predecessor comes after what the log has before it, and before what the log has after it.
#[test]
fn d3_what_names_no_predecessor_keeps_its_place_in_the_log() {
    for (script, got) in [
        ("12(11) -() 13(12)", "12 - 13"),
        ("12(11) x() 13(12)", "12 x 13"),
        ("10(9) 12(11) -() 13(12) 11(10)", "11 12 - 13"),
        ("10(9) 12(11) x() 13(12) 14(13) 11(10)", "11 12 x 13 14"),
    ] {
        assert_eq!(play("10", script), got, "{script}");
    }
}
