// SPDX-License-Identifier: MIT OR Apache-2.0
//! HTTP, where multicast does not bring the image.
use std::fs;

use crate::http::{HttpServer, Site};
use crate::program::{Room, run};
use crate::support::{TestServer, content};
use sha2::{Digest, Sha256};
use slam_client::wire::TransactionId;

fn site(content: &[u8]) -> Site {
    Site {
        content: content.to_vec(),
        tag: "v1".into(),
        ..Site::default()
    }
}

/// The transaction that slamboot gives to this content.
fn transaction(content: &[u8]) -> u64 {
    TransactionId::from_digest(&Sha256::digest(content).into())
        .0
        .get()
}

fn last(stdout: &str) -> serde_json::Value {
    serde_json::from_str(stdout.lines().last().expect("a line")).expect("JSON")
}

/// Runs with HTTP allowed after half a second of silence.
fn fetch(uri: &str, room: &Room, http: &HttpServer, more: &[&str]) -> (i32, String, String) {
    let url = http.url();
    let usual = ["--timeout", "0.5", "--json", "--http-fallback", &url];
    run(uri, &room.path("x"), &[&usual, more].concat())
}

#[test]
fn without_a_server_all_of_it_comes_by_http() {
    let room = Room::new();
    let file = content(5_000_000, 1);
    let server = TestServer::start(content(10, 1), 1);
    let uri = server.uri();
    drop(server);
    let http = HttpServer::start(site(&file));
    let (code, stdout, stderr) = fetch(&uri, &room, &http, &["--verify"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(fs::read(room.path("x")).unwrap() == file);
    assert_eq!(room.files(), ["x"]);
    let last = last(&stdout);
    assert_eq!(last["http_bytes"], 5_000_000);
    assert_eq!(last["verified"], true);
    assert!(stdout.contains("\"event\":\"fallback\""), "{stdout}");
    assert_eq!(http.site().asked, [None]);
}

#[test]
fn of_a_transfer_that_dies_only_the_rest_comes_by_http() {
    let room = Room::new();
    let file = content(5_000_000, 2);
    for no_ranges in [false, true] {
        let server = TestServer::start(file.clone(), transaction(&file));
        server.allow(2000);
        let http = HttpServer::start(Site {
            no_ranges,
            ..site(&file)
        });
        let (code, stdout, stderr) = fetch(&server.uri(), &room, &http, &[]);
        assert_eq!(code, 0, "{stdout}{stderr}");
        assert!(fs::read(room.path("x")).unwrap() == file);
        let last = last(&stdout);
        let rest = 5_000_000 - 2000 * 1451;
        assert_eq!(last["http_bytes"], rest);
        assert_eq!(last["agreement"], "transaction");
        let expected = if no_ranges { 5_000_000 } else { rest };
        assert_eq!(http.site().sent, expected);
        assert_eq!(http.site().asked.len(), 1);
    }
}

#[test]
fn http_that_breaks_off_goes_on_where_it_was() {
    let room = Room::new();
    let file = content(5_000_000, 3);
    let server = TestServer::start(file.clone(), transaction(&file));
    server.allow(100);
    let http = HttpServer::start(Site {
        breaks: Some((1_000_000, 3)),
        ..site(&file)
    });
    let (code, stdout, stderr) = fetch(&server.uri(), &room, &http, &[]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(fs::read(room.path("x")).unwrap() == file);
    assert_eq!(http.site().asked.len(), 4);
    assert!(http.site().sent < 5_000_000, "nothing was fetched twice");

    // Of a server that is broken for good, what came is kept, and used by the next run.
    let http = HttpServer::start(Site {
        breaks: Some((100_000, u32::MAX)),
        no_ranges: true,
        ..site(&file)
    });
    drop(server);
    let server = TestServer::start(file.clone(), transaction(&file));
    server.allow(100);
    let (code, stdout, _) = fetch(&server.uri(), &room, &http, &[]);
    assert_eq!(code, 3, "{stdout}");
    assert!(stdout.contains("it breaks off"), "{stdout}");
    assert!(room.files().contains(&"x.part".to_owned()));
    server.allow(u64::MAX);
    let (code, stdout, _) = fetch(&server.uri(), &room, &http, &[]);
    assert_eq!(code, 0, "{stdout}");
    assert_eq!(last(&stdout)["resumed_bytes"], 100 * 1451);
    assert!(fs::read(room.path("x")).unwrap() == file);
}

#[test]
fn another_file_by_http_is_not_mixed_in() {
    let room = Room::new();
    let file = content(3_000_000, 4);
    let other = content(3_000_000, 5);
    let server = TestServer::start(file.clone(), transaction(&file));
    server.allow(100);
    // Of the same length: only the digest tells.
    let http = HttpServer::start(site(&other));
    let (code, stdout, stderr) = fetch(&server.uri(), &room, &http, &[]);
    assert_eq!(code, 5, "{stdout}{stderr}");
    assert!(
        stdout.contains("first 53 bits are the transaction"),
        "{stdout}"
    );
    assert_eq!(room.files(), [""; 0], "nothing of it is kept");

    // Of another length: that file, and nothing else.
    drop(server);
    let server = TestServer::start(file.clone(), transaction(&file));
    server.allow(100);
    let longer = content(4_000_000, 6);
    let http = HttpServer::start(site(&longer));
    let (code, stdout, stderr) = fetch(&server.uri(), &room, &http, &[]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(fs::read(room.path("x")).unwrap() == longer);
    assert_eq!(last(&stdout)["http_bytes"], 4_000_000);
}

#[test]
fn a_file_that_changes_between_requests_starts_anew() {
    let room = Room::new();
    let (first, second) = (content(3_000_000, 7), content(3_000_000, 8));
    let server = TestServer::start(content(10, 1), 1);
    let uri = server.uri();
    drop(server);
    let http = HttpServer::start(Site {
        breaks: Some((1_000_000, 10)),
        no_ranges: true,
        ..site(&first)
    });
    let (code, stdout, _) = fetch(&uri, &room, &http, &[]);
    assert_eq!(code, 3, "{stdout}");
    *http.site() = Site {
        tag: "v2".into(),
        ..site(&second)
    };
    let (code, stdout, stderr) = fetch(&uri, &room, &http, &[]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(fs::read(room.path("x")).unwrap() == second);

    // And the same again goes on.
    fs::remove_file(room.path("x")).unwrap();
    http.site().breaks = Some((1_000_000, u32::MAX));
    http.site().no_ranges = true;
    assert_eq!(fetch(&uri, &room, &http, &[]).0, 3);
    *http.site() = Site {
        tag: "v2".into(),
        ..site(&second)
    };
    let (code, stdout, _) = fetch(&uri, &room, &http, &[]);
    assert_eq!(code, 0, "{stdout}");
    assert!(
        last(&stdout)["resumed_bytes"].as_u64() >= Some(900_000),
        "{stdout}"
    );
    assert!(fs::read(room.path("x")).unwrap() == second);
}

#[test]
fn http_that_does_not_help_says_why() {
    let room = Room::new();
    let server = TestServer::start(content(10, 1), 1);
    let uri = server.uri();
    drop(server);
    let http = HttpServer::start(Site {
        status: Some(404),
        ..site(b"x")
    });
    let (code, stdout, _) = fetch(&uri, &room, &http, &[]);
    assert_eq!(code, 3, "{stdout}");
    assert!(
        stdout.contains("expected status 200 or 206, found 404"),
        "{stdout}"
    );
    // A server that contradicts itself is not asked for ever.
    http.site().status = Some(416);
    let (code, stdout, _) = fetch(&uri, &room, &http, &[]);
    assert_eq!(code, 3, "{stdout}");
    assert!(
        stdout.contains("sends nothing of what is missing"),
        "{stdout}"
    );
    *http.site() = site(&content(1000, 9));
    let (code, stdout, _) = fetch(&uri, &room, &http, &["--max-bytes", "999"]);
    assert_eq!(code, 4, "{stdout}");
    *http.site() = site(b"");
    let (code, stdout, _) = fetch(&uri, &room, &http, &[]);
    assert_eq!(code, 3, "{stdout}");
    assert!(stdout.contains("at least 1 byte"), "{stdout}");
    assert_eq!(room.files(), [""; 0]);
    // What HTTP is not asked for is not its fault.
    let (code, _, stderr) = run(&uri, &room.path("x"), &["--http-fallback", "https://a/"]);
    assert_eq!(code, 2, "{stderr}");
}

#[test]
fn http_fills_a_stream_in_order() {
    let room = Room::new();
    let image = content(3_000_000, 10);
    let packed = zstd::encode_all(&image[..], 1).unwrap();
    let server = TestServer::start(packed.clone(), transaction(&packed));
    server.allow(700);
    server.backwards();
    let http = HttpServer::start(site(&packed));
    let (code, stdout, stderr) = fetch(&server.uri(), &room, &http, &["--unpack"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(fs::read(room.path("x")).unwrap() == image);
    assert_eq!(last(&stdout)["agreement"], "transaction");
}
