//! A log that may have forgotten what was acknowledged gives no name of the causal lane again, however often its member
//! is started before anything is published (rule R7, docs/decisions/0022).

use crate::log_support::disk::SimDisk;
use std::sync::Arc;
use vexfs_core::event::{Submission, RECORD_HEADER_BYTES, SUBMISSION_HEADER_BYTES};
use vexfs_core::log::{Log, LogOptions, LogReader};
use vexfs_core::machine::MachineLimits;
use vexfs_core::member::batch::{Batch, Finished};
use vexfs_core::member::open::{recover, start, CausalConfig, MemberConfig};
use vexfs_core::member::Member;
use vexfs_core::ordered::effects::{Effects, End};
use vexfs_core::ordered::pace::Profile;
use vexfs_core::ordered::snapshots::SnapshotPolicy;

fn config(seed: u64) -> MemberConfig {
    MemberConfig {
        cluster_id: "test".into(),
        node_id: "a".into(),
        founders: vec![("a".into(), "x:1".into())],
        joins: false,
        groups: 1,
        election_ticks: (10, 13),
        heartbeat_ticks: 5,
        profile: Profile::Lan,
        inflight_messages: 4,
        intake_bytes_max: 1 << 20,
        limits: MachineLimits::default(),
        snapshots: SnapshotPolicy::default(),
        read_lease_us: 0,
        log: LogOptions { segment_bytes: 256 * 1024, spare_segments: 0, reserve_bytes: 0 },
        causal: CausalConfig::default(),
        seed,
        fresh_directory_id: [7; 16],
    }
}

/// One event.
fn submission(number: u64) -> Submission {
    let mut bytes = vec![0; SUBMISSION_HEADER_BYTES];
    bytes[..4].copy_from_slice(&[1, 1, 1, 1]);
    bytes[4..8].copy_from_slice(&((SUBMISSION_HEADER_BYTES + 1 + RECORD_HEADER_BYTES) as u32).to_le_bytes());
    bytes[12..16].copy_from_slice(&1u32.to_le_bytes());
    bytes[56..64].copy_from_slice(&number.to_le_bytes());
    bytes[64..72].copy_from_slice(&number.to_le_bytes());
    bytes.push(b'a');
    let mut record = [0; RECORD_HEADER_BYTES];
    record[..4].copy_from_slice(&(RECORD_HEADER_BYTES as u32).to_le_bytes());
    record[24..32].copy_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(&record);
    Submission::parse_causal(bytes.into()).expect("it is well packed")
}

struct Life {
    log: Log<SimDisk>,
    member: Member<LogReader<SimDisk>>,
    unsettled: bool,
    now_us: u64,
    /// Incarnation and counter of what was kept.
    kept: Vec<(u32, u64)>,
}

impl Life {
    fn begin(disk: &SimDisk, seed: u64) -> Self {
        let recovered = recover(Arc::new(disk.clone()), &config(seed)).expect("it is opened");
        let member = start(&recovered, &config(seed)).expect("it is started");
        Self { unsettled: recovered.recovery.unsettled, log: recovered.log, member, now_us: 0, kept: Vec::new() }
    }

    fn tick(&mut self) {
        self.now_us += 10_000;
        self.member.tick();
        let (mut effects, mut batch) = (Effects::default(), Batch::default());
        for _ in 0..3 {
            for id in self.member.take_dirty() {
                self.member.flush(id, self.now_us, &mut effects).expect("it goes on");
            }
            effects.writes.drain(..).for_each(|write| batch.add(write));
            if !batch.is_empty() || batch.settles {
                self.log.append(&batch.ops).expect("it is written");
                let settled = batch.settles && self.log.clear_unsettled().is_ok();
                let finished = Finished { settled, ..batch.finish() };
                self.member.finished(&finished, &mut effects);
            }
            for done in effects.completions.drain(..) {
                if let End::Kept { incarnation, counter, .. } = done.end {
                    self.kept.push((incarnation, counter.0));
                }
            }
        }
    }

    fn publish(&mut self, number: u64) -> (u32, u64) {
        self.member.publish(submission(number), self.now_us);
        let before = self.kept.len();
        for _ in 0..200 {
            self.tick();
            if self.kept.len() > before {
                return self.kept[before];
            }
        }
        panic!("it was not kept");
    }
}

/// Changes a bit in the batch that was written last.
fn damage_last(disk: &SimDisk) {
    let segment = disk.segments().pop().expect("there is one");
    let mut bytes = disk.read(&segment);
    let last = bytes.iter().rposition(|byte| *byte != 0).expect("it was written to");
    bytes[last - 10] ^= 1;
    disk.overwrite(&segment, &bytes);
}

#[test]
fn a_name_that_was_lost_with_the_last_batch_is_not_given_after_the_second_start_either() {
    let disk = SimDisk::default();
    let mut life = Life::begin(&disk, 1);
    (0..100).for_each(|_| life.tick());
    let names = [life.publish(1), life.publish(2)];
    drop(life);
    damage_last(&disk);
    let mut life = Life::begin(&disk, 2);
    assert!(life.unsettled, "its last batch is damaged");
    (0..500).for_each(|_| life.tick());
    drop(life);
    let mut life = Life::begin(&disk, 3);
    assert!(!life.unsettled, "it has settled");
    let name = life.publish(3);
    assert!(!names.contains(&name), "{name:?} is another event's: {names:?}");
}
