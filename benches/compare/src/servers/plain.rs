//! Plain hyper, with the socket options of the edge: `/object/<bytes>/<number>` from memory, and nothing else.

use std::convert::Infallible;
use std::io;
use std::net;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// The largest object.
const MOST: usize = 1_000_000;

pub fn run(listener: net::TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    Runtime::new()?.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        let bytes = Bytes::from(vec![b'x'; MOST]);
        loop {
            let (stream, _) = listener.accept().await?;
            prepare(&stream)?;
            let bytes = bytes.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    std::future::ready(Ok::<_, Infallible>(answer(&request, &bytes)))
                });
                // A client that leaves is no fault.
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    })
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keep_alive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15));
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&keep_alive)?;
    socket.set_tcp_notsent_lowat(128 * 1024)
}

fn answer<B>(request: &Request<B>, bytes: &Bytes) -> Response<Full<Bytes>> {
    let mut parts = request.uri().path().split('/').skip(1);
    let size = match (parts.next(), parts.next().map(str::parse::<usize>)) {
        (Some("object"), Some(Ok(size))) if size <= bytes.len() => size,
        _ => {
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::NOT_FOUND;
            return response;
        }
    };
    let mut response = Response::new(Full::new(bytes.slice(..size)));
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    response
}
