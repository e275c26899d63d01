//! The bench's one-row lookup in Rust, on one of two pools: `deadpool` or `core`.
//!
//! `POOL check ID...` prints the rows of these keys, so that they can be compared;
//! `POOL measure MAX CALLERS SECONDS WARMUP SEED` prints the figures. Both print one
//! line of JSON. The server comes from the `BENCH_` variables.

mod core;
mod deadpool;

use std::{
    error::Error,
    future::Future,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

const LOOKUP: &str =
    "select id, author_id, slug, title, views, published_at from pgpool_bench.article where id = $1";
const ARTICLES: u64 = 100_000;

const USAGE: &str =
    "usage: deadpool|core check ID... | deadpool|core measure MAX CALLERS SECONDS WARMUP SEED";

type Failure = Box<dyn Error + Send + Sync>;

/// A pool that looks up articles.
trait Contender: Clone + Send + Sync + 'static {
    type Row: Send;
    fn open(server: Server, max: usize) -> Result<Self, Failure>;
    fn lookup(&self, id: i32) -> impl Future<Output = Result<Self::Row, Failure>> + Send;
    fn id(row: &Self::Row) -> i32;
    fn to_json(row: &Self::Row) -> Result<Value, Failure>;
}

struct Server {
    host: String,
    port: u16,
    user: String,
    password: String,
    database: String,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let printed = match words.as_slice() {
        ["deadpool", task @ ..] => run::<deadpool::Deadpool>(task).await?,
        ["core", task @ ..] => run::<core::Core>(task).await?,
        _ => return Err(USAGE.into()),
    };
    println!("{printed}");
    Ok(())
}

async fn run<C: Contender>(task: &[&str]) -> Result<Value, Failure> {
    match task {
        ["check", ids @ ..] => check::<C>(ids).await,
        ["measure", max, callers, seconds, warmup, seed] => {
            let pool = C::open(server()?, max.parse()?)?;
            let (callers, seed) = (callers.parse()?, seed.parse()?);
            let (warmup, seconds) = (span(warmup)?, span(seconds)?);
            drive(&pool, callers, warmup, seed).await?;
            measure(&pool, callers, seconds, seed).await
        }
        _ => Err(USAGE.into()),
    }
}

fn server() -> Result<Server, Failure> {
    let variable = |name: &str| std::env::var(format!("BENCH_{name}"));
    Ok(Server {
        host: variable("HOST")?,
        port: variable("PORT")?.parse()?,
        user: variable("USER")?,
        password: variable("PASSWORD")?,
        database: variable("DATABASE")?,
    })
}

fn span(seconds: &str) -> Result<Duration, Failure> {
    Ok(Duration::try_from_secs_f64(seconds.parse()?)?)
}

async fn check<C: Contender>(ids: &[&str]) -> Result<Value, Failure> {
    let pool = C::open(server()?, 2)?;
    let mut rows = Vec::new();
    for id in ids {
        rows.push(C::to_json(&pool.lookup(id.parse()?).await?)?);
    }
    Ok(Value::Array(rows))
}

async fn measure<C: Contender>(
    pool: &C,
    callers: u64,
    seconds: Duration,
    seed: u64,
) -> Result<Value, Failure> {
    let before = processor_microseconds();
    let started = Instant::now();
    let mut latencies = drive(pool, callers, seconds, seed).await?;
    let elapsed = started.elapsed().as_secs_f64();
    let spent = processor_microseconds().zip(before).map(|(after, before)| after - before);
    latencies.sort_unstable();
    let operations = latencies.len() as f64;
    Ok(json!({
        "operations": latencies.len(),
        "throughput": operations / elapsed,
        "p50": quantile(&latencies, 0.5),
        "p99": quantile(&latencies, 0.99),
        "processCpu": spent.map(|microseconds| microseconds / operations),
    }))
}

/// Each caller begins its next lookup when the last one is answered.
async fn drive<C: Contender>(
    pool: &C,
    callers: u64,
    time: Duration,
    seed: u64,
) -> Result<Vec<Duration>, Failure> {
    let end = Instant::now() + time;
    let mut tasks = Vec::new();
    for caller in 0..callers {
        let pool = pool.clone();
        tasks.push(tokio::spawn(async move {
            let mut state = seed.wrapping_mul(1_000).wrapping_add(caller).wrapping_add(1);
            let mut latencies = Vec::with_capacity(1 << 16);
            let mut started = Instant::now();
            while started < end {
                let id = key(&mut state)?;
                if C::id(&pool.lookup(id).await?) != id {
                    return Err(Failure::from("a lookup gave another row"));
                }
                let finished = Instant::now();
                latencies.push(finished - started);
                started = finished;
            }
            Ok(latencies)
        }));
    }
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    Ok(latencies)
}

/// xorshift: an even spread over the keys is all that is asked of it.
fn key(state: &mut u64) -> Result<i32, Failure> {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    Ok(i32::try_from(1 + *state % ARTICLES)?)
}

fn quantile(sorted: &[Duration], fraction: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let position = (last as f64 * fraction).round() as usize;
    sorted.get(position).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1_000.0)
}

/// All threads together, in microseconds; Linux only.
fn processor_microseconds() -> Option<f64> {
    let mut total = 0.0;
    for task in std::fs::read_dir("/proc/self/task").ok()? {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        total += text.split(' ').next()?.parse::<f64>().ok()? / 1_000.0;
    }
    Some(total)
}
