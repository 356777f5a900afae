//! The publisher and its task on the paused clock.

mod bounds;
mod ends;
mod order;
mod pace;

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::edge::Edge;
use crate::hub::{Delivery, LogLimits, Subscription, Wants};
use crate::message::{Channel, Message, ResponseForm, StreamForm};
use crate::order::{Order, Purge, PurgeMode, Target};
use crate::position::Position;

pub(super) const T: Duration = Duration::from_secs(1);

pub(super) fn channel(name: &str) -> Channel {
    Channel::new(name).expect("a good name")
}

fn latest() -> Publisher {
    Publisher::new(Edge::new(), PublishConfig::new().rule(Rule::latest()))
}

pub(super) fn subscribe(edge: &Edge, name: &str) -> Subscription {
    let stamp = edge.hub().stamp_at(edge.hub().now());
    let subscription = edge.hub().subscribe(&[channel(name)], stamp, Wants::Stream);
    subscription.expect("a stamp of now")
}

fn text(message: &Message) -> String {
    match &message.stream {
        Some(StreamForm::Send(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        other => panic!("{other:?}"),
    }
}

async fn next(subscription: &mut Subscription) -> (Position, Arc<Message>) {
    match subscription.next().await {
        Delivery::Message { at, message, .. } => (at, message),
        Delivery::Lagged { .. } => panic!("lagged"),
    }
}

/// Notes what arrives, with the milliseconds since now, until the task is dropped.
pub(super) fn record(mut subscription: Subscription) -> Arc<parking_lot::Mutex<Vec<(u64, String)>>> {
    let seen = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let (notes, start) = (seen.clone(), Instant::now());
    tokio::spawn(async move {
        loop {
            let (_, message) = next(&mut subscription).await;
            notes
                .lock()
                .push((start.elapsed().as_millis() as u64, text(&message)));
        }
    });
    seen
}

pub(super) fn seen(expected: &[(u64, &str)]) -> Vec<(u64, String)> {
    expected
        .iter()
        .map(|(at, text)| (*at, (*text).to_owned()))
        .collect()
}

pub(super) async fn publish(publisher: &Publisher, name: &str, text: &str) -> Receipt {
    let message = Message::bytes(text.to_owned());
    publisher.publish(channel(name), message).await.expect("accepted")
}

fn purge(key: &str) -> Purge {
    Purge {
        target: Target::Key(key.into()),
        mode: PurgeMode::SoftBlock,
    }
}

pub(super) async fn publish_purging(publisher: &Publisher, name: &str, text: &str, key: &str) -> Receipt {
    let options = PublishOptions {
        purges: vec![purge(key)],
        ..PublishOptions::default()
    };
    let message = Message::bytes(text.to_owned());
    let published = publisher.publish_with(channel(name), message, options);
    published.await.expect("accepted")
}
