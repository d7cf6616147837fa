//! The room as a whole: what opens and what does not, what is shown and what is not, one file for many creators.

mod files;
mod sealing;
mod texts;

use super::{FalKey, Kek, KekId, Keyring};

/// Appears in every secret of these tests, and must appear nowhere else.
const CANARY: &str = "s3cret";

fn key(id: &str) -> FalKey {
    FalKey::new(format!("{id}:{CANARY}-of-{id}")).unwrap()
}

fn id(text: &str) -> KekId {
    KekId::new(text).unwrap()
}

/// A keyring of these ids, each with its byte.
fn ring(keys: &[(&str, u8)]) -> Keyring {
    let lines: Vec<String> =
        keys.iter().map(|(id, byte)| format!("{id}:{}", format!("{byte:02x}").repeat(Kek::BYTES))).collect();
    Keyring::parse(&lines.join("\n")).unwrap()
}

#[test]
fn what_is_secret_is_wiped_when_it_is_dropped() {
    fn wiped<T: zeroize::ZeroizeOnDrop>() {}
    wiped::<FalKey>();
    wiped::<Kek>();
    assert!(std::mem::needs_drop::<FalKey>() && std::mem::needs_drop::<Keyring>());
}
