// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask firmware`: source, tree, make, proof, package, in this order.

mod archive;
mod boot;
mod choice;
mod done;
mod fit;
mod list;
mod make;
mod measure;
mod own_script;
mod package;
mod proof;
mod rebuild;
mod reproduce;
mod sbsign;
pub mod source;
mod tools;
mod tree;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use firmware::cards::Cards;
use firmware::manifest::Manifest;
use firmware::pins::{Configuration, Dialect, Pins};
use firmware::recipe::Recipe;
use firmware::target::{Platform, Target};
use site::{Client, Site};

use self::make::MakeCommand;
use self::package::Origin;
use self::source::Source;
use self::tools::Tools;
use crate::host::{self, Need};
use crate::paths::Paths;
use crate::table::Table;

/// Build iPXE with multicast (SLAM) from pinned source, and prove it in the finished files.
///
/// The source is looked for in slamboot's own cache, then where --source says, then upstream; its
/// digest is checked, and it stays in the cache, so that --source is needed once at most. iPXE is
/// built in a disposable tree under target/, never in yours. Each finished file is then read back:
/// one without SLAM, with another script, for another card, or too large is an error, and dist/
/// stays as it was.
///
/// Examples:
///   cargo xtask firmware --source ~/src/ipxe
///   cargo xtask firmware --target 8086100e.mrom --target undionly.kpxe
///   cargo xtask firmware --list realtek          the cards of that name that iPXE drives
///   cargo xtask firmware --set uefi-lab          all that UEFI machines start from
///   cargo xtask firmware --release head
#[derive(Clone, Debug, Default, clap::Args)]
#[command(verbatim_doc_comment)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub struct Arguments {
    /// Where iPXE's source is: a clone (work tree or bare; only commits are read, never your
    /// files), a git URL, or a tarball.
    #[arg(long, value_name = "DIR|URL|FILE")]
    pub source: Option<String>,
    /// A release pinned in firmware/ipxe.toml: v2.0.0, v1.21.1, v1.20.1, head, gpxe [default: what
    /// slamboot.toml says, else v2.0.0].
    #[arg(long, value_name = "NAME")]
    pub release: Option<String>,
    /// What to build, by iPXE's names; may be given several times. VVVVDDDD.mrom is the option ROM
    /// for PCI vendor VVVV, device DDDD; ipxe-efi.iso and snponly-arm64.efi are for UEFI and for arm64;
    /// tap.linux is iPXE as a program on Linux [default: what slamboot.toml says, else ipxe.lkrn,
    /// undionly.kpxe, 8086100e.mrom, 1af41000.mrom, 1af41000.rom and snponly.efi].
    #[arg(long = "target", value_name = "NAME")]
    pub targets: Vec<String>,
    /// A named set of targets: bios-lab, uefi-lab, arm64-lab, all, or one of [firmware.sets] in
    /// slamboot.toml; may be given several times. What this host lacks the tools for is left out, and
    /// said.
    #[arg(long = "set", value_name = "NAME")]
    pub sets: Vec<String>,
    /// Build nothing: list the cards that this release of iPXE drives, by PCI id, name, description or
    /// driver; "targets" lists what can be built, "sets" the named sets.
    #[arg(long, value_name = "FILTER", num_args = 0..=1, default_missing_value = "")]
    pub list: Option<String>,
    /// The site that the ROMs are for [default: slamboot.toml, where there is one].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How many compilers run at once [default: one for each processor].
    #[arg(long, short, value_name = "N")]
    pub jobs: Option<std::num::NonZeroUsize>,
    /// Build the same files once more from nothing, in another directory, and compare every byte.
    #[arg(long)]
    pub check_reproducible: bool,
    /// Start each finished file in QEMU as its format is started (option ROM, PXE, disk, CD, UEFI), and
    /// compare the features that it prints with those that were read from it.
    #[arg(long)]
    pub boot: bool,
    /// Sign the EFI programs for a site's own Secure Boot: RSA key and certificate in PEM, the
    /// certificate enrolled in the machines' db (or as a MOK). Signed anew each time, with the time in it.
    #[arg(long, num_args = 2, value_names = ["KEY", "CERT"], conflicts_with_all = ["check_reproducible", "rebuild"])]
    pub sbsign: Option<Vec<PathBuf>>,
    /// Build what a manifest describes, from what it says of the inputs and nothing else, outside
    /// dist/, and compare with its digests.
    #[arg(long, value_name = "MANIFEST", conflicts_with_all = ["targets", "sets", "release", "config", "boot", "compare", "check_reproducible"])]
    pub rebuild: Option<PathBuf>,
    /// Build no firmware: measure what each key of [firmware] adds to a .rom of this release, and print the table for
    /// firmware/ipxe.toml.
    #[arg(long, hide = true, conflicts_with_all = ["targets", "sets"])]
    pub measure: bool,
    /// Build the same files once more with iPXE's own client and without IGMP, outside dist/, and
    /// say how many bytes slamboot's C adds to each.
    #[arg(long)]
    pub compare: bool,
}

/// Runs the verb.
pub fn run(arguments: &Arguments, paths: &Paths) -> Result<()> {
    if let Some(filter) = &arguments.list {
        return list::run(filter, arguments, paths);
    }
    if arguments.measure {
        return measure::run(arguments, paths);
    }
    if let Some(manifest) = &arguments.rebuild {
        return rebuild::run(manifest, arguments, paths);
    }
    let built = build(arguments, paths)?;
    println!();
    print!("{}", built.table);
    for left_out in &built.left_out {
        println!("not built: {left_out}");
    }
    if arguments.boot {
        boot_all(&built, paths)?;
    }
    if arguments.check_reproducible {
        check_reproducible(arguments, &built, paths)?;
    }
    if arguments.compare {
        println!("\nfor comparison: iPXE's own client, no IGMP\n");
        let stock = stock(arguments, paths)?;
        print!("\n{}", added(&built.sizes, &stock.sizes));
    }
    println!();
    println!(
        "{} in {}, described by {}",
        plural(built.count, "file"),
        paths.shown(&paths.dist_firmware()),
        paths.shown(&paths.manifest()),
    );
    println!("next: cargo xtask boot      boots machines with them, in QEMU");
    println!("      cargo xtask dist      adds the server and an image to boot");
    Ok(())
}

/// Every file, started; the first that says something else than its bytes is an error.
fn boot_all(built: &Built, paths: &Paths) -> Result<()> {
    boot::ensure_host()?;
    println!("\nboot    each file in QEMU, its Features: line against what was read from it");
    let started = on_all_processors(&built.proven, |file| -> Result<()> {
        let bootable = boot::Bootable {
            target: &file.target,
            path: paths.dist_firmware().join(file.target.name()),
            features: &file.report.program.features,
        };
        match boot::boot(&bootable, paths)? {
            boot::Outcome::Booted(features) => println!("  {:24} {features}", file.target.name()),
            boot::Outcome::Skipped(why) => {
                println!("  {:24} not started: {why}", file.target.name());
            }
        }
        Ok(())
    });
    started.into_iter().collect()
}

/// A second build from nothing: the first may have been made in many steps, which must not show.
fn check_reproducible(arguments: &Arguments, built: &Built, paths: &Paths) -> Result<()> {
    println!("\nonce more from nothing, in another directory\n");
    let second = Paths {
        target: paths.target.join("reproduce"),
        dist: paths.target.join("reproduce/dist"),
        ..paths.clone()
    };
    if second.target.exists() {
        fs::remove_dir_all(&second.target).with_context(|| second.target.display().to_string())?;
    }
    build(arguments, &second)?;
    let names: Vec<String> = built.sizes.iter().map(|size| size.name.clone()).collect();
    let table = reproduce::compare(&names, &paths.dist_firmware(), &second.dist_firmware())?;
    println!("\nreproducible: both builds gave the same bytes\n\n{table}");
    fs::remove_dir_all(&second.target).with_context(|| second.target.display().to_string())
}

fn plural(count: usize, thing: &str) -> String {
    if count == 1 {
        format!("{count} {thing}")
    } else {
        format!("{count} {thing}s")
    }
}

/// The same, as upstream has it but for configuration, script and address fix.
fn stock(arguments: &Arguments, paths: &Paths) -> Result<Built> {
    let mut site = site(arguments.config.as_deref(), paths)?;
    site.firmware.client = Client::Stock;
    site.firmware.igmp = false;
    let paths = Paths {
        dist: paths.target.join("stock/dist"),
        ..paths.clone()
    };
    build_for(&site, arguments, &paths)
}

/// What our C costs, file by file.
fn added(ours: &[Size], stock: &[Size]) -> String {
    let mut table = Table::new([
        "firmware", "bytes", "stock", "added", "unpacked", "stock", "added",
    ]);
    for (ours, stock) in ours.iter().zip(stock) {
        let difference = |ours: usize, stock: usize| ours.cast_signed() - stock.cast_signed();
        table.row([
            ours.name.clone(),
            ours.bytes.to_string(),
            stock.bytes.to_string(),
            difference(ours.bytes, stock.bytes).to_string(),
            ours.unpacked.to_string(),
            stock.unpacked.to_string(),
            difference(ours.unpacked, stock.unpacked).to_string(),
        ]);
    }
    table.to_string()
}

/// How large a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Size {
    /// The target's name.
    pub name: String,
    /// As it lies in dist/; ROMs are padded to whole blocks.
    pub bytes: usize,
    /// The program in memory.
    pub unpacked: usize,
}

/// What was built.
pub struct Built {
    /// One for each file.
    pub sizes: Vec<Size>,
    proven: Vec<proof::Proven>,
    /// One row for each file.
    pub table: String,
    /// What this host could not build of a set, and what it lacks for it.
    pub left_out: Vec<String>,
    /// How many files.
    pub count: usize,
    /// The manifest as it is now.
    pub manifest: Manifest,
}

/// The site that `config` names, else `slamboot.toml`, else slamboot's defaults.
pub fn site(config: Option<&Path>, paths: &Paths) -> Result<Site> {
    let default = paths.default_config();
    match config {
        Some(path) => Ok(Site::load(path)?),
        None if default.exists() => Ok(Site::load(&default)?),
        None => Ok(Site::default()),
    }
}

/// Whether the release that `arguments` ask for can be built without the network.
pub fn source_at_hand(arguments: &Arguments, paths: &Paths) -> Result<bool> {
    let site = site(arguments.config.as_deref(), paths)?;
    let name = arguments.release.as_ref().unwrap_or(&site.firmware.release);
    let pins = Pins::builtin()?;
    Ok(arguments.source.is_some() || source::at_hand(pins.release(name)?, paths))
}

/// Sees to it that the source is in the cache: looks where [`build`] would look, and says nothing.
pub fn find_source(arguments: &Arguments, paths: &Paths) -> Result<()> {
    let site = site(arguments.config.as_deref(), paths)?;
    let pins = Pins::builtin()?;
    let name = arguments.release.as_ref().unwrap_or(&site.firmware.release);
    let source = arguments.source.as_deref().map(Source::parse).transpose()?;
    source::locate(pins.release(name)?, &pins.upstream, source.as_ref(), paths)?;
    Ok(())
}

/// Builds, proves and packages.
pub fn build(arguments: &Arguments, paths: &Paths) -> Result<Built> {
    build_for(&site(arguments.config.as_deref(), paths)?, arguments, paths)
}

fn build_for(site: &Site, arguments: &Arguments, paths: &Paths) -> Result<Built> {
    // Whatever can be wrong without a compiler is said before it is waited for.
    let pins = Pins::builtin()?;
    let name = arguments.release.as_ref().unwrap_or(&site.firmware.release);
    let release = pins.release(name)?;
    let choice = choice::choose(arguments, site, &pins)?;
    firmware::script::contradictions(site, release)?;
    let mut needs = choice.needs();
    if site.firmware.trust.is_some() {
        needs.push(Need::Trust);
    }
    if arguments.sbsign.is_some() {
        needs.push(Need::SecureBoot);
    }
    if let Err(error) = host::ensure(&needs) {
        host::check(&needs)?;
        return Err(error);
    }
    let trust = site.firmware.trust.as_ref();
    let root = trust
        .map(|trust| crate::trust::root(trust, release))
        .transpose()?;
    let signer = sbsign::Signer::of(arguments, &choice.targets)?;
    let own = own_script::read(&site.firmware)?;
    let mut recipe = Recipe::new(site, release, root)?;
    if let Some(own) = own {
        recipe.script = own;
    }
    if release.dialect == Dialect::Ipxe {
        let commands = firmware::config::scripts(&site.firmware, release);
        let schemes = firmware::script::schemes(&site.firmware, &choice.targets);
        firmware::script::check(&recipe.script, &commands, &schemes)
            .with_context(|| own_script::named(&site.firmware))?;
    }
    for target in &choice.targets {
        firmware::config::check(&site.firmware, target)?;
    }
    let works = Works {
        pins: &pins,
        paths,
        source: arguments.source.as_deref().map(Source::parse).transpose()?,
        jobs: arguments.jobs.map(std::num::NonZeroUsize::get),
    };
    let (proven, manifest) = works.build(
        &recipe,
        &choice.targets,
        Some(&site.firmware),
        signer.as_ref(),
    )?;
    Ok(Built::new(proven, manifest, choice.left_out))
}

/// What every build needs beside its recipe.
struct Works<'a> {
    pins: &'a Pins,
    paths: &'a Paths,
    source: Option<Source>,
    jobs: Option<usize>,
}

impl Works<'_> {
    /// Source, tree, make, proof, package.
    fn build(
        &self,
        recipe: &Recipe,
        targets: &[Target],
        wishes: Option<&site::Firmware>,
        signer: Option<&sbsign::Signer>,
    ) -> Result<(Vec<proof::Proven>, Manifest)> {
        let (release, paths) = (&recipe.release, self.paths);
        writable(&paths.dist_firmware())?;
        println!(
            "source  iPXE {} (commit {})",
            release.name,
            &release.commit[..12]
        );
        let located = source::locate(release, &self.pins.upstream, self.source.as_ref(), paths)?;
        println!("        {}, digest right", located.from);
        let cards = Cards::read(&located.tree);
        for target in targets {
            target.check(release, &cards)?;
        }
        if let Some(wishes) = wishes {
            firmware::record::check(wishes, release, &located.tree)?;
            fit::check(recipe, wishes, targets, &cards)?;
            tell_what_does_not_fit(recipe, wishes);
        }
        let key = tree::key(recipe);
        let _lock = lock(&paths.build().join(format!("{key}.lock")))
            .and_then(|lock| {
                // make keeps it, too: where we are killed, it works on, and nobody else may meanwhile.
                rustix::io::fcntl_setfd(&lock, rustix::io::FdFlags::empty())?;
                Ok(lock)
            })
            .with_context(|| format!("cannot lock {}", paths.build().display()))?;
        let build_tree = tree::prepare(located.tree, recipe, &paths.build())?;
        let state = if build_tree.reused { "reused" } else { "new" };
        println!("tree    {} ({state})", paths.shown(&build_tree.root));

        let tools = Tools::of(targets);
        let jobs = self
            .jobs
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        let logs = paths.build().join("logs");
        let mut makes = Vec::new();
        for platform in Platform::ALL {
            let of_platform = |target: &&Target| target.platform() == platform;
            let targets: Vec<&Target> = targets.iter().filter(of_platform).collect();
            if !targets.is_empty() {
                makes.push(MakeCommand::new(
                    recipe,
                    platform,
                    &targets,
                    &build_tree,
                    jobs,
                    &logs,
                ));
            }
        }
        make::run_all(&makes, &build_tree, &tools)?;

        println!("proof   reading the finished files");
        let prove = |target| proof::prove(target, &build_tree, recipe, wishes, self.pins);
        let proven: Result<Vec<_>, _> = on_all_processors(targets, prove).into_iter().collect();
        let mut proven = proven?;
        proof::distinct(&proven)?;
        if let Some(signer) = signer {
            signer.sign(&mut proven, &paths.build())?;
        }
        let origin = Origin {
            recipe,
            tools: &tools,
        };
        let manifest = package::package(&proven, &origin, paths)?;
        Ok((proven, manifest))
    }
}

/// What `work` makes of each of `items`, in their order, each by a thread of its own.
fn side_by_side<T: Send, R: Send>(
    items: impl IntoIterator<Item = T>,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let work = &work;
    std::thread::scope(|scope| {
        let running: Vec<_> = items
            .into_iter()
            .map(|item| scope.spawn(move || work(item)))
            .collect();
        let done = running.into_iter().map(|worker| {
            let joined = worker.join();
            joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        done.collect()
    })
}

/// The same for many items, by as many threads as there are processors.
fn on_all_processors<'a, T: Sync, R: Send>(
    items: &'a [T],
    work: impl Fn(&'a T) -> R + Sync,
) -> Vec<R> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let share = |first| -> Vec<R> {
        let mine = items.iter().skip(first).step_by(workers);
        mine.map(&work).collect()
    };
    let shares = side_by_side(0..workers, share);
    let mut shares: Vec<_> = shares.into_iter().map(Vec::into_iter).collect();
    let nth = |n: usize| shares[n % workers].next();
    (0..items.len()).filter_map(nth).collect()
}

/// What the site wishes and its release cannot have.
fn tell_what_does_not_fit(recipe: &Recipe, wishes: &site::Firmware) {
    let (release, parts) = (&recipe.release, recipe.parts);
    let client = described(parts.client);
    if parts.client == wishes.client {
        println!("client  {client}");
    } else {
        println!(
            "client  {client}: slamboot's own does not fit iPXE {}",
            release.name
        );
    }
    if parts.igmp != wishes.igmp {
        println!(
            "igmp    none: slamboot's own does not fit iPXE {}; a switch that snoops must be told the ports",
            release.name
        );
    }
    if release.configuration == Configuration::Line {
        println!(
            "config  the old way: `#define DOWNLOAD_PROTO_SLAM` in {}",
            firmware::config::GENERAL_H
        );
    }
}

impl Built {
    fn new(proven: Vec<proof::Proven>, manifest: Manifest, left_out: Vec<String>) -> Built {
        let mut table = Table::new(["firmware", "bytes", "what", "SLAM, as read from the file"]);
        for file in &proven {
            table.row([
                file.target.name().to_owned(),
                file.report.bytes.to_string(),
                format!("{}, {}", file.report.kind, file.target.platform()),
                file.report.program.slam.to_string(),
            ]);
        }
        let measured = |file: &proof::Proven| Size {
            name: file.target.name().to_owned(),
            bytes: file.report.bytes,
            unpacked: file.report.program.unpacked,
        };
        Built {
            sizes: proven.iter().map(measured).collect(),
            table: table.to_string(),
            left_out,
            count: proven.len(),
            proven,
            manifest,
        }
    }
}

fn described(client: Client) -> &'static str {
    match client {
        Client::Slamboot => "slamboot's own",
        Client::Stock => "iPXE's own (stock)",
    }
}

/// Fails now rather than after minutes of compiling.
pub fn writable(directory: &Path) -> Result<()> {
    let probe = directory.join(format!(".probe.{}", std::process::id()));
    let tried = fs::create_dir_all(directory)
        .and_then(|()| fs::write(&probe, ""))
        .and_then(|()| fs::remove_file(&probe));
    tried.with_context(|| {
        format!(
            "cannot write to {}: expected a directory that we may write; make it one, or set SLAMBOOT_DIST to a directory elsewhere",
            directory.display()
        )
    })
}

/// Waits for and takes the lock at `path`; whoever ends, however, lets go of it.
fn lock(path: &Path) -> io::Result<fs::File> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let file = fs::File::create(path)?;
    if let Err(fs::TryLockError::WouldBlock) = file.try_lock() {
        println!("waiting for another run that holds {}", path.display());
    }
    file.lock()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    use crate::cmd::Cmd;

    /// A file system of a few kilobytes, gone when dropped.
    pub(super) struct SmallDisk(PathBuf);

    impl SmallDisk {
        /// `None`, and loudly so, where we may not mount.
        pub(super) fn new(at: &Path, size: &str) -> Option<SmallDisk> {
            fs::create_dir_all(at).unwrap();
            let mounted = Cmd::new("mount")
                .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
                .arg(at)
                .read();
            match mounted {
                Ok(_) => Some(SmallDisk(at.to_owned())),
                Err(error) => {
                    let _ = writeln!(io::stderr(), "skipped: no small disk: {error}");
                    None
                }
            }
        }

        pub(super) fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for SmallDisk {
        fn drop(&mut self) {
            let _ = Cmd::new("umount").arg("--lazy").arg(&self.0).read();
        }
    }

    #[test]
    fn work_on_all_processors_keeps_its_order() {
        for count in [0, 1, 2, 7, 100] {
            let items: Vec<usize> = (0..count).collect();
            let doubled: Vec<usize> = items.iter().map(|n| 2 * n).collect();
            assert_eq!(on_all_processors(&items, |n| 2 * n), doubled);
        }
    }

    #[test]
    fn what_our_c_adds_is_a_difference() {
        let size = |bytes, unpacked| {
            vec![Size {
                name: "a.rom".to_owned(),
                bytes,
                unpacked,
            }]
        };
        let table = added(&size(70_656, 200_000), &size(65_536, 190_001));
        assert!(
            table.ends_with("  a.rom     70656  65536  5120   200000    190001  9999\n"),
            "{table}"
        );
    }
}
