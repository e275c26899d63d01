//! The packing of rows: a slot of eight bytes per field, and the rows as they came.
//!
//! One packer serves a connection for life, so that a small result allocates nothing.

use super::{
    super::Error,
    shape::Shape,
    slot::{NOT_ASCII, NULL_NUMBER, NULL_TEXT, SEE_TEXT, SlotKind},
    text,
};

/// The size at which packed rows are handed on: large enough to batch, small enough that JavaScript decodes
/// the beginning of a large result while the server still sends its end.
const BLOCK: usize = 16 * 1024;

/// The most rows of a block whose rows have no columns, and so no bytes.
const ROWS_WITHOUT_COLUMNS: u32 = 256;

/// Texts shorter than this may be cut from a shared string, since V8 copies them. A longer one would keep all
/// of it.
const SHORT: usize = 13;

/// A block of packed rows.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// The number of rows of this block; a result may have more than a `u32` can count.
    pub count: u32,
    /// The slots: `count` times the number of columns.
    pub slots: &'a [u64],
    /// The rows as the server sent them.
    pub raw: &'a [u8],
    /// Whether `raw` holds short ASCII texts.
    pub has_short_texts: bool,
}

#[derive(Debug, Default)]
pub(in crate::postgres) struct Packer {
    slots: Vec<u64>,
    raw: Vec<u8>,
    count: u32,
    has_short_texts: bool,
}

impl Packer {
    /// Adds the body of a data row.
    pub(in crate::postgres) fn push(&mut self, shape: &Shape, body: &[u8]) -> Result<(), Error> {
        let fields = self.read(shape, body)?;
        self.raw.extend_from_slice(fields);
        self.count += 1;
        Ok(())
    }

    /// Whether a row with this body fills a block by itself.
    pub(in crate::postgres) fn is_block(body: &[u8]) -> bool {
        body.len() >= BLOCK
    }

    /// A block of one row, whose bytes are not copied. Only while no row is packed; [`Packer::clear`] is to follow.
    pub(in crate::postgres) fn block<'a>(
        &'a mut self,
        shape: &Shape,
        body: &'a [u8],
    ) -> Result<Rows<'a>, Error> {
        let raw = self.read(shape, body)?;
        Ok(Rows { count: 1, slots: &self.slots, raw, has_short_texts: self.has_short_texts })
    }

    /// Adds the slots of a row, and returns its fields as they came.
    fn read<'a>(&mut self, shape: &Shape, body: &'a [u8]) -> Result<&'a [u8], Error> {
        let malformed = || Error::protocol("received a data row that does not fit its description");
        let (count, mut rest) = body.split_first_chunk::<2>().ok_or_else(malformed)?;
        if usize::from(u16::from_be_bytes(*count)) != shape.slots.len() {
            return Err(malformed());
        }
        let fields = rest;
        let base = self.raw.len();
        for kind in &shape.slots {
            let (length, after) = rest.split_first_chunk::<4>().ok_or_else(malformed)?;
            let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
                self.slots.push(high(if kind.is_text() { NULL_TEXT } else { NULL_NUMBER }));
                rest = after;
                continue;
            };
            let (value, after) = after.split_at_checked(length).ok_or_else(malformed)?;
            let offset = base + (fields.len() - after.len() - length);
            let offset = u32::try_from(offset).map_err(|_| malformed())?;
            let slot = self.slot(*kind, value, offset);
            self.slots.push(slot);
            rest = after;
        }
        if rest.is_empty() { Ok(fields) } else { Err(malformed()) }
    }

    fn slot(&mut self, slot: SlotKind, value: &[u8], offset: u32) -> u64 {
        let number = match slot {
            SlotKind::Text => {
                let ascii = value.is_ascii();
                self.has_short_texts |= ascii && value.len() < SHORT;
                return text_slot(offset, value.len(), if ascii { 0 } else { NOT_ASCII });
            }
            SlotKind::Binary => return text_slot(offset, value.len(), 0),
            SlotKind::Number => text::number(value),
            SlotKind::Boolean => text::boolean(value),
            SlotKind::Instant => text::instant(value),
            SlotKind::Local => text::local(value),
        };
        number.map_or(high(SEE_TEXT) | u64::from(offset), f64::to_bits)
    }

    /// Whether enough rows are packed to hand them on.
    pub(in crate::postgres) fn is_full(&self) -> bool {
        self.raw.len() + self.slots.len() * 8 >= BLOCK
            || (self.slots.is_empty() && self.count >= ROWS_WITHOUT_COLUMNS)
    }

    /// Whether no row is packed.
    pub(in crate::postgres) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The packed rows; [`Packer::clear`] is to follow.
    pub(in crate::postgres) fn rows(&self) -> Rows<'_> {
        let Self { slots, raw, count, has_short_texts } = self;
        Rows { count: *count, slots, raw, has_short_texts: *has_short_texts }
    }

    pub(in crate::postgres) fn clear(&mut self) {
        self.count = 0;
        self.has_short_texts = false;
        self.slots.clear();
        self.raw.clear();
        if self.raw.capacity() > 4 * BLOCK {
            self.raw = Vec::new();
        }
    }
}

/// The length word of a text. A message is shorter than 1 GiB, so bit 30 is free.
fn text_slot(offset: u32, length: usize, flag: u32) -> u64 {
    let length = u32::try_from(length).unwrap_or(NOT_ASCII - 1);
    high(length | flag) | u64::from(offset)
}

/// The high word of a slot.
fn high(word: u32) -> u64 {
    u64::from(word) << 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::messages::RawMessage;

    #[test]
    fn a_large_row_is_packed_as_others_are_but_not_copied() {
        let description =
            RawMessage::whole(b"T\0\0\0\x1a\0\x01c\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0");
        let shape = Shape::read(description.unwrap(), false).unwrap();
        let body = [&b"\0\x01\0\0\x40\0"[..], &[b'x'; BLOCK]].concat();
        assert!(Packer::is_block(&body));
        let (mut packed, mut alone) = (Packer::default(), Packer::default());
        packed.push(&shape, &body).unwrap();
        let (rows, block) = (packed.rows(), alone.block(&shape, &body).unwrap());
        assert_eq!((block.count, block.slots, block.raw), (rows.count, rows.slots, rows.raw));
        assert_eq!(block.has_short_texts, rows.has_short_texts);
        assert!(std::ptr::eq(block.raw, &raw const body[2..]));
    }

    #[test]
    fn rows_without_columns_fill_a_block() {
        let description = RawMessage::whole(b"T\0\0\0\x06\0\0").unwrap();
        let shape = Shape::read(description, false).unwrap();
        let mut packer = Packer::default();
        for _ in 0..ROWS_WITHOUT_COLUMNS {
            assert!(!packer.is_full());
            packer.push(&shape, &[0, 0]).unwrap();
        }
        assert!(packer.is_full());
        packer.clear();
        assert!(!packer.is_full());
    }
}
