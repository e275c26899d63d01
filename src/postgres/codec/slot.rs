//! The slots of rows: eight bytes per field, as `docs/design/boundary.md` describes them.

use serde::Serialize;

/// The kind of a slot: what its eight bytes hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SlotKind {
    /// Where the text is in raw.
    Text = 0,
    /// A double.
    Number = 1,
    /// A double, 0 or 1.
    Boolean = 2,
    /// A double, milliseconds since 1970 UTC.
    Instant = 3,
    /// A double, the packed fields of a local date and time.
    Local = 4,
    /// Where the bytes are in raw.
    Binary = 5,
}

/// Length word of a text slot that is NULL.
pub const NULL_TEXT: u32 = 0xffff_ffff;
/// In the length word of a text slot: the text is not ASCII.
pub const NOT_ASCII: u32 = 0x4000_0000;
/// High word of a double slot that is NULL.
pub const NULL_NUMBER: u32 = 0x7ff8_0001;
/// High word of a double slot whose value is not in the plain form; the low word says where its text is.
pub const SEE_TEXT: u32 = 0x7ff8_0002;

impl SlotKind {
    /// Every slot.
    pub const ALL: &[Self] =
        &[Self::Text, Self::Number, Self::Boolean, Self::Instant, Self::Local, Self::Binary];

    pub(super) fn of_text(data_type: u32) -> Self {
        match data_type {
            21 | 23 | 26 | 700 | 701 => Self::Number,
            16 => Self::Boolean,
            1184 => Self::Instant,
            1114 | 1082 => Self::Local,
            _ => Self::Text,
        }
    }

    pub(in crate::postgres) fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::Binary)
    }
}
