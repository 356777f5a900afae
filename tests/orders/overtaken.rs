//! What must not be overtaken by what follows it, nor overtake what came after it.

use std::sync::Arc;
use std::time::Duration;

use gripstack::hub::LogLimits;
use gripstack::publish::{Item, Policy, PublishConfig, PublishError, PublishOptions, Rule};
use gripstack::{Edge, Message, Order};
use parking_lot::Mutex;

use crate::alone::{accept_now, channel, log, said, stream};
use crate::hold_support::{identified, ready, with_ids};

/// Calls something when orders are counted: they are admitted then, and not yet sent.
#[derive(Clone, Default)]
pub struct Counted(Arc<Mutex<Vec<Act>>>);

type Act = Box<dyn FnOnce() + Send>;

impl Counted {
    /// Of several, the last one first.
    pub fn then(&self, act: impl FnOnce() + Send + 'static) {
        self.0.lock().push(Box::new(act));
    }

    /// An edge whose orders are counted here.
    fn edge(&self) -> Edge {
        self.edge_with(LogLimits::new())
    }

    /// The same with other limits.
    pub fn edge_with(&self, limits: LogLimits) -> Edge {
        metrics::with_local_recorder(self, || Edge::builder().log_limits(limits).build())
    }
}

impl metrics::CounterFn for Counted {
    fn increment(&self, _: u64) {
        let act = self.0.lock().pop();
        if let Some(act) = act {
            act();
        }
    }

    fn absolute(&self, _: u64) {}
}

impl metrics::Recorder for Counted {
    fn describe_counter(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
    fn describe_gauge(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
    fn describe_histogram(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}

    fn register_counter(&self, key: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Counter {
        use gripstack::telemetry::names::{PUBLISHED, SUPERSEDED};

        match [PUBLISHED, SUPERSEDED].contains(&key.name()) {
            true => metrics::Counter::from_arc(Arc::new(self.clone())),
            false => metrics::Counter::noop(),
        }
    }

    fn register_gauge(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Gauge {
        metrics::Gauge::noop()
    }

    fn register_histogram(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Histogram {
        metrics::Histogram::noop()
    }
}

/// 1 begins a fresh channel's chain and names no predecessor. It has been admitted, and is on its way, when 2 comes, which
/// follows it: 2 comes after it.
#[tokio::test(start_paused = true)]
async fn d1_nothing_overtakes_the_beginning_of_its_chain() {
    let counted = Counted::default();
    let edge = counted.edge();
    let mut response = stream(&edge).await;
    let other = edge.clone();
    counted.then(move || accept_now(&other, Order::from_iter([said("2", "1")])));
    accept_now(&edge, Order::from_iter([said("1", "")]));
    assert_eq!(log(&edge), ["1", "2"]);
    assert_eq!(ready(response.body_mut()), ["1", "2"]);
}

/// The same where 100 wait for it, and there is no room for one more.
#[tokio::test(start_paused = true)]
async fn d1_what_has_no_room_overtakes_no_beginning_of_its_chain() {
    let counted = Counted::default();
    let edge = counted.edge();
    accept_now(&edge, Order::from_iter([said("1", "")]));
    let number = |n: usize| said(&n.to_string(), &(n - 1).to_string());
    accept_now(&edge, (8..=107).map(number).collect());
    let other = edge.clone();
    counted.then(move || accept_now(&other, Order::from_iter([number(108)])));
    accept_now(&edge, Order::from_iter([said("7", "")]));
    let expected: Vec<_> = [1]
        .into_iter()
        .chain(7..=108)
        .map(|n: usize| n.to_string())
        .collect();
    assert_eq!(log(&edge), expected);
}

/// The same of a state that its follower names.
#[tokio::test(start_paused = true)]
async fn d1_nothing_overtakes_the_state_that_it_follows() {
    let counted = Counted::default();
    let edge = counted.edge();
    let other = edge.clone();
    counted.then(move || accept_now(&other, Order::from_iter([said("2", "1")])));
    accept_now(&edge, Order::from_iter([said("1", "").latest()]));
    assert_eq!(log(&edge), ["1", "2"]);
}

/// One order says 3 and 8, a later one 4, and all wait. Another one brings 2 and 7: what came last comes last.
#[tokio::test(start_paused = true)]
async fn d1_what_several_orders_said_goes_out_in_the_order_in_which_it_came() {
    let edge = Edge::new();
    accept_now(&edge, Order::from_iter([said("1", "0")]));
    let mut response = stream(&edge).await;
    accept_now(&edge, Order::from_iter([said("3", "2"), said("8", "7")]));
    accept_now(&edge, Order::from_iter([said("4", "3")]));
    assert_eq!(edge.hub().stats().waiting, 3);
    accept_now(&edge, Order::from_iter([said("2", "1"), said("7", "")]));
    let got = ready(response.body_mut());
    assert_eq!(got.last().map(|text| &**text), Some("4"), "{got:?}");
    assert_eq!(log(&edge), ["1", "2", "7", "3", "8", "4"]);
}

/// 3 waits for 2. Then comes 4, a state, which says that it follows 3. However long 3 waits, 4 is the last one.
#[tokio::test(start_paused = true)]
async fn d2a_no_stream_stays_on_what_waited_while_the_state_that_follows_it_went_out() {
    let edge = Edge::new();
    accept_now(&edge, Order::from_iter([said("1", "")]));
    let mut response = stream(&edge).await;
    accept_now(&edge, Order::from_iter([said("3", "2")]));
    accept_now(&edge, Order::from_iter([said("4", "3").latest()]));
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(edge.hub().stats().waiting, 0);
    let got = ready(response.body_mut());
    assert_eq!(got.last().map(|text| &**text), Some("4"), "{got:?}");
}

/// As a publisher says it whose channel changes from all messages to states.
#[tokio::test(start_paused = true)]
async fn d2a_no_stream_stays_on_what_waited_when_its_channel_became_paced() {
    let edge = Edge::new();
    let publisher = edge.publisher(PublishConfig::new());
    let mut response = stream(&edge).await;
    for (id, prev_id, policy) in [
        ("1", "", Policy::All),
        ("3", "2", Policy::All),
        ("4", "3", Policy::Latest),
    ] {
        let item = Item {
            channel: channel("t"),
            message: with_ids(id, id, prev_id),
            options: PublishOptions {
                policy: Some(policy),
                ..PublishOptions::default()
            },
        };
        publisher.accept_all(vec![item]).await.expect("accepted");
    }
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(edge.hub().stats().waiting, 0);
    let got = ready(response.body_mut());
    assert_eq!(got.last().map(|text| &**text), Some("4"), "{got:?}");
}

/// Version 1, paced; then 3, at once; then 2, paced, of a publisher that was slower. 3 is the last one.
#[tokio::test(start_paused = true)]
async fn d2a_no_stream_stays_on_a_version_below_one_that_was_not_paced() {
    let edge = Edge::new();
    let rule = Rule::latest().interval(Duration::from_secs(60));
    let publisher = edge.publisher(PublishConfig::new().rule(rule));
    let mut response = stream(&edge).await;
    for (version, policy) in [(1, Policy::Latest), (3, Policy::All), (2, Policy::Latest)] {
        let options = PublishOptions {
            policy: Some(policy),
            version: Some(version),
            ..PublishOptions::default()
        };
        let message = Message::bytes(version.to_string());
        publisher
            .publish_with("t", message, options)
            .await
            .expect("accepted");
    }
    publisher.flush().await;
    assert_eq!(ready(response.body_mut()), ["1", "3"]);
}

/// At most 100 messages of one channel wait for its turn, in one call as in many.
#[tokio::test(start_paused = true)]
async fn no_call_lets_more_messages_wait_than_there_is_room_for() {
    let edge = Edge::new();
    let rule = Rule::latest().interval(Duration::from_secs(60));
    let publisher = edge.publisher(PublishConfig::new().rule(rule));
    let item = |n: usize| Item {
        channel: channel("t"),
        message: match n % 2 {
            0 => identified(Message::close(), &n.to_string(), ""),
            _ => identified(Message::hint(), &n.to_string(), ""),
        },
        options: PublishOptions::default(),
    };
    let _ = publisher
        .publish("t", Message::bytes("0"))
        .await
        .expect("accepted");
    let many = publisher.publish_all((0..1_000).map(item).collect()).await;
    assert!(matches!(many, Err(PublishError::Full { .. })), "{many:?}");
}

/// 1 is a state. 3, which is none, waits for 2. Then comes 2, a state, whose channel rests for longer than 3 may wait: it came in
/// time, so 3 comes after it.
#[tokio::test(start_paused = true)]
async fn d1_what_waits_for_a_state_that_is_paced_comes_after_it() {
    let edge = Edge::new();
    let rule = Rule::latest().interval(Duration::from_secs(60));
    let publisher = edge.publisher(PublishConfig::new().rule(rule));
    let mut response = stream(&edge).await;
    for (id, prev_id, policy) in [
        ("1", "", Policy::Latest),
        ("3", "2", Policy::All),
        ("2", "1", Policy::Latest),
    ] {
        let item = Item {
            channel: channel("t"),
            message: with_ids(id, id, prev_id),
            options: PublishOptions {
                policy: Some(policy),
                ..PublishOptions::default()
            },
        };
        publisher.accept_all(vec![item]).await.expect("accepted");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    tokio::time::sleep(Duration::from_secs(120)).await;
    let got = ready(response.body_mut());
    assert_eq!(got.last().map(|text| &**text), Some("3"), "{got:?}");
}

/// One order says 3, 8 and 4, and nobody brings what 3 and 8 follow: what was written last comes last.
#[tokio::test(start_paused = true)]
async fn d1_what_one_order_says_goes_out_as_it_was_written_when_its_time_is_up() {
    let edge = Edge::new();
    accept_now(&edge, Order::from_iter([said("1", "0")]));
    let mut response = stream(&edge).await;
    accept_now(
        &edge,
        Order::from_iter([said("3", "2"), said("8", "7"), said("4", "3")]),
    );
    tokio::time::sleep(Duration::from_secs(6)).await;
    let got = ready(response.body_mut());
    assert_eq!(got.last().map(|text| &**text), Some("4"), "{got:?}");
}
