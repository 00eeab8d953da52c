// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which boot manager a file is: the BIOS's BOOTMGR, a program for UEFI, or something else.

use std::fmt;

use super::le::{u16_at, u32_at};
use super::standin;
use super::wim::Architecture;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootManager {
    /// What a boot sector starts: 16-bit code with a 32-bit program in it.
    Bios,
    /// Slamboot's own for tests.
    StandIn,
    /// A program for UEFI.
    Efi(Machine),
    /// Another Windows program, such as bootmgr.exe: no boot sector can start it.
    Program(Machine),
    /// None of these.
    Unrecognised,
}

/// For which machines a program is (PE/COFF, section "Machine Types").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// 0x14c
    I386,
    /// 0x8664
    Amd64,
    /// 0xaa64
    Arm64,
    /// Another number.
    Other(u16),
}

/// Subsystems of PE programs for UEFI.
const EFI_SUBSYSTEMS: std::ops::RangeInclusive<u16> = 10..=13;
/// "Windows boot application": what bootmgr.exe and winload.exe are, and some bootmgfw.efi.
const BOOT_APPLICATION: u16 = 16;

impl BootManager {
    /// Tells from the whole file.
    pub fn of(file: &[u8]) -> Self {
        if standin::is(file) {
            return BootManager::StandIn;
        }
        if let Some((machine, subsystem)) = program(file) {
            return match subsystem {
                subsystem if EFI_SUBSYSTEMS.contains(&subsystem) => BootManager::Efi(machine),
                // A BIOS's bootmgr.exe is a 32-bit one, whatever Windows it came with.
                BOOT_APPLICATION if machine != Machine::I386 => BootManager::Efi(machine),
                _ => BootManager::Program(machine),
            };
        }
        // It starts with a jump and says "BOOTMGR is compressed", "BOOTMGR image is corrupt".
        let jumps = matches!(file.first(), Some(0xE9 | 0xEB));
        if jumps && file.windows(7).any(|text| text == b"BOOTMGR") {
            return BootManager::Bios;
        }
        BootManager::Unrecognised
    }
}

/// Machine and subsystem of a PE program.
fn program(file: &[u8]) -> Option<(Machine, u16)> {
    if !file.starts_with(b"MZ") {
        return None;
    }
    let header = file.get(u32_at(file, 0x3C) as usize..)?;
    header.starts_with(b"PE\0\0").then_some(())?;
    let machine = match u16_at(header, 4) {
        0x014C => Machine::I386,
        0x8664 => Machine::Amd64,
        0xAA64 => Machine::Arm64,
        other => Machine::Other(other),
    };
    // At the same place in PE32 and PE32+.
    Some((machine, u16_at(header, 24 + 68)))
}

impl Machine {
    /// Whether a WIM for `architecture` can be started by a program for this: on UEFI nothing
    /// changes the processor's mode on the way.
    pub fn starts(self, architecture: Architecture) -> bool {
        match architecture {
            Architecture::X86 => self == Machine::I386,
            Architecture::Amd64 => self == Machine::Amd64,
            Architecture::Arm64 => self == Machine::Arm64,
            Architecture::Other(_) => true,
        }
    }

    /// Its name under `\EFI\Boot` on removable media (UEFI 2.10, section 3.5.1.1).
    pub fn removable_name(self) -> Option<&'static str> {
        match self {
            Machine::I386 => Some("bootia32.efi"),
            Machine::Amd64 => Some("bootx64.efi"),
            Machine::Arm64 => Some("bootaa64.efi"),
            Machine::Other(_) => None,
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Machine::I386 => f.write_str("32-bit x86"),
            Machine::Amd64 => f.write_str("x86-64"),
            Machine::Arm64 => f.write_str("ARM64"),
            Machine::Other(number) => write!(f, "machine {number:#06x}"),
        }
    }
}

impl fmt::Display for BootManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BootManager::Bios => f.write_str("a boot manager for BIOS"),
            BootManager::StandIn => f.write_str("slamboot's stand-in for a boot manager"),
            BootManager::Efi(machine) => write!(f, "a {machine} program for UEFI"),
            BootManager::Program(machine) => {
                write!(f, "a {machine} Windows program (such as bootmgr.exe)")
            }
            BootManager::Unrecognised => f.write_str("no boot manager that is known"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pe(machine: u16, subsystem: u16) -> Vec<u8> {
        let mut file = vec![0; 0x200];
        file[..2].copy_from_slice(b"MZ");
        file[0x3C] = 0x80;
        file[0x80..0x84].copy_from_slice(b"PE\0\0");
        file[0x84..0x86].copy_from_slice(&machine.to_le_bytes());
        file[0x80 + 92..0x80 + 94].copy_from_slice(&subsystem.to_le_bytes());
        file
    }

    #[test]
    fn what_files_are() {
        let of = BootManager::of;
        assert_eq!(of(&pe(0x8664, 10)), BootManager::Efi(Machine::Amd64));
        assert_eq!(of(&pe(0x014C, 10)), BootManager::Efi(Machine::I386));
        assert_eq!(of(&pe(0x8664, 16)), BootManager::Efi(Machine::Amd64));
        assert_eq!(of(&pe(0x014C, 16)), BootManager::Program(Machine::I386));
        assert_eq!(of(&pe(0x014C, 1)), BootManager::Program(Machine::I386));
        assert_eq!(
            of(b"\xE9\xD5\x01\xEB\x04\x90BOOTMGR is compressed"),
            BootManager::Bios
        );
        assert_eq!(of(b"\xFABOOTMGR"), BootManager::Unrecognised);
        assert_eq!(of(b"\xE9\xD5\x01GRUB"), BootManager::Unrecognised);
        assert_eq!(of(b""), BootManager::Unrecognised);
        assert_eq!(of(&standin::render()), BootManager::StandIn);
        for length in 0..0x200 {
            let _ = of(&pe(0x8664, 10)[..length]);
        }
        let mut far = pe(0x8664, 10);
        far[0x3C..0x40].fill(0xFF);
        assert_eq!(of(&far), BootManager::Unrecognised);
    }

    #[test]
    fn who_starts_whom() {
        assert!(Machine::Amd64.starts(Architecture::Amd64));
        assert!(!Machine::I386.starts(Architecture::Amd64));
        assert!(!Machine::Amd64.starts(Architecture::X86));
        assert_eq!(Machine::Amd64.removable_name(), Some("bootx64.efi"));
    }
}
