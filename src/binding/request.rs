//! Reads a request from the buffer JavaScript wrote it to.

use std::{sync::Arc, time::Duration};

use crate::{
    dispatch::{CancelFlag, RequestOptions},
    postgres::{QueryMode, SqlState, Statement},
};

const HEADER: usize = 24;
const SIMPLE: u32 = 1;
const BINARY: u32 = 2;
const UNCACHED: u32 = 16;
const IDEMPOTENT: u32 = 4;
const READ_ONLY: u32 = 8;
const CANCELLABLE: u32 = 32;
const PAGED: u32 = 64;
/// The last four bytes are a limit in bytes.
const LIMITED: u32 = 128;
/// Wishes stand between the name and the parameters.
const WISHES: u32 = 256;
/// In the options of a request: as the pool has it.
const UNSAID: u32 = u32::MAX;

/// What JavaScript asks for.
pub(super) struct Request {
    pub(super) statement: Arc<Statement>,
    /// What it says about running it again, and whether it may be withdrawn.
    pub(super) options: RequestOptions,
}

/// The request in `bytes`; none: the buffer does not hold what its header promises.
pub(super) fn read(bytes: &[u8]) -> Option<Request> {
    let (header, rest) = bytes.split_at_checked(HEADER)?;
    let word = |index: usize| {
        header.get(index * 4..).and_then(<[u8]>::first_chunk::<4>).map_or(0, |word| u32::from_le_bytes(*word))
    };
    let flags = word(0);
    let (text, rest) = rest.split_at_checked(usize::try_from(word(1)).ok()?)?;
    let (name, rest) = rest.split_at_checked(usize::try_from(word(2)).ok()?)?;
    let (rest, max_bytes) = limit(rest, flags)?;
    let (mut options, rest) = options_of(flags, rest)?;
    options.cancel_flag = (flags & CANCELLABLE != 0).then(CancelFlag::default);
    let (formats, values) = rest.split_at_checked(usize::try_from(word(3)).ok()?)?;
    let mode = if flags & SIMPLE != 0 {
        QueryMode::Simple
    } else {
        QueryMode::Extended { binary: flags & BINARY != 0, cache: flags & UNCACHED == 0 }
    };
    let statement = Arc::new(Statement {
        text: std::str::from_utf8(text).ok()?.into(),
        name: if name.is_empty() { None } else { Some(std::str::from_utf8(name).ok()?.into()) },
        mode,
        formats: formats.into(),
        values: values.into(),
        timeout: Some(word(4)).filter(|timeout| *timeout != 0).map(|ms| Duration::from_millis(ms.into())),
        fetch: i32::try_from(word(5)).unwrap_or(i32::MAX),
        paged: flags & PAGED != 0,
        max_bytes,
    });
    Some(Request { statement, options })
}

/// Deadline, retries, base of the delays, number of codes; then the codes, eight bytes each.
fn options_of(flags: u32, bytes: &[u8]) -> Option<(RequestOptions, &[u8])> {
    let idempotent = flags & (IDEMPOTENT | READ_ONLY) != 0;
    if flags & WISHES == 0 {
        return Some((RequestOptions { idempotent, ..RequestOptions::default() }, bytes));
    }
    let (head, rest) = bytes.split_first_chunk::<16>()?;
    let word = |index: usize| {
        let word = head.get(index * 4..).and_then(<[u8]>::first_chunk::<4>);
        word.map_or(UNSAID, |word| u32::from_le_bytes(*word))
    };
    let said = |index| Some(word(index)).filter(|word| *word != UNSAID);
    let millis = |index| said(index).map(|ms| Duration::from_millis(ms.into()));
    let (codes, rest) = rest.split_at_checked(usize::try_from(word(3)).ok()?.checked_mul(8)?)?;
    let codes = codes.chunks_exact(8).map(|code| SqlState::new(code.get(..5).unwrap_or_default())).collect();
    let options = RequestOptions {
        idempotent,
        deadline: millis(0),
        attempts: said(1),
        base: millis(2),
        codes,
        cancel_flag: None,
    };
    Some((options, rest))
}

fn limit(rest: &[u8], flags: u32) -> Option<(&[u8], Option<u64>)> {
    if flags & LIMITED == 0 {
        return Some((rest, None));
    }
    let (rest, limit) = rest.split_last_chunk::<4>()?;
    Some((rest, Some(u32::from_le_bytes(*limit).into())))
}
