//! The layers of `src` as a test: a folder uses only the folders that [`LAYERS`] grants it, and Node-API
//! and `unsafe` stay in `binding`.
//!
//! An item of the root (`crate::Thing`) could hide where it comes from, so folders are reached by their own
//! names only.

use super::source::{CodePath, Token, files, module_of, paths, tokens};

const CORE: &[&str] = &["napi", "napi_derive", "unsafe"];
const BINDING: &str = "binding";

/// Of each folder, the folders that it may use.
const LAYERS: &[(&str, &[&str])] = &[
    ("architecture", &[]),
    (BINDING, &["dispatch", "pool", "postgres", "resilience", "telemetry"]),
    ("dispatch", &["pool", "postgres", "resilience", "telemetry"]),
    ("pool", &["resilience"]),
    ("postgres", &["telemetry"]),
    ("resilience", &[]),
    ("telemetry", &[]),
];

/// What `source`, the file `file` (relative to `src`), does against the rule.
fn offences(file: &str, source: &str) -> Vec<String> {
    let tokens = tokens(source);
    let Some(folder) = module_of(file).first().cloned().filter(|_| file.contains('/')) else {
        return foreign_words(file, &tokens);
    };
    let Some((_, granted)) = LAYERS.iter().find(|(name, _)| *name == folder) else {
        return vec![format!("{file}: {folder} has no place among the layers")];
    };
    let mut offences = if folder == BINDING { Vec::new() } else { foreign_words(file, &tokens) };
    for CodePath { module, words, .. } in paths(file, &tokens) {
        let allowed = |target: &String| *target == folder || granted.contains(&target.as_str());
        let is_ours = matches!(words[0].as_str(), "crate" | "super" | "self");
        if is_ours && !resolve(&module, &words).is_none_or(|target| allowed(&target)) {
            offences.push(format!("{file}: {folder} uses {}", words.join("::")));
        }
    }
    offences
}

fn foreign_words(file: &str, tokens: &[Token<'_>]) -> Vec<String> {
    let foreign = tokens.iter().filter(|token| CORE.contains(token));
    foreign.map(|token| format!("{file}: `{token}` belongs into {BINDING}")).collect()
}

/// The folder that `path` leads to from `module`; none: it stays below its own file, or names the root
/// itself.
fn resolve(module: &[String], path: &[String]) -> Option<String> {
    let mut base = module.to_vec();
    let mut rest = path.iter();
    let mut next = rest.next();
    while let Some(word) = next {
        match word.as_str() {
            "crate" => base.clear(),
            "super" => drop(base.pop()),
            "self" => {}
            _ => break,
        }
        next = rest.next();
    }
    base.first().or(next).cloned()
}

#[test]
fn every_folder_uses_only_what_the_layers_grant_it() -> std::io::Result<()> {
    let against: Vec<_> = files()?.iter().flat_map(|(file, source)| offences(file, source)).collect();
    assert!(against.is_empty(), "against the layers:\n{}", against.join("\n"));
    Ok(())
}

#[test]
fn an_import_that_is_not_granted_is_found_however_it_is_written() {
    for source in [
        "use crate::dispatch::Tier;",
        "use crate::{resilience::Delay, dispatch::{Settings, Tier}};",
        "use crate::{resilience as retry, dispatch as spine};",
        "use super::super::dispatch::Tier;",
        "fn spine() -> crate::dispatch::Tier { todo!() }",
        "mod inner { use super::super::super::dispatch::Tier; }",
        "mod inner { } use self::super::super::dispatch::Tier;",
        "pub(in crate::dispatch) struct S;",
        "use crate::Aliased;",
        "use crate::renamed::Tier;",
        "use crate::postgres::Error;",
        "use crate::telemetry::Counter;",
    ] {
        assert!(!offences("pool/slots.rs", source).is_empty(), "{source}");
    }
}

#[test]
fn what_the_rule_allows_is_not_found() {
    for source in [
        "use crate::resilience::Delay;",
        "use super::lease::Loan; use super::super::pool::Lease;",
        "mod tests { use super::*; use super::super::Pool; }",
        "// use crate::dispatch::Tier;\nconst A: &str = \"use crate::dispatch; unsafe\";",
        "/* unsafe */ const B: &str = r#\"crate::dispatch \" unsafe\"#; const C: char = '\"';",
        "fn f<'a>(a: &'a u8) -> &'a u8 { let q = b'\\''; a }",
        "pub(crate) struct S; pub(super) struct T;",
    ] {
        assert_eq!(offences("pool/slots.rs", source), [""; 0], "{source}");
    }
}

#[test]
fn node_api_and_unsafe_are_found_outside_the_binding_only() {
    for source in ["use napi::Env;", "use napi_derive::napi;", "fn f() { unsafe { g() } }"] {
        assert!(!offences("pool/slots.rs", source).is_empty(), "{source}");
        assert!(!offences("lib.rs", source).is_empty(), "{source}");
        assert!(offences("binding/pool.rs", source).is_empty(), "{source}");
    }
}
