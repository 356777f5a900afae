//! A push edge: a clock that ticks for everybody who looks at it.
//!
//! ```sh
//! cargo run --example hold_only --features serve,tower -- 7001
//! curl -N http://127.0.0.1:7001/
//! ```
//!
//! The handler knows nothing of connections. It answers one event and says which channel it belongs to; the hold layer
//! keeps the client, and passes on what is published there. Without an argument the port is 7001; 0 takes any.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gripstack::grip::{Instruct, InstructError, KeepAlive};
use gripstack::{BoxError, Channel, Edge, EdgeBody, Message, ServiceBuilderExt};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use tokio::net::TcpListener;
use tower::ServiceBuilder;

/// Seconds since the start: what the application knows.
type Ticks = Arc<AtomicU64>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let port: u16 = std::env::args().nth(1).map_or(Ok(7001), |port| port.parse())?;
    let edge = Edge::new();
    let ticks = Ticks::default();

    let service = ServiceBuilder::new().grip_hold(&edge).service_fn({
        let ticks = ticks.clone();
        move |_: Request<EdgeBody>| std::future::ready(clock(&ticks))
    });

    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    tokio::spawn(tick(edge, ticks));
    let ctrl_c = async {
        tokio::signal::ctrl_c()
            .await
            .expect("signals can be listened for")
    };
    gripstack::serve(listener, service)
        .drain(ctrl_c, Duration::from_secs(5))
        .await?;
    Ok(())
}

/// The answer to each request: the present, and where to hear of what follows. It names the tick that it contains, so
/// each client gets every tick once, however its request and a tick cross.
fn clock(ticks: &Ticks) -> Result<Response<EdgeBody>, InstructError> {
    let now = ticks.load(Ordering::SeqCst).to_string();
    let headers = Instruct::stream()
        .channel("ticks")
        .prev_id(now.as_str())
        .keep_alive(KeepAlive::new(":\n\n", Duration::from_secs(20)))
        .into_headers()?;
    let mut response = Response::new(event(&now));
    *response.headers_mut() = headers;
    let events = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(CONTENT_TYPE, events);
    Ok(response)
}

fn event(tick: &str) -> EdgeBody {
    EdgeBody::from(format!("event: tick\ndata: {tick}\n\n"))
}

/// Stores a change, then publishes it: in this order no client misses it.
async fn tick(edge: Edge, ticks: Ticks) -> Result<(), BoxError> {
    let channel = Channel::new("ticks")?;
    let mut interval = tokio::time::interval(Duration::from_secs(1));
    loop {
        interval.tick().await;
        let last = ticks.fetch_add(1, Ordering::SeqCst);
        let now = (last + 1).to_string();
        let message = Message::sse(Some("tick"), &now)
            .with_id(now)
            .with_prev_id(last.to_string());
        edge.publish(channel.clone(), message).await?;
    }
}
