//! The snippets of the documentation: Rust is compiled by the tests of `smart-async-examples`, nothing of it prints to stdout,
//! JSON is JSON, and commands name programs, tests, flags and variables that exist.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::docs::{files, pages, read, root};

/// A fenced block of a page.
struct Block {
    page: String,
    language: String,
    text: String,
}

/// Returns the pages of the documentation, the README and the contributor's page, relative to the root.
fn all_pages() -> Vec<String> {
    let root = root();
    let relative = |page: PathBuf| page.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
    let others = ["README.md", "CONTRIBUTING.md"].map(str::to_owned);
    pages().into_iter().map(relative).chain(others).collect()
}

/// Returns the fenced blocks of all pages.
fn blocks() -> Vec<Block> {
    let mut found = Vec::new();
    for page in all_pages() {
        let text = read(&page);
        let mut open: Option<Block> = None;
        for line in text.lines() {
            match (line.trim_start().strip_prefix("```"), &mut open) {
                (Some(language), None) => {
                    let language = language.to_owned();
                    open = Some(Block { page: page.clone(), language, text: String::new() });
                }
                (Some(_), Some(_)) => found.extend(open.take()),
                (None, Some(block)) => block.text.extend([line, "\n"]),
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{page}: a block is not closed");
    }
    assert!(found.len() > 20, "only {} blocks were found", found.len());
    found
}

fn is_rust(block: &Block) -> bool {
    block.language.starts_with("rust")
}

#[test]
fn every_rust_block_is_compiled_and_run_where_it_can_run() {
    let compiled = read("examples/src/lib.rs");
    for block in blocks().iter().filter(|block| is_rust(block)) {
        let Block { page, text, .. } = block;
        assert!(compiled.contains(&format!("\"../../{page}\"")), "{page} is no doctest");
        match block.language.as_str() {
            // The compiler leaves tests out of an example of the documentation.
            "rust" => assert!(!text.contains("::test") || is_in("examples/tests", text), "{page}"),
            // A server would wait for its client, over the user's own folder.
            "rust,no_run" => {
                let is_run = text.contains("serve(stdio())") || is_in("examples/src/bin", text);
                assert!(is_run, "{page} is not run:\n{text}");
            }
            other => panic!("{page}: a block says {other}, and is not compiled"),
        }
    }
}

/// Returns whether a file of this folder, which is compiled and tested, has this text.
fn is_in(folder: &str, text: &str) -> bool {
    files(folder, "rs").iter().any(|path| fs::read_to_string(path).unwrap().contains(text))
}

#[test]
fn functions_that_run_programs_are_those_that_a_test_has_tried() {
    let page = "docs/guide/migrating.md";
    let blocks = blocks().into_iter().filter(|block| block.page == page);
    let tried = blocks.filter(|block| block.text.contains("process::"));
    let tried: Vec<_> = tried.map(|block| is_in("examples/tests", &block.text)).collect();
    assert_eq!(tried, [true]);
}

/// Rustdoc hides such lines, but a reader of the page sees them.
#[test]
fn no_rust_block_has_lines_that_only_rustdoc_hides() {
    for block in blocks().iter().filter(|block| is_rust(block)) {
        let hidden = block.text.lines().find(|line| *line == "#" || line.starts_with("# "));
        assert_eq!(hidden, None, "{}", block.page);
    }
}

#[test]
fn every_block_says_what_it_is() {
    let known = ["rust", "rust,no_run", "diff", "json", "toml", "sh", "console", "text", "arrows"];
    for Block { page, language, text } in blocks() {
        assert!(known.contains(&language.as_str()), "{page}: {language:?}:\n{text}");
    }
}

/// stdout belongs to the protocol of a server over stdio. Clippy holds the same for the code.
#[test]
fn no_snippet_prints_to_stdout() {
    let prints = |text: &str| ["println!", "print!"].iter().any(|print| has_call(text, print));
    for block in blocks() {
        let is_code = is_rust(&block) || block.language == "diff";
        assert!(!is_code || !prints(&block.text), "{}:\n{}", block.page, block.text);
    }
    for folder in ["smart-async/src", "smart-async-macros/src", "examples/src"] {
        for path in files(folder, "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let docs = text.lines().map(str::trim_start).filter(|line| line.starts_with("//"));
            for line in docs {
                assert!(!prints(line), "{}: {line}", path.display());
            }
        }
    }
}

/// Returns whether the text calls this macro itself, and not one whose name ends like it.
fn has_call(text: &str, call: &str) -> bool {
    text.match_indices(call).any(|(at, _)| !text[..at].ends_with(char::is_alphabetic))
}

#[test]
fn json_blocks_are_json() {
    let mut values = 0;
    for Block { page, text, .. } in blocks().iter().filter(|block| block.language == "json") {
        for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
            value.unwrap_or_else(|error| panic!("{page}: {error}:\n{text}"));
            values += 1;
        }
    }
    assert!(values > 10, "only {values} values were found");
}

/// Returns what stands in backticks in the prose of a page.
fn inline_code(text: &str) -> Vec<String> {
    let prose: String = text.split("```").step_by(2).collect();
    prose.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Returns the commands of all pages: of blocks of the shell, and in the prose.
fn commands() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for Block { page, language, text } in blocks() {
        if language == "sh" || language == "console" {
            let lines = text.lines().map(|line| line.split(" #").next().unwrap_or(line).trim());
            found.extend(lines.map(|line| (page.clone(), line.to_owned())));
        }
    }
    for page in all_pages() {
        let inline = inline_code(&read(&page)).into_iter();
        let inline = inline.filter(|code| code.starts_with("cargo ") || code.starts_with(".ci/"));
        found.extend(inline.map(|code| (page.clone(), code)));
    }
    assert!(found.len() > 10, "only {} commands were found", found.len());
    found
}

/// Returns all Rust files below a folder as one text.
fn code_of(folder: &str) -> String {
    files(folder, "rs").iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn commands_name_programs_tests_and_flags_that_exist() {
    let examples = code_of("examples/src");
    let manifest = read("Cargo.toml");
    let exists = |path: String| root().join(path).exists();
    for (page, command) in commands() {
        let said = format!("{page}: {command}");
        let words: Vec<_> = command.split_whitespace().collect();
        for pair in words.windows(2) {
            // A name in capitals stands for any name.
            let stands_for_any = pair[1].chars().all(|letter| !letter.is_lowercase());
            let is_there = match pair[0] {
                "-p" => manifest.contains(pair[1].strip_prefix("smart-async-").unwrap_or(pair[1])),
                "--bin" => exists(format!("examples/src/bin/{}.rs", pair[1])),
                "--test" => {
                    stands_for_any
                        || exists(format!("tests/tests/{}.rs", pair[1]))
                        || exists(format!("tests/tests/{}/main.rs", pair[1]))
                }
                _ => true,
            };
            assert!(is_there, "{said}: there is no {}", pair[1]);
        }
        if let Some(script) = words.first().filter(|word| word.starts_with(".ci/")) {
            let script = read(script);
            for word in words[1..].iter().filter(|word| word.contains(char::is_lowercase)) {
                assert!(script.contains(word), "{said}: the script does not know {word}");
            }
        }
        if command.contains("cargo run -p smart-async-examples") {
            let after = words.iter().skip_while(|word| **word != "--").skip(1);
            for word in after.filter(|word| !word.contains('.')) {
                assert!(examples.contains(&format!("\"{word}\"")), "{said}: {word}");
            }
        }
    }
}

#[test]
fn variables_on_the_pages_are_those_of_the_code() {
    let folders = ["smart-async/src", "tests/src", "tests/tests", "examples/src"];
    let mut code: String = folders.iter().map(|folder| code_of(folder)).collect();
    for script in fs::read_dir(root().join(".ci")).unwrap() {
        code += &fs::read_to_string(script.unwrap().path()).unwrap();
    }
    let is_name = |letter: char| letter.is_ascii_uppercase() || letter == '_';
    for page in all_pages() {
        let text = read(&page);
        for word in text.split(|letter| !is_name(letter)) {
            let is_ours = ["SMART_ASYNC_", "JOB_", "DEMO_"].iter().any(|own| word.starts_with(own));
            assert!(!is_ours || code.contains(word), "{page}: {word}");
        }
    }
}

/// Returns the version that a line of a manifest requires of a dependency.
fn required(manifest: &str, name: &str) -> Option<String> {
    let line = manifest.lines().find(|line| line.starts_with(&format!("{name} = ")))?;
    line.split('"')
        .find(|part| part.starts_with(|first: char| first.is_ascii_digit()))
        .map(str::to_owned)
}

#[test]
fn the_versions_of_the_pages_are_those_that_cargo_requires() {
    let (readme, manifest) = (read("README.md"), read("Cargo.toml"));
    let rmcp = required(&manifest, "rmcp").unwrap();
    let major = rmcp.split('.').next().unwrap();
    let words = format!("`rmcp` {rmcp} or later {major}.x");
    assert!(readme.contains(&words), "the README does not say {words:?}");
    let blocks = blocks().into_iter().filter(|block| block.text.contains("dependencies]"));
    let blocks: Vec<_> = blocks.collect();
    assert_eq!(blocks.len(), 3, "the README, and the pages on HTTP and on tests");
    for Block { page, text, .. } in blocks {
        for line in text.lines().filter(|line| line.contains(" = ") && !line.contains("path")) {
            let name = line.split(' ').next().unwrap();
            let (ours, theirs) =
                (required(&text, name).unwrap(), required(&manifest, name).unwrap());
            let is_same = theirs == ours || theirs.starts_with(&format!("{ours}."));
            assert!(is_same, "{page}, {name}: {theirs}");
        }
    }
    let rust = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap();
    assert!(readme.contains(&format!("Rust {} or later", rust.trim_matches('"'))), "Rust {rust}");
}

/// A reader who looks for the file in the folder's root does not find it.
#[test]
fn the_view_is_named_with_its_folder() {
    let is_bare =
        |line: &str| line.match_indices("jobs.json").any(|(at, _)| !line[..at].ends_with("meta/"));
    // Other libraries' files of that name are measured too.
    for page in all_pages().into_iter().filter(|page| page != "docs/figures.md") {
        for line in read(&page).lines() {
            assert!(!is_bare(line), "{page}: {line}");
        }
    }
    for path in files("smart-async/src", "rs") {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("\n#[cfg(test)]\nmod tests").next().unwrap();
        let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in code.filter(|line| !line.contains("join(\"jobs.json\")")) {
            assert!(!is_bare(line), "{}: {line}", path.display());
        }
    }
}

#[test]
fn the_audit_names_tests_and_files_that_exist() {
    let tests = ["tests/tests", "examples/tests"].map(code_of).concat();
    let page = read("docs/design/security.md");
    let (mut proofs, mut places) = (0, 0);
    for code in inline_code(&page) {
        let is_path = code.contains('/') && code.starts_with(['c', 'm']);
        if is_path && !code.starts_with("meta/") {
            assert!(root().join("smart-async/src").join(&code).exists(), "{code}");
            places += 1;
        } else if code.matches('_').count() > 3 {
            assert!(tests.contains(&format!("fn {code}(")), "there is no test {code}");
            proofs += 1;
        }
    }
    assert!(proofs > 20 && places > 10, "{proofs} tests, {places} files");
}
