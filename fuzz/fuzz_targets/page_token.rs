//! A page token: it is refused, or it is exactly the one that the list gives for the place it names. And a token of one
//! user's list, changed in any place, is not taken.

#![no_main]

use libfuzzer_sys::fuzz_target;
use scrip::api::fuzzing::{place, place_of_three, token};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    for user_id in [0, 1] {
        if let Some((_, again)) = place(user_id, &text) {
            assert_eq!(again, text);
        }
    }
    if let Some((_, again)) = place_of_three(&text) {
        assert_eq!(again, text);
    }
    let [at, change, number @ ..] = bytes else { return };
    let mut number_bytes = [0; 8];
    number_bytes.iter_mut().zip(number).for_each(|(byte, from)| *byte = *from);
    let number = i64::from_be_bytes(number_bytes);
    let whole = token(1, number);
    assert_eq!(place(1, &whole), Some((number, whole.clone())));
    assert_eq!(place(2, &whole), None, "a token of another's list");
    let mut mangled = whole.clone().into_bytes();
    let at = usize::from(*at) % mangled.len();
    mangled[at] ^= change;
    let mangled = String::from_utf8_lossy(&mangled);
    if mangled != whole {
        assert_eq!(place(1, &mangled), None, "a mangled token");
    }
});
