//! Programs, inputs and what comes of them, as rows; then what takes more than a row.

use crate::Transform;
use portcullis_sdk::{Actions, Config, ErrorKind, Input, Result};
use serde_json::{Value, json};

fn invoke(action: &str, input: &str) -> Result<String> {
    let outcome = Transform::invoke(Config::new("{}"), action, Input::new(input), None)?;
    Ok(outcome.output().unwrap_or_default().to_owned())
}

/// The outputs for one input as text, a line each; or what the error says.
fn run(program: &str, input: &str) -> String {
    let program = serde_json::to_string(program).unwrap();
    let variables = r#"{"x": 1.50, "who": {"id": 12345678901234567890, "name": "Ada"}, "nothing": null}"#;
    let asked = format!(
        r#"{{"program": {program}, "inputs": [{input}], "variables": {variables}, "outputs-max": 9}}"#
    );
    let output = invoke("evaluate", &asked).unwrap();
    match output.strip_prefix(r#"{"outputs":[["#).and_then(|rest| rest.strip_suffix("]]}")) {
        Some(outputs) => outputs.to_owned(),
        None => told(&output),
    }
}

/// `KIND LINE:COLUMN MESSAGE`
fn told(output: &str) -> String {
    let output: Value = serde_json::from_str(output).unwrap();
    let error = &output["error"];
    let place = match (&error["line"], &error["column"]) {
        (Value::Null, _) => String::new(),
        (line, column) => format!("{line}:{column} "),
    };
    format!("{} {place}{}", error["kind"].as_str().unwrap(), error["message"].as_str().unwrap())
}

#[track_caller]
fn check(rows: &[(&str, &str, &str)]) {
    let faults: Vec<_> = rows
        .iter()
        .map(|(program, input, expected)| (program, input, expected, run(program, input)))
        .filter(|(_, _, expected, found)| *expected != found)
        .map(|(program, input, expected, found)| {
            format!("{program}\n  of       {input}\n  expected {expected}\n  found    {found}")
        })
        .collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn digits_that_pass_stay() {
    for number in [
        "0",
        "-0",
        "-1",
        "2147483647",
        "2147483648",
        "-2147483648",
        "-2147483649",
        "9007199254740993",
        "9223372036854775808",
        "1234567890123456789012",
        "-1234567890123456789012",
        "0.1000",
        "1.10",
        "-0.0",
        "1e400",
        "1E400",
        "1e-400",
        "1.5E+3",
        "3.14159265358979323846264338327950288",
        "0e0",
        "1.0",
    ] {
        for (program, input) in [
            (".", number.to_owned()),
            (".a.b[0]", format!(r#"{{"a": {{"b": [{number}]}}}}"#)),
            ("fromjson", format!("\"{number}\"")),
            ("tojson | fromjson", number.to_owned()),
        ] {
            assert_eq!(run(program, &input), number, "{program}");
        }
    }
    let long = "7".repeat(100_000);
    assert_eq!(run(".", &long), long);
}

#[test]
fn what_arithmetic_does_with_digits() {
    check(&[
        (". + 1", "1234567890123456789012", "1234567890123456789013"),
        (". + 1", "2147483647", "2147483648"),
        (". - 1", "-9223372036854775808", "-9223372036854775809"),
        (". * .", "4294967296", "18446744073709551616"),
        (". % 10", "1234567890123456789017", "7"),
        ("-.", "1234567890123456789012", "-1234567890123456789012"),
        ("length", "-2147483648", "2147483648"),
        ("abs", "-0.1000", "0.1000"),
        (". + 0", "0.1000", "0.1"),
        (". + 0.2", "0.1", "0.30000000000000004"),
        (". / 2", "6", "3.0"),
        (". / 2 | floor", "7", "3"),
        ("floor", "1e20", "100000000000000000000"),
        (". == 0.1", "0.1000", "true"),
        (". == 1234567890123456789013", "1234567890123456789012", "false"),
        ("tostring", "0.1000", r#""0.1000""#),
        (r#""id \(.)""#, "12345678901234567890", r#""id 12345678901234567890""#),
        ("tonumber", r#"" 12.50""#, "12.50"),
        ("1.10, 1e1000, 007, 00.5", "null", "1.10,1e1000,7,0.5"),
        (
            ". + 1",
            "1e400",
            "run an output has a number that is infinite, or none at all (NaN), which JSON has no form for",
        ),
        (
            "nan",
            "null",
            "run an output has a number that is infinite, or none at all (NaN), which JSON has no form for",
        ),
        ("[infinite] | tojson", "null", "run no JSON for a number that is infinite, or none at all (NaN)"),
        (
            "sort",
            "[3, 12345678901234567891, 0.5, 12345678901234567890]",
            "[0.5,3,12345678901234567890,12345678901234567891]",
        ),
    ]);
}

#[test]
fn outputs_are_none_one_or_more() {
    check(&[
        (".", "null", "null"),
        ("select(.a > 1)", r#"{"a": 1}"#, ""),
        ("select(.a > 1)", r#"{"a":2}"#, r#"{"a":2}"#),
        ("empty", "1", ""),
        (".[]", "[1, [2], {}]", "1,[2],{}"),
        (".a, .b", r#"{"b": 1}"#, "null,1"),
        ("range(9)", "null", "0,1,2,3,4,5,6,7,8"),
        ("range(10)", "null", "too-many more than 9 outputs for one input"),
        ("repeat(1)", "null", "too-many more than 9 outputs for one input"),
        (
            ".items[] | {id, total: (.price * .n)}",
            r#"{"items":[{"id":7,"price":2,"n":3}]}"#,
            r#"{"id":7,"total":6}"#,
        ),
        ("limit(2; .[])", "[1,2,3]", "1,2"),
        ("first(.[] | select(. > 1))", "[1,2,3]", "2"),
        (". as [$a, {b: $c}] | $a + $c", r#"[1, {"b": 2}]"#, "3"),
        ("reduce .[] as $n (0; . + $n)", "[1,2,3]", "6"),
        ("[foreach .[] as $n (0; . + $n)]", "[1,2,3]", "[1,3,6]"),
        ("def f($n): if $n > 0 then $n, f($n - 1) else empty end; [f(3)]", "null", "[3,2,1]"),
        ("[limit(3; def f: ., (. + 1 | f); f)]", "0", "[0,1,2]"),
        ("label $out | .[] | if . > 1 then ., break $out else . end", "[1,2,3]", "1,2"),
        (".a // \"none\"", r#"{"a":false}"#, r#""none""#),
        ("try error(\"x\") catch .", "null", r#""x""#),
        (".a?", "1", ""),
        ("$x, $who.id, $nothing", "null", "1.50,12345678901234567890,null"),
        ("{$x, name: $who.name}", "null", r#"{"x":1.50,"name":"Ada"}"#),
        ("# why\n. # this", "1", "1"),
    ]);
}

#[test]
fn keys_keep_their_order() {
    let object = r#"{"z":1,"a":2,"m":3}"#;
    check(&[
        (".", object, object),
        (".b = 0", object, r#"{"z":1,"a":2,"m":3,"b":0}"#),
        (".a |= . + 1", object, r#"{"z":1,"a":3,"m":3}"#),
        ("del(.z)", object, r#"{"a":2,"m":3}"#),
        ("del(.z, .nothing)", object, r#"{"a":2,"m":3}"#),
        ("del(.[] | select(. < 3))", object, r#"{"m":3}"#),
        ("with_entries(.value += 1)", object, r#"{"z":2,"a":3,"m":4}"#),
        ("map_values(empty)", object, "{}"),
        (". + {a: 9, q: 1}", object, r#"{"z":1,"a":9,"m":3,"q":1}"#),
        ("{b: 1} * .", object, r#"{"b":1,"z":1,"a":2,"m":3}"#),
        ("keys, keys_unsorted", object, r#"["a","m","z"],["z","a","m"]"#),
        ("walk(if . == 2 then 5 else . end)", object, r#"{"z":1,"a":5,"m":3}"#),
        (".", r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#),
        ("del(.[0, 2])", "[1,2,3]", "[2]"),
        ("del(.[1:])", "[1,2,3]", "[1]"),
        ("del(.[-1], .[0])", "[1,2,3]", "[2]"),
        ("del(.[9])", "[1]", "[1]"),
        ("del(.a.b[0])", r#"{"a":{"c":1,"b":[1,2]}}"#, r#"{"a":{"c":1,"b":[2]}}"#),
        ("del(.q.b)", r#"{"a":1}"#, r#"{"a":1}"#),
        ("del(.)", "1", "null"),
        ("delpaths([[\"a\"],[\"m\"]])", object, r#"{"z":1}"#),
        ("del(.a)", "1", r#"run cannot index number with "a""#),
        ("to_entries", r#"{"b":1}"#, r#"[{"key":"b","value":1}]"#),
        (
            "from_entries",
            r#"[{"name":"b","value":1},{"k":"c","v":null},{"key":3,"Value":2},{"key":false}]"#,
            r#"{"b":1,"c":null,"3":2,"false":null}"#,
        ),
        ("{(1|tostring): 2}", "null", r#"{"1":2}"#),
        (
            "{(1): 2}",
            "null",
            "run an output has an object with a key that is not a string, which JSON has no form for",
        ),
    ]);
}

#[test]
fn strings_are_unicode() {
    check(&[
        (
            ".",
            r#""é \u00e9 \ud83d\ude00 \u0000\u001f\b\f\n\r\t\/\\\"\u007f""#,
            "\"é é 😀 \\u0000\\u001f\\b\\f\\n\\r\\t/\\\\\\\"\u{7f}\"",
        ),
        ("length, utf8bytelength", r#""é😀""#, "2,6"),
        (".[1:]", r#""é😀x""#, r#""😀x""#),
        (".\"é\"", r#"{"é":1}"#, "1"),
        ("\"\\u00e9\\(1 + 1)\"", "null", r#""é2""#),
        ("test(\"^[é-ü]+$\")", r#""éü""#, "true"),
        ("capture(\"(?<n>[0-9]+)\").n", r#""a12""#, r#""12""#),
        ("gsub(\"a\"; \"b\")", r#""aXa""#, r#""bXb""#),
        ("split(\", \")", r#""a, b""#, r#"["a","b"]"#),
        ("ltrimstr(\"é\"), rtrimstr(\"x\"), trimstr(\"q\")", r#""éax""#, r#""ax","éa","éax""#),
        ("ltrimstr(\"a\")", "1", "1"),
        ("ascii_upcase", r#""aé""#, r#""Aé""#),
        (
            "@csv, @tsv",
            r#"[1.10,"a\"b",null,true,"t\t"]"#,
            r#""1.10,\"a\"\"b\",,true,\"t\t\"","1.10\ta\"b\t\ttrue\tt\\t""#,
        ),
        (
            "@base64, (@base64 | @base64d), @uri, @html, @json",
            r#""é&""#,
            r#""w6km","é&","%C3%A9%26","é&amp;","\"é&\"""#,
        ),
        ("@base64d", r#""/w==""#, "run an output has a string that is not UTF-8, which JSON has no form for"),
        ("fromjson", r#""{\"a\": 1.10}""#, r#"{"a":1.10}"#),
        ("fromjson", r#""[1,]""#, "run a string that is no JSON: it has at byte 3 what is no JSON"),
        ("fromjson", r#""NaN""#, "run a string that is no JSON: it has at byte 0 what is no JSON"),
        ("fromjson", r#""1 2""#, "run a string that is no JSON: it has at byte 2 what is no JSON"),
        ("fromjson", r#""01""#, "run a string that is no JSON: it has at byte 1 what is no JSON"),
        (".", r#""\ud800""#, "run the input has at byte 1 what is no JSON"),
        (".", r#""\ud800\u0041""#, "run the input has at byte 1 what is no JSON"),
        (
            "fromdate, (1700000000 | todate)",
            r#""2050-01-02T03:04:05Z""#,
            r#"2524705445,"2023-11-14T22:13:20Z""#,
        ),
        ("strptime(\"%Y-%m-%d\") | mktime", r#""2050-01-02""#, "2524694400"),
    ]);
}

#[test]
fn errors_of_a_run_name_no_value() {
    check(&[
        (".a", r#"[{"secret":"x"}]"#, r#"run cannot index array with "a""#),
        (".a[]", r#"{"a":"secret \" x"}"#, "run cannot use string as iterable (array or object)"),
        (". + 1", r#"{"secret":"a b"}"#, "run cannot calculate object + number"),
        ("\"a\" - .", "[\"secret\"]", "run cannot calculate string - array"),
        (
            "(1 + .) = 2",
            "7",
            "run no path to a value, which an assignment, `del` or `path` needs: it is applied to number",
        ),
        ("error(\"no \\(.)\")", "5", "run no 5"),
        ("error({code: 1})", "5", r#"run {"code":1}"#),
        ("error(null)", "5", "run the program ended in `error(null)`"),
        ("length", "true", "run cannot use boolean as null, number, string, array or object"),
        ("test(\"(\")", r#""a""#, "run invalid regex: found open group without closing ')'"),
        (".[] | 1 / .a", r#"[{"a":2},{"a":"s"}]"#, "run cannot calculate number / string"),
    ]);
}

#[test]
fn errors_of_the_text_have_a_place() {
    check(&[
        ("", "1", "compile 1:1 expected an expression such as `.field`, found the end of the program"),
        (".a |", "1", "compile 1:5 expected an expression such as `.field`, found the end of the program"),
        (".a |\n  | .b", "1", "compile 2:3 expected an expression such as `.field`, found `|`"),
        (".a .b )", "1", "compile 1:7 `)` closes nothing"),
        ("{a: [1}", "1", "compile 1:7 no end of what `[` begins: found `}`"),
        ("\"é\" | \"abc", "1", "compile 1:11 no end of what `\"` begins: found the end of the program"),
        ("if . then 1", "1", "compile 1:12 expected `elif`, `else` or `end`, found the end of the program"),
        ("if . 1", "1", "compile 1:6 expected `then`, found `1`"),
        ("{a b}", "1", "compile 1:4 expected `,` or `}`, found `b`"),
        (
            ". as x | 1",
            "1",
            "compile 1:6 expected a variable such as `$x`, or a pattern such as `[$x, $y]` or `{a: $x}`, found `x`",
        ),
        ("1 2", "1", "compile 1:3 expected an operator such as `|`, or the end, found `2`"),
        ("1 & 2", "1", "compile 1:3 found `&`, which begins nothing in jq"),
        ("\"\\q\"", "1", "compile 1:3 expected `n`, `t`, `\"`, `\\`, `(` or the like after `\\`, found `q`"),
        ("1.", "1", "compile 1:3 expected a digit, found the end of the program"),
        ("def f: 1", "1", "compile 1:9 expected `;`, found the end of the program"),
        (".é", "1", "compile 1:2 found `é`, which begins nothing in jq"),
        ("\n\n  .a | foo", "1", "compile 3:8 no filter `foo` with no arguments"),
        ("foo(1; 2)", "1", "compile 1:1 no filter `foo` with 2 arguments"),
        ("map", "1", "compile 1:1 `map` takes 1 argument, not 0"),
        ("test(1; 2; 3)", "1", "compile 1:1 `test` takes 1 or 2 arguments, not 3"),
        ("reduce . as $x (0)", "1", "compile 1:1 `reduce` takes 2 arguments, not 1"),
        ("$y", "1", "compile 1:1 no variable `$y`; the program is given $x, $who, $nothing"),
        ("break $y", "1", "compile 1:7 `break $y` without `label $y` around it"),
        (
            "1 | now",
            "1",
            "compile 1:5 `now` is not here: a program has no clock; give it the time as a variable",
        ),
        ("$ENV.PATH", "1", "compile 1:1 `$ENV` is not here: a program has no environment; give it variables"),
        ("env", "1", "compile 1:1 `env` is not here: a program has no environment; give it variables"),
        ("[inputs]", "1", "compile 1:2 `inputs` is not here: a program has one input, which is `.`"),
        ("debug(1)", "1", "compile 1:1 `debug` is not here: a program writes nothing but its outputs"),
        ("halt_error", "1", "compile 1:1 `halt_error` is not here: a program ends by itself, or by `error`"),
        ("$__loc__", "1", "compile 1:1 `$__loc__` is not here: a program and its input are no files"),
        ("import \"a\" as a; .", "1", "compile 1:9 a program has no modules; define what it needs in itself"),
        (
            "import \"a\" as $a; .",
            "1",
            "compile 1:9 a program has no modules; define what it needs in itself",
        ),
        ("include \"a\"; .", "1", "compile 1:10 a program has no modules; define what it needs in itself"),
        ("a::b", "1", "compile 1:1 a program has no modules; define what it needs in itself"),
        ("def now: 5; now", "1", "5"),
    ]);
}

#[test]
fn what_is_too_large_or_too_deep() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(run(".", &nested(124)), nested(124));
    let deep = "more than 124 arrays and objects inside each other";
    assert_eq!(run(".", &nested(125)), format!("run the input has {deep}"));
    assert_eq!(run("[.]", &nested(124)), format!("run an output has {deep}, which JSON has no form for"));
    assert_eq!(
        run("reduce range(300) as $i (0; {a: .})", "0"),
        format!("run an output has {deep}, which JSON has no form for")
    );
    let brackets = |depth: usize| format!("{}.{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(run(&brackets(64), "1"), "1");
    assert_eq!(run(&brackets(65), "1"), "compile 1:65 more than 64 brackets and strings inside each other");
    assert_eq!(
        run(&format!("\"{}\" # {}", "(".repeat(99), "[".repeat(99)), "1"),
        format!("\"{}\"", "(".repeat(99))
    );
    let long = format!(".{}", " ".repeat(64 << 10));
    assert_eq!(run(&long, "1"), "compile a program of more than 64 KiB");
    let large = "reduce range(22) as $i (\"0123456789\"; . + .)";
    assert_eq!(run(large, "1"), "too-many outputs of more than 8 MiB");
    assert_eq!(run("reduce range(40) as $i (1; [., .])", "1"), "too-many outputs of more than 8 MiB");
    let said = run("error(\"é\" * 2000)", "1");
    assert!(said.len() <= 4 + 1024 && said.ends_with('…'), "{}", said.len());
}

#[test]
fn each_input_has_its_outputs_and_the_first_error_is_told() {
    let asked = r#"{"program": ".[]", "inputs": [[1, 2], [], [3]]}"#;
    assert_eq!(invoke("evaluate", asked).unwrap(), r#"{"outputs":[[1,2],[],[3]]}"#);
    assert_eq!(invoke("evaluate", r#"{"program": ".", "inputs": []}"#).unwrap(), r#"{"outputs":[]}"#);
    let output = invoke("evaluate", r#"{"program": ".a", "inputs": [{}, 1, 2]}"#).unwrap();
    let output: Value = serde_json::from_str(&output).unwrap();
    let error = json!({ "input": 1, "kind": "run", "message": "cannot index number with \"a\"" });
    assert_eq!(output, json!({ "error": error }));
    let one = r#"{"program": "1, 2", "inputs": [0], "outputs-max": 1}"#;
    assert_eq!(told(&invoke("evaluate", one).unwrap()), "too-many more than 1 output for one input");
    let fault: Value =
        serde_json::from_str(&invoke("evaluate", r#"{"program": "(", "inputs": [0]}"#).unwrap()).unwrap();
    assert_eq!((&fault["error"]["input"], &fault["error"]["kind"]), (&Value::Null, &json!("compile")));
}

#[test]
fn compile_runs_nothing() {
    for (asked, expected) in [
        (r#"{"program": ".a | $x", "variables": ["x"]}"#, None),
        (r#"{"program": "error(1)"}"#, None),
        (r#"{"program": "$x"}"#, Some("compile 1:1 no variable `$x`; the program is given none")),
        (
            r#"{"program": ".", "variables": ["a-b"]}"#,
            Some("compile no variable can be called `a-b`: letters, digits and `_` alone"),
        ),
        (r#"{"program": ".", "variables": ["ENV"]}"#, Some("compile no variable can be called `ENV`")),
    ] {
        let output = invoke("compile", asked).unwrap();
        assert_eq!((output != "{}").then(|| told(&output)).as_deref(), expected, "{asked}");
    }
}

#[test]
fn what_is_asked_wrongly_is_a_failure_of_the_call() {
    for (action, input, kind) in [
        ("evaluate", r#"{"program": "."}"#, ErrorKind::InvalidInput),
        ("evaluate", r#"{"program": ".", "inputs": [], "input": 1}"#, ErrorKind::InvalidInput),
        ("compile", "{}", ErrorKind::InvalidInput),
        ("run", "{}", ErrorKind::Unsupported),
    ] {
        assert_eq!(invoke(action, input).unwrap_err().kind(), kind, "{action} {input}");
    }
}

/// Each definition of jq's is there: those left out leave nothing behind that calls them.
#[test]
fn functions_of_our_own_are_read() {
    let defined = crate::functions::definitions();
    for name in ["toarray", "@tsv", "from_entries", "INDEX"] {
        assert!(defined.iter().any(|one| one.name == name), "{name}");
    }
}
