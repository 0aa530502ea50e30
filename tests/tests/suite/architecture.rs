//! The arrows of `docs/design/architecture.md` are those of the code: which room names which, and none of them back.
//!
//! The page has a fenced block named `arrows`. A line `call -> core::jobs, core::store` lists the rooms that a room names; a
//! line `tools = core::clock, core::text` makes one room of several modules. A module without a line of its own belongs
//! to the room above it. `lib` is not a room: it is the list of what is public, and names all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use smart_async_tests::source::{Crate, Module, Token, cycles, is_below};

use super::rules::at_most;

type Arrows = BTreeMap<String, BTreeSet<String>>;

fn library() -> Crate {
    Crate::read("smart-async/src")
}

/// The rooms as the page has them.
#[derive(Debug, Default)]
struct Page {
    /// The modules of each room.
    rooms: BTreeMap<String, Vec<String>>,
    arrows: Arrows,
}

impl Page {
    fn read() -> Self {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/design/architecture.md");
        let text = fs::read_to_string(page).unwrap();
        let (_, block) = text.split_once("```arrows\n").expect("the page has a block `arrows`");
        let (block, _) = block.split_once("```").expect("the block ends");
        let mut page = Self::default();
        for line in block.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let list = |text: &str| text.split(',').map(|name| name.trim().to_owned()).collect();
            if let Some((room, modules)) = line.split_once('=') {
                page.rooms.insert(room.trim().to_owned(), list(modules));
            } else if let Some((from, to)) = line.split_once("->") {
                let named: Vec<String> = list(to);
                page.arrows.insert(from.trim().to_owned(), named.into_iter().collect());
            } else {
                page.arrows.insert(line.to_owned(), BTreeSet::new());
            }
        }
        let rooms: BTreeSet<_> =
            page.arrows.iter().flat_map(|(from, to)| to.iter().chain([from])).collect();
        for room in rooms {
            page.rooms.entry(room.clone()).or_insert_with(|| vec![room.clone()]);
        }
        page
    }

    /// The room of a module: the one that names the longest part of its path.
    fn room_of(&self, module: &str) -> String {
        let modules = self.rooms.iter().flat_map(|(room, modules)| {
            modules.iter().filter(|part| is_below(module, part)).map(move |part| (part.len(), room))
        });
        modules.max().map_or_else(|| module.to_owned(), |(_, room)| room.clone())
    }
}

/// The arrows between modules; `core`, `call` and `mcp` as modules hold code of their own too.
fn arrows(library: &Crate, and_methods: bool) -> Arrows {
    let arrows = library.modules.values().filter(|module| !module.path.is_empty()).map(|module| {
        let mut named = library.named_by(module);
        if and_methods {
            named.extend(library.called_by(module));
        }
        (module.path.clone(), named)
    });
    arrows.collect()
}

#[test]
fn the_arrows_on_the_page_are_those_of_the_code() {
    let page = Page::read();
    let mut found = Arrows::new();
    for (from, named) in arrows(&library(), false) {
        let from = page.room_of(&from);
        let to = named.iter().map(|to| page.room_of(to)).filter(|to| *to != from);
        found.entry(from.clone()).or_default().extend(to.collect::<Vec<_>>());
    }
    let lines = |arrows: &Arrows| -> BTreeSet<String> {
        let pairs =
            arrows.iter().flat_map(|(from, to)| to.iter().map(move |to| format!("{from} -> {to}")));
        pairs.collect()
    };
    let (found_lines, listed) = (lines(&found), lines(&page.arrows));
    let missing: Vec<_> = found_lines.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&found_lines).collect();
    let block: Vec<_> = found
        .iter()
        .map(|(from, to)| match to.iter().cloned().collect::<Vec<_>>().join(", ") {
            none if none.is_empty() => from.clone(),
            to => format!("{from} -> {to}"),
        })
        .collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "not on the page: {missing:#?}\non the page, and not in the code: {gone:#?}\nthe code has:\n{}",
        block.join("\n")
    );
}

#[test]
fn rooms_name_each_other_one_way_only() {
    let found = cycles(&Page::read().arrows);
    at_most(0, "rooms in a cycle", found.into_iter().flatten());
}

#[test]
fn the_files_of_core_name_each_other_one_way_only() {
    let mut arrows = arrows(&library(), true);
    arrows.retain(|module, _| is_below(module, "core"));
    let cycles = cycles(&arrows);
    let within = |from: &str, to: &str| {
        cycles.iter().any(|cycle| cycle.contains(from) && cycle.contains(to))
    };
    let found = arrows.iter().flat_map(|(from, named)| named.iter().map(move |to| (from, to)));
    let found = found.filter(|(from, to)| within(from, to));
    at_most(
        0,
        "arrows between files of core that are in a cycle",
        found.map(|(from, to)| format!("{from} -> {to}")),
    );
}

#[test]
fn core_names_neither_the_sdk_nor_the_rooms_above_it() {
    let library = library();
    let names = |module: &Module| {
        let sdk = module.tokens.iter().any(|token: &Token| token.is("rmcp"));
        let above = library
            .named_by(module)
            .iter()
            .any(|named| !is_below(named, "core") && !named.is_empty());
        sdk || above
    };
    let found =
        library.modules.values().filter(|module| is_below(&module.path, "core") && names(module));
    at_most(0, "core names what is above it", found.map(|module| module.path.clone()));
}
