// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is done to WIMs by wimlib: listing, extracting, changing.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use crate::image::tool::{ToolError, WIMLIB, Work};
use crate::image::write::{Step, Watch};

/// Every file and directory of an image, such as `/Windows/Boot/PCAT/bootmgr`.
pub(super) fn list(wim: &Path, image: u32) -> Result<Vec<String>, ToolError> {
    let what = "looking into a WIM";
    let image = image.to_string();
    let said = WIMLIB.run(what, ["dir".as_ref(), wim.as_os_str(), image.as_ref()], b"")?;
    let text = String::from_utf8_lossy(&said);
    Ok(text.lines().map(str::to_owned).collect())
}

/// Extracts files into a directory, without their parents: where each one is then.
pub(super) fn extract(
    wim: &Path,
    image: u32,
    paths: &[&str],
    into: &Path,
) -> Result<Vec<PathBuf>, ToolError> {
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    let image = image.to_string();
    let directory = format!("--dest-dir={}", into.display());
    let mut arguments = vec!["extract".into(), wim.as_os_str().to_owned(), image.into()];
    arguments.extend(paths.iter().map(Into::into));
    for option in ["--no-globs", "--no-acls", "--no-attributes", &directory] {
        arguments.push(option.into());
    }
    WIMLIB.run("taking files out of a WIM", arguments, b"")?;
    let name = |path: &&str| into.join(path.rsplit('/').next().unwrap_or_default());
    Ok(paths.iter().map(name).collect())
}

/// Something to be put into an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Addition {
    /// A file or directory of the host.
    pub source: PathBuf,
    /// Its place in the image, such as `/Windows/System32/startnet.cmd`.
    pub target: String,
}

/// Changes an image in place. Times that wimlib would take from the clock are `modified`, a
/// FILETIME in two halves as the XML data has them.
pub(super) fn update(
    wim: &Path,
    image: u32,
    additions: &[Addition],
    modified: [String; 2],
    watch: &mut Watch,
) -> Result<(), ToolError> {
    let mut commands = String::new();
    for Addition { source, target } in additions {
        let (source, target) = (quoted(&source.display().to_string())?, quoted(target)?);
        // Writing to a string does not fail.
        let _ = writeln!(commands, "add {source} {target}");
    }
    let image = image.to_string();
    let wim = wim.as_os_str();
    let what = "changing a WIM";
    let work = Work {
        what,
        step: Step::Change,
        // It is rebuilt, so all of it is copied.
        total: std::fs::metadata(wim).map_or(0, |file| file.len()),
    };
    let arguments = ["update".as_ref(), wim, image.as_ref(), "--rebuild".as_ref()];
    WIMLIB.run_watched(work, arguments, commands.as_bytes(), watch)?;
    let [high, low] = modified;
    let high = format!("LASTMODIFICATIONTIME/HIGHPART={high}");
    let low = format!("LASTMODIFICATIONTIME/LOWPART={low}");
    let property = "--image-property";
    WIMLIB.run(
        what,
        [
            "info".as_ref(),
            wim,
            image.as_ref(),
            property.as_ref(),
            high.as_ref(),
            property.as_ref(),
            low.as_ref(),
        ],
        b"",
    )?;
    Ok(())
}

/// As `wimlib-imagex update` reads it: in quotes, in which nothing is escaped.
fn quoted(text: &str) -> Result<String, ToolError> {
    let quote = ['\'', '"'].into_iter().find(|quote| !text.contains(*quote));
    match quote {
        Some(quote) if !text.contains(['\n', '\r']) => Ok(format!("{quote}{text}{quote}")),
        _ => Err(ToolError::Run {
            command: format!("wimlib-imagex update (add {text:?})"),
            source: io::Error::new(
                io::ErrorKind::InvalidInput,
                "it takes no path with both kinds of quotes, or a line break; rename that",
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes() {
        assert_eq!(quoted("/a b").unwrap(), "'/a b'");
        assert_eq!(quoted("/it's").unwrap(), "\"/it's\"");
        assert!(quoted("/it's \"that\"").is_err());
        assert!(quoted("a\nb").is_err());
    }
}
