//! What it costs.

use super::super::*;
use super::*;

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
