//! How much memory something takes at its most: an allocator that counts, for a whole test program.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

pub struct Counting;

thread_local! {
    /// What is held now, and the most since it was last asked.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

fn count(by: isize) {
    // At the end of a thread there is nobody left to ask.
    let _ = HELD.try_with(|held| {
        let (now, peak) = held.get();
        held.set((now + by, peak.max(now + by)));
    });
}

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: what the caller owes is owed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

/// What came of something, and how many bytes more than before this thread has held meanwhile; 0 without the allocator.
pub fn peak_of<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.with(|held| {
        held.set((held.get().0, held.get().0));
        held.get().0
    });
    let done = run();
    (done, HELD.with(|held| (held.get().1 - before).unsigned_abs()))
}

/// Bytes that this thread has taken and not given back.
pub fn held() -> isize {
    HELD.with(|held| held.get().0)
}
