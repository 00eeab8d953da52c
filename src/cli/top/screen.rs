// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `slamboot top` shows.

use std::fmt::Write as _;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table};

use crate::dashboard::{duration, rate, share, word};
use crate::observe::Bytes;
use crate::observe::status::{
    ClientState, ClientStatus, Level, Status, TransferState, TransferStatus,
};

/// Cells of a bar.
const BAR: usize = 20;
/// After a name that a machine calls itself, and no `[[host]]` does.
const CLAIMED: char = '?';
/// Lines of what happened.
const EVENTS: u16 = 6;

/// Draws one look; `lost` says why it is an old one, and the first `scroll` clients are left out.
pub(super) fn draw(frame: &mut Frame<'_>, status: &Status, lost: Option<&str>, scroll: usize) {
    let active =
        |t: &&TransferStatus| matches!(t.state, TransferState::Waiting | TransferState::Sending);
    let rooms: Vec<&TransferStatus> = status.transfers.iter().filter(active).collect();
    let warnings = status.warnings.len().min(2) as u16;
    let most = (frame.area().height / 3).max(1);
    let [head, warn, body, clients, events, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(warnings),
        Constraint::Length((rooms.len() as u16).clamp(1, most) + 1),
        Constraint::Min(3),
        Constraint::Length(EVENTS.min(frame.area().height / 5)),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(title(status, lost)), head);
    let yellow = Style::new().fg(Color::Yellow);
    let lines = status
        .warnings
        .iter()
        .map(|w| Line::styled(plain(w), yellow));
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), warn);
    let mut lines: Vec<Line<'_>> = rooms
        .iter()
        .map(|room| Line::from(self::room(room)))
        .collect();
    if lines.is_empty() {
        let names: Vec<&str> = status.transfers.iter().map(|t| t.name.as_str()).collect();
        lines.push(Line::from(format!(
            "nobody is in a room; ready: {}",
            names.join(", ")
        )));
    }
    frame.render_widget(Paragraph::new(lines), body);
    frame.render_widget(table(&status.clients, scroll), clients);
    let lines = status.events.iter().map(|line| {
        let style = match line.level {
            Level::Info => Style::new(),
            Level::Warning => yellow,
            Level::Error => Style::new().fg(Color::Red),
        };
        let clock = line.time.get(11..19).unwrap_or("");
        Line::styled(format!("{clock}  {}", plain(&line.text)), style)
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), events);
    let dim = Style::new().add_modifier(Modifier::DIM);
    let help = "q quit   arrows, PageUp, PageDown scroll   name? by its own word   times are UTC";
    frame.render_widget(Paragraph::new(Line::styled(help, dim)), keys);
}

fn title<'a>(status: &'a Status, lost: Option<&'a str>) -> Line<'a> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let at = status.server.addresses.join(", ");
    let mut spans = vec![
        Span::styled(format!("slamboot {}", status.server.version), bold),
        Span::raw(format!(
            "  {at}  {} in rooms, {} known",
            status.server.active_clients,
            status.clients.len()
        )),
    ];
    if let Some(lost) = lost {
        let red = Style::new().fg(Color::Red);
        spans.push(Span::styled(format!("  NOT NOW: {lost}"), red));
    }
    Line::from(spans)
}

/// One room in one line.
fn room(room: &TransferStatus) -> String {
    let mut text = format!("{:<18} ", plain(&room.name));
    if room.state == TransferState::Waiting {
        let _ = write!(text, "waiting  {}", room.present);
        if let Some(expected) = room.expected {
            let _ = write!(text, " of {expected}");
        }
        match room.begins_in_seconds {
            _ if room.held => text.push_str(", held"),
            Some(seconds) => {
                let _ = write!(text, ", begins in {}", duration(seconds));
            }
            None => {}
        }
        return text;
    }
    let _ = write!(
        text,
        "{} {:>3.0} %  {} clients{}  {}  repairs {}",
        bar(room.progress),
        (room.progress * 100.0).floor(),
        room.present,
        came(room),
        rate(room.bits_per_second),
        share(room.repair_share)
    );
    if let Some(left) = room.seconds_left {
        let _ = write!(text, "  {} left", duration(left));
    }
    text
}

/// How many came of how many that were waited for.
fn came(room: &TransferStatus) -> String {
    let came = |expected| format!(" ({} of {expected} came)", room.joined);
    room.expected.map(came).unwrap_or_default()
}

fn bar(progress: f64) -> String {
    let full = ((progress * BAR as f64) as usize).min(BAR);
    "█".repeat(full) + &"░".repeat(BAR - full)
}

fn table(clients: &[ClientStatus], scroll: usize) -> Table<'static> {
    let head = Row::new([
        "client", "address", "state", "progress", "gets", "lost", "left",
    ]);
    let rows = clients.iter().skip(scroll).map(|client| {
        let columns = columns(client);
        let color = match client.state {
            ClientState::Receiving => Color::Cyan,
            ClientState::Finished | ClientState::Booting => Color::Green,
            ClientState::GaveUp | ClientState::Failed => Color::Red,
            ClientState::Waiting => Color::Yellow,
            _ => Color::Reset,
        };
        let cell = |(at, text)| {
            let cell = Cell::from(text);
            if at == 2 {
                cell.style(Style::new().fg(color))
            } else {
                cell
            }
        };
        Row::new(columns.into_iter().enumerate().map(cell))
    });
    let widths = [
        Constraint::Fill(2),
        Constraint::Fill(2),
        Constraint::Length(10),
        Constraint::Length(17),
        Constraint::Length(11),
        Constraint::Length(6),
        Constraint::Length(7),
    ];
    let bold = Style::new().add_modifier(Modifier::BOLD);
    Table::new(rows, widths).header(head.style(bold))
}

fn columns(client: &ClientStatus) -> [String; 7] {
    let known = [&client.name, &client.mac, &client.address];
    let name = known
        .into_iter()
        .flatten()
        .next()
        .map_or("", String::as_str);
    let gets = client.gets();
    let progress = match client.transfer.as_ref().or(client.download.as_ref()) {
        Some(_) => {
            let full = ((client.progress * 10.0) as usize).min(10);
            let bar = "█".repeat(full) + &"░".repeat(10 - full);
            format!("{bar} {:>3.0} %", (client.progress * 100.0).floor())
        }
        None => String::new(),
    };
    let name = if client.name_is_claimed {
        format!("{}{CLAIMED}", plain(name))
    } else {
        plain(name)
    };
    [
        name,
        plain(client.address.as_deref().unwrap_or("")),
        word(client.state).to_owned(),
        progress,
        if gets {
            rate(client.bits_per_second)
        } else {
            String::new()
        },
        client.lost.map(share).unwrap_or_default(),
        client
            .seconds_left
            .filter(|_| gets)
            .map(duration)
            .unwrap_or_default(),
    ]
}

/// Nothing from the network reaches the terminal as anything but letters.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// One look as plain text, for pipes and `--once`.
pub(super) fn text(status: &Status) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}", title(status, None));
    for warning in &status.warnings {
        let _ = writeln!(text, "warning: {}", plain(warning));
    }
    for transfer in &status.transfers {
        match transfer.state {
            TransferState::Waiting | TransferState::Sending => {
                let _ = writeln!(text, "{}", room(transfer));
            }
            TransferState::Idle => {
                let bytes = Bytes(transfer.bytes.unwrap_or(0));
                let _ = writeln!(text, "{:<18} ready, {bytes}", plain(&transfer.name));
            }
            TransferState::NotServed => {
                let _ = writeln!(text, "{:<18} not served now", plain(&transfer.name));
            }
        }
    }
    for client in &status.clients {
        let [name, address, state, progress, gets, lost, left] = columns(client);
        let line = format!(
            "  {name:<20} {address:<15} {state:<10} {progress:<16} {gets:>11} {lost:>6} {left:>7}"
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn status(count: u64) -> Status {
        let client = |id: u64| ClientStatus {
            id,
            name: Some(format!("pc-{id:02}\u{1b}[31m")),
            address: Some(format!("10.0.0.{id}")),
            state: ClientState::Receiving,
            transfer: Some("demo".to_owned()),
            progress: 0.42,
            bits_per_second: 31_200_000,
            lost: Some(0.01),
            slowness: Some(id),
            seconds_left: Some(61.0),
            ..ClientStatus::default()
        };
        let transfer = TransferStatus {
            name: "demo".to_owned(),
            state: if count > 0 {
                TransferState::Sending
            } else {
                TransferState::Idle
            },
            present: count,
            progress: 0.42,
            bits_per_second: 903_000_000,
            bytes: Some(1 << 20),
            ..TransferStatus::default()
        };
        let mut status = Status {
            transfers: vec![transfer],
            clients: (1..=count).map(client).collect(),
            ..Status::default()
        };
        status.server.active_clients = count;
        status
    }

    fn drawn(status: &Status, scroll: usize, size: (u16, u16)) -> String {
        let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
        terminal
            .draw(|frame| draw(frame, status, None, scroll))
            .unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn rooms_of_any_size_fit_terminals_of_any_size() {
        for count in [0, 3, 300] {
            for size in [(80, 24), (200, 60), (20, 5), (1, 1)] {
                drawn(&status(count), 0, size);
                drawn(&status(count), 299, size);
            }
        }
        let screen = drawn(&status(3), 0, (100, 24));
        for text in [
            "3 in rooms",
            "903 Mbit/s",
            "pc-01",
            "10.0.0.3",
            "31.2 Mbit/s",
            "61 s",
            "42 %",
        ] {
            assert!(screen.contains(text), "{text}\n{screen}");
        }
        assert!(!screen.contains('\u{1b}'));
        assert!(drawn(&status(0), 0, (100, 24)).contains("nobody is in a room; ready: demo"));
        assert!(drawn(&status(300), 290, (100, 24)).contains("pc-291"));
    }

    #[test]
    fn a_download_over_http_has_a_bar_and_a_rate() {
        let mut downloads = status(1);
        let client = &mut downloads.clients[0];
        (client.slowness, client.transfer) = (None, None);
        client.download = Some("demo".to_owned());
        let text = text(&downloads);
        for shown in ["42 %", "31.2 Mbit/s", "61 s"] {
            assert!(text.contains(shown), "{shown}\n{text}");
        }
    }

    #[test]
    fn one_look_is_plain_text() {
        let text = text(&status(1));
        assert!(
            text.contains("demo               ████████░░░░░░░░░░░░  42 %  1 clients"),
            "{text}"
        );
        assert!(text.contains("pc-01?[31m"), "{text}");
    }
}
