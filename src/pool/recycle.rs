//! The task of one check or reset: a round trip on a connection nobody uses, bounded.
//!
//! It keeps the pool alive, for a second at most. A task that is dropped or panics reports the
//! connection as broken.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::inner::Shared;
use super::lease::Loan;
use super::{CloseReason, Connector};

/// A healthy server answers in milliseconds; a claim may be waiting.
const BOUND: Duration = Duration::from_secs(1);

/// What is done to the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Check,
    Reset,
}

pub(super) struct Errand<K> {
    pub(super) purpose: Purpose,
    pub(super) loan: Loan<K>,
}

pub(super) fn start<C: Connector>(shared: &Arc<Shared<C>>, errand: Errand<C::Connection>) {
    let connector = Arc::clone(&shared.connector);
    let mut transit = InTransit { shared: Arc::clone(shared), errand, is_over: false };
    drop(shared.runtime.spawn(async move {
        let connection = &transit.errand.loan.connection;
        let trip = async {
            match transit.errand.purpose {
                Purpose::Check => connector.check(connection).await,
                Purpose::Reset => connector.reset(connection).await,
            }
        };
        let succeeded = timeout(BOUND, trip).await.unwrap_or(false);
        transit.is_over = true;
        transit.shared.errand_over(&transit.errand, succeeded);
    }));
}

/// Closes the connection unless the errand comes to its end.
struct InTransit<C: Connector> {
    shared: Arc<Shared<C>>,
    errand: Errand<C::Connection>,
    is_over: bool,
}

impl<C: Connector> Drop for InTransit<C> {
    fn drop(&mut self) {
        if !self.is_over {
            self.shared.destroy(&self.errand.loan, CloseReason::Broken);
        }
    }
}
