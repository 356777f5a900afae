//! One connection that asks one thing after the other, and waits for each answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Fallible;
use crate::http1::Decoder;

pub struct Client {
    addr: SocketAddr,
    /// None after a server that closed, as it said.
    stream: Option<TcpStream>,
    input: Box<[u8]>,
}

impl Client {
    pub fn connect(addr: SocketAddr) -> Fallible<Self> {
        Ok(Self {
            addr,
            stream: Some(connect(addr)?),
            input: vec![0; 16 * 1024].into(),
        })
    }

    /// Sends a whole request; the body of the answer, which must be a success.
    pub fn ask(&mut self, request: &[u8]) -> Fallible<Vec<u8>> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => connect(self.addr)?,
        };
        stream.write_all(request)?;
        let (mut decoder, mut body) = (Decoder::default(), Vec::new());
        while !decoder.is_done() {
            let read = stream
                .read(&mut self.input)
                .map_err(|error| format!("no answer: {error}"))?;
            if read == 0 {
                return Err("a server closed instead of answering".into());
            }
            decoder.feed(&self.input[..read], |part| body.extend_from_slice(part))?;
        }
        if !decoder.is_last() {
            self.stream = Some(stream);
        }
        match decoder.status() {
            Some(200..300) => Ok(body),
            status => Err(format!("status {status:?}: {}", String::from_utf8_lossy(&body)).into()),
        }
    }

    pub fn get(&mut self, path: &str) -> Fallible<String> {
        let body = self.ask(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())?;
        Ok(String::from_utf8(body)?)
    }
}

fn connect(addr: SocketAddr) -> Fallible<TcpStream> {
    let stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(stream)
}
