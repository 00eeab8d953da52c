// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tables on a terminal.

use std::fmt;

/// Rows of `N` columns under a heading, aligned to the left.
pub struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// An empty table under this heading.
    pub fn new(heading: [&str; N]) -> Self {
        Table {
            rows: vec![heading.map(str::to_owned)],
        }
    }

    /// One more row.
    pub fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths = [0; N];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for (number, row) in self.rows.iter().enumerate() {
            let cells: Vec<String> = row
                .iter()
                .zip(widths)
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            writeln!(f, "  {}", cells.join("  ").trim_end())?;
            if number == 0 {
                let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
                writeln!(f, "  {}", rule.join("  "))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["client", "MiB/s"]);
        table.row(["client1".into(), "33.1".into()]);
        table.row(["c".into(), "µ".into()]);
        assert_eq!(
            table.to_string(),
            "  client   MiB/s\n  -------  -----\n  client1  33.1\n  c        µ\n"
        );
    }
}
