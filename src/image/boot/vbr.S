# SPDX-License-Identifier: MIT OR Apache-2.0
# Volume boot record: loads one file whole to 2000:0000 and jumps there.
#
# In:  this sector at 0:7C00, DL = BIOS drive.
# Out: the file at physical 0x20000, DL = drive, CS:IP = 2000:0000, and this sector
#      still at 0:7C00, so that the file finds bytes per sector at 0:7C0B and hidden
#      sectors at 0:7C1C. That is all that Microsoft's BOOTMGR asks of its loader.
#
# It knows no file system. The builder writes where the file lies as extents
# (u32 LBA from the start of the disk, u32 sectors; a count of zero ends the list), so
# one binary serves FAT32 and NTFS alike. The code starts at 0x5A, past the longer of
# the two parameter blocks (FAT32's; NTFS's ends at 0x54).

        .code16
        .equ    LOAD, 0x7C00
        .equ    TARGET, 0x2000          # segment
        .equ    EXTENTS, LOAD + 0x196
        .equ    EXTENTS_END, LOAD + 0x1FE
        .equ    CHUNK, 64               # sectors: 32 KiB, within every EDD BIOS's limit
        .equ    TRIES, 3

        .globl  _start
_start:                                 # -Ttext LOAD + 0x5A
        cli
        xorw    %ax, %ax
        movw    %ax, %ss
        movw    $LOAD, %sp
        movw    %ax, %ds
        movw    %ax, %es
        sti
        cld
        ljmp    $0, $1f
1:
        movw    $EXTENTS, %si
        movl    4(%si), %ecx
        movw    $empty, %di
        jecxz   fail
next_extent:
        movl    (%si), %eax             # EAX: the LBA to read next
        movl    4(%si), %ecx            # ECX: sectors left of this extent
        jecxz   start_file
next_chunk:
        movl    $CHUNK, %ebx
        cmpl    %ebx, %ecx
        jae     2f
        movl    %ecx, %ebx
2:      movl    %eax, packet_lba
        movb    $TRIES, tries
read:
        movw    %bx, packet_count       # a failed read overwrites it
        pushal
        movw    $packet, %si
        movb    $0x42, %ah
        int     $0x13
        jnc     3f
        decb    tries
        jz      read_error
        popal
        pushal
        xorb    %ah, %ah                # reset the drive, then again
        int     $0x13
        popal
        jmp     read
3:      popal
        addl    %ebx, %eax
        subl    %ebx, %ecx
        shlw    $5, %bx                 # sectors to paragraphs
        addw    %bx, packet_segment
        testl   %ecx, %ecx
        jnz     next_chunk
        addw    $8, %si
        cmpw    $EXTENTS_END, %si
        jb      next_extent
start_file:
        ljmp    $TARGET, $0

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
        movw    $prefix, %si
        call    puts
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
        .word   0
        .word   0                       # offset
packet_segment:
        .word   TARGET
packet_lba:
        .long   0, 0
tries:  .byte   0

prefix:         .asciz  "\r\nslamboot VBR: "
empty:          .asciz  "no file to load"
cannot_read:    .asciz  "cannot read LBA "
status:         .asciz  " status "
