//! `docs/cases.md` and the names of the tests say the same: each case that a test is named after stands there, and
//! each that is called tested there has such a test.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Cases with three letters, as they begin in names: `pur_21`.
const WORDS: [&str; 8] = ["pur", "col", "sta", "org", "mem", "poi", "grp", "rlp"];
/// Cases with one letter and two digits: `i17`.
const LETTERS: &str = "irlsqpw";
/// Rules of caching, which have one letter and, but for `rule_s10`, one digit: `u4`.
const RULES: &str = "skvgruip";
/// Rules of the clock, which `src/rules.md` has: `c4`, `x2a`.
const CLOCK: &str = "cmdx";

#[test]
fn each_case_stands_in_the_list_and_each_that_is_tested_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Ok(list) = std::fs::read_to_string(root.join("docs/cases.md")) else {
        // Not part of the published package.
        return;
    };
    let listed = listed(&list);
    let named = named(&[root.join("tests"), root.join("src"), root.join("examples")]);
    assert!(named.len() > 150, "names of tests have ids: {named:?}");
    let mut wrong = Vec::new();
    for (id, place) in &named {
        match listed.get(id) {
            None => wrong.push(format!("{place} names {id}, which docs/cases.md does not have")),
            Some(false) => wrong.push(format!(
                "{place} names {id}, which docs/cases.md does not call tested"
            )),
            Some(true) => {}
        }
    }
    for id in listed.iter().filter(|(_, tested)| **tested).map(|(id, _)| id) {
        if !named.contains_key(id) {
            wrong.push(format!(
                "docs/cases.md calls {id} tested, and no test is named after it"
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn ids_are_read_from_the_beginning_of_a_name() {
    let ids = |name| ids_of(name).into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(ids("pur_20_a_purge_touches_nothing"), "PUR-20");
    assert_eq!(ids("i5_pur_24_a_get"), "I-5 PUR-24");
    assert_eq!(ids("i11_i12_a_status"), "I11 I12");
    assert_eq!(ids("i23_to_i25_json"), "I23 I24 I25");
    assert_eq!(ids("rlp_01_to_03_as_the_model"), "RLP-01 RLP-02 RLP-03");
    assert_eq!(ids("rlp_01_02_the_first"), "RLP-01 RLP-02");
    assert_eq!(ids("pur_21_65_536_purges"), "PUR-21");
    assert_eq!(ids("rule_s10_first"), "S-10");
    assert_eq!(ids("mutant_i17_expose"), "", "only there");
    assert_eq!(ids("c4_a_304_that_left"), "", "a rule of the clock");
    assert_eq!(ids("d2a_q05_of_two"), "Q05");
    for none in ["u04_a_304", "g12_tags", "http1_builder", "x17_none", "i117_none"] {
        assert_eq!(ids(none), "", "{none}");
    }
}

/// Each id of the list, and whether it is called tested.
fn listed(list: &str) -> BTreeMap<String, bool> {
    let mut listed = BTreeMap::new();
    for line in list.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let ["", id, text, states, ""] = cells[..] else {
            continue;
        };
        if id == "id" || id.starts_with('-') {
            continue;
        }
        assert!(!text.is_empty(), "{line}");
        let states: BTreeSet<&str> = states.split(", ").collect();
        for state in &states {
            assert!(["tested", "differs", "later"].contains(state), "{line}");
        }
        assert!(!(states.contains("tested") && states.contains("later")), "{line}");
        let twice = listed.insert(id.to_owned(), states.contains("tested"));
        assert!(twice.is_none(), "{id} stands there twice");
    }
    assert!(listed.len() > 250, "rows of the list are read: {}", listed.len());
    listed
}

/// Each id that begins a function's name, and where.
fn named(folders: &[PathBuf]) -> BTreeMap<String, String> {
    let mut named = BTreeMap::new();
    let mut left = folders.to_vec();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a readable folder");
            left.extend(entries.map(|entry| entry.expect("a readable folder").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("a readable file");
            for line in text.lines() {
                let line = line.trim_start();
                let line = line.strip_prefix("async ").unwrap_or(line);
                let Some(name) = line.strip_prefix("fn ") else {
                    continue;
                };
                let end = name.find(['(', '<']).unwrap_or(name.len());
                for id in ids_of(&name[..end]) {
                    named.insert(id, format!("{}: {}", path.display(), &name[..end]));
                }
            }
        }
    }
    named
}

/// The ids that a name begins with.
fn ids_of(name: &str) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    let mut words = name.split('_').peekable();
    // The letters of the case before, and its number: others may follow by number alone.
    let mut before: Option<(String, u32)> = None;
    let mut to = false;
    while let Some(word) = words.next() {
        let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
        let digits = &word[letters.len()..];
        let case = match (letters, digits) {
            ("rule", "") => {
                if let Some(rule) = words.next().and_then(rule) {
                    ids.insert(rule);
                }
                continue;
            }
            ("to", "") if before.is_some() => {
                to = true;
                continue;
            }
            (word, "") if WORDS.contains(&word) => {
                let number = words.next_if(|digits| is_number(digits));
                number.map(|digits| (format!("{}-", word.to_ascii_uppercase()), digits))
            }
            // The next one, or the last of several; any other number belongs to the sentence.
            ("", digits) if is_number(digits) => {
                let follows = |last: u32| to || digits.parse() == Ok(last + 1);
                let before = before.clone();
                before
                    .filter(|(letters, last)| letters.ends_with('-') && follows(*last))
                    .map(|(letters, _)| (letters, digits))
            }
            (letter, digits) if letter.len() == 1 && LETTERS.contains(letter) && is_number(digits) => {
                Some((letter.to_ascii_uppercase(), digits))
            }
            _ => None,
        };
        match case {
            Some((letters, digits)) => {
                let number = digits.parse().expect("two digits");
                let first = match &before {
                    Some((_, first)) if to => *first,
                    _ => number,
                };
                ids.extend((first..=number).map(|number| format!("{letters}{number:02}")));
                before = Some((letters, number));
                to = false;
            }
            None if is_of_the_clock(word) => {}
            None if digits.len() == 1 => match rule(word) {
                Some(rule) => {
                    ids.insert(rule);
                }
                None => break,
            },
            None => break,
        }
    }
    ids
}

/// Of `u4`: U-4.
fn rule(word: &str) -> Option<String> {
    let (letter, digits) = word.split_at_checked(1)?;
    let is_rule = RULES.contains(letter) && !digits.is_empty() && !digits.starts_with('0');
    let number: u32 = digits.parse().ok().filter(|_| is_rule)?;
    Some(format!("{}-{number}", letter.to_ascii_uppercase()))
}

fn is_of_the_clock(word: &str) -> bool {
    let mut characters = word.chars();
    let is_rule = characters.next().is_some_and(|letter| CLOCK.contains(letter))
        && characters.next().is_some_and(|digit| digit.is_ascii_digit());
    is_rule && matches!(characters.as_str(), "" | "a" | "b")
}

fn is_number(digits: &str) -> bool {
    digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit())
}
