//! What the tiers tell of themselves: counted where it happens, read whenever somebody looks.
//!
//! A tier has a [`Vitals`], listed in the [`registry`]. The table of [`names`] says what there is;
//! [`snapshot`] and [`exposition`] tell it as JSON and as Prometheus text. [`alerts`] watch values
//! against [`thresholds`]; the [`journal`] keeps and passes on notable events. This folder imports
//! nothing of ours, so that all others can use it.

pub mod alerts;
pub mod exposition;
mod failure;
mod histogram;
pub mod journal;
pub mod names;
mod record;
pub mod registry;
pub mod snapshot;
mod stderr;
mod thresholds;

pub use failure::FailureClass;
pub use histogram::{Distribution, Histogram};
pub use record::{BreakerState, Operation, Reader, Reading, Vitals};
pub use thresholds::{Threshold, Thresholds};
