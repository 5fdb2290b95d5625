//! Who calls: the key of a request, wherever it stands, and what it opens.
//!
//! Authentication happens once, in `wire::Service`, before a path is looked at, so that a stranger learns nothing about
//! paths. A handler without a [`Caller`] has no scope and can call nothing of a tenant's.

use super::State;
use super::limit::{Bucket, Rate};
use super::refusal::Refusal;
use crate::core::account::{AccountId, Status};
use crate::core::key::{Entry, Role};
use crate::core::limits::Bounds;
use crate::core::mandate::Mandate;
use crate::core::{Error, Scope, Timestamp};
use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use quick_cache::sync::Cache;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

/// Reads and writes that one key may do (docs/spec/00-overview.md section 6).
const READS: Rate = Rate::per_second(50);
const WRITES: Rate = Rate::per_second(500);
/// Wrong keys that one address may try.
const WRONG_KEYS: Rate = Rate::per_minute(20);
/// Addresses remembered for that.
pub(super) const ADDRESSES_MAX: usize = 100_000;
/// Longest text that is looked up as a key; tokens are the longest.
const KEY_MAX: usize = 512;

/// What this process keeps beside a key.
#[derive(Debug, Default)]
pub struct Buckets {
    reads: Bucket,
    writes: Bucket,
    /// Of reports, which are limited apart.
    pub(super) reports: Bucket,
    /// Reports that are being made.
    pub(super) reporting: AtomicUsize,
    /// Of a limit that the key itself has.
    own: Bucket,
    /// In which minute its use was last noted.
    used_minute: AtomicI64,
}

/// A caller with a key of the account.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// Whose data it may touch.
    pub scope: Scope,
    /// Whether what it sends is only answered.
    pub is_test: bool,
}

/// A caller whose account owns accounts.
#[derive(Debug, Clone, Copy)]
pub struct PartnerCaller {
    /// The partner's account.
    pub partner: AccountId,
    /// Whether what it creates is only answered.
    pub is_test: bool,
    /// On whose behalf its units run: no more than its key has a key that it makes.
    pub by: Mandate,
}

/// A caller with a key of a channel.
#[derive(Debug, Clone)]
pub struct ChannelCaller {
    /// Whose data it may touch.
    pub scope: Scope,
    /// Which channel.
    pub channel: String,
}

/// Which keys a product takes and where they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `Authorization: AccessKey …`, `access_key` in the query or in a form.
    AccessKey,
    /// `X-API-Key: …`
    ApiKey,
    /// `Authorization: Bearer …`, where there is no `X-API-Key`
    Bearer,
    /// `D360-API-KEY: …`
    ChannelKey,
    /// `Authorization: Bearer …`, with a key or a session of the platform's own API.
    Platform,
}

/// The key of a request whose body need not be read for it.
pub fn presented(scheme: Scheme, headers: &HeaderMap, query: Option<&str>) -> Option<String> {
    match scheme {
        Scheme::AccessKey => in_authorization(headers, "AccessKey")
            .or_else(|| query.and_then(|query| in_pairs(query.as_bytes()))),
        Scheme::ApiKey => {
            headers.get("x-api-key").and_then(|v| v.to_str().ok()).map(|key| key.trim().to_owned())
        }
        Scheme::Bearer | Scheme::Platform => in_authorization(headers, "Bearer"),
        Scheme::ChannelKey => {
            headers.get("d360-api-key").and_then(|v| v.to_str().ok()).map(|key| key.trim().to_owned())
        }
    }
}

fn in_authorization(headers: &HeaderMap, wanted: &str) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?.trim();
    let (scheme, key) = value.split_once(char::is_whitespace)?;
    scheme.eq_ignore_ascii_case(wanted).then(|| key.trim().to_owned())
}

/// `access_key` among form or query pairs.
pub fn in_pairs(pairs: &[u8]) -> Option<String> {
    form_urlencoded::parse(pairs).find(|(name, _)| name == "access_key").map(|(_, key)| key.trim().to_owned())
}

/// Finds whose key it is, and refuses wrong keys, those of accounts that may not act, and too many tries.
pub async fn authenticate(
    state: &State,
    scheme: Scheme,
    key: Option<&str>,
    from: IpAddr,
) -> Result<Arc<Entry<Buckets>>, Refusal> {
    let Some(key) = key.filter(|key| !key.is_empty() && key.len() <= KEY_MAX) else {
        return Err(Error::Unauthenticated.into());
    };
    let hash = crate::core::secret::hash(key);
    let entry = if let Some(entry) = state.keys.remembered(&hash) {
        Some(entry)
    } else {
        // Before the look-up, so that guessing stops; keys that were good go on working, though any change of any
        // account has them looked up again.
        let tries =
            state.wrong_keys.get(&network(from)).filter(|_| state.limits && !state.keys.was_good(&hash));
        if let Some(tries) = tries {
            tries.check(WRONG_KEYS, state.now_us()).map_err(limited)?;
        }
        state.keys.look_up(&state.store, hash).await?
    };
    let fits = |role: Role| match scheme {
        Scheme::AccessKey => matches!(role, Role::Live | Role::Test),
        Scheme::ApiKey => role == Role::Partner,
        Scheme::Bearer => matches!(role, Role::Session | Role::Viewing),
        Scheme::ChannelKey => role == Role::Channel,
        Scheme::Platform => matches!(role, Role::Operator | Role::Platform | Role::SignIn),
    };
    let lives = |ends: Option<Timestamp>| ends.is_none_or(|ends| ends.0 > state.now_us());
    let good = entry.filter(|entry| fits(entry.principal.role) && lives(entry.principal.expires));
    // A key that may not come from here is none: whoever has stolen it learns nothing.
    let good = good.filter(|entry| entry.principal.may_come_from(from));
    let Some(entry) = good else {
        return Err(wrong_key(state, from));
    };
    note_use(state, &entry);
    match entry.principal.status {
        Status::Active => Ok(entry),
        Status::Suspended => Err(Error::Suspended.into()),
        Status::Deleted => Err(Error::Unauthenticated.into()),
    }
}

/// What a password that is tried has taken from the limits.
pub struct Try(Vec<Arc<Bucket>>);

impl Try {
    /// Gives it back: it was the right one.
    pub fn forgive(self) {
        for bucket in self.0 {
            bucket.give(WRONG_KEYS);
        }
    }
}

/// Notes a key's use, once a minute.
fn note_use(state: &State, entry: &Entry<Buckets>) {
    let now = state.now_us();
    let minute = now.div_euclid(60_000_000);
    if entry.beside.used_minute.swap(minute, Ordering::Relaxed) != minute {
        state.keys.used(entry.principal.key, Timestamp(now));
    }
}

/// Takes a try from an address and from an account, by a text that stands for it, before a password is looked at: however
/// many come at once, no more than these are.
pub fn attempt(state: &State, from: IpAddr, account: &str) -> Result<Try, Refusal> {
    let mut taken = Try(Vec::new());
    if !state.limits {
        return Ok(taken);
    }
    let hash = crate::core::secret::hash(account);
    let buckets = [bucket(&state.wrong_keys, &network(from)), bucket(&state.passwords_tried, &hash)];
    for bucket in buckets {
        if let Err(wait) = bucket.take(WRONG_KEYS, state.now_us()) {
            taken.forgive();
            return Err(limited(wait));
        }
        taken.0.push(bucket);
    }
    Ok(taken)
}

fn bucket<K: Clone + Eq + Hash>(all: &Cache<K, Arc<Bucket>>, key: &K) -> Arc<Bucket> {
    let fresh = || Ok::<_, std::convert::Infallible>(Arc::default());
    match all.get_or_insert_with(key, fresh) {
        Ok(bucket) => bucket,
        Err(never) => match never {},
    }
}

/// What counts as one address: of IPv6 a network of 64 bits, which one customer has whole (RFC 6177).
fn network(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) & !u128::from(u64::MAX)).into()),
        ip @ IpAddr::V4(_) => ip,
    }
}

fn wrong_key(state: &State, from: IpAddr) -> Refusal {
    if state.limits
        && let Err(wait) = bucket(&state.wrong_keys, &network(from)).take(WRONG_KEYS, state.now_us())
    {
        return limited(wait);
    }
    Error::Unauthenticated.into()
}

/// Refuses what a token does not open: who only looks changes nothing.
pub fn check(entry: &Entry<Buckets>, method: &Method) -> Result<(), Refusal> {
    let looks = matches!(*method, Method::GET | Method::HEAD);
    if entry.principal.role == Role::Viewing && !looks { Err(Error::Forbidden.into()) } else { Ok(()) }
}

fn limited(retry_after: std::time::Duration) -> Refusal {
    Error::Limited { retry_after }.into()
}

/// Takes one request from the key's bucket.
pub fn meter(state: &State, entry: &Entry<Buckets>, method: &Method) -> Result<(), Refusal> {
    let Buckets { reads, writes, own, .. } = &*entry.beside;
    // What was asked for one key or account holds also where nothing else is limited.
    if let Some(count) = entry.principal.requests {
        own.take(Rate::per_second(count.max(1)), state.now_us()).map_err(limited)?;
    }
    if let Some(count) = entry.principal.account_requests {
        let account = entry.principal.scope.account;
        let bucket = state.account_rates.get(&account).unwrap_or_else(|| {
            let fresh = Arc::new(Bucket::default());
            state.account_rates.insert(account, Arc::clone(&fresh));
            fresh
        });
        bucket.take(Rate::per_second(count.max(1)), state.now_us()).map_err(limited)?;
    }
    if !state.limits {
        return Ok(());
    }
    let taken = match *method {
        Method::GET | Method::HEAD => reads.take(READS, state.now_us()),
        _ => writes.take(WRITES, state.now_us()),
    };
    taken.map_err(limited)
}

fn principal(parts: &Parts) -> Result<&Entry<Buckets>, Refusal> {
    super::Context::of(parts)?.entry.as_deref().ok_or_else(|| Error::Unauthenticated.into())
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let principal = &principal(parts)?.principal;
        match principal.role {
            role @ (Role::Live | Role::Test) => {
                Ok(Caller { scope: principal.scope, is_test: role == Role::Test })
            }
            Role::Partner
            | Role::Operator
            | Role::Channel
            | Role::Session
            | Role::Viewing
            | Role::Onboarding
            | Role::Platform
            | Role::SignIn => Err(Error::Unauthenticated.into()),
        }
    }
}

/// The limits of the key that a request comes with, on what it sends.
#[derive(Debug, Clone)]
pub struct KeyBounds(Option<Arc<Bounds>>);

impl KeyBounds {
    /// Them, if there are some.
    pub fn get(&self) -> Option<&Bounds> {
        self.0.as_deref()
    }
}

impl<S: Sync> FromRequestParts<S> for KeyBounds {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Ok(KeyBounds(principal(parts)?.principal.bounds.clone()))
    }
}

impl<S: Sync> FromRequestParts<S> for PartnerCaller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let principal = &principal(parts)?.principal;
        if matches!(
            principal.role,
            Role::Operator | Role::Channel | Role::Onboarding | Role::Platform | Role::SignIn
        ) {
            return Err(Error::Unauthenticated.into());
        }
        if !principal.is_partner() {
            return Err(Error::Forbidden.into());
        }
        let is_test = principal.role == Role::Test;
        let by = Mandate { from: principal.scope, key: principal.key };
        Ok(PartnerCaller { partner: principal.scope.account, is_test, by })
    }
}

impl<S: Sync> FromRequestParts<S> for ChannelCaller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let principal = &principal(parts)?.principal;
        match (principal.role, &principal.subject) {
            (Role::Channel, Some(channel)) => {
                Ok(ChannelCaller { scope: principal.scope, channel: channel.clone() })
            }
            _ => Err(Error::Unauthenticated.into()),
        }
    }
}
