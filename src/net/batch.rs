// SPDX-License-Identifier: MIT OR Apache-2.0
//! A batch on its way: read from the file, headers put before the blocks, sent to the group. One
//! room for all sessions, since one sends at a time.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use slam_client::BlockIndex;
use slam_client::parity;
use slam_client::window::{self, ParityIndex};
use slam_client::wire::{EncodedHeader, TransferHeader};

use super::content::{Content, ContentError};
use super::socket::SessionSocket;

/// How long a full send queue is waited for.
const SEND_WAIT: Duration = Duration::from_millis(20);

/// Memory for one batch.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Blocks as they were read.
    read: Vec<u8>,
    /// Datagrams as they are sent.
    datagrams: Vec<u8>,
}

impl Batch {
    /// Reads blocks, or what makes sums of them.
    pub(super) fn read_run(
        &mut self,
        content: &Content,
        header: TransferHeader,
        run: &Range<u64>,
    ) -> Result<(), ContentError> {
        let count = header.block_count();
        let Some(first) = ParityIndex::of_number(run.start, count) else {
            return self.read_blocks(content, header, run);
        };
        self.read_blocks(content, header, &window::blocks_of(first.window, count))?;
        let size = usize::from(header.block_size().get());
        let blocks = std::mem::take(&mut self.read);
        self.read.resize((run.end - run.start) as usize * size, 0);
        for (row, sum) in (first.row..).zip(self.read.chunks_mut(size)) {
            parity::encode(row, blocks.chunks(size), sum);
        }
        Ok(())
    }

    fn read_blocks(
        &mut self,
        content: &Content,
        header: TransferHeader,
        run: &Range<u64>,
    ) -> Result<(), ContentError> {
        let from = header.block_offset(BlockIndex(run.start));
        let to = header
            .block_offset(BlockIndex(run.end))
            .min(header.total_bytes());
        // A run is a batch of the pacer: far below the address space.
        self.read.resize(to.saturating_sub(from) as usize, 0);
        content.read_at(&mut self.read, from)
    }

    /// Sends a run that was read: datagrams of equal length go out together.
    pub(super) fn send_run(
        &mut self,
        socket: &SessionSocket,
        group: SocketAddr,
        run: &Range<u64>,
        header: TransferHeader,
        encoded: &EncodedHeader,
    ) -> io::Result<()> {
        let size = usize::from(header.block_size().get());
        self.datagrams.clear();
        let mut segment = 0;
        for (block, payload) in run.clone().zip(self.read.chunks(size)) {
            let at = self.datagrams.len();
            encoded.encode_data_prefix(BlockIndex(block), &mut self.datagrams);
            self.datagrams.extend_from_slice(payload);
            let len = self.datagrams.len() - at;
            if at == 0 {
                segment = len;
                continue;
            }
            // The last datagram of a send may be shorter, none may be longer, and a number that
            // takes one more byte makes it so.
            let full = at / segment >= socket.segments_per_send(segment);
            if full || len > segment || !at.is_multiple_of(segment) {
                let batch = &self.datagrams[..at];
                send_blocking(socket, || socket.send_group(group, batch, segment))?;
                self.datagrams.copy_within(at.., 0);
                self.datagrams.truncate(len);
                segment = len;
            }
        }
        if self.datagrams.is_empty() {
            return Ok(());
        }
        send_blocking(socket, || {
            socket.send_group(group, &self.datagrams, segment)
        })
    }
}

/// Sends; a full queue is waited for, since what is dropped here costs a round trip later.
pub(super) fn send_blocking(
    socket: &SessionSocket,
    mut attempt: impl FnMut() -> io::Result<()>,
) -> io::Result<()> {
    loop {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait_for(&mut [PollFd::new(socket, PollFlags::OUT)], SEND_WAIT)?;
            }
            sent => return sent,
        }
    }
}

pub(super) fn wait_for(fds: &mut [PollFd<'_>], time: Duration) -> io::Result<()> {
    let timeout = Timespec::try_from(time).map_err(io::Error::other)?;
    match poll(fds, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
