//! The hook by which several pools keep to a limit together: asked before a slot is taken, told when
//! one is free again.

use std::fmt::Debug;

use tokio::time::Instant;

/// Bounds the connections of a pool from outside. Its methods are called under the pool's lock: they
/// neither call the pool nor wait.
pub trait Quota: Debug + Send + Sync + 'static {
    /// Whether there may be one connection more; if so, it counts from now on.
    fn take(&self) -> bool;

    /// A connection that counted is no more.
    fn release(&self);

    /// What the pool needs and what it has to spare. Called whenever it has changed.
    fn report(&self, need: Need);

    /// Whether the pool is to close a connection that is free. True: it closes one now.
    fn asks_one_back(&self) -> bool;

    /// How many connections the pool may have at this moment, those that it has included.
    fn limit(&self) -> usize;

    /// The pool's `min` has changed: what it is guaranteed follows, as far as there is room.
    fn set_guarantee(&self, min: usize);
}

/// What a pool needs and what it has to spare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// Connections it would begin at once.
    pub wanted: usize,
    /// Since when the claim waits that waits longest; none: nothing is wanted.
    pub since: Option<Instant>,
    /// Connections nobody uses.
    pub idle: usize,
}
