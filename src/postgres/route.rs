//! The route of a connection to its server. A cancel request takes the same.

use std::sync::Arc;

use super::{Dialer, Host, TlsSettings, socket::Address};

/// A route to a server.
#[derive(Clone)]
pub(super) enum Route {
    /// A socket of ours, encrypted as these settings say.
    Direct {
        address: Address,
        host: Arc<Host>,
        tls: Option<Arc<TlsSettings>>,
    },
    External(Arc<dyn Dialer>, Arc<Host>),
}
