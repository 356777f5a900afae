//! Random logs.

use proptest::prelude::*;

use super::super::*;
use super::*;

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

    /// Whatever the order of the log, whatever is missing behind the body, and however late something comes: nothing comes
    /// twice, and nobody ends on what leads up to the body.
    #[test]
    fn d2_nobody_ends_before_the_body(
        contained in 1u32..12,
        log in prop::collection::vec((0u8..5, 0u64..9, prop::bool::weighted(0.8)), 1..14)
            .prop_flat_map(|items| {
                let order: Vec<u32> = (1..=items.len() as u32).collect();
                (Just(items), Just(order).prop_shuffle())
            }),
    ) {
        let (items, order) = log;
        let contained = contained.min(items.len() as u32);
        let mut hold = Hold::new(Some(&contained.to_string()));
        let (mut got, mut script) = (Vec::new(), Vec::new());
        let (mut is_late, mut seconds) = (false, 0);
        for n in order {
            let (lost, pause, chained) = items[n as usize - 1];
            if lost == 0 && n > contained {
                continue;
            }
            let pause = pause.saturating_sub(3);
            got.extend(hold.wait(Duration::from_secs(pause)));
            seconds += pause;
            // Of one that names no predecessor only the log says where it is.
            let chained = chained || n <= contained;
            // What comes after others were given up on cannot be told from news.
            let first = script.first().map_or(seconds, |(_, _, time)| *time);
            is_late |= n <= contained && seconds - first >= 5;
            script.push((n, chained, seconds));
            let prev_id = if chained { (n - 1).to_string() } else { String::new() };
            got.extend(hold.offer(message(&n.to_string(), &prev_id)));
        }
        got.extend(hold.wait(STREAM_PATIENCE));
        let got: Vec<u32> = got.iter().map(|id| id.parse().expect("a number")).collect();
        let told = format!("{got:?} of {script:?} with {contained}");
        let came: Vec<u32> = script.iter().map(|(n, _, _)| *n).collect();
        let body = came.iter().position(|n| *n == contained).expect("it came");
        for (place, n) in came.iter().enumerate() {
            let times = got.iter().filter(|id| *id == n).count();
            // What the log has before the body is news only if it turns out so in time.
            prop_assert!(times <= 1 && (times == 1 || *n <= contained || place < body), "{n} {times} times: {told}");
        }
        prop_assert!(is_late || got.last().is_none_or(|last| *last >= contained), "{told}");
        prop_assert_eq!(hold.ids.deadline(), None);
    }
}
