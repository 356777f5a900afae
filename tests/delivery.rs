//! What a channel delivers: states that replace each other, the order of one position, and users' values, which are
//! never dropped under a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use gripstack::hub::{Delivery, Hub, LogLimits, SubscribeError, Subscription, Wants};
use gripstack::message::{PushedResponse, ResponseForm, StreamForm};
use gripstack::{Channel, Edge, Message, Position, Publication};
use parking_lot::Mutex;

/// How long a test waits for what must come, before it says that it does not.
const PATIENCE: Duration = Duration::from_secs(60);

fn channel(name: &str) -> Channel {
    Channel::new(name).expect("valid")
}

fn publication(name: &str, message: Message, latest: bool) -> Publication {
    let publication = Publication::new(channel(name), message);
    if latest { publication.latest() } else { publication }
}

async fn submit(edge: &Edge, publications: Vec<Publication>) -> Position {
    let order = publications.into_iter().collect();
    edge.submit(order).await.expect("accepted")
}

/// A message that matters for itself.
async fn lossless(edge: &Edge, message: Message) -> Position {
    submit(edge, vec![publication("t", message, false)]).await
}

/// A message declared `latest`.
async fn state(edge: &Edge, message: Message) -> Position {
    submit(edge, vec![publication("t", message, true)]).await
}

fn send(text: &str) -> Message {
    Message::bytes(text.to_owned())
}

fn answer(text: &str) -> Message {
    Message::response(PushedResponse::new(text.to_owned()))
}

fn both(text: &str) -> Message {
    send(text).with_response(PushedResponse::new(text.to_owned()).into())
}

fn act(form: StreamForm) -> Message {
    Message::default().with_stream(form)
}

fn edge_of(entries: usize) -> Edge {
    Edge::builder()
        .log_limits(LogLimits::new().entries(entries))
        .build()
}

fn from_zero(edge: &Edge, wants: Wants) -> Result<Subscription, SubscribeError> {
    let hub = edge.hub();
    hub.subscribe(&[channel("t")], hub.stamp_at(Position::ZERO), wants)
}

fn open(edge: &Edge) -> Subscription {
    from_zero(edge, Wants::Stream).expect("the log reaches back")
}

fn text(message: &Message, wants: Wants) -> String {
    let bytes = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    match wants {
        Wants::Stream => match &message.stream {
            Some(StreamForm::Send(sent)) => bytes(sent),
            form => format!("{:?}", form.as_ref().expect("it is wanted")),
        },
        _ => match &message.response {
            Some(ResponseForm::Send(pushed)) => bytes(&pushed.body),
            form => format!("{:?}", form.as_ref().expect("it is wanted")),
        },
    }
}

/// All that is there, as text; `-` where messages are gone.
fn all_of(subscription: &mut Subscription, wants: Wants) -> Vec<String> {
    let mut cx = Context::from_waker(Waker::noop());
    let mut got = Vec::new();
    while let Poll::Ready(delivery) = subscription.poll_next(&mut cx) {
        got.push(match delivery {
            Delivery::Message { message, .. } => text(&message, wants),
            Delivery::Lagged { .. } => "-".into(),
        });
    }
    got
}

fn all(subscription: &mut Subscription) -> Vec<String> {
    all_of(subscription, Wants::Stream)
}

#[tokio::test]
async fn d2a_a_state_replaces_the_unread_one_and_follows_the_one_that_was_read() {
    let edge = Edge::new();
    let (mut reads, mut sleeps) = (open(&edge), open(&edge));
    for (value, read) in [("1", vec!["1"]), ("2", vec!["2"]), ("3", vec!["3"])] {
        state(&edge, send(value)).await;
        assert_eq!(all(&mut reads), read);
    }
    assert_eq!(all(&mut sleeps), ["3"]);
    lossless(&edge, send("a")).await;
    for value in ["4", "5"] {
        state(&edge, send(value)).await;
    }
    assert_eq!(all(&mut reads), ["a", "5"]);
    assert_eq!(all(&mut sleeps), ["a", "5"]);
    assert_eq!(all(&mut open(&edge)), ["3", "a", "5"]);
    state(&edge, send("6")).await;
    lossless(&edge, send("b")).await;
    assert_eq!(all(&mut reads), ["6", "b"]);
}

#[tokio::test]
async fn d2a_a_state_survives_a_hint_and_a_close_survives_a_state() {
    for (form, shown) in [(StreamForm::Hint, "Hint"), (StreamForm::Close, "Close")] {
        let edge = Edge::new();
        let mut subscription = open(&edge);
        state(&edge, send("1")).await;
        state(&edge, act(form)).await;
        state(&edge, send("2")).await;
        assert_eq!(all(&mut subscription), ["1", shown, "2"]);
    }
}

#[tokio::test]
async fn d2a_a_state_deletes_no_message_that_is_none() {
    let edge = Edge::new();
    let mut subscription = open(&edge);
    lossless(&edge, send("a")).await;
    state(&edge, send("1")).await;
    lossless(&edge, send("b")).await;
    state(&edge, send("2")).await;
    assert_eq!(all(&mut subscription), ["a", "1", "b", "2"]);
}

#[tokio::test]
async fn d2a_one_state_does_not_make_its_channel_skip() {
    let edge = edge_of(2);
    let mut subscription = open(&edge);
    state(&edge, send("0")).await;
    assert_eq!(all(&mut subscription), ["0"]);
    for n in 1..=5 {
        lossless(&edge, send(&n.to_string())).await;
    }
    assert_eq!(all(&mut subscription), ["-", "4", "5"]);
}

#[tokio::test]
async fn d2a_who_takes_another_form_keeps_its_own_state() {
    let edge = Edge::new();
    let (mut stream, mut poll) = (open(&edge), from_zero(&edge, Wants::Response).expect("no gap"));
    state(&edge, both("1")).await;
    state(&edge, send("2")).await;
    state(&edge, answer("3")).await;
    state(&edge, answer("4")).await;
    assert_eq!(all(&mut stream), ["1", "2"]);
    assert_eq!(all_of(&mut poll, Wants::Response), ["1", "4"]);
    state(&edge, both("5")).await;
    assert_eq!(all(&mut stream), ["5"]);
    assert_eq!(all_of(&mut poll, Wants::Response), ["5"]);
}

/// What was forgotten is a gap only for who needed it.
#[tokio::test]
async fn d3_a_state_that_a_newer_one_covers_is_no_gap_when_it_is_forgotten() {
    let edge = edge_of(2);
    let mut sleeps = open(&edge);
    state(&edge, send("1")).await;
    lossless(&edge, send("a")).await;
    state(&edge, send("2")).await;
    assert_eq!(all(&mut open(&edge)), ["a", "2"]);
    assert_eq!(all(&mut sleeps), ["a", "2"]);
    lossless(&edge, send("b")).await;
    assert!(matches!(
        from_zero(&edge, Wants::Stream),
        Err(SubscribeError::Gap { .. })
    ));
}

/// The last state is nobody's to skip.
#[tokio::test]
async fn d3_a_last_state_that_is_forgotten_is_a_gap() {
    let edge = edge_of(2);
    let mut sleeps = open(&edge);
    state(&edge, send("1")).await;
    for value in ["a", "b"] {
        lossless(&edge, send(value)).await;
    }
    assert_eq!(all(&mut sleeps), ["-", "a", "b"]);
    assert!(matches!(
        from_zero(&edge, Wants::Stream),
        Err(SubscribeError::Gap { .. })
    ));
}

/// A publisher that heard no answer says it again: that must not bring an old state back.
#[tokio::test]
async fn d2_a_state_that_was_replaced_does_not_come_back() {
    let edge = Edge::new();
    let mut subscription = open(&edge);
    for id in ["1", "2", "1", "2", "3", "1"] {
        state(&edge, send(id).with_id(id)).await;
    }
    assert_eq!(all(&mut subscription), ["3"]);
}

/// However many states there were: one is remembered, and counted.
#[tokio::test]
async fn d2a_states_take_the_memory_of_one() {
    let edge = Edge::new();
    lossless(&edge, send("a")).await;
    state(&edge, send("0")).await;
    let one = edge.hub().stats().bytes;
    for n in 0..10_000 {
        state(&edge, send(&(n % 10).to_string())).await;
    }
    assert_eq!(edge.hub().stats().bytes, one);
}

#[tokio::test]
async fn d2b_items_of_one_position_come_in_the_order_they_were_written() {
    let edge = Edge::new();
    let names = ["a", "b", "c"].map(channel);
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let hub = edge.hub();
        let mut subscription = hub
            .subscribe(&names, hub.stamp_at(hub.now()), Wants::Stream)
            .expect("no gap");
        let items = (0..6).map(|n| publication(names[order[n % 3]].as_str(), send(&n.to_string()), false));
        submit(&edge, items.collect()).await;
        assert_eq!(all(&mut subscription), ["0", "1", "2", "3", "4", "5"]);
    }
}

/// A user's value whose end calls back.
struct CallsBack(Arc<dyn Fn() + Send + Sync>, Vec<u8>);

impl AsRef<[u8]> for CallsBack {
    fn as_ref(&self) -> &[u8] {
        &self.1
    }
}

impl Drop for CallsBack {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl Wake for CallsBack {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

/// Runs this on a thread of its own, which must come to its end.
fn without_deadlock(what: &str, run: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || {
        run();
        let _ = done.send(());
    });
    assert!(ended.recv_timeout(PATIENCE).is_ok(), "{what}: a deadlock");
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(future)
}

/// Calls everything of a hub that takes one of its locks, and counts.
fn calls(hub: &Hub, count: Arc<Mutex<usize>>) -> Arc<dyn Fn() + Send + Sync> {
    let hub = hub.clone();
    Arc::new(move || {
        *count.lock() += 1;
        hub.stats();
        hub.last_message(&channel("t"));
        drop(hub.begin_fetch(tokio::time::Instant::now()));
        let subscription = hub.subscribe(&[channel("t")], hub.stamp_at(hub.now()), Wants::Stream);
        drop(subscription);
    })
}

#[test]
fn a_message_is_not_dropped_under_a_lock() {
    type Publish = fn(&Edge, &dyn Fn(&str) -> Message);
    let cases: [(&str, Publish); 5] = [
        ("pushed out", |edge, make| {
            for id in ["1", "2", "3", "4"] {
                block_on(lossless(edge, make(id)));
            }
        }),
        ("replaced", |edge, make| {
            for id in ["1", "2"] {
                block_on(state(edge, make(id)));
            }
        }),
        ("said twice", |edge, make| {
            for id in ["1", "1"] {
                block_on(lossless(edge, make(id)));
            }
        }),
        ("too large for the log", |edge, make| {
            let two = ["1", "2"].map(|id| publication("t", make(id), false));
            let order = two.into_iter().collect();
            block_on(edge.submit(order)).expect_err("too large");
        }),
        ("waits, and goes out", |edge, make| {
            block_on(async {
                lossless(edge, make("1")).await;
                let late = || make("3").with_prev_id("2");
                let follows = make("2").with_prev_id("1");
                let (first, second, _) = tokio::join!(
                    edge.publish(channel("t"), late()),
                    edge.publish(channel("t"), late()),
                    edge.publish(channel("t"), follows)
                );
                assert!(first.is_ok() && second.is_ok());
                lossless(edge, make("4")).await;
            });
        }),
    ];
    for (what, publish) in cases {
        without_deadlock(what, move || {
            let edge = edge_of(2);
            let count = Arc::new(Mutex::new(0));
            let call = calls(edge.hub(), count.clone());
            publish(&edge, &|id| {
                Message::bytes(Bytes::from_owner(CallsBack(call.clone(), id.into()))).with_id(id)
            });
            assert!(*count.lock() > 0, "{what}: nothing was dropped");
        });
    }
}

/// A reader's waker is its user's: neither its end nor its waking happens under a lock.
#[test]
fn a_waker_is_not_dropped_under_a_lock() {
    without_deadlock("a waker", || {
        let edge = Edge::new();
        let count = Arc::new(Mutex::new(0));
        let call = calls(edge.hub(), count.clone());
        let waker = || Waker::from(Arc::new(CallsBack(call.clone(), Vec::new())));
        let mut subscription = open(&edge);
        for _ in 0..3 {
            assert!(
                subscription
                    .poll_next(&mut Context::from_waker(&waker()))
                    .is_pending()
            );
        }
        assert_eq!(*count.lock(), 2, "one is kept");
        block_on(lossless(&edge, send("1")));
        assert_eq!(*count.lock(), 4, "it is woken, and dropped");
        assert_eq!(all(&mut subscription), ["1"]);
        let mut other = open(&edge);
        assert_eq!(all(&mut other), ["1"]);
        assert!(other.poll_next(&mut Context::from_waker(&waker())).is_pending());
        drop(other);
        assert_eq!(*count.lock(), 5);
    });
}

/// Neither is one that waits for its turn, that a newer one replaced, or that finds no room.
#[cfg(feature = "publish")]
#[test]
fn a_message_that_waits_for_its_turn_is_not_dropped_under_a_lock() {
    use gripstack::publish::{PublishConfig, Publisher, Rule};

    without_deadlock("a paced message", || {
        block_on(async {
            let config = PublishConfig::new().rule(Rule::latest()).max_channels(1);
            let publisher = Publisher::new(Edge::new(), config);
            let count = Arc::new(Mutex::new(0));
            let (count_it, publishes) = (count.clone(), publisher.clone());
            let call: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
                *count_it.lock() += 1;
                let mut publish = Box::pin(publishes.publish(channel("other"), send("x")));
                let _ = publish.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            });
            let owned = |text: &str| Message::bytes(Bytes::from_owner(CallsBack(call.clone(), text.into())));
            for text in ["1", "2", "3"] {
                publisher
                    .publish(channel("t"), owned(text))
                    .await
                    .expect("there is room");
            }
            assert_eq!(*count.lock(), 1, "the second was replaced");
            publisher
                .publish(channel("u"), owned("4"))
                .await
                .expect_err("there is no room");
            assert_eq!(*count.lock(), 2);
        });
    });
}

/// What comes, with the places of its channels.
fn placed(subscription: &mut Subscription) -> Vec<(usize, String)> {
    let mut cx = Context::from_waker(Waker::noop());
    let mut got = Vec::new();
    while let Poll::Ready(delivery) = subscription.poll_next(&mut cx) {
        match delivery {
            Delivery::Message { channel, message, .. } => got.push((channel, text(&message, Wants::Stream))),
            Delivery::Lagged { channel } => got.push((channel, "-".into())),
        }
    }
    got
}

async fn send_to(edge: &Edge, name: &str, value: &str) -> Position {
    submit(edge, vec![publication(name, send(value), false)]).await
}

#[tokio::test]
async fn c6_a_channel_that_joins_is_replayed_from_its_stamp() {
    let edge = Edge::new();
    let hub = edge.hub();
    let mut subscription = open(&edge);
    send_to(&edge, "u", "before").await;
    let stamp = hub.stamp_at(hub.now());
    send_to(&edge, "u", "1").await;
    send_to(&edge, "t", "a").await;
    assert_eq!(placed(&mut subscription), [(0, "a".into())]);

    let joined = subscription.join(&channel("u"), stamp);
    assert_eq!(
        (joined.channel, joined.is_complete, joined.superseded_by),
        (1, true, None)
    );
    send_to(&edge, "u", "2").await;
    send_to(&edge, "t", "b").await;
    let all = [(1, "1".into()), (1, "2".into()), (0, "b".into())];
    assert_eq!(placed(&mut subscription), all);

    // What it reads already it goes on with: nothing comes twice.
    assert_eq!(subscription.join(&channel("u"), stamp), joined);
    assert_eq!(placed(&mut subscription), []);
}

#[tokio::test]
async fn c6_a_channel_that_joins_says_what_it_cannot_bring() {
    let edge = edge_of(2);
    let hub = edge.hub();
    let stamp = hub.stamp_at(hub.now());
    for value in ["1", "2", "3"] {
        send_to(&edge, "u", value).await;
    }
    let closed = submit(&edge, vec![publication("v", act(StreamForm::Close), false)]).await;
    let mut subscription = open(&edge);

    let gap = subscription.join(&channel("u"), stamp);
    assert!(!gap.is_complete);
    assert_eq!(
        subscription.join(&channel("v"), stamp).superseded_by,
        Some(closed)
    );
    // Of another clock: it begins at the present.
    let foreign = Edge::new().hub().stamp_at(Position::ZERO);
    send_to(&edge, "w", "old").await;
    assert!(!subscription.join(&channel("w"), foreign).is_complete);
    // So it does not bring what is older, whoever asks.
    assert!(!subscription.join(&channel("w"), stamp).is_complete);
    assert!(
        subscription
            .join(&channel("w"), hub.stamp_at(hub.now()))
            .is_complete
    );
    send_to(&edge, "w", "new").await;
    let got = placed(&mut subscription);
    assert_eq!(got[..2], [(1, "2".into()), (1, "3".into())]);
    assert_eq!(got.last(), Some(&(3, "new".into())));
}

#[tokio::test]
async fn a_channel_that_has_left_brings_nothing_and_leaves_nothing_behind() {
    let edge = Edge::new();
    let hub = edge.hub();
    let start = hub.stamp_at(Position::ZERO);
    let mut subscription = hub
        .subscribe(&["t", "u", "v"].map(channel), start, Wants::Stream)
        .expect("no gap");
    assert_eq!(subscription.leave(&channel("u")), Some(1));
    assert_eq!(subscription.leave(&channel("u")), None);
    assert_eq!((hub.stats().subscriptions, hub.stats().channels), (2, 2));
    for name in ["u", "v", "t"] {
        send_to(&edge, name, name).await;
    }
    assert_eq!(placed(&mut subscription), [(2, "v".into()), (0, "t".into())]);
    // Its place is the next one's.
    assert_eq!(subscription.join(&channel("w"), start).channel, 1);
    assert_eq!(subscription.join(&channel("u"), start).channel, 3);
    assert_eq!(placed(&mut subscription), [(3, "u".into())]);
    let names: Vec<_> = subscription.channels().map(Channel::as_str).collect();
    assert_eq!(names, ["t", "w", "v", "u"]);
    drop(subscription);
    assert_eq!(hub.stats().subscriptions, 0);
}

/// Counts how often it is woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn who_waits_is_woken_by_a_channel_that_joined_and_not_by_one_that_left() {
    let edge = Edge::new();
    let mut subscription = open(&edge);
    subscription.join(&channel("u"), edge.hub().stamp_at(Position::ZERO));
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let poll =
        |subscription: &mut Subscription| match subscription.poll_next(&mut Context::from_waker(&waker)) {
            Poll::Ready(Delivery::Message { message, .. }) => Some(text(&message, Wants::Stream)),
            _ => None,
        };
    let woken = || wakes.0.swap(0, Ordering::SeqCst);
    assert_eq!(poll(&mut subscription), None);
    send_to(&edge, "u", "1").await;
    assert_eq!(woken(), 1);
    assert_eq!(poll(&mut subscription).as_deref(), Some("1"));
    assert_eq!(poll(&mut subscription), None);
    subscription.leave(&channel("u"));
    send_to(&edge, "u", "2").await;
    assert_eq!(woken(), 0);
    send_to(&edge, "t", "3").await;
    assert_eq!(woken(), 1);
    assert_eq!(poll(&mut subscription).as_deref(), Some("3"));
}
