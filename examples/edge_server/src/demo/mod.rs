//! The demo: an application of counters, and a page that shows them live.
//!
//! The application ([`counters`]) is an HTTP server of its own, which the edge reaches as any other and which
//! can be stopped: then its port is closed. The page and its switch ([`front`]) are in front of the edge, so that
//! they work meanwhile.

mod counters;
mod front;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use gripstack::serve;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;

use self::counters::Counters;
pub use self::counters::Publisher;
pub use self::front::DemoLayer;

/// The application, and the switch that stops it.
#[derive(Clone)]
pub struct Demo(Arc<Inner>);

struct Inner {
    counters: Counters,
    addr: SocketAddr,
    running: Mutex<Option<Running>>,
}

struct Running {
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

// === impl Demo ===

impl Demo {
    /// Starts the application on a free port of the loopback.
    pub async fn start(publisher: Publisher) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let demo = Self(Arc::new(Inner {
            counters: Counters::new(publisher),
            addr: listener.local_addr()?,
            running: Mutex::new(None),
        }));
        *demo.0.running.lock().await = Some(demo.run(listener));
        Ok(demo)
    }

    /// Where it is.
    pub fn addr(&self) -> SocketAddr {
        self.0.addr
    }

    /// Whether it answers.
    async fn is_up(&self) -> bool {
        self.0.running.lock().await.is_some()
    }

    /// An outage: the port is closed, connections are cut. The counters keep their values.
    async fn stop(&self) {
        let mut running = self.0.running.lock().await;
        if let Some(Running { stop, server }) = running.take() {
            let _ = stop.send(());
            let _ = server.await;
        }
    }

    /// Its end.
    async fn restart(&self) -> io::Result<()> {
        let mut running = self.0.running.lock().await;
        if running.is_none() {
            let listener = TcpListener::bind(self.0.addr).await?;
            *running = Some(self.run(listener));
        }
        Ok(())
    }

    fn run(&self, listener: TcpListener) -> Running {
        let (stop, stopped) = oneshot::channel::<()>();
        let server = serve(listener, self.0.counters.clone()).drain(stopped, Duration::ZERO);
        let server = tokio::spawn(async move {
            let _ = server.await;
        });
        Running { stop, server }
    }
}
