//! What documents show can be typed, and means what they say.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use clap::CommandFactory;

const README: &str = include_str!("../../../../README.md");
const OPERATORS: &str = include_str!("../../../../docs/operators/README.md");
const PUBLISHING: &str = include_str!("../../../../docs/authors/publishing.md");

/// As a shell splits it: single quotes alone are used.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for character in command.chars() {
        match character {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.extend((!word.is_empty()).then(|| std::mem::take(&mut word))),
            '#' if !quoted && word.is_empty() => return words,
            other => word.push(other),
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

#[test]
fn every_command_that_a_document_shows_is_one() {
    let mut seen = 0;
    for document in [README, OPERATORS, PUBLISHING] {
        let lines = document.lines().map(str::trim_start);
        for command in lines.filter_map(|line| line.strip_prefix("$ portcullis ")) {
            let command = command.split(" && ").next().unwrap_or_default();
            let typed = ["portcullis".to_owned()].into_iter().chain(words(command));
            if let Err(error) = Arguments::try_parse_from(typed) {
                panic!("`{command}`\n{error}");
            }
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen}");
}

#[test]
fn the_operators_guide_has_each_exit_code_with_its_words() {
    // `  4  not approved, …`, and its lines below.
    let mut codes: Vec<(u8, String)> = Vec::new();
    for line in EXIT_CODES.lines().skip(1) {
        match line.trim_start().split_once("  ").and_then(|(code, words)| Some((code.parse().ok()?, words))) {
            Some((code, words)) => codes.push((code, words.to_owned())),
            None => codes.last_mut().unwrap().1.push_str(&format!(" {}", line.trim())),
        }
    }
    let rows = OPERATORS.lines().filter_map(|line| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        Some((cells.next()?.parse().ok()?, cells.next()?.to_owned()))
    });
    assert_eq!(rows.collect::<Vec<(u8, String)>>(), codes);
    assert!(codes.len() > 8);
}

#[test]
fn clap_finds_no_fault_with_it() {
    Arguments::command().debug_assert();
}
