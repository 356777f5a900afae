//! In front of real applications.

mod common;

use common::{App, Server, ask, eventually, get};
use rcgen::{CertifiedKey, generate_simple_self_signed};

fn named(name: &'static str) -> App {
    App::start(move |_| App::page(name))
}

#[test]
fn routes_by_host_and_longest_prefix() {
    let (all, host, api) = (named("all"), named("host"), named("api"));
    let url = |app: &App| format!("http://{}", app.addr);
    let server = Server::start(&[
        "--origin",
        &url(&all),
        "--route",
        &format!("one.example={}", url(&host)),
        "--route",
        &format!("one.example/api={}", url(&api)),
    ]);
    let ask = |host: &str, path: &str| ask(server.public, &format!("GET http://{host}{path}"), "").body;
    assert_eq!(ask("one.example", "/a"), "host");
    assert_eq!(ask("one.example", "/api/a"), "api");
    assert_eq!(ask("one.example", "/apix"), "host");
    assert_eq!(ask("two.example", "/api/a"), "all");
}

#[test]
fn an_application_that_is_down_is_a_502_with_the_reason() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let origin = format!("http://{}", gone.local_addr().expect("it is bound"));
    drop(gone);
    let server = Server::start(&["--origin", &origin]);
    let answer = get(server.public, "/");
    assert_eq!(answer.status, 502);
    assert_eq!(
        answer.field("gripstack-error"),
        Some("origin-connect-refused"),
        "{answer:?}"
    );
}

#[test]
fn an_origin_that_is_the_server_itself_is_a_508_at_once() {
    // Its own port has to be known before it starts.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let own = free.local_addr().expect("it is bound").to_string();
    drop(free);
    let mut command = common::binary();
    command.args([
        "--listen",
        &own,
        "--control",
        "127.0.0.1:0",
        "--origin",
        &format!("http://{own}"),
    ]);
    let mut server = Server::spawn(command);
    for head in [
        "GET /",
        "POST /",
        "PUT /a",
        "GET /counters/demo/\nAccept: text/event-stream",
    ] {
        let answer = ask(server.public, head, "");
        assert_eq!(answer.status, 508, "{head}: {answer:?}");
        assert_eq!(answer.field("gripstack-error"), Some("loop"), "{answer:?}");
    }
    // The request and what came back of it: no more.
    server.logged(&["access", "status=508"]);
    let accepted = get(server.control, "/metrics").body;
    let accepted = accepted
        .lines()
        .find_map(|line| line.strip_prefix("gripstack_connections_total{listener=\"public\"} "))
        .expect("it is counted");
    assert!(accepted.parse::<u32>().expect("a number") <= 8, "{accepted}");
}

#[test]
fn that_nobody_holds_whom_the_application_wants_held_is_said() {
    for cache_control in ["s-maxage=600", "no-store"] {
        let app = App::start(move |_| {
            App::page("page").replace(
                "Cache-Control: s-maxage=600",
                &format!("Grip-Hold: stream\r\nGrip-Channel: a\r\nCache-Control: {cache_control}"),
            )
        });
        let mut server = Server::start(&["--origin", &format!("http://{}", app.addr), "--role", "cache"]);
        assert_eq!(get(server.public, "/").body, "page");
        server.logged(&["WARN", "gripstack::cache", "no hold layer"]);
    }
}

#[test]
fn text_of_known_length_is_compressed() {
    let app = App::start(|_| App::page(&"a".repeat(1000)));
    let server = Server::start(&["--origin", &format!("http://{}", app.addr)]);
    let packed = ask(server.public, "GET /\nAccept-Encoding: gzip", "");
    assert_eq!(packed.field("content-encoding"), Some("gzip"));
    let plain = get(server.public, "/");
    assert_eq!(
        (plain.field("content-encoding"), plain.field("content-length")),
        (None, Some("1000"))
    );
    let off = Server::start(&["--origin", &format!("http://{}", app.addr), "--compress=false"]);
    assert_eq!(
        ask(off.public, "GET /\nAccept-Encoding: gzip", "").field("content-encoding"),
        None
    );
}

#[test]
fn roles_do_only_their_part() {
    let hold = || {
        App::start(|_| {
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\nCache-Control: s-maxage=600\r\n\
             Grip-Hold: stream\r\nGrip-Channel: a\r\n\r\nhi"
                .to_owned()
        })
    };
    let app = hold();
    let push = Server::start(&[
        "--origin",
        &format!("http://{}", app.addr),
        "--role",
        "push",
        "--open-control",
    ]);
    for _ in 0..2 {
        let mut stream = common::Stream::open(push.public, "/");
        stream.wait_for("hi");
    }
    assert_eq!(app.requests().len(), 2, "nothing is stored");
    assert_eq!(ask(push.control, "PURGE /", "").status, 404);

    let app = hold();
    let cache = Server::start(&[
        "--origin",
        &format!("http://{}", app.addr),
        "--role",
        "cache",
        "--open-control",
    ]);
    for _ in 0..2 {
        let answer = get(cache.public, "/");
        // Held by nobody: the answer ends. What it says to a push edge is not for clients.
        assert_eq!(
            (answer.body.as_str(), answer.field("grip-hold")),
            ("hi", None),
            "{answer:?}"
        );
    }
    assert_eq!(app.requests().len(), 1, "it is stored");
    assert_eq!(
        ask(cache.control, "POST /publish/", r#"{"items":[]}"#).status,
        404
    );
}

#[test]
fn requests_to_the_application_are_signed() {
    let app = named("page");
    let origin = format!("http://{}", app.addr);
    let server = Server::start(&["--origin", &origin, "--grip-iss", "me", "--grip-key", "key"]);
    ask(server.public, "GET /\nGrip-Sig: forged", "");
    let requests = app.requests();
    let head = requests[0].to_ascii_lowercase();
    let signatures: Vec<_> = head
        .lines()
        .filter(|line| line.starts_with("grip-sig: "))
        .collect();
    assert_eq!(signatures.len(), 1, "{head}");
    assert!(
        signatures[0].starts_with("grip-sig: eyj") && signatures[0].matches('.').count() == 2,
        "{head}"
    );
    assert!(head.contains("x-forwarded-for: 127.0.0.1"), "{head}");
}

/// What the application is signed with is what a client library of it would sign a publish with.
#[test]
fn a_publish_signed_with_the_key_is_taken() {
    let app = named("page");
    let origin = format!("http://{}", app.addr);
    let start = |publish_key: &str| {
        Server::start(&[
            "--origin",
            &origin,
            "--grip-iss",
            "me",
            "--grip-key",
            "key",
            "--publish-key",
            publish_key,
        ])
    };
    let server = start("key");
    get(server.public, "/");
    let head = app.requests().remove(0);
    let token = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("grip-sig").then(|| value.to_owned())
    });
    let token = token.expect("requests are signed");
    let item = r#"{"items":[{"channel":"a","http-stream":{"content":"x"}}]}"#;
    let publish = |server: &Server, token: &str| {
        ask(
            server.control,
            &format!("POST /publish/\nAuthorization: Bearer {token}"),
            item,
        )
    };
    let taken = publish(&server, &token);
    assert_eq!((taken.status, taken.body.trim()), (200, "Published"), "{taken:?}");
    assert!(matches!(
        publish(&server, &token[..token.len() - 2]).status,
        401 | 403
    ));
    assert!(matches!(publish(&start("other"), &token).status, 401 | 403));
}

/// Certificate and key of 127.0.0.1, in files of these names.
fn certificate(name: &str) -> (String, String) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("the name is good");
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("proxy-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("the directory is ours");
    let path = |end: &str| dir.join(format!("{name}.{end}")).to_string_lossy().into_owned();
    let (cert_path, key_path) = (path("crt"), path("key"));
    std::fs::write(&cert_path, cert.pem()).expect("the directory is ours");
    std::fs::write(&key_path, signing_key.serialize_pem()).expect("the directory is ours");
    (cert_path, key_path)
}

/// One server speaks TLS, another one trusts its certificate as that of its origin.
#[test]
fn tls_on_both_sides_and_a_new_certificate_by_sighup() {
    let (cert, key) = certificate("a");
    let mut inner = Server::start(&["--tls-cert", &cert, "--tls-key", &key]);
    let url = format!("https://{}", inner.public);
    let through = |ca: &str| {
        let outer = Server::start(&["--origin", &url, "--origin-ca", ca]);
        get(outer.public, "/counters/a/").status
    };
    assert_eq!(through(&cert), 200);

    // What cannot be read changes nothing.
    let saved = std::fs::read_to_string(&cert).expect("it is there");
    let old = cert.replace("a.crt", "old.crt");
    std::fs::write(&old, &saved).expect("the directory is ours");
    std::fs::write(&cert, "nothing").expect("the directory is ours");
    inner.signal("HUP");
    inner.logged(&["ERROR", "--tls-cert", "stay"]);
    assert_eq!(through(&old), 200);

    let (new, _) = certificate("a");
    inner.signal("HUP");
    inner.logged(&["read again"]);
    eventually("the new one is spoken", || (through(&new) == 200).then_some(()));
    assert_eq!(through(&old), 502);
}

const FORWARDED: &str = "GET /\nX-Forwarded-For: 1.2.3.4\nX-Forwarded-Proto: https\nX_Forwarded_Host: evil";

#[test]
fn who_the_client_is_says_nobody_but_a_trusted_proxy() {
    for (options, client, scheme) in [
        (&[][..], "127.0.0.1", "http"),
        (&["--trusted-proxies", "10.0.0.0/8"], "127.0.0.1", "http"),
        (&["--trusted-proxies", "127.0.0.0/8"], "1.2.3.4", "https"),
    ] {
        let app = named("page");
        let origin = format!("http://{}", app.addr);
        let mut server = Server::start(&[&["--origin", &origin], options].concat());
        ask(server.public, FORWARDED, "");
        let head = app.requests().remove(0).to_ascii_lowercase();
        let chain = match client {
            "1.2.3.4" => "1.2.3.4, 127.0.0.1",
            own => own,
        };
        assert!(head.contains(&format!("x-forwarded-for: {chain}\r\n")), "{head}");
        assert!(
            head.contains(&format!("x-forwarded-proto: {scheme}\r\n")),
            "{head}"
        );
        assert!(!head.contains("evil"), "{head}");
        assert!(head.contains("via: 1.1 gripstack\r\n"), "{head}");
        server.logged(&["access", &format!("peer={client} ")]);
    }
}

#[test]
fn a_proxy_that_sends_no_header_is_named_now_and_then() {
    let args = ["--trusted-proxies", "127.0.0.1", "--proxy-protocol"];
    let mut server = Server::start(&args);
    for _ in 0..3 {
        assert_eq!(get(server.public, "/").status, 0, "it is closed");
    }
    let failures = "gripstack_handshake_failures_total{listener=\"public\"} 3\n";
    assert!(get(server.control, "/metrics").body.contains(failures));
    server.logged(&["WARN", "proxy=127.0.0.1", "PROXY header"]);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    server.logged(&["drained"]);
    let said = server.all_log();
    assert_eq!(said.matches("WARN").count(), 1, "{said}");
}

#[test]
fn a_proxy_that_speaks_tcp_says_it_first() {
    use std::io::Write;

    let app = named("page");
    let origin = format!("http://{}", app.addr);
    let mut server = Server::start(&[
        "--origin",
        &origin,
        "--trusted-proxies",
        "127.0.0.1",
        "--proxy-protocol",
        "--via=off",
        "--keep-underscores",
    ]);
    let mut socket = common::connect(server.public);
    socket
        .write_all(b"PROXY TCP4 1.2.3.4 10.0.0.1 567 80\r\n")
        .expect("it reads");
    common::send(&mut socket, "a.example", FORWARDED, "");
    assert_eq!(common::read_answer(socket).body, "page");
    let head = app.requests().remove(0).to_ascii_lowercase();
    assert!(head.contains("x-forwarded-for: 1.2.3.4\r\n"), "{head}");
    assert!(head.contains("x-forwarded-proto: http\r\n"), "{head}");
    assert!(
        !head.contains("via:") && head.contains("x_forwarded_host: evil"),
        "{head}"
    );
    server.logged(&["access", "peer=1.2.3.4 "]);
    // Whoever does not say it is not served.
    assert_eq!(get(server.public, "/").status, 0);
}

/// Of a paced channel the first message goes out at once, and of those in its interval the last.
#[test]
fn channels_are_paced_by_their_prefix() {
    let app = App::start(|_| {
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\nGrip-Hold: stream\r\n\
         Grip-Channel: counter-a, counter-fast-a, news\r\n\r\nhi"
            .to_owned()
    });
    let origin = format!("http://{}", app.addr);
    let server = Server::start(&[
        "--origin",
        &origin,
        "--open-control",
        "--pace",
        "counter-=24h,counter-fast-=0s",
    ]);
    let mut stream = common::Stream::open(server.public, "/");
    stream.wait_for("hi");
    for (channel, content) in [
        ("counter-a", "a1 "),
        ("counter-a", "a2 "),
        ("counter-fast-a", "f1 "),
        ("counter-fast-a", "f2 "),
        ("news", "n1 "),
        ("news", "n2 "),
    ] {
        let item =
            format!(r#"{{"items":[{{"channel":"{channel}","http-stream":{{"content":"{content}"}}}}]}}"#);
        let answer = ask(server.control, "POST /publish/", &item);
        assert!(matches!(answer.status, 200 | 202), "{answer:?}");
        if content != "a2 " {
            stream.wait_for(content);
        }
    }
    let body = stream.text.split("\r\n\r\n").nth(1).expect("a body");
    let got: Vec<&str> = ["a1 ", "a2 ", "f1 ", "f2 ", "n1 ", "n2 "]
        .into_iter()
        .filter(|content| body.contains(content))
        .collect();
    assert_eq!(got, ["a1 ", "f1 ", "f2 ", "n1 ", "n2 "], "{body}");
}
