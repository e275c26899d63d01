//! Shared quotas of the process (`DB_TOTAL_MAX`), by name: the tiers of one process share one, in
//! whichever thread they were opened.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Weak},
};

use parking_lot::Mutex;
use serde::Deserialize;
use tokio::runtime::Handle;

use crate::pool::{self, Connector, Pool, Quota, QuotaShare, SharedQuota};

static BUDGETS: LazyLock<Mutex<HashMap<String, Weak<SharedQuota>>>> = LazyLock::new(Mutex::default);

/// A tier's share of a quota, as JavaScript sends it.
#[derive(Deserialize, Debug, Clone)]
pub(super) struct JsonQuota {
    name: String,
    /// Connections of all members together. The first member's word counts.
    total: usize,
    /// 0 goes first.
    rank: usize,
    /// The guarantees of all ranks, those included that are not open yet.
    #[serde(default)]
    guarantees: Vec<usize>,
}

/// Joins the budget; the tier's minimum is its guarantee.
pub(super) fn join(part: &JsonQuota, settings: &mut pool::PoolSettings, runtime: &Handle) -> Arc<QuotaShare> {
    let mut budgets = BUDGETS.lock();
    budgets.retain(|_, budget| budget.strong_count() > 0);
    let budget = budgets.get(&part.name).and_then(Weak::upgrade).unwrap_or_else(|| {
        let budget = SharedQuota::new(part.total, part.guarantees.clone(), runtime);
        budgets.insert(part.name.clone(), Arc::downgrade(&budget));
        budget
    });
    let member = budget.join(settings.min.min(settings.max), part.rank);
    settings.quota = Some(Arc::clone(&member) as Arc<dyn Quota>);
    member
}

/// Has the pool look again when the budget has changed.
pub(super) fn attach<C: Connector>(member: &QuotaShare, pool: &Pool<C>) {
    let pool = pool.downgrade();
    member.attach(move || {
        if let Some(pool) = pool.upgrade() {
            pool.reconsider();
        }
    });
}
