//! A whole history on a page of its own that zooms, pans and filters; `page.js` draws it, nothing is loaded from elsewhere.

use super::scene::{group_of, Scene, GROUPS, MARKS};
use super::{escaped, PALETTE};
use crate::args::Window;
use std::collections::BTreeMap;
use std::fmt::Write;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const BODY: &str = include_str!("page.html");

pub fn page(scene: &Scene, window: Window) -> String {
    let parts = [
        ("TITLE", escaped(&scene.title)),
        ("STYLE", format!("{PALETTE}{STYLE}")),
        ("DATA", data(scene, window)),
        ("SCRIPT", SCRIPT.to_string()),
    ];
    let mut out = String::new();
    let mut rest = BODY;
    // Each place once, in order: what is filled in is not looked through again.
    for (name, value) in parts {
        let place = format!("<!--{name}-->");
        let Some((before, after)) = rest.split_once(&place) else { continue };
        out = out + before + &value;
        rest = after;
    }
    out + rest
}

/// The scene as JSON, which `page.js` reads: texts once each, rows as short arrays.
fn data(scene: &Scene, window: Window) -> String {
    let mut texts = Texts::default();
    let (from_us, to_us) = scene.window(window);
    let groups: Vec<&str> = GROUPS.iter().map(|(group, _)| *group).collect();
    let group_at = |kind: &str| groups.iter().position(|group| *group == group_of(kind)).unwrap_or(groups.len() - 1);
    let mark_at = |kind: &str| MARKS.iter().position(|one| *one == kind).unwrap_or(0);
    let arrows = scene.arrows.iter().map(|arrow| {
        let (sent, end, arrived) = (arrow.sent_us, arrow.end_us, u8::from(arrow.arrived));
        format!("[{},{},{sent},{end},{arrived},{},{}]", arrow.from, arrow.to, group_at(arrow.kind), texts.at(&arrow.text))
    });
    let arrows = list(arrows.collect());
    let marks = list(scene.marks.iter().map(|mark| format!("[{},{},{},{}]", mark.node, mark.at_us, mark_at(mark.kind), texts.at(&mark.text))).collect());
    let faults = list(scene.faults.iter().map(|fault| format!("[{},{},{},{}]", fault.node, fault.from_us, fault.to_us, texts.at(&fault.name))).collect());
    let bars = list(scene.bars.iter().map(|bar| format!("[{},{},{},{},{},{}]", bar.node, bar.from_us, bar.to_us, quoted(bar.role), bar.term, bar.group)).collect());
    let violations = list(scene.violations.iter().map(|(at_us, what)| format!("[{at_us},{}]", quoted(what))).collect());
    let fields = [
        ("title", quoted(&scene.title)),
        ("replay", quoted(&scene.replay)),
        ("members", list(scene.members.iter().map(|name| quoted(name)).collect())),
        ("raftGroups", scene.groups.to_string()),
        ("end", scene.end_us.to_string()),
        ("calm", scene.calm_us.map_or("null".to_string(), |at_us| at_us.to_string())),
        ("window", format!("[{from_us},{to_us}]")),
        ("groups", list(groups.iter().map(|group| quoted(group)).collect())),
        ("markKinds", list(MARKS.iter().map(|kind| quoted(kind)).collect())),
        ("bars", bars),
        ("faults", faults),
        ("arrows", arrows),
        ("marks", marks),
        ("violations", violations),
        ("texts", list(texts.in_order.iter().map(|text| quoted(text)).collect())),
    ];
    let fields: Vec<String> = fields.into_iter().map(|(name, value)| format!("{}:{value}", quoted(name))).collect();
    format!("{{{}}}", fields.join(",\n"))
}

fn list(items: Vec<String>) -> String {
    format!("[{}]", items.join(","))
}

/// Each text once, by number.
#[derive(Default)]
struct Texts {
    numbers: BTreeMap<String, usize>,
    in_order: Vec<String>,
}

impl Texts {
    fn at(&mut self, text: &str) -> usize {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        self.numbers.insert(text.to_string(), self.in_order.len());
        self.in_order.push(text.to_string());
        self.in_order.len() - 1
    }
}

/// A JSON string that may also stand in a script element.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for one in text.chars() {
        match one {
            '"' => out += "\\\"",
            '\\' => out += "\\\\",
            control if control < ' ' || control == '<' => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{:04x}", control as u32);
            }
            other => out.push(other),
        }
    }
    out + "\""
}
