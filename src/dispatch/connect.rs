//! One connect of a tier: the loop over its hosts.
//!
//! Hosts whose breaker is open are left out; the first suitable host wins. The error of a connect that
//! failed everywhere names each host.

use std::sync::Arc;

use tokio::time::{Instant, timeout};

use super::{
    breakers::HostBreakers,
    hosts::{HostState, Hosts},
    internal_query,
    session_attrs::TargetSessionAttrs,
};
use crate::postgres::{Config, Connection, Error, Listener, connect};

/// Connects to the first host that is suitable and whose breaker is closed.
pub(super) async fn connect_to_any(
    hosts: &Hosts,
    config: &Config,
    listener: &Arc<dyn Listener>,
    breakers: &Arc<HostBreakers>,
) -> Result<Arc<Connection>, Error> {
    let mut failures = Vec::new();
    let mut second_best = CloseOnDrop(None);
    for index in hosts.order(Instant::now()) {
        if breakers.is_open(index) {
            continue;
        }
        let begun = Instant::now();
        let connecting = breakers.connecting(index);
        let outcome = try_host(hosts, index, config, listener).await;
        connecting.ended(&outcome);
        match outcome {
            Ok((connection, true)) => {
                hosts.note_suitable(index, &connection);
                return Ok(connection);
            }
            Ok((connection, false)) => {
                hosts.note_unsuitable(index, begun);
                if hosts.target() == TargetSessionAttrs::PreferStandby && second_best.0.is_none() {
                    second_best = CloseOnDrop(Some(connection));
                } else {
                    connection.close();
                }
                failures.push(Error::NoSuitableHost(format!(
                    "{}: {}",
                    hosts.address(index),
                    hosts.target().complaint()
                )));
            }
            // A server that refuses the login would refuse it on every host.
            Err(error) if is_final(&error) && second_best.0.is_none() => return Err(error),
            Err(error) => {
                hosts.note(index, HostState::Unreachable);
                failures.push(error);
            }
        }
    }
    match second_best.keep() {
        Some(connection) => Ok(connection),
        None if failures.is_empty() => Err(breakers.open_error()),
        None => Err(summary(failures)),
    }
}

/// Connects to one host; whether it is suitable.
pub(super) async fn try_host(
    hosts: &Hosts,
    index: usize,
    config: &Config,
    listener: &Arc<dyn Listener>,
) -> Result<(Arc<Connection>, bool), Error> {
    let attempt = async {
        let connection = connect(hosts.get(index), config, Arc::clone(listener)).await?;
        let unwanted = CloseOnDrop(Some(connection));
        let suits = suits(hosts.target(), &unwanted).await?;
        unwanted.keep().map(|connection| (connection, suits)).ok_or(Error::Lost)
    };
    match hosts.host_timeout() {
        None => attempt.await,
        Some(limit) => timeout(limit, attempt).await.unwrap_or_else(|_| Err(hosts.timed_out(index))),
    }
}

async fn suits(target: TargetSessionAttrs, connection: &CloseOnDrop) -> Result<bool, Error> {
    let Some(connection) = &connection.0 else { return Ok(false) };
    if let Some(suits) = target.suits(connection.role()) {
        return Ok(suits);
    }
    let (question, answer) = target.question();
    Ok(internal_query::ask(connection, question).await? == answer)
}

/// Whether another host would answer the same.
fn is_final(error: &Error) -> bool {
    match error {
        Error::Database(error) => !error.action().passes(),
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

    #[test]
    fn the_error_of_several_hosts_names_each() {
        let error = summary(vec![Error::NoSuitableHost("a:1: session is read-only".into()), Error::Lost]);
        assert_eq!(error.to_string(), "a:1: session is read-only; Connection terminated unexpectedly");
    }
}
