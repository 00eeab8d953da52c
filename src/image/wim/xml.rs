// SPDX-License-Identifier: MIT OR Apache-2.0
//! The XML data: which images there are ("WIM", "XML Data"). UTF-16LE, with a byte order mark.

use std::fmt;

use roxmltree::{Document, Node, ParsingOptions};

/// One image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WimImage {
    /// From 1 on.
    pub index: u32,
    /// Its name; may be empty.
    pub name: String,
    /// Which machines run it, where it says so.
    pub architecture: Option<Architecture>,
    /// `10.0.19041`, where it says so.
    pub version: Option<String>,
    /// Files and directories in it, where it says so.
    pub files: Option<u64>,
    /// Bytes in it, uncompressed, where it says so.
    pub bytes: Option<u64>,
    /// When it was last changed: a FILETIME in two halves, as it is written there.
    pub modified: [String; 2],
}

/// Which machines run it (`PROCESSOR_ARCHITECTURE_*`, winnt.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// 32-bit PCs.
    X86,
    /// 64-bit PCs.
    Amd64,
    /// 64-bit ARM.
    Arm64,
    /// Another number.
    Other(u32),
}

impl Architecture {
    fn of(number: u32) -> Self {
        match number {
            0 => Architecture::X86,
            9 => Architecture::Amd64,
            12 => Architecture::Arm64,
            other => Architecture::Other(other),
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Architecture::X86 => f.write_str("x86"),
            Architecture::Amd64 => f.write_str("x86-64"),
            Architecture::Arm64 => f.write_str("ARM64"),
            Architecture::Other(number) => write!(f, "architecture {number}"),
        }
    }
}

/// The images, in the order of the text; an error says what is wrong.
pub(super) fn images(bytes: &[u8]) -> Result<Vec<WimImage>, String> {
    let text = decode(bytes)?;
    let options = ParsingOptions {
        nodes_limit: 1 << 20,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(&text, options)
        .map_err(|error| format!("not well-formed: {error}"))?;
    let root = document.root_element();
    if root.tag_name().name() != "WIM" {
        let found = root.tag_name().name();
        return Err(format!("expected the element <WIM>, found <{found}>"));
    }
    root.children()
        .filter(|node| node.has_tag_name("IMAGE"))
        .map(image)
        .collect()
}

fn image(node: Node) -> Result<WimImage, String> {
    let index = node.attribute("INDEX").unwrap_or_default();
    let index = index
        .parse()
        .map_err(|_| format!("<IMAGE INDEX={index:?}>: expected a number from 1 on"))?;
    let text = |path: &[&str]| {
        let mut at = node;
        for name in path {
            at = at.children().find(|child| child.has_tag_name(*name))?;
        }
        Some(at.text().unwrap_or_default().trim())
    };
    let number = |path: &[&str]| text(path)?.parse().ok();
    let version = ["MAJOR", "MINOR", "BUILD"]
        .map(|part| text(&["WINDOWS", "VERSION", part]))
        .into_iter()
        .collect::<Option<Vec<&str>>>();
    let files: Option<u64> = number(&["FILECOUNT"]);
    let directories: Option<u64> = number(&["DIRCOUNT"]);
    Ok(WimImage {
        index,
        name: text(&["NAME"]).unwrap_or_default().to_owned(),
        architecture: number(&["WINDOWS", "ARCH"])
            .and_then(|number| u32::try_from(number).ok())
            .map(Architecture::of),
        version: version.map(|parts| parts.join(".")),
        files: files
            .zip(directories)
            .and_then(|(files, directories)| files.checked_add(directories)),
        bytes: number(&["TOTALBYTES"]),
        modified: ["HIGHPART", "LOWPART"].map(|half| {
            let written = text(&["LASTMODIFICATIONTIME", half]).unwrap_or("0x00000000");
            written.to_owned()
        }),
    })
}

fn decode(bytes: &[u8]) -> Result<String, String> {
    let (units, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        let found = bytes.len();
        return Err(format!("expected whole UTF-16 units, found {found} bytes"));
    }
    let units: Vec<u16> = units.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    let text = String::from_utf16(&units).map_err(|_| "not UTF-16LE".to_owned())?;
    Ok(text.trim_start_matches('\u{FEFF}').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<WimImage>, String> {
        let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        images(&bytes)
    }

    #[test]
    fn what_imagex_writes() {
        let found = parse(
            "\u{FEFF}<WIM><TOTALBYTES>9</TOTALBYTES><IMAGE INDEX=\"1\"><DIRCOUNT>2</DIRCOUNT>\
             <FILECOUNT>3</FILECOUNT><TOTALBYTES>700</TOTALBYTES><WINDOWS><ARCH>0</ARCH><VERSION>\
             <MAJOR>6</MAJOR><MINOR>1</MINOR><BUILD>7601</BUILD></VERSION></WINDOWS>\
             <NAME>Microsoft Windows PE (x86)</NAME></IMAGE></WIM>",
        );
        let expected = WimImage {
            index: 1,
            name: "Microsoft Windows PE (x86)".into(),
            architecture: Some(Architecture::X86),
            version: Some("6.1.7601".into()),
            files: Some(5),
            bytes: Some(700),
            modified: ["0x00000000".into(), "0x00000000".into()],
        };
        assert_eq!(found, Ok(vec![expected]));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let error = |text: &str| parse(text).unwrap_err();
        assert!(error("<WIM>").starts_with("not well-formed"));
        assert!(error("<SWM/>").contains("expected the element <WIM>"));
        assert!(error("<WIM><IMAGE/></WIM>").contains("INDEX"));
        assert!(images(&[0x3C]).unwrap_err().contains("UTF-16"));
        assert!(images(&[0x00, 0xD8]).unwrap_err().contains("UTF-16LE"));
        assert_eq!(parse("<WIM/>"), Ok(vec![]));
    }
}
