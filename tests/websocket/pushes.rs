//! What is published.

use gripstack::Message as Published;
use gripstack::grip::ws_events::Event;
use gripstack::message::SocketForm;
use tokio_tungstenite::tungstenite::Message;

use crate::*;

fn subscribes(asked: &Asked) -> Said {
    match &asked.events[..] {
        [Event::Open] => events(&[Event::Open, subscribe("t")]),
        _ => echo(asked),
    }
}

#[tokio::test]
async fn who_reads_a_channel_gets_what_is_published_on_it() {
    let world = World::new(subscribes).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(world.connect().await);
    }
    for n in 0..100 {
        world.publish("t", &n.to_string()).await;
        world.publish("other", "x").await;
    }
    for client in &mut clients {
        for n in 0..100 {
            assert_eq!(next_text(client).await, n.to_string());
        }
    }
}

/// Rule C6: the origin read its state at some time after it was asked.
#[tokio::test]
async fn c6_what_is_published_while_the_origin_answers_is_not_missed() {
    let edge = std::sync::Arc::new(std::sync::OnceLock::<gripstack::Edge>::new());
    let world = World::later({
        let edge = edge.clone();
        move |asked| {
            let edge = edge.clone();
            async move {
                let said = subscribes(&asked);
                let form = SocketForm::Send(gripstack::message::SocketKind::Text, "meanwhile".into());
                let edge = edge.get().expect("it is there");
                edge.publish("t", Published::default().with_socket(form))
                    .await
                    .expect("accepted");
                said
            }
        }
    })
    .await;
    edge.set(world.edge.clone()).expect("once");
    world.publish("t", "before").await;
    let mut client = world.connect().await;
    assert_eq!(next_text(&mut client).await, "meanwhile");
}

#[tokio::test]
async fn who_leaves_a_channel_gets_nothing_more_of_it() {
    let world = World::new(|asked| match &asked.events[..] {
        [Event::Text(_)] => events(&[text(r#"c:{"type":"unsubscribe","channel":"t"}"#), text("left")]),
        _ => subscribes(asked),
    })
    .await;
    let mut client = world.connect().await;
    say(&mut client, "leave").await;
    assert_eq!(next_text(&mut client).await, "left");
    world.publish("t", "x").await;
    say(&mut client, "leave").await;
    assert_eq!(next_text(&mut client).await, "left");
    assert_eq!(world.edge.hub().stats().subscriptions, 0);
}

#[tokio::test]
async fn a_published_close_ends_it_and_a_refresh_asks_the_origin() {
    let world = World::new(|asked| match asked.events.is_empty() {
        true => events(&[text("refreshed")]),
        false => subscribes(asked),
    })
    .await;
    let mut client = world.connect().await;
    let refresh = Published::default().with_socket(SocketForm::Refresh);
    world.edge.publish("t", refresh).await.expect("accepted");
    assert_eq!(next_text(&mut client).await, "refreshed");
    let close = SocketForm::Close {
        code: Some(4_001),
        reason: "over".into(),
    };
    world
        .edge
        .publish("t", Published::default().with_socket(close))
        .await
        .expect("accepted");
    let Message::Close(Some(frame)) = next(&mut client).await else {
        panic!("it is closed");
    };
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (4_001, "over"));
}

/// Bounded: what a client does not read waits in the log, and then it is cut.
#[tokio::test]
async fn who_does_not_read_is_cut() {
    let world = World::new(subscribes).await;
    let client = world.connect().await;
    let subscribed = || world.edge.hub().stats().subscriptions;
    assert_eq!(subscribed(), 1);
    let text = "x".repeat(60_000);
    soon(async {
        while subscribed() > 0 {
            world.publish("t", &text).await;
            tokio::task::yield_now().await;
        }
    })
    .await;
    let asked = world.asked(2).await;
    assert_eq!(asked[1].events, [Event::Disconnect]);
    drop(client);
}
