//! Sharing: a client's numbers at the network become channels here.
//!
//! What is asked for is one row, however often it is repeated; the channels follow from it, at once where the transport
//! is simulated, else when the network has told which numbers there are.

use super::account::{self, AccountId, ChildOf};
use super::business::{self, Business};
use super::channel::{self, Ensured};
use super::client;
use super::event::Dialect;
use super::phone::Msisdn;
use super::transport::{self, SIMULATED, TransportId};
use super::{Code, Error, Result, Scope, Timestamp, Violation, partner, secret};
use store::{FromRow, Row, Rx, Tx, sql};

/// Asks for a client's numbers.
#[derive(Debug, Clone)]
pub struct Request {
    /// The partner.
    pub partner: AccountId,
    /// Whose numbers; `None` for the client that has shared something of the same company.
    pub client: Option<AccountId>,
    /// The company, as the network knows it.
    pub owner: Option<String>,
    /// The business account, as the network knows it.
    pub business: String,
    /// One of its numbers, as the network knows it; all if it is `None`.
    pub number: Option<String>,
    /// Under which agreement.
    pub solution: String,
    /// What is ordered.
    pub plan: Option<String>,
    /// The number itself, where somebody has typed it.
    pub phone: Option<Msisdn>,
    /// Whether the partner may make keys.
    pub permitted: bool,
    /// How what happens is told.
    pub dialect: Dialect,
}

/// Takes a request: one row, and nothing if it is refused. Answers whose it is.
pub async fn request(tx: &mut Tx, asked: &Request) -> Result<(Business, AccountId)> {
    let child = match (asked.client, &asked.owner) {
        (Some(child), _) => child,
        (None, Some(owner)) => business::owned_by(tx, asked.partner, owner).await?,
        (None, None) => return Err(Violation::new("client", Code::Required).into()),
    };
    let of = ChildOf { partner: asked.partner, child };
    // Of requests for the same client one goes first: what it may have and what it has is read behind this lock.
    account::lock(tx, &child).await?;
    let known = client::find(tx, &of).await?;
    let scope = client::scope(&of);
    let business = business::ensure(
        tx,
        &business::New {
            scope,
            external: &asked.business,
            owner: asked.owner.as_deref(),
            name: &known.account.name,
        },
    )
    .await?;
    if business.scope != scope {
        return Err(Violation::new("business", Code::Taken).into());
    }
    let now: Timestamp = tx.now();
    let number = asked.number.clone().unwrap_or_default();
    let transport = transport::preferred(tx).await?;
    let new = tx
        .exec(
            sql!(
                "INSERT INTO sharing (root, business, number, account, solution, plan, phone, transport, due, open, created)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $9)
                 ON CONFLICT (root, business, number) DO NOTHING"
            ),
            &[
                &scope.root,
                &business.id,
                &number,
                &scope.account,
                &asked.solution,
                &asked.plan,
                &asked.phone,
                &transport,
                &now,
                &true,
            ],
        )
        .await?;
    if new == 1 {
        let may = partner::view(tx, &asked.partner).await?.clients_add_numbers;
        if !may || channel::count(tx, scope).await? + open(tx, scope).await? > known.channels_max {
            return Err(Error::Forbidden);
        }
    }
    Ok((business, child))
}

/// How many requests of a client there are whose channels are still to be made.
async fn open(tx: &mut Tx, scope: Scope) -> Result<i64> {
    Ok(tx
        .one(
            sql!("SELECT CAST(count(*) AS BIGINT) FROM sharing WHERE root = $1 AND account = $2 AND open"),
            &[&scope.root, &scope.account],
        )
        .await?)
}

/// A request whose channels are to be made.
#[derive(Debug, Clone)]
pub struct Open {
    /// Whose.
    pub scope: Scope,
    /// Of which business account.
    pub business: String,
    /// Its id at the network.
    pub external: String,
    /// The number that was asked for; empty for all.
    pub number: String,
    /// What was ordered.
    pub plan: Option<String>,
    /// The number itself, where somebody has typed it.
    pub phone: Option<Msisdn>,
    /// Who carries it.
    pub transport: TransportId,
    /// When it was asked for.
    pub created: Timestamp,
}

impl FromRow for Open {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Open {
            scope: Scope { root: row.next()?, account: row.next()? },
            business: row.next()?,
            external: row.next()?,
            number: row.next()?,
            plan: row.next()?,
            phone: row.next()?,
            transport: row.next()?,
            created: row.next()?,
        })
    }
}

/// Requests that are looked at together.
const BATCH: i64 = 16;

/// Requests whose channels are to be made now by a transport.
pub async fn due(rx: &mut Rx, transport: &TransportId) -> Result<Vec<Open>> {
    // All tenants: whoever's turn it is.
    let now: Timestamp = rx.now();
    Ok(rx
        .all(
            sql!(
                "SELECT s.root, s.account, s.business, b.external, s.number, s.plan, s.phone, s.transport, s.created
                 FROM sharing s JOIN business b ON b.root = s.root AND b.id = s.business
                 WHERE s.open AND s.transport = $3 AND s.due <= $1 ORDER BY s.due, s.root, s.business, s.number LIMIT $2"
            ),
            &[&now, &BATCH, transport],
        )
        .await?)
}

/// A number of a business account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    /// Its id at the network.
    pub external: String,
    /// The number itself.
    pub msisdn: Msisdn,
    /// What people see.
    pub name: String,
}

/// Simulated numbers begin so: no country has 999.
const NUMBERS: i64 = 999_770_000_000;

/// The number that a simulated business account has: the same for the same question.
pub fn simulated(open: &Open, name: &str) -> Number {
    let external = if open.number.is_empty() {
        let hash = secret::hash(&open.external);
        let digits = hash.iter().take(12).map(|byte| char::from(b'0' + byte % 10));
        format!("704{}", digits.collect::<String>())
    } else {
        open.number.clone()
    };
    let hash = secret::hash(&external);
    let tail = hash.iter().take(4).fold(0i64, |sum, byte| sum * 256 + i64::from(*byte)) % 10_000_000;
    let msisdn = open.phone.unwrap_or(Msisdn(NUMBERS + tail));
    Number { external, msisdn, name: name.to_owned() }
}

/// What came of a request.
#[derive(Debug, Clone)]
pub struct Found {
    /// Which.
    pub open: Open,
    /// Its numbers; at most 100.
    pub numbers: Vec<Number>,
    /// Whether the partner may make keys.
    pub permitted: bool,
    /// How what happens is told.
    pub dialect: Dialect,
}

/// Makes the channels of a request and closes it; those that are there already stay as they are. Nothing is made for a
/// client that is gone, of a number that somebody else has, and above what the client may have.
pub async fn complete(tx: &mut Tx, found: &Found) -> Result<Vec<String>> {
    make(tx, found).await.map(|(made, _)| made)
}

/// The same; answers as well whether somebody else has one of the numbers.
async fn make(tx: &mut Tx, found: &Found) -> Result<(Vec<String>, bool)> {
    let Open { scope, business, number, plan, transport, .. } = &found.open;
    account::lock(tx, &scope.account).await?;
    let still: Option<bool> = tx
        .maybe(
            sql!("SELECT open FROM sharing WHERE root = $1 AND business = $2 AND number = $3 FOR UPDATE"),
            &[&scope.root, business, number],
        )
        .await?;
    if still.is_none() {
        return Ok((Vec::new(), false));
    }
    tx.put(
        sql!("UPDATE sharing SET open = $4 WHERE root = $1 AND business = $2 AND number = $3"),
        &[&scope.root, business, number, &false],
    )
    .await?;
    let of = ChildOf { partner: scope.root, child: scope.account };
    let known = match (business::find(tx, &(scope.root, business.clone())).await, client::find(tx, &of).await)
    {
        (Ok(business), Ok(client)) => Some((business, client)),
        // Its account was deleted meanwhile.
        (Err(Error::NotFound(_)), _) | (_, Err(Error::NotFound(_))) => None,
        (Err(error), _) | (_, Err(error)) => return Err(error),
    };
    let Some((business, client)) = known else { return Ok((Vec::new(), false)) };
    let mut room = client.channels_max - channel::count(tx, *scope).await?;
    let mut made = Vec::with_capacity(found.numbers.len());
    let mut is_taken = false;
    for one in found.numbers.iter().take(NUMBERS_MAX) {
        let new = channel::New {
            business: &business,
            external: &one.external,
            msisdn: one.msisdn,
            name: &one.name,
            transport: *transport,
            plan: plan.as_deref(),
            permitted: found.permitted,
        };
        match channel::ensure(tx, &new, room > 0, found.dialect).await? {
            Ensured::Made(id) => {
                room -= 1;
                made.push(id);
            }
            Ensured::Known(id) => made.push(id),
            Ensured::Taken => is_taken = true,
            Ensured::NoRoom => {}
        }
    }
    Ok((made, is_taken))
}

/// Numbers of one business account.
pub const NUMBERS_MAX: usize = 100;
/// A request that could not be looked at, or of whose numbers nothing is known yet, waits for at least and at most so long.
const PUT_OFF_US: (i64, i64) = (10_000_000, 3_600_000_000);

/// Has a request wait, so that others are not held up by it: the longer the older it is.
pub async fn put_off(tx: &mut Tx, open: &Open) -> Result<()> {
    let now: Timestamp = tx.now();
    let wait = (now.0.saturating_sub(open.created.0) / 4).clamp(PUT_OFF_US.0, PUT_OFF_US.1);
    tx.put(
        sql!("UPDATE sharing SET due = $4 WHERE root = $1 AND business = $2 AND number = $3 AND open"),
        &[&open.scope.root, &open.business, &open.number, &now.0.saturating_add(wait)],
    )
    .await?;
    Ok(())
}

/// Makes the channels of a business account of the simulated transport, in the unit that asks for them; `None` if another
/// transport carries it, which makes them later. A number that somebody else has is refused.
pub async fn complete_at_once(tx: &mut Tx, asked: &Request) -> Result<Option<Vec<String>>> {
    let (business, account) = request(tx, asked).await?;
    let open = Open {
        scope: Scope { root: asked.partner, account },
        external: business.external.clone(),
        number: asked.number.clone().unwrap_or_default(),
        plan: asked.plan.clone(),
        phone: asked.phone,
        transport: transport::preferred(tx).await?,
        created: tx.now(),
        business: business.id,
    };
    if open.transport != SIMULATED {
        return Ok(None);
    }
    let numbers = vec![simulated(&open, &business.name)];
    let found = Found { open, numbers, permitted: asked.permitted, dialect: asked.dialect };
    match make(tx, &found).await? {
        (_, true) => Err(Violation::new("number", Code::Taken).into()),
        (made, false) => Ok(Some(made)),
    }
}
