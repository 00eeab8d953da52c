# SPDX-License-Identifier: MIT OR Apache-2.0
# The demo: reads the whole disk back through INT 13h and says whether every byte is
# the one that the builder wrote.
#
# In:  loaded whole at 2000:0000 by vbr.S, DL = BIOS drive, boot sector at 0:7C00.
# Out: lines on the screen, COM1 (115200 8N1) and port 0xE9:
#        slamboot demo: start drive=0xNN sectors=N
#        slamboot demo: ok crc32=xxxxxxxx sectors=N drive=0xNN
#      or, instead of the last, one that starts with `slamboot demo: BAD`.
#
# The builder patches the header, and pads the file to the size of a real boot manager,
# so that loading it proves the boot sector's chunked reads. The padding is checked first
# and then overwritten by the read buffer.

        .include "home.inc"

        .code16
        .equ    HOME, 0x2000            # our segment
        .equ    BUFFER, 0x3000          # segment of the read buffer
        .equ    CHUNK, 64               # sectors a read
        .equ    SCRATCH, 0x1000         # segment of the CRC tables: four of 1 KiB
        .equ    PARAMETERS, 0x2000      # answer of INT 13h AH=48h, over checked padding
        .equ    COM1, 0x3F8
        .equ    POLYNOMIAL, 0xEDB88320  # CRC-32 (IEEE 802.3), reflected
        .equ    DOTS, 50

        .globl  _start
_start:
        jmp     main
        .balign 4
magic:          .ascii  "SLAMDEMO"      # 0x04
disk_crc:       .long   0               # 0x0C  CRC-32 of the whole disk
disk_sectors:   .long   0               # 0x10
hidden:         .long   0               # 0x14  first sector of the partition
file_bytes:     .long   0               # 0x18  of this file, a multiple of four
file_crc:       .long   0               # 0x1C  of this file from CHECKED on

# What changes while it runs stands before what is checked.
packet:
        .byte   16, 0                   # EDD-3 disk address packet
packet_count:
        .word   0
        .word   0, BUFFER               # offset, segment
lba:    .long   0, 0
next_dot:
        .long   0
drive:  .byte   0
        .equ    CHECKED, 0x40
        .org    CHECKED                 # the layout is fixed: src/image/demo.rs patches it

main:
        movw    %cs, %ax
        movw    %ax, %ds
        movw    $SCRATCH, %ax
        movw    %ax, %fs
        begin
        movw    $text_sectors, %si
        call    puts
        movl    disk_sectors, %eax
        call    put_decimal
        call    put_newline

# What the boot sector promises to a boot manager.
        xorw    %ax, %ax
        movw    %ax, %es
        cmpw    $512, %es:0x7C0B
        jne     bad_boot_sector
        movl    %es:0x7C1C, %eax
        cmpl    hidden, %eax
        jne     bad_boot_sector

# This file, as loaded.
        check_file

# Does the BIOS see the whole disk? (EDD, AH=48h: sectors at 0x10, u64)
        movw    $0x1E, PARAMETERS
        movw    $PARAMETERS, %si
        movb    drive, %dl
        movb    $0x48, %ah
        int     $0x13
        jc      3f                      # not every BIOS has it; reads will tell
        cmpl    $0, PARAMETERS + 0x14
        jne     3f
        movl    PARAMETERS + 0x10, %eax
        cmpl    disk_sectors, %eax
        jb      bad_size
3:

# The disk. EBP: state of the CRC; `lba`: next sector.
        movw    $text_reading, %si
        call    screen_puts
        movl    $0xFFFFFFFF, %ebp
        movw    $BUFFER, %ax
        movw    %ax, %es
next_chunk:
        movl    disk_sectors, %ecx
        subl    lba, %ecx
        jz      disk_done
        cmpl    $CHUNK, %ecx
        jbe     4f
        movl    $CHUNK, %ecx
4:      movw    %cx, packet_count
        pushal
        pushw   %es
        read_packet
        popw    %es
        jc      bad_read
        popal
        addl    %ecx, lba
        shll    $9, %ecx
        movl    %ebp, %eax
        xorw    %di, %di
        call    crc_update
        movl    %eax, %ebp
        call    progress
        jmp     next_chunk
disk_done:
        movw    $newline, %si
        call    screen_puts
        notl    %ebp
        cmpl    disk_crc, %ebp
        jne     bad_disk
        movw    $text_ok, %si
        call    puts
        movl    %ebp, %eax
        call    put_hex8
finish:
        movw    $text_sectors, %si
        call    puts
        movl    disk_sectors, %eax
        call    put_decimal
finish_drive:
        tell_drive_and_stop

bad_boot_sector:
        movw    $text_bad_vbr, %si
        call    puts
        jmp     finish_drive

# EAX = what was found.
bad_file:
        tell_bad_file
        jmp     finish_drive

# EAX = what the BIOS says.
bad_size:
        movw    $text_bad_size, %si
        call    puts
        call    put_decimal
        movw    $text_expected, %si
        call    puts
        movl    disk_sectors, %eax
        call    put_decimal
        jmp     finish_drive

# AH = status, `lba` the first sector of the read.
bad_read:
        movzbl  %ah, %eax
        pushl   %eax
        movw    $newline, %si
        call    screen_puts
        movw    $text_bad_read, %si
        call    puts
        movl    lba, %eax
        call    put_decimal
        movw    $text_status, %si
        call    puts
        popl    %eax
        call    put_hex2
        jmp     finish_drive

# EBP = what was found.
bad_disk:
        movw    $text_bad_disk, %si
        call    puts
        movl    %ebp, %eax
        call    put_hex8
        movw    $text_expected, %si
        call    puts
        movl    disk_crc, %eax
        call    put_hex8
        jmp     finish

        .include "crc.inc"

# A dot on the screen for every fiftieth of the disk. Keeps all registers.
progress:
        pushal
1:      movl    lba, %eax
        cmpl    next_dot, %eax
        jbe     2f
        movb    $'.', %al
        call    screen_putc
        movl    disk_sectors, %eax
        xorl    %edx, %edx
        movl    $DOTS, %ecx
        divl    %ecx
        incl    %eax
        addl    %eax, next_dot
        jmp     1b
2:      popal
        ret

        .include "console.inc"

text_start:     .asciz  "slamboot demo: start drive="
text_reading:   .asciz  "reading the whole disk "
text_ok:        .asciz  "slamboot demo: ok crc32="
text_bad_disk:  .asciz  "slamboot demo: BAD crc32="
text_bad_file:  .asciz  "slamboot demo: BAD load crc32="
text_bad_vbr:   .asciz  "slamboot demo: BAD boot sector fields"
text_bad_size:  .asciz  "slamboot demo: BAD size bios="
text_bad_read:  .asciz  "slamboot demo: BAD read lba="
text_expected:  .asciz  " expected="
text_status:    .asciz  " status="
text_sectors:   .asciz  " sectors="
text_drive:     .asciz  " drive="
