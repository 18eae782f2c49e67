//! Space-time diagrams (Lamport 1978, "Time, Clocks, and the Ordering of Events in a Distributed System"): a line for each
//! member, an arrow for each frame. `scene` is what there is to see, `svg` and `html` are two ways to show it.

pub mod html;
pub mod scene;
pub mod svg;

pub use scene::Scene;

/// Colours by name, for light and dark; both ways to show a scene use them.
const PALETTE: &str = include_str!("palette.css");

/// Text within XML or HTML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for one in text.chars() {
        match one {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            // What XML does not allow even as a reference.
            control if control < ' ' && control != '\n' && control != '\t' => out.push('?'),
            other => out.push(other),
        }
    }
    out
}
