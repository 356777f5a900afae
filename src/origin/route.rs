//! Which origin a request goes to: by host, then by the longest prefix of the path.

use std::str::FromStr;

use bytes::Bytes;
use http::Uri;
use http::uri::{Authority, InvalidUri, PathAndQuery, Scheme};

use super::builder::{BuildError, BuildProblem};
use super::climb::climbs;
use super::stats::Stats;
use crate::error::{OriginError, OriginFailure};
use crate::sync::Arc;

/// A host, a prefix of the path, and the origin that answers there.
///
/// Parses from `HOST[/PREFIX]=URL`:
///
/// - `HOST` is a name or an address, compared without case; `*` is any. A port in it must match, without one any
///   port does.
/// - `PREFIX` matches whole segments: `/api` takes `/api` and `/api/x`, not `/apix`. Bytes are compared as they
///   are, nothing is decoded.
/// - `URL` is `http://` or (feature `tls`) `https://`, with an optional path that is put in front of the
///   request's.
///
/// ```
/// use gripstack::origin::{Origin, Route};
///
/// # fn main() -> Result<(), gripstack::origin::BuildError> {
/// let routes = ["*=http://127.0.0.1:8000", "example.com/api=http://127.0.0.1:9000/v2"];
/// let routes = routes.iter().map(|route| route.parse()).collect::<Result<Vec<Route>, _>>()?;
/// let origin = Origin::builder().routes(routes).build()?;
/// # drop(origin);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Route {
    host: HostPattern,
    /// Empty, or a slash and more, without one at the end.
    prefix: String,
    origin: Upstream,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPattern {
    Any,
    /// In lower case, without a dot at the end.
    Host(String, Option<u16>),
}

/// Where an application listens.
#[derive(Clone, Debug)]
pub(super) struct Upstream {
    scheme: Scheme,
    authority: Authority,
    /// Empty, or a slash and more, without one at the end.
    path: String,
    url: Arc<str>,
    stats: Stats,
}

/// All routes, the most specific first.
#[derive(Debug)]
pub(super) struct Routes(Vec<Route>);

// === impl Route ===

impl Route {
    /// A route from `HOST[/PREFIX]` to a URL.
    pub fn new(pattern: &str, url: &str) -> Result<Self, BuildError> {
        let (host, prefix) = match pattern.find('/') {
            Some(slash) => pattern.split_at(slash),
            None => (pattern, ""),
        };
        let wrong = |why| BuildError::new(pattern, BuildProblem::Pattern(why));
        if prefix.contains(['?', '#']) || (!prefix.is_empty() && prefix.parse::<PathAndQuery>().is_err()) {
            return Err(wrong("the prefix is not a path"));
        }
        Ok(Self {
            host: host.parse().map_err(wrong)?,
            prefix: prefix.trim_end_matches('/').to_owned(),
            origin: url.parse()?,
        })
    }

    pub(super) fn origin(&self) -> &Upstream {
        &self.origin
    }

    /// Whether a path that it matches leads out of its prefix, or of the path of the origin's URL: what is beside
    /// these nobody wanted to be reached.
    fn is_left_by(&self, path: &str) -> bool {
        let has_bounds = !self.prefix.is_empty() || !self.origin.path.is_empty();
        has_bounds && climbs(path.strip_prefix(&self.prefix).unwrap_or(path))
    }

    fn matches(&self, authority: Option<&Authority>, default_port: u16, path: &str) -> bool {
        self.host.matches(authority, default_port)
            && path
                .strip_prefix(&self.prefix)
                .is_some_and(|rest| self.prefix.is_empty() || rest.is_empty() || rest.starts_with('/'))
    }
}

impl FromStr for Route {
    type Err = BuildError;

    fn from_str(route: &str) -> Result<Self, BuildError> {
        match route.split_once('=') {
            Some((pattern, url)) => Self::new(pattern, url),
            None => Err(BuildError::new(
                route,
                BuildProblem::Pattern("a route is HOST[/PREFIX]=URL"),
            )),
        }
    }
}

// === impl HostPattern ===

impl HostPattern {
    fn matches(&self, authority: Option<&Authority>, default_port: u16) -> bool {
        match (self, authority) {
            (Self::Any, _) => true,
            (Self::Host(..), None) => false,
            (Self::Host(host, port), Some(authority)) => {
                let name = authority.host();
                let name = name.strip_suffix('.').unwrap_or(name);
                let actual = authority.port_u16().unwrap_or(default_port);
                name.eq_ignore_ascii_case(host) && port.is_none_or(|port| port == actual)
            }
        }
    }

    fn specificity(&self) -> u8 {
        match self {
            Self::Any => 0,
            Self::Host(_, None) => 1,
            Self::Host(_, Some(_)) => 2,
        }
    }
}

impl FromStr for HostPattern {
    type Err = &'static str;

    fn from_str(host: &str) -> Result<Self, &'static str> {
        if host == "*" {
            return Ok(Self::Any);
        }
        if host.is_empty() {
            return Err("the host is empty; any host is `*`");
        }
        if host.contains('*') {
            return Err("`*` stands for any host, not for a part of one");
        }
        if host.contains('@') {
            return Err("the host is not valid");
        }
        let authority: Authority = host.parse().map_err(|_| "the host is not valid")?;
        let name = authority.host().to_ascii_lowercase();
        let port = match authority.port() {
            Some(port) => Some(port.as_u16()),
            None if host.len() != name.len() => return Err("the port is not valid"),
            None => None,
        };
        let name = name.strip_suffix('.').unwrap_or(&name);
        Ok(Self::Host(name.to_owned(), port))
    }
}

// === impl Upstream ===

impl Upstream {
    /// The URL as it was given.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn stats(&self) -> &Stats {
        &self.stats
    }

    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }

    #[cfg(feature = "tls")]
    pub(super) fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// The URI of a request, with path and query as the client sent them.
    pub(super) fn uri(&self, target: Option<&PathAndQuery>) -> Result<Uri, http::Error> {
        let target = match target {
            None => self.below(PathAndQuery::from_static("/"))?,
            // `OPTIONS *` asks about the server, not about a path.
            Some(target) if target.as_str() == "*" => target.clone(),
            Some(target) => self.below(target.clone())?,
        };
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(target);
        Ok(Uri::from_parts(parts)?)
    }

    fn below(&self, target: PathAndQuery) -> Result<PathAndQuery, InvalidUri> {
        if self.path.is_empty() {
            return Ok(target);
        }
        PathAndQuery::from_maybe_shared(Bytes::from(format!("{}{target}", self.path)))
    }
}

impl FromStr for Upstream {
    type Err = BuildError;

    fn from_str(url: &str) -> Result<Self, BuildError> {
        let wrong = |why: &str| BuildError::new(url, BuildProblem::Url(why.to_owned()));
        if url.contains('#') {
            return Err(wrong("a fragment means nothing here"));
        }
        let uri: Uri = url
            .parse()
            .map_err(|error: InvalidUri| wrong(&error.to_string()))?;
        let parts = uri.into_parts();
        let scheme = match parts.scheme {
            Some(scheme) if scheme == Scheme::HTTP || scheme == Scheme::HTTPS => scheme,
            _ => return Err(wrong("it must begin with http:// or https://")),
        };
        if scheme == Scheme::HTTPS && cfg!(not(feature = "tls")) {
            return Err(BuildError::new(url, BuildProblem::TlsDisabled));
        }
        let authority = parts.authority.ok_or_else(|| wrong("the host is missing"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("user and password cannot be part of it"));
        }
        if authority.host().is_empty() {
            return Err(wrong("the host is missing"));
        }
        let after_host = &authority.as_str()[authority.host().len()..];
        if !after_host.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
            return Err(wrong("the port is not valid"));
        }
        let path = parts.path_and_query.unwrap_or(PathAndQuery::from_static("/"));
        if path.query().is_some() {
            return Err(wrong("a query cannot be part of it"));
        }
        Ok(Self {
            scheme,
            authority,
            path: path.path().trim_end_matches('/').to_owned(),
            url: url.into(),
            stats: Stats::new(),
        })
    }
}

// === impl Routes ===

impl Routes {
    /// Sorts them, the most specific first. The same host and prefix twice is an error.
    pub(super) fn new(mut routes: Vec<Route>) -> Result<Self, BuildError> {
        routes.sort_by_key(|route| std::cmp::Reverse((route.host.specificity(), route.prefix.len())));
        for (at, route) in routes.iter().enumerate() {
            let twin = |other: &&Route| other.host == route.host && other.prefix == route.prefix;
            if let Some(twin) = routes[at + 1..].iter().find(twin) {
                return Err(BuildError::new(twin.origin.url(), BuildProblem::Duplicate));
            }
        }
        // Counted per origin, however many routes lead there.
        for at in 1..routes.len() {
            let (before, rest) = routes.split_at_mut(at);
            if let Some(same) = before.iter().find(|route| route.origin.url == rest[0].origin.url) {
                rest[0].origin.stats = same.origin.stats.clone();
            }
        }
        Ok(Self(routes))
    }

    /// The origin of a request; an error, if there is none or it would be left.
    pub(super) fn find(
        &self,
        authority: Option<&Authority>,
        default_port: u16,
        path: &str,
    ) -> Result<&Upstream, OriginError> {
        let mut routes = self.0.iter();
        match routes.find(|route| route.matches(authority, default_port, path)) {
            Some(route) if route.is_left_by(path) => Err(OriginError::new(OriginFailure::PathClimbs, path)),
            Some(route) => Ok(route.origin()),
            None => {
                let host = authority.map_or("", Authority::as_str);
                Err(OriginError::new(
                    OriginFailure::RouteNotFound,
                    format!("host {host:?}"),
                ))
            }
        }
    }

    /// Each origin once.
    pub(super) fn origins(&self) -> impl Iterator<Item = &Upstream> {
        self.0.iter().enumerate().filter_map(|(at, route)| {
            let seen = self.0[..at]
                .iter()
                .any(|other| other.origin.url == route.origin.url);
            (!seen).then_some(&route.origin)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(list: &[&str]) -> Routes {
        let routes = list.iter().map(|route| route.parse().expect("a route")).collect();
        Routes::new(routes).expect("routes")
    }

    fn find<'a>(routes: &'a Routes, url: &str) -> Option<&'a str> {
        let uri: Uri = url.parse().expect("a URL");
        let found = routes.find(uri.authority(), 80, uri.path()).ok();
        found.map(Upstream::url)
    }

    #[test]
    fn the_most_specific_route_wins() {
        let routes = routes(&[
            "*=http://any",
            "*/api=http://any-api",
            "a.example=http://a",
            "a.example/api=http://a-api",
            "a.example/api/v2/=http://a-v2",
            "A.example:8443=http://a-8443",
        ]);
        for (url, origin) in [
            ("http://b.example/", "http://any"),
            ("http://b.example/api", "http://any-api"),
            ("http://b.example/apix", "http://any"),
            ("http://a.example/", "http://a"),
            ("http://A.EXAMPLE.:9/", "http://a"),
            ("http://a.example/api/", "http://a-api"),
            ("http://a.example/api/v2", "http://a-v2"),
            ("http://a.example/api/v2/x?y", "http://a-v2"),
            ("http://a.example/api/v20", "http://a-api"),
            ("http://a.example/%61pi", "http://a"),
            ("http://a.example:8443/api", "http://a-8443"),
        ] {
            assert_eq!(find(&routes, url), Some(origin), "{url}");
        }
    }

    #[test]
    fn no_route_is_none_and_a_host_without_its_prefix_falls_back() {
        let some = routes(&["a.example/x=http://a", "*/y=http://any"]);
        assert_eq!(find(&some, "http://a.example/y"), Some("http://any"));
        assert_eq!(find(&some, "http://a.example/z"), None);
        let found = |path| some.find(None, 80, path).ok().map(Upstream::url);
        assert_eq!(found("/x"), None);
        assert_eq!(found("/y"), Some("http://any"));
        let port = routes(&["a.example:80=http://a"]);
        assert_eq!(find(&port, "http://a.example/"), Some("http://a"));
        assert_eq!(find(&port, "http://a.example:81/"), None);
    }

    #[test]
    fn neither_a_prefix_nor_the_path_of_a_url_is_left() {
        let routes = routes(&[
            "*=http://h/base",
            "a.example=http://a",
            "a.example/api=http://api",
        ]);
        for (host, path, failure) in [
            ("b", "/x", None),
            ("b", "/x/../y", None),
            ("b", "/../secret", Some(OriginFailure::PathClimbs)),
            ("b", "/%2e%2e/secret", Some(OriginFailure::PathClimbs)),
            ("a.example", "/api/x/..", None),
            ("a.example", "/api/../admin", Some(OriginFailure::PathClimbs)),
            ("a.example", "/api/..%2fadmin", Some(OriginFailure::PathClimbs)),
            // All of it is there for clients: what this means is for the application to say.
            ("a.example", "/../x", None),
        ] {
            let authority = host.parse().expect("a host");
            let found = routes.find(Some(&authority), 80, path);
            assert_eq!(found.err().map(|error| error.failure), failure, "{host}{path}");
        }
    }

    #[test]
    fn errors_name_what_is_wrong() {
        for (route, says) in [
            ("a.example", "HOST[/PREFIX]=URL"),
            ("=http://a", "the host is empty"),
            ("*.example=http://a", "any host"),
            ("a:x=http://a", "valid"),
            ("a/x?y=http://a", "not a path"),
            ("a=", "origin \"\""),
            ("a=ftp://b", "origin \"ftp://b\": it must begin with http://"),
            ("a=b:80", "it must begin with http://"),
            ("a=http://", "origin \"http://\""),
            ("a=http://u:p@b", "user and password"),
            ("a=http://b:x", "origin \"http://b:x\""),
            ("a=http://b:0", "port"),
            ("a=http://b:99999", "port"),
            ("a=http://b/?q", "query"),
            ("a=http://b/#f", "fragment"),
        ] {
            let error = route.parse::<Route>().expect_err(route).to_string();
            assert!(error.contains(says), "{route}: {error}");
        }
        let twice = ["a/x=http://b", "A/x/=http://c"].map(|route| route.parse().expect("a route"));
        let error = Routes::new(twice.into()).expect_err("twice").to_string();
        assert!(error.contains("http://c"), "{error}");
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn https_without_its_feature_is_an_error_that_names_it() {
        let error = "*=https://b".parse::<Route>().expect_err("no TLS").to_string();
        assert!(
            error.contains("https://b") && error.contains("feature `tls`"),
            "{error}"
        );
    }

    #[test]
    fn paths_are_joined_byte_for_byte() {
        for (url, target, whole) in [
            (
                "http://h:1",
                "/a%2f..%2Fb//c;d?e=%zz&%41",
                "http://h:1/a%2f..%2Fb//c;d?e=%zz&%41",
            ),
            ("http://h/", "/", "http://h/"),
            ("http://h/base/", "/x?y", "http://h/base/x?y"),
            ("http://h/base", "/", "http://h/base/"),
        ] {
            let origin: Upstream = url.parse().expect("a URL");
            let target: PathAndQuery = target.parse().expect("a target");
            assert_eq!(origin.uri(Some(&target)).expect("a URI").to_string(), whole);
        }
    }

    #[test]
    fn origins_are_counted_once() {
        let routes = routes(&["a=http://x", "b=http://x", "c=http://y"]);
        assert_eq!(routes.origins().count(), 2);
        let [a, b] = ["http://a/", "http://b/"].map(|url| {
            let uri: Uri = url.parse().expect("a URL");
            routes.find(uri.authority(), 80, "/").expect("a route")
        });
        a.stats().request();
        assert_eq!(b.stats().requests(), 1);
    }
}
