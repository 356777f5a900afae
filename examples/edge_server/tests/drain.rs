//! Signals.

mod common;

use std::time::Duration;

use common::{Server, Stream, get};
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
