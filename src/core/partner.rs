//! What only a partner has: its handle, where its clients land, where its events go.

use super::account::AccountId;
use super::secret;
use super::{Code, Error, Noun, Result, Violation};
use store::{Column, FromRow, Param, Row, Rx, Tx, Val, sql};
use url::Url;

/// Random characters of a handle, before its ending (spec 30 section 1.1).
const HANDLE_CHARS: usize = 6;
/// Tries to find a free handle; there are 5.7 × 10¹⁰.
const HANDLE_TRIES: usize = 4;
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
    tx.put(
        sql!(
            "UPDATE partner SET country = $2, logo_url = $3, webhook_url = $4, redirect_url = $5,
             clients_add_numbers = $6 WHERE root = $1"
        ),
        &[
            id,
            patch.country.as_ref().unwrap_or(&present.country),
            &url(&patch.logo_url, present.logo_url),
            &url(&patch.webhook_url, present.webhook_url),
            &url(&patch.redirect_url, present.redirect_url),
            &patch.clients_add_numbers.unwrap_or(present.clients_add_numbers),
        ],
    )
    .await?;
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
