//! Terms: everything that decides how an account's message goes and what it costs, as each process remembers it.
//!
//! Read together and kept for as long as the `terms` generation stands, so that accepting a message looks nothing up: a
//! change of settings, rates or routes is known everywhere within one second.

use super::account::{self, AccountId};
use super::carrier::CarrierId;
use super::change::{self, Kind, Remembered};
use super::limits::{self, Limits};
use super::money::{Amount, Currency};
use super::network::{self, Networks};
use super::number::Form;
use super::opt_out;
use super::phone::{Msisdn, Originator};
use super::price_list::{Entry, Lists};
use super::route::{self, Routes, Way};
use super::secret::Vault;
use super::{Code, Result, Scope, Violation};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use store::{FromRow, Row, Rx, Store, Tx, sql};

/// Accounts remembered at once, about.
const REMEMBERED_MAX: usize = 10_000;
/// Prices remembered at once: some 100 MiB.
const PRICES_MAX: u64 = 1_000_000;
/// Longest retention of bodies, in days.
const RETENTION_MAX: i64 = 3_650;

/// How an account's messages go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Messaging {
    /// What a message without an originator comes from.
    pub originator: Option<Originator>,
    /// Where status reports go that name no URL of their own.
    pub report_url: Option<String>,
    /// Where received messages are forwarded to.
    pub inbound_url: Option<String>,
    /// An IANA name: in which days and months are counted.
    pub time_zone: String,
    /// Whether callbacks carry the older signature as well (spec 01 section 3).
    pub legacy_signature: bool,
    /// After how many days a message's text is removed; `None` keeps it.
    pub retention_days: Option<i64>,
    /// How received messages are forwarded.
    pub inbound_form: Form,
    /// The words by which a recipient wants nothing more, between commas; `None` for those of all languages.
    pub stop_words: Option<String>,
    /// The words that take that back.
    pub start_words: Option<String>,
}

impl Default for Messaging {
    fn default() -> Self {
        Messaging {
            originator: None,
            report_url: None,
            inbound_url: None,
            time_zone: "UTC".into(),
            legacy_signature: true,
            retention_days: None,
            inbound_form: Form::Get,
            stop_words: None,
            start_words: None,
        }
    }
}

impl FromRow for Messaging {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Messaging {
            originator: row.next()?,
            report_url: row.next()?,
            inbound_url: row.next()?,
            time_zone: row.next()?,
            legacy_signature: row.next()?,
            retention_days: row.next()?,
            inbound_form: row.next::<Option<Form>>()?.unwrap_or(Form::Get),
            stop_words: row.next()?,
            start_words: row.next()?,
        })
    }
}

/// How an account's messages go, as it is set.
pub async fn messaging(rx: &mut Rx, scope: &Scope) -> Result<Messaging> {
    let found = rx
        .maybe(
            sql!(
                "SELECT originator, report_url, inbound_url, time_zone, legacy_signature, retention_days, inbound_form,
                 stop_words, start_words FROM messaging WHERE root = $1 AND account = $2"
            ),
            &[&scope.root, &scope.account],
        )
        .await?;
    Ok(found.unwrap_or_default())
}

/// One setting of how messages go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessagingSetting {
    /// See [`Messaging::originator`].
    Originator(Option<Originator>),
    /// See [`Messaging::report_url`].
    ReportUrl(Option<String>),
    /// See [`Messaging::inbound_url`].
    InboundUrl(Option<String>),
    /// See [`Messaging::time_zone`].
    TimeZone(String),
    /// See [`Messaging::legacy_signature`].
    LegacySignature(bool),
    /// See [`Messaging::retention_days`].
    RetentionDays(Option<i64>),
    /// See [`Messaging::inbound_form`].
    InboundForm(Form),
    /// See [`Messaging::stop_words`].
    StopWords(Option<String>),
    /// See [`Messaging::start_words`].
    StartWords(Option<String>),
}

/// Checks that it is the IANA name of a time zone.
pub fn check_zone(zone: &str) -> std::result::Result<(), Code> {
    jiff::tz::TimeZone::get(zone).map(|_| ()).map_err(|_| Code::Invalid)
}

/// Changes one setting. The account is locked by the caller.
pub(super) async fn set(tx: &mut Tx, scope: &Scope, setting: &MessagingSetting) -> Result<()> {
    let mut after = messaging(tx, scope).await?;
    match setting.clone() {
        MessagingSetting::Originator(originator) => after.originator = originator,
        MessagingSetting::ReportUrl(url) => after.report_url = url,
        MessagingSetting::InboundUrl(url) => after.inbound_url = url,
        MessagingSetting::TimeZone(zone) => {
            check_zone(&zone).map_err(|code| Violation::new("time-zone", code))?;
            after.time_zone = zone;
        }
        MessagingSetting::LegacySignature(on) => after.legacy_signature = on,
        MessagingSetting::RetentionDays(days) => {
            if days.is_some_and(|days| !(1..=RETENTION_MAX).contains(&days)) {
                return Err(Violation::new("retention-days", Code::OutOfRange(1, RETENTION_MAX)).into());
            }
            after.retention_days = days;
        }
        MessagingSetting::InboundForm(form) => after.inbound_form = form,
        MessagingSetting::StopWords(words) => {
            after.stop_words = words.map(|words| checked("stop-words", words)).transpose()?;
        }
        MessagingSetting::StartWords(words) => {
            after.start_words = words.map(|words| checked("start-words", words)).transpose()?;
        }
    }
    tx.put(
        sql!(
            "INSERT INTO messaging (root, account, originator, report_url, inbound_url, time_zone, legacy_signature,
             retention_days, forgotten, inbound_form, stop_words, start_words)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10, $11)
             ON CONFLICT (root, account) DO UPDATE SET originator = $3, report_url = $4, inbound_url = $5,
             time_zone = $6, legacy_signature = $7, retention_days = $8, inbound_form = $9, stop_words = $10,
             start_words = $11"
        ),
        &[
            &scope.root,
            &scope.account,
            &after.originator,
            &after.report_url,
            &after.inbound_url,
            &after.time_zone,
            &after.legacy_signature,
            &after.retention_days,
            &after.inbound_form,
            &after.stop_words,
            &after.start_words,
        ],
    )
    .await?;
    change::raise(tx, Kind::Terms).await
}

fn checked(field: &'static str, words: String) -> Result<String> {
    opt_out::check_words(&words).map_err(|code| Violation::new(field, code))?;
    Ok(words)
}

/// Prices of one message part, by the longest prefix of the number. Without any the price is 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Rates(HashMap<String, Amount>);

impl Rates {
    /// The price of a part to a number.
    fn of(&self, to: Msisdn) -> Amount {
        to.longest_prefix(&self.0).copied().unwrap_or(Amount::ZERO)
    }
}

async fn rates(rx: &mut Rx, scope: &Scope) -> Result<Rates> {
    let rows: Vec<(String, Amount)> = rx
        .all(
            sql!("SELECT prefix, amount FROM rate WHERE root = $1 AND account = $2"),
            &[&scope.root, &scope.account],
        )
        .await?;
    Ok(Rates(rows.into_iter().collect()))
}

/// What an account sends under.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Whose.
    pub scope: Scope,
    /// Of all its prices.
    pub currency: Currency,
    /// Settings.
    pub messaging: Messaging,
    /// Whether anybody wants nothing more from it.
    pub has_opt_outs: bool,
    /// Makes the hashes by which those are known that were erased.
    pub(super) vault: Option<Vault>,
    /// What whoever is above it allows.
    pub limits: Limits,
    /// The same of its partner, which holds for all that the partner's accounts send; none for a partner's own.
    pub(super) partners_limits: Limits,
    own: Arc<Rates>,
    partners: Arc<Rates>,
    routes: Arc<Routes>,
    /// Where it matters for the routes.
    networks: Option<Arc<Networks>>,
}

/// What one part to one number costs, and who carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    /// What the account pays.
    pub price: Amount,
    /// What its partner pays for it. The same for a partner's own messages.
    pub cost: Amount,
    /// Who carries it.
    pub carrier: CarrierId,
    /// Whether that takes a long message whole.
    pub is_whole: bool,
}

impl Terms {
    /// The account's own prices of a part, by prefix of the number.
    pub fn prices(&self) -> &HashMap<String, Amount> {
        &self.own.0
    }

    /// The price of a part to a number; `None` if no carrier takes it.
    pub fn quote(&self, to: Msisdn) -> Option<Quote> {
        let Way { carrier, is_whole } = {
            let network = self.networks.as_ref().and_then(|networks| networks.of(to));
            self.routes.way(to, network)?
        };
        Some(Quote { price: self.own.of(to), cost: self.partners.of(to), carrier, is_whole })
    }
}

/// What is an account's alone.
struct Own {
    scope: Scope,
    currency: Currency,
    messaging: Messaging,
    has_opt_outs: bool,
    limits: Limits,
    rates: Arc<Rates>,
}

async fn read(rx: &mut Rx, id: &AccountId) -> Result<Own> {
    let account = account::find(rx, id).await?;
    let scope = account.scope();
    Ok(Own {
        scope,
        currency: account.currency,
        messaging: messaging(rx, &scope).await?,
        has_opt_outs: opt_out::has_any(rx, &scope).await?,
        limits: limits::of(rx, &scope).await?,
        rates: Arc::new(rates(rx, &scope).await?),
    })
}

/// Accounts count as many as they have prices of their own, and one.
#[derive(Clone)]
struct Prices;

impl Weighter<AccountId, (i64, Arc<Terms>)> for Prices {
    fn weight(&self, _: &AccountId, (_, terms): &(i64, Arc<Terms>)) -> u64 {
        terms.own.0.len().saturating_add(1).try_into().unwrap_or(u64::MAX)
    }
}

/// The terms that this process remembers. Routes and a partner's prices are there once, whoever goes by them.
pub struct Book {
    found: Cache<AccountId, (i64, Arc<Terms>), Prices>,
    generation: AtomicI64,
    /// Of the networks, which the routes may ask for.
    of_networks: AtomicI64,
    routes: Remembered<Routes>,
    networks: Remembered<Networks>,
    price_lists: Lists,
    vault: OnceLock<Vault>,
}

impl Default for Book {
    fn default() -> Self {
        Book {
            found: Cache::with_weighter(REMEMBERED_MAX, PRICES_MAX, Prices),
            generation: AtomicI64::new(0),
            of_networks: AtomicI64::new(0),
            routes: Remembered::default(),
            networks: Remembered::default(),
            price_lists: Lists::default(),
            vault: OnceLock::new(),
        }
    }
}

impl Book {
    /// Gives it what opt-outs of erased numbers are found by. Only the first counts: a process has one master key.
    pub fn trust(&self, vault: Vault) {
        _ = self.vault.set(vault);
    }

    /// An account's terms.
    pub async fn of(&self, store: &Store, account: AccountId) -> Result<Arc<Terms>> {
        // Taken before the read: what is read may be older than a change that is learnt of meanwhile.
        let generation = self.generation.load(Ordering::Acquire) + self.of_networks.load(Ordering::Acquire);
        if let Some((of, terms)) = self.found.get(&account)
            && of == generation
        {
            return Ok(terms);
        }
        let Own { scope, currency, messaging, has_opt_outs, limits, rates: own } =
            store.read(account, read).await?;
        let (partners, partners_limits) = if scope.account == scope.root {
            (Arc::clone(&own), Limits::default())
        } else {
            let partner = Box::pin(self.of(store, scope.root)).await?;
            (Arc::clone(&partner.own), partner.limits.clone())
        };
        let routes = self.routes.get(async || store.read((), route::routes).await).await?;
        let networks = if routes.by_network() { Some(self.networks(store).await?) } else { None };
        let vault = self.vault.get().cloned();
        let terms = Terms {
            scope,
            currency,
            messaging,
            has_opt_outs,
            vault,
            limits,
            partners_limits,
            own,
            partners,
            routes,
            networks,
        };
        let terms = Arc::new(terms);
        self.found.insert(account, (generation, Arc::clone(&terms)));
        Ok(terms)
    }

    /// An account's price list, and the terms that it was made of.
    pub async fn price_list(
        &self,
        store: &Store,
        account: AccountId,
    ) -> Result<(Arc<Terms>, Arc<Vec<Entry>>)> {
        let terms = self.of(store, account).await?;
        let networks = self.networks(store).await?;
        let list = self.price_lists.of(&terms, &networks).await?;
        Ok((terms, list))
    }

    /// Which network a number is of.
    pub async fn networks(&self, store: &Store) -> Result<Arc<Networks>> {
        self.networks.get(async || network::all(store).await).await
    }

    /// Forgets everything that was read before this generation.
    pub fn advance(&self, generation: i64) {
        self.generation.fetch_max(generation, Ordering::AcqRel);
        self.routes.advance(generation);
    }

    /// Forgets the networks that were read before this generation of theirs.
    pub fn advance_networks(&self, generation: i64) {
        self.networks.advance(generation);
        self.of_networks.fetch_max(generation, Ordering::AcqRel);
    }
}
