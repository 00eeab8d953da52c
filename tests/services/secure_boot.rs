// SPDX-License-Identifier: MIT OR Apache-2.0
//! UEFI Secure Boot with a key of the site's own: here the one that Debian's OVMF has enrolled for
//! tests, whose private half the package brings along.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use xtask::cmd::Cmd;
use xtask::console::{Console, Deadline};
use xtask::qemu::QEMU;

use super::machines::BOOT;
use super::xtask;
use crate::support::{Outcome, paths};

const CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd";
const VARS: &str = "/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd";
const KEY: &str = "/usr/share/ovmf/PkKek-1-snakeoil.key";
const CERTIFICATE: &str = "/usr/share/ovmf/PkKek-1-snakeoil.pem";

/// All of them.
pub const FILES: [&str; 4] = [CODE, VARS, KEY, CERTIFICATE];

/// What OVMF says of a program that it does not start.
const DENIED: &str = "Access Denied";
const FEATURES: &str = "Features:";

pub fn only_what_the_site_signed() -> Outcome {
    let dir = tempfile::tempdir()?;
    let key = dir.path().join("snakeoil.key");
    Cmd::new("openssl")
        .args(["pkey", "-passin", "pass:snakeoil", "-in", KEY, "-out"])
        .arg(&key)
        .read()
        .context("Debian's package ovmf has another key")?;
    let (strangers, theirs) = (dir.path().join("their.key"), dir.path().join("their.crt"));
    Cmd::new("openssl")
        .args(["req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes"])
        .args(["-subj", "/CN=strangers", "-days", "90", "-keyout"])
        .arg(&strangers)
        .arg("-out")
        .arg(&theirs)
        .read()?;
    let dist = paths().target.join("test/secure-boot");
    let program = dist.join("firmware/snponly.efi");
    let build = |signer: Option<(&Path, &Path)>| -> anyhow::Result<Vec<u8>> {
        let mut arguments = vec![
            "firmware".to_owned(),
            "--target".to_owned(),
            "snponly.efi".to_owned(),
        ];
        if let Some((key, certificate)) = signer {
            let text = |path: &Path| path.display().to_string();
            arguments.extend(["--sbsign".to_owned(), text(key), text(certificate)]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        xtask(&dist, &arguments).read()?;
        Ok(fs::read(&program)?)
    };
    let unsigned = build(None)?;
    let foreign = build(Some((&strangers, &theirs)))?;
    let signed = build(Some((&key, Path::new(CERTIFICATE))))?;
    // What make would be waited for, is said before.
    for (pair, part) in [
        ((KEY, CERTIFICATE), "passphrase"),
        (("/nowhere.key", CERTIFICATE), "/nowhere.key"),
        (
            (key.to_str().context("text")?, "/nowhere.crt"),
            "/nowhere.crt",
        ),
    ] {
        let Err(error) = build(Some((Path::new(pair.0), Path::new(pair.1)))) else {
            bail!("signed with {pair:?}");
        };
        ensure!(format!("{error:#}").contains(part), "{error:#}");
    }
    ensure!(start(dir.path(), "signed", &signed)? == FEATURES);
    ensure!(start(dir.path(), "unsigned", &unsigned)? == DENIED);
    ensure!(start(dir.path(), "foreign", &foreign)? == DENIED);
    Ok(())
}

/// What comes first of it: iPXE's banner, or the firmware's refusal.
fn start(dir: &Path, name: &str, program: &[u8]) -> anyhow::Result<&'static str> {
    let run = dir.join(name);
    let boot = run.join("esp/EFI/BOOT");
    fs::create_dir_all(&boot)?;
    fs::write(boot.join("BOOTX64.EFI"), program)?;
    let vars = run.join("vars.fd");
    fs::copy(VARS, &vars)?;
    let console = Console::open(name, &run.join("console.log"))?;
    let (out, err) = (console.pipe("serial")?, console.pipe("qemu")?);
    let _running = Cmd::new(QEMU)
        .args(["-accel", "tcg", "-machine", "q35,smm=on", "-m", "512"])
        .args(["-global", "driver=cfi.pflash01,property=secure,value=on"])
        .args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-serial",
            "stdio",
        ])
        .args([
            "-drive",
            &format!("if=pflash,format=raw,readonly=on,file={CODE}"),
        ])
        .args([
            "-drive",
            &format!("if=pflash,format=raw,file={}", vars.display()),
        ])
        .args([
            "-drive",
            &format!(
                "if=none,id=esp,format=raw,file=fat:rw:{}",
                run.join("esp").display()
            ),
        ])
        .args([
            "-device",
            "virtio-blk-pci,drive=esp",
            "-netdev",
            "user,id=n,restrict=on",
        ])
        .args(["-device", "e1000,netdev=n,romfile="])
        .spawn_into(out, err)?;
    let mut cursor = 0;
    let limit = Deadline::after(BOOT + Duration::from_mins(2));
    let first = console.wait(&mut cursor, limit, "iPXE's banner, or a refusal", |line| {
        [FEATURES, DENIED]
            .into_iter()
            .find(|said| line.text.contains(said))
    })?;
    Ok(first)
}
