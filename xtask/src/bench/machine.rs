// SPDX-License-Identifier: MIT OR Apache-2.0
//! The machine that was measured on: no figure means anything without it.

use std::fmt;
use std::fs;

use serde::Serialize;

/// What a reader needs to know of the machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Machine {
    pub(super) cpu: String,
    pub(super) cores: usize,
    pub(super) memory_gib: f64,
    pub(super) kernel: String,
    /// Load over the last minute when the first run began: what else was going on.
    pub(super) load_at_start: f64,
}

impl Machine {
    /// This one, now.
    pub(super) fn here() -> Machine {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Machine {
            cpu: cpu(&read("/proc/cpuinfo")),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: memory_gib(&read("/proc/meminfo")),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_at_start: load(&read("/proc/loadavg")),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.cores == 1 { "" } else { "s" };
        write!(
            f,
            "{}, {} core{plural}, {:.0} GiB, Linux {}, load {:.2} at start",
            self.cpu, self.cores, self.memory_gib, self.kernel, self.load_at_start
        )
    }
}

/// `/proc/cpuinfo`; some architectures name no model.
fn cpu(text: &str) -> String {
    let model = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == "model name");
    model
        .map_or("unknown CPU", |(_, model)| model.trim())
        .to_owned()
}

/// `/proc/meminfo`, in KiB whatever it says.
fn memory_gib(text: &str) -> f64 {
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or_default() / f64::from(1 << 20)
}

/// `/proc/loadavg`.
fn load(text: &str) -> f64 {
    let first = text.split_whitespace().next();
    first.and_then(|load| load.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_of_the_machine() {
        let cpuinfo = "processor\t: 0\nmodel\t\t: 85\nmodel name\t: Some CPU @ 2.60GHz\n";
        assert_eq!(cpu(cpuinfo), "Some CPU @ 2.60GHz");
        assert_eq!(cpu("Features : fp"), "unknown CPU");
        let gib = memory_gib("MemTotal:       16777216 kB\nMemFree: 1 kB\n");
        assert!((gib - 16.0).abs() < 1e-9);
        assert!((load("1.25 0.80 0.42 2/133 4242\n") - 1.25).abs() < 1e-9);
        let machine = Machine {
            cpu: "X".to_owned(),
            cores: 2,
            memory_gib: 23.4,
            kernel: "6.1".to_owned(),
            load_at_start: 0.5,
        };
        assert_eq!(
            machine.to_string(),
            "X, 2 cores, 23 GiB, Linux 6.1, load 0.50 at start"
        );
    }
}
