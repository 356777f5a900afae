//! Who goes on with what is parked.

use tokio::io::{AsyncRead, AsyncWrite};

use super::each::Each;
use super::lots::Lots;
use super::parked::Parked;
use crate::serve::connection::Phases;
use crate::serve::transport::Transport;

/// Whether connections are [parked](super::super) under held answers, and who goes on with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Parking {
    /// Nobody: each keeps what HTTP needs for a next request that never comes, some 23 KiB.
    Off,
    /// A task for each, its socket registered with the runtime.
    Tasks,
    /// A few tasks, each of which has many. Sockets of a [`TcpListener`](tokio::net::TcpListener) leave the runtime, too, for a
    /// poll of the task's own (on Unix, without TLS).
    #[default]
    Lots,
}

/// Goes on with connections that are parked.
pub(in crate::serve) trait Drive {
    /// Goes on with this one, until it ends or is cut.
    fn drive<I>(&self, parked: Parked<Transport<I>>)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static;
}

/// The one that was chosen.
pub(in crate::serve) enum Driver {
    Each(Each),
    Lots(Lots),
}

// === impl Driver ===

impl Driver {
    /// To be called in the runtime that serves. When it comes to cutting, all are.
    pub(in crate::serve) fn new(parking: Parking, phases: Phases) -> Option<Self> {
        match parking {
            Parking::Off => None,
            Parking::Tasks => Some(Self::Each(Each(phases))),
            Parking::Lots => Some(Self::Lots(Lots::new(phases))),
        }
    }
}

impl Drive for Driver {
    fn drive<I>(&self, parked: Parked<Transport<I>>)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        match self {
            Self::Each(each) => each.drive(parked),
            Self::Lots(lots) => lots.drive(parked),
        }
    }
}
