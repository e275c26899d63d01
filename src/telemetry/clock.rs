//! The wall clock of events and snapshots.

use std::time::{SystemTime, UNIX_EPOCH};

/// The time in milliseconds since 1970.
pub(super) fn epoch_millis() -> u64 {
    millis_since_epoch(SystemTime::now())
}

/// A moment, in milliseconds since 1970.
pub(super) fn millis_since_epoch(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
