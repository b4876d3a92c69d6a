//! What a document's faults say, whoever found them.

use crate::support::{alone, check, said};
use portcullis_contract::{
    Schema, Stop,
    limits::{DOCUMENT_DEPTH_MAX, FAULT_CHARS_MAX, FAULTS_MAX},
};

#[test]
fn a_name_that_should_not_be_there_comes_with_those_that_may() {
    let _alone = alone();
    let schema = r##"{"additionalProperties":false,"properties":{"currency":{},"to":{"$ref":"#/$defs/to"}},
        "$defs":{"to":{"properties":{"name":{}},"additionalProperties":false}}}"##;
    let faults = Schema::new(schema).validate_in_time(r#"{"curency":1,"to":{"nam":1}}"#).unwrap();
    let known = |pointer: &str| faults.iter().find(|fault| fault.pointer == pointer).unwrap().known.join(",");
    assert_eq!(known("/curency"), "currency,to");
    assert_eq!(known("/to/nam"), "name");
}

#[test]
fn a_fault_names_its_place_and_never_the_value() {
    let _alone = alone();
    let schema = r#"{"type":"object","required":["name"],"additionalProperties":false,
        "properties":{"name":{"type":"string","maxLength":3},"list":{"items":{"type":"integer"}}}}"#;
    check(schema, r#"{"name":"abc","list":[1,2.0]}"#, &[]);
    check(schema, r#"{"name":5}"#, &[("/name", "value is not of type \"string\"")]);
    check(schema, r#"{"name":"s3cret"}"#, &[("/name", "value is longer than 3 characters")]);
    check(schema, r#"{"name":"a","list":[1,"x"]}"#, &[("/list/1", "value is not of type \"integer\"")]);
    check(
        schema,
        r#"{"name":"a","x/y":1,"z":2}"#,
        &[("/x~1y", "no such property"), ("/z", "no such property")],
    );
    check(schema, "{}", &[("", "\"name\" is a required property")]);
    check(schema, "{\n\"name\": ", &[("", "not JSON (line 2, column 8)")]);
}

/// Names are the document's and patterns the schema's: neither moves a terminal.
#[test]
fn a_fault_is_one_line() {
    let _alone = alone();
    let hidden = |text: &str| text.chars().any(|c| c.is_control() || c == '\u{202e}');
    // Plain, and not.
    for more in ["", r#""not":{"type":"null"},"#] {
        let schema = format!(
            r#"{{{more}"properties":{{"a":{{"pattern":"^x\nerror: \u001b\u202e$"}}}},"additionalProperties":{{"type":"null"}}}}"#
        );
        let schema = Schema::new(schema);
        let faults = schema.validate_in_time(r#"{"a":"y","b\nerror: \u202ec":1}"#).unwrap();
        assert_eq!(faults.len(), 2, "{faults:?}");
        for fault in faults {
            assert!(!hidden(&fault.message) && !hidden(&fault.place()), "{fault:?}");
        }
    }
}

#[test]
fn the_first_line_that_does_not_fit_is_told_and_none_after_the_end() {
    let _alone = alone();
    for text in
        [r#"{"properties":{"id":{"type":"integer"}}}"#, r#"{"properties":{"id":{"not":{"type":"string"}}}}"#]
    {
        let schema = Schema::new(text);
        let (stop, lines) = (Stop::default(), b"{\"id\":1}\n{\"id\":2}\n{\"id\":\"3\"}\n{\"id\":\"4\"}");
        let (line, faults) = schema.validate_lines(lines, || false, &stop).unwrap().unwrap();
        assert_eq!((line, faults[0].pointer.as_str(), faults.len()), (3, "/id", 1));
        assert_eq!(schema.validate_lines(&lines[..18], || false, &stop).unwrap(), None);
        let (line, faults) = schema.validate_lines(b"{\"id\":1}\n\n", || false, &stop).unwrap().unwrap();
        assert_eq!((line, faults[0].message.as_str()), (2, "not JSON (column 0)"));
        stop.now();
        assert!(!matches!(schema.validate_lines(lines, || false, &stop), Ok(Some(_))), "nobody waits");
    }
}

#[test]
fn integers_keep_every_digit() {
    let _alone = alone();
    let schema = r#"{"maximum":9007199254740993}"#;
    check(schema, "9007199254740993", &[]);
    check(schema, "9007199254740994", &[("", "value is greater than the maximum of 9007199254740993")]);
}

#[test]
fn faults_are_bounded() {
    let _alone = alone();
    let faults = |schema: &str, document: &str| Schema::new(schema).validate_in_time(document).unwrap();
    let document = format!("[{}1]", "1,".repeat(100));
    assert_eq!(faults(r#"{"items":{"type":"string"}}"#, &document).len(), FAULTS_MAX);
    let long = "é".repeat(1 << 20);
    for schema in [
        r#"{"additionalProperties":{"type":"string"}}"#,
        r#"{"properties":{"a":{}},"additionalProperties":false}"#,
    ] {
        let faults = faults(schema, &format!("{{\"{long}\":1}}"));
        assert_eq!(faults[0].pointer.chars().count(), FAULT_CHARS_MAX + 1, "{schema}");
    }
    // As many names as the author likes, on either side: no more than a person compares a slip with are told.
    let names = |prefix: &str, count: usize| {
        (0..count).map(|i| format!("\"{prefix}{i}\":true")).collect::<Vec<_>>().join(",")
    };
    for keyword in ["additionalProperties", "unevaluatedProperties"] {
        for (count, told) in [(200, 200), (2_000, 0)] {
            let schema = format!("{{\"{keyword}\":false,\"properties\":{{{}}}}}", names("a", count));
            let faults = faults(&schema, &format!("{{{}}}", names("b", 20_000)));
            assert_eq!((faults.len(), faults[0].known.len()), (FAULTS_MAX, told));
        }
    }
}

#[test]
fn a_large_document_is_told_its_faults() {
    let _alone = alone();
    let record = r#"{"id":"a","code":"c1","name":"n","tags":["x"]}"#;
    let records =
        format!("{{\"records\":[{}{{\"id\":7}},{{\"id\":8}}]}}", format!("{record},").repeat(10_000));
    let codes = (0..250).map(|code| format!("\"c{code}\"")).collect::<Vec<_>>().join(",");
    let schema = format!(
        r#"{{"properties":{{"records":{{"items":{{"required":["id"],"additionalProperties":false,"properties":{{
            "id":{{"type":"string"}},"code":{{"enum":[{codes}]}},"name":{{"type":"string","maxLength":80}},
            "tags":{{"items":{{"type":"string"}}}}}}}}}}}}}}"#
    );
    let wrong = "value is not of type \"string\"";
    check(&schema, &records, &[("/records/10000/id", wrong), ("/records/10001/id", wrong)]);
    check(
        &schema,
        &records.replace("7}", "\"b\",\"nmae\":1}"),
        &[("/records/10000/nmae", "no such property"), ("/records/10001/id", wrong)],
    );
}

/// What this reader sees must be what every other reader of the same bytes sees.
#[test]
fn a_document_with_two_meanings_fits_no_schema() {
    let _alone = alone();
    let two = &[("", "an object has one key twice, or a reserved one")];
    for plain in ["{}", r#"{"not":false}"#] {
        check(plain, r#"{"a":1,"a":"x"}"#, two);
        check(plain, r#"[{"b":{"a":1,"\u0061":2}}]"#, two);
        check(plain, r#"{"$serde_json::private::Number":"7"}"#, two);
        check(plain, r#"{"$serde_json::private::RawValue":"{\"a\":1}"}"#, two);
    }
    // Nor is a schema with two meanings one.
    let refused = Schema::new(r#"{"type":"string","type":"number"}"#).compile_in_time().unwrap_err();
    assert!(refused.words().contains("key twice"), "{refused}");
}

/// As deep as the runtime lets what a guest says pass.
#[test]
fn a_document_may_be_as_deep_as_the_runtime_lets_it_be() {
    let _alone = alone();
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    for schema in ["{}", r#"{"not":false}"#] {
        check(schema, &deep(DOCUMENT_DEPTH_MAX), &[]);
        check(schema, &deep(DOCUMENT_DEPTH_MAX + 1), &[("", "nested deeper than 127 levels")]);
    }
}

#[test]
fn a_schema_that_is_none_or_reaches_outside_is_refused() {
    let _alone = alone();
    for schema in [
        "",
        "{",
        "5",
        r#"{"type":"strin"}"#,
        r#"{"$ref":"https://example.com/a.json"}"#,
        r#"{"$ref":"file:///etc/passwd"}"#,
        r#"{"pattern":"("}"#,
        // It could step back for ever.
        r#"{"pattern":"^(?:a+(?=a|b))+b$"}"#,
        r##"{"$defs":{"a":{"$id":"a"}}}"##,
        r##"{"$ref":"#none"}"##,
    ] {
        let refused = Schema::new(schema).compile_in_time();
        assert!(refused.is_err(), "{schema}");
        assert_eq!(Schema::apart(schema).compile_in_time(), refused, "{schema}");
    }
    let inner = Schema::new(r##"{"$defs":{"a":{"type":"string"}},"$ref":"#/$defs/a"}"##);
    inner.compile_in_time().unwrap();
    assert_eq!(said(&inner.clone().validate_in_time("1").unwrap()).len(), 1);
}
