//! The texts of a message: errors, notices, notifications and settings, as people and the server write them.
//!
//! They cross to JavaScript as JSON, where a byte may take six, and end in logs. So the long texts of one message
//! have a megabyte together; what is cut off is counted at the end. Rows are not cut.

/// What the long texts of one message may have together.
const MAX_TEXTS: usize = 1024 * 1024;
/// A text that is never cut.
const SHORT: usize = 1024;

/// Reads the texts of one message.
pub(super) struct Texts {
    room: usize,
}

impl Default for Texts {
    fn default() -> Self {
        Self { room: MAX_TEXTS }
    }
}

impl Texts {
    /// Reads a text, which is no UTF-8 where a session has set another encoding.
    pub(super) fn read(&mut self, bytes: &[u8]) -> String {
        if bytes.len() <= SHORT {
            return String::from_utf8_lossy(bytes).into_owned();
        }
        let room = self.room.max(SHORT);
        self.room = self.room.saturating_sub(bytes.len());
        if bytes.len() <= room {
            return String::from_utf8_lossy(bytes).into_owned();
        }
        // Not inside of a character: up to three bytes of it begin so.
        let is_inside = |at: &usize| bytes[*at] & 0xc0 == 0x80;
        let end = (room - 3..=room).rev().find(|at| !is_inside(at)).unwrap_or(room);
        format!("{}... ({} bytes more)", String::from_utf8_lossy(&bytes[..end]), bytes.len() - end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_a_megabyte_is_whole_and_a_longer_one_is_cut_between_characters() {
        let whole = "x".repeat(MAX_TEXTS);
        assert_eq!(Texts::default().read(whole.as_bytes()), whole);
        let longer = format!("{}\u{1f600}yz", "x".repeat(MAX_TEXTS - 2));
        let cut = Texts::default().read(longer.as_bytes());
        assert_eq!(cut, format!("{}... (6 bytes more)", "x".repeat(MAX_TEXTS - 2)));
        let no_utf8 = vec![0x80; MAX_TEXTS + 1];
        assert!(Texts::default().read(&no_utf8).ends_with("... (1 bytes more)"));
    }

    #[test]
    fn short_texts_are_whole_beside_long_ones() {
        let mut texts = Texts::default();
        assert!(texts.read(&vec![1; MAX_TEXTS * 3]).ends_with(" bytes more)"));
        assert_eq!(texts.read(b"ProcessInterrupts"), "ProcessInterrupts");
        let second = texts.read(&[b'x'; 5000]);
        assert_eq!(second, format!("{}... (3976 bytes more)", "x".repeat(SHORT)));
    }
}
