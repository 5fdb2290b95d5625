//! Sharing: a client's numbers at the network become channels here.
//!
//! What is asked for is one row, however often it is repeated; the channels follow from it, at once where the transport
//! is simulated, else when the network has told which numbers there are.

use super::account::{self, AccountId, ChildOf};
use super::business::{self, Business};
use super::channel;
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
    let known = client::find(tx, &of).await?;
    // Of requests for the same client one goes first: the number of channels is counted behind this lock.
    account::lock(tx, &child).await?;
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
        if !may || channel::count(tx, scope).await? >= known.channels_max {
            return Err(Error::Forbidden);
        }
    }
    Ok((business, child))
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
        })
    }
}

/// Requests that are looked at together.
const BATCH: i64 = 16;

/// Requests whose channels are to be made now.
pub async fn due(rx: &mut Rx, (): &()) -> Result<Vec<Open>> {
    // All tenants: whoever's turn it is.
    let now: Timestamp = rx.now();
    Ok(rx
        .all(
            sql!(
                "SELECT s.root, s.account, s.business, b.external, s.number, s.plan, s.phone, s.transport
                 FROM sharing s JOIN business b ON b.root = s.root AND b.id = s.business
                 WHERE s.open AND s.due <= $1 ORDER BY s.due, s.root, s.business, s.number LIMIT $2"
            ),
            &[&now, &BATCH],
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

/// Makes the channels of a request and closes it; those that are there already stay as they are.
pub async fn complete(tx: &mut Tx, found: &Found) -> Result<Vec<String>> {
    let Open { scope, business, number, plan, transport, .. } = &found.open;
    let still: Option<bool> = tx
        .maybe(
            sql!("SELECT open FROM sharing WHERE root = $1 AND business = $2 AND number = $3 FOR UPDATE"),
            &[&scope.root, business, number],
        )
        .await?;
    if still.is_none() {
        return Ok(Vec::new());
    }
    let business = business::find(tx, &(scope.root, business.clone())).await?;
    let mut made = Vec::with_capacity(found.numbers.len());
    for one in found.numbers.iter().take(100) {
        let new = channel::New {
            business: &business,
            external: &one.external,
            msisdn: one.msisdn,
            name: &one.name,
            transport: *transport,
            plan: plan.as_deref(),
            permitted: found.permitted,
        };
        made.push(channel::ensure(tx, &new, found.dialect).await?);
    }
    tx.put(
        sql!("UPDATE sharing SET open = $4 WHERE root = $1 AND business = $2 AND number = $3"),
        &[&scope.root, &business.id, number, &false],
    )
    .await?;
    Ok(made)
}

/// Makes the channels of a business account of the simulated transport, in the unit that asks for them.
pub async fn complete_at_once(tx: &mut Tx, asked: &Request) -> Result<Option<Vec<String>>> {
    let (business, account) = request(tx, asked).await?;
    let open = Open {
        scope: Scope { root: asked.partner, account },
        external: business.external.clone(),
        number: asked.number.clone().unwrap_or_default(),
        plan: asked.plan.clone(),
        phone: asked.phone,
        transport: transport::preferred(tx).await?,
        business: business.id,
    };
    if open.transport != SIMULATED {
        return Ok(None);
    }
    let numbers = vec![simulated(&open, &business.name)];
    let found = Found { open, numbers, permitted: asked.permitted, dialect: asked.dialect };
    complete(tx, &found).await.map(Some)
}
