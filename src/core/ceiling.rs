//! What the operator has limited of an account: at most that. Its partner can only make it stricter.
//!
//! What the operator sets is the limit in force and the ceiling at once, whatever a partner had set; what a partner sets is
//! judged against the ceiling, on the account's locked row, so that the later of two who do it at once sees the other.

use super::account::{self, Setting};
use super::cap::Caps;
use super::limits::{self, Limits};
use super::money::Amount;
use super::reach::{self, Sight};
use super::suspension::Level;
use super::terms::MessagingSetting;
use super::{Code, Error, Result, Scope, Violation};
use store::{FromRow, Row, Rx, Tx, sql};

/// What the operator has limited; `None` where it has not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ceiling {
    /// How fast, where to, how many, at which price.
    pub limits: Limits,
    /// Most in a day.
    pub day_cap: Option<Amount>,
    /// Most in a month.
    pub month_cap: Option<Amount>,
}

impl FromRow for Ceiling {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Ceiling { limits: Limits::from_row(row)?, day_cap: row.next()?, month_cap: row.next()? })
    }
}

/// The ceiling of an account.
pub async fn of(rx: &mut Rx, scope: &Scope) -> Result<Ceiling> {
    let found = rx
        .maybe(
            sql!(
                "SELECT requests, messages, price, countries, per_country, day_cap, month_cap FROM ceiling
                 WHERE root = $1 AND account = $2"
            ),
            &[&scope.root, &scope.account],
        )
        .await?;
    Ok(found.unwrap_or_default())
}

async fn set(tx: &mut Tx, scope: &Scope, ceiling: &Ceiling) -> Result<()> {
    let Ceiling { limits, day_cap, month_cap } = ceiling;
    let countries = limits.countries.as_ref().map(|all| all.join(","));
    tx.put(
        sql!(
            "INSERT INTO ceiling (root, account, requests, messages, price, countries, per_country, day_cap, month_cap)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (root, account) DO UPDATE SET requests = $3, messages = $4, price = $5, countries = $6,
             per_country = $7, day_cap = $8, month_cap = $9"
        ),
        &[
            &scope.root,
            &scope.account,
            &limits.requests,
            &limits.messages,
            &limits.price,
            &countries,
            &limits.per_country,
            day_cap,
            month_cap,
        ],
    )
    .await?;
    Ok(())
}

/// What is said about limits: `None` leaves, an inner `None` takes away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patch {
    /// Requests a second.
    pub requests: Option<Option<i64>>,
    /// Messages to one recipient each, a second.
    pub messages: Option<Option<i64>>,
    /// Most that one part may cost.
    pub price: Option<Option<Amount>>,
    /// The countries that it may send to.
    pub countries: Option<Option<Vec<String>>>,
    /// Most recipients in one country in a day.
    pub per_country: Option<Option<i64>>,
}

impl Patch {
    fn applied(&self, to: &Limits) -> Limits {
        Limits {
            requests: self.requests.unwrap_or(to.requests),
            messages: self.messages.unwrap_or(to.messages),
            price: self.price.unwrap_or(to.price),
            countries: self.countries.clone().unwrap_or_else(|| to.countries.clone()),
            per_country: self.per_country.unwrap_or(to.per_country),
        }
    }
}

/// Whether what is said is no less strict than the ceiling; what is not said was so before.
#[expect(clippy::option_option, reason = "not said, taken away, and a value are three things")]
fn fits<T: PartialOrd>(said: Option<Option<T>>, ceiling: Option<T>) -> bool {
    match (said, ceiling) {
        (None, _) | (_, None) => true,
        (Some(said), Some(most)) => said.is_some_and(|said| said <= most),
    }
}

fn judged(broken: &[(&'static str, bool)]) -> Result<()> {
    let broken = broken.iter().filter(|(_, fits)| !fits);
    let broken: Vec<Violation> = broken.map(|(name, _)| Violation::new(name, Code::Ceiling)).collect();
    if broken.is_empty() { Ok(()) } else { Err(Error::Invalid(broken)) }
}

/// Changes the limits of an account; answers all of them, and what the operator has limited.
pub async fn limit(tx: &mut Tx, (scope, by, patch): &(Scope, Level, Patch)) -> Result<(Limits, Ceiling)> {
    account::lock(tx, &scope.account).await?;
    let mut ceiling = of(tx, scope).await?;
    match by {
        Level::Operator => {
            ceiling.limits = patch.applied(&ceiling.limits);
            set(tx, scope, &ceiling).await?;
        }
        Level::Partner => {
            let most = &ceiling.limits;
            let countries = match (&patch.countries, &most.countries) {
                (None, _) | (_, None) => true,
                (Some(said), Some(most)) => {
                    said.as_ref().is_some_and(|said| said.iter().all(|one| most.contains(one)))
                }
            };
            judged(&[
                ("requestsPerSecond", fits(patch.requests, most.requests)),
                ("messagesPerSecond", fits(patch.messages, most.messages)),
                ("maxPrice", fits(patch.price, most.price)),
                ("allowedCountries", countries),
                ("recipientsPerCountryAndDay", fits(patch.per_country, most.per_country)),
            ])?;
        }
    }
    let after = patch.applied(&limits::of(tx, scope).await?);
    limits::set(tx, &(*scope, after.clone())).await?;
    Ok((after, ceiling))
}

/// Judges caps before they are set, and keeps what the operator says of them: part of the unit that sets them.
pub async fn cap(tx: &mut Tx, (scope, by, caps): &(Scope, Level, Caps)) -> Result<()> {
    account::lock(tx, &scope.account).await?;
    let mut ceiling = of(tx, scope).await?;
    match by {
        Level::Operator => {
            ceiling.day_cap = caps.day.unwrap_or(ceiling.day_cap);
            ceiling.month_cap = caps.month.unwrap_or(ceiling.month_cap);
            set(tx, scope, &ceiling).await
        }
        Level::Partner => judged(&[
            ("dayCap", fits(caps.day, ceiling.day_cap)),
            ("monthCap", fits(caps.month, ceiling.month_cap)),
        ]),
    }
}

/// Refuses a partner another time zone for a child whose caps the operator has set: days begin by it.
pub async fn leaves_days(tx: &mut Tx, sight: &Sight, settings: &[Setting]) -> Result<()> {
    let is_zone = |setting: &Setting| matches!(setting, Setting::Messaging(MessagingSetting::TimeZone(_)));
    if sight.level() == Level::Operator || !settings.iter().any(is_zone) {
        return Ok(());
    }
    let scope = reach::lock(tx, sight).await?.account.scope();
    let Ceiling { day_cap, month_cap, .. } = of(tx, &scope).await?;
    judged(&[("timeZone", day_cap.is_none() && month_cap.is_none())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ceiling_is_kept_by_what_is_no_less_strict() {
        for (said, ceiling, holds) in [
            (None, Some(5), true),
            (Some(None), None, true),
            (Some(Some(9)), None, true),
            (Some(Some(5)), Some(5), true),
            (Some(Some(4)), Some(5), true),
            (Some(Some(6)), Some(5), false),
            (Some(None), Some(5), false),
        ] {
            assert_eq!(fits(said, ceiling), holds, "{said:?} under {ceiling:?}");
        }
    }
}
