//! What phones write: whose it is, what follows from its words, and where it is forwarded to.
//!
//! One unit, whichever carrier brings it. A carrier that names what it brings may bring it twice; it counts once. What
//! comes to a number that nobody has is counted for the operator and kept nowhere.

use super::callback::{self, About};
use super::carrier::CarrierId;
use super::message::{self, MessageId, Received};
use super::number::{self, Form};
use super::opt_out::{self, Said, Source};
use super::phone::{Msisdn, Originator};
use super::{Result, Scope, Timestamp, terms};
use store::{Rx, Tx, sql};

/// A carrier's name of what it brought is remembered for this time.
const REMEMBERED_US: i64 = 7 * 86_400 * 1_000_000;
/// A number of nobody's is forgotten when nothing has come to it for this time.
const STRAY_US: i64 = 90 * 86_400 * 1_000_000;
/// Names that one unit forgets.
const FORGOTTEN_MAX: i64 = 400;
/// Numbers of nobody's that are listed.
const LISTED_MAX: i64 = 500;

/// A text that a carrier brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbound {
    /// Which carrier.
    pub carrier: CarrierId,
    /// Its own name of this text, if it has one: what is brought again under it counts once.
    pub reference: Option<String>,
    /// Whom it is from: a number, or what a network lets stand in its place.
    pub from: Originator,
    /// The number that it came to.
    pub to: Msisdn,
    /// The text.
    pub body: String,
    /// Whose it is if nobody has the number: only a simulated carrier knows that.
    pub otherwise: Option<Scope>,
}

/// What became of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is an account's.
    Stored(MessageId),
    /// It was brought before.
    Repeated,
    /// Nobody has the number.
    Stray,
}

/// Takes a text: stores it, heeds its words, forwards it if the account wants that.
pub async fn receive(tx: &mut Tx, inbound: &Inbound) -> Result<Taken> {
    let Inbound { carrier, reference, from, to, body, otherwise } = inbound;
    let now: Timestamp = tx.now();
    // UCS-2 has a NUL, texts in the database do not.
    let body = &body.replace('\0', "\u{FFFD}");
    if let Some(reference) = reference {
        let first = tx
            .exec(
                sql!(
                    "INSERT INTO brought (carrier, reference, brought) VALUES ($1, $2, $3)
                     ON CONFLICT (carrier, reference) DO NOTHING"
                ),
                &[carrier, reference, &now],
            )
            .await?;
        if first == 0 {
            return Ok(Taken::Repeated);
        }
    }
    let phone = Msisdn::parse(from.as_str()).ok();
    let found = number::route(tx, *to, phone, body).await?;
    let (scope, own_url, own_form) = match (found, otherwise) {
        (Some(number), _) => (number.scope, number.inbound_url, number.form),
        (None, Some(scope)) => (*scope, None, None),
        (None, None) => {
            tx.put(
                sql!(
                    "INSERT INTO stray (carrier, msisdn, messages, latest) VALUES ($1, $2, 1, $3)
                     ON CONFLICT (carrier, msisdn) DO UPDATE SET messages = stray.messages + 1, latest = $3"
                ),
                &[carrier, to, &now],
            )
            .await?;
            return Ok(Taken::Stray);
        }
    };
    let settings = terms::messaging(tx, &scope).await?;
    if let Some(phone) = phone {
        match opt_out::said(&settings, body) {
            Some(Said::Stop) => _ = opt_out::add(tx, &(scope, vec![phone], Source::Inbound)).await?,
            Some(Said::Start) => _ = opt_out::remove(tx, &(scope, vec![phone])).await?,
            None => {}
        }
    }
    let thread = match phone {
        Some(phone) => number::last_to(tx, &scope, *to, phone).await?.and_then(|(_, reference)| reference),
        None => None,
    };
    let received = Received { scope, from: from.clone(), to: *to, body: body.clone(), reference: thread };
    let (id, recipient) = message::receive(tx, &received).await?;
    let url = own_url.or(settings.inbound_url).filter(|url| !url.is_empty());
    if let Some(url) = url {
        let kind = match own_form.unwrap_or(settings.inbound_form) {
            Form::Get => callback::Kind::Inbound,
            Form::Post => callback::Kind::InboundForm,
            Form::Json => callback::Kind::InboundJson,
        };
        callback::push(tx, scope, kind, &url, &About { message: id, recipient }).await?;
    }
    Ok(Taken::Stored(id))
}

/// Texts to a number that nobody has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// Who brought them.
    pub carrier: CarrierId,
    /// The number.
    pub msisdn: Msisdn,
    /// How many.
    pub messages: i64,
    /// When the last one came.
    pub latest: Timestamp,
}

/// Numbers of nobody's that texts came to, the latest first.
pub async fn strays(rx: &mut Rx, (): &()) -> Result<Vec<Stray>> {
    let found: Vec<(CarrierId, Msisdn, i64, Timestamp)> = rx
        .all(
            sql!(
                "SELECT carrier, msisdn, messages, latest FROM stray ORDER BY latest DESC, carrier, msisdn LIMIT $1"
            ),
            &[&LISTED_MAX],
        )
        .await?;
    let known = found.into_iter();
    Ok(known.map(|(carrier, msisdn, messages, latest)| Stray { carrier, msisdn, messages, latest }).collect())
}

/// Forgets what was brought long ago; answers whether there may be more.
pub async fn forget(tx: &mut Tx, (): &()) -> Result<bool> {
    let now: Timestamp = tx.now();
    let gone = tx
        .exec(
            sql!(
                "DELETE FROM brought WHERE (carrier, reference) IN (
                     SELECT carrier, reference FROM brought WHERE brought < $1 ORDER BY brought LIMIT $2)"
            ),
            &[&now.0.saturating_sub(REMEMBERED_US), &FORGOTTEN_MAX],
        )
        .await?;
    tx.put(sql!("DELETE FROM stray WHERE latest < $1"), &[&now.0.saturating_sub(STRAY_US)]).await?;
    Ok(gone >= FORGOTTEN_MAX.unsigned_abs())
}
