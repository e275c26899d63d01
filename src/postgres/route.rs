//! How a connection has reached its server. A cancel request goes the same way.

use std::sync::Arc;

use super::{Dialer, Host, TlsSettings, socket::Address};

/// The way to the server of a connection; a cancel request takes it, too.
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
