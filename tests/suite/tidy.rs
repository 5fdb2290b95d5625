//! The structure of the repository, held by tests: who may call whom, where SQL stands, which words stand where, and what
//! no committed file holds. CONTRIBUTING.md has the rules in words.

use crate::support::process::{bare, finish};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Longest source file, in lines.
const LINES_MAX: usize = 800;

/// Tables whose keys begin with the root account.
const TENANT_TABLES: [&str; 46] = [
    "contact",
    "contact_word",
    "contact_group",
    "membership",
    "leaving",
    "signing_key",
    "tally",
    "balance",
    "transfer",
    "rate",
    "messaging",
    "message",
    "recipient",
    "expansion",
    "schedule",
    "callback",
    "idempotency",
    "opt_out",
    "person",
    "client",
    "business",
    "sharing",
    "channel",
    "template",
    "event",
    "spent_signature",
    "channel_rate",
    "channel_usage",
    "channel_message",
    "channel_media",
    "smpp_waiting",
    "rollup",
    "report_result",
    "erasure",
    "erased",
    "opt_in",
    "audit",
    "second_factor",
    "allowance",
    "ceiling",
    "country_count",
    "carried",
    "departed",
    "alert",
    "crossing",
    "recovery_code",
];

/// The vendors' words, in lower case. They stay in `wire`.
const VENDOR_WORDS: [&str; 9] = [
    "messagebird",
    "360dialog",
    "dialog360",
    "d360",
    "whatsapp",
    "waba",
    "accesskey",
    "x-api-key",
    "_method",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text_of(file: &str) -> String {
    let bytes = std::fs::read(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    String::from_utf8(bytes).unwrap_or_else(|_| panic!("{file} is not text in UTF-8"))
}

/// Every file that is committed or would be.
fn files() -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git runs");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let all = String::from_utf8(listed.stdout).expect("names");
    let files: BTreeSet<String> =
        all.lines().filter(|name| root().join(name).is_file()).map(str::to_owned).collect();
    assert!(files.contains("Cargo.toml") && files.len() > 80, "{files:?}");
    files.into_iter().collect()
}

/// Every Rust file.
pub fn sources() -> Vec<String> {
    files().into_iter().filter(|file| Path::new(file).extension().is_some_and(|end| end == "rs")).collect()
}

fn under(folder: &str) -> Vec<String> {
    let found: Vec<String> = sources().into_iter().filter(|file| file.starts_with(folder)).collect();
    assert!(!found.is_empty(), "{folder} has no sources");
    found
}

/// A Rust file without its comments.
pub fn code_of(file: &str) -> String {
    without_comments(&text_of(file))
}

/// Takes out comments, with regard to texts and characters, in which `//` begins none.
fn without_comments(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let mut code = String::with_capacity(source.len());
    let mut here = 0;
    while here < chars.len() {
        let end = match (at(here), at(here + 1)) {
            ('/', '/') => {
                while here < chars.len() && at(here) != '\n' {
                    here += 1;
                }
                continue;
            }
            ('/', '*') => {
                here += 2;
                while here < chars.len() && (at(here), at(here + 1)) != ('*', '/') {
                    here += 1;
                }
                here += 2;
                continue;
            }
            ('"', _) => quoted(&chars, here, '"'),
            ('\'', '\\') => quoted(&chars, here, '\''),
            ('\'', _) if at(here + 2) == '\'' => here + 3,
            ('r', '"' | '#') if !at(here.wrapping_sub(1)).is_alphanumeric() => raw(&chars, here),
            _ => here + 1,
        };
        code.extend(&chars[here..end.min(chars.len())]);
        here = end;
    }
    code
}

/// Where a text or character that begins here ends.
fn quoted(chars: &[char], begin: usize, quote: char) -> usize {
    let mut here = begin + 1;
    while here < chars.len() && chars[here] != quote {
        here += if chars[here] == '\\' { 2 } else { 1 };
    }
    here + 1
}

/// Where a raw text that begins here ends; a raw identifier is one letter long for this purpose.
fn raw(chars: &[char], begin: usize) -> usize {
    let hashes = chars[begin + 1..].iter().take_while(|char| **char == '#').count();
    if chars.get(begin + 1 + hashes) != Some(&'"') {
        return begin + 1;
    }
    let close: String = format!("\"{}", "#".repeat(hashes));
    let rest: String = chars[begin + 2 + hashes..].iter().collect();
    let length =
        rest.find(&close).map_or(rest.chars().count(), |at| rest[..at].chars().count() + close.len());
    begin + 2 + hashes + length
}

#[test]
fn comments_are_told_from_code() {
    let source = "a // b\n\"c // d \\\" e\" '\"' // f\n'\\'' /* g */ h<'i> r#\"j // \"k\"# l";
    assert_eq!(without_comments(source), "a \n\"c // d \\\" e\" '\"' \n'\\''  h<'i> r#\"j // \"k\"# l");
}

/// Whether code reaches a module of this crate, by a path or by a list of imports.
fn reaches(code: &str, module: &str) -> bool {
    let path = format!("crate::{module}");
    let word_ends = |rest: &str| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_');
    let named = code.match_indices(&path).any(|(at, _)| word_ends(&code[at + path.len()..]));
    let listed = code.split("crate::{").skip(1).any(|list| {
        let list = list.split(';').next().unwrap_or_default();
        list.split(|next: char| !(next.is_alphanumeric() || next == '_')).any(|word| word == module)
    });
    named || listed
}

#[test]
fn core_calls_nobody_and_wire_and_run_never_see_each_other() {
    assert!(reaches("use crate::{core::x, wire::y};", "wire") && reaches("crate::run::z", "run"));
    assert!(!reaches("crate::runner", "run") && !reaches("use crate::{a}; run()", "run"));
    for (folder, strangers) in [
        ("src/core/", &["wire", "run", "cli", "serve", "listen", "settings", "installation"][..]),
        ("src/wire/", &["run", "cli", "serve", "listen", "settings", "installation"][..]),
        ("src/run/", &["wire", "cli", "serve", "listen", "settings", "installation"][..]),
    ] {
        for file in under(folder) {
            let code = code_of(&file);
            for stranger in strangers {
                assert!(!reaches(&code, stranger), "{file} reaches crate::{stranger}");
            }
            // A path that climbs out of the folder would get around this test.
            let depth = file.matches('/').count() - 1;
            let climbing = vec!["super"; depth + 1].join("::");
            assert!(!code.contains(&climbing), "{file} climbs out of {folder}");
        }
    }
}

#[test]
fn core_knows_nothing_of_http_or_json() {
    for file in under("src/core/") {
        let code = code_of(&file);
        for stranger in ["axum", "http::", "hyper", "tower", "serde", "utoipa", "clap", "toml::"] {
            assert!(!code.contains(stranger), "{file} uses {stranger}");
        }
    }
    for file in under("crates/store/src/") {
        let code = code_of(&file);
        assert!(
            !code.contains("rookery") && !code.contains("axum"),
            "{file}: the store knows nothing of the product"
        );
    }
}

#[test]
fn core_has_no_vendors_words() {
    for file in under("src/core/") {
        let code = code_of(&file).to_lowercase();
        for word in VENDOR_WORDS {
            assert!(!code.contains(word), "{file} says {word}");
        }
    }
}

#[test]
fn sql_stands_beside_its_noun() {
    for file in under("src/") {
        let allowed = file.starts_with("src/core/") || file == "src/installation.rs";
        assert!(allowed || !code_of(&file).contains("sql!"), "{file} has SQL");
    }
}

/// The comment lines of the function around a line, its documentation included.
fn comments_around(source: &str, line: usize) -> Vec<String> {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let is_comment = |at: usize| lines[at].starts_with("//") || lines[at].starts_with("#[");
    let begins = (0..line).rev().find(|at| {
        let words = lines[*at].split(" fn ").next().unwrap_or_default();
        lines[*at].contains("fn ") && words.split(' ').all(|word| word.len() < 14) && !is_comment(*at)
    });
    let mut begin = begins.unwrap_or(0);
    while begin > 0 && is_comment(begin - 1) {
        begin -= 1;
    }
    let comments = (begin..line).filter(|at| is_comment(*at));
    comments.map(|at| lines[at].trim_start_matches('/').trim().to_owned()).collect()
}

#[test]
fn every_statement_on_tenants_data_begins_with_the_root_account() {
    let mut seen = BTreeSet::new();
    for sql in store::STATEMENTS.iter().filter(|sql| sql.at().starts_with("src/")) {
        let words = sql.text().split(|next: char| !(next.is_ascii_alphanumeric() || next == '_'));
        let tables: Vec<&str> = words.filter(|word| TENANT_TABLES.contains(word)).collect();
        if tables.is_empty() {
            continue;
        }
        seen.extend(tables);
        let inserts = sql.text().starts_with("INSERT INTO") && sql.text().contains("(root, ");
        if inserts || sql.text().contains("root = $") {
            continue;
        }
        let (file, line) = sql.at().split_once(':').expect("a place");
        let comments = comments_around(&text_of(file), line.parse().expect("a line"));
        assert!(
            comments.iter().any(|comment| comment.starts_with("All tenants:")),
            "{}: `root = $…` is missing, or a comment `All tenants: why`:\n{}",
            sql.at(),
            sql.text()
        );
    }
    assert_eq!(seen.len(), TENANT_TABLES.len(), "tables without a statement: {seen:?}");
}

#[test]
fn every_tenant_table_is_known_here() {
    let migrations: String =
        files().iter().filter(|file| file.starts_with("migrations/")).map(|file| text_of(file)).collect();
    let tables = migrations.split("CREATE TABLE ").skip(1).map(|table| {
        let columns = table.split_once(';').expect("an end").0;
        (table.split([' ', '(']).next().expect("a name"), columns.contains("PRIMARY KEY (root, "))
    });
    let keyed: BTreeSet<&str> = tables.filter(|(_, keyed)| *keyed).map(|(name, _)| name).collect();
    assert_eq!(keyed, BTreeSet::from(TENANT_TABLES));
}

#[test]
fn every_vendors_route_is_registered_with_its_description() {
    for folder in ["src/wire/messagebird/", "src/wire/d360/"] {
        for file in under(folder) {
            assert!(
                !code_of(&file).contains(".route("),
                "{file}: `routes!` puts a route into the OpenAPI document as well"
            );
        }
    }
}

#[test]
fn every_rust_file_says_what_it_is() {
    for file in sources() {
        assert!(text_of(&file).starts_with("//! "), "{file} does not begin with //!");
    }
}

/// What people read and change: sources and scripts.
fn programs() -> Vec<String> {
    let written = |file: &String| {
        let end = Path::new(file).extension().and_then(|end| end.to_str());
        let script = end.is_none() && text_of(file).starts_with("#!");
        matches!(end, Some("rs" | "js" | "py" | "sh" | "sql" | "toml")) || script
    };
    files().into_iter().filter(written).collect()
}

#[test]
fn no_file_is_too_long() {
    for file in programs() {
        let lines = text_of(&file).lines().count();
        assert!(lines <= LINES_MAX, "{file} has {lines} lines, {LINES_MAX} at most are wanted");
    }
}

#[test]
fn nothing_is_left_to_do_and_no_test_is_left_out() {
    let notes = [["TO", "DO"], ["FIX", "ME"], ["X", "XX"]].map(|pieces| pieces.concat());
    let holes = [["to", "do!("], ["unimple", "mented!("], ["#[ig", "nore"]].map(|pieces| pieces.concat());
    for file in programs() {
        let text = text_of(&file);
        let words: BTreeSet<&str> = text.split(|next: char| !next.is_alphanumeric()).collect();
        // XXX is what ISO 4217 calls no currency.
        let left = notes.iter().take(2).find(|word| words.contains(word.as_str()));
        assert!(left.is_none(), "{file}: {left:?}");
        let hole = holes.iter().find(|hole| text.contains(hole.as_str()));
        assert!(hole.is_none(), "{file}: {hole:?}");
    }
}

#[test]
fn no_file_names_a_registry_or_somebodys_machine() {
    let foreign = [
        ["registry.npm", "js.org"],
        ["files.python", "hosted.org"],
        ["static.cra", "tes.io"],
        ["index.cra", "tes.io"],
        ["proxy.gol", "ang.org"],
        ["deb.deb", "ian.org"],
        ["../sha", "red"],
        ["/wor", "k/"],
        ["/ro", "ot/"],
        ["/tmp/bash", "_jobs"],
    ]
    .map(|pieces| pieces.concat());
    for file in files() {
        let Ok(text) = std::fs::read_to_string(root().join(&file)) else { continue };
        for (number, line) in text.lines().enumerate() {
            let found = foreign.iter().find(|word| names(line, word));
            assert!(found.is_none(), "{file}:{}: {}", number + 1, found.map_or("", String::as_str));
        }
    }
}

/// Whether a line has the text, not as the end of a longer path.
fn names(line: &str, text: &str) -> bool {
    let whole = |at: usize| {
        let before = line[..at].chars().next_back().unwrap_or(' ');
        !text.starts_with('/')
            || !(before.is_alphanumeric() || matches!(before, '.' | '-' | '_' | '}' | ')' | '*' | '>'))
    };
    line.match_indices(text).any(|(at, _)| whole(at))
}

#[test]
fn every_snapshot_belongs_to_a_test() {
    for file in files().iter().filter(|file| Path::new(file).extension().is_some_and(|end| end == "snap")) {
        let text = text_of(file);
        let source = text
            .lines()
            .find_map(|line| line.strip_prefix("source: "))
            .unwrap_or_else(|| panic!("{file} names no source"));
        assert!(root().join(source).is_file(), "{file} is of {source}, which is not there");
        let module = Path::new(source).file_stem().and_then(|stem| stem.to_str()).expect("a name");
        assert!(
            file.contains(&format!("__{module}__")) || file.contains(module),
            "{file} is not named after {source}"
        );
    }
    let left: Vec<String> = files().into_iter().filter(|file| file.ends_with(".snap.new")).collect();
    assert!(left.is_empty(), "snapshots that nobody has accepted: {left:?}");
}

fn pages() -> Vec<String> {
    files().into_iter().filter(|file| Path::new(file).extension().is_some_and(|end| end == "md")).collect()
}

/// The lines of a page with whether they stand in a code block, and that block's language.
fn lines_with_block(page: &str) -> Vec<(Option<&str>, &str)> {
    let mut block = None;
    let mut lines = Vec::new();
    for line in page.lines() {
        match (line.trim_start().strip_prefix("```"), block) {
            (Some(language), None) => block = Some(language.trim()),
            (Some(_), Some(_)) => block = None,
            (None, _) => lines.push((block, line)),
        }
    }
    lines
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    for page in pages() {
        let folder = root().join(&page);
        let folder = folder.parent().expect("a folder");
        let text = text_of(&page);
        for (_, line) in lines_with_block(&text).iter().filter(|(block, _)| block.is_none()) {
            for target in line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next()) {
                if target.contains("://") || target.starts_with(['#', '/']) || target.starts_with("mailto:") {
                    continue;
                }
                let path = target.split('#').next().expect("a path");
                assert!(folder.join(path).exists(), "{page}: {target} is not there");
            }
        }
    }
}

#[test]
fn pages_show_only_commands_and_options_that_exist() {
    let folder = tempfile::tempdir().expect("a folder");
    let help = |words: &[&str]| finish(bare(folder.path()).arg("help").args(words));
    let mut checked = 0;
    for page in pages().iter().filter(|page| !page.starts_with("docs/spec/")) {
        let text = text_of(page);
        let shell = lines_with_block(&text)
            .into_iter()
            .filter(|(block, _)| matches!(block, Some("sh" | "console" | "bash")));
        for (_, line) in shell {
            let line = line.trim().split(" #").next().unwrap_or_default();
            for part in line.split(['|', ';']).map(str::trim) {
                if let Some(script) = part.strip_prefix("./") {
                    let script = script.split(' ').next().expect("a name");
                    assert!(root().join(script).exists(), "{page}: {line}");
                }
                let Some((_, rest)) = part.split_once("rookery ").filter(|(before, _)| before.is_empty())
                else {
                    continue;
                };
                let words: Vec<&str> = rest.split_whitespace().collect();
                let is_word =
                    |word: &&&str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
                let command: Vec<&str> =
                    words.iter().take_while(is_word).filter(|word| !word.starts_with('-')).copied().collect();
                let known = (0..=command.len())
                    .rev()
                    .map(|count| help(&command[..count]))
                    .find(|done| done.status == Some(0));
                let known = known.expect("rookery help works").stdout;
                let group = known.contains("<COMMAND>");
                assert!(
                    !group || command.is_empty() && words.first().is_some_and(|word| word.starts_with('-')),
                    "{page}: {line}"
                );
                for option in words.iter().filter(|word| word.starts_with("--")) {
                    let option = option.split('=').next().expect("a name");
                    assert!(known.contains(option), "{page}: {option} is not known: {line}");
                }
                checked += 1;
            }
        }
    }
    assert!(checked >= 5, "only {checked} commands were found in the pages");
}

/// The packages of a lock file with their versions.
fn locked(path: &str) -> Vec<(String, String)> {
    let text = text_of(path);
    let value = |line: &str, key: &str| Some(line.strip_prefix(key)?.trim_matches(['"', ' ']).to_owned());
    let lines: Vec<&str> = text.lines().collect();
    let pairs =
        lines.windows(2).filter_map(|two| Some((value(two[0], "name = ")?, value(two[1], "version = ")?)));
    pairs.collect()
}

/// The workspace of the fuzz targets has a lock file of its own: CONTRIBUTING.md says how it takes over the versions.
#[test]
fn what_is_fuzzed_is_what_is_shipped() {
    let shipped = locked("Cargo.lock");
    let fuzzed = locked("fuzz/Cargo.lock");
    assert!(fuzzed.len() > 20 && fuzzed.iter().any(|(name, _)| name == "smpp"), "{fuzzed:?}");
    for package in &fuzzed {
        let known = shipped.iter().any(|(name, _)| *name == package.0);
        assert!(!known || shipped.contains(package), "{package:?} is another version than in Cargo.lock");
    }
}
