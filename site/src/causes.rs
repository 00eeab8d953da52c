// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an error and its causes say: errors of a file or a site name their cause themselves, so that they are whole
//! alone, and in a chain it would stand twice.

use std::error::Error;

/// What `error` says, then its causes. A cause that the one before has told already is left out.
pub fn causes(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut told = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !told.last().is_some_and(|last| last.contains(&text)) {
            told.push(text);
        }
        next = cause.source();
    }
    told
}
