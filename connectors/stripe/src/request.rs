//! What every request to Stripe has in common. Repeating one is the host's business, and so is its idempotency key.
use portcullis_sdk::http::{self, RequestBuilder};

/// The version that the schemas beside this crate describe: without it an account's own default would decide.
const API_VERSION: &str = "2023-08-16";

/// `GET /v1/PATH`
pub(crate) fn get(path: &str) -> RequestBuilder {
    http::get(url(path)).header("Stripe-Version", API_VERSION)
}

/// `POST /v1/PATH`
pub(crate) fn post(path: &str) -> RequestBuilder {
    http::post(url(path)).header("Stripe-Version", API_VERSION)
}

fn url(path: &str) -> String {
    format!("https://api.stripe.com/v1/{path}")
}
