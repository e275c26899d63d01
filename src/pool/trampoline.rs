//! A trampoline: bounds the recursion of claims that are settled inside claims.
//!
//! A granted claim that drops its lease at once grants the next one on the same stack. A few levels of that
//! make a hand-over fast; work of deeper levels is left to the outermost level of this thread, so that no
//! length of queue can exhaust the stack.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

/// Levels that run on the stack.
const DEEPEST: u32 = 8;

type Work = Box<dyn FnOnce()>;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static LATER: RefCell<VecDeque<Work>> = const { RefCell::new(VecDeque::new()) };
}

/// Performs `work` here, or, on a deep stack, when the outermost level is done.
///
/// `hoist` makes the work into a closure to be kept for later; it is not called on the usual path.
pub(super) fn run<W>(work: W, perform: impl FnOnce(W), hoist: impl FnOnce(W) -> Work) {
    // A thread that is being torn down has no depth any more and performs directly.
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
    // A failure means that the thread is being torn down: there is no depth to keep.
    let _ = DEPTH.try_with(|cell| cell.set(depth));
}

fn next_of_later() -> Option<Work> {
    LATER.try_with(|later| later.borrow_mut().pop_front()).ok().flatten()
}
