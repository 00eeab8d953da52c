// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arithmetic in GF(2^8), the field that RAID 6 and most Reed-Solomon codes use: bytes, with
//! exclusive or for addition, and multiplication modulo x^8 + x^4 + x^3 + x^2 + 1 (0x11d), of which
//! 2 generates every element but 0 (H. P. Anvin, "The mathematics of RAID-6", 2004).

const POLYNOMIAL: u16 = 0x11d;
/// Elements but zero.
const ORDER: usize = 255;

/// Powers of 2, twice round, so that two logarithms can be added without a reduction.
const POWERS: [u8; 2 * ORDER] = {
    let mut powers = [0; 2 * ORDER];
    let mut value: u16 = 1;
    let mut at = 0;
    while at < 2 * ORDER {
        powers[at] = value as u8;
        value <<= 1;
        if value & 0x100 != 0 {
            value ^= POLYNOMIAL;
        }
        at += 1;
    }
    powers
};

/// Logarithms to base 2; that of 0, which has none, is never read.
const LOGARITHMS: [u8; 256] = {
    let mut logarithms = [0; 256];
    let mut at = 0;
    while at < ORDER {
        logarithms[POWERS[at] as usize] = at as u8;
        at += 1;
    }
    logarithms
};

/// `a` times `b`.
pub(crate) const fn multiply(a: u8, b: u8) -> u8 {
    if a == 0 || b == 0 {
        return 0;
    }
    POWERS[LOGARITHMS[a as usize] as usize + LOGARITHMS[b as usize] as usize]
}

/// One over `a`, which must not be 0.
pub(crate) const fn invert(a: u8) -> u8 {
    debug_assert!(a != 0);
    POWERS[ORDER - LOGARITHMS[a as usize] as usize]
}

/// Adds `factor` times `data` to `sum`, byte by byte, as far as both reach.
pub(crate) fn add_scaled(sum: &mut [u8], factor: u8, data: &[u8]) {
    match factor {
        0 => {}
        1 => {
            for (sum, &byte) in sum.iter_mut().zip(data) {
                *sum ^= byte;
            }
        }
        _ => {
            // One look-up a byte instead of two and a sum; the table is paid for by 256 bytes.
            let products: [u8; 256] = std::array::from_fn(|byte| multiply(factor, byte as u8));
            for (sum, &byte) in sum.iter_mut().zip(data) {
                *sum ^= products[usize::from(byte)];
            }
        }
    }
}

/// Multiplies every byte of `data` by `factor`.
pub(crate) fn scale(data: &mut [u8], factor: u8) {
    for byte in data {
        *byte = multiply(*byte, factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the definition, bit by bit.
    fn slow(a: u8, b: u8) -> u8 {
        let mut product = 0;
        for bit in 0..8 {
            if b & (1 << bit) != 0 {
                product ^= u16::from(a) << bit;
            }
        }
        for bit in (8..16).rev() {
            if product & (1 << bit) != 0 {
                product ^= POLYNOMIAL << (bit - 8);
            }
        }
        product as u8
    }

    #[test]
    fn products_and_inverses_follow_the_definition() {
        for a in 0..=255 {
            for b in 0..=255 {
                assert_eq!(multiply(a, b), slow(a, b), "{a} times {b}");
            }
            if a != 0 {
                assert_eq!(slow(a, invert(a)), 1, "one over {a}");
            }
        }
    }

    #[test]
    fn whole_buffers_are_scaled_byte_by_byte() {
        let data: Vec<u8> = (0..=255).collect();
        for factor in [0, 1, 2, 3, 0x8e, 255] {
            let mut sum = vec![0x5a; 256];
            add_scaled(&mut sum, factor, &data);
            let mut scaled = data.clone();
            scale(&mut scaled, factor);
            for at in 0..256 {
                assert_eq!(scaled[at], slow(data[at], factor));
                assert_eq!(sum[at], 0x5a ^ scaled[at]);
            }
        }
    }
}
