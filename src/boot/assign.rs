// SPDX-License-Identifier: MIT OR Apache-2.0
//! What somebody assigned to machines while the server runs: beside the site's rules, and before
//! them.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use site::{Boot, Mac, Site};

/// What a machine boots, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// What.
    pub boot: Boot,
    /// Next time only: it is gone when the machine has been given its script.
    pub once: bool,
}

/// Why something cannot be assigned.
#[derive(Debug, thiserror::Error)]
pub enum AssignError {
    /// The site has no such image.
    #[error("no image {name:?}")]
    NoImage {
        /// Which.
        name: String,
    },
    /// More machines than are kept.
    #[error("at most {MOST} machines can have assignments of their own; use [[group]] for more")]
    Full,
    /// It could not be stored: nothing has changed.
    #[error("cannot store assignments in {}: {source}", path.display())]
    Store {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Most machines with an assignment.
const MOST: usize = 65_536;

/// All assignments; those of a file survive a restart.
#[derive(Debug, Default)]
pub struct Assignments {
    by_mac: Mutex<BTreeMap<Mac, Assignment>>,
    file: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    mac: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot: Option<String>,
    once: bool,
}

impl Assignments {
    /// Those of `file`, which need not exist yet.
    pub fn open(file: PathBuf) -> io::Result<Assignments> {
        let by_mac = match std::fs::read_to_string(&file) {
            Ok(text) => read(&text).map_err(|what| {
                let help = "move it away to begin with none";
                io::Error::other(format!("{}: {what}; {help}", file.display()))
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        Ok(Assignments {
            by_mac: Mutex::new(by_mac),
            file: Some(file),
        })
    }

    /// All of them, by machine.
    pub fn list(&self) -> Vec<(Mac, Assignment)> {
        let all = self.lock();
        all.iter().map(|(mac, a)| (*mac, a.clone())).collect()
    }

    /// What is assigned to a machine, and goes on to be.
    pub fn get(&self, mac: Mac) -> Option<Assignment> {
        self.lock().get(&mac).cloned()
    }

    /// Assigns; stored before this returns.
    pub fn set(&self, site: &Site, mac: Mac, assignment: Assignment) -> Result<(), AssignError> {
        if let Boot::Image(name) = &assignment.boot
            && site.find_image(name).is_err()
        {
            return Err(AssignError::NoImage { name: name.clone() });
        }
        let mut all = self.lock();
        if all.len() >= MOST && !all.contains_key(&mac) {
            return Err(AssignError::Full);
        }
        let mut changed = all.clone();
        changed.insert(mac, assignment);
        self.store(&changed)?;
        *all = changed;
        Ok(())
    }

    /// Takes an assignment back; whether there was one.
    pub fn clear(&self, mac: Mac) -> Result<bool, AssignError> {
        let mut all = self.lock();
        let mut changed = all.clone();
        if changed.remove(&mac).is_none() {
            return Ok(false);
        }
        self.store(&changed)?;
        *all = changed;
        Ok(true)
    }

    /// What a machine boots now: who asks is given its script, so that what holds once is over.
    pub fn take(&self, mac: Mac) -> Option<Boot> {
        let mut all = self.lock();
        let assignment = all.get(&mac)?.clone();
        if assignment.once {
            all.remove(&mac);
            // The machine boots, stored or not; after a restart it would do so once more.
            let _ = self.store(&all);
        }
        Some(assignment.boot)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Mac, Assignment>> {
        self.by_mac.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self, all: &BTreeMap<Mac, Assignment>) -> Result<(), AssignError> {
        let Some(path) = &self.file else {
            return Ok(());
        };
        write_beside(path, &text(all)).map_err(|source| AssignError::Store {
            path: path.clone(),
            source,
        })
    }
}

/// Writes beside, then renames.
pub(super) fn write_beside(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_data()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn text(all: &BTreeMap<Mac, Assignment>) -> String {
    let entries: Vec<Entry> = all
        .iter()
        .map(|(mac, assignment)| {
            let (image, boot) = match &assignment.boot {
                Boot::Image(name) => (Some(name.clone()), None),
                Boot::Menu => (None, Some("menu")),
                Boot::Local => (None, Some("local")),
                Boot::Default => (None, Some("default")),
            };
            Entry {
                mac: mac.to_string(),
                image,
                boot: boot.map(str::to_owned),
                once: assignment.once,
            }
        })
        .collect();
    // Texts and switches always have a JSON form.
    serde_json::to_string_pretty(&entries).unwrap_or_default() + "\n"
}

fn read(text: &str) -> Result<BTreeMap<Mac, Assignment>, String> {
    let entries: Vec<Entry> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    entries
        .into_iter()
        .map(|entry| {
            let mac: Mac = entry
                .mac
                .parse()
                .map_err(|error| format!("mac {:?} is {error}", entry.mac))?;
            let boot = match (entry.image, entry.boot.as_deref()) {
                (Some(name), None) => Boot::Image(name),
                (None, Some("menu")) => Boot::Menu,
                (None, Some("local")) => Boot::Local,
                (None, Some("default")) => Boot::Default,
                (_, other) => return Err(format!("{mac}: boot is {other:?}")),
            };
            let once = entry.once;
            Ok((mac, Assignment { boot, once }))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PC: Mac = Mac::new([0x52, 0x54, 0, 0, 0, 1]);

    fn site() -> Site {
        let text = "[[image]]\nname = \"a\"\nkind = \"disk\"\npath = \"a\"\n";
        Site::parse(text, Path::new("slamboot.toml")).unwrap()
    }

    fn image(once: bool) -> Assignment {
        Assignment {
            boot: Boot::Image("a".to_owned()),
            once,
        }
    }

    #[test]
    fn once_is_once_and_survives_a_restart_until_then() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("assignments.json");
        let open = || Assignments::open(file.clone()).unwrap();
        let other = Mac::new([0x52, 0x54, 0, 0, 0, 2]);
        let assignments = open();
        assignments.set(&site(), PC, image(true)).unwrap();
        assignments.set(&site(), other, image(false)).unwrap();
        let assignments = open();
        assert_eq!(assignments.get(PC), Some(image(true)));
        assert_eq!(assignments.take(PC), Some(image(true).boot));
        assert_eq!(assignments.take(PC), None);
        assert_eq!(open().take(PC), None);
        assert_eq!(open().take(other), Some(image(false).boot));
        assert_eq!(open().take(other), Some(image(false).boot));
        assert!(open().clear(other).unwrap());
        assert!(!open().clear(other).unwrap());
        assert_eq!(open().list(), []);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let assignments = Assignments::default();
        let none = Assignment {
            boot: Boot::Image("b".to_owned()),
            once: false,
        };
        let error = assignments.set(&site(), PC, none).unwrap_err();
        assert_eq!(error.to_string(), "no image \"b\"");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("assignments.json");
        std::fs::write(&file, "[{\"mac\":\"x\",\"once\":false}]").unwrap();
        let error = Assignments::open(file).unwrap_err().to_string();
        assert!(
            error.contains("mac \"x\" is not an Ethernet address"),
            "{error}"
        );
    }

    #[test]
    fn what_cannot_be_stored_has_not_changed() {
        let dir = tempfile::tempdir().unwrap();
        let assignments = Assignments::open(dir.path().join("a.json")).unwrap();
        assignments.set(&site(), PC, image(false)).unwrap();
        // Something else is where the file's directory was.
        let place = dir.path().to_owned();
        drop(dir);
        std::fs::write(&place, "").unwrap();
        assert!(assignments.clear(PC).is_err());
        std::fs::remove_file(&place).unwrap();
        assert_eq!(assignments.get(PC), Some(image(false)));
    }
}
