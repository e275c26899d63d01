//! Cancel requests: a second connection that says which process to interrupt, and is closed by the
//! server once the interrupt was sent. Whoever waits for that close knows that a later statement
//! cannot be hit by it.

use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::socket::{Address, Socket};

/// After this the request counts as lost.
const LIMIT: Duration = Duration::from_secs(5);

/// Asks the server to interrupt a process. Whether it did is seen on the connection itself.
pub(super) async fn cancel(address: Address, process_id: i32, secret_key: i32) {
    let request = async {
        let mut socket = Socket::connect(&address, None).await.ok()?;
        let mut bytes = BytesMut::new();
        frontend::cancel_request(process_id, secret_key, &mut bytes);
        socket.write_all(&bytes).await.ok()?;
        // The answer is the end of the stream.
        let mut nothing = [0; 1];
        socket.read(&mut nothing).await.ok()
    };
    let _ = timeout(LIMIT, request).await;
}
