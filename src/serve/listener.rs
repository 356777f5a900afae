//! Where connections come from.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// The two ends of a connection; in each request's extensions.
///
/// ```
/// use gripstack::EdgeBody;
/// use gripstack::serve::Peer;
/// use http::{Request, Response};
///
/// async fn whoami(request: Request<EdgeBody>) -> Result<Response<EdgeBody>, std::convert::Infallible> {
///     let peer = request.extensions().get::<Peer>().expect("served by gripstack::serve");
///     Ok(Response::new(EdgeBody::from(format!("{}\n", peer.remote.ip()))))
/// }
/// # let _ = whoami;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// The client's address.
    pub remote: SocketAddr,
    /// The server's address.
    pub local: SocketAddr,
    /// Whether it was encrypted: TLS ended here, or at a proxy that says so by the PROXY protocol.
    pub tls: bool,
}

/// Accepts connections. An error is taken as passing: accepting goes on after a pause.
///
/// ```
/// use std::io;
/// use gripstack::serve::{Listener, Peer};
/// use tokio::net::{TcpListener, TcpStream};
///
/// /// Listens on two ports.
/// struct Both(TcpListener, TcpListener);
///
/// impl Listener for Both {
///     type Io = TcpStream;
///
///     async fn accept(&mut self) -> io::Result<(TcpStream, Peer)> {
///         tokio::select! {
///             accepted = Listener::accept(&mut self.0) => accepted,
///             accepted = Listener::accept(&mut self.1) => accepted,
///         }
///     }
/// }
/// ```
pub trait Listener: Send + 'static {
    /// A connection.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection and its ends. Must be safe to drop and call again.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Io, Peer)>> + Send;
}

/// Silence after which TCP probes the peer, and the time between two probes.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(15));

/// Bytes that the kernel takes before it has sent them. Who reads slowly would have it keep megabytes, and gets them no
/// sooner.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_BYTES: u32 = 128 * 1024;

impl Peer {
    /// A connection without TLS.
    pub fn new(remote: SocketAddr, local: SocketAddr) -> Self {
        Self {
            remote,
            local,
            tls: false,
        }
    }
}

/// Sets TCP_NODELAY, for a push must not wait for an acknowledgement, and SO_KEEPALIVE (60 s, then every 15 s); on Linux
/// also TCP_NOTSENT_LOWAT (128 KiB). Linux passes on what the listener has: it is set there once, not for each connection.
impl Listener for TcpListener {
    type Io = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, Peer)> {
        let (stream, remote) = TcpListener::accept(self).await?;
        if !has_options(&SockRef::from(&stream))? {
            set_options(&SockRef::from(&*self))?;
            set_options(&SockRef::from(&stream))?;
        }
        let local = stream.local_addr()?;
        Ok((stream, Peer::new(remote, local)))
    }
}

/// Whether it has inherited them all.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn has_options(socket: &SockRef<'_>) -> io::Result<bool> {
    // Which nobody but us sets: it is set last, and stands for all.
    Ok(socket.tcp_notsent_lowat()? == UNSENT_BYTES)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn has_options(_: &SockRef<'_>) -> io::Result<bool> {
    Ok(false)
}

fn set_options(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let (idle, interval) = KEEP_ALIVE;
    let keep_alive = TcpKeepalive::new().with_time(idle).with_interval(interval);
    socket.set_tcp_keepalive(&keep_alive)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[tokio::test]
    async fn each_connection_has_the_options() {
        let mut listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let addr = listener.local_addr().expect("bound");
        for nth in 0..3 {
            let _client = TcpStream::connect(addr).await.expect("it listens");
            let (stream, _) = Listener::accept(&mut listener).await.expect("somebody came");
            let socket = SockRef::from(&stream);
            let keep_alive = (
                socket.keepalive().expect("known"),
                socket.tcp_keepalive_time().expect("known"),
                socket.tcp_keepalive_interval().expect("known"),
            );
            assert_eq!(keep_alive, (true, KEEP_ALIVE.0, KEEP_ALIVE.1), "{nth}");
            assert!(socket.tcp_nodelay().expect("known"), "{nth}");
            assert_eq!(socket.tcp_notsent_lowat().expect("known"), UNSENT_BYTES, "{nth}");
        }
    }
}
