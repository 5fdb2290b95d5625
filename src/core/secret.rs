//! Secrets: how their texts are made, what is stored of them, and the sealing of those that must be readable again.
//!
//! A key that only has to be recognised is stored as its SHA-256: it carries 148 bits, so neither a salt nor a slow hash
//! would add anything. A secret that must be used again (a signing key) is sealed with XChaCha20-Poly1305 under the
//! master key, bound to its place, so that a sealed value copied to another row does not open.

use super::error::Code;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use store::Tx;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Characters of a live key's text.
pub const ACCESS_KEY_CHARS: usize = 25;
/// Characters of a signing key (spec 00 section 2).
pub const SIGNING_KEY_CHARS: usize = 32;
/// Shortest and longest key text that may be imported.
const IMPORTED_CHARS: std::ops::RangeInclusive<usize> = 16..=64;
/// Longest signing key that may be imported.
const SIGNING_KEY_MAX: usize = 128;
const NONCE_BYTES: usize = 24;
const ALPHANUMERICS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// The text of a secret. It is in no debug output, and wiped when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Secret(String);

impl Secret {
    /// Takes a text that somebody gave.
    pub fn new(text: String) -> Self {
        Secret(text)
    }

    /// A fresh text of `length` letters and digits, 5.95 bits each, with `prefix` before it.
    pub fn generate(tx: &mut Tx, prefix: &str, length: usize) -> Self {
        Secret(format!("{prefix}{}", alphanumeric(tx, length)))
    }

    /// Checks a key that a customer brings along: 16 to 64 printable ASCII characters without blanks.
    pub fn imported_key(text: &str) -> Result<Self, Code> {
        Self::imported(text, IMPORTED_CHARS)
    }

    /// Checks a signing key that a customer brings along: at least 32 printable ASCII characters.
    pub fn imported_signing_key(text: &str) -> Result<Self, Code> {
        Self::imported(text, SIGNING_KEY_CHARS..=SIGNING_KEY_MAX)
    }

    fn imported(text: &str, length: std::ops::RangeInclusive<usize>) -> Result<Self, Code> {
        if length.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Secret(text.to_owned()))
        } else {
            Err(Code::Invalid)
        }
    }

    /// The text itself, to be shown once or used.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is stored of a key: the SHA-256 of its text.
    pub fn hash(&self) -> [u8; 32] {
        hash(&self.0)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The SHA-256 of a key's text.
pub fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        for digit in [byte >> 4, byte & 15] {
            hex.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
        }
        hex
    })
}

/// `length` letters and digits, each equally likely.
pub fn alphanumeric(tx: &mut Tx, length: usize) -> String {
    let mut text = String::with_capacity(length);
    let mut bytes = [0u8; 64];
    while text.len() < length {
        tx.random(&mut bytes);
        // 248 is the largest multiple of 62 in a byte: what lies above would favour the first letters.
        let fair = bytes.iter().filter(|b| **b < 248);
        text.extend(fair.map(|b| char::from(ALPHANUMERICS[usize::from(b % 62)])).take(length - text.len()));
    }
    bytes.zeroize();
    text
}

/// What a sealed value belongs to; it opens nowhere else.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    /// The signing key of the account with this number.
    SigningKey(i64),
    /// An answer kept for repeated requests: the account's number and the request's hash.
    Answer(i64, [u8; 32]),
    /// What the carrier with this number knows us by.
    Carrier(i64),
    /// What a partner's events are signed with.
    PlatformSecret(i64),
    /// The headers that go with the callbacks of a partner, a business account or a channel; the account's number and the id.
    Headers(i64, [u8; 32]),
    /// The password of an SMPP user: the SHA-256 of its system id.
    SmppPassword([u8; 32]),
    /// What the transport with this number knows us by.
    TransportToken(i64),
    /// What it signs what it tells with.
    TransportSecret(i64),
    /// The seed of a person's second factor: the person's id.
    SecondFactor([u8; 16]),
    /// The check value of the master key.
    Check,
}

impl Place {
    fn bytes(self) -> Vec<u8> {
        match self {
            Place::SigningKey(account) => [b"signing-key:".as_slice(), &account.to_be_bytes()].concat(),
            Place::Answer(account, hash) => [b"answer:".as_slice(), &account.to_be_bytes(), &hash].concat(),
            Place::Carrier(carrier) => [b"carrier:".as_slice(), &carrier.to_be_bytes()].concat(),
            Place::PlatformSecret(account) => {
                [b"platform-secret:".as_slice(), &account.to_be_bytes()].concat()
            }
            Place::Headers(account, of) => [b"headers:".as_slice(), &account.to_be_bytes(), &of].concat(),
            Place::SmppPassword(hash) => [b"smpp-password:".as_slice(), &hash].concat(),
            Place::TransportToken(id) => [b"transport-token:".as_slice(), &id.to_be_bytes()].concat(),
            Place::TransportSecret(id) => [b"transport-secret:".as_slice(), &id.to_be_bytes()].concat(),
            Place::SecondFactor(person) => [b"second-factor:".as_slice(), &person].concat(),
            Place::Check => b"check".to_vec(),
        }
    }
}

/// Seals and opens under the master key. Cheap to clone.
#[derive(Clone)]
pub struct Vault(Arc<Keys>);

struct Keys {
    cipher: XChaCha20Poly1305,
    /// Makes tokens: a key of its own, so that what they tell says nothing about what is sealed.
    tokens: [u8; 32],
}

/// Bytes of a token that are shown.
const TOKEN_BYTES: usize = 20;

/// HMAC-SHA256.
fn mac(key: &[u8], pieces: &[&str]) -> [u8; 32] {
    // A key of any length is one.
    let Ok(mut mac) = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key) else { return [0; 32] };
    for piece in pieces {
        mac.update(&u64::try_from(piece.len()).unwrap_or(u64::MAX).to_be_bytes());
        mac.update(piece.as_bytes());
    }
    mac.finalize().into_bytes().into()
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault(..)")
    }
}

/// The sealed value does not open: another master key, another place, or damage.
#[derive(Debug, PartialEq, Eq)]
pub struct Unopened;

impl Vault {
    /// A vault for a master key of 32 bytes.
    pub fn new(key: &[u8; 32]) -> Self {
        let cipher = XChaCha20Poly1305::new(&Key::from(*key));
        Vault(Arc::new(Keys { cipher, tokens: mac(key, &["tokens"]) }))
    }

    /// What only this installation can make of some texts: 40 hexadecimal digits, always the same.
    pub fn token(&self, of: &[&str]) -> String {
        let mac = mac(&self.0.tokens, of);
        mac[..TOKEN_BYTES].iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    }

    /// Nonce and ciphertext.
    pub fn seal(&self, tx: &mut Tx, place: Place, plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0u8; NONCE_BYTES];
        tx.random(&mut nonce);
        let payload = Payload { msg: plain, aad: &place.bytes() };
        // Encryption fails only above 256 GiB; an empty value would not open, so nothing could be mistaken for a secret.
        let sealed = self.0.cipher.encrypt(&XNonce::from(nonce), payload).unwrap_or_default();
        [nonce.as_slice(), &sealed].concat()
    }

    /// The value that was sealed for this place.
    pub fn open(&self, place: Place, sealed: &[u8]) -> Result<Vec<u8>, Unopened> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(Unopened)?;
        let payload = Payload { msg: sealed, aad: &place.bytes() };
        self.0.cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| Unopened)
    }
}
