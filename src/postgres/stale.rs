//! Stale statements: what the server refused because of how it was prepared may run again without its caller
//! noticing, prepared anew. Only outside a transaction, which the error would have ended, and only before the
//! statement was bound: from then on the server executes, and user code may raise the same errors.

use std::sync::Arc;

use super::{
    Error, SqlState, Status,
    connection::{ConnectionState, Refused},
    encode::encode_description,
    in_flight::{InFlight, Preparation, Progress, Run},
};

impl InFlight {
    fn sqlstate(&self) -> Option<SqlState> {
        self.error.as_ref().and_then(Error::sqlstate)
    }

    /// Whether its prepared statement is gone or outdated, or its name was taken.
    fn is_stale(&self) -> bool {
        let is_cached = matches!(self.preparation, Preparation::Cached(_));
        let stale = is_cached && self.sqlstate().is_some_and(SqlState::is_stale_statement);
        (stale || self.is_name_taken()) && self.progress == Progress::Nothing
    }

    /// Whether its name, if it is one of ours, exists on the server already.
    pub(super) fn is_name_taken(&self) -> bool {
        self.sqlstate().is_some_and(SqlState::is_duplicate_statement)
            && self.exchange.statement.name.is_none()
            && matches!(&self.preparation, Preparation::Pending(name) if !name.is_empty())
    }

    /// Whether it may have been refused for a message that pg does not send: Close, or a name of ours and its
    /// description. `may_refuse_names`: the host has taken none yet.
    fn is_suspect(&self, may_refuse_names: bool) -> bool {
        let is_own = self.exchange.statement.name.is_none();
        (self.closes || is_own && may_refuse_names)
            && self.progress == Progress::Nothing
            && matches!(&self.preparation, Preparation::Pending(name) if !name.is_empty())
            && self.sqlstate().is_some_and(SqlState::may_refuse_a_message)
    }

    /// Whether an exchange of ours found its prepared statement in a later transaction.
    fn has_survived(&self) -> bool {
        matches!(self.preparation, Preparation::Cached(_))
            && self.progress >= Progress::Bound
            && self.exchange.statement.name.is_none()
    }

    /// The types for which its statement was prepared, if they may be the reason for its error.
    fn suspected_types(&self) -> Option<Arc<[u32]>> {
        match &self.preparation {
            Preparation::Cached(types)
                if !types.is_empty()
                    && self.progress == Progress::Nothing
                    && self.sqlstate().is_some_and(SqlState::may_come_from_stale_types) =>
            {
                Some(Arc::clone(types))
            }
            _ => None,
        }
    }

    /// Whether it may run again: no transaction was lost, and its caller still waits. A statement that was
    /// named without its text cannot be prepared again.
    fn may_run_again(&self, status: Status) -> bool {
        let has_text = !self.exchange.statement.text.is_empty() || self.exchange.statement.name.is_none();
        status == Status::Idle && self.run == Run::First && !self.given_up && has_text
    }
}

impl ConnectionState {
    /// Sends a finished exchange again if that heals it. Returns it if it is over, or why it could not be sent.
    pub(super) fn heal_locked(
        &mut self,
        finished: InFlight,
        status: Status,
        is_wanted: bool,
    ) -> (Option<InFlight>, Option<Refused>) {
        let is_alone = is_wanted && self.sent.is_empty();
        if let Preparation::Compared(..) = finished.preparation {
            return self.end_comparison_locked(finished, is_alone);
        }
        if finished.has_survived() {
            self.statements.survived();
        } else if finished.run == Run::Unnamed && finished.progress >= Progress::Bound {
            self.statements.disable();
        }
        if finished.is_suspect(self.statements.may_refuse_names()) {
            if is_alone && finished.may_run_again(status) {
                return (None, self.start_locked(finished.exchange, Run::Unnamed).err());
            }
        } else if finished.is_stale() {
            self.forget_prepared_locked(&finished);
            if is_alone && finished.may_run_again(status) {
                return (None, self.start_locked(finished.exchange, Run::Again).err());
            }
        } else if let Some(types) = finished.suspected_types() {
            if is_alone && finished.may_run_again(status) {
                return (None, self.compare_locked(finished, types).err());
            }
            self.statements.forget(&finished.exchange.statement);
        }
        (Some(finished), None)
    }

    /// Asks the server for the types that the parameters have now.
    fn compare_locked(&mut self, mut refused: InFlight, types: Arc<[u32]>) -> Result<(), Refused> {
        let before = self.outbox.len();
        let error = refused.error.take().unwrap_or(Error::Lost);
        let exchange = refused.exchange;
        if let Err(error) = encode_description(&exchange.statement, &mut self.outbox) {
            self.outbox.truncate(before);
            return Err(Refused { reply: exchange.reply, error, status: Some(self.status) });
        }
        self.busy.get_or_insert(exchange.id);
        self.synced = true;
        let preparation = Preparation::Compared(types, error);
        let description = InFlight::new(exchange, preparation, None, self.outbox.len() - before);
        self.sent.push_back(InFlight { deadline: refused.deadline, run: Run::Again, ..description });
        Ok(())
    }

    /// Runs a refused exchange again if its parameters have other types now. An error of the description is
    /// what it would have failed with if it had been parsed anew.
    fn end_comparison_locked(
        &mut self,
        mut described: InFlight,
        is_alone: bool,
    ) -> (Option<InFlight>, Option<Refused>) {
        let Preparation::Compared(types, error) = std::mem::take(&mut described.preparation) else {
            return (Some(described), None);
        };
        if described.error.is_some() {
            self.statements.forget(&described.exchange.statement);
        } else if described.types == types {
            described.error = Some(error);
        } else {
            self.statements.forget(&described.exchange.statement);
            if is_alone && !described.given_up {
                return (None, self.start_locked(described.exchange, Run::Again).err());
            }
            described.error = Some(error);
        }
        (Some(described), None)
    }

    /// Forgets the prepared statement on which a stale exchange relied.
    fn forget_prepared_locked(&mut self, stale: &InFlight) {
        let is_lost = stale.sqlstate().is_some_and(SqlState::is_lost_statement);
        if !matches!(stale.preparation, Preparation::Cached(_)) {
            self.statements.disable();
        } else if is_lost && stale.exchange.statement.name.is_none() {
            self.statements.lost();
        } else {
            self.statements.forget(&stale.exchange.statement);
        }
    }
}
