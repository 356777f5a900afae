//! How often, and what of it.

use super::*;

#[tokio::test(start_paused = true)]
async fn rlp_01_02_the_first_at_once_and_the_last_of_many_after_the_interval() {
    let publisher = latest();
    let seen_by_holds = record(subscribe(publisher.edge(), "c"));
    for n in 1..=10 {
        let receipt = publish(&publisher, "c", &n.to_string()).await;
        assert_eq!(receipt.position.is_some(), n == 1);
        assert_eq!(receipt.queued, usize::from(n > 1));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(5 * T).await;
    assert_eq!(*seen_by_holds.lock(), seen(&[(0, "1"), (1000, "10")]));
}

#[tokio::test(start_paused = true)]
async fn rlp_03_a_thousand_a_second_for_ten_seconds_are_eleven() {
    let publisher = latest();
    let seen_by_holds = record(subscribe(publisher.edge(), "c"));
    for n in 0..10_000 {
        publish(&publisher, "c", &n.to_string()).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(5 * T).await;
    let seen_by_holds = seen_by_holds.lock();
    assert_eq!(seen_by_holds.len(), 11, "{seen_by_holds:?}");
    assert_eq!(seen_by_holds.last().map(|(_, text)| text.as_str()), Some("9999"));
}

#[tokio::test(start_paused = true)]
async fn rlp_04_just_before_the_interval_ends_the_second_waits_for_its_end() {
    let publisher = latest();
    let seen_by_holds = record(subscribe(publisher.edge(), "c"));
    publish(&publisher, "c", "1").await;
    tokio::time::sleep(Duration::from_millis(999)).await;
    publish(&publisher, "c", "2").await;
    tokio::time::sleep(Duration::from_millis(1001)).await;
    publish(&publisher, "c", "3").await;
    tokio::time::sleep(5 * T).await;
    assert_eq!(*seen_by_holds.lock(), seen(&[(0, "1"), (1000, "2"), (2000, "3")]));
}

#[tokio::test(start_paused = true)]
async fn rlp_13_a_hot_channel_delays_no_other() {
    let publisher = latest();
    let hot = publisher.clone();
    tokio::spawn(async move {
        loop {
            publish(&hot, "hot", "x").await;
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
    });
    let mut readers = Vec::new();
    for n in 0..1_000 {
        let cold = format!("cold-{n}");
        assert!(publish(&publisher, &cold, "1").await.position.is_some());
        publish(&publisher, &cold, "2").await;
        let (mut subscription, start) = (subscribe(publisher.edge(), &cold), Instant::now());
        readers.push(tokio::spawn(async move {
            assert_eq!(text(&next(&mut subscription).await.1), "2");
            start.elapsed()
        }));
        if n % 10 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    for reader in readers {
        assert_eq!(reader.await.expect("it read"), T);
    }
}

#[tokio::test(start_paused = true)]
async fn an_earlier_deadline_wakes_the_task() {
    let ms = Duration::from_millis;
    let config = PublishConfig::new()
        .rule(Rule::latest().interval(60 * T))
        .channels("fast", Rule::latest().interval(ms(10)));
    let publisher = Publisher::new(Edge::new(), config);
    publish(&publisher, "slow", "1").await;
    tokio::time::sleep(T).await;
    let seen_by_holds = record(subscribe(publisher.edge(), "fast"));
    publish(&publisher, "fast", "1").await;
    publish(&publisher, "fast", "2").await;
    tokio::time::sleep(T).await;
    assert_eq!(*seen_by_holds.lock(), seen(&[(0, "1"), (10, "2")]));
}
