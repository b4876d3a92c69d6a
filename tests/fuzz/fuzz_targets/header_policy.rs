//! A header or query name of a guest's: whatever passes is, in no spelling that some server reads alike, one of the host's.
#![no_main]
use libfuzzer_sys::fuzz_target;
use portcullis_egress::fuzzing::Headers;

/// As CGI and its kin would name it.
fn folded(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

const NEVER: [&str; 16] = [
    "HOST",
    "CONTENT_LENGTH",
    "TRANSFER_ENCODING",
    "TE",
    "TRAILER",
    "CONNECTION",
    "KEEP_ALIVE",
    "UPGRADE",
    "EXPECT",
    "ACCEPT_ENCODING",
    "AUTHORIZATION",
    "COOKIE",
    "X_HTTP_METHOD_OVERRIDE",
    "X_ORIGINAL_URL",
    "X_REWRITE_URL",
    "X_VENDOR_KEY",
];

fuzz_target!(|text: &str| {
    thread_local!(static POLICY: Headers = Headers::with_slot("X-Vendor-Key").expect("a policy"));
    POLICY.with(|policy| {
        let Some(passes) = policy.passes(text) else { return };
        if passes {
            let folded = folded(text);
            assert!(!NEVER.contains(&folded.as_str()), "{text}");
            for prefix in ["PROXY_", "X_FORWARDED", "FORWARDED"] {
                assert!(!folded.starts_with(prefix), "{text}");
            }
        }
        // No spelling is decided otherwise.
        for other in [
            text.to_ascii_uppercase(),
            text.to_ascii_lowercase(),
            text.replace('-', "_"),
            text.replace('_', "-"),
        ] {
            assert_eq!(policy.passes(&other), Some(passes), "{text} {other}");
        }
    });
});
