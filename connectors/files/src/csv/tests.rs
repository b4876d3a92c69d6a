//! Rows, read back by a reader that is not ours.
#![allow(clippy::unwrap_used)]
use super::*;
use crate::scan::Scanner;
use proptest::prelude::*;
use serde_json::{Value, json};

fn written(names: &[&str], lines: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let (columns, mut text, mut scanner) = (Columns::new(&names, None), Vec::new(), Scanner::default());
    columns.header(&mut text);
    for line in lines {
        let record = scanner.record(line.as_bytes()).unwrap();
        columns.check(&record).unwrap();
        columns.row(&record, &mut text);
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn rows_are_rfc_4180() {
    let lines = [
        r#"{"id":18446744073709551617,"text":"a,b","more":{"n": 1e400}}"#,
        r#"{"more":[0.1000000000000000000000000000000000000001,"x"],"id":-0.0,"text":"say \"hi\"\r\nthere"}"#,
        r#"{"id":true,"text":null}"#,
        r#"{"id":3,"text":"","more":"=1+1"}"#,
        r#"{"id":4,"text":" x"}"#,
    ]
    .map(str::to_owned);
    let expected = "id,text,more\r\n18446744073709551617,\"a,b\",\"{\"\"n\"\": 1e400}\"\r\n\
                    -0.0,\"say \"\"hi\"\"\r\nthere\",\"[0.1000000000000000000000000000000000000001,\"\"x\"\"]\"\r\ntrue,,\r\n\
                    3,\"\",=1+1\r\n4,\" x\",\r\n";
    assert_eq!(written(&["id", "text", "more"], &lines), expected);
    assert_eq!(
        written(&["a"], &["{}".to_owned(), "{\"a\":1}".to_owned()]),
        "a\r\n\"\"\r\n1\r\n",
        "no line is empty"
    );
    assert_eq!(written(&["a,b", "\"", ""], &[]), "\"a,b\",\"\"\"\",\"\"\r\n");
}

#[test]
fn other_names_than_the_columns_are_refused() {
    let names = ["a".to_owned()];
    let mut scanner = Scanner::default();
    let record = scanner.record(br#"{"a":1,"gone":false}"#).unwrap();
    let Err(Refusal(why)) = Columns::new(&names, None).check(&record) else { panic!("it is refused") };
    assert_eq!(why, "`gone` is none of the columns");
    let columns = Columns::new(&names, Some("gone"));
    columns.check(&record).unwrap();
    let mut row = Vec::new();
    columns.row(&record, &mut row);
    assert_eq!(row, b"1\r\n");
}

proptest! {
    #[test]
    fn another_reader_reads_what_was_written(
        names in prop::collection::hash_set("(?s).{0,6}", 1..5),
        rows in prop::collection::vec(prop::collection::vec(prop::option::of("(?s).{0,12}"), 5), 0..8),
    ) {
        let names: Vec<_> = names.into_iter().collect();
        let refs: Vec<_> = names.iter().map(String::as_str).collect();
        let lines: Vec<String> = rows.iter().map(|row| {
            let object: serde_json::Map<_, _> = names.iter().zip(row).map(|(name, value)| (name.clone(), json!(value))).collect();
            Value::Object(object).to_string()
        }).collect();
        let text = written(&refs, &lines);
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
        let read: Vec<Vec<String>> = reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
        prop_assert_eq!(read.len(), rows.len() + 1);
        prop_assert_eq!(&read[0], &names);
        for (read, row) in read[1..].iter().zip(&rows) {
            let expected: Vec<String> = row.iter().take(names.len()).map(|value| value.clone().unwrap_or_default()).collect();
            prop_assert_eq!(read, &expected);
        }
    }
}
