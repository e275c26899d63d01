//! The codec of rows for JavaScript: the [`Shape`] of a result once, then [`Rows`], packed for a generated
//! loop that reads them. `docs/design/boundary.md` describes the layout.

mod rows;
mod shape;
pub mod slot;
mod text;

pub(super) use rows::Packer;
pub use rows::Rows;
pub use shape::Shape;
pub(super) use shape::ShapeUser;
pub use slot::SlotKind;
