//! Open files: each connection is one.

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, OnceLock};

use common::{App, Server, Stream, ask, binary, connect, eventually, get, send};

/// Runs it with these limits of open files, soft and hard.
fn with_open_files(soft: u32, hard: u32, args: &[&str]) -> Server {
    let binary = binary();
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "ulimit -Sn $0 && ulimit -Hn $1 && shift && exec \"$@\""])
        .args([soft.to_string(), hard.to_string()])
        .arg(binary.get_program())
        .args(["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"])
        .args(args);
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
    let server = with_open_files(64, 4096, &[]);
    for socket in crowd(&server, 200) {
        Stream::on(socket).wait_for("data: 0\n");
    }
}

#[test]
fn where_no_more_are_allowed_clients_wait_and_operators_do_not() {
    let mut server = with_open_files(96, 96, &[]);
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

/// Each of the clients, and each of their requests to the application, is an open file.
#[test]
fn with_few_open_files_clients_wait_and_operators_do_not() {
    let gate = Arc::new(OnceLock::new());
    let app = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let origin = format!("http://{}", app.local_addr().expect("it is bound"));
    let of_app = gate.clone();
    std::thread::spawn(move || {
        for mut socket in app.incoming().map_while(Result::ok) {
            let gate = of_app.clone();
            std::thread::spawn(move || {
                let _ = socket.read(&mut [0; 1024]);
                gate.wait();
                let answer = App::page("page").replace("s-maxage=600", "no-store");
                let _ = socket.write_all(answer.as_bytes());
            });
        }
    });
    let mut server = with_open_files(256, 256, &["--origin", &origin]);
    let public = server.public;
    let clients: Vec<_> = (0..200)
        .map(|n| std::thread::spawn(move || ask(public, &format!("POST /{n}"), "")))
        .collect();
    eventually("as many as may be are there", || {
        let metrics = get(server.control, "/metrics").body;
        metrics
            .contains("gripstack_accept_pauses_total{listener=\"public\"} 1")
            .then_some(())
    });
    assert_eq!(get(server.control, "/healthz").status, 200);
    gate.set(()).expect("set once");
    for client in clients {
        let answer = client.join().expect("no panic");
        assert_eq!((answer.status, answer.body.as_str()), (200, "page"), "{answer:?}");
    }
    assert!(!server.all_log().contains("cannot accept"));
    server.logged(&["INFO", "clients=144", "operators=32", "origins=48", "256"]);
}
