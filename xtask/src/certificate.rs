// SPDX-License-Identifier: MIT OR Apache-2.0
//! Certificates and private keys in PEM files, as openssl(1) reads them: what cannot be used is named
//! before anything is built or signed with it.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::cmd::Cmd;

/// How a certificate's key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA, of so many bits.
    Rsa(u32),
    /// ECDSA on NIST's P-256.
    P256,
    /// ECDSA on NIST's P-384.
    P384,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Algorithm::Rsa(bits) => write!(f, "RSA, {bits} bits"),
            Algorithm::P256 => f.write_str("ECDSA, P-256"),
            Algorithm::P384 => f.write_str("ECDSA, P-384"),
        }
    }
}

/// A key or certificate that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {what}\nhelp: {help}")]
pub struct Unusable {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: String,
    /// What to do.
    pub help: String,
}

/// A certificate that is there, can be read and is valid now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Where it lies.
    pub path: PathBuf,
    /// Itself, and nothing else that may stand in the file.
    pub pem: String,
    /// SHA-256 over its DER.
    pub fingerprint: [u8; 32],
    /// Its public key, in PEM.
    public: String,
    /// How its key signs.
    pub algorithm: Algorithm,
    /// As openssl prints it.
    text: String,
}

/// Days before the end at which people are told.
const SOON: u32 = 30;

impl Certificate {
    /// Reads and judges it; `help` says where one comes from.
    pub fn read(path: &Path, help: &str) -> Result<Certificate, Unusable> {
        let unusable = |what: String, help: &str| Unusable {
            path: path.to_owned(),
            what,
            help: help.to_owned(),
        };
        readable(path, "certificate", help)?;
        let openssl = |arguments: &[&str]| x509(path).args(arguments).read();
        let pem = openssl(&["-outform", "PEM"]).map_err(|_| {
            unusable(
                "no certificate in PEM (-----BEGIN CERTIFICATE-----)".to_owned(),
                "openssl x509 -inform DER -in FILE -out NEW turns DER into PEM",
            )
        })?;
        let said = |arguments: &[&str]| {
            openssl(arguments).map_err(|error| unusable(error.to_string(), help))
        };
        let dates = said(&["-noout", "-startdate", "-enddate"])?;
        let date = |which: &str| {
            let line = dates.lines().find_map(|line| line.strip_prefix(which));
            line.unwrap_or("an unknown day").to_owned()
        };
        if openssl(&["-noout", "-checkend", "0"]).is_err() {
            return Err(unusable(
                format!("expired on {}", date("notAfter=")),
                "make a new one; what was signed by it is refused, too",
            ));
        }
        // openssl x509 knows no check of the beginning: a verification does.
        let begun = Cmd::new("openssl")
            .args(["verify", "-partial_chain", "-trusted"])
            .args([path, path])
            .read();
        if begun.is_err_and(|error| error.to_string().contains("not yet valid")) {
            return Err(unusable(
                format!("not valid before {}", date("notBefore=")),
                "is this machine's clock right?",
            ));
        }
        let text = said(&["-noout", "-text"])?;
        let algorithm = algorithm(&text).map_err(|found| {
            unusable(
                format!(
                    "expected an RSA key of 2048 bits and more, P-256 or P-384, signed with SHA-256, SHA-384 or SHA-512; found {found}"
                ),
                "iPXE knows no other",
            )
        })?;
        let fingerprint = said(&["-noout", "-fingerprint", "-sha256"])?;
        let digits = fingerprint.rsplit('=').next().unwrap_or_default();
        let digits: String = digits.chars().filter(char::is_ascii_hexdigit).collect();
        let mut bytes = [0; 32];
        hex::decode_to_slice(&digits, &mut bytes)
            .map_err(|_| unusable(format!("no fingerprint: {fingerprint}"), help))?;
        if openssl(&["-noout", "-checkend", &(SOON * 86_400).to_string()]).is_err() {
            eprintln!(
                "warning: {} expires on {}",
                path.display(),
                date("notAfter=")
            );
        }
        Ok(Certificate {
            path: path.to_owned(),
            pem,
            fingerprint: bytes,
            public: said(&["-noout", "-pubkey"])?,
            algorithm,
            text,
        })
    }

    /// Whether it may vouch for others (RFC 5280, section 4.2.1.9).
    pub fn must_be_root(&self) -> Result<(), Unusable> {
        self.must(
            self.text.contains("CA:TRUE"),
            "may not vouch for others: expected basicConstraints CA:TRUE",
            "name the root, not the certificate that signs",
        )
    }

    /// Whether iPXE takes it for code (`cms.c`, `cms_verify_digest`).
    pub fn must_sign_code(&self) -> Result<(), Unusable> {
        self.must(
            self.text.contains("Code Signing"),
            "is not for code: expected extendedKeyUsage codeSigning, which iPXE wants",
            "cargo xtask trust init makes one that is",
        )
    }

    /// Whether `root` vouches for it.
    pub fn must_be_issued_by(&self, root: &Certificate) -> Result<(), Unusable> {
        let verified = Cmd::new("openssl")
            .args(["verify", "-CAfile"])
            .arg(&root.path)
            .arg(&self.path)
            .read();
        self.must(
            verified.is_ok(),
            &format!("was not issued by {}", root.path.display()),
            "keep root and signer of one `cargo xtask trust init` together",
        )
    }

    fn must(&self, holds: bool, what: &str, help: &str) -> Result<(), Unusable> {
        if holds {
            return Ok(());
        }
        Err(Unusable {
            path: self.path.clone(),
            what: what.to_owned(),
            help: help.to_owned(),
        })
    }

    /// Whether the private key in `path` is its own, and nobody else can read it.
    pub fn must_match(&self, path: &Path) -> Result<(), Unusable> {
        let unusable = |what: String, help: &str| Unusable {
            path: path.to_owned(),
            what,
            help: help.to_owned(),
        };
        readable(path, "private key", "cargo xtask trust init makes one")?;
        let public = Cmd::new("openssl")
            .args(["pkey", "-pubout", "-passin", "pass:", "-in"])
            .arg(path)
            .read()
            .map_err(|_| {
                unusable(
                    "no private key in PEM without a passphrase".to_owned(),
                    "openssl pkey -in FILE -out NEW takes a passphrase off; keep NEW to yourself (chmod 600)",
                )
            })?;
        if public.trim() != self.public.trim() {
            return Err(unusable(
                format!("is not the key of {}", self.path.display()),
                "name the pair that belongs together",
            ));
        }
        Ok(())
    }
}

/// Others who can read a key can sign as we do.
pub fn must_be_private(path: &Path) -> Result<(), Unusable> {
    let mode = fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    let others = mode & 0o077;
    if others == 0 {
        return Ok(());
    }
    Err(Unusable {
        path: path.to_owned(),
        what: format!("can be read by others (mode {:03o})", mode & 0o777),
        help: format!("chmod 600 {}", path.display()),
    })
}

fn x509(path: &Path) -> Cmd {
    Cmd::new("openssl").args(["x509", "-in"]).arg(path)
}

fn readable(path: &Path, what: &str, help: &str) -> Result<(), Unusable> {
    let read = fs::read(path);
    read.map(drop).map_err(|error| Unusable {
        path: path.to_owned(),
        what: format!("this {what} cannot be read: {error}"),
        help: help.to_owned(),
    })
}

/// From `openssl x509 -text`; the error is what was found instead.
fn algorithm(text: &str) -> Result<Algorithm, String> {
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(key));
        line.unwrap_or_default().trim()
    };
    let signed = value("Signature Algorithm:");
    let key = value("Public Key Algorithm:");
    let hashes = ["sha256", "sha384", "sha512", "SHA256", "SHA384", "SHA512"];
    let pss = signed.to_lowercase().contains("pss");
    if pss || !hashes.iter().any(|hash| signed.contains(hash)) {
        return Err(format!("a signature with {signed}"));
    }
    let curve = value("ASN1 OID:");
    let bits = value("Public-Key:").trim_matches(|c: char| !c.is_ascii_digit());
    match (key, curve, bits.parse::<u32>()) {
        ("rsaEncryption", _, Ok(bits)) if bits >= 2048 => Ok(Algorithm::Rsa(bits)),
        ("id-ecPublicKey", "prime256v1", _) => Ok(Algorithm::P256),
        ("id-ecPublicKey", "secp384r1", _) => Ok(Algorithm::P384),
        _ => Err(format!("{key} {curve} {bits}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key and what is made with it, in a directory of its own; `None`, and loudly so, without
    /// openssl.
    fn made(key: &[&str], certificate: &[&str]) -> Option<tempfile::TempDir> {
        use std::io::Write as _;
        if crate::host::program("openssl").is_none() {
            let _ = writeln!(std::io::stderr(), "skipped: no openssl");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let openssl = |arguments: &[&str]| {
            Cmd::new("openssl")
                .dir(dir.path())
                .args(arguments)
                .read()
                .unwrap();
        };
        openssl(&[&["genpkey", "-out", "key"], key].concat());
        openssl(&[
            "req", "-new", "-key", "key", "-subj", "/CN=x", "-out", "csr",
        ]);
        let sign = [
            "x509", "-req", "-in", "csr", "-signkey", "key", "-out", "crt",
        ];
        openssl(&[&sign[..], certificate].concat());
        Some(dir)
    }

    const RSA: [&str; 4] = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
    const P384: [&str; 4] = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"];

    fn refused(dir: &tempfile::TempDir) -> String {
        let error = Certificate::read(&dir.path().join("crt"), "make one").unwrap_err();
        let said = error.to_string();
        assert!(said.contains("crt: ") && said.contains("help: "), "{said}");
        said
    }

    #[test]
    fn what_ipxe_takes_is_taken() {
        let Some(rsa) = made(&RSA, &["-days", "90", "-sha256"]) else {
            return;
        };
        let read = Certificate::read(&rsa.path().join("crt"), "").unwrap();
        assert_eq!(read.algorithm, Algorithm::Rsa(2048));
        assert!(read.pem.starts_with("-----BEGIN CERTIFICATE-----"));
        read.must_match(&rsa.path().join("key")).unwrap();
        assert!(
            read.must_sign_code()
                .unwrap_err()
                .to_string()
                .contains("codeSigning")
        );
        assert!(
            read.must_be_root()
                .unwrap_err()
                .to_string()
                .contains("CA:TRUE")
        );
        let ec = made(&P384, &["-days", "90", "-sha384"]).unwrap();
        let other = Certificate::read(&ec.path().join("crt"), "").unwrap();
        assert_eq!(other.algorithm, Algorithm::P384);
        let error = other.must_match(&rsa.path().join("key")).unwrap_err();
        assert!(error.to_string().contains("is not the key of"), "{error}");
        let error = other.must_be_issued_by(&read).unwrap_err();
        assert!(error.to_string().contains("was not issued by"), "{error}");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let Some(expired) = made(&RSA, &["-days", "-1"]) else {
            return;
        };
        assert!(refused(&expired).contains("expired on "));
        let small = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"];
        assert!(refused(&made(&small, &["-days", "90"]).unwrap()).contains("1024"));
        let ed = made(&["-algorithm", "ED25519"], &["-days", "90"]).unwrap();
        assert!(refused(&ed).contains("found a signature with ED25519"));
        let sha1 = made(&RSA, &["-days", "90", "-sha1"]).unwrap();
        assert!(refused(&sha1).contains("sha1WithRSA"));
        // With a key for any padding, and with one for this alone.
        let padded = ["-days", "90", "-sha256", "-sigopt", "rsa_padding_mode:pss"];
        assert!(refused(&made(&RSA, &padded).unwrap()).contains("rsassaPss"));
        let pss = ["-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"];
        assert!(refused(&made(&pss, &["-days", "90"]).unwrap()).contains("rsassaPss"));
        let curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"];
        assert!(refused(&made(&curve, &["-days", "90"]).unwrap()).contains("secp521r1"));

        let crt = expired.path().join("crt");
        fs::write(&crt, "no certificate").unwrap();
        assert!(refused(&expired).contains("no certificate in PEM"));
        fs::remove_file(&crt).unwrap();
        assert!(refused(&expired).contains("cannot be read"));
    }

    /// `openssl x509` sets no beginning before version 3.4: a little authority does.
    #[test]
    fn a_day_to_come_is_named() {
        let Some(dir) = made(&RSA, &["-days", "90"]) else {
            return;
        };
        let files = "[ca]\ndefault_ca = x\n[x]\ndatabase = index\nserial = serial\nnew_certs_dir = .\npolicy = any\n[any]\ncommonName = supplied\n";
        fs::write(dir.path().join("ca.cnf"), files).unwrap();
        fs::write(dir.path().join("index"), "").unwrap();
        #[rustfmt::skip]
        let arguments = [
            "ca", "-batch", "-notext", "-selfsign", "-create_serial", "-config", "ca.cnf", "-md", "sha256",
            "-keyfile", "key", "-in", "csr", "-out", "crt",
            "-startdate", "20980101000000Z", "-enddate", "20990101000000Z",
        ];
        let ca = Cmd::new("openssl").dir(dir.path()).args(arguments);
        ca.read().unwrap();
        let said = refused(&dir);
        assert!(
            said.contains("not valid before Jan  1") && said.contains("clock"),
            "{said}"
        );
    }

    #[test]
    fn a_key_is_its_owners_and_without_passphrase() {
        let Some(dir) = made(&RSA, &["-days", "90"]) else {
            return;
        };
        let key = dir.path().join("key");
        let read = Certificate::read(&dir.path().join("crt"), "").unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
        let error = must_be_private(&key).unwrap_err().to_string();
        assert!(
            error.contains("mode 640") && error.contains("chmod 600"),
            "{error}"
        );
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        must_be_private(&key).unwrap();
        let locked = dir.path().join("locked");
        Cmd::new("openssl")
            .args(["pkey", "-aes256", "-passout", "pass:x", "-in"])
            .arg(&key)
            .arg("-out")
            .arg(&locked)
            .read()
            .unwrap();
        let error = read.must_match(&locked).unwrap_err().to_string();
        assert!(error.contains("without a passphrase"), "{error}");
        let error = read.must_match(&dir.path().join("none")).unwrap_err();
        assert!(
            error.to_string().contains("private key cannot be read"),
            "{error}"
        );
    }
}
