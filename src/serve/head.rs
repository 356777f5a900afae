//! Reads the head of an HTTP/1 request as a strict recipient would (RFC 9112), before hyper does.

use http::Uri;

use super::authority::is_http;
use super::chunked::is_token;
use super::refusal::Refusal;
use crate::authority::is_host;

/// Room for a method and a version beside a target of the longest length.
const REQUEST_LINE_EXTRA: usize = 64;

/// How large a head may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadLimits {
    pub(super) bytes: usize,
    pub(super) fields: usize,
    pub(super) target_bytes: usize,
}

/// Where the scan of an incomplete head stopped, so that no byte is looked at twice.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scan {
    at: usize,
    line_start: usize,
    lines: usize,
}

/// What a head says about the bytes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Its length in bytes, the empty line included.
    pub(super) len: usize,
    pub(super) framing: Framing,
    /// It asks to leave HTTP: CONNECT, or an Upgrade field in HTTP/1.1.
    pub(super) upgrade: bool,
}

/// How the body is delimited (RFC 9112 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
}

/// Reads a head from the start of `bytes`; `None` if it is not complete yet. Call it again with the same bytes and
/// more behind them, and the same `scan`.
pub(super) fn read(bytes: &[u8], scan: &mut Scan, limits: &HeadLimits) -> Result<Option<Head>, Refusal> {
    while let Some(&byte) = bytes.get(scan.at) {
        let after_cr = scan.at > scan.line_start && bytes[scan.at - 1] == b'\r';
        match byte {
            b'\n' if !after_cr => return Err(Refusal::BareLf),
            b'\n' => {
                scan.at += 1;
                let empty = scan.at - scan.line_start == 2;
                scan.line_start = scan.at;
                if empty {
                    if scan.at > limits.bytes {
                        return Err(Refusal::HeadTooLarge);
                    }
                    return parse(&bytes[..scan.at], limits).map(Some);
                }
                scan.lines += 1;
                if scan.lines > limits.fields + 1 {
                    return Err(Refusal::TooManyFields);
                }
                continue;
            }
            _ if after_cr => return Err(Refusal::BareCr),
            b' ' | b'\t' if scan.at == scan.line_start && scan.lines > 0 => return Err(Refusal::FoldedLine),
            b'\r' | b'\t' | b' '..=b'~' | 0x80.. => {}
            _ => return Err(Refusal::ControlCharacter),
        }
        scan.at += 1;
        if scan.lines == 0 && scan.at > limits.target_bytes + REQUEST_LINE_EXTRA {
            return Err(Refusal::TargetTooLong);
        }
        if scan.at > limits.bytes {
            return Err(Refusal::HeadTooLarge);
        }
    }
    Ok(None)
}

/// `head` ends in an empty line, and each of its lines in CRLF; no line is folded, and there are no other control
/// characters but HTAB.
fn parse(head: &[u8], limits: &HeadLimits) -> Result<Head, Refusal> {
    let mut lines = head
        .split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let request_line = lines.next().unwrap_or_default();
    let (method, is_1_1) = parse_request_line(request_line, limits)?;
    let connect = method == b"CONNECT";

    let mut hosts = 0;
    let mut length = None;
    let mut chunked = false;
    let mut upgrade = false;
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = parse_field(line)?;
        if name.eq_ignore_ascii_case(b"host") {
            hosts += 1;
            if hosts > 1 {
                return Err(Refusal::HostTwice);
            }
            if !is_host(value) {
                return Err(Refusal::HostInvalid);
            }
        } else if name.eq_ignore_ascii_case(b"content-length") {
            if length.is_some() {
                return Err(Refusal::LengthTwice);
            }
            length = Some(parse_length(value).ok_or(Refusal::LengthInvalid)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if chunked {
                return Err(Refusal::CodingInvalid);
            }
            check_coding(value)?;
            chunked = true;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            upgrade = is_1_1;
        }
    }
    if is_1_1 && hosts == 0 {
        return Err(Refusal::HostMissing);
    }
    if chunked && !is_1_1 {
        return Err(Refusal::CodingInOldVersion);
    }
    if connect && (chunked || length.is_some()) {
        return Err(Refusal::ConnectWithBody);
    }
    let framing = match (chunked, length) {
        (true, Some(_)) => return Err(Refusal::LengthAndCoding),
        (true, None) => Framing::Chunked,
        (false, length) => Framing::Length(length.unwrap_or(0)),
    };
    Ok(Head {
        len: head.len(),
        framing,
        upgrade: upgrade || connect,
    })
}

/// The method, and whether the version is 1.1.
fn parse_request_line<'a>(line: &'a [u8], limits: &HeadLimits) -> Result<(&'a [u8], bool), Refusal> {
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refusal::RequestLine);
    };
    if method.is_empty() || !method.iter().copied().all(is_token) {
        return Err(Refusal::RequestLine);
    }
    let is_1_1 = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => return Err(Refusal::Version),
        _ => return Err(Refusal::RequestLine),
    };
    if target.len() > limits.target_bytes {
        return Err(Refusal::TargetTooLong);
    }
    if is_target(method, target) {
        Ok((method, is_1_1))
    } else {
        Err(Refusal::Target)
    }
}

/// Whether this method may have this target (RFC 9112 3.2).
fn is_target(method: &[u8], target: &[u8]) -> bool {
    match (method, target) {
        (b"CONNECT", _) => {
            let port = target
                .iter()
                .rposition(|&byte| byte == b':')
                .map(|at| &target[at + 1..]);
            port.is_some_and(|port| !port.is_empty()) && is_host(target)
        }
        (b"OPTIONS", b"*") => true,
        // Most targets need no second look.
        (_, [b'/', rest @ ..]) if rest.iter().copied().all(is_plain) => true,
        (_, [b'/', ..]) => is_printable(target) && Uri::try_from(target).is_ok(),
        _ => {
            is_printable(target)
                && Uri::try_from(target).is_ok_and(|uri| {
                    is_http(&uri)
                        && uri
                            .authority()
                            .is_some_and(|authority| is_host(authority.as_str().as_bytes()))
                })
        }
    }
}

/// Whether a target has only characters that may stand in a request line: what else there is, is written as `%xx` (RFC 3986
/// 2.1).
pub(super) fn is_printable(target: &[u8]) -> bool {
    target.iter().all(|&byte| byte.is_ascii_graphic() && byte != b'#')
}

/// Characters of a path or query that every reader accepts (RFC 3986 3.3, 3.4).
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b':'
                | b'@'
                | b'/'
                | b'?'
                | b'%'
        )
}

/// Name and value of a field line.
fn parse_field(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    let colon = line
        .iter()
        .position(|&byte| byte == b':')
        .ok_or(Refusal::FieldName)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if matches!(name, [.., b' ' | b'\t']) {
        return Err(Refusal::SpaceBeforeColon);
    }
    if name.is_empty() || !name.iter().copied().all(is_token) {
        return Err(Refusal::FieldName);
    }
    Ok((name, trim(value)))
}

/// A Content-Length: digits and nothing else (RFC 9110 8.6).
pub(super) fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // hyper keeps the two largest numbers for itself.
    std::str::from_utf8(value)
        .ok()?
        .parse()
        .ok()
        .filter(|&length: &u64| length <= i64::MAX as u64)
}

/// Only `chunked`, once, is spoken here (RFC 9112 6.1).
fn check_coding(value: &[u8]) -> Result<(), Refusal> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let mut codings = value.split(|&byte| byte == b',').map(trim).rev();
    let last_is_chunked = codings
        .next()
        .is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"));
    let others_are_not = codings.all(|coding| {
        !coding.is_empty() && coding.iter().copied().all(is_token) && !coding.eq_ignore_ascii_case(b"chunked")
    });
    Err(if last_is_chunked && others_are_not {
        Refusal::CodingUnknown
    } else {
        Refusal::CodingInvalid
    })
}

/// Without whitespace at either end: SP and HTAB only (RFC 9110 5.6.3).
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits {
        bytes: 512,
        fields: 4,
        target_bytes: 128,
    };

    /// Read at once and byte by byte: both must say the same.
    fn read_all(bytes: &[u8]) -> Result<Option<Head>, Refusal> {
        let at_once = read(bytes, &mut Scan::default(), &LIMITS);
        let mut scan = Scan::default();
        let mut stepwise = Ok(None);
        for end in 1..=bytes.len() {
            stepwise = read(&bytes[..end], &mut scan, &LIMITS);
            if !matches!(stepwise, Ok(None)) {
                break;
            }
        }
        assert_eq!(at_once, stepwise, "{}", bytes.escape_ascii());
        at_once
    }

    fn head_of(bytes: &[u8]) -> Head {
        read_all(bytes).expect("not refused").expect("complete")
    }

    #[test]
    fn reads_framing_and_upgrades() {
        let get = head_of(b"GET /a?b=c HTTP/1.1\r\nHost: a\r\n\r\nGET");
        assert_eq!(
            (get.len, get.framing, get.upgrade),
            (32, Framing::Length(0), false)
        );
        let post = head_of(b"POST / HTTP/1.1\r\nhost:a:80\r\ncontent-length: 5 \r\n\r\nhello");
        assert_eq!(post.framing, Framing::Length(5));
        let chunked = head_of(b"POST / HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: Chunked\r\n\r\n");
        assert_eq!(chunked.framing, Framing::Chunked);
        assert!(head_of(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n\r\n").upgrade);
        assert!(
            !head_of(b"GET / HTTP/1.0\r\nUpgrade: x\r\n\r\n").upgrade,
            "HTTP/1.0 has no Upgrade"
        );
        assert!(head_of(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n").upgrade);
        head_of(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
        head_of(b"GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n");
        head_of(b"GET /a|b HTTP/1.1\r\nHost: a\r\nX-Obs: \xe4\t\r\n\r\n");
        assert_eq!(read_all(b"GET / HTTP/1.1\r\nHost: a\r\n"), Ok(None));
    }

    #[test]
    fn refuses_what_others_might_read_differently() {
        use Refusal::*;
        for (bytes, refusal) in [
            (&b"GET / HTTP/1.1\nHost: a\n\n"[..], BareLf),
            (b"GET / HTTP/1.1\r\nHost: a\n\r\n", BareLf),
            (b"\n\n", BareLf),
            (b"GET / HTTP/1.1\rHost: a\r\n\r\n", BareCr),
            (b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", BareCr),
            (b"GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n", ControlCharacter),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", ControlCharacter),
            (b"\x16\x03\x01\x02\x00", ControlCharacter),
            (b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", FoldedLine),
            (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", FoldedLine),
            (b"\r\n", RequestLine),
            (b"GET /\r\n\r\n", RequestLine),
            (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
            (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", RequestLine),
            (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
            (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
            (b"G@T / HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
            (b"GET / http/1.1\r\nHost: a\r\n\r\n", RequestLine),
            (b"GET / HTTP/11\r\nHost: a\r\n\r\n", RequestLine),
            (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", Version),
            (b"PRI * HTTP/2.0\r\n\r\n", Version),
            (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", Version),
            (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", Target),
            (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", Target),
            (b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", Target),
            (b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", Target),
            (b"GET /\xe4 HTTP/1.1\r\nHost: a\r\n\r\n", Target),
            (b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", Target),
            (b"GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", Target),
            (b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", Target),
            (b"CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n", Target),
            (b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", Target),
            (b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", FieldName),
            (b"GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", FieldName),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX Y: x\r\n\r\n", FieldName),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX\xe4: x\r\n\r\n", FieldName),
            (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", SpaceBeforeColon),
            (
                b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n",
                SpaceBeforeColon,
            ),
            (b"GET / HTTP/1.1\r\n\r\n", HostMissing),
            (b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", HostTwice),
            (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", HostInvalid),
            (b"GET / HTTP/1.1\r\nHost: \r\n\r\n", HostInvalid),
            (b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", HostInvalid),
            (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", HostInvalid),
            (b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", HostInvalid),
            (b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", HostInvalid),
        ] {
            assert_eq!(read_all(bytes), Err(refusal), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn refuses_lengths_and_codings_that_do_not_fit() {
        use Refusal::*;
        for (fields, refusal) in [
            ("Content-Length: 1\r\nTransfer-Encoding: chunked", LengthAndCoding),
            ("Transfer-Encoding: chunked\r\nContent-Length: 1", LengthAndCoding),
            ("Content-Length: 1\r\nContent-Length: 1", LengthTwice),
            ("Content-Length: 1\r\ncontent-length: 2", LengthTwice),
            ("Content-Length: 1, 1", LengthInvalid),
            ("Content-Length: +1", LengthInvalid),
            ("Content-Length: -1", LengthInvalid),
            ("Content-Length: 0x1", LengthInvalid),
            ("Content-Length: 1 1", LengthInvalid),
            ("Content-Length:", LengthInvalid),
            ("Content-Length: 18446744073709551616", LengthInvalid),
            ("Content-Length: 18446744073709551615", LengthInvalid),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                CodingInvalid,
            ),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
                CodingInvalid,
            ),
            ("Transfer-Encoding: chunked, chunked", CodingInvalid),
            ("Transfer-Encoding: chunked, identity", CodingInvalid),
            ("Transfer-Encoding: identity", CodingInvalid),
            ("Transfer-Encoding: xchunked", CodingInvalid),
            ("Transfer-Encoding: chunkedx", CodingInvalid),
            ("Transfer-Encoding: \"chunked\"", CodingInvalid),
            ("Transfer-Encoding: chunked;q=1", CodingInvalid),
            ("Transfer-Encoding: ,chunked", CodingInvalid),
            ("Transfer-Encoding:", CodingInvalid),
            ("Transfer-Encoding: gzip, chunked", CodingUnknown),
        ] {
            let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
            assert_eq!(read_all(head.as_bytes()), Err(refusal), "{fields}");
        }
        let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(read_all(old), Err(CodingInOldVersion));
        let connect = b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(read_all(connect), Err(ConnectWithBody));
    }

    #[test]
    fn refuses_what_is_too_large_before_it_is_complete() {
        let long = [b"GET /", &[b'a'; 200][..]].concat();
        assert_eq!(read_all(&long), Err(Refusal::TargetTooLong));
        let long = [b"GET /", &[b'a'; 150][..], b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        assert_eq!(read_all(&long), Err(Refusal::TargetTooLong));
        let large = [b"GET / HTTP/1.1\r\nHost: ", &[b'a'; 600][..]].concat();
        assert_eq!(read_all(&large), Err(Refusal::HeadTooLarge));
        let many = [b"GET / HTTP/1.1\r\nHost: a\r\n", &b"A: b\r\n".repeat(4)[..]].concat();
        assert_eq!(read_all(&many), Err(Refusal::TooManyFields));
        head_of(b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nA: b\r\nA: b\r\n\r\n");
    }
}
