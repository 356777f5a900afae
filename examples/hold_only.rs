//! The hold layer alone, over an axum application: a clock that is pushed.
//!
//! ```text
//! cargo run --example hold_only --features hold
//! curl -N http://127.0.0.1:7997/clock/
//! ```
//!
//! The first line is the present; the others follow, one a second.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use gripstack::grip::{Instruct, KeepAlive};
use gripstack::{BoxError, Channel, Edge, Message};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let address: SocketAddr = match std::env::args().nth(1) {
        Some(address) => address.parse()?,
        None => ([127, 0, 0, 1], 7997).into(),
    };
    let edge = Edge::new();
    tokio::spawn(tick(edge.clone()));
    let app = Router::new()
        .route("/clock/", get(clock))
        // Whatever has instructions is held.
        .layer(edge.hold_layer());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}/clock/", listener.local_addr()?);
    let stop = async move {
        let _ = tokio::signal::ctrl_c().await;
        // Holds end first; the server waits for them.
        edge.drain();
    };
    axum::serve(listener, app).with_graceful_shutdown(stop).await?;
    Ok(())
}

/// An ordinary handler. Its headers say what the client waits for.
async fn clock() -> Result<impl IntoResponse, String> {
    let headers = Instruct::stream()
        .channel("clock")
        .keep_alive(KeepAlive::text("\n", Duration::from_secs(20)))
        .into_headers()
        .map_err(|error| error.to_string())?;
    Ok((headers, now()))
}

/// The application: it changes, then says so.
async fn tick(edge: Edge) -> Result<(), BoxError> {
    let channel = Channel::new("clock")?;
    let mut interval = tokio::time::interval(Duration::from_secs(1));
    loop {
        interval.tick().await;
        edge.publish(channel.clone(), Message::bytes(now())).await?;
    }
}

fn now() -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    format!("{seconds}\n")
}
