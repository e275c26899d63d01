//! The scripted server: a dialer whose streams lead to a few lines of protocol. What it does with connections
//! is set by the test, at any moment.

use std::{future::Future, pin::Pin, sync::Arc};

use parking_lot::Mutex;

use crate::postgres::{Dialer, Error, ExternalHandle, ExternalSocket, ExternalStream, Host, SystemError};

/// What the server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// It answers.
    Up,
    /// It is gone, with all its connections.
    Refused,
    /// It accepts and answers nothing.
    Silent,
    /// It has restarted and takes no connection yet.
    Starting,
    /// It answers, and has no place for a further connection.
    Full,
}

#[derive(Clone)]
pub(super) struct ScriptedServer(Arc<Mutex<Script>>);

struct Script {
    mode: Mode,
    sessions: Vec<Arc<Session>>,
    connects: usize,
    /// What it reports as `in_hot_standby`.
    is_standby: bool,
}

struct Session {
    script: Arc<Mutex<Script>>,
    handle: Mutex<Option<Arc<ExternalHandle>>>,
    /// Bytes that have come and are not answered yet.
    unread: Mutex<Vec<u8>>,
    is_started: Mutex<bool>,
}

impl ScriptedServer {
    pub(super) fn new(mode: Mode) -> Self {
        Self(Arc::new(Mutex::new(Script { mode, sessions: Vec::new(), connects: 0, is_standby: false })))
    }

    pub(super) fn standby(mode: Mode) -> Self {
        let server = Self::new(mode);
        server.0.lock().is_standby = true;
        server
    }

    /// Connections at the moment.
    pub(super) fn connections(&self) -> usize {
        self.0.lock().sessions.len()
    }

    pub(super) fn set(&self, mode: Mode) {
        let sessions = {
            let mut script = self.0.lock();
            script.mode = mode;
            match mode {
                Mode::Refused | Mode::Starting => std::mem::take(&mut script.sessions),
                Mode::Up | Mode::Silent | Mode::Full => script.sessions.clone(),
            }
        };
        for session in sessions {
            match mode {
                Mode::Refused | Mode::Starting => session.end(),
                Mode::Up | Mode::Full => session.answer(mode),
                Mode::Silent => {}
            }
        }
    }

    /// Attempts to connect so far.
    pub(super) fn connects(&self) -> usize {
        self.0.lock().connects
    }
}

impl Dialer for ScriptedServer {
    fn dial(&self, host: &Host) -> Pin<Box<dyn Future<Output = Result<ExternalStream, Error>> + Send>> {
        let mut script = self.0.lock();
        script.connects += 1;
        let outcome = if script.mode == Mode::Refused {
            let error = SystemError {
                code: "ECONNREFUSED",
                ..SystemError::connect_timed_out(host.name.clone(), host.port)
            };
            Err(Error::System(Arc::new(error)))
        } else {
            let session = Arc::new(Session {
                script: Arc::clone(&self.0),
                handle: Mutex::default(),
                unread: Mutex::default(),
                is_started: Mutex::default(),
            });
            let (handle, stream) = ExternalHandle::new(Box::new(Arc::clone(&session)));
            *session.handle.lock() = Some(handle);
            script.sessions.push(session);
            Ok(stream)
        };
        Box::pin(std::future::ready(outcome))
    }
}

impl ExternalSocket for Arc<Session> {
    fn write(&self, bytes: &[u8]) {
        self.unread.lock().extend_from_slice(bytes);
        let (session, length) = (Arc::clone(self), bytes.len());
        tokio::spawn(async move {
            session.with_handle(|handle| handle.sent(length));
            let mode = session.script.lock().mode;
            session.answer(mode);
        });
    }

    fn resume(&self) {}

    fn close(&self) {
        self.script.lock().sessions.retain(|session| !Arc::ptr_eq(session, self));
        self.handle.lock().take();
    }
}

impl Session {
    fn with_handle(&self, tell: impl FnOnce(&ExternalHandle)) {
        let handle = self.handle.lock().clone();
        if let Some(handle) = handle {
            tell(&handle);
        }
    }

    fn end(&self) {
        self.with_handle(ExternalHandle::end);
    }

    fn feed(&self, bytes: &[u8]) {
        self.with_handle(|handle| {
            handle.feed(bytes);
        });
    }

    /// Answers the whole messages that have come.
    fn answer(&self, mode: Mode) {
        if mode == Mode::Silent {
            return;
        }
        while let Some(is_query) = self.take_message() {
            if is_query {
                self.feed(b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I");
            } else if std::mem::replace(&mut *self.is_started.lock(), true) {
                self.end();
            } else {
                match mode {
                    Mode::Starting => self.refuse("57P03"),
                    Mode::Full => self.refuse("53300"),
                    _ => self.welcome(),
                }
            }
        }
    }

    fn welcome(&self) {
        let report: &[u8] = if self.script.lock().is_standby {
            b"S\0\0\0\x16in_hot_standby\0on\0"
        } else {
            b"S\0\0\0\x17in_hot_standby\0off\0"
        };
        self.feed(&[b"R\0\0\0\x08\0\0\0\0", report, b"Z\0\0\0\x05I"].concat());
    }

    fn refuse(&self, code: &str) {
        let fields = format!("SFATAL\0C{code}\0Mscripted\0\0");
        let length = u32::try_from(fields.len() + 4).unwrap().to_be_bytes();
        self.feed(&[b"E", &length[..], fields.as_bytes()].concat());
        self.end();
    }

    /// Whether the next message is a query; it is a startup message, or the last one, else.
    fn take_message(&self) -> Option<bool> {
        let mut unread = self.unread.lock();
        let tag = usize::from(*self.is_started.lock());
        let length = unread.get(tag..tag + 4)?;
        let whole = tag + usize::try_from(u32::from_be_bytes(length.try_into().unwrap())).unwrap();
        if unread.len() < whole {
            return None;
        }
        let is_query = tag == 1 && unread[0] == b'Q';
        unread.drain(..whole);
        Some(is_query)
    }
}
