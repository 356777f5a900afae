//! Orders that are sent again, and orders that let go several items that wait.

use std::task::Poll;
use std::time::Duration;

use gripstack::hub::{Delivery, Wants};
use gripstack::{Channel, Edge, Message, Order, Position, Publication, PurgeMode, Target};

use crate::alone::{accept_now, once};
use crate::hold_support::{Origin, ready, reply, with_ids};

fn channel(name: &str) -> Channel {
    Channel::new(name).expect("valid")
}

/// Follows the one before it.
fn follower_on(name: &str, n: usize) -> Publication {
    let message = with_ids(&n.to_string(), &n.to_string(), &(n - 1).to_string());
    Publication::new(channel(name), message)
}

fn follower(n: usize) -> Publication {
    follower_on("t", n)
}

/// Begins another chain.
fn first(n: usize) -> Publication {
    let message = Message::bytes(n.to_string()).with_id(n.to_string());
    Publication::new(channel("t"), message)
}

fn log(edge: &Edge) -> Vec<String> {
    let got = log_of(edge, &["t"]);
    got.into_iter().map(|(_, id)| id).collect()
}

/// What a hold of these channels gets: of which, and its id.
fn log_of(edge: &Edge, names: &[&str]) -> Vec<(usize, String)> {
    let channels: Vec<_> = names.iter().map(|name| channel(name)).collect();
    let stamp = edge.hub().stamp_at(Position::ZERO);
    let mut subscription = edge
        .hub()
        .subscribe(&channels, stamp, Wants::Stream)
        .expect("no gap");
    let mut got = Vec::new();
    while let Poll::Ready(Delivery::Message { channel, message, .. }) = once(subscription.next()) {
        got.push((channel, message.id.as_deref().unwrap_or("-").to_owned()));
    }
    got
}

/// 3 waits for 2, with purges, and 4 for 3. 2 comes: 3 is let go. Its publisher, who has heard nothing, sends its order once
/// more before 3 is there: that order was applied already, and lets nothing go that follows 3.
#[tokio::test]
async fn d1_an_order_sent_again_lets_nothing_overtake_what_is_on_its_way() {
    for round in 0..20 {
        let edge = Edge::new();
        accept_now(&edge, Order::from_iter([follower(1)]));
        let order = (0..40_000).fold(Order::from_iter([follower(3)]), |order, n| {
            order.and_purge(Target::key(n.to_string()), PurgeMode::Soft)
        });
        accept_now(&edge, order.clone());
        accept_now(&edge, Order::from_iter([follower(4)]));
        assert_eq!(edge.hub().stats().waiting, 2);
        let other = edge.clone();
        let thread = std::thread::spawn(move || {
            while other.hub().stats().waiting == 2 {
                std::thread::yield_now();
            }
            accept_now(&other, order);
        });
        accept_now(&edge, Order::from_iter([follower(2)]));
        thread.join().expect("no panic");
        assert_eq!(log(&edge), ["1", "2", "3", "4"], "round {round}");
    }
}

/// One order says 3, then 8, and both wait, for 2 and 7; another brings 2, then 7. Nothing is missing, and what was written
/// last comes last.
#[tokio::test(start_paused = true)]
async fn d1_what_one_order_lets_go_goes_out_in_the_order_in_which_it_came() {
    let edge = Edge::new();
    accept_now(&edge, Order::from_iter([follower(1)]));
    accept_now(&edge, Order::from_iter([follower(3), follower(8)]));
    assert_eq!(edge.hub().stats().waiting, 2);
    accept_now(&edge, Order::from_iter([follower(2), first(7)]));
    assert_eq!(log(&edge), ["1", "2", "7", "3", "8"]);
}

/// What a client sees of it whose body names no id.
#[tokio::test(start_paused = true)]
async fn d1_no_stream_stays_on_the_first_of_those_that_one_order_lets_go() {
    let edge = Edge::new();
    accept_now(&edge, Order::from_iter([follower(1)]));
    let held = [("grip-hold", "stream"), ("grip-channel", "t")];
    let origin = Origin::new(move |_, _| async move { Ok(reply(200, &held, "1")) });
    let mut response = origin.get(&edge).await;
    let mut got = ready(response.body_mut());
    accept_now(&edge, Order::from_iter([follower(3), follower(8)]));
    accept_now(&edge, Order::from_iter([follower(2), first(7)]));
    got.extend(ready(response.body_mut()));
    tokio::time::sleep(Duration::from_secs(6)).await;
    got.extend(ready(response.body_mut()));
    assert_eq!(got.last().map(|text| &**text), Some("8"), "{got:?}");
}

/// The same on two channels of one hold: what an order says first comes first, although it waited.
#[tokio::test(start_paused = true)]
async fn d2b_what_one_order_lets_go_goes_out_as_its_publisher_wrote_it() {
    let edge = Edge::new();
    let both = |n| Order::from_iter([follower_on("t", n), follower_on("u", n)]);
    accept_now(&edge, both(1));
    accept_now(&edge, both(3));
    accept_now(&edge, both(2));
    let got = log_of(&edge, &["t", "u"]);
    let got: Vec<_> = got.iter().map(|(channel, id)| (*channel, &**id)).collect();
    let expected = [(0, "1"), (1, "1"), (0, "2"), (1, "2"), (0, "3"), (1, "3")];
    assert_eq!(got, expected);
}
