// SPDX-License-Identifier: MIT OR Apache-2.0
//! A site's own script in place of slamboot's (`file` under `[firmware.script]`).

use super::lines::parts;

/// A script that cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnError {
    /// Larger than iPXE and its ROM would have room for.
    #[error("{found} bytes: expected {limit} at most", limit = OwnError::LIMIT)]
    TooLarge {
        /// Its size.
        found: usize,
    },
    /// Bytes that are none of a text.
    #[error("byte {offset}: expected a text in UTF-8, found {found:#04x}")]
    NoText {
        /// Where, from 0.
        offset: usize,
        /// The byte.
        found: u8,
    },
    /// It would run what nobody signed.
    #[error(
        "[firmware] trust is true, and no line says `imgtrust --permanent` before the first that fetches or boots: it would run what nobody signed\nhelp: begin with it, and `imgverify` every file, initial RAM disks too; docs/firmware.md says why"
    )]
    Untrusting,
}

impl OwnError {
    /// Bytes of a script.
    pub const LIMIT: usize = 64 << 10;
}

/// The script in `bytes`, its lines ended as iPXE ends them.
pub fn own(bytes: &[u8], trust: bool) -> Result<String, OwnError> {
    if bytes.len() > OwnError::LIMIT {
        return Err(OwnError::TooLarge { found: bytes.len() });
    }
    let no_text = |offset: usize| OwnError::NoText {
        offset,
        found: bytes.get(offset).copied().unwrap_or_default(),
    };
    let text = str::from_utf8(bytes).map_err(|error| no_text(error.valid_up_to()))?;
    // It ends what iPXE reads.
    if let Some(offset) = text.find('\0') {
        return Err(no_text(offset));
    }
    let mut script = String::with_capacity(text.len() + 1);
    for line in text.lines() {
        script.push_str(line);
        script.push('\n');
    }
    if trust && !trusting(&script) {
        return Err(OwnError::Untrusting);
    }
    Ok(script)
}

/// Whether it trusts nobody else before it fetches anything.
fn trusting(script: &str) -> bool {
    const RUNS: [&str; 11] = [
        "autoboot", "boot", "chain", "imgexec", "imgfetch", "imgload", "initrd", "kernel",
        "module", "sanboot", "shell",
    ];
    let mut commands = script.lines().flat_map(parts).map(|(words, _)| words);
    commands.find_map(|words| match words.as_slice() {
        ["imgtrust", options @ ..] => {
            let permanent = options
                .iter()
                .any(|word| matches!(*word, "--permanent" | "-p"));
            let allow = options.iter().any(|word| matches!(*word, "--allow" | "-a"));
            Some(permanent && !allow)
        }
        [command, ..] if RUNS.contains(command) || command.contains("${") => Some(false),
        _ => None,
    }) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_as_ipxe_ends_them() {
        let script = own("#!ipxe\r\necho caf\u{e9}\r\nexit".as_bytes(), false);
        assert_eq!(script.as_deref(), Ok("#!ipxe\necho caf\u{e9}\nexit\n"));
    }

    #[test]
    fn what_is_no_script_is_told() {
        let said = |bytes: &[u8]| own(bytes, false).unwrap_err().to_string();
        assert!(said(b"#!ipxe\n\xff").starts_with("byte 7: "));
        assert!(said(b"#!ipxe\n\0").contains("found 0x00"));
        assert!(said(&vec![b'#'; OwnError::LIMIT + 1]).contains("65536 at most"));
    }

    #[test]
    fn with_trust_nothing_is_fetched_before_it_holds() {
        for (script, holds) in [
            ("echo x\nimgtrust --permanent\nchain http://h/x\n", true),
            ("imgtrust -p\nboot\n", true),
            ("imgtrust\nboot\n", false),
            ("imgtrust --permanent --allow\nboot\n", false),
            ("chain http://h/x\nimgtrust --permanent\n", false),
            ("dhcp && ${x} ||\nimgtrust --permanent\n", false),
            ("dhcp\n", false),
        ] {
            let script = format!("#!ipxe\n{script}");
            let expected = if holds {
                Ok(script.clone())
            } else {
                Err(OwnError::Untrusting)
            };
            assert_eq!(own(script.as_bytes(), true), expected, "{script}");
            assert!(own(script.as_bytes(), false).is_ok());
        }
    }
}
