//! The kinds of faults, by name. What the product cannot survive yet is in the table too, switched off with the reason.

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    Loss,
    SlowNetwork,
    OneWay,
    Partition,
    Reset,
    StalledChannel,
    Pause,
    PowerLoss,
    ProcessEnd,
    CrashInOpen,
    CleanRestart,
    FailedSync,
    SlowDisk,
    StalledDisk,
    FullDisk,
    FlippedTail,
    StaleSector,
    MisdirectedWrite,
    DamagedSuperblock,
    DamagedFooter,
    DamagedSpare,
    WrongDirectory,
    WallClockJump,
    LostTail,
    DamagedMiddle,
    SharedBlock,
    RolledBack,
    GarbledAnswer,
    Emptied,
    DamagedStates,
    DamagedSnapshot,
}

use FaultKind::*;

pub struct KindRow {
    pub kind: FaultKind,
    pub name: &'static str,
    /// How often, next to the others.
    pub weight: u64,
    /// Why seeds do not draw it yet.
    pub off: Option<&'static str>,
}

const fn on(kind: FaultKind, name: &'static str, weight: u64) -> KindRow {
    KindRow { kind, name, weight, off: None }
}

const fn off(kind: FaultKind, name: &'static str, reason: &'static str) -> KindRow {
    KindRow { kind, name, weight: 0, off: Some(reason) }
}

pub static KINDS: [KindRow; 31] = [
    on(Loss, "loss", 6),
    on(SlowNetwork, "slow-network", 4),
    on(OneWay, "one-way-partition", 6),
    on(Partition, "partition", 6),
    on(Reset, "reset", 12),
    on(StalledChannel, "stalled-channel", 6),
    on(Pause, "pause", 6),
    on(PowerLoss, "power-loss", 14),
    on(ProcessEnd, "process-end", 6),
    on(CrashInOpen, "crash-in-open", 4),
    on(CleanRestart, "clean-restart", 3),
    on(FailedSync, "failed-sync", 4),
    on(SlowDisk, "slow-disk", 4),
    on(StalledDisk, "stalled-disk", 4),
    on(FullDisk, "full-disk", 3),
    on(FlippedTail, "flipped-tail", 4),
    on(StaleSector, "stale-sector", 3),
    on(MisdirectedWrite, "misdirected-write", 3),
    on(DamagedSuperblock, "damaged-superblock", 2),
    on(DamagedFooter, "damaged-footer", 2),
    on(DamagedSpare, "damaged-spare", 2),
    on(WrongDirectory, "wrong-directory", 2),
    on(WallClockJump, "wall-clock-jump", 4),
    off(LostTail, "lost-tail", "a last batch that is gone whole leaves no trace on its disk: nothing tells recovery that it was there"),
    on(DamagedMiddle, "damaged-middle", 4),
    on(SharedBlock, "shared-block", 3),
    on(GarbledAnswer, "garbled-answer", 2),
    on(RolledBack, "rolled-back", 6),
    on(Emptied, "emptied", 3),
    on(DamagedStates, "damaged-states", 4),
    on(DamagedSnapshot, "damaged-snapshot", 4),
];

impl FaultKind {
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|row| row.kind == self).map_or("", |row| row.name)
    }

    pub fn of(name: &str) -> Option<Self> {
        KINDS.iter().find(|row| row.name == name).map(|row| row.kind)
    }
}
