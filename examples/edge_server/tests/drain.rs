//! Signals.

mod common;

use std::io::{Read, Write};
use std::time::Duration;

use common::{App, Server, Stream, connect, get, read_answer};
use tokio::time::Instant;

#[test]
fn sigterm_ends_holds_and_exits_0() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start(&[]);
        let mut stream = Stream::open(server.public, "/counters/a/");
        stream.wait_for("data: 0\n");
        let begun = Instant::now();
        server.signal(signal);
        stream.wait_for_end();
        assert!(
            stream.text.ends_with("0\r\n\r\n"),
            "the stream ends as it should: {}",
            stream.text
        );
        let status = server.wait();
        assert_eq!(status.code(), Some(0), "{signal}");
        // Nothing had to be cut.
        assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
        server.logged(&["access", "hold=\"drain\""]);
    }
}

#[test]
fn a_client_that_never_ends_is_cut_at_the_deadline() {
    let app = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let origin = format!("http://{}", app.local_addr().expect("it is bound"));
    let mut server = Server::start(&["--origin", &origin, "--drain-deadline", "500ms"]);
    let public = server.public;
    let client = std::thread::spawn(move || get(public, "/"));
    let (_never_answered, _) = app.accept().expect("the request is forwarded");
    let begun = Instant::now();
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert!(
        begun.elapsed() >= Duration::from_millis(500),
        "it waits for the deadline"
    );
    client.join().expect("the client has ended, too");
}

/// Clients that come in the moment before the signal: the kernel has their requests, the server has not.
#[test]
fn what_was_sent_before_sigterm_is_answered() {
    let app = App::start(|_| App::page("page"));
    let mut server = Server::start(&["--origin", &format!("http://{}", app.addr)]);
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut kept = connect(server.public);
    kept.write_all(request).expect("it reads");
    let mut answer = Vec::new();
    let mut bytes = [0; 1024];
    while !answer.ends_with(b"page") {
        let count = kept.read(&mut bytes).expect("it answers");
        assert!(count > 0, "{answer:?}");
        answer.extend_from_slice(&bytes[..count]);
    }

    server.signal("STOP");
    let mut clients: Vec<_> = (0..20).map(|_| connect(server.public)).collect();
    clients.push(kept);
    for client in &mut clients {
        client.write_all(request).expect("the kernel has room");
    }
    server.signal("TERM");
    server.signal("CONT");
    for client in clients {
        let answer = read_answer(client);
        assert_eq!((answer.status, answer.body.as_str()), (200, "page"), "{answer:?}");
    }
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn who_asks_whether_it_is_well_in_a_drain_is_told_when_to_ask_again() {
    let server = Server::start(&["--drain-deadline", "30s", "--drain-spread", "29s"]);
    let mut stream = Stream::open(server.public, "/counters/a/");
    stream.wait_for("data: 0\n");
    server.signal("TERM");
    let seconds: Vec<u32> = (0..20)
        .map(|_| {
            let health = common::eventually("it drains", || {
                let health = get(server.control, "/healthz");
                (health.status == 503).then_some(health)
            });
            let seconds = health.field("retry-after").expect("it is said");
            seconds.parse().expect("a number of seconds")
        })
        .collect();
    assert!(
        seconds.iter().all(|seconds| (1..=10).contains(seconds)),
        "{seconds:?}"
    );
    assert!(seconds.iter().any(|other| *other != seconds[0]), "{seconds:?}");
}
