//! Likes, live: an axum application with all four layers.
//!
//! ```sh
//! cargo run --example axum_app --features serve,tower -- 7003
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
//! Without an argument the port is 7003; 0 takes any.

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
use gripstack::publish::{self, PublishConfig};
use gripstack::{BoxError, Channel, Edge, Message, ServiceBuilderExt, purge};
use tokio::net::TcpListener;
use tower::ServiceBuilder;

/// For the demonstration. A real one is a secret.
const TOKEN: &str = "secret";

/// The application's state. The edge is a handle like any other.
#[derive(Clone)]
struct App {
    edge: Edge,
    channel: Channel,
    likes: Arc<AtomicU64>,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let port: u16 = std::env::args().nth(1).map_or(Ok(7003), |port| port.parse())?;
    let edge = Edge::new();
    let app = App {
        edge: edge.clone(),
        channel: Channel::new("likes")?,
        likes: Arc::default(),
    };

    let layers = ServiceBuilder::new()
        .publish(&edge.publisher(PublishConfig::new()), publish::Auth::token(TOKEN))
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
async fn likes(State(app): State<App>, request: HeaderMap) -> Result<Response, Error> {
    let likes = app.likes.load(Ordering::SeqCst);
    let wants_events = request
        .get(ACCEPT)
        .is_some_and(|accept| accept.as_bytes() == b"text/event-stream");
    let cached = [(CACHE_CONTROL, "s-maxage=600"), (VARY, "Accept")];
    Ok(if wants_events {
        // Instructions are response parts. They name the like that the body contains, so each comes once.
        let instructions = Instruct::stream()
            .channel("likes")
            .prev_id(likes.to_string())
            .keep_alive(KeepAlive::new(":\n\n", Duration::from_secs(20)))
            .into_headers()?;
        let body = format!("event: likes\ndata: {likes}\n\n");
        (cached, [(CONTENT_TYPE, "text/event-stream")], instructions, body).into_response()
    } else {
        // A surrogate key that is a channel: nobody is held, and each message of it makes this older as well.
        (cached, [("surrogate-key", "ch:likes")], format!("{likes}\n")).into_response()
    })
}

/// Stores the change, then publishes it: in this order no client misses it. Each like names the one before, so that two
/// at a time are seen in the order in which they were stored.
async fn like(State(app): State<App>) -> Result<String, Error> {
    let likes = app.likes.fetch_add(1, Ordering::SeqCst) + 1;
    let message = Message::sse(Some("likes"), &likes.to_string())
        .with_id(likes.to_string())
        .with_prev_id((likes - 1).to_string());
    app.edge.publish(app.channel, message).await?;
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
