//! Which accounts somebody may look at and change: the operator all of them, a partner itself and its children, a child
//! itself. What lies beyond is not found.

use super::account::{self, Account, AccountId, Status};
use super::suspension::Level;
use super::{Error, Noun, Result, Scope, Timestamp};
use store::{FromRow, Row, Rx, sql};

/// Accounts that one request looks at: a search that finds little goes on in the next one.
const LOOKED_AT: i64 = 2_000;
/// Of these one read gives so many.
const STEP: i64 = 500;

/// An account as those see it who may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The account.
    pub account: Account,
    /// When it is deleted for good, if it is about to be.
    pub closes: Option<Timestamp>,
    /// Of its partner; its own if it is one.
    pub above: Status,
    /// Who has suspended it.
    pub held_by: Option<Level>,
    /// Who has asked for its end, if it is about to be deleted.
    pub closed_by: Option<Level>,
}

impl View {
    /// Its own status or its partner's, whichever is worse.
    pub fn effective(&self) -> Status {
        self.account.status.max(self.above)
    }
}

impl FromRow for View {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        let account = Account::from_row(row)?;
        let (closes, above, held_by, closed_by) = (row.next()?, row.next()?, row.next()?, row.next()?);
        Ok(View { account, closes, above, held_by, closed_by })
    }
}

const COLUMNS: &str = "a.id, a.root, a.name, a.email, a.currency, a.status, a.invoice_aggregation, a.created, a.closes, \
                       r.status, a.held_by, a.closed_by";

/// Asks for an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// Who looks; the operator is account 0.
    pub from: Scope,
    /// At what.
    pub at: AccountId,
}

impl Sight {
    /// The operator's.
    pub fn operators(at: AccountId) -> Self {
        Sight { from: Scope { root: AccountId(0), account: AccountId(0) }, at }
    }

    /// As whom it acts on an account below its own.
    pub fn level(&self) -> Level {
        if self.from.account == AccountId(0) { Level::Operator } else { Level::Partner }
    }
}

/// An account within reach, unless it is deleted.
pub async fn find(rx: &mut Rx, sight: &Sight) -> Result<View> {
    let Sight { from, at } = sight;
    let is_seen = |view: &View| {
        let Account { id, root, .. } = view.account;
        match from.account {
            AccountId(0) => true,
            own if own == from.root => root == own,
            own => id == own,
        }
    };
    rx.maybe::<View>(
        sql!(
            "SELECT ",
            COLUMNS,
            " FROM account a JOIN account r ON r.id = a.root WHERE a.id = $1 AND a.status <> 'deleted'"
        ),
        &[at],
    )
    .await?
    .filter(is_seen)
    .ok_or(Error::NotFound(Noun::Account))
}

/// Asks for a page of accounts.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The children of this partner; of the operator (0) the partners.
    pub of: AccountId,
    /// Part of a name, an e-mail address or a number; in lower case.
    pub search: Option<String>,
    /// Of their own.
    pub status: Option<Status>,
    /// Only larger numbers.
    pub after: AccountId,
    /// Most of them.
    pub limit: usize,
}

impl Asked {
    fn wants(&self, view: &View) -> bool {
        let Account { id, name, email, status, .. } = &view.account;
        let found = |part: &String| {
            name.to_lowercase().contains(part)
                || email.to_lowercase().contains(part)
                || id.to_string().starts_with(part.as_str())
        };
        self.status.is_none_or(|wanted| wanted == *status) && self.search.as_ref().is_none_or(found)
    }
}

/// Some accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Those that were asked for, by number.
    pub accounts: Vec<View>,
    /// After which one to go on; `None` if there are no more.
    pub next: Option<AccountId>,
}

/// Accounts by number, of as many as one request may look at: there may be more though few were found, or none.
pub async fn list(rx: &mut Rx, asked: &Asked) -> Result<Found> {
    let mut accounts: Vec<View> = Vec::new();
    let (mut after, mut looked_at) = (asked.after, 0);
    while looked_at < LOOKED_AT {
        let step: Vec<View> = if asked.of == AccountId(0) {
            rx.all(
                sql!(
                    "SELECT ",
                    COLUMNS,
                    " FROM account a JOIN account r ON r.id = a.root
                     WHERE a.id > $1 AND a.id = a.root AND a.status <> 'deleted' ORDER BY a.id LIMIT $2"
                ),
                &[&after, &STEP],
            )
            .await?
        } else {
            rx.all(
                sql!(
                    "SELECT ",
                    COLUMNS,
                    " FROM account a JOIN account r ON r.id = a.root
                     WHERE a.root = $1 AND a.id > $2 AND a.id <> a.root AND a.status <> 'deleted'
                     ORDER BY a.id LIMIT $3"
                ),
                &[&asked.of, &after, &STEP],
            )
            .await?
        };
        let is_last = i64::try_from(step.len()).is_ok_and(|length| length < STEP);
        looked_at += STEP;
        for view in step {
            if accounts.len() >= asked.limit {
                return Ok(Found { accounts, next: Some(after) });
            }
            after = view.account.id;
            if asked.wants(&view) {
                accounts.push(view);
            }
        }
        if is_last {
            return Ok(Found { accounts, next: None });
        }
    }
    Ok(Found { accounts, next: Some(after) })
}

/// An account within reach, locked: for units that depend on its status.
pub(super) async fn lock(tx: &mut store::Tx, sight: &Sight) -> Result<View> {
    account::lock(tx, &sight.at).await?;
    find(tx, sight).await
}
