//! The address of one server, and what its connections share.

use std::sync::Arc;

use super::shared_sessions::SharedSessions;

/// The address of one server.
#[derive(Debug)]
pub struct Host {
    /// A name, an IP address, or the directory of a unix socket (begins with `/`).
    pub name: String,
    /// The port; for a socket directory, the number in the socket's file name.
    pub port: u16,
    pub(super) shared_sessions: Arc<SharedSessions>,
}

impl Host {
    /// The host of that name.
    pub fn new(name: impl Into<String>, port: u16) -> Self {
        Self { name: name.into(), port, shared_sessions: Arc::default() }
    }
}
