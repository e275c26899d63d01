//! Entry points for random bytes: a fuzzer calls them, and so do tests, with the corpus and random changes to
//! it.

use super::{
    Shape,
    codec::Packer,
    messages::{Inbox, RawMessage},
};

/// Reads `data` as messages of a server, as a connection would, in pieces of the size that its first byte
/// gives.
///
/// # Panics
/// When an invariant does not hold.
pub fn backend_messages(data: &[u8]) {
    let Some((&first, stream)) = data.split_first() else { return };
    let mut inbox = Inbox::new();
    if first & 1 == 0 {
        inbox.lift_startup_limit();
    }
    let mut reader = Reader { binary: first & 2 != 0, ..Reader::default() };
    for piece in stream.chunks(usize::from(first / 4) + 1) {
        let mut piece = piece;
        while !piece.is_empty() {
            let space = inbox.space();
            assert!(!space.is_empty(), "there is always room");
            let length = piece.len().min(space.len());
            space[..length].copy_from_slice(&piece[..length]);
            inbox.filled(length);
            piece = &piece[length..];
        }
        loop {
            match inbox.next() {
                Ok(Some(message)) => {
                    if !reader.message(message) {
                        return;
                    }
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
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
    assert_eq!(shape.columns.len(), types.len());
    let mut packer = Packer::default();
    while let Some((&length, after)) = rest.split_first() {
        let (body, after) = after.split_at(usize::from(length).min(after.len()));
        if packer.push(&shape, body).is_err() {
            return;
        }
        check(&packer, &shape);
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

/// The state of a connection while it reads.
#[derive(Default)]
struct Reader {
    shape: Option<std::sync::Arc<Shape>>,
    packer: Packer,
    binary: bool,
}

impl Reader {
    /// Reads one message. False: a connection would be closed here.
    fn message(&mut self, message: RawMessage<'_>) -> bool {
        assert_eq!(message.length() + 1, message.bytes().len());
        match message.tag {
            b'T' => match Shape::read(message, self.binary) {
                Ok(shape) => {
                    self.packer.clear();
                    self.shape = Some(shape);
                    true
                }
                Err(_) => false,
            },
            b'D' => {
                let Some(shape) = &self.shape else { return false };
                let is_fit = self.packer.push(shape, message.body()).is_ok();
                if is_fit {
                    check(&self.packer, shape);
                }
                if self.packer.is_full() {
                    self.packer.clear();
                }
                is_fit
            }
            b'E' | b'N' => message.database_error().is_ok(),
            b'Z' => message.status().is_ok(),
            _ => message.parse().is_ok(),
        }
    }
}

/// Checks the offsets of packed rows: JavaScript reads by them without checking lengths again.
fn check(packer: &Packer, shape: &Shape) {
    const NUMBERS: u64 = 0x7ff8_0002;
    let rows = packer.rows();
    assert_eq!(rows.slots.len(), shape.columns.len() * usize::try_from(rows.count).unwrap_or(usize::MAX));
    for (index, slot) in rows.slots.iter().enumerate() {
        let (high, low) = (slot >> 32, usize::try_from(slot & 0xffff_ffff).unwrap_or(usize::MAX));
        if shape.columns[index % shape.columns.len()].is_text() {
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
