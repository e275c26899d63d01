//! The rule above all: an outage costs the requests that can wait it out some time, and nothing else.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use parking_lot::Mutex;
use proptest::prelude::*;
use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};

use super::scripted_server::{Mode, ScriptedServer};
use crate::{
    dispatch::{Answer, BreakerNotice, Failure, Observer, RequestOptions, Settings, Tier},
    pool::CloseReason,
    postgres::{Connection, Error, Event, Rows, Shape, Statement, Status},
    resilience::Stage,
};

const SECOND: Duration = Duration::from_secs(1);

/// Keeps what the breaker became.
#[derive(Default)]
pub(super) struct Stages(Mutex<Vec<(Instant, Stage)>>);

impl Observer for Stages {
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
    fn breaker(&self, notice: &BreakerNotice) {
        self.0.lock().push((Instant::now(), notice.to));
    }
}

pub(super) type Outcomes = Arc<Mutex<Vec<(Instant, Result<(), Failure>)>>>;

/// Enters its end among the outcomes.
pub(super) struct Entry(pub(super) Outcomes);

impl Answer for Entry {
    fn rows(&mut self, _: &Arc<Shape>, _: Rows<'_>) {}
    fn complete(&mut self, _: &[u8]) {}
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
    fn done(&mut self, _: Status) {
        self.0.lock().push((Instant::now(), Ok(())));
    }
    fn failed(&mut self, failure: Failure, _: Option<Status>) {
        self.0.lock().push((Instant::now(), Err(failure)));
    }
}

struct Scene {
    server: ScriptedServer,
    stages: Arc<Stages>,
    tier: Tier,
    outcomes: Outcomes,
    asked: u32,
}

impl Scene {
    /// A tier with the defaults of one, but for what `changes` names.
    fn new(mode: Mode, changes: &serde_json::Value) -> Self {
        let mut settings = serde_json::json!({
            "hosts": [{ "host": "db1", "port": 5432 }],
            "user": "user",
            "password": "secret",
            "monitor": false,
            "dial": true,
            "enhanced": true,
            "max": 10,
            "min": 3,
            "idleTimeoutMillis": 30_000,
            "connectionTimeoutMillis": 2_000,
            "acquireTimeoutMillis": 30_000,
            "failFast": false,
            "retryAttempts": 3,
            "breaker": { "mode": "enforce" },
            "statementCacheSize": 0,
            "scramMaxIterations": 4096,
        });
        for (name, value) in changes.as_object().into_iter().flatten() {
            settings[name] = value.clone();
        }
        let server = ScriptedServer::new(mode);
        let mut settings = Settings::from_json(&settings.to_string(), || unreachable!()).unwrap();
        settings.dial_by(Arc::new(server.clone()));
        let stages = Arc::new(Stages::default());
        let tier = Tier::new(settings, Arc::clone(&stages) as _, Handle::current());
        Self { server, stages, tier, outcomes: Arc::default(), asked: 0 }
    }

    fn ask(&mut self) {
        self.ask_with(RequestOptions { idempotent: true, ..RequestOptions::default() });
    }

    fn ask_with(&mut self, options: RequestOptions) {
        self.asked += 1;
        let answer = Entry(Arc::clone(&self.outcomes));
        self.tier.query(self.asked, Statement::simple("SELECT 1"), options, answer);
    }

    /// Lets time pass, with a request every `pause`.
    async fn ask_for(&mut self, time: Duration, pause: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.ask();
            sleep(pause.min(end - Instant::now())).await;
        }
    }

    fn unanswered(&self) -> u32 {
        self.asked - u32::try_from(self.outcomes.lock().len()).unwrap()
    }

    fn failures(&self) -> Vec<Failure> {
        self.outcomes.lock().iter().filter_map(|(_, outcome)| outcome.clone().err()).collect()
    }

    fn is_open(&self) -> bool {
        matches!(self.stages.0.lock().last(), Some((_, Stage::Open { .. })))
    }
}

#[tokio::test(start_paused = true)]
async fn no_outage_of_a_row_of_seconds_loses_a_request_and_all_are_served_within_a_second_of_its_end() {
    for mode in [Mode::Refused, Mode::Silent, Mode::Starting] {
        for seconds in [1, 3, 17, 25] {
            let mut scene = Scene::new(Mode::Up, &serde_json::json!({}));
            scene.ask_for(SECOND, SECOND / 40).await;
            scene.server.set(mode);
            scene.ask_for(seconds * SECOND, SECOND / 40).await;
            scene.server.set(Mode::Up);
            scene.ask_for(SECOND + SECOND / 10, SECOND / 40).await;
            sleep(SECOND / 10).await;
            assert!(scene.failures().is_empty(), "{mode:?} for {seconds} s: {:?}", scene.failures()[0]);
            assert_eq!(scene.unanswered(), 0, "{mode:?} for {seconds} s");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_is_asked_little() {
    let mut scene = Scene::new(Mode::Up, &serde_json::json!({}));
    scene.ask_for(SECOND, SECOND / 40).await;
    let before = scene.server.connects();
    scene.server.set(Mode::Refused);
    scene.ask_for(60 * SECOND, SECOND / 40).await;
    assert!(scene.is_open());
    let connects = scene.server.connects() - before;
    assert!((100..180).contains(&connects), "{connects} connects in a minute");
    let before = scene.server.connects();
    scene.ask_for(60 * SECOND, SECOND / 40).await;
    let connects = scene.server.connects() - before;
    assert!((12..32).contains(&connects), "{connects} connects in the second minute");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_has_no_place_left_opens_no_breaker_and_costs_no_request() {
    let mut scene = Scene::new(Mode::Up, &serde_json::json!({ "min": 0 }));
    scene.ask();
    sleep(SECOND / 10).await;
    scene.server.set(Mode::Full);
    // More at a time than there are connections.
    for _ in 0..200 {
        (0..5).for_each(|_| scene.ask());
        sleep(SECOND / 10).await;
    }
    sleep(SECOND).await;
    assert!(scene.failures().is_empty() && scene.unanswered() == 0);
    assert!(scene.stages.0.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_can_neither_wait_nor_retry_is_refused_at_once_while_it_is_open() {
    let mut scene = Scene::new(Mode::Refused, &serde_json::json!({ "min": 1 }));
    while !scene.is_open() {
        sleep(SECOND / 10).await;
    }
    scene.ask_with(RequestOptions { attempts: Some(0), ..RequestOptions::default() });
    let Some(Failure::Refused(crate::pool::AcquireError::Connect(Error::BreakerOpen(open)))) =
        scene.failures().pop()
    else {
        panic!("not refused: {:?}", scene.failures());
    };
    assert!(open.next_probe.is_some());
    assert_eq!(open.cause.as_ref().map(ToString::to_string), Some("connect ECONNREFUSED db1:5432".into()));
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_connection_ends_at_its_limit_whatever_happens_in_between() {
    for mode in [Mode::Silent, Mode::Refused, Mode::Starting] {
        for connect in [300, 2_000, 60_000] {
            let changes =
                serde_json::json!({ "acquireTimeoutMillis": 2_000, "connectionTimeoutMillis": connect });
            let mut scene = Scene::new(Mode::Up, &changes);
            scene.ask();
            sleep(SECOND).await;
            scene.server.set(Mode::Refused);
            scene.server.set(mode);
            let begin = Instant::now();
            scene.ask();
            sleep(20 * SECOND).await;
            let (at, _) = scene.outcomes.lock()[1];
            assert_eq!((at - begin).as_millis() / 10, 200, "{mode:?}, connects within {connect} ms");
            let Some(Failure::Refused(error)) = scene.failures().pop() else { panic!("not refused") };
            let crate::pool::AcquireError::Timeout { last_connect_error: Some(_), .. } = error else {
                panic!("without a cause: {error:?}");
            };
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_never_reached_is_told_when_a_loop_of_the_attempts_would_end() {
    let mut scene = Scene::new(Mode::Refused, &serde_json::json!({ "min": 0 }));
    let begin = Instant::now();
    scene.ask();
    sleep(20 * SECOND).await;
    let (at, outcome) = scene.outcomes.lock()[0].clone();
    assert!((at - begin) >= 7 * SECOND && (at - begin) < 8 * SECOND);
    let Err(Failure::Refused(crate::pool::AcquireError::Connect(Error::System(error)))) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(error.code, "ECONNREFUSED");
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![
        2 => Just(Mode::Up),
        2 => Just(Mode::Refused),
        1 => Just(Mode::Silent),
        1 => Just(Mode::Starting),
        1 => Just(Mode::Full),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the server does for less time than requests wait: none fails, and it ends with all served.
    #[test]
    fn no_history_of_a_server_loses_a_request_that_can_wait(
        steps in prop::collection::vec((mode(), 1_u64..6_000), 1..8),
        pause in 5_u64..200,
    ) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut scene = Scene::new(Mode::Up, &serde_json::json!({ "acquireTimeoutMillis": 60_000 }));
            // As often as the server goes away, each request may be lost once.
            let options = || RequestOptions {
                idempotent: true,
                attempts: Some(20),
                base: Some(Duration::from_millis(1)),
                ..RequestOptions::default()
            };
            scene.ask_with(options());
            sleep(SECOND / 10).await;
            for (mode, millis) in steps {
                scene.server.set(mode);
                let end = Instant::now() + Duration::from_millis(millis);
                while Instant::now() < end {
                    scene.ask_with(options());
                    sleep(Duration::from_millis(pause)).await;
                }
            }
            scene.server.set(Mode::Up);
            sleep(SECOND + SECOND / 5).await;
            let failures = scene.failures();
            assert!(failures.is_empty(), "{} failed: {:?}", failures.len(), failures[0]);
            assert_eq!(scene.unanswered(), 0);
        });
    }
}
