//! One edge in one process, a channel `t`, and what comes to its log and its streams.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use gripstack::hub::{Delivery, Wants};
use gripstack::{Channel, Edge, Order, Position, Publication};

use crate::hold_support::{Origin, ready, reply, with_ids};

pub fn channel(name: &str) -> Channel {
    Channel::new(name).expect("valid")
}

/// An empty `prev_id` is none.
pub fn said(id: &str, prev_id: &str) -> Publication {
    Publication::new(channel("t"), with_ids(id, id, prev_id))
}

pub fn once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// In one process nothing waits for anything.
pub fn accept_now(edge: &Edge, order: Order) {
    let Poll::Ready(accepted) = once(edge.accept(order)) else {
        panic!("it waits");
    };
    let _ = accepted.expect("accepted");
}

pub fn log(edge: &Edge) -> Vec<String> {
    let stamp = edge.hub().stamp_at(Position::ZERO);
    let mut subscription = edge
        .hub()
        .subscribe(&[channel("t")], stamp, Wants::Stream)
        .expect("no gap");
    let mut got = Vec::new();
    while let Poll::Ready(Delivery::Message { message, .. }) = once(subscription.next()) {
        got.push(message.id.as_deref().unwrap_or("-").to_owned());
    }
    got
}

/// A stream of `t`, whose body names no id.
pub async fn stream(edge: &Edge) -> http::Response<gripstack::body::EdgeBody> {
    let held = [("grip-hold", "stream"), ("grip-channel", "t")];
    let origin = Origin::new(move |_, _| async move { Ok(reply(200, &held, "0")) });
    let mut response = origin.get(edge).await;
    assert_eq!(ready(response.body_mut()), ["0"]);
    response
}
