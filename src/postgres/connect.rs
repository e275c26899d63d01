//! Opens a connection: a socket, TLS if wanted, the startup packet, the login, and everything the
//! server says until it is ready for the first query.

use std::sync::Arc;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    Config, Connection, Error, Host, Listener, LoginStep, TlsSettings, auth::authenticate, route::Route,
    socket::Socket, startup::Startup, tls, transport::Transport,
};

/// Connects to the host, logs in, and leaves the connection to its driver. Dropping the future
/// abandons the attempt and closes its socket.
pub async fn connect(
    host: &Arc<Host>,
    config: &Config,
    listener: Arc<dyn Listener>,
) -> Result<Arc<Connection>, Error> {
    let (transport, route) = open(host, config).await?;
    let mut startup = Startup::new(transport, config.login_listener.clone());
    startup.send(|out| frontend::startup_message(startup_parameters(config), out)).await?;
    authenticate(&mut startup, config).await?;
    startup.until_ready().await?;
    Ok(startup.into_connection(Arc::clone(host), route, config, listener))
}

async fn open(host: &Arc<Host>, config: &Config) -> Result<(Transport, Route), Error> {
    if let Some(dialer) = &config.dialer {
        let stream = dialer.dial(host).await?;
        hear(config, &LoginStep::Connected);
        return Ok((Transport::External(stream), Route::External(Arc::clone(dialer), Arc::clone(host))));
    }
    let (socket, address) = Socket::open(host, config.keep_alive).await?;
    hear(config, &LoginStep::Connected);
    let transport = match &config.tls {
        None => {
            let (reader, writer) = socket.split();
            Transport::Plain(reader, Arc::new(writer))
        }
        Some(settings) => {
            let stream = secure(socket, &host.name, settings).await?;
            hear(config, &LoginStep::Encrypted);
            Transport::Tls(Box::new(stream))
        }
    };
    Ok((transport, Route::Direct(address)))
}

fn hear(config: &Config, step: &LoginStep) {
    if let Some(login_listener) = &config.login_listener {
        login_listener.hear(step);
    }
}

async fn secure(
    mut socket: Socket,
    host: &str,
    settings: &TlsSettings,
) -> Result<tokio_rustls::client::TlsStream<Socket>, Error> {
    if !settings.direct {
        let mut request = BytesMut::new();
        frontend::ssl_request(&mut request);
        socket.write_all(&request).await.map_err(|error| Error::from_io(&error, "write"))?;
        match socket.read_u8().await {
            Ok(b'S') => {}
            Ok(b'N') => return Err(Error::Plain("The server does not support SSL connections".into())),
            Ok(_) => {
                return Err(Error::Plain("There was an error establishing an SSL connection".into()));
            }
            Err(_) => return Err(Error::Lost),
        }
    }
    tls::handshake(socket, host, settings).await
}

fn startup_parameters(config: &Config) -> impl Iterator<Item = (&str, &str)> {
    let database = config.database.as_deref().map(|database| ("database", database));
    let others = config.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    std::iter::once(("user", config.user.as_str())).chain(database).chain(others)
}
