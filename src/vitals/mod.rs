//! What the tiers tell of themselves: counted where it happens, read whenever somebody looks.
//!
//! A tier has a [`Vitals`], listed in the [`registry`]. The table of [`names`] says what there is;
//! [`snapshot`] and [`exposition`] tell it as JSON and as Prometheus text. A [`Watch`] looks at one
//! pool and holds its values against [`Thresholds`], which makes [`alerts`]; the [`journal`] keeps and passes on
//! notable events. This folder imports nothing of ours, so that all others can use it.

pub mod alerts;
mod cause;
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
mod watch;
mod window;

pub use cause::{Cause, Context, Leak};
pub use failure::FailureClass;
pub use histogram::{Distribution, Histogram};
pub use record::{BreakerState, Operation, Reader, Reading, Vitals};
pub use thresholds::{Threshold, Thresholds};
pub use watch::{Foreign, Subject, Watch};
