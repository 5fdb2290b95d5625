//! Messages: what an account sends and receives, and who they are to. What happens to a message after it is accepted is
//! in `part.rs`; docs/decisions/0002 counts the rows.
//!
//! Accepting is one unit: it holds the whole price and writes the message with its recipients and their parts. A message
//! to very many is accepted in that unit as well, with its recipients packed; a sweep gives them their rows, some at a
//! time.

use super::carrier::CarrierId;
use super::contact::{self, ContactId};
use super::group::{self, GroupId};
use super::ledger::{self, Charge};
use super::money::{Amount, Currency};
use super::phone::{Msisdn, Originator};
use super::terms::{Quote, Terms};
use super::words::words;
use super::{Code, Error, Listing, Noun, Page, Result, Scope, Timestamp, Violation, callback, part};
use smpp::text::Alphabet;
use std::collections::HashSet;
use store::{FromRow, Row, Rx, Store, Tx, sql};

store::id! {
    /// A message's id: its first 48 bits are the millisecond of its making.
    MessageId
}

/// Most numbers that one request may name (spec 10 section 2.1).
pub const NAMED_MAX: usize = 50;
/// Most parts of one message (spec 10 section 6).
pub const PARTS_MAX: usize = 9;
/// Longest reference, in characters.
pub const REFERENCE_MAX: usize = 128;
/// A part that nobody has reported on is given up after this time, if the message says nothing else.
const VALIDITY_SECONDS: i64 = 48 * 3_600;
/// Longest validity that a message may ask for: a week, as in 3GPP 23.040 section 9.2.3.12 for most carriers.
pub const VALIDITY_MAX: i64 = 7 * 24 * 3_600;
/// Recipients and parts that one unit writes.
const ROWS_MAX: usize = 400;
/// Bytes of one packed recipient.
const PACKED_BYTES: usize = 32;

words! {
    /// Who sent it.
    Direction {
        /// The account.
        Out = "out",
        /// A phone.
        In = "in",
    }
}

words! {
    /// What kind of message.
    Format {
        /// Text.
        Sms = "sms",
        /// Text that is shown at once and not kept.
        Flash = "flash",
    }
}

words! {
    /// Which alphabet the account asks for.
    Coding {
        /// GSM 03.38; what it lacks is replaced.
        Plain = "plain",
        /// UCS-2.
        Unicode = "unicode",
        /// GSM 03.38 if it has all characters, else UCS-2.
        Auto = "auto",
    }
}

words! {
    /// What has become of a message to one recipient.
    Status {
        /// On its way, or not handed over yet.
        Sent = "sent",
        /// The carrier has it and tries again.
        Buffered = "buffered",
        /// It has arrived.
        Delivered = "delivered",
        /// Its validity ran out before it could be handed over.
        Expired = "expired",
        /// It will not arrive.
        Failed = "failed",
    }
}

impl Status {
    /// Whether nothing can change any more.
    pub fn is_final(self) -> bool {
        matches!(self, Status::Delivered | Status::Expired | Status::Failed)
    }
}

words! {
    /// Why (spec 10 section 5).
    Reason {
        /// It has arrived.
        Delivered = "delivered",
        /// No receipt yet.
        Pending = "pending",
        /// No receipt in time.
        NoReceipt = "no receipt",
        /// No such number.
        IncorrectNumber = "incorrect number",
        /// Nobody has the number.
        UnknownSubscriber = "unknown subscriber",
        /// The phone cannot be reached.
        UnavailableSubscriber = "unavailable subscriber",
        /// Its validity ran out.
        Expired = "expired",
        /// The network gave up.
        Timeout = "timeout",
        /// Nobody says.
        Generic = "generic",
        /// The network failed.
        Network = "network",
        /// The recipient does not want it.
        OptedOut = "opted out",
        /// The carrier did not take it.
        Rejected = "rejected",
    }
}

impl Reason {
    /// What a network's code means (spec 10 section 5); codes are the carriers' own and more than these.
    pub fn of_code(code: i64) -> Reason {
        match code {
            1..=3 | 5 | 9..=13 => Reason::UnknownSubscriber,
            6 | 8 | 26 | 27 | 31 => Reason::UnavailableSubscriber,
            32 | 34 => Reason::Network,
            103 => Reason::OptedOut,
            _ => Reason::Generic,
        }
    }
}

/// What a request asks to send, checked for form.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Whom it is from.
    pub originator: Originator,
    /// The text.
    pub body: String,
    /// What kind.
    pub format: Format,
    /// Which alphabet.
    pub coding: Coding,
    /// 0 shows it at once.
    pub class: i64,
    /// The account's own; without one nothing is reported.
    pub reference: Option<String>,
    /// Where its reports go, if not where the account's go.
    pub report_url: Option<String>,
    /// Seconds.
    pub validity: Option<i64>,
    /// Whatever the client calls its route; echoed.
    pub gateway: Option<i64>,
    /// Numbers, at most [`NAMED_MAX`].
    pub numbers: Vec<Msisdn>,
    /// Groups whose contacts get it as well; unknown ones are passed over.
    pub groups: Vec<GroupId>,
}

/// One recipient with its price for each part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Planned {
    to: Msisdn,
    quote: Quote,
}

/// A message that can be accepted as it is: priced, counted and routed.
#[derive(Debug, Clone)]
pub struct Plan {
    scope: Scope,
    currency: Currency,
    draft: Draft,
    length: i64,
    parts: i64,
    recipients: Vec<Planned>,
}

/// The alphabet that a text will be sent in.
pub fn alphabet(coding: Coding, body: &str) -> Alphabet {
    match coding {
        Coding::Plain => Alphabet::Gsm7,
        Coding::Unicode => Alphabet::Ucs2,
        Coding::Auto if smpp::text::is_gsm7(body) => Alphabet::Gsm7,
        Coding::Auto => Alphabet::Ucs2,
    }
}

/// How many parts a text takes, or that it is too long.
pub fn count_parts(coding: Coding, body: &str) -> std::result::Result<usize, Code> {
    let parts = smpp::text::parts(body, alphabet(coding, body));
    if parts <= PARTS_MAX { Ok(parts) } else { Err(Code::Invalid) }
}

/// Finds the recipients, prices them and looks for their carriers. Each number once; at most `recipients_max`.
pub async fn plan(store: &Store, terms: &Terms, draft: Draft, recipients_max: usize) -> Result<Plan> {
    let mut seen = HashSet::new();
    let mut numbers: Vec<Msisdn> = draft.numbers.iter().copied().filter(|n| seen.insert(*n)).collect();
    if !draft.groups.is_empty() {
        let members = group::numbers(store, terms.scope, draft.groups.clone(), recipients_max).await?;
        numbers.extend(members.into_iter().filter(|number| seen.insert(*number)));
    }
    let invalid = |code| Error::from(Violation::new("recipients", code));
    if numbers.is_empty() {
        return Err(invalid(Code::NoRecipients));
    }
    if numbers.len() > recipients_max {
        return Err(invalid(Code::TooMany(recipients_max)));
    }
    let priced = |to| terms.quote(to).map(|quote| Planned { to, quote });
    let recipients: Option<Vec<Planned>> = numbers.into_iter().map(priced).collect();
    let parts = count_parts(draft.coding, &draft.body).map_err(|code| Violation::new("body", code))?;
    Ok(Plan {
        scope: terms.scope,
        currency: terms.currency,
        length: count(draft.body.chars().count()),
        parts: count(parts),
        recipients: recipients.ok_or_else(|| invalid(Code::NoRoute))?,
        draft,
    })
}

fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

impl Plan {
    /// The same without prices: what a test key's request is answered from.
    pub fn free(mut self) -> Plan {
        for planned in &mut self.recipients {
            planned.quote.price = Amount::ZERO;
            planned.quote.cost = Amount::ZERO;
        }
        self
    }

    fn charge(&self, of: &[Planned]) -> Result<Charge> {
        let sum = |one: fn(&Quote) -> Amount| {
            let each = of.iter().map(|planned| one(&planned.quote).times(self.parts));
            each.sum::<Option<Amount>>().ok_or(Error::Balance)
        };
        // A partner must have in hand what each part costs it above what that part brings, so the costs are summed so.
        let price = sum(|quote| quote.price)?;
        let own = self.scope.root == self.scope.account;
        let above = sum(|quote| Amount((quote.cost.0.saturating_sub(quote.price.0)).max(0)))?;
        let cost = if own { price } else { [price, above].into_iter().sum() };
        Ok(Charge { scope: self.scope, currency: self.currency, price, cost })
    }
}

/// A recipient, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Its number.
    pub msisdn: Msisdn,
    /// What has become of it.
    pub status: Status,
    /// Why.
    pub reason: Option<Reason>,
    /// The network's code.
    pub error: Option<i64>,
    /// Since when.
    pub changed: Timestamp,
    /// For all its parts.
    pub price: Amount,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Who sent it.
    pub direction: Direction,
    /// What kind.
    pub format: Format,
    /// Whom it is from.
    pub originator: Originator,
    /// The text, as it was given.
    pub body: String,
    /// The account's own.
    pub reference: Option<String>,
    /// Where its reports go.
    pub report_url: Option<String>,
    /// Seconds.
    pub validity: Option<i64>,
    /// Whatever the client calls its route, or the carrier.
    pub gateway: i64,
    /// Which alphabet was asked for.
    pub coding: Coding,
    /// 0 shows it at once.
    pub class: i64,
    /// Characters of the text.
    pub length: i64,
    /// Parts for each recipient.
    pub parts: i64,
    /// Of all prices.
    pub currency: Currency,
    /// How many recipients there are, those without rows yet included.
    pub count: i64,
    /// When it was accepted.
    pub created: Timestamp,
    /// The recipients that have rows, by number.
    pub recipients: Vec<Recipient>,
}

const COLUMNS: &str = "m.id, m.direction, m.kind, m.originator, m.body, m.reference, m.report_url, m.validity, m.gateway, \
                       m.coding, m.class, m.length, m.parts, m.currency, m.recipients, m.created";

impl FromRow for Message {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Message {
            id: row.next()?,
            direction: row.next()?,
            format: row.next()?,
            originator: row.next()?,
            body: row.next()?,
            reference: row.next()?,
            report_url: row.next()?,
            validity: row.next()?,
            gateway: row.next()?,
            coding: row.next()?,
            class: row.next()?,
            length: row.next()?,
            parts: row.next()?,
            currency: row.next()?,
            count: row.next()?,
            created: row.next()?,
            recipients: Vec::new(),
        })
    }
}

impl FromRow for Recipient {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Recipient {
            msisdn: row.next()?,
            status: row.next()?,
            reason: row.next()?,
            error: row.next()?,
            changed: row.next()?,
            price: row.next()?,
        })
    }
}

/// Accepts a message: holds its price and puts it on its way, or refuses it whole.
pub async fn accept(tx: &mut Tx, plan: &Plan) -> Result<Message> {
    let Plan { scope, currency, draft, length, parts, recipients } = plan;
    ledger::hold(tx, &plan.charge(recipients)?).await?;
    let (id, now): (MessageId, Timestamp) = (tx.id(), tx.now());
    let gateway = draft.gateway.or(recipients.first().map(|first| first.quote.carrier.0)).unwrap_or(0);
    let message = Message {
        id,
        direction: Direction::Out,
        format: draft.format,
        originator: draft.originator.clone(),
        body: draft.body.clone(),
        reference: draft.reference.clone(),
        report_url: draft.report_url.clone(),
        validity: draft.validity,
        gateway,
        coding: draft.coding,
        class: draft.class,
        length: *length,
        parts: *parts,
        currency: *currency,
        count: count(recipients.len()),
        created: now,
        recipients: recipients.iter().map(|planned| fresh(planned, *parts, now)).collect(),
    };
    insert(tx, scope, &message).await?;
    let each = 1 + usize::try_from(*parts).unwrap_or(PARTS_MAX);
    if recipients.len() * each <= ROWS_MAX {
        expand(tx, scope, &message, recipients).await?;
    } else {
        for (number, some) in recipients.chunks(ROWS_MAX / each).enumerate() {
            pack(tx, plan, id, count(number), some).await?;
        }
    }
    Ok(message)
}

fn fresh(planned: &Planned, parts: i64, now: Timestamp) -> Recipient {
    Recipient {
        msisdn: planned.to,
        status: Status::Sent,
        reason: Some(Reason::Pending),
        error: None,
        changed: now,
        price: planned.quote.price.times(parts).unwrap_or(Amount::ZERO),
    }
}

async fn insert(tx: &mut Tx, scope: &Scope, message: &Message) -> Result<()> {
    tx.put(
        sql!("UPDATE tally SET messages = messages + 1 WHERE root = $1 AND account = $2"),
        &[&scope.root, &scope.account],
    )
    .await?;
    tx.put(
        sql!(
            "INSERT INTO message (root, account, id, direction, kind, originator, body, reference, report_url, validity,
             gateway, coding, class, length, parts, currency, recipients, hidden, created)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)"
        ),
        &[
            &scope.root,
            &scope.account,
            &message.id,
            &message.direction,
            &message.format,
            &message.originator,
            &message.body,
            &message.reference,
            &message.report_url,
            &message.validity,
            &message.gateway,
            &message.coding,
            &message.class,
            &message.length,
            &message.parts,
            &message.currency,
            &message.count,
            &false,
            &message.created,
        ],
    )
    .await?;
    Ok(())
}

async fn insert_recipient(
    tx: &mut Tx,
    scope: &Scope,
    message: MessageId,
    recipient: &Recipient,
    open: i64,
) -> Result<()> {
    tx.put(
        sql!(
            "INSERT INTO recipient (root, account, message, msisdn, status, reason, error, changed, price, open)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
        ),
        &[
            &scope.root,
            &scope.account,
            &message,
            &recipient.msisdn,
            &recipient.status,
            &recipient.reason,
            &recipient.error,
            &recipient.changed,
            &recipient.price,
            &open,
        ],
    )
    .await?;
    Ok(())
}

async fn expand(tx: &mut Tx, scope: &Scope, message: &Message, recipients: &[Planned]) -> Result<()> {
    let validity = message.validity.unwrap_or(VALIDITY_SECONDS);
    let expires = Timestamp(message.created.0.saturating_add(validity.saturating_mul(1_000_000)));
    for planned in recipients {
        let recipient = fresh(planned, message.parts, message.created);
        insert_recipient(tx, scope, message.id, &recipient, message.parts).await?;
        for number in 1..=message.parts {
            let Planned { to, quote: Quote { price, cost, carrier } } = *planned;
            let charge = Charge { scope: *scope, currency: message.currency, price, cost };
            part::push(tx, carrier, charge, (message.id, to, number), expires).await?;
        }
    }
    Ok(())
}

async fn pack(tx: &mut Tx, plan: &Plan, id: MessageId, number: i64, some: &[Planned]) -> Result<()> {
    let Charge { price, cost, .. } = plan.charge(some)?;
    let mut packed = Vec::with_capacity(some.len() * PACKED_BYTES);
    for Planned { to, quote } in some {
        for value in [to.0, quote.price.0, quote.cost.0, quote.carrier.0] {
            packed.extend_from_slice(&value.to_be_bytes());
        }
    }
    let held_by_partner = Amount(cost.0.saturating_sub(price.0));
    tx.put(
        sql!(
            "INSERT INTO expansion (root, account, message, number, price, cost, recipients)
             VALUES ($1, $2, $3, $4, $5, $6, $7)"
        ),
        &[&plan.scope.root, &plan.scope.account, &id, &number, &price, &held_by_partner, &packed],
    )
    .await?;
    Ok(())
}

fn unpack(packed: &[u8]) -> Vec<Planned> {
    let (each, _) = packed.as_chunks::<PACKED_BYTES>();
    let planned = each.iter().map(|bytes| {
        let (values, _) = bytes.as_chunks::<8>();
        let mut values = values.iter().map(|value| i64::from_be_bytes(*value));
        let mut next = || values.next().unwrap_or_default();
        Planned {
            to: Msisdn(next()),
            quote: Quote { price: Amount(next()), cost: Amount(next()), carrier: CarrierId(next()) },
        }
    });
    planned.collect()
}

/// Gives some recipients of a large message their rows; answers whether there was something to do.
pub async fn expand_some(tx: &mut Tx, (): &()) -> Result<bool> {
    // All tenants: the sweep works for everybody, some recipients at a time.
    let next: Option<(super::AccountId, super::AccountId, MessageId, i64, Vec<u8>)> = tx
        .maybe(
            sql!(
                "SELECT root, account, message, number, recipients FROM expansion
                 ORDER BY root, account, message, number LIMIT 1 FOR UPDATE"
            ),
            &[],
        )
        .await?;
    let Some((root, account, id, number, packed)) = next else {
        return Ok(false);
    };
    let scope = Scope { root, account };
    let message = header(tx, &scope, id).await?;
    expand(tx, &scope, &message, &unpack(&packed)).await?;
    tx.put(
        sql!("DELETE FROM expansion WHERE root = $1 AND account = $2 AND message = $3 AND number = $4"),
        &[&root, &account, &id, &number],
    )
    .await?;
    Ok(true)
}

/// A message that came from a phone.
#[derive(Debug, Clone)]
pub struct Received {
    /// Whose number it came to.
    pub scope: Scope,
    /// Whom it is from.
    pub from: Msisdn,
    /// The account's number.
    pub to: Msisdn,
    /// The text.
    pub body: String,
}

/// Stores a received message and forwards it if the account wants that.
pub async fn receive(tx: &mut Tx, received: &Received) -> Result<MessageId> {
    let Received { scope, from, to, body } = received;
    let (id, now): (MessageId, Timestamp) = (tx.id(), tx.now());
    let account = super::account::find(tx, &scope.account).await?;
    let coding = if smpp::text::is_gsm7(body) { Coding::Plain } else { Coding::Unicode };
    let recipient = Recipient {
        msisdn: *to,
        status: Status::Delivered,
        reason: Some(Reason::Delivered),
        error: None,
        changed: now,
        price: Amount::ZERO,
    };
    let message = Message {
        id,
        direction: Direction::In,
        format: Format::Sms,
        originator: (*from).into(),
        body: body.clone(),
        reference: None,
        report_url: None,
        validity: None,
        gateway: 0,
        coding,
        class: 1,
        length: count(body.chars().count()),
        parts: count(smpp::text::parts(body, alphabet(coding, body))),
        currency: account.currency,
        count: 1,
        created: now,
        recipients: vec![recipient.clone()],
    };
    insert(tx, scope, &message).await?;
    insert_recipient(tx, scope, id, &recipient, 0).await?;
    if let Some(url) = super::terms::messaging(tx, scope).await?.inbound_url.filter(|url| !url.is_empty()) {
        let about = callback::About { message: id, recipient };
        callback::push(tx, *scope, callback::Kind::Inbound, &url, &about).await?;
    }
    Ok(id)
}

async fn header(rx: &mut Rx, scope: &Scope, id: MessageId) -> Result<Message> {
    rx.maybe(
        sql!("SELECT ", COLUMNS, " FROM message m WHERE m.root = $1 AND m.account = $2 AND m.id = $3"),
        &[&scope.root, &scope.account, &id],
    )
    .await?
    .ok_or(Error::NotFound(Noun::Message))
}

/// The message's common part, hidden or not, for a callback about it.
pub(super) async fn for_callback(rx: &mut Rx, scope: &Scope, id: MessageId) -> Result<Message> {
    header(rx, scope, id).await
}

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

/// Takes a message out of every view. What is under way goes on, and its books stay; a sweep removes the rows later.
pub async fn delete(tx: &mut Tx, (scope, id): &(Scope, MessageId)) -> Result<()> {
    let hidden = tx
        .exec(
            sql!(
                "UPDATE message SET hidden = $4 WHERE root = $1 AND account = $2 AND id = $3 AND NOT hidden"
            ),
            &[&scope.root, &scope.account, id, &true],
        )
        .await?;
    if hidden == 0 {
        return Err(Error::NotFound(Noun::Message));
    }
    tx.put(
        sql!("UPDATE tally SET messages = messages - 1 WHERE root = $1 AND account = $2"),
        &[&scope.root, &scope.account],
    )
    .await?;
    Ok(())
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
fn first_id(at: Timestamp) -> MessageId {
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
    let end = first_id(Timestamp(filter.until.map_or(i64::MAX, |until| until.0.saturating_add(1_000_000))));
    macro_rules! both {
        ($driven:expr) => {
            (
                sql!("SELECT CAST(count(*) AS BIGINT) FROM message m WHERE ", ASKED, $driven),
                sql!(
                    "SELECT ",
                    COLUMNS,
                    " FROM message m WHERE ",
                    ASKED,
                    $driven,
                    " ORDER BY m.id DESC LIMIT $11 OFFSET $12"
                ),
            )
        };
    }
    let (counting, reading) = match (&to, &filter.originator) {
        (Some(_), _) => both!(TO_ONE),
        (None, Some(_)) => both!(FROM_ONE),
        (None, None) => both!(""),
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
/// A hidden message is removed after this time, so that what is still to be said about it can be.
const REMOVED_AFTER_US: i64 = 86_400 * 1_000_000;

/// Removes messages that were deleted and are finished; answers whether there may be more.
pub async fn remove_hidden(tx: &mut Tx, (): &()) -> Result<bool> {
    // All tenants: the sweep works for everybody, some messages at a time.
    let now: Timestamp = tx.now();
    let before = now.0.saturating_sub(REMOVED_AFTER_US);
    let found: Vec<(super::AccountId, super::AccountId, MessageId)> = tx
        .all(
            sql!(
                "SELECT m.root, m.account, m.id FROM message m WHERE m.hidden AND m.created < $1
                 AND NOT EXISTS (SELECT 1 FROM recipient r
                     WHERE r.root = m.root AND r.account = m.account AND r.message = m.id AND r.open > 0)
                 AND NOT EXISTS (SELECT 1 FROM expansion e
                     WHERE e.root = m.root AND e.account = m.account AND e.message = m.id)
                 ORDER BY m.created LIMIT $2"
            ),
            &[&before, &REMOVED_MAX],
        )
        .await?;
    for (root, account, id) in &found {
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
    let next: Option<(super::AccountId, super::AccountId, i64, i64)> = tx
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
                     ORDER BY id LIMIT $5)"
            ),
            &[&root, &account, &begin, &end, &FORGOTTEN_MAX],
        )
        .await?;
    if emptied < FORGOTTEN_MAX.unsigned_abs() {
        tx.put(
            sql!("UPDATE messaging SET forgotten = $3 WHERE root = $1 AND account = $2"),
            &[&root, &account, &before],
        )
        .await?;
    }
    Ok(true)
}
