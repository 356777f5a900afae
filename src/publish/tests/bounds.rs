//! What is refused, and what may wait.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_refused_before_anything_is_sent() {
    let config = PublishConfig::new()
        .channels("paced", Rule::latest())
        .max_channels(1);
    let publisher = Publisher::new(Edge::new(), config);
    let item = |name: &str, bytes: usize| Item {
        channel: channel(name),
        message: Message::bytes("x".repeat(bytes)),
        options: PublishOptions::default(),
    };
    for big in ["paced", "other"] {
        let refused = publisher
            .publish_all(vec![item("a", 1), item(big, 600_000)])
            .await;
        assert!(matches!(refused, Err(PublishError::TooLarge(_))), "{refused:?}");
    }
    let refused = publisher
        .publish_all(vec![item("a", 1), item("paced-1", 1), item("paced-2", 1)])
        .await;
    assert!(matches!(refused, Err(PublishError::Full { .. })), "{refused:?}");
    assert_eq!(publisher.edge().hub().now(), Position::ZERO, "nothing happened");
    assert!(!publisher.paces_any());
}

/// What waits for one channel is no more than all logs take, however little that is.
#[tokio::test(start_paused = true)]
async fn d2a_what_waits_fits_all_logs() {
    let limits = LogLimits::new().total_bytes(100_000);
    let edge = Edge::builder().log_limits(limits).build();
    let publisher = Publisher::new(edge, PublishConfig::new().rule(Rule::latest()));
    let seen = record(subscribe(publisher.edge(), "c"));
    publish(&publisher, "c", "0").await;
    for n in 1..=4 {
        let mut message = Message::bytes(vec![b'x'; 20_000]);
        message.response = Some(ResponseForm::Hint);
        let options = PublishOptions {
            purges: vec![purge(&n.to_string())],
            ..PublishOptions::default()
        };
        let receipt = publisher.publish_with("c", message, options).await;
        assert_eq!(receipt.expect("accepted").queued, 1);
        publish(&publisher, "c", "-").await;
    }
    tokio::time::sleep(10 * T).await;
    assert!(!publisher.paces_any());
    for n in 1..=4 {
        let target = Target::Key(n.to_string().as_str().into());
        assert!(publisher.edge().hub().last_purge(&target) > Position::ZERO);
    }
    let lengths: Vec<usize> = seen.lock().iter().map(|(_, text)| text.len()).collect();
    assert_eq!(lengths, [1, 20_000, 20_000, 20_000, 20_000, 1]);
}
