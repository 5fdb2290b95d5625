//! What only a partner has: its handle, where its clients land, where its events go.

use super::account::AccountId;
use super::key;
use super::secret::{self, Place, Secret, Vault};
use super::{Code, Error, Noun, Result, Scope, Violation, endpoint, hook};
use store::{Column, FromRow, Param, Row, Rx, Tx, Val, sql};
use url::Url;

/// Random characters of a handle, before its ending (spec 30 section 1.1).
const HANDLE_CHARS: usize = 6;
/// Tries to find a free handle; there are 5.7 × 10¹⁰.
const HANDLE_TRIES: usize = 4;
/// Characters of what events are signed with.
const SECRET_CHARS: usize = 40;
/// Longest URL that is kept.
pub const URL_MAX: usize = 2_048;
/// "Unknown country", until the operator sets one (`account set ID country=NL`).
const COUNTRY_UNKNOWN: &str = "ZZ";

/// A partner's public name: six letters and digits and `PA`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handle(String);

impl Handle {
    /// Takes what somebody asks for; it need not exist.
    pub fn new(text: impl Into<String>) -> Self {
        Handle(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Param for Handle {
    fn val(&self) -> Val<'_> {
        Val::Text(&self.0)
    }
}

impl Column for Handle {
    fn col(value: Val<'_>) -> std::result::Result<Self, store::Error> {
        String::col(value).map(Handle)
    }
}

/// A partner as its own API shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partner {
    /// Its public name.
    pub handle: Handle,
    /// The account's name.
    pub brand: String,
    /// Two letters.
    pub country: String,
    /// Shown on the onboarding page.
    pub logo_url: Option<String>,
    /// Where its events go.
    pub webhook_url: Option<String>,
    /// Where clients land after onboarding.
    pub redirect_url: Option<String>,
    /// Whether clients may add numbers.
    pub clients_add_numbers: bool,
    /// A JSON object that is kept and shown as it is.
    pub settings: String,
}

impl FromRow for Partner {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Partner {
            handle: row.next()?,
            brand: row.next()?,
            country: row.next()?,
            logo_url: row.next()?,
            webhook_url: row.next()?,
            redirect_url: row.next()?,
            clients_add_numbers: row.next()?,
            settings: row.next()?,
        })
    }
}

/// Adds the partner object to an account: part of creating a partner.
pub async fn open(tx: &mut Tx, id: AccountId) -> Result<Handle> {
    for _ in 0..HANDLE_TRIES {
        let handle = Handle(format!("{}PA", secret::alphanumeric(tx, HANDLE_CHARS)));
        let opened = tx
            .exec(
                sql!(
                    "INSERT INTO partner (root, handle, country, clients_add_numbers, settings)
                     VALUES ($1, $2, $3, $4, '{}') ON CONFLICT (handle) DO NOTHING"
                ),
                &[&id, &handle, &COUNTRY_UNKNOWN, &true],
            )
            .await?;
        if opened == 1 {
            return Ok(handle);
        }
    }
    Err(Error::Unavailable("no free partner id was found; try again".into()))
}

/// The partner object of an account.
pub async fn view(rx: &mut Rx, id: &AccountId) -> Result<Partner> {
    rx.maybe(
        sql!(
            "SELECT p.handle, a.name, p.country, p.logo_url, p.webhook_url, p.redirect_url, p.clients_add_numbers,
             p.settings FROM partner p JOIN account a ON a.id = p.root WHERE p.root = $1"
        ),
        &[id],
    )
    .await?
    .ok_or(Error::NotFound(Noun::Account))
}

/// The account that has this handle.
pub async fn by_handle(rx: &mut Rx, handle: &Handle) -> Result<AccountId> {
    rx.maybe(sql!("SELECT root FROM partner WHERE handle = $1"), &[handle])
        .await?
        .ok_or(Error::NotFound(Noun::Account))
}

/// Changes to a partner object: `None` leaves as it is, an empty URL clears it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patch {
    /// Two letters.
    pub country: Option<String>,
    /// Shown on the onboarding page.
    pub logo_url: Option<String>,
    /// Where its events go.
    pub webhook_url: Option<String>,
    /// Where clients land after onboarding.
    pub redirect_url: Option<String>,
    /// Whether clients may add numbers.
    pub clients_add_numbers: Option<bool>,
    /// See [`Rules::token_sign_in`].
    pub token_sign_in: Option<bool>,
    /// See [`Rules::clients_by_email`].
    pub clients_by_email: Option<bool>,
    /// See [`Rules::signed_onboarding`].
    pub signed_onboarding: Option<bool>,
    /// See [`Rules::signature_prefix`].
    pub signature_prefix: Option<bool>,
}

/// How a partner's API and pages behave where the sources leave it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "switches that the operator sets one by one")]
pub struct Rules {
    /// Whether people may sign in for tokens (spec 30 section 3).
    pub token_sign_in: bool,
    /// Whether a client is made once for each e-mail address (spec 31 section 1.4).
    pub clients_by_email: bool,
    /// Whether onboarding begins by a signed link only (spec 32 section 5).
    pub signed_onboarding: bool,
    /// Whether the signature of an event names its algorithm (spec 32 section 1.1).
    pub signature_prefix: bool,
}

impl FromRow for Rules {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Rules {
            token_sign_in: row.next()?,
            clients_by_email: row.next()?,
            signed_onboarding: row.next()?,
            signature_prefix: row.next()?,
        })
    }
}

/// How a partner's API and pages behave.
pub async fn rules(rx: &mut Rx, id: &AccountId) -> Result<Rules> {
    rx.maybe(
        sql!(
            "SELECT token_sign_in, clients_by_email, signed_onboarding, signature_prefix FROM partner WHERE root = $1"
        ),
        &[id],
    )
    .await?
    .ok_or(Error::NotFound(Noun::Account))
}

/// Replaces what a partner's events and onboarding links are signed with, and answers it: it is shown this once.
pub async fn rotate_secret(tx: &mut Tx, (id, vault): &(AccountId, Vault)) -> Result<Secret> {
    let text = Secret::generate(tx, "", SECRET_CHARS);
    let sealed = vault.seal(tx, Place::PlatformSecret(id.0), text.reveal().as_bytes());
    let changed =
        tx.exec(sql!("UPDATE partner SET platform_secret = $2 WHERE root = $1"), &[id, &sealed]).await?;
    if changed == 0 { Err(Error::NotFound(Noun::Account)) } else { Ok(text) }
}

/// What a partner's events and onboarding links are signed with, sealed; `None` before the first rotation.
pub async fn sealed_secret(rx: &mut Rx, id: &AccountId) -> Result<Option<Vec<u8>>> {
    let found: Option<Option<Vec<u8>>> =
        rx.maybe(sql!("SELECT platform_secret FROM partner WHERE root = $1"), &[id]).await?;
    found.ok_or(Error::NotFound(Noun::Account))
}

/// Where a partner's events go, and the headers that go with them: lines of name and value.
#[derive(Debug, Clone)]
pub struct Hook {
    /// Whose.
    pub partner: AccountId,
    /// As [`check_url`] takes it.
    pub url: String,
    /// `None` leaves them as they are.
    pub headers: Option<String>,
    /// Seals them.
    pub vault: Vault,
}

/// Sets where a partner's events go.
pub async fn set_hook(tx: &mut Tx, asked: &Hook) -> Result<Partner> {
    let patch = Patch { webhook_url: Some(asked.url.clone()), ..Patch::default() };
    let partner = update(tx, &(asked.partner, patch)).await?;
    if let Some(headers) = &asked.headers {
        let place = hook::place(Scope { root: asked.partner, account: asked.partner }, "");
        let sealed = hook::sealed(tx, &asked.vault, place, headers);
        tx.put(sql!("UPDATE partner SET webhook_headers = $2 WHERE root = $1"), &[&asked.partner, &sealed])
            .await?;
    }
    Ok(partner)
}

/// Changes a partner object and answers it whole.
pub async fn update(tx: &mut Tx, (id, patch): &(AccountId, Patch)) -> Result<Partner> {
    let present: Partner = tx
        .maybe(
            sql!(
                "SELECT p.handle, '', p.country, p.logo_url, p.webhook_url, p.redirect_url, p.clients_add_numbers,
                 p.settings FROM partner p WHERE p.root = $1 FOR UPDATE"
            ),
            &[id],
        )
        .await?
        .ok_or(Error::NotFound(Noun::Account))?;
    let url = |new: &Option<String>, old: Option<String>| match new {
        None => old,
        Some(text) if text.is_empty() => None,
        Some(text) => Some(text.clone()),
    };
    if let Some(country) = &patch.country
        && !(country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase()))
    {
        return Err(Violation::new("country", Code::Invalid).into());
    }
    // Headers are secrets of the place that they were given for.
    let stays = patch.webhook_url.as_ref().is_none_or(|new| {
        present.webhook_url.as_ref().is_some_and(|old| endpoint::origin(old) == endpoint::origin(new))
    });
    tx.put(
        sql!(
            "UPDATE partner SET country = $2, logo_url = $3, webhook_url = $4, redirect_url = $5,
             clients_add_numbers = $6, webhook_headers = CASE WHEN $7 THEN webhook_headers END WHERE root = $1"
        ),
        &[
            id,
            patch.country.as_ref().unwrap_or(&present.country),
            &url(&patch.logo_url, present.logo_url),
            &url(&patch.webhook_url, present.webhook_url),
            &url(&patch.redirect_url, present.redirect_url),
            &patch.clients_add_numbers.unwrap_or(present.clients_add_numbers),
            &stays,
        ],
    )
    .await?;
    let Patch { token_sign_in, clients_by_email, signed_onboarding, signature_prefix, .. } = patch;
    if [token_sign_in, clients_by_email, signed_onboarding, signature_prefix]
        .iter()
        .any(|rule| rule.is_some())
    {
        tx.put(
            sql!(
                "UPDATE partner SET token_sign_in = COALESCE(CAST($2 AS BOOLEAN), token_sign_in),
                 clients_by_email = COALESCE(CAST($3 AS BOOLEAN), clients_by_email),
                 signed_onboarding = COALESCE(CAST($4 AS BOOLEAN), signed_onboarding),
                 signature_prefix = COALESCE(CAST($5 AS BOOLEAN), signature_prefix) WHERE root = $1"
            ),
            &[id, token_sign_in, clients_by_email, signed_onboarding, signature_prefix],
        )
        .await?;
    }
    if *token_sign_in == Some(false) {
        key::revoke_for(tx, *id, key::Role::Session, None).await?;
        key::revoke_for(tx, *id, key::Role::Viewing, None).await?;
    }
    view(tx, id).await
}

/// Checks a URL that we are asked to call or to lead people to: absolute, http or https, with a host, not too long. An
/// empty text is allowed and clears.
pub fn check_url(text: &str) -> std::result::Result<(), Code> {
    if text.is_empty() {
        return Ok(());
    }
    let url = Url::parse(text).map_err(|_| Code::NotUrl)?;
    if text.len() > URL_MAX {
        Err(Code::TooLong(URL_MAX))
    } else if !matches!(url.scheme(), "http" | "https")
        || !url.has_host()
        || !url.username().is_empty()
        || url.password().is_some()
        || text.contains(char::is_control)
    {
        Err(Code::NotUrl)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_absolute_web_addresses_only() {
        for good in
            ["", "https://acme.example/hooks", "http://127.0.0.1:8000/x?y=1", "https://[2001:db8::1]/"]
        {
            assert_eq!(check_url(good), Ok(()), "{good}");
        }
        for bad in [
            "acme.example",
            "/hooks",
            "ftp://acme.example",
            "https://",
            "javascript:alert(1)",
            "https://a\n.b",
        ] {
            assert_eq!(check_url(bad), Err(Code::NotUrl), "{bad}");
        }
        let long = format!("https://acme.example/{}", "x".repeat(URL_MAX));
        assert_eq!(check_url(&long), Err(Code::TooLong(URL_MAX)));
    }
}
