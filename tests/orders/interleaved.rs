//! Orders that meet at the narrow places: what waits and need not any more goes out in the order in which it came, whoever lets
//! it go; and who paces waits for nobody who waits for him.

use std::time::Duration;

use bytes::Bytes;
use gripstack::hub::LogLimits;
use gripstack::publish::{Item, Policy, PublishConfig, PublishOptions, Receipt, Rule};
use gripstack::{Edge, Message, Order, Position, Publication, Publisher};
use tokio::time::Instant;

use crate::alone::{accept_now, channel, log, once, said, stream};
use crate::hold_support::{answer, identified, ready, with_ids};

/// A body whose end is heard: where a message is said again, that is before what waits for the rest of its order is let go.
struct Heard<F: FnMut()>(F);

impl<F: FnMut()> AsRef<[u8]> for Heard<F> {
    fn as_ref(&self) -> &[u8] {
        b"heard"
    }
}

impl<F: FnMut()> Drop for Heard<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// With something that happens when it is no longer needed.
fn heard(id: &str, prev_id: &str, then: impl FnMut() + Send + 'static) -> Publication {
    let message = Message::bytes(Bytes::from_owner(Heard(then))).with_id(id);
    let message = match prev_id {
        "" => message,
        _ => message.with_prev_id(prev_id),
    };
    Publication::new(channel("t"), message)
}

fn item(id: &str, prev_id: &str, policy: Policy) -> Item {
    Item {
        channel: channel("t"),
        message: with_ids(id, id, prev_id),
        options: PublishOptions {
            policy: Some(policy),
            ..PublishOptions::default()
        },
    }
}

async fn accept(publisher: &Publisher, id: &str, prev_id: &str, policy: Policy) -> Receipt {
    let items = vec![item(id, prev_id, policy)];
    publisher.accept_all(items).await.expect("accepted")
}

/// One order lets 3 and 6 go. While 3 goes out another one brings 7: 6, which came before 8, comes before it.
#[tokio::test(start_paused = true)]
async fn d1_what_is_ready_is_not_overtaken_by_what_came_after_it() {
    let edge = Edge::builder().log_limits(LogLimits::new().entries(10)).build();
    let mut response = stream(&edge).await;
    let other = edge.clone();
    let meanwhile = move || accept_now(&other, Order::from_iter([said("7", "")]));
    // When 3 comes there is no more room for it.
    accept_now(&edge, Order::from_iter([heard("1", "", meanwhile)]));
    for n in 11..18 {
        accept_now(&edge, Order::from_iter([said(&n.to_string(), "")]));
    }
    ready(response.body_mut());
    for item in [said("3", "2"), said("6", "5"), said("8", "7")] {
        accept_now(&edge, Order::from_iter([item]));
    }
    assert_eq!(edge.hub().stats().waiting, 3);
    accept_now(&edge, Order::from_iter([said("2", ""), said("5", "")]));
    assert_eq!(edge.hub().stats().waiting, 0);
    assert_eq!(ready(response.body_mut()), ["2", "5", "3", "7", "6", "8"]);
}

/// 3 and 8 come with x, and are ready before x has gone out, as is 4, which came after them and follows 3: what came last comes
/// last.
#[tokio::test(start_paused = true)]
async fn d1_what_was_ready_before_its_order_had_gone_out_goes_out_in_the_order_in_which_it_came() {
    let edge = Edge::new();
    let mut response = stream(&edge).await;
    accept_now(&edge, Order::from_iter([heard("1", "0", || {})]));
    let other = edge.clone();
    let meanwhile = move || {
        accept_now(&other, Order::from_iter([said("4", "3")]));
        accept_now(&other, Order::from_iter([said("2", "1"), said("7", "")]));
    };
    let order = [
        said("x", ""),
        said("3", "2"),
        said("8", "7"),
        heard("1", "0", meanwhile),
    ];
    accept_now(&edge, Order::from_iter(order));
    assert_eq!(edge.hub().stats().waiting, 0);
    let got = ready(response.body_mut());
    assert_eq!(got.last().map(|text| &**text), Some("4"), "{got:?}");
    assert_eq!(log(&edge), ["1", "x", "2", "7", "3", "8", "4"]);
}

/// 2, a state, cannot wait for what something else waits for already, and will be tried again. Meanwhile 3 goes out, unpaced: it is
/// the last one.
#[tokio::test(start_paused = true)]
async fn d2a_no_stream_stays_on_a_state_that_conflicted_before_what_was_not_paced() {
    let edge = Edge::new();
    let rule = Rule::latest().interval(Duration::from_secs(10));
    let publisher = edge.publisher(PublishConfig::new().rule(rule));
    let mut response = stream(&edge).await;
    accept(&publisher, "1", "", Policy::All).await;
    accept(&publisher, "p", "o", Policy::All).await;
    accept(&publisher, "a", "p", Policy::All).await;
    for (id, prev_id, version, policy) in [("2", "p", 2, Policy::Latest), ("3", "", 3, Policy::All)] {
        let mut item = item(id, prev_id, policy);
        item.options.version = Some(version);
        publisher.accept_all(vec![item]).await.expect("accepted");
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let got = ready(response.body_mut());
    assert!(!got.ends_with(&["2".to_owned()]), "{got:?}");
}

/// An order is sent once more by who heard no answer, when its channel has forgotten the item: it was applied.
#[tokio::test(start_paused = true)]
async fn c1_an_order_sent_again_is_not_applied_again_although_its_item_would_wait() {
    let edge = Edge::builder().log_limits(LogLimits::new().entries(4)).build();
    let mut response = stream(&edge).await;
    accept_now(&edge, Order::from_iter([said("1", "0")]));
    let order = Order::from_iter([said("2", "1")]);
    accept_now(&edge, order.clone());
    let mut got = ready(response.body_mut());
    for n in 3..10usize {
        accept_now(
            &edge,
            Order::from_iter([said(&n.to_string(), &(n - 1).to_string())]),
        );
        got.extend(ready(response.body_mut()));
    }
    accept_now(&edge, order);
    let mut late = stream(&edge).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    got.extend(ready(response.body_mut()));
    assert_eq!(got, ["1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    assert_eq!(ready(late.body_mut()), [""; 0]);
}

/// What an unpaced message of one channel says does not wait for what a paced one of another channel waits for.
#[tokio::test(start_paused = true)]
async fn what_is_not_paced_does_not_wait_for_what_a_paced_state_waits_for() {
    let edge = Edge::new();
    let rule = Rule::latest().interval(Duration::from_secs(60));
    let publisher = edge.publisher(PublishConfig::new().rule(rule));
    accept(&publisher, "0", "", Policy::All).await;
    accept(&publisher, "2", "1", Policy::All).await;
    let other = publisher.clone();
    let state = tokio::spawn(async move { accept(&other, "3", "2", Policy::Latest).await });
    tokio::task::yield_now().await;
    let start = Instant::now();
    accept(&publisher, "n", "", Policy::All).await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    state.await.expect("no panic");
}

/// Two channels in one call: one waits, and cannot be sent here; that is no reason not to send the other one, then or ever.
#[test]
fn what_cannot_wait_outside_of_a_runtime_keeps_no_other_channel_from_being_sent() {
    let edge = Edge::new();
    let rule = Rule::latest().interval(Duration::ZERO);
    let publisher = edge.publisher(PublishConfig::new().rule(rule));
    for (id, prev_id) in [("1", ""), ("3", "2")] {
        accept_now(&edge, Order::from_iter([said(id, prev_id)]));
    }
    let on_u = |id: &str| Item {
        channel: channel("u"),
        ..item(id, "", Policy::Latest)
    };
    let call = vec![item("4", "3", Policy::Latest), on_u("1")];
    let calling = std::panic::AssertUnwindSafe(|| drop(once(publisher.accept_all(call))));
    let _ = std::panic::catch_unwind(calling);
    let _ = once(publisher.accept_all(vec![on_u("2")]));
    assert!(edge.hub().last_message(&channel("u")) > Position::ZERO);
}

/// 3, unpaced, waits for 2. 2, a state, comes in time: it is what 3 waits for, and so not superseded by it.
#[tokio::test(start_paused = true)]
async fn d1_a_paced_state_is_not_superseded_by_what_waits_for_it() {
    let edge = Edge::new();
    let rule = Rule::latest().interval(Duration::from_secs(60));
    let publisher = edge.publisher(PublishConfig::new().rule(rule));
    let mut response = stream(&edge).await;
    accept(&publisher, "1", "", Policy::Latest).await;
    assert_eq!(ready(response.body_mut()), ["1"]);
    accept(&publisher, "3", "2", Policy::All).await;
    let receipt = accept(&publisher, "2", "1", Policy::Latest).await;
    assert_eq!(ready(response.body_mut()), ["2", "3"], "{receipt:?}");
    assert_eq!(edge.hub().stats().waiting, 0);
}

/// The same where what waits is for long polls only: streams stay on nothing older than the state.
#[tokio::test(start_paused = true)]
async fn d2a_no_stream_stays_on_what_a_state_replaces_that_something_else_waits_for() {
    let edge = Edge::new();
    let rule = Rule::latest().interval(Duration::from_secs(60));
    let publisher = edge.publisher(PublishConfig::new().rule(rule));
    let mut response = stream(&edge).await;
    accept(&publisher, "1", "", Policy::Latest).await;
    assert_eq!(ready(response.body_mut()), ["1"]);
    let mut for_polls = item("3", "2", Policy::All);
    for_polls.message = identified(answer(200, &[], "3"), "3", "2");
    publisher.accept_all(vec![for_polls]).await.expect("accepted");
    accept(&publisher, "2", "1", Policy::Latest).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(ready(response.body_mut()), ["2"]);
}
