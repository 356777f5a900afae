use http::header::{CONNECTION, COOKIE, HOST, TE, UPGRADE};
use http::uri::Scheme;
use http::{HeaderMap, Request};
use proptest::prelude::*;

use super::host::scheme;
use super::*;

fn settled(target: &str, fields: &[(&'static str, &str)]) -> Request<()> {
    let mut request = request(target, fields);
    settle(&mut request);
    request
}

fn request(target: &str, fields: &[(&'static str, &str)]) -> Request<()> {
    let mut request = Request::get(target);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a valid request")
}

/// Field lines, sorted.
fn lines(headers: &HeaderMap) -> Vec<String> {
    let line =
        |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().expect("ASCII"));
    let mut lines: Vec<String> = headers.iter().map(line).collect();
    lines.sort();
    lines
}

#[test]
fn one_spelling_of_a_host_is_judged_and_sent() {
    for host in [
        "SHOP.test",
        "shop.test.",
        "shop.test:",
        "shop.test:80",
        "shop.test:0080",
    ] {
        let request = settled("/", &[("host", host)]);
        assert_eq!(request.headers()[HOST], "shop.test", "{host}");
        assert!(!Fields::of(&request).0.is_unsettled(), "{host}");
    }
    let request = settled("/", &[("host", "shop.test:443")]);
    assert_eq!(request.headers()[HOST], "shop.test:443");
    assert!(
        Fields::of(&request).0.has(Fields::KEYED),
        "it is told apart from the host without a port"
    );
    let mut tls = self::request("/", &[("host", "shop.test:443")]);
    tls.extensions_mut().insert(Scheme::HTTPS);
    settle(&mut tls);
    assert_eq!(tls.headers()[HOST], "shop.test");
}

#[test]
fn the_target_names_the_host_and_the_connection_the_scheme() {
    let request = settled("https://SHOP.test:443/x?y", &[("host", "other")]);
    assert_eq!(request.uri(), "http://shop.test:443/x?y");
    assert_eq!(request.headers()[HOST], "shop.test:443");
    assert!(!is_https(request.extensions()));
    let mut tls = self::request("http://shop.test:443", &[]);
    tls.extensions_mut().insert(Scheme::HTTPS);
    settle(&mut tls);
    assert_eq!(tls.uri(), "https://shop.test/");
    assert!(tls.headers().is_empty());
}

#[test]
fn nothing_of_the_connection_stays_but_what_can_be_passed_on() {
    let request = settled(
        "/",
        &[
            (
                "connection",
                "Accept-Language, keep-alive , host, cookie,\tAuthorization",
            ),
            ("host", "h"),
            ("accept-language", "de"),
            ("authorization", "x"),
            ("cookie", "a=1"),
            ("keep-alive", "1"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("http2-settings", "x"),
            ("proxy", "x"),
        ],
    );
    assert_eq!(
        lines(request.headers()),
        ["authorization: x", "cookie: a=1", "host: h"]
    );

    let upgrade = [("connection", "x, Upgrade"), ("upgrade", "websocket"), ("x", "1")];
    let request = settled("/", &upgrade);
    assert_eq!(
        lines(request.headers()),
        ["connection: upgrade", "upgrade: websocket"]
    );
    assert!(Fields::of(&request).0.has(Fields::UPGRADE));
    for other in ["h2c", "TLS/1.2", "HTTP/2.0", "websocket, h2c"] {
        let request = settled("/", &[("connection", "upgrade"), ("upgrade", other)]);
        assert!(request.headers().is_empty(), "{other}");
    }
    assert!(settled("/", &[("upgrade", "websocket")]).headers().is_empty());

    let grpc = [
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("connection", "te"),
    ];
    let request = settled("/", &grpc);
    assert_eq!(request.headers()[TE], "trailers");
    assert!(!request.headers().contains_key(CONNECTION));
}

#[test]
fn most_connections_say_only_whether_they_go_on() {
    for value in [
        "keep-alive",
        "Keep-Alive",
        "close",
        "keep-alive, close",
        "keep-alive, x",
        "",
    ] {
        let fields = [
            ("connection", value),
            ("host", "h"),
            ("range", "bytes=0-1"),
            ("x", "1"),
        ];
        let request = settled("/", &fields);
        let mut expected = vec!["host: h", "range: bytes=0-1", "x: 1"];
        expected.truncate(if value.contains('x') { 2 } else { 3 });
        assert_eq!(lines(request.headers()), expected, "{value}");
        assert!(Fields::of(&request).0.has(Fields::RANGE));
    }
}

/// Where a request may not be copied whole, since it has a handle for an upgrade.
#[cfg(feature = "hold")]
#[test]
fn another_request_in_its_place_is_of_the_same_client() {
    let mut extensions = http::Extensions::new();
    let client = ClientInfo {
        proxy: Some([127, 0, 0, 1].into()),
        ..ClientInfo::default()
    };
    extensions.insert(client);
    extensions.insert(Scheme::HTTPS);
    extensions.insert(KeepUnderscores);
    extensions.insert("a handle");
    let who = who_asks(&extensions);
    assert_eq!(who.get(), Some(&client));
    assert!(is_https(&who) && who.get::<KeepUnderscores>().is_some() && who.len() == 3);
}

#[test]
fn an_odd_spelling_of_a_name_is_that_name() {
    let odd = [
        ("x_forwarded_host", "evil"),
        ("x_http_method_override", "DELETE"),
        ("x-original_url", "/admin"),
        ("content_length", "5"),
        ("grip_sig", "x"),
        ("user_id", "7"),
    ];
    assert_eq!(lines(settled("/", &odd).headers()), ["user_id: 7"]);
    let mut kept = request("/", &odd);
    kept.extensions_mut().insert(KeepUnderscores);
    assert!(settle(&mut kept).has(Fields::KEYED));
    assert_eq!(kept.headers().len(), odd.len());
}

#[test]
fn what_nobody_vouches_for_goes() {
    let fields = [
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-host", "SHOP.test:80"),
        ("x-real-ip", "1.2.3.4"),
        ("x-custom", "1"),
    ];
    let with = |client: Option<ClientInfo>| {
        let mut request = request("/", &fields);
        client.map(|client| request.extensions_mut().insert(client));
        settle(&mut request);
        lines(request.headers())
    };
    let all = [
        "x-custom: 1",
        "x-forwarded-for: 1.2.3.4",
        "x-forwarded-host: shop.test",
        "x-real-ip: 1.2.3.4",
    ];
    assert_eq!(with(None), all);
    assert_eq!(with(Some(ClientInfo::default())), ["x-custom: 1"]);
    let proxied = ClientInfo {
        proxy: Some([127, 0, 0, 1].into()),
        ..ClientInfo::default()
    };
    assert_eq!(with(Some(proxied)), all);
}

#[test]
fn cookies_are_one_line() {
    let request = settled("/", &[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")]);
    let cookies: Vec<_> = request.headers().get_all(COOKIE).iter().collect();
    assert_eq!(cookies, ["a=1; b=2; c=3"]);
}

fn any_request() -> impl Strategy<Value = Request<()>> {
    let name = prop::sample::select(vec![
        "host",
        "connection",
        "upgrade",
        "te",
        "content-type",
        "cookie",
        "accept",
        "x-forwarded-host",
        "x-forwarded-for",
        "forwarded",
        "x_forwarded_host",
        "user_id",
        "keep-alive",
        "proxy",
        "grip-last",
    ]);
    let value = prop_oneof![
        "([a-zA-Z.]{1,4}|\\[::1\\])(:(80|443|0443|8080|))?",
        "((upgrade|accept|host|te|user_id|websocket|h2c|trailers)(, )?){1,3}",
        Just("application/grpc".to_owned()),
    ];
    let target = prop_oneof![
        Just("/x".to_owned()),
        "(http|https|HTTP)://(u@)?[a-cA-C]{1,2}\\.?(:(80|443|0443|8080|))?/x"
    ];
    let client = prop::option::of(any::<bool>());
    let fields = prop::collection::vec((name, value), 0..6);
    (target, fields, any::<bool>(), client, any::<bool>()).prop_map(
        |(target, fields, is_https, client, keep)| {
            let mut request = Request::get(target);
            for (name, value) in fields {
                request = request.header(name, value);
            }
            if is_https {
                request = request.extension(Scheme::HTTPS);
            }
            if let Some(is_proxied) = client {
                let proxy = is_proxied.then(|| [127, 0, 0, 1].into());
                request = request.extension(ClientInfo { addr: None, proxy });
            }
            if keep {
                request = request.extension(KeepUnderscores);
            }
            request.body(()).expect("a valid request")
        },
    )
}

proptest! {
    #[test]
    fn twice_is_once(mut request in any_request()) {
        let fields = settle(&mut request);
        let (uri, headers) = (request.uri().clone(), request.headers().clone());
        prop_assert_eq!(settle(&mut request), fields);
        prop_assert_eq!(request.uri(), &uri);
        prop_assert_eq!(request.headers(), &headers);
    }

    #[test]
    fn what_is_settled_keeps_no_field_of_the_connection(mut request in any_request()) {
        settle(&mut request);
        let headers = request.headers();
        prop_assert_eq!(headers.contains_key(CONNECTION), headers.contains_key(UPGRADE));
        prop_assert!(!headers.contains_key("keep-alive") && !headers.contains_key("forwarded"));
        if let (Some(authority), Some(host)) = (request.uri().authority(), headers.get(HOST)) {
            prop_assert_eq!(authority.as_str().as_bytes(), host.as_bytes());
            prop_assert_eq!(request.uri().scheme().expect("absolute"), scheme(request.extensions()));
        }
    }
}
