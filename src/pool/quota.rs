//! A quota: the limit that several pools keep together. The pool asks it before it takes a slot, and tells it
//! when one is free again.

use std::fmt::Debug;

use tokio::time::Instant;

/// A limit on the connections of a pool from outside. Its methods are called under the pool's lock: they
/// neither call the pool nor wait.
pub trait Quota: Debug + Send + Sync + 'static {
    /// Takes one connection, if there may be one more.
    fn take(&self) -> bool;

    /// Gives one connection back: it is closed.
    fn release(&self);

    /// Reports the need of the pool. Called whenever it has changed.
    fn report(&self, need: Need);

    /// Whether the pool is to give a free connection up. True: it closes one now.
    fn asks_one_back(&self) -> bool;

    /// How many connections the pool may have at this moment, those that it has included.
    fn limit(&self) -> usize;

    /// The pool's `min` has changed: what it is guaranteed follows, as far as there is room.
    fn set_guarantee(&self, min: usize);
}

/// The connections that a pool needs, and those that it can spare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// Connects that it would begin at once.
    pub wanted: usize,
    /// Since when its oldest claim waits; none: nothing is wanted.
    pub since: Option<Instant>,
    /// Connections nobody uses.
    pub idle: usize,
}
