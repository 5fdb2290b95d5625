//! Usage: what channels have sent, by day and category, and what it has cost; counted in the unit that pays it.

use super::money::Amount;
use super::words::words;
use super::{Result, Scope, Timestamp};
use store::{Rx, Tx, sql};

words! {
    /// What a message of a channel is, as far as its price goes.
    Category {
        /// By a template that proves who somebody is.
        Authentication = "authentication",
        /// By a template that sells.
        Marketing = "marketing",
        /// An answer to somebody.
        Service = "service",
        /// By a template about something that was bought.
        Utility = "utility",
    }
}

/// All categories, in order.
pub const CATEGORIES: [Category; 4] =
    [Category::Authentication, Category::Marketing, Category::Service, Category::Utility];

impl Category {
    /// The category of a stored word, of any case.
    pub fn parse(word: &str) -> Option<Category> {
        CATEGORIES.into_iter().find(|one| one.name().eq_ignore_ascii_case(word))
    }
}

/// What is asked about.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Whose.
    pub scope: Scope,
    /// Of one channel; of all if it is `None`.
    pub channel: Option<String>,
    /// From which day since 1970.
    pub from: i64,
    /// To which, it included.
    pub to: i64,
}

/// What one category was used on one day.
#[derive(Debug, Clone)]
pub struct Row {
    /// Since 1970.
    pub day: i64,
    /// What kind of message.
    pub category: Category,
    /// How many.
    pub quantity: i64,
    /// How many of them for money.
    pub paid: i64,
    /// For how much.
    pub price: Amount,
}

/// Usage by day and category.
pub async fn rows(rx: &mut Rx, asked: &Asked) -> Result<Vec<Row>> {
    let found: Vec<(i64, Category, i64, i64, Amount)> = rx
        .all(
            sql!(
                "SELECT day, category, CAST(sum(quantity) AS BIGINT), CAST(sum(paid) AS BIGINT), CAST(sum(price) AS BIGINT)
                 FROM channel_usage WHERE root = $1 AND account = $2 AND (CAST($3 AS TEXT) IS NULL OR channel = $3)
                 AND day BETWEEN $4 AND $5 GROUP BY day, category ORDER BY day, category"
            ),
            &[&asked.scope.root, &asked.scope.account, &asked.channel, &asked.from, &asked.to],
        )
        .await?;
    let row = |(day, category, quantity, paid, price)| Row { day, category, quantity, paid, price };
    Ok(found.into_iter().map(row).collect())
}

/// Counts one message that was paid, maybe with nothing.
pub(super) async fn count(
    tx: &mut Tx,
    scope: Scope,
    channel: &str,
    category: Category,
    price: Amount,
) -> Result<()> {
    let now: Timestamp = tx.now();
    let day = now.0.div_euclid(86_400_000_000);
    let paid = i64::from(price > Amount::ZERO);
    tx.put(
        sql!(
            "INSERT INTO channel_usage (root, account, channel, day, category, quantity, paid, price)
             VALUES ($1, $2, $3, $4, $5, 1, $6, $7)
             ON CONFLICT (root, account, channel, day, category) DO UPDATE SET quantity = channel_usage.quantity + 1,
             paid = channel_usage.paid + $6, price = channel_usage.price + $7"
        ),
        &[&scope.root, &scope.account, &channel, &day, &category, &paid, &price],
    )
    .await?;
    Ok(())
}

/// The last credit that an account was granted.
pub async fn last_credit(rx: &mut Rx, scope: &Scope) -> Result<Option<(Timestamp, Amount)>> {
    Ok(rx
        .maybe(
            sql!(
                "SELECT created, amount FROM transfer WHERE root = $1 AND credit = $2 AND reason = 'credit'
                 ORDER BY id DESC LIMIT 1"
            ),
            &[&scope.root, &scope.account],
        )
        .await?)
}

/// What messages usually cost.
#[derive(Debug, Clone, Copy)]
pub struct Typical {
    /// One that the account begins with.
    pub initiated: Amount,
    /// An answer.
    pub service: Amount,
}

/// The rates that hold where no prefix says otherwise.
pub async fn typical(rx: &mut Rx, scope: &Scope) -> Result<Typical> {
    let found: Vec<(Category, Amount)> = rx
        .all(
            sql!(
                "SELECT category, amount FROM channel_rate WHERE root = $1 AND account = $2 AND prefix = ''"
            ),
            &[&scope.root, &scope.account],
        )
        .await?;
    let of = |wanted| {
        found.iter().find(|(category, _)| *category == wanted).map_or(Amount::ZERO, |(_, amount)| *amount)
    };
    Ok(Typical { initiated: of(Category::Marketing), service: of(Category::Service) })
}

/// Sets the price of one message of a category to numbers that begin with a prefix.
#[derive(Debug, Clone)]
pub struct Rate {
    /// Whose.
    pub account: super::AccountId,
    /// Of which category.
    pub category: Category,
    /// First digits; empty for all numbers.
    pub prefix: String,
    /// The price.
    pub amount: Amount,
}

/// Adds or replaces a rate.
pub async fn set_rate(tx: &mut Tx, rate: &Rate) -> Result<()> {
    let scope = super::account::lock(tx, &rate.account).await?.scope();
    super::rate::check(&rate.prefix, rate.amount)?;
    tx.put(
        sql!(
            "INSERT INTO channel_rate (root, account, category, prefix, amount) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (root, account, category, prefix) DO UPDATE SET amount = $5"
        ),
        &[&scope.root, &scope.account, &rate.category, &rate.prefix, &rate.amount],
    )
    .await?;
    Ok(())
}

/// Prefixes of a number, the empty one and the whole one among them.
const PREFIXES: usize = 16;

/// The price of a message of a category to a number, by the longest prefix; nothing without a rate.
pub(super) async fn price(
    rx: &mut Rx,
    scope: Scope,
    category: Category,
    to: super::phone::Msisdn,
) -> Result<Amount> {
    let digits = to.to_string();
    let p: [&str; PREFIXES] = std::array::from_fn(|length| digits.get(..length).unwrap_or(&digits));
    let found = rx
        .maybe(
            sql!(
                "SELECT amount FROM channel_rate WHERE root = $1 AND account = $2 AND category = $3
                 AND prefix IN ($4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
                 ORDER BY octet_length(prefix) DESC LIMIT 1"
            ),
            &[
                &scope.root,
                &scope.account,
                &category,
                &p[0],
                &p[1],
                &p[2],
                &p[3],
                &p[4],
                &p[5],
                &p[6],
                &p[7],
                &p[8],
                &p[9],
                &p[10],
                &p[11],
                &p[12],
                &p[13],
                &p[14],
                &p[15],
            ],
        )
        .await?;
    Ok(found.unwrap_or(Amount::ZERO))
}
