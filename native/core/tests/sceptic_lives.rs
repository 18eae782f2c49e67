//! Random lives of a follower's logs, with leaders whose logs branch (replaced entries may have the lower term), damage between
//! the writes, and torn last batches.
mod log_support;
use log_support::damage::strike;
use log_support::disk::SimDisk;
use log_support::{entries, entry, hard_state, mark, open, payload, truncate};
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};
use vexfs_core::ids::{GroupId, Index};
use vexfs_core::log::{Log, LogEntry, LogError, Op, Recovery};

fn made(index: u64, term: u64) -> LogEntry {
    let bytes = [9, 60, 900, 3000, 5000][((index * 7 + term) % 5) as usize];
    entry(index, term, payload(index, term, bytes))
}

#[derive(Clone, Debug)]
struct G {
    first: u64,
    prior: u64,
    mark: Option<(u64, u64)>,
    terms: Vec<u64>,
    /// not in the log: index set
    gaps: BTreeSet<u64>,
    /// of those: taken by damage
    commit: u64,
    term: u64,
    vote: u64,
    /// logs of leaders
    leaders: Vec<Vec<u64>>,
    /// anything written
    known: bool,
    /// marks and such of it may not be known
    paused: bool,
}
impl G {
    fn new() -> Self { Self { first: 1, prior: 0, mark: None, terms: vec![], gaps: BTreeSet::new(), commit: 0, term: 1, vote: 0, leaders: vec![vec![]], known: false, paused: false } }
    fn last(&self) -> u64 { self.terms.len() as u64 }
    fn t(&self, i: u64) -> u64 { if i == 0 { 0 } else { self.terms[i as usize - 1] } }
    fn marked(&self) -> u64 { self.mark.map_or(0, |m| m.0) }
    /// committed here
    fn done(&self) -> u64 { self.commit.max(self.marked()) }
}

struct Life { r: ChaCha8Rng, g: BTreeMap<u32, G>, said: Vec<String>, damages: u32 }

impl Life {
    fn below(&mut self, n: u64) -> u64 { self.r.next_u64() % n.max(1) }
    fn hs(&mut self, id: u32) -> Op { let g = &self.g[&id]; hard_state(GroupId(id), g.term, g.vote, g.commit) }

    /// a new leader
    fn elect(&mut self, id: u32) {
        let pick = self.below(16) as usize;
        let more = 1 + self.below(6);
        let skip = 1 + self.below(2);
        let g = self.g.get_mut(&id).unwrap();
        g.term += skip;
        g.vote = g.term * 3 + u64::from(id);
        let done = g.done() as usize;
        let committed: Vec<u64> = g.terms[..done].to_vec();
        let n = g.leaders.len();
        let bases: Vec<Vec<u64>> = g.leaders.iter().skip(n.saturating_sub(5)).filter(|l| l.len() >= done && l[..done] == committed[..]).cloned().collect();
        let mut base = if bases.is_empty() || pick % 4 == 0 { g.terms.clone() } else { bases[pick % bases.len()].clone() };
        base.extend((0..more).map(|_| g.term));
        g.leaders.push(base);
    }

    fn sync(&mut self, id: u32) -> Vec<Op> {
        let k = 1 + self.below(6);
        let full = self.below(3) == 0;
        let g = self.g.get_mut(&id).unwrap();
        let leader = g.leaders.last().unwrap().clone();
        let agree = g.terms.iter().zip(&leader).take_while(|(a, b)| a == b).count() as u64;
        let mut ops = vec![];
        if agree as usize == leader.len() { 
            // the leader goes on
            let t = g.term;
            if leader.last() == Some(&t) { for _ in 0..k { g.leaders.last_mut().unwrap().push(t); } }
        }
        let leader = g.leaders.last().unwrap().clone();
        let to = if full { leader.len() as u64 } else { (agree + k).min(leader.len() as u64) };
        if to <= agree { return vec![self.hs(id)]; }
        if agree < g.last() {
            assert!(agree >= g.done());
            ops.push(truncate(GroupId(id), agree + 1));
            g.terms.truncate(agree as usize);
            g.gaps.retain(|i| *i <= agree);
        }
        g.terms.extend(&leader[agree as usize..to as usize]);
        ops.push(entries(GroupId(id), (agree + 1..=to).map(|i| made(i, leader[i as usize - 1])).collect()));
        ops.push(self.hs(id));
        ops
    }

    fn commit(&mut self, id: u32) -> Vec<Op> {
        let x = self.r.next_u64();
        let g = self.g.get_mut(&id).unwrap();
        let leader = g.leaders.last().unwrap();
        let agree = g.terms.iter().zip(leader).take_while(|(a, b)| a == b).count() as u64;
        // Raft: only by an entry of its own term; what is agreed on and of its term
        let up = (g.commit..=agree).filter(|i| *i == g.commit || g.terms[*i as usize - 1] == g.term || g.terms[..agree as usize].last() == Some(&g.term)).collect::<Vec<_>>();
        if up.is_empty() { return vec![]; }
        g.commit = up[(x % up.len() as u64) as usize].max(g.commit);
        vec![self.hs(id)]
    }

    fn compact(&mut self, id: u32) -> Vec<Op> {
        let (x, y) = (self.r.next_u64(), self.r.next_u64());
        let g = self.g.get_mut(&id).unwrap();
        let top = g.commit.min(g.last());
        let low = g.marked().max(1);
        if top < low { return vec![]; }
        let index = low + x % (top + 1 - low);
        if g.gaps.contains(&index) && index != g.marked() { return vec![]; }
        let mut first = g.first + y % (index + 2 - g.first);
        if y >> 20 & 1 == 0 { first = g.first; }
        if first > 1 && first != g.first && g.gaps.contains(&(first - 1)) && first - 1 != g.marked() { first = g.first; }
        let prior = if first == g.first { g.prior } else { g.t(first - 1) };
        g.first = first; g.prior = prior;
        g.mark = Some((index, g.t(index)));
        g.gaps.retain(|i| *i >= first);
        let (m, t) = g.mark.unwrap();
        vec![mark(GroupId(id), m, t, first, prior)]
    }

    fn install(&mut self, id: u32) -> Vec<Op> {
        let (x, y, z) = (self.r.next_u64(), self.r.next_u64(), self.r.next_u64());
        let goes = self.below(12);
        let g = self.g.get_mut(&id).unwrap();
        let done = g.done();
        // leader's log, long enough
        let mut leader = g.leaders.last().unwrap().clone();
        if leader.len() < done as usize || leader[..done as usize] != g.terms[..done as usize] { return vec![]; }
        if leader.last() != Some(&g.term) && x % 2 == 0 { g.term += 1; g.vote = 0; }
        let want = done + 1 + goes;
        while (leader.len() as u64) < want { leader.push(g.term.max(*leader.last().unwrap_or(&1))); }
        g.leaders.push(leader.clone());
        let index = done + 1 + y % (leader.len() as u64 - done);
        // journal kept in front: up to applied
        let low = g.first - 1;
        let applied = done.min(g.commit.max(g.marked()));
        let kept = low.max(applied - z % (applied + 1 - low.min(applied)).max(1)).max(low);
        let kept = if z >> 30 & 3 == 0 { kept } else { applied.max(low) };
        let kept = kept.max(g.marked()).min(g.last());
        let mut ops = vec![];
        if g.last() > kept { ops.push(truncate(GroupId(id), kept + 1)); }
        g.terms = leader[..index as usize].to_vec();
        g.gaps.retain(|i| *i <= kept);
        g.gaps.extend(kept + 1..=index);
        let first = match z % 4 { 0 => index + 1, 1 => g.first, 2 => kept + 1, _ => g.first };
        let first = first.max(g.first);
        // the term in front is told by the snapshot
        let prior = if first == g.first { g.prior } else { g.t(first - 1) };
        g.first = first; g.prior = prior; g.mark = Some((index, g.t(index)));
        g.gaps.retain(|i| *i >= first);
        let t = g.t(index);
        ops.push(mark(GroupId(id), index, t, first, prior));
        if z >> 9 & 1 == 0 { g.commit = g.commit.max(index); }
        ops.push(self.hs(id));
        ops
    }

    fn repair(&mut self, id: u32) -> Vec<Op> {
        let (x, n) = (self.r.next_u64(), 1 + self.below(8));
        let g = self.g.get_mut(&id).unwrap();
        if g.gaps.is_empty() { return vec![]; }
        let first = *g.gaps.iter().nth((x % g.gaps.len() as u64) as usize).unwrap();
        let list: Vec<u64> = (first..first + n).take_while(|i| g.gaps.contains(i)).collect();
        g.gaps.retain(|i| !list.contains(i));
        vec![Op::Repair { group: GroupId(id), entries: list.iter().map(|i| made(*i, g.t(*i))).collect() }]
    }

    /// What is lost behind what is committed has to be back or cut first.
    fn grave(&self, id: u32) -> Option<u64> { let g = &self.g[&id]; g.gaps.iter().find(|i| **i > g.done()).copied() }

    fn batch(&mut self) -> Vec<Op> {
        let id = self.below(2) as u32;
        self.g.entry(id).or_insert_with(G::new).known = true;
        if let Some(at) = self.grave(id) {
            return match self.below(4) {
                0 => vec![],
                1 => { let g = self.g.get_mut(&id).unwrap(); g.terms.truncate(at as usize - 1); g.gaps.retain(|i| *i < at); vec![truncate(GroupId(id), at)] }
                _ => self.repair(id),
            };
        }
        match self.below(16) {
            0..=2 => { self.elect(id); self.sync(id) }
            3..=7 => self.sync(id),
            8..=10 => self.commit(id),
            11 | 12 => self.compact(id),
            13 => self.install(id),
            _ => self.repair(id),
        }
    }
}

fn outline(op: &Op) -> String {
    let range = |e: &[LogEntry]| format!("{}..={} t{:?}", e[0].index.0, e[e.len() - 1].index.0, e.iter().map(|e| e.term.0).collect::<Vec<_>>());
    match op {
        Op::Entries { group, entries } => format!("g{} + {}", group.0, range(entries)),
        Op::Repair { group, entries } => format!("g{} repair {}", group.0, range(entries)),
        Op::HardState { group, state } => format!("g{} hs t{} c{}", group.0, state.term.0, state.commit.0),
        Op::Truncate { group, from } => format!("g{} cut {}", group.0, from.0),
        Op::Mark { group, mark } => format!("g{} mark {} t{} first {}", group.0, mark.index.0, mark.term.0, mark.first.0),
        other => format!("{other:?}"),
    }
}

/// What is wrong of a settled log; `lost`: damage may have taken entries, which are named.
fn wrong(life: &Life, log: &Log<SimDisk>, rec: Option<&Recovery>, damaged: bool) -> Result<BTreeMap<u32, BTreeSet<u64>>, String> {
    let reader = log.reader();
    let mut all = BTreeMap::new();
    for (id, g) in &life.g {
        let group = GroupId(*id);
        let ends = (reader.first_index(group).0, reader.last_index(group).0);
        if ends != (g.first, g.last().max(g.first - 1)) { return Err(format!("g{id} goes {ends:?} not {:?}", (g.first, g.last()))); }
        let mut lost = BTreeSet::new();
        for i in g.first..=g.last() {
            match reader.entries(group, Index(i), Index(i + 1), 0) {
                Ok(e) if e[..] == [made(i, g.t(i))] => {
                    if g.gaps.contains(&i) && !damaged { return Err(format!("g{id} {i} is not a gap")); }
                    if reader.term(group, Index(i)).ok().map(|t| t.0) != Some(g.t(i)) { return Err(format!("g{id} term of {i}")); }
                }
                Err(LogError::Damaged { .. }) if damaged || g.gaps.contains(&i) => { lost.insert(i); }
                other => return Err(format!("g{id} entry {i} (t{}) is {:?}", g.t(i), other.map(|e| e.iter().map(|e| (e.index.0, e.term.0)).collect::<Vec<_>>()))),
            }
        }
        if let Some(rec) = rec {
            match rec.groups.get(&group) {
                None => if g.last() > 0 { return Err(format!("g{id} is not found")); },
                Some(f) => {
                    let snap = f.snapshot.map(|(i, t)| (i.0, t.0));
                    if (f.first_index.0, f.prior_term.0, f.last_index.0, snap) != (g.first, g.prior, g.last().max(g.first - 1), g.mark) { return Err(format!("g{id} found {f:?}")); }
                    if !damaged && (f.hard_state.term.0, f.hard_state.commit.0) != (g.term, g.commit.min(g.last())) && f.hard_state.term.0 != 0 { return Err(format!("g{id} state {:?} not {:?}", f.hard_state, (g.term, g.commit))); }
                    if f.hard_state.commit.0 > g.done() { return Err(format!("g{id} commit {:?}", f.hard_state)); }
                    let term_at = |i: u64| f.terms[..f.terms.partition_point(|(at, _)| at.0 <= i)].last().map(|(_, t)| t.0);
                    for i in g.first..=g.last() { if (!lost.contains(&i) || Some(i) == g.mark.map(|m| m.0)) && term_at(i) != Some(g.t(i)) { return Err(format!("g{id} recovered term of {i}: {:?} of {:?}", term_at(i), f.terms)); } }
                    let named: BTreeSet<u64> = rec.damaged.iter().filter(|r| r.group == group).flat_map(|r| r.first.0..=r.last.0).collect();
                    if !named.is_subset(&lost) { return Err(format!("g{id} names {named:?} lacks {lost:?}")); }
                    for r in rec.damaged.iter().filter(|r| r.group == group) { if r.next_term.is_some_and(|t| t.0 != g.t(r.last.0 + 1)) { return Err(format!("g{id} next {r:?}")); } }
                    // A range named as a gap must have been covered by a snapshot
                    for r in rec.damaged.iter().filter(|r| r.group == group && r.gap) { if r.last.0 > g.marked() { return Err(format!("g{id} gap {r:?}")); } }
                }
            }
        }
        all.insert(*id, lost);
    }
    Ok(all)
}

fn live(seed: u64, strikes: u32, tears: bool) -> Result<(u32, u32), String> {
    let mut life = Life { r: ChaCha8Rng::seed_from_u64(seed), g: BTreeMap::new(), said: vec![], damages: 0 };
    let disk = SimDisk::default();
    let (mut log, _) = open(&disk).unwrap();
    let (mut settled, mut unsettled) = (0, 0);
    let steps = 15 + life.below(70);
    let at: Vec<u64> = (0..strikes).map(|_| life.below(steps)).collect();
    let fail = |life: &Life, what: String| Err(format!("seed {seed}: {what}\n{}", life.said.join("\n")));
    for step in 0..steps {
        let before = life.g.clone();
        let ops = life.batch();
        life.said.push(format!("{step}: {}", ops.iter().map(outline).collect::<Vec<_>>().join(", ")));
        if !ops.is_empty() { if let Err(e) = log.append(&ops) { return fail(&life, format!("append {e:?}")); } }
        if let Err(e) = wrong(&life, &log, None, false) { return fail(&life, e); }
        match life.below(12) {
            0 => { let x = log.release().unwrap(); life.said.push(format!("release {x:?} {:?}", disk.segments())) }
            1 => { let x = log.relocate(3000, u64::MAX); life.said.push(format!("relocate {x:?}")) }
            2 | 3 => {
                if life.below(2) == 0 { log.seal_and_close().unwrap(); }
                let (o, rec) = open(&disk).unwrap(); log = o;
                life.said.push("opened".into());
                let was = rec.unsettled;
                if was && life.damages == 0 && !tears { return fail(&life, "unsettled".into()); }
                if !was { if let Err(e) = wrong(&life, &log, Some(&rec), false) {
                    if std::env::var("DUMP").is_ok() { drop(log); for (nth, segment) in vexfs_core::log::plan(&disk).unwrap().segments.iter().enumerate() { let sum = segment.scan(&disk, &mut |offset, record| { use vexfs_core::log::ScannedRecord as R; let w = match &record { R::Entry { group, entry } => format!("g{} + {} t{}", group.0, entry.index.0, entry.term.0), R::Repair { group, entry } => format!("g{} repair {} t{}", group.0, entry.index.0, entry.term.0), R::Relocate { group, entry } => format!("g{} move {} t{}", group.0, entry.index.0, entry.term.0), o => format!("{o:?}") }; println!("{nth} {offset} {w}"); }); println!("{:?}", sum.err()); } } return fail(&life, format!("after open {e}")); } }
            }
            _ => {}
        }
        let hits = at.iter().filter(|a| **a == step).count();
        let tear = tears && life.below(15) == 0 && !ops.is_empty();
        if hits > 0 || tear {
            drop(log);
            if tear {
                // last batch is torn: one of its bytes is not there, as if the crash had come in it
                let _ = &before;
                let name = disk.segments().last().unwrap().clone();
                let mut bytes = disk.read(&name);
                let end = bytes.iter().rposition(|b| *b != 0).unwrap_or(0);
                if end > 4096 { let n = 1 + life.below(40) as usize; for b in bytes[(end + 1 - n.min(end - 4096))..=end].iter_mut() { *b = 0; } disk.overwrite(&name, &bytes); life.said.push(format!("torn {n}")); }
            }
            for _ in 0..hits { let s = strike(&disk, &mut life.r); life.said.push(format!("STRIKE {s}")); life.damages += 1; }
            let (o, rec) = match open(&disk) { Ok(x) => x, Err(e) => return fail(&life, format!("open {e:?}")) };
            log = o;
            if !rec.unsettled {
                settled += 1;
                match wrong(&life, &log, Some(&rec), true) {
                    Err(e) => return fail(&life, format!("settled, but {e}; {rec:?}")),
                    Ok(lost) => {
                        // votes must be there
                        for (id, g) in &mut life.g { 
                            let f = rec.groups.get(&GroupId(*id));
                            if let Some(f) = f { if f.hard_state.term.0 != g.term || f.hard_state.vote.0 != g.vote { let what = format!("settled, but g{id} has {:?} not {:?}", f.hard_state, (g.term, g.vote)); if g.known && g.last() > 0 && f.hard_state.term.0 < 1 {return fail(&life, what);} } g.commit = f.hard_state.commit.0.max(0); }
                            g.gaps = lost[id].clone(); 
                        }
                        life.said.push(format!("settled; lacks {lost:?}"));
                    }
                }
            } else {
                unsettled += 1;
                // what is committed is sure; then it is settled by the others
                let reader = log.reader();
                let mut ops = vec![];
                let groups: Vec<u32> = life.g.keys().copied().collect();
                for id in groups {
                    let group = GroupId(id);
                    let g = life.g[&id].clone();
                    let found = rec.groups.get(&group);
                    let (ff, fl) = (reader.first_index(group).0, reader.last_index(group).0);
                    if let Some(f) = found {
                        if f.hard_state.commit.0 > g.done() { return fail(&life, format!("unsettled, g{id} commit {:?}", f.hard_state)); }
                        if ff > g.first || f.snapshot.map_or(0, |s| s.0 .0) > g.marked() { return fail(&life, format!("unsettled, g{id} found {f:?}")); }
                        let sure = f.hard_state.commit.0.max(f.snapshot.map_or(0, |s| s.0 .0));
                        for i in g.first.max(ff)..=sure.min(fl) {
                            if let Ok(e) = reader.entries(group, Index(i), Index(i + 1), 0) { if e[0] != made(i, g.t(i)) { return fail(&life, format!("unsettled, g{id} {i} is t{} though committed; {f:?}", e[0].term.0)); } }
                        }
                    }
                    // settle: keep what is the same, cut, mark, append, state
                    let marked = found.and_then(|f| f.snapshot).map_or(0, |s| s.0 .0);
                    let lo = g.first.max(ff);
                    let mut lost = BTreeSet::new();
                    let mut agree = lo - 1;
                    for i in lo..=fl.min(g.last()) {
                        match reader.entries(group, Index(i), Index(i + 1), 0) {
                            Ok(e) if e[0] == made(i, g.t(i)) => {}
                            Ok(_) => break,
                            Err(LogError::Damaged { .. }) => { if i > g.done() { break; } lost.insert(i); }
                            Err(e) => return fail(&life, format!("unsettled read {e:?}")),
                        }
                        agree = i;
                    }
                    let agree = agree.max(marked);
                    if fl > agree && agree + 1 > marked { ops.push(truncate(group, agree + 1)); }
                    let g = life.g.get_mut(&id).unwrap();
                    let here = agree.max(ff - 1);
                    g.gaps.retain(|i| *i <= here && lost.contains(i) );
                    g.gaps.extend(&lost);
                    if let Some((mi, mt)) = g.mark { 
                        ops.push(mark(group, mi, mt, g.first, g.prior));
                        if mi > here { g.gaps.extend((here + 1).max(g.first)..=mi); }
                    }
                    let from = here.max(g.marked()) + 1;
                    g.gaps.retain(|i| *i >= g.first);
                    if from <= g.last() { ops.push(entries(group, (from..=g.last()).map(|i| made(i, g.t(i))).collect())); }
                    let h = hard_state(group, g.term, g.vote, g.commit);
                    ops.push(h);
                }
                life.said.push(format!("unsettled: {}", ops.iter().map(outline).collect::<Vec<_>>().join(", ")));
                if !ops.is_empty() { if let Err(e) = log.append(&ops) { return fail(&life, format!("settle: {e:?}")); } }
                log.clear_unsettled().unwrap();
                if let Err(e) = wrong(&life, &log, None, false) { return fail(&life, format!("settled by others: {e}")); }
            }
        }
    }
    Ok((settled, unsettled))
}

fn number(name: &str, or: u64) -> u64 { std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(or) }

#[test]
fn lives() {
    let (first, count) = (number("FIRST", 0), number("COUNT", 300));
    let strikes = number("STRIKES", 1) as u32;
    let tears = number("TEARS", 0) == 1;
    let (mut s, mut u, mut failed) = (0, 0, vec![]);
    for seed in first..first + count {
        match std::panic::catch_unwind(|| live(seed, strikes, tears)) {
            Ok(Ok((a, b))) => { s += a; u += b; }
            Ok(Err(what)) => { failed.push(what); }
            Err(p) => failed.push(format!("seed {seed} panic {:?}", p.downcast_ref::<String>())),
        }
    }
    println!("settled {s} unsettled {u} failed {}", failed.len());
    failed.sort_by_key(|f| f.len());
    for f in failed.iter().take(number("SHOW", 2) as usize) { println!("{f}\n"); }
    let mut kinds: BTreeMap<String, u32> = BTreeMap::new();
    for f in &failed { let k = f.lines().next().unwrap_or("").split_once(": ").map_or("", |x| x.1).chars().filter(|c| !c.is_ascii_digit()).take(40).collect::<String>(); *kinds.entry(k).or_default() += 1; }
    println!("{kinds:#?}");
    assert!(failed.is_empty());
}
