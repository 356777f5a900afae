//! Without options: the demo, through the whole stack.

mod common;

use std::net::TcpStream;

use common::{Server, Stream, ask, binary, eventually, get, stored};

const SSE: &str = "\nAccept: text/event-stream";

/// A figure of `/demo/state`.
fn figure(server: &Server, name: &str) -> i64 {
    let state = get(server.public, "/demo/state");
    let json: serde_json::Value = serde_json::from_str(&state.body).expect("it is JSON");
    json[name]
        .as_i64()
        .unwrap_or_else(|| i64::from(json[name] == true))
}

fn add(server: &Server, name: &str) -> common::Answer {
    ask(server.public, &format!("POST /counters/{name}/"), "")
}

#[test]
fn without_arguments_there_are_a_page_a_counter_and_pushes() {
    let mut command = binary();
    command
        .env("GRIPSTACK_LISTEN", "127.0.0.1:0")
        .env("GRIPSTACK_CONTROL", "127.0.0.1:0");
    let server = Server::spawn(command);

    let page = get(server.public, "/");
    assert_eq!(page.status, 200);
    for id in [
        "value",
        "clients",
        "origin-requests",
        "last-load",
        "plus",
        "stop",
        "state",
    ] {
        assert!(page.body.contains(&format!("id=\"{id}\"")), "{id}");
    }
    assert!(
        page.field("content-security-policy")
            .is_some_and(|policy| policy.contains("default-src 'none'"))
    );

    assert_eq!(get(server.public, "/counters/a/").body, "0\n");
    let mut one = Stream::open(server.public, "/counters/a/");
    let mut two = Stream::open(server.public, "/counters/a/");
    one.wait_for("data: 0\n");
    two.wait_for("data: 0\n");
    assert!(
        !one.text.to_ascii_lowercase().contains("grip-"),
        "clients see no instructions: {}",
        one.text
    );
    eventually("both are counted", || {
        (figure(&server, "clients") == 2).then_some(())
    });

    for value in 1..=5 {
        assert_eq!(add(&server, "a").body, format!("{value}\n"));
    }
    for stream in [&mut one, &mut two] {
        stream.wait_for("data: 5\n");
        let at = |value: i32| {
            stream
                .text
                .find(&format!("data: {value}\n"))
                .expect("each value comes")
        };
        assert!(
            (0..5).all(|value| at(value) < at(value + 1)),
            "in order: {}",
            stream.text
        );
    }
    // Whoever has seen the value and asks again gets nothing older.
    assert_eq!(get(server.public, "/counters/a/").body, "5\n");
    drop((one, two));
    eventually("they left", || (figure(&server, "clients") == 0).then_some(()));
}

#[test]
fn a_second_load_is_a_hit_and_does_not_reach_the_origin() {
    let server = Server::start(&[]);
    get(server.public, "/counters/a/");
    stored(&server);
    let reads = figure(&server, "reads");
    let hit = get(server.public, "/counters/a/");
    let status = hit.field("cache-status").expect("the cache says what it did");
    assert!(status.contains("; hit"), "{status}");
    let mut stream = Stream::open(server.public, "/counters/a/");
    stream.wait_for("data: 0\n");
    let mut stored = Stream::open(server.public, "/counters/a/");
    stored.wait_for("data: 0\n");
    assert_eq!(figure(&server, "reads"), reads + 1, "the other variant, once");
}

#[test]
fn an_outage_of_the_origin() {
    let server = Server::start(&["--publish-key", "key"]);
    let origin = server.demo.expect("the demo has an application");
    let mut before = Stream::open(server.public, "/counters/a/");
    before.wait_for("data: 0\n");
    assert_eq!(add(&server, "a").body, "1\n");
    before.wait_for("data: 1\n");
    let text = get(server.public, "/counters/a/");
    assert_eq!(text.body, "1\n");
    let mut fill = Stream::open(server.public, "/counters/a/");
    fill.wait_for("data: 1\n");

    // A change right before the end, that nobody has asked for since.
    assert_eq!(add(&server, "a").body, "2\n");
    let stopped = ask(server.public, "POST /demo/origin/stop", "");
    assert_eq!((stopped.status, figure(&server, "up")), (200, 0));
    assert!(TcpStream::connect(origin).is_err(), "it is really gone");
    assert_eq!(get(server.public, "/").status, 200, "the page is not");

    // The last good copy, and what was published since.
    let stale = get(server.public, "/counters/a/");
    assert_eq!(stale.status, 200, "{stale:?}");
    let status = stale.field("cache-status").expect("the cache says what it did");
    assert!(status.contains("outage"), "{status}");
    let mut during = Stream::open(server.public, "/counters/a/");
    during.wait_for("data: 2\n");
    assert_eq!(add(&server, "a").status, 502);

    // Publishes still reach everybody.
    let item =
        r#"{"items":[{"channel":"counter-a","formats":{"http-stream":{"content":"data: hello\n\n"}}}]}"#;
    let published = ask(server.control, "POST /publish/\nAuthorization: Bearer key", item);
    assert_eq!(published.status, 200, "{published:?}");
    before.wait_for("data: hello\n");
    during.wait_for("data: hello\n");

    // And its end: the same port, the same values.
    let started = ask(server.public, "POST /demo/origin/start", "");
    assert_eq!((started.status, figure(&server, "up")), (200, 1));
    assert_eq!(add(&server, "a").body, "3\n");
    eventually("the value is the present one", || {
        (get(server.public, "/counters/a/").body == "3\n").then_some(())
    });
}

#[test]
fn the_switch_is_for_the_page_only() {
    let server = Server::start(&[]);
    let foreign = ask(
        server.public,
        "POST /demo/origin/stop\nSec-Fetch-Site: cross-site",
        "",
    );
    assert_eq!((foreign.status, figure(&server, "up")), (403, 1));
    // Over plain HTTP a browser says only where its page is from.
    let from = |origin: &str| {
        ask(
            server.public,
            &format!("POST /demo/origin/start\nOrigin: {origin}"),
            "",
        )
        .status
    };
    for origin in ["http://evil.example", "null"] {
        assert_eq!(from(origin), 403, "{origin}");
    }
    assert_eq!(from(&format!("http://{}", server.public)), 200);
    assert_eq!(get(server.public, "/demo/origin/stop").status, 405);
    assert_eq!(get(server.public, "/demo/else").status, 404);
}

#[test]
fn the_demo_publishes_and_others_need_a_key() {
    let server = Server::start(&[]);
    let item = r#"{"items":[{"channel":"counter-a","formats":{"http-stream":{"content":"x"}}}]}"#;
    let closed = ask(server.control, "POST /publish/", item);
    assert_eq!(closed.status, 403);
    assert!(
        closed.body.contains("--publish-key") && closed.body.contains("--open-control"),
        "{closed:?}"
    );
    let wrong = ask(server.control, "POST /publish/\nAuthorization: Bearer x", item);
    assert!(matches!(wrong.status, 401 | 403), "{wrong:?}");
    assert_eq!(add(&server, "a").body, "1\n");
}

#[test]
fn clients_cannot_send_instructions() {
    let server = Server::start(&[]);
    let answer = ask(
        server.public,
        &format!("GET /counters/none{SSE}\nGrip-Hold: stream\nGrip-Channel: a"),
        "",
    );
    assert_eq!(answer.status, 404);
    assert!(!answer.head.contains("grip-"), "{answer:?}");
}

#[test]
fn an_access_line_is_written_at_the_end_without_the_query() {
    let mut server = Server::start(&[]);
    get(server.public, "/counters/a/?token=hidden");
    let line = server.logged(&[
        "access",
        "GET",
        "/counters/a/",
        "status=200",
        "bytes=2",
        "seconds=",
    ]);
    assert!(!line.contains("hidden"), "{line}");
    let mut stream = Stream::open(server.public, "/counters/b/");
    stream.wait_for("data: 0\n");
    drop(stream);
    server.logged(&["access", "/counters/b/", "hold=\"client\""]);
}

#[test]
fn text_is_compressed_and_streams_are_not() {
    let server = Server::start(&[]);
    let mut stream = Stream::open(server.public, "/counters/a/\nAccept-Encoding: gzip");
    stream.wait_for("data: 0\n");
    assert!(
        !stream.text.to_ascii_lowercase().contains("content-encoding"),
        "{}",
        stream.text
    );
}

#[test]
fn the_demo_pushes_without_a_cache_too() {
    let server = Server::start(&["--role", "push"]);
    let mut stream = Stream::open(server.public, "/counters/a/");
    stream.wait_for("data: 0\n");
    assert_eq!(add(&server, "a").body, "1\n");
    stream.wait_for("data: 1\n");
    assert_eq!(get(server.public, "/counters/a/").field("cache-status"), None);
}

/// The command that the page shows: it publishes while nothing answers but the edge.
#[test]
fn the_page_shows_how_to_publish_while_the_origin_is_stopped() {
    if std::process::Command::new("curl")
        .arg("--version")
        .output()
        .is_err()
    {
        let required = std::env::var("GRIPSTACK_REQUIRE_TOOLS").is_ok_and(|value| value == "1");
        assert!(
            !required,
            "there is no curl, and GRIPSTACK_REQUIRE_TOOLS=1 asks for it"
        );
        eprintln!("skipped: there is no curl");
        return;
    }
    let mut command = binary();
    command
        .env("GRIPSTACK_LISTEN", "127.0.0.1:0")
        .env("GRIPSTACK_CONTROL", "127.0.0.1:0");
    let server = Server::spawn(command);
    let mut stream = Stream::open(server.public, "/counters/demo/");
    stream.wait_for("data: 0\n");
    assert_eq!(ask(server.public, "POST /demo/origin/stop", "").status, 200);
    let shown = |head: &str| {
        let state = ask(server.public, head, "").body;
        let state: serde_json::Value = serde_json::from_str(&state).expect("it is JSON");
        state["publish"].as_str().expect("a command").to_owned()
    };
    // A site whose name leads here must not read the key.
    let elsewhere = shown("GET http://rebound.example/demo/state");
    assert!(elsewhere.contains("Bearer KEY'"), "{elsewhere}");
    let command = shown(&format!("GET http://{}/demo/state", server.public));
    let ran = std::process::Command::new("sh")
        .args(["-c", &format!("{command} -sS")])
        .output()
        .expect("sh runs");
    assert_eq!(
        String::from_utf8_lossy(&ran.stdout),
        "Published\n",
        "{command}: {ran:?}"
    );
    stream.wait_for("data: 1000\n");
}
