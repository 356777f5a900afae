//! In which order, and what goes together.

use super::*;

#[tokio::test(start_paused = true)]
async fn without_a_policy_every_message_goes_out_at_once_and_in_order() {
    let publisher = Publisher::new(Edge::new(), PublishConfig::new());
    let mut subscription = subscribe(publisher.edge(), "c");
    for n in 1..=300 {
        assert!(publish(&publisher, "c", &n.to_string()).await.position.is_some());
    }
    for n in 1..=300 {
        assert_eq!(text(&next(&mut subscription).await.1), n.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn one_call_is_one_order_but_for_what_is_paced() {
    let config = PublishConfig::new().channels("paced-", Rule::latest());
    let publisher = Publisher::new(Edge::new(), config);
    let edge = publisher.edge().clone();
    let names = ["a", "paced-x", "b", "paced-x", "paced-y", "paced-x"];
    let items = names.iter().enumerate().map(|(n, name)| Item {
        channel: channel(name),
        message: Message::bytes(n.to_string()),
        options: PublishOptions {
            purges: vec![purge(&n.to_string())],
            ..PublishOptions::default()
        },
    });
    let receipt = publisher.publish_all(items.collect()).await.expect("accepted");
    assert_eq!((receipt.queued, receipt.superseded), (1, 1));
    let hub = edge.hub();
    let a = hub.last_message(&channel("a"));
    assert_eq!(hub.last_message(&channel("b")), a, "one position for both");
    assert_eq!(hub.last_purge(&Target::Key("0".into())), a);
    assert_eq!(hub.last_purge(&Target::Key("2".into())), a);
    let x = hub.last_message(&channel("paced-x"));
    assert_eq!(hub.last_purge(&Target::Key("1".into())), x);
    for waits in ["3", "5"] {
        assert_eq!(
            hub.last_purge(&Target::Key(waits.into())),
            Position::ZERO,
            "{waits}"
        );
    }
    tokio::time::sleep(T + Duration::from_millis(1)).await;
    let later = hub.last_message(&channel("paced-x"));
    assert!(later > x);
    for merged in ["3", "5"] {
        assert_eq!(hub.last_purge(&Target::Key(merged.into())), later, "{merged}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_wait_goes_out_after_what_waits() {
    let publisher = latest();
    let mut subscription = subscribe(publisher.edge(), "c");
    publish(&publisher, "c", "1").await;
    assert_eq!(text(&next(&mut subscription).await.1), "1");
    publish(&publisher, "c", "2").await;
    publish(&publisher, "c", "3").await;
    let all = PublishOptions {
        policy: Some(Policy::All),
        ..PublishOptions::default()
    };
    let bye = publisher.publish_with(channel("c"), Message::bytes("bye"), all);
    assert!(bye.await.expect("accepted").position.is_some());
    for expected in ["3", "bye"] {
        assert_eq!(text(&next(&mut subscription).await.1), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn items_of_both_kinds_for_one_channel_keep_their_order() {
    let publisher = latest();
    let mut subscription = subscribe(publisher.edge(), "c");
    let items = [(Policy::Latest, "1"), (Policy::All, "2"), (Policy::Latest, "3")];
    let items = items.map(|(policy, text)| Item {
        channel: channel("c"),
        message: Message::bytes(text),
        options: PublishOptions {
            policy: Some(policy),
            ..PublishOptions::default()
        },
    });
    let receipt = publisher.publish_all(items.to_vec()).await.expect("accepted");
    assert_eq!((receipt.queued, receipt.superseded), (0, 0));
    assert_eq!(publisher.edge().hub().now(), receipt.position.expect("sent"));
    for expected in ["1", "2", "3"] {
        assert_eq!(text(&next(&mut subscription).await.1), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn an_item_says_latest_where_the_channel_does_not() {
    let publisher = Publisher::new(Edge::new(), PublishConfig::new());
    let item = PublishOptions {
        policy: Some(Policy::Latest),
        ..PublishOptions::default()
    };
    let mut receipts = Vec::new();
    for n in ["1", "2"] {
        let published = publisher.publish_with(channel("c"), Message::bytes(n), item.clone());
        receipts.push(published.await.expect("accepted").queued);
    }
    assert_eq!(receipts, [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_conflated_message_follows_whatever_was_sent_last() {
    let publisher = latest();
    let mut subscription = subscribe(publisher.edge(), "c");
    let numbered = |n: u32| {
        let message = Message::bytes(n.to_string()).with_id(n.to_string());
        publisher.publish(channel("c"), message.with_prev_id((n - 1).to_string()))
    };
    numbered(1).await.expect("accepted");
    let (_, first) = next(&mut subscription).await;
    for n in 2..=5 {
        numbered(n).await.expect("accepted");
    }
    assert_eq!((first.id.as_deref(), first.prev_id.as_deref()), (Some("1"), None));
    let before = Instant::now();
    let (_, last) = next(&mut subscription).await;
    assert_eq!((last.id.as_deref(), last.prev_id.as_deref()), (Some("5"), None));
    assert_eq!(before.elapsed(), T, "it did not wait for 4");

    // Something that was not paced came in between: what is sent next waits for nothing either.
    let other = Message::bytes("x").with_id("x").with_prev_id("5");
    publisher
        .edge()
        .publish(channel("c"), other)
        .await
        .expect("accepted");
    next(&mut subscription).await;
    tokio::time::sleep(2 * T).await;
    numbered(6).await.expect("accepted");
    let (_, last) = next(&mut subscription).await;
    assert_eq!((last.id.as_deref(), last.prev_id.as_deref()), (Some("6"), None));
}

#[tokio::test(start_paused = true)]
async fn rlp_09_whoever_sees_a_message_finds_its_purge_done() {
    let publisher = Publisher::new(
        Edge::new(),
        PublishConfig::new().rule(Rule::latest().interval(Duration::from_millis(1))),
    );
    let mut subscription = subscribe(publisher.edge(), "c");
    let target = Target::Key("k".into());
    let writer = tokio::spawn({
        let publisher = publisher.clone();
        async move {
            for n in 1..=10_000 {
                publish_purging(&publisher, "c", &n.to_string(), "k").await;
                tokio::time::sleep(Duration::from_micros(1000)).await;
            }
        }
    });
    let hub = publisher.edge().hub().clone();
    loop {
        let (at, message) = next(&mut subscription).await;
        // A refetch now is stamped so, and an object from before is dead to it.
        assert!(hub.now() >= at);
        assert!(hub.last_purge(&target) >= at, "the purge of {at} is missing");
        if text(&message) == "10000" {
            break;
        }
    }
    writer.await.expect("it published");
}

#[tokio::test(start_paused = true)]
async fn a_rule_purges_with_every_message() {
    let target = Target::Key("list".into());
    let rule = Rule::latest().purge(target.clone());
    let publisher = Publisher::new(Edge::new(), PublishConfig::new().rule(rule));
    publish(&publisher, "c", "1").await;
    let hub = publisher.edge().hub().clone();
    assert_eq!(hub.last_purge(&target), hub.last_message(&channel("c")));
    publish(&publisher, "c", "2").await;
    tokio::time::sleep(T).await;
    assert_eq!(hub.last_purge(&target), hub.now());
}

/// Its publisher heard no answer, and says it once more: that takes no newer one's place.
#[tokio::test(start_paused = true)]
async fn d2a_what_is_said_again_takes_no_newer_ones_place() {
    for (ids, sent) in [
        // It was sent.
        (&["a", "b", "a"][..], &["a", "b"][..]),
        // It was replaced.
        (&["a", "b", "c", "b"], &["a", "c"]),
        (&["a", "b", "b"], &["a", "b"]),
    ] {
        let publisher = latest();
        let seen = record(subscribe(publisher.edge(), "c"));
        let mut receipt = Receipt::default();
        for id in ids {
            let message = Message::bytes((*id).to_owned()).with_id(*id);
            receipt = publisher.publish("c", message).await.expect("accepted");
        }
        tokio::time::sleep(3 * T).await;
        let texts: Vec<String> = seen.lock().iter().map(|(_, text)| text.clone()).collect();
        assert_eq!(texts, sent, "{ids:?}");
        let is_newest = ids.last() == sent.last();
        assert_eq!(receipt.superseded, usize::from(!is_newest), "{ids:?}");
    }
}
