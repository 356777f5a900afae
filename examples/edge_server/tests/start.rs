//! What cannot start says why, in one line, with the name of the option.

mod common;

use std::net::TcpListener;

use common::{Server, ask, binary, run};

#[track_caller]
fn refused(args: &[&str], parts: &[&str]) {
    let (status, stdout, stderr) = run(args);
    assert_eq!(status.code(), Some(2), "{stderr}");
    assert_eq!(stdout, "", "{args:?}");
    assert_eq!(stderr.lines().count(), 1, "one line: {stderr}");
    for part in parts {
        assert!(stderr.contains(part), "{part:?} is missing in: {stderr}");
    }
}

/// A file with this content, for as long as the test runs.
fn file(name: &str, content: &str) -> String {
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("start-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("the directory is ours");
    let path = dir.join(name);
    std::fs::write(&path, content).expect("the directory is ours");
    path.to_string_lossy().into_owned()
}

#[test]
fn open_control_is_refused_where_others_reach_it() {
    refused(
        &["--open-control", "--control", "0.0.0.0:0"],
        &["--open-control", "--control 0.0.0.0:0", "loopback"],
    );
    refused(
        &["--open-control", "--control", "[::]:0"],
        &["--open-control", "loopback"],
    );
    refused(
        &[
            "--open-control",
            "--control-on-public",
            "--listen",
            "0.0.0.0:0",
            "--control",
            "127.0.0.1:0",
        ],
        &["--open-control", "--listen 0.0.0.0:0"],
    );
}

#[test]
fn wrong_options_are_named() {
    refused(&["--listen", "here"], &["--listen", "here"]);
    refused(&["--interval", "1"], &["--interval"]);
    refused(&["--lisen=a"], &["--lisen"]);
    refused(
        &["--grip-iss=me", "--grip-key=base64:@@@"],
        &["--grip-key", "not base64"],
    );
    refused(&["--publish-key=base64:@@@"], &["--publish-key", "not base64"]);
    refused(
        &["--config", &file("unknown.toml", "lisen = 'a'")],
        &["--config", "unknown.toml", "lisen"],
    );
    refused(
        &["--config", &file("wrong.toml", "interval = 'a'")],
        &["wrong.toml", "\"interval\""],
    );
    refused(&["--log", "a=b=c"], &["--log"]);
    for typo in ["inof", "warn,inof", "inof,access=debug"] {
        refused(
            &["--log", typo],
            &["--log", "\"inof\"", "info", "debug", "inof=info"],
        );
    }
}

#[test]
fn what_was_meant_is_said() {
    refused(&["--compress", "false"], &["=", "--compress=false"]);
    refused(
        &["--config", &file("underscore.toml", "publish_key = 'a'")],
        &["unknown key \"publish_key\"", "\"publish-key\""],
    );
    refused(
        &["--config", &file("similar.toml", "lisen = 'a'")],
        &["unknown key \"lisen\"", "\"listen\""],
    );
    refused(&["--max-connections", "-1"], &["--max-connections", "-1"]);
    refused(&["--max-connections", "many"], &["--max-connections", "many"]);
}

#[test]
fn wrong_variables_are_named() {
    let mut command = binary();
    let output = command
        .env("GRIPSTACK_INTERVAL", "soon")
        .output()
        .expect("the binary runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr.contains("--interval") && stderr.contains("GRIPSTACK_INTERVAL"),
        "{stderr}"
    );
}

#[test]
fn an_address_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = taken.local_addr().expect("it is bound").to_string();
    refused(
        &["--listen", &addr, "--control", "127.0.0.1:0", "--log", "off"],
        &["--listen", &addr],
    );
    refused(
        &["--control", &addr, "--listen", "127.0.0.1:0", "--log", "off"],
        &["--control", &addr],
    );
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let ports = ["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"];
    let with = |args: &[&'static str]| [&ports[..], args].concat();
    refused(
        &with(&["--tls-cert", "/none", "--tls-key", "/none"]),
        &["--tls-cert", "/none"],
    );
    refused(
        &with(&["--origin", "https://a", "--origin-ca", "/none"]),
        &["--origin-ca", "/none"],
    );
    let empty = file("empty.pem", "");
    let args = [&ports[..], &["--tls-cert", &empty, "--tls-key", &empty]].concat();
    refused(&args, &["--tls-cert"]);
    let args = [&ports[..], &["--origin", "https://a", "--origin-ca", &empty]].concat();
    refused(&args, &["--origin-ca"]);
}

#[test]
fn secrets_come_from_files() {
    let key = file("publish-key", "hunter2\n");
    let token = file("purge-token", "hunter3\r\n");
    let server = Server::start(&[
        "--origin",
        "http://127.0.0.1:1",
        "--publish-key-file",
        &key,
        "--purge-token-file",
        &token,
    ]);
    let item = r#"{"items":[{"channel":"a","http-stream":{"content":"x"}}]}"#;
    let publish = |key: &str| {
        ask(
            server.control,
            &format!("POST /publish/\nAuthorization: Bearer {key}"),
            item,
        )
        .status
    };
    assert_eq!((publish("hunter2"), publish("hunter")), (200, 401));
    let purge = |token: &str| ask(server.control, &format!("PURGE /a\nFastly-Key: {token}"), "").status;
    assert_eq!((purge("hunter3"), purge("hunter")), (200, 401));

    refused(&["--purge-token-file", "/none"], &["--purge-token-file", "/none"]);
    refused(
        &["--purge-token-file", &file("empty", "\n")],
        &["--purge-token-file", "empty"],
    );
    let two = file("two-lines", "hunter2\nhunter3\n");
    refused(&["--publish-key-file", &two], &["--publish-key", "line break"]);
    refused(
        &["--purge-token-file", &token, "--purge-token=a"],
        &["--purge-token", "--purge-token-file"],
    );
    let (_, _, stderr) = run(&["--purge-token", "--S3CR3T"]);
    assert!(!stderr.contains("S3CR3T"), "{stderr}");
}

#[test]
fn routes_that_cannot_be_used_are_named() {
    let ports = ["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"];
    let with = |args: &[&'static str]| [&ports[..], args].concat();
    refused(
        &with(&["--route", "a=http://a", "--route", "a=http://b"]),
        &["--route", "same host"],
    );
    refused(&with(&["--route", "a b=http://a"]), &["--route"]);
}

#[test]
fn help_names_all_and_shows_no_secret() {
    let output = binary()
        .arg("--help")
        .env("GRIPSTACK_PUBLISH_KEY", "hunter2")
        .output()
        .expect("the binary runs");
    let help = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success());
    for part in [
        "--listen",
        "--origin",
        "--publish-key",
        "GRIPSTACK_PUBLISH_KEY",
        "SIGHUP",
        "127.0.0.1:7999",
    ] {
        assert!(help.contains(part), "{part}");
    }
    assert!(!help.contains("hunter2"));
}
