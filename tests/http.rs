// SPDX-License-Identifier: MIT OR Apache-2.0
//! The HTTP server over real sockets on loopback, byte by byte as a client sends and sees it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use site::{Arch, Mac, Site, Transfer};
use slamboot::boot::http::{Beside, HttpError, HttpServer, HttpStand};
use slamboot::boot::script::{Loader, Shows};
use slamboot::net::{Content, Shelf};
use tempfile::TempDir;

/// What a client got.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value.trim_end())
        })
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A server with a disk, a Linux image, memdisk, and a secret beside them.
struct Room {
    server: HttpServer,
    shelf: Arc<Shelf>,
    site: Site,
    disk: Vec<u8>,
    folder: TempDir,
}

fn script(
    loader: Loader,
    _site: &Site,
    shows: &Shows<'_>,
    server: Ipv4Addr,
) -> Result<String, String> {
    let Shows::Image(image) = shows else {
        return Ok(format!("#!ipxe\necho {shows:?} from {server}\n"));
    };
    match (image.name.as_str(), loader) {
        ("broken", _) => Err("args of broken cannot stand in a script".to_owned()),
        (name, Loader::Gpxe) => Ok(format!("#!gpxe\necho {name} from {server}\n")),
        (name, Loader::Ipxe) => Ok(format!("#!ipxe\necho {name} from {server}\n")),
    }
}

impl Room {
    fn new() -> Room {
        Room::with("", &Beside::default())
    }

    /// With more in its configuration, and what goes with it.
    fn with(rules: &str, beside: &Beside) -> Room {
        let folder = TempDir::new().unwrap();
        // Longer than what is read at a time, and no multiple of it.
        let disk: Vec<u8> = (0..700_001_u32).map(|i| (i * 31 % 251) as u8).collect();
        fs::write(folder.path().join("demo.img"), &disk).unwrap();
        fs::write(folder.path().join("linux"), "kernel").unwrap();
        fs::write(folder.path().join("initrd.gz"), "initrd").unwrap();
        fs::write(folder.path().join("memdisk"), "memdisk").unwrap();
        fs::write(folder.path().join("secret"), "secret").unwrap();
        let toml = "\
[server]
memdisk = \"memdisk\"
[[image]]
name = \"demo\"
kind = \"disk\"
path = \"demo.img\"
[[image]]
name = \"debian\"
kind = \"linux\"
kernel = \"linux\"
initrd = \"initrd.gz\"
[[image]]
name = \"broken\"
kind = \"disk\"
path = \"gone.img\"
";
        let toml = format!("{toml}{rules}");
        let site = Site::parse(&toml, &folder.path().join("slamboot.toml")).unwrap();
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
        let shelf = Arc::new(Shelf::default());
        let stand = HttpStand {
            address,
            site: site.clone(),
        };
        let room = Room {
            server: HttpServer::start(
                &[stand],
                &shelf,
                script,
                &Arc::default(),
                &Arc::default(),
                beside,
            )
            .unwrap(),
            shelf,
            site,
            disk,
            folder,
        };
        // As a driver does, which serves all that is there.
        for transfer in room.site.transfers() {
            if transfer.path.exists() {
                room.put(&transfer);
            }
        }
        room
    }

    fn put(&self, transfer: &Transfer) {
        let content = Content::open(&transfer.path, true, &mut |_, _| ()).unwrap();
        let content = Arc::new(content);
        self.shelf.put(Ipv4Addr::LOCALHOST, transfer, content);
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.server.addresses()[0]).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
    }

    /// Sends the request line and headers as they are, and reads to the end.
    fn ask(&self, line: &str, headers: &str) -> Answer {
        let mut stream = self.connect();
        let request = format!("{line}\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        let end = all
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap_or_else(|| panic!("{line}: {:?}", String::from_utf8_lossy(&all)));
        let head = String::from_utf8(all[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer {
            status,
            head,
            body: all[end + 4..].to_vec(),
        }
    }

    fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1"), "")
    }
}

#[test]
fn signatures_lie_beside_their_files() {
    let room = Room::new();
    for (path, name) in [
        ("/signatures/demo", "demo.img.sig"),
        ("/signatures/debian/initrd", "initrd.gz.sig"),
        ("/memdisk.sig", "memdisk.sig"),
    ] {
        let answer = room.get(path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.text().contains(name), "{}", answer.text());
        let file = room.folder.path().join(name);
        fs::write(&file, format!("signature of {path}")).unwrap();
        let answer = room.get(path);
        assert_eq!(
            (answer.status, answer.text()),
            (200, &*format!("signature of {path}"))
        );
        // Another signature is served at once.
        fs::write(&file, vec![0; 64 << 10]).unwrap();
        assert_eq!(room.get(path).body.len(), 64 << 10);
        fs::write(&file, vec![0; (64 << 10) + 1]).unwrap();
        assert_eq!(room.get(path).status, 500);
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert_eq!(room.get(path).status, 500);
    }
    for path in [
        "/signatures/secret",
        "/signatures/../secret",
        "/signatures/demo.img",
        "/signatures/",
    ] {
        assert_eq!(room.get(path).status, 404, "{path}");
    }
}

#[test]
fn files_come_whole_with_their_length() {
    let room = Room::new();
    let answer = room.get("/images/demo");
    assert_eq!(answer.status, 200);
    assert!(
        answer.head.starts_with("HTTP/1.1 200 OK\r\n"),
        "{}",
        answer.head
    );
    assert_eq!(answer.header("Content-Length"), Some("700001"));
    assert_eq!(answer.header("Transfer-Encoding"), None);
    assert!(answer.header("Last-Modified").unwrap().ends_with("GMT"));
    assert_eq!(answer.header("Accept-Ranges"), Some("bytes"));
    assert!(answer.body == room.disk, "the bytes of the file");
    assert_eq!(room.get("/images/debian/kernel").text(), "kernel");
    assert_eq!(room.get("/images/debian/initrd").text(), "initrd");
    assert_eq!(room.get("/memdisk").text(), "memdisk");
}

#[test]
fn ranges() {
    let room = Room::new();
    let range = |range: &str| room.ask("GET /images/demo HTTP/1.1", &format!("Range: {range}\r\n"));
    let middle = range("bytes=262140-262149");
    assert_eq!(middle.status, 206);
    assert_eq!(
        middle.header("Content-Range"),
        Some("bytes 262140-262149/700001")
    );
    assert_eq!(middle.header("Content-Length"), Some("10"));
    assert_eq!(middle.body, room.disk[262_140..262_150]);
    let tail = range("bytes=700000-");
    assert_eq!(
        (tail.status, tail.body.as_slice()),
        (206, &room.disk[700_000..])
    );
    let last = range("bytes=-5");
    assert_eq!(
        (last.status, last.body.as_slice()),
        (206, &room.disk[699_996..])
    );
    let beyond = range("bytes=700001-");
    assert_eq!(beyond.status, 416);
    assert_eq!(beyond.header("Content-Range"), Some("bytes */700001"));
}

#[test]
fn head_has_the_length_and_no_body() {
    let room = Room::new();
    let answer = room.ask("HEAD /images/demo HTTP/1.1", "");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("Content-Length"), Some("700001"));
    assert!(answer.body.is_empty());
    let script = room.ask("HEAD /boot.ipxe HTTP/1.1", "");
    assert_eq!((script.status, script.body.len()), (200, 0));
}

#[test]
fn an_unchanged_file_is_not_sent_again() {
    let room = Room::new();
    let modified = room
        .get("/memdisk")
        .header("Last-Modified")
        .unwrap()
        .to_owned();
    let headers = format!("If-Modified-Since: {modified}\r\n");
    let answer = room.ask("GET /memdisk HTTP/1.1", &headers);
    assert_eq!((answer.status, answer.body.len()), (304, 0));
}

/// Whatever happens to the path: until the session changes, the bytes are the session's.
#[test]
fn a_replaced_file_is_served_as_long_as_it_is_multicast() {
    let room = Room::new();
    let path = room.folder.path().join("demo.img");
    let before = room.get("/images/demo");
    let etag = before.header("ETag").unwrap().to_owned();
    let new: Vec<u8> = room.disk.iter().rev().copied().collect();
    fs::write(room.folder.path().join("new"), &new).unwrap();
    fs::rename(room.folder.path().join("new"), &path).unwrap();
    assert!(room.get("/images/demo").body == room.disk, "the old bytes");

    // A download that has begun ends as it began.
    let mut stream = room.connect();
    let request = "GET /images/demo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = vec![0; 16];
    stream.read_exact(&mut answer).unwrap();
    room.put(&room.site.transfers()[0]);
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.ends_with(&room.disk), "the old bytes to the end");
    let after = room.get("/images/demo");
    assert!(after.body == new, "the new bytes");
    assert_ne!(after.header("ETag"), Some(etag.as_str()));

    // What was begun of the old one is not completed with the new one.
    let ask = |headers: &str| room.ask("GET /images/demo HTTP/1.1", headers);
    let part = ask(&format!("Range: bytes=10-19\r\nIf-Range: {etag}\r\n"));
    assert_eq!((part.status, part.body.len()), (200, new.len()));
    let etag = after.header("ETag").unwrap();
    let part = ask(&format!("Range: bytes=10-19\r\nIf-Range: {etag}\r\n"));
    assert_eq!((part.status, part.body.as_slice()), (206, &new[10..20]));
    let unchanged = ask(&format!("If-None-Match: {etag}\r\n"));
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    let several = ask("Range: bytes=0-1,5-6\r\n");
    assert_eq!((several.status, several.body.len()), (200, new.len()));
}

#[test]
fn a_file_that_is_written_to_breaks_off() {
    let room = Room::new();
    fs::write(room.folder.path().join("demo.img"), &room.disk[1..]).unwrap();
    let mut stream = room.connect();
    let request = "GET /images/demo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.len() < 1000, "{} bytes of a mixture", answer.len());
}

/// After a change of the configuration, scripts name a port only when it serves that file.
#[test]
fn a_script_waits_until_its_files_are_served() {
    let room = Room::new();
    let mut site = room.site.clone();
    site.images.swap(0, 1);
    site.default_image = 1;
    room.server.show([site.clone()]);
    let waiting = room.get("/boot.ipxe");
    let port = room.server.addresses()[0].port();
    assert_eq!(
        waiting.text(),
        format!(
            "#!ipxe\necho slamboot: demo is not served yet, asking again\nsleep 5\n\
             chain --replace --autofree http://127.0.0.1:{port}/boot.ipxe?image=demo\n"
        )
    );
    assert_eq!(room.get("/boot.gpxe").status, 503);
    for transfer in site.transfers() {
        if transfer.path.exists() {
            room.put(&transfer);
        }
    }
    assert_eq!(
        room.get("/boot.ipxe").text(),
        "#!ipxe\necho demo from 127.0.0.1\n"
    );
}

#[test]
fn scripts_are_rendered_for_the_image_asked_for() {
    let room = Room::new();
    let default = room.get("/boot.ipxe");
    assert_eq!(default.text(), "#!ipxe\necho demo from 127.0.0.1\n");
    assert_eq!(default.header("Content-Length"), Some("32"));
    let gpxe = room.get("/boot.gpxe");
    assert_eq!(gpxe.text(), "#!gpxe\necho demo from 127.0.0.1\n");
    let debian = room.get("/boot.ipxe?image=debian");
    assert_eq!(debian.text(), "#!ipxe\necho debian from 127.0.0.1\n");
    let wrong = room.get("/boot.ipxe?image=debain");
    assert_eq!(wrong.status, 404);
    assert_eq!(
        wrong.text(),
        "no image \"debain\"; did you mean \"debian\"?\n"
    );
    let broken = room.get("/boot.ipxe?image=broken");
    assert_eq!(broken.status, 500);
    assert_eq!(broken.text(), "args of broken cannot stand in a script\n");
}

/// Groups that name an architecture hold for machines of which DHCP heard it, and for no others.
#[test]
fn scripts_go_by_the_architecture_that_dhcp_heard() {
    let rules = "\
[[group]]
name = \"arm\"
arch = \"efi-arm64\"
image = \"debian\"
[[group]]
name = \"old\"
arch = \"bios\"
boot = \"local\"
";
    let beside = Beside::default();
    let room = Room::with(rules, &beside);
    let mac = |last: u8| Mac::new([0x52, 0x54, 0, 0, 0, last]);
    let ask = |last| {
        let answer = room.get(&format!("/boot.ipxe?mac={}", mac(last)));
        answer.text().to_owned()
    };
    let default = "#!ipxe\necho demo from 127.0.0.1\n";
    assert_eq!(ask(1), default);
    beside.archs.heard(mac(1), Arch::EfiArm64);
    beside.archs.heard(mac(2), Arch::Bios);
    beside.archs.heard(mac(3), Arch::EfiX64);
    assert_eq!(ask(1), "#!ipxe\necho debian from 127.0.0.1\n");
    assert_eq!(ask(2), "#!ipxe\necho Local from 127.0.0.1\n");
    assert_eq!(ask(3), default);
    assert_eq!(ask(4), default);
}

#[test]
fn the_first_page_lists_what_is_served() {
    let room = Room::new();
    let page = room.get("/");
    for line in [
        "/memdisk                         boots disk images",
        "/boot.ipxe                       iPXE script that boots demo",
        "/boot.ipxe?image=debian          iPXE script that boots debian",
        "/images/demo                     x-slam://127.0.0.1:10000/239.255.1.1:10000",
        "/images/debian/initrd            x-slam://127.0.0.1:10002/239.255.1.3:10002",
    ] {
        assert!(
            page.text().lines().any(|l| l == line),
            "{line}\n{}",
            page.text()
        );
    }
}

#[test]
fn nothing_else_is_served() {
    let room = Room::new();
    for path in [
        "/secret",
        "/images",
        "/images/",
        "/images/secret",
        "/images/demo.img",
        "/images/demo/",
        "/images/demo/../secret",
        "/images/../secret",
        "/../secret",
        "/images/demo/../../secret",
        "/images/%2e%2e/secret",
        "/images/..%2fsecret",
        "/images/..%5csecret",
        "/images/debian/%2e%2e/secret",
        "/memdisk/../secret",
        "/memdisk/secret",
        "//secret",
        "//etc/passwd",
        "/images//etc/passwd",
        "/%00",
        "/etc/passwd",
    ] {
        let answer = room.get(path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.text().contains("secret"), "{path}");
    }
    // A file that is not there, and methods that would change something.
    let absent = room.get("/images/broken");
    assert_eq!(
        (absent.status, absent.header("Retry-After")),
        (503, Some("5"))
    );
    for method in ["POST", "PUT", "DELETE"] {
        let answer = room.ask(&format!("{method} /images/demo HTTP/1.1"), "");
        assert_eq!(answer.status, 405, "{method}");
    }
}

/// iPXE keeps the connection and asks again on it.
#[test]
fn one_connection_carries_several_requests() {
    let room = Room::new();
    let mut stream = room.connect();
    for _ in 0..3 {
        stream
            .write_all(b"GET /memdisk HTTP/1.1\r\nConnection: keep-alive\r\nUser-Agent: iPXE/2.0.0\r\nHost: x\r\n\r\n")
            .unwrap();
        let mut all = Vec::new();
        let mut byte = [0];
        while !all.ends_with(b"\r\n\r\nmemdisk") {
            stream.read_exact(&mut byte).unwrap();
            all.push(byte[0]);
        }
        assert!(all.starts_with(b"HTTP/1.1 200 OK\r\n"));
    }
}

#[test]
fn garbage_does_not_end_the_server() {
    let room = Room::new();
    for garbage in [
        &b"\x16\x03\x01\0\xff"[..],
        b"GET\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"",
    ] {
        let mut stream = room.connect();
        stream.write_all(garbage).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
    }
    assert_eq!(room.get("/memdisk").status, 200);
}

/// A download that never ends does not hold up the end.
#[test]
fn stopping_does_not_wait_for_ever() {
    let room = Room::new();
    let address = room.server.addresses()[0];
    let mut stuck = room.connect();
    stuck
        .write_all(b"GET /images/demo HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut first = [0; 16];
    stuck.read_exact(&mut first).unwrap();
    room.server.stop();
    assert!(TcpStream::connect(address).is_err(), "still listening");
}

#[test]
fn a_taken_port_is_explained() {
    let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = holder.local_addr().unwrap().port();
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    let stand = HttpStand {
        address,
        site: Site::default(),
    };
    let shelf = Arc::new(Shelf::default());
    let error = HttpServer::start(
        &[stand],
        &shelf,
        script,
        &Arc::default(),
        &Arc::default(),
        &Beside::default(),
    )
    .unwrap_err();
    assert!(matches!(error, HttpError::PortTaken { .. }));
    assert_eq!(
        error.to_string(),
        format!(
            "TCP port {port} of 127.0.0.1 is taken\n  help: `ss -ltnp 'sport = :{port}'` names the \
             holder; stop it, or choose another port with --http-port N (http_port under \
             [server]), or do without with --no-http"
        )
    );
}

/// Nobody takes all connections, and who leaves makes room.
#[test]
fn connections_of_one_address_are_bounded() {
    let room = Room::new();
    let mut open: Vec<TcpStream> = (0..256).map(|_| room.connect()).collect();
    let mut refused = 0;
    for _ in 0..20 {
        let mut beyond = room.connect();
        let _ = beyond.set_read_timeout(Some(Duration::from_secs(20)));
        let _ = beyond.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let mut byte = [0];
        refused += usize::from(!matches!(beyond.read(&mut byte), Ok(1)));
    }
    assert_eq!(refused, 20);
    // Those that are there are served, however long they wait.
    let first = &mut open[0];
    first
        .write_all(b"GET /memdisk HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut said = String::new();
    first.read_to_string(&mut said).unwrap();
    assert!(said.ends_with("memdisk"), "{said}");
    drop(open);
    for _ in 0..200 {
        let mut again = room.connect();
        let _ = again.write_all(b"GET /memdisk HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let mut said = String::new();
        if again.read_to_string(&mut said).is_ok() && said.ends_with("memdisk") {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("no room was made");
}
