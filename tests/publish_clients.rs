//! Requests of real clients, over real sockets: Fanout's Live Counter byte by byte, and the Python libraries.
//!
//! `GRIPSTACK_PYTHON` lists interpreters, separated by `:`; each may have another era of the libraries. Default
//! `python3`. What no interpreter can import is skipped, or fails with `GRIPSTACK_REQUIRE_TOOLS=1`.
#![cfg(all(feature = "purge", feature = "publish"))]

use std::net::SocketAddr;
use std::process::Command;

use gripstack::control::NotFound;
use gripstack::hub::{Delivery, Wants};
use gripstack::message::StreamForm;
use gripstack::publish::{self, PublishConfig, Publisher};
use gripstack::purge::{self, PurgeLayer};
use gripstack::{Channel, Edge, Position, RateLimitedPublishLayer, Target, Url};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::Layer;

/// A control listener of an edge. Its server ends with the test.
async fn serve(edge: &Edge, publishers: publish::Auth) -> SocketAddr {
    let publisher = Publisher::new(edge.clone(), PublishConfig::new());
    let purge = PurgeLayer::new(edge.clone(), purge::Auth::token("test-api-token"));
    let purge = purge.api(true).service_id("SID");
    let publish = RateLimitedPublishLayer::new(publisher, publishers);
    let service = TowerToHyperService::new(publish.layer(purge.layer(NotFound)));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(socket), service).await;
            });
        }
    });
    address
}

/// Sends these bytes; what comes back, without the date.
async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut socket = TcpStream::connect(address).await.expect("it listens");
    socket.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = Vec::new();
    let mut chunk = [0; 1024];
    // One answer on a connection that stays open: its head, then as many bytes as that says.
    loop {
        let read = socket.read(&mut chunk).await.expect("it answers");
        answer.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&answer).into_owned();
        let complete = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            length.and_then(|length| length.parse().ok()) == Some(body.len())
        });
        if complete || read == 0 {
            let lines = text
                .split_inclusive("\r\n")
                .filter(|line| !line.starts_with("date: "));
            return lines.collect();
        }
    }
}

async fn first_message(edge: &Edge, name: &str) -> String {
    let channel = Channel::new(name).expect("a good name");
    let stamp = edge.hub().stamp_at(Position::ZERO);
    let mut subscription = edge
        .hub()
        .subscribe(&[channel], stamp, Wants::Stream)
        .expect("a stamp of this hub");
    let delivery = tokio::time::timeout(std::time::Duration::from_secs(5), subscription.next());
    match delivery.await.expect("a message") {
        Delivery::Message { message, .. } => match &message.stream {
            Some(StreamForm::Send(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            other => panic!("{other:?}"),
        },
        Delivery::Lagged { .. } => panic!("lagged"),
    }
}

#[tokio::test]
async fn the_live_counters_purge() {
    let edge = Edge::new();
    let address = serve(&edge, publish::Auth::Open).await;
    for (position, agent) in [(1, "fastly-py-v0.4.0"), (2, "fastly-py-v0.1.3")] {
        let answer = exchange(
            address,
            &format!(
                "PURGE /counters/foo/ HTTP/1.1\r\n\
                 Accept-Encoding: identity\r\n\
                 Host: livecounter.test\r\n\
                 User-Agent: {agent}\r\n\
                 Fastly-Key: test-api-token\r\n\r\n"
            ),
        )
        .await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert_eq!(
            head,
            format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncache-control: no-store\r\n\
                 content-length: {}",
                body.len()
            )
        );
        let json: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(json["status"], "ok");
        let id = json["id"].as_str().expect("a string");
        assert!(id.ends_with(&format!("-{position}")), "{id}");
        let url = Target::Url(Url::new("livecounter.test", "/counters/foo/"));
        assert_eq!(edge.hub().last_purge(&url).get(), position);
    }
    let answer = exchange(
        address,
        "PURGE /counters/foo/ HTTP/1.1\r\nHost: livecounter.test\r\n\r\n",
    )
    .await;
    assert_eq!(
        answer,
        "HTTP/1.1 405 Method Not Allowed\r\ncontent-type: text/plain\r\ncache-control: no-store\r\n\
         allow: GET, HEAD\r\ncontent-length: 19\r\n\r\nMethod Not Allowed\n"
    );
}

#[cfg(any(feature = "jwt-rust-crypto", feature = "jwt-aws-lc"))]
#[tokio::test]
async fn the_live_counters_publish() {
    use std::time::{SystemTime, UNIX_EPOCH};

    let edge = Edge::new();
    let key = publish::Key::jwt("changeme-to-something-of-32-bytes", Some("realm")).expect("a good key");
    let address = serve(&edge, publish::Auth::Keys(vec![key])).await;
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let exp = since.expect("after 1970").as_secs() + 3600;
    let token = |key: &[u8]| {
        let claims = serde_json::json!({"iss": "realm", "exp": exp});
        let key = jsonwebtoken::EncodingKey::from_secret(key);
        jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).expect("it can be signed")
    };
    let body = r#"{"items": [{"http-stream": {"content": "event: message\ndata: 1\n\n"}, "channel": "counter-foo"}]}"#;
    let request = |token: &str| {
        format!(
            "POST /publish/ HTTP/1.1\r\n\
             Host: 127.0.0.1:5561\r\n\
             User-Agent: python-requests/2.34.2\r\n\
             Accept-Encoding: gzip, deflate\r\n\
             Accept: */*\r\n\
             Connection: keep-alive\r\n\
             Authorization: Bearer {token}\r\n\
             Content-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let refused = exchange(address, &request(&token(b"another"))).await;
    assert!(refused.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{refused}");
    assert_eq!(edge.hub().now(), Position::ZERO);
    let answer = exchange(address, &request(&token(b"changeme-to-something-of-32-bytes"))).await;
    assert_eq!(
        answer,
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncache-control: no-store\r\n\
         gripstack-position: 1\r\ncontent-length: 10\r\n\r\nPublished\n"
    );
    assert_eq!(
        first_message(&edge, "counter-foo").await,
        "event: message\ndata: 1\n\n"
    );
}

#[tokio::test]
async fn a_chunked_publish_over_a_socket() {
    let edge = Edge::new();
    let address = serve(&edge, publish::Auth::Open).await;
    let body = r#"{"items":[{"channel":"c","http-stream":{"content":"x"}}]}"#;
    let (one, two) = body.split_at(20);
    let answer = exchange(
        address,
        &format!(
            "POST /publish HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
             {:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n",
            one.len(),
            two.len()
        ),
    )
    .await;
    assert!(answer.ends_with("\r\n\r\nPublished\n"), "{answer}");
    assert_eq!(first_message(&edge, "c").await, "x");
}

/// Runs a script in each interpreter that has what it imports. At least one has to, where tools are required.
async fn python(what: &str, imports: &str, script: &str, arguments: &[String]) -> usize {
    let interpreters = std::env::var("GRIPSTACK_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut runs = 0;
    for interpreter in interpreters.split(':') {
        let can = Command::new(interpreter).args(["-c", imports]).output();
        if !can.is_ok_and(|output| output.status.success()) {
            continue;
        }
        runs += 1;
        let mut command = tokio::process::Command::new(interpreter);
        // A proxy of the environment is not what is tested.
        command.args(["-c", script]).args(arguments).env("NO_PROXY", "*");
        let output = command.output().await.expect("it started before");
        assert!(
            output.status.success(),
            "{what}, {interpreter}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    if runs == 0 {
        let required = std::env::var("GRIPSTACK_REQUIRE_TOOLS").is_ok_and(|value| value == "1");
        assert!(!required, "no Python of {interpreters:?} has {what}");
        eprintln!("skipped: no Python of {interpreters:?} has {what}");
    }
    runs
}

#[tokio::test]
async fn pythons_fastly_of_today() {
    let edge = Edge::new();
    let address = serve(&edge, publish::Auth::Open).await;
    let runs = python(
        "fastly >= 1.0",
        "from fastly.api import purge_api",
        r#"
import sys, fastly
from fastly.api import purge_api
from fastly.exceptions import UnauthorizedException, NotFoundException
from fastly.model.purge_response import PurgeResponse

def api(token):
    configuration = fastly.Configuration(host=sys.argv[1])
    configuration.api_token = token
    return purge_api.PurgeApi(fastly.ApiClient(configuration))

purge = api("test-api-token")
answer = purge.purge_single_url(cached_url="www.example.com/path/x?y=1&z=a b")
assert answer.status == "ok" and isinstance(answer.id, str), answer
purge.purge_single_url(cached_url="www.example.com/soft", fastly_soft_purge=1)
for key in ["a/b", "with space", "café"]:
    answer = purge.purge_tag(service_id="SID", surrogate_key=key)
    assert answer.status == "ok" and isinstance(answer.id, str), answer
keys = PurgeResponse(surrogate_keys=["one", "two"])
answer = purge.bulk_purge_tag(service_id="SID", purge_response=keys)
ids = answer.to_dict()
assert set(ids) == {"one", "two"} and all(isinstance(id, str) for id in ids.values()), answer
answer = purge.bulk_purge_tag(service_id="SID", surrogate_key="three four")
assert set(answer.to_dict()) == {"three", "four"}, answer
answer = purge.purge_all(service_id="SID")
assert answer.status == "ok", answer
try:
    purge.purge_all(service_id="OTHER")
    sys.exit("another service was purged")
except NotFoundException:
    pass
try:
    api("wrong").purge_all(service_id="SID")
    sys.exit("a wrong token was accepted")
except UnauthorizedException:
    pass
"#,
        &[format!("http://{address}")],
    )
    .await;
    if runs > 0 {
        let targets = [
            Target::Url(Url::new("www.example.com", "/path/x?y=1&z=a%20b")),
            Target::Url(Url::new("www.example.com", "/soft")),
            Target::Key("a/b".into()),
            Target::Key("with space".into()),
            Target::Key("café".into()),
            Target::Key("one".into()),
            Target::Key("two".into()),
            Target::Key("three".into()),
            Target::Key("four".into()),
            Target::Everything,
        ];
        for target in targets {
            assert!(edge.hub().last_purge(&target) > Position::ZERO, "{target:?}");
        }
    }
}

#[tokio::test]
async fn pythons_fastly_of_the_live_counter() {
    let edge = Edge::new();
    let address = serve(&edge, publish::Auth::Open).await;
    let runs = python(
        "fastly < 1.0",
        "import fastly; fastly.API",
        r#"
import sys, fastly

# By default it speaks TLS to port 443: the same requests without, to where the test listens.
host, port = sys.argv[1].split(":")
def api(key):
    return fastly.API(host=host, port=int(port), secure=False, key=key)

assert api("test-api-token").purge_url("livecounter.test", "/counters/foo/"), "not purged"
assert api("test-api-token").soft_purge_url("livecounter.test", "/counters/bar/"), "not purged"
assert api("test-api-token").purge_key("SID", "a/b"), "not purged"
assert api("test-api-token").purge_service("SID"), "not purged"
assert not api(None).purge_url("livecounter.test", "/counters/foo/"), "purged without a key"
try:
    api("wrong").purge_url("livecounter.test", "/counters/foo/")
    sys.exit("a wrong key was accepted")
except fastly.errors.AuthenticationError:
    pass
"#,
        &[address.to_string()],
    )
    .await;
    if runs > 0 {
        for target in [
            Target::Url(Url::new("livecounter.test", "/counters/foo/")),
            Target::Url(Url::new("livecounter.test", "/counters/bar/")),
            Target::Key("a/b".into()),
            Target::Everything,
        ] {
            assert!(edge.hub().last_purge(&target) > Position::ZERO, "{target:?}");
        }
    }
}

#[cfg(any(feature = "jwt-rust-crypto", feature = "jwt-aws-lc"))]
#[tokio::test]
async fn pythons_gripcontrol() {
    let edge = Edge::new();
    let jwt = publish::Key::jwt("changeme-to-something-of-32-bytes", Some("realm")).expect("a good key");
    let keys = vec![
        jwt,
        publish::Key::token("plain"),
        publish::Key::basic("user", "pass"),
    ];
    let address = serve(&edge, publish::Auth::Keys(keys)).await;
    let runs = python(
        "gripcontrol",
        "import gripcontrol, pubcontrol",
        r#"
import sys
from pubcontrol import Item
from gripcontrol import GripPubControl, HttpStreamFormat, HttpResponseFormat, parse_grip_uri

base = sys.argv[1]
for query in ["?iss=realm&key=changeme-to-something-of-32-bytes", "?key=plain"]:
    publisher = GripPubControl(parse_grip_uri("http://" + base + "/" + query))
    publisher.publish_http_stream("counter-foo", "event: message\ndata: 1\n\n", blocking=True)
    response = HttpResponseFormat(body="x", headers={"a": "b"})
    publisher.publish_http_response("poll", response, blocking=True)
    # As Django does it: in the background, several in one POST.
    both = [HttpStreamFormat("s"), HttpResponseFormat(body="r")]
    for id in range(2, 25):
        publisher.publish("both" + query, Item(both, id=str(id), prev_id=str(id - 1)))
    publisher.finish()

publisher = GripPubControl({"control_uri": "http://" + base, "control_iss": "realm", "key": "a key that is long enough and wrong"})
try:
    publisher.publish_http_stream("counter-foo", "wrong", blocking=True)
    sys.exit("a wrong key was accepted")
except ValueError as error:
    assert "not valid" in str(error), error
"#,
        &[address.to_string()],
    )
    .await;
    if runs > 0 {
        assert_eq!(
            first_message(&edge, "counter-foo").await,
            "event: message\ndata: 1\n\n"
        );
        assert_eq!(first_message(&edge, "both?key=plain").await, "s");
    }
}
