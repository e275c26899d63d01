//! The encoding of a statement as messages for the server.

use std::sync::Arc;

use bytes::BytesMut;
use postgres_protocol::{IsNull, message::frontend};

use super::{
    Error, QueryMode, Shape, Statement, Status,
    in_flight::Preparation,
    statements::{Plan, Prepared, Statements},
};

/// The preparation of the statement, and its columns if they are known.
pub(super) type Encoded = (Preparation, Option<Arc<Shape>>);

/// Encodes a statement: Query, or Parse, Describe, Bind, Execute and Sync as needed.
pub(super) fn encode(
    statement: &Statement,
    anew: bool,
    status: Status,
    statements: &mut Statements,
    out: &mut BytesMut,
) -> Result<Encoded, Error> {
    if statement.mode == QueryMode::Raw {
        return Ok(Encoded::default());
    }
    if statement.mode == QueryMode::Simple {
        frontend::query(&statement.text, out).map_err(unsendable)?;
        return Ok(Encoded::default());
    }
    if !statement.before.is_empty() {
        return encode_flight(statement, out);
    }
    let mut describes_portal = false;
    let (name, encoded) = match statements.plan(statement, anew, status) {
        Plan::Ready(Prepared { name, shape, binary, types, .. }) => {
            if binary != statement.is_binary() {
                // Its columns are known in the other format only.
                frontend::describe(b'S', &name, out).map_err(unsendable)?;
            }
            (name, (Preparation::Cached(types), shape))
        }
        Plan::Prepare { name, close } => {
            for unwanted in close {
                frontend::close(b'S', &unwanted, out).map_err(unsendable)?;
            }
            frontend::parse(&name, &statement.text, [], out).map_err(unsendable)?;
            // An unnamed one goes as under pg: a server that knows pg's messages alone takes them.
            describes_portal = name.is_empty();
            if !describes_portal {
                frontend::describe(b'S', &name, out).map_err(unsendable)?;
            }
            (Arc::clone(&name), (Preparation::Pending(name), None))
        }
        Plan::Taken => {
            let name = statement.name.as_deref().unwrap_or_default();
            return Err(Error::Plain(format!(
                "Prepared statements must be unique - '{name}' was used for a different statement"
            )));
        }
    };
    bind(statement, &name, out)?;
    if describes_portal {
        frontend::describe(b'P', "", out).map_err(unsendable)?;
    }
    frontend::execute("", statement.fetch, out).map_err(unsendable)?;
    if statement.fetch == 0 {
        frontend::sync(out);
    } else {
        // A Sync would end the implicit transaction, and the portal with it.
        frontend::flush(out);
    }
    Ok(encoded)
}

/// Encodes several statements with one Sync behind them all. None is cached: of the transaction that the first one begins
/// nothing is known yet.
fn encode_flight(statement: &Statement, out: &mut BytesMut) -> Result<Encoded, Error> {
    let is_timed = statement.parts().any(|part| part.timeout.is_some());
    for part in statement.parts() {
        frontend::parse("", &part.text, [], out).map_err(unsendable)?;
        bind(part, "", out)?;
        frontend::describe(b'P', "", out).map_err(unsendable)?;
        frontend::execute("", 0, out).map_err(unsendable)?;
        // Else the server keeps an answer back until the last one is there, and nobody can tell how long each took.
        if !part.is_own || is_timed {
            frontend::flush(out);
        }
    }
    frontend::sync(out);
    Ok(Encoded::default())
}

/// Encodes what has the server parse a statement and tell the types of its parameters, and no more.
pub(super) fn encode_description(statement: &Statement, out: &mut BytesMut) -> Result<(), Error> {
    frontend::parse("", &statement.text, [], out).map_err(unsendable)?;
    frontend::describe(b'S', "", out).map_err(unsendable)?;
    frontend::sync(out);
    Ok(())
}

fn bind(statement: &Statement, name: &str, out: &mut BytesMut) -> Result<(), Error> {
    let formats = statement.formats.iter().map(|format| i16::from(*format));
    let result_format = i16::from(statement.is_binary());
    let write = |value: Option<&[u8]>, out: &mut BytesMut| {
        Ok(match value {
            None => IsNull::Yes,
            Some(bytes) => {
                out.extend_from_slice(bytes);
                IsNull::No
            }
        })
    };
    let values = Values(&statement.values);
    frontend::bind("", name, formats, values, write, Some(result_format), out).map_err(|error| match error {
        frontend::BindError::Serialization(error) => unsendable(error),
        frontend::BindError::Conversion(error) => unsendable(error),
    })
}

fn unsendable(error: impl std::fmt::Display) -> Error {
    Error::Plain(format!("the statement cannot be sent: {error}"))
}

/// Splits the area of parameters into its values.
struct Values<'a>(&'a [u8]);

impl<'a> Iterator for Values<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            self.0 = rest;
            return Some(None);
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(Some(value))
    }
}
