//! Rows as they leave for JavaScript: the [`Shape`] of a result once, then [`Rows`] packed so that
//! a generated loop can read them. The layout is told in `docs/design/boundary.md`.

mod rows;
mod shape;
pub mod slot;
mod text;

pub(super) use rows::Packer;
pub use rows::Rows;
pub use shape::{Column, Shape};
pub use slot::SlotKind;
