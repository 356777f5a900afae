//! An application with one value, that describes its answers in some manner.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use gripstack::EdgeBody;
use gripstack::error::BoxError;
use gripstack::time::Now;
use http::Request;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use proptest::prelude::*;
use tokio::time::Instant;
use tower::Service;

use crate::origin::{Call, Origin, Refused, Reply, Step};
use crate::world::ms;

/// Bytes of a body: the value, with zeros before it.
pub const DIGITS: usize = 12;

/// How long a fetch waits for a head.
const LONGEST: Duration = Duration::from_secs(15);

/// What it does with a request.
#[derive(Clone, Copy, Debug)]
pub struct Behaviour {
    pub head: Duration,
    pub body: Duration,
    pub outcome: Outcome,
}

#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    Answer,
    Status503,
    Private503,
    Fail,
    Break,
}

/// How it describes its answers.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub text_policy: Option<&'static str>,
    pub sse_policy: Option<&'static str>,
    pub tag: Tag,
    pub mode: &'static str,
    /// How the text names its channels.
    pub names: Names,
    /// The event stream names the text's channel, too, by a tag: it does not subscribe to it.
    pub own_tag: bool,
    pub confirms: Confirms,
    /// It says when an answer was made.
    pub is_dated: bool,
    /// A foreign cache is between, and its answers are so many seconds old.
    pub age: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tag {
    None,
    Strong,
    /// Two values share one.
    Weak,
    /// The tag is strong, but a 304 says that it is weak.
    StrongThenWeak,
    /// `Last-Modified`.
    Modified,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Names {
    Nothing,
    /// `Surrogate-Key: ch:d`.
    ByTag,
    /// `Grip-Channel: d`, without a hold.
    Unheld,
}

/// What a 304 says beside the tag.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Confirms {
    Bare,
    /// Channels, with ids, and no hold.
    Channels,
    /// All that the 200 says.
    All,
}

/// The channels that there are: of the event stream's hold, of the text, and one that answers name only later.
pub const CHANNELS: [&str; 3] = ["c", "d", "l"];
pub type Set = [bool; CHANNELS.len()];

/// What happened to its value.
pub struct App {
    pub manner: Manner,
    behaviours: Vec<Behaviour>,
    state: Mutex<State>,
}

struct State {
    /// Each value since when, the first one for ever.
    values: Vec<(u64, Instant, SystemTime)>,
    /// The answers name the third channel by now.
    late: bool,
    /// All is well from now on.
    healed: bool,
    /// What the last answer for a variant names that came whole: text, event stream.
    named: [Set; 2],
    /// Heads so far, and which the last one was whose answer came whole: text, event stream.
    heads: u64,
    whole: [u64; 2],
    /// How often all was forgotten.
    forgotten: u64,
    /// The value when an unsafe method came last.
    posted: u64,
}

/// What an answer names: that is the URL's when somebody has taken all of it, for one whose body nobody reads is dropped.
struct Naming {
    is_stream: bool,
    names: Set,
    /// A 304: to what the stored one names.
    adds: bool,
    /// Of [`State::forgotten`], when it was asked for.
    forgotten: u64,
}

/// A body, and what is to be known when it was taken whole.
struct Watched {
    body: EdgeBody,
    at_end: Option<Box<dyn FnOnce() + Send>>,
}

// === impl App ===

impl App {
    pub fn new(manner: Manner, behaviours: Vec<Behaviour>) -> Arc<Self> {
        let now = Now::read();
        Arc::new(Self {
            manner,
            behaviours,
            state: Mutex::new(State {
                values: vec![(1, now.mono, now.wall)],
                late: false,
                healed: false,
                named: Default::default(),
                heads: 0,
                whole: [0; 2],
                forgotten: 0,
                posted: 0,
            }),
        })
    }

    /// The next value.
    pub fn change(&self) -> u64 {
        let mut state = self.state.lock();
        let now = Now::read();
        let next = state.values.len() as u64 + 1;
        state.values.push((next, now.mono, now.wall));
        next
    }

    pub fn value(&self) -> u64 {
        self.state.lock().values.len() as u64
    }

    pub fn names_the_third(&self) {
        self.state.lock().late = true;
    }

    pub fn heals(&self) {
        self.state.lock().healed = true;
    }

    /// What the last answers named: text, event stream.
    pub fn named(&self) -> [Set; 2] {
        self.state.lock().named
    }

    /// Nothing that it was asked for so far is there any more.
    pub fn is_forgotten(&self) {
        let mut state = self.state.lock();
        state.named = Default::default();
        state.forgotten += 1;
    }

    pub fn origin(self: &Arc<Self>) -> Origin {
        let app = self.clone();
        Origin::new(move |call: &Call| {
            let (reply, naming) = app.answer(call);
            match naming {
                Some(naming) => app.watch(reply, naming),
                None => reply,
            }
        })
    }

    /// The same, and what it names is written down when it came whole.
    fn watch(self: &Arc<Self>, reply: Reply, naming: Naming) -> Reply {
        let reply = Mutex::new(Some(reply));
        let answer = Origin::new(move |_| reply.lock().take().expect("asked once"))
            .call(Request::new(EdgeBody::empty()));
        let app = self.clone();
        Reply::later(async move {
            let response = answer.await?;
            let head = {
                let mut state = app.state.lock();
                state.heads += 1;
                state.heads
            };
            let at_end = move || app.state.lock().came(head, &naming);
            Ok(response.map(|body| Watched::body(body, at_end)))
        })
    }

    /// As old as it may be: of when the request came.
    fn answer(&self, call: &Call) -> (Reply, Option<Naming>) {
        let manner = self.manner;
        let mut state = self.state.lock();
        if call.method == http::Method::POST {
            // The foreign cache lets go of what it has (RFC 9111 4.4).
            state.posted = state.values.len() as u64;
            return (Reply::ok("done"), None);
        }
        let healthy = Behaviour {
            head: ms(0),
            body: ms(0),
            outcome: Outcome::Answer,
        };
        let behaviour = match state.healed {
            false => self.behaviours[call.n % self.behaviours.len()],
            true => healthy,
        };
        // `Age` is whole seconds: it may be nearly one more.
        let part = ms(call.n as u64 * 379 % 1_000);
        let is_stream = call.header("accept") == Some("text/event-stream");
        let policy = match is_stream {
            true => manner.sse_policy,
            false => manner.text_policy,
        };
        // What nobody may reuse it does not have.
        let then = manner
            .age
            .filter(|_| !is_private(policy))
            .map(|age| call.at.checked_sub(Duration::from_secs(age) + part));
        let posted = state.posted;
        let is_there = |value: u64, since: Instant| match then {
            None => true,
            Some(then) => value <= posted || then.is_some_and(|then| since <= then),
        };
        let mut values = state.values.iter().rev();
        let last = values.find(|(value, since, _)| is_there(*value, *since));
        let (value, _, modified) = *last.unwrap_or(&state.values[0]);
        let tag = manner.tag.of(value, modified);
        let confirmed = tag.as_ref().is_some_and(|(name, value)| {
            let asks = match *name {
                "etag" => "if-none-match",
                _ => "if-modified-since",
            };
            call.header(asks) == Some(value)
        });
        let reply = match behaviour.outcome {
            Outcome::Answer if confirmed => Reply::not_modified(),
            Outcome::Answer => {
                let body = format!("{value:0DIGITS$}");
                match behaviour.body.is_zero() {
                    true => Reply::ok(body),
                    false => Reply::stream([Step::Pause(behaviour.body), Step::data(body)]),
                }
            }
            outcome => {
                let reply = match outcome {
                    Outcome::Fail => Reply::fail(Refused("down")).after(behaviour.head),
                    Outcome::Status503 => Reply::status(503).after(behaviour.head),
                    Outcome::Private503 => Reply::status(503).cc("no-store").after(behaviour.head),
                    _ => {
                        let steps = [Step::Pause(behaviour.body), Step::Break("broken")];
                        let reply =
                            self.describe(Reply::stream(steps), value, is_stream, state.late, Confirms::All);
                        // Its head is that of one that comes whole: without it, it says that nothing may be kept.
                        let reply = match &tag {
                            Some((name, value)) => reply.header(name, value),
                            None => reply,
                        };
                        reply.after(behaviour.head)
                    }
                };
                return (reply, None);
            }
        };
        let says = if confirmed { manner.confirms } else { Confirms::All };
        let mut names = [is_stream, false, false];
        names[1] = if is_stream {
            manner.own_tag
        } else {
            manner.names != Names::Nothing
        };
        names[2] = !is_stream && manner.names != Names::Nothing && state.late;
        // Later it comes too late for whoever asked.
        let naming = (behaviour.head <= LONGEST && says != Confirms::Bare).then_some(Naming {
            is_stream,
            names,
            adds: confirmed,
            forgotten: state.forgotten,
        });
        let reply = self.describe(reply, value, is_stream, state.late, says);
        let reply = match manner.is_dated {
            true => reply.header("date", &httpdate::fmt_http_date(Now::at(call.at).wall)),
            false => reply,
        };
        let reply = match tag {
            Some((name, value)) if confirmed && manner.tag == Tag::StrongThenWeak => {
                reply.header(name, &format!("W/{value}"))
            }
            Some((name, value)) => reply.header(name, &value),
            None => reply,
        };
        (reply.after(behaviour.head), naming)
    }

    fn describe(&self, reply: Reply, value: u64, is_stream: bool, late: bool, says: Confirms) -> Reply {
        let manner = self.manner;
        let policy = if is_stream {
            manner.sse_policy
        } else {
            manner.text_policy
        };
        let mut reply = reply.header("vary", "accept");
        if let Some(policy) = policy {
            reply = reply.cc(policy);
        }
        if let Some(age) = manner.age {
            reply = reply.header("age", &age.to_string());
        }
        if says == Confirms::Bare {
            return reply;
        }
        let key = key(value);
        if is_stream {
            reply = reply.header("grip-channel", &format!("c; prev-id={value}"));
            if says == Confirms::All {
                reply = reply.header("grip-hold", manner.mode);
            }
            let tag = if manner.own_tag { " ch:d" } else { "" };
            return reply.header("surrogate-key", &format!("k {key}{tag}"));
        }
        let late = |text: &'static str| if late { text } else { "" };
        match manner.names {
            Names::Nothing => reply.header("surrogate-key", &format!("k {key}")),
            Names::ByTag => reply.header("surrogate-key", &format!("k {key} ch:d{}", late(" ch:l"))),
            Names::Unheld => reply
                .header("surrogate-key", &format!("k {key}"))
                .header("grip-channel", &format!("d{}", late(", l"))),
        }
    }
}

// === impl State ===

impl State {
    /// An answer whose head was this one came whole.
    fn came(&mut self, head: u64, naming: &Naming) {
        if naming.forgotten != self.forgotten {
            return;
        }
        let variant = usize::from(naming.is_stream);
        let named = self.named[variant].iter_mut().zip(naming.names);
        if naming.adds {
            named.for_each(|(named, name)| *named |= name);
        } else if head > self.whole[variant] {
            self.whole[variant] = head;
            self.named[variant] = naming.names;
        } else {
            // It was overtaken: one of the two is kept.
            named.for_each(|(named, name)| *named &= name);
        }
    }
}

// === impl Watched ===

impl Watched {
    fn body(body: EdgeBody, at_end: impl FnOnce() + Send + 'static) -> EdgeBody {
        let mut watched = Self {
            body,
            at_end: Some(Box::new(at_end)),
        };
        let is_whole = watched.is_whole();
        watched.ends_if(is_whole);
        EdgeBody::new(watched)
    }

    /// Its length was known, and nobody need look for an end.
    fn is_whole(&self) -> bool {
        self.body.is_end_stream() && self.body.size_hint().exact().is_some()
    }

    fn ends_if(&mut self, is_over: bool) {
        if is_over && let Some(at_end) = self.at_end.take() {
            at_end();
        }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let is_over = frame.is_none() || self.is_whole();
        self.ends_if(is_over);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Whether an answer with this policy is for the one request that it answers, if nothing confirms it.
pub fn is_private(policy: Option<&str>) -> bool {
    matches!(policy, Some("no-store" | "no-cache") | None)
}

/// Every third value has this key.
pub fn key(value: u64) -> &'static str {
    ["k0", "k1", "k2"][value as usize % 3]
}

// === impl Tag ===

impl Tag {
    fn of(self, value: u64, modified: SystemTime) -> Option<(&'static str, String)> {
        match self {
            Self::None => None,
            Self::Strong | Self::StrongThenWeak => Some(("etag", format!("\"{value}\""))),
            Self::Weak => Some(("etag", format!("W/\"{}\"", value / 2))),
            Self::Modified => Some(("last-modified", httpdate::fmt_http_date(modified))),
        }
    }
}

pub fn behaviour() -> impl Strategy<Value = Behaviour> {
    let time = prop_oneof![4 => Just(0u64), 4 => 1..40u64, 1 => Just(6_000u64), 1 => Just(20_000u64)];
    let outcome = prop_oneof![
        12 => Just(Outcome::Answer),
        1 => Just(Outcome::Status503),
        1 => Just(Outcome::Private503),
        1 => Just(Outcome::Fail),
        1 => Just(Outcome::Break),
    ];
    (time, prop_oneof![6 => Just(0u64), 1 => 1..40u64], outcome).prop_map(|(head, body, outcome)| Behaviour {
        head: ms(head),
        body: ms(body),
        outcome,
    })
}

fn policy() -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![
        3 => Just(Some("s-maxage=600")),
        1 => Just(Some("max-age=1, stale-while-revalidate=600")),
        1 => Just(Some("max-age=1")),
        1 => Just(Some("max-age=600, must-revalidate")),
        1 => Just(Some("max-age=0, stale-if-error=60")),
        1 => Just(Some("no-cache")),
        1 => Just(Some("no-store")),
        1 => Just(None),
    ]
}

pub fn manner() -> impl Strategy<Value = Manner> {
    let tag = prop_oneof![
        Just(Tag::None),
        Just(Tag::Strong),
        Just(Tag::Weak),
        Just(Tag::StrongThenWeak),
        Just(Tag::Modified)
    ];
    let mode = prop_oneof![2 => Just("stream"), 1 => Just("response")];
    let names = prop_oneof![Just(Names::Nothing), Just(Names::ByTag), Just(Names::Unheld)];
    let confirms = prop_oneof![
        Just(Confirms::Bare),
        Just(Confirms::Channels),
        Just(Confirms::All)
    ];
    let age = prop_oneof![4 => Just(None), 1 => (0..3u64).prop_map(Some)];
    (
        (policy(), policy()),
        tag,
        mode,
        names,
        any::<bool>(),
        confirms,
        any::<bool>(),
        age,
    )
        .prop_map(
            |((text_policy, sse_policy), tag, mode, names, own_tag, confirms, is_dated, age)| Manner {
                text_policy,
                sse_policy,
                tag,
                mode,
                names,
                own_tag,
                confirms,
                // Without it nobody can tell whether the second of a change was over.
                is_dated: is_dated || tag == Tag::Modified,
                age,
            },
        )
}
