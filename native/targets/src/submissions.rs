//! Submissions, the events in them and entries made of several: of anybody, and as publishers pack them with something
//! done to them.

use crate::allocations::peak_of;
use crate::rules;
use crate::strikes::{number, some_bytes, strike};
use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use vexfs_core::causal::actor::Actor;
use vexfs_core::entry;
use vexfs_core::event::{Submission, SubmissionKind, FOLLOWING_VERSION, RECORD_HEADER_BYTES, SUBMISSION_HEADER_BYTES, SUBMISSION_VERSION};
use vexfs_core::ids::{EventId, MemberId, SessionId};
use vexfs_core::membership::MemberCommand;
use vexfs_core::stub;

/// What is made of an entry takes at most so many times as much as its bytes: they are shared, not copied.
const TIMES: usize = 4;
/// Texts of rules of replication are not.
const RULES_TIMES: usize = 64;
const LEAST_BYTES: usize = 4096;

pub fn run(bytes: &[u8]) {
    let _ = play(&mut Unstructured::new(bytes));
}

fn play(from: &mut Unstructured<'_>) -> Result<()> {
    let causal = from.ratio(1u8, 4u8)?;
    let shape = Shape { level: if causal { 1 } else { 2 }, kind: causal.then_some(SubmissionKind::Events), ..Shape::default() };
    let bytes = match from.int_in_range(0..=3u8)? {
        0 => from.bytes(from.len())?.to_vec(),
        1 => {
            let mut data = vec![1, 1, 0, 0, 0, 0, 0, 0];
            let count = from.int_in_range(1..=3u8)?;
            data[4] = count;
            for _ in 0..count {
                data.extend(struck(from, &shape)?);
            }
            let stub = if causal && from.arbitrary()? { stub::of(&data.clone().into()) } else { None };
            let mut data = stub.map_or(data, |stub| stub.to_vec());
            if from.ratio(1u8, 4u8)? {
                strike(from, &mut data)?;
            }
            entry_of(&Bytes::from(data), causal);
            return Ok(());
        }
        _ => struck(from, &shape)?,
    };
    let bytes = Bytes::from(bytes);
    let parse = if causal { Submission::parse_causal } else { Submission::parse };
    let (parsed, peak) = peak_of(|| parse(bytes.clone()));
    assert!(peak <= bound(&bytes), "{peak} bytes for {}", bytes.len());
    match parsed {
        Ok(submission) => judge(&submission),
        Err(error) => assert!(error.at <= bytes.len(), "{error} of {} bytes", bytes.len()),
    }
    entry_of(&bytes, causal);
    Ok(())
}

fn bound(bytes: &[u8]) -> usize {
    let may_have_rules = bytes.windows(2).any(|pair| pair == [SUBMISSION_VERSION, SubmissionKind::Rules as u8]);
    LEAST_BYTES + bytes.len() * if may_have_rules { RULES_TIMES } else { TIMES }
}

/// An entry that is taken is that of its submissions.
fn entry_of(data: &Bytes, causal: bool) {
    let unpack = if causal { entry::unpack_causal } else { entry::unpack };
    let (unpacked, peak) = peak_of(|| unpack(data));
    assert!(peak <= bound(data), "{peak} bytes for {}", data.len());
    let (events, stamp) = entry::count(data);
    let Ok(submissions) = unpacked else { return };
    submissions.iter().for_each(judge);
    if !data.is_empty() {
        let again = entry::pack(&submissions);
        let is_stub = causal && stub::is_stub(data);
        let (packed, tail) = data.split_at(if is_stub { again.len() } else { data.len() });
        assert_eq!((again[0], &again[4..]), (packed[0], &packed[4..]), "but for its kind and two reserved bytes");
        match is_stub {
            true => judge_stub(data, &submissions, tail),
            false => assert_eq!(again[1], packed[1]),
        }
        if causal && !is_stub {
            judge_stub_of(data, &submissions);
        }
    }
    assert_eq!(events, submissions.iter().map(|one| u64::from(one.count())).sum::<u64>());
    let stamps = submissions.iter().map(|one| one.hlc().saturating_add(u64::from(one.count()).saturating_sub(1)));
    assert_eq!(stamp, stamps.max().unwrap_or(0));
}

/// Heads and nothing else, and behind them a row of each event and what the whole comes to.
fn judge_stub(data: &Bytes, heads: &[Submission], tail: &[u8]) {
    let events: usize = heads.iter().map(|head| head.events().count()).sum();
    assert_eq!(tail.len(), 16 * events + 24);
    assert!(heads.iter().all(|head| head.stripped().bytes() == head.bytes()), "there is nothing to leave out");
    let rows: Vec<&[u8]> = tail[..16 * events].chunks(16).map(|row| &row[..8]).collect();
    assert_eq!(stub::fingerprints(data, heads).iter().map(|one| one.to_le_bytes()).collect::<Vec<_>>(), rows);
    assert_eq!(stub::whole_bytes(data).map(u32::to_le_bytes), tail[tail.len() - 8..tail.len() - 4].try_into().ok());
    assert_eq!(stub::of(data).as_ref(), Some(data), "its stub is itself");
    assert!(entry::unpack(data).is_err(), "the ordered lane has none");
}

/// The stub of an entry that is whole is read, and says of it what the whole does.
fn judge_stub_of(data: &Bytes, whole: &[Submission]) {
    let Some((stub, heads)) = stub::of(data).and_then(|stub| entry::unpack_causal(&stub).ok().map(|heads| (stub, heads))) else {
        panic!("an entry that is read has a stub that is");
    };
    entry_of(&stub, true);
    assert_eq!(entry::count(&stub), entry::count(data));
    assert_eq!(stub::fingerprints(&stub, &heads), stub::fingerprints(data, whole));
    assert_eq!((stub::whole_bytes(&stub), stub::whole_bytes(data)), (Some(data.len() as u32), None));
    let told = |list: &[Submission]| -> Vec<_> {
        list.iter().flat_map(|one| one.events().map(|event| (one.request(), event.id(), event.code(), event.path().to_vec(), event.to().to_vec())).collect::<Vec<_>>()).collect()
    };
    assert_eq!(told(&heads), told(whole));
    let payloads: Vec<[u8; 4]> = whole.iter().flat_map(|one| one.events().map(|event| event.payload_bytes().to_le_bytes()).collect::<Vec<_>>()).collect();
    let rows = &stub[stub.len() - 24 - 16 * payloads.len()..stub.len() - 24];
    assert_eq!(rows.chunks(16).map(|row| &row[12..]).collect::<Vec<_>>(), payloads);
}

fn judge(submission: &Submission) {
    let events: Vec<_> = submission.events().collect();
    match submission.kind() {
        SubmissionKind::Events => {
            assert_eq!(events.len(), submission.count() as usize);
            assert_eq!(events.iter().flat_map(|event| event.bytes().iter().copied()).collect::<Vec<u8>>(), submission.body());
            for event in &events {
                assert!(RECORD_HEADER_BYTES + event.path().len() + event.to().len() + event.payload_bytes() as usize <= event.bytes().len());
            }
            assert_eq!(submission.only(|_| true).bytes(), submission.bytes());
            let parse = if submission.level() < 2 { Submission::parse_causal } else { Submission::parse };
            for (at, event) in events.iter().enumerate() {
                let one = submission.only(|other| other == at);
                let again = parse(one.bytes().clone()).map(|again| again.events().map(|event| event.bytes().to_vec()).collect::<Vec<_>>());
                assert_eq!(again, Ok(vec![event.bytes().to_vec()]), "one of its events is a submission");
            }
            if !submission.session().is_none() && submission.level() >= 2 {
                assert_eq!(Submission::parse(submission.skipped().bytes().clone()).map(|skip| skip.count()), Ok(submission.count()));
            }
        }
        SubmissionKind::Members => {
            let command = submission.members();
            assert_eq!(command.clone().map(|command| MemberCommand::decode(&command.encode())), Ok(command));
        }
        SubmissionKind::Rules => rules::judge(submission),
        SubmissionKind::Fence => assert_eq!(submission.fenced().0.to_be_bytes(), submission.body()),
        SubmissionKind::ConsumerAttach | SubmissionKind::ConsumerClaim | SubmissionKind::ConsumerAcknowledge => {
            assert_eq!(submission.consumer().name.as_bytes(), &submission.body()[24..]);
        }
        SubmissionKind::Skip => assert!(submission.body().is_empty()),
    }
    let follows: Vec<_> = submission.follows().collect();
    assert_eq!(submission.follows_something(), !follows.is_empty());
    assert!(follows.windows(2).all(|pair| pair[0].0 < pair[1].0), "each actor once, in order");
    assert!(submission.origin_name().len() <= 64 && std::str::from_utf8(submission.origin_name()).is_ok());
}

/// What a submission is to be like, where that is not left to chance.
#[derive(Clone)]
pub struct Shape<'a> {
    pub level: u8,
    pub origin: &'a str,
    /// Of events and sessions: few, so that they meet.
    pub ids: u128,
    pub kind: Option<SubmissionKind>,
}

impl Default for Shape<'_> {
    fn default() -> Self {
        Self { level: 2, origin: "b", ids: 6, kind: None }
    }
}

fn struck(from: &mut Unstructured<'_>, shape: &Shape<'_>) -> Result<Vec<u8>> {
    let mut bytes = submission(from, shape)?;
    if from.ratio(1u8, 2u8)? {
        strike(from, &mut bytes)?;
        if from.arbitrary()? && bytes.len() >= 8 {
            let length = bytes.len() as u32;
            bytes[4..8].copy_from_slice(&length.to_le_bytes());
        }
    }
    Ok(bytes)
}

/// A submission as its publisher packs it (docs/formats.md, "Submission").
pub fn submission(from: &mut Unstructured<'_>, shape: &Shape<'_>) -> Result<Vec<u8>> {
    const KINDS: [SubmissionKind; 11] = [
        SubmissionKind::Events,
        SubmissionKind::Events,
        SubmissionKind::Events,
        SubmissionKind::Events,
        SubmissionKind::Skip,
        SubmissionKind::Fence,
        SubmissionKind::ConsumerAttach,
        SubmissionKind::ConsumerClaim,
        SubmissionKind::ConsumerAcknowledge,
        SubmissionKind::Members,
        SubmissionKind::Rules,
    ];
    let kind = match shape.kind {
        Some(kind) => kind,
        None => *from.choose(&KINDS)?,
    };
    let follows = kind == SubmissionKind::Events && shape.level >= 2 && from.ratio(1u8, 8u8)?;
    let session = if kind == SubmissionKind::Skip || from.arbitrary()? { from.int_in_range(1..=shape.ids.min(3))? } else { 0 };
    let (count, body) = match kind {
        SubmissionKind::Events => {
            let count = from.int_in_range(1..=3u32)?;
            let mut body = Vec::new();
            for _ in 0..count {
                body.extend(record(from, shape.ids)?);
            }
            (count, body)
        }
        SubmissionKind::Skip => (from.int_in_range(1..=3)?, Vec::new()),
        SubmissionKind::Fence => (0, EventId(from.int_in_range(1..=shape.ids)?).0.to_be_bytes().to_vec()),
        SubmissionKind::Members => (0, member_command(from)?.encode()),
        SubmissionKind::Rules => (0, rules::encoded(&rules::some_rules(from)?)),
        _ => {
            let mut body = Vec::new();
            for _ in 0..2 {
                body.extend_from_slice(&u64::from(from.int_in_range(0..=4u8)?).to_le_bytes());
            }
            body.extend_from_slice(&[from.int_in_range(0..=3)?, 0, 0, 0, 0, 0, 0, 0, b'c', from.int_in_range(b'0'..=b'3')?]);
            (0, body)
        }
    };
    let version = if follows { FOLLOWING_VERSION } else { SUBMISSION_VERSION };
    let mut bytes = vec![version, kind as u8, shape.level, shape.origin.len() as u8];
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&count.to_le_bytes());
    bytes.extend_from_slice(&SessionId(session).0.to_be_bytes());
    let (first, acknowledged) = if session == 0 { (0, 0) } else { (from.int_in_range(1..=5u64)?, from.int_in_range(0..=1u64)?) };
    for number in [first, acknowledged, MemberId::of(shape.origin).0, number(from)?, u64::from(from.arbitrary::<u32>()?) << 16] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(shape.origin.as_bytes());
    if follows {
        bytes.extend_from_slice(&[1, 0, 0, 0]);
        Actor { member: MemberId::of("b"), incarnation: 0 }.put(&mut bytes);
        bytes.extend_from_slice(&from.int_in_range(1..=3u64)?.to_le_bytes());
    }
    bytes.extend(body);
    let length = bytes.len() as u32;
    bytes[4..8].copy_from_slice(&length.to_le_bytes());
    debug_assert!(bytes.len() >= SUBMISSION_HEADER_BYTES);
    Ok(bytes)
}

fn record(from: &mut Unstructured<'_>, ids: u128) -> Result<Vec<u8>> {
    let id = from.int_in_range(1..=ids)?;
    // The bytes of an id are mostly the same.
    let salt = if from.ratio(1u8, 8u8)? { from.arbitrary::<u8>()? } else { 0 };
    let (path, payload) = (format!("/p{}", id % 3), vec![salt; (id % 5) as usize]);
    let context = if from.ratio(1u8, 8u8)? { some_bytes(from)? } else { Vec::new() };
    let mut bytes = vec![0; RECORD_HEADER_BYTES];
    let length = RECORD_HEADER_BYTES + path.len() + payload.len() + context.len();
    bytes[0..4].copy_from_slice(&(length as u32).to_le_bytes());
    bytes[4..6].copy_from_slice(&0x0102u16.to_le_bytes());
    bytes[7] = 1;
    bytes[16..20].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    bytes[20..22].copy_from_slice(&(path.len() as u16).to_le_bytes());
    bytes[24..40].copy_from_slice(&id.to_be_bytes());
    bytes[48..52].copy_from_slice(&(context.len() as u32).to_le_bytes());
    bytes.extend_from_slice(path.as_bytes());
    bytes.extend(payload);
    bytes.extend(context);
    Ok(bytes)
}

fn member_command(from: &mut Unstructured<'_>) -> Result<MemberCommand> {
    const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
    let name = from.choose(&NAMES)?.to_string();
    Ok(match from.int_in_range(0..=4u8)? {
        0 => MemberCommand::Add { name, address: String::new() },
        1 => MemberCommand::Promote { name },
        2 => MemberCommand::Remove { name },
        3 => MemberCommand::Replace { old: name, new: from.choose(&NAMES)?.to_string() },
        _ => MemberCommand::Move { name, address: "h:1".to_string() },
    })
}
