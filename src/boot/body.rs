// SPDX-License-Identifier: MIT OR Apache-2.0
//! A content on its way over HTTP, read from the handle that SLAM serves.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};

use super::download::Download;
use crate::net::Content;

/// How much of a file is read at a time.
const CHUNK: u64 = 256 * 1024;

/// Bytes of a content, read on threads where reading may block. Should the file change, the
/// connection breaks: what is whole is never mixed.
pub(super) struct ContentBody {
    content: Arc<Content>,
    left: Range<u64>,
    reading: Option<JoinHandle<io::Result<Vec<u8>>>>,
    download: Option<Download>,
}

impl ContentBody {
    /// The bytes of `range`, which lies within the content.
    pub(super) fn new(content: Arc<Content>, range: Range<u64>) -> Self {
        ContentBody {
            content,
            left: range,
            reading: None,
            download: None,
        }
    }

    /// The same, with somebody who is told how far it is.
    pub(super) fn told(self, download: Option<Download>) -> Self {
        ContentBody { download, ..self }
    }
}

impl Body for ContentBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        if this.left.is_empty() {
            return Poll::Ready(None);
        }
        let reading = this.reading.get_or_insert_with(|| {
            let (content, at) = (Arc::clone(&this.content), this.left.start);
            let len = CHUNK.min(this.left.end - at) as usize;
            spawn_blocking(move || {
                let mut chunk = vec![0; len];
                content.read_at(&mut chunk, at).map_err(io::Error::other)?;
                Ok(chunk)
            })
        });
        let read = ready!(Pin::new(reading).poll(task));
        this.reading = None;
        Poll::Ready(Some(match read {
            Ok(Ok(chunk)) => {
                this.left.start += chunk.len() as u64;
                if let Some(download) = &mut this.download {
                    download.reaches(this.left.start);
                }
                Ok(Frame::data(Bytes::from(chunk)))
            }
            Ok(Err(error)) => Err(error),
            Err(error) => Err(io::Error::other(error)),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.end - self.left.start)
    }
}
