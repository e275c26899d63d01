//! Connecting: a socket, TLS if wanted, the startup packet, the login, until the server is ready for the
//! first query.

use std::{sync::Arc, time::Instant};

use postgres_protocol::message::frontend;
use rustls::ClientConfig;
use tracing::info;

use super::{
    Config, Connection, Dialer, Error, Host, Listener, LoginStep,
    auth::authenticate,
    route::Route,
    socket::Socket,
    startup::Startup,
    tls::{TlsFailure, client_config, secure},
    transport::Transport,
};

/// Connects to the host, logs in, and leaves the connection to its driver. Dropping the future
/// abandons the attempt and closes its socket.
pub async fn connect(
    host: &Arc<Host>,
    config: &Config,
    listener: Arc<dyn Listener>,
) -> Result<Arc<Connection>, Error> {
    let begun = Instant::now();
    let (transport, route) = open(host, config).await?;
    let mut startup = Startup::new(transport, config.login_listener.clone(), begun.elapsed());
    startup.send(|out| frontend::startup_message(startup_parameters(config), out)).await?;
    authenticate(&mut startup, config).await?;
    startup.until_ready().await?;
    Ok(startup.into_connection(Arc::clone(host), route, config, listener))
}

async fn open(host: &Arc<Host>, config: &Config) -> Result<(Transport, Route), Error> {
    if let Some(dialer) = &config.dialer {
        return dial(dialer, host, config, false).await;
    }
    let tls_dialer = config.tls.as_ref().and(config.tls_dialer.as_ref());
    if let Some(dialer) = tls_dialer
        && host.needs_tls_dialer()
    {
        return dial(dialer, host, config, false).await;
    }
    // Settings that cannot be served cost the server no connection.
    let (outcome, is_reported) = match config.tls.as_deref().map(client_config).transpose() {
        Ok(client) => (open_socket(host, config, client).await, true),
        Err(error) => (Err(TlsFailure::Unserved(error)), false),
    };
    match (outcome, tls_dialer) {
        (Err(TlsFailure::Unserved(error)), Some(dialer)) => {
            let (host_name, port, reason) = (&host.name, host.port, error.to_string());
            info!(target: "connection", host = host_name, port, reason, "encrypted by Node from now on");
            host.set_needs_tls_dialer();
            dial(dialer, host, config, is_reported).await
        }
        (outcome, _) => outcome.map_err(TlsFailure::into_error),
    }
}

/// A stream of a dialer's; `is_reported`: the login listener knows that a socket was connected.
async fn dial(
    dialer: &Arc<dyn Dialer>,
    host: &Arc<Host>,
    config: &Config,
    is_reported: bool,
) -> Result<(Transport, Route), Error> {
    let stream = dialer.dial(host).await?;
    if !is_reported {
        report(config, &LoginStep::Connected);
    }
    if stream.certificate().is_some() {
        report(config, &LoginStep::Encrypted);
    }
    Ok((Transport::External(stream), Route::External(Arc::clone(dialer), Arc::clone(host))))
}

/// A socket of ours.
async fn open_socket(
    host: &Arc<Host>,
    config: &Config,
    client: Option<Arc<ClientConfig>>,
) -> Result<(Transport, Route), TlsFailure> {
    let (socket, address) = Socket::open(host, config.keep_alive, config.resolver.as_deref()).await?;
    report(config, &LoginStep::Connected);
    let transport = match config.tls.as_ref().zip(client) {
        None => {
            let (reader, writer) = socket.split();
            Transport::Plain(reader, Arc::new(writer))
        }
        Some((settings, client)) => {
            let stream = secure(socket, &host.name, settings, client).await?;
            report(config, &LoginStep::Encrypted);
            Transport::Tls(Box::new(stream))
        }
    };
    Ok((transport, Route::Direct { address, host: Arc::clone(host), tls: config.tls.clone() }))
}

fn report(config: &Config, step: &LoginStep) {
    if let Some(login_listener) = &config.login_listener {
        login_listener.hear(step);
    }
}

fn startup_parameters(config: &Config) -> impl Iterator<Item = (&str, &str)> {
    let database = config.database.as_deref().map(|database| ("database", database));
    let others = config.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    std::iter::once(("user", config.user.as_str())).chain(database).chain(others)
}
