# SPDX-License-Identifier: MIT OR Apache-2.0
# A stand-in for bootmgfw.efi: does the firmware start it, and can it read its store?
#
# In:  started by 64-bit UEFI as \EFI\Boot\bootx64.efi.
# Out: lines on the console and on port 0xE9:
#        slamboot stand-in: start uefi
#        slamboot stand-in: ok uefi
#      or, instead of the last, one that starts with `slamboot stand-in: BAD`.
#
# It opens \EFI\Microsoft\Boot\BCD on the volume that it came from, by the firmware's own
# FAT driver, and looks for the mark of a registry hive.
# The headers of the PE/COFF program are written out here, so that GNU as and ld suffice.

        .equ    TEXT_RVA, 0x1000
        .equ    TEXT_FILE, 0x200
        .equ    SHADOW, 0x20            # what a caller leaves on the stack (Microsoft's x64 ABI)

        # Offsets (UEFI 2.10): system table, boot services, protocols.
        .equ    CON_OUT, 0x40
        .equ    BOOT_SERVICES, 0x60
        .equ    HANDLE_PROTOCOL, 0x98
        .equ    OUTPUT_STRING, 0x08
        .equ    DEVICE_HANDLE, 0x18
        .equ    OPEN_VOLUME, 0x08
        .equ    FILE_OPEN, 0x08
        .equ    FILE_READ, 0x20
        .equ    READ_MODE, 1

        .globl  _start
_start:
base:   .ascii  "MZ"
        .org    0x3C
        .long   pe - base
pe:     .ascii  "PE\0\0"
        .word   0x8664                  # machine
        .word   1                       # sections
        .long   0, 0, 0                 # time, symbols
        .word   section - optional
        .word   0x0206                  # executable, no line numbers, no debug information
optional:
        .word   0x020B                  # PE32+
        .byte   0, 0
        .long   text_end - text, 0, 0   # sizes of code and data
        .long   TEXT_RVA + (main - text)
        .long   TEXT_RVA                # base of code
        .quad   0                       # image base: anywhere, it has no absolute address
        .long   0x1000, 0x200           # alignment in memory and in the file
        .word   0, 0, 0, 0, 0, 0        # versions
        .long   0
        .long   0x2000                  # size in memory
        .long   TEXT_FILE               # size of headers
        .long   0
        .word   10                      # EFI application
        .word   0
        .quad   0x10000, 0x10000, 0, 0  # stack and heap
        .long   0
        .long   6                       # directories, all empty
        .quad   0, 0, 0, 0, 0, 0
section:
        .ascii  ".text\0\0\0"
        .long   text_end - text, TEXT_RVA
        .long   text_end - text, TEXT_FILE
        .long   0, 0, 0
        .long   0x60000020              # code, executable, readable
        .org    TEXT_FILE

text:
# RCX = image handle, RDX = system table.
main:
        subq    $0x68, %rsp             # shadow, a fifth argument, locals; aligned to 16
        movq    %rcx, %r12
        movq    %rdx, %r13
        movq    BOOT_SERVICES(%r13), %r14
        leaq    text_start(%rip), %rsi
        call    puts

        movq    %r12, %rcx              # which device did it come from?
        leaq    loaded_image(%rip), %rdx
        call    handle_protocol
        leaq    text_no_image(%rip), %rsi
        jnz     bad
        movq    0x30(%rsp), %rax
        movq    DEVICE_HANDLE(%rax), %rcx
        leaq    simple_file_system(%rip), %rdx
        call    handle_protocol
        leaq    text_no_volume(%rip), %rsi
        jnz     bad
        movq    0x30(%rsp), %rcx
        leaq    0x38(%rsp), %rdx
        call    *OPEN_VOLUME(%rcx)
        testq   %rax, %rax
        leaq    text_no_volume(%rip), %rsi
        jnz     bad

        movq    0x38(%rsp), %rcx        # the root
        leaq    0x40(%rsp), %rdx
        leaq    store(%rip), %r8
        movl    $READ_MODE, %r9d
        movq    $0, SHADOW(%rsp)
        call    *FILE_OPEN(%rcx)
        testq   %rax, %rax
        leaq    text_no_store(%rip), %rsi
        jnz     bad
        movq    0x40(%rsp), %rcx
        movq    $4, 0x48(%rsp)
        leaq    0x48(%rsp), %rdx
        leaq    0x50(%rsp), %r8
        call    *FILE_READ(%rcx)
        testq   %rax, %rax
        leaq    text_no_store(%rip), %rsi
        jnz     bad
        cmpl    $0x66676572, 0x50(%rsp) # "regf"
        leaq    text_no_hive(%rip), %rsi
        jne     bad
        leaq    text_ok(%rip), %rsi
bad:
        call    puts
stop:
        hlt
        jmp     stop

# RCX = handle, RDX = GUID. Out: zero flag if it has the protocol, which is then at 0x30(%rsp).
handle_protocol:
        leaq    0x30 + 8(%rsp), %r8
        subq    $SHADOW + 8, %rsp
        call    *HANDLE_PROTOCOL(%r14)
        addq    $SHADOW + 8, %rsp
        testq   %rax, %rax
        ret

# The string at RSI, to the console and to the debug port.
puts:
        subq    $SHADOW + 0x18, %rsp
1:      lodsb
        testb   %al, %al
        jz      2f
        outb    %al, $0xE9
        movzbl  %al, %eax
        movl    %eax, SHADOW(%rsp)      # one character and its end, in UTF-16
        movq    CON_OUT(%r13), %rcx
        leaq    SHADOW(%rsp), %rdx
        call    *OUTPUT_STRING(%rcx)
        jmp     1b
2:      addq    $SHADOW + 0x18, %rsp
        ret

        .balign 8
loaded_image:                           # 5B1B31A1-9562-11D2-8E3F-00A0C969723B
        .long   0x5B1B31A1
        .word   0x9562, 0x11D2
        .byte   0x8E, 0x3F, 0x00, 0xA0, 0xC9, 0x69, 0x72, 0x3B
simple_file_system:                     # 964E5B22-6459-11D2-8E39-00A0C969723B
        .long   0x964E5B22
        .word   0x6459, 0x11D2
        .byte   0x8E, 0x39, 0x00, 0xA0, 0xC9, 0x69, 0x72, 0x3B
store:  .string16 "\\EFI\\Microsoft\\Boot\\BCD"

text_start:     .asciz  "slamboot stand-in: start uefi\r\n"
text_ok:        .asciz  "slamboot stand-in: ok uefi\r\n"
text_no_image:  .asciz  "slamboot stand-in: BAD no loaded image\r\n"
text_no_volume: .asciz  "slamboot stand-in: BAD no volume\r\n"
text_no_store:  .asciz  "slamboot stand-in: BAD no \\EFI\\Microsoft\\Boot\\BCD\r\n"
text_no_hive:   .asciz  "slamboot stand-in: BAD the store is no registry hive\r\n"
        .balign 0x200
text_end:
