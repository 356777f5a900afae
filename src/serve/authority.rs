//! Whether a request names one host, and is one of HTTP.

use http::request::Parts;
use http::uri::Authority;
use http::{Uri, Version, header};

use super::refusal::Refusal;
use crate::authority::is_host;

/// Whether a target with an authority is one of HTTP, by its scheme, which has no case (RFC 3986 3.1).
pub(super) fn is_http(uri: &Uri) -> bool {
    uri.scheme_str()
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https"))
}

/// Checks that a request names one host, and no scheme but those of HTTP. HTTP/1 comes here with one valid Host at most,
/// which does not count where the target names a host (RFC 9112 3.2.2); HTTP/2 as it is, and two hosts in it are malformed
/// (RFC 9113 8.3.1).
pub(super) fn check(parts: &Parts) -> Result<(), Refusal> {
    if parts.uri.scheme().is_some() && !is_http(&parts.uri) {
        return Err(Refusal::Target);
    }
    let authority = parts.uri.authority();
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Refusal::HostTwice);
    }
    if let Some(authority) = authority
        && !is_host(authority.as_str().as_bytes())
    {
        return Err(Refusal::HostInvalid);
    }
    match (authority, host) {
        (None, None) if parts.version == Version::HTTP_2 => Err(Refusal::HostMissing),
        (_, Some(host)) if !is_host(host.as_bytes()) => Err(Refusal::HostInvalid),
        (Some(authority), Some(host)) if parts.version == Version::HTTP_2 => {
            let host = Authority::try_from(host.as_bytes()).map_err(|_| Refusal::HostInvalid)?;
            let default = match parts.uri.scheme_str() {
                Some("http") => Some(80),
                Some("https") => Some(443),
                _ => None,
            };
            if authority.host().eq_ignore_ascii_case(host.host())
                && authority.port_u16().or(default) == host.port_u16().or(default)
            {
                Ok(())
            } else {
                Err(Refusal::HostMismatch)
            }
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn check_request(version: Version, uri: &str, hosts: &[&str]) -> Result<(), Refusal> {
        let mut request = Request::builder().version(version).uri(uri);
        for host in hosts {
            request = request.header(header::HOST, *host);
        }
        check(&request.body(()).expect("a valid request").into_parts().0)
    }

    #[test]
    fn one_request_names_one_host() {
        let one = Version::HTTP_11;
        let two = Version::HTTP_2;
        assert_eq!(check_request(one, "http://a/", &["A:80"]), Ok(()));
        assert_eq!(check_request(two, "https://a/", &["a:443"]), Ok(()));
        assert_eq!(check_request(two, "http://a/", &[]), Ok(()));
        assert_eq!(check_request(two, "/", &["a"]), Ok(()));
        assert_eq!(check_request(one, "http://a/", &["b"]), Ok(()));
        assert_eq!(
            check_request(two, "http://a/", &["b"]),
            Err(Refusal::HostMismatch)
        );
        assert_eq!(
            check_request(two, "http://a/", &["a:8080"]),
            Err(Refusal::HostMismatch)
        );
        assert_eq!(
            check_request(two, "http://a/", &["a", "a"]),
            Err(Refusal::HostTwice)
        );
        assert_eq!(check_request(two, "/", &[]), Err(Refusal::HostMissing));
        assert_eq!(check_request(two, "http://u@a/", &[]), Err(Refusal::HostInvalid));
        assert_eq!(check_request(two, "/", &["a/b"]), Err(Refusal::HostInvalid));
        assert_eq!(
            check_request(two, "http://a/", &["u@a"]),
            Err(Refusal::HostInvalid)
        );
        assert_eq!(check_request(one, "/", &["%61"]), Err(Refusal::HostInvalid));
        // Not a port, so not the default one either.
        assert_eq!(
            check_request(one, "http://a/", &["a:65536"]),
            Err(Refusal::HostInvalid)
        );
        assert_eq!(
            check_request(two, "http://a:99999/", &["a"]),
            Err(Refusal::HostInvalid)
        );
        assert_eq!(check_request(two, "http://a:65535/", &["a:65535"]), Ok(()));
        // What HTTP/1 refuses as a target.
        assert_eq!(check_request(two, "ftp://a/", &[]), Err(Refusal::Target));
        assert_eq!(check_request(two, "httpx://a/", &["a"]), Err(Refusal::Target));
        let uri = Uri::builder().scheme("HTTPS").authority("a").path_and_query("/");
        assert!(is_http(&uri.build().expect("valid")));
    }
}
