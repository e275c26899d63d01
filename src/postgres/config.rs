//! The configuration of connections: user, database, TLS, timeouts. Parsed and validated once, then only
//! read.

use std::{fmt, future::Future, net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use super::{Dialer, Error, LoginListener, RequireAuth, SaltedPasswords};

/// The configuration of a connection, its host left out.
pub struct Config {
    /// The role.
    pub user: String,
    /// The database; none: the server takes the role's name.
    pub database: Option<String>,
    /// The password, if the server asks for one.
    pub password: Password,
    /// Startup parameters beyond user and database.
    pub parameters: Vec<(String, String)>,
    /// TLS; none: not encrypted.
    pub tls: Option<Arc<TlsSettings>>,
    /// Whether SCRAM binds to the TLS channel when the server offers it. Default false, as in pg.
    pub channel_binding: bool,
    /// The most SCRAM iterations a server may ask of us; 0: no limit. Default 100000.
    pub scram_max_iterations: u32,
    /// What SCRAM computes from the password, kept for the next connections.
    pub salted_passwords: SaltedPasswords,
    /// The ways to authenticate that are accepted; none: all.
    pub require_auth: Option<RequireAuth>,
    /// TCP keepalive; none: off.
    pub keep_alive: Option<KeepAlive>,
    /// Prepared statements kept per connection; 0: statements are not cached. Default 256.
    pub statement_cache: usize,
    /// Opens the streams; none: sockets of our own. A dialer encrypts its streams itself.
    pub dialer: Option<Arc<dyn Dialer>>,
    /// Opens streams to hosts whose TLS is beyond ours; none: connecting to them fails.
    pub tls_dialer: Option<Arc<dyn Dialer>>,
    /// Resolves the names of hosts; none: the system's resolver does.
    pub resolver: Option<Arc<dyn Resolver>>,
    /// Whether exchanges are sent without waiting for the answers to earlier ones. Default false.
    pub pipelined: bool,
    /// Hears the events of each login; none: nobody does.
    pub login_listener: Option<Arc<dyn LoginListener>>,
}

/// Resolves names of hosts.
pub trait Resolver: Send + Sync {
    /// The addresses of a host that is known by name, in the order in which they are tried.
    fn resolve(&self, name: &str) -> Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, Error>> + Send>>;
}

/// TCP keepalive probes.
#[derive(Debug, Clone, Copy)]
pub struct KeepAlive {
    /// Idle time before the first probe; zero: the system's default.
    pub initial_delay: Duration,
    /// Time between probes; none: the system's default, which is above a minute.
    pub interval: Option<Duration>,
    /// Time that sent bytes or probes may stay unanswered before the connection is lost (`TCP_USER_TIMEOUT`,
    /// Linux only); none: the system's default, many minutes.
    pub user_timeout: Option<Duration>,
}

/// A password, or whom to ask for it.
pub enum Password {
    /// Known from the start.
    Known(String),
    /// Asked for each new connection, only when the server wants it.
    Ask(Arc<dyn AskPassword>),
}

/// Knows the password when it is needed.
pub trait AskPassword: Send + Sync {
    /// The password; none: there is none.
    fn ask(&self) -> Pin<Box<dyn Future<Output = Result<Option<String>, Error>> + Send + '_>>;
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// TLS as pg's `ssl` option describes it.
#[derive(Clone)]
pub struct TlsSettings {
    /// PEM texts of the authorities to trust; none: Mozilla's and the extra ones.
    pub authorities: Option<Vec<String>>,
    /// PEM texts of authorities beside Mozilla's.
    pub extra_authorities: Vec<String>,
    /// PEM text of our certificate chain.
    pub certificate: Option<String>,
    /// PEM text of its key.
    pub key: Option<String>,
    /// The checks of the server's certificate.
    pub verify: VerifyServer,
    /// The server name to send and to check where the host is an address; none: the address.
    pub server_name: Option<String>,
    /// Whether TLS begins with the first byte, without a request (PostgreSQL 17 and later).
    pub direct: bool,
}

/// The checks of a server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyServer {
    /// Chain and name.
    Full,
    /// Nothing (`rejectUnauthorized: false`).
    None,
}

impl fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSettings")
            .field("verify", &self.verify)
            .field("server_name", &self.server_name)
            .field("direct", &self.direct)
            .finish_non_exhaustive()
    }
}
