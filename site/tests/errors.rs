// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a user reads for each mistake in slamboot.toml, word by word: `errors.txt` holds the files
//! and the texts.

use std::path::Path;

use site::Site;

/// Blocks of `errors.txt`: the file, a line `---`, the error; between blocks a line `===`.
fn cases() -> Vec<(String, String)> {
    include_str!("errors.txt")
        .split("===\n")
        .map(|block| {
            let (input, error) = block.split_once("---\n").expect("a line ---");
            (input.to_owned(), error.trim_end().to_owned())
        })
        .collect()
}

#[test]
fn every_mistake_is_explained() {
    let cases = cases();
    assert!(cases.len() > 40, "{} cases", cases.len());
    for (input, expected) in cases {
        let error = Site::parse(&input, Path::new("slamboot.toml"))
            .expect_err(&format!("accepted:\n{input}"))
            .to_string();
        assert!(
            error == expected,
            "for:\n{input}\ngot:\n{error}\n\nexpected:\n{expected}"
        );
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = Site::load("no/such/slamboot.toml").unwrap_err().to_string();
    assert_eq!(
        error,
        "cannot read no/such/slamboot.toml: No such file or directory (os error 2)\n  \
         help: name the file with --config FILE; docs/slamboot.toml is an example with every key"
    );
}

/// No input may panic, wherever it is cut and whatever is put in.
#[test]
fn broken_files_are_errors_not_panics() {
    let example = include_str!("../../docs/slamboot.toml");
    let whole = format!("{example}\n[[image]]\nname = \"ü\"\nkind = \"disk\"\npath = \"ü\"\n");
    for cut in whole.char_indices().map(|(at, _)| at) {
        let _ = Site::parse(&whole[..cut], Path::new("slamboot.toml"));
        for odd in ["\"", "[", "=", "\u{fe0f}", "\0", "-1"] {
            if cut % 7 == 0 {
                let text = format!("{}{odd}{}", &whole[..cut], &whole[cut..]);
                if let Err(error) = Site::parse(&text, Path::new("slamboot.toml")) {
                    assert!(error.to_string().contains("slamboot.toml:"), "{error}");
                }
            }
        }
    }
}
