//! The lookup on the core of pgpool-rs, without Node: the tier that `getPool` and `new Pool` stand on.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use pgpool_rs::{
    dispatch::{Answer, Observer, Failure as Refused, Settings, Tier, RequestOptions},
    pool::CloseReason,
    postgres::{AskPassword, Connection, Error, Event, QueryMode, Rows, Shape, Statement, Status},
};
use serde_json::{Value, json};
use tokio::{runtime::Handle, sync::oneshot};

use crate::{Contender, Failure, LOOKUP, Server};

#[derive(Clone)]
pub struct Core {
    tier: Arc<Tier>,
    text: Arc<str>,
}

/// A row of its own: numbers and instants in the slots, texts where the slots say.
#[derive(Default)]
pub struct Row {
    slots: Vec<u64>,
    raw: Vec<u8>,
}

impl Row {
    fn number(&self, column: usize) -> f64 {
        f64::from_bits(self.slots[column])
    }

    fn text(&self, column: usize) -> Result<&str, Failure> {
        let slot = self.slots[column].to_le_bytes();
        let word = |at: usize| u32::from_le_bytes([slot[at], slot[at + 1], slot[at + 2], slot[at + 3]]);
        let (offset, length) = (usize::try_from(word(0))?, usize::try_from(word(4) & 0x3fff_ffff)?);
        Ok(std::str::from_utf8(&self.raw[offset..offset + length])?)
    }
}

impl Contender for Core {
    type Row = Row;

    fn open(server: Server, max: usize) -> Result<Self, Failure> {
        let Server { host, port, user, password, database } = server;
        let settings = json!({
            "hosts": [{ "host": host, "port": port }], "user": user, "password": password, "database": database, "max": max,
            "scramMaxIterations": 0, "statementCacheSize": 256,
        });
        let settings = Settings::from_json(&settings.to_string(), || Arc::new(Nobody))?;
        let tier = Arc::new(Tier::new(settings, Arc::new(Nobody), Handle::current()));
        Ok(Self { tier, text: LOOKUP.into() })
    }

    async fn lookup(&self, id: i32) -> Result<Row, Failure> {
        let id = id.to_string();
        let length = i32::try_from(id.len())?.to_be_bytes();
        let statement = Arc::new(Statement {
            text: Arc::clone(&self.text),
            mode: QueryMode::Extended { binary: false },
            formats: [0].into(),
            values: [&length[..], id.as_bytes()].concat().into(),
            ..Statement::clone(&Statement::raw())
        });
        let (told, answer) = oneshot::channel();
        self.tier.query(0, statement, RequestOptions::default(), Lookup { row: Row::default(), told: Some(told) });
        answer.await?
    }

    fn id(row: &Row) -> i32 {
        row.number(0) as i32
    }

    fn to_json(row: &Row) -> Result<Value, Failure> {
        let whole = |column| row.number(column) as i64;
        Ok(json!({
            "id": whole(0),
            "author_id": whole(1),
            "slug": row.text(2)?,
            "title": row.text(3)?,
            "views": whole(4),
            "published_at": whole(5),
        }))
    }
}

struct Lookup {
    row: Row,
    told: Option<oneshot::Sender<Result<Row, Failure>>>,
}

impl Lookup {
    fn tell(&mut self, outcome: Result<Row, Failure>) {
        if let Some(told) = self.told.take() {
            let _ = told.send(outcome);
        }
    }
}

impl Answer for Lookup {
    fn rows(&mut self, _: &Arc<Shape>, rows: Rows<'_>) {
        if rows.count > 0 {
            self.row = Row { slots: rows.slots.to_vec(), raw: rows.raw.to_vec() };
        }
    }

    fn complete(&mut self, _: &[u8]) {}

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn done(&mut self, _: Status) {
        let row = std::mem::take(&mut self.row);
        self.tell(if row.slots.is_empty() { Err("no row".into()) } else { Ok(row) });
    }

    fn failed(&mut self, failure: Refused, _: Option<Status>) {
        self.tell(Err(format!("{failure:?}").into()));
    }
}

/// Hears nothing and knows nothing.
struct Nobody;

impl Observer for Nobody {
    fn on_connect<'a>(
        &'a self,
        _: &'a Arc<Connection>,
        _: Option<u32>,
    ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn event(&self, _: u32, _: Event) {}

    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn closing(&self, _: u32, _: CloseReason) {}
    fn closed(&self, _: u32, _: Option<Error>, _: bool) {}
}

impl AskPassword for Nobody {
    fn ask(&self) -> Pin<Box<dyn Future<Output = Result<Option<String>, Error>> + Send + '_>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}
