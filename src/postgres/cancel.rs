//! Cancel requests: a second connection names the process to interrupt, and the server closes it once the
//! interrupt was sent. After that close, no later statement can be hit by the request.
//!
//! The request carries the key of the session, so it travels as the session does: encrypted and checked
//! alike, or not at all.

use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use super::{
    route::Route,
    socket::Socket,
    tls::{client_config, secure},
};

/// The code of a cancel request, in the place of a protocol version.
const CODE: i32 = 80_877_102;
/// The bytes of a cancel request before the secret.
const HEADER: usize = 12;

/// The key that proves to the server that a cancel request is ours.
#[derive(Clone)]
pub(super) struct CancelKey {
    pub(super) process_id: i32,
    /// Four bytes with most servers.
    pub(super) secret: Box<[u8]>,
}

impl CancelKey {
    /// Reads the body of `BackendKeyData`.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let (process_id, secret) = body.split_first_chunk::<4>()?;
        Some(Self { process_id: i32::from_be_bytes(*process_id), secret: secret.into() })
    }

    /// The secret as pg knows it.
    pub(super) fn secret_number(&self) -> i32 {
        self.secret.first_chunk::<4>().map_or(0, |secret| i32::from_be_bytes(*secret))
    }

    fn request(&self) -> BytesMut {
        let mut bytes = BytesMut::new();
        bytes.put_i32(i32::try_from(HEADER + self.secret.len()).unwrap_or(i32::MAX));
        bytes.put_i32(CODE);
        bytes.put_i32(self.process_id);
        bytes.extend_from_slice(&self.secret);
        bytes
    }
}

/// The time after which a request counts as lost.
const LIMIT: Duration = Duration::from_secs(5);

/// Asks the server to interrupt a process. False: the server has not settled the request, so it may yet hit a
/// later statement of the process.
pub(super) async fn cancel(route: Route, key: CancelKey) -> bool {
    let request = async {
        match route {
            Route::Direct { address, host, tls } => {
                let socket = Socket::connect(&address, None).await.ok()?;
                match tls {
                    None => ask(socket, &key).await,
                    Some(settings) => {
                        let config = client_config(&settings).ok()?;
                        let stream = secure(socket, &host.name, &settings, config).await.ok()?;
                        ask(stream, &key).await
                    }
                }
            }
            Route::External(dialer, host) => ask(dialer.dial(&host).await.ok()?, &key).await,
        }
    };
    timeout(LIMIT, request).await.is_ok()
}

async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, key: &CancelKey) -> Option<usize> {
    stream.write_all(&key.request()).await.ok()?;
    stream.flush().await.ok()?;
    // The answer is the end of the stream.
    let mut nothing = [0; 1];
    stream.read(&mut nothing).await.ok()
}
