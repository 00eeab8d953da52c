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
use crate::certificate::{Algorithm, Certificate, must_be_private};
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
        must_be_private(key)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    /// `openssl genpkey` with these arguments, and a certificate of it.
    fn pair(dir: &Path, name: &str, algorithm: &[&str]) -> (PathBuf, PathBuf) {
        let (key, certificate) = (
            dir.join(format!("{name}.key")),
            dir.join(format!("{name}.crt")),
        );
        Cmd::new("openssl")
            .args([&["genpkey"], algorithm, &["-out"]].concat())
            .arg(&key)
            .read()
            .unwrap();
        Cmd::new("openssl")
            .args([
                "req", "-new", "-x509", "-subj", "/CN=x", "-days", "90", "-key",
            ])
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .read()
            .unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        (key, certificate)
    }

    fn refused(key: &Path, certificate: &Path, target: &str) -> String {
        let arguments = Arguments {
            sbsign: Some(vec![key.to_owned(), certificate.to_owned()]),
            ..Arguments::default()
        };
        let target = Target::parse(target).unwrap();
        match Signer::of(&arguments, &[target]) {
            Ok(_) => panic!("taken"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_cannot_sign_is_said_before_anything_is_built() {
        use std::io::Write as _;
        if crate::host::program("openssl").is_none() {
            let _ = writeln!(std::io::stderr(), "skipped: no openssl");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let rsa = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
        let (key, certificate) = pair(dir.path(), "rsa", &rsa);
        let arguments = Arguments {
            sbsign: Some(vec![key.clone(), certificate.clone()]),
            ..Arguments::default()
        };
        let efi = Target::parse("snponly.efi").unwrap();
        assert!(Signer::of(&arguments, &[efi]).unwrap().is_some());

        let said = refused(&key, &certificate, "undionly.kpxe");
        assert!(said.contains("no EFI program"), "{said}");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        let said = refused(&key, &certificate, "snponly.efi");
        assert!(
            said.contains("mode 644") && said.contains("chmod 600"),
            "{said}"
        );
        let none = dir.path().join("none");
        let said = refused(&none, &certificate, "snponly.efi");
        assert!(
            said.contains("none: this private key cannot be read"),
            "{said}"
        );
        let said = refused(&key, &none, "snponly.efi");
        assert!(
            said.contains("none: this certificate cannot be read"),
            "{said}"
        );
        let ec = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
        let (other, elliptic) = pair(dir.path(), "ec", &ec);
        let said = refused(&other, &elliptic, "snponly.efi");
        assert!(said.contains("expected RSA"), "{said}");
        let said = refused(&other, &certificate, "snponly.efi");
        assert!(said.contains("is not the key of"), "{said}");
    }
}
