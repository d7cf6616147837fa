//! What a token looks like: `scrip_` and 43 letters for 256 random bits. Only its digest is ever kept or compared.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::store::tokens::TokenDigest;

/// By it a scanner finds tokens where they do not belong.
const PREFIX: &str = "scrip_";

/// A new token: shown once, to whoever made it.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The token of these random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        let bytes = Zeroizing::new(bytes);
        Self(Zeroizing::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(*bytes))))
    }

    /// The token itself, for the one place that shows it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn digest(&self) -> TokenDigest {
        digest_of(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What is kept of a token.
pub fn digest_of(token: &str) -> TokenDigest {
    Sha256::digest(token.as_bytes()).into()
}

/// Whether there is something in a text that looks like a token: it must not be repeated in a message, nor kept.
pub fn holds_token(text: &str) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-".contains(byte);
    text.match_indices(PREFIX).any(|(at, _)| {
        let letters = text.as_bytes()[at + PREFIX.len()..].iter().take_while(|byte| is_letter(byte)).count();
        letters >= 40
    })
}

/// What a call carries to prove who makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// Nothing.
    Nothing,
    /// Something that is no bearer token.
    Unreadable,
    /// A token, as its digest.
    Token(TokenDigest),
}

/// Reads the `authorization` header.
pub(super) fn shown(headers: &HeaderMap) -> Shown {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Shown::Nothing };
    let bearer = value.to_str().ok().and_then(|value| value.split_once(' '));
    match bearer {
        Some((scheme, token)) if values.next().is_none() && scheme.eq_ignore_ascii_case("bearer") => {
            Shown::Token(digest_of(token.trim()))
        }
        _ => Shown::Unreadable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(values: &[&str]) -> Shown {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        shown(&headers)
    }

    #[test]
    fn a_token_has_a_prefix_and_all_its_bits() {
        let token = Secret::new([0xa5; 32]);
        assert!(token.expose().starts_with("scrip_") && token.expose().len() == 6 + 43);
        assert!(token.expose().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)));
        let mut other = [0xa5; 32];
        other[31] ^= 1;
        assert_ne!(token.expose(), Secret::new(other).expose());
        assert_eq!(format!("{token:?}"), "Secret");
    }

    #[test]
    fn a_token_is_recognised_wherever_it_stands() {
        let token = Secret::new([7; 32]);
        for text in [
            token.expose().to_owned(),
            format!("see {}.", token.expose()),
            format!("scrip_ {}", token.expose()),
        ] {
            assert!(holds_token(&text), "{text}");
        }
        for text in ["", "scrip_tokens_slot", "scrip_", "任scrip_任", &token.expose()[6..]] {
            assert!(!holds_token(text), "{text}");
        }
    }

    #[test]
    fn a_bearer_token_is_read_and_nothing_else() {
        let digest = Shown::Token(digest_of("scrip_x"));
        assert_eq!(header(&[]), Shown::Nothing);
        for value in ["Bearer scrip_x", "bearer scrip_x", "BEARER  scrip_x "] {
            assert_eq!(header(&[value]), digest, "{value:?}");
        }
        for values in [&["scrip_x"][..], &["Basic scrip_x"], &[""], &["Bearer scrip_x", "Bearer scrip_x"]] {
            assert_eq!(header(values), Shown::Unreadable, "{values:?}");
        }
    }
}
