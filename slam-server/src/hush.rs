// SPDX-License-Identifier: MIT OR Apache-2.0
//! Moments in which nothing is sent, so that the deaf can hear.
//!
//! A client that cannot take the rate has a full receive ring, and what is dropped then is not data
//! alone: the question whether it loses anything is dropped, too. So it would never be heard, and
//! never be known to be slow. Where somebody has not answered for long, sending pauses for as long as
//! such a ring needs to be emptied; then the question goes out first.

use std::net::SocketAddr;
use std::time::Duration;

use slam_client::Timestamp;

/// 16 packets (iPXE's rings hold 4 to 16) at 25 Mbit/s.
const PAUSE: Duration = Duration::from_millis(8);
/// How often at most: 1.6 % of the time, while somebody is unheard.
const INTERVAL: Duration = Duration::from_millis(500);

/// Whether sending pauses.
#[derive(Debug, Default)]
pub(crate) struct Hush {
    until: Option<Timestamp>,
    not_before: Timestamp,
    to_ask: Vec<SocketAddr>,
}

impl Hush {
    /// Until when nothing is to be sent, if that is so at `now`; `unheard` names those who have not
    /// answered for long.
    pub(crate) fn pause(
        &mut self,
        unheard: impl FnOnce() -> Vec<SocketAddr>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        match self.until {
            Some(until) if now < until => return Some(until),
            Some(_) => {
                self.until = None;
                self.to_ask = unheard();
                // Asked before anything else is done.
                return (!self.to_ask.is_empty()).then_some(now);
            }
            None => {}
        }
        if now < self.not_before || unheard().is_empty() {
            return None;
        }
        self.not_before = now + INTERVAL;
        self.until = Some(now + PAUSE);
        self.until
    }

    /// Until when sending pauses already.
    pub(crate) fn pauses(&self, now: Timestamp) -> Option<Timestamp> {
        self.until.filter(|&until| now < until)
    }

    /// Who is to be asked now that it is quiet.
    pub(crate) fn next_to_ask(&mut self) -> Option<SocketAddr> {
        self.to_ask.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sending_pauses_before_the_question_and_rarely() {
        let client = SocketAddr::from(([10, 0, 0, 1], 1));
        let ms = |ms| Timestamp::from_start(Duration::from_millis(ms));
        let mut hush = Hush::default();
        assert_eq!(hush.pause(Vec::new, ms(1)), None);
        assert_eq!(hush.pause(|| vec![client], ms(10)), Some(ms(18)));
        assert_eq!(hush.next_to_ask(), None);
        assert_eq!(hush.pause(|| vec![client], ms(17)), Some(ms(18)));
        assert_eq!(hush.pause(|| vec![client], ms(18)), Some(ms(18)));
        assert_eq!(hush.next_to_ask(), Some(client));
        assert_eq!(hush.next_to_ask(), None);
        assert_eq!(hush.pause(|| vec![client], ms(18)), None);
        assert_eq!(hush.pause(|| vec![client], ms(509)), None);
        assert_eq!(hush.pause(|| vec![client], ms(510)), Some(ms(518)));
        // It has answered meanwhile.
        assert_eq!(hush.pause(Vec::new, ms(518)), None);
    }
}
