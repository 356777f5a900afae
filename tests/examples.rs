//! Each example does what its first lines say: the built program, real sockets, a pushed message, an orderly end.
//!
//! `cargo test` builds the examples; with `--test examples` alone, run `cargo build --examples` (and the same features)
//! before.
#![cfg(all(
    feature = "hold",
    feature = "cache",
    feature = "purge",
    feature = "publish",
    feature = "serve",
    feature = "tower"
))]

mod compose_support;

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use compose_support::{Client, Live, PATIENCE, get, purge, request, soon};
use gripstack::EdgeBody;
use http::{Method, Request};
use http_body_util::BodyExt;
use tokio::net::TcpStream;

/// A running example. Killed when it is dropped, if it has not ended.
struct Example {
    child: Child,
    stdout: BufReader<ChildStdout>,
    addr: SocketAddr,
}

impl Example {
    /// Starts it on any port.
    fn start(name: &str) -> Self {
        let path = built(name);
        let started = Command::new(&path)
            .arg("0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = started.unwrap_or_else(|error| {
            panic!(
                "{}: {error}; `cargo build --examples --features full` makes it",
                path.display()
            )
        });
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("it prints its address");
        let addr = line
            .trim()
            .strip_prefix("listening on http://")
            .expect("it says where it listens");
        let addr = addr.parse().expect("an address");
        Self { child, stdout, addr }
    }

    /// Asks it to end, as Ctrl-C does, and waits until it has.
    async fn end(mut self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .expect("kill runs");
        assert!(sent.success());
        let ended = tokio::task::spawn_blocking(move || {
            let status = self.child.wait().expect("a child of ours");
            let mut rest = String::new();
            self.stdout.read_to_string(&mut rest).expect("text");
            (status, rest)
        });
        let (status, rest) = soon(ended).await.expect("no panic");
        assert!(status.success(), "{status}");
        assert_eq!(rest, "", "it says no more than where it listens");
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where cargo puts an example: beside the directory of the test that runs.
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a program");
    let profile = test.ancestors().nth(2).expect("target/<profile>/deps/<test>");
    profile
        .join("examples")
        .join(name)
        .with_extension(std::env::consts::EXE_EXTENSION)
}

/// The data of the next event of this name.
async fn event(stream: &mut Live, name: &str) -> String {
    stream.until(&format!("event: {name}\n")).await;
    let data = stream.until("\n\n").await;
    data.trim_end_matches('\n')
        .strip_prefix("data: ")
        .expect("data")
        .to_owned()
}

#[tokio::test]
async fn hold_only() {
    let example = Example::start("hold_only");
    let client = Client::new(example.addr);
    let mut early = client.get("/").await;
    assert_eq!(early.field("content-type"), "text/event-stream");
    let first: u64 = event(&mut early, "tick").await.parse().expect("a number");
    assert_eq!(event(&mut early, "tick").await, (first + 1).to_string());
    // One that comes later goes on from where it is, and so does the other.
    let mut late = client.get("/").await;
    let now: u64 = event(&mut late, "tick").await.parse().expect("a number");
    assert!(now > first);
    assert_eq!(event(&mut late, "tick").await, (now + 1).to_string());
    assert_eq!(event(&mut early, "tick").await, (first + 2).to_string());
    // With two clients held.
    example.end().await;
    assert_eq!(late.text().await, "", "the stream ends cleanly");
}

#[tokio::test]
async fn cache_only() {
    let example = Example::start("cache_only");
    let client = Client::new(example.addr);
    // All at once wait for one.
    let all = tokio::join!(
        client.get("/report"),
        client.get("/report"),
        client.get("/report")
    );
    let mut stored = 0;
    for answer in [all.0, all.1, all.2] {
        let status = answer.field("cache-status").to_owned();
        assert!(status.starts_with("gripstack; fwd=uri-miss; ttl="), "{status}");
        stored += usize::from(status.ends_with("; stored"));
        assert!(
            status.ends_with("; stored") || status.ends_with("; collapsed"),
            "{status}"
        );
        assert_eq!(
            answer.text().await,
            "/report: report number 1, after a second of work\n"
        );
    }
    assert_eq!(stored, 1);
    let hit = client.get("/report").await;
    assert!(
        hit.field("cache-status").starts_with("gripstack; hit; ttl="),
        "{:?}",
        hit.headers
    );
    assert_eq!(
        hit.text().await,
        "/report: report number 1, after a second of work\n"
    );
    assert_eq!(
        client.get("/other").await.text().await,
        "/other: report number 2, after a second of work\n"
    );
    example.end().await;
}

fn events(path: &str) -> Request<EdgeBody> {
    let request = Request::get(path).header("accept", "text/event-stream");
    request.body(EdgeBody::empty()).expect("a request")
}

#[tokio::test]
async fn axum_app() {
    let example = Example::start("axum_app");
    let client = Client::new(example.addr);
    let mut first = client.send(events("/likes")).await;
    assert_eq!(event(&mut first, "likes").await, "0");
    let like = || request(Method::POST, "/likes", "");
    for n in 1..=3 {
        assert_eq!(client.send(like()).await.text().await, format!("{n}\n"));
        assert_eq!(event(&mut first, "likes").await, n.to_string());
        assert_eq!(client.get("/likes").await.text().await, format!("{n}\n"));
    }
    let hit = client.get("/likes").await;
    assert!(hit.field("cache-status").contains("; hit"), "{:?}", hit.headers);

    // The cached events are older than the likes: the last one is replayed.
    let mut second = Client::http2(example.addr).send(events("/likes")).await;
    for n in ["0", "3"] {
        assert_eq!(event(&mut second, "likes").await, n);
    }

    let body =
        r#"{"items": [{"channel": "likes", "formats": {"http-stream": {"content": "data: hello\n\n"}}}]}"#;
    assert_eq!(
        client
            .send(request(Method::POST, "/publish", body))
            .await
            .text()
            .await,
        "Published\n"
    );
    for stream in [&mut first, &mut second] {
        assert_eq!(stream.until("\n\n").await, "data: hello\n\n");
    }
    assert_eq!(client.send(like()).await.text().await, "4\n");
    for stream in [&mut first, &mut second] {
        assert_eq!(event(stream, "likes").await, "4");
    }

    let before = client.get("/likes").await;
    assert_eq!(before.text().await, "4\n");
    assert_eq!(client.send(purge("/likes")).await.status, 200);
    let after = client.get("/likes").await;
    assert!(
        after.field("cache-status").contains("fwd="),
        "{:?}",
        after.headers
    );
    let anonymous = Request::post("/publish")
        .body(EdgeBody::from(body))
        .expect("a request");
    assert_eq!(client.send(anonymous).await.status, 401);

    let me: SocketAddr = client
        .get("/whoami")
        .await
        .text()
        .await
        .trim()
        .parse()
        .expect("an address");
    assert!(me.ip().is_loopback() && me != example.addr);
    example.end().await;
}

/// A gRPC call: the messages, and the status with its text.
async fn grpc(addr: SocketAddr, method: &str, text: &str) -> (Vec<String>, String) {
    let stream = TcpStream::connect(addr).await.expect("connects");
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = soon(hyper::client::conn::http2::handshake(executor, io))
        .await
        .expect("a handshake");
    tokio::spawn(connection);
    let length = u8::try_from(text.len()).expect("a short text");
    let request = Request::post(format!("http://{addr}/demo.Shouter/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(EdgeBody::from([&[0, 0, 0, 0, length], text.as_bytes()].concat()))
        .expect("a request");
    let answer = soon(sender.send_request(request)).await.expect("an answer");
    let mut fields = answer.headers().clone();
    let whole = soon(answer.into_body().collect()).await.expect("whole");
    fields.extend(whole.trailers().cloned().unwrap_or_default());
    let mut rest = &whole.to_bytes()[..];
    let mut messages = Vec::new();
    while let [0, 0, 0, 0, length, after @ ..] = rest {
        let (message, after) = after.split_at(usize::from(*length));
        messages.push(String::from_utf8(message.to_vec()).expect("text"));
        rest = after;
    }
    let field = |name| fields.get(name).map_or("", |value| value.to_str().expect("text"));
    let status = format!("{} {}", field("grpc-status"), field("grpc-message"));
    (messages, status.trim().to_owned())
}

#[tokio::test]
async fn tonic_app() {
    let example = Example::start("tonic_app");
    let mut h1 = Client::new(example.addr).get("/shouts").await;
    let mut h2 = Client::http2(example.addr).get("/shouts").await;
    assert_eq!(event(&mut h1, "shout").await, "");
    assert_eq!(event(&mut h2, "shout").await, "");
    for word in ["hello", "world"] {
        let loud = word.to_uppercase();
        assert_eq!(
            grpc(example.addr, "Shout", word).await,
            (vec![loud.clone()], "0".into())
        );
        assert_eq!(event(&mut h1, "shout").await, loud);
        assert_eq!(event(&mut h2, "shout").await, loud);
    }
    let refused = "3 nothing%20to%20shout".into();
    assert_eq!(grpc(example.addr, "Shout", "").await, (vec![], refused));
    let letters = ["a", "b", "c"].map(str::to_owned).to_vec();
    assert_eq!(grpc(example.addr, "Spell", "abc").await, (letters, "0".into()));
    assert_eq!(
        grpc(example.addr, "Whisper", "abc").await.1,
        "12 no%20such%20method"
    );

    let mut late = Client::new(example.addr).send(get("/shouts")).await;
    assert_eq!(event(&mut late, "shout").await, "WORLD");
    example.end().await;
    assert_eq!(h2.text().await, "", "the stream ends cleanly");
}

/// The patience of a drain is longer than that of an example.
const _: () = assert!(PATIENCE.as_secs() > Duration::from_secs(5).as_secs());
