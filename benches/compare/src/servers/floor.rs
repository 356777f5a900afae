//! The floor: a push server without HTTP's rules, cache or care. `GET /hold/<channel>` holds, `POST /pub/<channel>` pushes.

use std::io;
use std::net::TcpListener;

use super::tiny::{self, App, Then};
use crate::http1::Request;

struct Floor;

const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n\
    c\r\ndata: open\n\n\r\n";

pub fn run(listener: TcpListener) -> io::Result<()> {
    tiny::serve(listener, Floor)
}

impl App for Floor {
    fn answer(&mut self, request: &Request<'_>, out: &mut Vec<u8>) -> Then {
        if let Some(channel) = request.path.strip_prefix("/hold/") {
            out.extend_from_slice(HEAD);
            return Then::Hold {
                channel: channel.to_owned(),
            };
        }
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        let Some(channel) = request.path.strip_prefix("/pub/") else {
            return Then::Keep;
        };
        let mut chunk = format!("{:x}\r\ndata: ", request.body.len() + 8).into_bytes();
        chunk.extend_from_slice(request.body);
        chunk.extend_from_slice(b"\n\n\r\n");
        Then::Publish {
            channel: channel.to_owned(),
            chunk,
        }
    }
}
