//! The client's side of TLS.

use std::sync::Arc;

use http::Uri;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

use crate::error::{OriginError, OriginFailure};

/// A connector that trusts these certificates (PEM), or else the system's. The error says what is wrong.
pub(super) fn connector(ca_pem: Option<&[u8]>) -> Result<TlsConnector, String> {
    let roots = match ca_pem {
        Some(pem) => given_roots(pem)?,
        None => system_roots()?,
    };
    // The provider is named: with two in the build the plain builder panics.
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The name that the certificate must be valid for.
pub(super) fn server_name(uri: &Uri) -> Result<ServerName<'static>, OriginError> {
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned())
        .map_err(|error| OriginError::new(OriginFailure::Tls, format!("{host:?}: {error}")))
}

fn given_roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| format!("the CA file is not PEM: {error}"))?;
        roots
            .add(certificate)
            .map_err(|error| format!("the CA file holds a certificate that cannot be used: {error}"))?;
    }
    if roots.is_empty() {
        return Err("the CA file holds no certificate".to_owned());
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if !roots.is_empty() {
        return Ok(roots);
    }
    let why = found.errors.first().map(ToString::to_string);
    Err(format!(
        "the system has no root certificates ({}); give them as PEM",
        why.as_deref().unwrap_or("none found")
    ))
}
