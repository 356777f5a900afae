//! Certificates, replaceable while serving.

use std::fmt;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use tokio_rustls::rustls::{self, ServerConfig};

use crate::sync::{Arc, RwLock};

/// A certificate and its key, with ALPN `h2` and `http/1.1` (RFC 7301), TLS 1.2 and 1.3. A handle: what
/// [`reload_pem`](Self::reload_pem) puts in counts for each handshake after it.
///
/// ```no_run
/// use gripstack::control::NotFound;
/// use gripstack::serve::{Tls, serve};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let tls = Tls::from_pem(&std::fs::read("chain.pem")?, &std::fs::read("key.pem")?)?;
/// let listener = tokio::net::TcpListener::bind("0.0.0.0:443").await?;
/// let server = serve(listener, NotFound).tls(tls.clone());
/// // Later, when they were renewed: new connections get the new ones.
/// tls.reload_pem(&std::fs::read("chain.pem")?, &std::fs::read("key.pem")?)?;
/// # server.await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tls(Arc<RwLock<Arc<ServerConfig>>>);

/// Why a certificate or key was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The chain is not PEM, or empty.
    #[error("the certificate chain cannot be read: {0}")]
    Chain(String),
    /// The key is not PEM, or of an unknown kind.
    #[error("the private key cannot be read: {0}")]
    Key(String),
    /// They do not belong together, or are of a kind not spoken here.
    #[error("the certificate and its key do not fit: {0}")]
    Mismatch(String),
}

impl Tls {
    /// From a certificate chain, the server's own first, and its private key (PKCS #8, PKCS #1 or SEC 1), both PEM.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(RwLock::new(config(chain, key)?))))
    }

    /// Replaces certificate and key. On an error the old ones stay.
    pub fn reload_pem(&self, chain: &[u8], key: &[u8]) -> Result<(), TlsError> {
        let config = config(chain, key)?;
        *self.0.write() = config;
        Ok(())
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.read().clone())
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

fn config(chain: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, pem::Error>>()
        .map_err(|error| TlsError::Chain(error.to_string()))?;
    if chain.is_empty() {
        return Err(TlsError::Chain("no certificate in it".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| TlsError::Key(error.to_string()))?;
    let mismatch = |error: rustls::Error| TlsError::Mismatch(error.to_string());
    // The provider is named: with two of them in a program the plain builder panics.
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(mismatch)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(mismatch)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
