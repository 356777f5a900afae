//! The servers that are compared, each with the configuration that serves these rows best.

mod edge;
mod floor;
mod hyper;
mod nchan;
mod nginx;
mod pushpin;
mod varnish;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::Fallible;
use crate::certificate::Certificate;
use crate::child::Server;
use crate::publish::Form;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// What is measured.
    Edge,
    /// The least a program can do.
    Floor,
    /// nginx with nchan.
    Nchan,
    Pushpin,
    /// A server on plain hyper, of objects in memory.
    Hyper,
    /// nginx as a cache.
    Nginx,
    Varnish,
}

/// A server that runs.
pub struct Peer {
    pub server: Server,
    /// Where clients connect.
    pub addr: SocketAddr,
    /// Where messages are published, and how.
    pub publish: Option<(SocketAddr, Form)>,
    /// Whether it answers from memory, so that the origin is asked once.
    pub is_cache: bool,
    /// Connects in a second that it stands; beyond, it cancels some.
    pub most_connects: f64,
    /// Where the server says how many messages it handed out.
    pub metrics: Option<SocketAddr>,
    /// Files that go when the server has ended.
    _files: Option<Files>,
}

/// What a server needs to know to start.
pub struct Place<'a> {
    pub origin: SocketAddr,
    /// A directory of its own.
    pub dir: &'a Path,
    /// Where clients are to connect with TLS.
    pub certificate: Option<&'a Certificate>,
}

/// A folder that is removed with its value.
struct Files(PathBuf);

impl Drop for Files {
    fn drop(&mut self) {
        // What is left over is no fault of a figure.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Edge => "edge",
            Kind::Floor => "floor",
            Kind::Nchan => "nchan",
            Kind::Pushpin => "pushpin",
            Kind::Hyper => "hyper",
            Kind::Nginx => "nginx",
            Kind::Varnish => "varnish",
        }
    }

    /// What it needs that is not there.
    pub fn missing(self) -> Option<String> {
        let path = match self {
            Kind::Edge => edge::binary().ok()?,
            Kind::Floor | Kind::Hyper => return None,
            Kind::Nchan => PathBuf::from(nchan::MODULE),
            Kind::Pushpin => PathBuf::from(pushpin::PROGRAM),
            Kind::Nginx => PathBuf::from(nginx::PROGRAM),
            Kind::Varnish => PathBuf::from(varnish::PROGRAM),
        };
        (!path.exists()).then(|| format!("{} needs {}, which is not there", self.name(), path.display()))
    }

    pub fn start(self, place: &Place<'_>) -> Fallible<Peer> {
        fs::create_dir_all(place.dir)?;
        match self {
            Kind::Edge => edge::start(place),
            Kind::Floor => floor::start(place),
            Kind::Nchan => nchan::start(place),
            Kind::Pushpin => pushpin::start(place),
            Kind::Hyper => hyper::start(place),
            Kind::Nginx => nginx::start(place),
            Kind::Varnish => varnish::start(place),
        }
    }
}
