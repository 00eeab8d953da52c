// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hives that Windows wrote, where there are some.

use std::path::Path;

use slamboot::image::regf::Hive;

use crate::support::files;

#[test]
fn real_hives() {
    let Some(dir) = std::env::var_os("SLAMBOOT_HIVES") else {
        return;
    };
    for path in files(Path::new(&dir)) {
        let bytes = std::fs::read(&path).unwrap();
        if !bytes.starts_with(b"regf") {
            continue;
        }
        match Hive::read(bytes.clone()) {
            Ok(hive) => {
                assert!(hive.bytes() == bytes);
                let mut keys = 0;
                let mut left = vec![hive.root()];
                let mut values = 0;
                while let Some(key) = left.pop() {
                    keys += 1;
                    for sub in hive.subkeys(key) {
                        // Half a surrogate pair is no text to search for.
                        let name = hive.key_name(sub);
                        if !name.contains(char::REPLACEMENT_CHARACTER) {
                            assert_eq!(hive.find(key, &name), Some(sub), "{name:?}");
                        }
                        left.push(sub);
                    }
                    values += hive.values(key).count();
                }
                println!("{} ok {keys} keys {values} values", path.display());
            }
            Err(error) => println!("{}: {error}", path.display()),
        }
    }
}
