//! Leaves a host that has fallen silent while another one serves: its kernel still takes what is sent, but the server
//! is frozen or cut off.
//!
//! Nothing is done for a statement on its way. Four times a second the watch looks which connections owe an answer. A host
//! of which no connection has heard anything for half a second is asked by a connect of its own. If that is not answered, and
//! another host answers and suits, all connections to the silent host are lost: their statements fail by their phase, and
//! their places are free for the other host. Without another host nothing is given up: the question is asked again and
//! again, and beside it the other hosts are looked at, so that a standby that is promoted is found soon.
//!
//! It also goes back to a standby that has returned, where a standby is preferred and a primary served meanwhile.

use std::{collections::HashMap, future::pending, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use super::{
    PgConnector,
    breakers::HostBreakers,
    connect::try_host,
    connector::NoEvents,
    hosts::{HostState, Hosts},
    instrument,
    session_attrs::TargetSessionAttrs,
    tier_context::TierContext,
};
use crate::{
    pool::{Pool, WeakPool},
    postgres::{Config, Connection, Error, Host, Listener},
};

/// Between two looks.
const TICK: Duration = Duration::from_millis(250);
/// Longer silence is asked about.
const SILENCE: Duration = Duration::from_millis(500);
/// Between two questions, where the first was answered: what runs is slow.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// How long the answer to a question may take.
const QUESTION: Duration = Duration::from_millis(1500);

/// Between two looks for a standby, where the primary is the second best.
const RETURN: Duration = Duration::from_secs(20);

/// Begins the watch where there is a choice of hosts; it ends with the pool.
pub(super) fn start(
    pool: &Pool<PgConnector>,
    hosts: &Arc<Hosts>,
    breakers: &Arc<HostBreakers>,
    tier: &Arc<TierContext>,
) {
    if hosts.all().count() > 1 {
        let watch = HostWatch {
            pool: pool.downgrade(),
            hosts: Arc::clone(hosts),
            breakers: Arc::clone(breakers),
            tier: Arc::clone(tier),
        };
        tier.runtime.spawn(watch.run());
    }
}

struct HostWatch {
    pool: WeakPool<PgConnector>,
    hosts: Arc<Hosts>,
    breakers: Arc<HostBreakers>,
    tier: Arc<TierContext>,
}

impl HostWatch {
    async fn run(self) {
        let mut silences: Vec<Silence> = self.hosts.all().map(|_| Silence::default()).collect();
        let mut looked_for_standby = Instant::now();
        loop {
            sleep(TICK).await;
            let Some(pool) = self.pool.upgrade() else { return };
            let connections = pool.connections();
            if self.hosts.target() == TargetSessionAttrs::PreferStandby
                && looked_for_standby.elapsed() >= RETURN
            {
                looked_for_standby = Instant::now();
                self.go_back_to_standby(&pool, &connections).await;
            }
            for (index, silence) in silences.iter_mut().enumerate() {
                let samples = samples(&connections, self.hosts.get(index));
                if !silence.observe(samples, Instant::now()) {
                    continue;
                }
                match self.question(index, silence.is_unanswered, pool.connector()).await {
                    Finding::Answers => silence.answered(Instant::now()),
                    Finding::Silent => silence.is_unanswered = true,
                    Finding::Replaced => {
                        self.leave(index, &pool);
                        *silence = Silence::default();
                    }
                }
            }
        }
    }

    /// Asks a host, and looks meanwhile whether another one takes over. `was_silent`: it did not answer the time before,
    /// and no other one served.
    async fn question(&self, index: usize, was_silent: bool, connector: &PgConnector) -> Finding {
        let config = connector.config();
        let answers = async {
            let answer = timeout(QUESTION, connector.ask(index)).await;
            // A refusal by the server is an answer.
            matches!(answer, Ok(Ok(()) | Err(Error::Database(_))))
        };
        let replaced = async {
            // One that serves already may always have served, as the second of two poolers does: that is no reason to
            // leave a host that is slow.
            if !was_silent && self.is_served_without(index, config).await {
                pending::<()>().await;
            }
            while !self.is_served_without(index, config).await {
                sleep(TICK).await;
            }
        };
        let answers = tokio::select! {
            biased;
            answers = answers => answers,
            () = replaced => return Finding::Replaced,
        };
        if answers {
            Finding::Answers
        } else if self.is_served_without(index, config).await {
            Finding::Replaced
        } else {
            Finding::Silent
        }
    }

    /// Whether another host answers and suits.
    async fn is_served_without(&self, silent: usize, config: &Config) -> bool {
        let listener: Arc<dyn Listener> = Arc::new(NoEvents);
        for index in self.hosts.order(Instant::now()) {
            if index == silent || self.breakers.is_open(index) {
                continue;
            }
            let trial = timeout(QUESTION, try_host(&self.hosts, index, config, &listener)).await;
            let Ok(Ok((connection, suits))) = trial else { continue };
            let suits = suits || self.hosts.target() == TargetSessionAttrs::PreferStandby;
            if suits {
                self.hosts.note_suitable(index, &connection);
            }
            connection.close();
            if suits {
                return true;
            }
        }
        false
    }

    /// Retires the connections to primaries when a standby answers.
    async fn go_back_to_standby(&self, pool: &Pool<PgConnector>, connections: &[Arc<Connection>]) {
        let is_second_best = |connection: &Arc<Connection>| connection.role().standby == Some(false);
        let Some(primary) = connections.iter().find(|connection| is_second_best(connection)) else { return };
        let listener: Arc<dyn Listener> = Arc::new(NoEvents);
        for index in self.hosts.order(Instant::now()) {
            if self.breakers.is_open(index) || Arc::ptr_eq(&primary.host, self.hosts.get(index)) {
                continue;
            }
            let config = pool.connector().config();
            let trial = timeout(QUESTION, try_host(&self.hosts, index, config, &listener)).await;
            let Ok(Ok((connection, suits))) = trial else { continue };
            connection.close();
            if suits {
                self.hosts.note_suitable(index, &connection);
                pool.retire(is_second_best);
                return;
            }
        }
    }

    fn leave(&self, index: usize, pool: &Pool<PgConnector>) {
        self.hosts.note(index, HostState::Unreachable);
        let host = self.hosts.get(index);
        let mut lost = 0;
        for connection in pool.connections().iter().filter(|connection| Arc::ptr_eq(&connection.host, host)) {
            connection.sever();
            lost += 1;
        }
        instrument::silent(self.tier.metrics.as_ref(), &self.hosts.address(index), lost);
    }
}

fn samples<'a>(connections: &'a [Arc<Connection>], host: &'a Arc<Host>) -> impl Iterator<Item = Sample> + 'a {
    connections.iter().filter(|&connection| Arc::ptr_eq(&connection.host, host)).map(|connection| Sample {
        id: connection.id,
        received: connection.received(),
        owes_answer: !connection.is_quiet(),
    })
}

/// What asking a host has shown.
enum Finding {
    Answers,
    Silent,
    /// It is silent, and another host serves.
    Replaced,
}

/// What a look shows of one connection.
struct Sample {
    id: u32,
    /// Bytes that the server has sent so far.
    received: u64,
    owes_answer: bool,
}

/// How long a host that owes answers has been silent.
#[derive(Default)]
struct Silence {
    received: HashMap<u32, u64>,
    since: Option<Instant>,
    /// No question before that.
    not_before: Option<Instant>,
    /// The last question was not answered.
    is_unanswered: bool,
}

impl Silence {
    /// Takes the samples of a look; whether the host is to be asked.
    fn observe(&mut self, samples: impl Iterator<Item = Sample>, now: Instant) -> bool {
        let (mut owes_answer, mut spoke) = (false, false);
        let mut received = HashMap::new();
        for sample in samples {
            owes_answer |= sample.owes_answer;
            spoke |= self.received.get(&sample.id) != Some(&sample.received);
            received.insert(sample.id, sample.received);
        }
        self.received = received;
        if !owes_answer || spoke {
            self.since = None;
            self.not_before = None;
            self.is_unanswered = false;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        now.saturating_duration_since(since) >= SILENCE && self.not_before.is_none_or(|at| at <= now)
    }

    /// The host has answered the question.
    fn answered(&mut self, now: Instant) {
        self.not_before = Some(now + ASK_AGAIN);
        self.is_unanswered = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWING: bool = true;

    fn sample(id: u32, received: u64, owes_answer: bool) -> Sample {
        Sample { id, received, owes_answer }
    }

    /// Of a host seen at each half second, whether it is to be asked.
    fn looks(seen: &[&[(u32, u64, bool)]]) -> Vec<bool> {
        let (mut silence, begun) = (Silence::default(), Instant::now());
        let look = |(tick, samples): (u32, &&[(u32, u64, bool)])| {
            let samples = samples.iter().map(|&(id, received, owes)| sample(id, received, owes));
            silence.observe(samples, begun + TICK * tick)
        };
        (0..).zip(seen).map(look).collect()
    }

    #[test]
    fn a_host_is_asked_after_a_second_of_silence() {
        let silent: &[_] = &[(1, 7, OWING)];
        assert_eq!(looks(&[silent; 5]), [false, false, false, true, true]);
    }

    #[test]
    fn a_host_that_owes_nothing_may_be_silent() {
        let idle: &[_] = &[(1, 7, false)];
        assert_eq!(looks(&[idle; 6]), [false; 6]);
    }

    #[test]
    fn one_connection_that_hears_something_speaks_for_the_host() {
        let looks = looks(&[
            &[(1, 7, OWING), (2, 1, false)],
            &[(1, 7, OWING), (2, 2, false)],
            &[(1, 7, OWING), (2, 3, false)],
            &[(1, 7, OWING), (2, 4, false)],
        ]);
        assert_eq!(looks, [false; 4]);
    }

    #[test]
    fn a_connection_that_leaves_says_nothing_and_a_new_one_was_answered() {
        let leaving =
            [&[(1, 7, OWING), (2, 1, OWING)][..], &[(1, 7, OWING), (2, 1, OWING)], &[(1, 7, OWING)]];
        let leaving: Vec<_> = leaving.into_iter().chain([&[(1, 7, OWING)][..]; 2]).collect();
        assert_eq!(looks(&leaving), [false, false, false, true, true]);
        let coming: &[_] = &[(1, 7, OWING), (2, 1, false)];
        assert_eq!(looks(&[&[(1, 7, OWING)], &[(1, 7, OWING)], &[(1, 7, OWING)], coming]), [false; 4]);
    }

    #[test]
    fn a_host_that_answered_is_asked_again_after_a_while() {
        let (mut silence, begun) = (Silence::default(), Instant::now());
        let mut ask = |seconds| {
            silence.observe([sample(1, 7, OWING)].into_iter(), begun + Duration::from_secs(seconds))
        };
        assert_eq!([ask(0), ask(1), ask(2)], [false, false, true]);
        silence.answered(begun + Duration::from_secs(2));
        let mut ask = |seconds| {
            silence.observe([sample(1, 7, OWING)].into_iter(), begun + Duration::from_secs(seconds))
        };
        assert_eq!([ask(3), ask(6), ask(7)], [false, false, true]);
    }
}
