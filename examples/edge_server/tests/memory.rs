//! What the process grows by, allocator and all, beside what its cache may take.
#![cfg(target_os = "linux")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use common::{Server, connect};

/// Beside the cache: buffers, pools, what the allocator keeps for the next one.
const BESIDE_KIB: u64 = 8 << 10;

/// Answers `/<bytes>/<anything>` with so many bytes.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let addr = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer_all(&stream));
        }
    });
    addr
}

fn answer_all(stream: &TcpStream) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    loop {
        let first = lines.next()?.ok()?;
        while !lines.next()?.ok()?.is_empty() {}
        let bytes: usize = first.split('/').nth(1)?.parse().ok()?;
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: max-age=600\r\nETag: \"1\"\r\n\
             Content-Length: {bytes}\r\n\r\n"
        );
        answer.extend(std::iter::repeat_n('x', bytes));
        (&*stream).write_all(answer.as_bytes()).ok()?;
    }
}

/// Asks for objects of these sizes in turn, on one connection.
fn fill(server: &Server, sizes: &[usize], numbers: std::ops::Range<usize>) {
    let socket = connect(server.public);
    let mut answers = BufReader::new(&socket);
    for (number, size) in numbers.zip(sizes.iter().cycle()) {
        let request = format!("GET /{size}/{number} HTTP/1.1\r\nHost: a.example\r\n\r\n");
        (&socket).write_all(request.as_bytes()).expect("it reads");
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            assert_ne!(answers.read_line(&mut line).expect("answered"), 0, "closed");
        }
        let read = std::io::copy(&mut (&mut answers).take(*size as u64), &mut std::io::sink());
        assert_eq!(read.expect("whole"), *size as u64);
    }
}

/// What the process wrote to, in KiB.
fn memory(server: &Server) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", server.pid()));
    let rollup = rollup.expect("it runs");
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss_Anon:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.trim().parse().ok()).expect("a number")
}

#[test]
fn the_process_grows_by_little_more_than_its_cache() {
    for sizes in [&[10_000][..], &[1_000, 3_000, 9_000, 27_000, 81_000]] {
        let origin = format!("http://{}", origin());
        let server = Server::start(&["--origin", &origin, "--cache-bytes", "32MiB"]);
        fill(&server, sizes, 0..50);
        let before = memory(&server);
        // As much as there is room for, and then the same once more.
        let each = sizes.iter().sum::<usize>() / sizes.len();
        let objects = (40 << 20) / each;
        for round in 1..=2 {
            fill(&server, sizes, round * objects..(round + 1) * objects);
            let grown = memory(&server) - before;
            println!("{sizes:?}, round {round}: {grown} KiB");
            assert!(
                grown <= (32 << 10) * 115 / 100 + BESIDE_KIB,
                "{sizes:?}: {grown} KiB"
            );
        }
    }
}
