// SPDX-License-Identifier: MIT OR Apache-2.0
//! Seam: what `serve` needs of the driver.
