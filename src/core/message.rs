//! Messages: what an account sends and receives, and who they are to. What happens to a message after it is accepted is
//! in `part.rs`; docs/decisions/0002 counts the rows.
//!
//! Accepting is one unit: it holds the whole price and writes the message with its recipients and their parts. A message
//! to very many is accepted in that unit as well, with its recipients packed; a sweep gives them their rows, some at a
//! time.

use super::carrier::CarrierId;
use super::group::{self, GroupId};
use super::ledger::{self, Charge};
use super::limits::{Bounds, Takes};
use super::money::{Amount, Currency};
use super::phone::{Msisdn, Originator};
use super::terms::{Quote, Terms};
use super::words::words;
use super::{
    Code, Error, Noun, Result, Scope, Timestamp, Violation, binary, callback, expansion, opt_out, part,
    schedule, smpp_outbox,
};
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
pub(super) const ROWS_MAX: usize = 400;

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
        /// Octets; its text is their hexadecimal digits.
        Binary = "binary",
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
        /// It waits for its hour.
        Scheduled = "scheduled",
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
    /// The user data header of a binary one, in hexadecimal digits.
    pub udh: Option<String>,
    /// Which alphabet.
    pub coding: Coding,
    /// 0 shows it at once.
    pub class: i64,
    /// When to send it, if that is still to come.
    pub scheduled: Option<Timestamp>,
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
pub(super) struct Planned {
    pub(super) to: Msisdn,
    pub(super) quote: Quote,
}

/// Stands for the carrier of a recipient that is sent nothing, since it has opted out.
const NOBODY: CarrierId = CarrierId(-1);

impl Planned {
    fn opted_out(to: Msisdn) -> Self {
        Planned {
            to,
            quote: Quote { price: Amount::ZERO, cost: Amount::ZERO, carrier: NOBODY, is_whole: false },
        }
    }

    pub(super) fn has_opted_out(&self) -> bool {
        self.quote.carrier == NOBODY
    }

    /// Whether its carrier gets so many parts as one.
    fn is_whole(&self, parts: i64) -> bool {
        self.quote.is_whole && parts > 1
    }

    /// What a part costs the account and its partner.
    pub(super) fn amounts(&self) -> (Amount, Amount) {
        (self.quote.price, self.quote.cost)
    }

    /// What must be finished until it is.
    pub(super) fn open(&self, parts: i64) -> i64 {
        match self {
            refuses if refuses.has_opted_out() => 0,
            whole if whole.is_whole(parts) => 1,
            _ => parts,
        }
    }
}

/// A message that can be accepted as it is: priced, counted and routed.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(super) scope: Scope,
    currency: Currency,
    draft: Draft,
    length: i64,
    parts: i64,
    recipients: Vec<Planned>,
    /// What it takes up of limits.
    pub(super) takes: Takes,
}

/// The alphabet that a text will be sent in.
pub fn alphabet(coding: Coding, body: &str) -> Alphabet {
    match coding {
        Coding::Plain => Alphabet::Gsm7,
        Coding::Auto if smpp::text::is_gsm7(body) => Alphabet::Gsm7,
        Coding::Unicode | Coding::Auto => Alphabet::Ucs2,
    }
}

/// How many parts a text takes, or that it is too long.
pub fn count_parts(coding: Coding, body: &str) -> std::result::Result<usize, Code> {
    let parts = smpp::text::parts(body, alphabet(coding, body));
    if parts <= PARTS_MAX { Ok(parts) } else { Err(Code::Invalid) }
}

impl Draft {
    /// How many parts it takes, or that its body does not do.
    pub fn count_parts(&self) -> std::result::Result<usize, Code> {
        match self.format {
            Format::Binary => binary::count_parts(&self.body, self.udh.as_deref(), PARTS_MAX),
            Format::Sms | Format::Flash => count_parts(self.coding, &self.body),
        }
    }
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
    let refused =
        if terms.has_opt_outs { opt_out::among(store, terms, &numbers).await? } else { HashSet::new() };
    let priced = |to| {
        let refuses = refused.contains(&to).then(|| Planned::opted_out(to));
        refuses.or_else(|| terms.quote(to).map(|quote| Planned { to, quote }))
    };
    let recipients: Option<Vec<Planned>> = numbers.into_iter().map(priced).collect();
    let parts = draft.count_parts().map_err(|code| Violation::new("body", code))?;
    let recipients = recipients.ok_or_else(|| invalid(Code::NoRoute))?;
    let sent_to = recipients.iter().filter(|planned| !planned.has_opted_out());
    Ok(Plan {
        takes: Takes::judge(
            terms,
            sent_to.map(|planned| (planned.to, planned.quote.price, planned.quote.cost)),
        )?,
        scope: terms.scope,
        currency: terms.currency,
        length: count(draft.body.chars().count()),
        parts: count(parts),
        recipients,
        draft,
    })
}

pub(super) fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

impl Plan {
    /// The same without prices: what a test key's request is answered from.
    #[must_use]
    pub fn free(mut self) -> Plan {
        for planned in &mut self.recipients {
            planned.quote.price = Amount::ZERO;
            planned.quote.cost = Amount::ZERO;
        }
        self
    }

    /// The same within the limits of the key that it comes with, if that has some.
    pub fn within(mut self, bounds: Option<&Bounds>) -> Result<Plan> {
        let sent_to = self.recipients.iter().filter(|planned| !planned.has_opted_out());
        self.takes.judge_key(bounds, sent_to.map(|planned| (planned.to, planned.quote.price)))?;
        Ok(self)
    }

    /// How many recipients it has.
    pub fn recipients(&self) -> usize {
        self.recipients.len()
    }

    /// When it is to be sent, if not at once.
    pub(super) fn hour(&self) -> Option<Timestamp> {
        self.draft.scheduled
    }

    /// The rows of its recipients and their parts.
    pub(super) fn rows(&self) -> usize {
        self.recipients.len().saturating_mul(rows_each(self.parts))
    }

    /// What it costs altogether.
    pub(super) fn whole_charge(&self) -> Result<Charge> {
        self.charge(&self.recipients)
    }

    pub(super) fn charge(&self, of: &[Planned]) -> Result<Charge> {
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

/// Rows of a recipient and its parts.
pub(super) fn rows_each(parts: i64) -> usize {
    1 + usize::try_from(parts).unwrap_or(PARTS_MAX)
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
    /// The user data header of a binary one, in hexadecimal digits.
    pub udh: Option<String>,
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
    /// When it was to be sent; `None` for at once.
    pub scheduled: Option<Timestamp>,
    /// The recipients that have rows, by number.
    pub recipients: Vec<Recipient>,
}

pub(super) const COLUMNS: &str = "m.id, m.direction, m.kind, m.originator, m.body, m.reference, m.report_url, m.validity, m.gateway, \
                       m.coding, m.class, m.length, m.parts, m.currency, m.recipients, m.created, m.udh, m.scheduled";

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
            udh: row.next()?,
            scheduled: row.next()?,
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
    plan.takes.take(tx, &plan.scope).await?;
    ledger::hold(tx, &plan.whole_charge()?).await?;
    put(tx, plan, plan.rows() <= ROWS_MAX).await
}

/// Writes a message whose price is held: at once with all rows of its recipients, or with its recipients packed.
pub(super) async fn put(tx: &mut Tx, plan: &Plan, whole: bool) -> Result<Message> {
    let Plan { scope, currency, draft, length, parts, recipients, .. } = plan;
    let (id, now): (MessageId, Timestamp) = (tx.id(), tx.now());
    let sent_to = recipients.iter().find(|planned| !planned.has_opted_out());
    let gateway = draft.gateway.or(sent_to.map(|first| first.quote.carrier.0)).unwrap_or(0);
    let later = draft.scheduled.filter(|at| *at > now);
    let message = Message {
        id,
        direction: Direction::Out,
        format: draft.format,
        udh: draft.udh.clone(),
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
        scheduled: draft.scheduled,
        recipients: recipients
            .iter()
            .map(|planned| {
                if later.is_some() {
                    schedule::waiting(planned, *parts, now)
                } else {
                    fresh(planned, *parts, now)
                }
            })
            .collect(),
    };
    insert(tx, scope, &message).await?;
    let some = ROWS_MAX / rows_each(*parts);
    if let Some(at) = later {
        schedule::keep(tx, plan, &message, at, recipients.chunks(some)).await?;
    } else if whole {
        expand(tx, scope, &message, recipients).await?;
    } else {
        for (number, some) in recipients.chunks(some).enumerate() {
            expansion::pack(tx, plan, id, count(number), some).await?;
        }
    }
    Ok(message)
}

pub(super) fn fresh(planned: &Planned, parts: i64, now: Timestamp) -> Recipient {
    if planned.has_opted_out() {
        return Recipient {
            msisdn: planned.to,
            status: Status::Failed,
            reason: Some(Reason::OptedOut),
            error: Some(opt_out::ERROR),
            changed: now,
            price: Amount::ZERO,
        };
    }
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
             gateway, coding, class, length, parts, currency, recipients, hidden, created, udh, scheduled)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)"
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
            &message.udh,
            &message.scheduled,
        ],
    )
    .await?;
    Ok(())
}

pub(super) async fn insert_recipient(
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

/// When a message is given up, if no report comes: its validity runs from its hour.
pub(super) fn expires(message: &Message) -> Timestamp {
    let begin = message.scheduled.map_or(message.created, |at| at.max(message.created));
    let validity = message.validity.unwrap_or(VALIDITY_SECONDS);
    Timestamp(begin.0.saturating_add(validity.saturating_mul(1_000_000)))
}

/// Gives recipients their rows and their parts.
pub(super) async fn expand(
    tx: &mut Tx,
    scope: &Scope,
    message: &Message,
    recipients: &[Planned],
) -> Result<()> {
    for planned in recipients {
        let recipient = fresh(planned, message.parts, message.created);
        insert_recipient(tx, scope, message.id, &recipient, planned.open(message.parts)).await?;
        push_parts(tx, scope, message, planned).await?;
    }
    Ok(())
}

/// Puts the parts to one recipient into its carrier's lane; who has opted out has none, and is reported on at once.
pub(super) async fn push_parts(
    tx: &mut Tx,
    scope: &Scope,
    message: &Message,
    planned: &Planned,
) -> Result<()> {
    let Planned { to, quote: Quote { price, cost, carrier, .. } } = *planned;
    let expires = expires(message);
    let charge = Charge { scope: *scope, currency: message.currency, price, cost };
    if planned.has_opted_out() {
        let recipient = fresh(planned, message.parts, tx.now());
        return report_refused(tx, scope, message, recipient).await;
    }
    if planned.is_whole(message.parts) {
        // One row for what the carrier gets in one piece, at the price of all parts.
        let all = |each: Amount| each.times(message.parts).ok_or(Error::Balance);
        let charge = Charge { price: all(price)?, cost: all(cost)?, ..charge };
        return part::push(tx, carrier, charge, (message.id, to, part::WHOLE), expires).await;
    }
    for number in 1..=message.parts {
        part::push(tx, carrier, charge, (message.id, to, number), expires).await?;
    }
    Ok(())
}

/// Where what becomes of a message is told, as `part::COLUMNS` has it. Who is told by SMPP needs no reference.
pub(super) async fn reports_to(rx: &mut Rx, scope: &Scope, message: &Message) -> Result<Option<String>> {
    let by_smpp = message.report_url.as_deref().is_some_and(smpp_outbox::is_one);
    if message.reference.is_none() && !by_smpp {
        return Ok(None);
    }
    let url = match &message.report_url {
        Some(url) => Some(url.clone()),
        None => super::terms::messaging(rx, scope).await?.report_url,
    };
    Ok(url.filter(|url| !url.is_empty()))
}

/// Who has opted out is reported on at once, if the message is.
async fn report_refused(tx: &mut Tx, scope: &Scope, message: &Message, recipient: Recipient) -> Result<()> {
    let Some(url) = reports_to(tx, scope, message).await? else { return Ok(()) };
    let about = callback::About { message: message.id, recipient };
    callback::push(tx, *scope, callback::Kind::Status, &url, &about).await
}

/// A message that came from a phone.
#[derive(Debug, Clone)]
pub struct Received {
    /// Whose number it came to.
    pub scope: Scope,
    /// Whom it is from.
    pub from: Originator,
    /// The account's number.
    pub to: Msisdn,
    /// The text.
    pub body: String,
    /// Of the last message that went the other way.
    pub reference: Option<String>,
}

/// Stores a received message; `inbound` knows what else follows from it.
pub(super) async fn receive(tx: &mut Tx, received: &Received) -> Result<(MessageId, Recipient)> {
    let Received { scope, from, to, body, reference } = received;
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
        udh: None,
        originator: from.clone(),
        body: body.clone(),
        reference: reference.clone(),
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
        scheduled: None,
        recipients: vec![recipient.clone()],
    };
    insert(tx, scope, &message).await?;
    insert_recipient(tx, scope, id, &recipient, 0).await?;
    Ok((id, recipient))
}

/// The message's common part, hidden or not.
pub(super) async fn header(rx: &mut Rx, scope: &Scope, id: MessageId) -> Result<Message> {
    let sql = sql!("SELECT ", COLUMNS, " FROM message m WHERE m.root = $1 AND m.account = $2 AND m.id = $3");
    rx.maybe(sql, &[&scope.root, &scope.account, &id]).await?.ok_or(Error::NotFound(Noun::Message))
}

/// Forgets what a message was forwarded with.
pub(super) async fn forget_forwarded(tx: &mut Tx, scope: &Scope, id: MessageId) -> Result<u64> {
    Ok(tx
        .exec(
            sql!(
                "DELETE FROM callback WHERE root = $1 AND account = $2 AND message = $3 AND kind <> 'status'"
            ),
            &[&scope.root, &scope.account, &id],
        )
        .await?)
}
