//! Limits of an account, set by whoever is above it, and of one of its keys: how fast it may send, to how many in a
//! country, where to, and at which price.
//!
//! Price and countries are judged when a message is planned, from what each process remembers. How fast and how many is
//! decided in the unit that accepts, on one row of the account or key, so it holds whatever the number of processes.

use super::change::{self, Kind};
use super::money::Amount;
use super::phone::{self, Msisdn};
use super::terms::Terms;
use super::{Code, Error, Result, Scope, Timestamp, Violation};
use std::collections::BTreeMap;
use std::time::Duration;
use store::{FromRow, Row, Rx, Tx, sql};

store::id! {
    /// Of the limits of a key, which its successors share.
    BoundsId
}

/// The row of an account's own limits.
pub(super) const OWN: BoundsId = BoundsId([0; 16]);

/// The limits of a key, beside those of its account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Where they are counted.
    pub id: BoundsId,
    /// What they are; requests are limited elsewhere.
    pub limits: Limits,
}

/// Fastest limits.
pub const PER_SECOND_MAX: i64 = 100_000;
/// Most recipients of a limit by country.
pub const RECIPIENTS_MAX: i64 = 1_000_000_000;

/// The limits of an account; `None` where there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests a second by all its keys together, at each process.
    pub requests: Option<i64>,
    /// Messages to one recipient each, a second.
    pub messages: Option<i64>,
    /// Most that one part may cost.
    pub price: Option<Amount>,
    /// The countries that it may send to: two letters each.
    pub countries: Option<Vec<String>>,
    /// Most recipients in one country in a day of UTC.
    pub per_country: Option<i64>,
}

impl FromRow for Limits {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        let (requests, messages, price) = (row.next()?, row.next()?, row.next()?);
        let countries: Option<String> = row.next()?;
        let countries =
            countries.map(|all| all.split(',').filter(|code| !code.is_empty()).map(str::to_owned).collect());
        Ok(Limits { requests, messages, price, countries, per_country: row.next()? })
    }
}

/// The limits of an account.
pub async fn of(rx: &mut Rx, scope: &Scope) -> Result<Limits> {
    of_bounds(rx, scope, OWN).await
}

/// The limits of a key.
pub(super) async fn of_bounds(rx: &mut Rx, scope: &Scope, bounds: BoundsId) -> Result<Limits> {
    let found = rx
        .maybe(
            sql!(
                "SELECT requests, messages, price, countries, per_country FROM allowance
                 WHERE root = $1 AND account = $2 AND bounds = $3"
            ),
            &[&scope.root, &scope.account, &bounds],
        )
        .await?;
    Ok(found.unwrap_or_default())
}

/// Sets the limits of an account, all of them.
pub async fn set(tx: &mut Tx, (scope, limits): &(Scope, Limits)) -> Result<()> {
    put(tx, scope, OWN, limits).await?;
    change::raise(tx, Kind::Access).await?;
    change::raise(tx, Kind::Terms).await
}

/// Sets the limits of an account or of a key; what learns of it is the caller's affair.
pub(super) async fn put(tx: &mut Tx, scope: &Scope, bounds: BoundsId, limits: &Limits) -> Result<()> {
    let countries = limits.countries.as_ref().map(|all| all.join(","));
    tx.put(
        sql!(
            "INSERT INTO allowance (root, account, requests, messages, price, countries, per_country, busy_until, bounds)
             VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8)
             ON CONFLICT (root, account, bounds) DO UPDATE SET requests = $3, messages = $4, price = $5, countries = $6,
             per_country = $7"
        ),
        &[
            &scope.root,
            &scope.account,
            &limits.requests,
            &limits.messages,
            &limits.price,
            &countries,
            &limits.per_country,
            &bounds,
        ],
    )
    .await?;
    Ok(())
}

/// Rows that one unit forgets: a thousand keys with counts of all countries are many.
const FORGOTTEN_MAX: i64 = 250;

/// Forgets some limits of an account that is gone, and what was counted for them; answers whether there may be more.
pub(super) async fn forget(tx: &mut Tx, scope: &Scope) -> Result<bool> {
    let Scope { root, account } = scope;
    let counts = tx
        .exec(
            sql!(
                "DELETE FROM country_count WHERE root = $1 AND account = $2 AND (bounds, country) IN (
                     SELECT bounds, country FROM country_count WHERE root = $1 AND account = $2 LIMIT $3)"
            ),
            &[root, account, &FORGOTTEN_MAX],
        )
        .await?;
    let limits = tx
        .exec(
            sql!(
                "DELETE FROM allowance WHERE root = $1 AND account = $2 AND bounds IN (
                     SELECT bounds FROM allowance WHERE root = $1 AND account = $2 LIMIT $3)"
            ),
            &[root, account, &FORGOTTEN_MAX],
        )
        .await?;
    Ok(counts.max(limits) >= FORGOTTEN_MAX.unsigned_abs())
}

/// What messages take up of all the limits that they are under.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Takes {
    own: Taken,
    /// Of the partner's.
    above: Taken,
    /// Of the key's.
    key: Option<(BoundsId, Taken)>,
}

impl Takes {
    /// Judges by an account's limits and its partner's where a message goes and what a part costs the account and its
    /// partner.
    pub(super) fn judge(
        terms: &Terms,
        recipients: impl Iterator<Item = (Msisdn, Amount, Amount)> + Clone,
    ) -> std::result::Result<Takes, Violation> {
        let own = terms.limits.judge(recipients.clone().map(|(to, price, _)| (to, price)))?;
        let above = terms.partners_limits.judge(recipients.map(|(to, _, cost)| (to, cost)))?;
        Ok(Takes { own, above, key: None })
    }

    /// The same by the limits of the key that it comes with, if that has some.
    pub(super) fn judge_key(
        &mut self,
        bounds: Option<&Bounds>,
        recipients: impl Iterator<Item = (Msisdn, Amount)>,
    ) -> std::result::Result<(), Violation> {
        if let Some(Bounds { id, limits }) = bounds {
            self.key = Some((*id, limits.judge(recipients)?));
        }
        Ok(())
    }

    /// The same for several messages of one account and key together.
    pub(super) fn and(self, other: &Takes) -> Takes {
        let key = match (self.key, &other.key) {
            (Some((id, taken)), Some((_, more))) => Some((id, taken.and(more))),
            (one, other) => one.or_else(|| other.clone()),
        };
        Takes { own: self.own.and(&other.own), above: self.above.and(&other.above), key }
    }

    /// Takes up what messages of an account need, or says when there will be room. Part of the unit that accepts them.
    pub(super) async fn take(&self, tx: &mut Tx, scope: &Scope) -> Result<()> {
        take(tx, scope, OWN, &self.own).await?;
        take(tx, &scope.of_root(), OWN, &self.above).await?;
        match &self.key {
            Some((bounds, taken)) => take(tx, scope, *bounds, taken).await,
            None => Ok(()),
        }
    }
}

/// What messages take up of one account's or key's limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Taken {
    /// Recipients, if they are limited by the second, and how many of them a second.
    messages: Option<(i64, i64)>,
    /// Recipients by country, if they are limited, and how many of them a day.
    countries: Option<(BTreeMap<String, i64>, i64)>,
}

impl Limits {
    /// Judges where a message goes and what it costs, and says what it takes up of the rest.
    fn judge(
        &self,
        recipients: impl Iterator<Item = (Msisdn, Amount)>,
    ) -> std::result::Result<Taken, Violation> {
        if *self == Limits::default() {
            return Ok(Taken::default());
        }
        let refused = || Violation::new("recipients", Code::NotAllowed);
        let (mut by_country, mut count) = (BTreeMap::new(), 0i64);
        for (to, price) in recipients {
            count += 1;
            if self.price.is_some_and(|most| price > most) {
                return Err(refused());
            }
            if self.countries.is_some() || self.per_country.is_some() {
                let country = phone::region(to).map(|(code, _)| code.as_str().to_owned()).unwrap_or_default();
                if self.countries.as_ref().is_some_and(|allowed| !allowed.contains(&country)) {
                    return Err(refused());
                }
                *by_country.entry(country).or_insert(0) += 1;
            }
        }
        Ok(Taken {
            messages: self.messages.map(|most| (count, most)),
            countries: self.per_country.map(|most| (by_country, most)),
        })
    }
}

impl Taken {
    /// The same for several messages together.
    fn and(mut self, other: &Taken) -> Taken {
        self.messages = self.messages.or(other.messages.map(|(_, most)| (0, most)));
        if self.countries.is_none() {
            self.countries = other.countries.as_ref().map(|(_, most)| (BTreeMap::new(), *most));
        }
        if let (Some((count, _)), Some((more, _))) = (&mut self.messages, &other.messages) {
            *count = count.saturating_add(*more);
        }
        if let (Some((all, _)), Some((more, _))) = (&mut self.countries, &other.countries) {
            for (country, count) in more {
                *all.entry(country.clone()).or_insert(0) += count;
            }
        }
        self
    }
}

async fn take(tx: &mut Tx, scope: &Scope, bounds: BoundsId, taken: &Taken) -> Result<()> {
    let now: Timestamp = tx.now();
    if let Some((count, most)) = taken.messages {
        // As much as a second holds may come at once (the generic cell rate algorithm); a larger message waits for an
        // empty second and takes up the following ones.
        let each = 1_000_000 / most.max(1);
        let takes = each.saturating_mul(count);
        let room = (1_000_000 - takes).max(0);
        let fits = tx
            .exec(
                sql!(
                    "UPDATE allowance SET busy_until =
                         CASE WHEN busy_until > $3 THEN busy_until ELSE CAST($3 AS BIGINT) END + CAST($4 AS BIGINT)
                     WHERE root = $1 AND account = $2 AND bounds = $6 AND busy_until <= $3 + CAST($5 AS BIGINT)"
                ),
                &[&scope.root, &scope.account, &now, &takes, &room, &bounds],
            )
            .await?;
        if fits == 0 {
            let busy: Option<i64> = tx
                .maybe(
                    sql!("SELECT busy_until FROM allowance WHERE root = $1 AND account = $2 AND bounds = $3"),
                    &[&scope.root, &scope.account, &bounds],
                )
                .await?;
            // Without a row there is no limit any more.
            if let Some(busy) = busy {
                let wait = busy.saturating_sub(now.0).saturating_sub(room).max(1);
                return Err(Error::Limited { retry_after: Duration::from_micros(wait.unsigned_abs()) });
            }
        }
    }
    if let Some((by_country, most)) = &taken.countries {
        let day = now.0.div_euclid(DAY_US);
        for (country, count) in by_country {
            if *count > *most {
                return Err(too_many());
            }
            let counted = tx
                .exec(
                    sql!(
                        "INSERT INTO country_count (root, account, country, day, recipients, bounds)
                         VALUES ($1, $2, $3, $4, $5, $7)
                         ON CONFLICT (root, account, bounds, country) DO UPDATE SET day = $4,
                         recipients = CASE WHEN country_count.day = $4 THEN country_count.recipients ELSE 0 END + $5
                         WHERE country_count.day < $4 OR country_count.recipients <= $6 - CAST($5 AS BIGINT)"
                    ),
                    &[&scope.root, &scope.account, country, &day, count, most, &bounds],
                )
                .await?;
            if counted == 0 {
                return Err(too_many());
            }
        }
    }
    Ok(())
}

const DAY_US: i64 = 86_400 * 1_000_000;

fn too_many() -> Error {
    Violation::new("recipients", Code::NotAllowed).into()
}
