//! What a client and its origin say.

use futures_util::SinkExt;
use gripstack::grip::ws_events::Event;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::*;

#[tokio::test]
async fn messages_of_any_size_and_kind_go_both_ways() {
    let world = World::new(echo).await;
    let mut client = world.connect().await;
    for size in [0, 1, 125, 126, 127, 65_535, 65_536, 100_000, 199_000] {
        let bytes: Vec<u8> = (0..size).map(|n| n as u8).collect();
        client.send(Message::binary(bytes.clone())).await.expect("sent");
        assert_eq!(next(&mut client).await, Message::binary(bytes), "{size}");
        let text = "é".repeat(size / 2);
        say(&mut client, &text).await;
        assert_eq!(next_text(&mut client).await, text);
    }
}

#[tokio::test]
async fn what_is_too_large_ends_the_connection() {
    let world = World::new(echo).await;
    let mut client = world.connect().await;
    client
        .send(Message::binary(vec![0; 200_001]))
        .await
        .expect("sent");
    let Message::Close(Some(frame)) = next(&mut client).await else {
        panic!("it is closed");
    };
    assert_eq!(u16::from(frame.code), 1009);
    let asked = world.asked(2).await;
    assert_eq!(asked[1].events, [Event::Disconnect]);
}

#[tokio::test]
async fn fragments_are_one_message_whatever_comes_between() {
    let world = World::new(echo).await;
    let mut client = world.connect().await;
    let frame = |bytes: &'static [u8], opcode, is_final| {
        Message::Frame(Frame::message(bytes, OpCode::Data(opcode), is_final))
    };
    client
        .send(frame("h\u{e9}".as_bytes().split_at(2).0, Data::Text, false))
        .await
        .expect("sent");
    client.send(Message::Ping("p".into())).await.expect("sent");
    client
        .send(frame("h\u{e9}".as_bytes().split_at(2).1, Data::Continue, false))
        .await
        .expect("sent");
    client.send(frame(b"", Data::Continue, true)).await.expect("sent");
    let mut got = vec![next(&mut client).await, next(&mut client).await];
    got.sort_by_key(Message::is_text);
    // The origin's echo of a ping is one.
    assert_eq!(got, [Message::Ping("p".into()), Message::text("h\u{e9}")]);
}

#[tokio::test]
async fn what_no_client_may_send_ends_the_connection() {
    for (opcode, payload, code) in [
        (OpCode::Data(Data::Text), &b"\xff"[..], 1007),
        (OpCode::Data(Data::Continue), b"x", 1002),
        (OpCode::Data(Data::Reserved(5)), b"x", 1002),
    ] {
        let world = World::new(echo).await;
        let mut client = world.connect().await;
        let frame = Frame::message(payload, opcode, true);
        client.send(Message::Frame(frame)).await.expect("sent");
        let Message::Close(Some(frame)) = next(&mut client).await else {
            panic!("it is closed");
        };
        assert_eq!(u16::from(frame.code), code);
    }
}

/// One request at a time: what comes meanwhile goes together.
#[tokio::test]
async fn what_is_said_while_the_origin_is_asked_goes_together() {
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let world = World::later({
        let gate = gate.clone();
        move |asked| {
            let gate = gate.clone();
            async move {
                if asked.events != [Event::Open] {
                    gate.acquire().await.expect("open").forget();
                }
                echo(&asked)
            }
        }
    })
    .await;
    let mut client = world.connect().await;
    say(&mut client, "0").await;
    world.asked(2).await;
    for n in 1..=100 {
        say(&mut client, &n.to_string()).await;
    }
    client.flush().await.expect("sent");
    gate.add_permits(200);
    for n in 0..=100 {
        assert_eq!(next_text(&mut client).await, n.to_string());
    }
    assert!(world.asked.lock().len() < 20, "{}", world.asked.lock().len());
}
