//! Whom endpoints without credentials take requests from: programs on this machine, and no website that a browser here
//! shows. A page may send a simple POST to any address, and one whose name resolves to here any request (DNS rebinding).

use std::net::IpAddr;

use http::uri::Authority;
use http::{Request, header};

use crate::values::HostName;

/// Names under which the endpoints may be asked, beside those of the loopback.
#[derive(Clone, Debug, Default)]
pub struct LocalOnly {
    hosts: Vec<HostName>,
}

/// Why a request is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// A browser says that a page of another site sends it.
    Site,
    /// A page of this origin sends it.
    Origin,
    /// It is for another host, so whoever sends it took this address for that one's.
    Host,
}

// === impl LocalOnly ===

impl LocalOnly {
    /// `hosts`: names that operators gave this machine.
    pub fn new(hosts: Vec<HostName>) -> Self {
        Self { hosts }
    }

    /// Whether a request is taken, by its head.
    pub fn check<B>(&self, request: &Request<B>) -> Result<(), Foreign> {
        if is_of_other_site(request) {
            return Err(Foreign::Site);
        }
        if origin(request).is_some_and(|host| !self.is_ours(host)) {
            return Err(Foreign::Origin);
        }
        // That of a PURGE is what is purged. A browser that sends one says its origin.
        let names_itself = request.method().as_str() == "PURGE";
        if names_itself || host(request).is_some_and(|host| self.is_ours(host)) {
            Ok(())
        } else {
            Err(Foreign::Host)
        }
    }

    fn is_ours(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else {
            return false;
        };
        let name = authority.host().trim_end_matches('.').to_ascii_lowercase();
        is_loopback(&name) || self.hosts.iter().any(|ours| ours.0.eq_ignore_ascii_case(&name))
    }
}

/// Whether a host, without its port, is this machine to everybody.
fn is_loopback(name: &str) -> bool {
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let is_address = |name: &str| {
        name.parse()
            .is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback())
    };
    name == "localhost" || name.ends_with(".localhost") || is_address(address.unwrap_or(name))
}

/// Whether a page of another origin than this one sends a request.
pub fn is_cross_site<B>(request: &Request<B>) -> bool {
    let own = host(request).unwrap_or_default();
    is_of_other_site(request) || origin(request).is_some_and(|origin| !origin.eq_ignore_ascii_case(own))
}

/// Whether the browser says so. It does not say anything over plain HTTP, but to a loopback.
fn is_of_other_site<B>(request: &Request<B>) -> bool {
    let site = request.headers().get("sec-fetch-site");
    site.is_some_and(|site| site != "same-origin" && site != "none")
}

/// The host and port of the page that sends a request, if a page does: empty, if it has none.
fn origin<B>(request: &Request<B>) -> Option<&str> {
    let origin = request.headers().get(header::ORIGIN)?;
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    Some(origin.map_or("", |(_, host)| host))
}

/// The host that a request is for: that of its target, else `Host`.
fn host<B>(request: &Request<B>) -> Option<&str> {
    let of_target = request.uri().authority().map(Authority::as_str);
    let field = || request.headers().get(header::HOST)?.to_str().ok();
    of_target.or_else(field)
}

// === impl Foreign ===

impl Foreign {
    /// What the client is told.
    pub fn why(self) -> &'static str {
        match self {
            Self::Site => {
                "Refused: a page of another site sent it (Sec-Fetch-Site). Open control is for programs.\n"
            }
            Self::Origin => {
                "Refused: a page of another site sent it (Origin). Open control is for programs.\n"
            }
            Self::Host => {
                "Refused: open control is asked as localhost or by an address of the loopback, not by another Host; see \
                 --control-host.\n"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    fn check(method: &str, fields: &[(&str, &str)]) -> Result<(), Foreign> {
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap());
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        LocalOnly::new(vec![HostName("edge.internal".to_owned())]).check(&request.body(()).unwrap())
    }

    #[test]
    fn programs_on_this_machine_are_taken() {
        for host in [
            "localhost",
            "LOCALHOST.:5561",
            "a.localhost",
            "127.0.0.1:5561",
            "127.1.2.3",
            "[::1]:5561",
            "Edge.Internal:80",
        ] {
            assert_eq!(check("POST", &[("host", host)]), Ok(()), "{host}");
            let origin = format!("http://{host}");
            assert_eq!(
                check("POST", &[("host", host), ("origin", &origin)]),
                Ok(()),
                "{host}"
            );
        }
        assert_eq!(
            check(
                "POST",
                &[("host", "localhost"), ("sec-fetch-site", "same-origin")]
            ),
            Ok(())
        );
        assert_eq!(check("PURGE", &[("host", "example.com")]), Ok(()));
    }

    #[test]
    fn pages_of_other_sites_are_not() {
        for site in ["cross-site", "same-site", "x"] {
            let fields = [("host", "localhost"), ("sec-fetch-site", site)];
            assert_eq!(check("POST", &fields), Err(Foreign::Site), "{site}");
            assert_eq!(check("PURGE", &fields), Err(Foreign::Site), "{site}");
        }
        for origin in [
            "null",
            "http://evil.example",
            "https://localhost.evil.example",
            "http://127.0.0.1.evil.example",
        ] {
            let fields = [("host", "localhost"), ("origin", origin)];
            assert_eq!(check("POST", &fields), Err(Foreign::Origin), "{origin}");
            assert_eq!(check("PURGE", &fields), Err(Foreign::Origin), "{origin}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:5561",
            "10.0.0.1",
            "0.0.0.0",
            "a b",
        ] {
            assert_eq!(check("POST", &[("host", host)]), Err(Foreign::Host), "{host}");
        }
        assert_eq!(check("POST", &[]), Err(Foreign::Host));
    }
}
