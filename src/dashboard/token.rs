// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who may do something: whoever knows the token, which lies in a file that only the server's user
//! can read.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use axum::http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Shortest token that is taken: one that nobody guesses by trying.
const SHORTEST: usize = 16;
/// Bytes of a token that is made here.
const MADE: usize = 24;
/// The cookie that unlocks the page.
const COOKIE: &str = "slamboot";

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read or made.
    #[error("cannot {step} {}: {source}", path.display())]
    File {
        /// Doing what.
        step: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Everybody on this host can read it.
    #[error("{} can be read by everybody here\n  help: chmod 600 {}", path.display(), path.display())]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// Too short.
    #[error(
        "the token in {} has {found} characters\n  expected: at least {SHORTEST}, as `openssl rand -hex 24` makes them",
        path.display()
    )]
    Short {
        /// The file.
        path: PathBuf,
        /// How long it is.
        found: usize,
    },
}

/// What is compared with what somebody says.
#[derive(Debug)]
pub struct Token {
    /// Of the token, and of the page's cookie; `None`: nobody may do anything.
    digests: Option<[[u8; 32]; 2]>,
    place: Option<PathBuf>,
}

/// What somebody said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Nothing.
    Nothing,
    /// What is not the token.
    Wrong,
    /// The token.
    Right,
}

impl Token {
    /// Nobody may do anything.
    pub fn none() -> Token {
        Token {
            digests: None,
            place: None,
        }
    }

    /// The token in a file that somebody made.
    pub fn read(path: &Path) -> Result<Token, TokenError> {
        let fail = |step| {
            move |source| TokenError::File {
                step,
                path: path.to_owned(),
                source,
            }
        };
        let mut file = File::open(path).map_err(fail("read"))?;
        let mode = file.metadata().map_err(fail("read"))?.permissions().mode();
        if mode & 0o007 != 0 {
            return Err(TokenError::Open {
                path: path.to_owned(),
            });
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(fail("read"))?;
        let token = text.trim();
        if token.len() < SHORTEST {
            return Err(TokenError::Short {
                path: path.to_owned(),
                found: token.len(),
            });
        }
        Ok(Token::of(token, path))
    }

    /// The token in a file, which is made where there is none.
    pub fn read_or_make(path: &Path) -> Result<Token, TokenError> {
        match Token::read(path) {
            Err(TokenError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
        let fail = |source| TokenError::File {
            step: "make",
            path: path.to_owned(),
            source,
        };
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(fail)?;
        let mut random = [0; MADE];
        rustix::rand::getrandom(&mut random[..], rustix::rand::GetRandomFlags::empty())
            .map_err(|error| fail(error.into()))?;
        let token = hex::encode(random);
        // Made for its owner alone (mode 0600) before anything is in it.
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(fail)?;
        writeln!(file, "{token}").map_err(fail)?;
        match file.persist_noclobber(path) {
            Ok(_) => Ok(Token::of(&token, path)),
            // Another server was quicker.
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Token::read(path),
            Err(error) => Err(fail(error.error)),
        }
    }

    fn of(token: &str, place: &Path) -> Token {
        Token {
            digests: Some([digest(token), digest(&cookie(token))]),
            place: Some(place.to_owned()),
        }
    }

    /// The file that it lies in.
    pub fn place(&self) -> Option<&Path> {
        self.place.as_deref()
    }

    /// Compares in a time that tells nothing.
    pub(super) fn is(&self, said: &str) -> bool {
        self.compares(said, 0)
    }

    fn compares(&self, said: &str, number: usize) -> bool {
        let Some(digests) = &self.digests else {
            return false;
        };
        digest(said).ct_eq(&digests[number]).into()
    }

    /// What a request says by its `Authorization` header.
    pub(super) fn by_header(&self, headers: &HeaderMap) -> Said {
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return Said::Nothing;
        };
        let words = value.to_str().ok().and_then(|value| value.split_once(' '));
        match words {
            Some((scheme, said)) if scheme.eq_ignore_ascii_case("bearer") => {
                if self.is(said.trim()) {
                    Said::Right
                } else {
                    Said::Wrong
                }
            }
            _ => Said::Wrong,
        }
    }

    /// What a request says by the page's cookie.
    pub(super) fn by_cookie(&self, headers: &HeaderMap) -> Said {
        let cookies = headers.get_all(header::COOKIE).iter();
        let mut said = Said::Nothing;
        for cookie in cookies.filter_map(|value| value.to_str().ok()) {
            for pair in cookie.split(';') {
                if let Some((COOKIE, value)) = pair.trim().split_once('=') {
                    if self.compares(value, 1) {
                        return Said::Right;
                    }
                    said = Said::Wrong;
                }
            }
        }
        said
    }
}

/// `Set-Cookie` for a browser that has said the token: what it keeps is not the token itself, scripts
/// cannot read it, and no other site's page can use it.
pub(super) fn set_cookie(token: &str) -> String {
    format!(
        "{COOKIE}={}; Path=/status; Max-Age=43200; HttpOnly; SameSite=Strict",
        cookie(token)
    )
}

/// `Set-Cookie` for a browser that is to forget it.
pub(super) fn forget_cookie() -> String {
    format!("{COOKIE}=; Path=/status; Max-Age=0; HttpOnly; SameSite=Strict")
}

fn cookie(token: &str) -> String {
    hex::encode(digest(&format!("slamboot status page {token}")))
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn a_token_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/token");
        let token = Token::read_or_make(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.trim().len(), 2 * MADE);
        assert!(token.is(text.trim()) && !token.is("") && !token.is(&text));
        let again = Token::read_or_make(&path).unwrap();
        assert!(again.is(text.trim()));
        assert!(!Token::none().is(text.trim()));
    }

    #[test]
    fn a_bad_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let error = Token::read(&path).unwrap_err().to_string();
        assert!(error.starts_with("cannot read"), "{error}");
        std::fs::write(&path, "sesame\n").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let error = Token::read(&path).unwrap_err().to_string();
        assert!(error.contains("has 6 characters"), "{error}");
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let error = Token::read_or_make(&path).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn headers_and_cookies() {
        let token = Token::of("correct horse battery", Path::new("t"));
        let with = |name, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
            headers
        };
        let bearer = |value: &str| token.by_header(&with(header::AUTHORIZATION, value));
        assert_eq!(token.by_header(&HeaderMap::new()), Said::Nothing);
        assert_eq!(bearer("Bearer correct horse battery"), Said::Right);
        assert_eq!(bearer("bearer correct horse battery"), Said::Right);
        for wrong in [
            "Bearer wrong",
            "Bearer ",
            "Bearer",
            "Basic correct horse battery",
        ] {
            assert_eq!(bearer(wrong), Said::Wrong, "{wrong}");
        }
        let set = set_cookie("correct horse battery");
        let pair = set.split(';').next().unwrap();
        assert!(!set.contains("horse"));
        let cookie = |value: &str| token.by_cookie(&with(header::COOKIE, value));
        assert_eq!(cookie(&format!("a=b; {pair}")), Said::Right);
        assert_eq!(cookie("slamboot=correct horse battery"), Said::Wrong);
        assert_eq!(cookie("other=1"), Said::Nothing);
    }
}
