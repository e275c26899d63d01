//! The shape of a result: its columns. Equal shapes are one object with one number in the whole process, so
//! that JavaScript generates one row builder for all connections.
//!
//! The shapes used last are remembered, within a bound of bytes, and until the last connection is gone. Others
//! live as long as a statement or a result has them.

use std::{
    borrow::Cow,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

use lru::LruCache;
use parking_lot::Mutex;
use serde::Serialize;

use super::{
    super::{Error, messages::RawMessage},
    slot::SlotKind,
};

/// The most bytes of shapes that are remembered. One that was forgotten gets a new number when it comes again.
const REMEMBERED: usize = 4 * 1024 * 1024;
/// Bytes of a shape besides its columns, and of its place in the memory.
const OVERHEAD: usize = 256;

static MEMORY: LazyLock<Mutex<Memory>> = LazyLock::new(|| Mutex::new(Memory::new()));
static NEXT_ID: AtomicU32 = AtomicU32::new(1);

/// The shapes that are remembered, by format and description.
struct Memory {
    shapes: LruCache<(bool, Arc<[u8]>), Arc<Shape>>,
    bytes: usize,
    users: usize,
}

impl Memory {
    fn new() -> Self {
        Self { shapes: LruCache::unbounded(), bytes: 0, users: 0 }
    }

    fn add(&mut self, key: (bool, Arc<[u8]>), shape: &Arc<Shape>) {
        self.bytes += shape.bytes();
        self.shapes.put(key, Arc::clone(shape));
        while self.bytes > REMEMBERED {
            let Some((_, forgotten)) = self.shapes.pop_lru() else { break };
            self.bytes -= forgotten.bytes();
        }
    }
}

/// A user of the remembered shapes: a connection. The last one has them forgotten.
#[derive(Debug)]
pub(in crate::postgres) struct ShapeUser(());

impl ShapeUser {
    pub(in crate::postgres) fn new() -> Self {
        MEMORY.lock().users += 1;
        Self(())
    }
}

impl Drop for ShapeUser {
    fn drop(&mut self) {
        let mut memory = MEMORY.lock();
        memory.users -= 1;
        if memory.users == 0 {
            *memory = Memory::new();
        }
    }
}

/// The columns of a result, in order.
#[derive(Debug)]
pub struct Shape {
    /// Unique in the process.
    pub id: u32,
    /// One per column.
    pub(in crate::postgres) slots: Box<[SlotKind]>,
    /// The columns, as the server has described them.
    description: Arc<[u8]>,
    binary: bool,
}

/// A list of its columns.
impl Serialize for Shape {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(Column::all(&self.description, self.binary))
    }
}

/// One column, with the fields that pg gives it.
#[derive(Debug, Serialize)]
struct Column<'a> {
    name: Cow<'a, str>,
    #[serde(rename = "tableID")]
    table: u32,
    #[serde(rename = "columnID")]
    number: i16,
    #[serde(rename = "dataTypeID")]
    data_type: u32,
    #[serde(rename = "dataTypeSize")]
    size: i16,
    #[serde(rename = "dataTypeModifier")]
    modifier: i32,
    format: &'static str,
    #[serde(serialize_with = "slot_number")]
    slot: SlotKind,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this signature")]
fn slot_number<S: serde::Serializer>(slot: &SlotKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u8(*slot as u8)
}

impl Shape {
    /// Reads a row description, with all columns in text or all in binary.
    pub(in crate::postgres) fn read(message: RawMessage<'_>, binary: bool) -> Result<Arc<Self>, Error> {
        let (count, description) =
            message.body().split_first_chunk::<2>().ok_or_else(|| message.malformed())?;
        let key = (binary, Arc::from(description));
        let mut memory = MEMORY.lock();
        if let Some(shape) = memory.shapes.get(&key).filter(|shape| shape.has(*count)) {
            return Ok(Arc::clone(shape));
        }
        let shape = Self::parse(Arc::clone(&key.1), binary).filter(|shape| shape.has(*count));
        let shape = Arc::new(shape.ok_or_else(|| message.malformed())?);
        memory.add(key, &shape);
        Ok(shape)
    }

    fn parse(description: Arc<[u8]>, binary: bool) -> Option<Self> {
        let mut rest = &*description;
        let mut slots = Vec::new();
        while !rest.is_empty() {
            let (column, after) = Column::parse(rest, binary)?;
            slots.push(column.slot);
            rest = after;
        }
        let slots = slots.into();
        Some(Self { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), slots, description, binary })
    }

    /// Whether it has as many columns as a description says.
    fn has(&self, count: [u8; 2]) -> bool {
        usize::from(u16::from_be_bytes(count)) == self.slots.len()
    }

    fn bytes(&self) -> usize {
        OVERHEAD + self.description.len() + self.slots.len()
    }
}

impl<'a> Column<'a> {
    fn all(mut rest: &'a [u8], binary: bool) -> impl Iterator<Item = Self> {
        std::iter::from_fn(move || {
            let (column, after) = Self::parse(rest, binary)?;
            rest = after;
            Some(column)
        })
    }

    /// Parses a column by hand, because names are no UTF-8 where a session has set another encoding.
    fn parse(bytes: &'a [u8], binary: bool) -> Option<(Self, &'a [u8])> {
        let end = bytes.iter().position(|byte| *byte == 0)?;
        let (name, rest) = bytes.split_at(end);
        let (table, rest) = rest.get(1..)?.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (data_type, rest) = rest.split_first_chunk()?;
        let (size, rest) = rest.split_first_chunk()?;
        let (modifier, rest) = rest.split_first_chunk()?;
        let (_format, rest) = rest.split_first_chunk::<2>()?;
        let data_type = u32::from_be_bytes(*data_type);
        let column = Self {
            name: String::from_utf8_lossy(name),
            table: u32::from_be_bytes(*table),
            number: i16::from_be_bytes(*number),
            data_type,
            size: i16::from_be_bytes(*size),
            modifier: i32::from_be_bytes(*modifier),
            format: if binary { "binary" } else { "text" },
            slot: if binary { SlotKind::Binary } else { SlotKind::of_text(data_type) },
        };
        Some((column, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description(names: impl IntoIterator<Item = String>) -> Vec<u8> {
        let columns: Vec<_> = names.into_iter().collect();
        let mut body = u16::try_from(columns.len()).unwrap().to_be_bytes().to_vec();
        for name in columns {
            body.extend(name.bytes());
            body.extend([0; 19]);
        }
        let length = u32::try_from(body.len() + 4).unwrap();
        [&b"T"[..], &length.to_be_bytes(), &body].concat()
    }

    fn read(message: &[u8]) -> Result<Arc<Shape>, Error> {
        Shape::read(RawMessage::whole(message).unwrap(), false)
    }

    #[test]
    fn shapes_that_never_come_again_are_forgotten_within_the_bound() {
        let _user = ShapeUser::new();
        let kept = read(&description(["kept".to_owned()])).unwrap();
        for query in 0..1500 {
            let wide = description((0..800).map(|column| format!("c{query}_{column}")));
            assert_eq!(read(&wide).unwrap().slots.len(), 800);
            assert!(MEMORY.lock().bytes <= REMEMBERED);
            assert_eq!(read(&description(["kept".to_owned()])).unwrap().id, kept.id, "one in use stays");
        }
    }

    #[test]
    fn a_description_of_other_columns_than_it_counts_is_malformed() {
        let mut message = description(["a".to_owned(), "b".to_owned()]);
        assert!(read(&message).is_ok());
        message[6] = 1;
        assert!(read(&message).is_err());
        message[6] = 3;
        assert!(read(&message).is_err());
    }
}
