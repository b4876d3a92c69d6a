//! Plain schemas are judged in this process, at a bounded price, and as a child would judge them.

use crate::support::alone;
use portcullis_contract::{
    Schema,
    limits::{PLAIN_BYTES_MAX, PLAIN_DEPTH_MAX, PLAIN_NAME_BYTES_MAX},
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[ab/~]{0,2}", Just("é".to_owned()), Just("n".repeat(PLAIN_NAME_BYTES_MAX))]
}

fn word() -> impl Strategy<Value = Value> {
    prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), "[ab]{0,2}".prop_map(Value::from)]
}

fn type_() -> impl Strategy<Value = Value> {
    let one =
        || prop::sample::select(vec!["string", "number", "integer", "object", "array", "null", "boolean"]);
    let set = prop::collection::btree_set(one(), 1..3).prop_map(|set| json!(set));
    prop_oneof![one().prop_map(Value::from), set]
}

fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        type_().prop_map(|value| json!({ "type": value })),
        word().prop_map(|value| json!({ "const": value })),
        prop::collection::vec(word(), 1..4).prop_map(|values| json!({ "enum": values })),
        (0..3_u8, 0..3_u8).prop_map(|(least, most)| json!({ "minLength": least, "maxLength": most })),
        (0..3_i8).prop_map(|least| json!({ "minimum": least, "exclusiveMaximum": 1.5 })),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let properties = prop::collection::btree_map(name(), inner.clone(), 0..4);
        let object = (properties, inner.clone(), prop::collection::btree_set(name(), 0..3)).prop_map(
            |(properties, others, required)| {
                json!({ "properties": properties, "additionalProperties": others, "required": required })
            },
        );
        prop_oneof![
            object,
            (inner, 0..3_u8).prop_map(|(items, least)| json!({ "items": items, "minItems": least }))
        ]
    })
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![word(), any::<i8>().prop_map(Value::from), Just(json!(1.5))];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name(), inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn here_and_apart_are_one_judgement(schema in schema(), document in document()) {
        let _alone = alone();
        let (text, document) = (schema.to_string(), document.to_string());
        let here = Schema::new(&*text).validate_in_time(&document);
        prop_assert_eq!(Schema::apart(&*text).validate_in_time(&document), here);
    }
}

/// What is compiled of one, whatever its author packs into it.
#[test]
fn what_is_compiled_here_grows_with_the_text_alone() {
    let _alone = alone();
    let most = |text: String| {
        assert!(text.len() <= PLAIN_BYTES_MAX, "{}", text.len());
        let schema = Schema::new(&*text);
        let taken = allocation_counter::measure(|| schema.compile_in_time().unwrap());
        assert!(taken.bytes_max < 6 << 20, "{} bytes for {text:.80}", taken.bytes_max);
    };
    let many = |part: &str, count: usize, bytes: usize| {
        let one = |number| format!("\"{number:0bytes$}\":{part}");
        (0..count).map(one).collect::<Vec<_>>().join(",")
    };
    most(format!("{{\"properties\":{{{}}}}}", many("{}", 1_500, 4)));
    most(format!("{{\"properties\":{{{}}}}}", many("true", 1_200, 4)));
    most(format!("{{\"properties\":{{{}}}}}", many("{\"const\":\"\"}", 600, 4)));
    most(format!("{{\"required\":[{}\"\"]}}", (0..2_000).map(|n| format!("\"{n}\",")).collect::<String>()));
    // Long names above all the others.
    let long = "n".repeat(PLAIN_NAME_BYTES_MAX);
    let inner = format!("{{\"properties\":{{{}}}}}", many("{}", 1_200, 4));
    let deep =
        (2..PLAIN_DEPTH_MAX).fold(inner, |inner, _| format!("{{\"properties\":{{\"{long}\":{inner}}}}}"));
    most(deep);
}
