//! What `wit-bindgen` makes of the WIT package: one world for the imports and one for each role, so that a component
//! exports the roles it names and no other. Authors see none of it.
#![allow(
    missing_docs,
    unsafe_code,
    clippy::all,
    reason = "generated: the component ABI is made of raw pointers"
)]

/// Every interface that a connector may import. `wit-component` drops what a connector does not call.
pub mod imports {
    wit_bindgen::generate!({
        path: "wit/0.1.0",
        inline: "
            package portcullis:sdk-imports;
            world imports {
                import portcullis:connector/types@0.1.0;
                import portcullis:connector/http@0.1.0;
                import portcullis:connector/blobs@0.1.0;
                import portcullis:connector/files@0.1.0;
                import portcullis:connector/state@0.1.0;
                import portcullis:connector/assets@0.1.0;
                import portcullis:connector/log@0.1.0;
            }
        ",
        pub_export_macro: true,
        generate_all,
    });
}

macro_rules! role {
    ($module:ident, $inline:literal, $macro_name:literal, $default:literal) => {
        pub mod $module {
            wit_bindgen::generate!({
                path: "wit/0.1.0",
                inline: $inline,
                pub_export_macro: true,
                export_macro_name: $macro_name,
                default_bindings_module: $default,
                with: {
                    "portcullis:connector/types@0.1.0": crate::bindings::imports::portcullis::connector::types,
                },
            });
        }
    };
}

role!(
    lifecycle,
    "package portcullis:sdk-lifecycle; world role-lifecycle { export portcullis:connector/lifecycle@0.1.0; }",
    "export_lifecycle",
    "portcullis_sdk::bindings::lifecycle"
);
role!(
    actions,
    "package portcullis:sdk-actions; world role-actions { export portcullis:connector/actions@0.1.0; }",
    "export_actions",
    "portcullis_sdk::bindings::actions"
);
role!(
    source,
    "package portcullis:sdk-source; world role-source { export portcullis:connector/source@0.1.0; }",
    "export_source",
    "portcullis_sdk::bindings::source"
);
role!(
    destination,
    "package portcullis:sdk-destination; world role-destination { export portcullis:connector/destination@0.1.0; }",
    "export_destination",
    "portcullis_sdk::bindings::destination"
);
role!(
    webhook,
    "package portcullis:sdk-webhook; world role-webhook { export portcullis:connector/webhook@0.1.0; }",
    "export_webhook",
    "portcullis_sdk::bindings::webhook"
);
role!(
    subscriptions,
    "package portcullis:sdk-subscriptions; world role-subscriptions { export portcullis:connector/subscriptions@0.1.0; }",
    "export_subscriptions",
    "portcullis_sdk::bindings::subscriptions"
);
role!(
    migration,
    "package portcullis:sdk-migration; world role-migration { export portcullis:connector/migration@0.1.0; }",
    "export_migration",
    "portcullis_sdk::bindings::migration"
);
