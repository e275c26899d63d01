//! The registry of all tiers in the process, those of worker threads included.
//!
//! A tier is listed while its owner holds it. A name that is taken gets the smallest free number behind it,
//! so that names stay unique, and few however many pools come and go.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;

use super::PoolMetrics;

static TIERS: Mutex<Tiers> = Mutex::new(Tiers { known: Vec::new(), next_id: 1 });
static LISTENER_FAULTS: AtomicU64 = AtomicU64::new(0);
static EVENT_LOOP_LAG_NANOS: AtomicU64 = AtomicU64::new(0);

struct Tiers {
    known: Vec<Weak<PoolMetrics>>,
    next_id: u32,
}

/// Makes and lists the metrics of a tier.
pub fn open(name: &str) -> Arc<PoolMetrics> {
    let mut tiers = TIERS.lock();
    tiers.known.retain(|metrics| metrics.strong_count() > 0);
    let taken: Vec<_> = tiers.known.iter().filter_map(Weak::upgrade).collect();
    let is_free = |candidate: &str| taken.iter().all(|metrics| metrics.name != candidate);
    let mut unique = name.to_owned();
    for number in 2.. {
        if is_free(&unique) {
            break;
        }
        unique = format!("{name}#{number}");
    }
    let metrics = Arc::new(PoolMetrics::new(unique, tiers.next_id));
    tiers.next_id = tiers.next_id.wrapping_add(1);
    tiers.known.push(Arc::downgrade(&metrics));
    metrics
}

/// Removes a tier that has ended.
pub fn close(metrics: &Arc<PoolMetrics>) {
    TIERS.lock().known.retain(|known| !std::ptr::eq(known.as_ptr(), Arc::as_ptr(metrics)));
}

/// The metrics of all tiers that are measured, in the order in which they were made.
pub fn all() -> Vec<Arc<PoolMetrics>> {
    TIERS.lock().known.iter().filter_map(Weak::upgrade).filter(|metrics| metrics.is_on()).collect()
}

/// Whether the pool of this name is not measured at the moment.
pub(super) fn is_off(name: &str) -> bool {
    TIERS
        .lock()
        .known
        .iter()
        .filter_map(Weak::upgrade)
        .any(|metrics| metrics.name == name && !metrics.is_on())
}

/// The metrics with this id.
pub fn find(id: u32) -> Option<Arc<PoolMetrics>> {
    all().into_iter().find(|metrics| metrics.id == id)
}

/// Whether warnings of the pool of this name go to standard error unasked.
pub(super) fn logs_warnings(name: &str) -> bool {
    all().iter().any(|metrics| metrics.name == name && metrics.logs_warnings())
}

/// Counts a listener of logs or alerts that threw.
pub fn listener_fault() {
    LISTENER_FAULTS.fetch_add(1, Ordering::Relaxed);
}

pub(super) fn listener_faults() -> u64 {
    LISTENER_FAULTS.load(Ordering::Relaxed)
}

/// Sets the delay of the JavaScript thread, as a monitor measured it.
pub fn set_event_loop_lag(lag: std::time::Duration) {
    EVENT_LOOP_LAG_NANOS.store(u64::try_from(lag.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

pub(super) fn event_loop_lag() -> std::time::Duration {
    std::time::Duration::from_nanos(EVENT_LOOP_LAG_NANOS.load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_name_gets_the_smallest_free_number() {
        let first = open("registry-test");
        let second = open("registry-test");
        let third = open("registry-test");
        assert_eq!(
            [&first, &second, &third].map(|v| v.name.as_str()),
            ["registry-test", "registry-test#2", "registry-test#3"]
        );
        drop(second);
        close(&third);
        let again = [open("registry-test"), open("registry-test")];
        assert_eq!(again.map(|v| v.name.clone()), ["registry-test#2", "registry-test#3"]);
        assert!(find(first.id).is_some_and(|found| Arc::ptr_eq(&found, &first)));
    }
}
