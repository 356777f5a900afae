//! Signals of the process.

use std::io;

use gripstack::DrainSignal;
use tokio::signal::unix::{SignalKind, signal};

use crate::lines::Lines;
use crate::start::Certificate;

/// SIGTERM and SIGINT start the drain, and a second one ends the process at once; SIGHUP reads the certificate
/// again.
pub fn watch(going: DrainSignal, certificate: Option<Certificate>, log: Lines) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        let mut is_draining = false;
        loop {
            tokio::select! {
                Some(()) = terminate.recv() => {}
                Some(()) = interrupt.recv() => {}
                Some(()) = hang_up.recv() => {
                    reload(certificate.as_ref());
                    continue;
                }
                else => return,
            }
            if is_draining {
                tracing::warn!("told twice: ending at once");
                log.flush();
                std::process::exit(1);
            }
            is_draining = true;
            // First what matters.
            going.start();
            tracing::info!("draining");
        }
    });
    Ok(())
}

fn reload(certificate: Option<&Certificate>) {
    match certificate.map(Certificate::reload) {
        Some(Ok(())) => tracing::info!("certificate and key were read again"),
        Some(Err(error)) => tracing::error!(%error, "certificate and key stay as they were"),
        None => tracing::info!("SIGHUP: there is no certificate to read again"),
    }
}
