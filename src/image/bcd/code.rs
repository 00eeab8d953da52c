// SPDX-License-Identifier: MIT OR Apache-2.0
//! The elements that this house sets and judges, by their names in bcdedit.

use super::element::ElementCode;

/// `device`: where the application is.
pub const DEVICE: ElementCode = ElementCode(0x1100_0001);
/// `path`: its file there.
pub const PATH: ElementCode = ElementCode(0x1200_0002);
/// `description`: what the menu says.
pub const DESCRIPTION: ElementCode = ElementCode(0x1200_0004);
/// `osdevice`: where Windows is.
pub const OS_DEVICE: ElementCode = ElementCode(0x2100_0001);
/// `systemroot`: its directory there.
pub const SYSTEM_ROOT: ElementCode = ElementCode(0x2200_0002);
/// `detecthal`: choose the HAL at boot.
pub const DETECT_HAL: ElementCode = ElementCode(0x2600_0010);
/// `winpe`: this Windows is WinPE.
pub const WINPE: ElementCode = ElementCode(0x2600_0022);
/// `displayorder`, of {bootmgr}: the menu.
pub const DISPLAY_ORDER: ElementCode = ElementCode(0x2400_0001);
/// `bootsequence`, of {bootmgr}: what to try at the next boot, once.
pub const BOOT_SEQUENCE: ElementCode = ElementCode(0x2400_0002);
/// `default`, of {bootmgr}: what boots unless somebody chooses.
pub const DEFAULT: ElementCode = ElementCode(0x2300_0003);
/// `timeout`, of {bootmgr}: seconds that the menu waits.
pub const TIMEOUT: ElementCode = ElementCode(0x2500_0004);
/// `toolsdisplayorder`, of {bootmgr}: the tools below the menu.
pub const TOOLS_DISPLAY_ORDER: ElementCode = ElementCode(0x2400_0010);
/// `ramdisksdidevice`, of a device object: where boot.sdi is.
pub const RAMDISK_SDI_DEVICE: ElementCode = ElementCode(0x3100_0003);
/// `ramdisksdipath`, of a device object: its file there.
pub const RAMDISK_SDI_PATH: ElementCode = ElementCode(0x3200_0004);
/// `bootdebug`
pub const BOOT_DEBUG: ElementCode = ElementCode(0x1600_0010);
/// `bootems`
pub const BOOT_EMS: ElementCode = ElementCode(0x1600_0020);
/// `debug`, of an osloader.
pub const DEBUG: ElementCode = ElementCode(0x2600_00A0);
/// `ems`, of an osloader.
pub const EMS: ElementCode = ElementCode(0x2600_00B0);
/// `event`, of an osloader.
pub const EVENT: ElementCode = ElementCode(0x2600_0141);

/// The elements of {bootmgr} that list objects.
pub const LISTS: [ElementCode; 3] = [DISPLAY_ORDER, BOOT_SEQUENCE, TOOLS_DISPLAY_ORDER];
