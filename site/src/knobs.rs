// SPDX-License-Identifier: MIT OR Apache-2.0
//! What iPXE is built with beyond what slamboot's scripts need.

use std::collections::BTreeMap;

/// Words of a list in `slamboot.toml`, each with the macro of iPXE's that it stands for.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal => $macro_name:literal,)* }) => {
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

            /// The macro in iPXE's headers that switches it on.
            pub fn macro_name(self) -> &'static str {
                match self {
                    $($name::$variant => $macro_name,)*
                }
            }
        }
    };
}

words! {
    /// A protocol beside SLAM, HTTP and TFTP.
    Protocol {
        /// HTTP over TLS; UEFI builds have it anyway, BIOS builds have no room for it.
        Https = "https" => "DOWNLOAD_PROTO_HTTPS",
        /// FTP.
        Ftp = "ftp" => "DOWNLOAD_PROTO_FTP",
        /// NFS version 3.
        Nfs = "nfs" => "DOWNLOAD_PROTO_NFS",
    }
}

words! {
    /// Commands beside those that slamboot's scripts use.
    Commands {
        /// `certstat`, `certstore`, `certfree`.
        Cert = "cert" => "CERT_CMD",
        /// `console`, `colour`, `cpair`.
        Console = "console" => "CONSOLE_CMD",
        /// `md5sum`, `sha1sum` and their like.
        Digest = "digest" => "DIGEST_CMD",
        /// `imgdecrypt`.
        Crypt = "crypt" => "IMAGE_CRYPT_CMD",
        /// `imgmem`.
        Memory = "memory" => "IMAGE_MEM_CMD",
        /// `ipstat`.
        Ipstat = "ipstat" => "IPSTAT_CMD",
        /// `lotest`.
        Lotest = "lotest" => "LOTEST_CMD",
        /// `nstat`.
        Neighbour = "neighbour" => "NEIGHBOUR_CMD",
        /// `nslookup`.
        Nslookup = "nslookup" => "NSLOOKUP_CMD",
        /// `ntp`.
        Ntp = "ntp" => "NTP_CMD",
        /// `param`, `params`.
        Param = "param" => "PARAM_CMD",
        /// `pciscan`; not in `undionly`.
        Pci = "pci" => "PCI_CMD",
        /// `ping`.
        Ping = "ping" => "PING_CMD",
        /// `poweroff`.
        Poweroff = "poweroff" => "POWEROFF_CMD",
        /// `profstat`.
        Profstat = "profstat" => "PROFSTAT_CMD",
        /// `reboot`.
        Reboot = "reboot" => "REBOOT_CMD",
        /// `time`.
        Time = "time" => "TIME_CMD",
        /// `usbscan`; in programs that drive USB alone, such as `ipxe.lkrn` and `ipxe.efi`.
        Usb = "usb" => "USB_CMD",
        /// `vcreate`, `vdestroy`.
        Vlan = "vlan" => "VLAN_CMD",
    }
}

words! {
    /// A console beside the machine's own, and the serial port (`serial`).
    Console {
        /// Graphical framebuffer.
        Framebuffer = "framebuffer" => "CONSOLE_FRAMEBUFFER",
        /// syslog over UDP.
        Syslog = "syslog" => "CONSOLE_SYSLOG",
        /// The debug port of QEMU and Bochs, 0xE9; x86 only.
        Debugcon = "debugcon" => "CONSOLE_DEBUGCON",
        /// The log of `VMware`; x86 only.
        Vmware = "vmware" => "CONSOLE_VMWARE",
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
