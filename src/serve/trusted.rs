//! Proxies whose word is believed.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::listener::Peer;
use crate::request::ClientInfo;
use crate::sync::Arc;

/// Addresses of proxies of one's own, in front of the server: of what comes from them, `X-Forwarded-For` and `X-Forwarded-Proto`
/// are believed, and the other `X-Forwarded-*` reach the application. Who can connect from such an address can be
/// anybody to the application. The default is none.
///
/// Parses from a list of networks and addresses:
///
/// ```
/// use gripstack::serve::TrustedProxies;
///
/// let proxies: TrustedProxies = "10.0.0.0/8, fd00::/8, 127.0.0.1".parse()?;
/// assert!(proxies.contains([10, 1, 2, 3].into()));
/// # Ok::<_, gripstack::serve::NotANetwork>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Arc<[Network]>);

/// What is neither an address nor `ADDRESS/BITS`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an address nor a network (10.0.0.0/8)")]
pub struct NotANetwork(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    addr: IpAddr,
    bits: u32,
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

// === impl TrustedProxies ===

impl TrustedProxies {
    /// Whether this address is one of theirs. An IPv4 address is the same in IPv6 (`::ffff:10.0.0.1`).
    pub fn contains(&self, addr: IpAddr) -> bool {
        let addr = addr.to_canonical();
        self.0.iter().any(|network| network.contains(addr))
    }

    /// Who sent a request, and how it came.
    pub(super) fn judge(&self, peer: &Peer, headers: &HeaderMap) -> (ClientInfo, Scheme) {
        let own = match peer.tls {
            true => Scheme::HTTPS,
            false => Scheme::HTTP,
        };
        let from = peer.remote.ip();
        if self.0.is_empty() || !self.contains(from) {
            let addr = Some(peer.remote);
            return (ClientInfo { addr, proxy: None }, own);
        }
        let client = ClientInfo {
            addr: Some(self.client(headers).unwrap_or(peer.remote)),
            proxy: Some(from),
        };
        (client, told_scheme(headers).unwrap_or(own))
    }

    /// The last address that is not one of ours: what stands before it, anybody may have written. Of only our own the
    /// first. `None` if that is none.
    fn client(&self, headers: &HeaderMap) -> Option<SocketAddr> {
        let lines: Vec<&HeaderValue> = headers.get_all(X_FORWARDED_FOR).iter().collect();
        let members = lines
            .iter()
            .rev()
            .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        let mut found = None;
        for member in members {
            let Some(addr) = address(member) else {
                break;
            };
            found = Some(addr);
            if !self.contains(addr.ip()) {
                break;
            }
        }
        found
    }
}

/// An address, with or without a port.
fn address(member: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(member).ok()?.trim();
    if let Ok(addr) = text.parse::<SocketAddr>() {
        return Some(addr);
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    Some(SocketAddr::new(bare.parse().ok()?, 0))
}

/// What the last proxy says of the client's connection.
fn told_scheme(headers: &HeaderMap) -> Option<Scheme> {
    let last = headers.get_all(X_FORWARDED_PROTO).iter().next_back()?;
    let last = last.as_bytes().rsplit(|byte| *byte == b',').next()?.trim_ascii();
    if last.eq_ignore_ascii_case(b"https") {
        Some(Scheme::HTTPS)
    } else if last.eq_ignore_ascii_case(b"http") {
        Some(Scheme::HTTP)
    } else {
        None
    }
}

impl FromStr for TrustedProxies {
    type Err = NotANetwork;

    fn from_str(list: &str) -> Result<Self, NotANetwork> {
        let members = list.split(',').map(str::trim).filter(|member| !member.is_empty());
        let networks: Vec<Network> = members.map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self(networks.into()))
    }
}

// === impl Network ===

impl Network {
    fn contains(&self, addr: IpAddr) -> bool {
        match (self.addr, addr) {
            (IpAddr::V4(own), IpAddr::V4(addr)) => {
                let differ = u32::from(own) ^ u32::from(addr);
                differ.checked_shr(32 - self.bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(addr)) => {
                let differ = u128::from(own) ^ u128::from(addr);
                differ.checked_shr(128 - self.bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let wrong = || NotANetwork(text.to_owned());
        let (addr, bits) = match text.split_once('/') {
            Some((addr, bits)) => (addr, Some(bits)),
            None => (text, None),
        };
        let addr: IpAddr = addr.parse().map_err(|_| wrong())?;
        let most = if addr.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => {
                bits.parse().map_err(|_| wrong())?
            }
            Some(_) => return Err(wrong()),
            None => most,
        };
        if bits > most {
            return Err(wrong());
        }
        // An IPv4 network as IPv6 writes it is that IPv4 network.
        match addr.to_canonical() {
            canonical if canonical.is_ipv4() && most == 128 && bits >= 96 => Ok(Self {
                addr: canonical,
                bits: bits - 96,
            }),
            _ => Ok(Self { addr, bits }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(ip: &str) -> Peer {
        let local = ([127, 0, 0, 1], 80).into();
        Peer::new(SocketAddr::new(ip.parse().expect("an address"), 1), local)
    }

    #[test]
    fn networks_contain_their_addresses() {
        let proxies: TrustedProxies = "10.0.0.0/8, 192.0.2.7,fd00::/8,::ffff:172.16.0.0/108"
            .parse()
            .expect("a list");
        for addr in [
            "10.255.0.1",
            "192.0.2.7",
            "::ffff:10.0.0.1",
            "fd12::1",
            "172.31.0.1",
        ] {
            assert!(proxies.contains(addr.parse().expect("an address")), "{addr}");
        }
        for addr in ["11.0.0.1", "192.0.2.8", "fe80::1", "::1", "172.32.0.1"] {
            assert!(!proxies.contains(addr.parse().expect("an address")), "{addr}");
        }
        let all: TrustedProxies = "0.0.0.0/0".parse().expect("a list");
        assert!(all.contains([1, 2, 3, 4].into()));
        assert_eq!("".parse(), Ok(TrustedProxies::default()));
        for wrong in [
            "x",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0/8",
            "::/129",
            "10.0.0.1 10.0.0.2",
        ] {
            assert!(wrong.parse::<TrustedProxies>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_client_is_the_last_that_is_none_of_ours() {
        let proxies: TrustedProxies = "10.0.0.0/8".parse().expect("a list");
        for (from, forwarded, client) in [
            ("10.0.0.1", &["1.2.3.4"][..], "1.2.3.4:0"),
            ("10.0.0.1", &["6.6.6.6, 1.2.3.4, 10.0.0.2"], "1.2.3.4:0"),
            ("10.0.0.1", &["6.6.6.6, 1.2.3.4", "10.0.0.2"], "1.2.3.4:0"),
            ("10.0.0.1", &["1.2.3.4:567"], "1.2.3.4:567"),
            ("10.0.0.1", &["[2001:db8::1]:5"], "[2001:db8::1]:5"),
            ("10.0.0.1", &["2001:db8::1"], "[2001:db8::1]:0"),
            ("10.0.0.1", &["1.2.3.4, unknown, 10.0.0.2"], "10.0.0.2:0"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3:0"),
            ("10.0.0.1", &["nobody"], "10.0.0.1:1"),
            ("10.0.0.1", &[], "10.0.0.1:1"),
            // Who is not trusted is the client, whatever it says.
            ("6.6.6.6", &["1.2.3.4"], "6.6.6.6:1"),
        ] {
            let mut headers = HeaderMap::new();
            for line in forwarded {
                headers.append(X_FORWARDED_FOR, line.parse().expect("valid"));
            }
            let (info, _) = proxies.judge(&peer(from), &headers);
            assert_eq!(
                info.addr.map(|addr| addr.to_string()).as_deref(),
                Some(client),
                "{forwarded:?}"
            );
            assert_eq!(info.proxy.is_some(), from != "6.6.6.6", "{forwarded:?}");
        }
    }

    #[test]
    fn the_scheme_is_a_trusted_proxys_word() {
        let proxies: TrustedProxies = "10.0.0.0/8".parse().expect("a list");
        for (from, proto, scheme) in [
            ("10.0.0.1", "https", Scheme::HTTPS),
            ("10.0.0.1", "http, HTTPS", Scheme::HTTPS),
            ("10.0.0.1", "https, http", Scheme::HTTP),
            ("10.0.0.1", "gopher", Scheme::HTTP),
            ("6.6.6.6", "https", Scheme::HTTP),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(X_FORWARDED_PROTO, proto.parse().expect("valid"));
            assert_eq!(proxies.judge(&peer(from), &headers).1, scheme, "{from} {proto}");
        }
    }
}
