// SPDX-License-Identifier: MIT OR Apache-2.0
//! The root that a site's ROMs trust, judged before they are built.

use anyhow::{Result, ensure};
use firmware::pins::{Release, Signatures};
use firmware::recipe::Root;
use site::Trust;

use crate::certificate::{Algorithm, Certificate};

/// Reads it, for ROMs of `release`.
pub(crate) fn root(trust: &Trust, release: &Release) -> Result<Root> {
    let help = "cargo xtask trust init makes a root; trust_root under [firmware] names one";
    let certificate = Certificate::read(&trust.root, help)?;
    certificate.must_be_root()?;
    ensure!(
        release.signatures == Signatures::All || matches!(certificate.algorithm, Algorithm::Rsa(_)),
        "{}: {}: iPXE {} verifies RSA only\nhelp: build from v2.0.0 or head, or make another root: cargo xtask trust init --algorithm rsa --dir DIR",
        trust.root.display(),
        certificate.algorithm,
        release.name
    );
    println!(
        "trust   {}, SHA-256 {}",
        trust.root.display(),
        hex::encode(certificate.fingerprint)
    );
    Ok(Root {
        pem: certificate.pem,
        fingerprint: certificate.fingerprint,
    })
}
