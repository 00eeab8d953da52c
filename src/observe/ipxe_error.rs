// SPDX-License-Identifier: MIT OR Apache-2.0
//! iPXE's error codes in words: what its text says, and what that most likely means in a room that
//! slamboot serves.
//!
//! A code is 32 bits (iPXE `include/errno.h`): the POSIX error in bits 30 to 24, the file and the
//! place in it in bits 23 to 8, the platform's own number in bits 7 to 0. The web page of a code is
//! `https://ipxe.org/` and its eight digits.

use super::status::Failure;

/// iPXE's texts (`include/errno.h`, `EINFO_*`) by POSIX error.
#[rustfmt::skip]
const TEXTS: &[(u8, &str)] = &[
    (0x01, "Argument list too long"), (0x02, "Permission denied"), (0x03, "Address already in use"),
    (0x04, "Address not available"), (0x05, "Address family not supported"),
    (0x06, "Resource temporarily unavailable"), (0x07, "Connection already in progress"),
    (0x08, "Bad file descriptor"), (0x09, "Bad message"), (0x0a, "Device or resource busy"),
    (0x0b, "Operation canceled"), (0x0c, "No child processes"), (0x0d, "Connection aborted"),
    (0x0e, "Connection refused"), (0x0f, "Connection reset"), (0x10, "Resource deadlock avoided"),
    (0x11, "Destination address required"), (0x12, "Mathematics argument out of domain of function"),
    (0x13, "Disk quote exceeded"), (0x14, "File exists"), (0x15, "Bad address"),
    (0x16, "File too large"), (0x17, "Host is unreachable"), (0x18, "Identifier removed"),
    (0x19, "Illegal byte sequence"), (0x1a, "Operation in progress"),
    (0x1b, "Interrupted function call"), (0x1c, "Invalid argument"), (0x1d, "Input/output error"),
    (0x1e, "Socket is connected"), (0x1f, "Is a directory"),
    (0x20, "Too many levels of symbolic links"), (0x21, "Too many open files"),
    (0x22, "Too many links"), (0x23, "Message too long"), (0x24, "Multihop attempted"),
    (0x25, "Filename too long"), (0x26, "Network is down"), (0x27, "Connection aborted by network"),
    (0x28, "Network unreachable"), (0x29, "Too many open files in system"),
    (0x2a, "No buffer space available"), (0x2b, "No message is available on the STREAM head read queue"),
    (0x2c, "No such device"), (0x2d, "No such file or directory"), (0x2e, "Exec format error"),
    (0x2f, "No locks available"), (0x30, "Link has been severed"), (0x31, "Not enough space"),
    (0x32, "No message of the desired type"), (0x33, "Protocol not available"),
    (0x34, "No space left on device"), (0x35, "No STREAM resources"), (0x36, "Not a STREAM"),
    (0x37, "Function not implemented"), (0x38, "The socket is not connected"),
    (0x39, "Not a directory"), (0x3a, "Directory not empty"), (0x3b, "Not a socket"),
    (0x3c, "Operation not supported"), (0x3d, "Inappropriate I/O control operation"),
    (0x3e, "No such device or address"), (0x3f, "Operation not supported on socket"),
    (0x40, "Value too large to be stored in data type"), (0x41, "Operation not permitted"),
    (0x42, "Broken pipe"), (0x43, "Protocol error"), (0x44, "Protocol not supported"),
    (0x45, "Protocol wrong type for socket"), (0x46, "Result too large"),
    (0x47, "Read-only file system"), (0x48, "Invalid seek"), (0x49, "No such process"),
    (0x4a, "Stale file handle"), (0x4b, "Timer expired"), (0x4c, "Connection timed out"),
    (0x4d, "Text file busy"), (0x4e, "Operation would block"), (0x4f, "Improper link"),
    (0x7f, "Error from UEFI, the BIOS or the card's own driver"),
];

/// What a client was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum During {
    /// It received by multicast.
    Multicast,
    /// It downloaded by HTTP, or anything else.
    Anything,
}

/// Explains a code; 0, which iPXE has where nothing went wrong that it knows of, tells nothing.
pub fn explain(code: u32, during: During) -> Failure {
    let posix = (code >> 24) as u8 & 0x7f;
    let text = TEXTS.iter().find(|(number, _)| *number == posix);
    let text = match (text, code) {
        (Some((_, text)), _) => *text,
        (None, 0) => "no error code",
        (None, _) => "unknown error",
    };
    let meaning = match (posix, during) {
        (0x4c | 0x4b, During::Multicast) => {
            "nothing that was multicast reached it: does a switch snoop IGMP without a querier, or \
             does a firewall stand between? `slamboot doctor` looks for both"
        }
        (0x4c | 0x4b, During::Anything) => {
            "the server did not answer in time: is its port open in every firewall between, and the \
             cable good?"
        }
        (0x2c | 0x3e, _) => "it has no network card that iPXE can drive, or no link on it",
        (0x26, _) => "its network card has no link: look at cable and switch port",
        (0x17 | 0x28 | 0x04, _) => {
            "it has no route to the server, or no address: look at its DHCP answer and netmask"
        }
        (0x0d..=0x0f, _) => {
            "the server refused or broke the connection: is `slamboot serve` running there, on this \
             port?"
        }
        (0x2d, _) => "the server has no such file: image and configuration do not agree",
        (0x31 | 0x2a | 0x34, _) => {
            "its memory is too small: a disk image must fit into it whole, beside what boots from it"
        }
        (0x2e, _) => {
            "what it got cannot be started on it: BIOS and UEFI want different files, and iPXE must \
             know the kind"
        }
        (0x1d | 0x09 | 0x43, _) => "what it got was damaged or cut off: cable, card, or the file",
        (0x02 | 0x41, _) => "it may not do that: Secure Boot, or a server that refuses it",
        (0x44 | 0x3c | 0x37, _) => "this iPXE was built without it: use a ROM that slamboot built",
        (0x0b, _) => "somebody pressed a key",
        (0x7f, _) => "the machine's own firmware refused; its number is the last two digits",
        _ => "",
    };
    Failure {
        code: (code != 0).then(|| format!("{code:08x}")),
        text: text.to_owned(),
        meaning: meaning.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_words() {
        // <https://ipxe.org/4c106035>: "Connection timed out".
        let failure = explain(0x4c10_6035, During::Multicast);
        assert_eq!(failure.code.as_deref(), Some("4c106035"));
        assert_eq!(failure.text, "Connection timed out");
        assert!(failure.meaning.contains("IGMP"), "{failure:?}");
        let failure = explain(0x2d0c_613b, During::Anything);
        assert_eq!(failure.text, "No such file or directory");
        assert_eq!(explain(0, During::Anything).code, None);
        assert_eq!(explain(0x7000_0000, During::Anything).text, "unknown error");
    }

    #[test]
    fn every_number_is_there_once_and_in_order() {
        assert!(TEXTS.windows(2).all(|two| two[0].0 < two[1].0));
        assert_eq!(TEXTS.len(), 0x4f + 1);
    }
}
