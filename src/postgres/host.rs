//! The address of one server, and what its connections share.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::shared_sessions::SharedSessions;

/// The address of one server.
#[derive(Debug)]
pub struct Host {
    /// A name, an IP address, or the directory of a unix socket (begins with `/`).
    pub name: String,
    /// The port; for a socket directory, the number in the socket's file name.
    pub port: u16,
    pub(super) shared_sessions: Arc<SharedSessions>,
    /// Whether its TLS has been found to be beyond ours.
    needs_tls_dialer: AtomicBool,
}

impl Host {
    /// The host of that name.
    pub fn new(name: impl Into<String>, port: u16) -> Self {
        Self {
            name: name.into(),
            port,
            shared_sessions: Arc::default(),
            needs_tls_dialer: AtomicBool::new(false),
        }
    }

    pub(super) fn needs_tls_dialer(&self) -> bool {
        self.needs_tls_dialer.load(Ordering::Relaxed)
    }

    /// Remembers that its TLS is beyond ours.
    pub(super) fn set_needs_tls_dialer(&self) {
        self.needs_tls_dialer.store(true, Ordering::Relaxed);
    }
}
