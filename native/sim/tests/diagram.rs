//! Diagrams are well-formed and show what there was: members, arrows, faults and the violation.

use vexfs_sim::args::Window;
use vexfs_sim::diagram::scene::group_of;
use vexfs_sim::diagram::{html, svg, Scene};
use vexfs_sim::plants::Plant;
use vexfs_sim::record::Recorder;
use vexfs_sim::run::run_recorded;
use vexfs_sim::setup::Changes;

/// A planted bug's first seed that breaks what its pictures are looked at for, as a scene.
fn scene() -> Scene {
    let changes = Changes::planted(Plant::AckBeforeSync);
    let failing = (0..200).map(|seed| run_recorded(seed, &changes, Recorder::on()));
    let (report, recorder) = failing.into_iter().find(|(report, _)| report.violations.iter().any(|what| what.starts_with("acknowledged_is_durable"))).expect("it is caught");
    Scene::of(&report, &changes, &recorder)
}

const ALL: Window = Window { from_us: Some(0), to_us: None };

#[test]
fn a_picture_is_well_formed_and_shows_everything() {
    let scene = scene();
    let picture = svg::draw(&scene, Window { to_us: Some(u64::MAX), ..ALL });
    well_formed(&picture);
    for name in &scene.members {
        assert!(picture.contains(&format!(">{name}</text>")), "member {name}");
    }
    assert_eq!(picture.matches("<path class=\"arrow").count(), scene.arrows.len() + legend(&picture));
    assert_eq!(picture.matches("<rect class=\"fault\"").count(), scene.faults.len());
    assert_eq!(picture.matches("<rect class=\"role\"").count(), scene.bars.len());
    assert_eq!(picture.matches("<path class=\"violation\"").count(), scene.violations.len());
    assert!(picture.contains("VIOLATION acknowledged_is_durable"));
    assert!(picture.contains("leader, term") && scene.arrows.len() > 20);
}

/// Arrows that explain a colour.
fn legend(picture: &str) -> usize {
    picture.matches("h16 m-5 -3").count()
}

#[test]
fn a_window_shows_its_part() {
    let scene = scene();
    let middle = scene.violations[0].0 / 2;
    let part = svg::draw(&scene, Window { from_us: Some(0), to_us: Some(middle) });
    well_formed(&part);
    assert!(!part.contains("<path class=\"violation\""));
    // What broke is said under every part.
    assert!(part.contains("VIOLATION acknowledged_is_durable"));
    let seen = scene.arrows.iter().filter(|arrow| arrow.sent_us <= middle).count();
    assert_eq!(part.matches("<path class=\"arrow").count(), seen + legend(&part));
    let (from_us, to_us) = scene.window(Window::default());
    assert!(to_us - from_us <= 2_000_000 && (from_us..to_us).contains(&scene.violations[0].0));
}

#[test]
fn arrows_end_where_they_arrive() {
    let scene = scene();
    for arrow in &scene.arrows {
        assert!(arrow.sent_us <= arrow.end_us && arrow.from != arrow.to, "{arrow:?}");
        if arrow.arrived {
            assert!(arrow.sent_us < arrow.end_us, "nothing arrives at once: {arrow:?}");
            let down = scene.bars.iter().any(|bar| {
                bar.node == arrow.to && bar.role == "down" && bar.from_us < arrow.end_us && arrow.end_us < bar.to_us
            });
            assert!(!down, "a member that is down takes nothing: {arrow:?}");
        }
    }
    assert!(scene.arrows.iter().filter(|arrow| arrow.arrived).count() * 2 > scene.arrows.len());
    bars_follow(&scene);
}

/// Bars of a member, in each group, follow one another without gap.
fn bars_follow(scene: &Scene) {
    for (node, group) in (0..scene.members.len()).flat_map(|node| (0..scene.groups).map(move |group| (node, group))) {
        let bars: Vec<_> = scene.bars.iter().filter(|bar| (bar.node, bar.group) == (node, group)).collect();
        assert_eq!(bars.first().map(|bar| bar.from_us), Some(0));
        assert_eq!(bars.last().map(|bar| bar.to_us), Some(scene.end_us));
        assert!(bars.windows(2).all(|pair| pair[0].to_us == pair[1].from_us));
    }
}

#[test]
fn groups_have_stripes_of_their_own() {
    let changes = Changes { groups: Some(3), until_ms: Some(3_000), ..Changes::default() };
    let (report, recorder) = run_recorded(1, &changes, Recorder::on());
    let scene = Scene::of(&report, &changes, &recorder);
    bars_follow(&scene);
    for group in 0..3 {
        assert!(scene.bars.iter().any(|bar| bar.group == group && bar.role == "leader"), "group {group} has a leader");
    }
    let picture = svg::draw(&scene, ALL);
    well_formed(&picture);
    assert!(picture.contains("of group 2") && scene.arrows.iter().any(|arrow| arrow.text.ends_with("of group 2")));
}

#[test]
fn a_page_carries_its_data_and_nothing_from_elsewhere() {
    let scene = scene();
    let page = html::page(&scene, Window::default());
    let (_, rest) = page.split_once("<script id=\"data\" type=\"application/json\">").expect("there is data");
    let (data, rest) = rest.split_once("</script>").expect("it ends");
    let mut json = Json { text: data.trim().as_bytes(), at: 0 };
    json.value();
    assert_eq!(json.at, json.text.len(), "one value and nothing after it");
    assert!(data.contains("acknowledged_is_durable"));
    let members: Vec<String> = scene.members.iter().map(|name| format!("\"{name}\"")).collect();
    assert!(data.contains(&format!("\"members\":[{}]", members.join(","))));
    for place in ["<!--", "http:", "https:", "src=", "@import", "url("] {
        assert!(!page.contains(place), "{place}");
    }
    assert!(rest.contains("JSON.parse") && page.trim_end().ends_with("</html>"));
}

/// A kind of frame that was added since has a name here, and a colour.
#[test]
fn every_frame_has_a_kind_that_is_known() {
    for seed in 0..40 {
        let changes = Changes::default();
        let (report, recorder) = run_recorded(seed, &changes, Recorder::on());
        for arrow in &Scene::of(&report, &changes, &recorder).arrows {
            assert!(arrow.kind != "Unknown" && group_of(arrow.kind) != "other", "{}: {}", arrow.kind, arrow.text);
        }
    }
}

/// Every element is closed by its own name, every attribute quoted, every reference known.
fn well_formed(xml: &str) {
    let (mut open, mut rest) = (Vec::new(), xml);
    while let Some(at) = rest.find('<') {
        text_is_fine(&rest[..at]);
        let end = rest[at..].find('>').expect("a tag ends") + at;
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
            continue;
        }
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        let closed = tag.ends_with('/');
        let parts: Vec<&str> = attributes.trim_end_matches('/').split('"').collect();
        assert!(parts.len() % 2 == 1 && parts.last().is_some_and(|last| last.trim().is_empty()), "{tag}");
        for (at, part) in parts[..parts.len() - 1].iter().enumerate() {
            match at % 2 {
                0 => assert!(part.trim().strip_suffix('=').is_some_and(|name| !name.is_empty() && !name.contains(' ')), "{tag}"),
                _ => text_is_fine(part),
            }
        }
        if !closed {
            open.push(name.trim_end_matches('/'));
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
}

fn text_is_fine(text: &str) {
    assert!(!text.contains('<'));
    for part in text.split('&').skip(1) {
        let name = part.split(';').next().unwrap_or("");
        assert!(["amp", "lt", "gt", "quot"].contains(&name), "&{part}");
    }
}

/// Reads a JSON value, and panics where there is none.
struct Json<'a> {
    text: &'a [u8],
    at: usize,
}

impl Json<'_> {
    fn value(&mut self) {
        self.space();
        match self.text[self.at] {
            open @ (b'{' | b'[') => {
                self.at += 1;
                self.space();
                let close = if open == b'{' { b'}' } else { b']' };
                while self.text[self.at] != close {
                    if open == b'{' {
                        self.string();
                        self.take(b':');
                    }
                    self.value();
                    self.space();
                    if self.text[self.at] != close {
                        self.take(b',');
                        self.space();
                        assert_ne!(self.text[self.at], close, "a comma before the end");
                    }
                }
                self.at += 1;
            }
            b'"' => self.string(),
            b'n' => b"null".iter().for_each(|byte| self.take(*byte)),
            _ => {
                let from = self.at;
                while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
                    self.at += 1;
                }
                assert!(self.at > from, "a number at {from}");
            }
        }
    }

    fn string(&mut self) {
        self.space();
        self.take(b'"');
        while self.text[self.at] != b'"' {
            assert!(self.text[self.at] >= b' ');
            self.at += if self.text[self.at] == b'\\' { 2 } else { 1 };
        }
        self.at += 1;
    }

    fn space(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) {
        assert_eq!(self.text[self.at] as char, byte as char, "at {}", self.at);
        self.at += 1;
    }
}
