// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compiles the overlay's cores, which include no iPXE header, for the host: the tests drive the
//! very code that the firmware runs.

fn main() {
    const UDP: &str = "overlay/src/net/udp";
    for file in [
        "slam_core.c",
        "slam_core.h",
        "slam_parity.c",
        "slam_parity.h",
        "slam_wire.c",
    ] {
        println!("cargo::rerun-if-changed={UDP}/{file}");
    }
    cc::Build::new()
        .file(format!("{UDP}/slam_core.c"))
        .file(format!("{UDP}/slam_parity.c"))
        .file(format!("{UDP}/slam_wire.c"))
        .std("c99")
        // -O3, cargo's release profile, makes gcc 12 warn of bounds that it derives wrongly.
        .opt_level(2)
        .warnings(true)
        .extra_warnings(true)
        .warnings_into_errors(true)
        // GCC unrolls the doubling of a table at -O3 and takes the round after the last for one
        // that is run.
        .flag_if_supported("-Wno-stringop-overflow")
        .compile("slamboot_cores");
}
