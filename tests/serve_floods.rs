//! HTTP/2 clients that send what asks for work and brings nothing.
#![cfg(feature = "serve")]

mod serve_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use gripstack::serve::Limits;
use serve_support::http2::*;
use serve_support::*;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream};

fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())
}

fn ping() -> Vec<u8> {
    frame(PING, 0, 0, &[7; 8])
}

async fn begin(pipes: &Pipes) -> DuplexStream {
    let mut io = pipes.connect(64 * 1024).io;
    io.write_all(PREFACE).await.expect("open");
    io.write_all(&frame(SETTINGS, 0, 0, &[])).await.expect("open");
    io
}

/// The types of the frames that come until the connection ends.
async fn kinds(mut io: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut got = Vec::new();
    soon(io.read_to_end(&mut got)).await.expect("a pipe");
    let (mut kinds, mut rest) = (Vec::new(), &got[..]);
    while let [a, b, c, kind, _, _, _, _, _, after @ ..] = rest {
        kinds.push(*kind);
        let len = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        rest = after.get(len..).unwrap_or_default();
    }
    kinds
}

/// The server has done what it can.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// Each of its requests is with the service before it is reset: of others h2 takes only a few.
#[tokio::test(start_paused = true)]
async fn a_client_that_resets_its_streams_without_end_is_told_to_go() {
    let requests = Arc::new(AtomicU32::new(0));
    let counted = requests.clone();
    let service = service(move |_| {
        counted.fetch_add(1, Relaxed);
        std::future::pending()
    });
    let (pipes, server) = start_pipes(service, Limits::default());
    let io = begin(&pipes).await;
    let (read, mut write) = tokio::io::split(io);
    let flooding = tokio::spawn(async move {
        for nth in 0..3_000 {
            write.write_all(&get(2 * nth + 1, "/")).await?;
            settle().await;
            write.write_all(&reset(2 * nth + 1)).await?;
        }
        Ok::<_, std::io::Error>(())
    });
    assert!(kinds(read).await.contains(&GOAWAY));
    let _ = soon(flooding).await;
    let requests = requests.load(Relaxed);
    assert!((1_000..=1_002).contains(&requests), "{requests}");
    assert_eq!(server.stats.flooded(), 1);
    until("it is closed", || server.stats.open() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_acknowledgements_without_end_is_told_to_go() {
    for what in [ping(), frame(SETTINGS, 0, 0, &[])] {
        let (pipes, server) = start_pipes(echo().0, Limits::default());
        let (read, mut write) = tokio::io::split(begin(&pipes).await);
        let flood = tokio::spawn(async move { write.write_all(&what.repeat(50_000)).await });
        assert!(kinds(read).await.contains(&GOAWAY));
        drop(flood);
        assert_eq!(server.stats.flooded(), 1);
        until("it is closed", || server.stats.open() == 0).await;
    }
}

/// Then nothing more is read of it, and its connection ends like that of any reader who takes nothing.
#[tokio::test(start_paused = true)]
async fn who_reads_no_acknowledgements_is_cut() {
    let (pipes, server) = start_pipes(echo().0, Limits::default());
    let mut io = begin(&pipes).await;
    let pings = ping().repeat(9_000);
    let _ = tokio::time::timeout(Duration::from_secs(5), io.write_all(&pings)).await;
    assert_eq!((server.stats.open(), server.stats.flooded()), (1, 0));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((server.stats.open(), server.stats.stalled()), (0, 1));
    drop(io);
}

#[tokio::test(start_paused = true)]
async fn who_resets_and_pings_as_applications_do_goes_on() {
    let (pipes, server) = start_pipes(echo().0, Limits::default());
    let mut io = begin(&pipes).await;
    let mut buf = vec![0; 64 * 1024];
    for round in 0..20_u32 {
        // A page that is left, with its hundred requests, and measuring by pings as data comes.
        for nth in 0..100 {
            let stream = 2 * (100 * round + nth) + 1;
            io.write_all(&get(stream, "/")).await.expect("goes on");
            settle().await;
            io.write_all(&[reset(stream), ping()].concat())
                .await
                .expect("goes on");
            let _ = tokio::time::timeout(Duration::ZERO, io.read(&mut buf)).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // All of it is answered.
    io.write_all(&ping()).await.expect("goes on");
    let mut got = Vec::new();
    let acknowledged = frame(PING, ACK, 0, &[7; 8]);
    while !got.ends_with(&acknowledged) {
        let n = soon(io.read(&mut buf)).await.expect("goes on");
        assert_ne!(n, 0);
        got.extend_from_slice(&buf[..n]);
    }
    assert_eq!((server.stats.open(), server.stats.flooded()), (1, 0));
}
