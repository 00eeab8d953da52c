// SPDX-License-Identifier: MIT OR Apache-2.0
//! Machines: QEMU booted headless, its serial line and debug port read line by line.

use std::path::{Path, PathBuf};

use crate::cmd::{CmdError, Running};
use crate::console::Console;
use crate::netlab::{Namespace, Tap};

/// The emulator.
pub const QEMU: &str = "qemu-system-x86_64";
/// The source of lines that the guest wrote to its first serial port.
pub const SERIAL: &str = "serial";
/// The source of lines that the guest wrote to port 0xE9, and of QEMU's own complaints.
pub const DEBUG: &str = "debug";

/// A network card that QEMU has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Nic {
    /// Intel 82540EM, PCI 8086:100e.
    E1000,
    /// virtio-net, PCI 1af4:1000.
    Virtio,
}

impl Nic {
    /// The name of QEMU's device.
    fn device(self) -> &'static str {
        match self {
            Nic::E1000 => "e1000",
            Nic::Virtio => "virtio-net-pci",
        }
    }

    /// PCI vendor and device as iPXE names its targets.
    pub fn target(self) -> &'static str {
        match self {
            Nic::E1000 => "8086100e.mrom",
            // Not the .mrom: it needs a memory BAR as large as itself, which this card lacks.
            Nic::Virtio => "1af41000.rom",
        }
    }

    /// The distribution's own ROM for it, without SLAM (Debian: package ipxe-qemu).
    pub fn stock_rom(self) -> &'static str {
        match self {
            Nic::E1000 => "pxe-e1000.rom",
            Nic::Virtio => "pxe-virtio.rom",
        }
    }
}

/// Where the guest's firmware writes what it would show on a screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    /// Nowhere: the ROM has a serial console of its own.
    None,
    /// SeaBIOS copies it to the serial port: for a ROM that has none.
    OnSerial,
}

/// A machine, not yet started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// RAM in MiB.
    pub memory_mib: u64,
    /// Its network card.
    pub nic: Nic,
    /// The card's option ROM.
    pub rom: PathBuf,
    /// Its port on the switch.
    pub tap: Tap,
    /// What becomes of the screen.
    pub screen: Screen,
}

impl Spec {
    /// QEMU's arguments.
    pub fn arguments(&self) -> Vec<String> {
        // QEMU reads a comma as the end of a value and two as one.
        let rom = self.rom.display().to_string().replace(',', ",,");
        let graphics = match self.screen {
            Screen::None => "on",
            Screen::OnSerial => "off",
        };
        [
            "-accel",
            "tcg",
            "-machine",
            &format!("pc,graphics={graphics}"),
            "-m",
            &self.memory_mib.to_string(),
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
            "-boot",
            "order=n",
            "-serial",
            "stdio",
            "-chardev",
            "file,id=debug,path=/dev/stderr",
            "-device",
            "isa-debugcon,iobase=0xe9,chardev=debug",
            "-netdev",
            &format!(
                "tap,id=net,ifname={},script=no,downscript=no",
                self.tap.interface
            ),
            "-device",
            &format!(
                "{},netdev=net,mac={},romfile={rom}",
                self.nic.device(),
                self.tap.mac
            ),
        ]
        .map(str::to_owned)
        .to_vec()
    }

    /// Starts it in `namespace`; what it says goes to the file `log`, too.
    pub fn start(&self, name: &str, namespace: &Namespace, log: &Path) -> Result<Machine, Error> {
        let file = |source| Error::Log {
            path: log.display().to_string(),
            source,
        };
        let console = Console::open(name, log).map_err(file)?;
        let serial = console.pipe(SERIAL).map_err(file)?;
        let debug = console.pipe(DEBUG).map_err(file)?;
        let running = namespace
            .cmd(QEMU)
            .args(self.arguments())
            .spawn_into(serial, debug)?;
        Ok(Machine {
            console,
            _running: running,
        })
    }
}

/// Why a machine did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its log cannot be written.
    #[error("{path}: {source}")]
    Log {
        /// The log.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// QEMU did not start.
    #[error(transparent)]
    Command(#[from] CmdError),
}

/// A running machine; dropping it switches it off.
pub struct Machine {
    console: Console,
    _running: Running,
}

impl Machine {
    /// What it says: [`SERIAL`] and [`DEBUG`].
    pub fn console(&self) -> &Console {
        &self.console
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_as_typed() {
        let spec = Spec {
            memory_mib: 512,
            nic: Nic::E1000,
            rom: "dist/a,b/8086100e.mrom".into(),
            tap: Tap {
                interface: "tap1".into(),
                mac: "52:54:00:77:00:01".into(),
            },
            screen: Screen::None,
        };
        assert_eq!(
            spec.arguments().join(" "),
            "-accel tcg -machine pc,graphics=on -m 512 -nodefaults -no-user-config -display none \
             -no-reboot -boot order=n -serial stdio -chardev file,id=debug,path=/dev/stderr \
             -device isa-debugcon,iobase=0xe9,chardev=debug \
             -netdev tap,id=net,ifname=tap1,script=no,downscript=no \
             -device e1000,netdev=net,mac=52:54:00:77:00:01,romfile=dist/a,,b/8086100e.mrom"
        );
        let virtio = Spec {
            nic: Nic::Virtio,
            screen: Screen::OnSerial,
            ..spec
        };
        let typed = virtio.arguments().join(" ");
        assert!(
            typed.contains("-device virtio-net-pci,netdev=net,"),
            "{typed}"
        );
        assert!(typed.contains("-machine pc,graphics=off "), "{typed}");
    }
}
