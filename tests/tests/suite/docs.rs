//! The documentation against the code: its tables name everything that the code has and nothing else, its links lead
//! somewhere, and it stays short.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use smart_async::job_tools;

/// Returns the root of the repository.
pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

pub(super) fn read(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the rows of the first table below a heading, each as its cells, without the head of the table.
fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let text = read(page);
    let mut lines = text.lines().skip_while(|line| line.trim_start_matches('#').trim() != heading);
    assert!(lines.next().is_some(), "{page} has no heading {heading:?}");
    let rows = lines.take_while(|line| !line.starts_with('#'));
    let rows =
        rows.skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| {
        let row = row.trim_matches('|').replace("\\|", "\u{1}");
        row.split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect()
    };
    rows.skip(2).map(cells).collect()
}

/// Returns the words in backticks of the first column of a table.
fn names(page: &str, heading: &str) -> Vec<String> {
    let rows = table(page, heading);
    rows.iter().flat_map(|row| quoted(&row[0], '`')).collect()
}

/// Returns what stands between pairs of a quote character.
fn quoted(text: &str, quote: char) -> Vec<String> {
    text.split(quote).skip(1).step_by(2).map(str::to_owned).collect()
}

/// Returns the part of a source file from a line that contains `begin` to the next line that is exactly `end`.
fn part(path: &str, begin: &str, end: &str) -> String {
    let text = read(path);
    let mut lines = text.lines().skip_while(|line| !line.contains(begin)).peekable();
    assert!(lines.peek().is_some(), "{path} has no line with {begin:?}");
    lines.take_while(|line| *line != end).collect::<Vec<_>>().join("\n")
}

/// Returns every file with this extension in a folder of the repository and below it.
pub(super) fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    fn add(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                add(&path, extension, found);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    add(&root().join(folder), extension, &mut found);
    found
}

/// Returns every page of the documentation.
pub(super) fn pages() -> Vec<PathBuf> {
    files("docs", "md")
}

/// Returns the text without its fenced blocks.
fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

/// Returns the targets of the links of a page that lead to other files.
fn links(text: &str) -> Vec<String> {
    let text = prose(text);
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    let targets = targets.map(|(target, _)| target).filter(|target| !target.contains("://"));
    targets.map(str::to_owned).collect()
}

/// Returns the anchor that a heading gets on the web.
fn anchor(heading: &str) -> String {
    let heading = heading.trim().to_lowercase();
    let letters = heading.chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        letter if letter.is_alphanumeric() || letter == '-' || letter == '_' => Some(letter),
        _ => None,
    });
    letters.collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    let others = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"].map(|name| root().join(name));
    for page in pages().into_iter().chain(others).filter(|page| page.exists()) {
        let text = fs::read_to_string(&page).unwrap();
        for link in links(&text) {
            let (path, heading) = link.split_once('#').unwrap_or((&link, ""));
            let target =
                if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            let is_there = target.exists();
            let has_heading = heading.is_empty()
                || fs::read_to_string(&target).is_ok_and(|text| {
                    let text = prose(&text);
                    let mut headings = text.lines().filter(|line| line.starts_with('#'));
                    headings.any(|line| anchor(line.trim_start_matches('#')) == heading)
                });
            if !is_there || !has_heading {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_page_is_linked_from_the_index() {
    let folder = root().join("docs");
    let index = links(&read("docs/README.md"));
    for page in pages() {
        let name = page.strip_prefix(&folder).unwrap().to_str().unwrap();
        assert!(name == "README.md" || index.iter().any(|link| link == name), "{name}");
    }
}

#[test]
fn the_documentation_stays_short() {
    // A word has a letter or a digit: the bars of a table are none.
    let words = |page: &PathBuf| {
        let text = fs::read_to_string(page).unwrap();
        let words = text.split_whitespace().filter(|word| word.contains(char::is_alphanumeric));
        words.count()
    };
    let total: usize = pages().iter().map(words).sum();
    assert!(total < 18_000, "the pages have {total} words");
    let lines = read("README.md").lines().count();
    assert!(lines < 150, "the README has {lines} lines");
}

#[test]
fn the_small_examples_stay_under_a_hundred_lines() {
    for name in ["quickstart", "progress_and_cancel", "questions", "http_scopes", "custom_store"] {
        let lines = read(&format!("examples/src/bin/{name}.rs")).lines().count();
        assert!(lines < 100, "{name} has {lines} lines");
    }
}

#[test]
fn the_environment_variables_are_those_of_the_code() {
    let source = read("smart-async/src/core/env_vars.rs");
    let constants = source.lines().filter(|line| line.contains("const ") && line.contains("&str"));
    let code: BTreeSet<_> = constants.flat_map(|line| quoted(line, '"')).collect();
    let mut page: BTreeSet<_> =
        names("docs/reference/configuration.md", "Environment variables").into_iter().collect();
    assert!(page.remove("timeout_env"));
    assert_eq!(page, code);
}

#[test]
fn the_keys_of_the_attribute_are_those_of_the_code() {
    let source = part("smart-async-macros/src/args.rs", "const KEYS", "];");
    let rows = source.lines().filter(|line| line.contains("Key::"));
    let code: Vec<_> = rows.map(|line| quoted(line, '"')[0].clone()).collect();
    assert_eq!(names("docs/reference/configuration.md", "Keys of the attribute"), code);
}

/// Returns the number that a text begins with, in seconds.
fn seconds(text: &str) -> f64 {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let number: f64 = number.parse().unwrap_or_else(|_| panic!("{text:?} begins with no number"));
    number * if unit.trim_start().starts_with("min") { 60.0 } else { 1.0 }
}

#[test]
fn the_hosts_and_their_limits_are_those_of_the_code() {
    let source = part("smart-async/src/mcp/client/host_timeouts.rs", "const KNOWN", "];");
    let entries = source.lines().filter(|line| line.trim_start().starts_with("host"));
    let code = entries.map(|line| {
        let name = quoted(line, '"')[0].clone();
        let figures = line.rsplit_once('"').unwrap().1.trim_matches(|c| ", )".contains(c));
        let figures: Vec<_> = figures.split(", ").map(seconds).collect();
        let name = if line.contains("host_ending") { format!("…{name}") } else { name };
        (name, figures)
    });
    let mut code: Vec<_> = code.collect();
    let rows = table("docs/reference/configuration.md", "Host time-outs");
    let mut page = Vec::new();
    for row in rows {
        let limit = seconds(&row[2]);
        assert!((seconds(&row[3]) - limit * 2.0 / 3.0).abs() < 0.1, "the budget of {}", row[0]);
        assert!((seconds(&row[4]) - (limit - 5.0)).abs() < 0.1, "the wait of {}", row[0]);
        let longer = row[4].split_once("; with progress ").map(|(_, longer)| {
            let (stdio, http) = longer.split_once(", over HTTP ").unwrap_or((longer, longer));
            [seconds(stdio), seconds(http)]
        });
        for name in quoted(&row[1], '`') {
            page.push((name, [limit].into_iter().chain(longer.into_iter().flatten()).collect()));
        }
    }
    let by_name = |rows: &mut Vec<(String, Vec<f64>)>| rows.sort_by(|one, two| one.0.cmp(&two.0));
    by_name(&mut code);
    by_name(&mut page);
    assert_eq!(page, code);
}

#[test]
fn the_job_tools_and_their_arguments_are_those_of_the_code() {
    #[derive(Clone)]
    struct Server;
    for tool in job_tools::<Server>().list_all() {
        let heading = format!("`{}`", tool.name);
        let page: BTreeSet<_> =
            names("docs/reference/job-tools.md", &heading).into_iter().collect();
        let properties = tool.input_schema["properties"].as_object().unwrap();
        assert_eq!(page, properties.keys().cloned().collect(), "{}", tool.name);
    }
}

/// Returns the names that a function `as_str` of an enum gives.
fn spelled(path: &str, owner: &str) -> Vec<String> {
    let source = part(path, owner, "}");
    let function = source.split_once("fn as_str").unwrap().1;
    let arms = function.lines().filter(|line| line.contains("=> \""));
    arms.map(|line| quoted(line, '"')[0].clone()).collect()
}

#[test]
fn the_kinds_of_errors_are_those_of_the_code() {
    let jobs = spelled("smart-async/src/core/job/failure.rs", "impl FailureKind {");
    assert_eq!(names("docs/reference/errors.md", "A job that failed"), jobs);
    let calls = spelled("smart-async/src/call/errors.rs", "impl CallErrorKind {");
    assert_eq!(names("docs/reference/errors.md", "A call without result or job"), calls);
}

#[test]
fn the_fields_of_a_record_are_those_of_the_code() {
    let source = part("smart-async/src/core/job/document.rs", "struct JobDocument", "}");
    let fields = source.lines().filter_map(|line| line.trim().split_once(": "));
    let fields = fields
        .map(|(name, _)| name)
        .filter(|name| name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_'));
    let code: BTreeSet<_> = fields.filter(|name| *name != "unknown_fields").collect();
    let page = names("docs/reference/jobs-json.md", "Fields of a record");
    assert_eq!(page.iter().map(String::as_str).collect::<BTreeSet<_>>(), code);
}

#[test]
fn the_table_of_events_is_that_of_the_code() {
    let states = ["pending", "running", "input_required"];
    let mut page = BTreeSet::new();
    for row in table("docs/design/state-machine.md", "Events") {
        for (state, cell) in states.iter().zip(&row[1..]) {
            let to = if cell == "–" { "refused" } else { cell };
            page.insert(format!("{state} {} {to}", quoted(&row[0], '`')[0]));
        }
    }
    let snapshot = read(
        "smart-async/src/core/job/snapshots/smart_async__core__job__transition__tests__\
         every_event_in_every_state_does_what_the_table_says.snap",
    );
    let rows = snapshot.rsplit_once("---").unwrap().1.lines();
    let rows = rows.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let (live, ended): (BTreeSet<_>, BTreeSet<_>) = rows
        .filter(|row| !row.is_empty())
        .partition(|row| states.iter().any(|state| row.starts_with(&format!("{state} "))));
    assert_eq!(page, live);
    assert!(ended.iter().all(|row| row.ends_with(" refused")), "{ended:?}");
}
