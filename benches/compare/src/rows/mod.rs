//! The rows: what is done with a peer, and the figures that come of it.

mod hits;
mod holds;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::Fallible;
use crate::certificate::Certificate;
use crate::child::{Server, free_addr, own};
use crate::figures::Figure;
use crate::peers::{Kind, Peer, Place};

pub use self::holds::Crowd;

/// A peer, the origin behind it, and how much to ask of them.
pub struct Scene<'a> {
    pub kind: Kind,
    pub peer: &'a Peer,
    pub origin: SocketAddr,
    pub sizes: &'a Sizes,
    /// Held connections.
    pub holds: usize,
    pub wire: Wire<'a>,
}

/// How clients speak.
#[derive(Clone, Copy)]
pub struct Wire<'a> {
    /// With TLS.
    pub certificate: Option<&'a Certificate>,
    /// Streams of HTTP/2 on a connection; 0 is HTTP/1.1.
    pub streams: usize,
}

/// How much is asked.
#[derive(Clone, Debug)]
pub struct Sizes {
    pub holds: usize,
    /// With TLS.
    pub tls_holds: usize,
    /// Holds that begin in a second.
    pub rate: f64,
    /// Channels that have one subscriber each.
    pub channels: usize,
    /// Objects that are stored.
    pub objects: u64,
    /// How long messages are published to all, 10 a second; and how long each load without a pace is.
    pub paced_seconds: u32,
    pub flat_seconds: f64,
}

pub type Figures = Vec<(&'static Figure, f64)>;

/// A row that can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Row {
    /// Subscribers that are held: what they cost, and what messages to them cost.
    Holds,
    /// The same with TLS.
    HoldsTls,
    /// With TLS and HTTP/2, one stream on each connection.
    HoldsH2,
    /// Fifty streams on each.
    HoldsH2Many,
    /// Stored objects: hits, and what it costs to store.
    Hits,
}

impl Row {
    pub const ALL: [Row; 5] = [
        Row::Holds,
        Row::HoldsTls,
        Row::HoldsH2,
        Row::HoldsH2Many,
        Row::Hits,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Row::Holds => "holds",
            Row::HoldsTls => "holds-tls",
            Row::HoldsH2 => "holds-h2",
            Row::HoldsH2Many => "holds-h2-many",
            Row::Hits => "hits",
        }
    }

    /// The heading of its table.
    pub fn title(self, sizes: &Sizes) -> String {
        match self {
            Row::Holds => format!(
                "holds: {} subscribers of one channel, then {} channels of one subscriber; HTTP/1.1",
                sizes.holds, sizes.channels
            ),
            Row::HoldsTls => format!(
                "holds: {} subscribers of one channel; TLS, HTTP/1.1",
                sizes.tls_holds
            ),
            Row::HoldsH2 | Row::HoldsH2Many => format!(
                "holds: {} subscribers of one channel; TLS, HTTP/2, streams on each connection: {}",
                sizes.tls_holds,
                self.streams()
            ),
            Row::Hits => format!("hits: one object, then {} of 1 kB; HTTP/1.1", sizes.objects),
        }
    }

    /// Those that it is about, the edge first.
    pub fn peers(self) -> &'static [Kind] {
        match self {
            Row::Holds => &[Kind::Edge, Kind::Floor, Kind::Nchan, Kind::Pushpin],
            Row::HoldsTls | Row::HoldsH2 | Row::HoldsH2Many => &[Kind::Edge, Kind::Nchan],
            Row::Hits => &[Kind::Edge, Kind::Hyper, Kind::Nginx, Kind::Varnish],
        }
    }

    pub fn is_tls(self) -> bool {
        !matches!(self, Row::Holds | Row::Hits)
    }

    /// Streams of HTTP/2 on a connection; 0 is HTTP/1.1.
    pub fn streams(self) -> usize {
        match self {
            Row::Holds | Row::HoldsTls | Row::Hits => 0,
            Row::HoldsH2 => 1,
            Row::HoldsH2Many => 50,
        }
    }

    pub fn run(self, scene: &Scene<'_>) -> Fallible<Figures> {
        match self {
            Row::Hits => hits::run(scene),
            _ => holds::run(scene),
        }
    }
}

impl Sizes {
    pub fn full() -> Self {
        Self {
            holds: 10_000,
            tls_holds: 5_000,
            rate: 2_000.0,
            channels: 1_000,
            objects: 100_000,
            paced_seconds: 15,
            flat_seconds: 5.0,
        }
    }

    /// Enough to see that it works.
    pub fn quick() -> Self {
        Self {
            holds: 2_000,
            tls_holds: 1_000,
            rate: 2_000.0,
            channels: 1_000,
            objects: 10_000,
            paced_seconds: 3,
            flat_seconds: 1.0,
        }
    }
}

/// Does something with a new peer and a new origin behind it. What they say is in files of `dir`.
pub fn with_peer<T>(
    kind: Kind,
    certificate: Option<&Certificate>,
    dir: &Path,
    scene: impl FnOnce(&Peer, SocketAddr) -> Fallible<T>,
) -> Fallible<T> {
    fs::create_dir_all(dir)?;
    let origin = free_addr()?;
    let mut command = own("origin")?;
    command.args(["--listen", &origin.to_string()]);
    let _origin = Server::start("origin", dir, &command, &[origin])?;
    let peer = kind.start(&Place {
        origin,
        dir,
        certificate,
    })?;
    scene(&peer, origin)
}

/// Until nothing is under way.
fn settle() {
    thread::sleep(Duration::from_secs(1));
}

pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
