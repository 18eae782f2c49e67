//! A part of a history as one still picture. Colours follow the reader's light or dark mode; every shape has a tooltip.

use super::scene::{group_of, Arrow, Bar, Mark, Scene, GROUPS};
use super::{escaped, PALETTE};
use crate::args::Window;
use crate::summary;
use std::fmt::Write;

const LEFT: f64 = 56.0;
const RIGHT: f64 = 24.0;
/// Title, legend and times.
const TOP: f64 = 104.0;
const LANE: f64 = 124.0;
/// Half the height of a role's bar.
const BAR: f64 = 8.0;
const FAULT_ROWS: usize = 3;
const ROW: f64 = 12.0;
const LINE: f64 = 17.0;
/// Width of a letter, about.
const LETTER: f64 = 6.1;

const STYLE: &str = "
text { font: 11px ui-sans-serif, system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: var(--ink); }
.title { font-size: 15px; font-weight: 600; } .soft { fill: var(--soft); } .name { font-size: 17px; font-weight: 700; }
.paper { fill: var(--paper); } .band { fill: var(--band); } .rule { stroke: var(--rule); } .calm { stroke: var(--calm); stroke-dasharray: 5 4; }
.calm-text { fill: var(--calm); } .arrow { fill: none; stroke-width: 1.15; } .thick { stroke-width: 1.8; } .faint { stroke-width: .8; opacity: .55; } .lost { stroke-dasharray: 4 3; }
.role { rx: 3px; } .role-text { font-size: 10px; font-weight: 600; fill: var(--on-role); }
.fault { fill: var(--fault); opacity: .13; } .edge { stroke: var(--fault); stroke-width: 1.2; opacity: .75; } .fault-text { font-size: 10px; fill: var(--fault); paint-order: stroke; stroke: var(--paper); stroke-width: 3px; stroke-linejoin: round; }
.violation { stroke: var(--violation); stroke-width: 2; } .violation-text { fill: var(--violation); font-size: 12px; font-weight: 600; }
.m { fill: none; stroke: var(--mark); stroke-width: 1; opacity: .8; } .m-snapshot, .m-members { fill: var(--snapshot); stroke: none; opacity: 1; }
.m-members { fill: var(--member); } .m-damage, .m-failed { stroke: var(--fault); stroke-width: 1.8; opacity: 1; } .m-start { fill: var(--leader); stroke: none; opacity: 1; }
";

struct Picture<'a> {
    scene: &'a Scene,
    from_us: u64,
    to_us: u64,
    width: f64,
    out: String,
    /// Names of faults, to be written over the arrows.
    labels: Vec<(f64, f64, String)>,
}

pub fn draw(scene: &Scene, window: Window) -> String {
    let (from_us, to_us) = scene.window(window);
    let inner = ((to_us - from_us) as f64 / 1_000.0 * 0.9).clamp(1_150.0, 6_000.0);
    let width = LEFT + inner + RIGHT;
    let mut picture = Picture { scene, from_us, to_us, width, out: String::new(), labels: Vec::new() };
    picture.head();
    picture.lanes();
    picture.faults();
    // Heartbeats lie under everything else that moves.
    let beats = |arrow: &&Arrow| group_of(arrow.kind) == "heartbeat";
    let seen: Vec<&Arrow> = scene.arrows.iter().filter(|arrow| arrow.end_us >= from_us && arrow.sent_us <= to_us).collect();
    seen.iter().filter(|arrow| beats(arrow)).for_each(|arrow| picture.arrow(arrow));
    seen.iter().filter(|arrow| !beats(arrow)).for_each(|arrow| picture.arrow(arrow));
    for (x, y, label) in std::mem::take(&mut picture.labels) {
        picture.text("fault-text", x, y, &label);
    }
    scene.bars.iter().for_each(|bar| picture.bar(bar));
    scene.marks.iter().for_each(|mark| picture.mark(mark));
    picture.foot()
}

impl Picture<'_> {
    fn bottom(&self) -> f64 {
        TOP + LANE * self.scene.members.len() as f64
    }

    fn x(&self, at_us: u64) -> f64 {
        let share = (at_us.clamp(self.from_us, self.to_us) - self.from_us) as f64 / (self.to_us - self.from_us) as f64;
        LEFT + share * (self.width - LEFT - RIGHT)
    }

    fn y(&self, node: usize) -> f64 {
        TOP + LANE * node as f64 + LANE / 2.0
    }

    fn seen(&self, from_us: u64, to_us: u64) -> bool {
        to_us >= self.from_us && from_us <= self.to_us
    }

    /// Adds a line; writing to a string cannot fail.
    fn put(&mut self, line: std::fmt::Arguments<'_>) {
        let _ = self.out.write_fmt(line);
        self.out.push('\n');
    }

    fn text(&mut self, class: &str, x: f64, y: f64, text: &str) {
        self.put(format_args!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escaped(text)));
    }

    /// Violations in words, as long as a line of the picture.
    fn footnotes(&self) -> Vec<String> {
        let letters = ((self.width - LEFT - RIGHT) / (LETTER + 0.9)) as usize;
        let mut lines = Vec::new();
        for (at_us, what) in &self.scene.violations {
            let mut line = format!("{} s  VIOLATION", summary::seconds(*at_us));
            for word in what.split(' ') {
                if line.len() + word.len() > letters {
                    lines.push(std::mem::replace(&mut line, "     ".to_string()));
                }
                line = line + " " + word;
            }
            lines.push(line);
        }
        lines
    }

    fn head(&mut self) {
        let scene = self.scene;
        let height = self.bottom() + 30.0 + LINE * (self.footnotes().len() + 1) as f64;
        let width = self.width;
        self.put(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\">"
        ));
        self.put(format_args!("<title>{}</title>", escaped(&scene.title)));
        self.put(format_args!("<style>{PALETTE}{STYLE}</style>"));
        self.put(format_args!("<rect class=\"paper\" width=\"100%\" height=\"100%\"/>"));
        self.text("title", 16.0, 26.0, &scene.title);
        let (from, to) = (summary::seconds(self.from_us), summary::seconds(self.to_us));
        let when = format!("{from} s to {to} s of {} s", summary::seconds(scene.end_us));
        self.text("soft", 16.0, 44.0, &when);
        self.legend();
    }

    fn legend(&mut self) {
        let mut x = 16.0;
        for role in ["leader", "candidate", "follower", "down"] {
            self.put(format_args!("<rect x=\"{x:.1}\" y=\"56\" width=\"14\" height=\"9\" rx=\"2\" style=\"fill: var(--{role})\"/>"));
            self.text("soft", x + 18.0, 65.0, role);
            x += 30.0 + LETTER * role.len() as f64;
        }
        for (group, _) in GROUPS {
            if !self.scene.arrows.iter().any(|arrow| group_of(arrow.kind) == group && self.seen(arrow.sent_us, arrow.end_us)) {
                continue;
            }
            self.put(format_args!(
                "<path class=\"arrow thick\" style=\"stroke: var(--{group})\" d=\"M{x:.1} 60.5 h16 m-5 -3 l5 3 l-5 3\"/>"
            ));
            self.text("soft", x + 21.0, 65.0, group);
            x += 33.0 + LETTER * group.len() as f64;
        }
        for kind in ["write", "asked", "ended", "snapshot", "members", "start", "damage"] {
            self.put(format_args!("<path class=\"m m-{kind}\" d=\"{}\"/>", glyph(kind, x + 5.0, 60.5)));
            let word = if kind == "asked" { "request" } else if kind == "ended" { "answer" } else { kind };
            self.text("soft", x + 13.0, 65.0, word);
            x += 26.0 + LETTER * word.len() as f64;
        }
    }

    fn lanes(&mut self) {
        let (from, to, bottom) = (LEFT, self.width - RIGHT, self.bottom());
        for (node, name) in self.scene.members.iter().enumerate() {
            let y = self.y(node);
            if node % 2 == 0 {
                let (top, width) = (y - LANE / 2.0, self.width);
                self.put(format_args!("<rect class=\"band\" x=\"0\" y=\"{top:.1}\" width=\"{width:.0}\" height=\"{LANE}\"/>"));
            }
            self.text("name", 20.0, y + 6.0, name);
            self.put(format_args!("<path class=\"rule\" d=\"M{from} {y:.1} H{to:.1}\"/>"));
        }
        let step = nice_step((self.to_us - self.from_us) as f64 / ((to - from) / 90.0));
        let mut at_us = self.from_us.div_ceil(step) * step;
        while at_us <= self.to_us {
            let x = self.x(at_us);
            self.put(format_args!("<path class=\"rule\" d=\"M{x:.1} {:.1} V{bottom:.1}\"/>", TOP - 8.0));
            let places = if step >= 1_000 { 3 } else { 6 };
            let label = format!("{:.places$} s", at_us as f64 / 1e6);
            self.text("soft", x - LETTER * label.len() as f64 / 2.0, TOP - 13.0, &label);
            at_us += step;
        }
        if let Some(calm_us) = self.scene.calm_us.filter(|at_us| self.seen(*at_us, *at_us)) {
            let x = self.x(calm_us);
            self.put(format_args!("<path class=\"calm\" d=\"M{x:.1} {:.1} V{bottom:.1}\"/>", TOP - 8.0));
            let left = if x + 90.0 > self.width { x - 90.0 } else { x + 4.0 };
            self.text("calm-text", left, bottom - 5.0, "the faults stop");
        }
    }

    fn faults(&mut self) {
        let mut rows = vec![[0.0_f64; FAULT_ROWS]; self.scene.members.len()];
        let scene = self.scene;
        for fault in &scene.faults {
            if !self.seen(fault.from_us, fault.to_us) {
                continue;
            }
            let (x, end, y) = (self.x(fault.from_us), self.x(fault.to_us), self.y(fault.node));
            let (top, bottom) = (y - LANE / 2.0 + 2.0, y + LANE / 2.0 - 2.0);
            let tip = format!("{} s to {} s: {}", summary::seconds(fault.from_us), summary::seconds(fault.to_us), fault.name);
            self.put(format_args!(
                "<g><title>{}</title><rect class=\"fault\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"/><path class=\"edge\" d=\"M{x:.1} {top:.1} V{bottom:.1}\"/></g>",
                escaped(&tip),
                (end - x).max(3.0),
                bottom - top
            ));
            let label = fault.name.split(" (fault").next().unwrap_or(&fault.name);
            let length = LETTER * label.len() as f64;
            let left = (x + 4.0).min(self.width - RIGHT - length);
            let Some(row) = rows[fault.node].iter().position(|taken| *taken < left) else { continue };
            rows[fault.node][row] = left + length + 4.0;
            self.labels.push((left, top + 10.0 + ROW * row as f64, label.to_string()));
        }
    }

    fn arrow(&mut self, arrow: &Arrow) {
        let down = if arrow.to > arrow.from { 1.0 } else { -1.0 };
        let (x, y) = (self.x(arrow.sent_us), self.y(arrow.from) + down * BAR);
        let (mut end_x, mut end_y) = (self.x(arrow.end_us), self.y(arrow.to) - down * BAR);
        if !arrow.arrived {
            // Lost on its way: it gets no farther than this.
            (end_x, end_y) = (x + (end_x - x).min(14.0), y + down * 26.0);
        }
        let length = (end_x - x).hypot(end_y - y).max(1.0);
        let (along, across) = ((end_x - x) / length, (end_y - y) / length);
        let head = match arrow.arrived {
            true => {
                let (back_x, back_y) = (end_x - 6.0 * along, end_y - 6.0 * across);
                format!(
                    "M{:.1} {:.1} L{end_x:.1} {end_y:.1} L{:.1} {:.1}",
                    back_x - 3.0 * across,
                    back_y + 3.0 * along,
                    back_x + 3.0 * across,
                    back_y - 3.0 * along
                )
            }
            false => format!("M{:.1} {:.1} l6 6 m0 -6 l-6 6", end_x - 3.0, end_y - 3.0),
        };
        let group = group_of(arrow.kind);
        let class = match (group, arrow.arrived) {
            ("heartbeat", _) => " faint",
            ("vote" | "snapshot" | "repair" | "member", true) => " thick",
            (_, false) => " lost",
            _ => "",
        };
        let names = (&self.scene.members[arrow.from], &self.scene.members[arrow.to]);
        let ends = if arrow.arrived { "" } else { ", lost" };
        let tip = format!(
            "{} to {}, {} s to {} s{ends}: {}",
            names.0,
            names.1,
            summary::seconds(arrow.sent_us),
            summary::seconds(arrow.end_us),
            arrow.text
        );
        self.put(format_args!(
            "<path class=\"arrow{class}\" style=\"stroke: var(--{group})\" d=\"M{x:.1} {y:.1} L{end_x:.1} {end_y:.1} {head}\"><title>{}</title></path>",
            escaped(&tip)
        ));
    }

    fn bar(&mut self, bar: &Bar) {
        if !self.seen(bar.from_us, bar.to_us) {
            return;
        }
        // A stripe for each group.
        let (x, end, height) = (self.x(bar.from_us), self.x(bar.to_us), 2.0 * BAR / f64::from(self.scene.groups));
        let top = self.y(bar.node) - BAR + height * f64::from(bar.group);
        let (role, term) = (bar.role, bar.term);
        let words = if role == "down" { role.to_string() } else { format!("{role}, term {term}") };
        let of = if self.scene.groups > 1 { format!(" of group {}", bar.group) } else { String::new() };
        let tip = format!("{} is {words}{of}, {} s to {} s", self.scene.members[bar.node], summary::seconds(bar.from_us), summary::seconds(bar.to_us));
        self.put(format_args!(
            "<rect class=\"role\" style=\"fill: var(--{role})\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{}</title></rect>",
            top,
            (end - x).max(1.0),
            height,
            escaped(&tip)
        ));
        let room = end - x - 8.0;
        let short = if role == "down" { String::new() } else { format!("{term}") };
        let fits = |label: &&String| self.scene.groups == 1 && LETTER * label.len() as f64 <= room;
        if let Some(label) = [words, short].iter().find(fits) {
            let class = if role == "down" { "soft" } else { "role-text" };
            self.text(class, x + 5.0, top + BAR + 3.6, label);
        }
    }

    fn mark(&mut self, mark: &Mark) {
        if !self.seen(mark.at_us, mark.at_us) {
            return;
        }
        let below = match mark.kind {
            "write" | "asked" | "ended" => BAR + 8.0,
            "snapshot" | "members" => BAR + 36.0,
            _ => BAR + 22.0,
        };
        let (x, y) = (self.x(mark.at_us), self.y(mark.node) + below);
        let tip = format!("{} s: {}", summary::seconds(mark.at_us), mark.text);
        self.put(format_args!(
            "<path class=\"m m-{}\" d=\"{}\"><title>{}</title></path>",
            mark.kind,
            glyph(mark.kind, x, y),
            escaped(&tip)
        ));
    }

    fn foot(mut self) -> String {
        let bottom = self.bottom();
        let scene = self.scene;
        for (at_us, what) in &scene.violations {
            if !self.seen(*at_us, *at_us) {
                continue;
            }
            let x = self.x(*at_us);
            self.put(format_args!(
                "<path class=\"violation\" d=\"M{x:.1} {:.1} V{:.1}\"><title>{}</title></path>",
                TOP - 10.0,
                bottom + 8.0,
                escaped(what)
            ));
        }
        let mut y = bottom + 26.0;
        for line in self.footnotes() {
            self.text("violation-text", 16.0, y, &line);
            y += LINE;
        }
        let replay = self.scene.replay.clone();
        self.text("soft", 16.0, y, &replay);
        self.out += "</svg>\n";
        self.out
    }
}

/// The shape of a kind of mark around a point.
fn glyph(kind: &str, x: f64, y: f64) -> String {
    match kind {
        "write" => format!("M{x:.1} {:.1} v8", y - 4.0),
        "asked" => format!("M{:.1} {:.1} h6 l-3 6 z", x - 3.0, y - 3.0),
        "ended" => format!("M{:.1} {:.1} h6 l-3 -6 z", x - 3.0, y + 3.0),
        "snapshot" => format!("M{x:.1} {:.1} l5 5 l-5 5 l-5 -5 z", y - 5.0),
        "members" => format!("M{:.1} {:.1} h8 v8 h-8 z", x - 4.0, y - 4.0),
        "start" => format!("M{:.1} {:.1} l8 4 l-8 4 z", x - 4.0, y - 4.0),
        _ => format!("M{:.1} {:.1} l8 8 m0 -8 l-8 8", x - 4.0, y - 4.0),
    }
}

/// The next of 1, 2 and 5 times a power of ten.
fn nice_step(least_us: f64) -> u64 {
    let mut power = 1;
    loop {
        for times in [1, 2, 5] {
            if (power * times) as f64 >= least_us {
                return power * times;
            }
        }
        power *= 10;
    }
}
