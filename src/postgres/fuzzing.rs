//! Entry points for random bytes: a fuzzer calls them, and so do tests, with the corpus and random changes to
//! it. The messages of a session are read by the code of a real connection.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use parking_lot::Mutex;

use super::{
    Connection, Error, Event, Exchange, Host, Listener, Outcome, QueryMode, Reply, Role, Rows, Shape,
    Statement,
    codec::{Packer, ShapeUser},
    connection::{ConnectionState, End},
    messages::{Inbox, RawMessage},
    responses::ResponseHandler,
    route::Route,
    socket::Address,
    statements::Statements,
};

/// Bits of the first byte of a stream: what it is read by. The bits above give the size of its pieces.
const LOGIN: u8 = 1;
const BINARY: u8 = 2;
const PIPELINED: u8 = 4;
const SIMPLE: u8 = 8;
const PIECES: u8 = 16;

/// The statements that a session waits for the answers to. One that comes again is prepared.
const STATEMENTS: u32 = 5;
/// The most bytes that the rows of one of them may have.
const LIMIT: u64 = 200;

/// Reads `data` as messages of a server, as a connection would, in pieces of the size that its first byte
/// gives.
///
/// # Panics
/// When an invariant does not hold.
pub fn backend_messages(data: &[u8]) {
    let Some((&first, stream)) = data.split_first() else { return };
    let pieces = stream.chunks(usize::from(first / PIECES) * 4 + 1);
    if first & LOGIN == 0 { session(first, pieces) } else { login(pieces) }
}

/// The messages of a login, each for itself.
fn login<'a>(pieces: impl Iterator<Item = &'a [u8]>) {
    let mut inbox = Inbox::new();
    for piece in pieces {
        fill(&mut inbox, piece);
        loop {
            match inbox.next() {
                Ok(Some(message)) => {
                    assert_eq!(message.length() + 1, message.bytes().len());
                    let read = match message.tag {
                        b'E' | b'N' => message.database_error().map(drop),
                        _ => message.parse().map(drop),
                    };
                    if read.is_err() {
                        return;
                    }
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

/// The answers to statements of a session.
fn session<'a>(first: u8, pieces: impl Iterator<Item = &'a [u8]>) {
    let connection = connection(first & PIPELINED != 0);
    let settled = Arc::new(AtomicUsize::new(0));
    for id in 1..=STATEMENTS {
        let mode = if first & SIMPLE != 0 && id % 2 == 1 {
            QueryMode::Simple
        } else {
            QueryMode::Extended { binary: first & BINARY != 0 }
        };
        let max_bytes = (id == STATEMENTS).then_some(LIMIT);
        let statement = Statement { mode, max_bytes, ..Statement::clone(&Statement::simple("select word")) };
        let reply = Box::new(Answer { settled: Arc::clone(&settled), open: None });
        connection.submit(Exchange { id, statement: Arc::new(statement), reply });
    }
    let mut inbox = Inbox::new();
    inbox.lift_startup_limit();
    let mut handler = ResponseHandler::new(connection);
    let mut end = End::Closed(Error::Lost);
    for piece in pieces {
        fill(&mut inbox, piece);
        if let Err(error) = handler.messages(&mut inbox) {
            end = End::Closed(error);
            break;
        }
    }
    handler.end(end);
    drop(handler);
    assert_eq!(settled.load(Ordering::Relaxed), STATEMENTS as usize, "each is settled once");
}

fn fill(inbox: &mut Inbox, mut piece: &[u8]) {
    while !piece.is_empty() {
        let space = inbox.space();
        assert!(!space.is_empty(), "there is always room");
        let length = piece.len().min(space.len());
        space[..length].copy_from_slice(&piece[..length]);
        inbox.filled(length);
        piece = &piece[length..];
    }
}

/// A connection without a socket.
fn connection(pipelined: bool) -> Arc<Connection> {
    let host = Arc::new(Host::new("localhost", 1));
    let address = Address::Tcp(([127, 0, 0, 1], 1).into());
    let statements = Statements::new(10, Arc::default(), pipelined);
    let state = ConnectionState::new(None, statements, Role::default(), pipelined);
    Arc::new(Connection {
        id: 1,
        process_id: None,
        secret_key: None,
        parameters: Vec::new(),
        host: Arc::clone(&host),
        route: Route::Direct { address, host, tls: None },
        cancel_key: None,
        opened_in: std::time::Duration::ZERO,
        listener: Arc::new(Deaf),
        received: AtomicU64::new(0),
        _shape_user: ShapeUser::new(),
        state: Mutex::new(state),
    })
}

struct Deaf;

impl Listener for Deaf {
    fn event(&self, _: u32, _: Event) {}
    fn closed(&self, _: u32, _: Option<Error>, _: Option<Error>) {}
}

/// Checks what a reply is given.
struct Answer {
    settled: Arc<AtomicUsize>,
    /// The columns of the result that is open.
    open: Option<Arc<Shape>>,
}

impl Reply for Answer {
    fn rows(&mut self, shape: &Arc<Shape>, rows: Rows<'_>) {
        let open = self.open.get_or_insert_with(|| Arc::clone(shape));
        assert_eq!(open.id, shape.id, "all rows of a result have its columns");
        check(rows, shape);
    }
    fn complete(&mut self, _: &[u8]) {
        self.open = None;
    }
    fn give_up(&mut self, _: Error) {}
    fn settle(self: Box<Self>, outcome: Outcome) {
        assert!(self.open.is_none() || matches!(outcome, Outcome::Failed { .. }), "a result is left open");
        self.settled.fetch_add(1, Ordering::Relaxed);
    }
}

/// Packs `data` as rows: up to the first zero byte the types of the columns, then the rows, each after its
/// length.
///
/// # Panics
/// When an invariant does not hold.
pub fn rows(data: &[u8]) {
    let mut split = data.splitn(2, |byte| *byte == 0);
    let (types, mut rest) = (split.next().unwrap_or_default(), split.next().unwrap_or_default());
    let types = &types[..types.len().min(64)];
    let message = description(types);
    let Some(shape) = RawMessage::whole(&message).and_then(|message| Shape::read(message, false).ok()) else {
        return;
    };
    assert_eq!(shape.slots.len(), types.len());
    let mut packer = Packer::default();
    while let Some((&length, after)) = rest.split_first() {
        let (body, after) = after.split_at(usize::from(length).min(after.len()));
        let mut alone = Packer::default();
        let block = alone.block(&shape, body);
        assert_eq!(block.is_ok(), packer.push(&shape, body).is_ok(), "a row is read in both ways alike");
        let Ok(block) = block else { return };
        check(block, &shape);
        check(packer.rows(), &shape);
        rest = after;
    }
}

/// A row description with columns of these types, in the order of the table below.
fn description(types: &[u8]) -> Vec<u8> {
    const TYPES: [u32; 9] = [25, 23, 16, 1184, 1114, 1082, 701, 26, 1700];
    let mut body = u16::try_from(types.len()).unwrap_or(0).to_be_bytes().to_vec();
    for letter in types {
        body.extend(b"c\0\0\0\0\0\0\0");
        body.extend(TYPES[usize::from(*letter) % TYPES.len()].to_be_bytes());
        body.extend([0, 4, 0xff, 0xff, 0xff, 0xff, 0, 0]);
    }
    let length = u32::try_from(body.len() + 4).unwrap_or(0);
    [&b"T"[..], &length.to_be_bytes(), &body].concat()
}

/// Checks the offsets of packed rows: JavaScript reads by them without checking lengths again.
fn check(rows: Rows<'_>, shape: &Shape) {
    const NUMBERS: u64 = 0x7ff8_0002;
    assert_eq!(rows.slots.len(), shape.slots.len() * usize::try_from(rows.count).unwrap_or(usize::MAX));
    for (index, slot) in rows.slots.iter().enumerate() {
        let (high, low) = (slot >> 32, usize::try_from(slot & 0xffff_ffff).unwrap_or(usize::MAX));
        if shape.slots[index % shape.slots.len()].is_text() {
            if high != 0xffff_ffff {
                let length = usize::try_from(high & 0x3fff_ffff).unwrap_or(usize::MAX);
                assert!(low + length <= rows.raw.len(), "a text ends within the rows");
                assert!(low >= 4, "its length stands before it");
            }
        } else if high == NUMBERS {
            assert!(low >= 4 && low <= rows.raw.len(), "a text to look at is within the rows");
        }
    }
}
