//! Requests, read from the buffer in which JavaScript has laid them out.

use std::{sync::Arc, time::Duration};

use super::layout::{RequestFlags as Flags, request, retry_options};
use crate::{
    dispatch::{CancelFlag, RequestOptions},
    postgres::{QueryMode, SqlState, Statement},
};

/// A request of JavaScript.
pub(super) struct Request {
    pub(super) statement: Arc<Statement>,
    /// Retry options of its own, and whether it can be withdrawn.
    pub(super) options: RequestOptions,
}

/// Reads a request. None: the buffer does not hold what its header says.
pub(super) fn read(bytes: &[u8]) -> Option<Request> {
    let (header, rest) = words::<{ request::HEADER }>(bytes)?;
    let flags = Flags::from_bits(header[request::FLAGS])?;
    let (text, rest) = split(rest, header[request::TEXT_LENGTH])?;
    let (name, rest) = split(rest, header[request::NAME_LENGTH])?;
    let (rest, max_bytes) = limit(rest, flags)?;
    let (mut options, rest) = retry_options(rest, flags)?;
    options.cancel_flag = flags.contains(Flags::CANCELLABLE).then(CancelFlag::default);
    let (formats, values) = split(rest, header[request::PARAMETERS])?;
    let mode = if flags.contains(Flags::SIMPLE) {
        QueryMode::Simple
    } else {
        QueryMode::Extended { binary: flags.contains(Flags::BINARY) }
    };
    let statement = Arc::new(Statement {
        text: std::str::from_utf8(text).ok()?.into(),
        name: if name.is_empty() { None } else { Some(std::str::from_utf8(name).ok()?.into()) },
        mode,
        formats: formats.into(),
        values: values.into(),
        timeout: Some(header[request::QUERY_TIMEOUT])
            .filter(|timeout| *timeout != 0)
            .map(|ms| Duration::from_millis(ms.into())),
        fetch: i32::try_from(header[request::FETCH]).unwrap_or(i32::MAX),
        paged: flags.contains(Flags::PAGED),
        max_bytes,
        joined: flags.contains(Flags::JOINED),
        is_own: flags.contains(Flags::OWN),
        before: Box::default(),
    });
    Some(Request { statement, options })
}

/// Reads several requests as one statement, with the others in front of the last. Each has its length before it. None:
/// the buffer does not hold that, or one of them cannot go out with others.
pub(super) fn read_flight(mut bytes: &[u8]) -> Option<Arc<Statement>> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let ([length], rest) = words::<1>(bytes)?;
        let (part, rest) = split(rest, length)?;
        let Request { statement, .. } = read(part)?;
        if !statement.may_go_with_others() {
            return None;
        }
        parts.push(statement);
        bytes = rest;
    }
    let last = parts.pop()?;
    Some(Arc::new(Statement { before: parts.into(), ..Arc::unwrap_or_clone(last) }))
}

/// Retry options; the defaults where their flag is not set.
fn retry_options(bytes: &[u8], flags: Flags) -> Option<(RequestOptions, &[u8])> {
    let idempotent = flags.intersects(Flags::IDEMPOTENT | Flags::READ_ONLY);
    if !flags.contains(Flags::RETRY_OPTIONS) {
        return Some((RequestOptions { idempotent, ..RequestOptions::default() }, bytes));
    }
    let (header, rest) = words::<{ retry_options::HEADER }>(bytes)?;
    let given = |index: usize| Some(header[index]).filter(|word| *word != retry_options::UNSET);
    let millis = |index| given(index).map(|ms| Duration::from_millis(ms.into()));
    let count = usize::try_from(header[retry_options::CODES]).ok()?;
    let (codes, rest) = rest.split_at_checked(count.checked_mul(retry_options::CODE_BYTES)?)?;
    let codes = codes
        .chunks_exact(retry_options::CODE_BYTES)
        .map(|code| SqlState::new(code.get(..5).unwrap_or_default()))
        .collect();
    let options = RequestOptions {
        idempotent,
        deadline: millis(retry_options::DEADLINE),
        attempts: given(retry_options::ATTEMPTS),
        base: millis(retry_options::BASE_DELAY),
        codes,
        cancel_flag: None,
    };
    Some((options, rest))
}

/// Limit of the bytes that the rows may have.
fn limit(bytes: &[u8], flags: Flags) -> Option<(&[u8], Option<u64>)> {
    if !flags.contains(Flags::LIMITED) {
        return Some((bytes, None));
    }
    let (rest, limit) = bytes.split_last_chunk::<4>()?;
    Some((rest, Some(u32::from_le_bytes(*limit).into())))
}

/// Little-endian words at the start, and what follows them.
fn words<const COUNT: usize>(bytes: &[u8]) -> Option<([u32; COUNT], &[u8])> {
    let (head, rest) = bytes.split_at_checked(COUNT * 4)?;
    let mut words = [0; COUNT];
    for (word, bytes) in words.iter_mut().zip(head.chunks_exact(4)) {
        *word = u32::from_le_bytes(bytes.try_into().ok()?);
    }
    Some((words, rest))
}

fn split(bytes: &[u8], length: u32) -> Option<(&[u8], &[u8])> {
    bytes.split_at_checked(usize::try_from(length).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request of one text, whose other words are 0.
    fn laid_out(flags: u32, text: &str, rest: &[u8]) -> Vec<u8> {
        let mut header = [0; request::HEADER];
        header[request::FLAGS] = flags;
        header[request::TEXT_LENGTH] = u32::try_from(text.len()).unwrap();
        let words = header.iter().flat_map(|word| word.to_le_bytes());
        words.chain(text.bytes()).chain(rest.iter().copied()).collect()
    }

    #[test]
    fn retry_options_are_read_and_unset_words_left_to_the_pool() {
        let flags = Flags::RETRY_OPTIONS | Flags::READ_ONLY;
        let words = [1500, retry_options::UNSET, 20, 1].map(u32::to_le_bytes).concat();
        let bytes = laid_out(flags.bits(), "SELECT 1", &[&words[..], b"40001\0\0\0"].concat());
        let Request { statement, options } = read(&bytes).unwrap();
        assert_eq!(&*statement.text, "SELECT 1");
        assert!(options.idempotent);
        assert_eq!(options.deadline, Some(Duration::from_millis(1500)));
        assert_eq!((options.attempts, options.base), (None, Some(Duration::from_millis(20))));
        assert_eq!(*options.codes, [SqlState::new(b"40001")]);
    }

    #[test]
    fn a_flight_is_read_as_its_last_statement_with_the_others_before_it() {
        let flight = |parts: &[Vec<u8>]| {
            let framed =
                |part: &Vec<u8>| [&u32::try_from(part.len()).unwrap().to_le_bytes()[..], part].concat();
            parts.iter().flat_map(framed).collect::<Vec<u8>>()
        };
        let whole = flight(&[laid_out(0, "BEGIN", &[]), laid_out(0, "SELECT 1", &[])]);
        let statement = read_flight(&whole).unwrap();
        assert_eq!((&*statement.text, &*statement.part(0).text), ("SELECT 1", "BEGIN"));
        assert_eq!(&*statement.part(1).text, "SELECT 1");
        // Cut between two requests, what is left is a flight.
        let is_none = |end: &usize| read_flight(&whole[..*end]).is_none();
        assert_eq!((0..whole.len()).filter(|end| !is_none(end)).count(), 1);
        let simple = flight(&[laid_out(0, "BEGIN", &[]), laid_out(Flags::SIMPLE.bits(), "SELECT 1", &[])]);
        assert!(read_flight(&simple).is_none());
    }

    #[test]
    fn a_request_with_an_unknown_flag_or_without_all_its_bytes_is_none() {
        let whole = laid_out(Flags::SIMPLE.bits(), "SELECT 1", &[]);
        assert!(read(&whole).is_some());
        assert!(whole.iter().enumerate().all(|(end, _)| read(&whole[..end]).is_none()));
        assert!(read(&laid_out(1 << 31, "SELECT 1", &[])).is_none());
    }
}
