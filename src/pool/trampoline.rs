//! Bounds the recursion of claims that are settled inside claims.
//!
//! A granted claim that drops its lease at once grants the next one on the same stack. Below a
//! few levels that is what makes a hand-over fast; beyond, the work is left to the outermost level
//! of this thread, so that no length of queue can exhaust the stack.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

const DEEPEST: u32 = 8;

type Work = Box<dyn FnOnce()>;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static LATER: RefCell<VecDeque<Work>> = const { RefCell::new(VecDeque::new()) };
}

/// Runs `work` here, or, if the stack is deep already, when the outermost level is done.
///
/// `hoist` turns the work into what can be kept for later; it is not called on the usual path.
pub(super) fn run<W>(work: W, perform: impl FnOnce(W), hoist: impl FnOnce(W) -> Work) {
    // A thread that is being torn down has no depth any more: it performs directly.
    let depth = DEPTH.try_with(Cell::get).unwrap_or(0);
    if depth >= DEEPEST {
        let work = hoist(work);
        LATER.with(|later| later.borrow_mut().push_back(work));
        return;
    }
    set_depth(depth + 1);
    perform(work);
    while depth == 0
        && let Some(work) = next_of_later()
    {
        work();
    }
    set_depth(depth);
}

fn set_depth(depth: u32) {
    // Failing means the thread is being torn down: there is no depth to keep.
    let _ = DEPTH.try_with(|cell| cell.set(depth));
}

fn next_of_later() -> Option<Work> {
    LATER.try_with(|later| later.borrow_mut().pop_front()).ok().flatten()
}
