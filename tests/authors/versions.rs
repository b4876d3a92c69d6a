//! docs/authors/versions.md as its reader goes through it, over a vendor that had days and has times: what each version asks for
//! on the wire is where the reader stood.

use crate::tutorial::walk;
use portcullis_tests::{Asked, Vendor, vendor::reply_json};
use serde_json::json;
use std::io::Write;

#[test]
fn every_command_of_versions_does_what_it_shows() {
    let answer = |asked: &Asked, wire: &mut dyn Write| {
        let items = match asked.query() {
            "limit=100" => json!([{"id": "a", "updated_at": "2026-03-02"}]),
            "limit=50&updated_since=2026-03-02T00%3A00%3A00Z" => {
                json!([{"id": "b", "updated_at": "2026-03-04T09:30:00Z"}])
            }
            "limit=100&updated_since=2026-03-02" => json!([]),
            other => panic!("nobody asks for {other:?}"),
        };
        reply_json(wire, &json!({"items": items, "next": null}))
    };
    let vendor = Vendor::tls(&["api.example.com"], answer);
    let ran = walk("versions.md", &vendor, |_, _| {});
    assert!(ran >= 15, "the commands are found: {ran}");
    assert_eq!(vendor.count(), 3, "one read a version, and one after going back");
}
