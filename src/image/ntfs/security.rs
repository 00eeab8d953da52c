// SPDX-License-Identifier: MIT OR Apache-2.0
//! `$Secure`: the volume's security descriptors, each once, with two indexes to find them.
//!
//! Layouts: Linux, `fs/ntfs3/ntfs.h` (`SECURITY_HDR`, `NTFS_DE_SDH`, `NTFS_DE_SII`); MS-DTYP,
//! sections 2.4.2 (SID), 2.4.4 (ACE), 2.4.5 (ACL) and 2.4.6 (self-relative descriptor).

use super::index::view_entry;

/// A descriptor's number on the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Security {
    /// The system's files that nobody writes by name.
    SystemRead,
    /// The system's others.
    SystemWrite,
    /// Directories: what Windows gives to the root of a new volume.
    Directory,
    /// Files: what they would inherit from that.
    Content,
}

const ALL: [Security; 4] = [
    Security::SystemRead,
    Security::SystemWrite,
    Security::Directory,
    Security::Content,
];

/// Distance of the two copies in the stream.
pub(super) const MIRROR: u64 = 0x4_0000;
/// Header of an entry in the stream.
const HEADER: usize = 0x14;

// Well-known SIDs (MS-DTYP, 2.4.2.4): authority 5 with these subauthorities.
const SYSTEM: &[u32] = &[18];
const ADMINISTRATORS: &[u32] = &[32, 544];
const USERS: &[u32] = &[32, 545];
const AUTHENTICATED: &[u32] = &[11];

// Access masks: FILE_GENERIC_READ, that and FILE_GENERIC_WRITE, and as icacls calls them.
const READ: u32 = 0x0012_0089;
const READ_WRITE: u32 = 0x0012_019F;
const FULL: u32 = 0x001F_01FF;
const MODIFY: u32 = 0x0013_01BF;
const READ_EXECUTE: u32 = 0x0012_00A9;

/// To files and directories below.
const INHERIT: u8 = 0x03;

impl Security {
    /// As `$STANDARD_INFORMATION` names it; Windows counts from 0x100.
    pub fn id(self) -> u32 {
        0x100 + self as u32
    }

    fn descriptor(self) -> Vec<u8> {
        let entries: &[(u32, &[u32])] = match self {
            Security::SystemRead => &[(READ, SYSTEM), (READ, ADMINISTRATORS)],
            Security::SystemWrite => &[(READ_WRITE, SYSTEM), (READ_WRITE, ADMINISTRATORS)],
            Security::Directory | Security::Content => &[
                (FULL, ADMINISTRATORS),
                (FULL, SYSTEM),
                (MODIFY, AUTHENTICATED),
                (READ_EXECUTE, USERS),
            ],
        };
        let flags = match self {
            Security::Directory => INHERIT,
            _ => 0,
        };
        let mut list = vec![2, 0, 0, 0]; // revision, size to come
        list.extend((entries.len() as u32).to_le_bytes());
        for (mask, who) in entries {
            let who = sid(who);
            list.extend([0, flags]); // allow
            list.extend((8 + who.len() as u16).to_le_bytes());
            list.extend(mask.to_le_bytes());
            list.extend(who);
        }
        let length = list.len() as u16;
        list[2..4].copy_from_slice(&length.to_le_bytes());

        let owner = 0x14 + list.len() as u32;
        let group = owner + sid(ADMINISTRATORS).len() as u32;
        let mut descriptor = vec![1, 0, 0x04, 0x80]; // self-relative, with a list of access
        for offset in [owner, group, 0, 0x14] {
            descriptor.extend(offset.to_le_bytes());
        }
        descriptor.extend(list);
        descriptor.extend(sid(ADMINISTRATORS));
        descriptor.extend(sid(SYSTEM));
        descriptor
    }
}

/// The descriptors that directories and files have.
pub fn usual_security() -> [Vec<u8>; 2] {
    [Security::Directory, Security::Content].map(Security::descriptor)
}

fn sid(parts: &[u32]) -> Vec<u8> {
    let mut sid = vec![1, parts.len() as u8, 0, 0, 0, 0, 0, 5];
    sid.extend(parts.iter().flat_map(|part| part.to_le_bytes()));
    sid
}

fn hash(descriptor: &[u8]) -> u32 {
    descriptor.chunks_exact(4).fold(0u32, |hash, word| {
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        hash.rotate_left(3).wrapping_add(word)
    })
}

/// The three parts of `$Secure`.
pub(super) struct SecureFile {
    /// What stands at the start of `$SDS`, and again at [`MIRROR`].
    pub stream: Vec<u8>,
    /// Entries of `$SDH`, by hash and number.
    pub by_hash: Vec<Vec<u8>>,
    /// Entries of `$SII`, by number.
    pub by_id: Vec<Vec<u8>>,
}

/// All descriptors.
pub(super) fn secure() -> SecureFile {
    let mut stream: Vec<u8> = Vec::new();
    let mut by_id = Vec::new();
    let mut by_hash = Vec::new();
    for security in ALL {
        stream.resize(stream.len().next_multiple_of(16), 0);
        let descriptor = security.descriptor();
        let hash = hash(&descriptor);
        let mut header = Vec::with_capacity(HEADER);
        header.extend(hash.to_le_bytes());
        header.extend(security.id().to_le_bytes());
        header.extend((stream.len() as u64).to_le_bytes());
        header.extend(((HEADER + descriptor.len()) as u32).to_le_bytes());
        by_id.push(view_entry(&security.id().to_le_bytes(), &header));
        let key = [hash.to_le_bytes(), security.id().to_le_bytes()].concat();
        let mut entry = view_entry(&key, &header);
        let end = entry.len() - 4;
        entry[end..].copy_from_slice(b"I\0I\0"); // what Windows pads with
        by_hash.push(((hash, security.id()), entry));
        stream.extend(header);
        stream.extend(descriptor);
    }
    by_hash.sort();
    SecureFile {
        stream,
        by_hash: by_hash.into_iter().map(|(_, entry)| entry).collect(),
        by_id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_as_others_have_written_it() {
        // mkntfs: owner S-1-5-18, group S-1-5-32-544, the same list; here owner and group differ.
        let ours = Security::SystemWrite.descriptor();
        assert_eq!(ours[..4], [1, 0, 4, 0x80]);
        let list = "02003400020000000000140 09f0112000101000000000005120000000000 1800\
                    9f011200010200000000000520000000 20020000";
        let list = hex::decode(list.replace(' ', "")).unwrap();
        assert_eq!(ours[0x14..0x48], list);
    }

    #[test]
    fn entries_say_where_a_descriptor_stands() {
        let file = secure();
        assert_eq!(file.by_id.len(), 4);
        for entry in &file.by_id {
            assert_eq!(entry.len(), 0x28);
            let offset = u32::from_le_bytes(entry[0x1C..0x20].try_into().unwrap()) as usize;
            assert_eq!(entry[0x14..0x28], file.stream[offset..offset + HEADER]);
        }
        assert!(file.by_hash.iter().all(|entry| entry.len() == 0x30));
    }
}
