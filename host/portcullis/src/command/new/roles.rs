//! What a new connector begins with, a role at a time: code, its tests and cassettes, its part of the manifest, its schemas. Each builds and
//! passes alone and together with the others; a name is declared by one of them.
use portcullis_manifest::Role;

/// One role's part of a folder.
pub struct Part {
    /// The role.
    pub role: Role,
    /// What its code takes from the SDK, beside what every connector does.
    pub imports: &'static [&'static str],
    /// The `impl` of its trait, and what that calls.
    pub code: &'static str,
    /// A module of tests.
    pub tests: &'static str,
    /// Tables of `connector.toml`.
    pub manifest: &'static str,
    /// Files in `schemas`.
    pub schemas: &'static [(&'static str, &'static str)],
    /// Files in `tests`: cassettes, and what `deliver` and `write` take.
    pub played: &'static [(&'static str, &'static str)],
    /// Whether it derives from `serde`.
    pub derives: bool,
}

const ITEM: (&str, &str) = ("item.json", include_str!("templates/item.json"));

/// The parts, in the order in which a folder has them.
pub const ALL: [Part; 4] = [
    Part {
        role: Role::Actions,
        imports: &["Actions", "Error", "Input", "Outcome", "http", "json", "serde_json"],
        code: include_str!("templates/actions.rs.in"),
        tests: include_str!("templates/actions.tests.rs.in"),
        manifest: include_str!("templates/actions.toml.in"),
        schemas: &[("create-item.json", include_str!("templates/create-item.json")), ITEM],
        played: &[("cassettes/create-item.toml", include_str!("templates/create-item.cassette.toml"))],
        derives: false,
    },
    Part {
        role: Role::Source,
        imports: &["Error", "Page", "ReadRequest", "Source", "StreamDescriptor", "http", "json", "paging"],
        code: include_str!("templates/source.rs.in"),
        tests: include_str!("templates/source.tests.rs.in"),
        manifest: include_str!("templates/source.toml.in"),
        schemas: &[ITEM],
        played: &[
            ("cassettes/check.toml", include_str!("templates/check.cassette.toml")),
            ("cassettes/items.toml", include_str!("templates/items.cassette.toml")),
        ],
        derives: true,
    },
    Part {
        role: Role::Destination,
        imports: &["Batch", "Destination", "Error", "ErrorKind", "Mode", "Rejected", "http", "serde_json"],
        code: include_str!("templates/destination.rs.in"),
        tests: include_str!("templates/destination.tests.rs.in"),
        manifest: include_str!("templates/destination.toml.in"),
        schemas: &[],
        played: &[
            ("batch.ndjson", include_str!("templates/batch.ndjson")),
            ("cassettes/write-items.toml", include_str!("templates/write-items.cassette.toml")),
        ],
        derives: true,
    },
    Part {
        role: Role::Webhook,
        imports: &["Delivery", "Error", "ErrorKind", "Event", "Handled", "Webhook", "json"],
        code: include_str!("templates/webhook.rs.in"),
        tests: include_str!("templates/webhook.tests.rs.in"),
        manifest: include_str!("templates/webhook.toml.in"),
        schemas: &[],
        played: &[
            ("cassettes/item-created.toml", include_str!("templates/item-created.cassette.toml")),
            ("cassettes/no-notice.toml", include_str!("templates/no-notice.cassette.toml")),
            ("delivery.json", include_str!("templates/delivery.json")),
        ],
        derives: true,
    },
];
