//! The framing of large messages: memory grows with what has come, and what nobody gets is passed over.

use super::peer::{answer, lying, message};
use crate::postgres::{Error, messages::Inbox};

const MEGABYTE: usize = 1024 * 1024;

fn inbox() -> Inbox {
    let mut inbox = Inbox::new();
    inbox.lift_startup_limit();
    inbox
}

/// Feeds the inbox; returns the most room that it had.
fn feed(inbox: &mut Inbox, mut bytes: &[u8]) -> usize {
    let mut most = 0;
    while !bytes.is_empty() {
        let space = inbox.space();
        most = most.max(space.len());
        let length = bytes.len().min(space.len());
        space[..length].copy_from_slice(&bytes[..length]);
        inbox.filled(length);
        bytes = &bytes[length..];
    }
    most
}

#[test]
fn a_false_length_reserves_no_more_than_twice_what_has_come() {
    let mut inbox = inbox();
    let most = feed(&mut inbox, &lying(b'D', 0x3fff_ffff, &vec![0; MEGABYTE]));
    assert!(matches!(inbox.next(), Ok(None)));
    assert!(most < 2 * MEGABYTE, "{most}");
}

#[test]
fn a_large_message_reserves_its_own_length() {
    let mut inbox = inbox();
    let large = message(b'D', &vec![0; 9 * MEGABYTE]);
    feed(&mut inbox, &large[..large.len() - 1]);
    assert!(matches!(inbox.next(), Ok(None)));
    assert!(inbox.space().len() <= 64 * 1024);
    feed(&mut inbox, &large[large.len() - 1..]);
    assert_eq!(inbox.next().unwrap().unwrap().bytes(), large);
}

#[test]
fn a_message_that_is_passed_over_takes_no_room() {
    let mut inbox = inbox();
    let large = message(b'D', &vec![0; 9 * MEGABYTE]);
    feed(&mut inbox, &large[..1000]);
    assert!(matches!(inbox.next(), Ok(None)));
    assert_eq!(inbox.begun(), Some((b'D', large.len() - 1)));
    inbox.pass_over();
    let most = feed(&mut inbox, &large[1000..]);
    assert!(most <= 64 * 1024, "{most}");
    assert!(matches!(inbox.next(), Ok(None)));
    feed(&mut inbox, &answer().concat());
    assert_eq!(inbox.next().unwrap().unwrap().bytes(), answer()[0]);
}

#[test]
fn only_what_may_be_large_is_taken_at_a_large_length() {
    for (tag, length) in [(b'T', 0x0100_0001), (b'C', 0x0010_0001), (b'Z', 0x0010_0001), (b't', 0x3fff_ffff)]
    {
        let mut inbox = inbox();
        feed(&mut inbox, &lying(tag, length, b""));
        assert!(matches!(inbox.next(), Err(Error::Protocol(_))), "{tag}");
    }
    for tag in [b'D', b'E', b'N', b'd'] {
        let mut inbox = inbox();
        feed(&mut inbox, &lying(tag, 0x3fff_ffff, b""));
        assert!(matches!(inbox.next(), Ok(None)), "{tag}");
    }
}
