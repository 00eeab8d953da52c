// SPDX-License-Identifier: MIT OR Apache-2.0
//! iPXE's make: one invocation for each BIN directory, with all of its targets.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use firmware::recipe::Recipe;
use firmware::target::{self, Platform, Target};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::fit;
use super::tools::Tools;
use super::tree::BuildTree;
use crate::cmd::{Cmd, CmdError};

/// How much of make's output an error shows.
const SHOWN: usize = 40;

/// What make may see of the user's environment: where programs and temporary files are. iPXE's makefiles take any
/// other variable (`ASSERT`, `PROFILE`, `KEY`, `EXTRA_CFLAGS`, ...) for a wish of their own, and there are more of them
/// in each release.
const ALLOWED: [&str; 9] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "USER",
    "LOGNAME",
    "SHELL",
    "TERM",
    "LD_LIBRARY_PATH",
    "SOURCE_DATE_EPOCH",
];

/// Those of `names` that make does not get.
fn foreign(names: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    names.filter(|name| !ALLOWED.iter().any(|allowed| name == allowed))
}

/// Runs all of them: side by side where they have made their objects before, and only join and pack them, which
/// leaves processors idle. What is compiled for the first time keeps all of them busy, and makes programs that
/// the others use. Where nothing has changed, none is run.
pub(super) fn run_all(makes: &[MakeCommand], tree: &BuildTree, tools: &Tools) -> Result<()> {
    let is_done = |make: &&MakeCommand| tree.is_done(make.platform, &make.to_string(), tools);
    let (done, left): (Vec<_>, Vec<_>) = makes.iter().partition(is_done);
    for make in done {
        println!("make    {}: nothing has changed", make.platform);
    }
    let (again, first): (Vec<_>, Vec<_>) = left
        .iter()
        .copied()
        .partition(|make| tree.is_built(make.platform));
    let progress = MultiProgress::new();
    for make in first {
        make.run(tree, tools, &progress)?;
    }
    let made = super::side_by_side(again, |make| make.run(tree, tools, &progress));
    made.into_iter().collect::<Result<()>>()?;
    for make in left {
        tree.note_done(make.platform, &make.to_string(), tools)
            .with_context(|| format!("cannot write beside {}", tree.src().display()))?;
    }
    Ok(())
}

/// One invocation of make.
#[derive(Clone, Debug)]
pub struct MakeCommand {
    platform: Platform,
    command: Cmd,
    log: PathBuf,
}

impl MakeCommand {
    /// For `targets`, which share `platform`'s BIN directory.
    pub fn new(
        recipe: &Recipe,
        platform: Platform,
        targets: &[&Target],
        tree: &BuildTree,
        jobs: usize,
        logs: &Path,
    ) -> MakeCommand {
        let root = tree.root.display().to_string();
        let arguments = target::make_arguments(recipe, targets, &root, jobs);
        let mut command = Cmd::new("make")
            .dir(tree.src())
            // What iPXE writes into files as their time; otherwise it is now.
            .env("SOURCE_DATE_EPOCH", recipe.release.epoch.to_string());
        for name in foreign(std::env::vars_os().map(|(name, _)| name)) {
            command = command.env_remove(name);
        }
        MakeCommand {
            platform,
            command: command.env("LC_ALL", "C").args(arguments),
            log: logs.join(format!("{}-{}.log", tree.key, platform.bin())),
        }
    }

    /// Runs it: a spinner with make's last line on a terminal, plain lines elsewhere; everything
    /// goes to the log.
    fn run(&self, tree: &BuildTree, tools: &Tools, progress: &MultiProgress) -> Result<()> {
        println!("$ {self}");
        if let Some(parent) = self.log.parent() {
            fs::create_dir_all(parent)
                .with_context(|| format!("cannot make {}", parent.display()))?;
        }
        let mut log = fs::File::create(&self.log)
            .with_context(|| format!("cannot write {}", self.log.display()))?;
        tree.begin(self.platform, tools)?;
        let step = format!("make ({})", self.platform);
        let spinner = progress.add(spinner(&step));
        let mut last = VecDeque::with_capacity(SHOWN);
        let mut logged = Ok(());
        let result = self.command.lines(|line| {
            if logged.is_ok() {
                logged = writeln!(log, "{line}");
            }
            spinner.set_message(line.to_owned());
            if last.len() == SHOWN {
                last.pop_front();
            }
            last.push_back(line.to_owned());
        });
        spinner.finish_and_clear();
        if ended_by_itself(&result) {
            tree.end(self.platform);
        }
        logged.with_context(|| format!("cannot write {}", self.log.display()))?;
        match result {
            Ok(()) => Ok(()),
            Err(CmdError::Failed { status, .. }) => {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                let reason = first_error(&log);
                if let Some(reason) = reason {
                    bail!(
                        "make ended with {status}: {}{reason}\n  every line: {}\nhelp: {}",
                        too_large(&log).unwrap_or_default(),
                        self.log.display(),
                        advice(&reason)
                    );
                }
                for line in &last {
                    eprintln!("  {line}");
                }
                bail!(
                    "make ended with {status}; its last {} lines are above, all of them in {}\nhelp: a compiler newer than iPXE's release may need another --release",
                    last.len(),
                    self.log.display()
                )
            }
            Err(error) => Err(error).context("iPXE was not built"),
        }
    }
}

/// Whether make came to its end, well or not. One that a signal ended, ours after Ctrl-C too, may have left objects
/// that are half written and newer than their sources.
fn ended_by_itself(result: &Result<(), CmdError>) -> bool {
    match result {
        Ok(()) => true,
        Err(CmdError::Failed { status, .. }) => status.starts_with("exit"),
        Err(_) => false,
    }
}

impl fmt::Display for MakeCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.command.fmt(f)
    }
}

/// Lines that say why something failed: compilers, linkers, iPXE's own tools (`util/zbin.c`), shells.
const REASONS: [&str; 9] = [
    " error: ",
    "undefined reference to",
    "multiple definition of",
    " overflows ",
    "will not fit in region",
    "No rule to make target",
    "command not found",
    // A shell says so of a program (dash: `util/genfsimg: 332: syslinux: not found`).
    ": not found",
    "could not find",
];

/// The first of them: what comes later mostly follows from it. With -j, others' lines stand between.
fn first_error(log: &str) -> Option<String> {
    let says = |line: &&str| REASONS.iter().any(|reason| line.contains(reason));
    log.lines().find(says).map(|line| line.trim().to_owned())
}

/// The ROM that iPXE's packer gave up, since its header's byte cannot say how large it came out; which one it was, make
/// says (`%.zbin`).
fn too_large(log: &str) -> Option<String> {
    let failed = |line: &str| {
        let file = line
            .strip_prefix("make: *** [")?
            .split_once(".zbin] Error")?
            .0;
        let target = Target::parse(file.rsplit(['/', ' ']).next()?).ok()?;
        target.limit()?;
        Some(format!(
            "{}, and this one comes to more: ",
            fit::limit(&target)
        ))
    };
    log.contains(" overflows ").then_some(())?;
    log.lines().find_map(failed)
}

fn advice(reason: &str) -> &'static str {
    if reason.contains(" overflows ") {
        "build the .mrom, which loads all but its first 4 KiB from the card by itself; or leave out some keys of [firmware]"
    } else if reason.contains("No rule to make target") {
        "iPXE does not know this target: cargo xtask firmware --list"
    } else if reason.contains("not found") || reason.contains("not find") {
        "cargo xtask setup --all installs what building takes"
    } else {
        "a compiler newer than iPXE's release may need another --release; a setting of [firmware.raw] may need another"
    }
}

fn spinner(step: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let spinner = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {prefix}: {wide_msg}") {
        spinner.set_style(style);
    }
    spinner.set_prefix(step.to_owned());
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}

#[cfg(test)]
mod tests {
    use super::*;
    use firmware::pins::Pins;
    use site::{Client, Site};

    fn recipe(client: Client) -> Recipe {
        let pins = Pins::builtin().unwrap();
        let mut site = Site::default();
        site.firmware.client = client;
        Recipe::new(&site, pins.release("v2.0.0").unwrap(), None).unwrap()
    }

    #[test]
    fn one_invocation_names_all_targets_of_its_directory() {
        let targets = ["undionly.kpxe", "8086100e.mrom"].map(|name| Target::parse(name).unwrap());
        let tree = BuildTree {
            root: "/t/v2".into(),
            key: "v2".into(),
            reused: false,
        };
        let make = MakeCommand::new(
            &recipe(Client::Stock),
            Platform::Bios,
            &targets.iter().collect::<Vec<_>>(),
            &tree,
            2,
            Path::new("/logs"),
        );
        assert_eq!(
            make.to_string(),
            "cd /t/v2/src && SOURCE_DATE_EPOCH=1772812135 LC_ALL=C make -j2 -r OBJDUMP=: 'AR=$(CROSS_COMPILE)ar --target=$(patsubst i386,elf32-i386,$(patsubst x86_64,elf64-x86-64,$(patsubst arm64,elf64-littleaarch64,$(ARCH))))' 'OBJCOPY=$(if $(filter %/blib.a,$@),$(if $(SYMBOL_PREFIX),,:)) $(CROSS_COMPILE)objcopy' RANLIB=: EMBED=../slamboot.ipxe 'EXTRA_CFLAGS=-ffile-prefix-map=/t/v2=. -g0' CFLAGS_slam=-Dsock_aton=slam_sock_aton bin/undionly.kpxe bin/8086100e.mrom"
        );
        assert_eq!(make.log, Path::new("/logs/v2-bin.log"));
    }

    fn run(make: &MakeCommand, tree: &BuildTree) -> Result<()> {
        run_all(std::slice::from_ref(make), tree, &Tools::default())
    }

    fn fixture(dir: &Path, command: &str) -> (BuildTree, MakeCommand) {
        let tree = BuildTree {
            root: dir.join("tree"),
            key: "k".into(),
            reused: false,
        };
        fs::create_dir_all(tree.src()).unwrap();
        let makefile = format!("bin/undionly.kpxe:\n\t{command}\n");
        fs::write(tree.src().join("Makefile"), makefile).unwrap();
        let target = Target::parse("undionly.kpxe").unwrap();
        let recipe = recipe(Client::Slamboot);
        let logs = dir.join("logs");
        let make = MakeCommand::new(&recipe, Platform::Bios, &[&target], &tree, 1, &logs);
        (tree, make)
    }

    #[test]
    fn a_failure_names_the_log_that_has_every_line() {
        let dir = tempfile::tempdir().unwrap();
        let recipe = "@for n in `seq 60`; do echo line $$n; done; exit 3";
        let (tree, make) = fixture(dir.path(), recipe);
        let error = format!("{:#}", run(&make, &tree).unwrap_err());
        for part in ["exit status: 2", "last 40 lines", "logs/k-bin.log", "help:"] {
            assert!(error.contains(part), "{part} in {error}");
        }
        let log = fs::read_to_string(dir.path().join("logs/k-bin.log")).unwrap();
        assert!(
            log.contains("line 1\n") && log.contains("line 60\n"),
            "{log}"
        );
    }

    #[test]
    fn a_failure_tells_the_first_error_not_the_last_line() {
        let dir = tempfile::tempdir().unwrap();
        let lines = [
            "  [BUILD] bin/a.o",
            "net/a.c:7:3: error: unknown type name foo",
            "net/a.c:9:3: error: another",
            "make: *** [bin/a.o] Error 1",
        ];
        let recipe = format!(
            "@printf '%s\\n' {}; exit 2",
            lines.map(|line| format!("'{line}'")).join(" ")
        );
        let (tree, make) = fixture(dir.path(), &recipe);
        let error = format!("{:#}", run(&make, &tree).unwrap_err());
        assert!(
            error.contains("unknown type name foo") && !error.contains("another\n"),
            "{error}"
        );
        let overflow = "Add 0+0x312 at 0x2 overflows 1-byte field (271360 bytes too big)";
        assert_eq!(
            first_error(&format!("  [ZBIN] x\n{overflow}\nmake: *** Error 1")).unwrap(),
            overflow
        );
        assert!(advice(overflow).contains(".mrom"));
        let log = format!(
            "  [ZBIN] bin/168c0030.pcirom.zbin\n{overflow}\nmake: *** [Makefile.housekeeping:1382: bin/168c0030.pcirom.zbin] Error 1"
        );
        assert_eq!(
            too_large(&log).unwrap(),
            "168c0030.pcirom: a .pcirom holds at most 130560 bytes (255 units of 512), and this one comes to more: "
        );
        assert_eq!(too_large(&log.replace(".pcirom", ".lkrn")), None);
        let absent = "util/genfsimg: 332: syslinux: not found";
        let log = format!("  [GENFSIMG] x.usb\n{absent}\nmake: *** Error 127");
        assert_eq!(first_error(&log).unwrap(), absent);
        assert!(advice(absent).contains("cargo xtask setup"));
        assert_eq!(first_error("  [CC] error.o\nmake: *** Error 1"), None);
    }

    #[test]
    fn of_the_environment_make_sees_where_programs_are() {
        let names = ["PATH", "ASSERT", "KEY", "HOME", "EXTRA_CFLAGS", "MAKEFLAGS"];
        let left: Vec<_> = foreign(names.into_iter().map(OsString::from)).collect();
        assert_eq!(left, ["ASSERT", "KEY", "EXTRA_CFLAGS", "MAKEFLAGS"]);
        // cargo's own variables are none of make's.
        let dir = tempfile::tempdir().unwrap();
        let (tree, make) = fixture(dir.path(), "@env > ../env");
        run(&make, &tree).unwrap();
        let seen = fs::read_to_string(tree.root.join("env")).unwrap();
        assert!(seen.contains("SOURCE_DATE_EPOCH=") && !seen.contains("CARGO"));
    }

    #[test]
    fn a_make_that_was_ended_leaves_its_mark() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, make) = fixture(dir.path(), "@touch bin/half.o; exit 1");
        let half = tree.src().join("bin/half.o");
        let run = |make: &MakeCommand| run(make, &tree).is_ok();
        assert!(!run(&make));
        let killed = fixture(dir.path(), "@kill -9 $$PPID").1;
        // It failed by itself: what it left is whole, and stays.
        assert!(!run(&killed) && half.exists());
        let (_, next) = fixture(dir.path(), "@touch bin/next.o");
        assert!(
            run(&next) && !half.exists(),
            "it was killed: its directory goes"
        );
    }

    #[test]
    fn a_log_that_cannot_be_written_stops_it() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, make) = fixture(dir.path(), "@touch $@");
        run(&make, &tree).unwrap();
        assert!(tree.src().join("bin/undionly.kpxe").exists());
        fs::remove_dir_all(dir.path().join("logs")).unwrap();
        fs::write(dir.path().join("logs"), "").unwrap();
        fs::write(tree.src().join("new.h"), "").unwrap();
        let error = format!("{:#}", run(&make, &tree).unwrap_err());
        assert!(error.contains("logs"), "{error}");
    }
}
