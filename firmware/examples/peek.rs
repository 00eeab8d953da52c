// SPDX-License-Identifier: MIT OR Apache-2.0
//! Prints what the inspector finds in files.
fn main() {
    for path in std::env::args().skip(1) {
        let file = std::fs::read(&path).unwrap();
        println!("{path}: {:?}", firmware::inspect::inspect(&file));
    }
}
