//! A textual reading of a crate's source, for the tests of the architecture and of the language.
//!
//! It knows tokens, modules, `use` declarations and paths, and no types: enough to tell which file names which. Code under
//! `#[cfg(test)]` is left out.

mod lexer;
mod methods;
mod module;
mod paths;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

pub use lexer::{Comment, Token};
pub use module::Module;

/// A crate, read from its `src` folder.
#[derive(Debug)]
pub struct Crate {
    /// The modules by their paths, such as `core::job`; the root is the empty path.
    pub modules: BTreeMap<String, Module>,
}

impl Crate {
    /// Reads all `.rs` files below `src`, which is a path from the root of the workspace.
    pub fn read(src: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(src);
        let mut files = Vec::new();
        collect(&root, &mut files);
        Self::new(files.into_iter().map(|file| {
            let below = file.strip_prefix(&root).expect("a file below the root").to_owned();
            let text = fs::read_to_string(&file).expect("a source file can be read");
            (below, text)
        }))
    }

    fn new(files: impl IntoIterator<Item = (PathBuf, String)>) -> Self {
        let modules = files.into_iter().map(|(file, text)| {
            let module = Module::new(file, &text);
            (module.path.clone(), module)
        });
        Self { modules: modules.collect() }
    }

    /// The modules that `from` names in its code: each as the module in which the named item is defined. A `pub use` of an
    /// item from a module below is a facade and no arrow.
    pub fn named_by(&self, from: &Module) -> BTreeSet<String> {
        let mut named = BTreeSet::new();
        for path in &from.paths {
            let Some(found) = self.resolve(from, &path.segments, 0) else { continue };
            let facade = path.public && is_below(&found.module, &from.path);
            if found.module != from.path && !found.is_module && !facade {
                named.insert(found.module);
            }
        }
        named
    }

    /// The modules with methods that `from` calls on `self`: those of types whose `impl` blocks are in several modules.
    pub fn called_by(&self, from: &Module) -> BTreeSet<String> {
        let mut called = BTreeSet::new();
        for (name, own) in &from.methods {
            for method in own.called.difference(&own.defined) {
                let definers = self.modules.values().filter(|other| {
                    let methods = other.methods.get(name);
                    methods.is_some_and(|methods| methods.defined.contains(method))
                });
                called.extend(definers.map(|other| other.path.clone()));
            }
        }
        called
    }

    /// Follows a path from a module to the module in which its item is defined.
    fn resolve(&self, from: &Module, segments: &[String], depth: usize) -> Option<Found> {
        let mut current = from;
        for (position, segment) in segments.iter().enumerate() {
            let next = match segment.as_str() {
                "crate" | "smart_async" if position == 0 => self.modules.get("")?,
                "self" => current,
                "super" => self.modules.get(parent(&current.path)?)?,
                "*" => break,
                name => {
                    let child = join(&current.path, name);
                    if let Some(module) = self.modules.get(&child) {
                        module
                    } else {
                        let rest = &segments[position + 1..];
                        return self.item(current, name, rest, depth);
                    }
                }
            };
            current = next;
        }
        Some(Found { module: current.path.clone(), is_module: true })
    }

    /// An item by its name in a module, which may have it from elsewhere.
    fn item(&self, module: &Module, name: &str, rest: &[String], depth: usize) -> Option<Found> {
        let defined = || Some(Found { module: module.path.clone(), is_module: false });
        if module.items.contains(name) {
            return defined();
        }
        // Imports may refer to each other in a circle through globs.
        if depth > 8 {
            return None;
        }
        for import in &module.imports {
            let mut target = import.target.clone();
            if import.name == "*" {
                target.pop();
                target.push(name.to_owned());
            } else if import.name != name {
                continue;
            }
            target.extend_from_slice(rest);
            if let Some(found) = self.resolve(module, &target, depth + 1) {
                return Some(found);
            }
        }
        None
    }
}

struct Found {
    module: String,
    /// Whether the path ends at the module itself.
    is_module: bool,
}

/// The strongly connected sets of more than one node.
pub fn cycles(arrows: &BTreeMap<String, BTreeSet<String>>) -> Vec<BTreeSet<String>> {
    let reach: BTreeMap<_, _> = arrows.keys().map(|node| (node, reachable(arrows, node))).collect();
    let mut found: Vec<BTreeSet<String>> = Vec::new();
    for (node, others) in &reach {
        let back = |other: &&String| reach.get(*other).is_some_and(|far| far.contains(*node));
        let cycle: BTreeSet<_> = others.iter().filter(back).cloned().collect();
        if cycle.len() > 1 && !found.contains(&cycle) {
            found.push(cycle);
        }
    }
    found
}

fn reachable(arrows: &BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(node) = open.pop() {
        for next in arrows.get(node).into_iter().flatten() {
            if reached.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    reached
}

/// Returns whether the module is the other one, or lies below it.
pub fn is_below(module: &str, other: &str) -> bool {
    other.is_empty()
        || module.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn parent(path: &str) -> Option<&str> {
    (!path.is_empty()).then(|| path.rsplit_once("::").map_or("", |(parent, _)| parent))
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}::{name}") }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a source folder can be read") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(files: &[(&str, &str)], module: &str) -> Vec<String> {
        let files = [("lib.rs", "mod a; mod c;")]
            .iter()
            .chain(files)
            .map(|(file, text)| (PathBuf::from(file), (*text).to_owned()));
        let library = Crate::new(files);
        library.named_by(&library.modules[module]).into_iter().collect()
    }

    const FACADE: (&str, &str) = ("a.rs", "mod b;\npub use b::Item;\npub fn own() {}");
    const BELOW: (&str, &str) = ("a/b.rs", "pub struct Item;");

    #[test]
    fn a_name_leads_to_the_file_that_defines_it() {
        let files = [FACADE, BELOW, ("c.rs", "use crate::a::{self, Item as Other};")];
        assert_eq!(named(&files, "c"), ["a::b"]);
        let files = [FACADE, BELOW, ("c.rs", "use crate::a;\nfn f() { a::own(); }")];
        assert_eq!(named(&files, "c"), ["a"]);
    }

    #[test]
    fn a_facade_names_nothing_and_its_own_code_does() {
        assert!(named(&[FACADE, BELOW], "a").is_empty());
        let used = ("a.rs", "mod b;\nfn f(_: b::Item) {}");
        assert_eq!(named(&[used, BELOW], "a"), ["a::b"]);
        let back = ("a/b.rs", "pub struct Item;\nfn f() { super::own() }");
        assert_eq!(named(&[FACADE, back], "a::b"), ["a"]);
    }

    #[test]
    fn a_name_behind_a_glob_leads_on() {
        let glob = ("a.rs", "mod b;\npub use b::*;");
        assert_eq!(named(&[glob, BELOW, ("c.rs", "fn f(_: crate::a::Item) {}")], "c"), ["a::b"]);
    }

    #[test]
    fn comments_literals_and_tests_name_nothing() {
        let text = r##"
            // crate::a::own
            /* crate::a::own /* */ crate::a::own */
            const TEXT: &str = "crate::a::own \" crate::a::own";
            const RAW: &str = r#"crate::a::own" crate::a::own"#;
            fn f<'a>(_: &'a str) -> char { '"' }
            #[cfg(test)]
            mod tests { fn f() { crate::a::own() } }
        "##;
        assert!(named(&[FACADE, BELOW, ("c.rs", text)], "c").is_empty());
    }

    #[test]
    fn a_method_of_another_file_is_an_arrow() {
        let files = [
            ("a.rs", "pub struct A; impl A { fn one(&self) { self.two() } }"),
            ("a/b.rs", "use super::A; impl A { pub fn two(&self) { self.two() } }"),
        ];
        let files = files.map(|(file, text)| (PathBuf::from(file), text.to_owned()));
        let library = Crate::new(files);
        let called = |module| library.called_by(&library.modules[module]);
        assert_eq!(called("a"), BTreeSet::from(["a::b".to_owned()]));
        assert!(called("a::b").is_empty());
    }

    #[test]
    fn a_cycle_has_all_that_reach_each_other() {
        let arrows = [("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")];
        let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, to) in arrows {
            graph.entry(from.to_owned()).or_default().insert(to.to_owned());
        }
        assert_eq!(cycles(&graph), [BTreeSet::from(["a", "b", "c"].map(str::to_owned))]);
    }
}
