//! A peer: a server on a real socket that sends what the test tells it to, and a reply that records what it
//! gets.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::timeout,
};

use crate::postgres::{
    Config, Connection, Error, Event, Exchange, Host, Listener, Outcome, Password, QueryMode, Reply, Rows,
    SaltedPasswords, Shape, Statement, connect,
};

/// The longest time of a test: one that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(body.len() + 4).unwrap();
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

/// A message with a false length.
pub(super) fn lying(tag: u8, length: i32, body: &[u8]) -> Vec<u8> {
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

pub(super) fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

pub(super) fn error(severity: &str, code: &str) -> Vec<u8> {
    message(b'E', format!("S{severity}\0V{severity}\0C{code}\0Mscripted\0\0").as_bytes())
}

pub(super) fn greeting() -> Vec<u8> {
    let mut key = 4711_i32.to_be_bytes().to_vec();
    key.extend(42_i32.to_be_bytes());
    [message(b'R', &[0; 4]), message(b'S', b"client_encoding\0UTF8\0"), message(b'K', &key), ready()].concat()
}

/// One text column of the name `word`.
pub(super) fn description() -> Vec<u8> {
    let mut body = vec![0, 1];
    body.extend(b"word\0");
    for number in
        [&0_i32.to_be_bytes()[..], &[0, 0], &25_i32.to_be_bytes(), &[0xff, 0xff], &[0xff; 4], &[0, 0]]
    {
        body.extend(number);
    }
    message(b'T', &body)
}

pub(super) fn row(word: &[u8]) -> Vec<u8> {
    let length = i32::try_from(word.len()).unwrap();
    message(b'D', &[&[0, 1][..], &length.to_be_bytes(), word].concat())
}

/// The messages of a whole answer to an extended query that is new to the server.
pub(super) fn answer() -> Vec<Vec<u8>> {
    vec![
        message(b'1', b""),
        description(),
        message(b'2', b""),
        row(b"first"),
        row(b"second"),
        message(b'C', b"SELECT 2\0"),
        ready(),
    ]
}

pub(super) struct Peer {
    listener: TcpListener,
}

impl Peer {
    pub(super) async fn listen() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    fn host(&self) -> Arc<Host> {
        Arc::new(Host::new("127.0.0.1", self.listener.local_addr().unwrap().port()))
    }

    /// Connects; the server sends `login` after the startup packet.
    pub(super) async fn dial(&self, login: &[u8]) -> (Result<Arc<Connection>, Error>, TcpStream, Arc<Ear>) {
        let ear = Arc::new(Ear::default());
        let (host, config) = (self.host(), config());
        let dialing = connect(&host, &config, Arc::clone(&ear) as Arc<dyn Listener>);
        let serving = async {
            let (mut stream, _) = self.listener.accept().await.unwrap();
            read_startup(&mut stream).await;
            let _ = stream.write_all(login).await;
            if login.is_empty() || !login.ends_with(&ready()) {
                let _ = stream.shutdown().await;
            }
            stream
        };
        let (connection, stream) = soon(async { tokio::join!(dialing, serving) }).await;
        (connection, stream, ear)
    }

    /// Takes a cancel request, as the server does before it closes.
    pub(super) async fn cancelled(&self) {
        let (mut stream, _) = soon(self.listener.accept()).await.unwrap();
        stream.read_exact(&mut [0; 16]).await.unwrap();
    }

    /// A connection that is ready.
    pub(super) async fn connected(&self) -> (Arc<Connection>, TcpStream, Arc<Ear>) {
        let (connection, stream, ear) = self.dial(&greeting()).await;
        (connection.unwrap(), stream, ear)
    }
}

fn config() -> Config {
    Config {
        user: "user".into(),
        database: None,
        password: Password::Known("secret".into()),
        parameters: Vec::new(),
        tls: None,
        channel_binding: false,
        scram_max_iterations: 0,
        salted_passwords: SaltedPasswords::default(),
        require_auth: None,
        keep_alive: None,
        statement_cache: 10,
        pipelined: false,
        dialer: None,
        tls_dialer: None,
        resolver: None,
        login_listener: None,
    }
}

async fn read_startup(stream: &mut TcpStream) {
    let length = stream.read_i32().await.unwrap();
    let mut rest = vec![0; usize::try_from(length).unwrap() - 4];
    stream.read_exact(&mut rest).await.unwrap();
}

/// Reads until the Sync of an extended query, or a simple query, has come.
pub(super) async fn read_query(stream: &mut TcpStream) {
    loop {
        let tag = stream.read_u8().await.unwrap();
        let length = stream.read_i32().await.unwrap();
        let mut body = vec![0; usize::try_from(length).unwrap() - 4];
        stream.read_exact(&mut body).await.unwrap();
        if matches!(tag, b'S' | b'Q') {
            return;
        }
    }
}

pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it hangs")
}

/// Hears the end of connections, and of names that are taken.
#[derive(Default)]
pub(super) struct Ear {
    pub(super) closed: AtomicUsize,
    pub(super) names_taken: AtomicUsize,
    /// Given up when the server tells something.
    pub(super) unwanted: Mutex<Option<Arc<Connection>>>,
}

impl Listener for Ear {
    fn event(&self, _: u32, _: Event) {
        if let Some(connection) = self.unwanted.lock().take() {
            assert!(connection.give_up(1, Error::Withdrawn));
        }
    }
    fn closed(&self, _: u32, _: Option<Error>, _: Option<Error>) {
        self.closed.fetch_add(1, Ordering::SeqCst);
    }
    fn name_taken(&self, _: &Connection) {
        self.names_taken.fetch_add(1, Ordering::SeqCst);
    }
}

/// The records of a reply.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) rows: u32,
    pub(super) tags: Vec<String>,
    pub(super) settled: usize,
}

struct Note {
    heard: Arc<Mutex<Heard>>,
    end: Option<oneshot::Sender<Outcome>>,
}

impl Reply for Note {
    fn rows(&mut self, _: &Arc<Shape>, rows: Rows<'_>) {
        self.heard.lock().rows += rows.count;
    }
    fn complete(&mut self, tag: &[u8]) {
        self.heard.lock().tags.push(String::from_utf8_lossy(tag).into_owned());
    }
    fn give_up(&mut self, _: Error) {}
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
    fn settle(mut self: Box<Self>, outcome: Outcome) {
        self.heard.lock().settled += 1;
        let _ = self.end.take().unwrap().send(outcome);
    }
}

/// A query under way.
pub(super) struct Asked {
    pub(super) heard: Arc<Mutex<Heard>>,
    end: oneshot::Receiver<Outcome>,
}

impl Asked {
    pub(super) async fn outcome(self) -> (Outcome, Arc<Mutex<Heard>>) {
        let outcome = soon(self.end).await.expect("the reply was dropped unsettled");
        (outcome, self.heard)
    }
}

/// An extended query without parameters.
fn extended(text: &str) -> Statement {
    Statement { mode: QueryMode::Extended { binary: false }, ..Statement::clone(&Statement::simple(text)) }
}

/// Sends an extended query without parameters.
pub(super) fn ask(connection: &Connection, text: &str) -> Asked {
    send(connection, extended(text))
}

/// Sends several of them with one Sync.
pub(super) fn ask_flight(connection: &Connection, before: &[&str], last: &str) -> Asked {
    let before = before.iter().map(|text| Arc::new(extended(text))).collect();
    send(connection, Statement { before, ..extended(last) })
}

fn send(connection: &Connection, statement: Statement) -> Asked {
    let (sender, end) = oneshot::channel();
    let heard = Arc::new(Mutex::new(Heard::default()));
    let reply = Box::new(Note { heard: Arc::clone(&heard), end: Some(sender) });
    connection.submit(Exchange { id: 1, statement: Arc::new(statement), reply });
    Asked { heard, end }
}
