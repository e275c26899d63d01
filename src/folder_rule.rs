//! The layers of `src` as a test: a folder uses only the folders that [`LAYERS`] grants it, and Node-API
//! and `unsafe` stay in `binding`.
//!
//! It reads tokens, not types. Comments and strings do not count; `use` trees, paths inside code,
//! `super` chains and inline modules do. An item of the root (`crate::Thing`) could hide where it
//! comes from, so folders are reached by their own names only.

use std::{fs, path::Path};

const CORE: &[&str] = &["napi", "napi_derive", "unsafe"];
const BINDING: &str = "binding";

/// Of each folder, the folders that it may use.
const LAYERS: &[(&str, &[&str])] = &[
    (BINDING, &["dispatch", "pool", "postgres", "resilience", "telemetry"]),
    ("dispatch", &["pool", "postgres", "resilience", "telemetry"]),
    ("pool", &["resilience"]),
    ("postgres", &["telemetry"]),
    ("resilience", &[]),
    ("telemetry", &[]),
];

/// A fragment of code: a word, or one character of punctuation.
type Token<'a> = &'a str;

/// What `source`, the file `file` (relative to `src`), does against the rule.
fn offences(file: &str, source: &str) -> Vec<String> {
    let tokens = tokens(source);
    let mut module = module_of(file);
    let Some(folder) = module.first().cloned().filter(|_| file.contains('/')) else {
        return foreign_words(file, &tokens);
    };
    let Some((_, granted)) = LAYERS.iter().find(|(name, _)| *name == folder) else {
        return vec![format!("{file}: {folder} has no place among the layers")];
    };
    let mut offences = if folder == BINDING { Vec::new() } else { foreign_words(file, &tokens) };
    // Of each open brace whether it is that of an inline module.
    let mut braces = Vec::new();
    let mut at = 0;
    while let Some(&token) = tokens.get(at) {
        match token {
            "{" => {
                let is_module = at >= 2 && tokens[at - 2] == "mod";
                if is_module {
                    module.push(tokens[at - 1].to_owned());
                }
                braces.push(is_module);
            }
            "}" if braces.pop() == Some(true) => drop(module.pop()),
            "crate" | "super" | "self" if !continues_a_path(&tokens, at) => {
                let mut paths = Vec::new();
                at = read_paths(&tokens, at, &[], &mut paths);
                for path in paths {
                    let allowed = |target: &String| *target == folder || granted.contains(&target.as_str());
                    if !resolve(&module, &path).is_none_or(|target| allowed(&target)) {
                        offences.push(format!("{file}: {folder} uses {}", path.join("::")));
                    }
                }
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    offences
}

fn foreign_words(file: &str, tokens: &[Token<'_>]) -> Vec<String> {
    let foreign = tokens.iter().filter(|token| CORE.contains(token));
    foreign.map(|token| format!("{file}: `{token}` belongs into {BINDING}")).collect()
}

/// `a/b/mod.rs` and `a/b.rs` are both `a::b`.
fn module_of(file: &str) -> Vec<String> {
    let path = file.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    path.split('/').map(str::to_owned).collect()
}

fn continues_a_path(tokens: &[Token<'_>], at: usize) -> bool {
    at >= 2 && tokens[at - 1] == ":" && tokens[at - 2] == ":"
}

/// Reads a path or a tree of them, and returns the index behind it.
fn read_paths(tokens: &[Token<'_>], mut at: usize, stem: &[String], into: &mut Vec<Vec<String>>) -> usize {
    let mut path = stem.to_vec();
    loop {
        match tokens.get(at) {
            Some(&"{") if path.len() > stem.len() => {
                at += 1;
                while let Some(&token) = tokens.get(at) {
                    at = match token {
                        "}" => return at + 1,
                        "," => at + 1,
                        _ => read_paths(tokens, at, &path, into),
                    };
                }
                return at;
            }
            Some(word) => path.push((*word).to_owned()),
            None => return at,
        }
        at += 1;
        if tokens.get(at) != Some(&":") || tokens.get(at + 1) != Some(&":") {
            break;
        }
        at += 2;
    }
    into.push(path);
    // In a tree the element may be renamed.
    while !stem.is_empty() && !matches!(tokens.get(at), None | Some(&("," | "}"))) {
        at += 1;
    }
    at
}

/// The folder that `path` leads to from `module`; none: it stays below its own file, or names the root itself.
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

/// The code of `source` without comments, strings, characters and lifetimes.
fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = source.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = literal(rest) {
            length
        } else {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let end = if is_word(first) { rest.find(|c| !is_word(c)) } else { Some(first.len_utf8()) };
            let length = end.unwrap_or(rest.len());
            tokens.push(&rest[..length]);
            length
        };
        rest = rest[length..].trim_start();
    }
    tokens
}

/// The length of the string, character or lifetime that `text` begins with.
fn literal(text: &str) -> Option<usize> {
    let prefix =
        ["br", "cr", "b", "c", "r"].into_iter().find(|prefix| text.starts_with(prefix)).unwrap_or("");
    let body = &text[prefix.len()..];
    let hashes = if prefix.ends_with('r') { body.len() - body.trim_start_matches('#').len() } else { 0 };
    if body[hashes..].starts_with('"') {
        let inside = prefix.len() + hashes + 1;
        if prefix.ends_with('r') {
            let end = format!("\"{}", "#".repeat(hashes));
            return text[inside..].find(&end).map(|found| inside + found + end.len());
        }
        return closing(&text[inside..], '"').map(|found| inside + found);
    }
    let quoted = text.strip_prefix('\'')?;
    let mut characters = quoted.chars();
    match (characters.next()?, characters.next()) {
        ('\\', _) | (_, Some('\'')) => closing(quoted, '\'').map(|found| found + 1),
        _ => Some(1 + quoted.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(quoted.len())),
    }
}

/// The index behind the unescaped `end`.
fn closing(text: &str, end: char) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(index, c)| {
        let found = c == end && !escaped;
        escaped = c == '\\' && !escaped;
        found.then_some(index + c.len_utf8())
    })
}

fn read_folder(folder: &Path, root: &Path, check: &mut impl FnMut(&str, &str)) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            read_folder(&path, root, check)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let file = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            check(&file, &fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

#[test]
fn every_folder_uses_only_what_the_layers_grant_it() -> std::io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = 0;
    let mut against = Vec::new();
    read_folder(&root, &root, &mut |file, source| {
        files += 1;
        against.extend(offences(file, source));
    })?;
    assert!(files > 50, "only {files} files were read");
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
