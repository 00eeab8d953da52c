// SPDX-License-Identifier: MIT OR Apache-2.0
//! What iPXE is built with beyond what slamboot's scripts need.

use std::collections::BTreeMap;

/// Words of a list in `slamboot.toml`, each with what it stands for.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// As it is written.
            pub fn word(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)*
                }
            }
        }
    };
}

words! {
    /// A protocol beside SLAM, HTTP and TFTP.
    Protocol {
        /// HTTP over TLS; UEFI builds have it anyway, BIOS builds have no room for it.
        Https = "https",
        /// FTP.
        Ftp = "ftp",
        /// NFS version 3.
        Nfs = "nfs",
    }
}

words! {
    /// Commands beside those that slamboot's scripts use.
    Commands {
        /// `certstat`, `certstore`, `certfree`.
        Cert = "cert",
        /// `console`, `colour`, `cpair`.
        Console = "console",
        /// `md5sum`, `sha1sum` and their like.
        Digest = "digest",
        /// `imgdecrypt`.
        Crypt = "crypt",
        /// `imgmem`.
        Memory = "memory",
        /// `ipstat`.
        Ipstat = "ipstat",
        /// `lotest`.
        Lotest = "lotest",
        /// `nstat`.
        Neighbour = "neighbour",
        /// `nslookup`.
        Nslookup = "nslookup",
        /// `ntp`.
        Ntp = "ntp",
        /// `param`, `params`.
        Param = "param",
        /// `pciscan`.
        Pci = "pci",
        /// `ping`.
        Ping = "ping",
        /// `poweroff`.
        Poweroff = "poweroff",
        /// `profstat`.
        Profstat = "profstat",
        /// `reboot`.
        Reboot = "reboot",
        /// `time`.
        Time = "time",
        /// `usbscan`.
        Usb = "usb",
        /// `vcreate`, `vdestroy`.
        Vlan = "vlan",
    }
}

words! {
    /// A console beside the machine's own, and the serial port (`serial`).
    Console {
        /// Graphical framebuffer.
        Framebuffer = "framebuffer",
        /// syslog over UDP.
        Syslog = "syslog",
        /// The debug port of QEMU and Bochs, 0xE9; x86 only.
        Debugcon = "debugcon",
        /// The log of `VMware`; x86 only.
        Vmware = "vmware",
    }
}

/// The knobs together. The default turns none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Knobs {
    /// Further protocols.
    pub protocols: Vec<Protocol>,
    /// Further commands.
    pub commands: Vec<Commands>,
    /// Further consoles.
    pub consoles: Vec<Console>,
    /// What stands before iPXE's name in its banner; `None`: nothing.
    pub banner: Option<String>,
    /// Tenths of a second for which iPXE waits for Ctrl-B before it boots.
    pub banner_timeout: u16,
    /// Longest wait for a DHCP offer in one attempt, in seconds; `None`: iPXE's 10.
    pub dhcp_timeout: Option<u16>,
    /// Lines for further headers in iPXE's `config/local`, by their names without ending; they come
    /// last, so they win.
    pub raw: BTreeMap<String, String>,
}
