// SPDX-License-Identifier: MIT OR Apache-2.0
//! The disposable tree that iPXE is built in: its source, our overlay, headers and script.
//!
//! iPXE's make does not see a change of `EXTRA_CFLAGS` or `CFLAGS_slam`, nor a source file that
//! vanished: each set of such inputs has a tree of its own, under a name made of their digest. The
//! script is the one input that make does follow, by its time.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use firmware::pins::Configuration;
use firmware::recipe::{ROOT, Recipe, SCRIPT};
use firmware::target::Platform;
use firmware::tree::{File, Tree};

use super::archive;
use super::tools::Tools;

/// Stands in a BIN directory while make works in it.
const UNFINISHED: &str = ".slamboot-unfinished";
/// Says in a BIN directory which compiler its objects are of, and which tools its ISO and USB images.
const COMPILED: &str = ".slamboot-tools";
const MASTERED: &str = ".slamboot-media-tools";

/// Where make keeps the headers of what the script goes into, in a BIN directory.
const DEPENDENCIES: &str = "deps/image/embedded.c.d";

/// Where make keeps a value that a BIN directory was built with (`CONFIG`, `ASSERT`, `PROFILE`, `FNREC`; we
/// give none of them), and the header, relative to `src/`, that it touches when that is new.
const NOTES: [(&str, &str); 4] = [
    (".config.list", "config/named.h"),
    (".assert.list", "include/assert.h"),
    (".profile.list", "include/ipxe/profile.h"),
    (".fnrec.list", "include/compiler.h"),
];

/// A tree that is ready for make.
#[derive(Clone, Debug)]
pub struct BuildTree {
    /// Holds `src/`.
    pub root: PathBuf,
    /// Its name, for logs.
    pub key: String,
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
    /// BIN directory may hold half-written objects, and goes. So it does where another compiler made them, which
    /// make does not look at.
    pub(super) fn begin(&self, platform: Platform, tools: &Tools) -> Result<()> {
        let marker = self.marker(platform);
        let bin = self.src().join(platform.bin());
        let context = || format!("cannot prepare {}", bin.display());
        if marker.exists() {
            println!("{} was left unfinished: starting afresh", bin.display());
            fs::remove_dir_all(&bin).with_context(context)?;
        }
        let compiling = tools.compiling(platform);
        if !says(&bin.join(COMPILED), &compiling) && has_objects(&bin) {
            println!("{} is another compiler's: starting afresh", bin.display());
            fs::remove_dir_all(&bin).with_context(context)?;
        }
        // v1.20.1 does not make it by itself.
        fs::create_dir_all(&bin).with_context(context)?;
        self.settle_notes(&bin).with_context(context)?;
        fs::write(bin.join(COMPILED), compiling).with_context(context)?;
        if let Some(mastering) = tools.media() {
            if !says(&bin.join(MASTERED), &mastering) {
                remove_media(&bin).with_context(context)?;
            }
            fs::write(bin.join(MASTERED), mastering).with_context(context)?;
        }
        fs::write(&marker, "").with_context(context)
    }

    /// Where a BIN directory's note is new, make touches its header, which every object in every other
    /// BIN directory depends on: the first build for one machine would put those for all others out of
    /// date. The notes are laid there, no newer than the headers and no older than the makefiles.
    fn settle_notes(&self, bin: &Path) -> std::io::Result<()> {
        for (note, header) in NOTES {
            let (note, header) = (bin.join(note), self.src().join(header));
            if note.exists() || !header.exists() {
                continue;
            }
            fs::write(&note, "\n")?;
            let time = fs::metadata(&header)?.modified()?;
            fs::File::options()
                .write(true)
                .open(&note)?
                .set_modified(time)?;
        }
        Ok(())
    }

    /// Whether everything that is made once is made: the objects for this machine, and the programs of iPXE's own
    /// that all machines' files are made with.
    pub fn is_built(&self, platform: Platform) -> bool {
        has_objects(&self.src().join(platform.bin())) && !self.marker(platform).exists()
    }

    /// Says that make has ended, well or with an error of its own.
    pub fn end(&self, platform: Platform) {
        let _ = fs::remove_file(self.marker(platform));
    }
}

fn says(note: &Path, text: &str) -> bool {
    fs::read(note).is_ok_and(|found| found == text.as_bytes())
}

fn has_objects(bin: &Path) -> bool {
    let entries = fs::read_dir(bin).into_iter().flatten().flatten();
    let mut paths = entries.map(|entry| entry.path());
    paths.any(|path| path.extension().is_some_and(|ending| ending == "o"))
}

/// make sees only that the programs in them are no newer.
fn remove_media(bin: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(bin)? {
        let path = entry?.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if matches!(ending, Some("iso" | "usb")) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// The name of the tree for these inputs.
pub fn key(recipe: &Recipe) -> String {
    format!("{}-{}", recipe.release.name, &recipe.untracked()[..12])
}

/// Makes the tree unless it is there, and puts the script in.
pub fn prepare(source: Tree, recipe: &Recipe, build: &Path) -> Result<BuildTree> {
    let key = key(recipe);
    let root = build.join(&key);
    let reused = root.is_dir();
    if !reused {
        let tree = laid_over(source, recipe)?;
        archive::write_dir(&tree, &root)?;
        // Written once more, so that they are not older than the makefiles: see `settle_notes`.
        for (_, header) in NOTES {
            let header = root.join("src").join(header);
            if let Ok(text) = fs::read(&header) {
                fs::write(&header, text)
                    .with_context(|| format!("cannot write {}", header.display()))?;
            }
        }
    }
    let path = root.join("src").join(SCRIPT);
    // Its time is what make looks at: an unchanged script keeps it.
    if fs::read(&path).ok().as_deref() != Some(recipe.script.as_bytes()) {
        fs::write(&path, &recipe.script)
            .with_context(|| format!("cannot write {}", path.display()))?;
        keep_dependencies(&root.join("src"), &path)
            .with_context(|| format!("cannot prepare {}", root.display()))?;
    }
    Ok(BuildTree { root, key, reused })
}

/// make takes the list of headers that `image/embedded.c` includes for out of date, too, makes it anew as it was, and
/// then reads all of its rules once more. Nothing in that list is of the script: it gets the script's time. What was
/// made of the script is as old as before.
fn keep_dependencies(src: &Path, script: &Path) -> std::io::Result<()> {
    let time = fs::metadata(script)?.modified()?;
    for platform in Platform::ALL {
        let list = src.join(platform.bin()).join(DEPENDENCIES);
        match fs::File::options().write(true).open(list) {
            Ok(list) => list.set_modified(time)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// iPXE's source with all that is ours but the script.
fn laid_over(source: Tree, recipe: &Recipe) -> Result<Tree> {
    let mut tree = source;
    let release = &recipe.release;
    let plain = |text: &str| File::Plain(text.as_bytes().to_vec());
    for (path, text) in firmware::overlay::files(recipe.parts, release) {
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
    for header in &recipe.headers {
        let path = format!("src/config/local/{}", header.name);
        tree.insert(&path, plain(&header.text))?;
    }
    if let Some(root) = &recipe.root {
        let path = ROOT.strip_prefix("../").unwrap_or(ROOT);
        tree.insert(path, plain(&root.pem))?;
    }
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;
    use firmware::pins::Pins;
    use site::Site;

    struct Fixture {
        dir: tempfile::TempDir,
        recipe: Recipe,
    }

    impl Fixture {
        fn new() -> Fixture {
            let pins = Pins::builtin().unwrap();
            let release = pins.release("v2.0.0").unwrap();
            Fixture {
                dir: tempfile::tempdir().unwrap(),
                recipe: Recipe::new(&Site::default(), release, None).unwrap(),
            }
        }

        fn prepare(&self, script: &str) -> BuildTree {
            let mut source = Tree::default();
            for path in [
                "src/Makefile",
                "src/config/general.h",
                "src/config/named.h",
                "src/config/usb.h",
                "src/include/assert.h",
                "src/include/ipxe/profile.h",
                "src/include/compiler.h",
            ] {
                source
                    .insert(path, File::Plain(b"upstream".to_vec()))
                    .unwrap();
            }
            let recipe = Recipe {
                script: script.to_owned(),
                ..self.recipe.clone()
            };
            prepare(source, &recipe, self.dir.path()).unwrap()
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
        let time = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
        let bin = script.with_file_name("src/bin");
        let (list, object) = (bin.join(DEPENDENCIES), bin.join("embedded.o"));
        fs::create_dir_all(list.parent().unwrap()).unwrap();
        for path in [&list, &object] {
            fs::write(path, "").unwrap();
        }
        for path in [&script, &list, &object] {
            fs::File::open(path).unwrap().set_modified(past).unwrap();
        }
        let tree = fixture.prepare("one");
        assert!(tree.reused);
        assert_eq!([&script, &list, &object].map(|path| time(path)), [past; 3]);
        fixture.prepare("two");
        assert_ne!(time(&script), past);
        // Of these two make makes the second anew, and not the first.
        assert_eq!(time(&list), time(&script));
        assert_eq!(time(&object), past);
    }

    #[test]
    fn what_a_killed_make_left_is_not_trusted() {
        let fixture = Fixture::new();
        let tree = fixture.prepare("one");
        let object = tree.src().join("bin/half.o");
        let tools = Tools::default();
        tree.begin(Platform::Bios, &tools).unwrap();
        fs::write(&object, "").unwrap();
        tree.end(Platform::Bios);
        tree.begin(Platform::Bios, &tools).unwrap();
        assert!(
            object.exists(),
            "make ended by itself: its objects are whole"
        );
        // This time nobody says that it ended.
        tree.begin(Platform::Bios, &tools).unwrap();
        assert!(!object.exists());
        // make finds what it will be asked for, and leaves the headers alone.
        let time = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
        for (note, header) in NOTES {
            let note = tree.src().join("bin").join(note);
            assert_eq!(fs::read_to_string(&note).unwrap(), "\n");
            assert_eq!(time(&note), time(&tree.src().join(header)));
            assert!(time(&note) >= time(&tree.src().join("Makefile")));
        }
    }

    /// What make does not look at: who compiled an object, and who made an ISO of it.
    #[test]
    fn what_other_tools_made_is_made_again() {
        let fixture = Fixture::new();
        let tree = fixture.prepare("one");
        let tools = |gcc, iso| Tools::said(&[("gcc", gcc), ("isolinux.bin", iso)]);
        let bin = tree.src().join("bin");
        let made = |gcc, iso| {
            tree.begin(Platform::Bios, &tools(gcc, iso)).unwrap();
            let there = ["a.o", "ipxe.iso"].map(|name| bin.join(name).exists());
            fs::write(bin.join("a.o"), "").unwrap();
            fs::write(bin.join("ipxe.iso"), "").unwrap();
            tree.end(Platform::Bios);
            there
        };
        assert_eq!(made("12", "a"), [false, false]);
        assert_eq!(made("12", "a"), [true, true]);
        assert_eq!(made("12", "b"), [true, false]);
        assert_eq!(made("13", "b"), [false, false]);
        fs::remove_file(bin.join(COMPILED)).unwrap();
        assert_eq!(made("13", "b"), [false, false], "nobody knows whose");
    }

    /// What make would take for the same: a root at the same path.
    #[test]
    fn another_root_gets_a_tree_of_its_own() {
        let mut fixture = Fixture::new();
        let without = fixture.prepare("one");
        let mut rooted = |pem: &str, byte| {
            fixture.recipe.root = Some(firmware::recipe::Root {
                pem: pem.to_owned(),
                fingerprint: [byte; 32],
            });
            fixture.prepare("one")
        };
        let (one, two) = (rooted("one", 1), rooted("two", 2));
        assert_ne!(without.root, one.root);
        assert_ne!(one.root, two.root);
        let text = |tree: &BuildTree| fs::read_to_string(tree.src().join(ROOT)).unwrap();
        assert_eq!([text(&one), text(&two)], ["one", "two"]);
        assert!(!without.src().join(ROOT).exists());
    }
}
