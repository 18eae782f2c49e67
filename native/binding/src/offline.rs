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
use vexfs_core::ids::{EventId, GroupId, Index};
use vexfs_core::log::LogError;
use vexfs_runtime::offline::{self, GroupSummary, Pages, Part, Run, ScanError, Survey};

static SCANS: OnceLock<Mutex<HashMap<u32, Arc<Pages>>>> = OnceLock::new();
static SURVEYS: OnceLock<Mutex<HashMap<u32, Arc<Survey>>>> = OnceLock::new();
static NEXT: AtomicU32 = AtomicU32::new(1);

fn scans() -> &'static Mutex<HashMap<u32, Arc<Pages>>> {
    SCANS.get_or_init(Mutex::default)
}

fn surveys() -> &'static Mutex<HashMap<u32, Arc<Survey>>> {
    SURVEYS.get_or_init(Mutex::default)
}

fn error_of(error: &ScanError) -> Error {
    let code = match error {
        ScanError::Disk(error) => disk_code(error),
        ScanError::Log(LogError::NoLog) => "DATA_DIR_UNREADABLE",
        ScanError::Log(error) => log_code(error),
        ScanError::Malformed { .. } => "LOG_DAMAGED",
        ScanError::Snapshot(error) => snapshot_code(error),
        ScanError::NoState { .. } => "STATE_LOST",
        ScanError::Io(_) => "DATA_DIR_UNREADABLE",
    };
    coded(code, error)
}

/// What a log is, or where it is damaged.
#[napi(object)]
pub struct NativeSurvey {
    /// Its number, to ask for more.
    pub survey: u32,
    pub node_id: String,
    pub cluster_id: String,
    pub directory: Buffer,
    pub segments: u32,
    pub bytes: BigInt,
    pub torn_bytes: BigInt,
    pub groups: Vec<NativeGroupSummary>,
    pub damage_segment: Option<String>,
    pub damage_position: Option<BigInt>,
    pub damage_reason: Option<String>,
}

#[napi(object)]
pub struct NativeGroupSummary {
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
    pub gaps: Vec<NativeGap>,
}

/// Entries that a snapshot came in the place of; both ends included.
#[napi(object)]
pub struct NativeGap {
    pub first_index: BigInt,
    pub last_index: BigInt,
}

pub struct SurveyTask {
    dir: PathBuf,
    window_events: usize,
    wanted: Vec<EventId>,
}

#[napi]
impl Task for SurveyTask {
    type Output = Survey;
    type JsValue = NativeSurvey;

    fn compute(&mut self) -> Result<Self::Output> {
        offline::survey(&self.dir, self.window_events, &self.wanted).map_err(|error| error_of(&error))
    }

    fn resolve(&mut self, _env: Env, survey: Survey) -> Result<NativeSurvey> {
        let log = &survey.log;
        let damage = log.damage.as_ref().map(|error| match error {
            LogError::Damaged { segment, offset, .. } => (segment.clone(), *offset, error.to_string()),
            other => (String::new(), 0, other.to_string()),
        });
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let native = NativeSurvey {
            survey: number,
            node_id: log.identity.node_id.clone(),
            cluster_id: log.identity.cluster_id.clone(),
            directory: log.identity.directory.to_vec().into(),
            segments: log.segments as u32,
            bytes: log.bytes.into(),
            torn_bytes: log.torn_bytes.into(),
            groups: survey.groups.iter().map(|(group, one)| summary_of(*group, &one.summary)).collect(),
            damage_segment: damage.as_ref().map(|(segment, _, _)| segment.clone()),
            damage_position: damage.as_ref().map(|(_, offset, _)| (*offset).into()),
            damage_reason: damage.map(|(_, _, reason)| reason),
        };
        surveys().lock().insert(number, Arc::new(survey));
        Ok(native)
    }
}

fn summary_of(group: GroupId, summary: &GroupSummary) -> NativeGroupSummary {
    NativeGroupSummary {
        group: group.0,
        first_index: summary.first.0.into(),
        last_index: summary.last.0.into(),
        commit_index: summary.commit.0.into(),
        term: summary.term.0.into(),
        events: summary.events.into(),
        suppressed: summary.suppressed.into(),
        refused: summary.refused.into(),
        journal_hash: summary.journal_hash.into(),
        apply_hash: summary.apply_hash.into(),
        gaps: summary.gaps.iter().map(|(first, last)| NativeGap { first_index: first.0.into(), last_index: last.0.into() }).collect(),
    }
}

/// Passes over a whole log; `wanted`: event ids, 16 bytes each, whose places are to be noted. Damage is in the answer;
/// a directory that cannot be read rejects.
#[napi(ts_return_type = "Promise<NativeSurvey>")]
pub fn survey_log(data_dir: String, window_events: u32, wanted: Buffer) -> AsyncTask<SurveyTask> {
    let wanted = wanted.chunks_exact(16).map(|id| EventId(id.iter().fold(0, |sum, byte| sum << 8 | u128::from(*byte)))).collect();
    AsyncTask::new(SurveyTask { dir: data_dir.into(), window_events: window_events as usize, wanted })
}

fn survey_of(number: u32) -> Result<Arc<Survey>> {
    surveys().lock().get(&number).cloned().ok_or_else(|| coded("CLOSED", "the survey is closed"))
}

/// Committed entries without a gap: u64 digest and u64 apply hash each.
#[napi(object)]
pub struct NativeRun {
    pub first_index: BigInt,
    pub rows: Buffer,
}

#[napi]
pub fn survey_runs(survey: u32, group: u32) -> Result<Vec<NativeRun>> {
    let survey = survey_of(survey)?;
    let runs = survey.groups.get(&GroupId(group)).map_or(&[][..], |one| &one.runs);
    let packed = |run: &Run| {
        let bytes: Vec<u8> = run.rows.iter().flatten().flat_map(|word| word.to_le_bytes()).collect();
        NativeRun { first_index: run.first.0.into(), rows: bytes.into() }
    };
    Ok(runs.iter().map(packed).collect())
}

/// Where the wanted events were accepted: u32 position among the wanted, u32 offset, u64 index, u64 term each.
#[napi]
pub fn survey_sightings(survey: u32, group: u32) -> Result<Buffer> {
    let survey = survey_of(survey)?;
    let mut bytes = Vec::new();
    for sighting in survey.groups.get(&GroupId(group)).map_or(&[][..], |one| &one.sightings) {
        bytes.extend_from_slice(&sighting.wanted.to_le_bytes());
        bytes.extend_from_slice(&sighting.offset.to_le_bytes());
        bytes.extend_from_slice(&sighting.index.0.to_le_bytes());
        bytes.extend_from_slice(&sighting.term.0.to_le_bytes());
    }
    Ok(bytes.into())
}

/// Committed entries of a survey from one index up to, not including, another.
#[napi(object)]
pub struct NativePart {
    pub survey: u32,
    pub group: u32,
    pub from_index: BigInt,
    pub to_index: BigInt,
}

fn part_of(part: &NativePart) -> Result<Part> {
    let (from, to) = (Index(part.from_index.get_u64().1), Index(part.to_index.get_u64().1));
    Ok(Part { survey: survey_of(part.survey)?, group: GroupId(part.group), from, to })
}

/// Events accepted in a part.
#[napi]
pub fn survey_events(part: NativePart) -> Result<BigInt> {
    let Part { survey, group, from, to } = part_of(&part)?;
    Ok(survey.groups.get(&group).map_or(0, |one| one.events(from, to)).into())
}

pub struct RepeatedTask {
    parts: Vec<Part>,
}

#[napi]
impl Task for RepeatedTask {
    type Output = bool;
    type JsValue = bool;

    fn compute(&mut self) -> Result<bool> {
        Ok(offline::repeated(&self.parts))
    }

    fn resolve(&mut self, _env: Env, repeated: bool) -> Result<bool> {
        Ok(repeated)
    }
}

/// Whether an event id may be in the parts twice; false is certain.
#[napi(ts_return_type = "Promise<boolean>")]
pub fn repeated_ids(parts: Vec<NativePart>) -> Result<AsyncTask<RepeatedTask>> {
    Ok(AsyncTask::new(RepeatedTask { parts: parts.iter().map(part_of).collect::<Result<_>>()? }))
}

#[napi]
pub fn close_survey(survey: u32) {
    surveys().lock().remove(&survey);
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
