// SPDX-License-Identifier: MIT OR Apache-2.0
//! What these tests share.

use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use slamboot::image::plan::FatPlan;
use slamboot::image::{
    self, Attributes, Built, DiskPlan, DiskSize, FileSpec, ImageError, ImageSpec, Progress,
    SourceSpec, VolumePlan, demo,
};
use tempfile::TempDir;

/// Runs a tool to its end; its output must say success.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

/// `slamboot` with these arguments.
pub fn slamboot(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_slamboot"))
        .args(arguments)
        .output()
        .unwrap()
}

/// Goes on, whatever the progress.
pub fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// A built image in a directory of its own.
pub struct Image {
    pub folder: TempDir,
    pub built: Built,
}

impl Image {
    pub fn try_of(spec: &ImageSpec) -> Result<Self, ImageError> {
        let folder = tempfile::tempdir().unwrap();
        let built = image::build(spec, &folder.path().join("disk.img"), &mut go_on)?;
        Ok(Image { folder, built })
    }

    pub fn of(spec: &ImageSpec) -> Self {
        Self::try_of(spec).unwrap()
    }

    pub fn demo() -> Self {
        Self::of(&demo::spec(DiskSize::Smallest, None))
    }

    pub fn path(&self) -> &Path {
        &self.built.path
    }

    pub fn plan(&self) -> &DiskPlan {
        &self.built.plan
    }

    pub fn file(&self) -> File {
        File::options()
            .read(true)
            .write(true)
            .open(self.path())
            .unwrap()
    }

    /// Where a file of the volume begins, in bytes.
    pub fn offset_of(&self, path: &str) -> u64 {
        let file = |file: &&image::plan::PlannedFile| file.path.to_string() == path;
        let file = self.plan().files.iter().find(file).unwrap();
        file.run.unwrap().start.byte_offset()
    }

    /// The volume alone, for tools that know no partitions.
    pub fn volume(&self) -> PathBuf {
        let volume = self.folder.path().join("volume.img");
        run(Command::new("dd")
            .args(["bs=1M", "skip=1", "conv=sparse", "status=none"])
            .arg(format!("if={}", self.path().display()))
            .arg(format!("of={}", volume.display())));
        volume
    }
}

/// The areas of a plan that has a FAT32 volume.
pub fn fat_plan(plan: &DiskPlan) -> &FatPlan {
    match &plan.volume {
        VolumePlan::Fat32(fat) => fat,
        VolumePlan::Ntfs(_) => panic!("an NTFS"),
    }
}

/// Changes one bit of the byte there.
pub fn flip(file: &File, offset: u64) {
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], offset).unwrap();
}

/// A file of an image.
pub fn file(path: &str, source: SourceSpec) -> FileSpec {
    FileSpec {
        path: path.parse().unwrap(),
        attributes: Attributes::default(),
        source,
    }
}

/// The demo with more files.
pub fn demo_with(size: DiskSize, files: Vec<FileSpec>) -> ImageSpec {
    let mut spec = demo::spec(size, None);
    spec.files.extend(files);
    spec
}

/// A tree with everything that names and lengths can do.
pub fn rich_tree() -> Vec<FileSpec> {
    let mut files = vec![
        file("\\bootmgr", SourceSpec::Bytes(vec![1; 1])),
        file("\\Boot\\BCD", SourceSpec::Bytes(vec![2; 512])),
        file(
            "\\Boot\\Fonts\\wgl4_boot.ttf",
            SourceSpec::Bytes(vec![3; 513]),
        ),
        file("\\boot\\BOOTSTAT.DAT", SourceSpec::Bytes(Vec::new())),
        file("\\empty", SourceSpec::Bytes(Vec::new())),
        file("\\Grüße an 世界.txt", SourceSpec::Bytes(vec![4; 100_000])),
        file(
            &format!("\\{}", "n".repeat(255)),
            SourceSpec::Bytes(vec![5; 2]),
        ),
        file("\\🌍", SourceSpec::Bytes(vec![10; 1000])),
        file("\\a.b.c.d", SourceSpec::Bytes(vec![6; 3])),
        file(
            "\\1\\2\\3\\4\\5\\6\\7\\8\\deep",
            SourceSpec::Bytes(vec![7; 4]),
        ),
    ];
    // A directory of many clusters, and tails of several digits.
    files.extend((0..600).map(|n| {
        file(
            &format!("\\many\\a file with a long name, number {n}.data"),
            SourceSpec::Bytes(vec![8; n]),
        )
    }));
    files[0].attributes = Attributes {
        hidden: true,
        system: true,
        read_only: true,
        ..Attributes::default()
    };
    files
}
