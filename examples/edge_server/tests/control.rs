//! Control endpoints: where they are, and for whom.

mod common;

use common::{App, Server, ask, get, stored};

const ITEM: &str = r#"{"items":[{"channel":"a","formats":{"http-stream":{"content":"x"}}}]}"#;

fn proxy(app: &App, args: &[&str]) -> Server {
    let origin = format!("http://{}", app.addr);
    Server::start(&[&["--origin", &origin], args].concat())
}

fn app() -> App {
    App::start(|_| App::page("page"))
}

/// Whether the next load reaches the application.
fn is_gone(server: &Server, app: &App) -> bool {
    app.requests();
    assert_eq!(get(server.public, "/a").body, "page");
    !app.requests().is_empty()
}

#[test]
fn purge_with_a_token_works_on_both_listeners() {
    let app = app();
    let server = proxy(&app, &["--purge-token", "token"]);
    assert!(is_gone(&server, &app));
    assert!(!is_gone(&server, &app));
    let on_public = ask(server.public, "PURGE /a\nFastly-Key: token", "");
    assert_eq!(on_public.status, 200);
    assert!(
        on_public.body.contains("\"status\"") && on_public.body.contains("ok"),
        "{on_public:?}"
    );
    assert!(is_gone(&server, &app));

    // The other listener has another address: the URL is said in full.
    let url = format!("http://{}/a", server.public);
    let on_control = ask(server.control, &format!("PURGE {url}\nFastly-Key: token"), "");
    assert_eq!(on_control.status, 200, "{on_control:?}");
    assert!(is_gone(&server, &app));
    let by_api = ask(
        server.control,
        &format!("POST /purge/{}/a\nFastly-Key: token", server.public),
        "",
    );
    assert_eq!(by_api.status, 200, "{by_api:?}");
    assert!(is_gone(&server, &app));
    assert!(!is_gone(&server, &app));
}

#[test]
fn purge_without_the_token_does_nothing() {
    let app = app();
    let server = proxy(&app, &["--purge-token", "token"]);
    is_gone(&server, &app);
    for addr in [server.public, server.control] {
        let url = format!("http://{}/a", server.public);
        for field in ["X: y", "Fastly-Key: other", "Fastly-Key:"] {
            let refused = ask(addr, &format!("PURGE {url}\n{field}"), "");
            assert!(matches!(refused.status, 401 | 403 | 405), "{refused:?}");
            assert!(!refused.body.contains("token\""), "{refused:?}");
        }
    }
    assert!(!is_gone(&server, &app));
}

/// From outside `PURGE` is a method like any unknown one; operators are told what is missing.
#[test]
fn purge_without_credentials_is_explained_to_operators_only() {
    let app = app();
    let server = proxy(&app, &["--purge-token", "token"]);
    let public = ask(server.public, "PURGE /a", "");
    assert_eq!(public.status, 405);
    assert!(!public.body.to_ascii_lowercase().contains("key"), "{public:?}");
    let control = ask(server.control, "PURGE /a", "");
    assert_eq!(control.status, 401);
    assert!(control.body.contains("Fastly-Key"), "{control:?}");
}

#[test]
fn what_control_refuses_is_logged_and_the_rest_where_it_is_asked_for() {
    let app = app();
    let mut server = proxy(&app, &["--purge-token", "token", "--publish-key", "key"]);
    ask(server.control, "POST /publish/\nAuthorization: Bearer key", ITEM);
    get(server.control, "/healthz");
    ask(server.control, "PURGE /a\nFastly-Key: other", "");
    let first = server.logged(&["access", "listener=\"control\""]);
    assert!(first.contains("PURGE") && first.contains("status=401"), "{first}");
    ask(
        server.control,
        "POST /publish/\nAuthorization: Bearer other",
        ITEM,
    );
    server.logged(&[
        "listener=\"control\"",
        "POST",
        "/publish/",
        "status=401",
        "127.0.0.1",
    ]);

    let mut server = proxy(&app, &["--publish-key", "key", "--log", "info,access=debug"]);
    ask(server.control, "POST /publish/\nAuthorization: Bearer key", ITEM);
    server.logged(&["access", "listener=\"control\"", "/publish/", "status=200"]);
}

#[test]
fn what_is_closed_says_what_opens_it() {
    let app = app();
    let server = proxy(&app, &[]);
    let publish = ask(server.control, "POST /publish/\nAuthorization: Bearer x", ITEM);
    assert_eq!(publish.status, 403);
    assert!(publish.body.contains("--publish-key"), "{publish:?}");
    for head in ["PURGE /a", "POST /purge/a/b", "POST /service/x/purge_all"] {
        let purge = ask(server.control, head, "");
        assert_eq!(purge.status, 403, "{head}");
        assert!(purge.body.contains("--purge-token"), "{purge:?}");
    }
    let public = ask(server.public, "PURGE /a", "");
    assert!(matches!(public.status, 401 | 403 | 405), "{public:?}");
}

#[test]
fn publish_takes_a_token_and_nothing_else() {
    let app = app();
    let server = proxy(&app, &["--publish-key", "key"]);
    assert_eq!(
        ask(server.control, "POST /publish/\nAuthorization: Bearer key", ITEM).status,
        200
    );
    assert_eq!(
        ask(server.control, "POST /publish\nAuthorization: Bearer key", ITEM).status,
        200
    );
    for field in ["X: y", "Authorization: Bearer other", "Authorization: key"] {
        let refused = ask(server.control, &format!("POST /publish/\n{field}"), ITEM);
        assert!(matches!(refused.status, 401 | 403), "{refused:?}");
    }
}

#[test]
fn open_control_needs_no_credentials_and_is_not_public() {
    let app = app();
    let server = proxy(&app, &["--open-control"]);
    assert_eq!(ask(server.control, "POST /publish/", ITEM).status, 200);
    assert_eq!(ask(server.control, "PURGE /a", "").status, 200);
    let public = ask(server.public, "PURGE /a", "");
    assert!(matches!(public.status, 401 | 403 | 405), "{public:?}");
    // No path of the application is taken.
    assert_eq!(ask(server.public, "POST /publish/", ITEM).body, "page");
    assert_eq!(get(server.public, "/metrics").body, "page");
}

/// A page of any website may send a simple POST here, and one whose name resolves to here anything.
#[test]
fn open_control_takes_nothing_from_websites() {
    let app = app();
    let server = proxy(&app, &["--open-control", "--control-host", "edge.internal"]);
    for (field, reason) in [
        ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Site"),
        ("Origin: http://evil.example", "Origin"),
        ("Origin: null", "Origin"),
    ] {
        for head in ["POST /publish/", "PURGE /a", "POST /service/x/purge_all"] {
            let refused = ask(server.control, &format!("{head}\n{field}"), ITEM);
            assert_eq!(refused.status, 403, "{head} {field}: {refused:?}");
            assert!(refused.body.contains(reason), "{refused:?}");
        }
    }
    let port = server.control.port();
    let named = |host: &str| {
        ask(
            server.control,
            &format!("POST http://{host}:{port}/publish/"),
            ITEM,
        )
    };
    let refused = named("evil.example");
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("--control-host"), "{refused:?}");
    for host in ["localhost", "127.0.0.1", "edge.internal"] {
        assert_eq!(named(host).status, 200, "{host}");
    }
    // What is purged is named by the host.
    assert_eq!(ask(server.control, "PURGE http://example.com/a", "").status, 200);
    assert_eq!(get(server.control, "/healthz").status, 200);

    // Who presents a credential is no page that knows none.
    let server = proxy(&app, &["--publish-key", "key"]);
    let published = ask(
        server.control,
        "POST http://edge:5561/publish/\nAuthorization: Bearer key\nOrigin: http://a.example",
        ITEM,
    );
    assert_eq!(published.status, 200);
}

#[test]
fn control_on_public_puts_it_there_as_well() {
    let app = app();
    let server = proxy(&app, &["--control-on-public", "--publish-key", "key"]);
    assert!(get(server.public, "/healthz").body.contains("ok"));
    assert!(get(server.public, "/metrics").body.contains("# TYPE"));
    assert_eq!(
        ask(server.public, "POST /publish/\nAuthorization: Bearer key", ITEM).status,
        200
    );
    assert_eq!(ask(server.public, "POST /publish/", ITEM).status, 401);
    assert!(ask(server.public, "PURGE /a", "").body.contains("--purge-token"));
    assert_eq!(get(server.public, "/a").body, "page");
}

#[test]
fn metrics_have_their_names() {
    let app = app();
    let server = proxy(&app, &["--open-control"]);
    get(server.public, "/a");
    stored(&server);
    get(server.public, "/a");
    ask(server.control, "POST /publish/", ITEM);
    ask(server.control, "PURGE /a", "");
    let metrics = get(server.control, "/metrics");
    assert_eq!(metrics.status, 200);
    assert!(
        metrics
            .field("content-type")
            .is_some_and(|kind| kind.starts_with("text/plain; version=0.0.4"))
    );
    for name in [
        "gripstack_holds ",
        "gripstack_holds_ended_total{",
        "gripstack_holds_marked_total ",
        "gripstack_deliveries_total ",
        "gripstack_published_total 1",
        "gripstack_purges_total 1",
        "gripstack_superseded_total ",
        "gripstack_cache_total{result=\"hit\"} 1",
        "gripstack_cache_total{result=\"miss\"} 1",
        "gripstack_cache_total{result=\"stale\"} 0",
        "gripstack_cache_total{result=\"collapsed\"} 0",
        "gripstack_fetches_total 1",
        "gripstack_channels ",
        "gripstack_subscriptions ",
        "gripstack_channel_bytes ",
        "gripstack_cache_memory_bytes ",
        "gripstack_origin_requests_total{",
        "gripstack_connections{listener=\"public\"}",
    ] {
        assert!(
            metrics.body.contains(&format!("\n{name}")),
            "{name:?} is missing in\n{}",
            metrics.body
        );
    }
}

#[test]
fn healthz_and_nothing_else() {
    let app = app();
    let server = proxy(&app, &[]);
    assert_eq!(get(server.control, "/healthz").body, "ok\n");
    assert_eq!(get(server.control, "/a").status, 404);
}
