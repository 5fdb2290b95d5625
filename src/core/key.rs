//! Keys: what opens an account, and the bounded cache that finds whose a key is.
//!
//! A key is stored as the SHA-256 of its text and shown once. The [`Directory`] keeps what it found for as long as the
//! `access` generation stands: a revoked key or a suspended account is refused by every process within one second, and by
//! the process that did it at once.

use super::account::{self, AccountId, Status};
use super::change::{self, Kind};
use super::limits::{self, Bounds, BoundsId, Limits};
use super::rights::Rights;
use super::secret::{ACCESS_KEY_CHARS, Secret};
use super::{Code, Error, Noun, Result, Scope, Timestamp, Violation};
use ipnet::IpNet;
use quick_cache::sync::Cache;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use store::{Column, FromRow, Row, Rx, Store, Tx, Val, sql};

/// Most keys remembered at once; about 200 bytes each.
const REMEMBERED_MAX: usize = 100_000;
/// Characters of a partner's key for the partner API and of an operator's key.
const API_KEY_CHARS: usize = 40;
/// Longest name of a key.
pub const NAME_MAX: usize = 255;

store::id! {
    /// A key's id, which may be shown; a version 7 UUID.
    KeyId
}

impl KeyId {
    /// Makes a version 7 UUID (RFC 9562 section 5.7) of a time-ordered id by setting its version and variant bits.
    fn uuid(mut bytes: [u8; 16]) -> Self {
        bytes[6] = 0x70 | (bytes[6] & 0x0f);
        bytes[8] = 0x80 | (bytes[8] & 0x3f);
        KeyId::from(bytes)
    }

    /// The usual form with four dashes.
    pub fn hyphenated(&self) -> String {
        let hex = self.to_string();
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }

    /// Reads the form with dashes or without.
    pub fn parse(text: &str) -> Option<Self> {
        text.replace('-', "").parse().ok()
    }
}

/// What a key opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The account's own data, for real.
    Live,
    /// The same, but what it creates is answered and neither sent, charged nor stored.
    Test,
    /// The partner object of an account that owns accounts.
    Partner,
    /// Everything.
    Operator,
    /// The messages of one channel.
    Channel,
    /// What a partner's user may do, for a time.
    Session,
    /// The same for one who only looks.
    Viewing,
    /// One client's part of an onboarding, for a time.
    Onboarding,
    /// The platform's own API, for an account and what is below it.
    Platform,
    /// The same for somebody who has signed in, for a time.
    SignIn,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 10] = [
        Role::Live,
        Role::Test,
        Role::Partner,
        Role::Operator,
        Role::Channel,
        Role::Session,
        Role::Viewing,
        Role::Onboarding,
        Role::Platform,
        Role::SignIn,
    ];

    /// The stored and shown word.
    pub fn name(self) -> &'static str {
        match self {
            Role::Live => "live",
            Role::Test => "test",
            Role::Partner => "partner",
            Role::Operator => "operator",
            Role::Channel => "channel",
            Role::Session => "session",
            Role::Viewing => "viewing",
            Role::Onboarding => "onboarding",
            Role::Platform => "platform",
            Role::SignIn => "sign-in",
        }
    }

    /// The word of [`Role::name`].
    pub fn parse(word: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == word)
    }
}

impl Column for Role {
    fn col(value: Val<'_>) -> std::result::Result<Self, store::Error> {
        Role::parse(&String::col(value)?).ok_or_else(|| store::Error::decode("the role of a key"))
    }
}

/// A key with its text, which exists only at the moment of its making.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Its id.
    pub id: KeyId,
    /// Its text, shown once.
    pub text: Secret,
    /// What it opens.
    pub role: Role,
}

/// A stored key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// What it opens.
    pub role: Role,
    /// What the account calls it.
    pub name: String,
    /// When it was made or imported.
    pub created: Timestamp,
    /// When it stopped to work, if it did.
    pub revoked: Option<Timestamp>,
}

impl FromRow for Key {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Key {
            id: row.next()?,
            role: row.next()?,
            name: row.next()?,
            created: row.next()?,
            revoked: row.next()?,
        })
    }
}

/// Makes and stores a fresh key.
pub async fn create(tx: &mut Tx, scope: Scope, role: Role, name: &str) -> Result<NewKey> {
    let text = match role {
        Role::Live => Secret::generate(tx, "", ACCESS_KEY_CHARS),
        Role::Test => Secret::generate(tx, "test_", ACCESS_KEY_CHARS),
        Role::Partner
        | Role::Operator
        | Role::Channel
        | Role::Session
        | Role::Viewing
        | Role::Onboarding
        | Role::Platform
        | Role::SignIn => Secret::generate(tx, "", API_KEY_CHARS),
    };
    add(tx, scope, role, name, text).await
}

/// Stores a key, made or brought along. A text that exists already is refused, whosever it is.
pub async fn add(tx: &mut Tx, scope: Scope, role: Role, name: &str, text: Secret) -> Result<NewKey> {
    add_for(tx, scope, role, name, text, None, None).await
}

/// Stores a key that is for one thing within its account (a channel, a user) or ends by itself.
pub(super) async fn add_for(
    tx: &mut Tx,
    scope: Scope,
    role: Role,
    name: &str,
    text: Secret,
    subject: Option<&str>,
    expires: Option<Timestamp>,
) -> Result<NewKey> {
    if name.chars().count() > NAME_MAX {
        return Err(Violation::new("name", Code::TooLong(NAME_MAX)).into());
    }
    let id = KeyId::uuid(tx.id());
    let now: Timestamp = tx.now();
    let stored = tx
        .exec(
            sql!(
                "INSERT INTO access_key (hash, id, root, account, role, name, created, subject, expires)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (hash) DO NOTHING"
            ),
            &[&text.hash(), &id, &scope.root, &scope.account, &role.name(), &name, &now, &subject, &expires],
        )
        .await?;
    if stored == 0 {
        return Err(Violation::new("key", Code::Taken).into());
    }
    Ok(NewKey { id, text, role })
}

/// Makes one more key for an account: a live or a test key for any, a partner key for a partner.
pub async fn create_for(tx: &mut Tx, (account, role, name): &(AccountId, Role, String)) -> Result<NewKey> {
    let scope = may_have(tx, *account, *role).await?;
    create(tx, scope, *role, name).await
}

/// Stores a key that a customer brings along.
pub async fn import(
    tx: &mut Tx,
    (account, role, name, text): &(AccountId, Role, String, Secret),
) -> Result<NewKey> {
    let scope = may_have(tx, *account, *role).await?;
    add(tx, scope, *role, name, text.clone()).await
}

pub(super) async fn may_have(tx: &mut Tx, id: AccountId, role: Role) -> Result<Scope> {
    let owner = account::lock(tx, &id).await?;
    if owner.status == Status::Deleted {
        return Err(Error::NotFound(Noun::Account));
    }
    let allowed = match role {
        Role::Live | Role::Test | Role::Platform => true,
        Role::Partner => owner.is_partner(),
        Role::Operator | Role::Channel | Role::Session | Role::Viewing | Role::Onboarding | Role::SignIn => {
            false
        }
    };
    if allowed { Ok(owner.scope()) } else { Err(Error::Forbidden) }
}

/// Makes a key with the operator's rights.
#[expect(clippy::ptr_arg, reason = "a unit takes its command by reference")]
pub async fn create_operator(tx: &mut Tx, name: &String) -> Result<NewKey> {
    create(tx, Scope { root: AccountId(0), account: AccountId(0) }, Role::Operator, name).await
}

/// The keys of an account (or of the operator, account 0), revoked ones included, oldest first.
pub async fn list(rx: &mut Rx, account: &AccountId) -> Result<Vec<Key>> {
    Ok(rx
        .all(
            sql!(
                "SELECT id, role, name, created, revoked FROM access_key
                 WHERE account = $1 AND role NOT IN ('session', 'viewing', 'onboarding', 'sign-in') ORDER BY id"
            ),
            &[account],
        )
        .await?)
}

/// Makes a key void, everywhere within a second.
pub async fn revoke(tx: &mut Tx, id: &KeyId) -> Result<()> {
    let now: Timestamp = tx.now();
    let revoked = tx
        .exec(sql!("UPDATE access_key SET revoked = $2 WHERE id = $1 AND revoked IS NULL"), &[id, &now])
        .await?;
    if revoked == 0 {
        return Err(Error::NotFound(Noun::Key));
    }
    change::raise(tx, Kind::Access).await
}

/// Makes all keys of an account void: part of deleting it.
pub async fn revoke_all(tx: &mut Tx, account: AccountId) -> Result<()> {
    let now: Timestamp = tx.now();
    tx.put(
        sql!(
            "UPDATE access_key SET revoked = $2 WHERE id IN (SELECT id FROM access_key
                 WHERE account = $1 AND revoked IS NULL ORDER BY id FOR UPDATE)"
        ),
        &[&account, &now],
    )
    .await?;
    change::raise(tx, Kind::Access).await
}

/// Makes all keys of an account void that are of a role and for one thing; for everything if it is `None`.
pub(super) async fn revoke_for(
    tx: &mut Tx,
    account: AccountId,
    role: Role,
    subject: Option<&str>,
) -> Result<u64> {
    let now: Timestamp = tx.now();
    let revoked = tx
        .exec(
            sql!(
                "UPDATE access_key SET revoked = $4 WHERE id IN (SELECT id FROM access_key
                     WHERE account = $1 AND role = $2 AND revoked IS NULL
                     AND (CAST($3 AS TEXT) IS NULL OR subject = $3) ORDER BY id FOR UPDATE)"
            ),
            &[&account, &role.name(), &subject, &now],
        )
        .await?;
    if revoked > 0 {
        change::raise(tx, Kind::Access).await?;
    }
    Ok(revoked)
}

/// Makes everything void that a person has signed in with, but for one session.
pub(super) async fn revoke_of_person(
    tx: &mut Tx,
    account: AccountId,
    person: &str,
    keep: Option<KeyId>,
) -> Result<()> {
    let now: Timestamp = tx.now();
    // One statement, so that nothing of a key is locked after what caches learn of.
    let revoked = tx
        .exec(
            sql!(
                "UPDATE access_key SET revoked = $4 WHERE id IN (SELECT id FROM access_key
                     WHERE account = $1 AND role IN ('session', 'viewing', 'onboarding', 'sign-in') AND subject = $2
                     AND revoked IS NULL AND id <> $3 ORDER BY id FOR UPDATE)"
            ),
            &[&account, &person, &keep.unwrap_or(KeyId([0; 16])), &now],
        )
        .await?;
    if revoked > 0 {
        change::raise(tx, Kind::Access).await?;
    }
    Ok(())
}

/// The keys of an account that are for one thing and work.
pub(super) async fn list_for(
    rx: &mut Rx,
    account: AccountId,
    role: Role,
    subject: &str,
) -> Result<Vec<KeyId>> {
    Ok(rx
        .all(
            sql!(
                "SELECT id FROM access_key WHERE account = $1 AND role = $2 AND subject = $3 AND revoked IS NULL
                 ORDER BY id"
            ),
            &[&account, &role.name(), &subject],
        )
        .await?)
}

/// Uses that one unit records.
const USES_MAX: usize = 200;

/// Records when keys were last used.
#[expect(clippy::ptr_arg, reason = "a unit takes its command by reference")]
pub async fn record_uses(tx: &mut Tx, uses: &Vec<(KeyId, Timestamp)>) -> Result<()> {
    let mut uses = uses.clone();
    // Everybody locks in the same order.
    uses.sort_by_key(|(key, _)| key.0);
    for (key, at) in &uses {
        tx.put(
            sql!("UPDATE access_key SET used = $2 WHERE id = $1 AND (used IS NULL OR used < $2)"),
            &[key, at],
        )
        .await?;
    }
    Ok(())
}

/// Keys that one unit forgets.
const FORGOTTEN_MAX: i64 = 200;
/// A channel's key that another has replaced is kept for so long.
const REPLACED_US: i64 = 7 * 86_400 * 1_000_000;

/// Forgets keys that ended by themselves, and keys of channels that were replaced long ago: programs make new ones at
/// every start. Answers whether there may be more.
pub async fn forget(tx: &mut Tx, (): &()) -> Result<bool> {
    // All tenants: the sweep works for everybody, the oldest first.
    let now: Timestamp = tx.now();
    let replaced = tx
        .exec(
            sql!(
                "DELETE FROM access_key WHERE hash IN (SELECT hash FROM access_key
                     WHERE revoked IS NOT NULL AND role = 'channel' AND revoked < $1 ORDER BY revoked LIMIT $2)"
            ),
            &[&now.0.saturating_sub(REPLACED_US), &FORGOTTEN_MAX],
        )
        .await?;
    let gone = tx
        .exec(
            sql!(
                "DELETE FROM access_key WHERE hash IN (
                     SELECT hash FROM access_key WHERE expires IS NOT NULL AND expires < $1
                     AND role IN ('session', 'viewing', 'onboarding', 'sign-in') ORDER BY expires LIMIT $2)"
            ),
            &[&now, &FORGOTTEN_MAX],
        )
        .await?;
    Ok(gone.max(replaced) >= FORGOTTEN_MAX.unsigned_abs())
}

/// Whose key it is and what it opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The key.
    pub key: KeyId,
    /// What it opens.
    pub role: Role,
    /// Whose data. The operator's is account 0.
    pub scope: Scope,
    /// What the key is for within its account: a channel's id, a user's id.
    pub subject: Option<String>,
    /// When it ends by itself.
    pub expires: Option<Timestamp>,
    /// Whether the account and all above it are active.
    pub status: Status,
    /// What it may do.
    pub rights: Rights,
    /// From where it may come; from anywhere if there is none.
    pub networks: Vec<IpNet>,
    /// Requests a second, if it has a limit of its own.
    pub requests: Option<i64>,
    /// Requests a second of all the account's keys together, if they have one.
    pub account_requests: Option<i64>,
    /// Its limits on what it sends, if it has some.
    pub bounds: Option<Arc<Bounds>>,
}

impl Principal {
    /// Whether the account may own accounts.
    pub fn is_partner(&self) -> bool {
        self.scope.root == self.scope.account
    }

    /// Whether it may come from here.
    pub fn may_come_from(&self, address: IpAddr) -> bool {
        self.networks.is_empty() || self.networks.iter().any(|network| network.contains(&address))
    }
}

/// The networks of a list between commas, as it is stored.
pub(super) fn networks(text: Option<&str>) -> std::result::Result<Vec<IpNet>, store::Error> {
    let each = text.unwrap_or_default().split(',').filter(|one| !one.is_empty());
    each.map(|one| one.parse().map_err(|_| store::Error::decode("the networks of a key"))).collect()
}

impl FromRow for Principal {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        let (key, role) = (row.next()?, row.next()?);
        let scope = Scope { root: row.next()?, account: row.next()? };
        let (subject, expires) = (row.next()?, row.next()?);
        let (own, above) = (row.next::<Option<Status>>()?, row.next::<Option<Status>>()?);
        let status = match role {
            Role::Operator => Status::Active,
            // A key without its account opens nothing.
            _ => own.zip(above).map_or(Status::Deleted, |(own, above)| own.max(above)),
        };
        let rights = row.next::<Option<Rights>>()?.unwrap_or(Rights::ALL);
        let networks = networks(row.next::<Option<String>>()?.as_deref())?;
        let (requests, account_requests) = (row.next()?, row.next()?);
        let (id, limits): (Option<BoundsId>, Limits) = (row.next()?, Limits::from_row(row)?);
        let bounds = id.filter(|_| limits != Limits::default()).map(|id| Arc::new(Bounds { id, limits }));
        Ok(Principal {
            key,
            role,
            scope,
            subject,
            expires,
            status,
            rights,
            networks,
            requests,
            account_requests,
            bounds,
        })
    }
}

/// Whose key has this hash, if it is not revoked.
pub async fn look_up(rx: &mut Rx, hash: &[u8; 32]) -> Result<Option<Principal>> {
    // All tenants: whose it is, is what the key tells.
    Ok(rx
        .maybe(
            sql!(
                "SELECT k.id, k.role, k.root, k.account, k.subject, k.expires, a.status, r.status,
                 k.rights, k.networks, k.requests, l.requests,
                 k.bounds, b.requests, b.messages, b.price, b.countries, b.per_country
                 FROM access_key k
                 LEFT JOIN account a ON a.id = k.account
                 LEFT JOIN account r ON r.id = k.root
                 LEFT JOIN allowance l ON l.root = k.root AND l.account = k.account AND l.bounds = $2
                 LEFT JOIN allowance b ON b.root = k.root AND b.account = k.account AND b.bounds = k.bounds
                 WHERE k.hash = $1 AND k.revoked IS NULL"
            ),
            &[hash, &limits::OWN],
        )
        .await?)
}

/// Finds principals by key text, through a bounded cache. `T` is what a process keeps beside a key (its rate limits).
pub struct Directory<T> {
    found: Cache<[u8; 32], Arc<Entry<T>>>,
    generation: AtomicI64,
    used: Mutex<HashMap<KeyId, Timestamp>>,
}

/// A key that was found.
pub struct Entry<T> {
    /// Whose it is.
    pub principal: Principal,
    /// What this process keeps beside the key; it outlives a reload.
    pub beside: Arc<T>,
    generation: i64,
}

impl<T: Default> Default for Directory<T> {
    fn default() -> Self {
        Directory { found: Cache::new(REMEMBERED_MAX), generation: AtomicI64::new(0), used: Mutex::default() }
    }
}

impl<T: Default> Directory<T> {
    /// The principal as remembered, without asking the database.
    pub fn remembered(&self, hash: &[u8; 32]) -> Option<Arc<Entry<T>>> {
        let entry = self.found.get(hash)?;
        (entry.generation == self.generation.load(Ordering::Acquire)).then_some(entry)
    }

    /// Whether this was a good key when it was last looked up, however long ago.
    pub fn was_good(&self, hash: &[u8; 32]) -> bool {
        self.found.contains_key(hash)
    }

    /// The principal from the database, remembered from now on; `None` for a key that opens nothing.
    pub async fn look_up(&self, store: &Store, hash: [u8; 32]) -> Result<Option<Arc<Entry<T>>>> {
        // Taken before the read: what is read may be older than a change that is learnt of meanwhile.
        let generation = self.generation.load(Ordering::Acquire);
        let Some(principal) = store.read(hash, look_up).await? else {
            self.found.remove(&hash);
            return Ok(None);
        };
        let beside = self.found.get(&hash).map(|old| Arc::clone(&old.beside)).unwrap_or_default();
        let entry = Arc::new(Entry { principal, beside, generation });
        self.found.insert(hash, Arc::clone(&entry));
        Ok(Some(entry))
    }

    /// Notes that a key was used.
    pub fn used(&self, key: KeyId, at: Timestamp) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() < REMEMBERED_MAX {
            used.insert(key, at);
        }
    }

    /// Some of the keys that were used since they were last asked for, at most `USES_MAX`.
    pub fn take_uses(&self) -> Vec<(KeyId, Timestamp)> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let some: Vec<(KeyId, Timestamp)> = used.iter().take(USES_MAX).map(|(key, at)| (*key, *at)).collect();
        for (key, _) in &some {
            used.remove(key);
        }
        some
    }

    /// The last generation that was learnt of.
    pub fn generation(&self) -> i64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Forgets everything that was found before this generation.
    pub fn advance(&self, generation: i64) {
        self.generation.fetch_max(generation, Ordering::AcqRel);
    }
}
