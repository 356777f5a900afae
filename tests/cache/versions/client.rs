//! A client, and what it may have.

use http::Method;
use tokio::time::Instant;

use super::app::{LIFETIME, Manners, State, URLS};
use super::dice::Dice;
use super::made::{Made, Validates};
use crate::world::{Ask, Got, ask, secs};

/// What a client asked, and what held when it did.
#[derive(Clone, Debug)]
pub struct Asked {
    pub url: usize,
    pub method: Method,
    pub v: Option<String>,
    pub w: Option<String>,
    pub user: u64,
    /// What it has, and says so.
    pub held: Vec<(Made, String)>,
    pub by_hold: bool,
    pub authorized: bool,
    pub ranged: bool,
    pub arrival: Instant,
    pub floor: u64,
    pub hard: u64,
    pub expects_good: bool,
}

// === impl Asked ===

impl Asked {
    /// Any request, and what holds for it.
    pub fn any(dice: &Dice, manners: &Manners, state: &mut State) -> (Ask, Self) {
        state.users += 1;
        let url = dice.roll(2) as usize;
        let method = if dice.one_in(6) { Method::HEAD } else { Method::GET };
        let mut request = ask(method.clone(), URLS[url]).header("x-user", &state.users.to_string());
        let field = |dice: &Dice| dice.of(&[None, None, Some("1"), Some("2")]).map(str::to_owned);
        let (v, w) = (field(dice), field(dice));
        for (name, value) in [("x-v", &v), ("x-w", &w)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let mut held: Vec<(Made, String)> = Vec::new();
        let is_its = |made: &Made| {
            let is_for = |depends: &Option<String>, sent: &Option<String>| {
                depends
                    .as_ref()
                    .is_none_or(|value| *value == sent.clone().unwrap_or("-".into()))
            };
            made.url == url && is_for(&made.v, &v) && is_for(&made.w, &w)
        };
        let its: Vec<(Made, String)> = state
            .tags
            .iter()
            .filter(|(made, _)| is_its(made))
            .cloned()
            .collect();
        if dice.one_in(3) && !its.is_empty() {
            held.push(its[its.len() - 1 - dice.roll(its.len().min(3) as u64) as usize].clone());
            let several = !matches!(manners.validates, Validates::ByDate) && dice.one_in(3);
            if several {
                held.push(dice.of(&its).clone());
            }
            let text: Vec<&str> = held.iter().map(|(_, text)| &**text).collect();
            request = match manners.validates {
                Validates::ByDate => request.header("if-modified-since", text[0]),
                _ => request.header("if-none-match", &text.join(", ")),
            };
        }
        let ranged = held.is_empty() && dice.one_in(6);
        if ranged {
            let first = dice.roll(20);
            request = request.header("range", &format!("bytes={first}-{}", first + dice.roll(30)));
            if dice.one_in(2)
                && let Some((_, validator)) = state.tags.last()
            {
                request = request.header("if-range", validator);
            }
        }
        let authorized = dice.one_in(8);
        if authorized {
            request = request.header("authorization", "Basic x");
        }
        let by_hold = dice.one_in(4);
        if by_hold {
            request = request.by_hold();
        }
        let only_if_cached = dice.one_in(20);
        if only_if_cached {
            request = request.header("cache-control", "only-if-cached");
        }
        let of = &state.urls[url];
        let good = (url, v.clone().unwrap_or_default(), by_hold);
        let asked = Asked {
            url,
            method,
            user: state.users,
            held,
            by_hold,
            authorized,
            ranged,
            arrival: Instant::now(),
            floor: of.floor,
            hard: of.hard,
            expects_good: manners.keeps_good
                && manners.varies.len() == 1
                && !authorized
                && !only_if_cached
                && !ranged
                && state.good.contains(&good),
            v,
            w,
        };
        (request, asked)
    }
}

/// Whether it may have what it got.
pub fn check(asked: &Asked, got: &Got, state: &mut State, manners: &Manners) {
    let status = got.status.as_u16();
    let cache_status = got.headers.get_all("cache-status").iter().next_back();
    let cache_status = cache_status
        .map_or("", |status| status.to_str().expect("ascii"))
        .to_owned();
    if status >= 500 {
        assert!(!asked.expects_good, "it had a good copy");
        return;
    }
    if got.body == "error" {
        panic!("an error with {status}");
    }
    let made = got
        .headers
        .get("x-made")
        .map(|made| Made::read(made.to_str().expect("ascii")));
    let shown = match manners.validates {
        Validates::ByDate => got.headers.get("last-modified"),
        _ => got.headers.get("etag"),
    };
    let shown = shown.map(|shown| shown.to_str().expect("ascii").to_owned());
    let made = match status {
        304 => {
            if cache_status.contains("stored=?0") {
                // The origin's own word.
                return;
            }
            // Of a date it confirms all later ones.
            let confirms = |held: &String| {
                manners.validates == Validates::ByDate || shown.as_ref().is_none_or(|shown| shown == held)
            };
            let held = asked.held.iter().find(|(_, held)| confirms(held));
            let (made, _) = held.expect("it has not what this confirms");
            if manners.validates == Validates::BySharedTag {
                return;
            }
            made.clone()
        }
        _ => made.expect("it says what it is"),
    };
    if let Some(shown) = &shown
        && status != 304
    {
        assert_eq!(
            *shown,
            made.validator(manners.validates, state),
            "a validator of another one"
        );
    }
    assert_eq!(made.url, asked.url);
    // The body is that, and all of that.
    let body = made.body();
    match status {
        200 if asked.method == Method::HEAD => {
            if let Some(length) = got.headers.get("content-length") {
                assert_eq!(length.to_str().expect("ascii"), body.len().to_string());
            }
        }
        200 if got.broken => assert!(body.starts_with(&got.body), "{:?}", got.body),
        200 => assert_eq!(got.body, body),
        206 => {
            assert!(asked.ranged, "nobody asked for a part");
            let range = got.field("content-range").strip_prefix("bytes ").expect("bytes");
            let (range, length) = range.split_once('/').expect("a length");
            let (first, last) = range.split_once('-').expect("two ends");
            assert_eq!(length, body.len().to_string());
            let (first, last): (usize, usize) =
                (first.parse().expect("a number"), last.parse().expect("a number"));
            assert_eq!(got.body, body[first..=last]);
        }
        304 => {}
        416 => return,
        _ => panic!("{status}"),
    }
    // It is for this client.
    let is_for = |depends: &Option<String>, sent: &Option<String>| {
        depends
            .as_ref()
            .is_none_or(|value| *value == sent.clone().unwrap_or("-".into()))
    };
    assert!(
        is_for(&made.v, &asked.v) && is_for(&made.w, &asked.w),
        "another variant"
    );
    assert!(made.user == 0 || made.user == asked.user, "another client's");
    // It is young enough.
    assert!(made.version >= asked.hard, "it is gone");
    let is_marked = ["swr", "outage", "paced", "paced-timeout", "foreign-age"]
        .iter()
        .any(|detail| cache_status.ends_with(&format!("detail={detail}")));
    if !is_marked {
        // What a stream begins with may be older: it replays.
        let is_held = got.handoff.is_some() || got.headers.contains_key("grip-hold");
        if !(asked.by_hold && is_held) {
            assert!(made.version >= asked.floor, "it is old, and not marked");
        }
        let until = state.urls[asked.url].superseded.get(&made.version);
        if let Some(until) = until
            && manners.validates != Validates::BySharedTag
        {
            let age = asked.arrival.saturating_duration_since(*until);
            let slack = if manners.is_foreign { secs(6) } else { secs(0) };
            assert!(age <= secs(LIFETIME) + slack, "it has ended, and is not marked");
        }
    }
    if let Some(handoff) = &got.handoff
        && !is_marked
    {
        for (position, version) in &state.urls[asked.url].messages {
            assert!(
                made.version >= *version || *position > handoff.stamp.replay.get(),
                "a message is neither in it nor replayed"
            );
        }
    }
    if status == 200 && !got.broken && made.user == 0 {
        if asked.method == Method::GET && manners.keeps_good && !asked.authorized {
            state
                .good
                .insert((asked.url, asked.v.clone().unwrap_or_default(), asked.by_hold));
        }
        if let Some(shown) = shown {
            state.tags.push((made, shown));
        }
    }
}
