//! What the other two members send on the causal lane: entries, whole and as stubs, what they have, and what they ask for.

use crate::peers::{near, some_member, View, ME};
use crate::submissions::{submission, Shape};
use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use vexfs_core::causal::actor::Actor;
use vexfs_core::causal::head::{Head, Holders};
use vexfs_core::causal::message::{Entries, Form, Held, HeldAnswer, HeldQuery, KnownOf, Needed, Pull, ANSWER, CUT};
use vexfs_core::causal::FIRST_ORIGIN;
use vexfs_core::entry;
use vexfs_core::event::{Submission, SubmissionKind};
use vexfs_core::ids::{Index, MemberId};
use vexfs_core::peer::frame::{build, FrameKind};
use vexfs_core::stub;

/// Entries that were sent, whole: whoever has had the stub of one may ask for the rest.
#[derive(Default)]
pub struct Given {
    entries: BTreeMap<(Actor, u64), (Bytes, Bytes)>,
}

fn some_actor(from: &mut Unstructured<'_>, view: &View<'_>) -> Result<Actor> {
    Ok(Actor { member: some_member(from)?, incarnation: *from.choose(&[0, 0, 1, view.life as u32])? })
}

pub fn actors(from: &mut Unstructured<'_>, view: &View<'_>) -> Result<Vec<(Actor, u64)>> {
    (0..from.int_in_range(0..=3u8)?).map(|_| Ok((some_actor(from, view)?, near(from, 1)?))).collect()
}

fn some_holders(from: &mut Unstructured<'_>) -> Result<Option<Holders>> {
    if from.ratio(3u8, 4u8)? {
        return Ok(None);
    }
    let members: BTreeSet<MemberId> = (0..from.int_in_range(0..=3u8)?).map(|_| some_member(from)).collect::<Result<_>>()?;
    Ok(Some(Holders { version: Index(near(from, 1)?), members: members.into_iter().collect() }))
}

/// One of this actor, whole.
fn entry(from: &mut Unstructured<'_>, actor: Actor, origin: &str, view: &View<'_>) -> Result<(Bytes, Bytes)> {
    let mut follows = actors(from, view)?;
    follows.retain(|(other, _)| *other != actor);
    let (whole, holders) = (from.ratio(3u8, 4u8)?, some_holders(from)?);
    let shape = Shape { level: 1, origin, kind: Some(SubmissionKind::Events), ..Shape::default() };
    let submissions: Vec<Submission> = Submission::parse_causal(submission(from, &shape)?.into()).into_iter().collect();
    Ok((entry::pack(&submissions).into(), Head { actor, whole, follows, holders }.encode().into()))
}

impl Given {
    fn entries(&mut self, from: &mut Unstructured<'_>, life: u64, origin: &str, view: &View<'_>) -> Result<Vec<u8>> {
        let actor = Actor { member: MemberId::of(origin), incarnation: 0 };
        let first = near(from, 1)?;
        let mut list = Vec::new();
        for at in 0..from.int_in_range(0..=3u64)? {
            let counter = first.wrapping_add(at);
            // Mostly the same under the same number.
            let known = if from.ratio(7u8, 8u8)? { self.entries.get(&(actor, counter)).cloned() } else { None };
            let (data, context) = match known {
                Some(known) => known,
                None => entry(from, actor, origin, view)?,
            };
            self.entries.entry((actor, counter)).or_insert((data.clone(), context.clone()));
            // Now and then of what everybody holds, as nobody sends it.
            let is_stub = if Head::has_holders(&context) { from.arbitrary()? } else { from.ratio(1u8, 16u8)? };
            list.push((stub::of(&data).filter(|_| is_stub).unwrap_or(data), context));
        }
        let flags = *from.choose(&[0, 0, ANSWER, ANSWER | CUT])?;
        Ok(entries_body(life, actor, flags, first, &list))
    }

    /// What a member that keeps the rules answers: what it has given, one after the other, and stubs where these will do.
    pub fn answer(&self, asked: &[u8], view: &View<'_>) -> Option<Vec<u8>> {
        let Pull { actor, first, last, form } = Pull::decode(asked).ok()?;
        let me = MemberId::of(ME);
        let learns = view.status.conf.learners.contains(&me);
        let given = |counter| {
            let (data, context) = self.entries.get(&(actor, counter))?;
            let is_due = !learns || Head::decode(context).ok()?.names(me);
            let data = if form != Form::AsDue || is_due { data.clone() } else { stub::of(data)? };
            Some((data, context.clone()))
        };
        let list: Vec<_> = (first..=last).map_while(given).collect();
        Some(entries_body(1, actor, ANSWER, first, &list))
    }

    /// What the causal lane is sent.
    pub fn frame(&mut self, from: &mut Unstructured<'_>, origin: &str, view: &View<'_>) -> Result<Vec<u8>> {
        let life = *from.choose(&[1, 1, 1, 2])?;
        let mut body = Vec::new();
        let kind = match from.int_in_range(0..=9u8)? {
            0 => {
                let (all, waits, known) = (from.arbitrary()?, from.arbitrary()?, from.arbitrary()?);
                Held { all, waits, known, from: life, life: *from.choose(&[0, view.life])?, list: actors(from, view)? }.encode(&mut body);
                FrameKind::Held
            }
            1 => {
                let first = near(from, 1)?;
                Pull { actor: some_actor(from, view)?, first, last: near(from, first)?, form: *from.choose(&[Form::AsDue, Form::Whole, Form::Any])? }.encode(&mut body);
                FrameKind::Pull
            }
            2 => {
                KnownOf { life: view.life, table: Index(near(from, 1)?), list: actors(from, view)? }.encode(&mut body);
                FrameKind::OriginAnswer
            }
            3 => {
                HeldQuery { from: life, number: near(from, 1)?, list: actors(from, view)? }.encode(&mut body);
                FrameKind::HeldQuery
            }
            4 => {
                HeldAnswer { from: life, number: near(from, 1)?, table: Index(near(from, 1)?), list: actors(from, view)? }.encode(&mut body);
                FrameKind::HeldAnswer
            }
            5 => {
                Needed { list: actors(from, view)? }.encode(&mut body);
                FrameKind::StatesQuery
            }
            6 => {
                body.extend_from_slice(&life.to_le_bytes());
                FrameKind::OriginQuery
            }
            _ => {
                body = self.entries(from, life, origin, view)?;
                FrameKind::Entries
            }
        };
        Ok(build(kind, FIRST_ORIGIN, body.len(), |out| out.extend(body)))
    }
}

fn entries_body(life: u64, actor: Actor, flags: u32, first: u64, list: &[(Bytes, Bytes)]) -> Vec<u8> {
    let mut body = Vec::new();
    Entries::encode(life, actor, flags, Index(first), list.iter().map(|(data, context)| (data, context)), &mut body);
    body
}
