#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Assembles the boot code: assemble.sh OUTDIR
# Needs GNU as and ld for i386; AS and LD name others (x86_64-linux-gnu-as, ...).
# The results are committed beside the sources, so that no build needs an assembler.
set -eu
out=$(cd "$1" && pwd)
cd "$(dirname "$0")"

# one NAME TEXT-ADDRESS [BITS EMULATION]
one() {
    "${AS:-as}" "--${3:-32}" -o "$out/$1.o" "$1.S"
    "${LD:-ld}" -m "${4:-elf_i386}" -Ttext "$2" --oformat binary -o "$out/$1.bin" "$out/$1.o"
    rm -f "$out/$1.o"
    chmod 644 "$out/$1.bin"
}

one mbr 0x600
one vbr 0x7c5a
one demo 0
one standin 0
one standin-efi 0 64 elf_x86_64
