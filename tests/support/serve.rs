// SPDX-License-Identifier: MIT OR Apache-2.0
//! `slamboot serve` on loopback, at ports that were free: for tests that need no network of their own.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

#[path = "ports.rs"]
mod ports;

/// A running server; it ends when it is dropped.
pub struct Server {
    pub child: Child,
    pub folder: TempDir,
    pub http: u16,
    #[allow(dead_code, reason = "not every test program asks for each")]
    pub slam: u16,
    #[allow(dead_code, reason = "not every test program asks for each")]
    pub tftp: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The group of a server at this port. As with ports, what tests send beside each other does not meet.
pub fn group(slam: u16) -> Ipv4Addr {
    Ipv4Addr::new(239, 255, (slam / 16 % 200 + 10) as u8, 1)
}

impl Server {
    /// Serves what lies in `folder` by this configuration, which goes on in the table `[slam]`, and
    /// comes back when clients are waited for.
    pub fn serve(folder: TempDir, config: &str) -> io::Result<Server> {
        let [http, slam, tftp] = [(); 3].map(|()| ports::free());
        let group = group(slam);
        let text = format!(
            "[server]\ninterface = \"lo\"\nhttp_port = {http}\nstate = \"state\"\n\
             [dhcp]\nmode = \"off\"\n[tftp]\nport = {tftp}\n\
             [slam]\nport = {slam}\ngroup = \"{group}\"\n{config}"
        );
        fs::write(folder.path().join("slamboot.toml"), text)?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_slamboot"))
            .args(["serve", "--json"])
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        let out = child.stdout.take();
        let server = Server {
            child,
            folder,
            http,
            slam,
            tftp,
        };
        let mut lines = BufReader::new(out.ok_or_else(|| io::Error::other("no pipe"))?);
        let mut line = String::new();
        // What stands in the way is told before.
        while line.is_empty() || line.contains("\"event\":\"warning\"") {
            line.clear();
            if lines.read_line(&mut line)? == 0 {
                break;
            }
        }
        if !line.contains("\"event\":\"serving\"") {
            return Err(io::Error::other(format!("it does not serve: {line}")));
        }
        // What it goes on to say is read, or it would wait for whoever reads.
        std::thread::spawn(move || lines.lines().for_each(drop));
        Ok(server)
    }

    /// Who has it may do something.
    #[allow(dead_code, reason = "not every test program does something")]
    pub fn token(&self) -> String {
        let text = fs::read_to_string(self.folder.path().join("state/token"));
        text.unwrap_or_default().trim().to_owned()
    }
}
