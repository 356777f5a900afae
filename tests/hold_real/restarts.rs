//! A counter in memory that begins again at 1, `1(0) 2(1) ...`, while clients are held who have the first run.

use std::time::Duration;

use gripstack::Edge;
use tokio::time::sleep;

use crate::hold_support::*;

async fn say(edge: &Edge, run: &str, n: u32) {
    publish(
        edge,
        with_ids(&format!("{run}{n}"), &n.to_string(), &(n - 1).to_string()),
    )
    .await;
}

async fn held_across(first: u32, second: u32, pause: u64) -> Vec<String> {
    let edge = Edge::new();
    let origin = Origin::fixed(
        200,
        &[("grip-hold", "stream"), ("grip-channel", "t; prev-id=0")],
        "",
    );
    let mut held = origin.get(&edge).await.into_body();
    for n in 1..=first {
        say(&edge, "a", n).await;
    }
    assert_eq!(ready(&mut held).len(), first as usize);
    sleep(Duration::from_secs(300)).await;
    let mut got = Vec::new();
    for n in 1..=second {
        say(&edge, "b", n).await;
        got.extend(ready(&mut held));
        sleep(Duration::from_millis(pause)).await;
        got.extend(ready(&mut held));
    }
    for _ in 0..30 {
        sleep(Duration::from_secs(1)).await;
        got.extend(ready(&mut held));
    }
    got
}

/// Whatever the pace, whoever is held gets the second run, in order (the promise; D2: what does not fit is withheld, and delivered).
#[tokio::test(start_paused = true)]
async fn d2_a_second_run_reaches_who_has_the_first_one() {
    let mut wrong = Vec::new();
    for first in 1..5 {
        for second in 1..7 {
            for pause in [0, 1_000, 3_000, 6_000] {
                let got = held_across(first, second, pause).await;
                let want: Vec<_> = (1..=second).map(|n| format!("b{n}")).collect();
                if got != want {
                    wrong.push(format!("{first} then {second}, {pause} ms apart: {got:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
