// SPDX-License-Identifier: MIT OR Apache-2.0
//! What cannot be done is said clearly, and leaves nothing behind.

use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use slamboot::image::{self, DiskSize, ImageError, SourceSpec, VerifyError, WriteError, demo};

use crate::judge::skip;
use crate::support::{demo_with, file, run, slamboot};

/// Runs `slamboot image demo -o TARGET MORE`, which must fail; what it says on standard error.
fn refused(target: &Path, more: &[&str]) -> String {
    let target = target.to_str().unwrap();
    let output = slamboot(&[&["image", "demo", "-o", target], more].concat());
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!text.contains("panicked"), "{text}");
    text
}

pub fn assert_empty(folder: &Path) {
    let left: Vec<_> = std::fs::read_dir(folder).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn sizes() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("demo.img");
    let text = refused(&target, &["--size", "8MiB"]);
    assert!(
        text.contains("it needs at least 39.22 MiB (--size 41126400"),
        "{text}"
    );
    let text = refused(&target, &["--size", "3TiB"]);
    assert!(text.contains("an MBR disk has at most 2 TiB"), "{text}");
    let text = refused(&target, &["--size", "200MB"]);
    assert!(text.contains("could mean two sizes: write MiB"), "{text}");
    let text = refused(&target, &["--size", "much"]);
    assert!(
        text.contains("expected a size such as \"200MiB\""),
        "{text}"
    );
    let text = refused(&target, &["--size", "5GiB", "--fill"]);
    assert!(
        text.contains("\\FILLER.BIN would have") && text.contains("at most 4294967295"),
        "{text}"
    );
    assert_empty(folder.path());
    // What the first error advises works.
    let path = target.to_str().unwrap();
    assert!(
        slamboot(&["image", "demo", "-o", path, "--size", "41126400"])
            .status
            .success()
    );
}

#[test]
fn targets() {
    let folder = tempfile::tempdir().unwrap();
    let text = refused(folder.path(), &[]);
    assert!(text.contains("found a directory"), "{text}");
    let text = refused(Path::new("/dev/null"), &[]);
    assert!(text.contains("found a character device"), "{text}");
    let missing = folder.path().join("missing");
    let text = refused(&missing.join("demo.img"), &[]);
    let expected = format!(
        "{}: cannot make a file in this directory",
        missing.display()
    );
    assert!(text.contains(&expected), "{text}");
    // Not even root can make files there.
    let text = refused(Path::new("/sys/demo.img"), &[]);
    assert!(
        text.contains("/sys: cannot make a file in this directory"),
        "{text}"
    );
    assert_empty(folder.path());
}

#[test]
fn an_unwritable_directory() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o555)).unwrap();
    if std::fs::write(folder.path().join("probe"), "").is_ok() {
        std::fs::remove_file(folder.path().join("probe")).unwrap();
        return skip(
            "an_unwritable_directory",
            "root may write everywhere (/sys stands in)",
        );
    }
    let text = refused(&folder.path().join("demo.img"), &[]);
    assert!(text.contains("permission denied"), "{text}");
}

#[test]
fn a_link_stays_and_an_old_image_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().join("real.img");
    let link = folder.path().join("link.img");
    std::fs::write(&real, "old").unwrap();
    std::os::unix::fs::symlink("real.img", &link).unwrap();
    let output = slamboot(&["image", "demo", "-o", link.to_str().unwrap()]);
    assert!(output.status.success());
    assert!(link.is_symlink());
    assert_eq!(real.metadata().unwrap().len(), 41_126_400);
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["crc32:", "signature:", "slamboot serve", "demo: ok crc32="] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

/// A small file system of its own, gone when dropped.
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    pub fn mount(bytes: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={bytes}"),
                "slamboot-test",
            ])
            .arg(folder.path())
            .output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then(|| SmallDisk(folder))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn resize(&self, bytes: u64) {
        run(Command::new("mount")
            .args(["-o", &format!("remount,size={bytes}")])
            .arg(self.path()));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk() {
    let Some(disk) = SmallDisk::mount(8 << 20) else {
        return skip("a_full_disk", "cannot mount a tmpfs (not root?)");
    };
    let target = disk.path().join("demo.img");
    let text = refused(&target, &["--fill"]);
    let start = format!("error: {}: the image was not made\n", target.display());
    assert!(text.starts_with(&start), "{text}");
    for part in [
        "cannot write \\FILLER.BIN (byte ",
        "No space left on device",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(text.contains("free some space there"), "{text}");
    assert_empty(disk.path());
    // Without the filler it is sparse and fits.
    let output = slamboot(&["image", "demo", "-o", target.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_signal_leaves_the_old_image_and_nothing_else() {
    for (signal, size) in [("INT", "3GiB"), ("TERM", "3GiB")] {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("demo.img");
        std::fs::write(&target, "old").unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_slamboot"))
            .args(["image", "demo", "--fill", "--size", size, "-o"])
            .arg(&target)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Until it has begun to write: it counts polls, as no clock may be read here.
        let writing = || {
            std::fs::read_dir(folder.path()).unwrap().any(|entry| {
                use std::os::unix::fs::MetadataExt;
                let entry = entry.unwrap();
                entry.file_name().to_string_lossy().ends_with(".part")
                    && entry
                        .metadata()
                        .is_ok_and(|metadata| metadata.blocks() > 1 << 12)
            })
        };
        let begun = (0..3000).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            writing()
        });
        assert!(begun, "it never began to write");
        let status = Command::new("kill")
            .args(["-s", signal, &child.id().to_string()])
            .status();
        assert!(status.unwrap().success());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let text: Vec<String> = stderr.lines().map(Result::unwrap).collect();
        assert!(!child.wait().unwrap().success());
        assert!(
            text.join("\n")
                .contains("interrupted; nothing is left behind"),
            "{text:?}"
        );
        assert_eq!(std::fs::read(&target).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn breaking_off_in_either_step() {
    for step in [image::Step::Write, image::Step::Verify] {
        let folder = tempfile::tempdir().unwrap();
        let spec = demo::spec(DiskSize::Smallest, None);
        let error = image::build(&spec, &folder.path().join("a"), &mut |progress| {
            if progress.step == step {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .unwrap_err();
        assert!(
            matches!(
                error,
                ImageError::Write {
                    source: WriteError::Interrupted,
                    ..
                } | ImageError::Verify {
                    source: VerifyError::Interrupted,
                    ..
                }
            ),
            "{error}"
        );
        assert_empty(folder.path());
    }
}

#[test]
fn an_input_that_shrinks_while_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = tempfile::tempdir().unwrap();
    let input = inputs.path().join("winpe.wim");
    std::fs::write(&input, vec![1; 20 << 20]).unwrap();
    let spec = demo_with(
        DiskSize::Smallest,
        vec![file("\\winpe.wim", SourceSpec::File(input.clone()))],
    );
    let error = image::build(&spec, &folder.path().join("a"), &mut |_| {
        std::fs::write(&input, "less").unwrap();
        ControlFlow::Continue(())
    })
    .unwrap_err();
    let text = format!("{:#}", anyhow::Error::from(error));
    assert!(
        text.contains("winpe.wim: it changed while it was read"),
        "{text}"
    );
    assert_empty(folder.path());
}
