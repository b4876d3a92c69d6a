//! The shipped Stripe connector against servers of others.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod contract;
mod emulated;

use portcullis_tests::{
    Project,
    guests::{self, Installed},
};

const KEY: &str = "sk_test_contract_8d71k2";
const HOST: &str = "api.stripe.com";

fn project(port: u16) -> (Project, Installed) {
    let connector = guests::connector("stripe");
    let project = Project::new();
    project.config(&format!(
        r#"
[credentials.stripe-test]
scheme = "bearer"
secret = "file:stripe.key"

[connections.billing]
connector = "portcullis/stripe@^0.1"
credentials = {{ secret-key = "stripe-test" }}
allow = "requested"
capture = "all"
[connections.billing.network]
connect-to = {{ "{HOST}:443" = "127.0.0.1:{port}" }}
ca-file = "ca.pem"
addresses = ["127.0.0.1/32"]
"#
    ));
    project.secret("stripe.key", KEY).install(&connector).approve("billing", &connector);
    (project, connector)
}
