// SPDX-License-Identifier: MIT OR Apache-2.0
//! The page and the API over real sockets on loopback: a real server with its driver, and clients
//! that speak SLAM by hand.

#[path = "support/serve.rs"]
mod serve;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use slam_client::BlockSet;
use slam_client::wire::{ClientPacket, MAX_NACK_LEN, Nack};
use tempfile::TempDir;

use serve::Server;

const SOON: Duration = Duration::from_secs(30);
const MAC: &str = "52:54:00:00:00:07";

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{}", self.body))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value.trim_end())
        })
    }
}

impl Server {
    fn start(config: &str) -> Server {
        Server::start_in(tempfile::tempdir().unwrap(), config)
    }

    /// Its rooms wait for three.
    fn start_in(folder: TempDir, config: &str) -> Server {
        fs::write(folder.path().join("demo.img"), vec![7; 3_000_000]).unwrap();
        let text = format!(
            "min_clients = 3\nmax_wait = 600\n\
             [[image]]\nname = \"demo\"\nkind = \"disk\"\npath = \"demo.img\"\n\
             [[host]]\nmac = \"{MAC}\"\nname = \"<b>pc-07</b>\"\n{config}"
        );
        let server = Server::serve(folder, &text).unwrap();
        if !config.contains("page = false") {
            let start = now();
            while server.get("/readyz").status != 200 {
                assert!(now() - start < SOON);
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        server
    }

    fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.http)).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x:80\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut all = String::new();
        stream.read_to_string(&mut all).unwrap();
        let (head, body) = all.split_once("\r\n\r\n").unwrap();
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "", "")
    }

    /// With the token.
    fn may(&self, method: &str, path: &str, body: &str) -> Answer {
        let token = self.token();
        let headers =
            format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
        self.ask(method, path, &headers, body)
    }

    fn form(&self, path: &str, headers: &str, form: &str) -> Answer {
        let headers = format!("Content-Type: application/x-www-form-urlencoded\r\n{headers}");
        self.ask("POST", path, &headers, form)
    }

    fn demo(&self) -> Value {
        self.get("/api/v1/transfers/demo").json()
    }

    /// Waits until the transfer is like that.
    fn until(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let start = now();
        loop {
            let demo = self.demo();
            if is(&demo) {
                return demo;
            }
            assert!(now() - start < SOON, "not {what}: {demo:#}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A client that asks for everything and takes nothing.
    fn client(&self) -> UdpSocket {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect((Ipv4Addr::LOCALHOST, self.slam)).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        let mut nack = Vec::new();
        ClientPacket::Nack(Nack::for_gaps(&BlockSet::new(), 1, MAX_NACK_LEN)).encode(&mut nack);
        socket.send(&nack).unwrap();
        socket
    }
}

#[expect(clippy::disallowed_methods, reason = "a test of real programs")]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn anybody_may_look_and_pages_are_guarded() {
    let server = Server::start("");
    for path in [
        "/status",
        "/status/history",
        "/status/style.css",
        "/status/live.js",
        "/metrics",
        "/healthz",
        "/readyz",
        "/api/v1/status",
        "/api/v1/openapi.json",
    ] {
        let answer = server.get(path);
        assert_eq!(answer.status, 200, "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        // Nothing comes from elsewhere.
        assert!(!answer.body.contains("src=\"http"), "{path}");
        assert!(
            !answer.body.contains("style=\"") && !answer.body.contains(" onclick"),
            "{path}"
        );
    }
    let browser = server.ask("GET", "/", "Accept: text/html\r\n", "");
    assert_eq!(
        (browser.status, browser.header("location")),
        (303, Some("/status"))
    );
    assert!(server.get("/").body.contains("/boot.ipxe"));
    assert_eq!(server.get("/status/client/99").status, 404);
    assert_eq!(server.get("/status/client/x").status, 404);
    assert_eq!(server.get("/status/history/99").status, 404);
    assert_eq!(
        server.get("/api/v1/nothing").json()["error"],
        "no such path"
    );
    // The boot services answer as before, without these headers.
    assert_eq!(
        server.get("/boot.ipxe").header("content-security-policy"),
        None
    );
}

/// A download that stalls in the middle, goes on, and one that is broken off.
#[test]
fn downloads_over_http_are_seen() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("large.img"), vec![7; 64 << 20]).unwrap();
    let image = "[[image]]\nname = \"large\"\nkind = \"disk\"\npath = \"large.img\"\n";
    let server = Server::start_in(folder, image);
    let download = || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.http)).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let request = "GET /images/large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        stream
    };
    let until = |what: &str, is: &dyn Fn(&Value) -> bool| {
        let start = now();
        loop {
            let clients = server.get("/api/v1/clients").json();
            let client = clients.as_array().and_then(|all| all.first()).cloned();
            let client = client.unwrap_or_default();
            if is(&client) {
                return client;
            }
            assert!(now() - start < SOON, "not {what}: {clients:#}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    // What the kernel takes in advance is some megabytes: it cannot have all.
    let mut stream = download();
    let client = until("downloading", &|client| client["download"] == "large");
    assert_eq!(client["state"], "loading");
    let progress = client["progress"].as_f64().unwrap();
    assert!(progress > 0.0 && progress < 0.9, "{client:#}");
    let page = server.get("/status").body;
    assert!(page.contains("Progress of 127.0.0.1"), "{page}");
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert!(all.len() > 64 << 20);
    until("done", &|client| client["detail"] == "has large, over HTTP");
    let stream = download();
    until("again", &|client| {
        client["detail"] == "downloads large over HTTP"
    });
    drop(stream);
    until("broken off", &|client| {
        client["detail"] == "broke off large, over HTTP"
    });
    // A part in the middle, as of a disk that is read over HTTP, is no download.
    let part = server.ask("HEAD", "/images/large", "Range: bytes=0-2000000\r\n", "");
    assert_eq!(part.status, 206);
    let metrics = server.get("/metrics").body;
    for line in [
        "slamboot_http_sent_files_total 1",
        "slamboot_http_downloads_broken_off_total 1",
        "slamboot_http_sent_bytes_total 67108864",
    ] {
        assert!(metrics.lines().any(|l| l == line), "no {line} in {metrics}");
    }
}

#[test]
fn only_the_token_does_anything() {
    let server = Server::start("");
    let path = "/api/v1/transfers/demo/hold";
    let answer = server.ask("POST", path, "", "");
    assert_eq!(answer.status, 401);
    assert_eq!(
        answer.header("www-authenticate"),
        Some("Bearer realm=\"slamboot\"")
    );
    let help = answer.json()["help"].as_str().unwrap().to_owned();
    assert!(help.contains("state/token"), "{help}");
    let wrong = server.ask("POST", path, "Authorization: Bearer guess\r\n", "");
    assert_eq!(wrong.status, 403);
    assert!(!server.demo()["held"].as_bool().unwrap());
    assert_eq!(server.may("POST", path, "").status, 204);
    server.until("held", |demo| demo["held"] == true);
    assert_eq!(
        server
            .may("POST", "/api/v1/transfers/demo/release", "")
            .status,
        204
    );
    server.until("released", |demo| demo["held"] == false);
    assert_eq!(
        server.may("POST", "/api/v1/transfers/none/hold", "").status,
        404
    );
    assert_eq!(
        server
            .may("POST", "/api/v1/transfers/demo/start", "")
            .status,
        409
    );
    assert_eq!(server.may("POST", "/api/v1/clients/1/drop", "").status, 404);

    // The page's form changes the token for a cookie, which no other page can use.
    let token = server.token();
    let refused = server.form("/status/unlock", "", "token=guess");
    assert_eq!(refused.status, 403);
    assert!(
        refused.body.contains("not the server&#39;s token")
            || refused.body.contains("not the server's token")
    );
    let unlocked = server.form("/status/unlock", "", &format!("token={token}"));
    assert_eq!(unlocked.status, 303);
    let set = unlocked.header("set-cookie").unwrap();
    assert!(
        set.contains("HttpOnly") && set.contains("SameSite=Strict"),
        "{set}"
    );
    let cookie = format!("Cookie: {}\r\n", set.split(';').next().unwrap());
    let act = "do=hold&transfer=demo";
    assert_eq!(server.form("/status/act", "", act).status, 403);
    let elsewhere = format!("{cookie}Origin: http://elsewhere\r\n");
    assert_eq!(server.form("/status/act", &elsewhere, act).status, 403);
    let here = format!("{cookie}Origin: http://x:80\r\n");
    assert_eq!(server.form("/status/act", &here, act).status, 303);
    server.until("held", |demo| demo["held"] == true);
    assert_eq!(server.form("/status/act", &here, "do=nothing").status, 400);
    let drop = "do=drop&client=77";
    assert_eq!(server.form("/status/act", &here, drop).status, 404);
    // The cookie is no token for the API.
    assert_eq!(server.ask("POST", path, &cookie, "").status, 401);
    let page = server.ask("GET", "/status", &cookie, "").body;
    assert!(
        page.contains("Unlocked") && page.contains("Release"),
        "{page}"
    );
}

#[test]
fn a_room_is_held_started_and_a_client_dropped() {
    let server = Server::start("");
    let first = server.client();
    let waiting = server.until("waiting", |demo| demo["state"] == "waiting");
    assert_eq!(
        (&waiting["present"], &waiting["expected"]),
        (&json!(1), &json!(3))
    );
    assert_eq!(
        server.may("POST", "/api/v1/transfers/demo/hold", "").status,
        204
    );
    let (_second, _third) = (server.client(), server.client());
    let full = server.until("full", |demo| demo["present"] == 3);
    // Full, and held all the same.
    assert_eq!(
        (&full["state"], &full["held"]),
        (&json!("waiting"), &json!(true))
    );
    assert_eq!(
        server
            .may("POST", "/api/v1/transfers/demo/start", "")
            .status,
        204
    );
    server.until("sending", |demo| demo["state"] == "sending");
    assert_eq!(
        server.may("POST", "/api/v1/transfers/demo/hold", "").status,
        409
    );

    let port = first.local_addr().unwrap().port();
    let clients = server
        .get("/api/v1/clients?state=receiving&limit=10")
        .json();
    let clients = clients.as_array().unwrap();
    assert_eq!(clients.len(), 3);
    let of = |client: &&Value| client["port"] == port;
    let id = clients.iter().find(of).unwrap()["id"].clone();
    assert_eq!(
        server
            .may("POST", &format!("/api/v1/clients/{id}/drop"), "")
            .status,
        204
    );
    // It is told: a dismissal is the header and a zero.
    let mut datagram = [0; 2048];
    let told = loop {
        let length = first.recv(&mut datagram).unwrap();
        if length < 40 && datagram[..length].ends_with(&[0]) {
            break true;
        }
    };
    assert!(told);
    server.until("two", |demo| demo["present"] == 2);
    // The transfer is shown by the driver, its clients by events: the one may be published before the other.
    let start = now();
    while server.get(&format!("/api/v1/clients/{id}")).json()["state"] != "dropped" {
        assert!(now() - start < SOON, "not dropped");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(
        server
            .may("POST", &format!("/api/v1/clients/{id}/drop"), "")
            .status,
        404
    );
    let events = server.get("/api/v1/events").json().to_string();
    assert!(
        events.contains("begun by hand") && events.contains("dropped by hand"),
        "{events}"
    );
    let metrics = server.get("/metrics").body;
    assert!(
        metrics.contains("slamboot_transfer_clients_dropped_total{transfer=\"demo\"} 1"),
        "{metrics}"
    );
}

#[test]
fn what_is_assigned_is_booted_once_or_always() {
    let server =
        Server::start("[[image]]\nname = \"other\"\nkind = \"disk\"\npath = \"demo.img\"\n");
    let path = format!("/api/v1/assignments/{MAC}");
    let boots = |server: &Server| {
        let script = server.get(&format!("/boot.ipxe?mac={MAC}")).body;
        let line = script
            .lines()
            .find(|line| line.contains("handed out"))
            .unwrap();
        line.rsplit(' ')
            .next()
            .unwrap()
            .trim_end_matches('.')
            .to_owned()
    };
    assert_eq!(boots(&server), "demo");
    let once = json!({"image": "other", "once": true}).to_string();
    assert_eq!(server.may("PUT", &path, &once).status, 204);
    let list = server.get("/api/v1/assignments").json();
    assert_eq!(list, json!([{"mac": MAC, "image": "other", "once": true}]));
    assert_eq!(boots(&server), "other");
    assert_eq!(boots(&server), "demo");
    let always = json!({"image": "other"}).to_string();
    assert_eq!(server.may("PUT", &path, &always).status, 204);
    assert_eq!([boots(&server), boots(&server)], ["other", "other"]);
    assert_eq!(server.may("DELETE", &path, "").status, 204);
    assert_eq!(server.may("DELETE", &path, "").status, 404);
    assert_eq!(boots(&server), "demo");
    // The same by the page's form.
    let token = server.token();
    let unlocked = server.form("/status/unlock", "", &format!("token={token}"));
    let set = unlocked.header("set-cookie").unwrap();
    let cookie = format!("Cookie: {}\r\n", set.split(';').next().unwrap());
    let form = format!("do=assign&mac={MAC}&client=1&boot=image%3Aother&when=once");
    let answer = server.form("/status/act", &cookie, &form);
    assert_eq!(
        answer.header("location"),
        Some("/status/client/1"),
        "{}",
        answer.body
    );
    assert_eq!([boots(&server), boots(&server)], ["other", "demo"]);
    for (body, status) in [
        ("{\"image\":\"none\"}", 404),
        ("{}", 400),
        ("{\"image\":\"demo\",\"boot\":\"menu\"}", 400),
        ("{\"boot\":\"moon\"}", 400),
        ("{\"bot\":\"menu\"}", 400),
        ("not json", 400),
    ] {
        let answer = server.may("PUT", &path, body);
        assert_eq!(answer.status, status, "{body}");
        assert!(answer.json()["error"].is_string());
    }
    let long = format!("{{\"image\":\"{}\"}}", "x".repeat(20_000));
    assert_eq!(server.may("PUT", &path, &long).status, 413);
    assert_eq!(
        server.may("PUT", "/api/v1/assignments/pc", &always).status,
        400
    );
}

#[test]
fn clients_tell_how_they_fare_and_pages_escape_it() {
    let server = Server::start("");
    let agent = "User-Agent: iPXE/2.0.0 (<i>g4c1d</i>)\r\n";
    server.ask("GET", &format!("/boot.ipxe?mac={MAC}"), agent, "");
    let report = format!("/report?mac={MAC}&step=failed&what=%3Cscript%3Edemo&code=4c106035");
    assert_eq!(server.get(&report).status, 200);
    assert_eq!(server.get("/report?step=sideways").status, 400);
    let start = now();
    let client = loop {
        let clients = server.get("/api/v1/clients?state=failed").json();
        if let Some(client) = clients.get(0) {
            break client.clone();
        }
        assert!(now() - start < SOON);
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(client["failure"]["code"], "4c106035");
    assert_eq!(client["failure"]["text"], "Connection timed out");
    assert_eq!(client["name"], "<b>pc-07</b>");
    let page =
        server.get("/status").body + &server.get(&format!("/status/client/{}", client["id"])).body;
    for evil in ["<b>", "<i>", "<script>demo"] {
        assert!(!page.contains(evil), "{page}");
    }
    assert!(page.contains("&lt;b&gt;pc-07") && page.contains("https://ipxe.org/4c106035"));
}

#[test]
fn the_page_renews_itself_and_history_survives() {
    let server = Server::start("");
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.http)).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
        .write_all(b"GET /status/live HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert!(
        lines
            .by_ref()
            .any(|line| line.contains("text/event-stream"))
    );
    let mut seen = |text: &str| {
        lines
            .by_ref()
            .any(|line| line.starts_with("data:") && line.contains(text))
    };
    assert!(seen("Nobody is here yet"));
    let clients = [server.client(), server.client(), server.client()];
    assert!(seen("badge go"));
    let mut bye = Vec::new();
    ClientPacket::Disconnect.encode(&mut bye);
    for client in &clients {
        client.send(&bye).unwrap();
    }
    let idle = server.until("idle", |demo| {
        let over = server.get("/api/v1/history").json()[0].is_object();
        over && demo["state"] == "idle"
    });
    assert_eq!(idle["totals"]["joined"], 3);
    let history = server.get("/api/v1/history").json();
    assert_eq!(
        (&history[0]["id"], &history[0]["joined"]),
        (&json!(1), &json!(3))
    );
    let page = server.get("/status/history/1");
    assert!(page.body.contains("127.0.0.1"), "{}", page.body);

    let mut server = server;
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    let folder = std::mem::replace(&mut server.folder, tempfile::tempdir().unwrap());
    let again = Server::start_in(folder, "");
    assert_eq!(again.get("/api/v1/history").json(), history);
    // The token is the one that people know.
    assert_eq!(
        again.may("POST", "/api/v1/transfers/demo/hold", "").status,
        204
    );
}

#[test]
fn what_cannot_be_kept_does_not_stop_serving() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("state")).unwrap();
    fs::create_dir(folder.path().join("state/history.jsonl")).unwrap();
    fs::write(folder.path().join("state/token"), "short").unwrap();
    let server = Server::start_in(folder, "");
    let status = server.get("/api/v1/status").json();
    let warnings = status["warnings"].to_string();
    assert!(warnings.contains("history.jsonl"), "{warnings}");
    assert!(
        warnings.contains("has 5 characters") || warnings.contains("chmod 600"),
        "{warnings}"
    );
    assert_eq!(server.get("/boot.ipxe").status, 200);
    assert_eq!(
        server.may("POST", "/api/v1/transfers/demo/hold", "").status,
        403
    );
    assert!(server.get("/status").body.contains("Read only"));
}

#[test]
fn the_page_can_be_left_out() {
    let server = Server::start("[status]\npage = false\n");
    for path in ["/status", "/api/v1/status", "/metrics", "/healthz"] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
    assert_eq!(
        server.ask("GET", "/", "Accept: text/html\r\n", "").status,
        200
    );
    assert!(!server.folder.path().join("state/token").exists());
}

/// Every name that this text has, of a metric of ours.
fn metrics(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !word(c));
    let ours = words.filter(|word| word.starts_with("slamboot_"));
    ours.map(str::to_owned).collect()
}

/// Nothing on the dashboard is empty for ever, and Grafana's import asks for nothing but the source
/// of data: <https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/>.
#[test]
fn the_dashboard_shows_metrics_that_there_are() {
    let server = Server::start("");
    let _client = server.client();
    server.until("waiting", |demo| demo["state"] == "waiting");
    let there = metrics(&server.get("/metrics").body);
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/packaging/grafana/slamboot.json"
    );
    let text = fs::read_to_string(file).unwrap();
    let shown = metrics(&text);
    assert!(shown.len() > 10, "{shown:?}");
    let missing: Vec<_> = shown.difference(&there).collect();
    assert!(missing.is_empty(), "{missing:?} is not among {there:#?}");

    let board: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(board["uid"], "slamboot");
    // In older ones a source of data is a name, and not the object that panels have here.
    assert!(board["schemaVersion"].as_u64().unwrap() >= 36);
    let source = &board["templating"]["list"][0];
    for (key, value) in [
        ("name", "datasource"),
        ("type", "datasource"),
        ("query", "prometheus"),
    ] {
        assert_eq!(source[key], value);
    }
    let panels = board["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel:#}");
        assert!(panel["title"].is_string() && panel["gridPos"]["w"].is_u64());
        if panel["type"] == "row" {
            continue;
        }
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{panel:#}");
        let asked = panel["targets"].as_array().unwrap();
        assert!(!asked.is_empty(), "{panel:#}");
        assert!(asked.iter().all(|target| target["expr"].is_string()));
    }
}

/// As Prometheus's own judge of metrics sees them, where it is installed (Debian: prometheus).
#[test]
fn promtool_finds_nothing() {
    if xtask::host::program("promtool").is_none() {
        println!("skipped: promtool_finds_nothing: no promtool (Debian: prometheus)");
        return;
    }
    let server = Server::start("");
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let body = server.get("/metrics").body;
    let mut to = child.stdin.take().unwrap();
    to.write_all(body.as_bytes()).unwrap();
    drop(to);
    let said = child.wait_with_output().unwrap();
    let words = [said.stdout, said.stderr].concat();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&words));
}
