// SPDX-License-Identifier: MIT OR Apache-2.0
//! From runs to figures: medians, ratios, the table, what was reached.

use std::fmt::Write as _;

use serde::Serialize;
use xtask::table::Table;

use super::machine::Machine;
use super::measure::{Outcome, Run};
use super::peer::{Client, Contestant, System};
use super::row::{Figure, Goal, Row};

const GIB: f64 = (1 << 30) as f64;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) rounds: u32,
    pub(super) rows: Vec<RowReport>,
}

/// One row, with everyone who took part.
#[derive(Debug, Serialize)]
pub(super) struct RowReport {
    pub(super) row: Row,
    pub(super) title: String,
    pub(super) bound_seconds: f64,
    pub(super) standings: Vec<Standing>,
}

/// A contestant, and what came of its runs.
#[derive(Debug, Serialize)]
pub(super) struct Standing {
    /// The server's name.
    pub(super) server: String,
    pub(super) label: String,
    #[serde(skip)]
    pub(super) house: bool,
    pub(super) client: Client,
    /// The commands of server and first client, as typed.
    pub(super) commands: Vec<String>,
    /// The program that is not here.
    pub(super) absent: Option<String>,
    pub(super) runs: Vec<Outcome>,
    pub(super) figures: Option<Figures>,
}

/// Medians over the runs in which everyone got the file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Figures {
    /// Seconds from the first data to the last client.
    pub(super) seconds: Spread,
    pub(super) from_start: Spread,
    /// Seconds ÷ bound.
    pub(super) time: Spread,
    /// Bytes on the wire ÷ size.
    pub(super) sent: Spread,
    /// CPU seconds for a GiB on the wire.
    pub(super) cpu: Spread,
    /// Part of the run in which somebody waited for a processor, where the kernel tells.
    pub(super) client_cpu: Option<Spread>,
    pub(super) cpu_short: Option<Spread>,
    /// The slowest client's own seconds.
    pub(super) slowest: Spread,
}

/// A median with the extremes about it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Spread {
    /// `None` of nothing.
    pub(super) fn of(values: impl Iterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let upper = values[values.len() / 2];
        let lower = values[(values.len() - 1) / 2];
        Some(Spread {
            median: f64::midpoint(lower, upper),
            min,
            max,
        })
    }
}

impl Figures {
    fn of(runs: &[&Run], row: &Row) -> Option<Figures> {
        let over = |figure: &dyn Fn(&Run) -> f64| Spread::of(runs.iter().map(|run| figure(run)));
        let bound = row.bound().as_secs_f64();
        let received = row.bytes as f64 * row.clients as f64;
        Some(Figures {
            seconds: over(&|run| run.seconds)?,
            from_start: over(&|run| run.from_start)?,
            time: over(&|run| run.seconds / bound)?,
            sent: over(&|run| run.sent as f64 / row.bytes as f64)?,
            cpu: over(&|run| run.cpu * GIB / run.sent.max(1) as f64)?,
            client_cpu: Spread::of(
                runs.iter()
                    .filter_map(|run| Some(run.client_cpu? * GIB / received)),
            ),
            cpu_short: Spread::of(runs.iter().filter_map(|run| run.cpu_short)),
            slowest: over(&|run| run.clients.iter().copied().fold(0.0, f64::max))?,
        })
    }

    pub(super) fn get(&self, figure: Figure) -> Option<Spread> {
        Some(match figure {
            Figure::Time => self.time,
            Figure::Sent => self.sent,
            Figure::Cpu => self.cpu,
            Figure::ClientCpu => return self.client_cpu,
        })
    }
}

impl Standing {
    pub(super) fn new(contestant: &Contestant, commands: Vec<String>) -> Standing {
        Standing {
            server: contestant.system.name().to_owned(),
            label: contestant.label(),
            house: contestant.system == System::Slamboot,
            client: contestant.client,
            commands,
            absent: contestant.system.absent(),
            runs: Vec::new(),
            figures: None,
        }
    }

    /// Counts one more run.
    pub(super) fn add(&mut self, outcome: Outcome, row: &Row) {
        self.runs.push(outcome);
        let finished = self.runs.iter().filter_map(|outcome| match outcome {
            Outcome::Finished(run) => Some(run),
            _ => None,
        });
        self.figures = Figures::of(&finished.collect::<Vec<_>>(), row);
    }

    /// What became of it, where there are no figures; a remark, where there are for some runs only.
    pub(super) fn remark(&self) -> Option<String> {
        if self.absent.is_some() {
            return Some("absent".to_owned());
        }
        let bad = |outcome: &&Outcome| !matches!(outcome, Outcome::Finished(_));
        let first = self.runs.iter().find(bad)?;
        let what = match first {
            Outcome::Unfinished {
                done, of, seconds, ..
            } => format!("{done} of {of} clients done after {seconds:.0} s"),
            _ => "failed".to_owned(),
        };
        let count = self.runs.iter().filter(bad).count();
        Some(match self.runs.len() {
            all if all == count => what,
            all => format!("{count} of {all} runs: {what}"),
        })
    }
}

impl RowReport {
    pub(super) fn new(row: Row, standings: Vec<Standing>) -> RowReport {
        RowReport {
            title: row.title(),
            bound_seconds: row.bound().as_secs_f64(),
            row,
            standings,
        }
    }

    fn house(&self, client: Client) -> Option<&Standing> {
        self.standings
            .iter()
            .find(|s| s.house && s.client == client)
    }

    /// Whom a contestant is compared with: the house with the same clients, or its best where the
    /// program has its own.
    fn rival(&self, standing: &Standing) -> Option<&Standing> {
        if standing.house {
            return None;
        }
        self.house(standing.client)
            .or_else(|| self.house(Client::Ours))
            .or_else(|| self.house(Client::Stock))
    }

    /// How many times as long as slamboot it took.
    fn against_house(&self, standing: &Standing) -> Option<f64> {
        let rival = self.rival(standing)?.figures.as_ref()?;
        Some(standing.figures.as_ref()?.seconds.median / rival.seconds.median)
    }

    /// What the row says of its goals, one line each.
    pub(super) fn goals(&self) -> Vec<String> {
        let line = |goal: &Goal| {
            let standing = self.house(goal.client)?;
            let unit = goal.figure.unit();
            let figures = standing.figures.as_ref();
            let verdict = match figures.and_then(|figures| figures.get(goal.figure)) {
                None => "nothing measured".to_owned(),
                Some(spread) => {
                    let found = spread.median;
                    let verdict = if found <= goal.at_most {
                        "reached"
                    } else {
                        "missed"
                    };
                    format!("{verdict}, {found:.2}")
                }
            };
            Some(format!(
                "goal: {}, at most {:.2}{unit}: {verdict}",
                standing.label, goal.at_most
            ))
        };
        self.row.goals.iter().filter_map(line).collect()
    }

    fn table(&self) -> Table<11> {
        let mut table = Table::new([
            "server → clients",
            "seconds",
            "min–max",
            "× bound",
            "× slamboot",
            "× file sent",
            "CPU s/GiB",
            "client",
            "from start",
            "CPU short",
            "remark",
        ]);
        for standing in &self.standings {
            let figure = |text: &dyn Fn(&Figures) -> String| {
                standing.figures.as_ref().map(text).unwrap_or_default()
            };
            table.row([
                standing.label.clone(),
                figure(&|f| format!("{:.2}", f.seconds.median)),
                figure(&|f| format!("{:.2}–{:.2}", f.seconds.min, f.seconds.max)),
                figure(&|f| format!("{:.2}", f.time.median)),
                self.against_house(standing)
                    .map(|ratio| format!("{ratio:.2}"))
                    .unwrap_or_default(),
                figure(&|f| format!("{:.2}", f.sent.median)),
                figure(&|f| format!("{:.2}", f.cpu.median)),
                figure(&|f| {
                    f.client_cpu
                        .map(|cpu| format!("{:.2}", cpu.median))
                        .unwrap_or_default()
                }),
                figure(&|f| format!("{:.2}", f.from_start.median)),
                figure(&|f| match f.cpu_short {
                    Some(part) => format!("{:.0} %", part.median * 100.0),
                    None => String::new(),
                }),
                standing.remark().unwrap_or_default(),
            ]);
        }
        table
    }

    /// Heading, table and goals.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "{} (bound {:.2} s) [{}]\n\n{}",
            self.title,
            self.bound_seconds,
            self.row.name,
            self.table()
        );
        for goal in self.goals() {
            let _ = writeln!(text, "  {goal}");
        }
        text
    }
}

impl Report {
    /// Everything, for people.
    pub(super) fn text(&self) -> String {
        let plural = if self.rounds == 1 { "" } else { "s" };
        let mut text = format!("{}\n{} round{plural}\n", self.machine, self.rounds);
        for row in &self.rows {
            let _ = write!(text, "\n{}", row.text());
        }
        let absent = self.absent();
        if !absent.is_empty() {
            text.push('\n');
        }
        for (server, program) in absent {
            let _ = writeln!(text, "absent: {server}: no {program} here");
        }
        text
    }

    /// The part of a run in which processors were short, in the middle of all runs.
    pub(super) fn cpu_short(&self) -> Option<f64> {
        let runs = self.rows.iter().flat_map(|row| &row.standings);
        let runs = runs.flat_map(|standing| &standing.runs);
        let parts = runs.filter_map(|outcome| match outcome {
            Outcome::Finished(run) => run.cpu_short,
            _ => None,
        });
        Some(Spread::of(parts)?.median)
    }

    /// Who did not take part, each once.
    fn absent(&self) -> Vec<(&str, &str)> {
        let standings = self.rows.iter().flat_map(|row| &row.standings);
        let mut absent: Vec<(&str, &str)> = standings
            .filter_map(|s| Some((&*s.server, s.absent.as_deref()?)))
            .collect();
        absent.sort_unstable();
        absent.dedup();
        absent
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::row;
    use super::*;

    /// A run at so many times the bound, of a server that sends so many times the file.
    pub(in super::super) fn run(row: &Row, times: f64, sent: f64) -> Outcome {
        let seconds = row.bound().as_secs_f64() * times;
        let sent = (row.bytes as f64 * sent) as u64;
        Outcome::Finished(Run {
            seconds,
            from_start: seconds + 1.0,
            sent,
            cpu: sent as f64 / GIB / 2.0,
            client_cpu: Some(1.0),
            cpu_short: Some(0.25),
            clients: vec![seconds / 2.0, seconds],
        })
    }

    pub(in super::super) fn standing(
        label: &str,
        client: Client,
        row: &Row,
        runs: Vec<Outcome>,
    ) -> Standing {
        let mut standing = Standing {
            server: label.split(" → ").next().unwrap_or_default().to_owned(),
            label: label.to_owned(),
            house: label.starts_with("slamboot"),
            client,
            commands: Vec::new(),
            absent: None,
            runs: Vec::new(),
            figures: None,
        };
        for outcome in runs {
            standing.add(outcome, row);
        }
        standing
    }

    fn eight() -> Row {
        row::all().into_iter().find(|row| row.name == "8").unwrap()
    }

    #[test]
    fn medians_of_even_and_odd_numbers() {
        let of = |values: &[f64]| Spread::of(values.iter().copied());
        let spread = |median, min, max| Some(Spread { median, min, max });
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[3.0]), spread(3.0, 3.0, 3.0));
        assert_eq!(of(&[9.0, 1.0, 2.0]), spread(2.0, 1.0, 9.0));
        assert_eq!(of(&[4.0, 1.0, 9.0, 2.0]), spread(3.0, 1.0, 9.0));
    }

    #[test]
    fn ratios_are_to_the_bound_and_to_the_house_with_the_same_clients() {
        let row = eight();
        let times = |all: &[f64]| all.iter().map(|t| run(&row, *t, 1.04)).collect();
        let report = RowReport::new(
            row.clone(),
            vec![
                standing(
                    "slamboot → ours",
                    Client::Ours,
                    &row,
                    times(&[1.1, 1.0, 1.5]),
                ),
                standing("slamboot → stock", Client::Stock, &row, times(&[1.2])),
                standing("mini → stock", Client::Stock, &row, times(&[3.6])),
                standing("udpcast", Client::Own, &row, times(&[2.2])),
            ],
        );
        let against: Vec<Option<String>> = report
            .standings
            .iter()
            .map(|s| report.against_house(s).map(|ratio| format!("{ratio:.3}")))
            .collect();
        let expected = [None, None, Some("3.000"), Some("2.000")];
        assert_eq!(against, expected.map(|text| text.map(str::to_owned)));
        let figures = report.standings[0].figures.as_ref().unwrap();
        assert!((figures.time.median - 1.1).abs() < 1e-9);
        assert!((figures.cpu.median - 0.5).abs() < 1e-9);
        assert_eq!(
            report.goals(),
            ["goal: slamboot → stock, at most 1.15× bound: missed, 1.20"]
        );
    }

    #[test]
    fn what_did_not_work_is_said() {
        let row = eight();
        let unfinished = Outcome::Unfinished {
            done: 3,
            of: 8,
            seconds: 60.4,
            why: "a line".to_owned(),
        };
        let both = vec![run(&row, 1.0, 1.0), unfinished.clone()];
        let some = standing("a", Client::Own, &row, both);
        assert_eq!(
            some.remark().unwrap(),
            "1 of 2 runs: 3 of 8 clients done after 60 s"
        );
        assert!(some.figures.is_some());
        let none = standing("b", Client::Own, &row, vec![unfinished]);
        assert_eq!(none.remark().unwrap(), "3 of 8 clients done after 60 s");
        assert_eq!(none.figures, None);
        let mut absent = standing("c", Client::Own, &row, Vec::new());
        absent.absent = Some("uftp".to_owned());
        let report = RowReport::new(row, vec![some, none, absent]);
        let text = report.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "8 clients, 1 Gbit/s, 200 MiB (bound 1.68 s) [8]");
        assert!(
            lines[4].starts_with("  a                 1.68     1.68–1.68  1.00"),
            "{text}"
        );
        assert!(lines[6].ends_with("absent"), "{text}");
        let report = Report {
            machine: Machine::here(),
            rounds: 2,
            rows: vec![report],
        };
        let text = report.text();
        assert!(text.ends_with("\n\nabsent: c: no uftp here\n"), "{text}");
        assert_eq!(report.cpu_short(), Some(0.25));
    }
}
