//! Files that depend on each other in a circle can only be understood together. Those that do are named here
//! with the reason; any other circle is a fault.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use super::source::{CodePath, files_without_tests, module_of, paths, tokens};

/// The circles that stay, and why.
const CIRCLES: &[(&str, &[&str])] = &[
    (
        "a JavaScript pool's connections: answers and raw channels take their lease from the table, and leave it there",
        &["binding/answer.rs", "binding/connections.rs", "binding/raw_channel.rs"],
    ),
    (
        "the state machine of the pool: its actions settle claims with leases and start tasks, and these report back",
        &[
            "pool/actions.rs",
            "pool/claim.rs",
            "pool/connect_task.rs",
            "pool/inner.rs",
            "pool/lease.rs",
            "pool/recycle.rs",
            "pool/state/mod.rs",
            "pool/waiters.rs",
        ],
    ),
    (
        "the state machine of a connection: one state, and the parts of its transitions by what is under way",
        &["postgres/connection.rs", "postgres/portal.rs", "postgres/raw_mode.rs"],
    ),
];

type Module = Vec<String>;

/// Which files a file depends on.
type Dependencies<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// The modules of the crate, and what the imports of each lead to.
#[derive(Default)]
struct Modules<'a> {
    files: BTreeMap<Module, &'a str>,
    imports: BTreeMap<(Module, String), Vec<String>>,
}

impl<'a> Modules<'a> {
    /// The words of a path from the root of the crate on; none: it leads out of the crate.
    fn absolute(&self, path: &CodePath) -> Option<Vec<String>> {
        let mut base = path.module.clone();
        let words = &path.words;
        let mut start = 0;
        while let Some(word) = words.get(start) {
            match word.as_str() {
                "crate" => base.clear(),
                "super" => drop(base.pop()),
                "self" => {}
                _ => break,
            }
            start += 1;
        }
        base.extend(words[start..].iter().filter(|word| *word != "self").cloned());
        let is_child = || self.files.contains_key(&base[..=path.module.len().min(base.len() - 1)]);
        (start > 0 || is_child()).then_some(base)
    }

    /// The file that has the item at this path, through whatever modules import it.
    fn file_of(&self, mut path: Vec<String>) -> Option<&'a str> {
        // No chain of imports is longer.
        for _ in 0..self.files.len() {
            let length = (1..=path.len()).rev().find(|&length| self.files.contains_key(&path[..length]))?;
            let item = path.get(length).map(|item| (path[..length].to_vec(), item.clone()));
            match item.and_then(|item| self.imports.get(&item)) {
                Some(imported) => {
                    path = imported.iter().chain(&path[length + 1..]).cloned().collect();
                }
                None => return self.files.get(&path[..length]).copied(),
            }
        }
        None
    }
}

fn dependencies(sources: &[(String, String)]) -> Dependencies<'_> {
    let mut modules = Modules::default();
    for (file, _) in sources {
        modules.files.insert(module_of(file), file);
    }
    let read = |(file, source): &'_ (String, String)| paths(file, &tokens(source));
    let paths: Vec<_> = sources.iter().map(read).collect();
    for path in paths.iter().flatten().filter(|path| path.is_import) {
        if let Some(target) = modules.absolute(path)
            && let Some(name) = target.last()
        {
            modules.imports.insert((path.module.clone(), name.clone()), target);
        }
    }
    let targets = |paths: &[CodePath]| {
        paths
            .iter()
            .filter(|path| !path.is_visibility)
            .filter_map(|path| modules.file_of(modules.absolute(path)?))
            .collect()
    };
    sources.iter().zip(&paths).map(|((file, _), paths)| (file.as_str(), targets(paths))).collect()
}

/// The groups of files in which each depends on every other, on its own or through others.
fn circles<'a>(dependencies: &Dependencies<'a>) -> BTreeSet<Vec<&'a str>> {
    let reached = |start: &'a str| {
        let mut reached = BTreeSet::new();
        let mut next = vec![start];
        while let Some(file) = next.pop() {
            let others = dependencies.get(file).into_iter().flatten().filter(|other| **other != file);
            next.extend(others.filter(|other| reached.insert(**other)));
        }
        reached
    };
    let reached: BTreeMap<_, _> = dependencies.keys().map(|file| (*file, reached(file))).collect();
    let circle_of = |file: &&'a str| -> Vec<&'a str> {
        reached[file].iter().copied().filter(|other| reached[other].contains(file)).collect()
    };
    dependencies.keys().map(circle_of).filter(|circle| circle.len() > 1).collect()
}

#[test]
fn files_depend_on_each_other_in_no_circle_but_those_named() -> io::Result<()> {
    let sources = files_without_tests()?;
    let dependencies = dependencies(&sources);
    let found = circles(&dependencies);
    let named: BTreeSet<Vec<_>> = CIRCLES.iter().map(|(_, files)| files.to_vec()).collect();
    let within = |circle: &Vec<&str>| -> Vec<_> {
        let members: BTreeSet<_> = circle.iter().copied().collect();
        circle.iter().map(|file| format!("{file}: {:?}", &dependencies[file] & &members)).collect()
    };
    let unknown: Vec<_> = found.difference(&named).map(within).collect();
    let gone: Vec<_> = named.difference(&found).collect();
    assert!(unknown.is_empty(), "circles of files: {unknown:#?}");
    assert!(gone.is_empty(), "named as circles, and are none: {gone:#?}");
    Ok(())
}

fn found_in(sources: &[(&str, &str)]) -> Vec<Vec<String>> {
    let sources: Vec<_> =
        sources.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
    let dependencies = dependencies(&sources);
    let owned = |circle: Vec<&str>| circle.into_iter().map(str::to_owned).collect();
    circles(&dependencies).into_iter().map(owned).collect()
}

#[test]
fn a_circle_is_found_through_what_a_module_passes_on() {
    let circle = [
        ("pool/mod.rs", "mod lease; mod slots; pub use self::lease::Lease; use slots::Slots;"),
        ("pool/lease.rs", "use super::Slots; pub struct Lease(Slots);"),
        ("pool/slots.rs", "pub struct Slots; fn f(lease: super::Lease) {}"),
    ];
    assert_eq!(found_in(&circle), [["pool/lease.rs", "pool/slots.rs"]]);
}

#[test]
fn what_leads_one_way_is_no_circle() {
    let tree = [
        ("pool/mod.rs", "mod lease; mod slots; pub use lease::Lease; use self::{slots::{self, Slots}};"),
        ("pool/lease.rs", "use super::Slots; use crate::pool::slots; mod inner { use super::super::Slots; }"),
        ("pool/slots.rs", "use std::sync::Arc; // use super::Lease;\npub struct Slots;"),
    ];
    assert_eq!(found_in(&tree), [[""; 0]; 0]);
}
