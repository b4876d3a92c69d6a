//! Every key of `connector.toml`, once. The schema for editors and the authors' reference are made of it, and tests hold it
//! against what the parser accepts. Reads nothing itself.
use crate::{
    keys::{
        Is::{
            AllRequested, Choice, Choices, Count, Flag, Map, Name, Named, OneOf, Path, Paths, Rate,
            Requested, Table, Tables, Text, TextOrTexts, Texts, Time, Version, WordOrTable,
        },
        Key, Names, Section,
    },
    signing::{Handshake, NAMES},
};

/// The whole file.
pub static ROOT: Section = Section {
    words: "What a connector is, and what it asks for. Paths start at its folder; nothing here grants anything.",
    keys: &[
        Key::new("connector", Table(&CONNECTOR), "identity, versions, roles").required(),
        Key::new("credentials", Named(Names::Label, SLOTS), "slots: what an operator binds a credential to"),
        Key::new("http", Tables(HTTP), "the requests that it asks to send; what stands in none of them is denied"),
        Key::new("actions", Named(Names::Operation, ACTIONS), "single operations; with the role `actions`"),
        Key::new("streams", Named(Names::Operation, STREAMS), "records to read; with the role `source`"),
        Key::new("webhook", Table(&WEBHOOK), "how the vendor signs what it delivers; with the role `webhook`"),
        Key::new("folders", Named(Names::Label, FOLDERS), "folders of the operator's; with the capability `files`"),
        Key::new(
            "assets",
            Paths,
            "files that the connector reads by name at run time: `{ \"currencies.json\" = \"assets/currencies.json\" }`",
        )
        .or("{}"),
        Key::new("limits", Table(&LIMITS), "what the author proposes"),
    ],
};

/// `[connector]`
pub static CONNECTOR: Section = Section {
    words: "Identity, versions, roles.",
    keys: &[
        Key::new("name", Name, "publisher and name, each of lower-case letters, digits and `-`").required(),
        Key::new("version", Version, "a semantic version without build metadata").required(),
        Key::new(
            "position-version",
            Count(u32::MAX as i64),
            "raise it where positions or `state` of an older version can't be read as they are: the new version then waits for approval",
        )
        .required(),
        Key::new(
            "config-version",
            Count(u32::MAX as i64),
            "raise it where an older version's config does not fit: the new version then waits for approval",
        )
        .required(),
        Key::new(
            "roles",
            Choices(&["actions", "source", "destination", "webhook", "subscriptions", "migration"]),
            "what its code exports; `build` compares",
        )
        .required(),
        Key::new("capabilities", Choices(&["files", "wasi-http"]), "what it imports beside the usual").or("[]"),
        Key::new("summary", Text, "one line for people").required(),
        Key::new(
            "config-schema",
            Path,
            "a file: JSON Schema (2020-12) of the connection's `config`; absent = there is no config",
        ),
    ],
};

/// `[credentials.NAME]`
pub const SLOTS: &[Section] = &[Section {
    words: "A slot. The host attaches what is bound to it; the connector never sees a secret.",
    keys: &[
        Key::new(
            "schemes",
            Choices(&["bearer", "basic", "api-key-header", "api-key-query"]),
            "what the vendor accepts",
        )
        .required(),
        Key::new("place", Text, "for an API key: the name of the header or of the query pair, as a proposal"),
        Key::new("why", Text, "the reason, shown by `approve`: which key, and with which rights").required(),
    ],
}];

const CREDENTIAL: Key =
    Key::new("credential", TextOrTexts, "the slot that is attached, or several of which the guest names one")
        .or("[]");
const IDEMPOTENCY: Key = Key::new(
    "idempotency",
    Table(&IDEMPOTENT),
    "the vendor knows a repeat by a key: an unsafe request may be sent again",
);
const SAFE: Key =
    Key::new("safe", Flag, "a method that usually writes only reads here; shown by `approve`").or("false");
const REDIRECT: Key = Key::new(
    "redirect",
    Choice(&["guest", "follow"]),
    "`guest`: a redirect is an answer; `follow`: the host follows it, each hop judged like a request, without the credential",
)
.or("guest");
const GUEST_HEADERS: Key = Key::new(
    "guest-headers",
    Texts,
    "headers that a guest usually may not set and may here, such as `Referer`",
)
.or("[]");
const WHY: Key = Key::new("why", Text, "the reason, shown by `approve`").required();

/// `[[http]]`
pub const HTTP: &[Section] = &[
    Section {
        words: "Requests that the connector sends by itself.",
        keys: &[
            Key::new(
                "allow",
                AllRequested,
                "rules: `METHOD[,METHOD] scheme://host[:port]/path`; the host may be `{origin.NAME}`, which the operator binds",
            )
            .required(),
            CREDENTIAL,
            IDEMPOTENCY,
            SAFE,
            REDIRECT,
            GUEST_HEADERS,
            Key::new(
                "query",
                Map,
                "the only query pairs that pass: `{ limit = \"*\", expand = \"data.*\" }`; absent = any, `{}` = none",
            ),
            WHY,
        ],
    },
    Section {
        words: "Requests to URLs that a vendor's answer names, such as upload sessions. They go out without a credential.",
        keys: &[
            Key::new("from-response", Table(&FROM_RESPONSE), "which URLs, and where they are named").required(),
            IDEMPOTENCY,
            SAFE,
            REDIRECT,
            GUEST_HEADERS,
            WHY,
        ],
    },
];

/// `idempotency` of an `[[http]]` table.
pub static IDEMPOTENT: Section = Section {
    words: "How the vendor knows a repeat.",
    keys: &[
        Key::new("header", Text, "the header that carries the key").required(),
        Key::new("window", Time, "how long the vendor remembers it: `24h`").required(),
    ],
};

/// `from-response` of an `[[http]]` table.
pub static FROM_RESPONSE: Section = Section {
    words: "Exactly the URLs that an answer of the same run named, at most 64.",
    keys: &[
        Key::new("allow", Requested, "the rule that such a URL has to match too").required(),
        Key::new("of", Requested, "whose answers name it; covered by an `allow` of the manifest").required(),
        Key::new("at", TextOrTexts, "where: a JSON pointer such as `/uploadUrl`, or `header:location`")
            .required(),
    ],
};

const SUMMARY: Key = Key::new("summary", Text, "one line for people");
const NARROWED: Key = Key::new(
    "http",
    AllRequested,
    "narrows what it may send: each rule is covered by one `[[http]]` table; absent = all that the connector may",
);
const SENSITIVE: Key =
    Key::new("sensitive", Texts, "property names that are masked at any depth in the exchange log; what a run was given and answered is kept whole").or("[]");

/// `[actions.NAME]`; `*` as the name stands for those that the connection's config has.
pub const ACTIONS: &[Section] = &[Section {
    words: "A single operation.",
    keys: &[
        SUMMARY,
        Key::new("input", Path, "a file: JSON Schema of the input").required(),
        Key::new("output", Path, "a file: JSON Schema of the output").required(),
        NARROWED,
        Key::new(
            "delivery",
            Choice(&["at-least-once", "at-most-once"]),
            "`at-least-once`: the host may repeat it, which needs `idempotency` on each unsafe rule",
        )
        .or("at-most-once"),
        SENSITIVE,
    ],
}];

/// `[streams.NAME]`; `*` as the name stands for those that the connection's config has.
pub const STREAMS: &[Section] = &[Section {
    words: "A stream of records.",
    keys: &[
        SUMMARY,
        Key::new("schema", Path, "a file: JSON Schema of a record").required(),
        Key::new("primary-key", Texts, "properties that identify a record").or("[]"),
        Key::new("cursor-field", Text, "the property that grows with each change"),
        NARROWED,
        SENSITIVE,
    ],
}];

/// `[webhook]`
pub static WEBHOOK: Section = Section {
    words: "How the vendor signs. The host verifies it before the connector sees anything.",
    keys: &[
        Key::new("signing", WordOrTable(&NAMES, SIGNING), "a vendor's name, or what it does").required(),
        Key::new(
            "handshake",
            Choice(&Handshake::WORDS),
            "what the vendor asks of the address before it delivers, which the host answers: `graph` (Microsoft), `meta`; with `signing` \
             `slack` or `zoom` theirs goes without saying",
        ),
    ],
};

const SIGNATURE_HEADER: Key = Key::new("header", Text, "where the signature stands").required();
const SIGNATURE_PREFIX: Key =
    Key::new("prefix", Text, "what stands in front of it; what has another one in front is passed over")
        .or("");

/// `signing` of `[webhook]`, described.
pub const SIGNING: &[Section] = &[
    Section {
        words: "A signature over the delivery.",
        keys: &[
            Key::new(
                "algorithm",
                Choice(&["hmac-sha256", "hmac-sha512", "hmac-sha1", "ed25519"]),
                "what signs",
            )
            .required(),
            SIGNATURE_HEADER,
            SIGNATURE_PREFIX,
            Key::new("encoding", Choice(&["hex", "base64"]), "of the signature").required(),
            Key::new("separator", Text, "between several items of the header: `,`, `;` or a space"),
            Key::new(
                "signed",
                Text,
                "what is signed: text with `{body}`, `{timestamp}`, `{url}`, `{method}` and `{header.NAME}`",
            )
            .required(),
            Key::new(
                "timestamp",
                OneOf(TIMESTAMP),
                "when it was signed: what is too far from now is refused",
            ),
            Key::new("key", Table(&KEY), "how the vendor writes the secret"),
        ],
    },
    Section {
        words: "The secret itself, in a header.",
        keys: &[
            Key::new("algorithm", Choice(&["secret"]), "nothing is signed").required(),
            SIGNATURE_HEADER,
            SIGNATURE_PREFIX,
            Key::new("encoding", Choice(&["text", "base64"]), "of the secret in the header").or("text"),
        ],
    },
];

const UNIT: Key =
    Key::new("unit", Choice(&["seconds", "milliseconds", "rfc3339"]), "how it is written").or("seconds");
const TOLERANCE: Key = Key::new("tolerance", Time, "how far from now it may be").or("5m");

/// `timestamp` of a signature.
pub const TIMESTAMP: &[Section] = &[
    Section {
        words: "The time stands in a header.",
        keys: &[
            Key::new("header", Text, "which").required(),
            Key::new("prefix", Text, "what stands in front of it").or(""),
            UNIT,
            TOLERANCE,
        ],
    },
    Section {
        words: "The time stands in the body.",
        keys: &[Key::new("body", Text, "a JSON pointer").required(), UNIT, TOLERANCE],
    },
];

/// `key` of a signature.
pub static KEY: Section = Section {
    words: "How the vendor writes the secret.",
    keys: &[
        Key::new("encoding", Choice(&["text", "hex", "base64"]), "of what the operator gets").or("text"),
        Key::new("prefix", Text, "what belongs to the format and not to the key: `whsec_`").or(""),
    ],
};

/// `[folders.NAME]`
pub const FOLDERS: &[Section] = &[Section {
    words: "A folder that the operator grants.",
    keys: &[
        Key::new("access", Choice(&["read", "write", "read-write"]), "what is done in it").required(),
        WHY,
    ],
}];

/// `[limits]`
pub static LIMITS: Section = Section {
    words: "What the author proposes; the operator's config wins.",
    keys: &[Key::new(
        "requests-per-second",
        Rate,
        "what the vendor bears: from one request an hour (`0.00028`) to 1000000",
    )],
};
