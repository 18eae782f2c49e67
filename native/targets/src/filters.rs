//! Globs as subscribers give them, and paths that they are held against.

use crate::allocations::peak_of;
use arbitrary::{Result, Unstructured};
use vexfs_core::filter::Filter;

/// A compiled set, as `limits` of the globs let it be at the most.
const COMPILED_BYTES: usize = 64 * 1024 * 1024;

pub fn run(bytes: &[u8]) {
    let _ = play(&mut Unstructured::new(bytes));
}

fn play(from: &mut Unstructured<'_>) -> Result<()> {
    let codes: Vec<u16> = from.arbitrary_iter()?.take(2).collect::<Result<_>>()?;
    let mut globs = Vec::new();
    for _ in 0..from.int_in_range(1..=3u8)? {
        globs.push(text(from)?);
    }
    let (filter, peak) = peak_of(|| Filter::new(&codes, &[], &globs));
    assert!(peak <= COMPILED_BYTES, "{peak} bytes for {globs:?}");
    let Ok(filter) = filter else { return Ok(()) };
    let path = text(from)?;
    let admitted = filter.admits_named(7, [path.as_bytes(), b""]);
    assert_eq!(admitted, filter.admits_named(7, [b"", path.as_bytes()]), "either path counts alike");
    assert!(!filter.admits_named(7, [b"", b""]), "no path matches no glob");
    // A glob that is only itself matches only itself.
    if let [glob] = &globs[..] {
        let plain = !glob.is_empty() && glob.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'/');
        if plain && (codes.is_empty() || codes.contains(&7)) {
            assert_eq!(admitted, *glob == path);
        }
    }
    Ok(())
}

/// Mostly what globs are made of.
fn text(from: &mut Unstructured<'_>) -> Result<String> {
    const PIECES: [&str; 20] = ["*", "**", "/", "?", "[", "]", "{", "}", ",", "!", "-", "\\", "a", "b", "a/b", "**/", "[a-z]", "{a,b}", ".", "é"];
    let mut text = String::new();
    for _ in 0..from.int_in_range(0..=24u8)? {
        match from.ratio(7u8, 8u8)? {
            true => text.push_str(from.choose(&PIECES)?),
            false => text.push(from.arbitrary()?),
        }
    }
    Ok(text)
}
