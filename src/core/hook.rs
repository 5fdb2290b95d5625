//! Where messages of a channel go, its own way or its business account's: a URL, and headers that are sealed.

use super::secret::{self, Place, Vault};
use super::{Error, Noun, Result, Scope, Timestamp};
use store::{Rx, Tx, sql};

/// Who has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// A channel.
    Channel,
    /// A business account, for its channels that have none of their own.
    Business,
}

/// Where messages go.
#[derive(Debug, Clone)]
pub struct Hook {
    /// Whose.
    pub scope: Scope,
    /// Of what.
    pub owner: Owner,
    /// Of which channel or business account.
    pub of: String,
    /// Empty for nowhere.
    pub url: String,
    /// Lines of name and value.
    pub headers: String,
    /// Seals the headers.
    pub vault: Vault,
}

/// Where the headers of a channel or business account are kept; a partner's have no name.
pub fn place(scope: Scope, of: &str) -> Place {
    Place::Headers(scope.account.0, secret::hash(of))
}

/// Headers as they are stored.
pub(super) fn sealed(tx: &mut Tx, vault: &Vault, place: Place, headers: &str) -> Option<Vec<u8>> {
    (!headers.is_empty()).then(|| vault.seal(tx, place, headers.as_bytes()))
}

/// Sets where messages go.
pub async fn set(tx: &mut Tx, hook: &Hook) -> Result<()> {
    let Hook { scope, owner, of, url, headers, vault } = hook;
    let sealed = sealed(tx, vault, place(*scope, of), headers);
    let url = Some(url.as_str()).filter(|url| !url.is_empty());
    let now: Timestamp = tx.now();
    let (changed, noun) = match owner {
        Owner::Channel => {
            let set = sql!(
                "UPDATE channel SET webhook_url = $4, webhook_headers = $5 WHERE root = $1 AND account = $2 AND id = $3"
            );
            (tx.exec(set, &[&scope.root, &scope.account, of, &url, &sealed]).await?, Noun::Channel)
        }
        Owner::Business => {
            let set = sql!(
                "UPDATE business SET webhook_url = $4, webhook_headers = $5, modified = $6
                 WHERE root = $1 AND account = $2 AND id = $3"
            );
            (tx.exec(set, &[&scope.root, &scope.account, of, &url, &sealed, &now]).await?, Noun::Business)
        }
    };
    if changed == 0 { Err(Error::NotFound(noun)) } else { Ok(()) }
}

/// The headers that go with its calls, sealed.
pub async fn headers(rx: &mut Rx, (scope, owner, of): &(Scope, Owner, String)) -> Result<Option<Vec<u8>>> {
    let headers = match owner {
        Owner::Channel => {
            sql!("SELECT webhook_headers FROM channel WHERE root = $1 AND account = $2 AND id = $3")
        }
        Owner::Business => {
            sql!("SELECT webhook_headers FROM business WHERE root = $1 AND account = $2 AND id = $3")
        }
    };
    let found: Option<Option<Vec<u8>>> = rx.maybe(headers, &[&scope.root, &scope.account, of]).await?;
    Ok(found.flatten())
}
