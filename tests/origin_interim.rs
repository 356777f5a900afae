//! An origin that sends interim answers without end (RFC 9110 15.2).
#![cfg(feature = "origin")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use gripstack::EdgeBody;
use gripstack::origin::Origin;
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tower::ServiceExt;

/// More than any head may have, many times over.
const MOST: usize = 8 << 20;

/// `Builder::max_head_bytes`: the longest head of an answer is 64 KiB, a longer one is a 502. What stands before it counts, too,
/// or an origin has the edge read for as long as it likes: some megabytes in each poll, with others waiting.
#[tokio::test]
async fn interim_answers_without_end_are_no_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let taken = Arc::<AtomicUsize>::default();
    let count = taken.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let interim = b"HTTP/1.1 102 Processing\r\n\r\n".repeat(1_000);
            while count.load(Relaxed) < MOST && stream.write_all(&interim).await.is_ok() {
                count.fetch_add(interim.len(), Relaxed);
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            // Until it is closed.
            let _ = stream.read(&mut [0; 1]).await;
        }
    });
    let origin = Origin::new(&url).expect("a URL");
    let request = Request::get("http://a/").body(EdgeBody::empty()).expect("a request");
    let answer = origin.oneshot(request).await.unwrap_or_else(|never| match never {});
    assert!(taken.load(Relaxed) < MOST, "{} bytes and more were taken", MOST);
    assert_eq!(answer.status(), 502);
}
