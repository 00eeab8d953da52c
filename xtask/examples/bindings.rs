// SPDX-License-Identifier: MIT OR Apache-2.0
//! Prints `firmware/src/ffi.rs`, made from the C headers given. `cargo xtask codegen` runs it:
//! bindgen needs libclang, which nothing else does.
//!
//! Says "no libclang" where there is none.

use std::io::Write;
use std::process::ExitCode;

const HEAD: &str = "\
// SPDX-License-Identifier: MIT OR Apache-2.0
//! The overlay's cores, as bindgen sees them: made by `cargo xtask codegen`; changes are lost.
//! What each thing is stands in `overlay/src/net/udp/slam_core.h`.

";

fn main() -> ExitCode {
    let mut builder = bindgen::builder();
    for header in std::env::args().skip(1) {
        builder = builder.header(header);
    }
    let builder = builder
        .allowlist_item("slam_core|slam_core_.*|SLAM_(CORE|PARITY)_.*")
        // Ends in an array of unknown length, which only C reads.
        .opaque_type("slam_parity_block")
        .use_core()
        .size_t_is_usize(true)
        .prepend_enum_name(false)
        .layout_tests(false)
        .derive_default(false)
        .generate_comments(false)
        .merge_extern_blocks(true)
        // Not rustfmt, whose taste changes with its version.
        .formatter(bindgen::Formatter::Prettyplease)
        .disable_header_comment();
    // bindgen panics where it finds no libclang to load.
    let Ok(made) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| builder.generate()))
    else {
        eprintln!("error: no libclang");
        return ExitCode::FAILURE;
    };
    let printed = made
        .map_err(|error| error.to_string())
        .and_then(|bindings| {
            let text = format!("{HEAD}{bindings}");
            let mut out = std::io::stdout();
            out.write_all(text.as_bytes())
                .map_err(|error| error.to_string())
        });
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
