// SPDX-License-Identifier: MIT OR Apache-2.0
//! How far one machine is, from its markers alone: no machine, no clock.

use std::time::Duration;

use super::marker::{Marker, Protocol};

/// What a machine has to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goal {
    /// Names of the image's transfers.
    pub transfers: Vec<String>,
    /// How they are meant to travel. HTTP is what everything falls back to: where it is meant,
    /// multicast is as good.
    pub protocol: Protocol,
    /// What the guest must say of itself.
    pub proof: Proof,
}

/// What a guest must say of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The demo disk's digest and size, as xtask read them from the file.
    Disk {
        /// Of the whole file.
        crc32: u32,
        /// Its length in 512-byte sectors.
        sectors: u64,
    },
    /// The stand-in boot manager's verdict: it was loaded, and finds its partition.
    StandIn,
    /// A kernel's banner.
    Linux,
}

/// A machine on its way.
#[derive(Clone, Debug)]
pub struct Progress {
    goal: Goal,
    rom_up: Option<Duration>,
    /// When the script said that it fetches the first of the image's files.
    fetch: Option<Duration>,
    /// What the SLAM client complained of last.
    complaint: Option<String>,
    arrivals: Vec<Arrival>,
    started: Option<(String, Duration)>,
    proven: bool,
}

/// One transfer, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Arrival {
    name: String,
    protocol: Protocol,
    took: Duration,
}

/// A step worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Our script runs.
    RomUp,
    /// A transfer has arrived.
    Fetched {
        /// Its name.
        name: String,
        /// How it travelled.
        protocol: Protocol,
        /// How long it took.
        took: Duration,
    },
    /// The firmware's SLAM client complained.
    Said(String),
    /// The guest has shown what it had to.
    Proven(String),
}

/// Why a machine's boot proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The guest found fault with its disk.
    #[error("the guest says of its disk: {0}")]
    Bad(String),
    /// The guest read another disk than the one that was served.
    #[error(
        "the guest read another disk: expected crc32={expected_crc32:08x} sectors={expected_sectors}, \
         found crc32={crc32:08x} sectors={sectors}"
    )]
    OtherDisk {
        /// Of the served file.
        expected_crc32: u32,
        /// Of the served file.
        expected_sectors: u64,
        /// Of what the guest read.
        crc32: u32,
        /// Of what the guest read.
        sectors: u64,
    },
    /// Multicast did not carry it.
    #[error("{0} came over http: the ROM fell back from x-slam")]
    FellBack(String),
    /// It cannot hold the image, and another attempt would not change that.
    #[error("this machine has not the memory that the image needs: {0}")]
    NoMemory(String),
    /// It booted without having fetched what it had to.
    #[error("it booted without having fetched {0}")]
    Unfetched(String),
}

impl Progress {
    /// A machine that was just switched on.
    pub fn new(goal: Goal) -> Progress {
        Progress {
            goal,
            rom_up: None,
            fetch: None,
            complaint: None,
            arrivals: Vec::new(),
            started: None,
            proven: false,
        }
    }

    /// A line that the machine said `at` this time since it was switched on.
    pub fn line(&mut self, at: Duration, line: &str) -> Result<Option<Step>, Failure> {
        match Marker::parse(line) {
            Some(marker) => self.marker(at, marker),
            None => Ok(None),
        }
    }

    fn marker(&mut self, at: Duration, marker: Marker) -> Result<Option<Step>, Failure> {
        match marker {
            Marker::RomUp => {
                let first = self.rom_up.is_none();
                self.rom_up.get_or_insert(at);
                Ok(first.then_some(Step::RomUp))
            }
            Marker::Fetch { name, .. } => {
                // A distribution's ROM has no script of its own: the server's begins with this.
                self.rom_up.get_or_insert(at);
                if self.goal.transfers.contains(&name) {
                    self.fetch.get_or_insert(at);
                }
                self.started = Some((name, at));
                Ok(None)
            }
            Marker::Fetched { name, protocol } => {
                let took = self
                    .started
                    .take()
                    .filter(|(started, _)| *started == name)
                    .map_or(Duration::ZERO, |(_, start)| at.saturating_sub(start));
                if !self.goal.transfers.contains(&name) {
                    return Ok(None);
                }
                if protocol > self.goal.protocol {
                    return Err(Failure::FellBack(name));
                }
                self.arrivals.retain(|arrival| arrival.name != name);
                self.arrivals.push(Arrival {
                    name: name.clone(),
                    protocol,
                    took,
                });
                Ok(Some(Step::Fetched {
                    name,
                    protocol,
                    took,
                }))
            }
            Marker::Complaint(said) => {
                self.complaint = Some(said.clone());
                Ok(Some(Step::Said(said)))
            }
            // Whatever else went wrong may go better the next time.
            Marker::AttemptFailed => match self.complaint.take() {
                Some(said) if said.contains("no memory") => Err(Failure::NoMemory(said)),
                _ => Ok(None),
            },
            Marker::DemoBad(said) => Err(Failure::Bad(said)),
            Marker::DemoOk {
                crc32,
                sectors,
                drive,
            } => match self.goal.proof {
                Proof::Disk {
                    crc32: expected_crc32,
                    sectors: expected_sectors,
                } if (crc32, sectors) != (expected_crc32, expected_sectors) => {
                    Err(Failure::OtherDisk {
                        expected_crc32,
                        expected_sectors,
                        crc32,
                        sectors,
                    })
                }
                Proof::Disk { .. } => self.prove(format!(
                    "the guest read the whole disk: crc32={crc32:08x} sectors={sectors} drive={drive}"
                )),
                Proof::StandIn | Proof::Linux => Ok(None),
            },
            Marker::StandInOk(said) if self.goal.proof == Proof::StandIn => {
                self.prove(format!("the boot manager's stand-in says: {said}"))
            }
            Marker::Linux(version) if self.goal.proof == Proof::Linux => {
                self.prove(format!("Linux {version} started"))
            }
            Marker::Boot | Marker::DemoStart | Marker::StandInOk(_) | Marker::Linux(_) => Ok(None),
        }
    }

    fn prove(&mut self, said: String) -> Result<Option<Step>, Failure> {
        let arrived = |name: &&String| !self.arrivals.iter().any(|arrival| arrival.name == **name);
        if let Some(missing) = self.goal.transfers.iter().find(arrived) {
            return Err(Failure::Unfetched(missing.clone()));
        }
        self.proven = true;
        Ok(Some(Step::Proven(said)))
    }

    /// Whether it has shown everything.
    pub fn proven(&self) -> bool {
        self.proven
    }

    /// When our script began to run.
    pub fn to_rom(&self) -> Option<Duration> {
        self.rom_up
    }

    /// When its script began to fetch the image.
    pub fn fetch(&self) -> Option<Duration> {
        self.fetch
    }

    /// How long its transfers took together, once all have arrived.
    pub fn transfer(&self) -> Option<Duration> {
        (self.arrivals.len() == self.goal.transfers.len())
            .then(|| self.arrivals.iter().map(|arrival| arrival.took).sum())
    }

    /// How they travelled, once one has arrived.
    pub fn protocol(&self) -> Option<Protocol> {
        self.arrivals.iter().map(|arrival| arrival.protocol).max()
    }

    /// What it has to do next, in words for an error.
    pub fn awaited(&self) -> String {
        let missing = self
            .goal
            .transfers
            .iter()
            .find(|name| !self.arrivals.iter().any(|arrival| arrival.name == **name));
        match (self.rom_up, missing, &self.goal.proof) {
            (None, _, _) => "`slamboot: rom up`".to_owned(),
            (Some(_), Some(name), _) => {
                format!("`slamboot: fetched {name} over {}`", self.goal.protocol)
            }
            (_, None, Proof::Disk { .. }) => "`slamboot demo: ok`".to_owned(),
            (_, None, Proof::StandIn) => "`slamboot stand-in: ok`".to_owned(),
            (_, None, Proof::Linux) => "`Linux version`".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demo(protocol: Protocol) -> Progress {
        Progress::new(Goal {
            transfers: vec!["demo".into()],
            protocol,
            proof: Proof::Disk {
                crc32: 0xabcd_0123,
                sectors: 131_072,
            },
        })
    }

    /// Lines a second apart; the first failure, if one comes.
    fn say(progress: &mut Progress, lines: &[&str]) -> Result<Vec<Step>, Failure> {
        let mut steps = Vec::new();
        for (second, line) in lines.iter().enumerate() {
            let at = Duration::from_secs(second as u64);
            steps.extend(progress.line(at, line)?);
        }
        Ok(steps)
    }

    const OK: &str = "slamboot demo: ok crc32=abcd0123 sectors=131072 drive=0x80";

    #[test]
    fn a_whole_boot() {
        let mut progress = demo(Protocol::Slam);
        assert_eq!(progress.awaited(), "`slamboot: rom up`");
        let steps = say(
            &mut progress,
            &[
                "SeaBIOS (version 1.16.2)",
                "slamboot: rom up",
                "slamboot: fetch memdisk over http",
                "slamboot: fetched memdisk over http",
                "slamboot: fetch demo over x-slam",
                "x-slam://10.77.0.1 ... 50%",
                "slamboot: fetched demo over x-slam",
                "slamboot: boot demo",
                "slamboot demo: start drive=0x80 sectors=131072",
                OK,
            ],
        )
        .unwrap();
        assert_eq!(steps.len(), 3);
        assert_eq!(
            steps[1],
            Step::Fetched {
                name: "demo".into(),
                protocol: Protocol::Slam,
                took: Duration::from_secs(2),
            }
        );
        assert!(progress.proven());
        assert_eq!(progress.to_rom(), Some(Duration::from_secs(1)));
        assert_eq!(progress.transfer(), Some(Duration::from_secs(2)));
        assert_eq!(progress.protocol(), Some(Protocol::Slam));
    }

    #[test]
    fn a_fallback_is_a_failure_only_where_multicast_was_due() {
        let lines = [
            "slamboot: rom up",
            "slamboot: fetch demo over x-slam",
            "slamboot: fetch demo over http",
            "slamboot: fetched demo over http",
        ];
        let failure = say(&mut demo(Protocol::Slam), &lines).unwrap_err();
        assert_eq!(
            failure.to_string(),
            "demo came over http: the ROM fell back from x-slam"
        );
        let mut progress = demo(Protocol::Http);
        say(&mut progress, &lines).unwrap();
        assert_eq!(progress.transfer(), Some(Duration::from_secs(1)));
    }

    #[test]
    fn a_machine_without_the_memory_is_not_waited_for() {
        let mut progress = demo(Protocol::Slam);
        let steps = say(
            &mut progress,
            &[
                "slamboot: rom up",
                "slamboot: fetch memdisk over http",
                "slamboot: fetch demo over x-slam",
                "SLAM: no server answered 4 request(s)",
                "slamboot: attempt 1 of 5 failed, next in 1 s",
                "slamboot: fetch demo over x-slam",
                "SLAM: no memory for an image of 301 MiB",
                "slamboot: fetch demo over http",
            ],
        )
        .unwrap();
        assert_eq!(steps.len(), 3, "a server that was not there may come");
        assert_eq!(progress.fetch(), Some(Duration::from_secs(2)));
        let failure = progress
            .line(
                Duration::from_secs(9),
                "slamboot: attempt 2 of 5 failed, next in 2 s",
            )
            .unwrap_err();
        assert_eq!(
            failure.to_string(),
            "this machine has not the memory that the image needs: SLAM: no memory for an image of 301 MiB"
        );
    }

    #[test]
    fn another_disk_proves_nothing() {
        let fetched = [
            "slamboot: rom up",
            "slamboot: fetch demo over x-slam",
            "slamboot: fetched demo over x-slam",
        ];
        for (line, failure) in [
            (
                "slamboot demo: ok crc32=00000000 sectors=131072 drive=0x80",
                "the guest read another disk: expected crc32=abcd0123 sectors=131072, \
                 found crc32=00000000 sectors=131072",
            ),
            (
                "slamboot demo: ok crc32=abcd0123 sectors=131071 drive=0x80",
                "the guest read another disk: expected crc32=abcd0123 sectors=131072, \
                 found crc32=abcd0123 sectors=131071",
            ),
            (
                "slamboot demo: BAD size bios=12",
                "the guest says of its disk: BAD size bios=12",
            ),
        ] {
            let mut progress = demo(Protocol::Slam);
            say(&mut progress, &fetched).unwrap();
            let found = progress.line(Duration::from_secs(9), line).unwrap_err();
            assert_eq!(found.to_string(), failure);
            assert!(!progress.proven());
        }
        // An old disk that boots by itself is no proof of the transfer.
        let failure = say(&mut demo(Protocol::Slam), &["slamboot: rom up", OK]).unwrap_err();
        assert_eq!(failure, Failure::Unfetched("demo".into()));
    }

    #[test]
    fn a_kernel_needs_both_its_files_and_its_banner() {
        let mut progress = Progress::new(Goal {
            transfers: vec!["debian/kernel".into(), "debian/initrd".into()],
            protocol: Protocol::Slam,
            proof: Proof::Linux,
        });
        say(
            &mut progress,
            &[
                "slamboot: rom up",
                "slamboot: fetch debian/kernel over x-slam",
                "slamboot: fetched debian/kernel over x-slam",
                "slamboot: fetch debian/initrd over x-slam",
            ],
        )
        .unwrap();
        assert_eq!(progress.transfer(), None);
        assert_eq!(
            progress.awaited(),
            "`slamboot: fetched debian/initrd over x-slam`"
        );
        say(
            &mut progress,
            &[
                "",
                "",
                "",
                "",
                "",
                "slamboot: fetched debian/initrd over x-slam",
            ],
        )
        .unwrap();
        assert_eq!(progress.transfer(), Some(Duration::from_secs(3)));
        assert_eq!(progress.awaited(), "`Linux version`");
        progress
            .line(
                Duration::from_secs(9),
                "[    0.000000] Linux version 6.1.0 (x)",
            )
            .unwrap();
        assert!(progress.proven());
    }
}
