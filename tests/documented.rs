//! The tables of the documentation have a row for whatever an answer can say, and none for what it never says.
#![cfg(feature = "full")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use gripstack::error::OriginFailure;
use gripstack::hold::SocketEnd;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The words that begin the rows of a page.
fn rows(page: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("docs").join(page)).expect("the page is there");
    let rows = text.lines().filter_map(|line| {
        let word = line.strip_prefix("| `")?.split('`').next()?;
        is_word(word).then(|| word.to_owned())
    });
    rows.collect()
}

/// `like-this`.
fn is_word(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    text.split('-').all(part)
}

/// The words in the code under here that say what an answer is, or why: by what stands before them.
fn said_in(path: &Path, said: &mut BTreeSet<String>) {
    if path.is_dir() {
        for file in fs::read_dir(path).expect("a directory") {
            said_in(&file.expect("a file").path(), said);
        }
        return;
    }
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    if name.contains("test") || name.contains("fuzz") {
        return;
    }
    let text = fs::read_to_string(path).expect("source");
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut pieces = code.split('"');
    let mut before = pieces.next().unwrap_or_default();
    while let (Some(word), Some(after)) = (pieces.next(), pieces.next()) {
        if is_word(word) && says(before) {
            said.insert(word.to_owned());
        }
        before = after;
    }
}

/// A reason is an arm of `as_str`, a constant, or is given to one of these.
fn says(before: &str) -> bool {
    let before = before.trim_end();
    let (rest, arguments) = before.rsplit_once('(').unwrap_or(("", before));
    let called = rest.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next();
    before.ends_with("=>")
        || before.ends_with(": &str =")
        || match called.unwrap_or_default() {
            "detail" | "Some" | "Alone" | "stop_keeping" | "then_some" => arguments.is_empty(),
            "go_alone" => true,
            "refused" => arguments.contains("StatusCode::"),
            _ => false,
        }
}

#[test]
fn whatever_an_answer_says_of_itself_has_a_row() {
    let mut said = BTreeSet::new();
    said_in(&root().join("src/cache"), &mut said);
    said.extend(OriginFailure::ALL.map(|failure| failure.as_str().to_owned()));
    said.extend(SocketEnd::ALL.map(|end| end.as_str().to_owned()));
    for word in ["grip-instruct", "grip-request", "gap"] {
        said.insert(word.to_owned());
    }
    for word in ["websocket-key", "websocket-version", "websocket-unsupported"] {
        said.insert(word.to_owned());
    }
    // Names of fields, and our own.
    for name in ["gripstack", "x-forwarded-for"] {
        said.remove(name);
    }
    // Why a request went forward is in the forms of the first table.
    for forward in ["uri-miss", "vary-miss", "stale"] {
        assert!(said.remove(forward), "{forward}");
    }
    let documented: BTreeSet<String> = rows("cache-status.md")
        .union(&rows("errors.md"))
        .cloned()
        .collect();
    let missing: Vec<_> = said.difference(&documented).collect();
    let idle: Vec<_> = documented.difference(&said).collect();
    assert!(
        missing.is_empty(),
        "no row in docs/ says what these mean: {missing:?}"
    );
    assert!(idle.is_empty(), "nothing says this any more: {idle:?}");
}

/// A page is read in the repository as well, where a path of Rust leads nowhere; in rustdoc a file does not.
#[test]
fn links_lead_somewhere_wherever_a_page_is_read() {
    let mut pages = vec![root().join("README.md"), root().join("src/rules.md")];
    let files = fs::read_dir(root().join("docs")).expect("the directory is there");
    pages.extend(files.map(|file| file.expect("a file").path()));
    for page in pages {
        let text = fs::read_to_string(&page).expect("text");
        for line in text.lines() {
            assert!(!line.contains("](crate::"), "{}: {line}", page.display());
        }
    }
}

/// What a page tells to depend on is what its examples use.
#[test]
fn dependencies_are_those_of_the_examples() {
    for page in ["README.md", "docs/testing.md"] {
        let text = fs::read_to_string(root().join(page)).expect("text");
        let mut blocks = text.split("```");
        let mut code = String::new();
        let mut named = BTreeSet::new();
        while let (Some(_), Some(block)) = (blocks.next(), blocks.next()) {
            match block.strip_prefix("toml\n") {
                Some(toml) => {
                    let names = toml.lines().filter_map(|line| Some(line.split_once(" = ")?.0));
                    named.extend(names.map(|name| name.replace('-', "_")));
                }
                None if block.starts_with("rust") || block.starts_with('\n') => code.push_str(block),
                None => {}
            }
        }
        let all = [
            "gripstack",
            "http",
            "http_body",
            "http_body_util",
            "tokio",
            "tower",
        ];
        let used = all.iter().filter(|name| {
            let begins = |before: char| !before.is_alphanumeric() && before != '_' && before != ':';
            let path = format!("{name}::");
            code.match_indices(&path)
                .any(|(at, _)| code[..at].ends_with(begins))
        });
        let used: BTreeSet<String> = used.map(|&name| name.to_owned()).collect();
        assert_eq!(named, used, "{page}");
    }
}
