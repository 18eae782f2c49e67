//! Entries of a group as packed pages (docs/formats.md, "Packed scan"), made by a thread of their own and taken one by
//! one; the thread waits when its reader does.

use super::replay::Row;
use super::{scan, ScanError};
use parking_lot::Mutex;
use std::path::Path;
use std::sync::mpsc::{sync_channel, Receiver, SyncSender};
use vexfs_core::ids::{GroupId, Index};

pub struct Pages {
    pages: Mutex<Receiver<Result<Vec<u8>, ScanError>>>,
}

const PAGE_BYTES: usize = 256 * 1024;

impl Pages {
    pub fn start(dir: &Path, group: GroupId, window_events: usize, from: Index) -> std::io::Result<Self> {
        let (send, pages) = sync_channel(2);
        let dir = dir.to_path_buf();
        std::thread::Builder::new().name("vexfs-scan".to_string()).spawn(move || {
            let mut page = Vec::new();
            let result = scan(&dir, group, window_events, |row| {
                if row.entry.index >= from {
                    pack(&mut page, &row);
                    if page.len() >= PAGE_BYTES {
                        flush(&send, &mut page);
                    }
                }
            });
            flush(&send, &mut page);
            if let Err(error) = result {
                let _ = send.send(Err(error));
            }
        })?;
        Ok(Self { pages: Mutex::new(pages) })
    }

    /// The next page; `None` at the end.
    pub fn next(&self) -> Option<Result<Vec<u8>, ScanError>> {
        self.pages.lock().recv().ok()
    }
}

/// A reader that is gone needs no more pages; the scan runs out by itself.
fn flush(send: &SyncSender<Result<Vec<u8>, ScanError>>, page: &mut Vec<u8>) {
    if !page.is_empty() {
        let _ = send.send(Ok(std::mem::take(page)));
    }
}

fn pack(page: &mut Vec<u8>, row: &Row<'_>) {
    let start = page.len();
    page.extend_from_slice(&[0; 4]);
    page.extend_from_slice(&(row.accepted.len() as u32).to_le_bytes());
    page.extend_from_slice(&row.entry.index.0.to_le_bytes());
    page.extend_from_slice(&row.entry.term.0.to_le_bytes());
    page.extend_from_slice(&row.apply_hash.to_le_bytes());
    for (offset, event) in &row.accepted {
        let path = event.path();
        page.extend_from_slice(&offset.to_le_bytes());
        page.extend_from_slice(&event.code().to_le_bytes());
        page.extend_from_slice(&(path.len() as u16).to_le_bytes());
        page.extend_from_slice(&event.payload_bytes().to_le_bytes());
        page.extend_from_slice(&event.id().0.to_be_bytes());
        page.extend_from_slice(path);
    }
    let length = (page.len() - start) as u32;
    page[start..start + 4].copy_from_slice(&length.to_le_bytes());
}
