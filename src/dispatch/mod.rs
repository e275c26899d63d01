//! The readable spine of one request: a [`Tier`] takes it, its pool finds a connection, the wire
//! runs it, the [`Answer`] hears of it.
//!
//! A tier is a pool of connections to one place, under one name. A plain `new Pool()` is a tier
//! without a name; the tiers of `getPool` are several, each with settings of its own, so that none
//! can take a connection from another.

mod answer;
mod attempt;
mod checkout;
mod hosts;
mod measure;
mod own;
mod settings;
mod wire;

use std::sync::Arc;

use tokio::runtime::Handle;

use self::answer::Told;
pub use self::{
    answer::{Answer, Failure},
    checkout::{Borrower, Direct},
    measure::Measured,
    settings::{Settings, SettingsError},
    wire::{Face, Wire},
};
use crate::{
    pool::{Counts, Pool, Ticket},
    postgres::Statement,
    vitals::{Vitals, registry},
};

/// The right to use one connection of a tier.
pub type Lease = crate::pool::Lease<Wire>;

/// Connections to one place, under one name.
pub struct Tier {
    pool: Pool<Wire>,
    vitals: Option<Arc<Vitals>>,
}

impl Tier {
    /// A tier whose connections report to `face`. Its tasks run on `runtime`.
    pub fn new(settings: Settings, face: Arc<dyn Face>, runtime: Handle) -> Self {
        let vitals = measure::open(&settings);
        let Settings { config, hosts, pool, .. } = settings;
        let (max, min) = (pool.max, pool.min);
        let wire = Wire::new(config, hosts, face, vitals.clone());
        let watch = wire.watch();
        let pool = Pool::new(wire, pool, runtime);
        watch.attach(&pool);
        if let Some(vitals) = &vitals {
            measure::attach(vitals, &pool, max, min);
        }
        Self { pool, vitals }
    }

    /// Runs a statement on any connection. An idle one is taken before this returns.
    pub fn query(&self, id: u32, statement: Arc<Statement>, answer: impl Answer) -> Ticket {
        let answer = Measured::begin(self.vitals.as_ref(), answer);
        self.pool.acquire(Box::new(attempt::Attempt::new(id, statement, answer)), None)
    }

    /// Lends a connection.
    pub fn connect(&self, borrower: impl Borrower) -> Ticket {
        self.pool.acquire(Box::new(checkout::Checkout(borrower)), None)
    }

    /// Takes back a request that still waits for a connection; false: it waits no longer.
    pub fn withdraw(&self, ticket: Ticket) -> bool {
        self.pool.withdraw(ticket)
    }

    /// Refuses new work, drains, closes; then calls `done`, once.
    pub fn end(&self, done: impl FnOnce() + Send + 'static) {
        let vitals = self.vitals.clone();
        self.pool.end(move || {
            if let Some(vitals) = vitals {
                registry::close(&vitals);
            }
            done();
        });
    }

    /// The record of what happens here; none: monitoring is off.
    pub fn vitals(&self) -> Option<&Arc<Vitals>> {
        self.vitals.as_ref()
    }

    /// What the pool holds now.
    pub fn counts(&self) -> Counts {
        self.pool.counts()
    }
}
