//! An account's messages afterwards: to look at, to search, to delete, and to forget.

use super::contact::{self, ContactId};
use super::message::{COLUMNS, Direction, Format, Message, MessageId, ROWS_MAX, Status, count};
use super::money::Currency;
use super::phone::Msisdn;
use super::{AccountId, Error, Listing, Noun, Page, Result, Scope, Timestamp, chat, event, media, schedule};
use store::{Rx, Store, Tx, sql};

/// A message with all its recipients.
pub async fn find(store: &Store, scope: Scope, id: MessageId) -> Result<Message> {
    let message = store.read((scope, id), near_view).await?;
    let many = count(message.recipients.len()) >= LISTED_MAX;
    if many { store.scan((scope, id), view).await } else { Ok(message) }
}

async fn near_view(rx: &mut Rx, (scope, id): &(Scope, MessageId)) -> Result<Message> {
    let message = shown(rx, scope, *id).await?;
    filled(rx, scope, vec![message]).await?.pop().ok_or(Error::NotFound(Noun::Message))
}

async fn shown(rx: &mut Rx, scope: &Scope, id: MessageId) -> Result<Message> {
    rx.maybe(
        sql!(
            "SELECT ",
            COLUMNS,
            " FROM message m WHERE m.root = $1 AND m.account = $2 AND m.id = $3 AND NOT m.hidden"
        ),
        &[&scope.root, &scope.account, &id],
    )
    .await?
    .ok_or(Error::NotFound(Noun::Message))
}

async fn view(rx: &mut Rx, (scope, id): &(Scope, MessageId)) -> Result<Message> {
    let mut message = shown(rx, scope, *id).await?;
    message.recipients = rx
        .all(
            sql!(
                "SELECT msisdn, status, reason, error, changed, price FROM recipient
                 WHERE root = $1 AND account = $2 AND message = $3 ORDER BY msisdn"
            ),
            &[&scope.root, &scope.account, id],
        )
        .await?;
    Ok(message)
}

/// Takes a message out of every view. What is under way goes on, and its books stay; what still waits for its hour is
/// never sent. A sweep removes the rows later.
pub async fn delete(tx: &mut Tx, (scope, id): &(Scope, MessageId)) -> Result<()> {
    let hidden: Option<(Option<Timestamp>, Currency)> = tx
        .maybe(
            sql!(
                "UPDATE message SET hidden = $4 WHERE root = $1 AND account = $2 AND id = $3 AND NOT hidden
                 RETURNING scheduled, currency"
            ),
            &[&scope.root, &scope.account, &id, &true],
        )
        .await?;
    let Some((scheduled, currency)) = hidden else { return Err(Error::NotFound(Noun::Message)) };
    tx.put(
        sql!("UPDATE tally SET messages = messages - 1 WHERE root = $1 AND account = $2"),
        &[&scope.root, &scope.account],
    )
    .await?;
    if scheduled.is_some() { schedule::cancel(tx, scope, *id, currency).await } else { Ok(()) }
}

/// Which messages a list shows. All conditions together; an empty filter shows all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// From exactly this.
    pub originator: Option<String>,
    /// To this number.
    pub recipient: Option<Msisdn>,
    /// To this contact's number.
    pub contact: Option<ContactId>,
    /// Sent or received.
    pub direction: Option<Direction>,
    /// Of this kind.
    pub format: Option<Format>,
    /// With a recipient in this state.
    pub status: Option<Status>,
    /// With these characters in a recipient's number or in the originator.
    pub text: Option<String>,
    /// Accepted at or after.
    pub from: Option<Timestamp>,
    /// Accepted at or before.
    pub until: Option<Timestamp>,
}

/// A page of the account's messages, newest first.
pub async fn list(store: &Store, scope: Scope, filter: Filter, page: Page) -> Result<Listing<Message>> {
    if filter == Filter::default() {
        let command = (scope, page);
        return if page.is_near() { store.read(command, all).await } else { store.scan(command, all).await };
    }
    store.scan((scope, filter, page), filtered).await
}

async fn all(rx: &mut Rx, (scope, page): &(Scope, Page)) -> Result<Listing<Message>> {
    let total = rx
        .one(
            sql!("SELECT messages FROM tally WHERE root = $1 AND account = $2"),
            &[&scope.root, &scope.account],
        )
        .await?;
    let found = rx
        .all(
            sql!(
                "SELECT ",
                COLUMNS,
                " FROM message m WHERE m.root = $1 AND m.account = $2 AND NOT m.hidden
                 ORDER BY m.id DESC LIMIT $3 OFFSET $4"
            ),
            &[&scope.root, &scope.account, &page.limit, &page.offset],
        )
        .await?;
    Ok(Listing { items: filled(rx, scope, found).await?, total })
}

/// Recipients shown with each message of a list; a view shows all.
const LISTED_MAX: i64 = 1_000;

async fn filled(rx: &mut Rx, scope: &Scope, messages: Vec<Message>) -> Result<Vec<Message>> {
    let mut whole = Vec::with_capacity(messages.len());
    for mut message in messages {
        message.recipients = rx
            .all(
                sql!(
                    "SELECT msisdn, status, reason, error, changed, price FROM recipient
                     WHERE root = $1 AND account = $2 AND message = $3 ORDER BY msisdn LIMIT $4"
                ),
                &[&scope.root, &scope.account, &message.id, &LISTED_MAX],
            )
            .await?;
        whole.push(message);
    }
    Ok(whole)
}

/// The first id of a millisecond.
pub(super) fn first_id(at: Timestamp) -> MessageId {
    let ms = u64::try_from(at.0.div_euclid(1_000)).unwrap_or(0).min((1 << 48) - 1);
    MessageId::from((u128::from(ms) << 80).to_be_bytes())
}

/// What every filtered statement asks; the engine drives it by the index that the statement names besides.
const ASKED: &str = "m.root = $1 AND m.account = $2 AND m.id >= $3 AND m.id < $4 AND NOT m.hidden
    AND (CAST($5 AS TEXT) IS NULL OR m.originator = $5)
    AND (CAST($6 AS TEXT) IS NULL OR m.direction = $6)
    AND (CAST($7 AS TEXT) IS NULL OR m.kind = $7)
    AND (CAST($8 AS TEXT) IS NULL OR EXISTS (SELECT 1 FROM recipient r
         WHERE r.root = $1 AND r.account = $2 AND r.message = m.id AND r.status = $8))
    AND (CAST($9 AS TEXT) IS NULL OR replace(m.originator, $9, '') <> m.originator
         OR EXISTS (SELECT 1 FROM recipient r WHERE r.root = $1 AND r.account = $2 AND r.message = m.id
                    AND replace(CAST(r.msisdn AS TEXT), $9, '') <> CAST(r.msisdn AS TEXT)))
    AND (CAST($10 AS BIGINT) IS NULL OR EXISTS (SELECT 1 FROM recipient r
         WHERE r.root = $1 AND r.account = $2 AND r.message = m.id AND r.msisdn = $10))";
const TO_ONE: &str =
    " AND m.id IN (SELECT message FROM recipient WHERE root = $1 AND account = $2 AND msisdn = $10)";
const FROM_ONE: &str = " AND m.originator = $5";
const PAGED: &str = " ORDER BY m.id DESC LIMIT $11 OFFSET $12";

async fn filtered(rx: &mut Rx, (scope, filter, page): &(Scope, Filter, Page)) -> Result<Listing<Message>> {
    let nothing = Listing { items: Vec::new(), total: 0 };
    let mut to = filter.recipient;
    if let Some(id) = filter.contact {
        match contact::view(rx, &(*scope, id)).await {
            Ok(contact) if to.is_none_or(|to| to == contact.msisdn) => to = Some(contact.msisdn),
            Ok(_) | Err(Error::NotFound(_)) => return Ok(nothing),
            Err(error) => return Err(error),
        }
    }
    let begin = first_id(filter.from.unwrap_or(Timestamp(0)));
    // The whole last second counts: what is shown has no fraction.
    let second = |until: Timestamp| until.0.div_euclid(1_000_000).saturating_add(1).saturating_mul(1_000_000);
    let end = first_id(Timestamp(filter.until.map_or(i64::MAX, second)));
    let (counting, reading) = match (&to, &filter.originator) {
        (Some(_), _) => (
            sql!("SELECT CAST(count(*) AS BIGINT) FROM message m WHERE ", ASKED, TO_ONE),
            sql!("SELECT ", COLUMNS, " FROM message m WHERE ", ASKED, TO_ONE, PAGED),
        ),
        (None, Some(_)) => (
            sql!("SELECT CAST(count(*) AS BIGINT) FROM message m WHERE ", ASKED, FROM_ONE),
            sql!("SELECT ", COLUMNS, " FROM message m WHERE ", ASKED, FROM_ONE, PAGED),
        ),
        (None, None) => (
            sql!("SELECT CAST(count(*) AS BIGINT) FROM message m WHERE ", ASKED),
            sql!("SELECT ", COLUMNS, " FROM message m WHERE ", ASKED, PAGED),
        ),
    };
    let asked: [&dyn store::Param; 12] = [
        &scope.root,
        &scope.account,
        &begin,
        &end,
        &filter.originator,
        &filter.direction,
        &filter.format,
        &filter.status,
        &filter.text,
        &to,
        &page.limit,
        &page.offset,
    ];
    let total = rx.one(counting, &asked[..10]).await?;
    let found = rx.all(reading, &asked).await?;
    Ok(Listing { items: filled(rx, scope, found).await?, total })
}

/// Messages to a contact's number.
pub async fn of_contact(
    store: &Store,
    scope: Scope,
    id: ContactId,
    page: Page,
) -> Result<(Msisdn, Listing<Message>)> {
    let number = store.read((scope, id), contact::view).await?.msisdn;
    let filter = Filter { recipient: Some(number), ..Filter::default() };
    Ok((number, list(store, scope, filter, page).await?))
}

/// Messages that one unit removes.
const REMOVED_MAX: i64 = 20;
/// A hidden message is removed after this time, if nothing is still to be said about it; what was said goes with it.
const REMOVED_AFTER_US: i64 = 86_400 * 1_000_000;

/// Removes messages that were deleted and are finished; answers whether there may be more.
pub async fn remove_hidden(tx: &mut Tx, (): &()) -> Result<bool> {
    // All tenants: the sweep works for everybody, some messages at a time.
    let now: Timestamp = tx.now();
    let before = now.0.saturating_sub(REMOVED_AFTER_US);
    let found: Vec<(AccountId, AccountId, MessageId)> = tx
        .all(
            sql!(
                "SELECT m.root, m.account, m.id FROM message m WHERE m.hidden AND m.created < $1
                 AND NOT EXISTS (SELECT 1 FROM recipient r
                     WHERE r.root = m.root AND r.account = m.account AND r.message = m.id
                     AND (r.open > 0 OR r.counted IS NULL OR r.counted <> r.status OR r.counted_price <> r.price))
                 AND NOT EXISTS (SELECT 1 FROM expansion e
                     WHERE e.root = m.root AND e.account = m.account AND e.message = m.id)
                 AND NOT EXISTS (SELECT 1 FROM schedule s
                     WHERE s.root = m.root AND s.account = m.account AND s.message = m.id)
                 AND NOT EXISTS (SELECT 1 FROM callback c
                     WHERE c.root = m.root AND c.account = m.account AND c.message = m.id AND c.open)
                 ORDER BY m.created LIMIT $2"
            ),
            &[&before, &REMOVED_MAX],
        )
        .await?;
    for (root, account, id) in &found {
        // Callbacks before recipients: they are found by them when a person is erased.
        let told = tx
            .exec(
                sql!(
                    "DELETE FROM callback WHERE root = $1 AND account = $2 AND id IN (
                         SELECT id FROM callback WHERE root = $1 AND account = $2 AND message = $3 AND NOT open
                         LIMIT $4)"
                ),
                &[root, account, id, &count(ROWS_MAX)],
            )
            .await?;
        if told >= ROWS_MAX.try_into().unwrap_or(u64::MAX) {
            return Ok(true);
        }
        // One that is sent again at this moment.
        let open: Option<i64> = tx
            .maybe(
                sql!("SELECT CAST(1 AS BIGINT) FROM callback WHERE root = $1 AND account = $2 AND message = $3 LIMIT 1"),
                &[root, account, id],
            )
            .await?;
        if open.is_some() {
            continue;
        }
        let gone = tx
            .exec(
                sql!(
                    "DELETE FROM recipient WHERE root = $1 AND account = $2 AND message = $3 AND msisdn IN (
                         SELECT msisdn FROM recipient WHERE root = $1 AND account = $2 AND message = $3 LIMIT $4)"
                ),
                &[root, account, id, &count(ROWS_MAX)],
            )
            .await?;
        if gone >= ROWS_MAX.try_into().unwrap_or(u64::MAX) {
            // The rest of a large one at the next turn.
            return Ok(true);
        }
        tx.put(
            sql!("DELETE FROM message WHERE root = $1 AND account = $2 AND id = $3 AND hidden"),
            &[root, account, id],
        )
        .await?;
    }
    Ok(count(found.len()) == REMOVED_MAX)
}

/// Messages whose text one unit removes.
const FORGOTTEN_MAX: i64 = 200;

/// Removes the texts of one account's messages that are older than it keeps them; answers whether there may be more.
pub async fn forget_bodies(tx: &mut Tx, (): &()) -> Result<bool> {
    // All tenants: the sweep works for everybody, one account at a time.
    let now: Timestamp = tx.now();
    let next: Option<(AccountId, AccountId, i64, i64)> = tx
        .maybe(
            sql!(
                "SELECT root, account, retention_days, forgotten FROM messaging
                 WHERE retention_days IS NOT NULL AND forgotten < $1 - retention_days * 86400000000 - 3600000000
                 ORDER BY root, account LIMIT 1 FOR UPDATE"
            ),
            &[&now],
        )
        .await?;
    let Some((root, account, days, forgotten)) = next else { return Ok(false) };
    let before = now.0.saturating_sub(days.saturating_mul(86_400_000_000));
    let (begin, end) = (first_id(Timestamp(forgotten)), first_id(Timestamp(before)));
    let emptied = tx
        .exec(
            sql!(
                "UPDATE message SET body = '' WHERE root = $1 AND account = $2 AND id IN (
                     SELECT id FROM message WHERE root = $1 AND account = $2 AND id >= $3 AND id < $4 AND body <> ''
                     AND (scheduled IS NULL OR scheduled < $5) ORDER BY id LIMIT $6)"
            ),
            &[&root, &account, &begin, &end, &before, &FORGOTTEN_MAX],
        )
        .await?;
    // A forwarded text stands in what was sent as well.
    let cleared = tx
        .exec(
            sql!(
                "UPDATE callback SET target = NULL WHERE root = $1 AND account = $2 AND id IN (
                     SELECT id FROM callback WHERE root = $1 AND account = $2 AND id >= $3 AND id < $4 AND NOT open
                     AND kind <> 'status' AND target IS NOT NULL ORDER BY id LIMIT $5)"
            ),
            &[&root, &account, &begin, &end, &FORGOTTEN_MAX],
        )
        .await?;
    // One for later counts from its hour: until then its text is needed.
    let emptied_later = tx
        .exec(
            sql!(
                "UPDATE message SET body = '' WHERE root = $1 AND account = $2 AND id IN (
                     SELECT id FROM message WHERE root = $1 AND account = $2
                     AND scheduled IS NOT NULL AND scheduled >= $3 AND scheduled < $4 AND body <> ''
                     ORDER BY scheduled, id LIMIT $5)"
            ),
            &[&root, &account, &forgotten, &before, &FORGOTTEN_MAX],
        )
        .await?;
    let (scope, stretch) = (Scope { root, account }, (begin.0, end.0));
    let of_channels = chat::forget_contents(tx, scope, stretch).await?
        | media::forget_before(tx, scope, Timestamp(before)).await?
        | event::forget_bodies(tx, scope, stretch).await?;
    if emptied.max(emptied_later).max(cleared) < FORGOTTEN_MAX.unsigned_abs() && !of_channels {
        tx.put(
            sql!("UPDATE messaging SET forgotten = $3 WHERE root = $1 AND account = $2"),
            &[&root, &account, &before],
        )
        .await?;
    }
    Ok(true)
}
