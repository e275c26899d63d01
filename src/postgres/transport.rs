//! The stream a connection lives on: a socket, TLS over one, or a stream that JavaScript carries.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use postgres_protocol::message::frontend;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use super::{
    ExternalStream,
    socket::{Reader, Socket, Writer},
};

/// The time that the server may take to close after a Terminate.
const GOODBYE: Duration = Duration::from_secs(2);

/// The stream a connection lives on.
pub(super) enum Transport {
    Plain(Reader, Arc<Writer>),
    Tls(Box<TlsStream<Socket>>),
    External(ExternalStream),
}

impl Transport {
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(into);
        let result = match self {
            Self::Plain(reader, _) => reader.poll_read(cx, &mut buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
            Self::External(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
        };
        ready!(result)?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Writes all of `bytes`, and removes what is written.
    pub(super) fn poll_write_all(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut BytesMut,
    ) -> Poll<io::Result<()>> {
        while !bytes.is_empty() {
            let written = ready!(match self {
                Self::Plain(_, writer) => writer.poll_write(cx, bytes),
                Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
                Self::External(stream) => Pin::new(stream).poll_write(cx, bytes),
            })?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            bytes.advance(written);
        }
        match self {
            Self::Plain(..) | Self::External(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    /// Sends Terminate and waits, within [`GOODBYE`], until the server has closed.
    pub(super) async fn goodbye(mut self) {
        let farewell = async {
            let mut bytes = BytesMut::new();
            frontend::terminate(&mut bytes);
            poll_fn(|cx| self.poll_write_all(cx, &mut bytes)).await.ok()?;
            if let Self::Tls(stream) = &mut self {
                stream.shutdown().await.ok()?;
            }
            let mut rest = [0; 256];
            while poll_fn(|cx| self.poll_read(cx, &mut rest)).await.ok()? > 0 {}
            Some(())
        };
        let _ = timeout(GOODBYE, farewell).await;
    }
}
