//! Properties of whatever requests come for origins, and whatever answers come from them.

use http::header::{self, CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};

use super::headers::{self, Forwarding, Framing, HostPolicy};
use super::route::{Route, Routes, Upstream};
use crate::error::OriginFailure;
use crate::fuzz::{cut, fields as read_fields};
use crate::hop_by_hop;
use crate::request::{ClientInfo, settle};

/// Fields of a request or an answer, one in each line.
pub fn fields(bytes: &[u8]) {
    let fields = read_fields(bytes);
    check_answer(&fields);
    check_request(&fields);
    let _ = headers::announced_keep_alive(&fields);
    let _ = headers::is_event_stream(&fields);
}

/// The authority to which a request is sent; an error if it is refused.
pub(crate) fn authority(uri: &Uri, headers: &HeaderMap) -> Result<Option<Authority>, OriginFailure> {
    headers::authority(uri, headers)
}

/// Routes `HOST[/PREFIX]=URL`, one in each line, and in the last line the URL of a request: the most specific
/// one takes it, and its path goes on byte for byte.
pub fn route(bytes: &[u8]) {
    let mut lines = bytes.split(|&byte| byte == b'\n');
    let Some(Ok(uri)) = lines.next_back().map(Uri::try_from) else {
        return;
    };
    let texts: Vec<&str> = lines
        .filter_map(|line| std::str::from_utf8(line).ok())
        .take(8)
        .collect();
    let parsed: Vec<(&str, Route)> = texts
        .into_iter()
        .filter_map(|text| Some((text, text.parse().ok()?)))
        .collect();
    let Ok(routes) = Routes::new(parsed.iter().map(|(_, route)| route.clone()).collect()) else {
        return;
    };
    let found = routes.find(uri.authority(), 80, uri.path());
    let expected = parsed
        .iter()
        .filter_map(|(text, _)| Some((rank(text, &uri)?, cut(text.as_bytes(), b'=').1)))
        .max_by_key(|(rank, _)| *rank);
    if let Err(error) = &found
        && error.failure == OriginFailure::PathClimbs
    {
        // As it is, or once it is decoded.
        assert!(
            expected.is_some() && uri.path().contains(['.', '%']),
            "{uri} among {routes:?}"
        );
        return;
    }
    assert_eq!(
        found.as_ref().ok().map(|origin| origin.url().as_bytes()),
        expected.map(|(_, url)| url),
        "{uri} among {routes:?}"
    );
    if let Ok(origin) = found {
        check_target(origin, &uri);
    }
}

/// How specific a route is if it takes this: host, port, length of the prefix.
fn rank(route: &str, uri: &Uri) -> Option<(u8, usize)> {
    let (pattern, _) = route.split_once('=')?;
    let (host, prefix) = pattern.split_at(pattern.find('/').unwrap_or(pattern.len()));
    let prefix = prefix.trim_end_matches('/');
    let below = uri.path().strip_prefix(prefix)?;
    if !(prefix.is_empty() || below.is_empty() || below.starts_with('/')) {
        return None;
    }
    if host == "*" {
        return Some((0, prefix.len()));
    }
    let plain = |authority: &Authority| {
        let name = authority.host().to_ascii_lowercase();
        name.strip_suffix('.').unwrap_or(&name).to_owned()
    };
    let (pattern, asked) = (host.parse().ok()?, uri.authority()?);
    if plain(&pattern) != plain(asked) {
        return None;
    }
    match pattern.port_u16() {
        None => Some((1, prefix.len())),
        Some(port) => (port == asked.port_u16().unwrap_or(80)).then_some((2, prefix.len())),
    }
}

fn check_target(origin: &Upstream, uri: &Uri) {
    let Ok(forwarded) = origin.uri(uri.path_and_query()) else {
        return;
    };
    let base: Uri = origin.url().parse().expect("a route was made of it");
    assert_eq!(forwarded.authority(), base.authority());
    assert_eq!(forwarded.scheme(), base.scheme());
    let as_sent = match uri.path_and_query().map_or("", |target| target.as_str()) {
        path if path.starts_with(['/', '*']) => path.to_owned(),
        query => format!("/{query}"),
    };
    let target = forwarded.path_and_query().expect("a target").to_string();
    let below = target
        .strip_suffix(&as_sent)
        .unwrap_or_else(|| panic!("{target} of {as_sent}"));
    assert!(as_sent == "*" || below == base.path().trim_end_matches('/'));
}

/// Framing is never ambiguous, and no field of the origin's connection goes on.
fn check_answer(fields: &HeaderMap) {
    let mut answer = fields.clone();
    let lengths: Vec<&[u8]> = fields
        .get_all(CONTENT_LENGTH)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    match headers::framing(&mut answer) {
        Ok(Framing::Length) => {
            let length = answer[CONTENT_LENGTH].to_str().expect("a number");
            assert_eq!(answer.get_all(CONTENT_LENGTH).iter().count(), 1);
            let length: u64 = length.parse().expect("a number");
            for member in lengths.iter().flat_map(|line| line.split(|&byte| byte == b',')) {
                assert_eq!(
                    std::str::from_utf8(member).map(|it| it.trim().parse()),
                    Ok(Ok(length))
                );
            }
            assert!(!fields.contains_key(TRANSFER_ENCODING));
        }
        Ok(Framing::Chunked) => {
            assert!(lengths.is_empty());
            let codings: Vec<&HeaderValue> = fields.get_all(TRANSFER_ENCODING).iter().collect();
            assert!(codings.len() == 1 && codings[0].as_bytes().eq_ignore_ascii_case(b"chunked"));
        }
        Ok(Framing::Close) => assert!(lengths.is_empty() && !fields.contains_key(TRANSFER_ENCODING)),
        Err(_) => assert!(!lengths.is_empty() || fields.contains_key(TRANSFER_ENCODING)),
    }
    hop_by_hop::remove(&mut answer);
    check_end_to_end(&answer);
    let once = answer.clone();
    hop_by_hop::remove(&mut answer);
    assert_eq!(answer, once);
}

fn check_request(fields: &HeaderMap) {
    let mut request = Request::new(());
    *request.headers_mut() = fields.clone();
    settle(&mut request);
    let mut request = std::mem::take(request.headers_mut());
    let forwarding = Forwarding::default();
    let origin = Authority::from_static("origin.example:81");
    let uri = Uri::from_static("/");
    let Ok(authority) = headers::authority(&uri, fields) else {
        return;
    };
    headers::clean_request(
        &mut request,
        (ClientInfo::default(), false),
        authority.as_ref(),
        &forwarding,
    );
    headers::set_host(&mut request, authority.as_ref(), &origin, &HostPolicy::Client);
    assert_eq!(request.get_all(HOST).iter().count(), 1);
    assert_eq!(request["x-forwarded-proto"], "http");
    assert!(request.get_all("x-forwarded-for").iter().count() <= 1);
    assert!(!request.contains_key(header::EXPECT) && !request.contains_key("x-original-url"));
    if request.contains_key(TE) {
        assert_eq!(
            (&request[TE], &request[CONNECTION]),
            (&"trailers".parse().expect("it is"), &"te".parse().expect("it is"))
        );
        request.remove(TE);
        request.remove(CONNECTION);
    }
    check_end_to_end(&request);
    for exact in [None, Some(0), Some(7)] {
        let mut sent = request.clone();
        headers::set_length(&mut sent, exact);
        let lengths: Vec<&HeaderValue> = sent.get_all(CONTENT_LENGTH).iter().collect();
        assert!(
            exact.is_none()
                || lengths
                    .iter()
                    .all(|length| **length == HeaderValue::from(exact.unwrap_or_default()))
        );
    }
    // Nobody can have removed what is said to the origin.
    let is_ours = |name: &&HeaderName| {
        let text = name.as_str().as_bytes();
        text.starts_with(b"grip-")
            && text
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    };
    for name in fields.keys().filter(is_ours) {
        assert!(request.contains_key(name));
    }
}

/// No field of one connection is left, and none that `Connection` named.
fn check_end_to_end(fields: &HeaderMap) {
    let names = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
    ];
    for name in names.map(HeaderName::from_static) {
        assert!(!fields.contains_key(&name), "{name}: {fields:?}");
    }
}
