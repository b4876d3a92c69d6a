//! A delivery of a stranger's: whatever stands in its headers, its URL and its body, no scheme takes it for the vendor's, and the
//! refusal obeys no terminal; and what the vendor itself signs of the same parts is taken.
#![no_main]
use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use portcullis_clock::Timestamp;
use portcullis_manifest::signing::{NAMES, Place, Proof, Signing};
use portcullis_secrets::webhook::{Sample, Signer, Verifier};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    scheme: u8,
    query: &'a str,
    /// Those that schemes look at, by number.
    headers: Vec<(u8, &'a [u8])>,
    body: &'a [u8],
}

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fuzz_target!(|input: Input<'_>| {
    let name = NAMES[usize::from(input.scheme) % NAMES.len()];
    let scheme = Signing::named(name).expect("a name").scheme().clone();
    let (mut known, mut timed_by_body) = (vec![scheme.header.clone(), "content-type".to_owned()], false);
    if let Proof::Signature(signature) = &scheme.proof {
        known.extend(["webhook-id", "svix-id"].map(str::to_owned));
        match signature.timestamp.as_ref().map(|time| &time.place) {
            Some(Place::Header { name, .. }) => known.push(name.clone()),
            Some(Place::Body(_)) => timed_by_body = true,
            None => {}
        }
    }
    let headers = input
        .headers
        .iter()
        .map(|(number, value)| (known[usize::from(*number) % known.len()].clone(), value.to_vec()));
    let mut sample = Sample {
        method: "POST".to_owned(),
        url: format!("https://hooks.example.com/in?{}", input.query),
        headers: headers.collect(),
        body: input.body.to_vec(),
    };
    let seed: [u8; 32] = std::array::from_fn(|at| (at * 37 + 11) as u8);
    let signer = Signer::made_up(&scheme, seed).expect("a vendor");
    let verifier = Verifier::new(&scheme, std::slice::from_ref(signer.secret())).expect("a key");
    let error =
        verifier.verify(&sample.delivered(), NOW).map(drop).expect_err("nobody signed it").to_string();
    assert!(!error.contains(char::is_control), "{error:?}");
    if signer.sign(&mut sample, NOW).is_ok() && !timed_by_body {
        verifier.verify(&sample.delivered(), NOW).expect("the vendor signed it");
    }
});
