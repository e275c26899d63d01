//! Two hosts: one falls silent, one takes over, one returns.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};

use super::{
    outage::{Entry, Outcomes, Stages},
    scripted_server::{Mode, ScriptedServer},
};
use crate::{
    dispatch::{RequestOptions, Settings, Tier},
    postgres::{Dialer, Error, ExternalStream, Host, Statement},
};

const LOOK: Duration = Duration::from_millis(500);
const SECOND: Duration = Duration::from_secs(1);

/// `db1` and `db2`.
#[derive(Clone)]
struct Pair([ScriptedServer; 2]);

impl Dialer for Pair {
    fn dial(&self, host: &Host) -> Pin<Box<dyn Future<Output = Result<ExternalStream, Error>> + Send>> {
        self.0[usize::from(host.name == "db2")].dial(host)
    }
}

fn tier(servers: &Pair, target: &str) -> Tier {
    let settings = serde_json::json!({
        "targetSessionAttrs": target,
        "hosts": [{ "host": "db1", "port": 5432 }, { "host": "db2", "port": 5432 }],
        "user": "user",
        "password": "secret",
        "monitor": false,
        "dial": true,
        "enhanced": true,
        "max": 10,
        "min": 0,
        "idleTimeoutMillis": 600_000,
        "connectionTimeoutMillis": 2_000,
        "acquireTimeoutMillis": 60_000,
        "failFast": false,
        "retryAttempts": 3,
        "breaker": { "mode": "enforce" },
        "statementCacheSize": 0,
        "scramMaxIterations": 4096,
    });
    let mut settings = Settings::from_json(&settings.to_string(), || unreachable!()).unwrap();
    settings.dial_by(Arc::new(servers.clone()));
    Tier::new(settings, Arc::<Stages>::default() as _, Handle::current())
}

/// How long after the second host begins to serve a request is answered that the first one has kept, silent, for
/// `silent`.
async fn answered_after(target: &str, silent: Duration) -> Duration {
    let servers = Pair([Mode::Up, Mode::Starting].map(ScriptedServer::new));
    let [first, second] = &servers.0;
    let tier = tier(&servers, target);
    let outcomes = Outcomes::default();
    let ask = |id| {
        let options = RequestOptions { idempotent: true, ..RequestOptions::default() };
        tier.query(id, Statement::simple("SELECT 1"), options, Entry(Arc::clone(&outcomes)));
    };
    ask(1);
    sleep(LOOK).await;
    first.set(Mode::Silent);
    ask(2);
    sleep(silent).await;
    assert_eq!(outcomes.lock().len(), 1, "it has nowhere to go");
    second.set(Mode::Up);
    let begin = Instant::now();
    sleep(3 * LOOK).await;
    let (at, outcome) = outcomes.lock()[1].clone();
    assert!(outcome.is_ok(), "{outcome:?}");
    at - begin
}

#[tokio::test(start_paused = true)]
async fn it_is_left_at_the_next_look_after_another_one_serves() {
    for tenths in 30..60 {
        let after = answered_after("any", Duration::from_millis(100) * tenths).await;
        assert!(after <= LOOK + LOOK / 5, "{after:?} after {tenths} tenths of a second");
    }
}

#[tokio::test(start_paused = true)]
async fn a_frozen_primary_is_left_half_a_second_after_another_one_serves() {
    for hundredths in (110..400).step_by(7) {
        let after = answered_after("primary", Duration::from_millis(10) * hundredths).await;
        assert!(after <= LOOK, "{after:?} after {hundredths} hundredths of a second");
    }
}

#[tokio::test(start_paused = true)]
async fn a_standby_that_returns_is_preferred_again_within_a_minute() {
    let servers = Pair([ScriptedServer::standby(Mode::Refused), ScriptedServer::new(Mode::Up)]);
    let [standby, primary] = &servers.0;
    let tier = tier(&servers, "prefer-standby");
    let outcomes = Outcomes::default();
    let ask = |id| {
        let answer = Entry(Arc::clone(&outcomes));
        tier.query(id, Statement::simple("SELECT 1"), RequestOptions::default(), answer);
    };
    ask(1);
    sleep(60 * SECOND).await;
    assert_eq!((standby.connections(), primary.connections()), (0, 1));
    standby.set(Mode::Up);
    sleep(30 * SECOND).await;
    assert_eq!((standby.connections(), primary.connections()), (0, 0));
    ask(2);
    sleep(SECOND).await;
    assert_eq!((standby.connections(), primary.connections()), (1, 0));
    assert!(outcomes.lock().iter().all(|(_, outcome)| outcome.is_ok()));
}

#[tokio::test(start_paused = true)]
async fn a_slow_host_is_not_left_for_one_that_always_served() {
    let servers = Pair([Mode::Up, Mode::Up].map(ScriptedServer::new));
    let [first, second] = &servers.0;
    let tier = tier(&servers, "primary");
    let outcomes = Outcomes::default();
    let ask = |id| {
        let answer = Entry(Arc::clone(&outcomes));
        tier.query(id, Statement::simple("SELECT 1"), RequestOptions::default(), answer);
    };
    ask(1);
    sleep(LOOK).await;
    first.set(Mode::Silent);
    ask(2);
    sleep(SECOND + LOOK).await;
    first.set(Mode::Up);
    sleep(10 * SECOND).await;
    assert!(outcomes.lock().len() == 2 && outcomes.lock().iter().all(|(_, outcome)| outcome.is_ok()));
    assert_eq!((first.connections(), second.connections()), (1, 0));
}
