//! The application: what it answers, and what it remembers of what it has announced.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use http::Method;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::dice::Dice;
use super::made::{Made, Validates, date};
use crate::origin::{Call, Refused, Reply, Step};
use crate::world::{ms, secs};

/// Its URLs.
pub const URLS: [&str; 2] = ["/a", "/b"];
/// For how many seconds what has a lifetime is fresh.
pub const LIFETIME: u64 = 20;

/// How this world is.
#[derive(Clone, Debug)]
pub struct Manners {
    pub varies: &'static [&'static str],
    pub policies: &'static [&'static str],
    /// One in so many fails.
    pub fails: u64,
    /// A copy that is good once stays available.
    pub keeps_good: bool,
    pub has_channels: bool,
    pub validates: Validates,
    /// A foreign cache stands between.
    pub is_foreign: bool,
}

// === impl Manners ===

impl Manners {
    /// Any.
    pub fn of(dice: &Dice) -> Self {
        let is_foreign = dice.one_in(6);
        let keeps_good = !is_foreign && dice.one_in(3);
        let good: &[&str] = &[
            "max-age=20",
            "s-maxage=20",
            "public, max-age=20",
            "max-age=20, stale-while-revalidate=10",
        ];
        let mixed: &[&str] = &[
            "max-age=20",
            "max-age=20",
            "s-maxage=20",
            "public, max-age=20",
            "max-age=20, stale-while-revalidate=10",
            "private",
            "no-store",
            "cookie",
            "",
            "public, no-cache",
            "max-age=0, public",
            "max-age=20, must-revalidate",
        ];
        Self {
            varies: match (keeps_good, dice.roll(4)) {
                (_, 0) => &[""],
                _ if is_foreign => &[""],
                (_, 1) => &["x-v"],
                (true, _) => &["x-v", "x-v", ""],
                (_, 2) => &["", "x-v", "x-w", "x-v, x-w"],
                (_, _) => &["x-v", "x-v, x-w"],
            },
            policies: if is_foreign {
                &good[..1]
            } else if keeps_good {
                good
            } else if dice.one_in(2) {
                mixed
            } else {
                &good[..dice.roll(4) as usize + 1]
            },
            fails: *dice.of(&[3, 6, 20, 1_000]),
            keeps_good,
            has_channels: dice.one_in(2),
            validates: match dice.roll(6) {
                0 => Validates::Not,
                1 | 2 => Validates::ByTag,
                3 => Validates::ByWeakTag,
                4 => Validates::BySharedTag,
                // How long a foreign cache waited for an answer it does not say.
                _ if is_foreign => Validates::Not,
                _ => Validates::ByDate,
            },
            is_foreign,
        }
    }
}

/// What a foreign cache keeps of a URL.
pub struct Foreign {
    pub version: u64,
    pub since: Instant,
}

#[derive(Default)]
pub struct Known {
    pub foreign: Option<Foreign>,
    /// When each version began.
    pub began: BTreeMap<u64, Instant>,
    pub version: u64,
    /// When each version was superseded.
    pub superseded: BTreeMap<u64, Instant>,
    /// No older one is for who comes later, unless it is marked.
    pub floor: u64,
    /// Not even so.
    pub hard: u64,
    /// Positions of messages, and the version that each announced.
    pub messages: Vec<(u64, u64)>,
}

#[derive(Default)]
pub struct State {
    pub urls: [Known; 2],
    pub tags: Vec<(Made, String)>,
    pub good: HashSet<(usize, String, bool)>,
    pub users: u64,
}

pub type Shared = Arc<Mutex<State>>;

// === impl State ===

impl State {
    /// Whoever comes from now on gets nothing older than this version: `is_hard`: not even marked.
    pub fn announced(&mut self, url: usize, version: u64, is_hard: bool) {
        let url = &mut self.urls[url];
        url.floor = url.floor.max(version);
        if is_hard {
            url.hard = url.hard.max(version);
        }
    }

    pub fn change(&mut self, url: usize) -> u64 {
        let (url, now) = (&mut self.urls[url], Instant::now());
        url.superseded.insert(url.version, now);
        url.version += 1;
        url.began.insert(url.version, now);
        url.version
    }
}

pub fn reply(call: &Call, dice: &Dice, state: &Shared, manners: &Manners) -> Reply {
    let url = URLS
        .iter()
        .position(|url| *url == call.uri.path())
        .expect("known");
    if call.method == Method::POST {
        let mut state = state.lock();
        let version = state.change(url);
        return Reply::ok(version.to_string()).after(ms(dice.roll(300)));
    }
    let after = ms(*dice.of(&[0, 0, 10, 200, 1_500, 4_000]));
    if dice.one_in(manners.fails) {
        let vary = *dice.of(&["", "x-v", "x-z", "accept-encoding"]);
        let error = match dice.roll(7) {
            0 => return Reply::fail(Refused("slow")).after(secs(40)),
            1 => return Reply::fail(Refused("down")).after(after),
            2 => Reply::ok("error").code(503),
            3 => Reply::ok("error").code(503).cc("no-store"),
            4 => Reply::ok("error").code(500).cc("max-age=5"),
            5 => Reply::ok("error").code(502).header("set-cookie", "a=b"),
            _ => Reply::ok("error").code(504).cc("private"),
        };
        return match vary {
            "" => error,
            vary => error.header("vary", vary),
        }
        .after(after);
    }
    let vary = *dice.of(manners.varies);
    let policy = *dice.of(manners.policies);
    let has_authorization = call.header("authorization").is_some();
    let is_public =
        policy.contains("public") || policy.contains("s-maxage") || policy.contains("must-revalidate");
    let is_private = policy.contains("private")
        || policy.contains("no-store")
        || policy.contains("cookie")
        || policy.is_empty()
        || has_authorization && !is_public;
    let depends = |name: &str| {
        vary.contains(name)
            .then(|| call.header(name).unwrap_or("-").to_owned())
    };
    let (mut version, mut after, mut age) = (state.lock().urls[url].version, after, None);
    if manners.is_foreign {
        let foreign = &mut state.lock().urls[url].foreign;
        let now = Instant::now();
        if foreign
            .as_ref()
            .is_none_or(|foreign| now.saturating_duration_since(foreign.since) > secs(LIFETIME))
        {
            *foreign = Some(Foreign {
                version,
                since: now + after,
            });
        }
        let foreign = foreign.as_ref().expect("it was made");
        version = foreign.version;
        after = foreign.since.saturating_duration_since(now);
        age = Some((now + after).saturating_duration_since(foreign.since).as_secs());
    }
    let made = Made {
        url,
        version,
        v: depends("x-v"),
        w: depends("x-w"),
        user: match is_private {
            true => call
                .header("x-user")
                .map_or(9_999_999, |user| user.parse().expect("a number")),
            false => 0,
        },
    };
    let validator = made.validator(manners.validates, &state.lock());
    let sent = date(Instant::now() + after);
    let dress = |mut reply: Reply| {
        if let Some(age) = age {
            reply = reply.header("age", &age.to_string());
        }
        if !policy.is_empty() && policy != "cookie" {
            reply = reply.cc(policy);
        }
        if policy == "cookie" {
            reply = reply.cc("max-age=20").header("set-cookie", "a=b");
        }
        if !vary.is_empty() {
            reply = reply.header("vary", vary);
        }
        if manners.has_channels {
            reply = match dice.roll(3) {
                0 => reply.header("surrogate-key", &format!("k{url} ch:c{url} ch:d{}", dice.roll(3))),
                1 => reply
                    .header("surrogate-key", &format!("k{url}"))
                    .header("grip-hold", "stream")
                    .header("grip-channel", &format!("c{url}")),
                _ => reply
                    .header("surrogate-key", &format!("k{url}"))
                    .header("grip-hold", "response")
                    .header("grip-channel", &format!("c{url}")),
            };
        } else {
            reply = reply.header("surrogate-key", &format!("k{url} m{}", dice.roll(3)));
        }
        reply
    };
    let with_validator = |reply: Reply| match manners.validates {
        Validates::Not => reply,
        Validates::ByDate => reply.header("last-modified", &validator),
        _ => reply.header("etag", &validator),
    };
    let named = call.header("if-none-match").unwrap_or_default();
    let is_unchanged = match manners.validates {
        Validates::Not => false,
        // As naive origins compare; of one representation only it says which that is.
        Validates::ByDate => {
            manners.varies.len() == 1 && call.header("if-modified-since") == Some(&validator)
        }
        _ => named.split(", ").any(|named| named == validator),
    };
    if is_unchanged {
        let unchanged = match named.contains(", ") || dice.one_in(2) {
            true => with_validator(Reply::not_modified()),
            false => Reply::not_modified(),
        };
        let unchanged = unchanged.header("date", &sent);
        return match age.is_some() || dice.one_in(2) {
            true => dress(unchanged),
            false => unchanged,
        }
        .after(after);
    }
    let mut steps = Vec::new();
    let pieces = made.pieces();
    let breaks = dice
        .one_in(12)
        .then(|| dice.roll(1 + pieces.len() as u64) as usize);
    for (n, piece) in pieces.iter().enumerate() {
        if breaks == Some(n) {
            steps.push(Step::Break("cut"));
            break;
        }
        steps.push(Step::data(piece.clone()));
        if dice.one_in(6) {
            steps.push(Step::Pause(ms(*dice.of(&[1, 100, 2_500]))));
        }
    }
    let mut reply = dress(Reply::stream(steps)).header("x-made", &made.text());
    reply = with_validator(reply.header("date", &sent));
    if dice.one_in(2) && breaks.is_none() {
        reply = reply.header("content-length", &made.body().len().to_string());
    }
    reply.after(after)
}
