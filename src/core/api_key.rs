//! Keys as their account manages them: what each may do, from where and until when, when it was last used, and its
//! replacement by another with time for both.

use super::account::{self, AccountId};
use super::change::{self, Kind};
use super::key::{self, KeyId, NAME_MAX, NewKey, Role, networks};
use super::limits::{self, BoundsId, Limits};
use super::mandate::{Mandate, Own};
use super::money::Amount;
use super::rights::{Right, Rights};
use super::secret::Secret;
use super::{Code, Error, Noun, Result, Scope, Timestamp, Violation};
use ipnet::IpNet;
use store::{FromRow, Row, Rx, Tx, sql};

/// Networks of one key.
pub const NETWORKS_MAX: usize = 50;
/// Longest time for which a replaced key still opens, in seconds: 30 days.
pub const OVERLAP_MAX: i64 = 30 * 86_400;
/// Keys of one account, those that have ended included.
const KEYS_MAX: i64 = 1_000;

/// A key, without its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its id.
    pub id: KeyId,
    /// What it opens.
    pub role: Role,
    /// What the account calls it.
    pub name: String,
    /// When it was made or imported.
    pub created: Timestamp,
    /// When it was made void, if it was.
    pub revoked: Option<Timestamp>,
    /// When it ends by itself.
    pub expires: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub used: Option<Timestamp>,
    /// What it may do.
    pub rights: Rights,
    /// From where it may come; from anywhere if there is none.
    pub networks: Vec<IpNet>,
    /// Requests a second, if it has a limit of its own.
    pub requests: Option<i64>,
    /// Where its other limits stand, if it ever had some.
    bounds: Option<BoundsId>,
    /// Its other limits.
    pub limits: Limits,
}

impl FromRow for Held {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Held {
            id: row.next()?,
            role: row.next()?,
            name: row.next()?,
            created: row.next()?,
            revoked: row.next()?,
            expires: row.next()?,
            used: row.next()?,
            rights: row.next::<Option<Rights>>()?.unwrap_or(Rights::ALL),
            networks: networks(row.next::<Option<String>>()?.as_deref())?,
            requests: row.next()?,
            bounds: row.next()?,
            limits: Limits::default(),
        })
    }
}

const COLUMNS: &str = "id, role, name, created, revoked, expires, used, rights, networks, requests, bounds";
/// Keys that accounts manage: not those that signing in makes.
const MANAGED: &str = " FROM access_key WHERE account = $1
     AND role NOT IN ('session', 'viewing', 'onboarding', 'sign-in')";

/// The keys of an account after one of them, oldest first.
pub async fn list(
    rx: &mut Rx,
    (account, after, limit): &(AccountId, Option<KeyId>, i64),
) -> Result<Vec<Held>> {
    let after = after.unwrap_or(KeyId([0; 16]));
    let mut found: Vec<Held> = rx
        .all(
            sql!("SELECT ", COLUMNS, MANAGED, " AND id > $2 ORDER BY id LIMIT $3"),
            &[account, &after, limit],
        )
        .await?;
    for held in &mut found {
        fill(rx, *account, held).await?;
    }
    Ok(found)
}

/// The operator's is account 0, which is no account.
async fn scope_of(rx: &mut Rx, id: AccountId) -> Result<Scope> {
    let operator = Scope { root: AccountId(0), account: AccountId(0) };
    if id == AccountId(0) { Ok(operator) } else { Ok(account::find(rx, &id).await?.scope()) }
}

/// Reads a key's limits, if it has some.
async fn fill(rx: &mut Rx, id: AccountId, held: &mut Held) -> Result<()> {
    if let Some(bounds) = held.bounds {
        let scope = scope_of(rx, id).await?;
        held.limits = limits::of_bounds(rx, &scope, bounds).await?;
    }
    Ok(())
}

/// One key of an account.
pub async fn find(rx: &mut Rx, (account, id): &(AccountId, KeyId)) -> Result<Held> {
    let mut held: Held = rx
        .maybe(sql!("SELECT ", COLUMNS, MANAGED, " AND id = $2"), &[account, id])
        .await?
        .ok_or(Error::NotFound(Noun::Key))?;
    fill(rx, *account, &mut held).await?;
    Ok(held)
}

/// What is said about a key: `None` leaves it as it is, an inner `None` takes it away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patch {
    /// What the account calls it.
    pub name: Option<String>,
    /// What it may do.
    pub rights: Option<Rights>,
    /// From where it may come.
    pub networks: Option<Vec<IpNet>>,
    /// When it ends by itself.
    pub expires: Option<Option<Timestamp>>,
    /// Requests a second.
    pub requests: Option<Option<i64>>,
    /// Messages to one recipient each, a second.
    pub messages: Option<Option<i64>>,
    /// Most that one part may cost.
    pub price: Option<Option<Amount>>,
    /// The countries that it may send to.
    pub countries: Option<Option<Vec<String>>>,
    /// Most recipients in one country in a day of UTC.
    pub per_country: Option<Option<i64>>,
    /// Where the limits of the key that it succeeds stand, which both share.
    pub bounds: Option<BoundsId>,
}

impl Patch {
    /// Whether it says something about what the key may send.
    pub fn limits_sending(&self) -> bool {
        self.messages.is_some()
            || self.price.is_some()
            || self.countries.is_some()
            || self.per_country.is_some()
    }
}

/// Asks for a key.
#[derive(Debug, Clone)]
pub struct New {
    /// Who asks.
    pub by: Mandate,
    /// Whose.
    pub account: AccountId,
    /// What it opens.
    pub role: Role,
    /// One that the customer brings along; made otherwise.
    pub text: Option<Secret>,
    /// The rest.
    pub patch: Patch,
}

/// Makes or imports a key, which has no more than the key of whoever asks. The account is within its reach.
pub async fn create(tx: &mut Tx, new: &New) -> Result<(NewKey, Held)> {
    let scope = if new.account == AccountId(0) {
        scope_of(tx, new.account).await?
    } else {
        key::may_have(tx, new.account, new.role).await?
    };
    let mut patch = new.patch.clone();
    let own = new.by.own(tx, None).await?;
    own.need(Right::Keys)?;
    own.bound(&mut patch, true)?;
    let now: Timestamp = tx.now();
    // All tenants: keys are found by their account's number.
    let count: i64 = tx
        .one(
            sql!(
                "SELECT CAST(count(*) AS BIGINT) FROM (SELECT id ",
                MANAGED,
                " AND role <> 'channel' AND revoked IS NULL AND (expires IS NULL OR expires > $3) LIMIT $2) held"
            ),
            &[&new.account, &KEYS_MAX, &now],
        )
        .await?;
    if count >= KEYS_MAX {
        return Err(Violation::new("keys", Code::TooMany(usize::try_from(KEYS_MAX).unwrap_or(0))).into());
    }
    let name = patch.name.as_deref().unwrap_or_default();
    let made = match &new.text {
        Some(text) => key::add(tx, scope, new.role, name, text.clone()).await?,
        None => key::create(tx, scope, new.role, name).await?,
    };
    let held = apply(tx, new.account, made.id, &patch).await?;
    Ok((made, held))
}

async fn apply(tx: &mut Tx, account: AccountId, id: KeyId, patch: &Patch) -> Result<Held> {
    let now: Timestamp = tx.now();
    let mut held: Held = tx
        .maybe(
            sql!("SELECT ", COLUMNS, MANAGED, " AND id = $2 AND revoked IS NULL FOR UPDATE"),
            &[&account, &id],
        )
        .await?
        .filter(|held: &Held| held.expires.is_none_or(|ends| ends > now))
        .ok_or(Error::NotFound(Noun::Key))?;
    fill(tx, account, &mut held).await?;
    let name = patch.name.as_ref().unwrap_or(&held.name);
    if name.chars().count() > NAME_MAX {
        return Err(Violation::new("name", Code::TooLong(NAME_MAX)).into());
    }
    let rights = patch.rights.unwrap_or(held.rights);
    let networks = patch.networks.as_ref().unwrap_or(&held.networks);
    let networks = networks.iter().map(IpNet::to_string).collect::<Vec<_>>().join(",");
    let networks = Some(networks).filter(|networks| !networks.is_empty());
    let expires = patch.expires.unwrap_or(held.expires);
    let requests = patch.requests.unwrap_or(held.requests);
    let mut bounds = patch.bounds.or(held.bounds);
    if patch.limits_sending() {
        let id = *bounds.get_or_insert_with(|| tx.id());
        let Limits { messages, price, countries, per_country, .. } = held.limits;
        let after = Limits {
            requests: None,
            messages: patch.messages.unwrap_or(messages),
            price: patch.price.unwrap_or(price),
            countries: patch.countries.clone().unwrap_or(countries),
            per_country: patch.per_country.unwrap_or(per_country),
        };
        let scope = scope_of(tx, account).await?;
        limits::put(tx, &scope, id, &after).await?;
    }
    tx.put(
        sql!(
            "UPDATE access_key SET name = $2, rights = $3, networks = $4, expires = $5, requests = $6, bounds = $7
             WHERE id = $1"
        ),
        &[&id, name, &rights, &networks, &expires, &requests, &bounds],
    )
    .await?;
    change::raise(tx, Kind::Access).await?;
    find(tx, &(account, id)).await
}

/// A key of an account, and who does something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    /// Who asks.
    pub by: Mandate,
    /// Whose key; the account is within reach.
    pub account: AccountId,
    /// Which.
    pub id: KeyId,
}

/// A key that works, locked, and what whoever asks has, which is no less.
async fn judged(tx: &mut Tx, about: &About) -> Result<(Held, Own)> {
    let About { by, account, id } = *about;
    // Before its keys, as everybody does, and since limits may be shared; the operator's keys are no account's.
    if account != AccountId(0) {
        account::lock(tx, &account).await?;
    }
    let own = by.own(tx, Some(id)).await?;
    let now: Timestamp = tx.now();
    let works = |held: &Held| held.revoked.is_none() && held.expires.is_none_or(|ends| ends > now);
    let held = find(tx, &(account, id)).await?;
    if !works(&held) {
        return Err(Error::NotFound(Noun::Key));
    }
    own.need(Right::Keys)?;
    own.covers(held.rights)?;
    Ok((held, own))
}

/// Changes what is said about a key that works. Nobody gives it more than it has, changes one that may do more, or loosens
/// its own.
pub async fn update(tx: &mut Tx, (about, patch): &(About, Patch)) -> Result<Held> {
    let (_, own) = judged(tx, about).await?;
    let loosens = patch.networks.is_some() || patch.expires.is_some() || patch.requests.is_some();
    if about.id == about.by.key && (loosens || patch.limits_sending()) {
        return Err(Error::Forbidden);
    }
    let mut patch = patch.clone();
    own.bound(&mut patch, false)?;
    apply(tx, about.account, about.id, &patch).await
}

/// Asks for a successor.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// The key, and who asks.
    pub about: About,
    /// For how many seconds the old one still opens; 0 makes it void now.
    pub overlap: i64,
}

/// Makes another key that opens the same, and has the old one end after a time. Whoever has less than the key may not have
/// its successor, which ends no later than the key of whoever asks.
pub async fn rotate(tx: &mut Tx, asked: &Rotation) -> Result<(NewKey, Held)> {
    let Rotation { about, overlap } = *asked;
    let About { by, account, id } = about;
    let (old, _) = judged(tx, &about).await?;
    let now: Timestamp = tx.now();
    let patch = Patch {
        name: Some(old.name.clone()),
        rights: Some(old.rights),
        networks: Some(old.networks.clone()),
        expires: Some(old.expires),
        requests: Some(old.requests),
        bounds: old.bounds,
        ..Patch::default()
    };
    let made = create(tx, &New { by, account, role: old.role, text: None, patch }).await?;
    if overlap == 0 {
        key::revoke(tx, &id).await?;
    } else {
        let ends = Timestamp(now.0.saturating_add(overlap.saturating_mul(1_000_000)));
        let ends = old.expires.map_or(ends, |expires| expires.min(ends));
        tx.put(sql!("UPDATE access_key SET expires = $2 WHERE id = $1"), &[&id, &ends]).await?;
    }
    Ok(made)
}

/// Makes a key of an account void. Whoever has fewer rights than the key may not.
pub async fn revoke(tx: &mut Tx, about: &About) -> Result<()> {
    let own = about.by.own(tx, Some(about.id)).await?;
    own.need(Right::Keys)?;
    own.covers(find(tx, &(about.account, about.id)).await?.rights)?;
    key::revoke(tx, &about.id).await
}

/// Bounds the keys of an account that was just made by what its maker has.
pub async fn narrow(tx: &mut Tx, (account, by): &(AccountId, Mandate)) -> Result<()> {
    let own = by.own(tx, None).await?;
    let networks = own.networks.iter().map(IpNet::to_string).collect::<Vec<_>>().join(",");
    let networks = Some(networks).filter(|networks| !networks.is_empty());
    if own.rights.covers(Rights::ALL) && networks.is_none() && own.expires.is_none() {
        return Ok(());
    }
    let rights = Some(own.rights).filter(|rights| !rights.covers(Rights::ALL));
    tx.put(
        sql!("UPDATE access_key SET rights = $2, networks = $3, expires = $4 WHERE account = $1"),
        &[account, &rights, &networks, &own.expires],
    )
    .await?;
    Ok(())
}

/// Makes any key void and answers whose it was: for whoever may open the database.
pub async fn revoke_any(tx: &mut Tx, id: &KeyId) -> Result<AccountId> {
    let account: Option<AccountId> =
        tx.maybe(sql!("SELECT account FROM access_key WHERE id = $1"), &[id]).await?;
    key::revoke(tx, id).await?;
    account.ok_or(Error::NotFound(Noun::Key))
}

/// The limits of the key that a channel has now, or had last.
pub(super) async fn bounds_of_channel(
    tx: &mut Tx,
    account: AccountId,
    channel: &str,
) -> Result<Option<BoundsId>> {
    // All tenants: keys are found by their account's number.
    let found: Option<Option<BoundsId>> = tx
        .maybe(
            sql!(
                "SELECT bounds FROM access_key WHERE account = $1 AND role = 'channel' AND subject = $2
                 ORDER BY id DESC LIMIT 1"
            ),
            &[&account, &channel],
        )
        .await?;
    Ok(found.flatten())
}

/// Gives a key the limits of the one that it replaces.
pub(super) async fn inherit(tx: &mut Tx, id: KeyId, bounds: Option<BoundsId>) -> Result<()> {
    if bounds.is_some() {
        tx.put(sql!("UPDATE access_key SET bounds = $2 WHERE id = $1"), &[&id, &bounds]).await?;
    }
    Ok(())
}
