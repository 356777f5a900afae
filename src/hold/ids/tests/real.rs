//! Publishers whose ids come back: the log gives a hold each message of one publisher, in order.

use proptest::prelude::*;

use super::super::*;
use super::*;

/// Messages in the order of the log; the text says which it is. A hold begins below the body, the last of `before`.
fn check(
    ids: &[String],
    linked: bool,
    unordered: bool,
    replayed: usize,
    body: usize,
    pauses: &[u64],
) -> Result<(), TestCaseError> {
    let mut hold = Hold::new(Some(&ids[body]));
    let mut got: Vec<usize> = Vec::new();
    let first = body + 1 - replayed.min(body + 1);
    let number = |placed: &Placed| match &placed.message.stream {
        Some(crate::message::StreamForm::Send(bytes)) => {
            String::from_utf8_lossy(bytes).parse::<usize>().expect("a number")
        }
        _ => unreachable!(),
    };
    let story = || {
        format!(
            "linked {linked} unordered {unordered} {:?} body {} at {body}, from {first}, pauses {pauses:?}",
            &ids[first..],
            ids[body]
        )
    };
    for n in first..ids.len() {
        hold.now += Duration::from_secs(pauses[n]);
        hold.ids.release_overdue(hold.now);
        got.extend(std::iter::from_fn(|| hold.ids.ready()).map(|placed| number(&placed)));
        let mut message = Message::bytes(n.to_string()).with_id(&*ids[n]);
        if linked {
            message = message.with_prev_id(n.checked_sub(1).map_or("new", |n| &*ids[n]));
        }
        message.no_seq = unordered;
        hold.count += 1;
        let placed = Placed {
            at: Position::new(hold.count),
            late: false,
            anew: false,
            nth: 0,
            form: None,
            message: Arc::new(message),
        };
        let now = hold.now;
        got.extend(hold.ids.offer(0, placed, || now).iter().map(&number));
        got.extend(std::iter::from_fn(|| hold.ids.ready()).map(|placed| number(&placed)));
    }
    hold.now += STREAM_PATIENCE;
    hold.ids.release_overdue(hold.now);
    got.extend(std::iter::from_fn(|| hold.ids.ready()).map(|placed| number(&placed)));
    let news: Vec<_> = got.iter().copied().filter(|n| *n > body).collect();
    let want: Vec<_> = (body + 1..ids.len()).collect();
    prop_assert_eq!(&news, &want, "{}", story());
    // What comes before the body may come in any order where ids recur, but the last of it is the state that the log has last.
    prop_assert!(
        got.last().is_none_or(|last| ids[*last] == ids[ids.len() - 1]),
        "{:?}: {}",
        got,
        story()
    );
    Ok(())
}

proptest! {
    /// States whose ids are their hashes.
    #[test]
    fn d2_states_that_come_back_reach_who_is_held(
        states in prop::collection::vec(0u8..4, 2..14),
        linked in any::<bool>(),
        unordered in any::<bool>(),
        replayed in 0usize..6,
        body in 0usize..8,
        pauses in prop::collection::vec(0u64..9, 14),
    ) {
        let mut states = states;
        states.dedup();
        let ids: Vec<String> = states.iter().map(|state| format!("s{state}")).collect();
        let body = body.min(ids.len() - 1);
        check(&ids, linked, unordered, replayed, body, &pauses)?;
    }

    /// A counter that begins again.
    #[test]
    fn d2_a_counter_that_begins_again_reaches_who_is_held(
        runs in prop::collection::vec(1usize..6, 2..5),
        linked in any::<bool>(),
        unordered in any::<bool>(),
        replayed in 0usize..6,
        body in 0usize..8,
        pauses in prop::collection::vec(0u64..9, 30),
    ) {
        // The same id twice in a row is the same message (rule D2).
        let mut ids: Vec<String> = runs.iter().flat_map(|run| (1..=*run).map(|n| n.to_string())).collect();
        ids.dedup();
        let body = body.min(ids.len() - 1);
        check(&ids, linked, unordered, replayed, body, &pauses)?;
    }
}
