//! `https://` origins. The certificates are for this test alone: an authority, and one for `localhost` and
//! `127.0.0.1` signed by it.

use std::sync::Arc;

use gripstack::error::OriginFailure;
use gripstack::origin::Origin;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::support::*;

const CA: &str = "-----BEGIN CERTIFICATE-----
MIIBnjCCAUWgAwIBAgIUe3rDl7+LSGfFacJ7vYjUI1bs+eIwCgYIKoZIzj0EAwIw
HDEaMBgGA1UEAwwRZ3JpcHN0YWNrIHRlc3QgQ0EwIBcNMjYxMTI0MTgwMTA2WhgP
MjEyNjEwMzExODAxMDZaMBwxGjAYBgNVBAMMEWdyaXBzdGFjayB0ZXN0IENBMFkw
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEuNtMRwc/O8qa1O22dhI7lZB2YqafXjcf
CIJ3lzvi3+z9RnK8B0pom9BUb5b73YixdjvpseTN11PFm2CYyNOT7qNjMGEwHQYD
VR0OBBYEFCIsFwl1K5sYS0sZoLgGoqbbfS//MB8GA1UdIwQYMBaAFCIsFwl1K5sY
S0sZoLgGoqbbfS//MA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgIEMAoG
CCqGSM49BAMCA0cAMEQCICIvjTXuMMCSLihZKcK66tF5TSR0D3b0ss18FJFUe8Fg
AiBghGYFAtGXErrySP/ZFEypwsm6gSpDI8JUXUdBK+Z8jg==
-----END CERTIFICATE-----
";

const LEAF: &str = "-----BEGIN CERTIFICATE-----
MIIBtjCCAVygAwIBAgIUPe9v312Eq/uOW06+aQuSAbpX0uMwCgYIKoZIzj0EAwIw
HDEaMBgGA1UEAwwRZ3JpcHN0YWNrIHRlc3QgQ0EwIBcNMjYxMTI0MTgwMTA2WhgP
MjEyNjEwMzExODAxMDZaMBQxEjAQBgNVBAMMCWxvY2FsaG9zdDBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABLwNc0XWY/x95HzlgSjPCeqNmO05KWXlgsng92VmtdQL
0Ebgh/K+s6MAA6It0EjYbNwHaB4voCpvXiy2dBV7Tn2jgYEwfzAaBgNVHREEEzAR
gglsb2NhbGhvc3SHBH8AAAEwDAYDVR0TAQH/BAIwADATBgNVHSUEDDAKBggrBgEF
BQcDATAdBgNVHQ4EFgQU69bU0HmEqUsHQgg9YhVnLzw5XuEwHwYDVR0jBBgwFoAU
IiwXCXUrmxhLSxmguAaiptt9L/8wCgYIKoZIzj0EAwIDSAAwRQIgVyZ7JjIu+5Rf
vNv+9m/RTozDYZuTd2HHMH4RZpHtsboCIQD1tkv50oZJRgYjolhfTdDE/aryzDJz
CR3P4hdmTqIL5A==
-----END CERTIFICATE-----
";

const LEAF_KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgwFKBAtZlKWhlMD60
9VpaQKuOF3qa4GB06Mnx+uAyKDuhRANCAAS8DXNF1mP8feR85YEozwnqjZjtOSll
5YLJ4PdlZrXUC9BG4IfyvrOjAAOiLdBI2GzcB2geL6Aqb14stnQVe059
-----END PRIVATE KEY-----
";

/// A TLS server that answers one request a connection; its port.
async fn secure_origin() -> u16 {
    let chain = vec![CertificateDer::from_pem_slice(LEAF.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(LEAF_KEY.as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
            let mut head = vec![0; 4096];
            let _ = stream.read(&mut head).await.unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")
                .await
                .unwrap();
            let _ = stream.shutdown().await;
        }
    });
    port
}

#[tokio::test]
async fn a_given_authority_is_trusted_by_name_and_by_address() {
    let port = secure_origin().await;
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("https://{host}:{port}");
        let origin = Origin::builder().route("*", &url).ca_pem(CA).build().unwrap();
        assert_eq!(read(send(&origin, get("/")).await).await.unwrap(), "secret");
    }
}

#[tokio::test]
async fn sta_11_a_certificate_that_is_not_trusted_is_a_502() {
    let port = secure_origin().await;
    // Another authority: the leaf itself, which has signed nothing.
    let url = format!("https://127.0.0.1:{port}");
    let origin = Origin::builder().route("*", &url).ca_pem(LEAF).build().unwrap();
    assert_failure(send(&origin, get("/")).await, OriginFailure::Tls).await;
}

#[tokio::test]
async fn sta_11_an_origin_that_does_not_speak_tls_is_a_502() {
    let raw = RawOrigin::new(|mut conn| async move {
        conn.send(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;
    let url = format!("https://{}", raw.addr);
    let origin = Origin::builder().route("*", &url).ca_pem(CA).build().unwrap();
    assert_failure(send(&origin, get("/")).await, OriginFailure::Tls).await;
}

#[test]
fn certificates_that_cannot_be_used_are_an_error_that_names_the_url() {
    for pem in [
        "",
        "garbage",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let error = Origin::builder()
            .route("*", "https://a.example")
            .ca_pem(pem)
            .build()
            .unwrap_err();
        assert!(error.to_string().contains("https://a.example"), "{error}");
        assert!(error.to_string().contains("CA file"), "{error}");
    }
}
