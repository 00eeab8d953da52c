// SPDX-License-Identifier: MIT OR Apache-2.0
//! The block map as a picture: a grid that fills, drawn with one path for each shade.

use std::fmt::Write as _;

use maud::{Markup, html};

/// Cells in a row.
const COLUMNS: usize = 64;

/// Shades from "not sent" to "everybody has it"; the classes are the style sheet's.
const SHADES: [(&str, &str, &str); 6] = [
    (".", "m0", "not sent"),
    ("-", "m1", "partly sent"),
    ("o", "m2", "sent"),
    ("123", "m3", "held by some"),
    ("45678", "m4", "held by most"),
    ("#", "m5", "held by all"),
];

/// Draws the letters of [`TransferStatus::map`](crate::observe::status::TransferStatus::map).
pub(super) fn draw(map: &str) -> Markup {
    let parts: Vec<char> = map.chars().collect();
    if parts.is_empty() {
        return html! {};
    }
    let columns = parts.len().min(COLUMNS);
    let rows = parts.len().div_ceil(columns);
    let share = |letters: &str| {
        let count = parts.iter().filter(|part| letters.contains(**part)).count();
        count * 100 / parts.len()
    };
    let sent = 100 - share(".");
    let label = format!(
        "Block map: {sent} % of the file sent, {} % held by everybody",
        share("#")
    );
    html! {
        svg class="map" role="img" aria-label=(label) viewBox=(format!("0 0 {columns} {rows}")) preserveAspectRatio="none" {
            @for (letters, class, title) in SHADES {
                @let path = path(&parts, letters, columns);
                @if !path.is_empty() {
                    path class=(class) d=(path) { title { (title) } }
                }
            }
        }
    }
}

/// Runs of cells of one shade, each a rectangle.
fn path(parts: &[char], letters: &str, columns: usize) -> String {
    let mut path = String::new();
    for (row, cells) in parts.chunks(columns).enumerate() {
        let mut at = 0;
        while at < cells.len() {
            let run = cells[at..]
                .iter()
                .take_while(|cell| letters.contains(**cell));
            let run = run.count();
            if run > 0 {
                // Writing to a String does not fail.
                let _ = write!(path, "M{at} {row}h{run}v1h-{run}z");
            }
            at += run.max(1);
        }
    }
    path
}

/// What the shades mean.
pub(super) fn legend() -> Markup {
    html! {
        ul class="legend" aria-hidden="true" {
            @for (_, class, title) in SHADES {
                li { svg viewBox="0 0 1 1" { path class=(class) d="M0 0h1v1h-1z" {} } " " (title) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_become_rectangles() {
        let parts: Vec<char> = "##.#..".chars().collect();
        assert_eq!(path(&parts, "#", 3), "M0 0h2v1h-2zM0 1h1v1h-1z");
        assert_eq!(path(&parts, "5", 3), "");
        let drawn = draw(&"#o.".repeat(100)).into_string();
        assert!(drawn.contains("viewBox=\"0 0 64 5\""), "{drawn}");
        assert!(
            drawn.contains("67 % of the file sent, 33 % held by everybody"),
            "{drawn}"
        );
        // Whatever the room is like, a map stays small.
        assert!(draw(&"#o".repeat(256)).into_string().len() < 16_000);
        assert_eq!(draw("").into_string(), "");
    }
}
