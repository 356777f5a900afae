//! Likes, live: an axum application with all four layers.
//!
//! ```sh
//! cargo run --example axum_app --features axum,serve,tower -- 7003
//! curl -N -H 'Accept: text/event-stream' http://127.0.0.1:7003/likes    # holds: each like comes as an event
//! curl -X POST http://127.0.0.1:7003/likes                              # likes
//! curl -i http://127.0.0.1:7003/likes                                   # the number, from the cache
//! curl http://127.0.0.1:7003/whoami                                     # axum's ConnectInfo
//! ```
//!
//! What others may do who know the token:
//!
//! ```sh
//! curl -H 'Authorization: Bearer secret' http://127.0.0.1:7003/publish \
//!   -d '{"items": [{"channel": "likes", "formats": {"http-stream": {"content": "data: hello\n\n"}}}]}'
//! curl -X PURGE -H 'Fastly-Key: secret' http://127.0.0.1:7003/likes
//! ```
//!
//! However fast people like, their number is published at most ten times a second, and the last one always. Without an
//! argument the port is 7003; 0 takes any.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, State};
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, VARY};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use gripstack::grip::{Instruct, KeepAlive};
use gripstack::publish::{self, PublishConfig, PublishOptions, Publisher, Rule};
use gripstack::{BoxError, Edge, Message, ServiceBuilderExt, purge};
use tokio::net::TcpListener;
use tower::ServiceBuilder;

/// For the demonstration. A real one is a secret.
const TOKEN: &str = "secret";

/// The application's state. The publisher is a handle like any other.
#[derive(Clone)]
struct App {
    publisher: Publisher,
    likes: Arc<AtomicU64>,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let port: u16 = std::env::args().nth(1).map_or(Ok(7003), |port| port.parse())?;
    let edge = Edge::new();
    // A number of likes is a state: only the last one matters. Other channels have each message, at once.
    let paced = Rule::latest().interval(Duration::from_millis(100));
    let publisher = edge.publisher(PublishConfig::new().channels("likes", paced));
    let app = App {
        publisher: publisher.clone(),
        likes: Arc::default(),
    };

    let layers = ServiceBuilder::new()
        .publish(&publisher, publish::Auth::token(TOKEN)) // the application's own: they share the pacing
        .purge(&edge, purge::Auth::token(TOKEN))
        .grip_hold(&edge) // outside of the cache, so that instructions are cached with the body
        .edge_cache(&edge);
    let router = Router::new()
        .route("/likes", get(likes).post(like))
        .route("/whoami", get(whoami))
        .layer(layers)
        .with_state(app);

    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let ctrl_c = async {
        tokio::signal::ctrl_c()
            .await
            .expect("signals can be listened for")
    };
    // The line that changes: it was `axum::serve(listener, router).await?`. What follows it is optional.
    gripstack::serve(listener, router)
        // The peer of a connection, where axum's extractor looks for it.
        .on_request(|peer, parts| {
            parts.extensions.insert(ConnectInfo(peer.remote));
        })
        .drain(ctrl_c, Duration::from_secs(5))
        .await?;
    Ok(())
}

/// Events for those who ask for events, and a number for all others. Both are cached for ten minutes; a like makes
/// them older by itself, for both name the channel that it is published on.
async fn likes(State(app): State<App>, request: HeaderMap) -> Response {
    let likes = app.likes.load(Ordering::SeqCst);
    let wants_events = request
        .get(ACCEPT)
        .is_some_and(|accept| accept.as_bytes() == b"text/event-stream");
    let cached = [(CACHE_CONTROL, "s-maxage=600"), (VARY, "Accept")];
    if wants_events {
        // Instructions are response parts.
        let instructions = Instruct::stream()
            .channel("likes")
            .keep_alive(KeepAlive::new(":\n\n", Duration::from_secs(20)));
        let body = format!("event: likes\ndata: {likes}\n\n");
        (cached, [(CONTENT_TYPE, "text/event-stream")], instructions, body).into_response()
    } else {
        // A surrogate key that is a channel: nobody is held, and each message of it makes this older as well.
        (cached, [("surrogate-key", "ch:likes")], format!("{likes}\n")).into_response()
    }
}

/// Stores the change, then publishes it: in this order no client misses it. Two at a time may overtake each other; the
/// version keeps the older number from being the last word.
async fn like(State(app): State<App>) -> Result<String, Error> {
    let likes = app.likes.fetch_add(1, Ordering::SeqCst) + 1;
    let options = PublishOptions {
        version: Some(likes),
        ..PublishOptions::default()
    };
    let message = Message::sse(Some("likes"), &likes.to_string());
    app.publisher.publish_with("likes", message, options).await?;
    Ok(format!("{likes}\n"))
}

async fn whoami(ConnectInfo(peer): ConnectInfo<SocketAddr>) -> impl IntoResponse {
    ([(CACHE_CONTROL, "no-store")], format!("{peer}\n"))
}

/// Whatever goes wrong is a 500 that says what.
struct Error(BoxError);

impl<E: Into<BoxError>> From<E> for Error {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        (
            axum::http::StatusCode::INTERNAL_SERVER_ERROR,
            format!("{}\n", self.0),
        )
            .into_response()
    }
}
