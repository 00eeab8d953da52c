// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask trust sign`: detached CMS signatures (RFC 5652) as iPXE's `imgverify` reads them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::Keys;
use crate::certificate::{Algorithm, Certificate, must_be_private};
use crate::cmd::Cmd;
use crate::paths::Paths;

const INIT: &str = "cargo xtask trust init makes one; --dir says where it is";

/// Sign files for ROMs with trust = true: FILE.sig beside each, DER.
///
/// `slamboot serve` hands them out beside the files. A file that changes must be signed again.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where sign.crt, sign.key and root.crt are [default: trust/].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Sign nothing: say whether each FILE.sig fits its file.
    #[arg(long)]
    check: bool,
    /// Disk images, kernels, initial RAM disks, memdisk.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, paths: &Paths) -> Result<()> {
    let keys = Keys::at(arguments.dir.as_ref(), paths);
    let root = Certificate::read(&keys.root(), INIT)?;
    root.must_be_root()?;
    let signer = Certificate::read(&keys.signer(), INIT)?;
    signer.must_be_issued_by(&root)?;
    signer.must_sign_code()?;
    if !arguments.check {
        must_be_private(&keys.signer_key())?;
        signer.must_match(&keys.signer_key())?;
    }
    // Whatever can be wrong with one is said before the first is signed.
    for file in &arguments.files {
        let metadata =
            fs::metadata(file).with_context(|| format!("cannot read {}", file.display()))?;
        ensure!(metadata.is_file(), "{}: expected a file", file.display());
        fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    }
    for file in &arguments.files {
        let signature = site::signature_of(file);
        if !arguments.check {
            sign(file, &signature, &keys, signer.algorithm)?;
        }
        verify(file, &signature, &keys.root())?;
        println!("{}", signature.display());
    }
    let count = arguments.files.len();
    let done = if arguments.check {
        "right"
    } else {
        "made, and right"
    };
    println!(
        "{count} signature{} {done} under the root SHA-256 {}",
        if count == 1 { "" } else { "s" },
        hex::encode(root.fingerprint)
    );
    if !arguments.check {
        println!("next: slamboot serve hands them out; a file that changes must be signed again");
    }
    Ok(())
}

/// Beside, and renamed when whole.
fn sign(file: &Path, signature: &Path, keys: &Keys, algorithm: Algorithm) -> Result<()> {
    let mut new: OsString = signature.as_os_str().to_owned();
    new.push(format!(".{}", std::process::id()));
    let new = PathBuf::from(new);
    let made = command(file, &new, keys, algorithm).read();
    let placed = made.map_err(anyhow::Error::from).and_then(|_| {
        fs::rename(&new, signature).with_context(|| format!("cannot write {}", signature.display()))
    });
    if placed.is_err() {
        let _ = fs::remove_file(&new);
    }
    placed.with_context(|| format!("{} was not signed", file.display()))
}

/// No signed attributes: iPXE verifies the content's digest itself (`cms.c`). The root travels along, as
/// a ROM may know its fingerprint only.
fn command(file: &Path, signature: &Path, keys: &Keys, algorithm: Algorithm) -> Cmd {
    let digest = match algorithm {
        Algorithm::Rsa(_) | Algorithm::P256 => "sha256",
        Algorithm::P384 => "sha384",
    };
    Cmd::new("openssl")
        .args([
            "cms", "-sign", "-binary", "-noattr", "-md", digest, "-outform", "DER", "-in",
        ])
        .arg(file)
        .arg("-signer")
        .arg(keys.signer())
        .arg("-inkey")
        .arg(keys.signer_key())
        .arg("-certfile")
        .arg(keys.root())
        .arg("-out")
        .arg(signature)
}

/// As somebody else would who trusts the root.
fn verify(file: &Path, signature: &Path, root: &Path) -> Result<()> {
    ensure!(
        signature.exists(),
        "{}: no such signature\nhelp: cargo xtask trust sign {} makes it",
        signature.display(),
        file.display()
    );
    let verified = Cmd::new("openssl")
        .args([
            "cms", "-verify", "-binary", "-purpose", "any", "-inform", "DER", "-in",
        ])
        .arg(signature)
        .arg("-content")
        .arg(file)
        .arg("-CAfile")
        .arg(root)
        .args(["-out", "/dev/null"])
        .read();
    verified.map(drop).with_context(|| {
        format!(
            "{} does not fit {} under {}: it was signed by somebody else, or one of them has changed since",
            signature.display(),
            file.display(),
            root.display()
        )
    })
}
