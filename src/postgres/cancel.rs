//! Cancel requests: a second connection names the process to interrupt, and the server closes it once the
//! interrupt was sent. After that close, no later statement can be hit by the request.
//!
//! The request carries the key of the session, so it travels as the session does: encrypted and checked
//! alike, or not at all.

use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use super::{
    route::Route,
    socket::Socket,
    tls::{client_config, secure},
};

/// The time after which a request counts as lost.
const LIMIT: Duration = Duration::from_secs(5);

/// Asks the server to interrupt a process. False: the server has not settled the request, so it may yet hit a
/// later statement of the process.
pub(super) async fn cancel(route: Route, process_id: i32, secret_key: i32) -> bool {
    let request = async {
        match route {
            Route::Direct { address, host, tls } => {
                let socket = Socket::connect(&address, None).await.ok()?;
                match tls {
                    None => ask(socket, process_id, secret_key).await,
                    Some(settings) => {
                        let config = client_config(&settings).ok()?;
                        let stream = secure(socket, &host.name, &settings, config).await.ok()?;
                        ask(stream, process_id, secret_key).await
                    }
                }
            }
            Route::External(dialer, host) => {
                ask(dialer.dial(&host).await.ok()?, process_id, secret_key).await
            }
        }
    };
    timeout(LIMIT, request).await.is_ok()
}

async fn ask(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    process_id: i32,
    secret_key: i32,
) -> Option<usize> {
    let mut bytes = BytesMut::new();
    frontend::cancel_request(process_id, secret_key, &mut bytes);
    stream.write_all(&bytes).await.ok()?;
    stream.flush().await.ok()?;
    // The answer is the end of the stream.
    let mut nothing = [0; 1];
    stream.read(&mut nothing).await.ok()
}
