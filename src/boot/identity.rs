// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server's certificate and private key, from PEM files (RFC 7468), and proven to be of use before
//! anybody is answered with them.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{Error as TlsError, ServerConfig};
use site::Https;
use x509_cert::der::Decode as _;

/// A chain of certificates has some kilobytes.
const FILE_LIMIT: u64 = 1 << 20;

/// Which of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `[server] certificate`
    Certificate,
    /// `[server] key`
    Key,
}

impl Part {
    fn key(self) -> &'static str {
        match self {
            Part::Certificate => "certificate",
            Part::Key => "key",
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Part::Certificate => {
                "-----BEGIN CERTIFICATE-----: the server's, then those between it and its root, in PEM"
            }
            Part::Key => {
                "-----BEGIN PRIVATE KEY----- (or RSA, or EC PRIVATE KEY), in PEM and without a password"
            }
        }
    }

    /// What to do about a file that holds something else.
    fn remedy(self, found: &str) -> &'static str {
        match self {
            Part::Certificate => {
                "from DER: openssl x509 -inform der -in FILE -out NEW; and name that: certificate = \"NEW\""
            }
            Part::Key if found.contains("ENCRYPTED") => {
                "take the password off: openssl pkey -in FILE -out NEW; and name that: key = \"NEW\""
            }
            Part::Key => {
                "name the file that has it: key = \"FILE\" (--key FILE); from DER: openssl pkey -inform der -in FILE -out NEW"
            }
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[server] {}", self.key())
    }
}

/// Why HTTPS cannot be served with these files.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Not there, or not for this user.
    #[error(
        "{part}: cannot read {}: {source}\n  expected: {}\n  help: name a file that this user can read: {name} = \"FILE\" (--{name} FILE); after [server] user = \"NAME\", SIGHUP reads it as that user",
        path.display(), part.expected(), name = part.key()
    )]
    Unreadable {
        /// Which.
        part: Part,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something else is in it.
    #[error(
        "{part}: not in {}\n  expected: {}\n  found: {found}\n  help: {}",
        path.display(), part.expected(), part.remedy(found)
    )]
    Absent {
        /// Which.
        part: Part,
        /// The file.
        path: PathBuf,
        /// What is in it.
        found: String,
    },
    /// The certificate's time is over, or has not come.
    #[error(
        "[server] certificate: {} is not valid now\n  expected: a time from {from} to {to}, which it is made for\n  found: {now}, by this machine's clock\n  help: renew it, or set the clock: timedatectl set-ntp true",
        path.display()
    )]
    OutOfTime {
        /// The file.
        path: PathBuf,
        /// Its first second.
        from: Timestamp,
        /// Its last.
        to: Timestamp,
        /// The clock.
        now: Timestamp,
    },
    /// A key that is not its owner's alone.
    #[error(
        "[server] key: everybody on this machine can read {}\n  expected: a mode without rights for others, such as 0640\n  found: {mode:04o}\n  help: chmod o= {}; for the systemd unit give a group the file (SupplementaryGroups=ssl-cert in a drop-in, chgrp ssl-cert)",
        path.display(), path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Two that do not belong together.
    #[error(
        "[server] key: {} is not the key of {}\n  expected: the private key of the first certificate in that file\n  found: another one\n  help: `openssl pkey -in {} -pubout` and `openssl x509 -in {} -noout -pubkey` must print the same; the server's own certificate comes first, its issuers after it",
        key.display(), certificate.display(), key.display(), certificate.display()
    )]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// Neither can be served with.
    #[error(
        "[server] certificate and key: {} and {}: {what}\n  expected: an X.509 v3 certificate of an RSA key (2048 bits or more), or of an ECDSA key on P-256 or P-384\n  help: openssl ecparam -name prime256v1 -genkey -noout -out NEW makes a key that browsers and iPXE know",
        certificate.display(), key.display()
    )]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// In TLS's words.
        what: String,
    },
}

/// A certificate with its key, ready to answer with: TLS 1.2 and 1.3.
#[derive(Clone, Debug)]
pub struct Identity {
    config: Arc<ServerConfig>,
    ends: Timestamp,
}

impl Identity {
    /// Reads both files. What could not be used `now` is an error.
    pub fn read(https: &Https, now: SystemTime) -> Result<Identity, IdentityError> {
        let certificate = &https.certificate;
        let text = contents(Part::Certificate, certificate)?;
        let chain = chain(certificate, &text)?;
        let (from, ends) = validity(certificate, &chain[0])?;
        let now = Timestamp::try_from(now).unwrap_or(Timestamp::MAX);
        if now < from || now > ends {
            return Err(IdentityError::OutOfTime {
                path: certificate.clone(),
                from,
                to: ends,
                now: now.round(jiff::Unit::Second).unwrap_or(now),
            });
        }
        let text = contents(Part::Key, &https.key)?;
        let key = PrivateKeyDer::from_pem_slice(&text)
            .map_err(|error| absent(Part::Key, &https.key, &text, Some(error)))?;
        let mode = std::fs::metadata(&https.key).map_or(0, |metadata| metadata.mode() & 0o7777);
        if mode & 0o007 != 0 {
            return Err(IdentityError::Open {
                path: https.key.clone(),
                mode,
            });
        }
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|versions| versions.with_no_client_auth().with_single_cert(chain, key));
        let mut config = config.map_err(|error| match error {
            TlsError::InconsistentKeys(_) => IdentityError::Mismatch {
                certificate: certificate.clone(),
                key: https.key.clone(),
            },
            error => IdentityError::Unusable {
                certificate: certificate.clone(),
                key: https.key.clone(),
                what: error.to_string(),
            },
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Identity {
            config: Arc::new(config),
            ends,
        })
    }

    /// The certificate's last second.
    pub fn ends(&self) -> Timestamp {
        self.ends
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }
}

fn contents(part: Part, path: &Path) -> Result<Vec<u8>, IdentityError> {
    let read = || {
        // A pipe would not end.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::other("no regular file"));
        }
        let mut bytes = Vec::new();
        File::open(path)?.take(FILE_LIMIT).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|source| IdentityError::Unreadable {
        part,
        path: path.to_owned(),
        source,
    })
}

/// At least one.
fn chain(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let all = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
    match all {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(absent(Part::Certificate, path, text, None)),
        Err(error) => Err(absent(Part::Certificate, path, text, Some(error))),
    }
}

fn absent(part: Part, path: &Path, text: &[u8], error: Option<pem::Error>) -> IdentityError {
    let labels: Vec<String> = String::from_utf8_lossy(text)
        .lines()
        .filter_map(|line| line.trim().strip_prefix("-----BEGIN "))
        .filter_map(|rest| rest.strip_suffix("-----"))
        .map(|label| label.chars().take(40).collect())
        .collect();
    let found = match (error, labels.as_slice()) {
        (Some(error), _) if !matches!(error, pem::Error::NoItemsFound) => {
            format!("broken PEM: {error}")
        }
        (_, []) if text.is_empty() => "an empty file".to_owned(),
        (_, []) => format!("{} bytes without a line -----BEGIN ...-----", text.len()),
        (_, labels) => labels.join(", "),
    };
    IdentityError::Absent {
        part,
        path: path.to_owned(),
        found,
    }
}

/// From when to when a certificate is valid (RFC 5280, section 4.1.2.5).
fn validity(
    path: &Path,
    der: &CertificateDer<'_>,
) -> Result<(Timestamp, Timestamp), IdentityError> {
    let certificate =
        x509_cert::Certificate::from_der(der).map_err(|error| IdentityError::Absent {
            part: Part::Certificate,
            path: path.to_owned(),
            found: format!("a certificate that cannot be decoded: {error}"),
        })?;
    let validity = certificate.tbs_certificate.validity;
    let at = |time: x509_cert::time::Time| {
        let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
        Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
    };
    Ok((at(validity.not_before), at(validity.not_after)))
}
