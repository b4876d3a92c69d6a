//! `flows test`, and the forms of steps for people without jq: what each leaves, with every digit, and that nothing is called or kept.

use crate::snapshot;
use portcullis_tests::{Project, case::Case, guests::probe};

/// A flow of one step each.
fn project(steps: &[&str]) -> Project {
    let project = Project::new();
    let flows = steps.iter().enumerate();
    let flows = flows.map(|(at, step)| format!("[flows.f{at}]\n[[flows.f{at}.steps]]\n{step}\n"));
    project.config(&flows.collect::<String>());
    project
}

/// What the only step leaves, to the letter; or why it leaves nothing.
fn left(project: &Project, at: usize, input: &str) -> String {
    let ran = project.run_with(&["flows", "test", &format!("f{at}"), "-"], input.as_bytes());
    match ran.stdout.lines().find_map(|line| line.strip_prefix("  leaves ")) {
        Some(left) => left.to_owned(),
        None => ran.stderr.lines().next().unwrap_or_default().to_owned(),
    }
}

#[test]
fn each_form_does_what_it_says() {
    const ENDS: &str = "error: it ends here: step `step-1`: ";
    let cases = [
        // Keys keep their places, and what is not there stays so.
        ("rename = { \"/a/b\" = \"c\" }", r#"{"a":{"x":1,"b":2,"y":3}}"#, r#"{"a":{"x":1,"c":2,"y":3}}"#),
        ("rename = { \"/a/b\" = \"c\" }", r#"{"a":{"x":1}}"#, r#"{"a":{"x":1}}"#),
        ("rename = { \"/b\" = \"b\" }", r#"{"b":1}"#, r#"{"b":1}"#),
        (
            "rename = { \"/b\" = \"c\" }",
            r#"{"b":1,"c":2}"#,
            "rename: `/b` can't take a name that is there already",
        ),
        ("rename = { \"/*/b\" = \"c\" }", r#"[{"b":1},{"d":2},7]"#, r#"[{"c":1},{"d":2},7]"#),
        // Digits are those that were written.
        (
            "cast = { \"/a\" = \"integer\" }",
            r#"{"a":"123456789012345678901"}"#,
            r#"{"a":123456789012345678901}"#,
        ),
        ("cast = { \"/a\" = \"integer\" }", r#"{"a":-0}"#, r#"{"a":-0}"#),
        ("cast = { \"/a\" = \"integer\" }", r#"{"a":null}"#, r#"{"a":null}"#),
        ("cast = { \"/a\" = \"integer\" }", r#"{"a":"1.5"}"#, "cast: `/a` is no integer"),
        ("cast = { \"/a\" = \"integer\" }", r#"{"a":1.0}"#, "cast: `/a` is no integer"),
        ("cast = { \"/a\" = \"integer\" }", r#"{"a":[1]}"#, "cast: `/a` is no integer"),
        ("cast = { \"/a\" = \"number\" }", r#"{"a":"0.1000"}"#, r#"{"a":0.1000}"#),
        ("cast = { \"/a\" = \"number\" }", r#"{"a":"1e400"}"#, r#"{"a":1e400}"#),
        ("cast = { \"/a\" = \"number\" }", r#"{"a":" 1"}"#, "cast: `/a` is no number"),
        ("cast = { \"/a\" = \"string\" }", r#"{"a":0.10}"#, r#"{"a":"0.10"}"#),
        ("cast = { \"/a\" = \"string\" }", r#"{"a":{}}"#, "cast: `/a` is no string"),
        ("cast = { \"/*\" = \"boolean\" }", r#"["true","0",1,false]"#, "[true,false,true,false]"),
        ("cast = { \"/a\" = \"boolean\" }", r#"{"a":"yes"}"#, "cast: `/a` is no boolean"),
        (
            "default = { \"/a/b\" = { c = [1, \"\\\\(x)\"] } }",
            r#"{"a":{}}"#,
            r#"{"a":{"b":{"c":[1,"\\(x)"]}}}"#,
        ),
        ("default = { \"/a\" = 1 }", r#"{"a":null}"#, r#"{"a":1}"#),
        ("default = { \"/a\" = 1 }", r#"{"a":false}"#, r#"{"a":false}"#),
        ("default = { \"/a/b\" = 1 }", "{}", "{}"),
        (
            "drop = [\"/a\", \"/b/0\", \"/c/*/d\"]",
            r#"{"a":1,"b":[1,2],"c":[{"d":1,"e":2},{"e":3}]}"#,
            r#"{"b":[2],"c":[{"e":2},{"e":3}]}"#,
        ),
        ("drop = [\"/0\"]", r#"{"0":1,"1":2}"#, r#"{"1":2}"#),
        ("drop = [\"/a~1b\", \"/c~0\", \"/\"]", r#"{"a/b":1,"c~":2,"":3,"d":4}"#, r#"{"d":4}"#),
        ("drop = [\"/a\"]", "\"text\"", "\"text\""),
        (
            "mask = [\"/mail\", \"/gone\", \"/all/*\"]",
            r#"{"mail":"a@b.test","all":[1,null]}"#,
            r#"{"mail":"***","all":["***",null]}"#,
        ),
        // All of them, in their order: what has a new name is meant by it.
        (
            "mask = [\"/email\"]\ndrop = [\"/x\"]\ndefault = { \"/n\" = 0 }\ncast = { \"/id\" = \"integer\" }\nrename = { \"/mail\" = \"email\" }",
            r#"{"mail":"a","x":1,"id":"7"}"#,
            r#"{"email":"***","id":7,"n":0}"#,
        ),
        ("when = \".a\"\ndrop = [\"/a\"]", r#"{"a":false}"#, r#"{"a":false}"#),
        ("for-each = \".[]\"\ndrop = [\"/a\"]", r#"[{"a":1},{"b":2}]"#, r#"[{},{"b":2}]"#),
    ];
    let project = project(&cases.map(|(step, ..)| step));
    for (at, (step, input, expected)) in cases.into_iter().enumerate() {
        let expected = match expected.starts_with(['{', '[', '"']) {
            true => expected.to_owned(),
            false => format!("{ENDS}{expected}"),
        };
        let found = left(&project, at, input);
        assert!(found.starts_with(&expected), "{step}\n{input}\n{found}\nexpected {expected}");
    }
    let kept: Vec<_> =
        std::fs::read_dir(project.path("data")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(kept, ["cache"], "what was compiled, and nothing else");
}

#[test]
fn steps_are_done_and_nothing_is_called() {
    let case = Case { more: String::new(), ..Case::default() };
    let project = case.project();
    project.config(&format!(
        "{}\n[flows.charge]\n[[flows.charge.steps]]\nname = \"pick\"\nmap = \".lines\"\n\
         [[flows.charge.steps]]\nname = \"skipped\"\nwhen = \"length > 5\"\nmap = \"error\"\n\
         [[flows.charge.steps]]\nname = \"each\"\nfor-each = \".[]\"\naction = {{ connection = \"probe\", name = \"echo\" }}\n\
         [[flows.charge.steps]]\nname = \"sum\"\nmap = \"map(.amount) | add\"\n",
        case.config()
    ));
    project.install(&probe(&case.manifest));
    project.file("lines.json", br#"{"lines":[{"amount":1},{"amount":2}]}"#);
    project.file("answer.json", br#"{"amount":5}"#);
    let args = ["flows", "test", "charge", "--input", "lines.json"];
    snapshot!("flows-test-unanswered", project, project.run(&args));
    let answered = [&args[..], &["--output", "each=answer.json"]].concat();
    let ran = project.run(&answered);
    ran.exits(0);
    snapshot!("flows-test", project, ran);
    let lines = project.run(&[&["--json"], &answered[..]].concat()).exits(0).lines();
    assert_eq!(lines[1]["passed_over"], true);
    assert_eq!((&lines[2]["called_with"][1]["amount"], &lines[3]["output"]), (&2.into(), &10.into()));
    for (args, words) in [
        (&["flows", "test", "charge", "--output", "pick=answer.json"][..], "computes its output itself"),
        (&["flows", "test", "charge", "--output", "other=answer.json"], "has no step `other`"),
        (&["flows", "test", "charge", "--output", "each"], "names no file"),
        (&["flows", "test", "charg"], "no flow `charg`"),
        (&["flows", "test", "charge", "{"], "is not JSON"),
    ] {
        let ran = project.run(args);
        ran.exits(2);
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
    assert!(!project.path("data/state.db").exists(), "nothing is kept");
}

#[test]
fn streams_are_not_copied_and_what_is_behind_them_is_tried() {
    let case = Case::default();
    let project = case.project();
    project.config(&format!(
        "{}\n[flows.copy]\n[[flows.copy.steps]]\nname = \"rows\"\nsource = {{ connection = \"probe\", streams = [\"rows\"] }}\n\
         destination = {{ connection = \"probe\", stream-prefix = \"raw-\" }}\n\
         [[flows.copy.steps]]\nname = \"sum\"\nmap = \".rows.written + .rows.dropped\"\n",
        case.config()
    ));
    let ran = project.run(&["flows", "test", "copy", "{}"]);
    let text = ran.exits(1);
    assert!(text.stdout.contains("1 rows: `rows` of `probe` into `probe`, not copied"), "{text:?}");
    assert!(text.stderr.contains("`--output rows=FILE`"), "{text:?}");
    project.file("rows.json", br#"{"rows":{"written":5,"dropped":2}}"#);
    let ran = project.run(&["--json", "flows", "test", "copy", "{}", "--output", "rows=rows.json"]);
    assert_eq!(ran.exits(0).lines()[1]["output"], 7);
    assert!(!project.path("data/state.db").exists(), "nothing is kept");
}
