//! What channels take of memory: what the hub says, which is what its bound is about.

use std::time::Duration;

use gripstack::hub::LogLimits;
use gripstack::message::PushedResponse;
use gripstack::publish::{PublishConfig, Rule};
use gripstack::{Channel, Edge, Message, Order, Publication};

/// Bytes of an idle channel.
const IDLE: i64 = 256;
/// Bytes of one that is paced beside that.
const PACED: i64 = 640;

/// Publishes so many messages, each made of its number. Returns what the heap grew by, and what the hub says that its
/// channels hold.
fn publish(count: usize, limits: LogLimits, make: impl Fn(usize) -> (String, Message)) -> (i64, i64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let edge = Edge::builder().log_limits(limits).build();
    let grown = allocation_counter::measure(|| {
        for n in 0..count {
            let (channel, message) = make(n);
            let channel = Channel::new(&channel).expect("valid");
            runtime
                .block_on(edge.publish(channel, message))
                .expect("accepted");
        }
    });
    let bytes = edge.hub().stats().bytes;
    (grown.bytes_current, bytes as i64)
}

fn response(fields: usize) -> Message {
    let mut response = PushedResponse::new("x".repeat(10));
    for n in 0..fields {
        let name: http::HeaderName = format!("x-{n}").parse().expect("valid");
        response.headers.insert(name, "v".parse().expect("valid"));
    }
    Message::response(response)
}

type Make = fn(usize) -> (String, Message);

/// Beside its name and its message.
#[test]
fn an_idle_channel_takes_at_most_so_much() {
    let edge = Edge::new();
    let message = std::sync::Arc::new(Message::bytes("m"));
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.build().expect("a runtime");
    // Maps are half empty at some counts, and full at others.
    for count in [60_000, 75_000, 90_000, 120_000] {
        let name = |n| Channel::new(&format!("{count}-{n}")).expect("valid");
        let names: Vec<_> = (0..count).map(name).collect();
        let grown = allocation_counter::measure(|| {
            for name in &names {
                let order = Order::from_iter([Publication::new(name.clone(), message.clone())]);
                runtime.block_on(edge.submit(order)).expect("accepted");
            }
        });
        let each = grown.bytes_current / count;
        println!("{count} channels more: {each} bytes each");
        assert!(each <= IDLE, "{each} bytes each");
    }
}

#[test]
fn channels_take_about_what_they_are_counted_for() {
    let cases: [(&str, Make); 7] = [
        ("short names", |n| (format!("c{n}"), Message::bytes("m"))),
        ("long names", |n| (format!("{n:0>1000}"), Message::bytes("m"))),
        ("long messages", |n| {
            (format!("c{n}"), Message::bytes("m".repeat(5_000)))
        }),
        ("one channel", |_| ("c".into(), Message::bytes("m".to_owned()))),
        ("one channel, ids", |n| {
            ("c".into(), Message::bytes("m".to_owned()).with_id(n.to_string()))
        }),
        ("ids", |n| {
            (
                format!("c{n}"),
                Message::bytes("m".to_owned()).with_id(n.to_string()),
            )
        }),
        ("fields", |n| (format!("c{n}"), response(50))),
    ];
    for (what, make) in cases {
        // Maps and queues double: at some counts they are half empty, at others full.
        for count in [6_000, 7_500, 9_000, 12_000] {
            let limits = LogLimits::new().entries(1_000_000).bytes(1 << 30);
            let (grown, counted) = publish(count, limits, make);
            let each = |bytes| bytes / count as i64;
            println!(
                "{what}, {count}: {} bytes of heap each, {} are counted",
                each(grown),
                each(counted)
            );
            assert!(
                (counted * 2 / 3..=counted * 4 / 3).contains(&grown),
                "{what}, {count}: {} bytes of heap each, {} are counted",
                each(grown),
                each(counted)
            );
        }
    }
}

#[test]
fn many_channels_stay_within_the_bound_of_all() {
    let limits = LogLimits::new().total_bytes(4 << 20);
    let (grown, counted) = publish(50_000, limits, |n| (format!("{n:0>500}"), Message::bytes("m")));
    assert!(counted <= 4 << 20, "{counted}");
    assert!(grown <= 6 << 20, "{grown} bytes of heap, {counted} are counted");
}

/// Beside what the hub counts, and its name.
#[test]
fn a_paced_channel_takes_about_what_it_is_counted_for() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let edge = Edge::new();
    let rule = Rule::latest().interval(Duration::from_secs(3_600));
    let publisher = edge.publisher(PublishConfig::new().rule(rule));
    // Maps are half empty at some counts, and full at others.
    for count in [60_000, 10_000, 25_000] {
        let names: Vec<_> = (0..count)
            .map(|n| Channel::new(&format!("{count}-{n}")).expect("valid"))
            .collect();
        let before = edge.hub().stats().bytes;
        let grown = allocation_counter::measure(|| {
            for name in &names {
                runtime
                    .block_on(publisher.publish(name.clone(), Message::bytes("m")))
                    .expect("accepted");
            }
        });
        let counted = edge.hub().stats().bytes - before;
        let each = (grown.bytes_current - counted as i64) / count;
        println!("{count} paced channels more: {each} bytes each");
        assert!(each <= PACED, "{each} bytes each");
    }
}
