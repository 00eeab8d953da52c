// SPDX-License-Identifier: MIT OR Apache-2.0
//! The boot services of `slamboot serve`, with real clients in namespaces of their own: firmware in
//! QEMU from power-on, crowds of DHCP and TFTP clients, a rival server.

mod attached;
mod built_in;
mod crowd;
mod doctor;
mod machines;
mod menu;
mod relay;
#[path = "../support/roms.rs"]
mod roms;
mod secure_boot;
mod siege;
#[path = "../support/mod.rs"]
mod support;
mod trust;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use roms::{no_source, xtask};
use support::{Outcome, only_if_thorough, paths, trial};
use xtask::cmd::Running;
use xtask::console::Console;
use xtask::host::Need;
use xtask::netlab::{INTERFACE, Namespace, Netlab};

/// Longer than a server takes to start on two slow cores.
const SOON: Duration = Duration::from_mins(1);

/// Rooms beside each other: a machine waits about half of its time.
const AT_ONCE: usize = 2;

type Test = fn() -> Outcome;

fn main() -> ExitCode {
    let lab = support::lacking(&[]);
    let boot = support::lacking(&[Need::Boot, Need::Serve, Need::Prebuilt]).or_else(no_roms);
    let guest = support::lacking(&[Need::Boot, Need::Serve, Need::Guest]).or_else(no_roms);
    let in_lab: [(&str, Test); 11] = [
        (
            "fifty_clients_two_hundred_transfers_and_a_rival_by_pool",
            crowd::a_room_by_pool,
        ),
        (
            "fifty_clients_two_hundred_transfers_and_a_rival_by_proxy",
            crowd::a_room_by_proxy,
        ),
        (
            "a_relay_agent_is_answered",
            relay::a_relay_agent_is_answered,
        ),
        (
            "what_a_relay_agent_says_comes_back",
            relay::what_a_relay_agent_says_comes_back,
        ),
        (
            "a_pool_leases_by_a_relay_agent",
            relay::a_pool_leases_by_a_relay_agent,
        ),
        (
            "the_link_that_a_relay_agent_names_decides",
            relay::the_link_that_a_relay_agent_names_decides,
        ),
        (
            "a_pool_refuses_a_relay_agent",
            relay::a_pool_refuses_a_relay_agent,
        ),
        ("leases_survive_a_restart", crowd::leases_survive_a_restart),
        (
            "an_address_in_use_is_not_leased",
            crowd::an_address_in_use_is_not_leased,
        ),
        ("tftp_serves_names_not_paths", crowd::tftp_serves_names),
        ("a_rival_is_told", crowd::a_rival_is_told),
    ];
    let besieged: [(&str, Test); 1] = [("no_service_stops", siege::no_service_stops)];
    let of_doctor: [(&str, Test); 9] = [
        (
            "doctor_finds_that_no_multicast_leaves",
            doctor::no_multicast_leaves,
        ),
        (
            "doctor_finds_the_clock_and_an_old_certificate",
            doctor::the_clock_and_a_certificate,
        ),
        ("doctor_finds_nothing_where_nothing_is", doctor::all_is_well),
        ("doctor_finds_that_nobody_gives_addresses", doctor::no_dhcp),
        (
            "doctor_finds_another_boot_server",
            doctor::another_boot_server,
        ),
        ("doctor_finds_a_taken_port", doctor::a_taken_port),
        ("doctor_finds_a_firewall", doctor::a_firewall),
        (
            "doctor_finds_an_iptables_firewall",
            doctor::an_iptables_firewall,
        ),
        (
            "doctor_finds_a_querier_and_files",
            doctor::a_querier_and_files,
        ),
    ];
    let in_bios: [(&str, Test); 3] = [
        (
            "bios_stock_ipxe_is_chained_into_ours_beside_dnsmasq",
            machines::bios_beside_dnsmasq,
        ),
        ("bios_boots_from_our_own_pool", machines::bios_from_our_pool),
        ("bios_gets_its_own_image", machines::bios_by_rule),
    ];
    let built_in: [(&str, Test); 1] = [(
        "a_rom_that_asks_nobody_boots_by_card_and_menu_without_dhcp",
        built_in::by_card_and_menu_without_dhcp,
    )];
    let trusting: [(&str, Test); 3] = [
        (
            "what_is_not_signed_for_the_rom_does_not_run",
            trust::only_what_is_signed,
        ),
        (
            "an_initrd_that_is_not_signed_does_not_run_on_uefi_either",
            trust::linux_on_uefi_with_p256,
        ),
        (
            "secure_boot_starts_what_the_site_signed_and_nothing_else",
            secure_boot::only_what_the_site_signed,
        ),
    ];
    let in_uefi: [(&str, Test); 1] = [(
        "uefi_pxe_from_our_own_pool",
        machines::uefi_pxe_from_our_pool,
    )];
    let built_at_length: [(&str, Test); 4] = [
        (
            "a_rom_tries_again_until_somebody_serves",
            built_in::tries_again,
        ),
        (
            "a_rom_waits_until_its_room_is_there",
            built_in::waits_for_its_room,
        ),
        (
            "a_rom_boots_its_own_image_over_http_where_no_multicast_comes",
            built_in::own_image_over_http_without_multicast,
        ),
        (
            "a_rom_with_a_script_of_the_sites_own_boots",
            built_in::own_script,
        ),
    ];
    let bios_at_length: [(&str, Test); 4] = [
        ("the_servers_menu_boots_and_is_told", menu::of_the_server),
        ("what_falls_back_to_http_is_told", menu::falls_back_to_http),
        (
            "a_proxy_beside_our_pool_is_not_heeded",
            machines::a_proxy_beside_our_pool_is_not_heeded,
        ),
        (
            "what_fails_is_explained_on_its_page",
            menu::what_fails_is_explained,
        ),
    ];
    let at_length: [(&str, Test); 5] = [
        (
            "bios_pxe_gets_ours_by_tftp_and_boots_by_multicast",
            machines::bios_pxe_by_tftp,
        ),
        (
            "uefi_attaches_a_disk_over_http",
            attached::uefi_attaches_a_disk,
        ),
        (
            "uefi_http_boot_from_our_own_pool",
            menu::uefi_http_from_our_pool,
        ),
        ("uefi_pxe_beside_dnsmasq", machines::uefi_pxe_beside_dnsmasq),
        ("uefi_http_boot_beside_dnsmasq", machines::uefi_http_boot),
    ];
    let thorough = guest.clone().or_else(only_if_thorough);
    let thorough_bios = boot.clone().or_else(only_if_thorough);
    let built = boot.clone().or_else(no_source);
    let long_built = built.clone().or_else(only_if_thorough);
    let trusts = support::lacking(&[
        Need::Boot,
        Need::Serve,
        Need::Guest,
        Need::Firmware,
        Need::Trust,
        Need::SecureBoot,
    ]);
    let trusts = trusts
        .or_else(no_source)
        .or_else(no_secure_ovmf)
        .or_else(only_if_thorough);
    let mut trials = Vec::new();
    for (tests, skip) in [
        (&in_lab[..], &lab),
        (&besieged[..], &lab.clone().or_else(no_client)),
        (&of_doctor[..], &lab),
        (&in_bios[..], &boot),
        (&built_in[..], &built),
        (&trusting[..], &trusts),
        (&in_uefi[..], &guest),
        (&bios_at_length[..], &thorough_bios),
        (&at_length[..], &thorough),
        (&built_at_length[..], &long_built),
    ] {
        trials.extend(
            tests
                .iter()
                .map(|(name, test)| trial(name, skip.clone(), *test)),
        );
    }
    support::run(trials, AT_ONCE)
}

/// Why there is no firmware of ours to hand out, if there is none.
fn no_roms() -> Option<String> {
    let roms = ["undionly.kpxe", "snponly.efi"];
    let built = roms
        .iter()
        .all(|rom| paths().dist_firmware().join(rom).exists());
    (!built).then(|| "no ROMs with SLAM were built (cargo xtask dist)".to_owned())
}

/// Why nobody receives by multicast here, if nobody can.
fn no_client() -> Option<String> {
    (!siege::client().exists()).then(|| "no slam-client was built (cargo xtask dist)".to_owned())
}

/// Why no UEFI machine with Secure Boot can be started here, if none can.
fn no_secure_ovmf() -> Option<String> {
    let lacking = secure_boot::FILES
        .iter()
        .find(|file| !Path::new(file).exists());
    lacking.map(|file| format!("no {file} (Debian: package ovmf)"))
}

/// A lab with a server's place, and a directory for its files.
struct Room {
    lab: Netlab,
    dir: tempfile::TempDir,
}

impl Room {
    fn new() -> anyhow::Result<Room> {
        Ok(Room {
            lab: Netlab::new()?,
            dir: tempfile::tempdir()?,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `slamboot serve` with this configuration, whose state lies in the room's directory.
    fn serve(&self, name: &str, config: &str) -> anyhow::Result<Served> {
        let file = self.path(&format!("{name}.toml"));
        let server = format!(
            "[server]\ninterface = \"{INTERFACE}\"\nfirmware = \"{}\"\nstate = \"{}\"\n",
            firmware(self.dir.path()).display(),
            self.path("state").display()
        );
        fs::write(&file, format!("{server}{config}"))?;
        serve(
            self.lab.server(),
            self.dir.path(),
            name,
            &["--config", &file.display().to_string()],
        )
    }
}

/// The ROMs that were built; where there are none, an empty directory.
fn firmware(room: &Path) -> PathBuf {
    let built = paths().dist_firmware();
    if built.exists() {
        return built;
    }
    let none = room.join("firmware");
    let _ = fs::create_dir_all(&none);
    none
}

fn serve(place: &Namespace, dir: &Path, name: &str, arguments: &[&str]) -> anyhow::Result<Served> {
    let console = Console::open(name, &dir.join(format!("{name}.log")))?;
    let (out, err) = (console.pipe("out")?, console.pipe("err")?);
    let running = place
        .cmd(env!("CARGO_BIN_EXE_slamboot"))
        .arg("serve")
        .args(arguments)
        .spawn_into(out, err)?;
    console.wait_for("Waiting for clients", SOON)?;
    Ok(Served { running, console })
}

struct Served {
    running: Running,
    console: Console,
}

/// A disk of the demo, and the configuration that serves it.
fn demo(room: &Room) -> anyhow::Result<String> {
    let disk = room.path("demo.img");
    xtask::cmd::Cmd::new(env!("CARGO_BIN_EXE_slamboot"))
        // The smallest there is: most of a trial is the way that machines take to it.
        .args(["image", "demo", "--fs", "ntfs", "--output"])
        .arg(&disk)
        .read()?;
    Ok(format!(
        "[[image]]\nname = \"demo\"\nkind = \"disk\"\npath = \"{}\"\n",
        disk.display()
    ))
}

/// A small image, where what it holds does not matter.
fn small(room: &Room) -> anyhow::Result<String> {
    let path = room.path("small.img");
    let bytes: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    fs::write(&path, bytes)?;
    Ok(format!(
        "[[image]]\nname = \"small\"\nkind = \"disk\"\npath = \"{}\"\n",
        path.display()
    ))
}
