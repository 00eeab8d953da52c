// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is to be built: targets from the command line, the site or the pins, and what of them this
//! host can build.

use anyhow::{Context, Result, ensure};
use firmware::inspect::Kind;
use firmware::pins::Pins;
use firmware::target::{Platform, Target};
use site::Site;

use super::Arguments;
use crate::host::{self, Need};

/// What will be built.
#[derive(Debug)]
pub(super) struct Choice {
    /// Sorted by name, each once.
    pub(super) targets: Vec<Target>,
    /// Targets of a set that this host cannot build, each with what it lacks.
    pub(super) left_out: Vec<String>,
}

impl Choice {
    /// What all of them need of the host.
    pub(super) fn needs(&self) -> Vec<Need> {
        needs(&self.targets)
    }
}

/// What building `targets` needs of the host.
pub(super) fn needs(targets: &[Target]) -> Vec<Need> {
    let mut needs = vec![Need::Firmware];
    for target in targets {
        for need in needs_of(target) {
            if !needs.contains(&need) {
                needs.push(need);
            }
        }
    }
    needs
}

/// Beyond what all firmware needs.
fn needs_of(target: &Target) -> Vec<Need> {
    let arm64 = target.platform() == Platform::EfiArm64;
    let medium = target.is_medium().then(|| match target.kind() {
        Kind::Iso => Need::Media,
        _ => Need::UefiUsb,
    });
    let arm64 = arm64.then_some(Need::Arm64);
    arm64.into_iter().chain(medium).collect()
}

/// Targets that were named must be built, those of a set where the host can.
pub(super) fn choose(arguments: &Arguments, site: &Site, pins: &Pins) -> Result<Choice> {
    choose_where(arguments, site, pins, |target| {
        host::lacking(&needs_of(target))
    })
}

fn choose_where(
    arguments: &Arguments,
    site: &Site,
    pins: &Pins,
    lacking: impl Fn(&Target) -> Option<String>,
) -> Result<Choice> {
    let parse = |name: &str| Ok::<_, anyhow::Error>(Target::parse(name)?);
    let mut targets = Vec::new();
    let chosen: Vec<&str> = if !arguments.targets.is_empty() {
        arguments.targets.iter().map(String::as_str).collect()
    } else if !arguments.sets.is_empty() {
        Vec::new()
    } else if !site.firmware.targets.is_empty() {
        site.firmware.targets.iter().map(String::as_str).collect()
    } else {
        pins.targets().collect()
    };
    for name in chosen {
        targets.push(parse(name)?);
    }
    let mut left_out = Vec::new();
    for set in &arguments.sets {
        let within = match site.firmware.sets.get(set) {
            Some(own) => own,
            None => pins.set(set)?,
        };
        for name in within {
            let target = parse(name).with_context(|| format!("set {set}"))?;
            match lacking(&target) {
                None => targets.push(target),
                Some(tools) => left_out.push(format!("{name} needs {tools}")),
            }
        }
    }
    ensure!(
        !targets.is_empty(),
        "nothing to build: this host lacks what every target of the set needs\n  {}",
        left_out.join("\n  ")
    );
    targets.sort_by(|a, b| a.name().cmp(b.name()));
    targets.dedup();
    left_out.sort();
    left_out.dedup();
    Ok(Choice { targets, left_out })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(choice: &Choice) -> String {
        let names = choice.targets.iter().map(Target::name);
        names.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn targets_come_from_arguments_then_site_then_pins() {
        let pins = Pins::builtin().unwrap();
        let mut site = Site::default();
        let mut arguments = Arguments::default();
        let chosen = |arguments: &Arguments, site: &Site| {
            names(&choose_where(arguments, site, &pins, |_| None).unwrap())
        };
        assert_eq!(
            chosen(&arguments, &site),
            "1af41000.mrom 1af41000.rom 8086100e.mrom ipxe.lkrn snponly.efi undionly.kpxe"
        );
        site.firmware.targets = vec!["ipxe.pxe".into()];
        assert_eq!(chosen(&arguments, &site), "ipxe.pxe");
        arguments.targets = vec!["10ec8168.mrom".into(), "10ec8168.mrom".into()];
        assert_eq!(chosen(&arguments, &site), "10ec8168.mrom");
        // A set joins what was named.
        arguments.sets = vec!["uefi-lab".into()];
        assert_eq!(
            chosen(&arguments, &site),
            "10ec8168.mrom 8086100e.efirom ipxe-efi.iso ipxe-efi.usb ipxe.efi snponly.efi"
        );
        site.firmware
            .sets
            .insert("uefi-lab".into(), vec!["bin-x86_64-efi/ipxe.efi".into()]);
        assert_eq!(chosen(&arguments, &site), "10ec8168.mrom ipxe.efi");
        arguments.sets = vec!["nowhere".into()];
        let error = choose_where(&arguments, &site, &pins, |_| None)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("nowhere") && error.contains("bios-lab"),
            "{error}"
        );
    }

    #[test]
    fn what_a_host_lacks_is_left_out_of_a_set_and_said() {
        let pins = Pins::builtin().unwrap();
        let site = Site::default();
        let arguments = Arguments {
            sets: vec!["all".into()],
            ..Arguments::default()
        };
        let no_arm = |target: &Target| {
            let needs = needs_of(target);
            needs
                .contains(&Need::Arm64)
                .then(|| "a cross compiler".to_owned())
        };
        let choice = choose_where(&arguments, &site, &pins, no_arm).unwrap();
        assert!(!names(&choice).contains("arm64"), "{choice:?}");
        assert!(names(&choice).contains("ipxe.iso"), "{choice:?}");
        assert_eq!(choice.left_out.len(), 5, "{choice:?}");
        assert!(
            choice
                .left_out
                .contains(&"ipxe-arm64.efi needs a cross compiler".to_owned())
        );
        assert_eq!(choice.needs(), [Need::Firmware, Need::Media, Need::UefiUsb]);
        let arm = Arguments {
            sets: vec!["arm64-lab".into()],
            ..Arguments::default()
        };
        let error = choose_where(&arm, &site, &pins, no_arm)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("nothing to build") && error.contains("a cross compiler"),
            "{error}"
        );
    }
}
