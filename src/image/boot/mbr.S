# SPDX-License-Identifier: MIT OR Apache-2.0
# Master boot record: finds the one active partition and starts its boot sector.
#
# In:  loaded by the BIOS at 0:7C00, DL = BIOS drive.
# Out: the partition's first sector at 0:7C00, DL = drive, DS:SI = its table entry.
# It lives at 0:0600 while it works. Only the first 440 bytes of the sector are
# code; disk signature, partition table and 0x55AA are the builder's.

        .code16
        .equ    LOAD, 0x7C00
        .equ    HOME, 0x0600            # -Ttext
        .equ    TABLE, HOME + 0x1BE     # four entries of 16 bytes
        .equ    ENTRY_LBA, 8            # u32, first sector of the partition
        .equ    TRIES, 3

        .globl  _start
_start:
        cli
        xorw    %ax, %ax
        movw    %ax, %ss
        movw    $LOAD, %sp
        movw    %ax, %ds
        movw    %ax, %es
        sti
        cld
        movw    $LOAD, %si
        movw    $HOME, %di
        movw    $256, %cx
        rep     movsw
        ljmp    $0, $home               # also makes CS zero: some BIOSes use 07C0:0000

home:
        testb   $0x80, %dl              # a BIOS that passes no hard disk means the first
        jnz     1f
        movb    $0x80, %dl
1:
        movw    $TABLE, %si
        xorw    %bp, %bp                # BP: the active entry, once found
        movw    $4, %cx
scan:
        movb    (%si), %al
        testb   %al, %al
        jz      2f
        movw    $invalid, %di
        cmpb    $0x80, %al              # only 0x00 and 0x80 are defined
        jne     fail
        movw    $several, %di
        testw   %bp, %bp
        jnz     fail
        movw    %si, %bp
2:      addw    $16, %si
        loop    scan
        movw    $none, %di
        testw   %bp, %bp
        jz      fail

        movb    $0x41, %ah              # EDD: are the extensions there?
        movw    $0x55AA, %bx
        pushw   %dx
        int     $0x13
        popw    %dx
        movw    $no_edd, %di
        jc      fail
        cmpw    $0xAA55, %bx
        jne     fail
        testb   $1, %cl                 # bit 0: packet access (AH=42h)
        jz      fail

        movl    ENTRY_LBA(%bp), %eax
        movl    %eax, packet_lba
        movb    $TRIES, tries
read:
        movw    $1, packet_count        # a failed read overwrites it
        movw    $packet, %si
        movb    $0x42, %ah
        pushw   %dx
        int     $0x13
        popw    %dx
        jnc     loaded
        decb    tries
        jz      read_error
        xorb    %ah, %ah                # reset the drive, then again
        int     $0x13
        jmp     read
loaded:
        movw    $no_vbr, %di
        cmpw    $0xAA55, LOAD + 510
        jne     fail
        movw    %bp, %si
        ljmp    $0, $LOAD

# DI = what is wrong.
fail:
        movw    $prefix, %si
        call    puts
        movw    %di, %si
        call    puts
stop:
        hlt
        jmp     stop

# AH = status of INT 13h.
read_error:
        pushw   %ax
        movw    $cannot_read, %si
        call    puts
        movl    packet_lba, %eax
        call    put_hex8
        movw    $status, %si
        call    puts
        popw    %ax
        movzbl  %ah, %eax
        call    put_hex8
        jmp     stop

        .include "print.inc"

        .balign 4
packet:
        .byte   16, 0                   # EDD-3 disk address packet
packet_count:
        .word   1
        .word   LOAD, 0                 # offset, segment
packet_lba:
        .long   0, 0
tries:  .byte   0

prefix:         .asciz  "\r\nslamboot MBR: "
none:           .asciz  "no active partition"
several:        .asciz  "two active partitions"
invalid:        .asciz  "bad partition table"
no_edd:         .asciz  "BIOS lacks EDD"
no_vbr:         .asciz  "no boot sector"
cannot_read:    .asciz  "\r\nslamboot MBR: cannot read LBA "
status:         .asciz  " status "
