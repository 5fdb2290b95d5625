//! The books: double entry, integers, append-only.
//!
//! A transfer moves one amount from one account to another, so all balances of a currency sum to zero at every moment.
//! The operator is account 0: credit that it grants is what it owes. Lock order: tenants' balances in id order, the
//! operator's last.

use super::account::{self, AccountId};
use super::money::{Amount, Currency};
use super::{Code, Error, Result, Scope, Timestamp, Violation, alert, cap, entry, limits, statement};
use std::collections::{BTreeMap, BTreeSet};
use store::{FromRow, Row, Rx, Tx, sql};

store::id! {
    /// A transfer's id.
    TransferId
}

/// The operator's side of every currency.
const OPERATOR: Scope = Scope { root: AccountId(0), account: AccountId(0) };

/// Why money moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The operator granted credit, or took it back.
    Credit,
    /// What a deleted account had left went to its partner.
    Closing,
    /// Messages that carriers have accepted.
    Messages,
    /// A partner gave to its child, or took back.
    Transfer,
}

impl Reason {
    /// The stored word.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Credit => "credit",
            Reason::Closing => "closing",
            Reason::Messages => "messages",
            Reason::Transfer => "transfer",
        }
    }
}

/// What an account has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// Its currency.
    pub currency: Currency,
    /// The sum of its transfers.
    pub posted: Amount,
    /// The part that accepted and unfinished work may still cost.
    pub held: Amount,
    /// Whether it pays afterwards, up to a limit, rather than beforehand.
    pub postpaid: bool,
    /// How far below zero it may go.
    pub credit_limit: Amount,
}

impl Balance {
    /// What can be spent without credit: posted less held.
    pub fn available(&self) -> Amount {
        Amount(self.posted.0.saturating_sub(self.held.0))
    }
}

impl FromRow for Balance {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Balance {
            currency: row.next()?,
            posted: row.next()?,
            held: row.next()?,
            postpaid: row.next()?,
            credit_limit: row.next()?,
        })
    }
}

/// Opens an account's balance at zero, prepaid: part of creating it.
pub async fn open(tx: &mut Tx, scope: Scope, currency: Currency) -> Result<()> {
    tx.put(
        sql!(
            "INSERT INTO balance (root, account, currency, posted, held, postpaid, credit_limit, unclosed)
             VALUES ($1, $2, $3, 0, 0, $4, 0, NULL)"
        ),
        &[&scope.root, &scope.account, &currency, &false],
    )
    .await?;
    Ok(())
}

/// What an account has.
pub async fn balance(rx: &mut Rx, scope: &Scope) -> Result<Balance> {
    Ok(rx
        .one(
            sql!(
                "SELECT currency, posted, held, postpaid, credit_limit FROM balance WHERE root = $1 AND account = $2"
            ),
            &[&scope.root, &scope.account],
        )
        .await?)
}

/// How an account pays: `None` leaves as it is.
pub async fn set_terms(
    tx: &mut Tx,
    scope: Scope,
    postpaid: Option<bool>,
    credit_limit: Option<Amount>,
) -> Result<()> {
    if credit_limit.is_some_and(|limit| !(0..=BALANCE_MAX).contains(&limit.0)) {
        return Err(Violation::new("credit-limit", Code::OutOfRange(0, BALANCE_MAX)).into());
    }
    let balance: Balance = tx
        .one(
            sql!(
                "SELECT currency, posted, held, postpaid, credit_limit FROM balance WHERE root = $1 AND account = $2
                 FOR UPDATE"
            ),
            &[&scope.root, &scope.account],
        )
        .await?;
    let postpaid = postpaid.unwrap_or(balance.postpaid);
    let credit_limit = credit_limit.unwrap_or(balance.credit_limit);
    tx.put(
        sql!("UPDATE balance SET postpaid = $3, credit_limit = $4 WHERE root = $1 AND account = $2"),
        &[&scope.root, &scope.account, &postpaid, &credit_limit],
    )
    .await?;
    Ok(())
}

/// A grant of credit by the operator; a negative one takes credit back.
#[derive(Debug, Clone)]
pub struct Grant {
    /// To whom.
    pub account: AccountId,
    /// How much.
    pub amount: Amount,
    /// If given, it must be the account's own.
    pub currency: Option<Currency>,
}

/// Grants credit to an account and answers its new balance.
pub async fn grant(tx: &mut Tx, grant: &Grant) -> Result<Balance> {
    let to = account::lock(tx, &grant.account).await?;
    if to.status == account::Status::Deleted {
        return Err(Error::NotFound(super::Noun::Account));
    }
    if grant.currency.is_some_and(|currency| currency != to.currency) {
        return Err(Violation::new("currency", Code::Currency).into());
    }
    if grant.amount == Amount::ZERO {
        return Err(Violation::new("amount", Code::Invalid).into());
    }
    transfer(
        tx,
        Move {
            from: OPERATOR,
            to: to.scope(),
            currency: to.currency,
            amount: grant.amount,
            reason: Reason::Credit,
            note: None,
        },
    )
    .await?;
    balance(tx, &to.scope()).await
}

/// Moves what a closing account has left to its partner; debts too. Held amounts stay until they are settled: what is left
/// of them then is moved by [`wind_up`].
pub async fn close(tx: &mut Tx, scope: Scope) -> Result<()> {
    let now: Timestamp = tx.now();
    tx.put(
        sql!(
            "INSERT INTO departed (root, account, since, due) VALUES ($1, $2, $3, $3)
             ON CONFLICT (root, account) DO NOTHING"
        ),
        &[&scope.root, &scope.account, &now],
    )
    .await?;
    close_out(tx, scope).await?;
    Ok(())
}

/// Moves what is left and not held; answers what is held.
async fn close_out(tx: &mut Tx, scope: Scope) -> Result<Amount> {
    // Both sides in the order of their ids, before either is looked at.
    tx.all::<AccountId>(
        sql!(
            "SELECT account FROM balance WHERE root = $1 AND account IN ($1, $2) ORDER BY account FOR UPDATE"
        ),
        &[&scope.root, &scope.account],
    )
    .await?;
    let left: Balance = tx
        .one(
            sql!(
                "SELECT currency, posted, held, postpaid, credit_limit FROM balance WHERE root = $1 AND account = $2
                 FOR UPDATE"
            ),
            &[&scope.root, &scope.account],
        )
        .await?;
    let amount = left.available();
    let partner = scope.of_root();
    if amount != Amount::ZERO && partner != scope {
        let closing = Move {
            from: scope,
            to: partner,
            currency: left.currency,
            amount,
            reason: Reason::Closing,
            note: None,
        };
        transfer(tx, closing).await?;
    }
    Ok(left.held)
}

/// Between two looks at a deleted account for which something is held.
const LOOK_US: i64 = 10 * 60 * 1_000_000;
/// So long after its end a deleted account may still get a hold, from a process that has not heard of it yet.
const LATE_US: i64 = 60 * 60 * 1_000_000;

/// Looks at one deleted account: what its last holds have left goes to its partner, and its limits are forgotten. Answers
/// whether there may be more. Accounts that live are not looked at, and nothing is written for them.
pub async fn wind_up(tx: &mut Tx, (): &()) -> Result<bool> {
    // All tenants: the sweep works for everybody, the longest unseen first.
    let now: Timestamp = tx.now();
    let due: Option<(AccountId, AccountId, i64)> = tx
        .maybe(
            sql!(
                "SELECT root, account, since FROM departed WHERE due <= $1 ORDER BY due, root, account LIMIT 1 FOR UPDATE"
            ),
            &[&now],
        )
        .await?;
    let Some((root, account, since)) = due else { return Ok(false) };
    let scope = Scope { root, account };
    if limits::forget(tx, &scope).await? {
        return Ok(true);
    }
    let held = close_out(tx, scope).await?;
    if held == Amount::ZERO && since.saturating_add(LATE_US) <= now.0 {
        tx.put(sql!("DELETE FROM ceiling WHERE root = $1 AND account = $2"), &[&root, &account]).await?;
        tx.put(sql!("DELETE FROM alert WHERE root = $1 AND account = $2"), &[&root, &account]).await?;
        tx.put(sql!("DELETE FROM departed WHERE root = $1 AND account = $2"), &[&root, &account]).await?;
    } else {
        tx.put(
            sql!("UPDATE departed SET due = $3 WHERE root = $1 AND account = $2"),
            &[&root, &account, &now.0.saturating_add(LOOK_US)],
        )
        .await?;
    }
    Ok(true)
}

/// What messages cost an account and, through it, its partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// Whose messages.
    pub scope: Scope,
    /// The account's currency.
    pub currency: Currency,
    /// What the account pays to its partner; a partner pays its own messages to the operator.
    pub price: Amount,
    /// What the partner pays to the operator for them.
    pub cost: Amount,
}

impl Charge {
    fn is_own(&self) -> bool {
        self.scope.root == self.scope.account
    }

    /// What the partner must have in hand: only what the message costs it above what it brings.
    fn partners_hold(&self) -> Amount {
        if self.is_own() { Amount::ZERO } else { Amount((self.cost.0.saturating_sub(self.price.0)).max(0)) }
    }
}

/// Holds the price of messages on the sender and on its partner, or refuses. What is held cannot be spent twice.
pub async fn hold(tx: &mut Tx, charge: &Charge) -> Result<()> {
    let mut sides = vec![(charge.scope, charge.price), (charge.scope.of_root(), charge.partners_hold())];
    sides.retain(|(_, amount)| *amount != Amount::ZERO);
    sides.sort_by_key(|(scope, _)| scope.account);
    for (scope, amount) in sides {
        if !(0..=BALANCE_MAX).contains(&amount.0) {
            return Err(Error::Balance);
        }
        // Caps are about what an account sends itself, not about what it must have in hand for its children.
        let spent = if scope == charge.scope { amount } else { Amount::ZERO };
        let mut is_held = hold_once(tx, scope, charge.currency, amount, spent).await?;
        // Judged again under the row's lock even if another process has begun the day meanwhile: the first statement has
        // then seen the day before.
        if !is_held && spent != Amount::ZERO {
            cap::roll(tx, scope, charge.currency).await?;
            is_held = hold_once(tx, scope, charge.currency, amount, spent).await?;
            if !is_held {
                return Err(cap::refusal(tx, scope, charge.currency, amount).await?);
            }
        }
        if !is_held {
            return Err(Error::Balance);
        }
    }
    Ok(())
}

/// Whether the price of messages could be held now. Nothing is held: what decides is [`hold`].
pub async fn covers(rx: &mut Rx, charge: &Charge) -> Result<bool> {
    for (scope, amount) in [(charge.scope, charge.price), (charge.scope.of_root(), charge.partners_hold())] {
        if amount == Amount::ZERO {
            continue;
        }
        let Balance { posted, held, credit_limit, .. } = balance(rx, &scope).await?;
        let in_hand = posted.0.saturating_sub(held.0).saturating_add(credit_limit.0);
        if in_hand < amount.0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a movement has crossed a threshold, or recovered from one, that somebody is told of: what `alert` has put into
/// the row is compared by the statement that moves the money, so that those without alerts run nothing more.
const ALERTS: &str = "(posted - held < alert_below OR posted - held >= alert_from OR day_spent >= alert_day
     OR month_spent >= alert_month) IS TRUE";

/// One statement decides: what there is, and what the caps of the present day and month leave.
async fn hold_once(
    tx: &mut Tx,
    scope: Scope,
    currency: Currency,
    amount: Amount,
    spent: Amount,
) -> Result<bool> {
    let now: Timestamp = tx.now();
    let alerts: Option<bool> = tx
        .maybe(
            sql!(
                "UPDATE balance SET held = held + $4, day_spent = day_spent + $5, month_spent = month_spent + $5
                 WHERE root = $1 AND account = $2 AND currency = $3
                 AND posted - held + credit_limit >= $4
                 AND (CAST($5 AS BIGINT) = 0 OR (day_ends > $6 AND month_ends > $6 AND month_spent <= $7
                     AND (day_cap IS NULL OR day_spent <= day_cap - CAST($5 AS BIGINT))
                     AND (month_cap IS NULL OR month_spent <= month_cap - CAST($5 AS BIGINT))))
                 RETURNING ",
                ALERTS
            ),
            &[&scope.root, &scope.account, &currency, &amount, &spent, &now, &BALANCE_MAX],
        )
        .await?;
    if alerts == Some(true) {
        alert::judge(tx, scope, None).await?;
    }
    Ok(alerts.is_some())
}

/// Money that somebody moves on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// The operator, or the partner of the account.
    pub from: Scope,
    /// To whom.
    pub to: AccountId,
    /// How much; a negative amount takes back.
    pub amount: Amount,
    /// What for.
    pub note: Option<String>,
}

/// Moves money from the operator, who may owe any amount, or between a partner and its child: as much as the one has with
/// its credit, and back only what the other has.
pub async fn pay(tx: &mut Tx, payment: &Payment) -> Result<entry::Entry> {
    let Payment { from, to, amount, note } = payment;
    let to = account::lock(tx, to).await?;
    if to.status == account::Status::Deleted {
        return Err(Error::NotFound(super::Noun::Account));
    }
    let (scope, currency) = (to.scope(), to.currency);
    if *from != OPERATOR {
        if scope == *from || scope.root != from.account {
            return Err(Error::Forbidden);
        }
        // Both sides in the order of their ids, before either is looked at.
        let sides: Vec<(AccountId, Amount, Amount, Amount)> = tx
            .all(
                sql!(
                    "SELECT account, posted, held, credit_limit FROM balance WHERE root = $1 AND account IN ($1, $2)
                     ORDER BY account FOR UPDATE"
                ),
                &[&scope.root, &scope.account],
            )
            .await?;
        let payer = if *amount < Amount::ZERO { scope.account } else { from.account };
        let has = sides.iter().find(|(account, ..)| *account == payer).map(|(_, posted, held, credit)| {
            let credit = if payer == from.account { credit.0 } else { 0 };
            posted.0.saturating_sub(held.0).saturating_add(credit)
        });
        if has.is_none_or(|has| has < amount.0.saturating_abs()) {
            return Err(Error::Balance);
        }
    }
    let reason = if *from == OPERATOR { Reason::Credit } else { Reason::Transfer };
    let note = note.clone();
    let id = transfer(tx, Move { from: *from, to: scope, currency, amount: *amount, reason, note }).await?;
    entry::find(tx, &(scope, id)).await
}

/// Holds that end in one unit: each is settled, which moves money, or released. Applied once, all accounts together.
#[derive(Debug, Default)]
pub struct Settlement {
    ended: Vec<(Charge, bool)>,
}

impl Settlement {
    /// The carrier has accepted what was held for.
    pub fn settle(&mut self, charge: Charge) {
        self.ended.push((charge, true));
    }

    /// What was held for will not be sent.
    pub fn release(&mut self, charge: Charge) {
        self.ended.push((charge, false));
    }

    /// Writes one transfer for each account and payee and moves every balance once, the operator's last.
    pub async fn apply(self, tx: &mut Tx) -> Result<()> {
        let mut owed: BTreeMap<(Currency, AccountId), (Scope, Amount, Amount)> = BTreeMap::new();
        let mut moved: BTreeMap<(bool, AccountId, Currency), (Scope, i64, i64)> = BTreeMap::new();
        let mut add = |scope: Scope, currency: Currency, posted: i64, held: i64| -> Result<()> {
            let key = (scope == OPERATOR, scope.account, currency);
            let (_, all_posted, all_held) = moved.entry(key).or_insert((scope, 0, 0));
            let overflow = || Error::Internal("a settlement beyond all bounds".into());
            *all_posted = all_posted.checked_add(posted).ok_or_else(overflow)?;
            *all_held = all_held.checked_add(held).ok_or_else(overflow)?;
            Ok(())
        };
        for (charge, settled) in self.ended {
            let Charge { scope, currency, price, cost } = charge;
            let partner = charge.scope.of_root();
            add(scope, currency, 0, -price.0)?;
            add(partner, currency, 0, -charge.partners_hold().0)?;
            if !settled {
                continue;
            }
            let (_, prices, costs) =
                owed.entry((currency, scope.account)).or_insert((scope, Amount::ZERO, Amount::ZERO));
            *prices = [*prices, price].into_iter().sum();
            *costs = [*costs, cost].into_iter().sum();
            if charge.is_own() {
                add(scope, currency, -price.0, 0)?;
                add(OPERATOR, currency, price.0, 0)?;
            } else {
                add(scope, currency, -price.0, 0)?;
                add(partner, currency, price.0.saturating_sub(cost.0), 0)?;
                add(OPERATOR, currency, cost.0, 0)?;
            }
        }
        let mut entered = BTreeSet::new();
        for ((currency, _), (scope, price, cost)) in owed {
            let partner = scope.of_root();
            let reason = Reason::Messages;
            let mut entries =
                vec![Move { from: partner, to: OPERATOR, currency, amount: cost, reason, note: None }];
            if scope == partner {
                entries[0].amount = price;
            } else {
                entries.push(Move { from: scope, to: partner, currency, amount: price, reason, note: None });
            }
            for entry in entries.iter().filter(|entry| entry.amount != Amount::ZERO) {
                enter(tx, entry).await?;
                entered.extend([entry.from.account, entry.to.account]);
            }
        }
        let postings = moved.into_iter().map(|((_, _, currency), (scope, by, held))| {
            let is_entered = entered.contains(&scope.account);
            Posting { scope, currency, by: Amount(by), held: Amount(held), is_entered }
        });
        // Also one whose entries come to nothing: its day is not closed any more.
        let moves = |one: &Posting| one.by != Amount::ZERO || one.held != Amount::ZERO || one.is_entered;
        post(tx, &postings.filter(moves).collect::<Vec<_>>()).await
    }
}

struct Move {
    from: Scope,
    to: Scope,
    currency: Currency,
    amount: Amount,
    reason: Reason,
    note: Option<String>,
}

/// Writes one row in the books and moves both balances. A negative amount is written as a transfer the other way.
async fn transfer(tx: &mut Tx, mut what: Move) -> Result<TransferId> {
    if what.amount < Amount::ZERO {
        std::mem::swap(&mut what.from, &mut what.to);
        what.amount = Amount(what.amount.0.checked_neg().ok_or(Violation::new("amount", Code::Invalid))?);
    }
    if what.amount.0 > BALANCE_MAX {
        return Err(Violation::new("amount", Code::Invalid).into());
    }
    let id = enter(tx, &what).await?;
    let Move { from, to, currency, amount, .. } = what;
    let side = |scope, by| Posting { scope, currency, by, held: Amount::ZERO, is_entered: true };
    let mut sides = [side(from, Amount(-amount.0)), side(to, amount)];
    sides.sort_by_key(|side| (side.scope == OPERATOR, side.scope.account));
    post(tx, &sides).await?;
    Ok(id)
}

/// Writes one row in the books.
async fn enter(tx: &mut Tx, what: &Move) -> Result<TransferId> {
    let Move { from, to, currency, amount, reason, note } = what;
    let (id, now): (TransferId, Timestamp) = (tx.id(), tx.now());
    let root = if *to == OPERATOR { from.root } else { to.root };
    tx.put(
        sql!(
            "INSERT INTO transfer (root, id, debit, credit, currency, amount, reason, created, note)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
        ),
        &[&root, &id, &from.account, &to.account, currency, amount, &reason.name(), &now, note],
    )
    .await?;
    Ok(id)
}

/// Largest balance either way, in micro-units: ten million million, far inside of 64 bits so that no sum overflows.
const BALANCE_MAX: i64 = 1_000_000_000_000_000_000;

/// By what a balance moves.
struct Posting {
    scope: Scope,
    currency: Currency,
    by: Amount,
    held: Amount,
    /// Whether an entry says so.
    is_entered: bool,
}

/// Moves balances, each within its bounds: in this order, which is the order of their locks, and in one round trip.
async fn post(tx: &mut Tx, postings: &[Posting]) -> Result<()> {
    let mut moved = move_each(tx, postings).await?;
    let missing =
        |(posting, moved): &(&Posting, &mut Option<_>)| posting.scope == OPERATOR && moved.is_none();
    for (posting, moved) in postings.iter().zip(&mut moved).filter(missing) {
        // The first movement in a currency: the operator has no balance in it yet.
        tx.put(
            sql!(
                "INSERT INTO balance (root, account, currency, posted, held, postpaid, credit_limit, unclosed)
                 VALUES (0, 0, $1, 0, 0, $2, 0, NULL) ON CONFLICT (root, account, currency) DO NOTHING"
            ),
            &[&posting.currency, &true],
        )
        .await?;
        *moved = move_each(tx, std::slice::from_ref(posting)).await?.pop().flatten();
    }
    for (Posting { scope, is_entered, .. }, moved) in postings.iter().zip(moved) {
        let (is_crossed, is_closed) = moved.ok_or(Violation::new("amount", Code::Invalid))?;
        if *is_entered && is_closed {
            statement::reopen(tx, *scope).await?;
        }
        if is_crossed {
            alert::judge(tx, *scope, None).await?;
        }
    }
    Ok(())
}

/// Moves balances; of each whether a threshold was crossed and whether the present day is closed, none if it cannot move.
async fn move_each(tx: &mut Tx, postings: &[Posting]) -> Result<Vec<Option<(bool, bool)>>> {
    let (day, least) = (statement::day(tx.now()), -BALANCE_MAX);
    Ok(tx
        .maybe_each(
            sql!(
                "UPDATE balance SET posted = posted + $4, held = held + $5
                 WHERE root = $1 AND account = $2 AND currency = $3
                 AND posted BETWEEN $6 - CAST($4 AS BIGINT) AND $7 - CAST($4 AS BIGINT) RETURNING ",
                ALERTS,
                ", unclosed IS NULL OR unclosed > CAST($8 AS BIGINT)"
            ),
            postings,
            |Posting { scope, currency, by, held, .. }| {
                [&scope.root, &scope.account, currency, by, held, &least, &BALANCE_MAX, &day]
            },
        )
        .await?)
}

/// What is wrong with the books: nothing, if the lists are empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Currencies whose balances do not sum to zero, with the sum.
    pub unbalanced: Vec<(String, i64)>,
    /// Accounts whose balance is not the sum of their transfers.
    pub drifted: Vec<i64>,
    /// Accounts that hold another sum than their unfinished messages say.
    pub misheld: Vec<i64>,
}

/// Recomputes the books. Scans, so it belongs to commands and tests.
pub async fn audit(rx: &mut Rx, (): &()) -> Result<Audit> {
    // All tenants: the books are one; what one account loses another has.
    let unbalanced = rx
        .all::<(String, i64)>(
            sql!(
                "SELECT currency, CAST(sum(posted) AS BIGINT) FROM balance
                 GROUP BY currency HAVING sum(posted) <> 0 ORDER BY currency"
            ),
            &[],
        )
        .await?;
    let drifted = rx
        .all::<i64>(
            sql!(
                "SELECT b.account FROM balance b
                 LEFT JOIN (SELECT side.account, side.currency, sum(side.amount) AS total FROM (
                     SELECT credit AS account, currency, amount FROM transfer
                     UNION ALL SELECT debit AS account, currency, -amount AS amount FROM transfer
                 ) side GROUP BY side.account, side.currency) t
                 ON t.account = b.account AND t.currency = b.currency
                 WHERE b.posted <> COALESCE(t.total, 0) ORDER BY b.account"
            ),
            &[],
        )
        .await?;
    let misheld = rx
        .all::<i64>(
            sql!(
                "SELECT b.account FROM balance b LEFT JOIN (
                     SELECT due.account, CAST(sum(due.amount) AS BIGINT) AS total FROM (
                         SELECT account, price AS amount FROM part WHERE reference IS NULL
                         UNION ALL SELECT root AS account, cost - price AS amount FROM part
                             WHERE reference IS NULL AND root <> account AND cost > price
                         UNION ALL SELECT account, price AS amount FROM expansion
                         UNION ALL SELECT root AS account, cost AS amount FROM expansion
                         UNION ALL SELECT account, price AS amount FROM schedule
                         UNION ALL SELECT root AS account, cost AS amount FROM schedule
                         UNION ALL SELECT account, price AS amount FROM channel_part
                         UNION ALL SELECT root AS account, cost - price AS amount FROM channel_part
                             WHERE root <> account AND cost > price
                     ) due GROUP BY due.account) t ON t.account = b.account
                 WHERE b.held <> COALESCE(t.total, 0) ORDER BY b.account"
            ),
            &[],
        )
        .await?;
    Ok(Audit { unbalanced, drifted, misheld })
}
