//! Clients that see bytes.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::Acked;

const PATIENCE: Duration = Duration::from_secs(10);

/// The values that a held stream brought, in the order of their coming.
#[derive(Debug)]
pub struct Seen {
    pub values: Vec<u64>,
}

/// What a plain request was answered.
pub struct Read {
    pub value: u64,
    /// It is said to be old.
    pub is_marked: bool,
}

/// Details of a `Cache-Status` that mark an answer as old.
const MARKS: [&str; 4] = ["outage", "paced", "paced-timeout", "foreign-age"];

/// Reads a held stream until its last value has come.
pub async fn stream(edge: SocketAddr, language: &str, last: u64, acked: &Acked) -> Result<Seen, String> {
    let before = acked.value.load(Ordering::SeqCst);
    let mut socket = connect(edge).await?;
    send(
        &mut socket,
        &format!(
            "GET /value HTTP/1.1\r\nhost: example.com\r\naccept: text/event-stream\r\naccept-language: {language}\r\n\r\n"
        ),
    )
    .await?;
    let mut seen = Seen { values: Vec::new() };
    let mut bytes = Vec::new();
    let reads = async {
        loop {
            if socket
                .read_buf(&mut bytes)
                .await
                .map_err(|error| error.to_string())?
                == 0
            {
                return Err("the stream ended".to_owned());
            }
            seen.values = values(&bytes)?;
            // The first is the body's; it may be ahead of its message.
            let told = seen.values.iter().skip(1).max().copied().unwrap_or_default();
            acked.told.fetch_max(told, Ordering::SeqCst);
            if seen.values.last() == Some(&last) {
                return Ok(());
            }
        }
    };
    let ended = tokio::select! {
        ended = reads => ended,
        () = acked.too_late(last) => Err("the last value did not come within 3 s".to_owned()),
    };
    match ended {
        Ok(()) if !seen.values.contains(&before) && seen.values[0] > last => Err(format!("{seen:?}")),
        Ok(()) => Ok(seen),
        Err(wrong) => Err(format!(
            "{wrong}; {before} was known before, {last} is the last, {:?} came",
            values(&bytes)
        )),
    }
}

/// A plain request: nothing older than what was acknowledged before it, unless it is marked.
pub async fn plain(edge: SocketAddr, language: &str, acked: &Acked) -> Result<Read, String> {
    let before = acked.oldest();
    let request = format!(
        "GET /value HTTP/1.1\r\nhost: example.com\r\nconnection: close\r\naccept-language: {language}\r\n\r\n"
    );
    let Answer { status, head, body } = exchange(edge, &request).await?;
    let value: u64 = body.trim().parse().map_err(|_| format!("{status} {body:?}"))?;
    let details = head.split("detail=").skip(1);
    let is_marked = details
        .filter_map(|rest| rest.split([';', '\r']).next())
        .any(|detail| MARKS.contains(&detail));
    if value < before && !is_marked {
        Err(format!(
            "{value} is older than {before}, which was announced before: {head}"
        ))
    } else {
        Ok(Read { value, is_marked })
    }
}

/// A request with a body; its status and answer.
pub async fn post(edge: SocketAddr, line: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\nhost: example.com\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let answer = exchange(edge, &request).await.expect("the edge answers");
    (answer.status, answer.body)
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

async fn exchange(edge: SocketAddr, request: &str) -> Result<Answer, String> {
    let mut socket = connect(edge).await?;
    send(&mut socket, request).await?;
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut bytes)).await;
    read.map_err(|_| "no answer in time".to_owned())?
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text
        .split_once("\r\n\r\n")
        .ok_or_else(|| format!("no head: {text:?}"))?;
    let status = head
        .get(9..12)
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| format!("no status: {head}"))?;
    Ok(Answer {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}

async fn connect(edge: SocketAddr) -> Result<TcpStream, String> {
    TcpStream::connect(edge).await.map_err(|error| error.to_string())
}

async fn send(socket: &mut TcpStream, request: &str) -> Result<(), String> {
    socket
        .write_all(request.as_bytes())
        .await
        .map_err(|error| error.to_string())
}

/// The events in the chunks that are there.
fn values(bytes: &[u8]) -> Result<Vec<u64>, String> {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, mut chunks)) = text.split_once("\r\n\r\n") else {
        return Ok(Vec::new());
    };
    if !head.starts_with("HTTP/1.1 200") || !head.to_ascii_lowercase().contains("transfer-encoding: chunked")
    {
        return Err(format!("not a held stream: {text}"));
    }
    if head.to_ascii_lowercase().contains("\r\ngrip-") {
        return Err(format!("instructions reach the client: {head}"));
    }
    let mut body = String::new();
    while let Some((size, rest)) = chunks.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).map_err(|_| format!("not a chunk size: {size:?}"))?;
        let Some(chunk) = rest.get(..size) else { break };
        body.push_str(chunk);
        let Some(next) = rest.get(size + 2..) else { break };
        chunks = next;
    }
    let whole = body.rsplit_once("\n\n").map_or("", |(whole, _)| whole);
    let events = whole.split("\n\n").filter(|event| !event.is_empty());
    events
        .map(|event| {
            let value = event.strip_prefix("data: ").and_then(|value| value.parse().ok());
            value.ok_or_else(|| format!("not an event: {event:?}"))
        })
        .collect()
}
