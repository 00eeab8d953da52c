// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask trust init`: a root, and a key for code that the root vouches for.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::Keys;
use crate::certificate::Certificate;
use crate::cmd::Cmd;
use crate::paths::Paths;

/// Make a root certificate, a code-signing certificate, and their keys (mode 0600).
///
/// Nothing is overwritten: ROMs that trust a root trust it for good, so that a lost key means new ROMs.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where they are put; must not be in dist/, which is given to others [default: trust/].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// How they sign. Releases of iPXE before 2.0 know RSA only; ECDSA verifies slower in a BIOS.
    #[arg(long, value_enum, default_value_t = Kind::Rsa)]
    algorithm: Kind,
    /// Whose they are; stands in both certificates.
    #[arg(long, value_name = "NAME", default_value = "slamboot")]
    name: String,
    /// How many days the signing certificate is valid; the root is valid twice as long.
    #[arg(long, value_name = "N", default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=18_250))]
    days: u32,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Kind {
    /// RSA of 3072 bits.
    Rsa,
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
}

impl Kind {
    /// For `openssl genpkey`.
    fn arguments(self) -> [&'static str; 4] {
        match self {
            Kind::Rsa => ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"],
            Kind::P256 => ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
            Kind::P384 => ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
        }
    }

    /// As strong as the key.
    fn digest(self) -> &'static str {
        match self {
            Kind::Rsa | Kind::P256 => "-sha256",
            Kind::P384 => "-sha384",
        }
    }
}

/// What the certificates may be used for; nothing of the host's own openssl.cnf.
const EXTENSIONS: &str = "\
[req]
distinguished_name = dn
[dn]
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[sign]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = codeSigning
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
";

pub(super) fn run(arguments: &Arguments, paths: &Paths) -> Result<()> {
    let keys = Keys::at(arguments.dir.as_ref(), paths);
    outside(&keys.dir, &paths.dist)?;
    let shown = keys.dir.display();
    ensure!(
        fs::symlink_metadata(&keys.dir).is_err(),
        "{shown} is there already: expected no such directory\nhelp: ROMs trust the root in it for good; to begin anew, move it away, and build every ROM again"
    );
    let plain = |c: char| c.is_ascii_alphanumeric() || " .-_".contains(c);
    ensure!(
        (1..=50).contains(&arguments.name.len()) && arguments.name.chars().all(plain),
        "--name {:?}: expected 1 to 50 letters, digits, spaces, dots, dashes and underscores",
        arguments.name
    );
    // Beside, and renamed when all is there.
    let beside = Keys {
        dir: keys
            .dir
            .with_extension(format!("new-{}", std::process::id())),
    };
    let made = make(arguments, &beside).and_then(|made| {
        fs::rename(&beside.dir, &keys.dir).with_context(|| format!("cannot make {shown}"))?;
        Ok(made)
    });
    if made.is_err() {
        let _ = fs::remove_dir_all(&beside.dir);
    }
    let root = made?;
    println!("made in {shown}, keys readable by you alone:");
    println!(
        "  root.crt, root.key    {}, SHA-256 {}",
        root.algorithm,
        hex::encode(root.fingerprint)
    );
    println!("  sign.crt, sign.key    signs for {} days", arguments.days);
    println!("next: cargo xtask trust sign FILE...   what machines shall run, and memdisk");
    println!("      trust = true                     under [firmware] in slamboot.toml");
    println!("      cargo xtask firmware             ROMs that trust this root and nobody else");
    println!(
        "Keep root.key elsewhere: only a new signing key needs it. Machines' clocks must be right."
    );
    Ok(())
}

/// Whoever gets dist/ must not get keys.
fn outside(dir: &Path, dist: &Path) -> Result<()> {
    let parent = match dir.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => dir,
    };
    let parent = parent
        .canonicalize()
        .with_context(|| format!("{}: expected a directory", parent.display()))?;
    let dist = dist.canonicalize().unwrap_or_else(|_| dist.to_owned());
    ensure!(
        !parent.starts_with(&dist) && parent.join(dir.file_name().unwrap_or_default()) != dist,
        "{}: keys must not lie in {}, which is given to others\nhelp: name another --dir",
        dir.display(),
        dist.display()
    );
    Ok(())
}

fn make(arguments: &Arguments, keys: &Keys) -> Result<Certificate> {
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&keys.dir)
        .with_context(|| format!("cannot make {}", keys.dir.display()))?;
    let config = keys.dir.join("openssl.cnf");
    fs::write(&config, EXTENSIONS).with_context(|| config.display().to_string())?;
    for key in [keys.root_key(), keys.signer_key()] {
        let pem = Cmd::new("openssl")
            .arg("genpkey")
            .args(arguments.algorithm.arguments())
            .read_bytes()?;
        write_private(&key, &pem)?;
    }
    let digest = arguments.algorithm.digest();
    let name = |what: &str| format!("/CN={} {what}", arguments.name);
    Cmd::new("openssl")
        .args([
            "req",
            "-new",
            "-x509",
            "-extensions",
            "root",
            digest,
            "-config",
        ])
        .arg(&config)
        .arg("-key")
        .arg(keys.root_key())
        .args([
            "-subj",
            &name("root"),
            "-days",
            &(arguments.days * 2).to_string(),
            "-out",
        ])
        .arg(keys.root())
        .read()?;
    let request = keys.dir.join("sign.csr");
    Cmd::new("openssl")
        .args(["req", "-new", digest, "-config"])
        .arg(&config)
        .arg("-key")
        .arg(keys.signer_key())
        .args(["-subj", &name("code signing"), "-out"])
        .arg(&request)
        .read()?;
    // A serial number of its own, so that two signers of one root are never taken for each other.
    let serial = format!("0x{:016x}", fastrand::u64(1..u64::MAX >> 1));
    Cmd::new("openssl")
        .args([
            "x509",
            "-req",
            "-extensions",
            "sign",
            digest,
            "-set_serial",
            &serial,
            "-extfile",
        ])
        .arg(&config)
        .arg("-CA")
        .arg(keys.root())
        .arg("-CAkey")
        .arg(keys.root_key())
        .args(["-days", &arguments.days.to_string(), "-in"])
        .arg(&request)
        .arg("-out")
        .arg(keys.signer())
        .read()?;
    for scratch in [config, request] {
        fs::remove_file(&scratch).with_context(|| scratch.display().to_string())?;
    }
    // Judged as any other would be.
    let root = Certificate::read(&keys.root(), "")?;
    root.must_be_root()?;
    root.must_match(&keys.root_key())?;
    let signer = Certificate::read(&keys.signer(), "")?;
    signer.must_be_issued_by(&root)?;
    signer.must_sign_code()?;
    signer.must_match(&keys.signer_key())?;
    Ok(root)
}

/// Never readable by others, not for a moment.
fn write_private(path: &Path, text: &[u8]) -> Result<()> {
    let file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    file.and_then(|mut file| file.write_all(text))
        .with_context(|| format!("cannot write {}", path.display()))
}
