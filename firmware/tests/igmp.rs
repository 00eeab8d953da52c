// SPDX-License-Identifier: MIT OR Apache-2.0
//! Group membership in the firmware: `overlay/src/net/igmp_*.c`, compiled for this host under
//! `AddressSanitizer` and `UBSan`, and driven with simulated time through `tests/igmp/harness.c`.
//!
//! Expected packets were made by hand from the RFCs; checksums are verified here once more.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::LazyLock;

use proptest::prelude::*;

const SOURCE: &str = "0a4d000a";
const GROUP: &str = "efff0101";
const SOURCE6: &str = "fe80000000000000505400fffe770001";
const GROUP6: &str = "ff15000000000000000000000000051a";
const ROUTER: [u8; 4] = [10, 77, 0, 254];
const ALL_SYSTEMS: [u8; 4] = [224, 0, 0, 1];

/// Results, by `enum igmp_result`.
const OK: &str = "0";
const IGNORED: &str = "1";
const TRUNCATED: &str = "2";
const MALFORMED: &str = "3";
const CHECKSUM: &str = "4";
const NOT_LOCAL: &str = "5";
const NO_ALERT: &str = "6";
const ADDRESS: &str = "7";
const NOT_GROUP: &str = "8";
const FULL: &str = "9";

// IPv4: 46 = IHL 24, c0 = Internetwork Control, 4000 = do not fragment, 01 = TTL, 02 = IGMP,
// 94040000 = Router Alert.
const V3_JOIN: &str =
    "46c00028000040000102f9a20a4d000ae0000016940400002200e8fd0000000104000000efff0101";
const V3_LEAVE: &str =
    "46c00028000040000102f9a20a4d000ae0000016940400002200e9fd0000000103000000efff0101";
const V3_ANSWER: &str =
    "46c00028000040000102f9a20a4d000ae0000016940400002200eafd0000000102000000efff0101";
const V2_REPORT: &str = "46c00020000040000102e8c00a4d000aefff0101940400001600f8feefff0101";
const V1_REPORT: &str = "46c00020000040000102e8c00a4d000aefff0101940400001200fcfeefff0101";
const V2_LEAVE: &str = "46c00020000040000102f9be0a4d000ae0000002940400001700f7feefff0101";
// IPv6: 00 = hop-by-hop, 01 = hop limit, 3a000502000000100 = ICMPv6 follows, Router Alert for MLD,
// PadN.
const MLD2_JOIN: &str = "6000000000240001fe80000000000000505400fffe770001ff0200000000000000000000000000163a000502000001008f001b120000000104000000ff15000000000000000000000000051a";
const MLD2_LEAVE: &str = "6000000000240001fe80000000000000505400fffe770001ff0200000000000000000000000000163a000502000001008f001c120000000103000000ff15000000000000000000000000051a";
const MLD1_REPORT: &str = "6000000000200001fe80000000000000505400fffe770001ff15000000000000000000000000051a3a000502000001008300260000000000ff15000000000000000000000000051a";
const MLD1_DONE: &str = "6000000000200001fe80000000000000505400fffe770001ff0200000000000000000000000000023a0005020000010084002a2b00000000ff15000000000000000000000000051a";

/// The harness, compiled once for each test run.
static HARNESS: LazyLock<PathBuf> = LazyLock::new(|| {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let net = root.join("overlay/src/net");
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("igmp-harness-{}", std::process::id()));
    let status = Command::new("cc")
        .args(["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-g"])
        .args(["-O1", "-fsanitize=address,undefined"])
        .arg("-fno-sanitize-recover=all")
        .arg("-I")
        .arg(&net)
        .arg(root.join("tests/igmp/harness.c"))
        .args(["igmp_core.c", "igmp_input.c", "igmp_output.c"].map(|file| net.join(file)))
        .arg("-o")
        .arg(&out)
        .status()
        .expect("a C compiler named cc");
    assert!(status.success(), "the core of IGMP does not compile");
    out
});

/// One host on one interface.
struct Host {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Host {
    fn start() -> Host {
        let mut child = Command::new(HARNESS.as_path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Host {
            child,
            input,
            output,
        }
    }

    fn v4(seed: u32) -> Host {
        let mut host = Host::start();
        host.say(&format!("init 4 {SOURCE} {seed}"));
        host
    }

    fn v6(seed: u32) -> Host {
        let mut host = Host::start();
        host.say(&format!("init 6 {SOURCE6} {seed}"));
        host
    }

    fn say(&mut self, line: &str) -> String {
        writeln!(self.input, "{line}").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        assert!(
            !answer.is_empty() && answer != "?\n",
            "no answer to {line:?}: did a sanitizer end it?"
        );
        answer.trim_end().to_owned()
    }

    fn join(&mut self, now: u32, group: &str) -> String {
        self.say(&format!("join {now} {group}"))
    }

    fn leave(&mut self, now: u32, group: &str) -> String {
        self.say(&format!("leave {now} {group}"))
    }

    fn input(&mut self, now: u32, packet: &[u8]) -> String {
        // The `-` stands for no bytes.
        self.say(&format!("input {now} {}-", hex::encode(packet)))
    }

    /// Everything that is due, each packet checked.
    fn sent(&mut self, now: u32) -> Vec<String> {
        let mut sent = Vec::new();
        loop {
            let packet = self.say(&format!("poll {now}"));
            if packet == "-" {
                return sent;
            }
            sound(&hex::decode(&packet).unwrap());
            sent.push(packet);
            assert!(sent.len() < 40, "it never stops: {sent:?}");
        }
    }

    fn timeout(&mut self, now: u32) -> Option<u32> {
        self.say(&format!("timeout {now}")).parse().ok()
    }

    /// Runs until nothing is scheduled: when each packet was sent.
    fn run(&mut self, mut now: u32) -> Vec<(u32, String)> {
        let mut all = Vec::new();
        loop {
            all.extend(self.sent(now).into_iter().map(|packet| (now, packet)));
            assert!(all.len() < 100, "it never stops: {all:?}");
            match self.timeout(now) {
                Some(delay) => now = now.wrapping_add(delay),
                None => return all,
            }
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// RFC 1071: the sum of 16-bit words, `start` included; 0xffff where the checksum is right.
fn total(data: &[u8], start: u32) -> u32 {
    let words = data
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut total = start + words.sum::<u32>();
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total
}

fn pseudo(packet: &[u8], message: &[u8]) -> u32 {
    total(&packet[8..40], message.len() as u32 + 58)
}

/// What every packet that leaves has: lengths, checksums, TTL 1, Router Alert.
fn sound(packet: &[u8]) {
    if packet[0] >> 4 == 4 {
        assert_eq!((packet[0], packet[8], packet[9]), (0x46, 1, 2));
        assert_eq!(&packet[20..24], [0x94, 4, 0, 0]);
        let len = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
        assert_eq!(len, packet.len());
        assert_eq!(total(&packet[..24], 0), 0xffff);
        assert_eq!(total(&packet[24..], 0), 0xffff);
    } else {
        assert_eq!((packet[0], packet[6], packet[7]), (0x60, 0, 1));
        assert_eq!(&packet[40..48], [58, 0, 5, 2, 0, 0, 1, 0]);
        let len = usize::from(u16::from_be_bytes([packet[4], packet[5]]));
        assert_eq!(len + 40, packet.len());
        assert_eq!(total(&packet[48..], pseudo(packet, &packet[48..])), 0xffff);
    }
}

fn seal(bytes: &mut [u8], at: usize, start: u32) {
    bytes[at..at + 2].fill(0);
    let checksum = !total(bytes, start) as u16;
    bytes[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
}

/// An IGMP message in an IP packet.
fn packet(destination: [u8; 4], ttl: u8, options: &[u8], message: &[u8]) -> Vec<u8> {
    let header = 20 + options.len();
    let mut message = message.to_vec();
    seal(&mut message, 2, 0);
    let mut packet = vec![0x40 | (header / 4) as u8, 0xc0];
    packet.extend(((header + message.len()) as u16).to_be_bytes());
    packet.extend([0, 0, 0, 0, ttl, 2, 0, 0]);
    packet.extend(ROUTER);
    packet.extend(destination);
    packet.extend(options);
    seal(&mut packet, 10, 0);
    packet.extend(message);
    packet
}

const ALERT: [u8; 4] = [0x94, 4, 0, 0];

fn query(version: u8, group: [u8; 4], code: u8) -> Vec<u8> {
    let mut message = vec![0x11, code, 0, 0];
    message.extend(group);
    if version == 3 {
        // QRV 2, QQIC 125, no sources.
        message.extend([2, 125, 0, 0]);
    }
    let to = if group == [0; 4] { ALL_SYSTEMS } else { group };
    packet(to, 1, &ALERT, &message)
}

fn report(kind: u8, group: [u8; 4]) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0];
    message.extend(group);
    packet(group, 1, &ALERT, &message)
}

const G1: [u8; 4] = [239, 255, 1, 1];
const G2: [u8; 4] = [239, 255, 1, 2];

/// An MLD message in an IP packet.
fn packet6(source: &str, destination: &str, hops: u8, alert: bool, message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    let mut packet = vec![0x60, 0, 0, 0];
    let len = message.len() + if alert { 8 } else { 0 };
    packet.extend((len as u16).to_be_bytes());
    packet.extend([if alert { 0 } else { 58 }, hops]);
    packet.extend(hex::decode(source).unwrap());
    packet.extend(hex::decode(destination).unwrap());
    let start = pseudo(&packet, &message);
    seal(&mut message, 2, start);
    if alert {
        packet.extend([58, 0, 5, 2, 0, 0, 1, 0]);
    }
    packet.extend(message);
    packet
}

const ROUTER6: &str = "fe800000000000000000000000000254";
const ALL_NODES6: &str = "ff020000000000000000000000000001";
const NONE6: &str = "00000000000000000000000000000000";

fn query6(version: u8, group: &str, code: u16) -> Vec<u8> {
    let mut message = vec![130, 0, 0, 0];
    message.extend(code.to_be_bytes());
    message.extend([0, 0]);
    message.extend(hex::decode(group).unwrap());
    if version == 2 {
        message.extend([2, 125, 0, 0]);
    }
    let to = if group == NONE6 { ALL_NODES6 } else { group };
    packet6(ROUTER6, to, 1, true, &message)
}

#[test]
fn before_any_querier_both_formats_are_sent() {
    let mut host = Host::v4(1);
    assert_eq!(host.join(5000, GROUP), OK);
    let sent = host.run(5000);
    let packets: Vec<_> = sent.iter().map(|(_, packet)| packet.as_str()).collect();
    assert_eq!(packets, [V3_JOIN, V2_REPORT, V3_JOIN, V2_REPORT]);
    assert_eq!(sent[0].0, 5000, "the first at once");

    assert_eq!(host.leave(90_000, GROUP), OK);
    let sent = host.run(90_000);
    let packets: Vec<_> = sent.iter().map(|(_, packet)| packet.as_str()).collect();
    assert_eq!(packets, [V3_LEAVE, V2_LEAVE, V3_LEAVE, V2_LEAVE]);
    assert_eq!(host.say("idle"), "1");
    assert_eq!(host.leave(99_000, GROUP), NOT_GROUP);
}

#[test]
fn mld_has_the_bytes_of_its_rfcs() {
    let mut host = Host::v6(1);
    assert_eq!(host.join(0, GROUP6), OK);
    assert_eq!(host.sent(0), [MLD2_JOIN, MLD1_REPORT]);
    assert_eq!(host.leave(10, GROUP6), OK);
    assert_eq!(host.sent(10), [MLD2_LEAVE, MLD1_DONE]);
}

#[test]
fn each_version_is_answered_in_its_own_format() {
    for (version, code, answer, leave) in [
        (1, 0, V1_REPORT, None),
        (2, 100, V2_REPORT, Some(V2_LEAVE)),
        (3, 100, V3_ANSWER, Some(V3_LEAVE)),
    ] {
        let mut host = Host::v4(7);
        host.join(0, GROUP);
        host.run(0);
        assert_eq!(host.input(20_000, &query(version, [0; 4], code)), OK);
        assert!(host.sent(20_000).is_empty(), "not at once");
        let sent = host.run(20_000);
        assert_eq!(sent.len(), 1, "version {version}: {sent:?}");
        assert_eq!(sent[0].1, answer);
        assert!((20_001..=30_000).contains(&sent[0].0), "{sent:?}");
        assert_eq!(host.leave(40_000, GROUP), OK);
        assert_eq!(host.sent(40_000), leave.into_iter().collect::<Vec<_>>());
    }
    for (version, answer, done) in [(1, MLD1_REPORT, MLD1_DONE), (2, "", MLD2_LEAVE)] {
        let mut host = Host::v6(7);
        host.join(0, GROUP6);
        host.run(0);
        assert_eq!(host.input(20_000, &query6(version, NONE6, 10_000)), OK);
        let sent = host.run(20_000);
        assert_eq!(sent.len(), 1, "MLD version {version}: {sent:?}");
        assert!((20_001..=30_000).contains(&sent[0].0), "{sent:?}");
        if version == 1 {
            assert_eq!(sent[0].1, answer);
        } else {
            // MODE_IS_EXCLUDE instead of CHANGE_TO_EXCLUDE_MODE, and so another checksum.
            let joined = hex::decode(MLD2_JOIN).unwrap();
            let answered = hex::decode(&sent[0].1).unwrap();
            let differ = |n: &usize| joined[*n] != answered[*n];
            assert_eq!(
                (0..joined.len()).filter(differ).collect::<Vec<_>>(),
                [50, 56]
            );
            assert_eq!(answered[56], 2);
        }
        host.leave(40_000, GROUP6);
        assert_eq!(host.sent(40_000), [done]);
    }
}

#[test]
fn in_v3_one_report_speaks_for_all_groups() {
    let mut host = Host::v4(3);
    host.join(0, GROUP);
    host.join(0, "efff0102");
    // All systems': a member by nature, never reported.
    host.join(0, "e0000001");
    let joins = host.run(0);
    assert_eq!(joins.len(), 8, "{joins:?}");
    host.input(20_000, &query(3, [0; 4], 100));
    let sent = host.run(20_000);
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!(
        &sent[0].1[24 * 2 + 8..],
        "0000000202000000efff010102000000efff0102"
    );
}

#[test]
fn only_the_group_that_was_asked_for_answers() {
    for version in [2, 3] {
        let mut host = Host::v4(3);
        host.join(0, GROUP);
        host.join(0, "efff0102");
        host.run(0);
        // 1 s, as after another's leave.
        assert_eq!(host.input(20_000, &query(version, G1, 10)), OK);
        let sent = host.run(20_000);
        assert_eq!(sent.len(), 1, "{sent:?}");
        assert!(sent[0].1.ends_with(GROUP), "{sent:?}");
        assert!((20_001..=21_000).contains(&sent[0].0), "{sent:?}");
        let strange = [239, 255, 1, 9];
        assert_eq!(host.input(30_000, &query(version, strange, 10)), IGNORED);
        assert_eq!(host.timeout(30_000), None);
    }
}

#[test]
fn a_query_for_sources_is_answered_for_the_group() {
    let mut host = Host::v4(3);
    host.join(0, GROUP);
    host.run(0);
    let mut message = vec![0x11, 10, 0, 0, 239, 255, 1, 1, 2, 125, 0, 2];
    message.extend([10, 0, 0, 1, 10, 0, 0, 2]);
    assert_eq!(host.input(20_000, &packet(G1, 1, &ALERT, &message)), OK);
    let sent = host.run(20_000);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].1, V3_ANSWER);
    // It claims one source more than it has.
    message[11] = 3;
    let lying = packet(G1, 1, &ALERT, &message);
    assert_eq!(host.input(30_000, &lying), TRUNCATED);
}

#[test]
fn in_v2_one_host_speaks_for_all_and_the_last_to_speak_leaves() {
    let mut host = Host::v4(5);
    host.input(0, &query(2, [0; 4], 100));
    host.join(0, GROUP);
    let first = host.sent(0);
    assert_eq!(first, [V2_REPORT]);
    host.run(0);
    host.input(30_000, &query(2, [0; 4], 100));
    assert!(host.timeout(30_000).is_some());
    assert_eq!(host.input(30_000, &report(0x16, G2)), IGNORED);
    assert!(host.timeout(30_000).is_some());
    assert_eq!(host.input(30_000, &report(0x16, G1)), OK);
    assert_eq!(host.timeout(30_000), None, "suppressed");
    // The other was the last: it is the one to leave aloud.
    host.leave(40_000, GROUP);
    assert!(host.sent(40_000).is_empty());
    assert_eq!(host.say("idle"), "1");

    // Before the first report is out, nobody else's counts: a switch has to hear this port.
    host.join(50_000, GROUP);
    assert_eq!(host.input(50_000, &report(0x16, G1)), IGNORED);
    assert_eq!(host.sent(50_000), [V2_REPORT]);
    host.leave(50_001, GROUP);
    assert_eq!(host.sent(50_001), [V2_LEAVE]);

    let mut host = Host::v6(5);
    host.input(0, &query6(1, NONE6, 1000));
    host.join(0, GROUP6);
    host.run(0);
    host.input(30_000, &query6(1, NONE6, 1000));
    let mut message = vec![131, 0, 0, 0, 0, 0, 0, 0];
    message.extend(hex::decode(GROUP6).unwrap());
    let other = packet6(ROUTER6, GROUP6, 1, true, &message);
    assert_eq!(host.input(30_000, &other), OK);
    assert_eq!(host.timeout(30_000), None, "suppressed");
}

#[test]
fn v3_does_not_suppress() {
    let mut host = Host::v4(5);
    host.join(0, GROUP);
    host.run(0);
    host.input(30_000, &query(3, [0; 4], 100));
    assert_eq!(host.input(30_000, &report(0x16, G1)), IGNORED);
    assert_eq!(host.run(30_000).len(), 1);
}

#[test]
fn an_old_querier_is_obeyed_until_it_is_gone() {
    let mut host = Host::v4(9);
    host.join(0, GROUP);
    host.run(0);
    host.input(10_000, &query(3, [0; 4], 100));
    host.run(10_000);
    host.input(20_000, &query(2, [0; 4], 100));
    host.run(20_000);
    // A v3 query does not end it (RFC 3376 section 7.2.1) …
    host.input(60_000, &query(3, [0; 4], 100));
    let sent = host.run(60_000);
    assert_eq!(sent[0].1, V2_REPORT);
    // … nor anything before 2 * 125 s + 10 s are over.
    host.input(20_000 + 258_000, &query(3, [0; 4], 10));
    assert_eq!(host.run(20_000 + 258_000)[0].1, V2_REPORT);
    host.input(20_000 + 270_000, &query(3, [0; 4], 10));
    assert_eq!(host.run(20_000 + 270_000)[0].1, V3_ANSWER);
}

#[test]
fn a_change_of_version_cancels_what_was_due() {
    let mut host = Host::v4(9);
    host.input(0, &query(3, [0; 4], 100));
    host.join(0, GROUP);
    assert_eq!(host.sent(0), [V3_JOIN]);
    host.leave(1, GROUP);
    assert_eq!(host.sent(1), [V3_LEAVE]);
    assert_eq!(host.say("idle"), "0", "one repeat to go");
    host.input(2, &query(2, [0; 4], 100));
    assert_eq!(host.say("idle"), "1");
    assert!(host.run(2).is_empty());
}

#[test]
fn the_querier_sets_robustness() {
    let mut host = Host::v4(9);
    let message = [0x11, 100, 0, 0, 0, 0, 0, 0, 5, 125, 0, 0];
    host.input(0, &packet(ALL_SYSTEMS, 1, &ALERT, &message));
    host.join(0, GROUP);
    assert_eq!(host.run(0).len(), 5 + 1, "five reports, one answer");
    // 1 is what section 8.1 advises against, 0 is none: 2 it is.
    for weak in [0, 1] {
        let mut host = Host::v4(9);
        let message = [0x11, 100, 0, 0, 0, 0, 0, 0, weak, 125, 0, 0];
        host.input(0, &packet(ALL_SYSTEMS, 1, &ALERT, &message));
        host.run(0);
        host.join(20_000, GROUP);
        assert_eq!(host.run(20_000).len(), 2);
    }
}

#[test]
fn long_response_times_are_floating_point() {
    // 0xff: (15 | 16) << (7 + 3) tenths: 3,174.4 s; 0x8000 in MLDv2: 2^15 ms.
    let mut host = Host::v4(77);
    host.join(0, GROUP);
    host.run(0);
    let mut latest = 0;
    for _ in 0..20 {
        host.input(100_000, &query(3, G1, 0xff));
        let sent = host.run(100_000);
        assert_eq!(sent.len(), 1);
        latest = latest.max(sent[0].0 - 100_000);
    }
    assert!((1_000_000..=3_174_400).contains(&latest), "{latest}");
    let mut host = Host::v6(77);
    host.join(0, GROUP6);
    host.run(0);
    for _ in 0..20 {
        host.input(100_000, &query6(2, GROUP6, 0x8000));
        let sent = host.run(100_000);
        assert!(sent[0].0 - 100_000 <= 32_768, "{sent:?}");
    }
}

#[test]
fn what_is_no_query_of_this_link_is_dropped() {
    let good = query(2, [0; 4], 100);
    let v3 = query(3, [0; 4], 100);
    let with = |at: usize, byte: u8| {
        let mut packet = good.clone();
        packet[at] = byte;
        packet[10..12].fill(0);
        seal(&mut packet[..24], 10, 0);
        packet
    };
    let general = |to, options: &[u8], ttl| packet(to, ttl, options, &good[24..]);
    let cut = |len: usize| packet(ALL_SYSTEMS, 1, &ALERT, &v3[24..24 + len]);
    let mut flipped = good.clone();
    flipped[25] ^= 1;
    let mut header = good.clone();
    header[1] ^= 1;
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("good", good.clone(), OK),
        ("good, v3", v3.clone(), OK),
        ("empty", Vec::new(), TRUNCATED),
        ("19 bytes", good[..19].to_vec(), TRUNCATED),
        ("cut in the options", good[..22].to_vec(), TRUNCATED),
        ("cut in the message", good[..31].to_vec(), TRUNCATED),
        ("IPv6", with(0, 0x66), MALFORMED),
        ("IHL 16", with(0, 0x44), MALFORMED),
        ("total length below the header's", with(3, 20), MALFORMED),
        ("total length beyond the packet", with(3, 200), TRUNCATED),
        ("more fragments", with(6, 0x20), MALFORMED),
        ("fragment offset", with(7, 1), MALFORMED),
        ("UDP", with(9, 17), IGNORED),
        ("header checksum", header, CHECKSUM),
        ("message checksum", flipped, CHECKSUM),
        ("TTL 2", general(ALL_SYSTEMS, &ALERT, 2), NOT_LOCAL),
        ("TTL 0", general(ALL_SYSTEMS, &ALERT, 0), NOT_LOCAL),
        (
            "option of length 0",
            general(ALL_SYSTEMS, &[0x94, 0, 0, 0], 1),
            MALFORMED,
        ),
        (
            "option of length 1",
            general(ALL_SYSTEMS, &[0x94, 1, 0, 0], 1),
            MALFORMED,
        ),
        (
            "option too long",
            general(ALL_SYSTEMS, &[0x94, 5, 0, 0], 1),
            MALFORMED,
        ),
        (
            "option without length",
            general(ALL_SYSTEMS, &[1, 1, 1, 0x94], 1),
            MALFORMED,
        ),
        (
            "no alert, which IGMP bears",
            general(ALL_SYSTEMS, &[], 1),
            OK,
        ),
        ("general query to a group", general(G1, &ALERT, 1), ADDRESS),
        (
            "general query to all routers",
            general([224, 0, 0, 2], &ALERT, 1),
            ADDRESS,
        ),
        (
            "general query to us alone",
            general([10, 77, 0, 10], &ALERT, 1),
            OK,
        ),
        ("message of 9 bytes", cut(9), MALFORMED),
        ("message of 11 bytes", cut(11), MALFORMED),
        (
            "message of 7 bytes",
            packet(ALL_SYSTEMS, 1, &ALERT, &good[24..31]),
            TRUNCATED,
        ),
        (
            "for a group that is none",
            query(2, [10, 0, 0, 1], 10),
            ADDRESS,
        ),
        ("v1, for a group", query(1, G1, 0), ADDRESS),
        ("leave", report(0x17, G1), IGNORED),
        ("type 130, MLD's query", report(130, G1), IGNORED),
        ("type 131, MLD's report", report(131, G1), IGNORED),
    ];
    for (what, packet, result) in cases {
        let mut host = Host::v4(1);
        host.join(0, GROUP);
        host.run(0);
        assert_eq!(host.input(20_000, &packet), result, "{what}");
        let answers = result == OK;
        assert_eq!(host.timeout(20_000).is_some(), answers, "{what}");
    }
}

#[test]
fn what_is_no_mld_query_of_this_link_is_dropped() {
    let good = query6(1, NONE6, 1000);
    let message = &good[48..];
    let with = |at: usize, byte: u8| {
        let mut packet = good.clone();
        packet[at] = byte;
        packet
    };
    let mut echo = message.to_vec();
    echo[0] = 128;
    let longer = |len: usize| {
        let mut message = message.to_vec();
        message.resize(len, 0);
        packet6(ROUTER6, ALL_NODES6, 1, true, &message)
    };
    let global = "20010db8000000000000000000000001";
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("good", good.clone(), OK),
        ("good, v2", longer(28), OK),
        ("empty", Vec::new(), TRUNCATED),
        ("39 bytes", good[..39].to_vec(), TRUNCATED),
        ("cut", good[..good.len() - 1].to_vec(), TRUNCATED),
        ("IPv4", with(0, 0x40), MALFORMED),
        ("UDP", with(6, 17), IGNORED),
        ("UDP after options", with(40, 17), IGNORED),
        ("options beyond the packet", with(41, 9), TRUNCATED),
        ("option beyond the options", with(43, 5), MALFORMED),
        ("checksum", with(52, 9), CHECKSUM),
        (
            "hop limit 255",
            packet6(ROUTER6, ALL_NODES6, 255, true, message),
            NOT_LOCAL,
        ),
        (
            "no alert",
            packet6(ROUTER6, ALL_NODES6, 1, false, message),
            NO_ALERT,
        ),
        ("another alert", with(45, 1), NO_ALERT),
        (
            "no link-local source",
            packet6(global, ALL_NODES6, 1, true, message),
            ADDRESS,
        ),
        (
            "no source",
            packet6(NONE6, ALL_NODES6, 1, true, message),
            ADDRESS,
        ),
        (
            "to another group",
            packet6(ROUTER6, GROUP6, 1, true, message),
            ADDRESS,
        ),
        ("25 bytes", longer(25), MALFORMED),
        ("27 bytes", longer(27), MALFORMED),
        (
            "23 bytes",
            packet6(ROUTER6, ALL_NODES6, 1, true, &message[..23]),
            TRUNCATED,
        ),
        (
            "an echo request",
            packet6(ROUTER6, ALL_NODES6, 64, false, &echo),
            IGNORED,
        ),
    ];
    for (what, packet, result) in cases {
        let mut host = Host::v6(1);
        host.join(0, GROUP6);
        host.run(0);
        assert_eq!(host.input(20_000, &packet), result, "{what}");
        let answers = result == OK;
        assert_eq!(host.timeout(20_000).is_some(), answers, "{what}");
    }
}

#[test]
fn groups_that_cannot_be_are_refused() {
    let mut host = Host::v4(1);
    assert_eq!(host.join(0, "0a000001"), NOT_GROUP);
    for n in 1..=8 {
        assert_eq!(host.join(0, &format!("efff01{n:02x}")), OK);
    }
    assert_eq!(host.join(0, "efff0109"), FULL);
    assert_eq!(host.join(0, "efff0108"), OK, "joined already");
    assert_eq!(host.run(0).len(), 8 * 4);
    host.input(20_000, &query(3, [0; 4], 10));
    let sent = host.run(20_000);
    assert_eq!(sent[0].1.len() / 2, 24 + 8 + 8 * 8);
    let mut host = Host::v6(1);
    assert_eq!(host.join(0, SOURCE6), NOT_GROUP);
    // All nodes', and interface-local scope: nobody reports them (RFC 3810 section 6).
    assert_eq!(host.join(0, ALL_NODES6), OK);
    assert_eq!(host.join(0, "ff0100000000000000000000000000fb"), OK);
    assert!(host.run(0).is_empty());
}

#[test]
fn the_header_is_found_in_front_of_the_payload() {
    let mut host = Host::start();
    let mut before = |family, packet: &[u8], at| {
        host.say(&format!("before {family} {} {at}", hex::encode(packet)))
    };
    for options in [&[][..], &ALERT, &[1; 40]] {
        let mut framed = vec![0x45; 14];
        framed.extend(packet(G1, 1, options, &[0x16, 0, 0, 0, 239, 255, 1, 1]));
        let header = 20 + options.len();
        assert_eq!(before(4, &framed, 14 + header), header.to_string());
        assert_eq!(before(4, &framed[15..], header - 1), "0");
    }
    let mut framed = vec![0x60; 14];
    framed.extend(query6(1, NONE6, 1));
    assert_eq!(before(6, &framed, 14 + 48), "48");
    framed.truncate(14);
    framed.extend(packet6(ROUTER6, ALL_NODES6, 1, false, &[130; 24]));
    assert_eq!(before(6, &framed, 14 + 40), "40");
    assert_eq!(before(6, &framed[15..], 39), "0");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn joins_are_repeated_within_the_interval(seed: u32, start: u32, old: bool) {
        let mut host = Host::v4(seed);
        let interval = if old {
            host.input(start, &query(2, [0; 4], 10));
            10_000
        } else {
            1000
        };
        host.join(start, GROUP);
        let sent = host.run(start);
        let own: Vec<_> = sent.iter().filter(|(_, p)| p == V2_REPORT).collect();
        prop_assert_eq!(own.len(), 2, "{:?}", sent);
        prop_assert_eq!(own[0].0, start);
        let after = own[1].0.wrapping_sub(start);
        prop_assert!(after > 0 && after <= interval, "{}", after);
    }

    /// Whatever is asked how often: the answer comes by the earliest deadline, and once.
    #[test]
    fn answers_keep_the_earliest_deadline(
        seed: u32,
        start: u32,
        version in 2u8..=3,
        codes in proptest::collection::vec((0u32..3000, 1u8..=127, any::<bool>()), 1..6),
    ) {
        let mut host = Host::v4(seed);
        host.join(start, GROUP);
        host.run(start);
        let mut now = start.wrapping_add(60_000);
        host.input(now, &query(version, [0; 4], 1));
        host.run(now);
        now = now.wrapping_add(60_000);
        let mut deadline: Option<u32> = None;
        for (wait, code, specific) in codes {
            // Time passes, but not beyond what is due.
            let wait = wait.min(host.timeout(now).map_or(wait, |left| left.saturating_sub(1)));
            now = now.wrapping_add(wait);
            let group = if specific { G1 } else { [0; 4] };
            host.input(now, &query(version, group, code));
            let max = u32::from(code) * 100;
            let left = deadline.map_or(max, |at| at.wrapping_sub(now).min(max));
            deadline = Some(now.wrapping_add(left));
            let due = host.timeout(now);
            prop_assert!(due.is_some_and(|due| due <= left), "{:?} of {}", due, left);
        }
        let sent = host.run(now);
        let wanted = if version == 2 { V2_REPORT } else { V3_ANSWER };
        prop_assert!(sent.iter().all(|(_, p)| p == wanted), "{:?}", sent);
        // In v3, a general and a specific query may each have an answer (RFC 3376 section 5.2).
        prop_assert!((1..=usize::from(version) - 1).contains(&sent.len()), "{:?}", sent);
    }
}

/// Mutated packets, under sanitizers; the harness checks what it promises after each.
#[test]
fn no_input_breaks_it() {
    for seed in 1..=4 {
        let said = Host::start().say(&format!("fuzz {seed} 300000"));
        assert!(said.starts_with("fine: "), "seed {seed}: {said}");
        // It got through every check, and into every refusal there is for packets.
        let counts: Vec<u64> = said
            .split_once("results ")
            .unwrap()
            .1
            .split(' ')
            .map(|count| count.parse().unwrap())
            .collect();
        assert!(
            counts[..8].iter().all(|count| *count > 0),
            "seed {seed}: {said}"
        );
    }
}
