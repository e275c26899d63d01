//! The validation of messages in raw mode. Parsers in JavaScript read them, and trust them: on a message that
//! is cut short they throw, or never come to an end.

use super::{Error, messages::RawMessage};

impl RawMessage<'_> {
    /// Refuses a message that is malformed, or of a type that does not come after the login.
    pub(super) fn check_form(self) -> Result<(), Error> {
        let body = self.body();
        let is_whole = match self.tag {
            b'1' | b'2' | b'3' | b'I' | b'c' | b'n' | b's' => body.is_empty(),
            b'd' => true,
            b'C' => body.iter().position(|byte| *byte == 0).is_some_and(|end| end + 1 == body.len()),
            b'D' => counted(body, value).is_some_and(<[u8]>::is_empty),
            b'E' => return self.database_error().map(drop),
            b'G' | b'H' | b'W' => body
                .get(1..)
                .and_then(|rest| counted(rest, |rest| rest.get(2..)))
                .is_some_and(<[u8]>::is_empty),
            b'T' => counted(body, column).is_some_and(<[u8]>::is_empty),
            b'Z' => return self.status().map(drop),
            b't' => counted(body, |rest| rest.get(4..)).is_some_and(<[u8]>::is_empty),
            _ => return Err(self.unexpected()),
        };
        if is_whole { Ok(()) } else { Err(self.malformed()) }
    }
}

/// Reads a count of 16 bits and so many items; returns the bytes behind them.
fn counted(bytes: &[u8], item: impl Fn(&[u8]) -> Option<&[u8]>) -> Option<&[u8]> {
    let (count, mut rest) = bytes.split_first_chunk::<2>()?;
    for _ in 0..u16::try_from(i16::from_be_bytes(*count)).ok()? {
        rest = item(rest)?;
    }
    Some(rest)
}

/// Reads a value behind its length, -1 for NULL.
fn value(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    match i32::from_be_bytes(*length) {
        -1 => Some(rest),
        length => rest.get(usize::try_from(length).ok()?..),
    }
}

/// Reads a name that ends with a zero, and 18 bytes.
fn column(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    bytes.get(end + 19..)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn form_of(tag: u8, body: &[u8]) -> Result<(), Error> {
        let length = u32::try_from(body.len() + 4).unwrap();
        let bytes = [&[tag][..], &length.to_be_bytes(), body].concat();
        RawMessage::whole(&bytes).unwrap().check_form()
    }

    /// Each is whole, and is broken by every cut and by one more byte.
    const WHOLE: [(u8, &[u8]); 8] = [
        (b'C', b"SELECT 1\0"),
        (b'D', b"\0\x02\0\0\0\x01a\xff\xff\xff\xff"),
        (b'E', b"SERROR\0C42601\0Mno\0\0"),
        (b'G', b"\0\0\x01\0\0"),
        (b'H', b"\x01\0\x02\0\x01\0\x01"),
        (b'T', b"\0\x01word\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"),
        (b'Z', b"I"),
        (b't', b"\0\x01\0\0\0\x19"),
    ];

    #[test]
    fn a_message_cut_short_is_refused_at_every_cut() {
        for (tag, body) in WHOLE {
            assert!(form_of(tag, body).is_ok(), "{}", char::from(tag));
            for cut in 0..body.len() {
                assert!(form_of(tag, &body[..cut]).is_err(), "{} cut at {cut}", char::from(tag));
            }
        }
    }

    #[test]
    fn what_has_no_place_after_the_login_is_refused() {
        for (tag, body) in
            [(b'R', &b"\0\0\0\0"[..]), (b'K', b"\0\0\0\x01\0\0\0\x01"), (b'V', b"\0\0\0\0"), (b'v', b"")]
        {
            assert!(form_of(tag, body).is_err());
        }
        assert!(form_of(b'D', b"\xff\xff").is_err(), "a negative count");
        assert!(form_of(b'D', b"\0\x01\xff\xff\xff\xfe").is_err(), "a negative length");
        assert!(form_of(b'C', b"SELECT\x001\0").is_err(), "bytes behind the tag");
    }

    proptest! {
        #[test]
        fn bytes_of_chance_are_checked_without_a_panic(tag: u8, body: Vec<u8>) {
            let _ = form_of(tag, &body);
        }
    }
}
