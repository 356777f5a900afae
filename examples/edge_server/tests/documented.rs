//! What docs/operations.md tells operators to look at and to run.

mod common;

use std::collections::BTreeSet;
use std::process::Command;

use common::{App, Server, ask, eventually, get};

const PAGE: &str = include_str!("../../../docs/operations.md");

/// The part of the page under this heading.
fn section(heading: &str) -> &'static str {
    let (_, after) = PAGE
        .split_once(&format!("\n## {heading}\n"))
        .expect("there is such a heading");
    after.split("\n## ").next().expect("split gives one at least")
}

/// The lines of its blocks of this language.
fn lines(section: &'static str, language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    let blocks = section.split(fence.as_str()).skip(1);
    blocks
        .flat_map(|block| block.split("```").next().unwrap_or_default().lines())
        .collect()
}

#[test]
fn all_numbers_are_in_the_table_and_no_others() {
    let rows = section("All numbers").lines().filter_map(|line| {
        let row = line.trim_start_matches(['|', ' ', '*']).strip_prefix('`')?;
        let name = row.split('`').next()?;
        name.starts_with("gripstack_").then(|| name.to_owned())
    });
    let documented: BTreeSet<String> = rows.collect();

    // Each that appears when there is something to count: an origin that is not there, a paced message.
    let server = Server::start(&[
        "--origin",
        "http://127.0.0.1:1",
        "--open-control",
        "--pace",
        "a=1s",
    ]);
    assert_eq!(get(server.public, "/").status, 502);
    let item = r#"{"items":[{"channel":"a","http-stream":{"content":"x"}}]}"#;
    assert_eq!(ask(server.control, "POST /publish/", item).status, 200);
    let metrics = get(server.control, "/metrics").body;
    let counted = metrics.lines().filter_map(|line| {
        let name = line.strip_prefix("# TYPE ")?.split(' ').next()?;
        Some(name.to_owned())
    });
    assert_eq!(documented, counted.collect());

    // Those that a sentence names are among them.
    for name in PAGE.split('`').filter(|code| code.starts_with("gripstack_")) {
        let name = name.split('{').next().expect("split gives one at least");
        assert!(documented.contains(name), "{name}");
    }
}

#[test]
fn each_purge_does_what_is_said() {
    let app = App::start(|_| {
        App::page("page").replace(
            "Cache-Control",
            "Surrogate-Key: article-7 ch:updates\r\nCache-Control",
        )
    });
    let origin = format!("http://{}", app.addr);
    let server = Server::start(&["--origin", &origin, "--purge-token", "TOKEN"]);
    let load = || {
        assert_eq!(ask(server.public, "GET http://example.com/news", "").status, 200);
        !app.requests().is_empty()
    };
    let is_stored = || eventually("it is stored", || (!load()).then_some(()));

    let commands = lines(section("Purging by hand"), "sh");
    assert_eq!(commands.len(), 9);
    for command in commands {
        is_stored();
        let run = command
            .replace("127.0.0.1:7999", &server.public.to_string())
            .replace("127.0.0.1:5561", &server.control.to_string())
            .replace("curl ", "curl -sS --fail-with-body ");
        let output = Command::new("sh").args(["-c", &run]).output().expect("sh runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{command}: {output:?}");
        assert!(
            text.contains(r#""status":"ok""#) || text.contains(r#""article-7":"#),
            "{command}: {text}"
        );
        eventually(command, || load().then_some(()));
        // Another credential does nothing.
        is_stored();
        let denied = run.replace("TOKEN", "GUESS");
        let output = Command::new("sh")
            .args(["-c", &denied])
            .output()
            .expect("sh runs");
        assert!(!output.status.success(), "{command}: {output:?}");
        assert!(!load(), "{command}");
    }
}

#[test]
fn everything_is_purged_hard_and_not_often() {
    let app = App::start(|_| App::page("page"));
    let origin = format!("http://{}", app.addr);
    let server = Server::start(&[
        "--origin",
        &origin,
        "--purge-token",
        "TOKEN",
        "--purge-mode",
        "soft-block",
    ]);
    let all = |more: &str| {
        let head = format!("POST /service/any/purge_all\nFastly-Key: TOKEN\n{more}");
        ask(server.control, &head, "")
    };
    assert_eq!(all("gripstack-purge: soft-block").status, 400);
    for _ in 0..10 {
        assert_eq!(all("Fastly-Soft-Purge: 1").status, 200);
    }
    let refused = all("");
    assert_eq!(refused.status, 429);
    let wait = refused.field("retry-after").expect("it says when");
    assert!(
        (1..=10).contains(&wait.parse::<u64>().expect("seconds")),
        "{wait}"
    );
}
