//! A pull cache: a service that takes a second, and answers at once.
//!
//! ```sh
//! cargo run --example cache_only --features serve,tower -- 7002
//! curl -i http://127.0.0.1:7002/report      # twice: Cache-Status says what happened
//! ```
//!
//! ```text
//! Cache-Status: gripstack; fwd=uri-miss; ttl=9; stored        the first: a second of waiting
//! Cache-Status: gripstack; fwd=uri-miss; ttl=9; collapsed     at the same time: the same second
//! Cache-Status: gripstack; hit; ttl=7                          afterwards: nothing to wait for
//! Cache-Status: gripstack; hit; ttl=-2; detail=swr             a little too old: made anew meanwhile
//! ```
//!
//! Without an argument the port is 7002; 0 takes any.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gripstack::{BoxError, Edge, EdgeBody, ServiceBuilderExt};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{Request, Response};
use tokio::net::TcpListener;
use tower::ServiceBuilder;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let port: u16 = std::env::args().nth(1).map_or(Ok(7002), |port| port.parse())?;
    let edge = Edge::new();
    let made = Arc::new(AtomicU64::new(0));

    let service = ServiceBuilder::new()
        .edge_cache(&edge)
        .service_fn(move |request: Request<EdgeBody>| report(request.uri().path().to_owned(), made.clone()));

    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
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

/// The slow part. How long its answer is good for is all it says to the cache.
async fn report(path: String, made: Arc<AtomicU64>) -> Result<Response<EdgeBody>, Infallible> {
    tokio::time::sleep(Duration::from_secs(1)).await;
    let n = made.fetch_add(1, Ordering::SeqCst) + 1;
    let response = Response::builder()
        .header(CONTENT_TYPE, "text/plain")
        .header(CACHE_CONTROL, "max-age=10, stale-while-revalidate=60")
        .body(EdgeBody::from(format!(
            "{path}: report number {n}, after a second of work\n"
        )));
    Ok(response.expect("constant headers are valid"))
}
