// SPDX-License-Identifier: MIT OR Apache-2.0
//! The disposable tree that iPXE is built in: its source, our overlay, headers and script.
//!
//! iPXE's make does not see a change of `EXTRA_CFLAGS` or `CFLAGS_slam`, nor a source file that
//! vanished: each set of such inputs has a tree of its own, under a name made of their digest. The
//! script is the one input that make does follow, by its time.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use firmware::config::Header;
use firmware::pins::{Configuration, Release};
use firmware::target::Platform;
use firmware::tree::{File, Tree};
use sha2::{Digest, Sha256};
use site::{Client, Firmware};

use super::archive;

/// Where the embedded script lies, relative to `src/`.
pub const SCRIPT: &str = "../slamboot.ipxe";
/// Stands in a BIN directory while make works in it.
const UNFINISHED: &str = ".slamboot-unfinished";

/// Where make keeps the name of the configuration that a BIN directory was built with.
const CONFIGURATION: &str = ".config.list";
/// What make touches when that is new, relative to `src/`.
const NAMED_H: &str = "config/named.h";

/// A tree that is ready for make.
#[derive(Clone, Debug)]
pub struct BuildTree {
    /// Holds `src/`.
    pub root: PathBuf,
    /// Its name, for logs.
    pub key: String,
    /// Which SLAM client is laid over it.
    pub client: Client,
    /// Whether it was there before.
    pub reused: bool,
}

impl BuildTree {
    /// Where make runs.
    pub fn src(&self) -> PathBuf {
        self.root.join("src")
    }

    fn marker(&self, platform: Platform) -> PathBuf {
        self.src().join(platform.bin()).join(UNFINISHED)
    }

    /// Says that make starts; where an earlier make was killed without a chance to tidy up, its
    /// BIN directory may hold half-written objects, and goes.
    pub fn begin(&self, platform: Platform) -> Result<()> {
        let marker = self.marker(platform);
        let bin = self.src().join(platform.bin());
        let context = || format!("cannot prepare {}", bin.display());
        if marker.exists() {
            println!("{} was left unfinished: starting afresh", bin.display());
            fs::remove_dir_all(&bin).with_context(context)?;
        }
        // v1.20.1 does not make it by itself.
        fs::create_dir_all(&bin).with_context(context)?;
        self.settle_configuration(&bin).with_context(context)?;
        fs::write(&marker, "").with_context(context)
    }

    /// Where a BIN directory's note of its named configuration is new, make touches config/named.h,
    /// which every object in every other BIN directory depends on: the first build for one machine
    /// would put those for all others out of date. We never name one: the note is laid there, no newer
    /// than the header and no older than the makefiles.
    fn settle_configuration(&self, bin: &Path) -> std::io::Result<()> {
        let note = bin.join(CONFIGURATION);
        let header = self.src().join(NAMED_H);
        if note.exists() || !header.exists() {
            return Ok(());
        }
        fs::write(&note, "\n")?;
        let time = fs::metadata(&header)?.modified()?;
        fs::File::options()
            .write(true)
            .open(&note)?
            .set_modified(time)
    }

    /// Says that make has ended, well or with an error of its own.
    pub fn end(&self, platform: Platform) {
        let _ = fs::remove_file(self.marker(platform));
    }
}

/// The name of the tree for these inputs.
pub fn key(site: &Firmware, release: &Release, headers: &[Header], make: &[String]) -> String {
    let mut digest = Sha256::new();
    for part in [
        release.commit.clone(),
        firmware::overlay::digest(site, release).to_string(),
        firmware::config::digest(headers),
        make.join("\n"),
    ] {
        digest.update(part);
        digest.update([0]);
    }
    if release.configuration == Configuration::Line {
        digest.update(b"config/general.h edited");
    }
    let digest = hex::encode(digest.finalize());
    format!("{}-{}", release.name, &digest[..12])
}

/// Makes the tree unless it is there, and puts the script in.
pub fn prepare(
    source: Tree,
    release: &Release,
    site: &Firmware,
    headers: &[Header],
    script: &str,
    key: &str,
    build: &Path,
) -> Result<BuildTree> {
    let root = build.join(key);
    let reused = root.is_dir();
    if !reused {
        let mut tree = source;
        let plain = |text: &str| File::Plain(text.as_bytes().to_vec());
        for (path, text) in firmware::overlay::files(site, release) {
            tree.insert(path, plain(text))?;
        }
        if release.configuration == Configuration::Line {
            let path = firmware::config::GENERAL_H;
            let Some(File::Plain(text)) = tree.get(path) else {
                bail!("{path}: expected a plain file in iPXE {}", release.name);
            };
            let text = firmware::config::switch_on_slam(&String::from_utf8_lossy(text))?;
            tree.insert(path, plain(&text))?;
        }
        // Headers that nobody wrote are made empty by make itself, in the middle of its first run:
        // everything that includes one would be out of date in the second.
        let empty: Vec<String> = tree
            .files()
            .filter_map(|(path, _)| path.strip_prefix("src/config/"))
            .filter(|name| !name.contains('/'))
            .filter(|name| {
                Path::new(name)
                    .extension()
                    .is_some_and(|ending| ending == "h")
            })
            .map(|name| format!("src/config/local/{name}"))
            .collect();
        for path in empty {
            tree.insert(&path, plain(""))?;
        }
        for header in headers {
            let path = format!("src/config/local/{}", header.name);
            tree.insert(&path, plain(&header.text))?;
        }
        archive::write_dir(&tree, &root)?;
        // Written once more, so that it is not older than the makefiles: see `settle_configuration`.
        let named = root.join("src").join(NAMED_H);
        if let Ok(text) = fs::read(&named) {
            fs::write(&named, text).with_context(|| format!("cannot write {}", named.display()))?;
        }
    }
    let path = root.join("src").join(SCRIPT);
    // Its time is what make looks at: an unchanged script keeps it.
    if fs::read(&path).ok().as_deref() != Some(script.as_bytes()) {
        fs::write(&path, script).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(BuildTree {
        root,
        key: key.to_owned(),
        client: release.client(site.client),
        reused,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use firmware::pins::Pins;
    use site::Site;

    struct Fixture {
        dir: tempfile::TempDir,
        release: Release,
        headers: Vec<Header>,
    }

    impl Fixture {
        fn new() -> Fixture {
            Fixture {
                dir: tempfile::tempdir().unwrap(),
                release: Pins::builtin().unwrap().release("v2.0.0").unwrap().clone(),
                headers: firmware::config::headers(
                    &Site::default().firmware,
                    Pins::builtin().unwrap().release("v2.0.0").unwrap(),
                ),
            }
        }

        fn prepare(&self, script: &str) -> BuildTree {
            let mut source = Tree::default();
            for path in [
                "src/Makefile",
                "src/config/general.h",
                "src/config/named.h",
                "src/config/usb.h",
            ] {
                source
                    .insert(path, File::Plain(b"upstream".to_vec()))
                    .unwrap();
            }
            prepare(
                source,
                &self.release,
                &Site::default().firmware,
                &self.headers,
                script,
                "key",
                self.dir.path(),
            )
            .unwrap()
        }
    }

    #[test]
    fn overlay_headers_and_script_lie_where_make_looks() {
        let fixture = Fixture::new();
        let tree = fixture.prepare("#!ipxe\n");
        let text = |path: &str| fs::read_to_string(tree.src().join(path)).unwrap();
        assert!(text("net/udp/slam_core.c").contains("slam_core_input"));
        assert!(text("net/udp/slamboot_slam.c").contains("x-slam"));
        assert!(text("config/local/general.h").contains("REQUIRE_OBJECT ( slamboot_slam )"));
        assert_eq!(text("config/local/usb.h"), "");
        assert_eq!(text("config/general.h"), "upstream");
        assert_eq!(text(SCRIPT), "#!ipxe\n");
    }

    #[test]
    fn an_unchanged_script_keeps_its_time() {
        let fixture = Fixture::new();
        let script = fixture.prepare("one").src().join(SCRIPT);
        let past = std::time::SystemTime::UNIX_EPOCH;
        fs::File::open(&script).unwrap().set_modified(past).unwrap();
        let tree = fixture.prepare("one");
        assert!(tree.reused);
        assert_eq!(fs::metadata(&script).unwrap().modified().unwrap(), past);
        fixture.prepare("two");
        assert_ne!(fs::metadata(&script).unwrap().modified().unwrap(), past);
    }

    #[test]
    fn what_a_killed_make_left_is_not_trusted() {
        let fixture = Fixture::new();
        let tree = fixture.prepare("one");
        let object = tree.src().join("bin/half.o");
        tree.begin(Platform::Bios).unwrap();
        fs::write(&object, "").unwrap();
        tree.end(Platform::Bios);
        tree.begin(Platform::Bios).unwrap();
        assert!(
            object.exists(),
            "make ended by itself: its objects are whole"
        );
        // This time nobody says that it ended.
        tree.begin(Platform::Bios).unwrap();
        assert!(!object.exists());
        // make finds the configuration that it will be asked for, and leaves its header alone.
        let note = tree.src().join("bin/.config.list");
        assert_eq!(fs::read_to_string(&note).unwrap(), "\n");
        let time = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
        assert_eq!(time(&note), time(&tree.src().join(NAMED_H)));
        assert!(time(&note) >= time(&tree.src().join("Makefile")));
    }

    #[test]
    fn whatever_make_does_not_follow_names_another_tree() {
        let fixture = Fixture::new();
        let make = ["-j2".to_owned()];
        let mut site = Site::default().firmware;
        (site.client, site.igmp) = (Client::Stock, false);
        let key = |release: &Release, headers: &[Header], make: &[String]| {
            super::key(&site, release, headers, make)
        };
        let one = key(&fixture.release, &fixture.headers, &make);
        assert!(one.starts_with("v2.0.0-"), "{one}");
        assert_ne!(one, key(&fixture.release, &fixture.headers, &[]));
        assert_ne!(one, key(&fixture.release, &fixture.headers[..1], &make));
        let mut other = fixture.release.clone();
        other.explicit_groups = firmware::pins::ExplicitGroups::Right;
        assert_ne!(one, key(&other, &fixture.headers, &make));
        let mut ours = site.clone();
        ours.igmp = true;
        let ours = super::key(&ours, &fixture.release, &fixture.headers, &make);
        assert_ne!(one, ours);
    }
}
