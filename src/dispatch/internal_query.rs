//! Internal statements (health check, ROLLBACK, role query) on a connection that nobody else uses.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use tokio::sync::oneshot;

use crate::postgres::{Connection, Error, Exchange, Outcome, Reply, Rows, Shape, Statement, Status};

/// Runs a statement; the status after it, none if it failed.
pub(super) async fn run(connection: &Connection, text: &str) -> Option<Status> {
    submit(connection, text).await.ok().map(|(status, _)| status)
}

/// Runs a statement and returns the text of the first field of its first row.
pub(super) async fn ask(connection: &Connection, text: &str) -> Result<String, Error> {
    submit(connection, text).await.map(|(_, field)| field)
}

async fn submit(connection: &Connection, text: &str) -> Result<(Status, String), Error> {
    let (sender, receiver) = oneshot::channel();
    let reply = Box::new(FirstField { field: None, sender });
    connection.submit(Exchange { id: 0, statement: Statement::simple(text), reply });
    receiver.await.unwrap_or(Err(Error::Lost))
}

struct FirstField {
    field: Option<String>,
    sender: oneshot::Sender<Result<(Status, String), Error>>,
}

impl Reply for FirstField {
    fn rows(&mut self, _: &Arc<Shape>, rows: Rows<'_>) {
        if self.field.is_none() {
            self.field = first_field(rows.raw);
        }
    }

    fn complete(&mut self, _: &[u8]) {}
    fn give_up(&mut self, _: Error) {}

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn settle(self: Box<Self>, outcome: Outcome) {
        let answer = match outcome {
            Outcome::Done(status) => Ok((status, self.field.unwrap_or_default())),
            Outcome::Failed { error, .. } => Err(error),
        };
        let _ = self.sender.send(answer);
    }
}

/// Rows begin with the length of their first field and the field.
fn first_field(raw: &[u8]) -> Option<String> {
    let (length, rest) = raw.split_first_chunk::<4>()?;
    let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
    Some(String::from_utf8_lossy(rest.get(..length)?).into_owned())
}
