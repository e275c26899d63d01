//! The hosts of a tier: what is known of each, and the order in which they are tried
//! (`target_session_attrs`, `load_balance_hosts`, both as in libpq).
//!
//! The state of a host is remembered for ten seconds and decides the order only: an unsuitable host is
//! tried last, never left out, so that a standby that was promoted is found at once.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::session_attrs::TargetSessionAttrs;
use crate::postgres::{Connection, Error, Host, Status, SystemError};

/// How long the state of a host is remembered.
const REMEMBERED_FOR: Duration = Duration::from_secs(10);
/// How long nobody waits for an unsuitable host while the others cannot be connected to. Short: a standby
/// may be promoted at any moment.
const UNSUITABLE_FOR: Duration = Duration::from_secs(1);
/// The connect timeout of one of several hosts where the settings name none.
const DEFAULT_HOST_TIMEOUT: Duration = Duration::from_secs(10);

/// What the last connect to a host has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HostState {
    /// The kind of server that is wanted.
    Suitable,
    /// Another kind of server, or one that refused to write.
    Unsuitable,
    /// No connection could be made.
    Unreachable,
}

/// What is to be done about a connection whose server refused to write, or knows a name of ours already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Consequence {
    /// Nothing: the application asked for a transaction that only reads.
    None,
    /// The connection is to be closed.
    Evict,
    /// All connections to its host are to be closed.
    EvictHost,
}

/// The hosts of a tier.
pub(super) struct Hosts {
    all: Vec<Arc<Host>>,
    target: TargetSessionAttrs,
    is_balanced: bool,
    /// The connect timeout of one host, so that there is time for the next.
    host_timeout: Option<Duration>,
    memory: Mutex<Vec<Option<(HostState, Instant)>>>,
    /// The host of the latest connection.
    current: Mutex<Option<Arc<Host>>>,
}

impl Hosts {
    /// `connect_timeout` is for all hosts together. A host that is named twice is one.
    pub(super) fn new(
        mut hosts: Vec<Host>,
        target: TargetSessionAttrs,
        is_balanced: bool,
        connect_timeout: Option<Duration>,
    ) -> Self {
        let mut known = HashSet::new();
        hosts.retain(|host| known.insert((host.name.clone(), host.port)));
        let count = u32::try_from(hosts.len()).unwrap_or(u32::MAX).max(1);
        let host_timeout =
            (count > 1).then(|| connect_timeout.map_or(DEFAULT_HOST_TIMEOUT, |all| all / count));
        let memory = Mutex::new(vec![None; hosts.len()]);
        let all = hosts.into_iter().map(Arc::new).collect();
        Self { all, target, is_balanced, host_timeout, memory, current: Mutex::new(None) }
    }

    /// All hosts, in the order they were named.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Host>> {
        self.all.iter()
    }

    pub(super) fn get(&self, index: usize) -> &Arc<Host> {
        &self.all[index]
    }

    pub(super) fn position(&self, host: &Arc<Host>) -> Option<usize> {
        self.all.iter().position(|other| Arc::ptr_eq(other, host))
    }

    pub(super) fn target(&self) -> TargetSessionAttrs {
        self.target
    }

    pub(super) fn host_timeout(&self) -> Option<Duration> {
        self.host_timeout
    }

    /// The address of a host, for people.
    pub(super) fn address(&self, index: usize) -> String {
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
        self.all.len() > 1 || self.target != TargetSessionAttrs::Any
    }

    /// The host that was named first.
    pub(super) fn first(&self) -> Option<&Host> {
        self.all.first().map(Arc::as_ref)
    }

    /// Whether a host may serve: it was not seen to be unsuitable within the last second.
    pub(super) fn may_serve(&self, index: usize, now: Instant) -> bool {
        self.unsuitable_until(index).is_none_or(|until| until <= now)
    }

    /// Like `may_serve`, but lets one request per second through to an unsuitable host, to notice a
    /// promotion.
    pub(super) fn may_probe(&self, index: usize, now: Instant) -> bool {
        let mut memory = self.memory.lock();
        match self.end_of_unsuitable(memory[index]) {
            None => true,
            Some(until) if until > now => false,
            Some(_) => {
                memory[index] = Some((HostState::Unsuitable, now));
                true
            }
        }
    }

    /// Until when nobody waits for an unsuitable host; none: it was not unsuitable.
    pub(super) fn unsuitable_until(&self, index: usize) -> Option<Instant> {
        self.end_of_unsuitable(self.memory.lock()[index])
    }

    fn end_of_unsuitable(&self, seen: Option<(HostState, Instant)>) -> Option<Instant> {
        match (seen, self.target) {
            // It serves all the same where it is the second best, or refused nothing but to write.
            (_, TargetSessionAttrs::PreferStandby | TargetSessionAttrs::Any) => None,
            (Some((HostState::Unsuitable, at)), _) => Some(at + UNSUITABLE_FOR),
            _ => None,
        }
    }

    /// Indices of all hosts, those to be tried first in front.
    pub(super) fn order(&self, now: Instant) -> Vec<usize> {
        let memory = self.memory.lock();
        let random = RandomState::new();
        let mut order: Vec<_> = (0..self.all.len()).collect();
        order.sort_by_cached_key(|&index| {
            let seen = memory[index].filter(|(_, at)| now.saturating_duration_since(*at) < REMEMBERED_FOR);
            let rank = match seen {
                Some((HostState::Suitable, _)) => 0,
                // Where any of them will do, the first is the first.
                None if self.is_balanced || self.target == TargetSessionAttrs::Any => 0,
                None => 1,
                Some((HostState::Unsuitable, _)) => 2,
                Some((HostState::Unreachable, _)) => 3,
            };
            (rank, if self.is_balanced { random.hash_one(index) } else { 0 })
        });
        order
    }

    pub(super) fn note(&self, index: usize, seen: HostState) {
        self.memory.lock()[index] = Some((seen, Instant::now()));
    }

    /// Notes a connection to a suitable host. Where any server will do, a standby that refused to write
    /// stays unsuitable: its connections are given up for that once, not again with each write.
    pub(super) fn note_suitable(&self, index: usize, connection: &Connection) {
        let mut memory = self.memory.lock();
        let refused =
            matches!(memory[index], Some((HostState::Unsuitable, at)) if at.elapsed() < REMEMBERED_FOR);
        if !refused || connection.role().standby != Some(true) || self.target != TargetSessionAttrs::Any {
            memory[index] = Some((HostState::Suitable, Instant::now()));
        }
    }

    /// Notes that a connect begun at `begun` met an unsuitable host. It may be over only after a later
    /// connect that met a suitable one.
    pub(super) fn note_unsuitable(&self, index: usize, begun: Instant) {
        let mut memory = self.memory.lock();
        if !matches!(memory[index], Some((HostState::Suitable, at)) if at > begun) {
            memory[index] = Some((HostState::Unsuitable, Instant::now()));
        }
    }

    /// Notes a new connection to `host`, and returns the host that was left for it, if it was another one.
    /// Balanced hosts take turns, which is no failover.
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
        let was_known = matches!(
            self.memory.lock()[index],
            Some((HostState::Unsuitable, at)) if at.elapsed() < REMEMBERED_FOR
        );
        self.note(index, HostState::Unsuitable);
        // A lone host that any session may use is read-only because it was chosen so.
        if was_known || !self.has_choice() { Consequence::Evict } else { Consequence::EvictHost }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(target: TargetSessionAttrs, is_balanced: bool) -> Hosts {
        let hosts = ["a", "b", "c"].map(|name| Host::new(name, 5432)).into();
        Hosts::new(hosts, target, is_balanced, Some(Duration::from_secs(3)))
    }

    #[test]
    fn hosts_are_tried_in_the_order_given() {
        assert_eq!(hosts(TargetSessionAttrs::Any, false).order(Instant::now()), [0, 1, 2]);
    }

    #[test]
    fn an_unsuitable_host_is_tried_last_and_never_left_out() {
        let hosts = hosts(TargetSessionAttrs::ReadWrite, false);
        hosts.note(0, HostState::Unreachable);
        hosts.note(1, HostState::Unsuitable);
        assert_eq!(hosts.order(Instant::now()), [2, 1, 0]);
        hosts.note(1, HostState::Suitable);
        assert_eq!(hosts.order(Instant::now()), [1, 2, 0]);
        assert_eq!(hosts.order(Instant::now() + REMEMBERED_FOR), [0, 1, 2]);
    }

    #[test]
    fn any_server_means_the_first_again_as_soon_as_it_may_be_back() {
        let hosts = hosts(TargetSessionAttrs::Any, false);
        hosts.note(0, HostState::Unreachable);
        hosts.note(1, HostState::Suitable);
        assert_eq!(hosts.order(Instant::now()), [1, 2, 0]);
        assert_eq!(hosts.order(Instant::now() + REMEMBERED_FOR), [0, 1, 2]);
    }

    #[test]
    fn a_host_is_left_when_the_next_connection_leads_elsewhere() {
        let hosts = hosts(TargetSessionAttrs::ReadWrite, false);
        let moves = [0, 0, 2, 2, 0].map(|index| {
            let host = Arc::clone(&hosts.all[index]);
            hosts.moved_to(&host).map(|left| left.name.clone())
        });
        assert_eq!(moves, [None, None, Some("a".into()), None, Some("c".into())]);
    }

    #[test]
    fn balancing_begins_everywhere() {
        let hosts = hosts(TargetSessionAttrs::Any, true);
        let firsts: std::collections::BTreeSet<_> =
            (0..200).map(|_| hosts.order(Instant::now())[0]).collect();
        assert_eq!(firsts.len(), 3);
    }

    #[test]
    fn where_any_server_will_do_one_that_refuses_to_write_serves() {
        for (target, serves) in [
            (TargetSessionAttrs::Any, true),
            (TargetSessionAttrs::PreferStandby, true),
            (TargetSessionAttrs::Primary, false),
        ] {
            let hosts = hosts(target, false);
            hosts.note(1, HostState::Unsuitable);
            let now = Instant::now();
            assert_eq!([0, 1].map(|index| hosts.may_serve(index, now)), [true, serves]);
            assert!(hosts.may_serve(1, now + UNSUITABLE_FOR));
        }
    }

    #[test]
    fn one_request_a_second_probes_an_unsuitable_host() {
        let hosts = hosts(TargetSessionAttrs::Primary, false);
        hosts.note(0, HostState::Unsuitable);
        let later = Instant::now() + UNSUITABLE_FOR;
        let may_probe = |now| hosts.may_probe(0, now);
        assert_eq!(
            [may_probe(later), may_probe(later), may_probe(later + UNSUITABLE_FOR)],
            [true, false, true]
        );
        hosts.note(0, HostState::Suitable);
        assert_eq!([may_probe(later), may_probe(later)], [true, true]);
    }

    #[test]
    fn what_a_host_was_before_it_was_seen_to_suit_is_forgotten() {
        let hosts = hosts(TargetSessionAttrs::Primary, false);
        let begun = Instant::now();
        hosts.note(0, HostState::Suitable);
        hosts.note_unsuitable(0, begun);
        assert_eq!(hosts.unsuitable_until(0), None);
        hosts.note_unsuitable(0, Instant::now() + UNSUITABLE_FOR);
        assert!(hosts.unsuitable_until(0).is_some());
    }

    #[test]
    fn a_host_named_twice_is_one() {
        let hosts = ["a", "b", "a"].map(|name| Host::new(name, 5432)).into();
        let hosts = Hosts::new(hosts, TargetSessionAttrs::Any, false, None);
        assert_eq!([0, 1].map(|index| hosts.address(index)), ["a:5432", "b:5432"]);
        assert_eq!(hosts.all().count(), 2);
    }

    #[test]
    fn the_time_to_connect_is_shared_by_the_hosts() {
        assert_eq!(hosts(TargetSessionAttrs::Any, false).host_timeout, Some(Duration::from_secs(1)));
        let alone = Hosts::new(vec![Host::new("a", 1)], TargetSessionAttrs::Any, false, None);
        assert_eq!(alone.host_timeout, None);
    }
}
