//! An origin that speaks events, a server before it, and a client.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use gripstack::grip::ws_events::{EVENTS_TYPE, Event, Limits, decode, encode};
use gripstack::hold::GripHoldLayer;
use gripstack::serve::Limits as ServeLimits;
use gripstack::{Edge, EdgeBody, Message as Published};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tower::{ServiceBuilder, service_fn};

use crate::serve_support::{PATIENCE, Server, start_tcp};

pub type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// One request to the origin.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: http::Method,
    pub uri: http::Uri,
    pub headers: HeaderMap,
    pub events: Vec<Event>,
}

/// What the origin answers.
pub struct Said {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

/// An application, the edge before it, and what was asked.
pub struct World {
    pub edge: Edge,
    pub address: std::net::SocketAddr,
    pub server: Server,
    pub asked: Arc<Mutex<Vec<Asked>>>,
}

/// Events, with GRIP.
pub fn events<'a>(events: impl IntoIterator<Item = &'a Event, IntoIter: Clone>) -> Said {
    Said {
        status: 200,
        headers: vec![
            ("content-type", EVENTS_TYPE.into()),
            ("sec-websocket-extensions", r#"grip; message-prefix="""#.into()),
        ],
        body: encode(events),
    }
}

pub fn text(text: &str) -> Event {
    Event::Text(Bytes::copy_from_slice(text.as_bytes()))
}

/// What tells the edge to read a channel.
pub fn subscribe(channel: &str) -> Event {
    text(&format!(r#"c:{{"type":"subscribe","channel":"{channel}"}}"#))
}

/// Opens, and says the same back.
pub fn echo(asked: &Asked) -> Said {
    events(asked.events.iter())
}

// === impl Said ===

impl Said {
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn into_response(self) -> Response<EdgeBody> {
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        response.body(EdgeBody::from(self.body)).expect("valid")
    }
}

// === impl World ===

impl World {
    /// Of an application that answers so; what is no event it answers with `page`, and lets it be stored.
    pub async fn new(answer: impl Fn(&Asked) -> Said + Send + Sync + 'static) -> Self {
        Self::later(move |asked| std::future::ready(answer(&asked))).await
    }

    pub async fn later<F>(answer: impl Fn(Asked) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Said> + Send + 'static,
    {
        Self::with(answer, |holds| holds).await
    }

    /// With these options.
    pub async fn with<F>(
        answer: impl Fn(Asked) -> F + Send + Sync + 'static,
        options: impl FnOnce(GripHoldLayer) -> GripHoldLayer,
    ) -> Self
    where
        F: Future<Output = Said> + Send + 'static,
    {
        let edge = Edge::new();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answer = Arc::new(answer);
        let log = asked.clone();
        let origin = service_fn(move |request: Request<EdgeBody>| {
            let (log, answer) = (log.clone(), answer.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.expect("it is whole").to_bytes();
                let is_event = parts
                    .headers
                    .get("content-type")
                    .is_some_and(|kind| kind == EVENTS_TYPE);
                let asked = Asked {
                    method: parts.method,
                    uri: parts.uri,
                    headers: parts.headers,
                    events: decode(&body, Limits::default()).unwrap_or_default(),
                };
                log.lock().push(asked.clone());
                let said = match is_event {
                    true => answer(asked).await,
                    false => Said {
                        status: 200,
                        headers: vec![("cache-control", "max-age=60".into())],
                        body: Bytes::from_static(b"page"),
                    },
                };
                Ok::<_, gripstack::BoxError>(said.into_response())
            }
        });
        let service = ServiceBuilder::new()
            .layer(options(edge.hold_layer().websocket_over_http(true)))
            .layer(edge.cache_layer())
            .service(origin);
        let service = tower::util::BoxCloneSyncService::new(service);
        let (address, server) = start_tcp(service, ServeLimits::default()).await;
        Self {
            edge,
            address,
            server,
            asked,
        }
    }

    pub async fn connect(&self) -> Client {
        self.connect_with(&[]).await.expect("it opens").0
    }

    pub async fn connect_with(
        &self,
        fields: &[(&'static str, &str)],
    ) -> Result<(Client, http::Response<Option<Vec<u8>>>), Error> {
        let mut request = format!("ws://{}/socket?a=b", self.address)
            .into_client_request()
            .expect("a URL");
        for (name, value) in fields {
            let value = HeaderValue::from_str(value).expect("a value");
            request.headers_mut().append(*name, value);
        }
        connect_async(request).await
    }

    pub async fn publish(&self, channel: &str, text: &str) {
        let message = Published::default().with_socket(gripstack::message::SocketForm::Send(
            gripstack::message::SocketKind::Text,
            Bytes::copy_from_slice(text.as_bytes()),
        ));
        self.edge.publish(channel, message).await.expect("accepted");
    }

    /// Once so many requests have come.
    pub async fn asked(&self, count: usize) -> Vec<Asked> {
        soon(async {
            loop {
                let asked = self.asked.lock().clone();
                if asked.len() >= count {
                    return asked;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await
    }
}

pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what)
        .await
        .expect("it takes too long")
}

/// The next message.
pub async fn next(client: &mut Client) -> Message {
    soon(client.next())
        .await
        .expect("it is open")
        .expect("it is no error")
}

pub async fn next_text(client: &mut Client) -> String {
    next(client).await.into_text().expect("a text").to_string()
}

pub async fn say(client: &mut Client, text: &str) {
    client.send(Message::text(text)).await.expect("sent");
}
