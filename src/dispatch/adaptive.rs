//! Adaptive limits (`DB_ADAPTIVE`): what tiers feel on a server they share, and the limit of those that give way.
//!
//! The lowest tier gives way, `admin` stands apart, the others are spared: the times of their answers are felt. A
//! server is known by its address, to all threads of the process: a tier follows what is felt on those servers alone
//! that it has connections to. A full server is told by any of them. Off, it costs a request one relaxed load.

use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    sync::{
        Arc, LazyLock, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::Notify,
    time::{Instant, sleep},
};

use super::{hosts::Hosts, instrument, policy::Place};
use crate::{
    pool::{Counts, LeaseLimit, Sizes},
    postgres::{Error, Host, QueryMode, Statement},
    resilience::{AdaptiveLimit, AnswerTimes, Bounds, Felt, Lesson, Usage},
    telemetry::PoolMetrics,
};

/// Between two steps of a limit.
const TICK: Duration = Duration::from_millis(100);
/// What a tier feels while those below have been at their smallest limits for so long is as calm as it gets.
const AS_CALM_AS_IT_GETS: Duration = Duration::from_secs(10);

/// The name of a host and its port.
type Address = (String, u16);

/// The servers on which something is felt.
static SERVERS: LazyLock<Mutex<HashMap<Address, Weak<Server>>>> = LazyLock::new(Mutex::default);

/// The pool whose leases are limited.
pub(super) trait LimitedPool: Send + Sync {
    /// How it is at this moment; none: it is gone.
    fn look(&self) -> Option<Look>;
    /// The hosts of its connections.
    fn hosts(&self) -> Vec<Arc<Host>>;
    /// Limits its leases.
    fn limit_leases(&self, limit: LeaseLimit);
}

/// A look at a pool.
pub(super) struct Look {
    pub(super) sizes: Sizes,
    pub(super) counts: Counts,
    /// Claims served since it was made.
    pub(super) grants: u64,
}

/// The part that a tier has in adaptive limits.
pub struct Adaptive {
    place: Place,
    is_on: AtomicBool,
    is_over: AtomicBool,
    hosts: Arc<Hosts>,
    /// In the order of the hosts; there since it was first on.
    servers: OnceLock<Box<[Arc<Server>]>>,
    follower: OnceLock<Arc<Follower>>,
    runtime: Handle,
}

impl Adaptive {
    /// Off.
    pub(super) fn new(place: Place, hosts: &Arc<Hosts>, runtime: &Handle) -> Self {
        Self {
            place,
            is_on: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            hosts: Arc::clone(hosts),
            servers: OnceLock::new(),
            follower: OnceLock::new(),
            runtime: runtime.clone(),
        }
    }

    /// Sets the pool. It is to be held weakly: it owns what owns this.
    pub(super) fn attach(&self, pool: impl LimitedPool + 'static, metrics: Option<&Arc<PoolMetrics>>) {
        if self.place != Place::GivesWay {
            return;
        }
        let _ = self.follower.set(Arc::new(Follower {
            pool: Box::new(pool),
            hosts: Arc::clone(&self.hosts),
            metrics: metrics.cloned(),
            is_on: AtomicBool::new(false),
            is_refused: AtomicBool::new(false),
            at_floor_since: Mutex::new(None),
            changed: Notify::new(),
        }));
    }

    /// Switches it on or off. Off, the limit is lifted.
    pub(super) fn switch(&self, on: bool) {
        if self.is_over.load(Ordering::Relaxed) {
            return;
        }
        let is_first = on && self.servers.get().is_none();
        let servers = on.then(|| self.servers.get_or_init(|| self.hosts.all().map(server_of).collect()));
        self.is_on.store(on, Ordering::Relaxed);
        let Some(follower) = self.follower.get() else { return };
        if !follower.is_on.swap(on, Ordering::Relaxed) && on {
            follower.begin();
        }
        follower.changed.notify_one();
        if let Some(servers) = servers.filter(|_| is_first) {
            servers.iter().for_each(|server| server.join(follower));
            self.runtime.spawn(follow(Arc::clone(follower), servers.to_vec()));
        }
    }

    /// The tier ends: it is off for good.
    pub(super) fn end(&self) {
        self.switch(false);
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// A statement is about to be sent; none: its time is not wanted.
    pub(super) fn begin(&self, statement: &Statement) -> Option<Instant> {
        let is_felt = self.place == Place::Spared && self.is_on.load(Ordering::Relaxed);
        // What is fetched by pages, or read raw, waits for the application.
        let is_whole = || statement.fetch == 0 && statement.mode != QueryMode::Raw;
        (is_felt && is_whole()).then(Instant::now)
    }

    /// A statement that `begin` knows of was answered by a host, or ran out of time there.
    pub(super) fn ended(
        &self,
        begun: Option<Instant>,
        host: &Arc<Host>,
        statement: &Statement,
        outcome: Result<(), &Error>,
    ) {
        let Some(begun) = begun else { return };
        let tells = match outcome {
            Ok(()) | Err(Error::QueryTimeout) => true,
            Err(error) => matches!(error, Error::Database(_)) && !error.action().counts_for_breaker(),
        };
        if tells && let Some(server) = self.server(host) {
            let text = BuildHasherDefault::<DefaultHasher>::default().hash_one(&statement.text);
            let now = Instant::now();
            server.record(text, now.saturating_duration_since(begun), now);
        }
    }

    /// A host had no place for a further connection.
    pub(super) fn refused(&self, host: &Arc<Host>) {
        if self.is_on.load(Ordering::Relaxed)
            && let Some(server) = self.server(host)
        {
            for follower in server.followers() {
                follower.is_refused.store(true, Ordering::Relaxed);
                follower.changed.notify_one();
            }
        }
    }

    fn server(&self, host: &Arc<Host>) -> Option<&Arc<Server>> {
        self.servers.get()?.get(self.hosts.position(host)?)
    }
}

impl Drop for Adaptive {
    fn drop(&mut self) {
        if let Some(follower) = self.follower.get() {
            // Its task sees that the pool is gone.
            follower.changed.notify_one();
        }
    }
}

fn server_of(host: &Arc<Host>) -> Arc<Server> {
    let address = (host.name.to_lowercase(), host.port);
    let mut servers = SERVERS.lock();
    servers.retain(|_, server| server.strong_count() > 0);
    servers.get(&address).and_then(Weak::upgrade).unwrap_or_else(|| {
        let server = Arc::new(Server {
            times: Mutex::new(AnswerTimes::new(Instant::now())),
            followers: Mutex::default(),
        });
        servers.insert(address, Arc::downgrade(&server));
        server
    })
}

/// What is felt on one server, and who gives way there.
struct Server {
    times: Mutex<AnswerTimes>,
    /// With what each had done when the last turn ended.
    followers: Mutex<Vec<(Weak<Follower>, Done)>>,
}

/// What a follower has done up to a moment.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Done {
    /// Claims served since its pool was made.
    grants: u64,
    /// Whether a connection is in use.
    is_busy: bool,
}

impl Server {
    fn join(&self, follower: &Arc<Follower>) {
        let mut followers = self.followers.lock();
        followers.retain(|(other, _)| other.strong_count() > 0);
        followers.push((Arc::downgrade(follower), Done::default()));
    }

    fn followers(&self) -> Vec<Arc<Follower>> {
        self.followers.lock().iter().filter_map(|(follower, _)| follower.upgrade()).collect()
    }

    fn felt(&self) -> Felt {
        self.times.lock().felt()
    }

    fn record(&self, text: u64, took: Duration, now: Instant) {
        let is_turn_over = {
            let mut times = self.times.lock();
            times.record(text, took);
            times.is_turn_over(now)
        };
        if is_turn_over {
            // Without a lock: a look at a pool may grant claims, and those may be answered at once.
            let lesson = self.lesson(now);
            let mut times = self.times.lock();
            if times.is_turn_over(now) {
                times.end_turn(lesson, now);
            }
        }
    }

    /// What the turn that ends now teaches: everything, if nobody who gives way had a connection in use meanwhile.
    fn lesson(&self, now: Instant) -> Lesson {
        let lessons = self.followers().into_iter().map(|follower| {
            let Some(look) = follower.pool.look() else { return Lesson::All };
            let done = Done { grants: look.grants, is_busy: look.counts.used > 0 };
            let before = self.swap_done(&follower, done);
            if !done.is_busy && done == before {
                return Lesson::All;
            }
            match *follower.at_floor_since.lock() {
                Some(since) if now.saturating_duration_since(since) >= AS_CALM_AS_IT_GETS => Lesson::All,
                Some(_) => Lesson::Unknown,
                None => Lesson::Nothing,
            }
        });
        lessons.min().unwrap_or(Lesson::All)
    }

    /// Notes what a follower has done; returns what had been noted before.
    fn swap_done(&self, follower: &Arc<Follower>, done: Done) -> Done {
        let mut followers = self.followers.lock();
        let mut all = followers.iter_mut();
        let its = all.find(|(other, _)| std::ptr::eq(other.as_ptr(), Arc::as_ptr(follower)));
        its.map_or(done, |(_, before)| std::mem::replace(before, done))
    }
}

/// A tier that gives way.
struct Follower {
    pool: Box<dyn LimitedPool>,
    hosts: Arc<Hosts>,
    metrics: Option<Arc<PoolMetrics>>,
    is_on: AtomicBool,
    /// Whether a server was full since the last step.
    is_refused: AtomicBool,
    at_floor_since: Mutex<Option<Instant>>,
    /// Rings when it is switched, when a server is full, and when the pool is gone.
    changed: Notify,
}

/// Steps the limit of a tier until its pool is gone.
async fn follow(follower: Arc<Follower>, servers: Vec<Arc<Server>>) {
    let mut steps = None;
    while let Some(look) = follower.pool.look() {
        if follower.is_on.load(Ordering::Relaxed) {
            steps.get_or_insert_with(|| Steps::new(&follower, &servers, &look)).take(&look);
            tokio::select! {
                () = follower.changed.notified() => {}
                () = sleep(TICK) => {}
            }
        } else {
            if steps.take().is_some() {
                follower.lift();
            }
            follower.changed.notified().await;
        }
    }
}

impl Follower {
    fn set(&self, limit: LeaseLimit, at_floor_since: Option<Instant>) {
        *self.at_floor_since.lock() = at_floor_since;
        self.pool.limit_leases(limit);
        if let Some(metrics) = &self.metrics {
            metrics.set_adaptive_limit((limit != LeaseLimit::NONE).then_some(limit.most));
        }
    }

    /// Sets the smallest limit, before the first step: a flood may come with the next call.
    fn begin(&self) {
        if let Some(look) = self.pool.look() {
            let most = AdaptiveLimit::new(bounds(&look), Instant::now()).limit();
            self.set(LeaseLimit { most, closes_surplus: false }, Some(Instant::now()));
        }
    }

    fn lift(&self) {
        self.set(LeaseLimit::NONE, None);
    }
}

/// The limit of a tier while it is on.
struct Steps<'a> {
    follower: &'a Follower,
    servers: &'a [Arc<Server>],
    limit: AdaptiveLimit,
    /// What had been felt on each server at the last step.
    before: Vec<Felt>,
}

impl<'a> Steps<'a> {
    fn new(follower: &'a Follower, servers: &'a [Arc<Server>], look: &Look) -> Self {
        Self {
            follower,
            servers,
            limit: AdaptiveLimit::new(bounds(look), Instant::now()),
            before: servers.iter().map(|server| server.felt()).collect(),
        }
    }

    fn take(&mut self, look: &Look) {
        let (now, from) = (Instant::now(), self.limit.limit());
        let refused = self.follower.is_refused.swap(false, Ordering::Relaxed);
        let full = if refused { self.limit.refused(look.counts.total, now) } else { None };
        let usage = Usage { used: look.counts.used, waiting: look.counts.waiting };
        let felt = self.felt();
        let slow = self.limit.step(bounds(look), usage, felt, now);
        let most = self.limit.limit();
        let limit = LeaseLimit { most, closes_surplus: self.limit.is_full(now) };
        self.follower.set(limit, self.limit.at_floor_since());
        if let Some(reduction) = full.or(slow) {
            instrument::gave_way(self.follower.metrics.as_ref(), reduction, from, most);
        }
    }

    /// What was felt since the last step on the servers of the tier's connections.
    fn felt(&mut self) -> Felt {
        let hosts = self.follower.pool.hosts();
        let mut felt = Felt::default();
        for (index, (server, before)) in self.servers.iter().zip(&mut self.before).enumerate() {
            let whole = server.felt();
            let host = self.follower.hosts.get(index);
            if hosts.iter().any(|other| Arc::ptr_eq(other, host)) {
                felt = felt.and(whole.since(*before));
            }
            *before = whole;
        }
        felt
    }
}

fn bounds(look: &Look) -> Bounds {
    Bounds { min: look.sizes.min, max: look.sizes.max }
}
