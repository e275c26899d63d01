//! What the parts of one tier share: whom they report to, what they are measured by, where they run.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::{Observer, adaptive::Adaptive};
use crate::telemetry::PoolMetrics;

pub(super) struct TierContext {
    pub(super) observer: Arc<dyn Observer>,
    pub(super) runtime: Handle,
    /// The metrics of the tier; none: monitoring is off.
    pub(super) metrics: Option<Arc<PoolMetrics>>,
    pub(super) adaptive: Arc<Adaptive>,
}
