//! Spellings of a reserved name, and of a method's.
use super::*;
use proptest::prelude::*;

#[test]
fn a_reserved_name_in_any_spelling() {
    let reserved = ReservedName::new("api_key");
    for query in [
        "api_key=m",
        "api_key",
        "a=1&api_key=m",
        "a=1;api_key=m",
        "API_KEY=m",
        "Api_Key=m",
        "api-key=m",
        "api.key=m",
        "api%2Ekey=m",
        "api key=m",
        "api+key=m",
        "api%20key=m",
        "api%5Fkey=m",
        "%61pi_key=m",
        "%61%70%69_%6b%65%79=m",
        "api_key%00=m",
        "api_key%00x=m",
        "api_%00key=m",
        "api[key=m",
        "api%5Bkey=m",
        "api_key[]=m",
        "api_key%5b0%5d=m",
        "api_key[a][b]=m",
        "api_key[=m",
        "+api_key=m",
        "%20api_key=m",
        "%20%20api.key=m",
        "%09api_key=m",
        "api_key%20=m",
        "api_key+=m",
        "api_key%0a=m",
        "api%0Akey=m",
        "api_%E2%84%AAey=m",
        "%C2%A0api_key=m",
    ] {
        assert!(reserved.found_in(query).is_some(), "{query}");
    }
    for query in
        ["", "api_keys=m", "a=api_key", "apikey=m", "my_api_key=m", "x[api_key]=m", "api%255Fkey=m", "a=&b="]
    {
        assert_eq!(reserved.found_in(query), None, "{query}");
    }
    assert_eq!(reserved.found_in("a=1&%61pi-key=m"), Some("%61pi-key"));
    assert!(ReservedName::new("X-Api.Key").found_in("x_api_key=m").is_some());
    // A bracket at the start opens no index: nothing is left that it would be one of.
    assert_eq!(ReservedName::new("[x]").found_in("=m"), None);
    assert!(ReservedName::new("auth[token]").found_in("auth%5Btoken%5D=m").is_some());
}

#[test]
fn a_method_in_any_spelling() {
    for query in [
        "_method=D",
        "a=1&_METHOD=d",
        "_HttpMethod=P",
        "$httpMethod=P",
        "%24httpmethod=P",
        "%5fmethod=x",
        "a=1;_method=x",
        "+_method=x",
        "%20_method=x",
        ".method=x",
        "-method=x",
        "[method=x",
        "%5Bmethod=x",
        "_method%00=x",
        "_method%00y=x",
        "_method[]=x",
        "_method%20=x",
        "%20method=x",
        "_met%00hod=x",
    ] {
        assert!(naming_a_method(query).is_some(), "{query}");
    }
    for query in
        ["method=x", "a=_method", "x_method=1", "", "a[]=1&b.c=2", "a=1&b=2", "$filter=x", "_methods=1"]
    {
        assert_eq!(naming_a_method(query), None, "{query}");
    }
}

proptest! {
    /// Whatever folds to the name is refused: letters in either case or encoded, `_` as whatever becomes one,
    /// blanks around it, an index or a NUL behind it.
    #[test]
    fn every_spelling_of_a_reserved_name_is_found(
        name in "[a-z][a-z0-9]{0,4}(_[a-z0-9]{1,4}){0,3}",
        seed in proptest::collection::vec(any::<proptest::sample::Index>(), 24),
        before in "(a=1&|b;)?(\\+|%20|%09){0,2}",
        after in "(%20|\\+){0,2}(%00[a-z]{0,3})?(\\[[a-z]{0,2}\\])?(=m)?(&z=1)?",
    ) {
        let forms = |c: char| if c == '_' {
            vec!["_".to_owned(), "%5F".into(), "-".into(), ".".into(), "%2e".into(), "+".into(), "%20".into()]
        } else {
            let upper = c.to_ascii_uppercase();
            vec![c.to_string(), upper.to_string(), format!("%{:02x}", c as u32), format!("%{:02X}", upper as u32)]
        };
        let spelled: String =
            name.chars().zip(&seed).map(|(c, pick)| pick.get(&forms(c)).clone()).collect();
        let query = format!("{before}{spelled}{after}");
        prop_assert!(ReservedName::new(&name).found_in(&query).is_some(), "{name}: {query}");
    }

    #[test]
    fn nothing_makes_it_panic(name in "\\PC{0,12}", query in "[%\\[\\];&=+._ a-fA-F0-9\\PC]{0,40}") {
        let _ = ReservedName::new(&name).found_in(&query);
        let _ = naming_a_method(&query);
    }
}
