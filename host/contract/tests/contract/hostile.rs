//! Schemas that are made to take everything: each costs its child, and this process hears why.

use crate::support::{alone, check, resident_most, said};
use portcullis_contract::{Schema, Stop, limits::DOCUMENT_DEPTH_MAX};
use serde_json::{Map, Value, json};
use std::{sync::mpsc, thread, time::Duration};

/// A schema that holds a document, or is refused, and takes nothing of this process either way.
#[track_caller]
fn harmless(what: &str, schema: &Value, document: &Value) -> Result<Vec<(String, String)>, String> {
    let before = resident_most();
    let schema = Schema::new(schema.to_string());
    let found = schema.compile_in_time().and_then(|()| schema.validate_in_time(&document.to_string()));
    let taken = resident_most().saturating_sub(before);
    assert!(taken < 48 << 20, "{what}: {taken} bytes");
    match found {
        Ok(faults) => {
            Ok(said(&faults).into_iter().map(|(at, what)| (at.to_owned(), what.to_owned())).collect())
        }
        Err(refused) => Err(refused.words().to_owned()),
    }
}

fn parts(count: usize, of: impl Fn(usize) -> Value) -> Value {
    Value::Object((0..count).map(|number| (format!("d{number}"), of(number))).collect::<Map<_, _>>())
}

fn next(number: usize) -> Value {
    json!({ "$ref": format!("#/$defs/d{}", number + 1) })
}

const MEMORY: &str = "it takes more than 512 MiB of memory";

/// Two kilobytes that double at each step, in the compiler: it takes as long as somebody waits for it.
#[test]
fn one_that_doubles_at_each_step_ends_with_who_waits() {
    let _alone = alone();
    let before = resident_most();
    for (keyword, below) in
        [("unevaluatedProperties", "additionalProperties"), ("unevaluatedItems", "contains")]
    {
        let looks = |number: usize| {
            let mut looks = next(number);
            looks[keyword] = json!(false);
            looks
        };
        let mut defs = parts(40, |number| json!({ below: looks(number), keyword: looks(number) }));
        defs["d40"] = json!({ "type": "string" });
        let schema = Schema::new(json!({ "$ref": "#/$defs/d0", keyword: false, "$defs": defs }).to_string());
        let stop = Stop::default();
        thread::scope(|scope| {
            let compiled = scope.spawn(|| schema.compile(&stop));
            let (_open, never) = mpsc::channel::<()>();
            let _ = never.recv_timeout(Duration::from_secs(2));
            stop.now();
            compiled.join().unwrap().unwrap_err();
        });
    }
    assert!(resident_most().saturating_sub(before) < 16 << 20);
}

/// Names that are kept once for each place that looks at them.
#[test]
fn what_each_look_keeps_costs_its_child() {
    let _alone = alone();
    let names: Map<String, Value> =
        (0..20_000).map(|n| (format!("{n}{}", "n".repeat(10)), json!({}))).collect();
    let look = json!({ "$ref": "#/$defs/all", "unevaluatedProperties": false });
    let looks: Map<String, Value> = (0..2_000).map(|n| (n.to_string(), look.clone())).collect();
    let document: Map<String, Value> = (0..2_000).map(|n| (n.to_string(), json!({}))).collect();
    let schema = json!({ "properties": looks, "$defs": { "all": { "properties": names } } });
    let found = harmless("looks", &schema, &json!(document));
    assert!(found == Err(MEMORY.to_owned()) || found == Ok(Vec::new()), "{found:.300?}");
}

#[test]
fn a_reference_that_comes_back_to_itself_at_the_same_value_is_refused() {
    let _alone = alone();
    for schema in [
        json!({ "$ref": "#" }),
        json!({ "allOf": [{ "$ref": "#" }] }),
        json!({ "$defs": { "a": { "not": { "$ref": "#b" } }, "b": { "$anchor": "b", "$ref": "#/$defs/a" } }, "$ref": "#b" }),
        json!({ "$dynamicAnchor": "x", "if": { "$dynamicRef": "#x" } }),
        json!({ "properties": { "x": { "$ref": "#/$defs/n" } }, "$defs": { "n": { "anyOf": [{ "$ref": "#/$defs/n" }, { "type": "string" }] } } }),
    ] {
        let found = harmless(&schema.to_string(), &schema, &Value::Null);
        assert!(
            found.as_ref().is_err_and(|words| words.contains("comes back to itself at the same value")),
            "{schema}: {found:?}"
        );
    }
    let tree = json!({ "properties": { "children": { "items": { "$ref": "#" } } } });
    assert_eq!(harmless("a tree", &tree, &json!({ "children": [{ "children": [] }] })), Ok(Vec::new()));
}

/// Long texts of which each part keeps a copy: names above many parts, numbers, lists.
#[test]
fn what_each_part_repeats_costs_its_child() {
    let _alone = alone();
    let long = "n".repeat(200_000);
    let many = parts(20_000, |_| json!({ "not": {} }));
    let names = json!({ "properties": { long: { "properties": many } } });
    assert_eq!(harmless("names", &names, &json!({})), Err(MEMORY.to_owned()));
    let number: Value = serde_json::from_str(&"9".repeat(500_000)).unwrap();
    let numbers = json!({ "$ref": "#/$defs/d0", "$defs": parts(1, |_| json!({ "anyOf": vec![json!({ "const": number }); 2] })) });
    assert!(harmless("numbers", &numbers, &json!(1)).is_ok());
    let patterns = parts(2_000, |n| json!({ "pattern": format!("^(?:\\p{{L}}[.-]?){{1,{}}}$", 10 + n % 5) }));
    let found = harmless("patterns", &json!({ "properties": patterns }), &json!({}));
    assert!(
        found.as_ref().is_ok_and(Vec::is_empty) || found.as_ref().is_err_and(|e| e.starts_with("it takes")),
        "{found:?}"
    );
}

/// A plain schema, and a document of which each fault repeats most.
#[test]
fn why_a_document_does_not_fit_is_not_found_here() {
    let _alone = alone();
    let document = format!("{{\"{}\":[{}1]}}", "~".repeat(13_103), "1,".repeat(6_500));
    let document: Value = serde_json::from_str(&document).unwrap();
    let found = harmless("long names", &json!({ "additionalProperties": { "items": false } }), &document);
    assert!(found.is_ok_and(|faults| !faults.is_empty()));
}

/// The document does not fit, and telling where takes more than there is: the first place is told, or that there is none.
#[test]
fn faults_without_bound_are_few() {
    let _alone = alone();
    let items = |count: usize| format!("[{}1]", "1,".repeat(count));
    let many = format!("{{\"{}\":{}}}", "n".repeat(20_000), items(400_000));
    let schema = r#"{"additionalProperties":{"items":{"type":"string"}}}"#;
    let faults = Schema::new(schema).validate_in_time(&many).unwrap();
    assert_eq!((faults.len(), &faults[0].pointer[..3]), (1, "/nn"));
    let branch = r##"{"properties":{"x":{"$ref":"#/$defs/a"}}}"##;
    let schema = format!(
        r##"{{"$ref":"#/$defs/a","$defs":{{"a":{{"type":"object","anyOf":[{branch},{branch}]}}}}}}"##
    );
    let deep = |levels: usize| format!("{}1{}", r#"{"x":"#.repeat(levels), "}".repeat(levels));
    check(&schema, &deep(0), &[("", "value is not of type \"object\"")]);
    check(&schema, &deep(22), &[("", "it does not fit, and has too many places to tell which")]);
}

/// The deepest document, at each level of it a deep schema, on the stack that there is for it.
#[test]
fn a_deep_schema_has_stack_for_the_deepest_document() {
    let _alone = alone();
    for way in [
        r##"{"allOf":[{"$ref":"#/$defs/NEXT"}]}"##,
        r##"{"anyOf":[false,{"$ref":"#/$defs/NEXT"}]}"##,
        r##"{"oneOf":[false,{"$ref":"#/$defs/NEXT"}]}"##,
        r##"{"not":{"not":{"$ref":"#/$defs/NEXT"}}}"##,
        r##"{"if":true,"then":{"$ref":"#/$defs/NEXT"}}"##,
    ] {
        let length = 20;
        let next = |i: usize| format!("\"s{i}\":{}", way.replace("NEXT", &format!("s{}", i + 1)));
        let defs: Vec<String> = (0..length).map(next).collect();
        let again = r##"{"type":["array","object"],"items":{"$ref":"#/$defs/s0"},"properties":{"x":{"$ref":"#/$defs/s0"}}}"##;
        let schema = format!(
            r##"{{"$defs":{{{},"s{length}":{again}}},"items":{{"$ref":"#/$defs/s0"}}}}"##,
            defs.join(",")
        );
        for (open, close) in [("[", "]"), (r#"{"x":"#, "}")] {
            let levels = DOCUMENT_DEPTH_MAX - 2;
            let document = format!("[{}[]{}]", open.repeat(levels), close.repeat(levels));
            check(&schema, &document, &[]);
        }
    }
}
