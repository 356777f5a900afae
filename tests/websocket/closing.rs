//! How a connection ends.

use futures_util::StreamExt;
use gripstack::grip::CloseFrame;
use gripstack::grip::ws_events::Event;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame as TheirFrame;

use crate::*;

#[tokio::test]
async fn a_clients_close_is_the_origins_to_answer() {
    let world = World::new(echo).await;
    let mut client = world.connect().await;
    let frame = TheirFrame {
        code: 4_000.into(),
        reason: "bye".into(),
    };
    client.close(Some(frame.clone())).await.expect("sent");
    assert_eq!(next(&mut client).await, Message::Close(Some(frame)));
    assert!(soon(client.next()).await.is_none());
    let asked = world.asked(2).await;
    let frame = CloseFrame::new(4_000, "bye").expect("a code");
    assert_eq!(asked[1].events, [Event::Close(Some(frame))]);
}

#[tokio::test]
async fn an_origin_may_close() {
    let frame = CloseFrame::new(4_002, "enough").expect("a code");
    let world = World::new(move |asked| match &asked.events[..] {
        [Event::Text(_)] => events(&[text("last"), Event::Close(Some(frame.clone()))]),
        _ => echo(asked),
    })
    .await;
    let mut client = world.connect().await;
    say(&mut client, "x").await;
    assert_eq!(next_text(&mut client).await, "last");
    let Message::Close(Some(frame)) = next(&mut client).await else {
        panic!("it is closed");
    };
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (4_002, "enough"));
    assert!(soon(client.next()).await.is_none());
}

/// The origin is told once, also of one that left while it was asked.
#[tokio::test]
async fn a_client_that_goes_away_is_told_to_the_origin_once() {
    let world = World::new(echo).await;
    let mut client = world.connect().await;
    say(&mut client, "x").await;
    next(&mut client).await;
    drop(client);
    let asked = world.asked(3).await;
    assert_eq!(asked[2].events, [Event::Disconnect]);
    // The next that it hears is of another client.
    let _other = world.connect().await;
    let asked = world.asked(4).await;
    assert_eq!((asked.len(), &asked[3].events[..]), (4, &[Event::Open][..]));
}

#[tokio::test]
async fn an_origin_that_fails_costs_its_client_the_connection() {
    let world = World::new(|asked| match &asked.events[..] {
        [Event::Text(_)] => Said {
            status: 500,
            headers: vec![],
            body: "oh".into(),
        },
        _ => echo(asked),
    })
    .await;
    let mut client = world.connect().await;
    say(&mut client, "x").await;
    assert!(!matches!(soon(client.next()).await, Some(Ok(Message::Text(_)))));
}

#[tokio::test]
async fn a_drain_closes() {
    let mut world = World::new(echo).await;
    let mut client = world.connect().await;
    world.server.begin_drain();
    let Message::Close(Some(frame)) = next(&mut client).await else {
        panic!("it is closed");
    };
    assert_eq!(u16::from(frame.code), 1001);
    let asked = world.asked(2).await;
    assert_eq!(asked[1].events.len(), 1);
}

/// Not all at once: their clients come back.
#[tokio::test]
async fn a_drain_may_be_spread() {
    let spread = std::time::Duration::from_secs(3_600);
    let answer = |asked: Asked| std::future::ready(echo(&asked));
    let mut world = World::with(answer, |holds| holds.drain_spread(spread)).await;
    let mut clients = vec![world.connect().await, world.connect().await];
    world.server.begin_drain();
    for client in &mut clients {
        // It goes on for the time being.
        say(client, "x").await;
        assert_eq!(next_text(client).await, "x");
    }
}
