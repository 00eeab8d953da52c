// SPDX-License-Identifier: MIT OR Apache-2.0
//! `--sbsign KEY CERT`: EFI programs for machines that trust a site's own key.
//!
//! iPXE's official way is another: shim, signed by Microsoft, starts an iPXE signed by the project, of
//! which SLAM is no part. What is signed here starts where the site's own certificate is enrolled.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use firmware::inspect::{self, Kind};
use firmware::target::Target;

use super::Arguments;
use super::proof::Proven;
use crate::certificate::{Algorithm, Certificate};
use crate::cmd::Cmd;

/// A key that machines trust.
pub(super) struct Signer {
    key: PathBuf,
    certificate: PathBuf,
}

impl Signer {
    /// Judged before anything is built.
    pub(super) fn of(arguments: &Arguments, targets: &[Target]) -> Result<Option<Signer>> {
        let Some([key, certificate]) = arguments.sbsign.as_deref() else {
            return Ok(None);
        };
        ensure!(
            targets.iter().any(|target| target.kind() == Kind::Efi),
            "--sbsign: no EFI program is to be built: expected a target such as snponly.efi or ipxe.efi\nhelp: a BIOS checks no signatures; ROMs, ISO and USB images hold their programs packed, or within: build the .efi, sign that, and put it where the machine starts it"
        );
        let read = Certificate::read(certificate, "--sbsign KEY CERT, both in PEM")?;
        ensure!(
            matches!(read.algorithm, Algorithm::Rsa(_)),
            "{}: {}: expected RSA, which is all that UEFI firmware has to know (UEFI 2.10, section 32.2.4)",
            certificate.display(),
            read.algorithm
        );
        read.must_match(key)?;
        Ok(Some(Signer {
            key: key.clone(),
            certificate: certificate.clone(),
        }))
    }

    /// Signs what is an EFI program, has sbverify judge it, and reads it once more.
    pub(super) fn sign(&self, proven: &mut [Proven], scratch: &Path) -> Result<()> {
        for file in proven {
            let name = file.target.name().to_owned();
            if file.target.kind() != Kind::Efi {
                println!("sbsign  {name}: not signed, no EFI program");
                continue;
            }
            let plain = scratch.join(format!("{name}.unsigned"));
            let signed = scratch.join(format!("{name}.signed"));
            fs::write(&plain, &file.content).with_context(|| plain.display().to_string())?;
            self.command(&plain, &signed).read()?;
            Cmd::new("sbverify")
                .arg("--cert")
                .args([&self.certificate, &signed])
                .read()
                .with_context(|| format!("{name}: signed, and sbverify does not agree: expected a certificate whose keyUsage, if it has one, is for digital signatures"))?;
            file.content = fs::read(&signed).with_context(|| signed.display().to_string())?;
            file.report = inspect::inspect(&file.content).with_context(|| name.clone())?;
            for path in [plain, signed] {
                fs::remove_file(&path).with_context(|| path.display().to_string())?;
            }
            println!(
                "sbsign  {name}: signed for {}, sbverify agrees",
                self.certificate.display()
            );
        }
        Ok(())
    }

    fn command(&self, plain: &Path, signed: &Path) -> Cmd {
        Cmd::new("sbsign")
            .arg("--key")
            .arg(&self.key)
            .arg("--cert")
            .arg(&self.certificate)
            .arg("--output")
            .args([signed, plain])
    }
}
