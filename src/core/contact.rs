//! Contacts: an account's address book, one entry per number.
//!
//! The list order is that of the ids, newest first. `groups` and the account's number of contacts are kept by the units
//! that change them. A search by name compares folded text anywhere in the name while an account is small; in a large
//! one it is narrowed first, through an index, to names in which a word begins with the text.

use super::phone::Msisdn;
use super::{Code, Error, Listing, Noun, Page, Result, Scope, Timestamp, Violation};
use store::{FromRow, Row, Rx, Store, Tx, sql};

store::id! {
    /// A contact's id: its first 48 bits are the millisecond of its making.
    ContactId
}

/// Longest name or custom field, in characters (spec 05 section 2).
pub const TEXT_MAX: usize = 255;
/// Up to this many contacts a search by name looks at every name; reading them takes some 50 ms.
const SEARCHED_WHOLE_MAX: i64 = 50_000;
/// Most candidates that the index of words may leave.
const CANDIDATES_MAX: i64 = 10_000;
/// Characters of a word that are kept in the index.
const WORD_CHARS: usize = 24;
/// Words of one name that are kept in the index.
const WORDS_MAX: usize = 8;

/// What a person wrote about a contact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// May be empty, as all of them.
    pub first_name: String,
    /// See `first_name`.
    pub last_name: String,
    /// Four fields of the account's own meaning.
    pub custom: [String; 4],
}

/// A contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Its id.
    pub id: ContactId,
    /// Its number, unique in the account.
    pub msisdn: Msisdn,
    /// Names and custom fields.
    pub details: Details,
    /// In how many groups it is.
    pub groups: i64,
    /// How many messages went to its number: counted through the index of numbers, a few for one person.
    pub messages: i64,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed; at first the same.
    pub updated: Timestamp,
}

/// The columns of a contact, for queries whose only table with them is `contact` under the name `c`.
pub(super) const COLUMNS: &str = "c.id, c.msisdn, c.first_name, c.last_name, c.custom1, c.custom2, c.custom3, \
                                  c.custom4, c.groups, (SELECT CAST(count(*) AS BIGINT) FROM recipient r \
                                  JOIN message m ON m.root = r.root AND m.account = r.account AND m.id = r.message \
                                  WHERE r.root = c.root AND r.account = c.account AND r.msisdn = c.msisdn \
                                  AND NOT m.hidden), c.created, c.updated";

impl FromRow for Contact {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Contact {
            id: row.next()?,
            msisdn: row.next()?,
            details: Details {
                first_name: row.next()?,
                last_name: row.next()?,
                custom: [row.next()?, row.next()?, row.next()?, row.next()?],
            },
            groups: row.next()?,
            messages: row.next()?,
            created: row.next()?,
            updated: row.next()?,
        })
    }
}

/// Asks for a contact.
#[derive(Debug, Clone)]
pub struct New {
    /// Whose.
    pub scope: Scope,
    /// Its number.
    pub msisdn: Msisdn,
    /// Names and custom fields.
    pub details: Details,
}

/// Changes to a contact; `None` leaves as it is.
#[derive(Debug, Clone)]
pub struct Patch {
    /// Whose.
    pub scope: Scope,
    /// Which.
    pub id: ContactId,
    /// Its number.
    pub msisdn: Option<Msisdn>,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// Custom fields.
    pub custom: [Option<String>; 4],
}

fn taken() -> Error {
    Violation::new("msisdn", Code::Taken).into()
}

/// Adds a contact. A number that the account has already is refused.
pub async fn create(tx: &mut Tx, new: &New) -> Result<Contact> {
    let New { scope, msisdn, details } = new;
    let (id, now): (ContactId, Timestamp) = (tx.id(), tx.now());
    let [custom1, custom2, custom3, custom4] = &details.custom;
    let messages: Option<i64> = tx
        .maybe(
            sql!(
                "INSERT INTO contact (root, account, id, msisdn, first_name, last_name, custom1, custom2, custom3,
                 custom4, groups, created, updated)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, $11, $11)
                 ON CONFLICT (root, account, msisdn) DO NOTHING
                 RETURNING (SELECT CAST(count(*) AS BIGINT) FROM recipient r
                     JOIN message m ON m.root = r.root AND m.account = r.account AND m.id = r.message
                     WHERE r.root = $1 AND r.account = $2 AND r.msisdn = $4 AND NOT m.hidden)"
            ),
            &[
                &scope.root,
                &scope.account,
                &id,
                msisdn,
                &details.first_name,
                &details.last_name,
                custom1,
                custom2,
                custom3,
                custom4,
                &now,
            ],
        )
        .await?;
    let messages = messages.ok_or_else(taken)?;
    add_words(tx, scope, id, details).await?;
    count(tx, scope, 1).await?;
    Ok(Contact {
        id,
        msisdn: *msisdn,
        details: details.clone(),
        groups: 0,
        messages,
        created: now,
        updated: now,
    })
}

/// Changes what is given and answers the contact whole; a patch that changes nothing leaves `updated` too.
pub async fn update(tx: &mut Tx, patch: &Patch) -> Result<Contact> {
    let Patch { scope, id, .. } = patch;
    let before: Contact = tx
        .maybe(
            sql!(
                "SELECT ",
                COLUMNS,
                " FROM contact c WHERE c.root = $1 AND c.account = $2 AND c.id = $3 FOR UPDATE"
            ),
            &[&scope.root, &scope.account, id],
        )
        .await?
        .ok_or(Error::NotFound(Noun::Contact))?;
    let mut after = before.clone();
    after.msisdn = patch.msisdn.unwrap_or(before.msisdn);
    let text = |new: &Option<String>, field: &mut String| {
        if let Some(new) = new {
            field.clone_from(new);
        }
    };
    text(&patch.first_name, &mut after.details.first_name);
    text(&patch.last_name, &mut after.details.last_name);
    for (new, field) in patch.custom.iter().zip(&mut after.details.custom) {
        text(new, field);
    }
    if after == before {
        return Ok(before);
    }
    after.updated = tx.now();
    let [custom1, custom2, custom3, custom4] = &after.details.custom;
    let updated = tx
        .exec(
            sql!(
                "UPDATE contact SET msisdn = $4, first_name = $5, last_name = $6, custom1 = $7, custom2 = $8,
                 custom3 = $9, custom4 = $10, updated = $11
                 WHERE root = $1 AND account = $2 AND id = $3 AND NOT EXISTS (SELECT 1 FROM contact other
                 WHERE other.root = $1 AND other.account = $2 AND other.msisdn = $4 AND other.id <> $3)"
            ),
            &[
                &scope.root,
                &scope.account,
                id,
                &after.msisdn,
                &after.details.first_name,
                &after.details.last_name,
                custom1,
                custom2,
                custom3,
                custom4,
                &after.updated,
            ],
        )
        .await
        // At the same moment elsewhere: the unique index decides where the guard cannot see.
        .map_err(|error| if error.is_duplicate() { taken() } else { error.into() })?;
    if updated == 0 {
        return Err(taken());
    }
    if words(&before.details) != words(&after.details) {
        remove_words(tx, scope, *id, &before.details).await?;
        add_words(tx, scope, *id, &after.details).await?;
    }
    Ok(after)
}

/// Removes a contact; it leaves all its groups, see [`super::group::sweep`] for very many.
pub async fn delete(tx: &mut Tx, (scope, id): &(Scope, ContactId)) -> Result<()> {
    let details: (String, String) = tx
        .maybe(
            sql!("DELETE FROM contact WHERE root = $1 AND account = $2 AND id = $3 RETURNING first_name, last_name"),
            &[&scope.root, &scope.account, id],
        )
        .await?
        .ok_or(Error::NotFound(Noun::Contact))?;
    let details = Details { first_name: details.0, last_name: details.1, custom: Default::default() };
    remove_words(tx, scope, *id, &details).await?;
    count(tx, scope, -1).await?;
    super::group::detach(tx, scope, super::group::Side::Contact(*id)).await
}

async fn count(tx: &mut Tx, scope: &Scope, by: i64) -> Result<()> {
    tx.put(
        sql!("UPDATE tally SET contacts = contacts + $3 WHERE root = $1 AND account = $2"),
        &[&scope.root, &scope.account, &by],
    )
    .await?;
    Ok(())
}

/// A contact by its id.
pub async fn view(rx: &mut Rx, (scope, id): &(Scope, ContactId)) -> Result<Contact> {
    rx.maybe(
        sql!("SELECT ", COLUMNS, " FROM contact c WHERE c.root = $1 AND c.account = $2 AND c.id = $3"),
        &[&scope.root, &scope.account, id],
    )
    .await?
    .ok_or(Error::NotFound(Noun::Contact))
}

/// A contact by its number.
pub async fn by_msisdn(rx: &mut Rx, (scope, msisdn): &(Scope, Msisdn)) -> Result<Contact> {
    rx.maybe(
        sql!("SELECT ", COLUMNS, " FROM contact c WHERE c.root = $1 AND c.account = $2 AND c.msisdn = $3"),
        &[&scope.root, &scope.account, msisdn],
    )
    .await?
    .ok_or(Error::NotFound(Noun::Contact))
}

/// Which contacts a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The one with this number.
    pub msisdn: Option<Msisdn>,
    /// Those whose first name, last name, or both with a blank between, contain this text in any case.
    pub name: Option<String>,
}

/// A page of the account's contacts.
pub async fn list(store: &Store, scope: Scope, filter: Filter, page: Page) -> Result<Listing<Contact>> {
    match filter {
        Filter { msisdn: Some(msisdn), name } => {
            let found = match store.read((scope, msisdn), by_msisdn).await {
                Ok(contact) if name.is_none_or(|name| matches(&contact.details, &fold(&name))) => {
                    Some(contact)
                }
                Ok(_) | Err(Error::NotFound(_)) => None,
                Err(error) => return Err(error),
            };
            let total = i64::from(found.is_some());
            let items = found.into_iter().skip(usize::try_from(page.offset).unwrap_or(usize::MAX)).collect();
            Ok(Listing { items, total })
        }
        Filter { msisdn: None, name: Some(name) } => store.scan((scope, name, page), search).await,
        Filter { msisdn: None, name: None } if page.is_near() => store.read((scope, page), all).await,
        Filter { msisdn: None, name: None } => store.scan((scope, page), all).await,
    }
}

async fn all(rx: &mut Rx, (scope, page): &(Scope, Page)) -> Result<Listing<Contact>> {
    let total = total(rx, scope).await?;
    let items = rx
        .all(
            sql!(
                "SELECT ",
                COLUMNS,
                " FROM contact c WHERE c.root = $1 AND c.account = $2 ORDER BY c.id DESC LIMIT $3 OFFSET $4"
            ),
            &[&scope.root, &scope.account, &page.limit, &page.offset],
        )
        .await?;
    Ok(Listing { items, total })
}

async fn total(rx: &mut Rx, scope: &Scope) -> Result<i64> {
    Ok(rx
        .one(
            sql!("SELECT contacts FROM tally WHERE root = $1 AND account = $2"),
            &[&scope.root, &scope.account],
        )
        .await?)
}

async fn search(rx: &mut Rx, (scope, name, page): &(Scope, String, Page)) -> Result<Listing<Contact>> {
    let text = fold(name);
    let mut found = named(rx, scope, &text, |details| matches(details, &text)).await?;
    found.sort_unstable_by(|a, b| b.cmp(a));
    let total = i64::try_from(found.len()).unwrap_or(i64::MAX);
    let (skip, take) =
        (page.offset.try_into().unwrap_or(usize::MAX), page.limit.try_into().unwrap_or(usize::MAX));
    let mut items = Vec::new();
    for id in found.into_iter().skip(skip).take(take) {
        items.push(view(rx, &(*scope, id)).await?);
    }
    Ok(Listing { items, total })
}

/// The one contact with this name (first, last, or both); an error if there are several.
pub async fn by_name(rx: &mut Rx, (scope, name): &(Scope, String)) -> Result<Contact> {
    let text = fold(name);
    let found = named(rx, scope, &text, |details| {
        let (first, last) = (fold(&details.first_name), fold(&details.last_name));
        !text.is_empty() && (first == text || last == text || format!("{first} {last}").trim() == text)
    })
    .await?;
    match found[..] {
        [] => Err(Error::NotFound(Noun::Contact)),
        [id] => view(rx, &(*scope, id)).await,
        _ => Err(Violation::new("name", Code::Ambiguous).into()),
    }
}

/// The contacts whose names a test accepts, out of all in a small account and of the narrowed ones in a large account.
async fn named(
    rx: &mut Rx,
    scope: &Scope,
    text: &str,
    test: impl Fn(&Details) -> bool,
) -> Result<Vec<ContactId>> {
    let names: Vec<(ContactId, String, String)> = if total(rx, scope).await? <= SEARCHED_WHOLE_MAX {
        rx.all(
            sql!("SELECT id, first_name, last_name FROM contact WHERE root = $1 AND account = $2"),
            &[&scope.root, &scope.account],
        )
        .await?
    } else {
        let from = narrowing(text);
        let below = format!("{from}\u{10ffff}");
        rx.all(
            sql!(
                "SELECT c.id, c.first_name, c.last_name FROM (
                     SELECT DISTINCT contact FROM contact_word
                     WHERE root = $1 AND account = $2 AND word >= $3 AND word < $4 LIMIT $5
                 ) w JOIN contact c ON c.root = $1 AND c.account = $2 AND c.id = w.contact"
            ),
            &[&scope.root, &scope.account, &from, &below, &(CANDIDATES_MAX + 1)],
        )
        .await?
    };
    let candidates = i64::try_from(names.len()).unwrap_or(i64::MAX);
    if candidates > CANDIDATES_MAX.max(SEARCHED_WHOLE_MAX) {
        return Err(Violation::new("name", Code::TooBroad).into());
    }
    let accepted = |(id, first_name, last_name): (ContactId, String, String)| {
        test(&Details { first_name, last_name, custom: Default::default() }).then_some(id)
    };
    Ok(names.into_iter().filter_map(accepted).collect())
}

/// Lower case, one blank between words: what names are compared in.
fn fold(text: &str) -> String {
    text.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}

fn matches(details: &Details, folded: &str) -> bool {
    fold(&format!("{} {}", details.first_name, details.last_name)).contains(folded)
}

/// The beginning of a word that every match must contain. Only the first word of a text may stand for the end of a word
/// in a name, so a later one narrows exactly.
fn narrowing(folded: &str) -> String {
    let mut words = folded.split(' ');
    let first = words.next().unwrap_or_default();
    words.max_by_key(|word| word.len()).unwrap_or(first).chars().take(WORD_CHARS).collect()
}

fn words(details: &Details) -> Vec<String> {
    let folded = fold(&format!("{} {}", details.first_name, details.last_name));
    let mut words: Vec<String> = folded
        .split(' ')
        .filter(|word| !word.is_empty())
        .map(|w| w.chars().take(WORD_CHARS).collect())
        .collect();
    words.sort_unstable();
    words.dedup();
    words.truncate(WORDS_MAX);
    words
}

async fn add_words(tx: &mut Tx, scope: &Scope, id: ContactId, details: &Details) -> Result<()> {
    for word in words(details) {
        tx.put(
            sql!("INSERT INTO contact_word (root, account, word, contact) VALUES ($1, $2, $3, $4)"),
            &[&scope.root, &scope.account, &word, &id],
        )
        .await?;
    }
    Ok(())
}

async fn remove_words(tx: &mut Tx, scope: &Scope, id: ContactId, details: &Details) -> Result<()> {
    for word in words(details) {
        tx.put(
            sql!("DELETE FROM contact_word WHERE root = $1 AND account = $2 AND word = $3 AND contact = $4"),
            &[&scope.root, &scope.account, &word, &id],
        )
        .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn details(first: &str, last: &str) -> Details {
        Details { first_name: first.into(), last_name: last.into(), custom: Default::default() }
    }

    #[test]
    fn compares_in_any_case_and_across_the_two_names() {
        let john = details("John", "van  Doe");
        for text in ["john", "OHN", "n van d", "DOE", "john van doe", "  doe "] {
            assert!(matches(&john, &fold(text)), "{text}");
        }
        assert!(!matches(&john, &fold("doe john")));
        assert!(matches(&details("Ærøskøbing", ""), &fold("ÆRØ")));
    }

    proptest! {
        #[test]
        fn what_narrows_is_in_the_index_of_every_match_that_begins_a_word(
            first in "[a-cA-C]{1,4}( [a-c]{1,4})?", last in "[a-c]{0,30}", skip in 0usize..3, take in 1usize..12,
        ) {
            let name = fold(&format!("{first} {last}"));
            let words: Vec<&str> = name.split(' ').collect();
            let from = words.iter().take(skip.min(words.len() - 1)).map(|w| w.len() + 1).sum::<usize>();
            let text: String = name[from..].chars().take(take).collect();
            let start = narrowing(text.trim_end());
            prop_assert!(super::words(&details(&first, &last)).iter().any(|word| word.starts_with(&start)));
        }
    }
}
