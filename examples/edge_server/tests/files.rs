//! Open files: each connection is one.

mod common;

use std::net::TcpStream;

use common::{Server, Stream, binary, connect, eventually, get, send};

/// Runs it with these limits of open files, soft and hard.
fn with_open_files(soft: u32, hard: u32) -> Server {
    let binary = binary();
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "ulimit -Sn $0 && ulimit -Hn $1 && shift && exec \"$@\""])
        .args([soft.to_string(), hard.to_string()])
        .arg(binary.get_program())
        .args(["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"]);
    for (name, value) in binary.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Server::spawn(command)
}

/// As many listeners of events as there may be, and more.
fn crowd(server: &Server, count: usize) -> Vec<TcpStream> {
    let one = |_| {
        let mut socket = connect(server.public);
        send(
            &mut socket,
            "a",
            "GET /counters/a/\nAccept: text/event-stream",
            "",
        );
        socket
    };
    (0..count).map(one).collect()
}

#[test]
fn the_soft_limit_is_raised() {
    let server = with_open_files(64, 4096);
    for socket in crowd(&server, 200) {
        Stream::on(socket).wait_for("data: 0\n");
    }
}

#[test]
fn where_no_more_are_allowed_clients_wait_and_operators_do_not() {
    let mut server = with_open_files(96, 96);
    server.logged(&["WARN", "connections", "96 open files"]);
    let mut crowd = crowd(&server, 120);
    eventually("accepting pauses", || {
        let metrics = get(server.control, "/metrics").body;
        metrics
            .contains("gripstack_accept_pauses_total{listener=\"public\"} 1")
            .then_some(metrics)
    });
    assert_eq!(get(server.control, "/healthz").body, "ok\n");
    let metrics = get(server.control, "/metrics").body;
    for listener in ["public", "control"] {
        let errors = format!("gripstack_accept_errors_total{{listener=\"{listener}\"}} 0\n");
        assert!(metrics.contains(&errors), "{metrics}");
    }
    // Who leaves makes room.
    let late = crowd.split_off(60);
    drop(crowd);
    for socket in late {
        Stream::on(socket).wait_for("data: 0\n");
    }
}
