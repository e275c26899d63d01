//! One attempt to run a statement: it claims a connection, sends, listens, and gives the connection
//! back before anybody hears the answer, so that the pool's counts are right when they do.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use tokio::time::Instant;

use super::{
    Answer, AnswerOnce, Failure, Lease, PgConnector,
    classify::{ClassifiedFailure, FailureContext},
    retry::{self, Repeatable, Tries},
};
use crate::{
    pool::{AcquireError, Claim, CloseReason, Patience},
    postgres::{Error, Exchange, Outcome, Reply, Rows, Shape, Statement, Status},
};

pub(super) struct QueryAttempt<A: Answer> {
    statement: Arc<Statement>,
    answer: AnswerOnce<A>,
    lease: Option<Lease>,
    /// What it was given up with, while its caller waits for what becomes of the connection.
    given_up: Option<Error>,
    /// When it was sent, where somebody wants to know its time.
    begun: Option<Instant>,
    tries: Tries,
}

impl<A: Answer> QueryAttempt<A> {
    pub(super) fn new(statement: Arc<Statement>, answer: A, tries: Tries) -> Self {
        Self { statement, answer: AnswerOnce::new(answer), lease: None, given_up: None, begun: None, tries }
    }

    /// Tells the time that it took.
    fn ended(&mut self, lease: &Lease, outcome: Result<(), &Error>) {
        let adaptive = &self.tries.retry_state.tier.adaptive;
        adaptive.ended(self.begun.take(), &lease.host, &self.statement, outcome);
    }

    /// What it failed with, judged, once the connection is given back.
    fn after(&mut self, error: &Error, sent: bool, status: Option<Status>) -> ClassifiedFailure {
        if let Some(lease) = self.lease.take() {
            self.ended(&lease, Err(error));
            self.tries.retry_state.breakers.call_failed(&lease.host, error);
            // pg closes the connection of a failed `pool.query`: what comes next is in no failed transaction.
            if self.tries.retry_state.keeps_transactions
                && status.is_some_and(|status| status != Status::Idle)
            {
                lease.close(CloseReason::Leak);
            }
        }
        let known = FailureContext {
            statement: &self.statement,
            sent,
            status,
            completed: self.answer.has_completed(),
            has_other_hosts: self.tries.retry_state.has_other_hosts,
            options: &self.tries.options,
        };
        ClassifiedFailure::of_statement(error, &known)
    }
}

impl<A: Answer> Repeatable for QueryAttempt<A> {
    fn tries(&mut self) -> &mut Tries {
        &mut self.tries
    }

    fn restart(&mut self) {
        self.answer.restart();
    }

    fn begin(self: Box<Self>, lease: Lease) {
        self.granted(lease);
    }

    fn refuse(self: Box<Self>, refusal: AcquireError<Error>) {
        self.refused(refusal);
    }

    fn fail(mut self: Box<Self>, failure: Failure) {
        self.answer.fail(failure, None);
    }
}

impl<A: Answer> Claim<PgConnector> for QueryAttempt<A> {
    fn may_leak(&self) -> bool {
        false
    }

    fn patience(&self) -> Patience {
        self.tries.patience
    }

    fn granted(mut self: Box<Self>, lease: Lease) {
        self.tries.waited(lease.waited());
        self.answer.waited(lease.waited());
        let connection = Arc::clone(&lease);
        self.begun = self.tries.retry_state.tier.adaptive.begin(&self.statement);
        let statement = if self.tries.deadline.is_set() {
            let left = self.tries.deadline.remaining(Instant::now()).unwrap_or_default();
            self.statement.within(left)
        } else {
            Arc::clone(&self.statement)
        };
        let exchange = Exchange {
            id: self.tries.id,
            statement,
            reply: {
                self.lease = Some(lease);
                self
            },
        };
        connection.submit(exchange);
    }

    fn refused(self: Box<Self>, refusal: AcquireError<Error>) {
        retry::refused(self, refusal);
    }
}

impl<A: Answer> Reply for QueryAttempt<A> {
    fn rows(&mut self, shape: &Arc<Shape>, rows: Rows<'_>) {
        self.answer.rows(shape, rows);
    }

    fn complete(&mut self, tag: &[u8]) {
        self.answer.complete(tag);
    }

    fn is_withdrawn(&self) -> bool {
        self.tries.options.is_withdrawn()
    }

    fn give_up(&mut self, error: Error) {
        if matches!(error, Error::QueryTimeout) && self.tries.may_repeat_sent() {
            self.given_up = Some(error);
        } else {
            self.given_up = None;
            self.answer.fail(Failure::Wire(error), None);
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.answer.poll_ready(cx)
    }

    fn settle(mut self: Box<Self>, outcome: Outcome) {
        match (outcome, self.given_up.take()) {
            // The connection does not even answer a cancel: it is dead, not slow.
            (Outcome::Failed { error, sent, status: None }, Some(given_up)) => {
                let fault = self.after(&error, sent, None);
                retry::failed(self, Failure::Wire(given_up), fault);
            }
            (Outcome::Done(status) | Outcome::Failed { status: Some(status), .. }, Some(given_up)) => {
                if let Some(lease) = self.lease.take() {
                    self.ended(&lease, Err(&given_up));
                    self.tries.retry_state.breakers.answered(&lease.host);
                }
                self.answer.fail(Failure::Wire(given_up), Some(status));
            }
            (outcome, None) => self.settled(outcome),
        }
    }
}

impl<A: Answer> QueryAttempt<A> {
    fn settled(mut self: Box<Self>, outcome: Outcome) {
        match outcome {
            Outcome::Done(_) => {
                if let Some(lease) = self.lease.take() {
                    self.ended(&lease, Ok(()));
                    self.tries.retry_state.breakers.answered(&lease.host);
                }
                self.answer.settle(outcome);
            }
            Outcome::Failed { error, sent, status } => {
                let fault = self.after(&error, sent, status);
                if !self.answer.is_over() {
                    retry::failed(self, Failure::Wire(error), fault);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::Pin};

    use parking_lot::Mutex;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
        runtime::Handle,
        sync::oneshot,
    };

    use super::*;
    use crate::{
        dispatch::{CancelFlag, Observer, RequestOptions, RetryNotice, Settings, Tier},
        pool::CloseReason,
        postgres::{Connection, Event},
    };

    /// A test that takes longer hangs.
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

    /// Takes a request back when its connection is there, or when it is to run again, as another thread may.
    #[derive(Default)]
    struct Caller {
        at_grant: Mutex<Option<CancelFlag>>,
        at_retry: Mutex<Option<CancelFlag>>,
    }

    impl Observer for Caller {
        fn on_connect<'a>(
            &'a self,
            _: &'a Arc<Connection>,
            _: Option<u32>,
        ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>> {
            self.at_grant.lock().take().iter().for_each(CancelFlag::set);
            Box::pin(std::future::ready(Ok(())))
        }
        fn event(&self, _: u32, _: Event) {}
        fn poll_ready(&self, _: &mut Context<'_>) -> Poll<()> {
            Poll::Ready(())
        }
        fn closing(&self, _: u32, _: CloseReason) {}
        fn closed(&self, _: u32, _: Option<Error>, _: bool) {}
        fn retrying(&self, _: &RetryNotice) {
            self.at_retry.lock().take().iter().for_each(CancelFlag::set);
        }
    }

    struct Ear(Option<oneshot::Sender<Result<Status, Failure>>>);

    impl Answer for Ear {
        fn rows(&mut self, _: &Arc<Shape>, _: Rows<'_>) {}
        fn complete(&mut self, _: &[u8]) {}
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<()> {
            Poll::Ready(())
        }
        fn done(&mut self, status: Status) {
            self.0.take().unwrap().send(Ok(status)).unwrap();
        }
        fn failed(&mut self, failure: Failure, _: Option<Status>) {
            self.0.take().unwrap().send(Err(failure)).unwrap();
        }
    }

    struct Scene {
        caller: Arc<Caller>,
        tier: Tier,
        server: TcpListener,
    }

    impl Scene {
        async fn new() -> Self {
            let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = server.local_addr().unwrap().port();
            let settings = serde_json::json!({
                "hosts": [{ "host": "127.0.0.1", "port": port }],
                "user": "user",
                "password": "secret",
                "monitor": false,
                "max": 1,
                "retryAttempts": 3,
                "scramMaxIterations": 0,
                "statementCacheSize": 256,
            });
            let settings = Settings::from_json(&settings.to_string(), || unreachable!()).unwrap();
            let caller = Arc::new(Caller::default());
            let tier = Tier::new(settings, Arc::clone(&caller) as _, Handle::current());
            Self { caller, tier, server }
        }

        fn ask(
            &self,
            id: u32,
            text: &str,
            cancel_flag: Option<CancelFlag>,
        ) -> oneshot::Receiver<Result<Status, Failure>> {
            let (sender, answer) = oneshot::channel();
            let options = RequestOptions { cancel_flag, ..RequestOptions::default() };
            self.tier.query(id, Statement::simple(text), options, Ear(Some(sender)));
            answer
        }

        async fn accept(&self) -> TcpStream {
            let (mut stream, _) = self.server.accept().await.unwrap();
            let length = stream.read_i32().await.unwrap();
            stream.read_exact(&mut vec![0; usize::try_from(length).unwrap() - 4]).await.unwrap();
            stream.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I").await.unwrap();
            stream
        }
    }

    async fn asked(stream: &mut TcpStream) -> String {
        assert_eq!(stream.read_u8().await.unwrap(), b'Q');
        let length = stream.read_i32().await.unwrap();
        let mut text = vec![0; usize::try_from(length).unwrap() - 4];
        stream.read_exact(&mut text).await.unwrap();
        String::from_utf8(text).unwrap().trim_end_matches('\0').to_owned()
    }

    async fn soon<T>(future: impl Future<Output = T>) -> T {
        tokio::time::timeout(PATIENCE, future).await.expect("it hangs")
    }

    /// The next statement is sent, and answered.
    async fn serves_the_next(scene: &Scene, stream: &mut TcpStream) {
        let next = scene.ask(2, "SELECT 'next'", None);
        assert_eq!(soon(asked(stream)).await, "SELECT 'next'");
        stream.write_all(b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I").await.unwrap();
        assert!(matches!(next.await.unwrap(), Ok(Status::Idle)));
    }

    #[tokio::test]
    async fn a_statement_taken_back_as_it_gets_its_connection_is_never_sent() {
        let scene = Scene::new().await;
        let cancel_flag = CancelFlag::default();
        *scene.caller.at_grant.lock() = Some(cancel_flag.clone());
        let answer = scene.ask(1, "SELECT 'unwanted'", Some(cancel_flag));
        let mut stream = scene.accept().await;
        serves_the_next(&scene, &mut stream).await;
        assert!(matches!(soon(answer).await.unwrap(), Err(Failure::Wire(Error::Withdrawn))));
    }

    #[tokio::test]
    async fn a_statement_taken_back_as_it_fails_does_not_run_again() {
        let scene = Scene::new().await;
        let cancel_flag = CancelFlag::default();
        *scene.caller.at_retry.lock() = Some(cancel_flag.clone());
        let answer = scene.ask(1, "SELECT 'unwanted'", Some(cancel_flag));
        let mut stream = scene.accept().await;
        assert_eq!(asked(&mut stream).await, "SELECT 'unwanted'");
        let refusal = b"E\0\0\0\x1dSERROR\0C40001\0Mscripted\0\0Z\0\0\0\x05I";
        stream.write_all(refusal).await.unwrap();
        assert!(matches!(soon(answer).await.unwrap(), Err(Failure::Wire(Error::Withdrawn))));
        serves_the_next(&scene, &mut stream).await;
    }
}
