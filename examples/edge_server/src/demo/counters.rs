//! The application: named counters at `/counters/<name>/`, as one would write it in any language.
//!
//! GET answers the value, as text or as a stream of events, by `Accept`. Both may be stored for ten minutes, and
//! the stream says with GRIP on which channel it goes on. POST adds one, and publishes: one message that also
//! purges the counter's URL.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use gripstack::grip::{Instruct, ItemPurge, KeepAlive, PublishItem};
use gripstack::origin::{BuildError, Origin};
use gripstack::{Channel, EdgeBody, Message};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use serde_json::json;
use tokio::sync::Mutex;
use tower::{Service, ServiceExt};

use crate::answer;
use crate::values::Secret;

/// More counters are refused.
const MAX_COUNTERS: usize = 10_000;

/// Longest name, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// The application. A handle.
#[derive(Clone)]
pub struct Counters(Arc<Inner>);

struct Inner {
    values: Mutex<HashMap<Box<str>, u64>>,
    reads: AtomicU64,
    writes: AtomicU64,
    publisher: Publisher,
}

/// Publishes over HTTP, at the control listener of the edge.
pub struct Publisher {
    client: Origin,
    uri: Uri,
    authorization: HeaderValue,
    command: Command,
}

/// A publish in a terminal.
struct Command {
    base: Box<str>,
    /// Of the demo alone, and gone with it.
    key: Option<Secret>,
}

// === impl Counters ===

impl Counters {
    pub fn new(publisher: Publisher) -> Self {
        Self(Arc::new(Inner {
            values: Mutex::default(),
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            publisher,
        }))
    }

    /// GETs that arrived here.
    pub fn reads(&self) -> u64 {
        self.0.reads.load(Relaxed)
    }

    /// How anybody publishes to the counter `demo`. The key is shown only to who is on this machine, and only if it is
    /// the demo's own.
    pub fn publish_command(&self, is_local: bool) -> String {
        let Command { base, key } = &self.0.publisher.command;
        let key = key.as_ref().filter(|_| is_local).map_or("KEY", Secret::reveal);
        let item =
            r#"{"items": [{"channel": "counter-demo", "http-stream": {"content": "data: 1000\n\n"}}]}"#;
        format!("curl -H 'Authorization: Bearer {key}' {base}/publish/ -d '{item}'")
    }

    /// POSTs that arrived here.
    pub fn writes(&self) -> u64 {
        self.0.writes.load(Relaxed)
    }

    async fn answer(self, request: Request<EdgeBody>) -> Response<EdgeBody> {
        let Some(name) = counter_name(request.uri().path()) else {
            return answer::text(StatusCode::NOT_FOUND, "There are counters at /counters/<name>/\n");
        };
        match *request.method() {
            Method::GET | Method::HEAD => {
                self.0.reads.fetch_add(1, Relaxed);
                let value = self.0.values.lock().await.get(name).copied().unwrap_or(0);
                if accepts_events(request.headers()) {
                    events(name, value)
                } else {
                    cacheable("text/plain", format!("{value}\n"))
                }
            }
            Method::POST => {
                self.0.writes.fetch_add(1, Relaxed);
                let Some(value) = self.add_one(name).await else {
                    return answer::text(StatusCode::INSUFFICIENT_STORAGE, "There are too many counters.\n");
                };
                // The change is stored first. Whoever cannot be told now is told with the next one.
                if let Err(error) = self.0.publisher.publish(name, value, public_url(&request)).await {
                    tracing::warn!(counter = name, error, "the demo could not publish");
                }
                answer::text(StatusCode::OK, format!("{value}\n"))
            }
            _ => {
                let mut response = answer::text(StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD or POST\n");
                let allow = HeaderValue::from_static("GET, HEAD, POST");
                response.headers_mut().insert(header::ALLOW, allow);
                response
            }
        }
    }

    /// The new value; `None` if there are too many counters.
    async fn add_one(&self, name: &str) -> Option<u64> {
        let mut values = self.0.values.lock().await;
        if let Some(value) = values.get_mut(name) {
            *value += 1;
            return Some(*value);
        }
        if values.len() >= MAX_COUNTERS {
            return None;
        }
        values.insert(name.into(), 1);
        Some(1)
    }
}

impl Service<Request<EdgeBody>> for Counters {
    type Response = Response<EdgeBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<EdgeBody>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<EdgeBody>) -> Self::Future {
        let counters = self.clone();
        Box::pin(async move { Ok(counters.answer(request).await) })
    }
}

/// `/counters/<name>/`.
fn counter_name(path: &str) -> Option<&str> {
    let name = path.strip_prefix("/counters/")?.strip_suffix('/')?;
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let fits = (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(is_plain);
    fits.then_some(name)
}

fn channel(name: &str) -> String {
    format!("counter-{name}")
}

fn accepts_events(headers: &HeaderMap) -> bool {
    let mut fields = headers.get_all(header::ACCEPT).iter();
    fields.any(|field| {
        field
            .to_str()
            .is_ok_and(|field| field.contains("text/event-stream"))
    })
}

fn event(value: u64) -> String {
    format!("event: message\ndata: {value}\n\n")
}

/// The value as it is, and all that is published after it.
fn events(name: &str, value: u64) -> Response<EdgeBody> {
    let mut response = cacheable("text/event-stream", format!("retry: 1000\n{}", event(value)));
    let instruct = Instruct::stream()
        .channel(&channel(name))
        .prev_id(value.to_string())
        .keep_alive(KeepAlive::text(": still here\n\n", Duration::from_secs(20)))
        .into_headers();
    match instruct {
        Ok(headers) => response.headers_mut().extend(headers),
        // Names of counters are names of channels.
        Err(error) => return answer::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
    response
}

/// A text that a shared cache may keep for ten minutes, and no browser.
fn cacheable(kind: &'static str, body: String) -> Response<EdgeBody> {
    let mut response = answer::of(StatusCode::OK, kind, body);
    let headers = response.headers_mut();
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("s-maxage=600, max-age=0"),
    );
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}

/// The URL that clients know the counter by.
fn public_url(request: &Request<EdgeBody>) -> Option<Uri> {
    let host = request.headers().get(header::HOST)?.to_str().ok()?;
    format!("http://{host}{}", request.uri().path()).parse().ok()
}

// === impl Publisher ===

impl Publisher {
    /// `base` is the URL of the control listener; the key is the demo's own or the operator's.
    pub fn new(base: &str, key: &Secret, is_own: bool) -> Result<Self, BuildError> {
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", key.reveal()))
            .unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
        authorization.set_sensitive(true);
        Ok(Self {
            client: Origin::new(base)?,
            uri: Uri::from_static("/publish/"),
            authorization,
            command: Command {
                base: base.into(),
                key: is_own.then(|| key.clone()),
            },
        })
    }

    /// A message and a purge in one order: whoever sees the value and asks again gets nothing older. The error is
    /// what the edge answered.
    async fn publish(&self, name: &str, value: u64, url: Option<Uri>) -> Result<(), String> {
        let channel = Channel::new(&channel(name)).map_err(|error| error.to_string())?;
        let item = PublishItem {
            channel,
            message: Message::bytes(event(value))
                .with_id(value.to_string())
                .with_prev_id((value - 1).to_string()),
            policy: None,
            purge: ItemPurge {
                urls: url.into_iter().collect(),
                ..ItemPurge::default()
            },
        };
        let body = json!({ "items": [item.to_json()] }).to_string();
        let mut request = Request::new(EdgeBody::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::AUTHORIZATION, self.authorization.clone());
        headers.insert(header::HOST, HeaderValue::from_static("localhost"));
        let response = self.client.clone().oneshot(request).await;
        let response = response.unwrap_or_else(|never| match never {});
        match response.status() {
            StatusCode::OK => Ok(()),
            status => Err(format!("the edge answered {status}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_short() {
        assert_eq!(counter_name("/counters/a-b_c.1/"), Some("a-b_c.1"));
        let long = format!("/counters/{}/", "x".repeat(65));
        for wrong in [
            "/",
            "/counters/",
            "/counters//",
            "/counters/a",
            "/counters/a/b/",
            "/counters/a%20b/",
            &long,
        ] {
            assert_eq!(counter_name(wrong), None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn counters_are_bounded() {
        let key: Secret = "key".parse().unwrap();
        let counters = Counters::new(Publisher::new("http://127.0.0.1:9", &key, true).unwrap());
        for i in 0..MAX_COUNTERS {
            assert_eq!(counters.add_one(&i.to_string()).await, Some(1));
        }
        assert_eq!(counters.add_one("more").await, None);
        assert_eq!(counters.add_one("1").await, Some(2));
    }

    #[test]
    fn the_stream_says_how_it_goes_on() {
        let response = events("a", 7);
        let headers = response.headers();
        assert_eq!(headers["grip-hold"], "stream");
        assert_eq!(headers["grip-channel"], "counter-a; prev-id=7");
        assert!(headers.contains_key("grip-keep-alive"));
        assert_eq!(headers[header::VARY], "Accept");
    }
}
