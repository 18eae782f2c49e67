//! Calling the other side once for everything that has gathered.

use parking_lot::{Mutex, RwLock};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

type Call = Box<dyn Fn() -> bool + Send + Sync>;

/// A slot for "come and fetch". Each attachment has a token, so that a late detach cannot remove its successor.
#[derive(Default)]
pub struct Waker {
    call: RwLock<Option<(u64, Call)>>,
    tokens: AtomicU64,
    /// Set while a call is on its way and has not fetched yet.
    called: AtomicBool,
}

impl Waker {
    pub fn attach(&self, call: Call) -> u64 {
        let token = self.tokens.fetch_add(1, Ordering::Relaxed) + 1;
        *self.call.write() = Some((token, call));
        self.called.store(false, Ordering::SeqCst);
        self.wake();
        token
    }

    pub fn detach(&self, token: u64) {
        let mut slot = self.call.write();
        if slot.as_ref().is_some_and(|(held, _)| *held == token) {
            *slot = None;
        }
    }

    /// Calls unless a call is on its way. A call that could not be made is made again by the next wake.
    pub fn wake(&self) {
        if self.called.swap(true, Ordering::SeqCst) {
            return;
        }
        let delivered = self.call.read().as_ref().is_some_and(|(_, call)| call());
        if !delivered {
            self.called.store(false, Ordering::SeqCst);
        }
    }

    /// To be said before fetching: what comes from now on needs another call.
    pub fn fetched(&self) {
        self.called.store(false, Ordering::SeqCst);
    }
}

/// Bytes gathered for the other side.
#[derive(Default)]
pub struct Mailbox {
    bytes: Mutex<Vec<u8>>,
    pub waker: Waker,
}

impl Mailbox {
    pub fn put(&self, fill: impl FnOnce(&mut Vec<u8>)) {
        fill(&mut self.bytes.lock());
        self.waker.wake();
    }

    pub fn take(&self) -> Vec<u8> {
        self.waker.fetched();
        std::mem::take(&mut *self.bytes.lock())
    }
}
