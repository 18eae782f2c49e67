//! A panic of the product is a finding, told with its place like any other; it is not printed where it happens, since a
//! hunt prints what it found once, and a planted bug may panic a thousand times.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    /// `Some` while this thread runs a simulation: the place of its last panic, empty before one.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Carries something out; an error is the message of its panic and where that was.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    keep_places();
    PLACE.set(Some(String::new()));
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    let place = PLACE.take().unwrap_or_default();
    done.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
        format!("{} ({place})", text.unwrap_or_default())
    })
}

/// Puts a hook before the one that prints; other threads' panics go on to it.
fn keep_places() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let kept = PLACE.with_borrow_mut(|place| {
                let at = info.location().map_or(String::new(), |at| format!("{}:{}", short(at.file()), at.line()));
                place.as_mut().map(|place| *place = at).is_some()
            });
            if !kept {
                before(info);
            }
        }));
    });
}

/// A source file without what differs from machine to machine.
fn short(file: &str) -> &str {
    let parts: Vec<usize> = file.match_indices('/').map(|(at, _)| at).collect();
    parts.len().checked_sub(3).map_or(file, |from| &file[parts[from] + 1..])
}

#[cfg(test)]
mod tests {
    use super::caught;

    #[test]
    fn a_panic_is_told_with_its_place() {
        assert_eq!(caught(|| 7), Ok(7));
        let what = caught(|| -> u32 { panic!("gone {}", 1) }).expect_err("it panics");
        assert!(what.starts_with("gone 1 (") && what.contains("src/panics.rs:"), "{what}");
    }
}
