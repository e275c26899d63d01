//! The shape of a result: its columns. Equal shapes are one object with one number in the whole process, so
//! that JavaScript generates one row builder for all connections.

use std::{
    num::NonZeroUsize,
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

/// The most shapes that are remembered. One that was forgotten gets a new number when it comes again.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

type Memory = LruCache<(bool, Box<[u8]>), Arc<Shape>>;
static SHAPES: LazyLock<Mutex<Memory>> = LazyLock::new(|| Mutex::new(LruCache::new(REMEMBERED)));
static NEXT_ID: AtomicU32 = AtomicU32::new(1);

/// The columns of a result, in order.
#[derive(Debug)]
pub struct Shape {
    /// Unique in the process.
    pub id: u32,
    /// One per column.
    pub columns: Box<[Column]>,
}

/// One column, with the fields that pg gives it.
#[derive(Debug, Serialize)]
pub struct Column {
    name: String,
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
    pub(super) slot: SlotKind,
}

#[cfg(any(test, fuzzing))]
impl Column {
    pub(in crate::postgres) fn is_text(&self) -> bool {
        self.slot.is_text()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this signature")]
fn slot_number<S: serde::Serializer>(slot: &SlotKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u8(*slot as u8)
}

impl Shape {
    /// Reads a row description, with all columns in text or all in binary.
    pub(in crate::postgres) fn read(message: RawMessage<'_>, binary: bool) -> Result<Arc<Self>, Error> {
        let key = (binary, Box::from(message.body()));
        let mut shapes = SHAPES.lock();
        if let Some(shape) = shapes.get(&key) {
            return Ok(Arc::clone(shape));
        }
        let shape = Arc::new(Self::parse(message, binary)?);
        shapes.put(key, Arc::clone(&shape));
        Ok(shape)
    }

    /// Parses the message by hand, because names are no UTF-8 where a session has set another encoding.
    fn parse(message: RawMessage<'_>, binary: bool) -> Result<Self, Error> {
        let (count, mut rest) = message.body().split_first_chunk::<2>().ok_or_else(|| message.malformed())?;
        let mut columns = Vec::new();
        for _ in 0..u16::from_be_bytes(*count) {
            let (column, after) = Column::parse(rest, binary).ok_or_else(|| message.malformed())?;
            columns.push(column);
            rest = after;
        }
        if !rest.is_empty() {
            return Err(message.malformed());
        }
        Ok(Self { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), columns: columns.into() })
    }
}

impl Column {
    fn parse(bytes: &[u8], binary: bool) -> Option<(Self, &[u8])> {
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
            name: String::from_utf8_lossy(name).into_owned(),
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
