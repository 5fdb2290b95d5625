//! What really happened in a simulated world, known to nobody in it, and the checkers that hold the tables against it.

use super::dice::Dice;
use super::wire::Smsc;
use crate::support::books;
use rookery::core::carrier::CarrierId;
use rookery::core::ledger::{self, Audit};
use rookery::core::message::{Reason, Status};
use rookery::core::{AccountId, Result};
use smpp::session::Answer;
use smpp::short_message::MessageState;
use std::collections::{BTreeMap, BTreeSet};
use store::{Store, Tx, sql};

/// A part of a message to a recipient; every recipient has a number of its own.
pub type Key = (i64, i64);
/// What is wrong, in a sentence.
pub type Found = std::result::Result<(), String>;

/// What a carrier decided about a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Taken(String),
    TooMuch,
    Refused,
}

/// A `submit_sm` that was given to a link.
#[derive(Debug)]
struct Submission {
    key: Key,
    /// Whether its carrier gets again what is in doubt.
    resends: bool,
    said: Option<Said>,
    in_doubt: bool,
    unsent: bool,
}

/// Who sends, and what a part costs.
#[derive(Debug, Clone, Copy)]
pub struct Sender {
    pub account: AccountId,
    pub price: i64,
}

/// All that happened.
#[derive(Default)]
pub struct Truth {
    submissions: Vec<Submission>,
    by_key: BTreeMap<Key, Vec<usize>>,
    /// What a carrier saw that it must not see.
    pub wrong: Option<String>,
    /// Parts that somebody had in hand when a fault befell him.
    touched: BTreeSet<Key>,
    /// Final receipts whose acknowledgement has arrived.
    pub acknowledged: BTreeSet<(CarrierId, String)>,
    /// What customers were told, by recipient.
    pub told: BTreeMap<i64, Vec<String>>,
    /// Recipients of accepted messages: whose.
    pub accepted: BTreeMap<i64, Sender>,
}

impl Truth {
    /// A part leaves: it may if it never left before, or came back, or is in doubt and may leave once more. Answers the
    /// number of the submission.
    pub fn submitted(&mut self, key: Key, resends: bool) -> std::result::Result<usize, String> {
        let number = self.submissions.len();
        let before = self.by_key.entry(key).or_default();
        let mut doubts = 0;
        for earlier in before.iter().map(|at| &self.submissions[*at]) {
            // What was turned away may come back, whether or not somebody was struck before he heard of it.
            if earlier.unsent || earlier.said == Some(Said::TooMuch) {
                continue;
            }
            if !earlier.in_doubt {
                return Err(format!("part {key:?} leaves again, and nothing was in doubt: {earlier:?}"));
            }
            doubts += if earlier.resends { 1 } else { 2 };
        }
        if doubts > 1 {
            return Err(format!("part {key:?} leaves again after {doubts} doubts"));
        }
        before.push(number);
        let (said, in_doubt, unsent) = (None, false, false);
        self.submissions.push(Submission { key, resends, said, in_doubt, unsent });
        Ok(number)
    }

    /// It never left its process.
    pub fn unsent(&mut self, number: usize) {
        self.submissions[number].unsent = true;
    }

    /// A fault befell whoever had the part in hand: nobody can know whether the carrier has it, if it had left.
    pub fn doubted(&mut self, key: Key, number: Option<usize>) {
        self.touched.insert(key);
        if let Some(number) = number {
            self.submissions[number].in_doubt = true;
        }
    }

    /// The carrier decides.
    pub fn decided(&mut self, number: usize, said: Said) {
        self.submissions[number].said = Some(said);
    }

    /// A desk is told an answer: it must be that of the submission that waits for it.
    pub fn answered(&self, number: usize, answer: &Answer) -> Found {
        let submission = &self.submissions[number];
        let fits = match (answer, &submission.said) {
            (Answer::Accepted { id }, Some(Said::Taken(reference))) => id == reference,
            (Answer::Throttled { .. }, Some(Said::TooMuch))
            | (Answer::Refused { .. }, Some(Said::Refused)) => true,
            _ => false,
        };
        if fits || submission.in_doubt {
            Ok(())
        } else {
            Err(format!("of {:?} {answer:?} is taken for the answer to {submission:?}", submission.key))
        }
    }

    /// Whether every part to a recipient was taken by a carrier that brought it to the phone.
    fn is_delivered(&self, msisdn: i64, fate: impl Fn(&str) -> Option<MessageState>) -> bool {
        let mut parts = self.by_key.range((msisdn, i64::MIN)..=(msisdn, i64::MAX));
        parts.all(|(_, numbers)| {
            numbers.iter().any(|at| match &self.submissions[*at].said {
                Some(Said::Taken(reference)) => fate(reference) == Some(MessageState::Delivered),
                _ => false,
            })
        })
    }

    /// Parts that a carrier has taken, by account: nobody pays for more, even if each is counted once more for its doubt.
    fn taken(&self) -> BTreeMap<AccountId, i64> {
        let mut taken = BTreeMap::new();
        for (key, numbers) in &self.by_key {
            let was_taken =
                numbers.iter().any(|at| matches!(self.submissions[*at].said, Some(Said::Taken(_))));
            if let Some(sender) = self.accepted.get(&key.0).filter(|_| was_taken) {
                *taken.entry(sender.account).or_default() += 1;
            }
        }
        taken
    }
}

async fn ask<O: Send + 'static>(
    store: &Store,
    question: impl for<'t, 'c> AsyncFn(&'t mut Tx, &'c ()) -> Result<O> + Send + 'static,
) -> O {
    let answer: Result<O> = store.write((), question).await;
    answer.expect("a question is answered")
}

/// What holds at every moment.
pub async fn check(store: &Store, truth: &Truth) -> Found {
    if let Some(wrong) = &truth.wrong {
        return Err(wrong.clone());
    }
    let audit: Audit = ask(store, async |tx: &mut Tx, (): &()| ledger::audit(tx, &()).await).await;
    if audit != Audit::default() {
        return Err(format!("the books: {audit:?}"));
    }
    let (rolled_up, counted) = ask(store, async |tx: &mut Tx, (): &()| books::rollups(tx).await).await;
    if rolled_up != counted {
        return Err(format!("the rollups: {rolled_up:?}, not {counted:?}"));
    }
    let open: Vec<(CarrierId, String, i64)> = ask(store, async |tx: &mut Tx, (): &()| {
        let text = sql!("SELECT carrier, reference, msisdn FROM part WHERE reference IS NOT NULL");
        Ok(tx.all(text, &[]).await?)
    })
    .await;
    for (carrier, reference, msisdn) in open {
        if truth.acknowledged.contains(&(carrier, reference.clone())) {
            return Err(format!("the receipt {reference} of {msisdn} was acknowledged, and is lost"));
        }
    }
    Ok(())
}

/// What holds when nothing is under way any more, long before anything's time is over: nothing is forgotten in doubt.
pub async fn check_calm(store: &Store, waits: &BTreeSet<CarrierId>) -> Found {
    let doubtful: Vec<(CarrierId, i64)> = ask(store, async |tx: &mut Tx, (): &()| {
        let text = sql!("SELECT carrier, msisdn FROM part WHERE marked > 0 AND reference IS NULL");
        Ok(tx.all(text, &[]).await?)
    })
    .await;
    if let Some((carrier, msisdn)) = doubtful.iter().find(|(carrier, _)| !waits.contains(carrier)) {
        return Err(format!("a part to {msisdn} is in doubt, and nobody at carrier {} decides", carrier.0));
    }
    let down: Vec<String> = ask(store, async |tx: &mut Tx, (): &()| {
        Ok(tx.all(sql!("SELECT name FROM carrier WHERE down IS NOT NULL"), &[]).await?)
    })
    .await;
    if down.is_empty() { Ok(()) } else { Err(format!("{down:?} are up and said to be down")) }
}

fn word(status: Status) -> &'static str {
    if status == Status::Failed { "delivery_failed" } else { status.name() }
}

/// What holds at the end.
pub async fn check_end(store: &Store, truth: &Truth, smscs: &[Smsc], dice: &mut Dice) -> Found {
    type Row = (i64, Status, Option<Reason>, i64, i64, Option<CarrierId>);
    let asked =
        |carrier| smscs.iter().any(|it| Some(it.carrier.id) == carrier && it.settings.asks_after.is_some());
    let fate = |reference: &str| smscs.iter().find_map(|smsc| smsc.fate(reference));
    check(store, truth).await?;
    let (parts, packed, open): (i64, i64, i64) = ask(store, async |tx: &mut Tx, (): &()| {
        Ok(tx
            .one(
                sql!(
                    "SELECT (SELECT CAST(count(*) AS BIGINT) FROM part),
                     (SELECT CAST(count(*) AS BIGINT) FROM schedule),
                     (SELECT CAST(count(*) AS BIGINT) FROM callback WHERE open)"
                ),
                &[],
            )
            .await?)
    })
    .await;
    if (parts, packed, open) != (0, 0, 0) {
        return Err(format!("left: {parts} parts, {packed} for later, {open} callbacks"));
    }
    let rows: Vec<Row> = ask(store, async |tx: &mut Tx, (): &()| {
        Ok(tx.all(sql!("SELECT msisdn, status, reason, price, open, carrier FROM recipient"), &[]).await?)
    })
    .await;
    if rows.len() != truth.accepted.len() {
        return Err(format!("{} recipients, not {}", rows.len(), truth.accepted.len()));
    }
    let mut delivered: BTreeMap<AccountId, i64> = BTreeMap::new();
    for (msisdn, status, reason, price, open, carrier) in rows {
        if !status.is_final() || open != 0 {
            return Err(format!("{msisdn} ends as {status:?} with {open} open parts"));
        }
        if reason == Some(Reason::Timeout) && !truth.touched.iter().any(|(to, _)| *to == msisdn) {
            return Err(format!("{msisdn} was given up as in doubt, and nothing had gone wrong"));
        }
        if reason == Some(Reason::NoReceipt) && asked(carrier) {
            return Err(format!("{msisdn} was given up without a receipt, and its carrier was not asked"));
        }
        if status == Status::Delivered && !truth.is_delivered(msisdn, fate) {
            return Err(format!("{msisdn} is said to be delivered, and is not"));
        }
        if status == Status::Delivered {
            *delivered.entry(truth.accepted[&msisdn].account).or_default() += price;
        }
        let told = truth.told.get(&msisdn).map(Vec::as_slice).unwrap_or_default();
        let ends: BTreeSet<&str> =
            told.iter().map(String::as_str).filter(|word| !["sent", "buffered"].contains(word)).collect();
        if ends != BTreeSet::from([word(status)]) {
            return Err(format!("{msisdn} ended as {status:?}, and its customer was told {told:?}"));
        }
    }
    let uncounted: i64 = ask(store, async |tx: &mut Tx, (): &()| {
        let text =
            sql!("SELECT CAST(count(*) AS BIGINT) FROM recipient WHERE counted IS NULL OR counted <> status");
        Ok(tx.one(text, &[]).await?)
    })
    .await;
    if uncounted != 0 {
        return Err(format!("{uncounted} recipients are not in the rollups as they are"));
    }
    let events: Vec<(i64, Status)> = ask(store, async |tx: &mut Tx, (): &()| {
        Ok(tx.all(sql!("SELECT msisdn, status FROM callback"), &[]).await?)
    })
    .await;
    for (msisdn, status) in events {
        let told = truth.told.get(&msisdn).map(Vec::as_slice).unwrap_or_default();
        if !told.iter().any(|told| told == word(status)) {
            return Err(format!("of {msisdn} nobody was told {status:?}"));
        }
    }
    let taken = truth.taken();
    let balances: Vec<(AccountId, i64, i64)> = ask(store, async |tx: &mut Tx, (): &()| {
        let text = sql!(
            "SELECT b.account, b.held, CAST(COALESCE((SELECT sum(amount) FROM transfer t
             WHERE t.debit = b.account AND t.reason = 'messages'), 0) AS BIGINT)
             FROM balance b WHERE b.account <> b.root"
        );
        Ok(tx.all(text, &[]).await?)
    })
    .await;
    for (account, held, paid) in balances {
        let price = truth.accepted.values().find(|sender| sender.account == account).map_or(0, |s| s.price);
        let most = taken.get(&account).copied().unwrap_or(0) * price;
        let least = delivered.get(&account).copied().unwrap_or(0);
        if held != 0 || paid > most || paid < least {
            return Err(format!("{account} paid {paid}, not {least} to {most}, and holds {held}"));
        }
    }
    dice.note(format!("{} recipients, {} submissions", truth.accepted.len(), truth.submissions.len()));
    Ok(())
}
