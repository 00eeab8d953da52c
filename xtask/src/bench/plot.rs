// SPDX-License-Identifier: MIT OR Apache-2.0
//! The picture: one panel for each row, all on the same scale, so that lengths compare across them.

use svg::Document;
use svg::node::element::{Group, Line, Path, Rectangle, Text, Title};

use super::peer::Client;
use super::report::{Report, RowReport, Standing};
use super::row::Figure;

const MARGIN: f64 = 32.0;
const COLUMNS: usize = 2;
const PANEL_WIDTH: f64 = 590.0;
const GAP: f64 = 44.0;
/// Title and description of a panel.
const PANEL_HEAD: f64 = 54.0;
/// Numbers below the axis.
const PANEL_FOOT: f64 = 26.0;
const BAR: f64 = 16.0;
const STEP: f64 = 25.0;
/// Where bars begin: right of the labels.
const AXIS: f64 = 186.0;
/// One times the bound, in pixels.
const ONE: f64 = 50.0;
/// Room for the ratio, before the seconds.
const NUMBER: f64 = 52.0;
/// Bars longer than this are broken off.
const LONGEST: f64 = 6.0;
const HEAD: f64 = 116.0;
const FOOT: f64 = 30.0;

const INK: &str = "#1b2733";
const FAINT: &str = "#6b7785";
const GRID: &str = "#e3e7eb";
const BOUND: &str = "#b3261e";
const FONT: &str = "system-ui, 'Segoe UI', 'DejaVu Sans', Helvetica, Arial, sans-serif";

/// Who is shown, by colour.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    House,
    Slam,
    Other,
}

impl Kind {
    const ALL: [(Kind, &'static str); 3] = [
        (Kind::House, "slamboot"),
        (Kind::Slam, "another SLAM server"),
        (Kind::Other, "other programs"),
    ];

    fn of(standing: &Standing) -> Kind {
        match (standing.house, standing.client) {
            (true, _) => Kind::House,
            (false, Client::Own) => Kind::Other,
            (false, _) => Kind::Slam,
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Kind::House => "#0a7f8c",
            Kind::Slam => "#d9963b",
            Kind::Other => "#9aa6b2",
        }
    }
}

/// The picture, as a file's content.
pub(super) fn svg(report: &Report) -> String {
    let mut panels = Group::new();
    let mut y = HEAD;
    for pair in report.rows.chunks(COLUMNS) {
        let height = pair.iter().map(panel_height).fold(0.0, f64::max);
        for (column, row) in pair.iter().enumerate() {
            let x = MARGIN + column as f64 * (PANEL_WIDTH + GAP);
            let place = format!("translate({x} {y})");
            panels = panels.add(panel(row).set("transform", place));
        }
        y += height + GAP / 2.0;
    }
    let columns = report.rows.len().clamp(1, COLUMNS) as f64;
    let width = 2.0 * MARGIN + columns * PANEL_WIDTH + (columns - 1.0) * GAP;
    let height = y + FOOT;
    let plural = if report.rounds == 1 { "" } else { "s" };
    let short = match report.cpu_short() {
        Some(part) => format!(
            " Processors were short for {:.0} % of the time.",
            part * 100.0
        ),
        None => String::new(),
    };
    let foot = format!(
        "{}. {} round{plural}; bars: median, whiskers: extremes.{short}",
        report.machine, report.rounds
    );
    let document = Document::new()
        .set("viewBox", (0, 0, width, height))
        .set("width", width)
        .set("height", height)
        .set("font-family", FONT)
        .set("font-size", 13)
        .set("fill", INK)
        .add(Title::new("slamboot, measured side by side"))
        .add(
            Rectangle::new()
                .set("width", width)
                .set("height", height)
                .set("fill", "#ffffff"),
        )
        .add(
            Text::new("One file to a room of PCs: time to the last client")
                .set("x", MARGIN)
                .set("y", 44)
                .set("font-size", 23)
                .set("font-weight", 600),
        )
        .add(legend())
        .add(panels)
        .add(
            text(foot, MARGIN, height - 18.0)
                .set("fill", FAINT)
                .set("font-size", 12),
        );
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{document}\n")
}

fn text(content: impl Into<String>, x: f64, y: f64) -> Text {
    Text::new(content.into()).set("x", x).set("y", y)
}

fn line(from: (f64, f64), to: (f64, f64), colour: &str) -> Line {
    let line = Line::new().set("x1", from.0).set("y1", from.1);
    line.set("x2", to.0).set("y2", to.1).set("stroke", colour)
}

fn bound(x: f64, top: f64, bottom: f64) -> Line {
    line((x, top), (x, bottom), BOUND)
        .set("stroke-width", 1.4)
        .set("stroke-dasharray", "4 3")
}

fn legend() -> Group {
    let mut group = Group::new().set("transform", format!("translate({MARGIN} 76)"));
    let mut x = 0.0;
    for (kind, name) in Kind::ALL {
        let swatch = Rectangle::new().set("x", x).set("y", -11);
        let swatch = swatch.set("width", 13).set("height", 13).set("rx", 2);
        group = group
            .add(swatch.set("fill", kind.colour()))
            .add(text(name, x + 20.0, 0.0));
        x += 44.0 + 7.4 * name.len() as f64;
    }
    group.add(bound(x + 4.0, -13.0, 4.0)).add(text(
        "1 = size ÷ link rate, less is impossible",
        x + 16.0,
        0.0,
    ))
}

fn panel_height(row: &RowReport) -> f64 {
    PANEL_HEAD + STEP * row.standings.len() as f64 + PANEL_FOOT
}

fn panel(row: &RowReport) -> Group {
    let bottom = PANEL_HEAD + STEP * row.standings.len() as f64;
    let what = match row.row.figure {
        Figure::Time => format!(
            "time from first data to last client, in multiples of {:.2} s",
            row.bound_seconds
        ),
        Figure::Sent => "bytes the server sent, in multiples of the file".to_owned(),
        Figure::Cpu => "server's CPU time in seconds per GiB sent".to_owned(),
        Figure::ClientCpu => "clients' CPU time in seconds per GiB received".to_owned(),
    };
    let mut group = Group::new()
        .add(
            text(&row.title, 0.0, 14.0)
                .set("font-size", 16)
                .set("font-weight", 600),
        )
        .add(
            text(what, 0.0, 34.0)
                .set("fill", FAINT)
                .set("font-size", 12),
        );
    for times in 0..=LONGEST as u32 {
        let x = AXIS + f64::from(times) * ONE;
        let number = text(times.to_string(), x, bottom + 16.0);
        group = group
            .add(line((x, PANEL_HEAD - 6.0), (x, bottom), GRID))
            .add(
                number
                    .set("fill", FAINT)
                    .set("font-size", 11)
                    .set("text-anchor", "middle"),
            );
    }
    for (number, standing) in row.standings.iter().enumerate() {
        let y = PANEL_HEAD + STEP * number as f64;
        group = bar(group, row, standing, y);
    }
    group.add(bound(AXIS + ONE, PANEL_HEAD - 6.0, bottom))
}

/// Label, bar, whisker and number of one contestant.
fn bar(group: Group, row: &RowReport, standing: &Standing, y: f64) -> Group {
    let middle = y + BAR / 2.0;
    let base = middle + 4.5;
    let weight = if standing.house { 600 } else { 400 };
    let label = text(&standing.label, AXIS - 10.0, base);
    let group = group.add(label.set("text-anchor", "end").set("font-weight", weight));
    let remark = standing.remark().map(|remark| {
        text(remark, AXIS + ONE + 10.0, base)
            .set("fill", FAINT)
            .set("font-style", "italic")
    });
    let figures = standing.figures.as_ref();
    let Some(spread) = figures.and_then(|figures| figures.get(row.row.figure)) else {
        return group.add(remark.unwrap_or_else(|| text("not measured", AXIS + ONE + 10.0, base)));
    };
    let x = |times: f64| AXIS + times.min(LONGEST) * ONE;
    let mut group = group.add(
        Rectangle::new()
            .set("x", AXIS)
            .set("y", y)
            .set("width", x(spread.median) - AXIS)
            .set("height", BAR)
            .set("rx", 2)
            .set("fill", Kind::of(standing).colour()),
    );
    if spread.median > LONGEST {
        group = group.add(broken_off(y));
    } else if spread.max > spread.min {
        let (from, to) = (x(spread.min), x(spread.max));
        group = group.add(line((from, middle), (to, middle), INK).set("stroke-width", 1.2));
        // One that lies beyond the axis has no end to show.
        let ends = [spread.min, spread.max].into_iter();
        for end in ends.filter(|end| *end <= LONGEST).map(x) {
            group = group.add(line((end, middle - 3.5), (end, middle + 3.5), INK));
        }
    }
    let end = x(spread.max.max(spread.median)) + 8.0;
    let number = text(format!("{}×", short(spread.median)), end, base);
    let seconds = match row.row.figure {
        Figure::Time => {
            let seconds = figures.map_or(0.0, |figures| figures.seconds.median);
            format!("{seconds:.2} s")
        }
        Figure::Sent | Figure::Cpu | Figure::ClientCpu => String::new(),
    };
    let rest = [Some(seconds), standing.remark()].into_iter().flatten();
    let rest: Vec<String> = rest.filter(|part| !part.is_empty()).collect();
    group
        .add(number.set("font-weight", weight))
        .add(text(rest.join(", "), end + NUMBER, base).set("fill", FAINT))
}

/// Two slanted cuts through a bar that is longer than the axis.
fn broken_off(y: f64) -> Path {
    let x = AXIS + (LONGEST - 0.55) * ONE;
    let cut = |x: f64| format!("M{} {} l6 {}", x, y + BAR + 1.0, -(BAR + 2.0));
    Path::new()
        .set("d", format!("{} {}", cut(x), cut(x + 7.0)))
        .set("stroke", "#ffffff")
        .set("stroke-width", 3)
}

/// As many digits as mean something.
fn short(times: f64) -> String {
    match times {
        t if t < 10.0 => format!("{t:.2}"),
        t if t < 100.0 => format!("{t:.1}"),
        t => format!("{t:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::Machine;
    use super::super::report::tests::{run, standing};
    use super::super::row;
    use super::*;

    fn report() -> Report {
        let rows = row::all().into_iter().map(|row| {
            let mut absent = standing("uftp", Client::Own, &row, Vec::new());
            absent.absent = Some("uftp".to_owned());
            let standings = vec![
                standing(
                    "slamboot → stock",
                    Client::Stock,
                    &row,
                    vec![run(&row, 1.06, 1.04), run(&row, 1.2, 1.04)],
                ),
                standing("<&>", Client::Stock, &row, vec![run(&row, 211.0, 1.9)]),
                absent,
            ];
            RowReport::new(row, standings)
        });
        Report {
            machine: Machine {
                cpu: "X".to_owned(),
                cores: 2,
                memory_gib: 23.4,
                kernel: "6.1".to_owned(),
                load_at_start: 0.5,
            },
            rounds: 2,
            rows: rows.collect(),
        }
    }

    #[test]
    fn everything_is_in_the_picture_and_it_is_xml() {
        let text = svg(&report());
        for part in [
            "8 clients, 1 Gbit/s, 200 MiB",
            "1.13×",
            "211×",
            "absent",
            "X, 2 cores",
            "short for 25 % of the time",
            "&lt;&amp;&gt;",
        ] {
            assert!(text.contains(part), "no {part}");
        }
        let tags = svg::read(&text).unwrap();
        let errors: Vec<String> = tags
            .filter_map(|event| match event {
                svg::parser::Event::Error(error) => Some(error.to_string()),
                _ => None,
            })
            .collect();
        assert_eq!(errors, Vec::<String>::new());
    }

    #[test]
    fn no_bar_leaves_its_panel() {
        let text = svg(&report());
        let bars = text.matches("fill=\"#d9963b\"").count();
        // One in the legend.
        assert_eq!(bars, 1 + row::all().len());
        let widest = text
            .split("<rect ")
            .filter(|rect| rect.contains("rx=\"2\""))
            .filter_map(|rect| {
                rect.split("width=\"")
                    .nth(1)?
                    .split('"')
                    .next()?
                    .parse()
                    .ok()
            })
            .fold(0.0, f64::max);
        assert!((widest - LONGEST * ONE).abs() < 1e-9, "{widest}");
        let left_for_numbers = PANEL_WIDTH - AXIS - widest;
        assert!(left_for_numbers > 100.0, "{left_for_numbers}");
    }
}
