//! The application behind all peers: holds, and objects of any size.
//!
//! - `/hold/<channel>`: the start of a stream, with GRIP instructions to hold.
//! - `/object/<bytes>/<number>`: an object that may be cached.
//! - `/slow/<milliseconds>/<number>`: one that takes its time.
//! - `/count`: how many requests there were of the others.

use std::io::{self, Write};
use std::net::TcpListener;
use std::time::Duration;

use super::tiny::{self, App, Then};
use crate::http1::Request;

#[derive(Default)]
struct Origin {
    count: u64,
}

pub fn run(listener: TcpListener) -> io::Result<()> {
    tiny::serve(listener, Origin::default())
}

impl App for Origin {
    fn answer(&mut self, request: &Request<'_>, out: &mut Vec<u8>) -> Then {
        let mut parts = request.path.split('/').skip(1);
        self.count += 1;
        if request.method != "GET" {
            out.extend_from_slice(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n");
            return Then::Keep;
        }
        match (parts.next(), parts.next()) {
            (Some("hold"), Some(channel)) => {
                let fields = format!(
                    "Content-Type: text/event-stream\r\nGrip-Hold: stream\r\nGrip-Channel: {channel}\r\n"
                );
                write(out, &fields, b"data: open\n\n");
                Then::Keep
            }
            (Some("object"), Some(size)) => {
                let size = size.parse().unwrap_or(0);
                write(
                    out,
                    "Content-Type: application/octet-stream\r\n",
                    &vec![b'x'; size],
                );
                Then::Keep
            }
            (Some("slow"), Some(time)) => {
                write(out, "Content-Type: application/octet-stream\r\n", b"slow\n");
                Then::Later(Duration::from_millis(time.parse().unwrap_or(0)))
            }
            (Some("count"), _) => {
                self.count -= 1;
                write(out, "", self.count.to_string().as_bytes());
                Then::Keep
            }
            _ => {
                out.extend_from_slice(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
                Then::Keep
            }
        }
    }
}

fn write(out: &mut Vec<u8>, fields: &str, body: &[u8]) {
    write!(
        out,
        "HTTP/1.1 200 OK\r\n{fields}Cache-Control: public, max-age=3600\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .expect("a vector takes all");
    out.extend_from_slice(body);
}
