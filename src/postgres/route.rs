//! How a connection has reached its server. A cancel request goes the same way.

use std::sync::Arc;

use super::{Dialer, Host, socket::Address};

/// The way to the server of a connection; a cancel request takes it, too.
#[derive(Clone)]
pub(super) enum Route {
    Direct(Address),
    External(Arc<dyn Dialer>, Arc<Host>),
}
