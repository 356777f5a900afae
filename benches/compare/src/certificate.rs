//! A certificate for `localhost` that only these loads trust.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Fallible;

pub struct Certificate {
    pub chain: PathBuf,
    pub key: PathBuf,
}

impl Certificate {
    pub fn make(dir: &Path) -> Fallible<Self> {
        let (chain, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        let out = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "30",
            ])
            .args([
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=DNS:localhost",
            ])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-out")
            .arg(&chain)
            .arg("-keyout")
            .arg(&key)
            .output()
            .map_err(|error| format!("cannot start openssl: {error}"))?;
        if !out.status.success() {
            return Err(format!("openssl: {}", String::from_utf8_lossy(&out.stderr)).into());
        }
        Ok(Self { chain, key })
    }
}
