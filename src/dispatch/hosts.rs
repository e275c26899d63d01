//! Several hosts: which is tried first, and whether it is the kind of server that is wanted
//! (`target_session_attrs`, `load_balance_hosts`, both as in libpq).
//!
//! What a host turned out to be is remembered for ten seconds and only decides the order: a host that
//! did not fit is tried last, never left out, so that a standby that was promoted is found at once.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use super::{breakers::Circuits, internal_query, session_attrs::Target};
use crate::postgres::{Config, Connection, Error, Host, Listener, Status, SystemError, connect};

/// How long the role of a host is remembered.
const MEMORY: Duration = Duration::from_secs(10);
/// How long nobody waits for a host of the wrong kind while the others are barred. Short: a standby may be
/// promoted at any moment.
const MOMENT: Duration = Duration::from_secs(1);
/// What one of several hosts may take where no connect timeout says otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Fit,
    Unfit,
    Away,
}

/// What is to be done about a connection whose server refused to write, or knows a name of ours already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Consequence {
    /// The application asked for a transaction that only reads.
    None,
    /// The connection is to be closed.
    Evict,
    /// All connections to its host are.
    EvictHost,
}

/// The hosts of a tier.
pub(super) struct Hosts {
    all: Vec<Arc<Host>>,
    target: Target,
    is_balanced: bool,
    /// What one host may take, so that there is time for the next.
    patience: Option<Duration>,
    memory: Mutex<Vec<Option<(Seen, Instant)>>>,
    /// Where the latest connection leads.
    current: Mutex<Option<Arc<Host>>>,
}

impl Hosts {
    /// `connect_timeout` is for all hosts together. A host that is named twice is one.
    pub(super) fn new(
        mut hosts: Vec<Host>,
        target: Target,
        is_balanced: bool,
        connect_timeout: Option<Duration>,
    ) -> Self {
        let mut known = HashSet::new();
        hosts.retain(|host| known.insert((host.name.clone(), host.port)));
        let count = u32::try_from(hosts.len()).unwrap_or(u32::MAX).max(1);
        let patience = (count > 1).then(|| connect_timeout.map_or(PATIENCE, |all| all / count));
        let memory = Mutex::new(vec![None; hosts.len()]);
        let all = hosts.into_iter().map(Arc::new).collect();
        Self { all, target, is_balanced, patience, memory, current: Mutex::new(None) }
    }

    /// In the order they were named.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Host>> {
        self.all.iter()
    }

    pub(super) fn get(&self, index: usize) -> &Arc<Host> {
        &self.all[index]
    }

    pub(super) fn position(&self, host: &Arc<Host>) -> Option<usize> {
        self.all.iter().position(|other| Arc::ptr_eq(other, host))
    }

    /// Where a host is, for people.
    pub(super) fn place(&self, index: usize) -> String {
        let Host { name, port, .. } = self.all[index].as_ref();
        format!("{name}:{port}")
    }

    /// The error of a connect to a host that took too long.
    pub(super) fn timed_out(&self, index: usize) -> Error {
        let Host { name, port, .. } = self.all[index].as_ref();
        Error::System(Arc::new(SystemError::connect_timed_out(name.clone(), *port)))
    }

    /// Whether another server may take what one rejects.
    pub(super) fn has_choice(&self) -> bool {
        self.all.len() > 1 || self.target != Target::Any
    }

    /// The host that was named first.
    pub(super) fn first(&self) -> Option<&Host> {
        self.all.first().map(Arc::as_ref)
    }

    /// Whether a host may serve: it was not seen to be of the wrong kind in this moment.
    pub(super) fn may_serve(&self, index: usize, now: Instant) -> bool {
        self.unfit_until(index).is_none_or(|until| until <= now)
    }

    /// The same for a request. Of those to a host that was of the wrong kind one passes in a moment, and
    /// finds out what it is by now.
    pub(super) fn takes(&self, index: usize, now: Instant) -> bool {
        let mut memory = self.memory.lock();
        match self.end_of_unfit(memory[index]) {
            None => true,
            Some(until) if until > now => false,
            Some(_) => {
                memory[index] = Some((Seen::Unfit, now));
                true
            }
        }
    }

    /// Until when nobody waits for a host that was of the wrong kind; none: it was not.
    pub(super) fn unfit_until(&self, index: usize) -> Option<Instant> {
        self.end_of_unfit(self.memory.lock()[index])
    }

    fn end_of_unfit(&self, seen: Option<(Seen, Instant)>) -> Option<Instant> {
        match (seen, self.target) {
            // It serves all the same where it is the second best, or refused nothing but to write.
            (_, Target::PreferStandby | Target::Any) => None,
            (Some((Seen::Unfit, at)), _) => Some(at + MOMENT),
            _ => None,
        }
    }

    /// Connects to the first host that suits and is not barred.
    pub(super) async fn connect(
        &self,
        config: &Config,
        listener: &Arc<dyn Listener>,
        circuits: &Arc<Circuits>,
    ) -> Result<Arc<Connection>, Error> {
        let mut failures = Vec::new();
        let mut second_best = CloseOnDrop(None);
        for index in self.order(Instant::now()) {
            let host = &self.all[index];
            if circuits.bars(index) {
                continue;
            }
            let begun = Instant::now();
            let connecting = circuits.connecting(index);
            let outcome = self.try_host(index, config, listener).await;
            connecting.ended(&outcome);
            match outcome {
                Ok((connection, true)) => {
                    self.note_fit(index, &connection);
                    return Ok(connection);
                }
                Ok((connection, false)) => {
                    self.note_unfit(index, begun);
                    if self.target == Target::PreferStandby && second_best.0.is_none() {
                        second_best = CloseOnDrop(Some(connection));
                    } else {
                        connection.close();
                    }
                    failures.push(Error::NoSuitableHost(format!(
                        "{}:{}: {}",
                        host.name,
                        host.port,
                        self.target.complaint()
                    )));
                }
                // A server that refuses the login would refuse it on every host.
                Err(error) if is_final(&error) && second_best.0.is_none() => return Err(error),
                Err(error) => {
                    self.note(index, Seen::Away);
                    failures.push(error);
                }
            }
        }
        match second_best.keep() {
            Some(connection) => Ok(connection),
            None if failures.is_empty() => Err(circuits.barred()),
            None => Err(summary(failures)),
        }
    }

    async fn try_host(
        &self,
        index: usize,
        config: &Config,
        listener: &Arc<dyn Listener>,
    ) -> Result<(Arc<Connection>, bool), Error> {
        let attempt = async {
            let connection = connect(&self.all[index], config, Arc::clone(listener)).await?;
            let unwanted = CloseOnDrop(Some(connection));
            let suits = self.suits(&unwanted).await?;
            unwanted.keep().map(|connection| (connection, suits)).ok_or(Error::Lost)
        };
        match self.patience {
            None => attempt.await,
            Some(patience) => timeout(patience, attempt).await.unwrap_or_else(|_| Err(self.timed_out(index))),
        }
    }

    async fn suits(&self, connection: &CloseOnDrop) -> Result<bool, Error> {
        let Some(connection) = &connection.0 else { return Ok(false) };
        if let Some(suits) = self.target.suits(connection.role()) {
            return Ok(suits);
        }
        let (question, answer) = self.target.question();
        Ok(internal_query::ask(connection, question).await? == answer)
    }

    /// Indices, those to be tried first in front.
    fn order(&self, now: Instant) -> Vec<usize> {
        let memory = self.memory.lock();
        let random = RandomState::new();
        let mut order: Vec<_> = (0..self.all.len()).collect();
        order.sort_by_cached_key(|&index| {
            let seen = memory[index].filter(|(_, at)| now.saturating_duration_since(*at) < MEMORY);
            let rank = match seen {
                Some((Seen::Fit, _)) => 0,
                // Where any of them will do, the first is the first.
                None if self.is_balanced || self.target == Target::Any => 0,
                None => 1,
                Some((Seen::Unfit, _)) => 2,
                Some((Seen::Away, _)) => 3,
            };
            (rank, if self.is_balanced { random.hash_one(index) } else { 0 })
        });
        order
    }

    fn note(&self, index: usize, seen: Seen) {
        self.memory.lock()[index] = Some((seen, Instant::now()));
    }

    /// Where any server will do, a standby that refused to write stays one that did: its connections are
    /// given up for that once, not again with each write.
    fn note_fit(&self, index: usize, connection: &Connection) {
        let mut memory = self.memory.lock();
        let refused = matches!(memory[index], Some((Seen::Unfit, at)) if at.elapsed() < MEMORY);
        if !refused || connection.role().standby != Some(true) || self.target != Target::Any {
            memory[index] = Some((Seen::Fit, Instant::now()));
        }
    }

    /// A connect that began then met the wrong kind. It may be over only after a later one that met the
    /// right kind.
    fn note_unfit(&self, index: usize, begun: Instant) {
        let mut memory = self.memory.lock();
        if !matches!(memory[index], Some((Seen::Fit, at)) if at > begun) {
            memory[index] = Some((Seen::Unfit, Instant::now()));
        }
    }

    /// A connection to `host` was made; the host that was left for it, if it was another one. Balanced
    /// hosts take turns, which is no failover.
    pub(super) fn moved_to(&self, host: &Arc<Host>) -> Option<Arc<Host>> {
        if self.is_balanced || self.all.len() < 2 {
            return None;
        }
        let before = self.current.lock().replace(Arc::clone(host));
        before.filter(|before| !Arc::ptr_eq(before, host))
    }

    /// The server behind the connection refused to write (25006). `status`: after that.
    pub(super) fn refused_write(&self, connection: &Connection, status: Status) -> Consequence {
        if !self.target.writes() {
            return Consequence::None;
        }
        let role = connection.role();
        match role.standby {
            Some(false) if role.read_only == Some(false) => return Consequence::None,
            // The session reads only by default: the server's setting, or the application's.
            Some(false) => return Consequence::Evict,
            // A transaction of the application may be read-only.
            None if status != Status::Idle => return Consequence::Evict,
            Some(true) | None => {}
        }
        let Some(index) = self.position(&connection.host) else { return Consequence::Evict };
        let was_known = matches!(self.memory.lock()[index], Some((Seen::Unfit, at)) if at.elapsed() < MEMORY);
        self.note(index, Seen::Unfit);
        // A lone host that any session may use is read-only because it was chosen so.
        if was_known || !self.has_choice() { Consequence::Evict } else { Consequence::EvictHost }
    }
}

/// Whether another host would answer the same.
fn is_final(error: &Error) -> bool {
    match error {
        Error::Database(error) => !error.code.action().passes(),
        _ => false,
    }
}

/// One error for all hosts.
fn summary(mut failures: Vec<Error>) -> Error {
    let mut systems = Vec::new();
    for failure in &failures {
        match failure {
            Error::System(error) => systems.push((**error).clone()),
            Error::Aggregate(errors) => systems.extend(errors.iter().cloned()),
            _ => {}
        }
    }
    let unsuitable = failures.iter().any(|failure| matches!(failure, Error::NoSuitableHost(_)));
    match failures.len() {
        0 => Error::Plain("no host to connect to".into()),
        1 => failures.remove(0),
        _ if unsuitable => {
            let all: Vec<_> = failures.iter().map(ToString::to_string).collect();
            Error::NoSuitableHost(all.join("; "))
        }
        count if systems.len() >= count => Error::Aggregate(systems.into()),
        _ => failures.remove(0),
    }
}

/// Closes a connection unless it is kept.
pub(super) struct CloseOnDrop(pub(super) Option<Arc<Connection>>);

impl CloseOnDrop {
    pub(super) fn keep(mut self) -> Option<Arc<Connection>> {
        self.0.take()
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if let Some(connection) = &self.0 {
            connection.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(target: Target, is_balanced: bool) -> Hosts {
        let hosts = ["a", "b", "c"].map(|name| Host::new(name, 5432)).into();
        Hosts::new(hosts, target, is_balanced, Some(Duration::from_secs(3)))
    }

    #[test]
    fn hosts_are_tried_in_the_order_given() {
        assert_eq!(hosts(Target::Any, false).order(Instant::now()), [0, 1, 2]);
    }

    #[test]
    fn a_host_that_did_not_fit_is_tried_last_and_never_left_out() {
        let hosts = hosts(Target::ReadWrite, false);
        hosts.note(0, Seen::Away);
        hosts.note(1, Seen::Unfit);
        assert_eq!(hosts.order(Instant::now()), [2, 1, 0]);
        hosts.note(1, Seen::Fit);
        assert_eq!(hosts.order(Instant::now()), [1, 2, 0]);
        assert_eq!(hosts.order(Instant::now() + MEMORY), [0, 1, 2]);
    }

    #[test]
    fn any_server_means_the_first_again_as_soon_as_it_may_be_back() {
        let hosts = hosts(Target::Any, false);
        hosts.note(0, Seen::Away);
        hosts.note(1, Seen::Fit);
        assert_eq!(hosts.order(Instant::now()), [1, 2, 0]);
        assert_eq!(hosts.order(Instant::now() + MEMORY), [0, 1, 2]);
    }

    #[test]
    fn a_host_is_left_when_the_next_connection_leads_elsewhere() {
        let hosts = hosts(Target::ReadWrite, false);
        let moves = [0, 0, 2, 2, 0].map(|index| {
            let host = Arc::clone(&hosts.all[index]);
            hosts.moved_to(&host).map(|left| left.name.clone())
        });
        assert_eq!(moves, [None, None, Some("a".into()), None, Some("c".into())]);
    }

    #[test]
    fn balancing_begins_everywhere() {
        let hosts = hosts(Target::Any, true);
        let firsts: std::collections::BTreeSet<_> =
            (0..200).map(|_| hosts.order(Instant::now())[0]).collect();
        assert_eq!(firsts.len(), 3);
    }

    #[test]
    fn where_any_server_will_do_one_that_refuses_to_write_serves() {
        for (target, serves) in [(Target::Any, true), (Target::PreferStandby, true), (Target::Primary, false)]
        {
            let hosts = hosts(target, false);
            hosts.note(1, Seen::Unfit);
            let now = Instant::now();
            assert_eq!([0, 1].map(|index| hosts.may_serve(index, now)), [true, serves]);
            assert!(hosts.may_serve(1, now + MOMENT));
        }
    }

    #[test]
    fn one_request_in_a_moment_finds_out_what_a_host_of_the_wrong_kind_is_by_now() {
        let hosts = hosts(Target::Primary, false);
        hosts.note(0, Seen::Unfit);
        let later = Instant::now() + MOMENT;
        let takes = |now| hosts.takes(0, now);
        assert_eq!([takes(later), takes(later), takes(later + MOMENT)], [true, false, true]);
        hosts.note(0, Seen::Fit);
        assert_eq!([takes(later), takes(later)], [true, true]);
    }

    #[test]
    fn what_a_host_was_before_it_was_seen_to_fit_is_forgotten() {
        let hosts = hosts(Target::Primary, false);
        let begun = Instant::now();
        hosts.note(0, Seen::Fit);
        hosts.note_unfit(0, begun);
        assert_eq!(hosts.unfit_until(0), None);
        hosts.note_unfit(0, Instant::now() + MOMENT);
        assert!(hosts.unfit_until(0).is_some());
    }

    #[test]
    fn a_host_named_twice_is_one() {
        let hosts = ["a", "b", "a"].map(|name| Host::new(name, 5432)).into();
        let hosts = Hosts::new(hosts, Target::Any, false, None);
        assert_eq!([0, 1].map(|index| hosts.place(index)), ["a:5432", "b:5432"]);
        assert_eq!(hosts.all().count(), 2);
    }

    #[test]
    fn the_time_to_connect_is_shared_by_the_hosts() {
        assert_eq!(hosts(Target::Any, false).patience, Some(Duration::from_secs(1)));
        assert_eq!(Hosts::new(vec![Host::new("a", 1)], Target::Any, false, None).patience, None);
    }

    #[test]
    fn the_error_of_several_hosts_names_each() {
        let error = summary(vec![Error::NoSuitableHost("a:1: session is read-only".into()), Error::Lost]);
        assert_eq!(error.to_string(), "a:1: session is read-only; Connection terminated unexpectedly");
    }
}
