// SPDX-License-Identifier: MIT OR Apache-2.0
//! The known elements, by whom they are for.
//!
//! Codes, names and the words for values are those of Geoff Chappell, "BCD Elements"
//! (geoffchappell.com/notes/windows/boot/bcd/elements.htm), who has them from bcdedit.exe and
//! bcdsrv.dll of Windows Vista to 10. They agree with the names that Microsoft publishes in "BCD
//! settings and BitLocker" and with the codes of ReactOS `boot/environ/include/bcd.h`, but for
//! `forcefipscrypto`, which ReactOS has at 0x16000079. Elements without a name are left out; they
//! are shown and set as `custom:<code>`.

use super::Entry;

const fn named(code: u32, name: &'static str) -> Entry {
    words(code, name, &[])
}

const fn words(code: u32, name: &'static str, words: &'static [&'static str]) -> Entry {
    Entry::new(code, name, words)
}

/// Every application and device.
#[rustfmt::skip] // A row each.
pub(super) const LIBRARY: &[Entry] = &[
    named(0x1100_0001, "device"),
    named(0x1100_0043, "bootstatdevice"),
    named(0x1100_0084, "windowssyspart"),
    named(0x1200_0002, "path"),
    named(0x1200_0004, "description"),
    named(0x1200_0005, "locale"),
    named(0x1200_0016, "targetname"),
    named(0x1200_0019, "busparams"),
    named(0x1200_001D, "key"),
    named(0x1200_001F, "hostipv6"),
    named(0x1200_0030, "loadoptions"),
    named(0x1200_0044, "bootstatfilepath"),
    named(0x1200_004A, "fontpath"),
    named(0x1200_0088, "additionalcipolicy"),
    named(0x1400_0006, "inherit"),
    named(0x1400_0008, "recoverysequence"),
    named(0x1500_0007, "truncatememory"),
    words(0x1500_000C, "firstmegabytepolicy", &["UseNone", "UseAll", "UsePrivate"]),
    named(0x1500_000D, "relocatephysical"),
    named(0x1500_000E, "avoidlowmemory"),
    words(0x1500_0011, "debugtype", &["Serial", "1394", "USB", "NET", "Local"]),
    named(0x1500_0012, "debugaddress"),
    named(0x1500_0013, "debugport"),
    named(0x1500_0014, "baudrate"),
    named(0x1500_0015, "channel"),
    words(0x1500_0018, "debugstart", &["Active", "AutoEnable", "Disable"]),
    named(0x1500_001A, "hostip"),
    named(0x1500_001B, "port"),
    named(0x1500_0022, "emsport"),
    named(0x1500_0023, "emsbaudrate"),
    named(0x1500_0042, "keyringaddress"),
    words(0x1500_0047, "configaccesspolicy", &["Default", "DisallowMmConfig"]),
    words(0x1500_004B, "integrityservices", &["Default", "Enable", "Disable"]),
    named(0x1500_004C, "volumebandid"),
    named(0x1500_0051, "initialconsoleinput"),
    words(0x1500_0052, "graphicsresolution", &["1024x768", "800x600", "1024x600"]),
    words(0x1500_0065, "displaymessage", &["Default", "Resume", "HyperV", "Recovery", "StartupRepair", "SystemImageRecovery", "CommandPrompt", "SystemRestore", "PushButtonReset"]),
    words(0x1500_0066, "displaymessageoverride", &["Default", "Resume", "HyperV", "Recovery", "StartupRepair", "SystemImageRecovery", "CommandPrompt", "SystemRestore", "PushButtonReset"]),
    named(0x1500_0079, "bootuxtransitiontime"),
    words(0x1500_007D, "booterrorux", &["Legacy", "Standard", "Simple"]),
    words(0x1500_007F, "measuredbootlogformat", &["Default", "Sha1"]),
    words(0x1500_0080, "displayrotation", &["0", "90", "180", "270"]),
    named(0x1500_0081, "logcontrol"),
    words(0x1500_0088, "linearaddress57", &["default", "optout", "optin"]),
    named(0x1600_0009, "recoveryenabled"),
    named(0x1600_000B, "badmemoryaccess"),
    named(0x1600_000F, "traditionalkseg"),
    named(0x1600_0010, "bootdebug"),
    named(0x1600_0017, "noumex"),
    named(0x1600_001C, "dhcp"),
    named(0x1600_001E, "vm"),
    named(0x1600_0020, "bootems"),
    named(0x1600_0040, "advancedoptions"),
    named(0x1600_0041, "optionsedit"),
    named(0x1600_0045, "preservebootstat"),
    named(0x1600_0046, "graphicsmodedisabled"),
    named(0x1600_0048, "nointegritychecks"),
    named(0x1600_0049, "testsigning"),
    named(0x1600_0050, "extendedinput"),
    named(0x1600_0053, "restartonfailure"),
    named(0x1600_0054, "highestmode"),
    named(0x1600_0060, "isolatedcontext"),
    named(0x1600_0068, "nobootuxtext"),
    named(0x1600_0069, "nobootuxprogress"),
    named(0x1600_006A, "nobootuxfade"),
    named(0x1600_006C, "bootuxdisabled"),
    named(0x1600_0072, "nokeyboard"),
    named(0x1600_0074, "bootshutdowndisabled"),
    named(0x1600_007A, "mobilegraphics"),
    named(0x1600_007B, "forcefipscrypto"),
    named(0x1600_007E, "flightsigning"),
    named(0x1600_0082, "nofirmwaresync"),
    named(0x1600_0087, "numlock"),
    named(0x1700_000A, "badmemorylist"),
    named(0x1700_0077, "allowedinmemorysettings"),
];

/// Every application.
#[rustfmt::skip] // A row each.
pub(super) const APPLICATION: &[Entry] = &[
    named(0x2500_0510, "chargethreshold"),
    named(0x2500_0AAA, "bootflow"),
    named(0x2600_0202, "skipffumode"),
    named(0x2600_0203, "forceffumode"),
    named(0x2600_0512, "offmodecharging"),
];

/// Windows Setup's templates.
#[rustfmt::skip] // A row each.
pub(super) const TEMPLATE: &[Entry] = &[
    named(0x4700_0006, "elementstomigrate"),
];

/// The firmware's boot manager and bootmgr.
#[rustfmt::skip] // A row each.
pub(super) const BOOT_MANAGER: &[Entry] = &[
    named(0x2100_0022, "bcddevice"),
    named(0x2200_0023, "bcdfilepath"),
    named(0x2200_0040, "fverecoveryurl"),
    named(0x2200_0041, "fverecoverymessage"),
    named(0x2300_0003, "default"),
    named(0x2300_0006, "resumeobject"),
    named(0x2400_0001, "displayorder"),
    named(0x2400_0002, "bootsequence"),
    named(0x2400_0007, "startupsequence"),
    named(0x2400_0010, "toolsdisplayorder"),
    named(0x2500_0004, "timeout"),
    named(0x2600_0005, "resume"),
    named(0x2600_0020, "displaybootmenu"),
    named(0x2600_0021, "noerrordisplay"),
    named(0x2600_0025, "hiberboot"),
    named(0x2600_0028, "processcustomactionsfirst"),
    named(0x2600_0031, "persistbootsequence"),
    named(0x2600_0032, "skipstartupsequence"),
    named(0x2600_0042, "flightedbootmgr"),
    named(0x2700_0030, "customactions"),
];

/// winload.
#[rustfmt::skip] // A row each.
pub(super) const LOADER: &[Entry] = &[
    named(0x2100_0001, "osdevice"),
    named(0x2100_0138, "imcdevice"),
    named(0x2100_0150, "systemdatadevice"),
    named(0x2100_0151, "osarcdevice"),
    named(0x2100_0153, "osdatadevice"),
    named(0x2100_0154, "bspdevice"),
    named(0x2200_0002, "systemroot"),
    named(0x2200_0011, "kernel"),
    named(0x2200_0012, "hal"),
    named(0x2200_0013, "dbgtransport"),
    named(0x2200_0053, "evstore"),
    named(0x2200_00F1, "hypervisorpath"),
    named(0x2200_00F9, "hypervisorbusparams"),
    named(0x2200_0110, "hypervisorusekey"),
    named(0x2200_0117, "hypervisorloadoptions"),
    named(0x2200_011B, "hypervisorrootprocnumanodes"),
    named(0x2200_011E, "hypervisorrootprocnumanodelps"),
    named(0x2200_012D, "kernelbusparams"),
    named(0x2200_0132, "kerneltargetname"),
    named(0x2200_0136, "kernelkey"),
    named(0x2200_0137, "imchivename"),
    named(0x2200_0140, "mfgmode"),
    named(0x2200_0156, "kernelhostipv6"),
    named(0x2200_0161, "hypervisorhostipv6"),
    named(0x2300_0003, "resumeobject"),
    words(0x2500_0020, "nx", &["OptIn", "OptOut", "AlwaysOff", "AlwaysOn"]),
    words(0x2500_0021, "pae", &["Default", "ForceEnable", "ForceDisable"]),
    named(0x2500_0031, "removememory"),
    named(0x2500_0032, "increaseuserva"),
    named(0x2500_0033, "perfmem"),
    named(0x2500_0050, "clustermodeaddressing"),
    named(0x2500_0052, "restrictapiccluster"),
    words(0x2500_0055, "x2apicpolicy", &["Default", "Disable", "Enable"]),
    named(0x2500_0061, "numproc"),
    named(0x2500_0063, "configflags"),
    named(0x2500_0066, "groupsize"),
    words(0x2500_0071, "msi", &["Default", "ForceDisable"]),
    words(0x2500_0072, "pciexpress", &["Default", "ForceDisable"]),
    words(0x2500_0080, "safeboot", &["Minimal", "Network", "DsRepair"]),
    words(0x2500_00A6, "tscsyncpolicy", &["Default", "Legacy", "Enhanced"]),
    words(0x2500_00C1, "driverloadfailurepolicy", &["Fatal", "UseErrorControl"]),
    words(0x2500_00C2, "bootmenupolicy", &["Legacy", "Standard"]),
    words(0x2500_00E0, "bootstatuspolicy", &["DisplayAllFailures", "IgnoreAllFailures", "IgnoreShutdownFailures", "IgnoreBootFailures", "IgnoreCheckpointFailures", "DisplayShutdownFailures", "DisplayBootFailures", "DisplayCheckpointFailures", "AlwaysDisplayStartupFailures"]),
    words(0x2500_00F0, "hypervisorlaunchtype", &["Off", "Auto"]),
    words(0x2500_00F3, "hypervisordebugtype", &["Serial", "1394", "None", "Net"]),
    named(0x2500_00F4, "hypervisordebugport"),
    named(0x2500_00F5, "hypervisorbaudrate"),
    named(0x2500_00F6, "hypervisorchannel"),
    words(0x2500_00F7, "bootux", &["Disabled", "Basic", "Standard"]),
    named(0x2500_00FA, "hypervisornumproc"),
    named(0x2500_00FB, "hypervisorrootprocpernode"),
    named(0x2500_00FD, "hypervisorhostip"),
    named(0x2500_00FE, "hypervisorhostport"),
    named(0x2500_00FF, "hypervisordebugpages"),
    words(0x2500_0100, "tpmbootentropy", &["Default", "ForceDisable", "ForceEnable"]),
    named(0x2500_0113, "hypervisorrootproc"),
    words(0x2500_0115, "hypervisoriommupolicy", &["Default", "Enable", "Disable"]),
    words(0x2500_0118, "hypervisormsrfilterpolicy", &["Disable", "Enable"]),
    words(0x2500_0119, "hypervisormmionxpolicy", &["Disable", "Enable"]),
    words(0x2500_011A, "hypervisorschedulertype", &["Classic", "Core", "Root"]),
    words(0x2500_011C, "hypervisorperfmon", &["System", "Hypervisor"]),
    named(0x2500_011D, "hypervisorrootprocpercore"),
    named(0x2500_0120, "xsavepolicy"),
    named(0x2500_0121, "xsaveaddfeature0"),
    named(0x2500_0122, "xsaveaddfeature1"),
    named(0x2500_0123, "xsaveaddfeature2"),
    named(0x2500_0124, "xsaveaddfeature3"),
    named(0x2500_0125, "xsaveaddfeature4"),
    named(0x2500_0126, "xsaveaddfeature5"),
    named(0x2500_0127, "xsaveaddfeature6"),
    named(0x2500_0128, "xsaveaddfeature7"),
    named(0x2500_0129, "xsaveremovefeature"),
    named(0x2500_012A, "xsaveprocessorsmask"),
    named(0x2500_012B, "xsavedisable"),
    words(0x2500_012C, "kerneldebugtype", &["Serial", "1394", "USB", "NET"]),
    named(0x2500_012E, "kerneldebugaddress"),
    named(0x2500_012F, "kerneldebugport"),
    named(0x2500_0130, "claimedtpmcounter"),
    named(0x2500_0131, "kernelchannel"),
    named(0x2500_0133, "kernelhostip"),
    named(0x2500_0134, "kernelport"),
    named(0x2500_0139, "kernelbaudrate"),
    words(0x2500_0142, "vsmlaunchtype", &["Off", "Auto"]),
    words(0x2500_0144, "hypervisorenforcedcodeintegrity", &["Disable", "Enable", "Strict"]),
    named(0x2600_0004, "stampdisks"),
    named(0x2600_0010, "detecthal"),
    named(0x2600_0022, "winpe"),
    named(0x2600_0024, "nocrashautoreboot"),
    named(0x2600_0025, "lastknowngood"),
    named(0x2600_0026, "oslnointegritychecks"),
    named(0x2600_0027, "osltestsigning"),
    named(0x2600_0030, "nolowmem"),
    named(0x2600_0040, "vga"),
    named(0x2600_0041, "quietboot"),
    named(0x2600_0042, "novesa"),
    named(0x2600_0043, "novga"),
    named(0x2600_0051, "usephysicaldestination"),
    named(0x2600_0054, "uselegacyapicmode"),
    named(0x2600_0060, "onecpu"),
    named(0x2600_0062, "maxproc"),
    named(0x2600_0064, "maxgroup"),
    named(0x2600_0065, "groupaware"),
    named(0x2600_0070, "usefirmwarepcisettings"),
    named(0x2600_0081, "safebootalternateshell"),
    named(0x2600_0090, "bootlog"),
    named(0x2600_0091, "sos"),
    named(0x2600_00A0, "debug"),
    named(0x2600_00A1, "halbreakpoint"),
    named(0x2600_00A2, "useplatformclock"),
    named(0x2600_00A3, "forcelegacyplatform"),
    named(0x2600_00A4, "useplatformtick"),
    named(0x2600_00A5, "disabledynamictick"),
    named(0x2600_00B0, "ems"),
    named(0x2600_00C3, "onetimeadvancedoptions"),
    named(0x2600_00C4, "onetimeoptionsedit"),
    named(0x2600_00E1, "disableelamdrivers"),
    named(0x2600_00F2, "hypervisordebug"),
    named(0x2600_00F8, "hypervisordisableslat"),
    named(0x2600_00FC, "hypervisoruselargevtlb"),
    named(0x2600_0114, "hypervisordhcp"),
    named(0x2600_0116, "hypervisorusevapic"),
    named(0x2600_0135, "kerneldhcp"),
    named(0x2600_0141, "event"),
    named(0x2600_0145, "dtrace"),
];

/// winresume.
#[rustfmt::skip] // A row each.
pub(super) const RESUME: &[Entry] = &[
    named(0x2100_0001, "filedevice"),
    named(0x2100_0005, "associatedosdevice"),
    named(0x2200_0002, "filepath"),
    words(0x2500_0007, "bootux", &["Disabled", "Basic", "Standard"]),
    words(0x2500_0008, "bootmenupolicy", &["Legacy", "Standard"]),
    named(0x2600_0003, "customsettings"),
    named(0x2600_0004, "pae"),
    named(0x2600_0006, "debugoptionenabled"),
];

/// memtest.
#[rustfmt::skip] // A row each.
pub(super) const MEMORY_TESTER: &[Entry] = &[
    named(0x2500_0001, "passcount"),
    words(0x2500_0002, "testmix", &["Basic", "Extended"]),
    named(0x2500_0003, "failurecount"),
    words(0x2500_0004, "testtofail", &["Stride", "Mats", "InverseCoupling", "RandomPattern", "Checkerboard"]),
    named(0x2500_0005, "stridefailcount"),
    named(0x2500_0006, "invcfailcount"),
    named(0x2500_0007, "matsfailcount"),
    named(0x2500_0008, "randfailcount"),
    named(0x2500_0009, "chckrfailcount"),
    named(0x2600_0003, "cacheenable"),
    named(0x2600_0004, "failuresenabled"),
    named(0x2600_0005, "cacheenable"),
];

/// ntldr and setupldr.
#[rustfmt::skip] // A row each.
pub(super) const LEGACY: &[Entry] = &[
    named(0x2200_0001, "bpbstring"),
];

/// Startup programs.
#[rustfmt::skip] // A row each.
pub(super) const STARTUP: &[Entry] = &[
    named(0x2200_0002, "applicationname"),
    named(0x2600_0001, "pxesoftreboot"),
];

/// Other boot applications.
#[rustfmt::skip] // A row each.
pub(super) const BOOT_APPLICATION: &[Entry] = &[
    named(0x2600_0145, "enablebootdebugpolicy"),
    named(0x2600_0146, "enablebootorderclean"),
    named(0x2600_0147, "enabledeviceid"),
    named(0x2600_0148, "enableffuloader"),
    named(0x2600_0149, "enableiuloader"),
    named(0x2600_014A, "enablemassstorage"),
    named(0x2600_014B, "enablerpmbprovisioning"),
    named(0x2600_014C, "enablesecurebootpolicy"),
    named(0x2600_014D, "enablestartcharge"),
    named(0x2600_014E, "enableresettpm"),
];

/// A device's options.
#[rustfmt::skip] // A row each.
pub(super) const DEVICE: &[Entry] = &[
    named(0x3100_0003, "ramdisksdidevice"),
    named(0x3200_0004, "ramdisksdipath"),
    named(0x3500_0001, "ramdiskimageoffset"),
    named(0x3500_0002, "ramdisktftpclientport"),
    named(0x3500_0005, "ramdiskimagelength"),
    named(0x3500_0007, "ramdisktftpblocksize"),
    named(0x3500_0008, "ramdisktftpwindowsize"),
    named(0x3600_0006, "exportascd"),
    named(0x3600_0009, "ramdiskmcenabled"),
    named(0x3600_000A, "ramdiskmctftpfallback"),
    named(0x3600_000B, "ramdisktftpvarwindow"),
    named(0x3600_000C, "vhdramdiskboot"),
];
