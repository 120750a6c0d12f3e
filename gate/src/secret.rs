//! The one secret of an installation, from which every key is derived.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The fewest bytes a secret may have: as many as the keys derived from it.
pub const SECRET_BYTES_MIN: usize = 32;

/// At least [`SECRET_BYTES_MIN`] bytes that only the services know. Never used as a key itself.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a secret needs at least {SECRET_BYTES_MIN} bytes, this one has {bytes}")]
pub struct InvalidSecret {
    bytes: usize,
}

impl Secret {
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, InvalidSecret> {
        if bytes.len() < SECRET_BYTES_MIN {
            return Err(InvalidSecret { bytes: bytes.len() });
        }
        Ok(Self(bytes))
    }

    /// From a file's or a variable's text, without the white space around it: hexadecimal digits when it is nothing
    /// else, otherwise the text's own bytes.
    pub fn from_text(text: &str) -> Result<Self, InvalidSecret> {
        let text = text.trim();
        Self::from_bytes(from_hex(text).unwrap_or_else(|| text.as_bytes().to_vec()))
    }

    /// A key for one purpose: HMAC-SHA256 of the purpose's name under the secret. Knowing one key tells nothing of
    /// the secret or of another key.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(b"foldline ");
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if digits.is_empty() || !digits.len().is_multiple_of(2) {
        return None;
    }
    (digits.chunks_exact(2))
        .map(|pair| {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            u8::try_from(high * 16 + low).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_secret_is_refused() {
        assert_eq!(
            Secret::from_text(&"ab".repeat(31)).unwrap_err(),
            InvalidSecret { bytes: 31 }
        );
        assert_eq!(
            Secret::from_text(" short \n").unwrap_err(),
            InvalidSecret { bytes: 5 }
        );
    }

    #[test]
    fn hexadecimal_text_stands_for_its_bytes() {
        let text = Secret::from_text(&format!("{}\n", "0F".repeat(32))).unwrap();
        let bytes = Secret::from_bytes(vec![15; 32]).unwrap();
        assert_eq!(text.derive("a"), bytes.derive("a"));
    }

    #[test]
    fn keys_differ_by_purpose_and_by_secret_and_a_secret_is_not_printed() {
        let one = Secret::from_text("one secret that is long enough to be one").unwrap();
        let other = Secret::from_text("another secret that is long enough, too").unwrap();
        assert_ne!(one.derive("a"), one.derive("b"));
        assert_ne!(one.derive("a"), other.derive("a"));
        assert_eq!(format!("{one:?}"), "Secret(…)");
    }
}
