//! An external stream: the bytes of a connection go over a socket that somebody else holds, such as one that
//! the application made. Either side waits when the other is behind.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::{Buf, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Error, Host};

/// Bytes that may be under way in each direction.
const WINDOW: usize = 1024 * 1024;

/// Opens streams to a host.
pub trait Dialer: Send + Sync {
    /// A stream on which the server expects a startup message, encrypted if that is wanted.
    fn dial(&self, host: &Host) -> Pin<Box<dyn Future<Output = Result<ExternalStream, Error>> + Send>>;
}

/// The socket behind a stream, held by somebody else.
pub trait ExternalSocket: Send + Sync {
    /// Sends these bytes; tells [`ExternalHandle::sent`] when they have left.
    fn write(&self, bytes: &[u8]);
    /// Reads on: there is room again for bytes of the server.
    fn resume(&self);
    /// Closes the socket.
    fn close(&self);
}

/// What the holder of the socket tells the stream.
pub struct ExternalHandle {
    socket: Box<dyn ExternalSocket>,
    ends: Mutex<Ends>,
}

#[derive(Default)]
struct Ends {
    incoming: BytesMut,
    /// Whether the holder of the socket waits for `resume`.
    held: bool,
    reader: Option<Waker>,
    /// Bytes handed over and not yet sent.
    under_way: usize,
    writer: Option<Waker>,
    over: bool,
}

impl ExternalHandle {
    /// A stream over `socket`, and the handle of the holder. Dropping the stream closes the socket.
    pub fn new(socket: Box<dyn ExternalSocket>) -> (Arc<Self>, ExternalStream) {
        let handle = Arc::new(Self { socket, ends: Mutex::default() });
        (Arc::clone(&handle), ExternalStream { handle, certificate: None })
    }

    /// Takes bytes of the server. False: no more until [`ExternalSocket::resume`].
    pub fn feed(&self, bytes: &[u8]) -> bool {
        let mut ends = self.ends.lock();
        ends.incoming.extend_from_slice(bytes);
        ends.held = ends.incoming.len() > WINDOW;
        let held = ends.held;
        wake(ends.reader.take());
        !held
    }

    /// So many of the bytes handed over have left.
    pub fn sent(&self, bytes: usize) {
        let mut ends = self.ends.lock();
        ends.under_way = ends.under_way.saturating_sub(bytes);
        wake(ends.writer.take());
    }

    /// The socket has ended.
    pub fn end(&self) {
        let mut ends = self.ends.lock();
        ends.over = true;
        wake(ends.reader.take());
        wake(ends.writer.take());
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// A stream whose bytes somebody else carries.
pub struct ExternalStream {
    handle: Arc<ExternalHandle>,
    certificate: Option<Vec<u8>>,
}

impl ExternalStream {
    /// The same, encrypted; the certificate is the server's.
    #[must_use]
    pub fn encrypted(mut self, certificate: Vec<u8>) -> Self {
        self.certificate = Some(certificate);
        self
    }

    /// The certificate of the server, where the stream is encrypted.
    pub(super) fn certificate(&self) -> Option<&[u8]> {
        self.certificate.as_deref()
    }
}

impl AsyncRead for ExternalStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut ends = self.handle.ends.lock();
        if ends.incoming.is_empty() && !ends.over {
            ends.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let length = ends.incoming.len().min(buffer.remaining());
        buffer.put_slice(&ends.incoming[..length]);
        ends.incoming.advance(length);
        let resume = ends.held && ends.incoming.len() <= WINDOW / 2;
        if resume {
            ends.held = false;
        }
        drop(ends);
        if resume {
            self.handle.socket.resume();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ExternalStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut ends = self.handle.ends.lock();
        if ends.over {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if ends.under_way > WINDOW {
            ends.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        ends.under_way += bytes.len();
        drop(ends);
        self.handle.socket.write(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for ExternalStream {
    fn drop(&mut self) {
        self.handle.socket.close();
    }
}
