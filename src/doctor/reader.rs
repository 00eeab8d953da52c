// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who reads the files in the end: root reads everything, and the server is seldom root by then.
//!
//! What the modes of a file and of every directory above it say is judged for the user that the
//! server becomes. Lists of access (ACLs) are not looked at.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::{Group, User, getgrouplist};
use site::Site;

/// The directory of the configuration that the systemd unit names.
const OF_THE_UNIT: &str = "/etc/slamboot";
/// Where people live.
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];
/// What everybody may write to.
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];

/// A user that reads what is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// Who, for people.
    who: String,
    /// `None`: one that exists only while the server runs, so that no file is its own.
    uid: Option<u32>,
    gids: Vec<u32>,
    /// Directories that are not there for it, and by which line of the unit.
    hidden: Vec<(&'static str, &'static str)>,
}

/// Why a file cannot be read, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    what: String,
    /// What helps.
    pub remedy: String,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl fmt::Display for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.who)
    }
}

impl Reader {
    /// The one that serves a site, where it is another than the one who asks: `[server] user`, or the
    /// systemd unit's for the configuration that it names (`beside` is where that lies).
    pub fn of(site: &Site, beside: &Path) -> Option<Reader> {
        if let Some(name) = &site.server.user {
            return Reader::named(name);
        }
        if beside != Path::new(OF_THE_UNIT) {
            return None;
        }
        let properties = "LoadState,DynamicUser,User,SupplementaryGroups,ProtectHome,PrivateTmp";
        let shown = Command::new("systemctl")
            .args(["show", "slamboot.service", "--property", properties])
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&shown.stdout);
        let group = |name: &str| Some(Group::from_name(name).ok()??.gid.as_raw());
        Reader::of_unit(&text, Reader::named, group)
    }

    fn named(name: &str) -> Option<Reader> {
        let user = User::from_name(name).ok()??;
        let text = std::ffi::CString::new(name).ok()?;
        let groups = getgrouplist(&text, user.gid).unwrap_or_else(|_| vec![user.gid]);
        Some(Reader {
            who: format!("the user {name}"),
            uid: Some(user.uid.as_raw()),
            gids: groups.into_iter().map(nix::unistd::Gid::as_raw).collect(),
            hidden: Vec::new(),
        })
    }

    /// As `systemctl show` describes a unit's user.
    fn of_unit(
        shown: &str,
        named: impl Fn(&str) -> Option<Reader>,
        group: impl Fn(&str) -> Option<u32>,
    ) -> Option<Reader> {
        let value = |key: &str| {
            let lines = shown.lines().filter_map(|line| line.split_once('='));
            let mut found = lines.filter(|(name, _)| *name == key);
            found.next().map_or("", |(_, value)| value)
        };
        if value("LoadState") != "loaded" {
            return None;
        }
        let mut reader = match (value("DynamicUser"), value("User")) {
            ("yes", _) => Reader {
                who: "the user of slamboot.service".to_owned(),
                uid: None,
                gids: Vec::new(),
                hidden: Vec::new(),
            },
            (_, "") => Reader {
                who: "slamboot.service".to_owned(),
                uid: Some(0),
                gids: Vec::new(),
                hidden: Vec::new(),
            },
            (_, name) => named(name)?,
        };
        let groups = value("SupplementaryGroups").split_whitespace();
        reader.gids.extend(groups.filter_map(group));
        if matches!(value("ProtectHome"), "yes" | "tmpfs") {
            let hidden = HOMES.iter().map(|home| (*home, "ProtectHome=yes"));
            reader.hidden.extend(hidden);
        }
        if !matches!(value("PrivateTmp"), "" | "no") {
            let hidden = TEMPORARY.iter().map(|place| (*place, "PrivateTmp=yes"));
            reader.hidden.extend(hidden);
        }
        Some(reader)
    }

    /// Whether it can read a file that is there.
    pub fn check_file(&self, path: &Path) -> Result<(), Obstacle> {
        self.check(path, 0o4, "read")
    }

    /// Whether it can make files in a directory that is there.
    pub fn check_directory(&self, path: &Path) -> Result<(), Obstacle> {
        self.check(path, 0o3, "write to")
    }

    fn check(&self, path: &Path, last: u32, verb: &str) -> Result<(), Obstacle> {
        // Where links lead is what counts. What is not there is another finding.
        let Ok(path) = std::fs::canonicalize(path) else {
            return Ok(());
        };
        let shown = path.display();
        for (place, line) in &self.hidden {
            if path.starts_with(place) {
                return Err(Obstacle {
                    what: format!("{} does not see {shown}: the unit says {line}", self.who),
                    remedy: format!("move it out of {place}, to /srv for example"),
                });
            }
        }
        let mut above: Vec<PathBuf> = path.ancestors().skip(1).map(Path::to_owned).collect();
        above.reverse();
        for directory in above {
            if self.lacks(&directory, 0o1) {
                let directory = directory.display();
                return Err(Obstacle {
                    what: format!("{} cannot {verb} {shown}: {directory} is shut", self.who),
                    remedy: format!("chmod a+x {directory}, or move the file to /srv for example"),
                });
            }
        }
        if self.lacks(&path, last) {
            let right = if last == 0o4 { "chmod a+r" } else { "chown" };
            return Err(Obstacle {
                what: format!("{} cannot {verb} {shown}, by its mode", self.who),
                remedy: format!("{right} {shown}, or give one of its groups the right"),
            });
        }
        Ok(())
    }

    fn lacks(&self, path: &Path, rights: u32) -> bool {
        std::fs::metadata(path).is_ok_and(|metadata| !self.has(&metadata, rights))
    }

    /// As the kernel decides: the owner's rights are the owner's, the group's its members', and only
    /// whoever is neither has those of others.
    fn has(&self, metadata: &Metadata, rights: u32) -> bool {
        if self.uid == Some(0) {
            return true;
        }
        let shift = if self.uid == Some(metadata.uid()) {
            6
        } else if self.gids.contains(&metadata.gid()) {
            3
        } else {
            0
        };
        (metadata.mode() >> shift) & rights == rights
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const DYNAMIC: &str = "LoadState=loaded\nDynamicUser=yes\nUser=slamboot\n\
                           SupplementaryGroups=ssl-cert nowhere\nProtectHome=yes\nPrivateTmp=no\n";

    fn of_unit(text: &str) -> Option<Reader> {
        let named = |name: &str| {
            Some(Reader {
                who: name.to_owned(),
                uid: Some(7),
                gids: vec![8],
                hidden: Vec::new(),
            })
        };
        Reader::of_unit(text, named, |name| (name == "ssl-cert").then_some(9))
    }

    fn mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_units_user_is_known_by_what_systemd_says() {
        let reader = of_unit(DYNAMIC).unwrap();
        assert_eq!((reader.uid, &reader.gids), (None, &vec![9]));
        assert_eq!(reader.hidden.len(), 3);
        let named = of_unit(&DYNAMIC.replace("DynamicUser=yes", "DynamicUser=no")).unwrap();
        assert_eq!((named.uid, named.gids), (Some(7), vec![8, 9]));
        let root = of_unit("LoadState=loaded\nDynamicUser=no\nUser=\nPrivateTmp=yes\n").unwrap();
        assert_eq!((root.uid, root.hidden.len()), (Some(0), 2));
        assert_eq!(of_unit("LoadState=not-found\n"), None);
        assert_eq!(of_unit(""), None);
    }

    #[test]
    fn every_directory_above_counts() {
        let folder = tempfile::tempdir().unwrap();
        let above = folder.path().join("images");
        std::fs::create_dir(&above).unwrap();
        let file = above.join("a.img");
        std::fs::write(&file, "x").unwrap();
        for path in [folder.path(), &above] {
            mode(path, 0o755);
        }
        mode(&file, 0o644);
        let reader = |uid, gids: &[u32]| Reader {
            who: "somebody".to_owned(),
            uid,
            gids: gids.to_vec(),
            hidden: Vec::new(),
        };
        let nobody = reader(None, &[]);
        assert_eq!(nobody.check_file(&file), Ok(()));
        assert!(nobody.check_directory(&above).is_err());
        mode(&above, 0o750);
        let shut = nobody.check_file(&file).unwrap_err();
        assert!(shut.to_string().contains("images is shut"), "{shut}");
        assert!(shut.remedy.starts_with("chmod a+x "), "{}", shut.remedy);
        // Its members and its owner get in.
        let metadata = std::fs::metadata(&above).unwrap();
        let (uid, gid) = (metadata.uid(), metadata.gid());
        assert_eq!(reader(None, &[gid]).check_file(&file), Ok(()));
        assert_eq!(reader(Some(uid), &[]).check_file(&file), Ok(()));
        assert_eq!(reader(Some(uid), &[]).check_directory(&above), Ok(()));
        mode(&above, 0o755);
        mode(&file, 0o640);
        let mine = nobody.check_file(&file).unwrap_err();
        assert!(mine.to_string().ends_with("by its mode"), "{mine}");
        // Root is not asked; what is not there is told elsewhere.
        assert_eq!(reader(Some(0), &[]).check_file(&file), Ok(()));
        assert_eq!(nobody.check_file(&above.join("none")), Ok(()));
    }

    #[test]
    fn what_the_unit_hides_is_not_there() {
        let reader = of_unit(DYNAMIC).unwrap();
        let home = Reader {
            hidden: vec![("/usr", "ProtectHome=yes")],
            ..reader
        };
        let hidden = home.check_file(Path::new("/usr")).unwrap_err();
        assert!(hidden.to_string().contains("ProtectHome=yes"), "{hidden}");
        assert!(hidden.remedy.contains("/srv"));
    }
}
