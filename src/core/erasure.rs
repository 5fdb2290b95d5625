//! Erasures: a person, known by a number, is removed from everything that an account keeps, and a receipt says what that was.
//!
//! It goes on in small units until a look finds nothing more, each of which removes some rows and counts them; a process
//! that dies in between loses nothing, and who asks again goes on. Every look-up is by an index that begins with the
//! account. The books stay as they are: they name no number. An opt-out stays in force as a keyed hash.
//!
//! What is on its way is not touched: a carrier has it, its price is held, and its receipt will come. So an erasure is
//! refused while a message to or from the number is not final; what is kept for later is taken back.

use super::contact;
use super::idempotency;
use super::message::{self, MessageId, Status};
use super::money::Currency;
use super::opt_out;
use super::phone::Msisdn;
use super::secret::Vault;
use super::words::words;
use super::{AccountId, Code, Error, Result, Scope, Timestamp, Violation, event, rollup, schedule};
use store::{FromRow, Row, Rx, Store, Tx, sql};

words! {
    /// What is removed.
    What {
        /// Contacts, with their names and memberships.
        Contact = "contacts",
        /// Messages for later to the number.
        Scheduled = "messages for later",
        /// Messages to the number alone, with their texts.
        Message = "messages sent",
        /// Recipients of messages that others got as well.
        Recipient = "recipients of shared messages",
        /// Texts of such messages that name the number.
        Text = "texts of shared messages",
        /// Messages from the number, with their texts.
        Received = "messages received",
        /// Originators of messages that went out in the number's name.
        Originator = "originators",
        /// Callbacks and their attempts.
        Callback = "callbacks",
        /// Messages of channels, with their content.
        ChannelMessage = "messages of channels",
        /// Answers that were kept for repeated requests.
        Answer = "kept answers",
        /// Parts of long messages that have not all come.
        Part = "parts of unfinished messages",
        /// Answers of failing endpoints that name the number.
        Endpoint = "answers of endpoints",
        /// Reports that are read page by page.
        Report = "kept reports",
        /// Notes to payments that name the number; the payments stay.
        Note = "notes to payments",
        /// Lines of the audit log that name it; they stay without it.
        AuditLine = "lines of the audit log",
        /// Entries of the opt-out list; they stay as a keyed hash.
        OptOut = "opt-outs, kept as a keyed hash",
    }
}

/// Whom to erase from which account.
#[derive(Debug, Clone)]
pub struct Order {
    scope: Scope,
    number: Msisdn,
    digits: String,
    subject: String,
    hidden: Msisdn,
}

impl Order {
    /// A number in an account.
    pub fn new(scope: Scope, number: Msisdn, vault: &Vault) -> Order {
        let digits = number.to_string();
        let subject = vault.token(&["erased", &scope.account.to_string(), &digits]);
        Order { scope, number, digits, subject, hidden: opt_out::hidden(vault, scope, number) }
    }

    /// Whether a text names the number, however its digits are grouped.
    fn is_named_in(&self, text: &str) -> bool {
        self.without(text).is_some()
    }

    /// A text that names the number, without it.
    fn without(&self, text: &str) -> Option<String> {
        let groups = |c: char| matches!(c, ' ' | '-' | '.' | '(' | ')' | '/' | '+' | '\u{a0}');
        let said: Vec<(usize, char)> = text.char_indices().filter(|(_, c)| !groups(*c)).collect();
        let (mut left, mut from, mut at) = (String::new(), 0, 0);
        while let Some(window) = said.get(at..at + self.digits.len()) {
            if !window.iter().map(|(_, c)| *c).eq(self.digits.chars()) {
                at += 1;
                continue;
            }
            if let (Some((begin, _)), Some((end, _))) = (window.first(), window.last()) {
                left.push_str(text.get(from..*begin)?.trim_end_matches('+'));
                left.push_str(ERASED);
                from = end + 1;
            }
            at += self.digits.len();
        }
        left.push_str(text.get(from..)?);
        (from > 0).then_some(left)
    }
}

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// From which account.
    pub scope: Scope,
    /// The keyed hash of the number, by which it is known whose receipt this is.
    pub subject: String,
    /// When it began.
    pub begun: Timestamp,
    /// When nothing was left.
    pub finished: Timestamp,
    /// What was removed, and how much of it; what there was nothing of is left out.
    pub removed: Vec<(What, i64)>,
    /// Whether the database's log was emptied as well; always so where that is not needed.
    pub log_emptied: bool,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is left.
    Erased(Receipt),
    /// So many messages to or from the number are on their way: nothing, or not all, was removed.
    UnderWay(i64),
}

/// Rows of messages that one unit removes, with all that hangs on each.
const MESSAGES: i64 = 40;
/// Rows of other kinds.
const ROWS: i64 = 200;
/// Texts that one read looks at.
const TEXTS: i64 = 1_000;
/// What stands in a text in the number's place.
const ERASED: &str = "[erased]";
/// Messages under way are counted up to this number.
const COUNTED_MAX: i64 = 1_000;

/// Erases a number from an account, or says how many messages stand in the way.
pub async fn erase(store: &Store, order: &Order) -> Result<Outcome> {
    store.read(order.clone(), check).await?;
    let count = store.read(order.clone(), under_way).await?;
    if count > 0 {
        return Ok(Outcome::UnderWay(count));
    }
    store.bulk(order.clone(), begin).await?;
    while store.bulk(order.clone(), step).await? {}
    free_texts(store, order).await?;
    // What was sent meanwhile.
    let count = store.read(order.clone(), under_way).await?;
    if count > 0 {
        return Ok(Outcome::UnderWay(count));
    }
    store.bulk(order.clone(), finish).await?;
    let log_emptied = store.empty_log().await?;
    Ok(Outcome::Erased(Receipt { log_emptied, ..store.read(order.clone(), receipt).await? }))
}

/// A number that is the account's own is no person's: all that came to it would go.
async fn check(rx: &mut Rx, order: &Order) -> Result<()> {
    let own: Option<i64> = rx
        .maybe(
            sql!("SELECT msisdn FROM number WHERE account = $1 AND msisdn = $2"),
            &[&order.scope.account, &order.number],
        )
        .await?;
    if own.is_some() { Err(Violation::new("msisdn", Code::Taken).into()) } else { Ok(()) }
}

/// Before every id: a stretch of messages leads SQLite's planner to the index by number, and not through the account.
const FIRST: [u8; 16] = [0; 16];

/// Messages to or from the number that are not final, and lists of recipients that are not in the tables yet.
pub async fn under_way(rx: &mut Rx, order: &Order) -> Result<i64> {
    let (Scope { root, account }, now) = (&order.scope, rx.now::<Timestamp>());
    let counted: (i64, i64, i64, i64) = rx
        .one(
            sql!(
                "SELECT
                 (SELECT CAST(count(*) AS BIGINT) FROM (SELECT message FROM recipient
                     WHERE root = $1 AND account = $2 AND msisdn = $3 AND message > $7 AND open > 0 LIMIT $4) a),
                 (SELECT CAST(count(*) AS BIGINT) FROM (SELECT id FROM message m
                     WHERE m.root = $1 AND m.account = $2 AND m.originator = $5 AND EXISTS (SELECT 1 FROM recipient r
                         WHERE r.root = $1 AND r.account = $2 AND r.message = m.id AND r.open > 0) LIMIT $4) b),
                 (SELECT CAST(count(*) AS BIGINT) FROM (SELECT m.id FROM channel h JOIN channel_message m
                     ON m.root = $1 AND m.account = $2 AND m.channel = h.id AND m.peer = $3
                     JOIN channel_part p ON p.message = m.id
                     WHERE h.root = $1 AND h.account = $2 LIMIT $4) c),
                 (SELECT CAST(count(*) AS BIGINT) FROM (SELECT message FROM expansion
                     WHERE root = $1 AND account = $2
                     UNION SELECT message FROM schedule
                     WHERE due <= $6 AND root = $1 AND account = $2 LIMIT $4) d)"
            ),
            &[root, account, &order.number, &COUNTED_MAX, &order.digits, &now, &FIRST],
        )
        .await?;
    Ok(counted.0 + counted.1 + counted.2 + counted.3)
}

/// Opens the receipt; one that was not finished goes on.
async fn begin(tx: &mut Tx, order: &Order) -> Result<()> {
    let (Scope { root, account }, now) = (&order.scope, tx.now::<Timestamp>());
    tx.put(
        sql!(
            "DELETE FROM erased WHERE root = $1 AND account = $2 AND subject = $3 AND EXISTS (SELECT 1 FROM erasure e
                 WHERE e.root = $1 AND e.account = $2 AND e.subject = $3 AND e.finished IS NOT NULL)"
        ),
        &[root, account, &order.subject],
    )
    .await?;
    tx.put(
        sql!(
            "INSERT INTO erasure (root, account, subject, begun) VALUES ($1, $2, $3, $4)
             ON CONFLICT (root, account, subject) DO UPDATE SET begun = $4, finished = NULL
             WHERE erasure.finished IS NOT NULL"
        ),
        &[root, account, &order.subject, &now],
    )
    .await?;
    Ok(())
}

async fn finish(tx: &mut Tx, order: &Order) -> Result<()> {
    let now: Timestamp = tx.now();
    tx.put(
        sql!("UPDATE erasure SET finished = $4 WHERE root = $1 AND account = $2 AND subject = $3"),
        &[&order.scope.root, &order.scope.account, &order.subject, &now],
    )
    .await?;
    Ok(())
}

/// The receipt of an erasure that is finished.
pub async fn receipt(rx: &mut Rx, order: &Order) -> Result<Receipt> {
    let Scope { root, account } = &order.scope;
    let (begun, finished) = rx
        .one(
            sql!("SELECT begun, finished FROM erasure WHERE root = $1 AND account = $2 AND subject = $3"),
            &[root, account, &order.subject],
        )
        .await?;
    let removed = rx
        .all(
            sql!(
                "SELECT what, removed FROM erased WHERE root = $1 AND account = $2 AND subject = $3 ORDER BY what"
            ),
            &[root, account, &order.subject],
        )
        .await?;
    let (scope, subject) = (order.scope, order.subject.clone());
    Ok(Receipt { scope, subject, begun, finished, removed, log_emptied: false })
}

/// What one unit has removed.
#[derive(Default)]
struct Removed(Vec<(What, u64)>);

impl Removed {
    fn add(&mut self, what: What, rows: u64) {
        match self.0.iter_mut().find(|(of, _)| *of == what) {
            Some((_, sum)) => *sum += rows,
            None => self.0.push((what, rows)),
        }
    }
}

/// Removes some of what is left; answers whether there may be more.
async fn step(tx: &mut Tx, order: &Order) -> Result<bool> {
    let mut removed = Removed::default();
    let mut more = false;
    for piece in 0..8 {
        more = match piece {
            0 => contacts(tx, order, &mut removed).await?,
            1 => sent(tx, order, &mut removed).await?,
            2 => received(tx, order, &mut removed).await?,
            3 => originators(tx, order, &mut removed).await?,
            4 => of_channels(tx, order, &mut removed).await?,
            5 => unfinished_parts(tx, order, &mut removed).await?,
            6 => remainders(tx, order, &mut removed).await?,
            _ => opted_out(tx, order, &mut removed).await?,
        };
        if more {
            break;
        }
    }
    removed.note(tx, order).await?;
    Ok(more)
}

impl Removed {
    /// Adds it to the receipt.
    async fn note(&self, tx: &mut Tx, order: &Order) -> Result<()> {
        for (what, rows) in self.0.iter().filter(|(_, rows)| *rows > 0) {
            tx.put(
                sql!(
                    "INSERT INTO erased (root, account, subject, what, removed) VALUES ($1, $2, $3, $4, $5)
                     ON CONFLICT (root, account, subject, what) DO UPDATE SET removed = erased.removed + $5"
                ),
                &[
                    &order.scope.root,
                    &order.scope.account,
                    &order.subject,
                    what,
                    &i64::try_from(*rows).unwrap_or(i64::MAX),
                ],
            )
            .await?;
        }
        Ok(())
    }
}

/// What people typed beside payments, and what the audit log says of it: both are the whole family's, a partner's and its
/// children's, since a payment stands in two accounts' books and what a partner does in its own log. Looked through page
/// by page: no index knows what is said in a text. The books keep their sums, the log its lines.
async fn free_texts(store: &Store, order: &Order) -> Result<()> {
    for what in [What::Note, What::AuditLine] {
        let mut after = [0; 16];
        loop {
            let page = store.scan((order.scope.root, what, after), texts).await?;
            let Some(last) = page.last().map(|(id, ..)| *id) else { break };
            let named = page.into_iter().filter_map(|(id, at, text)| Some((id, at, order.without(&text)?)));
            let named: Vec<_> = named.collect();
            for some in named.chunks(usize::try_from(MESSAGES).unwrap_or(1)) {
                store.bulk((order.clone(), what, some.to_vec()), rewrite).await?;
            }
            after = last;
        }
    }
    Ok(())
}

/// A text, when it was written, and the id of its row.
type Text = ([u8; 16], Timestamp, String);

async fn texts(rx: &mut Rx, (root, what, after): &(AccountId, What, [u8; 16])) -> Result<Vec<Text>> {
    Ok(match what {
        What::Note => {
            rx.all(
                sql!(
                    "SELECT id, created, note FROM transfer WHERE root = $1 AND note IS NOT NULL AND id > $2
                     ORDER BY id LIMIT $3"
                ),
                &[root, after, &TEXTS],
            )
            .await?
        }
        _ => {
            rx.all(
                sql!("SELECT id, at, detail FROM audit WHERE root = $1 AND id > $2 ORDER BY id LIMIT $3"),
                &[root, after, &TEXTS],
            )
            .await?
        }
    })
}

/// Puts texts in the place of those that name the number.
async fn rewrite(tx: &mut Tx, (order, what, texts): &(Order, What, Vec<Text>)) -> Result<()> {
    let Scope { root, .. } = &order.scope;
    let mut removed = Removed::default();
    for (id, at, _) in texts {
        // As it is now: another erasure may have taken another number out of it.
        let of = if *what == What::Note {
            sql!("SELECT note FROM transfer WHERE root = $1 AND id = $2 AND note IS NOT NULL FOR UPDATE")
        } else {
            sql!("SELECT detail FROM audit WHERE root = $1 AND id = $2 FOR UPDATE")
        };
        let text: Option<String> = tx.maybe(of, &[root, id]).await?;
        let Some(text) = text.and_then(|text| order.without(&text)) else { continue };
        let changed = match what {
            What::Note => {
                // Whoever paid may have the answer under a key of its own: the operator, the partner.
                for payer in [Scope { root: AccountId(0), account: AccountId(0) }, order.scope.of_root()] {
                    removed.add(What::Answer, idempotency::forget_of(tx, &payer, *at).await?);
                }
                tx.exec(sql!("UPDATE transfer SET note = $3 WHERE root = $1 AND id = $2"), &[root, id, &text])
                    .await?
            }
            _ => {
                tx.exec(sql!("UPDATE audit SET detail = $3 WHERE root = $1 AND id = $2"), &[root, id, &text])
                    .await?
            }
        };
        removed.add(*what, changed);
    }
    removed.note(tx, order).await
}

async fn contacts(tx: &mut Tx, order: &Order, removed: &mut Removed) -> Result<bool> {
    match contact::by_msisdn(tx, &(order.scope, order.number)).await {
        Ok(contact) => {
            contact::delete(tx, &(order.scope, contact.id)).await?;
            removed.add(What::Contact, 1);
            answers(tx, order, contact.created, removed).await?;
            Ok(true)
        }
        Err(Error::NotFound(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What was answered to the request that made something, if it was kept: it expires so long after.
async fn answers(tx: &mut Tx, order: &Order, created: Timestamp, removed: &mut Removed) -> Result<()> {
    let gone = idempotency::forget_of(tx, &order.scope, created).await?;
    removed.add(What::Answer, gone);
    Ok(())
}

/// A message that the number has to do with.
struct Found {
    id: MessageId,
    created: Timestamp,
    status: Status,
    parts: i64,
    currency: Currency,
    body: String,
    reference: Option<String>,
}

impl FromRow for Found {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Found {
            id: row.next()?,
            created: row.next()?,
            status: row.next()?,
            parts: row.next()?,
            currency: row.next()?,
            body: row.next()?,
            reference: row.next()?,
        })
    }
}

/// What went to the number. A message of which it was the only recipient goes whole; one that others got as well keeps its
/// text, unless that names the number.
async fn sent(tx: &mut Tx, order: &Order, removed: &mut Removed) -> Result<bool> {
    let Scope { root, account } = &order.scope;
    let found: Vec<Found> = tx
        .all(
            sql!(
                "SELECT m.id, m.created, r.status, m.parts, m.currency, m.body, m.reference FROM recipient r
                 JOIN message m ON m.root = r.root AND m.account = r.account AND m.id = r.message
                 WHERE r.root = $1 AND r.account = $2 AND r.msisdn = $3 AND r.message > $5 AND r.open = 0
                 AND m.direction = 'out' ORDER BY r.message LIMIT $4"
            ),
            &[root, account, &order.number, &MESSAGES, &FIRST],
        )
        .await?;
    let (mut asked, mut is_later) = (Vec::new(), false);
    for one in &found {
        if one.status == Status::Scheduled {
            // Its list may be long: a unit of its own. Its rows are locked before the recipient, as where it is sent.
            if !asked.is_empty() {
                break;
            }
            is_later = true;
            schedule::leave_out(tx, &order.scope, (one.id, one.parts, one.currency), order.number).await?;
        }
        asked.push((one.id, order.number));
        if is_later {
            break;
        }
    }
    let gone = rollup::remove(tx, &order.scope, &asked).await?;
    for one in found.iter().filter(|one| gone.contains(&one.id)) {
        removed.add(What::Callback, callbacks(tx, order, one.id).await?);
        answers(tx, order, one.created, removed).await?;
        removed.add(What::Scheduled, u64::from(is_later));
        let is_named = order.is_named_in(&one.body);
        let reference = one.reference.as_ref().filter(|text| !order.is_named_in(text));
        let left: Option<i64> = tx
            .maybe(
                sql!(
                    "UPDATE message SET recipients = recipients - 1, body = CASE WHEN $4 THEN '' ELSE body END,
                     reference = $5 WHERE root = $1 AND account = $2 AND id = $3 RETURNING recipients"
                ),
                &[root, account, &one.id, &is_named, &reference.cloned()],
            )
            .await?;
        if left.is_some_and(|left| left > 0) {
            removed.add(What::Recipient, 1);
            removed.add(What::Text, u64::from(is_named));
        } else {
            remove_message(tx, order, one.id).await?;
            removed.add(What::Message, 1);
        }
    }
    Ok(!asked.is_empty())
}

/// What came from the number.
async fn received(tx: &mut Tx, order: &Order, removed: &mut Removed) -> Result<bool> {
    let Scope { root, account } = &order.scope;
    let found: Vec<(MessageId, Msisdn)> = tx
        .all(
            sql!(
                "SELECT m.id, r.msisdn FROM message m
                 JOIN recipient r ON r.root = m.root AND r.account = m.account AND r.message = m.id
                 WHERE m.root = $1 AND m.account = $2 AND m.originator = $3 AND m.direction = 'in'
                 ORDER BY m.id LIMIT $4"
            ),
            &[root, account, &order.digits, &MESSAGES],
        )
        .await?;
    let gone = rollup::remove(tx, &order.scope, &found).await?;
    for id in &gone {
        removed.add(What::Callback, message::forget_forwarded(tx, &order.scope, *id).await?);
        remove_message(tx, order, *id).await?;
        removed.add(What::Received, 1);
    }
    Ok(!found.is_empty())
}

async fn remove_message(tx: &mut Tx, order: &Order, id: MessageId) -> Result<()> {
    let Scope { root, account } = &order.scope;
    let hidden: Option<bool> = tx
        .maybe(
            sql!("DELETE FROM message WHERE root = $1 AND account = $2 AND id = $3 RETURNING hidden"),
            &[root, account, &id],
        )
        .await?;
    if hidden == Some(false) {
        tx.put(
            sql!("UPDATE tally SET messages = messages - 1 WHERE root = $1 AND account = $2"),
            &[root, account],
        )
        .await?;
    }
    tx.put(
        sql!("DELETE FROM smpp_waiting WHERE root = $1 AND account = $2 AND message = $3"),
        &[root, account, &id],
    )
    .await?;
    Ok(())
}

/// What went out in the number's name, to others: it stays, without the name.
async fn originators(tx: &mut Tx, order: &Order, removed: &mut Removed) -> Result<bool> {
    let Scope { root, account } = &order.scope;
    let changed = tx
        .exec(
            sql!(
                "UPDATE message SET originator = 'erased' WHERE root = $1 AND account = $2 AND id IN (
                     SELECT id FROM message WHERE root = $1 AND account = $2 AND originator = $3
                     ORDER BY id LIMIT $4)"
            ),
            &[root, account, &order.digits, &ROWS],
        )
        .await?;
    removed.add(What::Originator, changed);
    Ok(changed > 0)
}

/// What was told, or is to be told, about a message to the number. No callback outlives its recipient.
async fn callbacks(tx: &mut Tx, order: &Order, message: MessageId) -> Result<u64> {
    let Scope { root, account } = &order.scope;
    Ok(tx
        .exec(
            sql!("DELETE FROM callback WHERE root = $1 AND account = $2 AND message = $3 AND msisdn = $4"),
            &[root, account, &message, &order.number],
        )
        .await?)
}

/// What went to and came from the number by channels, and what was told about it.
async fn of_channels(tx: &mut Tx, order: &Order, removed: &mut Removed) -> Result<bool> {
    let Scope { root, account } = &order.scope;
    let found: Vec<(MessageId, Timestamp)> = tx
        .all(
            sql!(
                "SELECT m.id, m.created FROM channel h JOIN channel_message m
                 ON m.root = $1 AND m.account = $2 AND m.channel = h.id AND m.peer = $3
                 WHERE h.root = $1 AND h.account = $2
                 AND NOT EXISTS (SELECT 1 FROM channel_part p WHERE p.message = m.id) ORDER BY m.id LIMIT $4"
            ),
            &[root, account, &order.number, &MESSAGES],
        )
        .await?;
    for (id, created) in &found {
        let events: Vec<MessageId> = tx
            .all(
                sql!("DELETE FROM event WHERE root = $1 AND account = $2 AND about = $3 RETURNING id"),
                &[root, account, &event::order(&id.to_string())],
            )
            .await?;
        for event in events {
            removed.add(What::Callback, message::forget_forwarded(tx, &order.scope, event).await?);
        }
        // A file that came with it.
        tx.put(
            sql!("DELETE FROM channel_media WHERE root = $1 AND account = $2 AND message = $3"),
            &[root, account, id],
        )
        .await?;
        tx.put(
            sql!("DELETE FROM channel_message WHERE root = $1 AND account = $2 AND id = $3"),
            &[root, account, id],
        )
        .await?;
        removed.add(What::ChannelMessage, 1);
        answers(tx, order, *created, removed).await?;
    }
    Ok(!found.is_empty())
}

/// Parts of long messages that wait for the others: of the account's own systems, and of the phone.
async fn unfinished_parts(tx: &mut Tx, order: &Order, removed: &mut Removed) -> Result<bool> {
    let Scope { root, account } = &order.scope;
    let from_systems = tx
        .exec(
            sql!(
                "DELETE FROM smpp_waiting WHERE root = $1 AND account = $2 AND id IN (
                     SELECT w.id FROM smpp_user u JOIN smpp_waiting w ON w.root = $1 AND w.account = $2
                     AND w.system_id = u.system_id AND w.waits AND (w.destination = $3 OR w.source = $4)
                     WHERE u.account = $2 LIMIT $5)"
            ),
            &[root, account, &order.number, &order.digits, &ROWS],
        )
        .await?;
    let from_phones = tx
        .exec(
            sql!(
                "DELETE FROM fragment WHERE carrier IN (SELECT id FROM carrier) AND sender IN ($2, '+' || $2)
                 AND receiver IN (SELECT CAST(msisdn AS TEXT) FROM number WHERE account = $1)"
            ),
            &[account, &order.digits],
        )
        .await?;
    removed.add(What::Part, from_systems + from_phones);
    Ok(from_systems + from_phones > 0)
}

/// What may name the number without being about it: answers of failing endpoints, and reports by originator.
async fn remainders(tx: &mut Tx, order: &Order, removed: &mut Removed) -> Result<bool> {
    let Scope { root, account } = &order.scope;
    let endpoints = tx
        .exec(
            sql!(
                "UPDATE endpoint SET answer = '' WHERE account = $1 AND replace(answer, CAST($2 AS TEXT), '') <> answer"
            ),
            &[account, &order.digits],
        )
        .await?;
    let reports = tx
        .exec(sql!("DELETE FROM report_result WHERE root = $1 AND account IN ($1, $2)"), &[root, account])
        .await?;
    removed.add(What::Endpoint, endpoints);
    removed.add(What::Report, reports);
    Ok(endpoints + reports > 0)
}

async fn opted_out(tx: &mut Tx, order: &Order, removed: &mut Removed) -> Result<bool> {
    let hidden = opt_out::hide(tx, &order.scope, order.number, order.hidden).await?;
    removed.add(What::OptOut, u64::from(hidden));
    Ok(hidden)
}
