//! Bodies of frames, contexts of entries, commands and the table of members: any bytes are refused, or say what their
//! encoding says again.

use crate::allocations::peak_of;
use crate::strikes::{number, some_bytes, strike};
use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use raft::eraftpb::{Entry, EntryType, Message, MessageType};
use vexfs_core::causal::head::Head;
use vexfs_core::causal::message::{Entries, Held, HeldAnswer, HeldQuery, KnownOf, Needed, Pull, ANSWER, CUT};
use vexfs_core::event::Malformed;
use vexfs_core::ids::{GroupId, Index, MemberId, NUMBER_MAX};
use vexfs_core::membership::{MemberCommand, Membership};
use vexfs_core::ordered::conf::Conf;
use vexfs_core::ordered::reconcile;
use vexfs_core::ordered::repair::words::{Answer, Query};
use vexfs_core::packed::Unpack;
use vexfs_core::peer::frame::{Channel, Frame, FrameKind};
use vexfs_core::peer::raft_message;
use vexfs_core::peer::round_trips::{Now, RoundTrips};
use vexfs_core::replication::Agreed;
use vexfs_core::snapshot::transfer::Offer;

/// What is decoded takes at most so many times as much as its bytes.
const TIMES: usize = 64;
const LEAST_BYTES: usize = 4096;

/// Reads bytes and says them again.
type Read = fn(&Bytes) -> std::result::Result<Vec<u8>, Malformed>;

/// Those of which every byte is told: what is accepted is what would have been written.
const EXACT: [Read; 11] = [
    |body| Entries::decode(body).map(|it| of_entries(&it)),
    |body| Held::decode(body).map(|it| written(|out| it.encode(out))),
    |body| HeldQuery::decode(body).map(|it| written(|out| it.encode(out))),
    |body| HeldAnswer::decode(body).map(|it| written(|out| it.encode(out))),
    |body| Pull::decode(body).map(|it| written(|out| it.encode(out))),
    |body| KnownOf::decode(body).map(|it| written(|out| it.encode(out))),
    |body| Needed::decode(body).map(|it| written(|out| it.encode(out))),
    |body| Head::decode(body).map(|it| it.encode()),
    |body| whole(body, Conf::decode).map(|it| written(|out| it.encode(out))),
    |body| whole(body, Offer::decode).map(|it| written(|out| it.encode(out))),
    |body| whole(body, |fields| fields.text().map(str::to_string)).map(|it| written(|out| vexfs_core::packed::put_text(out, &it))),
];

/// Those with flags and bytes that may be anything: what is read of them, written, is read alike.
const ALIKE: [Read; 6] = [
    |body| Query::decode(body).map(|it| written(|out| it.encode(out))),
    |body| Answer::decode(body).map(|it| written(|out| it.encode(out))),
    |body| MemberCommand::decode(body).map(|it| it.encode()),
    |body| whole(body, Membership::decode).map(|it| written(|out| it.encode(out))),
    |body| raft_message::decode(body).map(|it| of_raft(&it)).map_err(|error| Malformed { at: 0, what: error.0 }),
    |body| whole(body, Agreed::decode).map(|it| written(|out| it.encode(out))),
];

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

fn whole<'a, T>(body: &'a Bytes, decode: impl FnOnce(&mut Unpack<'a>) -> std::result::Result<T, Malformed>) -> std::result::Result<T, Malformed> {
    let mut fields = Unpack::new(body);
    let it = decode(&mut fields)?;
    fields.end().map(|()| it)
}

fn of_entries(it: &Entries) -> Vec<u8> {
    let flags = if it.answer { ANSWER } else { 0 } | if it.cut { CUT } else { 0 };
    written(|out| Entries::encode(it.life, it.actor, flags, Index(it.first), it.list.iter().map(|(data, context)| (data, context)), out))
}

fn of_raft(it: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    assert!(raft_message::encode(it, &mut out), "what has travelled travels again");
    assert_eq!(out.len(), raft_message::encoded_bytes(it));
    out
}

pub fn run(bytes: &[u8]) {
    let Some((kind, body)) = bytes.split_first() else { return };
    let body = Bytes::copy_from_slice(body);
    let kind = usize::from(*kind);
    match kind % (EXACT.len() + ALIKE.len() + 3) {
        at if at < EXACT.len() => {
            if let Ok(again) = read(EXACT[at], &body) {
                assert_eq!(again[..], body[..]);
            }
        }
        at if at < EXACT.len() + ALIKE.len() => {
            let one = ALIKE[at - EXACT.len()];
            if let Ok(again) = read(one, &body) {
                assert_eq!(one(&Bytes::from(again.clone())), Ok(again));
            }
        }
        at if at == EXACT.len() + ALIKE.len() => change(&body),
        at if at == EXACT.len() + ALIKE.len() + 1 => probe(&body),
        _ => drop(made(&mut Unstructured::new(&body))),
    }
}

fn read(one: Read, body: &Bytes) -> std::result::Result<Vec<u8>, Malformed> {
    let (read, peak) = peak_of(|| one(body));
    assert!(peak <= TIMES * body.len() + LEAST_BYTES, "{peak} bytes for {}", body.len());
    read
}

fn change(context: &Bytes) {
    let (change, peak) = peak_of(|| reconcile::decode(context));
    assert!(peak <= TIMES * context.len() + LEAST_BYTES, "{peak} bytes for {}", context.len());
    let Ok(change) = change else { return };
    // A group's configuration is what it was, but for the members that are named.
    let before = Conf::of_voters(vec![MemberId(1), MemberId(2), MemberId(3)]);
    let after = before.clone().after(&change);
    let named = |id: &MemberId| change.get_changes().iter().any(|one| one.node_id == id.0);
    for id in before.members().difference(&after.members()) {
        assert!(named(id), "{id} has gone");
    }
}

fn probe(body: &Bytes) {
    let mut asked = RoundTrips::default();
    asked.link_up(MemberId(2), Channel::Urgent);
    for kind in [FrameKind::Probe, FrameKind::ProbeAnswer] {
        let frame = Frame { kind, group: GroupId(0), body: body.clone() };
        let answer = asked.receive(MemberId(2), &frame, Now { us: 7, wall_ms: 7 });
        assert!(answer.is_none_or(|(to, _, bytes)| to == MemberId(2) && bytes.len() < 64), "an answer is small, and for whoever asked");
    }
    assert_eq!(asked.told(9).len(), 1, "nothing is kept of whoever is not linked");
}

/// A raft message as it should be comes back equal; with something done to it, it is refused or reads alike.
fn made(from: &mut Unstructured<'_>) -> Result<()> {
    const KINDS: [MessageType; 6] = [
        MessageType::MsgAppend,
        MessageType::MsgAppendResponse,
        MessageType::MsgHeartbeat,
        MessageType::MsgReadIndex,
        MessageType::MsgRequestVote,
        MessageType::MsgTimeoutNow,
    ];
    let mut message = Message::default();
    let kind = *from.choose(&KINDS)?;
    message.set_msg_type(kind);
    let mut counted = || number(from).map(|number| number.min(NUMBER_MAX));
    (message.term, message.log_term, message.index, message.commit, message.reject_hint) = (counted()?, counted()?, counted()?, counted()?, counted()?);
    (message.to, message.from) = (number(from)?, number(from)?);
    message.reject = from.arbitrary()?;
    message.context = some_bytes(from)?.into();
    let most = if kind == MessageType::MsgAppend { from.int_in_range(0..=3)? } else { u64::from(kind == MessageType::MsgReadIndex) };
    message.log_term = message.log_term.min(message.term);
    message.index = message.index.min(NUMBER_MAX - most);
    let mut entries = Vec::new();
    for at in 1..=most {
        let mut entry = Entry { index: message.index + at, term: message.term, ..Default::default() };
        entry.set_entry_type(*from.choose(&[EntryType::EntryNormal, EntryType::EntryConfChangeV2])?);
        (entry.data, entry.context) = (some_bytes(from)?.into(), some_bytes(from)?.into());
        entries.push(entry);
    }
    message.set_entries(entries.into());
    let mut bytes = of_raft(&message);
    assert_eq!(raft_message::decode(&Bytes::from(bytes.clone())), Ok(message));
    strike(from, &mut bytes)?;
    let bytes = Bytes::from(bytes);
    if let Ok(read) = raft_message::decode(&bytes) {
        assert_eq!(raft_message::decode(&Bytes::from(of_raft(&read))), Ok(read));
    }
    Ok(())
}
