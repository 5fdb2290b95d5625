//! Passwords of people: Argon2id, a few at a time, away from the threads that serve.
//!
//! A hash costs tens of milliseconds and 19 MiB by design, so that a stolen table is of little use; the bound keeps a
//! storm of sign-ins from taking the machine.

use super::{Code, Error, Result, Violation};
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Argon2, PasswordHash};
use std::sync::Arc;
use store::Entropy;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Hashes under way at once.
const AT_ONCE: usize = 2;
/// Shortest and longest password, in characters (NIST SP 800-63B section 3.1.1.2).
const CHARS: std::ops::RangeInclusive<usize> = 8..=256;

/// A password as somebody types it.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(..)")
    }
}

impl Password {
    /// One that was typed to sign in.
    pub fn typed(text: String) -> Self {
        Password(Zeroizing::new(text))
    }

    /// One that somebody chooses: 8 to 256 characters.
    pub fn chosen(text: String) -> Result<Self> {
        if CHARS.contains(&text.chars().count()) {
            Ok(Password(Zeroizing::new(text)))
        } else {
            Err(Violation::new("password", Code::Invalid).into())
        }
    }
}

/// Hashes and compares, at most two at once. Clones share the bound.
#[derive(Debug, Clone)]
pub struct Passwords(Arc<Semaphore>);

impl Default for Passwords {
    fn default() -> Self {
        Passwords(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Passwords {
    /// The text that is stored of a password.
    pub async fn hash(&self, password: Password, entropy: &Entropy) -> Result<String> {
        let mut salt = [0; 16];
        entropy.fill(&mut salt);
        self.run(move || {
            let hash = Argon2::default().hash_password_with_salt(password.0.as_bytes(), &salt);
            let hash: PasswordHash = hash.map_err(|_| failed())?;
            Ok(hash.to_string())
        })
        .await
    }

    /// Whether it is the password. Without a stored one it takes as long and is not: nobody learns who exists.
    pub async fn fits(&self, password: Password, stored: Option<String>) -> Result<bool> {
        self.run(move || {
            let argon = Argon2::default();
            let Some(stored) = stored else {
                let spent: std::result::Result<PasswordHash, _> =
                    argon.hash_password_with_salt(password.0.as_bytes(), &[0; 16]);
                return spent.map(|_| false).map_err(|_| failed());
            };
            Ok(argon.verify_password(password.0.as_bytes(), stored.as_str()).is_ok())
        })
        .await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let turn = Arc::clone(&self.0).acquire_owned().await.map_err(|_| failed())?;
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        done.await.map_err(|_| failed())?
    }
}

fn failed() -> Error {
    Error::Internal("a password could not be hashed".into())
}
