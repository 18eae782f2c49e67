//! N-API surface of the coordinator.
