//! The lookup on deadpool-postgres and tokio-postgres.

use std::time::{SystemTime, UNIX_EPOCH};

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use serde_json::{Value, json};
use tokio_postgres::{Config, NoTls, Row};

use crate::{Contender, Failure, LOOKUP, Server};

#[derive(Clone)]
pub struct Deadpool(Pool);

impl Contender for Deadpool {
    type Row = Row;

    fn open(server: Server, max: usize) -> Result<Self, Failure> {
        let mut config = Config::new();
        config
            .host(server.host)
            .port(server.port)
            .user(server.user)
            .password(server.password)
            .dbname(server.database);
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(config, NoTls, recycling);
        Ok(Self(Pool::builder(manager).max_size(max).build()?))
    }

    async fn lookup(&self, id: i32) -> Result<Row, Failure> {
        let client = self.0.get().await?;
        let statement = client.prepare_cached(LOOKUP).await?;
        Ok(client.query_one(&statement, &[&id]).await?)
    }

    fn id(row: &Row) -> i32 {
        row.get(0)
    }

    fn to_json(row: &Row) -> Result<Value, Failure> {
        let published: SystemTime = row.get(5);
        Ok(json!({
            "id": row.get::<_, i32>(0),
            "author_id": row.get::<_, i32>(1),
            "slug": row.get::<_, &str>(2),
            "title": row.get::<_, &str>(3),
            "views": row.get::<_, i32>(4),
            "published_at": u64::try_from(published.duration_since(UNIX_EPOCH)?.as_millis())?,
        }))
    }
}
