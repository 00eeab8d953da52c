// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where iPXE's source comes from: the cache, else what `--source` names, else upstream. Whatever
//! it came from, its digest is checked, and the next run finds it in the cache.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use firmware::pins::Release;
use firmware::tree::{Tree, TreeDigest};

use super::archive;
use crate::cmd::{Cmd, CmdError};
use crate::paths::Paths;

/// Whether a server answers at all.
const ANSWER: Duration = Duration::from_secs(20);
/// How long a whole clone may take.
const TRANSFER: Duration = Duration::from_mins(15);
/// What makes a tree iPXE's, and one with SLAM at that.
const HALLMARKS: [&str; 3] = [
    "src/Makefile.housekeeping",
    "src/config/general.h",
    "src/net/udp/slam.c",
];

/// What `--source` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A git work tree or bare repository.
    Repository(PathBuf),
    /// A git repository elsewhere.
    Url(String),
    /// A tarball.
    Archive(PathBuf),
}

/// A tree whose digest is right.
#[derive(Debug)]
pub struct Located {
    /// The release's tree.
    pub tree: Tree,
    /// Where it came from.
    pub from: String,
}

/// Why there is no source.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Nowhere.
    #[error(
        "no source of iPXE {release} (commit {commit}) at hand{}\nhelp: cargo xtask firmware --source DIR   (DIR: a clone of iPXE, bare or not; a git URL or a tarball of that commit do as well)",
        listed(.tried)
    )]
    Nowhere {
        /// Which release.
        release: String,
        /// Its commit.
        commit: String,
        /// Places and what was wrong with each.
        tried: Vec<(String, String)>,
    },
    /// `--source` names nothing.
    #[error(
        "--source {0}: expected a git repository (directory or URL) or a tarball, found no such file"
    )]
    Missing(String),
    /// Not a repository.
    #[error(
        "--source {place}: expected a git work tree or a bare repository: {why}\nhelp: name the directory that `git clone` made"
    )]
    NotGit {
        /// Where.
        place: String,
        /// What git said.
        why: String,
    },
    /// A repository of something else, or a stale one.
    #[error(
        "--source {place}: expected commit {commit} (iPXE {release}), found no such commit in it: not a clone of iPXE, a shallow one, or one from before that release\nhelp: git -C {place} fetch --tags https://github.com/ipxe/ipxe.git"
    )]
    NoCommit {
        /// Where.
        place: String,
        /// The pin.
        commit: String,
        /// Its name.
        release: String,
    },
    /// Something else than iPXE.
    #[error(
        "{place}: expected iPXE's source, found a tree of {files} files without {missing}\nhelp: name a clone or a tarball of https://github.com/ipxe/ipxe"
    )]
    NotIpxe {
        /// Where.
        place: String,
        /// A file that iPXE has.
        missing: &'static str,
        /// How many files there are.
        files: usize,
    },
    /// Not what was pinned.
    #[error(transparent)]
    Digest(Box<Mismatch>),
    /// A server that does not answer, or an interrupted transfer.
    #[error(
        "--source {place}: {why}\nhelp: check the address, or clone it by hand and name the directory"
    )]
    Fetch {
        /// Where.
        place: String,
        /// What git said.
        why: String,
    },
    /// No tar archive.
    #[error("--source {place}: not a readable tarball: {why}")]
    Archive {
        /// Where.
        place: String,
        /// What is wrong.
        why: String,
    },
    /// The cache cannot be written.
    #[error("source cache: {why}\nhelp: set SLAMBOOT_CACHE to a directory that you can write")]
    Cache {
        /// What is wrong.
        why: String,
    },
    /// Ctrl-C.
    #[error("interrupted while fetching iPXE's source; nothing half-made stays")]
    Interrupted,
}

/// A tree that is not the pinned one.
#[derive(Debug, thiserror::Error)]
#[error(
    "{place}: expected the tree of iPXE {release} with digest {expected}, found digest {found}: another release, or changed files\nhelp: name the source of commit {commit}, or another --release"
)]
pub struct Mismatch {
    place: String,
    release: String,
    commit: String,
    expected: TreeDigest,
    found: TreeDigest,
}

fn listed(tried: &[(String, String)]) -> String {
    let mut text = String::from("; tried:");
    for (place, why) in tried {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {place}: {why}");
    }
    text
}

impl Source {
    /// Reads `--source`'s value.
    pub fn parse(text: &str) -> Result<Source, SourceError> {
        let path = Path::new(text);
        let scp = || {
            text.split_once(':')
                .is_some_and(|(host, _)| host.contains('@') && !host.contains('/'))
        };
        if text.contains("://") || (!path.exists() && scp()) {
            Ok(Source::Url(text.to_owned()))
        } else if path.is_dir() {
            Ok(Source::Repository(path.to_owned()))
        } else if path.exists() {
            Ok(Source::Archive(path.to_owned()))
        } else {
            Err(SourceError::Missing(text.to_owned()))
        }
    }
}

/// Whether the cache has `release`: cheap, no digest, no network.
pub fn at_hand(release: &Release, paths: &Paths) -> bool {
    cached(release, paths).is_dir()
}

fn cached(release: &Release, paths: &Paths) -> PathBuf {
    paths.cache.join("ipxe").join(&release.commit)
}

/// Finds `release`, checks it, and keeps it in the cache.
pub fn locate(
    release: &Release,
    upstream: &str,
    source: Option<&Source>,
    paths: &Paths,
) -> Result<Located, SourceError> {
    let place = cached(release, paths);
    let _lock = lock(&place.with_extension("lock"))?;
    let shown = place.display().to_string();
    let mut tried = Vec::new();
    match from_cache(release, &place) {
        Ok(Some(tree)) => return Ok(Located { tree, from: shown }),
        Ok(None) => tried.push((format!("cache {shown}"), "not there".to_owned())),
        Err(why) => {
            eprintln!("warning: leaving the cached source aside: {why}");
            tried.push((format!("cache {shown}"), why.to_string()));
        }
    }
    let (tree, from) = match source {
        Some(Source::Repository(path)) => {
            let place = path.display().to_string();
            (from_repository(release, path, &place)?, place)
        }
        Some(Source::Url(url)) => {
            let wrong = |why| match why {
                Failure::Interrupted => SourceError::Interrupted,
                Failure::Said(why) => SourceError::Fetch {
                    place: url.clone(),
                    why,
                },
            };
            (from_url(release, url, paths).map_err(wrong)?, url.clone())
        }
        Some(Source::Archive(path)) => {
            let place = path.display().to_string();
            let tree = archive::read_file(path).map_err(|error| SourceError::Archive {
                place: place.clone(),
                why: format!("{error:#}"),
            })?;
            (tree.without_top(), place)
        }
        None => match from_url(release, upstream, paths) {
            Ok(tree) => (tree, upstream.to_owned()),
            Err(Failure::Interrupted) => return Err(SourceError::Interrupted),
            Err(Failure::Said(why)) => {
                tried.push((format!("upstream {upstream}"), why));
                return Err(SourceError::Nowhere {
                    release: release.name.clone(),
                    commit: release.commit.clone(),
                    tried,
                });
            }
        },
    };
    check(release, &tree, &from)?;
    keep(&tree, &place)?;
    Ok(Located { tree, from })
}

fn from_cache(release: &Release, place: &Path) -> Result<Option<Tree>, SourceError> {
    if !place.exists() {
        return Ok(None);
    }
    let tree = archive::read_dir(place).map_err(|error| SourceError::Cache {
        why: format!("{}: {error:#}", place.display()),
    })?;
    check(release, &tree, &place.display().to_string())?;
    Ok(Some(tree))
}

fn check(release: &Release, tree: &Tree, place: &str) -> Result<(), SourceError> {
    if let Some(missing) = HALLMARKS.into_iter().find(|path| !tree.contains(path)) {
        return Err(SourceError::NotIpxe {
            place: place.to_owned(),
            missing,
            files: tree.len(),
        });
    }
    let found = tree.digest();
    if found == release.digest {
        return Ok(());
    }
    Err(SourceError::Digest(Box::new(Mismatch {
        place: place.to_owned(),
        release: release.name.clone(),
        commit: release.commit.clone(),
        expected: release.digest,
        found,
    })))
}

fn keep(tree: &Tree, place: &Path) -> Result<(), SourceError> {
    let wrong = |why: String| SourceError::Cache { why };
    if place.exists() {
        // It was found to be damaged just now, under the lock.
        fs::remove_dir_all(place)
            .map_err(|error| wrong(format!("{}: {error}", place.display())))?;
    }
    archive::write_dir(tree, place).map_err(|error| wrong(format!("{error:#}")))
}

/// Held until dropped; the system lets go of it when we end, however that comes.
fn lock(path: &Path) -> Result<fs::File, SourceError> {
    super::lock(path).map_err(|error: io::Error| SourceError::Cache {
        why: format!("{}: {error}", path.display()),
    })
}

fn git() -> Cmd {
    Cmd::new("git")
        // Somebody else's clone is only read here.
        .args(["-c", "safe.directory=*"])
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C")
}

/// The pinned commit's tree, never the user's working files.
fn from_repository(release: &Release, path: &Path, place: &str) -> Result<Tree, SourceError> {
    let inside = || git().arg("-C").arg(path);
    let place = place.to_owned();
    if let Err(error) = inside().args(["rev-parse", "--git-dir"]).read() {
        return Err(SourceError::NotGit {
            place,
            why: said(&error),
        });
    }
    let commit = format!("{}^{{commit}}", release.commit);
    if inside().args(["cat-file", "-e", &commit]).read().is_err() {
        return Err(SourceError::NoCommit {
            place,
            commit: release.commit.clone(),
            release: release.name.clone(),
        });
    }
    archived(&inside(), release).map_err(|why| SourceError::NotGit { place, why })
}

fn archived(git: &Cmd, release: &Release) -> Result<Tree, String> {
    let stream = git
        .clone()
        .args(["archive", "--format=tar", &release.commit])
        .read_bytes()
        .map_err(|error| said(&error))?;
    archive::read(io::Cursor::new(stream)).map_err(|error| format!("{error:#}"))
}

enum Failure {
    Interrupted,
    Said(String),
}

impl From<CmdError> for Failure {
    fn from(error: CmdError) -> Failure {
        if crate::cmd::interrupted() {
            Failure::Interrupted
        } else {
            Failure::Said(said(&error))
        }
    }
}

/// Fetches the pinned commit alone where the server allows it, else everything.
fn from_url(release: &Release, url: &str, paths: &Paths) -> Result<Tree, Failure> {
    // For whoever looks on: what is printed for good is the caller's business.
    if std::io::stderr().is_terminal() {
        eprintln!("fetching iPXE {} from {url}", release.name);
    }
    git()
        .args(["ls-remote", "--exit-code", url, "HEAD"])
        .limit(ANSWER)
        .read()?;
    let clone = paths
        .cache
        .join("ipxe")
        .join(format!(".clone.{}.partial", std::process::id()));
    let fetched = (|| {
        git()
            .args(["init", "--quiet", "--bare"])
            .arg(&clone)
            .read()?;
        let inside = || git().arg("-C").arg(&clone);
        let alone = inside()
            .args(["fetch", "--quiet", "--depth=1", url, &release.commit])
            .limit(TRANSFER)
            .read();
        if alone.is_err() && !crate::cmd::interrupted() {
            inside()
                .args(["fetch", "--quiet", url, "+refs/*:refs/*"])
                .limit(TRANSFER)
                .read()?;
        }
        archived(&inside(), release).map_err(Failure::Said)
    })();
    let _ = fs::remove_dir_all(&clone);
    if crate::cmd::interrupted() {
        return Err(Failure::Interrupted);
    }
    fetched
}

/// The last line that a program printed says most.
fn said(error: &CmdError) -> String {
    match error {
        CmdError::Failed { output, status, .. } => {
            let last = output.lines().rfind(|line| !line.trim().is_empty());
            last.unwrap_or(status).trim().to_owned()
        }
        CmdError::Ended { reason, .. } => (*reason).to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firmware::pins::Pins;
    use firmware::tree::File;

    /// A small tree that has iPXE's hallmarks, in a repository, with a pin on it.
    struct Fixture {
        dir: tempfile::TempDir,
        release: Release,
        paths: Paths,
    }

    const NOWHERE: &str = "file:///slamboot-no-such-repository";

    fn fixture_tree() -> Tree {
        let mut tree = Tree::default();
        for path in HALLMARKS.into_iter().chain(["README"]) {
            let text = format!("this is {path}\n");
            tree.insert(path, File::Plain(text.into_bytes())).unwrap();
        }
        let script = File::Executable(b"#!/bin/sh\n".to_vec());
        tree.insert("src/util/run.sh", script).unwrap();
        tree
    }

    fn commit(repository: &Path) -> String {
        let inside = || git().arg("-C").arg(repository);
        inside().args(["init", "--quiet"]).read().unwrap();
        inside().args(["add", "--all"]).read().unwrap();
        inside()
            .args(["-c", "user.name=t", "-c", "user.email=t@example.org"])
            .args(["commit", "--quiet", "--message=fixture"])
            .read()
            .unwrap();
        inside().args(["rev-parse", "HEAD"]).read().unwrap()
    }

    impl Fixture {
        fn new() -> Fixture {
            let dir = tempfile::tempdir().unwrap();
            let tree = fixture_tree();
            let repository = dir.path().join("clone");
            archive::write_dir(&tree, &repository).unwrap();
            let commit = commit(&repository);
            let pins = format!(
                "default = 'f'\nupstream = 'x'\n[targets]\n[releases.f]\ncommit = '{commit}'\ndigest = '{}'\nepoch = 1\nexplicit_groups = 'right'\n",
                tree.digest()
            );
            let release = Pins::parse(&pins).unwrap().release("f").unwrap().clone();
            let under = |name: &str| dir.path().join(name);
            let paths = Paths {
                root: under("root"),
                target: under("target"),
                dist: under("dist"),
                cache: under("cache"),
                profile: crate::programs::Profile::Release,
            };
            Fixture {
                dir,
                release,
                paths,
            }
        }

        fn at(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn locate(&self, source: Option<&Source>) -> Result<Located, SourceError> {
            locate(&self.release, NOWHERE, source, &self.paths)
        }

        fn refused(&self, source: Option<&Source>) -> String {
            let error = self.locate(source).unwrap_err().to_string();
            assert!(!at_hand(&self.release, &self.paths), "{error}");
            error
        }

        fn tarball(&self, name: &str, options: &[&str]) -> Source {
            let tarball = self.at(name);
            Cmd::new("tar")
                .args(options)
                .arg(&tarball)
                .arg("--exclude=.git")
                .arg("-C")
                .arg(self.dir.path())
                .arg("clone")
                .read()
                .unwrap();
            Source::parse(tarball.to_str().unwrap()).unwrap()
        }
    }

    fn has(text: &str, parts: &[&str]) {
        for part in parts {
            assert!(text.contains(part), "{part:?} in {text}");
        }
    }

    #[test]
    fn a_clone_gives_the_pinned_commit_and_never_its_working_files() {
        let fixture = Fixture::new();
        let clone = fixture.at("clone");
        fs::write(clone.join("README"), "changed by its user").unwrap();
        fs::write(clone.join("src/new.c"), "not committed").unwrap();
        let source = Source::parse(clone.to_str().unwrap()).unwrap();
        assert_eq!(fixture.locate(Some(&source)).unwrap().tree, fixture_tree());
        // From now on without a source.
        fs::remove_dir_all(&clone).unwrap();
        assert!(at_hand(&fixture.release, &fixture.paths));
        assert_eq!(fixture.locate(None).unwrap().tree, fixture_tree());
    }

    #[test]
    fn a_bare_repository_and_a_url_do_as_well() {
        let fixture = Fixture::new();
        let bare = fixture.at("bare");
        git()
            .args(["clone", "--quiet", "--bare"])
            .args([fixture.at("clone"), bare.clone()])
            .read()
            .unwrap();
        let url = format!("file://{}", bare.display());
        for source in [bare.to_str().unwrap(), &url] {
            let source = Source::parse(source).unwrap();
            let located = fixture.locate(Some(&source)).unwrap();
            assert_eq!(located.tree, fixture_tree());
            fs::remove_dir_all(&fixture.paths.cache).unwrap();
        }
    }

    #[test]
    fn tarballs_are_checked_by_their_content() {
        let fixture = Fixture::new();
        for (name, option) in [("a.tar", "-cf"), ("a.tar.gz", "-czf"), ("a.tar.xz", "-cJf")] {
            let source = fixture.tarball(name, &[option]);
            let located = fixture.locate(Some(&source)).unwrap();
            assert_eq!(located.tree, fixture_tree(), "{name}");
            fs::remove_dir_all(&fixture.paths.cache).unwrap();
        }
        fs::write(fixture.at("clone/README"), "tampered with").unwrap();
        let source = fixture.tarball("b.tar.gz", &["-czf"]);
        let error = fixture.refused(Some(&source));
        let expected = fixture.release.digest.to_string();
        has(
            &error,
            &["b.tar.gz", "expected", &expected, "found digest", "help:"],
        );

        fs::write(fixture.at("c.tar.gz"), b"\x1f\x8bgarbage").unwrap();
        let source = Source::Archive(fixture.at("c.tar.gz"));
        has(
            &fixture.refused(Some(&source)),
            &["c.tar.gz", "not a readable tarball"],
        );
        fs::write(fixture.at("empty"), "").unwrap();
        let source = Source::Archive(fixture.at("empty"));
        has(
            &fixture.refused(Some(&source)),
            &["empty", "not a readable tarball"],
        );
    }

    #[test]
    fn what_is_not_ipxe_is_refused() {
        let fixture = Fixture::new();
        let other = fixture.at("other");
        fs::create_dir(&other).unwrap();
        let source = Source::Repository(other.clone());
        has(
            &fixture.refused(Some(&source)),
            &["other", "git work tree or a bare repository"],
        );
        fs::write(other.join("hello.c"), "").unwrap();
        commit(&other);
        let error = fixture.refused(Some(&source));
        has(
            &error,
            &["other", "no such commit", &fixture.release.commit, "help:"],
        );

        fs::remove_file(fixture.at("clone/src/net/udp/slam.c")).unwrap();
        let source = fixture.tarball("d.tar", &["-cf"]);
        let error = fixture.refused(Some(&source));
        has(
            &error,
            &["d.tar", "expected iPXE's source", "src/net/udp/slam.c"],
        );
        has(
            &Source::parse("/slamboot/no/such").unwrap_err().to_string(),
            &["/slamboot/no/such", "found no such file"],
        );
    }

    #[test]
    fn nowhere_names_every_place_and_the_way_out() {
        let fixture = Fixture::new();
        let error = fixture.refused(None);
        let cache = fixture.paths.cache.display().to_string();
        has(
            &error,
            &[
                &cache,
                "not there",
                NOWHERE,
                "cargo xtask firmware --source DIR",
            ],
        );
    }

    #[test]
    fn a_damaged_cache_is_replaced() {
        let fixture = Fixture::new();
        let source = Source::Repository(fixture.at("clone"));
        fixture.locate(Some(&source)).unwrap();
        let cached = cached(&fixture.release, &fixture.paths);
        fs::write(cached.join("README"), "bit rot").unwrap();
        let error = fixture.locate(None).unwrap_err().to_string();
        has(&error, &["found digest", NOWHERE]);
        fixture.locate(Some(&source)).unwrap();
        assert_eq!(fixture.locate(None).unwrap().tree, fixture_tree());
    }

    #[test]
    fn runs_at_once_do_not_disturb_each_other() {
        let fixture = Fixture::new();
        let source = Source::Repository(fixture.at("clone"));
        std::thread::scope(|scope| {
            let run = || assert_eq!(fixture.locate(Some(&source)).unwrap().tree, fixture_tree());
            for _ in 0..4 {
                scope.spawn(run);
            }
        });
        let left = fs::read_dir(fixture.paths.cache.join("ipxe")).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "the tree and its lock: {left:?}");
    }

    #[test]
    fn a_full_disk_leaves_nothing_half_made() {
        let mut fixture = Fixture::new();
        let Some(small) = super::super::tests::SmallDisk::new(&fixture.at("small"), "64k") else {
            return;
        };
        let filler = small.path().join("filler");
        fs::write(&filler, vec![0; 48 << 10]).unwrap();
        fixture.paths.cache = small.path().join("cache");
        let source = Source::Repository(fixture.at("clone"));
        let error = fixture.refused(Some(&source));
        has(&error, &["cache", "No space left", "SLAMBOOT_CACHE"]);
        let left = fs::read_dir(fixture.paths.cache.join("ipxe")).unwrap();
        assert!(
            left.into_iter().all(|e| !e.unwrap().path().is_dir()),
            "no directory stays"
        );
        fs::remove_file(filler).unwrap();
        fixture.locate(Some(&source)).unwrap();
    }
}
