// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask trust`: who may say what machines run. iPXE's side of it is in `firmware`.

mod init;
mod root;
mod sign;

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;

use crate::paths::Paths;

pub(crate) use self::root::root;

/// Make the keys that ROMs trust, and sign what they shall run.
///
///   cargo xtask trust init                        a root and a signing key, in trust/
///   cargo xtask trust sign disk.img /usr/lib/syslinux/memdisk
///                                                 FILE.sig beside each, where `slamboot serve` finds it
///   cargo xtask firmware                          with trust = true under [firmware] in slamboot.toml
///
/// Such ROMs verify each file before anything runs. Who has trust/sign.key says what that may be; who has
/// trust/root.key can make another signing key: it is needed for nothing else, so keep it elsewhere.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, Subcommand)]
enum Step {
    Init(init::Arguments),
    Sign(sign::Arguments),
}

/// Names in the directory of keys.
struct Keys {
    dir: PathBuf,
}

impl Keys {
    /// In `dir`, else beside slamboot.toml.
    fn at(dir: Option<&PathBuf>, paths: &Paths) -> Keys {
        let dir = dir.cloned().unwrap_or_else(|| paths.root.join("trust"));
        Keys { dir }
    }

    fn root(&self) -> PathBuf {
        self.dir.join("root.crt")
    }

    fn root_key(&self) -> PathBuf {
        self.dir.join("root.key")
    }

    fn signer(&self) -> PathBuf {
        self.dir.join("sign.crt")
    }

    fn signer_key(&self) -> PathBuf {
        self.dir.join("sign.key")
    }
}

/// Runs the verb.
pub fn run(arguments: &Arguments, paths: &Paths) -> Result<()> {
    crate::host::ensure(&[crate::host::Need::Trust])?;
    match &arguments.step {
        Step::Init(arguments) => init::run(arguments, paths),
        Step::Sign(arguments) => sign::run(arguments, paths),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn trust(root: &Path, words: &[&str]) -> Result<()> {
        let paths = Paths {
            root: root.to_owned(),
            target: root.join("target"),
            dist: root.join("dist"),
            cache: root.join("cache"),
            profile: crate::programs::Profile::Release,
        };
        let line = Line::parse_from([&["trust"], words].concat());
        match &line.arguments.step {
            Step::Init(arguments) => init::run(arguments, &paths),
            Step::Sign(arguments) => sign::run(arguments, &paths),
        }
    }

    fn openssl() -> bool {
        use std::io::Write as _;
        let there = crate::host::program("openssl").is_some();
        if !there {
            let _ = writeln!(std::io::stderr(), "skipped: no openssl");
        }
        there
    }

    #[test]
    fn keys_are_ours_alone_and_signatures_fit() {
        if !openssl() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        trust(dir.path(), &["init", "--algorithm", "p256"]).unwrap();
        let keys = dir.path().join("trust");
        let mode = |name: &str| fs::metadata(keys.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            [mode("root.key"), mode("sign.key"), mode(".")],
            [0o600, 0o600, 0o700]
        );
        let mut names: Vec<_> = fs::read_dir(&keys)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["root.crt", "root.key", "sign.crt", "sign.key"]);
        let before = fs::read(keys.join("root.key")).unwrap();
        let error = trust(dir.path(), &["init"]).unwrap_err().to_string();
        assert!(error.contains("is there already"), "{error}");
        assert_eq!(fs::read(keys.join("root.key")).unwrap(), before);

        let file = dir.path().join("disk.img");
        let name = file.to_str().unwrap();
        fs::write(&file, "a disk").unwrap();
        let error = trust(dir.path(), &["sign", "--check", name]).unwrap_err();
        assert!(error.to_string().contains("no such signature"), "{error}");
        trust(dir.path(), &["sign", name]).unwrap();
        trust(dir.path(), &["sign", "--check", name]).unwrap();
        fs::write(&file, "a disc").unwrap();
        let error = format!(
            "{:#}",
            trust(dir.path(), &["sign", "--check", name]).unwrap_err()
        );
        assert!(error.contains("does not fit"), "{error}");
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            3,
            "nothing half-written"
        );
    }

    #[test]
    fn a_root_is_judged_by_what_the_release_verifies() {
        if !openssl() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let pins = firmware::pins::Pins::builtin().unwrap();
        let judged = |keys: &Path, file: &str, release: &str| {
            let trust = site::Trust {
                root: keys.join(file),
            };
            let root = root(&trust, pins.release(release).unwrap());
            root.map(drop).map_err(|error| error.to_string())
        };
        let keys = dir.path().join("trust");
        trust(dir.path(), &["init", "--algorithm", "p256"]).unwrap();
        for release in ["v2.0.0", "head"] {
            assert_eq!(judged(&keys, "root.crt", release), Ok(()));
        }
        for release in ["v1.21.1", "v1.20.1"] {
            let error = judged(&keys, "root.crt", release).unwrap_err();
            let said = format!("ECDSA, P-256: iPXE {release} verifies RSA only");
            assert!(error.contains(&said) && error.contains("help: "), "{error}");
        }
        let error = judged(&keys, "sign.crt", "v2.0.0").unwrap_err();
        assert!(error.contains("CA:TRUE"), "{error}");
        let error = judged(&keys, "none.crt", "v2.0.0").unwrap_err();
        assert!(
            error.contains("none.crt: this certificate cannot be read")
                && error.contains("trust_root"),
            "{error}"
        );
    }

    #[test]
    fn what_cannot_sign_is_named() {
        if !openssl() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("dist")).unwrap();
        let said = |words: &[&str]| format!("{:#}", trust(dir.path(), words).unwrap_err());
        let dist = dir.path().join("dist/keys").display().to_string();
        assert!(said(&["init", "--dir", &dist]).contains("given to others"));
        assert!(said(&["init", "--name", "a/b"]).contains("--name"));
        let file = dir.path().join("f").display().to_string();
        assert!(said(&["sign", &file]).contains("trust/root.crt: this certificate"));
        trust(dir.path(), &["init", "--algorithm", "p384"]).unwrap();
        assert!(said(&["sign", &file]).contains("cannot read"));
        fs::write(&file, "").unwrap();
        let key = dir.path().join("trust/sign.key");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(said(&["sign", &file]).contains("chmod 600"));
        // Somebody else's.
        let other = dir.path().join("other").display().to_string();
        trust(
            dir.path(),
            &["init", "--dir", &other, "--algorithm", "p256"],
        )
        .unwrap();
        let copy = |name: &str| {
            let from = dir.path().join("other").join(name);
            fs::copy(from, dir.path().join("trust").join(name)).unwrap();
        };
        copy("sign.key");
        assert!(said(&["sign", &file]).contains("is not the key of"));
        copy("sign.crt");
        assert!(said(&["sign", &file]).contains("was not issued by"));
        assert!(!Path::new(&format!("{file}.sig")).exists());
    }
}
