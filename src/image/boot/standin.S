# SPDX-License-Identifier: MIT OR Apache-2.0
# A stand-in for BOOTMGR: is everything there that a boot manager relies on?
#
# In:  loaded whole at 2000:0000 by vbr.S, DL = BIOS drive, boot sector at 0:7C00.
# Out: lines on the screen, COM1 (115200 8N1) and port 0xE9:
#        slamboot stand-in: start drive=0xNN bytes=512 hidden=N
#        slamboot stand-in: ok crc32=xxxxxxxx drive=0xNN
#      or, instead of the last, one that starts with `slamboot stand-in: BAD`.
#
# It knows nothing of its disk but what BOOTMGR knows: DL, the word at 0:7C0B and the long
# at 0:7C1C. It takes its own CRC as loaded, and then reads the sector where these say that
# the partition begins: its parameters, serial number and all, must be those in memory.
# The builder pads the file to the size of a real boot manager and patches its header.

        .include "home.inc"

        .code16
        .equ    HOME, 0x2000            # our segment
        .equ    BUFFER, 0x3000          # segment of the sector read, over checked padding
        .equ    SCRATCH, 0x1000         # segment of the CRC tables: four of 1 KiB
        .equ    COM1, 0x3F8
        .equ    POLYNOMIAL, 0xEDB88320  # CRC-32 (IEEE 802.3), reflected
        .equ    BOOT_SECTOR, 0x7C00
        .equ    PARAMETERS, 0x54 / 2    # words that NTFS and FAT32 have before any code

        .globl  _start
_start:
        jmp     main
        .balign 4
magic:          .ascii  "SLAMBMGR"      # 0x04
file_bytes:     .long   0               # 0x0C  of this file, a multiple of four
file_crc:       .long   0               # 0x10  of this file from CHECKED on

# What changes while it runs stands before what is checked.
packet:
        .byte   16, 0                   # EDD-3 disk address packet
        .word   1
        .word   0, BUFFER               # offset, segment
packet_lba:
        .long   0, 0
drive:  .byte   0
        .equ    CHECKED, 0x40
        .org    CHECKED                 # the layout is fixed: src/image/standin.rs patches it

main:
        movw    %cs, %ax
        cmpw    $HOME, %ax              # data is addressed from there
        jne     lost
        movw    %ax, %ds
        movw    $SCRATCH, %ax
        movw    %ax, %fs
        xorw    %ax, %ax
        movw    %ax, %gs                # GS: the boot sector's segment
        begin
        movw    $text_bytes, %si
        call    puts
        movzwl  %gs:BOOT_SECTOR + 0x0B, %eax
        call    put_decimal
        movw    $text_hidden, %si
        call    puts
        movl    %gs:BOOT_SECTOR + 0x1C, %eax
        call    put_decimal
        call    put_newline

# This file, as loaded.
        check_file

# What the boot sector promises to a boot manager.
        movw    $text_bad_bytes, %si
        cmpw    $512, %gs:BOOT_SECTOR + 0x0B
        jne     bad
        testb   $0x80, drive
        movw    $text_bad_drive, %si
        jz      bad
        movl    %gs:BOOT_SECTOR + 0x1C, %eax
        movl    %eax, packet_lba
        read_packet
        jc      bad_read
        movw    $BUFFER, %ax
        movw    %ax, %es
        xorw    %di, %di
        movw    $BOOT_SECTOR, %si
        movw    $PARAMETERS, %cx
        pushw   %ds
        pushw   %gs
        popw    %ds
        repe    cmpsw
        popw    %ds
        movw    $text_bad_partition, %si
        jne     bad

        movw    $text_ok, %si
        call    puts
        movl    file_crc, %eax
        call    put_hex8
finish:
        tell_drive_and_stop

# SI = what is wrong.
bad:
        call    puts
        jmp     finish

# EAX = what was found.
bad_file:
        tell_bad_file
        jmp     finish

# AH = status.
bad_read:
        pushw   %ax
        movw    $text_bad_read, %si
        call    puts
        popw    %ax
        movb    %ah, %al
        call    put_hex2
        jmp     finish

# Elsewhere than 2000:0000: nothing but the debug port can be trusted.
lost:
        movb    $'?', %al
        outb    %al, $0xE9
        jmp     stop

        .include "crc.inc"

        .include "console.inc"

text_start:     .asciz  "slamboot stand-in: start drive="
text_bytes:     .asciz  " bytes="
text_hidden:    .asciz  " hidden="
text_ok:        .asciz  "slamboot stand-in: ok crc32="
text_bad_file:  .asciz  "slamboot stand-in: BAD load crc32="
text_expected:  .asciz  " expected="
text_bad_bytes: .asciz  "slamboot stand-in: BAD bytes per sector at 0:7C0B"
text_bad_drive: .asciz  "slamboot stand-in: BAD no hard disk"
text_bad_read:  .asciz  "slamboot stand-in: BAD read of the partition's first sector, status="
text_bad_partition: .asciz "slamboot stand-in: BAD hidden sectors at 0:7C1C, the partition is elsewhere"
text_drive:     .asciz  " drive="
