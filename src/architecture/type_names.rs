//! One name is one public type: a reader who finds a name in a file that imports it need not ask which.

use std::{collections::BTreeMap, io};

use super::source::{files_without_tests, tokens};

/// The types of `source` that others can see, `pub(super)` ones included.
fn public_types(source: &str) -> Vec<&str> {
    let tokens = tokens(source);
    let mut found = Vec::new();
    for (at, _) in tokens.iter().enumerate().filter(|(_, token)| **token == "pub") {
        let mut rest = &tokens[at + 1..];
        if rest.first() == Some(&"(") {
            let end = rest.iter().position(|token| *token == ")").unwrap_or(0);
            rest = &rest[end + 1..];
        }
        if let ["struct" | "enum" | "trait" | "union", name, ..] = rest {
            found.push(*name);
        }
    }
    found
}

#[test]
fn no_two_public_types_have_one_name() -> io::Result<()> {
    let files = files_without_tests()?;
    let mut homes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (file, source) in &files {
        for name in public_types(source) {
            homes.entry(name).or_default().push(file);
        }
    }
    homes.retain(|_, files| files.len() > 1);
    assert!(homes.is_empty(), "types of one name: {homes:#?}");
    Ok(())
}

#[test]
fn a_public_type_is_found_however_visible_it_is() {
    let source =
        "pub struct A; pub(super) enum B {} pub(in crate::pool) trait C {} struct D; pub fn struct_e() {}";
    assert_eq!(public_types(source), ["A", "B", "C"]);
}
