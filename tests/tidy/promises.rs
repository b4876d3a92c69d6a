//! `docs/promises.md` names no command that does not exist: a filter that matches no test proves nothing, and passes.
use crate::{files, none, read};

/// Everything in backticks that begins with one of these is a command.
const RUNNERS: [&str; 3] = ["cargo ", "just ", "portcullis "];

fn commands(text: &str) -> Vec<String> {
    let rows = text.lines().filter(|line| line.starts_with('|'));
    let quoted = rows.flat_map(|row| row.split('`').skip(1).step_by(2));
    quoted.filter(|text| RUNNERS.iter().any(|runner| text.starts_with(runner))).map(str::to_owned).collect()
}

/// `module::name` of each test below a folder, as the test runner lists it.
fn tests_below(folder: &str, root: &str) -> Vec<String> {
    let mut found = Vec::new();
    for file in files(folder, &[".rs"]) {
        let inner = file.strip_prefix(root).unwrap_or(&file).trim_matches('/').trim_end_matches(".rs");
        let module = inner.replace('/', "::");
        let module = module.trim_end_matches("main").trim_end_matches("lib").trim_end_matches("::");
        let text = read(&file);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (at, line) in lines.iter().enumerate() {
            let signature = line.trim_start_matches("async ");
            let Some(name) = signature.strip_prefix("fn ").and_then(|rest| rest.split(['(', '<']).next())
            else {
                continue;
            };
            let attributes = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
            if attributes.clone().any(|line| line.starts_with("#[test") || line.starts_with("#[tokio::test"))
            {
                let module = if text.contains("\nmod tests {") {
                    format!("{module}::tests")
                } else {
                    module.to_owned()
                };
                found.push(format!("{module}::{name}"));
            }
        }
    }
    found
}

fn fault(command: &str) -> Option<String> {
    let words: Vec<&str> = command.split(' ').collect();
    match words[..] {
        ["just", recipe, ..] => {
            let known = read("justfile").lines().any(|line| {
                line.strip_prefix(recipe)
                    .is_some_and(|rest| rest.starts_with([' ', ':']) && rest.contains(':'))
            });
            (!known).then(|| format!("no recipe `{recipe}`"))
        }
        ["portcullis", name, ..] => {
            let known = read("tests/cli/snapshots/help.snap")
                .lines()
                .any(|line| line.trim_start().split(' ').next() == Some(name));
            (!known).then(|| format!("no command `{name}`"))
        }
        ["cargo", "test", "-p", package, ref rest @ ..] => {
            let (names, filter) = match (package, rest) {
                ("portcullis-tests", ["--test", binary, filter @ ..]) => {
                    (tests_below(&format!("tests/{binary}"), &format!("tests/{binary}")), filter.first())
                }
                (package, ["--test", binary, filter @ ..]) => {
                    let folder = format!("host/{}/tests/{binary}", package.trim_start_matches("portcullis-"));
                    (tests_below(&folder, &folder), filter.first())
                }
                (package, filter) => {
                    let folder = format!("host/{}/src", package.trim_start_matches("portcullis-"));
                    (tests_below(&folder, &folder), filter.first())
                }
            };
            let matched = names.iter().any(|name| filter.is_none_or(|filter| name.contains(filter)));
            (!matched).then(|| format!("`{command}` matches no test"))
        }
        _ => Some(format!("`{command}` is of no known form")),
    }
}

#[test]
fn each_command_exists() {
    let commands = commands(&read("docs/promises.md"));
    assert!(commands.len() > 10, "the table is read: {commands:?}");
    none(
        "docs/promises.md names what is not there",
        commands.iter().filter_map(|command| fault(command)).collect(),
    );
}

#[test]
fn what_does_not_exist_is_noticed() {
    for command in [
        "just nothing-of-that-name",
        "portcullis nothing-of-that-name",
        "cargo test -p portcullis-grants nothing_of_that_name",
        "cargo test -p portcullis-tests --test egress nothing_of_that_name",
        "cargo test -p portcullis-tests --test nothing ssrf",
        "cargo run",
    ] {
        assert!(fault(command).is_some(), "{command}");
    }
    for command in
        ["just test", "portcullis call", "cargo test -p portcullis-tests --test egress ssrf::no_connect"]
    {
        assert_eq!(fault(command), None, "{command}");
    }
}
