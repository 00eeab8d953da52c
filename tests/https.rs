// SPDX-License-Identifier: MIT OR Apache-2.0
//! HTTP over TLS, from files to answers, with certificates that openssl makes and curl judges.
#![expect(
    clippy::disallowed_methods,
    reason = "real sockets and certificates: both go by the real clock"
)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use site::{Https, Site};
use slamboot::boot::http::{Beside, HttpServer, HttpStand};
use slamboot::boot::identity::{Identity, IdentityError};
use slamboot::net::Shelf;
use tempfile::TempDir;

const DAY: Duration = Duration::from_hours(24);
const RSA: &[&str] = &["-newkey", "rsa:2048"];
const ECDSA: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];

/// A self-signed certificate for 127.0.0.1, for 30 days, and its key beside it.
fn make(folder: &Path, name: &str, kind: &[&str]) -> Https {
    let https = Https {
        port: 0,
        certificate: folder.join(format!("{name}.crt")),
        key: folder.join(format!("{name}.key")),
    };
    let made = Command::new("openssl")
        .args(["req", "-x509", "-nodes", "-days", "30", "-subj", "/CN=room"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .args(kind)
        .arg("-out")
        .arg(&https.certificate)
        .arg("-keyout")
        .arg(&https.key)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    https
}

/// Whether the judges are installed; says so if not.
fn has_judges(test: &str) -> bool {
    for program in ["openssl", "curl"] {
        if Command::new(program).arg("--version").output().is_err() {
            eprintln!("skipped: {test}: no {program} here (apt-get install {program})");
            return false;
        }
    }
    true
}

/// Longer than many records of TLS (16 KiB each), and no multiple of them.
fn memdisk() -> Vec<u8> {
    (0..700_001_u32).map(|i| (i * 31 % 251) as u8).collect()
}

struct Room {
    server: HttpServer,
    folder: TempDir,
}

impl Room {
    fn new(folder: TempDir, https: &Https) -> Room {
        fs::write(folder.path().join("memdisk"), memdisk()).unwrap();
        let toml = "[server]\nmemdisk = \"memdisk\"\n";
        let site = Site::parse(toml, &folder.path().join("slamboot.toml")).unwrap();
        let identity = Identity::read(https, SystemTime::now()).unwrap();
        let cookie = || async { [("Set-Cookie", "a=b; Path=/status")] };
        let beside = Beside {
            secure: Some((0, identity)),
            pages: Some(axum::Router::new().route("/cookie", axum::routing::get(cookie))),
            ..Beside::default()
        };
        let stand = HttpStand {
            address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0),
            site,
        };
        let server = HttpServer::start(
            &[stand],
            &Arc::new(Shelf::default()),
            |_, _, _, _| Ok("#!ipxe\n".to_owned()),
            &Arc::default(),
            &Arc::default(),
            &beside,
        );
        Room {
            server: server.unwrap(),
            folder,
        }
    }

    fn address(&self) -> SocketAddr {
        self.server.secure_addresses()[0]
    }

    fn curl(&self, root: &Path, options: &[&str]) -> Output {
        Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "30", "--cacert"])
            .arg(root)
            .args(options)
            .arg(format!("https://{}/memdisk", self.address()))
            .output()
            .unwrap()
    }
}

/// The suites and groups of iPXE 2.0 (`crypto/mishmash`) that are spoken here, one at a time.
#[test]
fn curl_and_what_ipxe_speaks_get_the_same_as_by_http() {
    if !has_judges("curl_and_what_ipxe_speaks_get_the_same_as_by_http") {
        return;
    }
    // An ECDSA certificate's own curve is to be among those that the client knows, as it is in iPXE.
    for (kind, suites, groups) in [
        (
            RSA,
            ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"],
            ["X25519", "P-256", "P-384"],
        ),
        (
            ECDSA,
            [
                "ECDHE-ECDSA-AES128-GCM-SHA256",
                "ECDHE-ECDSA-AES256-GCM-SHA384",
            ],
            ["X25519:P-256", "P-256", "X25519:P-256:P-384"],
        ),
    ] {
        let folder = TempDir::new().unwrap();
        let https = make(folder.path(), "room", kind);
        let room = Room::new(folder, &https);
        let mut all: Vec<Vec<&str>> = vec![vec!["--tlsv1.3"]];
        for suite in suites {
            for group in groups {
                all.push(vec![
                    "--tls-max",
                    "1.2",
                    "--ciphers",
                    suite,
                    "--curves",
                    group,
                ]);
            }
        }
        for options in all {
            let got = room.curl(&https.certificate, &options);
            assert!(got.stdout == memdisk(), "{options:?}: {:?}", got.stderr);
        }
        let part = room.curl(&https.certificate, &["--range", "3-"]);
        assert_eq!(part.stdout, memdisk()[3..]);
        // Only TLS answers there, and only who is believed is asked.
        let other = make(room.folder.path(), "other", ECDSA);
        let refused = room.curl(&other.certificate, &[]);
        assert_eq!(refused.status.code(), Some(60), "{refused:?}");
        let old = room.curl(&https.certificate, &["--tls-max", "1.1"]);
        assert!(!old.status.success(), "{old:?}");
        let mut plain = TcpStream::connect(room.address()).unwrap();
        plain
            .write_all(b"GET /memdisk HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        let mut answer = Vec::new();
        let _ = plain.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    }
}

#[test]
fn a_renewed_certificate_is_shown_without_a_restart() {
    if !has_judges("a_renewed_certificate_is_shown_without_a_restart") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let first = make(folder.path(), "first", ECDSA);
    let second = make(folder.path(), "second", RSA);
    let room = Room::new(folder, &first);
    assert!(room.curl(&first.certificate, &[]).stdout == memdisk());
    room.server
        .renew(&Identity::read(&second, SystemTime::now()).unwrap());
    assert!(room.curl(&second.certificate, &[]).stdout == memdisk());
    let old = room.curl(&first.certificate, &[]);
    assert_eq!(old.status.code(), Some(60), "{old:?}");
}

/// Who begins a handshake and never ends it holds its place for 15 s, and nobody up; no address has
/// more than its share.
#[test]
fn slow_handshakes_are_cut_off() {
    if !has_judges("slow_handshakes_are_cut_off") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let https = make(folder.path(), "room", ECDSA);
    let room = Room::new(folder, &https);
    let begun = Instant::now();
    let connect = || {
        let stream = TcpStream::connect(room.address()).unwrap();
        let wait = Some(Duration::from_secs(40));
        stream.set_read_timeout(wait).unwrap();
        stream
    };
    let mut silent = connect();
    let mut slow = connect();
    // The head of a record of 512 bytes (RFC 5246, section 6.2.1), a ClientHello that never is whole.
    slow.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        .unwrap();
    let mut trickle = slow.try_clone().unwrap();
    let trickling = std::thread::spawn(move || {
        while trickle.write_all(b"\0").is_ok() && begun.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    assert!(room.curl(&https.certificate, &[]).stdout == memdisk());
    let others: Vec<TcpStream> = (0..254).map(|_| connect()).collect();
    let mut byte = [0];
    let asked = Instant::now();
    assert!(
        !matches!(connect().read(&mut byte), Ok(1)),
        "one connection more than an address may have"
    );
    assert!(asked.elapsed() < Duration::from_secs(10), "not at once");
    for stream in [&mut silent, &mut slow] {
        let read = stream.read(&mut byte);
        assert!(!matches!(read, Ok(1)), "{read:?}");
        let after = begun.elapsed();
        assert!(
            (Duration::from_secs(14)..Duration::from_secs(30)).contains(&after),
            "{after:?}"
        );
    }
    trickling.join().unwrap();
    // Their places are free again, though the other ends are still open.
    let until = Instant::now() + Duration::from_secs(20);
    while room.curl(&https.certificate, &[]).stdout != memdisk() {
        assert!(Instant::now() < until, "no room was made");
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(others);
}

fn refused(https: &Https, now: SystemTime) -> String {
    let error: IdentityError = Identity::read(https, now).unwrap_err();
    error.to_string()
}

#[test]
fn what_cannot_be_used_is_explained() {
    if !has_judges("what_cannot_be_used_is_explained") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let good = make(folder.path(), "good", ECDSA);
    let other = make(folder.path(), "other", RSA);
    let now = SystemTime::now();
    assert!(Identity::read(&good, now).is_ok());
    let with = |certificate: &PathBuf, key: &PathBuf| Https {
        port: 0,
        certificate: certificate.clone(),
        key: key.clone(),
    };
    let says = |https: &Https, now: SystemTime, parts: &[&str]| {
        let text = refused(https, now);
        for part in parts {
            assert!(text.contains(part), "{part:?} not in:\n{text}");
        }
    };
    says(
        &with(&at("gone.crt"), &good.key),
        now,
        &[
            "[server] certificate: cannot read ",
            "gone.crt: No such file",
            "expected: -----BEGIN CERTIFICATE-----",
            "help: name a file that this user can read: certificate = \"FILE\" (--certificate FILE)",
        ],
    );
    says(
        &with(&good.certificate, &folder.path().to_owned()),
        now,
        &["[server] key: cannot read ", "no regular file"],
    );
    says(
        &with(&good.key, &good.key),
        now,
        &[
            "[server] certificate: not in ",
            "good.key",
            "found: PRIVATE KEY",
        ],
    );
    says(
        &with(&good.certificate, &good.certificate),
        now,
        &[
            "[server] key: not in ",
            "found: CERTIFICATE",
            "key = \"FILE\"",
        ],
    );
    fs::write(at("empty"), "").unwrap();
    says(
        &with(&at("empty"), &good.key),
        now,
        &["found: an empty file"],
    );
    fs::write(at("der"), b"\x30\x82\x01\x00").unwrap();
    says(
        &with(&at("der"), &good.key),
        now,
        &["found: 4 bytes without a line", "openssl x509 -inform der"],
    );
    let locked = Command::new("openssl")
        .args(["pkey", "-aes128", "-passout", "pass:secret", "-in"])
        .arg(&good.key)
        .arg("-out")
        .arg(at("locked.key"))
        .status()
        .unwrap();
    assert!(locked.success());
    says(
        &with(&good.certificate, &at("locked.key")),
        now,
        &[
            "found: ENCRYPTED PRIVATE KEY",
            "take the password off: openssl pkey",
        ],
    );
    says(
        &with(&good.certificate, &other.key),
        now,
        &[
            "other.key is not the key of ",
            "good.crt",
            "must print the same",
        ],
    );
    for wrong in [now + 31 * DAY, now - DAY] {
        says(
            &good,
            wrong,
            &[
                "good.crt is not valid now",
                "expected: a time from 20",
                "renew it, or set the clock",
            ],
        );
    }
    // Both in one file, as some tools write them.
    let both = [
        fs::read(&good.key).unwrap(),
        fs::read(&good.certificate).unwrap(),
    ]
    .concat();
    fs::write(at("both.pem"), both).unwrap();
    let mode =
        |mode| fs::set_permissions(at("both.pem"), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    says(
        &with(&at("both.pem"), &at("both.pem")),
        now,
        &[
            "[server] key: everybody on this machine can read ",
            "found: 0644",
            "chmod o= ",
        ],
    );
    mode(0o640);
    assert!(Identity::read(&with(&at("both.pem"), &at("both.pem")), now).is_ok());
}

/// Over TLS and without it, the same is served; but a cookie that was got over TLS stays there.
#[test]
fn cookies_of_tls_are_for_tls() {
    if !has_judges("cookies_of_tls_are_for_tls") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let https = make(folder.path(), "room", ECDSA);
    let room = Room::new(folder, &https);
    let head = |url: String| {
        let output = Command::new("curl")
            .args(["--silent", "--include", "--max-time", "30", "--cacert"])
            .arg(&https.certificate)
            .arg(url)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let secured = head(format!("https://{}/cookie", room.address()));
    assert!(
        secured.contains("a=b; Path=/status; Secure\r\n"),
        "{secured}"
    );
    let plain = head(format!("http://{}/cookie", room.server.addresses()[0]));
    assert!(plain.contains("a=b; Path=/status\r\n"), "{plain}");
}

/// Whatever is in the files is an error at most.
#[test]
fn damaged_files_are_errors_not_panics() {
    if !has_judges("damaged_files_are_errors_not_panics") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let good = make(folder.path(), "good", ECDSA);
    let now = SystemTime::now();
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    eprintln!("seed {seed}");
    let mut refused = 0;
    for path in [&good.certificate, &good.key] {
        let whole = fs::read(path).unwrap();
        for _ in 0..400 {
            let mut bytes = whole.clone();
            let at = random.usize(..bytes.len());
            match random.u8(..3) {
                0 => bytes.truncate(at),
                1 => bytes[at] = random.u8(..),
                _ => bytes[at] = b'A' + random.u8(..26),
            }
            fs::write(path, &bytes).unwrap();
            refused += usize::from(Identity::read(&good, now).is_err());
        }
        fs::write(path, &whole).unwrap();
    }
    assert!(refused > 100, "{refused}");
    assert!(Identity::read(&good, now).is_ok());
}
