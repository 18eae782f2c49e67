//! Files, threads and the real clock.
