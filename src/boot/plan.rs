// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which client gets what: decided from the site, the firmware at hand and what the client says of
//! itself, and from nothing else.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use serde::Serialize;
use site::{Arch, Boot, Group, Host, Mac, Site};

use super::arch::{ClientArch, Features, Fetch, Program};
use super::assign::{Assignment, Assignments};

/// A client, as its DHCP request describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its network card.
    pub mac: Mac,
    /// Processor and firmware.
    pub arch: ClientArch,
    /// What asks.
    pub program: Program,
    /// An address of its network, where a relay agent passed its request on: the agent's, or the one
    /// that it names.
    pub link: Option<Ipv4Addr>,
}

/// A boot program that can be handed out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rom {
    /// Its name, by TFTP and below `/firmware/` by HTTP.
    pub name: String,
    /// Whether it was proven to hold SLAM.
    pub slam: bool,
}

/// The boot programs at hand, one for each architecture at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roms(Vec<(Arch, Rom)>);

/// What a client is to boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum BootFile {
    /// A boot program, fetched by TFTP.
    RomByTftp {
        /// Its name.
        name: String,
    },
    /// A boot program, fetched by HTTP.
    RomByHttp {
        /// Where.
        url: String,
    },
    /// A script, which says what boots.
    Script {
        /// Where.
        url: String,
    },
}

impl BootFile {
    /// As it stands in `file` and option 67.
    pub fn name(&self) -> &str {
        match self {
            BootFile::RomByTftp { name } => name,
            BootFile::RomByHttp { url } | BootFile::Script { url } => url,
        }
    }
}

/// What is done about a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is told what to boot.
    Boot(BootFile),
    /// It is told nothing.
    Silence(Silence),
}

/// Why a client is told nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Silence {
    /// `strict`, and no rule names it.
    Stranger,
    /// A rule says that it boots its own disk.
    Local,
    /// No boot program for its architecture is at hand.
    NoRom,
    /// It downloads by HTTP only, and HTTP is off.
    NoHttp,
    /// It downloads by TFTP only, and TFTP is off.
    NoTftp,
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Silence::Stranger => {
                "strict = true, and no [[host]] or [[group]] in slamboot.toml names it"
            }
            Silence::Local => "boot = \"local\": it boots its own disk",
            Silence::NoRom => {
                "no boot program for it is at hand: cargo xtask dist builds them; [server] firmware names their directory"
            }
            Silence::NoHttp => "it boots over HTTP only, and HTTP is off: set http_port",
            Silence::NoTftp => "it boots over TFTP only, and TFTP is off or its port is taken",
        })
    }
}

/// Which services answer at the server's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Services {
    /// TCP port of HTTP.
    pub http: Option<u16>,
    /// Whether TFTP answers.
    pub tftp: bool,
}

/// Which client gets what.
#[derive(Clone, Debug)]
pub struct BootPlan {
    roms: Roms,
    services: Services,
    strict: bool,
    rules: Rules,
    images: BTreeSet<String>,
    assignments: Arc<Assignments>,
}

/// Who boots what: the rules of a site alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    hosts: Vec<Host>,
    groups: Vec<Group>,
}

/// A rule that names a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule<'a> {
    /// `[[host]]`
    Host(&'a Host),
    /// `[[group]]`
    Group(&'a Group),
}

impl Rule<'_> {
    /// What it says.
    pub fn boot(&self) -> &Boot {
        match self {
            Rule::Host(host) => &host.boot,
            Rule::Group(group) => &group.boot,
        }
    }
}

impl Rules {
    /// Those of a site.
    pub fn of(site: &Site) -> Rules {
        Rules {
            hosts: site.hosts.clone(),
            groups: site.groups.clone(),
        }
    }

    /// The host with this card.
    pub fn host(&self, mac: Mac) -> Option<&Host> {
        self.hosts.iter().find(|host| host.macs.contains(&mac))
    }

    /// The rule for a client: its own, else the first group that it belongs to. `at` is an address
    /// of the client's network; where its architecture is not known, groups that ask for one do
    /// not fit.
    pub fn find(&self, mac: Mac, at: Ipv4Addr, arch: Option<Arch>) -> Option<Rule<'_>> {
        if let Some(host) = self.host(mac) {
            return Some(Rule::Host(host));
        }
        let fits = |group: &&Group| {
            let any = group.macs.is_empty();
            let mac = any || group.macs.iter().any(|pattern| pattern.matches(mac));
            let here = IpAddr::V4(at);
            let near =
                group.networks.is_empty() || group.networks.iter().any(|net| net.contains(&here));
            let alike = group.archs.is_empty() || arch.is_some_and(|a| group.archs.contains(&a));
            mac && near && alike
        };
        self.groups.iter().find(fits).map(Rule::Group)
    }

    /// Hosts with an address of their own.
    pub fn reservations(&self) -> impl Iterator<Item = (Mac, Ipv4Addr)> {
        self.hosts.iter().flat_map(|host| {
            let address = host.address;
            host.macs
                .iter()
                .filter_map(move |mac| Some((*mac, address?)))
        })
    }
}

impl Roms {
    /// The first for each architecture is the one that is used.
    pub fn new(roms: impl IntoIterator<Item = (Arch, Rom)>) -> Roms {
        let mut chosen: Vec<(Arch, Rom)> = Vec::new();
        for (arch, rom) in roms {
            if chosen.iter().all(|(known, _)| *known != arch) {
                chosen.push((arch, rom));
            }
        }
        Roms(chosen)
    }

    /// The one for an architecture.
    pub fn get(&self, arch: Arch) -> Option<&Rom> {
        let found = self.0.iter().find(|(known, _)| *known == arch);
        found.map(|(_, rom)| rom)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (Arch, &Rom)> {
        self.0.iter().map(|(arch, rom)| (*arch, rom))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl BootPlan {
    /// The plan for a site with these boot programs and services.
    pub fn new(site: &Site, roms: Roms, services: Services) -> BootPlan {
        BootPlan {
            roms,
            services,
            strict: site.dhcp.strict,
            rules: Rules::of(site),
            images: site.images.iter().map(|i| i.name.clone()).collect(),
            assignments: Arc::default(),
        }
    }

    /// What is assigned by hand goes before the rules. It is only looked at here: what holds once is
    /// over when the machine is given its script.
    #[must_use]
    pub fn with_assignments(self, assignments: &Arc<Assignments>) -> BootPlan {
        BootPlan {
            assignments: Arc::clone(assignments),
            ..self
        }
    }

    /// What is assigned to a machine, if it is still served.
    fn assigned(&self, mac: Mac) -> Option<Assignment> {
        let served = |assignment: &Assignment| match &assignment.boot {
            Boot::Image(name) => self.images.contains(name),
            Boot::Default | Boot::Menu | Boot::Local => true,
        };
        self.assignments.get(mac).filter(served)
    }

    /// The site's rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Whether a client may be answered at all. Who was assigned something is no stranger: somebody
    /// with the token named it.
    pub fn allows(&self, mac: Mac, at: Ipv4Addr, arch: Option<Arch>) -> bool {
        !self.strict || self.rules.find(mac, at, arch).is_some() || self.assigned(mac).is_some()
    }

    /// What a client boots from the server at `server`, the address by which it came.
    ///
    /// An iPXE gets a script and no boot program, so that no chain of boot programs comes back to
    /// its begin; one exception: an iPXE that says itself that it lacks SLAM is given one of ours
    /// that was proven to have it, and which will say so.
    pub fn decide(&self, client: &Client, server: Ipv4Addr) -> Decision {
        let arch = client.arch.known();
        let at = client.link.unwrap_or(server);
        let rule = self.rules.find(client.mac, at, arch);
        let assigned = self.assigned(client.mac);
        if self.strict && rule.is_none() && assigned.is_none() {
            return Decision::Silence(Silence::Stranger);
        }
        let local = match &assigned {
            // Firmware asks several times before it boots anything: only a script that was fetched
            // says that this boot has come, and that the assignment is over.
            Some(assignment) => assignment.boot == Boot::Local && !assignment.once,
            None => rule.is_some_and(|rule| *rule.boot() == Boot::Local),
        };
        let rom = arch.and_then(|arch| self.roms.get(arch));
        match client.program {
            Program::Vendor(_) if local => Decision::Silence(Silence::Local),
            Program::Vendor(fetch) => match rom {
                Some(rom) => self.rom(rom, fetch, server),
                None => Decision::Silence(Silence::NoRom),
            },
            Program::Ipxe(Features::Told { http, slam: false }) if !local => match rom {
                Some(rom) if rom.slam => {
                    let fetch = match self.services.http {
                        Some(_) if http => Fetch::Http,
                        _ => Fetch::Tftp,
                    };
                    match self.rom(rom, fetch, server) {
                        Decision::Silence(_) => self.script(client.mac, http, server),
                        boot @ Decision::Boot(_) => boot,
                    }
                }
                _ => self.script(client.mac, http, server),
            },
            Program::Ipxe(Features::Told { http, .. }) => self.script(client.mac, http, server),
            Program::Ipxe(Features::Untold) => self.script(client.mac, true, server),
            Program::Gpxe => match self.services.http {
                Some(port) => Decision::Boot(BootFile::Script {
                    url: format!("http://{server}:{port}/boot.gpxe"),
                }),
                None => Decision::Silence(Silence::NoHttp),
            },
        }
    }

    fn rom(&self, rom: &Rom, fetch: Fetch, server: Ipv4Addr) -> Decision {
        let name = &rom.name;
        match (fetch, self.services) {
            (Fetch::Http, Services { http: None, .. }) => Decision::Silence(Silence::NoHttp),
            (Fetch::Tftp, Services { tftp: false, .. }) => Decision::Silence(Silence::NoTftp),
            (
                Fetch::Http,
                Services {
                    http: Some(port), ..
                },
            ) => Decision::Boot(BootFile::RomByHttp {
                url: format!("http://{server}:{port}/firmware/{name}"),
            }),
            (Fetch::Tftp, _) => Decision::Boot(BootFile::RomByTftp { name: name.clone() }),
        }
    }

    /// The server knows the client by its card, whatever address it will have.
    fn script(&self, mac: Mac, http: bool, server: Ipv4Addr) -> Decision {
        let url = match self.services {
            Services {
                http: Some(port), ..
            } if http => format!("http://{server}:{port}/boot.ipxe?mac={mac}"),
            Services { tftp: true, .. } => format!("tftp://{server}/boot.ipxe"),
            _ if http => return Decision::Silence(Silence::NoHttp),
            _ => return Decision::Silence(Silence::NoTftp),
        };
        Decision::Boot(BootFile::Script { url })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
    const PC: Mac = Mac::new([0x52, 0x54, 0, 0, 0, 1]);
    const STRANGER: Mac = Mac::new([0x52, 0x55, 0, 0, 0, 9]);
    const ALL_SERVICES: Services = Services {
        http: Some(8080),
        tftp: true,
    };

    const RULES: &str = "
        [[image]]\nname = \"a\"\nkind = \"disk\"\npath = \"a\"
        [[host]]\nmac = \"52:54:00:00:00:01\"\nimage = \"a\"\naddress = \"10.77.0.50\"
        [[host]]\nmac = [\"52:54:00:00:00:02\", \"52:54:00:00:00:03\"]\nboot = \"local\"
        [[group]]\nname = \"far\"\nnetwork = \"10.9.0.0/16\"\nboot = \"menu\"
        [[group]]\nname = \"lab\"\nmac = \"52:54:*\"\narch = [\"efi-x64\"]\n";

    fn site(text: &str) -> Site {
        Site::parse(text, Path::new("slamboot.toml")).unwrap_or_else(|e| panic!("{e}"))
    }

    fn roms(slam: bool) -> Roms {
        let rom = |name: &str| Rom {
            name: name.to_owned(),
            slam,
        };
        Roms::new([
            (Arch::Bios, rom("undionly.kpxe")),
            (Arch::EfiX64, rom("snponly.efi")),
            (Arch::EfiX64, rom("ipxe.efi")),
        ])
    }

    fn client(mac: Mac, code: u16, program: Program) -> Client {
        Client {
            mac,
            arch: ClientArch::from_code(code),
            program,
            link: None,
        }
    }

    /// With a ROM for arm64 at hand its machines are served as all others are.
    #[test]
    fn arm64_gets_its_own_rom() {
        let rom = |name: &str| Rom {
            name: name.to_owned(),
            slam: true,
        };
        let shelf = [
            (Arch::Bios, rom("undionly.kpxe")),
            (Arch::EfiX64, rom("snponly.efi")),
            (Arch::EfiArm64, rom("snponly-arm64.efi")),
        ];
        let plan = BootPlan::new(&Site::default(), Roms::new(shelf), ALL_SERVICES);
        let url = "http://10.77.0.1:8080/firmware/snponly-arm64.efi";
        let script = "http://10.77.0.1:8080/boot.ipxe?mac=52:55:00:00:00:09";
        for (code, program, expected) in [
            (11, Program::Vendor(Fetch::Tftp), "snponly-arm64.efi"),
            (19, Program::Vendor(Fetch::Http), url),
            (11, told(true, false), url),
            (11, told(false, false), "snponly-arm64.efi"),
            (11, told(true, true), script),
            // And nobody else gets it.
            (7, Program::Vendor(Fetch::Tftp), "snponly.efi"),
            (10, Program::Vendor(Fetch::Tftp), "NoRom"),
        ] {
            let found = plan.decide(&client(STRANGER, code, program), SERVER);
            assert_eq!(name(&found), expected, "{code} {program:?}");
        }
    }

    fn told(http: bool, slam: bool) -> Program {
        Program::Ipxe(Features::Told { http, slam })
    }

    fn name(decision: &Decision) -> String {
        match decision {
            Decision::Boot(file) => file.name().to_owned(),
            Decision::Silence(why) => format!("{why:?}"),
        }
    }

    /// Every program on every architecture, with every set of services: one table.
    #[test]
    fn everybody_gets_what_is_due() {
        let script = "http://10.77.0.1:8080/boot.ipxe?mac=52:55:00:00:00:09";
        let by_tftp = "tftp://10.77.0.1/boot.ipxe";
        let bios_http = "http://10.77.0.1:8080/firmware/undionly.kpxe";
        let efi_http = "http://10.77.0.1:8080/firmware/snponly.efi";
        let gpxe = "http://10.77.0.1:8080/boot.gpxe";
        let (tftp, http) = (Program::Vendor(Fetch::Tftp), Program::Vendor(Fetch::Http));
        let untold = Program::Ipxe(Features::Untold);
        // architecture, program, then with HTTP and TFTP, HTTP only, TFTP only, neither
        #[rustfmt::skip]
        let table = [
            (0, tftp, ["undionly.kpxe", "NoTftp", "undionly.kpxe", "NoTftp"]),
            (7, tftp, ["snponly.efi", "NoTftp", "snponly.efi", "NoTftp"]),
            (9, tftp, ["snponly.efi", "NoTftp", "snponly.efi", "NoTftp"]),
            (11, tftp, ["NoRom"; 4]),
            (31, tftp, ["NoRom"; 4]),
            (16, http, [efi_http, efi_http, "NoHttp", "NoHttp"]),
            (19, http, ["NoRom"; 4]),
            (0, told(true, true), [script, script, by_tftp, "NoHttp"]),
            (0, told(false, true), [by_tftp, "NoTftp", by_tftp, "NoTftp"]),
            (0, told(true, false), [bios_http, bios_http, "undionly.kpxe", "NoHttp"]),
            (7, told(true, false), [efi_http, efi_http, "snponly.efi", "NoHttp"]),
            (0, told(false, false), ["undionly.kpxe", "NoTftp", "undionly.kpxe", "NoTftp"]),
            (11, told(true, false), [script, script, by_tftp, "NoHttp"]),
            (0, untold, [script, script, by_tftp, "NoHttp"]),
            (0, Program::Gpxe, [gpxe, gpxe, "NoHttp", "NoHttp"]),
        ];
        let services = [(true, true), (true, false), (false, true), (false, false)];
        for (code, program, expected) in table {
            for ((http, tftp), expected) in services.into_iter().zip(expected) {
                let services = Services {
                    http: http.then_some(8080),
                    tftp,
                };
                let plan = BootPlan::new(&Site::default(), roms(true), services);
                let found = plan.decide(&client(STRANGER, code, program), SERVER);
                assert_eq!(name(&found), expected, "{code} {program:?} {services:?}");
            }
        }
    }

    /// Whatever is handed out, what then asks gets a script: a chain has two links at most.
    #[test]
    fn no_chain_comes_back_to_its_begin() {
        for (slam_roms, http, tftp) in (0..8).map(|n| (n & 1 > 0, n & 2 > 0, n & 4 > 0)) {
            let services = Services {
                http: http.then_some(80),
                tftp,
            };
            let plan = BootPlan::new(&Site::default(), roms(slam_roms), services);
            for code in 0..32 {
                for program in [
                    Program::Vendor(Fetch::Tftp),
                    Program::Vendor(Fetch::Http),
                    told(true, false),
                    told(false, false),
                    told(true, true),
                    Program::Ipxe(Features::Untold),
                    Program::Gpxe,
                ] {
                    let mut asks = client(PC, code, program);
                    let mut links = 0;
                    while let Decision::Boot(
                        BootFile::RomByTftp { .. } | BootFile::RomByHttp { .. },
                    ) = plan.decide(&asks, SERVER)
                    {
                        // What was handed out says truly what it is.
                        asks.program = told(true, slam_roms);
                        links += 1;
                        assert!(links < 3, "{code} {program:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn firmware_without_slam_is_not_given_to_ipxe() {
        let plan = BootPlan::new(&Site::default(), roms(false), ALL_SERVICES);
        let found = plan.decide(&client(PC, 0, told(true, false)), SERVER);
        assert!(matches!(found, Decision::Boot(BootFile::Script { .. })));
    }

    #[test]
    fn strict_answers_nobody_whom_no_rule_names() {
        let plan = BootPlan::new(
            &site(&format!("[dhcp]\nstrict = true\n{RULES}")),
            roms(true),
            ALL_SERVICES,
        );
        let pxe = Program::Vendor(Fetch::Tftp);
        let stranger = Decision::Silence(Silence::Stranger);
        for program in [pxe, told(true, true), told(true, false), Program::Gpxe] {
            assert_eq!(plan.decide(&client(STRANGER, 0, program), SERVER), stranger);
        }
        // A group's architecture counts, and so does the relay's network.
        let mate = Mac::new([0x52, 0x54, 9, 9, 9, 9]);
        assert_eq!(plan.decide(&client(mate, 0, pxe), SERVER), stranger);
        assert_eq!(
            name(&plan.decide(&client(mate, 7, pxe), SERVER)),
            "snponly.efi"
        );
        let mut far = client(STRANGER, 0, pxe);
        far.link = Some(Ipv4Addr::new(10, 9, 0, 1));
        assert_eq!(name(&plan.decide(&far, SERVER)), "undionly.kpxe");
        assert_eq!(
            name(&plan.decide(&client(PC, 0, pxe), SERVER)),
            "undionly.kpxe"
        );
        assert!(!plan.allows(STRANGER, SERVER, Some(Arch::Bios)));
        assert!(plan.allows(PC, SERVER, None));
    }

    #[test]
    fn the_own_disk_is_left_to_the_firmware_and_told_to_ipxe() {
        let plan = BootPlan::new(&site(RULES), roms(true), ALL_SERVICES);
        let local = Mac::new([0x52, 0x54, 0, 0, 0, 3]);
        let found = plan.decide(&client(local, 0, Program::Vendor(Fetch::Tftp)), SERVER);
        assert_eq!(found, Decision::Silence(Silence::Local));
        // iPXE runs already: a script ends it.
        for program in [told(true, true), told(true, false)] {
            let found = plan.decide(&client(local, 0, program), SERVER);
            assert!(matches!(found, Decision::Boot(BootFile::Script { .. })));
        }
    }

    #[test]
    fn what_is_assigned_goes_before_rules_and_strict() {
        let site = site(&format!("[dhcp]\nstrict = true\n{RULES}"));
        let assignments = Arc::new(Assignments::default());
        let plan = BootPlan::new(&site, roms(true), ALL_SERVICES).with_assignments(&assignments);
        let local = Mac::new([0x52, 0x54, 0, 0, 0, 3]);
        let decide = |mac| {
            let client = client(mac, 0, Program::Vendor(Fetch::Tftp));
            name(&plan.decide(&client, SERVER))
        };
        let assign = |mac, boot, once| {
            let assignment = Assignment { boot, once };
            assignments.set(&site, mac, assignment).unwrap();
        };
        let image = || Boot::Image("a".to_owned());
        assert_eq!(
            (decide(local), decide(STRANGER)),
            ("Local".into(), "Stranger".into())
        );
        // Looking is no booting: the same is said as often as firmware asks.
        assign(local, image(), true);
        assign(STRANGER, image(), true);
        for _ in 0..3 {
            assert_eq!(decide(local), "undionly.kpxe");
            assert_eq!(decide(STRANGER), "undionly.kpxe");
            assert!(plan.allows(STRANGER, SERVER, None));
        }
        // The script is fetched.
        assert_eq!(assignments.take(local), Some(image()));
        assert_eq!(decide(local), "Local");
        // For ever: nothing to load for that. Once: the script says so, and is the end of it.
        assign(STRANGER, Boot::Local, false);
        assert_eq!(decide(STRANGER), "Local");
        assign(STRANGER, Boot::Local, true);
        assert_eq!(decide(STRANGER), "undionly.kpxe");
        // An image that is no longer there is not what anybody meant.
        assign(local, image(), false);
        let less = Site {
            images: Vec::new(),
            ..site.clone()
        };
        let plan = BootPlan::new(&less, roms(true), ALL_SERVICES).with_assignments(&assignments);
        let asks = client(local, 0, Program::Vendor(Fetch::Tftp));
        assert_eq!(
            plan.decide(&asks, SERVER),
            Decision::Silence(Silence::Local)
        );
    }

    #[test]
    fn the_own_rule_goes_first_then_the_order_of_the_file() {
        let site = site(RULES);
        let rules = Rules::of(&site);
        let far = Ipv4Addr::new(10, 9, 1, 1);
        let boot = |mac, at, arch| rules.find(mac, at, arch).map(|rule| rule.boot().clone());
        assert_eq!(boot(PC, far, None), Some(Boot::Image("a".into())));
        assert_eq!(boot(STRANGER, far, None), Some(Boot::Menu));
        assert_eq!(boot(STRANGER, SERVER, Some(Arch::EfiX64)), None);
        let mate = Mac::new([0x52, 0x54, 9, 9, 9, 9]);
        assert_eq!(boot(mate, SERVER, Some(Arch::EfiX64)), Some(Boot::Default));
        assert_eq!(boot(mate, SERVER, None), None);
        let reserved: Vec<_> = rules.reservations().collect();
        assert_eq!(reserved, [(PC, Ipv4Addr::new(10, 77, 0, 50))]);
    }
}
