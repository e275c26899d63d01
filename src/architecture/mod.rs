//! Tests of the structure of `src`: which folder may use which, which files depend on each other in a circle,
//! and that no two public types have one name.

mod circles;
mod layers;
mod source;
mod type_names;
