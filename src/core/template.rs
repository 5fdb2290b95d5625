//! Templates: messages that the network has seen beforehand. They belong to a business account.

use super::account::AccountId;
use super::business::{self, Business};
use super::client;
use super::event::{self, About, Dialect, Kind};
use super::words::words;
use super::{Code, Error, Noun, Result, Scope, Timestamp, Violation, secret};
use store::{FromRow, Row, Rx, Tx, sql};

/// Random characters of an id, before its ending (spec 30 section 1.1).
const ID_CHARS: usize = 20;
/// Digits of a simulated network's id.
const EXTERNAL_DIGITS: usize = 12;
/// Longest components, in bytes of JSON.
pub const COMPONENTS_MAX: usize = 64 * 1024;
/// Templates that a business account may have, about: two that come at once may both be the last one.
const TEMPLATES_MAX: usize = 1_000;
/// Templates that are looked through at once.
const LIST_MAX: i64 = 20_000;
/// A simulated network decides after this time.
const DECIDES_US: i64 = 1_000_000;
/// A simulated network rejects templates whose name begins so.
pub const REJECTED_PREFIX: &str = "reject_";

words! {
    /// What the network thinks of a template.
    Status {
        /// It was handed in.
        Submitted = "submitted",
        /// It can be used.
        Approved = "approved",
        /// It cannot.
        Rejected = "rejected",
    }
}

words! {
    /// What the network has found fault with.
    Fault {
        /// With nothing.
        Nothing = "nothing",
        /// With its form.
        Format = "format",
    }
}

/// A template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Its id here.
    pub id: String,
    /// Whose.
    pub scope: Scope,
    /// Of which business account.
    pub business: String,
    /// Its id at the network.
    pub external: String,
    /// Its name.
    pub name: String,
    /// Of its words.
    pub language: String,
    /// What it is for.
    pub category: String,
    /// JSON, kept as it is.
    pub components: String,
    /// What the network thinks of it.
    pub status: Status,
    /// What was wrong with it, once it was looked at.
    pub fault: Option<Fault>,
    /// Under which name its business account's templates stand.
    pub namespace: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub modified: Timestamp,
}

const COLUMNS: &str =
    "t.id, t.root, t.account, t.business, t.external, t.name, t.language, t.category, t.components, t.status,
    t.fault, b.namespace, t.created, t.modified";

impl FromRow for Template {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Template {
            id: row.next()?,
            scope: Scope { root: row.next()?, account: row.next()? },
            business: row.next()?,
            external: row.next()?,
            name: row.next()?,
            language: row.next()?,
            category: row.next()?,
            components: row.next()?,
            status: row.next()?,
            fault: row.next()?,
            namespace: row.next()?,
            created: row.next()?,
            modified: row.next()?,
        })
    }
}

/// The templates of a partner's business account.
pub async fn list(rx: &mut Rx, of: &(AccountId, String)) -> Result<Vec<Template>> {
    business::find(rx, of).await?;
    let found = rx
        .all(
            sql!(
                "SELECT ",
                COLUMNS,
                " FROM template t JOIN business b ON b.root = t.root AND b.id = t.business
                 WHERE t.root = $1 AND t.business = $2 ORDER BY t.id LIMIT $3"
            ),
            &[&of.0, &of.1, &LIST_MAX],
        )
        .await?;
    client::too_many(found)
}

/// A template of a partner's business account.
pub async fn find(rx: &mut Rx, (of, id): &((AccountId, String), String)) -> Result<Template> {
    business::find(rx, of).await?;
    rx.maybe(
        sql!(
            "SELECT ",
            COLUMNS,
            " FROM template t JOIN business b ON b.root = t.root AND b.id = t.business
             WHERE t.root = $1 AND t.business = $2 AND t.id = $3"
        ),
        &[&of.0, &of.1, id],
    )
    .await?
    .ok_or(Error::NotFound(Noun::Template))
}

/// The template of a business account that has a name in a language.
pub async fn named(
    rx: &mut Rx,
    (of, name, language): &((AccountId, String), String, String),
) -> Result<Template> {
    rx.maybe(
        sql!(
            "SELECT ",
            COLUMNS,
            " FROM template t JOIN business b ON b.root = t.root AND b.id = t.business
             WHERE t.root = $1 AND t.business = $2 AND t.name = $3 AND t.language = $4"
        ),
        &[&of.0, &of.1, name, language],
    )
    .await?
    .ok_or(Error::NotFound(Noun::Template))
}

/// Asks for a template.
#[derive(Debug, Clone)]
pub struct New {
    /// Of which business account of which partner.
    pub of: (AccountId, String),
    /// Lower-case letters, digits and underscores.
    pub name: String,
    /// Of its words.
    pub language: String,
    /// What it is for.
    pub category: String,
    /// JSON.
    pub components: String,
}

/// Checks a name: lower-case letters, digits and underscores, at most 512.
pub fn check_name(name: &str) -> std::result::Result<(), Code> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.chars().count() > 512 {
        Err(Code::TooLong(512))
    } else if !name.is_empty() && name.chars().all(fits) {
        Ok(())
    } else {
        Err(Code::Invalid)
    }
}

/// Hands a template in. Its name is free once in each language.
pub async fn create(tx: &mut Tx, new: &New) -> Result<Template> {
    let Business { id: business, scope, .. } = business::find(tx, &new.of).await?;
    let last: Option<String> = tx
        .maybe(
            sql!("SELECT name FROM template WHERE root = $1 AND business = $2 ORDER BY name, language LIMIT 1 OFFSET $3"),
            &[&scope.root, &business, &i64::try_from(TEMPLATES_MAX - 1).unwrap_or(i64::MAX)],
        )
        .await?;
    if last.is_some() {
        return Err(Violation::new("name", Code::TooMany(TEMPLATES_MAX)).into());
    }
    let now: Timestamp = tx.now();
    let id = secret::alphanumeric(tx, ID_CHARS);
    let mut bytes = [0; EXTERNAL_DIGITS];
    tx.random(&mut bytes);
    let digits: String = bytes.iter().map(|byte| char::from(b'0' + byte % 10)).collect();
    let external = format!("705{digits}");
    let next = now.0.saturating_add(DECIDES_US);
    let made = tx
        .exec(
            sql!(
                "INSERT INTO template (root, id, account, business, external, name, language, category, components, status,
                 next, created, modified) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)
                 ON CONFLICT (root, business, name, language) DO NOTHING"
            ),
            &[
                &scope.root,
                &id,
                &scope.account,
                &business,
                &external,
                &new.name,
                &new.language,
                &new.category,
                &new.components,
                &Status::Submitted,
                &next,
                &now,
            ],
        )
        .await?;
    if made == 0 {
        return Err(Violation::new("name", Code::Taken).into());
    }
    find(tx, &(new.of.clone(), id)).await
}

/// Changes a template's components and hands it in again.
pub async fn update(
    tx: &mut Tx,
    (of, id, components): &((AccountId, String), String, Option<String>),
) -> Result<Template> {
    let before = find(tx, &(of.clone(), id.clone())).await?;
    let Some(components) = components else { return Ok(before) };
    let now: Timestamp = tx.now();
    tx.put(
        sql!(
            "UPDATE template SET components = $4, status = $5, fault = NULL, next = $6, modified = $7
             WHERE root = $1 AND business = $2 AND id = $3"
        ),
        &[&of.0, &of.1, id, components, &Status::Submitted, &now.0.saturating_add(DECIDES_US), &now],
    )
    .await?;
    find(tx, &(of.clone(), id.clone())).await
}

/// Removes a template.
pub async fn delete(tx: &mut Tx, (of, id): &((AccountId, String), String)) -> Result<()> {
    business::find(tx, of).await?;
    let gone = tx
        .exec(sql!("DELETE FROM template WHERE root = $1 AND business = $2 AND id = $3"), &[&of.0, &of.1, id])
        .await?;
    if gone == 0 { Err(Error::NotFound(Noun::Template)) } else { Ok(()) }
}

/// Removes a template in all its languages.
pub async fn delete_by_name(tx: &mut Tx, (of, name): &((AccountId, String), String)) -> Result<()> {
    business::find(tx, of).await?;
    let gone = tx
        .exec(
            sql!("DELETE FROM template WHERE root = $1 AND business = $2 AND name = $3"),
            &[&of.0, &of.1, name],
        )
        .await?;
    if gone == 0 { Err(Error::NotFound(Noun::Template)) } else { Ok(()) }
}

/// Decisions that one unit takes.
const DECIDED_MAX: i64 = 32;

/// Decides, as the simulated network, what is due; whether there may be more.
pub async fn decide(tx: &mut Tx, dialect: &Dialect) -> Result<bool> {
    // All tenants: whoever's turn it is.
    let now: Timestamp = tx.now();
    let due: Vec<(AccountId, String, String, String)> = tx
        .all(
            sql!(
                "SELECT root, business, id, name FROM template WHERE next > 0 AND next <= $1 ORDER BY next, root, id
                 LIMIT $2 FOR UPDATE SKIP LOCKED"
            ),
            &[&now, &DECIDED_MAX],
        )
        .await?;
    for (root, business, id, name) in &due {
        let (status, fault) = if name.starts_with(REJECTED_PREFIX) {
            (Status::Rejected, Fault::Format)
        } else {
            (Status::Approved, Fault::Nothing)
        };
        tx.put(
            sql!(
                "UPDATE template SET status = $3, fault = $4, next = 0, modified = $5 WHERE root = $1 AND id = $2"
            ),
            &[root, id, &status, &fault, &now],
        )
        .await?;
        let of = (*root, business.clone());
        match find(tx, &(of.clone(), id.clone())).await {
            Ok(template) => {
                let external = business::find(tx, &of).await?.external;
                let about = About::Template(&template, &external);
                event::tell_partner(tx, *root, Kind::TemplateStatus, &about, *dialect).await?;
            }
            // Of a deleted client nothing is told.
            Err(Error::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(!due.is_empty())
}
