//! Whatever the borders, the pieces together are what the whole body would have become.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use base64::{Engine, engine::general_purpose::STANDARD};
use portcullis_secrets::Secret;

const SECRET: &str = "sk_live_4eC39 HqLy/jWD\"arjt&T1zdp";

fn needles() -> Arc<Needles> {
    Arc::new(Needles::new([&Secret::new(SECRET.as_bytes().to_vec())]))
}

fn pieces(needles: &Arc<Needles>, cuts: &[&[u8]]) -> Vec<u8> {
    let (mut running, mut all) = (Running::new(Arc::clone(needles)), Vec::new());
    for cut in cuts {
        all.extend_from_slice(&running.push(Bytes::copy_from_slice(cut)).0);
    }
    all.extend_from_slice(&running.finish().0);
    all
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

fn unicode(text: &str) -> String {
    text.bytes().map(|byte| format!("\\u{byte:04x}")).collect()
}

/// The bodies of a vendor that repeats the secret, one an encoding.
fn bodies() -> Vec<String> {
    let references = |text: &str| text.bytes().map(|byte| format!("&#{byte};")).collect::<String>();
    let hex: String = SECRET.bytes().map(|byte| format!("{byte:02X}")).collect();
    let mut bodies = vec![
        format!("a{SECRET}b{SECRET}"),
        hex,
        percent(SECRET),
        unicode(SECRET),
        references(SECRET),
        references(SECRET).replace(';', ""),
        SECRET.bytes().map(|byte| format!("&#x{byte:09x}")).collect(),
        SECRET.bytes().map(|byte| format!("\\{byte:03o}")).collect(),
        SECRET.bytes().map(|byte| format!("\\U{byte:08x}")).collect(),
        SECRET.bytes().map(|byte| format!("%u{byte:04x}")).collect(),
        percent(&percent(SECRET)),
        unicode(&percent(SECRET)),
        percent(&unicode(&SECRET[..12])) + &unicode(&percent(&SECRET[12..])),
        SECRET.replace('"', "\\\\\\\"").replace('&', "&amp;amp;"),
    ];
    for before in ["", "x", "xy"] {
        bodies.push(STANDARD.encode(format!("{before}{SECRET}zz")));
        bodies.push(percent(&STANDARD.encode(format!("{before}{SECRET}"))));
    }
    bodies
}

#[test]
fn a_border_anywhere_hides_nothing() {
    let needles = needles();
    for body in bodies() {
        let body = format!("{{\"k\": {body}, \"50%\": \\\\u00e9\\\\\\\\");
        let (whole, echoes) = needles.mask_bytes(Bytes::from(body.clone()));
        assert!(echoes > 0, "{body}");
        let bytes = body.as_bytes();
        for cut in 0..bytes.len() {
            let both = pieces(&needles, &[&bytes[..cut], &bytes[cut..]]);
            assert_eq!(both, whole, "{body} cut at {cut}");
        }
        for size in [1, 2, 3, 7, 16] {
            let cuts: Vec<&[u8]> = bytes.chunks(size).collect();
            assert_eq!(pieces(&needles, &cuts), whole, "{body} in pieces of {size}");
        }
    }
}

/// Where the end of a text means less than a secret is long, more of it is looked at.
#[test]
fn a_secret_of_which_the_end_alone_is_escaped() {
    let needles = needles();
    let body = SECRET[..8].to_owned() + &percent(&percent(&SECRET[8..]));
    let (first, last) = body.as_bytes().split_at(body.len() - 1);
    assert_eq!(pieces(&needles, &[first, last]), b"*".repeat(body.len()));
    // The text is cut off right behind the first digit; what is left means all of it but that and the last.
    let hex: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
    let body = "x".repeat(47) + &hex[..1] + &percent(&hex[1..]);
    let (first, last) = body.as_bytes().split_at(body.len() - 1);
    assert_eq!(
        pieces(&needles, &[first, last]),
        ["x".repeat(47), "*".repeat(body.len() - 47)].concat().as_bytes()
    );
}

/// Within an escape of the third layer, and of a fourth that nobody undoes.
#[test]
fn layers_in_which_an_escape_is_open_are_bounded() {
    let bytes = b"%2525252541";
    let mut boundaries = Boundaries::new(bytes);
    assert_eq!([8, 7, 6].map(|end| boundaries.last_until(end)), [8, 7, 0]);
}

#[test]
fn an_event_is_not_held_back() {
    let mut running = Running::new(needles());
    // Nor where what came before it was in doubt.
    let mut after = Running::new(needles());
    let passed: Vec<u8> =
        ["50%", "4", "\n"].iter().flat_map(|piece| after.push(Bytes::from(*piece)).0).collect();
    assert_eq!(passed, b"50%4\n");
    for event in ["data: {\"a\":1}\n\n", "data: 50% & more \\ less\n\n", "event: x\ndata: s\n\n"] {
        assert_eq!(running.push(Bytes::from(event)).0, event);
    }
    let long = Bytes::from(vec![b' '; ECHO_HELD_BYTES_MAX]);
    assert!(running.push(long.clone()) == (long, 0), "however long it is");
    // Nor is a secret that nothing can make longer, or what can't begin one.
    let secret = Secret::new(b"pw1".to_vec());
    let mut running = Running::new(Arc::new(Needles::new([&secret])));
    for (event, passed) in
        [("is pw1", "is ***"), ("ab", "ab"), ("%70w", "%70w"), ("apw", "a"), ("1\n", "***\n")]
    {
        assert_eq!(running.push(Bytes::from(event)).0, passed, "{event}");
    }
}

#[test]
fn a_body_without_places_to_cut_is_bounded() {
    let mut running = Running::new(needles());
    let run = Bytes::from("%41".repeat(1 << 16));
    let mut passed = 0;
    for _ in 0..4 {
        passed += running.push(run.clone()).0.len();
        assert!(running.held.len() < 1 << 10, "{}", running.held.len());
    }
    assert_eq!(passed + running.finish().0.len(), 4 * run.len());
    // What would be held without end is masked.
    let long = Secret::new([b"ab".repeat(ECHO_HELD_BYTES_MAX), b"c".to_vec()].concat());
    let needles = Arc::new(Needles::new([&long]));
    let mut running = Running::new(needles);
    for (passed, held) in [(0, 1 << 19), (0, ECHO_HELD_BYTES_MAX), (3 << 19, 0)] {
        let (piece, echoes) = running.push(Bytes::from("ab".repeat(1 << 18)));
        assert_eq!((piece.len(), running.held.len()), (passed, held));
        assert!(piece.iter().all(|byte| *byte == b'*') && (echoes > 0) == (passed > 0));
    }
}

/// Pieces of a byte, of a text that stays in doubt, are not searched for each of them; nor do they hide anything.
#[test]
fn what_stays_in_doubt_is_searched_as_it_grows() {
    let long = Secret::new([b"ab".repeat(ECHO_PREFIX_BYTES_MAX), b"c".to_vec()].concat());
    let needles = Arc::new(Needles::new([&long]));
    let body = [&b"x"[..], long.expose(), b"and more"].concat();
    let mut running = Running::new(Arc::clone(&needles));
    let (mut all, mut searched) = (Vec::new(), 0);
    for byte in &body {
        searched += usize::from(running.is_due(&[*byte]));
        all.extend_from_slice(&running.push(Bytes::copy_from_slice(&[*byte])).0);
    }
    let at_first = ECHO_LOOKED_AGAIN_BYTES / ECHO_WAITED_FOR_BYTES;
    assert!((at_first..at_first + 16).contains(&searched), "{searched}");
    all.extend_from_slice(&running.finish().0);
    assert_eq!(all, needles.mask_bytes(Bytes::from(body)).0);
}

/// Nor are they all searched on a thread that serves: a beginning that is no escape is searched with each of them.
#[test]
fn what_is_searched_again_and_again_is_slow() {
    let rule = Secret::new([b"-".repeat(3_000), b"c".to_vec()].concat());
    let mut running = Running::new(Arc::new(Needles::new([&rule])));
    let mut at_once = 0;
    while !running.is_slow(Some(b"-")) {
        assert!(running.push(Bytes::from_static(b"-")).0.is_empty());
        at_once += 1;
    }
    // 1 + 2 + 3 + …: the bound is passed with as many as its root says.
    assert_eq!(at_once, (2.0 * SCANNED_INLINE_BYTES_MAX as f64).sqrt().ceil() as usize);
    assert!(!Running::new(needles()).is_slow(Some(b"-")));
}

#[test]
fn a_step_is_slow_where_it_searches_many_signs() {
    let many = b"%".repeat(SCANNED_INLINE_SIGNS_MAX + 1);
    let (few, more) = (&many[1..], &many[..]);
    let plain = vec![b'a'; 2 * ECHO_LOOKED_AGAIN_BYTES];
    let much = more.repeat(32);
    let max = SCANNED_INLINE_SIGNS_MAX;
    let long = vec![b'a'; SCANNED_INLINE_BYTES_MAX];
    // What is held, how much of it was in doubt, the signs so far, the piece; is the step due, is it slow?
    for (held, in_doubt, signs, piece, is_due, is_slow) in [
        (&[][..], 0, 0, Some(few), true, false),
        (&[], 0, 0, Some(more), true, true),
        // A long piece is as slow as many small ones, whatever stands in it.
        (&[], 0, 0, Some(&long[1..]), true, false),
        (&[], 0, 0, Some(&long), true, true),
        (b"-", 0, 0, Some(&long[1..]), true, true),
        (&[], 0, max, Some(b"%"), true, true),
        (&[], 0, max + 1, Some(b"x"), true, false),
        (more, more.len(), max + 1, Some(b"-"), true, true),
        (more, more.len(), max + 1, None, true, true),
        (few, few.len(), max, None, true, false),
        // What may go on with an escape waits for 16 bytes; what may not does not.
        (few, few.len(), 0, Some(&plain[..15]), false, false),
        (few, few.len(), 0, Some(&plain[..16]), true, false),
        (few, few.len(), 0, Some(b"-"), true, false),
        (&plain, ECHO_LOOKED_AGAIN_BYTES, 0, Some(more), true, true),
        // A quarter of what was in doubt is 2,048 bytes, whether they are held or come.
        (&plain, plain.len(), 0, Some(&plain[..2_047]), false, false),
        (&plain, plain.len(), 0, Some(&plain[..2_048]), true, false),
        (&plain, plain.len() - 512, 0, Some(&plain[..1_407]), false, false),
        (&plain, plain.len() - 512, 0, Some(&plain[..1_408]), true, false),
        (&much, much.len(), max + 1, Some(more), false, false),
    ] {
        let mut running = Running::new(needles());
        running.held.extend_from_slice(held);
        (running.in_doubt, running.signs) = (in_doubt, signs);
        let case = (held.len(), in_doubt, signs, piece.map(<[u8]>::len));
        assert_eq!(piece.is_none_or(|piece| running.is_due(piece)), is_due, "{case:?}");
        assert_eq!(running.is_slow(piece), is_slow, "{case:?}");
    }
}

/// What a reader makes of a text who undoes these dialects, layer after layer.
fn undone(text: &[u8], dialects: Dialects) -> Vec<u8> {
    (0..ECHO_LAYERS_MAX).fold(text.to_vec(), |text, _| {
        let mut meant = Vec::new();
        unescape::unescape(&text, dialects, |_, _, meaning| meant.extend_from_slice(meaning));
        meant
    })
}

proptest::proptest! {
    /// Both sides of a boundary mean by themselves what they mean together, to whoever undoes whichever dialects.
    #[test]
    fn a_boundary_is_one_for_every_reader(
        text in "([a-c%&;#x0-9\\\\u ]|%41|%25|\\\\u0041|%2541|&#65;|&#6|&#x0041|&lt;|&amp|\\\\u005cu0061|\\\\u00e9|\\\\|%5c|&#92;){1,40}",
        end in 0usize..100,
    ) {
        let bytes = text.as_bytes();
        let end = end.min(bytes.len());
        let mut boundaries = Boundaries::new(bytes);
        let boundary = boundaries.last_until(end);
        proptest::prop_assert!(boundary <= end);
        for (dialects, _) in Readers::ALL.groups(Dialects::begun_in(b"%\\&")) {
            let apart = [undone(&bytes[..boundary], dialects), undone(&bytes[boundary..], dialects)].concat();
            proptest::prop_assert_eq!(undone(bytes, dialects), apart, "{:?} at {}", dialects, boundary);
        }
        // Asked again further to the front, it says what it says when it is asked there at once.
        let before = boundary.saturating_sub(1);
        proptest::prop_assert_eq!(boundaries.last_until(before), Boundaries::new(bytes).last_until(before));
    }

    #[test]
    fn pieces_are_masked_as_the_whole(
        text in "([a-c%&;#x0-9\\\\u ]|%41|\\\\u0041|%2541|&#65;|&#6|&#x0041|&lt;|abcdefgh|YWJjZGVmZ2g|\\\\u005cu0061|bcdefgh){1,40}",
        cuts in proptest::collection::vec(0usize..200, 0..6),
    ) {
        let needles = Arc::new(Needles::new([&Secret::new(b"abcdefgh".to_vec()), &Secret::new(b"c\\u".to_vec())]));
        let bytes = text.as_bytes();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let cut: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        proptest::prop_assert_eq!(pieces(&needles, &cut), needles.mask_bytes(Bytes::copy_from_slice(bytes)).0.to_vec());
    }

    #[test]
    fn the_end_decides_what_is_open(
        before in "([a-c ]|%41|%25|%\\\\&|abcdefgh){0,200}",
        text in "([a-c%&;#x0-9\\\\u ]|%41|\\\\u0041|%2541|&#65;|&#6|&#x0041|abcdefgh|YWJjZGVmZ2g|%61%62|bcdefg|sk_live_|4eC39 HqLy|sk%5flive%5F4eC39 ){1,40}",
    ) {
        let needles = needles();
        let short = Needles::new([&Secret::new(b"abcdefgh".to_vec()), &Secret::new(b"c\\u".to_vec())]);
        let bytes = [before.as_bytes(), text.as_bytes()].concat();
        for needles in [&*needles, &short] {
            proptest::prop_assert_eq!(Some(needles.open(&bytes)), needles.open_in(&bytes, false, Readers::ALL, 0));
        }
    }
}
