// A record of about 300 bytes, as a vendor has them. The bench includes this file too: both sides do the same work.

/// A customer.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Record {
    id: String,
    object: String,
    created: i64,
    email: Option<String>,
    name: Option<String>,
    currency: Option<String>,
    balance: i64,
    delinquent: bool,
    livemode: bool,
    metadata: std::collections::BTreeMap<String, String>,
    address: Option<Address>,
}

/// Of a customer.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Address {
    city: Option<String>,
    country: Option<String>,
    line1: Option<String>,
    postal_code: Option<String>,
}

#[derive(serde::Deserialize)]
struct Answer {
    data: Vec<Record>,
}

/// `{"data": [RECORD, …]}` → NDJSON.
pub fn lines(answer: &[u8]) -> serde_json::Result<Vec<u8>> {
    let answer: Answer = serde_json::from_slice(answer)?;
    let mut lines = Vec::with_capacity(answer.data.len() * 320);
    for record in &answer.data {
        serde_json::to_writer(&mut lines, record)?;
        lines.push(b'\n');
    }
    Ok(lines)
}
