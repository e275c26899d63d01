//! The files of `src` as the tests of its structure read them: tokens and paths, not types. Comments and
//! strings do not count; `use` trees, paths inside code, `super` chains and inline modules do.

use std::{fs, io, path::Path};

/// A fragment of code: a word, or one character of punctuation.
pub(super) type Token<'a> = &'a str;

/// `a/b/mod.rs` and `a/b.rs` are both `a::b`.
pub(super) fn module_of(file: &str) -> Vec<String> {
    let path = file.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    path.split('/').map(str::to_owned).collect()
}

/// A path in the code of a file.
pub(super) struct CodePath {
    /// The module it stands in; inline modules count.
    pub(super) module: Vec<String>,
    pub(super) words: Vec<String>,
    /// Whether a `use` brings it into scope.
    pub(super) is_import: bool,
    /// Whether it only says how far something is visible, as `pub(in crate::pool)`.
    pub(super) is_visibility: bool,
}

/// The paths in the code of `file`: what `use` imports, and every word before a `::` with what follows it.
pub(super) fn paths(file: &str, tokens: &[Token<'_>]) -> Vec<CodePath> {
    let mut module = module_of(file);
    let mut found = Vec::new();
    // Of each open brace whether it is that of an inline module.
    let mut braces = Vec::new();
    let mut at = 0;
    while let Some(&token) = tokens.get(at) {
        let is_import = token == "use" && tokens.get(at + 1) != Some(&"<");
        match token {
            "{" => {
                let is_module = at >= 2 && tokens[at - 2] == "mod";
                if is_module {
                    module.push(tokens[at - 1].to_owned());
                }
                braces.push(is_module);
            }
            "}" if braces.pop() == Some(true) => drop(module.pop()),
            _ if is_import || begins_a_path(tokens, at) => {
                let is_visibility = at >= 2 && tokens[at - 2..at] == ["(", "in"];
                let mut read = Vec::new();
                at = read_paths(tokens, at + usize::from(is_import), &[], &mut read);
                let path = |words| CodePath { module: module.clone(), words, is_import, is_visibility };
                found.extend(read.into_iter().map(path));
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

fn begins_a_path(tokens: &[Token<'_>], at: usize) -> bool {
    let is_word = tokens[at].starts_with(|first: char| first.is_alphabetic() || first == '_');
    let continues = at >= 2 && tokens[at - 1] == ":" && tokens[at - 2] == ":";
    is_word && !continues && tokens.get(at + 1) == Some(&":") && tokens.get(at + 2) == Some(&":")
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

/// The code of `source` without comments, strings, characters and lifetimes.
pub(super) fn tokens(source: &str) -> Vec<Token<'_>> {
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

/// All files below `src`, by their path in it, in order.
pub(super) fn files() -> io::Result<Vec<(String, String)>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    read_folder(&root, &root, &mut files)?;
    files.sort();
    assert!(files.len() > 50, "only {} files were read", files.len());
    Ok(files)
}

/// The same without the files of tests, inline tests cut off.
pub(super) fn files_without_tests() -> io::Result<Vec<(String, String)>> {
    let mut files = files()?;
    files.retain(|(file, _)| !file.starts_with("architecture/") && !file.contains("tests"));
    for (_, text) in &mut files {
        if let Some(tests) = text.find("#[cfg(test)]\nmod tests {") {
            text.truncate(tests);
        }
    }
    Ok(files)
}

fn read_folder(folder: &Path, root: &Path, files: &mut Vec<(String, String)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            read_folder(&path, root, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let file = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            files.push((file, fs::read_to_string(&path)?));
        }
    }
    Ok(())
}
