// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is measured: rooms of clients, each at a rate, with a loss, and what is to be reached.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::peer::Client;

const MIB: u64 = 1 << 20;
/// `--quick` takes this part of each file.
const QUICK_PART: u64 = 8;

/// One row: the same room for everyone who takes part.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Row {
    /// What `--only` says.
    pub(super) name: &'static str,
    /// How many PCs.
    pub(super) clients: usize,
    /// The server's uplink in Mbit/s.
    pub(super) mbit_per_s: u64,
    /// Of 10,000 packets to a client, how many are lost: each client's own.
    pub(super) lost_of_10000: u32,
    /// Size of the file.
    pub(super) bytes: u64,
    /// Between one client's start and the next one's.
    pub(super) apart: Duration,
    /// Whether servers that can wait until everybody is there.
    pub(super) gathers: bool,
    /// Whose SLAM clients take part.
    pub(super) kinds: &'static [Client],
    /// What the plot shows.
    pub(super) figure: Figure,
    /// What slamboot is to reach.
    pub(super) goals: &'static [Goal],
}

/// A figure of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Figure {
    /// Seconds from the first data to the last client, ÷ size ÷ rate.
    Time,
    /// Bytes on the wire ÷ size.
    Sent,
    /// Seconds of the server's CPU for a GiB on the wire.
    Cpu,
    /// Seconds of a client's CPU for a GiB of its file.
    ClientCpu,
}

impl Figure {
    /// Its unit, after a number.
    pub(super) fn unit(self) -> &'static str {
        match self {
            Figure::Time => "× bound",
            Figure::Sent => "× the file sent",
            Figure::Cpu => " s of CPU per GiB",
            Figure::ClientCpu => " s of the client's CPU per GiB",
        }
    }
}

/// An upper limit for a figure of slamboot with such clients.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Goal {
    pub(super) client: Client,
    pub(super) figure: Figure,
    pub(super) at_most: f64,
}

impl Row {
    /// Nothing can be faster: size ÷ rate.
    pub(super) fn bound(&self) -> Duration {
        Duration::from_secs_f64(self.bytes as f64 * 8.0 / (self.mbit_per_s as f64 * 1e6))
    }

    /// How long a run may take: more than one copy for each client would, and twice what a server
    /// needs that has only a stock client's silent second to repair by (a minute in `stock-loss`).
    pub(super) fn limit(&self) -> Duration {
        let joining = self.apart * self.clients as u32;
        Duration::from_mins(2) + joining + self.bound().mul_f64(1.5 * self.clients as f64)
    }

    /// For a heading.
    pub(super) fn title(&self) -> String {
        let plural = if self.clients == 1 { "" } else { "s" };
        let rate = match self.mbit_per_s {
            rate if rate.is_multiple_of(1000) => format!("{} Gbit/s", rate / 1000),
            rate => format!("{rate} Mbit/s"),
        };
        let size = match self.bytes {
            bytes if bytes.is_multiple_of(MIB) => format!("{} MiB", bytes / MIB),
            bytes => format!("{:.1} MiB", bytes as f64 / MIB as f64),
        };
        let mut title = format!("{} client{plural}, {rate}, {size}", self.clients);
        if self.lost_of_10000 > 0 {
            let _ = write!(title, ", {} % loss", f64::from(self.lost_of_10000) / 100.0);
        }
        if !self.apart.is_zero() {
            let _ = write!(title, ", joining {} s apart", self.apart.as_secs_f64());
        }
        if self.gathers {
            title.push_str(", waited for");
        }
        title
    }
}

const BOTH: &[Client] = &[Client::Ours, Client::Stock];

const fn goal(client: Client, figure: Figure, at_most: f64) -> Goal {
    Goal {
        client,
        figure,
        at_most,
    }
}

/// Every row, at its full size.
pub(super) fn all() -> Vec<Row> {
    let plain = Row {
        name: "1",
        clients: 1,
        mbit_per_s: 1000,
        lost_of_10000: 0,
        bytes: 200 * MIB,
        apart: Duration::ZERO,
        gathers: false,
        kinds: BOTH,
        figure: Figure::Time,
        goals: const {
            &[
                goal(Client::Stock, Figure::Time, 1.10),
                goal(Client::Stock, Figure::Cpu, 1.0),
                goal(Client::Ours, Figure::Cpu, 1.0),
            ]
        },
    };
    vec![
        plain.clone(),
        Row {
            name: "2",
            clients: 2,
            goals: &[],
            ..plain.clone()
        },
        Row {
            name: "4",
            clients: 4,
            goals: &[],
            ..plain.clone()
        },
        Row {
            name: "8",
            clients: 8,
            goals: const { &[goal(Client::Stock, Figure::Time, 1.15)] },
            ..plain.clone()
        },
        Row {
            name: "4-loss",
            clients: 4,
            mbit_per_s: 100,
            lost_of_10000: 100,
            bytes: 48 * MIB,
            goals: const { &[goal(Client::Ours, Figure::Time, 1.07)] },
            ..plain.clone()
        },
        Row {
            name: "stock-loss",
            lost_of_10000: 100,
            bytes: 32 * MIB,
            kinds: &[Client::Stock],
            goals: const { &[goal(Client::Stock, Figure::Time, 3.0)] },
            ..plain.clone()
        },
        Row {
            name: "joining",
            clients: 16,
            apart: Duration::from_millis(500),
            figure: Figure::Sent,
            // The last one comes when the file could have been sent four times.
            goals: &[],
            ..plain.clone()
        },
        Row {
            name: "gathering",
            clients: 16,
            apart: Duration::from_millis(500),
            gathers: true,
            figure: Figure::Sent,
            goals: const {
                &[
                    goal(Client::Stock, Figure::Sent, 1.3),
                    goal(Client::Ours, Figure::Sent, 1.3),
                ]
            },
            ..plain.clone()
        },
        Row {
            name: "fast",
            mbit_per_s: 4000,
            // As much as a stock client takes (2^29 - 1 bytes), or nearly.
            bytes: 500 * MIB,
            // 2 Gbit/s by the clock, and of one processor.
            goals: const {
                &[
                    goal(Client::Ours, Figure::Time, 2.0),
                    goal(Client::Ours, Figure::ClientCpu, 4.29),
                ]
            },
            ..plain.clone()
        },
        Row {
            name: "64",
            clients: 64,
            mbit_per_s: 100,
            bytes: 16 * MIB,
            goals: const {
                &[
                    goal(Client::Ours, Figure::Time, 1.05),
                    goal(Client::Stock, Figure::Time, 1.05),
                ]
            },
            ..plain
        },
    ]
}

/// The rows that were asked for, at the size that was asked for. Goals are for the full size: at
/// another one there are none.
pub(super) fn chosen(
    only: &[String],
    mib: Option<u64>,
    quick: bool,
) -> Result<Vec<Row>, UnknownRow> {
    let mut rows = all();
    if let Some(name) = only
        .iter()
        .find(|name| rows.iter().all(|row| row.name != **name))
    {
        let known: Vec<&str> = rows.iter().map(|row| row.name).collect();
        return Err(UnknownRow {
            name: name.clone(),
            known: known.join(", "),
        });
    }
    rows.retain(|row| only.is_empty() || only.iter().any(|name| row.name == name));
    for row in &mut rows {
        let bytes = match mib {
            Some(mib) => mib * MIB,
            None if quick => row.bytes / QUICK_PART,
            None => row.bytes,
        };
        if bytes != row.bytes {
            row.goals = &[];
        }
        row.bytes = bytes;
    }
    Ok(rows)
}

/// There is no such row.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no row is called '{name}'; there are: {known}")]
pub(super) struct UnknownRow {
    name: String,
    known: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_and_bounds() {
        let told: Vec<(String, f64)> = all()
            .iter()
            .map(|row| (row.title(), row.bound().as_secs_f64()))
            .collect();
        let expected = [
            ("1 client, 1 Gbit/s, 200 MiB", 1.678),
            ("2 clients, 1 Gbit/s, 200 MiB", 1.678),
            ("4 clients, 1 Gbit/s, 200 MiB", 1.678),
            ("8 clients, 1 Gbit/s, 200 MiB", 1.678),
            ("4 clients, 100 Mbit/s, 48 MiB, 1 % loss", 4.027),
            ("1 client, 1 Gbit/s, 32 MiB, 1 % loss", 0.268),
            ("16 clients, 1 Gbit/s, 200 MiB, joining 0.5 s apart", 1.678),
            (
                "16 clients, 1 Gbit/s, 200 MiB, joining 0.5 s apart, waited for",
                1.678,
            ),
            ("1 client, 4 Gbit/s, 500 MiB", 1.049),
            ("64 clients, 100 Mbit/s, 16 MiB", 1.342),
        ];
        for ((title, bound), (expected, seconds)) in told.iter().zip(expected) {
            assert_eq!(title, expected);
            assert!((bound - seconds).abs() < 0.001, "{title}: {bound}");
        }
        assert_eq!(told.len(), expected.len());
    }

    #[test]
    fn another_size_has_no_goals() {
        let full = chosen(&[], None, false).unwrap();
        assert_eq!(full, all());
        let quick = chosen(&["8".to_owned()], None, true).unwrap();
        assert_eq!((quick.len(), quick[0].bytes), (1, 25 * MIB));
        assert!(quick[0].goals.is_empty());
        // What is said outright counts, quick or not.
        let sized = chosen(&["64".to_owned()], Some(16), true).unwrap();
        assert_eq!(Some(&sized[0]), all().last());
    }

    #[test]
    fn an_unknown_row_is_told_with_those_there_are() {
        let error = chosen(&["5".to_owned()], None, false).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no row is called '5'; there are: 1, 2, 4, 8, 4-loss, stock-loss, joining, gathering, fast, 64"
        );
    }

    #[test]
    fn every_file_is_one_that_its_clients_take() {
        for row in all() {
            let stock = row.kinds.contains(&Client::Stock);
            assert!(!stock || row.bytes < 1 << 29, "{row:?}");
        }
    }

    #[test]
    fn a_copy_for_each_client_fits_into_the_limit() {
        for row in all() {
            assert!(row.limit() > row.bound() * row.clients as u32, "{row:?}");
        }
    }
}
