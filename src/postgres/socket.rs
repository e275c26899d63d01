//! A plain socket, TCP or unix, and its halves: one task reads, any thread may write without blocking.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

#[cfg(unix)]
use tokio::net::{UnixStream, unix};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, tcp},
    time::timeout,
};

use super::{Error, Host, KeepAlive, Resolver, SystemError, errno::code_of};

/// The time that one of several addresses may take before the next is tried; Node's default.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(250);

/// A connected socket.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// The address of a connected socket; a cancel request goes to the same.
#[derive(Debug, Clone)]
pub(super) enum Address {
    Tcp(SocketAddr),
    #[cfg(unix)]
    Unix(String),
}

impl Socket {
    /// Resolves and connects: every address of the host in the resolver's order.
    pub(super) async fn open(
        host: &Host,
        keep_alive: Option<KeepAlive>,
        resolver: Option<&dyn Resolver>,
    ) -> Result<(Self, Address), Error> {
        #[cfg(unix)]
        if host.name.starts_with('/') {
            let address = Address::Unix(format!("{}/.s.PGSQL.{}", host.name, host.port));
            return Ok((Self::connect(&address, keep_alive).await.map_err(Error::system)?, address));
        }
        let addresses = resolve(host, resolver).await?;
        let last = addresses.len() - 1;
        let mut failures = Vec::new();
        for (index, address) in addresses.into_iter().enumerate() {
            let address = Address::Tcp(address);
            let attempt = Self::connect(&address, keep_alive);
            let attempt = if index == last {
                attempt.await
            } else {
                let timed_out = |_| Err(address.failure(&io::ErrorKind::TimedOut.into()));
                timeout(ATTEMPT_TIMEOUT, attempt).await.unwrap_or_else(timed_out)
            };
            match attempt {
                Ok(socket) => return Ok((socket, address)),
                Err(failure) => failures.push(failure),
            }
        }
        Err(match failures.len() {
            1 => Error::system(failures.remove(0)),
            _ => Error::Aggregate(failures.into()),
        })
    }

    /// Connects to one address.
    pub(super) async fn connect(
        address: &Address,
        keep_alive: Option<KeepAlive>,
    ) -> Result<Self, SystemError> {
        let failure = |error: io::Error| address.failure(&error);
        match address {
            Address::Tcp(to) => {
                let stream = TcpStream::connect(to).await.map_err(failure)?;
                stream.set_nodelay(true).map_err(failure)?;
                if let Some(keep_alive) = keep_alive {
                    let mut probes = socket2::TcpKeepalive::new();
                    // Whole seconds only. As with Node's sockets, less than one leaves the system's delay.
                    if keep_alive.initial_delay >= Duration::from_secs(1) {
                        probes = probes.with_time(keep_alive.initial_delay);
                    }
                    if let Some(interval) = keep_alive.interval {
                        probes = probes.with_interval(interval);
                    }
                    let socket = socket2::SockRef::from(&stream);
                    // As with Node's, a delay that the system does not accept is no reason to fail.
                    if socket.set_tcp_keepalive(&probes).is_err() {
                        socket.set_keepalive(true).map_err(failure)?;
                    }
                    #[cfg(target_os = "linux")]
                    if keep_alive.user_timeout.is_some() {
                        socket.set_tcp_user_timeout(keep_alive.user_timeout).map_err(failure)?;
                    }
                }
                Ok(Self::Tcp(stream))
            }
            #[cfg(unix)]
            Address::Unix(path) => UnixStream::connect(path).await.map(Self::Unix).map_err(failure),
        }
    }

    /// Splits the socket: one task reads, any thread may write.
    pub(super) fn split(self) -> (Reader, Writer) {
        match self {
            Self::Tcp(stream) => {
                let (reader, writer) = stream.into_split();
                (Reader::Tcp(reader), Writer::Tcp(writer))
            }
            #[cfg(unix)]
            Self::Unix(stream) => {
                let (reader, writer) = stream.into_split();
                (Reader::Unix(reader), Writer::Unix(writer))
            }
        }
    }
}

/// The reading half. Unlike `try_read` it knows when the socket is drained without asking again.
#[derive(Debug)]
pub(super) enum Reader {
    Tcp(tcp::OwnedReadHalf),
    #[cfg(unix)]
    Unix(unix::OwnedReadHalf),
}

impl Reader {
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(half) => Pin::new(half).poll_read(cx, buffer),
            #[cfg(unix)]
            Self::Unix(half) => Pin::new(half).poll_read(cx, buffer),
        }
    }
}

/// The writing half. The socket closes when both halves are dropped.
#[derive(Debug)]
pub(super) enum Writer {
    Tcp(tcp::OwnedWriteHalf),
    #[cfg(unix)]
    Unix(unix::OwnedWriteHalf),
}

impl Writer {
    /// Writes as much as the system takes at once. May be called on any thread.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(half) => half.try_write(bytes),
            #[cfg(unix)]
            Self::Unix(half) => half.try_write(bytes),
        }
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(half) => half.as_ref().poll_write_ready(cx),
            #[cfg(unix)]
            Self::Unix(half) => half.as_ref().poll_write_ready(cx),
        }
    }

    /// [`AsyncWrite::poll_write`] through a shared reference.
    pub(super) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_writable(cx))?;
            match self.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl Address {
    fn failure(&self, error: &io::Error) -> SystemError {
        let mut failure = SystemError::new(error, "connect");
        match self {
            Self::Tcp(to) => {
                failure.address = Some(to.ip().to_string());
                failure.port = Some(to.port());
            }
            #[cfg(unix)]
            Self::Unix(path) => failure.address = Some(path.clone()),
        }
        failure
    }
}

impl Error {
    fn system(error: SystemError) -> Self {
        Self::System(error.into())
    }
}

/// The addresses of a host, one at least.
async fn resolve(host: &Host, resolver: Option<&dyn Resolver>) -> Result<Vec<SocketAddr>, Error> {
    if let Ok(ip) = host.name.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, host.port)]);
    }
    let addresses: Vec<_> = match resolver {
        None => {
            let found = tokio::net::lookup_host((host.name.as_str(), host.port)).await;
            found.map_err(|error| Error::system(unresolved(host, resolver_code(&error))))?.collect()
        }
        Some(resolver) => {
            let found = resolver.resolve(&host.name).await?;
            found.into_iter().map(|ip| SocketAddr::new(ip, host.port)).collect()
        }
    };
    if addresses.is_empty() { Err(Error::system(unresolved(host, "ENOTFOUND"))) } else { Ok(addresses) }
}

fn unresolved(host: &Host, code: &'static str) -> SystemError {
    SystemError { syscall: "getaddrinfo", code, address: None, port: None, hostname: Some(host.name.clone()) }
}

/// The name Node gives an error of the resolver.
fn resolver_code(error: &io::Error) -> &'static str {
    // The resolver's own code is lost in `io::Error`; its text is all there is. With a number it is the system's.
    if cfg!(unix) && error.raw_os_error().is_some() {
        code_of(error)
    } else if error.to_string().contains("Temporary failure") {
        "EAI_AGAIN"
    } else {
        "ENOTFOUND"
    }
}
