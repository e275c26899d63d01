//! The startup phase of a connection: messages are sent and read one at a time until the server is ready,
//! and the [`Connection`] is made of what it has reported.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use parking_lot::Mutex;
use postgres_protocol::message::backend::Message;

use super::{
    Config, Connection, Error, Host, Listener, LoginListener, LoginStep, Role, cancel::CancelKey,
    codec::ShapeUser, connection::ConnectionState, driver::drive, messages::Inbox, route::Route,
    statements::Statements, tls, transport::Transport,
};

/// The most bytes of a login. It takes a few kilobytes; a server that sends this much will never be ready.
const MAX_LOGIN: usize = 1024 * 1024;

static NEXT_ID: AtomicU32 = AtomicU32::new(1);

/// A connection that is not ready yet.
pub(super) struct Startup {
    transport: Transport,
    inbox: Inbox,
    /// The key for cancel requests, where the server has sent one.
    cancel_key: Option<CancelKey>,
    /// The time it took to open the transport.
    opened_in: Duration,
    parameters: Vec<(String, String)>,
    refusal: Option<Error>,
    /// Bytes of the messages so far.
    received: usize,
    /// Bytes of the last message.
    length: usize,
    login_listener: Option<Arc<dyn LoginListener>>,
}

impl Startup {
    pub(super) fn new(
        transport: Transport,
        login_listener: Option<Arc<dyn LoginListener>>,
        opened_in: Duration,
    ) -> Self {
        let inbox = Inbox::new();
        let parameters = Vec::new();
        Self {
            transport,
            inbox,
            cancel_key: None,
            opened_in,
            parameters,
            refusal: None,
            received: 0,
            length: 0,
            login_listener,
        }
    }

    /// Reports a login event; `step` is given the length of the last message.
    pub(super) fn report(&self, step: impl FnOnce(usize) -> LoginStep) {
        if let Some(login_listener) = &self.login_listener {
            login_listener.hear(&step(self.length));
        }
    }

    /// Writes one message.
    pub(super) async fn send(
        &mut self,
        encode: impl FnOnce(&mut BytesMut) -> std::io::Result<()>,
    ) -> Result<(), Error> {
        let mut bytes = BytesMut::new();
        encode(&mut bytes).map_err(|error| Error::Plain(format!("the login cannot be sent: {error}")))?;
        let written = poll_fn(|cx| self.transport.poll_write_all(cx, &mut bytes)).await;
        written.map_err(|error| Error::from_io(&error, "write"))
    }

    /// The next message. Notices and notifications are left out, and the key for cancel requests is kept.
    pub(super) async fn next(&mut self) -> Result<Message, Error> {
        loop {
            if let Some(raw) = self.inbox.next()? {
                self.length = raw.length();
                self.received += self.length;
                if self.received > MAX_LOGIN {
                    return Err(Error::protocol("the server sends messages without end instead of a login"));
                }
                match raw.tag {
                    // A pooler may pass on what the session of its server was listening for.
                    b'N' | b'A' => {}
                    // Its length is that of the secret, which is up to the server.
                    b'K' => {
                        self.cancel_key = Some(CancelKey::read(raw.body()).ok_or_else(|| raw.malformed())?);
                    }
                    b'E' => {
                        self.refusal = Some(Error::Database(Arc::new(raw.database_error()?)));
                        return raw.parse();
                    }
                    b'v' => return Err(Error::protocol("the server does not speak protocol 3.0")),
                    _ => return raw.parse(),
                }
                continue;
            }
            let read = poll_fn(|cx| self.transport.poll_read(cx, self.inbox.space())).await;
            match read {
                Ok(0) => return Err(Error::Lost),
                Ok(read) => self.inbox.filled(read),
                Err(error) => return Err(Error::from_io(&error, "read")),
            }
        }
    }

    /// The next message, unless it is an error.
    pub(super) async fn next_or_error(&mut self) -> Result<Message, Error> {
        match self.next().await? {
            Message::ErrorResponse(_) => Err(self.server_error()),
            message => Ok(message),
        }
    }

    /// The error the server has sent instead of going on.
    pub(super) fn server_error(&mut self) -> Error {
        self.refusal.take().unwrap_or(Error::Lost)
    }

    /// The certificate that the server has shown; none without TLS.
    pub(super) fn server_certificate(&self) -> Option<&[u8]> {
        match &self.transport {
            Transport::Plain(..) => None,
            Transport::External(stream) => stream.certificate(),
            Transport::Tls(stream) => tls::server_certificate(stream),
        }
    }

    pub(super) async fn until_ready(&mut self) -> Result<(), Error> {
        loop {
            match self.next_or_error().await? {
                Message::ParameterStatus(body) => {
                    let malformed = |_| Error::protocol("received a malformed parameter status");
                    let name = body.name().map_err(malformed)?.to_owned();
                    self.parameters.push((name, body.value().map_err(malformed)?.to_owned()));
                }
                Message::ReadyForQuery(_) => return Ok(()),
                _ => return Err(Error::protocol("received an unexpected message while logging in")),
            }
        }
    }

    pub(super) fn into_connection(
        self,
        host: Arc<Host>,
        route: Route,
        config: &Config,
        listener: Arc<dyn Listener>,
    ) -> Arc<Connection> {
        let Self { transport, mut inbox, cancel_key, opened_in, parameters, .. } = self;
        let process_id = cancel_key.as_ref().map(|key| key.process_id);
        let secret_key = cancel_key.as_ref().map(CancelKey::secret_number);
        inbox.lift_startup_limit();
        let plain = match &transport {
            Transport::Plain(_, writer) => Some(Arc::clone(writer)),
            Transport::Tls(_) | Transport::External(_) => None,
        };
        if let Some(process_id) = process_id {
            host.shared_sessions.logged_in(process_id);
        }
        let statements =
            Statements::new(config.statement_cache, Arc::clone(&host.shared_sessions), config.pipelined);
        let role = Role::reported(parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let connection = Arc::new(Connection {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            process_id,
            secret_key,
            parameters,
            host,
            route,
            cancel_key,
            opened_in,
            listener,
            received: AtomicU64::new(0),
            _shape_user: ShapeUser::new(),
            state: Mutex::new(ConnectionState::new(plain, statements, role, config.pipelined)),
        });
        tokio::spawn(drive(Arc::clone(&connection), transport, inbox));
        connection
    }
}
