//! A log that cannot be written costs lines of the log, and nothing else.

mod common;

use std::io::{Read, Write, pipe};
use std::process::Stdio;

use common::{App, Server, binary, connect, eventually, get};

/// In front of an application, logging to this.
fn logging_to(app: &App, stderr: impl Into<Stdio>) -> Server {
    let mut command = binary();
    command
        .args(["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--origin"])
        .arg(format!("http://{}", app.addr));
    Server::spawn_logging_to(command, stderr.into())
}

/// The lines that were lost so far.
fn lost(server: &Server) -> u64 {
    let metrics = get(server.control, "/metrics").body;
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("gripstack_log_lines_lost_total "));
    line.expect("it is counted").parse().expect("a number")
}

/// Answers, counts what it could not log, and ends when it is told to.
fn goes_on(mut server: Server) {
    for _ in 0..3 {
        assert_eq!(get(server.public, "/a").body, "page");
    }
    assert_eq!(get(server.control, "/healthz").status, 200);
    eventually("lines are lost", || (lost(&server) >= 3).then_some(()));
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn on_a_full_disk_it_goes_on() {
    let app = App::start(|_| App::page("page"));
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .expect("Linux has it");
    goes_on(logging_to(&app, full));
}

#[test]
fn when_the_reader_of_the_log_has_gone_it_goes_on() {
    let app = App::start(|_| App::page("page"));
    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    goes_on(logging_to(&app, writer));
}

#[test]
fn when_nobody_reads_the_log_it_goes_on() {
    let app = App::start(|_| App::page("page"));
    let (_unread, writer) = pipe().expect("a pipe");
    let server = logging_to(&app, writer);
    // Each is a line of more than a kilobyte: more than a pipe and the server's own room hold.
    let request = format!("HEAD /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(1_000));
    let mut socket = connect(server.public);
    let mut answer = [0; 4096];
    for _ in 0..3_000 {
        socket.write_all(request.as_bytes()).expect("it reads");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let count = socket.read(&mut answer).expect("it answers");
            assert!(count > 0, "it closed the connection");
            head.extend_from_slice(&answer[..count]);
        }
        assert!(head.starts_with(b"HTTP/1.1 200 "), "{head:?}");
    }
    goes_on(server);
}

/// What the server refuses reaches no layer that logs.
#[test]
fn refused_requests_are_in_the_log() {
    let app = App::start(|_| App::page("page"));
    let mut server = Server::start(&["--origin", &format!("http://{}", app.addr)]);
    let send = |addr, request: &str| {
        let mut socket = connect(addr);
        socket.write_all(request.as_bytes()).expect("it reads");
        common::read_answer(socket).status
    };
    let fields = "X: y\r\n".repeat(200);
    for (request, status, parts) in [
        (
            "GET /a?secret HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(),
            400,
            ["path=/a ", "reason=\"host-invalid\""],
        ),
        (
            format!("GET /{} HTTP/1.1\r\n", "b".repeat(9_000)),
            414,
            ["path=/bbb", "reason=\"target-too-long\""],
        ),
        (
            format!("GET /c HTTP/1.1\r\n{fields}\r\n"),
            431,
            ["path=/c ", "reason=\"too-many-fields\""],
        ),
    ] {
        for (addr, listener) in [
            (server.public, None),
            (server.control, Some("listener=\"control\"")),
        ] {
            assert_eq!(send(addr, &request), status);
            let status = format!("status={status}");
            let mut wanted = vec!["access", "127.0.0.1", "method=GET", "end=\"refused\"", &status];
            wanted.extend(parts.iter().copied().chain(listener));
            let line = server.logged(&wanted);
            assert!(!line.contains("secret"), "{line}");
        }
    }
}
