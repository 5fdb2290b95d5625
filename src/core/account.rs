//! Accounts: partners and the children they own, their life cycle and settings.
//!
//! Three levels: operator, partner, child. A partner is its own root, a child's root is its partner; there is no deeper
//! level. An account acts only if itself and its partner are active. Deleting makes the keys void and keeps the books.

use super::error::Hold;
use super::key::{self, NewKey, Role};
use super::ledger;
use super::money::Currency;
use super::partner;
use super::person;
use super::secret::{Place, SIGNING_KEY_CHARS, Secret, Vault};
use super::suspension::{self, Level};
use super::terms;
use super::{Code, Error, Noun, Page, Result, Scope, Timestamp, Violation};
use store::{Column, FromRow, Param, Row, Rx, Tx, Val, sql};

/// An account's number: random, 7 to 9 digits, below 2³¹, and shown to everybody. The operator is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(pub i64);
store::int!(AccountId);

/// Smallest and largest number of an account.
const NUMBERS: std::ops::Range<i64> = 1_000_000..1_000_000_000;
/// Tries to find a free number before giving up; with a million accounts one in a thousand numbers is taken.
const NUMBER_TRIES: usize = 16;
/// Longest name and e-mail address, in characters (spec 02 section 2.1).
pub const NAME_MAX: usize = 255;

impl AccountId {
    /// Reads a number as clients write it: digits only.
    pub fn parse(text: &str) -> Option<AccountId> {
        let digits = !text.is_empty() && text.len() <= 10 && text.bytes().all(|b| b.is_ascii_digit());
        text.parse().ok().filter(|_| digits).map(AccountId)
    }
}

impl std::fmt::Display for AccountId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether an account may act. The order is that of severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// May act.
    Active,
    /// May not act until it is resumed; what was accepted waits.
    Suspended,
    /// Gone, but for its books.
    Deleted,
}

impl Status {
    /// The stored and shown word.
    pub fn name(self) -> &'static str {
        match self {
            Status::Active => "active",
            Status::Suspended => "suspended",
            Status::Deleted => "deleted",
        }
    }
}

impl Param for Status {
    fn val(&self) -> Val<'_> {
        Val::Text(self.name())
    }
}

impl Column for Status {
    fn col(value: Val<'_>) -> std::result::Result<Self, store::Error> {
        let word = String::col(value)?;
        [Status::Active, Status::Suspended, Status::Deleted]
            .into_iter()
            .find(|status| status.name() == word)
            .ok_or_else(|| store::Error::decode("the status of an account"))
    }
}

/// An account of any level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its number.
    pub id: AccountId,
    /// Its partner, or itself.
    pub root: AccountId,
    /// Printed on invoices.
    pub name: String,
    /// May be empty.
    pub email: String,
    /// Of everything it pays.
    pub currency: Currency,
    /// Its own status, whatever its partner's is.
    pub status: Status,
    /// Whether its usage is put on its partner's invoice.
    pub invoice_aggregation: bool,
    /// When it was made.
    pub created: Timestamp,
}

const COLUMNS: &str = "id, root, name, email, currency, status, invoice_aggregation, created";

impl FromRow for Account {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Account {
            id: row.next()?,
            root: row.next()?,
            name: row.next()?,
            email: row.next()?,
            currency: row.next()?,
            status: row.next()?,
            invoice_aggregation: row.next()?,
            created: row.next()?,
        })
    }
}

impl Account {
    /// Whether it may own accounts.
    pub fn is_partner(&self) -> bool {
        self.id == self.root
    }

    /// Its own data.
    pub fn scope(&self) -> Scope {
        Scope { root: self.root, account: self.id }
    }
}

/// An account just made, with the secrets that are shown this once.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// The account.
    pub account: Account,
    /// Its live and its test key.
    pub keys: [NewKey; 2],
    /// What its callbacks are signed with.
    pub signing_key: Secret,
    /// A partner's handle and the key of its partner API; `None` for a child.
    pub partner: Option<(partner::Handle, NewKey)>,
}

/// Asks for a partner.
#[derive(Debug, Clone)]
pub struct NewPartner {
    /// Its name, which is its brand too.
    pub name: String,
    /// Of everything it and its children pay.
    pub currency: Currency,
    /// Seals the signing key.
    pub vault: Vault,
}

/// Asks for a child of a partner.
#[derive(Debug, Clone)]
pub struct NewChild {
    /// Whose child.
    pub partner: AccountId,
    /// `None` names it after its number, for clients that cannot send a name (spec 02 section 2.1).
    pub name: Option<String>,
    /// May be empty.
    pub email: String,
    /// Seals the signing key.
    pub vault: Vault,
}

/// Checks a name: not blank, not too long.
pub fn check_name(name: &str) -> std::result::Result<(), Code> {
    if name.trim().is_empty() {
        Err(Code::Blank)
    } else if name.chars().count() > NAME_MAX {
        Err(Code::TooLong(NAME_MAX))
    } else {
        Ok(())
    }
}

/// Makes a partner with its keys, balance and partner object.
pub async fn create_partner(tx: &mut Tx, new: &NewPartner) -> Result<NewAccount> {
    check_name(&new.name).map_err(|code| Violation::new("name", code))?;
    let account = insert(tx, None, Some(&new.name), "", new.currency).await?;
    let handle = partner::open(tx, account.id).await?;
    let mut made = equip(tx, account, &new.vault).await?;
    let key = key::create(tx, made.account.scope(), Role::Partner, "").await?;
    made.partner = Some((handle, key));
    Ok(made)
}

/// Makes a child with its keys and balance, in its partner's currency.
pub async fn create_child(tx: &mut Tx, new: &NewChild) -> Result<NewAccount> {
    if let Some(name) = &new.name {
        check_name(name).map_err(|code| Violation::new("name", code))?;
    }
    if new.email.chars().count() > NAME_MAX {
        return Err(Violation::new("email", Code::TooLong(NAME_MAX)).into());
    }
    let partner = lock(tx, &new.partner).await?;
    if !partner.is_partner() {
        return Err(Error::Forbidden);
    }
    if partner.status == Status::Deleted {
        return Err(Error::NotFound(Noun::Account));
    }
    let account = insert(tx, Some(partner.id), new.name.as_deref(), &new.email, partner.currency).await?;
    equip(tx, account, &new.vault).await
}

/// Inserts the account's row under a free random number.
async fn insert(
    tx: &mut Tx,
    root: Option<AccountId>,
    name: Option<&str>,
    email: &str,
    currency: Currency,
) -> Result<Account> {
    let created: Timestamp = tx.now();
    for _ in 0..NUMBER_TRIES {
        let id = random_number(tx);
        let root = root.unwrap_or(id);
        let name = name.map_or_else(|| format!("Child account {id}"), str::to_owned);
        let inserted = tx
            .exec(
                sql!(
                    "INSERT INTO account
                     (id, root, name, email, currency, status, invoice_aggregation, created, updated)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) ON CONFLICT (id) DO NOTHING"
                ),
                &[&id, &root, &name, &email, &currency, &Status::Active, &true, &created],
            )
            .await?;
        if inserted == 1 {
            return Ok(Account {
                id,
                root,
                name,
                email: email.to_owned(),
                currency,
                status: Status::Active,
                invoice_aggregation: true,
                created,
            });
        }
    }
    Err(Error::Unavailable("no free account number was found; try again".into()))
}

fn random_number(tx: &mut Tx) -> AccountId {
    let mut bytes = [0u8; 8];
    tx.random(&mut bytes);
    // The bias of a remainder of 63 bits by 10⁹ is below one in 10⁹.
    let drawn = i64::from_be_bytes(bytes) & i64::MAX;
    AccountId(NUMBERS.start + drawn % (NUMBERS.end - NUMBERS.start))
}

/// What every account has from the start: counts, a balance, a live and a test key, a signing key.
async fn equip(tx: &mut Tx, account: Account, vault: &Vault) -> Result<NewAccount> {
    let scope = account.scope();
    tx.put(
        sql!("INSERT INTO tally (root, account, contacts, groups) VALUES ($1, $2, 0, 0)"),
        &[&scope.root, &scope.account],
    )
    .await?;
    let keys = [key::create(tx, scope, Role::Live, "").await?, key::create(tx, scope, Role::Test, "").await?];
    let signing_key = Secret::generate(tx, "", SIGNING_KEY_CHARS);
    set_signing_key(tx, &(account.id, signing_key.clone(), vault.clone())).await?;
    ledger::open(tx, scope, account.currency).await?;
    Ok(NewAccount { account, keys, signing_key, partner: None })
}

/// Replaces what an account's callbacks are signed with, at once; a next key that was to come is dropped.
pub async fn set_signing_key(tx: &mut Tx, (id, text, vault): &(AccountId, Secret, Vault)) -> Result<()> {
    let scope = lock(tx, id).await?.scope();
    let sealed = vault.seal(tx, Place::SigningKey(id.0), text.reveal().as_bytes());
    let now: Timestamp = tx.now();
    tx.put(
        sql!(
            "INSERT INTO signing_key (root, account, sealed, created) VALUES ($1, $2, $3, $4)
             ON CONFLICT (root, account) DO UPDATE SET sealed = $3, created = $4, next = NULL, next_at = NULL"
        ),
        &[&scope.root, &scope.account, &sealed, &now],
    )
    .await?;
    Ok(())
}

/// An account by its number, deleted ones included.
pub async fn find(rx: &mut Rx, id: &AccountId) -> Result<Account> {
    rx.maybe(sql!("SELECT ", COLUMNS, " FROM account WHERE id = $1"), &[id])
        .await?
        .ok_or(Error::NotFound(Noun::Account))
}

/// An account that no other unit will change before this one ends: for units that depend on its status.
pub async fn lock(tx: &mut Tx, id: &AccountId) -> Result<Account> {
    tx.maybe(sql!("SELECT ", COLUMNS, " FROM account WHERE id = $1 FOR UPDATE"), &[id])
        .await?
        .ok_or(Error::NotFound(Noun::Account))
}

/// Whether there is no account at all: the demo is for such a database only.
pub async fn none_exists(rx: &mut Rx, (): &()) -> Result<bool> {
    Ok(rx.maybe::<i64>(sql!("SELECT id FROM account LIMIT 1"), &[]).await?.is_none())
}

/// A child that its partner asks for.
#[derive(Debug, Clone, Copy)]
pub struct ChildOf {
    /// The partner.
    pub partner: AccountId,
    /// The child.
    pub child: AccountId,
}

/// A living child of a partner; another's and a deleted one are not found.
pub async fn child(rx: &mut Rx, of: &ChildOf) -> Result<Account> {
    rx.maybe(
        sql!(
            "SELECT ",
            COLUMNS,
            " FROM account WHERE root = $1 AND id = $2 AND id <> root AND status <> 'deleted' AND closes IS NULL"
        ),
        &[&of.partner, &of.child],
    )
    .await?
    .ok_or(Error::NotFound(Noun::Account))
}

/// A partner's accounts after one of them, by number: its own, those that are closing and those that are deleted too.
pub async fn all_of(rx: &mut Rx, (partner, after): &(AccountId, AccountId)) -> Result<Vec<AccountId>> {
    let some = sql!("SELECT id FROM account WHERE root = $1 AND id > $2 ORDER BY id LIMIT 500");
    Ok(rx.all(some, &[partner, after]).await?)
}

/// A partner's living children, by number.
pub async fn children(rx: &mut Rx, (partner, page): &(AccountId, Page)) -> Result<Vec<Account>> {
    Ok(rx
        .all(
            sql!(
                "SELECT ",
                COLUMNS,
                " FROM account WHERE root = $1 AND id <> root AND status <> 'deleted' AND closes IS NULL
                 ORDER BY id LIMIT $2 OFFSET $3"
            ),
            &[partner, &page.limit, &page.offset],
        )
        .await?)
}

/// Names a child anew; `None` leaves its name.
pub async fn rename_child(tx: &mut Tx, (of, name): &(ChildOf, Option<String>)) -> Result<Account> {
    if let Some(name) = name {
        check_name(name).map_err(|code| Violation::new("name", code))?;
        let now: Timestamp = tx.now();
        tx.put(
            sql!(
                "UPDATE account SET name = $3, updated = $4
                 WHERE root = $1 AND id = $2 AND id <> root AND status <> 'deleted'"
            ),
            &[&of.partner, &of.child, name, &now],
        )
        .await?;
    }
    child(tx, of).await
}

/// Deletes a partner's child.
pub async fn delete_child(tx: &mut Tx, of: &ChildOf) -> Result<()> {
    // Nobody begins its end from now on, which would no longer be for its partner to change.
    lock(tx, &of.child).await?;
    child(tx, of).await?;
    let held: Option<Level> = tx.one(sql!("SELECT held_by FROM account WHERE id = $1"), &[&of.child]).await?;
    suspension::may_undo(Level::Partner, held, Hold::Suspended)?;
    delete(tx, &of.child).await
}

/// Deletes an account: its keys are void, its remainder goes to its partner, its books stay. A partner's children can no
/// longer act either.
pub async fn delete(tx: &mut Tx, id: &AccountId) -> Result<()> {
    let account = lock(tx, id).await?;
    if account.status == Status::Deleted {
        return Err(Error::NotFound(Noun::Account));
    }
    person::remove_all(tx, account.scope()).await?;
    let now: Timestamp = tx.now();
    tx.put(sql!("UPDATE account SET status = $2, updated = $3 WHERE id = $1"), &[id, &Status::Deleted, &now])
        .await?;
    // In the order in which everybody locks: keys, what caches learn of, balances.
    key::revoke_all(tx, *id).await?;
    ledger::close(tx, account.scope()).await
}

/// Stops an account for the operator; if it is a partner, its children as well. Suspending twice is once.
pub async fn suspend(tx: &mut Tx, id: &AccountId) -> Result<()> {
    suspension::stop(tx, *id, Level::Operator).await
}

/// Lets an account act again, whoever suspended it; its children get the state that each had.
pub async fn resume(tx: &mut Tx, id: &AccountId) -> Result<()> {
    suspension::go_on(tx, *id, Level::Operator).await
}

/// What `account set` changes; each is `NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// `name`: printed on invoices; a partner's brand.
    Name(String),
    /// `email`: may be empty.
    Email(String),
    /// `payment`: `prepaid` or `postpaid`.
    Postpaid(bool),
    /// `credit-limit`: how far below zero the balance may go.
    CreditLimit(super::money::Amount),
    /// `invoice-aggregation`: whether usage is put on the partner's invoice.
    InvoiceAggregation(bool),
    /// A setting of how its messages go.
    Messaging(terms::MessagingSetting),
    /// A setting that only a partner has.
    Partner(partner::Patch),
}

/// Changes settings of an account, all or none.
pub async fn set_all(tx: &mut Tx, (id, settings): &(AccountId, Vec<Setting>)) -> Result<()> {
    for setting in settings {
        set(tx, &(*id, setting.clone())).await?;
    }
    Ok(())
}

/// Changes one setting of an account.
pub async fn set(tx: &mut Tx, (id, setting): &(AccountId, Setting)) -> Result<Account> {
    let account = lock(tx, id).await?;
    if account.status == Status::Deleted {
        return Err(Error::NotFound(Noun::Account));
    }
    let now: Timestamp = tx.now();
    match setting {
        Setting::Name(name) => {
            check_name(name).map_err(|code| Violation::new("name", code))?;
            tx.put(sql!("UPDATE account SET name = $2, updated = $3 WHERE id = $1"), &[id, name, &now])
                .await?;
        }
        Setting::Email(email) => {
            if email.chars().count() > NAME_MAX {
                return Err(Violation::new("email", Code::TooLong(NAME_MAX)).into());
            }
            tx.put(sql!("UPDATE account SET email = $2, updated = $3 WHERE id = $1"), &[id, email, &now])
                .await?;
        }
        Setting::InvoiceAggregation(on) => {
            tx.put(
                sql!("UPDATE account SET invoice_aggregation = $2, updated = $3 WHERE id = $1"),
                &[id, on, &now],
            )
            .await?;
        }
        Setting::Postpaid(postpaid) => ledger::set_terms(tx, account.scope(), Some(*postpaid), None).await?,
        Setting::CreditLimit(limit) => ledger::set_terms(tx, account.scope(), None, Some(*limit)).await?,
        Setting::Messaging(setting) => terms::set(tx, &account.scope(), setting).await?,
        Setting::Partner(patch) => {
            partner::update(tx, &(account.id, patch.clone())).await?;
        }
    }
    find(tx, id).await
}
