//! Reading a stopped member's log (`log verify`, `log dump`), off the JavaScript thread.

use crate::open::{disk_code, log_code, snapshot_code};
use crate::registry::coded;
use napi::bindgen_prelude::{AsyncTask, BigInt, Buffer, Env, Error, Result, Task};
use napi_derive::napi;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use vexfs_core::ids::{GroupId, Index};
use vexfs_core::log::LogError;
use vexfs_runtime::offline::{self, Pages, ScanError, Scanned};

static SCANS: OnceLock<Mutex<HashMap<u32, Arc<Pages>>>> = OnceLock::new();
static NEXT: AtomicU32 = AtomicU32::new(1);

fn scans() -> &'static Mutex<HashMap<u32, Arc<Pages>>> {
    SCANS.get_or_init(Mutex::default)
}

fn error_of(error: &ScanError) -> Error {
    let code = match error {
        ScanError::Disk(error) => disk_code(error),
        ScanError::Log(LogError::NoLog) => "DATA_DIR_UNREADABLE",
        ScanError::Log(error) => log_code(error),
        ScanError::Malformed { .. } => "LOG_DAMAGED",
        ScanError::Snapshot(error) => snapshot_code(error),
        ScanError::NoState { .. } => "STATE_LOST",
    };
    coded(code, error)
}

/// A summary, or where the log is damaged.
#[napi(object)]
pub struct NativeScanSummary {
    pub node_id: String,
    pub cluster_id: String,
    pub directory: Buffer,
    pub segments: u32,
    pub bytes: BigInt,
    pub torn_bytes: BigInt,
    /// Every group the log has records of.
    pub groups: Vec<u32>,
    /// The one that was asked for; what follows is of it.
    pub group: u32,
    pub first_index: BigInt,
    pub last_index: BigInt,
    pub commit_index: BigInt,
    pub term: BigInt,
    pub events: BigInt,
    pub suppressed: BigInt,
    pub refused: BigInt,
    pub journal_hash: BigInt,
    pub apply_hash: BigInt,
    pub damage_segment: Option<String>,
    pub damage_position: Option<BigInt>,
    pub damage_reason: Option<String>,
}

pub struct ScanTask {
    dir: PathBuf,
    group: GroupId,
    window_events: usize,
}

#[napi]
impl Task for ScanTask {
    type Output = Scanned;
    type JsValue = NativeScanSummary;

    fn compute(&mut self) -> Result<Self::Output> {
        offline::scan(&self.dir, self.group, self.window_events, |_| {}).map_err(|error| error_of(&error))
    }

    fn resolve(&mut self, _env: Env, scanned: Scanned) -> Result<NativeScanSummary> {
        let Scanned { log: summary, group, groups } = scanned;
        let damage = summary.damage.as_ref().map(|error| match error {
            LogError::Damaged { segment, offset, .. } => (segment.clone(), *offset, error.to_string()),
            other => (String::new(), 0, other.to_string()),
        });
        Ok(NativeScanSummary {
            node_id: summary.identity.node_id.clone(),
            cluster_id: summary.identity.cluster_id.clone(),
            directory: summary.identity.directory.to_vec().into(),
            segments: summary.segments as u32,
            bytes: summary.bytes.into(),
            torn_bytes: summary.torn_bytes.into(),
            groups: groups.iter().map(|group| group.0).collect(),
            group: self.group.0,
            first_index: group.first.0.into(),
            last_index: group.last.0.into(),
            commit_index: group.commit.0.into(),
            term: group.term.0.into(),
            events: group.events.into(),
            suppressed: group.suppressed.into(),
            refused: group.refused.into(),
            journal_hash: group.journal_hash.into(),
            apply_hash: group.apply_hash.into(),
            damage_segment: damage.as_ref().map(|(segment, _, _)| segment.clone()),
            damage_position: damage.as_ref().map(|(_, offset, _)| (*offset).into()),
            damage_reason: damage.map(|(_, _, reason)| reason),
        })
    }
}

/// Scans a whole log and sums it up. Damage is in the summary; a directory that cannot be read rejects.
#[napi(ts_return_type = "Promise<NativeScanSummary>")]
pub fn scan_log(data_dir: String, group: u32, window_events: u32) -> AsyncTask<ScanTask> {
    AsyncTask::new(ScanTask { dir: data_dir.into(), group: GroupId(group), window_events: window_events as usize })
}

/// Starts a scan that hands out its entries page by page, from an index on. Answers its number.
#[napi]
pub fn open_scan(data_dir: String, group: u32, window_events: u32, from_index: BigInt) -> Result<u32> {
    let pages = Pages::start(&PathBuf::from(data_dir), GroupId(group), window_events as usize, Index(from_index.get_u64().1))
        .map_err(|error| coded("DATA_DIR_UNREADABLE", error))?;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    scans().lock().insert(number, Arc::new(pages));
    Ok(number)
}

pub struct PageTask {
    pages: Arc<Pages>,
}

#[napi]
impl Task for PageTask {
    type Output = Vec<u8>;
    type JsValue = Buffer;

    fn compute(&mut self) -> Result<Vec<u8>> {
        self.pages.next().unwrap_or(Ok(Vec::new())).map_err(|error| error_of(&error))
    }

    fn resolve(&mut self, _env: Env, page: Vec<u8>) -> Result<Buffer> {
        Ok(page.into())
    }
}

/// The next page (docs/formats.md, "Packed scan"); empty at the end.
#[napi(ts_return_type = "Promise<Buffer>")]
pub fn next_page(scan: u32) -> Result<AsyncTask<PageTask>> {
    let pages = scans().lock().get(&scan).cloned().ok_or_else(|| coded("CLOSED", "the scan is closed"))?;
    Ok(AsyncTask::new(PageTask { pages }))
}

#[napi]
pub fn close_scan(scan: u32) {
    scans().lock().remove(&scan);
}
