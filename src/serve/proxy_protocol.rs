//! The PROXY protocol: before its first byte, a connection that comes through a proxy says whose it is.
//!
//! Versions 1 and 2 as HAProxy specifies them (`proxy-protocol.txt`). A connection that must begin so, and does not, is
//! closed.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

use super::listener::Peer;

/// The first bytes of version 2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Longest line of version 1, with its end.
const LONGEST_LINE: usize = 107;
/// Longest rest of a header of version 2: addresses, and what a proxy adds to them.
const LONGEST_REST: usize = 4096;

/// What is added of the client's TLS.
const TYPE_SSL: u8 = 0x20;
/// In its first byte: there was TLS.
const CLIENT_SSL: u8 = 0x01;

/// What a header says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// The client's end and the proxy's. `None`: the connection is the proxy's own, or the client's address is not an IP
    /// address.
    ends: Option<(SocketAddr, SocketAddr)>,
    /// The client's connection was encrypted.
    tls: bool,
}

/// Reads a header, and no byte more.
pub(super) async fn read<I: AsyncRead + Unpin>(io: &mut I) -> io::Result<Told> {
    // No header is shorter.
    let mut start = [0; 12];
    io.read_exact(&mut start).await?;
    if start == SIGNATURE {
        let mut head = [0; 4];
        io.read_exact(&mut head).await?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        if length > LONGEST_REST {
            return Err(malformed("it is too long"));
        }
        let mut rest = vec![0; length];
        io.read_exact(&mut rest).await?;
        return version_2(head[0], head[1], &rest).ok_or_else(|| malformed("of version 2"));
    }
    let mut line = start.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() == LONGEST_LINE || !line.starts_with(b"PROXY ") {
            return Err(malformed("there is none"));
        }
        line.push(io.read_u8().await?);
    }
    version_1(&line[..line.len() - 2]).ok_or_else(|| malformed("of version 1"))
}

fn malformed(why: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("no valid PROXY header: {why}"),
    )
}

fn version_1(line: &[u8]) -> Option<Told> {
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.strip_prefix("PROXY ")?.split(' ');
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(Told::default());
    }
    let [source, target] = [words.next()?, words.next()?];
    let [from, to] = [words.next()?, words.next()?].map(port);
    let ends = match family {
        "TCP4" => [source, target].map(|addr| addr.parse::<Ipv4Addr>().ok().map(IpAddr::from)),
        "TCP6" => [source, target].map(|addr| addr.parse::<Ipv6Addr>().ok().map(IpAddr::from)),
        _ => return None,
    };
    let ends = (SocketAddr::new(ends[0]?, from?), SocketAddr::new(ends[1]?, to?));
    words.next().is_none().then_some(Told {
        ends: Some(ends),
        tls: false,
    })
}

/// Digits without a leading zero.
fn port(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    is_number.then(|| text.parse().ok())?
}

fn version_2(version_and_command: u8, family_and_protocol: u8, rest: &[u8]) -> Option<Told> {
    match version_and_command {
        // The proxy's own connection, for instance to see whether we live.
        0x20 => return Some(Told::default()),
        0x21 => {}
        _ => return None,
    }
    let (ends, added) = match family_and_protocol {
        0x11 => {
            let (addrs, added) = rest.split_at_checked(12)?;
            let ip = |at: usize| Some(IpAddr::from(<[u8; 4]>::try_from(addrs.get(at..at + 4)?).ok()?));
            (Some(ends(ip(0)?, ip(4)?, addrs.get(8..)?)?), added)
        }
        0x21 => {
            let (addrs, added) = rest.split_at_checked(36)?;
            let ip = |at: usize| Some(IpAddr::from(<[u8; 16]>::try_from(addrs.get(at..at + 16)?).ok()?));
            (Some(ends(ip(0)?, ip(16)?, addrs.get(32..)?)?), added)
        }
        // Unspecified, datagrams, or a local socket: of whatever length.
        0x00 | 0x12 | 0x22 => (None, &[][..]),
        0x31 | 0x32 => (None, rest.get(216..)?),
        _ => return None,
    };
    let tls = has_tls(added)?;
    Some(Told { ends, tls })
}

fn ends(source: IpAddr, target: IpAddr, ports: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let &[a, b, c, d] = ports else {
        return None;
    };
    let (from, to) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    Some((SocketAddr::new(source, from), SocketAddr::new(target, to)))
}

/// Whether what is added says that the client spoke TLS. `None`: it is malformed.
fn has_tls(mut added: &[u8]) -> Option<bool> {
    let mut tls = false;
    while let [kind, high, low, rest @ ..] = added {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, after) = rest.split_at_checked(length)?;
        if *kind == TYPE_SSL {
            tls = value.first()? & CLIENT_SSL != 0;
        }
        added = after;
    }
    added.is_empty().then_some(tls)
}

// === impl Told ===

impl Told {
    /// What is now known of the connection.
    pub(super) fn correct(self, peer: &mut Peer) {
        if let Some((remote, local)) = self.ends {
            peer.remote = remote;
            peer.local = local;
            peer.tls = self.tls;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a header says, and what follows it.
    async fn told(bytes: &[u8]) -> io::Result<(Told, usize)> {
        let mut rest = bytes;
        let told = read(&mut rest).await?;
        Ok((told, rest.len()))
    }

    fn ends(source: &str, target: &str) -> Option<(SocketAddr, SocketAddr)> {
        let [source, target] = [source, target].map(|addr| addr.parse().expect("an address"));
        Some((source, target))
    }

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest, b"GET"].concat()
    }

    #[tokio::test]
    async fn version_1_is_one_line() {
        for (line, expected) in [
            (
                "PROXY TCP4 1.2.3.4 10.0.0.1 567 80\r\n",
                ends("1.2.3.4:567", "10.0.0.1:80"),
            ),
            (
                "PROXY TCP6 2001:db8::1 ::1 1 65535\r\n",
                ends("[2001:db8::1]:1", "[::1]:65535"),
            ),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
        ] {
            let (told, left) = told(format!("{line}GET").as_bytes()).await.expect(line);
            assert_eq!((told.ends, told.tls, left), (expected, false, 3), "{line}");
        }
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
        for line in [
            "GET / HTTP/1.1\r\n",
            "PROXY TCP4 1.2.3.4 10.0.0.1 567\r\n",
            "PROXY TCP4 1.2.3.4 10.0.0.1 567 80 \r\n",
            "PROXY TCP4 1.2.3.4 10.0.0.1 567 80 x\r\n",
            "PROXY TCP4 1.2.3.4 10.0.0.1 0567 80\r\n",
            "PROXY TCP4 1.2.3.4 10.0.0.1 +567 80\r\n",
            "PROXY TCP4 1.2.3.4 10.0.0.1 65536 80\r\n",
            "PROXY TCP4 ::1 10.0.0.1 567 80\r\n",
            "PROXY TCP6 1.2.3.4 ::1 567 80\r\n",
            "PROXY  TCP4 1.2.3.4 10.0.0.1 567 80\r\n",
            "PROXY UDP4 1.2.3.4 10.0.0.1 567 80\r\n",
            "proxy TCP4 1.2.3.4 10.0.0.1 567 80\r\n",
            "PROXY TCP4 1.2.3.4 10.0.0.1 567 80\n",
            "PROXY",
            &long,
        ] {
            assert!(told(line.as_bytes()).await.is_err(), "{line:?}");
        }
    }

    #[tokio::test]
    async fn version_2_is_binary() {
        let four = [1, 2, 3, 4, 10, 0, 0, 1, 2, 55, 0, 80];
        let (expected, of_tls) = (
            ends("1.2.3.4:567", "10.0.0.1:80"),
            [TYPE_SSL, 0, 5, 1, 0, 0, 0, 0],
        );
        let other = [0xee, 0, 2, 9, 9];
        for (added, tls) in [
            (vec![], false),
            (of_tls.to_vec(), true),
            ([&other[..], &of_tls].concat(), true),
            (vec![TYPE_SSL, 0, 5, 0, 0, 0, 0, 0], false),
        ] {
            let bytes = binary(0x21, 0x11, &[&four[..], &added].concat());
            let (told, left) = told(&bytes).await.expect("valid");
            assert_eq!((told.ends, told.tls, left), (expected, tls, 3), "{added:?}");
        }
        let mut six = [0; 36];
        (six[15], six[31], six[33], six[35]) = (1, 2, 1, 2);
        let (told_six, _) = told(&binary(0x21, 0x21, &six)).await.expect("valid");
        assert_eq!(told_six.ends, ends("[::1]:1", "[::2]:2"));
        for (command, family, rest) in [
            (0x20, 0x00, &[][..]),
            (0x20, 0x11, &four),
            (0x21, 0x00, &[1, 2, 3]),
        ] {
            let (told, left) = told(&binary(command, family, rest)).await.expect("valid");
            assert_eq!((told, left), (Told::default(), 3));
        }
        for (command, family, rest) in [
            (0x11, 0x11, &four[..]),
            (0x22, 0x11, &four),
            (0x21, 0x11, &four[..11]),
            (0x21, 0x41, &four),
            (0x21, 0x21, &four),
            (0x21, 0x11, &[&four[..], &[TYPE_SSL, 0, 9, 1]].concat()),
            (0x21, 0x11, &[&four[..], &[TYPE_SSL]].concat()),
        ] {
            assert!(
                told(&binary(command, family, rest)).await.is_err(),
                "{command} {family} {rest:?}"
            );
        }
        let mut long = binary(0x21, 0x11, &four);
        long[14..16].copy_from_slice(&[0xff, 0xff]);
        long.resize(80_000, 0);
        assert!(told(&long).await.is_err());
    }

    proptest! {
        /// Whatever comes, it ends, and what follows a header is left.
        #[test]
        fn any_bytes_are_a_header_or_an_error(
            start in prop::sample::select(vec![&SIGNATURE[..], b"PROXY TCP4 ", b"PROXY UNKNOWN", b"PRO", b""]),
            command in prop::sample::select(vec![&b"\x20\0\0\0"[..], b"\x21\x11\0\x0c", b"\x21\x21\0\x30", b""]),
            rest in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let bytes = [start, command, &rest].concat();
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            if let Ok((told, left)) = runtime.block_on(told(&bytes)) {
                prop_assert!(left <= bytes.len() - 15);
                prop_assert!(!told.tls || start == SIGNATURE);
            }
        }
    }
}
