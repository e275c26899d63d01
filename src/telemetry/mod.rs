//! The telemetry of tiers: counted where it happens, read when somebody asks.
//!
//! A tier has a [`PoolMetrics`], listed in the [`registry`]. The table of [`metrics`] lists what is measured;
//! [`snapshot`] and [`prometheus`] write it as JSON and as Prometheus text. A [`PoolMonitor`] samples one
//! pool and compares its values with [`AlertThresholds`], which makes [`alerts`]; the [`event_log`] keeps and
//! passes on notable events. This folder imports no other folder, so that all others can use it.

mod alerts;
mod buckets;
mod clock;
mod counters;
mod diagnosis;
mod error_class;
pub mod event_log;
mod histogram;
mod log_writer;
pub mod metrics;
mod monitor;
mod place;
pub mod prometheus;
pub mod registry;
mod rule;
mod sliding_window;
pub mod snapshot;
mod thresholds;

pub use counters::{
    BreakerReport, BreakerState, LimitReduction, Operation, PoolMetrics, PoolReader, PoolReading,
};
pub use diagnosis::{Cause, Context, Leak};
pub use error_class::FailureClass;
pub use histogram::{Distribution, Histogram};
pub use monitor::{Foreign, PoolMonitor, Subject};
pub use place::{PoolPlace, ServerReport};
pub use rule::Rule;
pub use thresholds::{AlertThresholds, Threshold};
