//! The diagnosis of an alert: its likely causes, the most likely first, from what else is known at that
//! moment.

use serde::{Deserialize, Serialize};

use super::{BreakerState, FailureClass, PoolReading, rule::Rule, sliding_window::Mark};

/// The delay of the event loop, in milliseconds, above which the JavaScript thread is the bottleneck.
const STALLED: f64 = 200.0;
/// The time of a lease, in milliseconds, that is worth a look.
const LONG_USE: f64 = 1000.0;
/// The most stacks that are reported.
const STACKS: usize = 3;

/// A lease that lasts too long.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leak {
    /// How long it lasts, in milliseconds.
    pub held_millis: f64,
    /// The stack of the code that checked the client out.
    pub stack: Option<String>,
}

/// The context of a sample: what a monitor knows beside the numbers of the pool.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Context {
    /// The p99 delay of the event loop since the last sample, in milliseconds.
    pub event_loop_lag: Option<f64>,
    /// Leases that last too long, longest first.
    pub leaks: Vec<Leak>,
}

/// A likely cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// For machines: `event_loop`, `server`, `breaker`, `leak`, `failures`, `slow_use`, `load`.
    pub kind: &'static str,
    /// For people.
    pub text: String,
}

/// The signals from which a diagnosis is made.
pub(super) struct Signals<'a> {
    pub(super) context: &'a Context,
    pub(super) reading: Option<&'a PoolReading>,
    pub(super) breaker: BreakerState,
    pub(super) connect_error: Option<String>,
    pub(super) minute: Option<&'a Mark>,
    /// The p95 of the time that connections were leased, in milliseconds.
    pub(super) use_p95: Option<f64>,
}

pub(super) fn find(rule: Rule, signals: &Signals<'_>) -> Vec<Cause> {
    // Full pools and long leases follow from a server that is away and from a busy thread; they explain nothing then.
    let stalled = stalled(signals);
    let server: Vec<_> = [server(signals), breaker(signals)].into_iter().flatten().collect();
    let (is_stalled, is_away) = (stalled.is_some(), !server.is_empty());
    let leaks = leaks(signals).filter(|_| !is_away);
    let own = [slow(rule, signals), load(rule, signals)].into_iter().flatten();
    let own = own.filter(|_| !is_stalled && !is_away);
    stalled.into_iter().chain(server).chain(leaks).chain(failures(rule, signals)).chain(own).collect()
}

fn stalled(signals: &Signals<'_>) -> Option<Cause> {
    let lag = signals.context.event_loop_lag.filter(|lag| *lag > STALLED)?;
    let text = format!(
        "the JavaScript thread is busy (event loop {lag:.0} ms late at p99): it waits for itself, not for the pool"
    );
    Some(Cause { kind: "event_loop", text })
}

fn breaker(signals: &Signals<'_>) -> Option<Cause> {
    let state = Some(signals.breaker).filter(|state| *state != BreakerState::Closed)?;
    Some(Cause { kind: "breaker", text: format!("the circuit breaker is {}", state.name()) })
}

fn server(signals: &Signals<'_>) -> Option<Cause> {
    let error = signals.connect_error.as_ref()?;
    Some(Cause { kind: "server", text: format!("connecting fails: {error}") })
}

fn leaks(signals: &Signals<'_>) -> Option<Cause> {
    let leaks = &signals.context.leaks;
    let longest = leaks.first()?;
    let stacks: Vec<_> = leaks.iter().filter_map(|leak| leak.stack.as_deref()).take(STACKS).collect();
    let (count, seconds) = (leaks.len(), longest.held_millis / 1000.0);
    let mut text = format!("{count} clients are not given back, the longest for {seconds:.0} s");
    for stack in stacks {
        text.push_str("\nacquired ");
        text.push_str(stack);
    }
    Some(Cause { kind: "leak", text })
}

fn failures(rule: Rule, signals: &Signals<'_>) -> Option<Cause> {
    let minute = signals.minute.filter(|minute| rule == Rule::ErrorRate && minute.faults > 0)?;
    let faults = FailureClass::ALL.into_iter().filter(|class| class.is_fault());
    let class = faults.max_by_key(|class| minute.by_class[*class as usize])?;
    let count = minute.by_class[class as usize];
    let text =
        format!("{count} of {} failures in the last minute are of class {}", minute.faults, class.name());
    Some(Cause { kind: "failures", text })
}

fn slow(rule: Rule, signals: &Signals<'_>) -> Option<Cause> {
    let long = signals.use_p95.filter(|long| rule != Rule::ErrorRate && *long > LONG_USE)?;
    let text = format!("connections are held long (p95 {long:.0} ms): slow statements, or work between them");
    Some(Cause { kind: "slow_use", text })
}

fn load(rule: Rule, signals: &Signals<'_>) -> Option<Cause> {
    let reading =
        signals.reading.filter(|reading| rule != Rule::ErrorRate && reading.used >= reading.limit())?;
    let text =
        format!("all {} connections are in use and {} requests wait", reading.limit(), reading.waiting);
    Some(Cause { kind: "load", text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(rule: Rule, signals: &Signals<'_>) -> Vec<&'static str> {
        find(rule, signals).iter().map(|cause| cause.kind).collect()
    }

    #[test]
    fn a_stalled_thread_is_blamed_before_the_pool() {
        let context = Context { event_loop_lag: Some(900.0), leaks: Vec::new() };
        let reading = PoolReading { used: 2, max: 2, waiting: 11, ..PoolReading::default() };
        let signals = Signals {
            context: &context,
            reading: Some(&reading),
            breaker: BreakerState::Closed,
            connect_error: None,
            minute: None,
            use_p95: None,
        };
        assert_eq!(kinds(Rule::Waiting, &signals), ["event_loop"]);
    }

    #[test]
    fn a_server_that_refuses_is_named_first_and_what_follows_from_it_is_not() {
        let leak = Leak { held_millis: 31_000.0, stack: Some("at handler (app.js:7:3)".into()) };
        let context = Context { event_loop_lag: Some(3.0), leaks: vec![leak] };
        let signals = Signals {
            context: &context,
            reading: None,
            breaker: BreakerState::Open,
            connect_error: Some("connect ECONNREFUSED 127.0.0.1:5432".into()),
            minute: None,
            use_p95: Some(5000.0),
        };
        assert_eq!(kinds(Rule::Utilisation, &signals), ["server", "breaker"]);
        let signals = Signals { connect_error: None, breaker: BreakerState::Closed, ..signals };
        let causes = find(Rule::Utilisation, &signals);
        assert_eq!(causes.iter().map(|cause| cause.kind).collect::<Vec<_>>(), ["leak", "slow_use"]);
        assert!(causes[0].text.contains("app.js:7:3"), "{}", causes[0].text);
    }
}
