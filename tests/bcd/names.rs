// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of elements against another source: the names that Microsoft publishes in "BCD
//! settings and BitLocker" (learn.microsoft.com), by the program that they are for.

use slamboot::image::bcd::{ElementCode, ObjectType, table};

const ALL: &str = "11000001 device 12000002 path 12000030 loadoptions 16000010 bootdebug 16000040 advancedoptions \
    16000041 optionsedit 16000048 nointegritychecks 16000049 testsigning 16000060 isolatedcontext \
    1600007b forcefipscrypto 12000004 description 12000005 locale 12000016 targetname 12000019 busparams \
    1200001d key 1200004a fontpath 14000006 inherit 14000008 recoverysequence 15000007 truncatememory \
    1500000c firstmegabytepolicy 1500000d relocatephysical 1500000e avoidlowmemory 15000011 debugtype \
    15000012 debugaddress 15000013 debugport 15000014 baudrate 15000015 channel 15000018 debugstart \
    1500001a hostip 1500001b port 15000022 emsport 15000023 emsbaudrate 15000042 keyringaddress \
    15000047 configaccesspolicy 1500004b integrityservices 1500004c volumebandid 15000051 initialconsoleinput \
    15000052 graphicsresolution 15000065 displaymessage 15000066 displaymessageoverride 16000009 recoveryenabled \
    1600000b badmemoryaccess 1600000f traditionalkseg 16000017 noumex 1600001c dhcp 1600001e vm \
    16000020 bootems 16000046 graphicsmodedisabled 16000050 extendedinput 16000053 restartonfailure \
    16000054 highestmode 1600006c bootuxdisabled 16000072 nokeyboard 16000074 bootshutdowndisabled \
    1700000a badmemorylist 17000077 allowedinmemorysettings";

const BOOTMGR: &str = "22000040 fverecoveryurl 22000041 fverecoverymessage";

const DEVICE: &str = "31000003 ramdisksdidevice 32000004 ramdisksdipath 35000001 ramdiskimageoffset \
    35000002 ramdisktftpclientport 35000005 ramdiskimagelength 35000007 ramdisktftpblocksize \
    35000008 ramdisktftpwindowsize 36000006 exportascd 36000009 ramdiskmcenabled \
    3600000a ramdiskmctftpfallback 3600000b ramdisktftpvarwindow";

const WINLOAD: &str = "22000002 systemroot 22000011 kernel 22000012 hal 22000053 evstore 25000020 nx \
    25000052 restrictapiccluster 26000022 winpe 26000025 lastknowngood 26000081 safebootalternateshell \
    260000a0 debug 260000f2 hypervisordebug 26000116 hypervisorusevapic 21000001 osdevice 22000013 dbgtransport \
    220000f9 hypervisorbusparams 22000110 hypervisorusekey 23000003 resumeobject 25000021 pae \
    25000031 removememory 25000032 increaseuserva 25000033 perfmem 25000050 clustermodeaddressing \
    25000055 x2apicpolicy 25000061 numproc 25000063 configflags 25000066 groupsize 25000071 msi \
    25000072 pciexpress 25000080 safeboot 250000a6 tscsyncpolicy 250000c1 driverloadfailurepolicy \
    250000c2 bootmenupolicy 250000e0 bootstatuspolicy 250000f0 hypervisorlaunchtype 250000f3 hypervisordebugtype \
    250000f4 hypervisordebugport 250000f5 hypervisorbaudrate 250000f6 hypervisorchannel 250000f7 bootux \
    250000fa hypervisornumproc 250000fb hypervisorrootprocpernode 250000fd hypervisorhostip \
    250000fe hypervisorhostport 25000100 tpmbootentropy 25000113 hypervisorrootproc 25000115 hypervisoriommupolicy \
    25000120 xsavepolicy 25000121 xsaveaddfeature0 25000128 xsaveaddfeature7 25000129 xsaveremovefeature \
    2500012a xsaveprocessorsmask 2500012b xsavedisable 25000130 claimedtpmcounter 26000004 stampdisks \
    26000010 detecthal 26000024 nocrashautoreboot 26000030 nolowmem 26000040 vga 26000041 quietboot \
    26000042 novesa 26000043 novga 26000051 usephysicaldestination 26000054 uselegacyapicmode 26000060 onecpu \
    26000062 maxproc 26000064 maxgroup 26000065 groupaware 26000070 usefirmwarepcisettings 26000090 bootlog \
    26000091 sos 260000a1 halbreakpoint 260000a2 useplatformclock 260000a3 forcelegacyplatform \
    260000a4 useplatformtick 260000a5 disabledynamictick 260000b0 ems 260000c3 onetimeadvancedoptions \
    260000c4 onetimeoptionsedit 260000e1 disableelamdrivers 260000f8 hypervisordisableslat \
    260000fc hypervisoruselargevtlb 26000114 hypervisordhcp";

const WINRESUME: &str = "21000001 filedevice 22000002 filepath 26000006 debugoptionenabled 21000005 associatedosdevice \
    25000007 bootux 25000008 bootmenupolicy 26000003 customsettings 26000004 pae";

const MEMTEST: &str = "25000001 passcount 25000002 testmix 25000005 stridefailcount 25000006 invcfailcount \
    25000007 matsfailcount 25000008 randfailcount 25000009 chckrfailcount 26000003 cacheenable 26000004 failuresenabled";

#[test]
fn microsofts_names_are_ours() {
    let mut compared = 0;
    for (kind, list) in [
        (0x1010_0002, ALL),
        (0x1020_0003, ALL),
        (0x3000_0000, ALL),
        (0x1010_0002, BOOTMGR),
        (0x3000_0000, DEVICE),
        (0x1020_0003, WINLOAD),
        (0x1020_0004, WINRESUME),
        (0x1020_0005, MEMTEST),
    ] {
        let words: Vec<&str> = list.split_whitespace().collect();
        for pair in words.chunks(2) {
            let kind = ObjectType(kind);
            let code = ElementCode::from_key(pair[0]).unwrap();
            assert_eq!(table::find(pair[1], kind), Ok(code), "{pair:?}");
            assert_eq!(table::name(code, kind), pair[1]);
            compared += 1;
        }
    }
    assert!(compared > 250, "{compared}");
}
