//! Routes: which carrier takes which number. The network that a number is of decides, as far as the operator's prefix file
//! says and the network has routes; then its country; then the longest prefix that has routes. Among routes those of the
//! lowest priority number come first, like mail exchangers, and weights share numbers out between equals. A number stays
//! with its carrier: what it hashes to decides, not chance, so that messages to one phone keep their order.

use super::carrier::{self, Carrier, CarrierId};
use super::change::{self, Kind};
use super::network::{self, Network};
use super::phone::Msisdn;
use super::{Code, Error, Noun, Result, Violation};
use std::collections::HashMap;
use store::{FromRow, Row, Rx, Tx, sql};

/// Digits of the longest prefix: a whole number (E.164).
const PREFIX_MAX: usize = 15;
/// Largest priority number and weight.
const NUMBER_MAX: i64 = 1_000;

/// Begins the place of a network among the prefixes, which have digits alone.
const NETWORK: char = '@';

/// The place of a network, or of all networks of a country, among the prefixes.
pub fn of_network(mcc: &str, mnc: Option<&str>) -> String {
    mnc.map_or_else(|| format!("{NETWORK}{mcc}"), |mnc| format!("{NETWORK}{mcc}-{mnc}"))
}

/// The mobile country code, and the mobile network code if there is one, that a place stands for; `None` for a prefix.
pub fn network(place: &str) -> Option<(&str, Option<&str>)> {
    let codes = place.strip_prefix(NETWORK)?;
    Some(codes.split_once('-').map_or((codes, None), |(mcc, mnc)| (mcc, Some(mnc))))
}

/// One way for numbers that begin with a prefix, or that are of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// First digits; empty for all numbers. Or what [`of_network`] makes.
    pub prefix: String,
    /// Who takes them.
    pub carrier: CarrierId,
    /// The lowest comes first.
    pub priority: i64,
    /// Its share among equals.
    pub weight: i64,
}

impl FromRow for Route {
    fn from_row(row: &mut Row<'_>) -> std::result::Result<Self, store::Error> {
        Ok(Route { prefix: row.next()?, carrier: row.next()?, priority: row.next()?, weight: row.next()? })
    }
}

/// All routes, by prefix.
pub async fn all(rx: &mut Rx, (): &()) -> Result<Vec<Route>> {
    let rows = sql!("SELECT prefix, carrier, priority, weight FROM route ORDER BY prefix, priority, carrier");
    Ok(rx.all(rows, &[]).await?)
}

/// Adds a route, or changes the priority and weight of the one that is there.
pub async fn add(tx: &mut Tx, (name, route): &(String, Route)) -> Result<()> {
    let Route { prefix, priority, weight, .. } = route;
    if let Some((mcc, mnc)) = network(prefix) {
        network::check_codes(mcc, mnc)?;
    } else if prefix.len() > PREFIX_MAX || !prefix.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Violation::new("prefix", Code::Invalid).into());
    }
    if !(0..=NUMBER_MAX).contains(priority) {
        return Err(Violation::new("priority", Code::OutOfRange(0, NUMBER_MAX)).into());
    }
    if !(1..=NUMBER_MAX).contains(weight) {
        return Err(Violation::new("weight", Code::OutOfRange(1, NUMBER_MAX)).into());
    }
    let carrier = carrier::by_name(tx, name).await?.id;
    put(tx, prefix, carrier, (*priority, *weight)).await?;
    change::raise(tx, Kind::Terms).await
}

async fn put(tx: &mut Tx, prefix: &str, carrier: CarrierId, (priority, weight): (i64, i64)) -> Result<()> {
    tx.put(
        sql!(
            "INSERT INTO route (prefix, carrier, priority, weight) VALUES ($1, $2, $3, $4)
             ON CONFLICT (prefix, carrier) DO UPDATE SET priority = $3, weight = $4"
        ),
        &[&prefix, &carrier, &priority, &weight],
    )
    .await?;
    Ok(())
}

/// Gives every number to a carrier that no other prefix claims, and to no other.
pub(super) async fn set_default(tx: &mut Tx, carrier: CarrierId) -> Result<()> {
    tx.put(sql!("DELETE FROM route WHERE prefix = ''"), &[]).await?;
    put(tx, "", carrier, (0, 1)).await
}

/// Removes a route.
pub async fn remove(tx: &mut Tx, (prefix, name): &(String, String)) -> Result<()> {
    let carrier = carrier::by_name(tx, name).await?.id;
    let gone =
        tx.exec(sql!("DELETE FROM route WHERE prefix = $1 AND carrier = $2"), &[prefix, &carrier]).await?;
    if gone == 0 {
        return Err(Error::NotFound(Noun::Route));
    }
    change::raise(tx, Kind::Terms).await
}

/// A carrier that could take a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hop {
    carrier: CarrierId,
    priority: i64,
    weight: i64,
    is_down: bool,
    is_whole: bool,
}

/// Who takes a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// The carrier.
    pub carrier: CarrierId,
    /// Whether it takes a long message whole.
    pub is_whole: bool,
}

/// Which carrier takes a number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes {
    hops: HashMap<String, Vec<Hop>>,
    /// Of some numbers: see [`routes_to`].
    networks: HashMap<Msisdn, Network>,
}

/// Spreads numbers that follow one another (a step of `SplitMix64`).
fn spread(to: Msisdn) -> i64 {
    let mut x = to.0.cast_unsigned().wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (x ^ (x >> 31)).cast_signed() & i64::MAX
}

impl Routes {
    /// Whether it matters which network a number is of.
    pub fn by_network(&self) -> bool {
        self.hops.keys().any(|place| place.starts_with(NETWORK))
    }

    /// Who takes a number of a network, if anybody does: one that is up, if there is one.
    pub fn way(&self, to: Msisdn, of: Option<&Network>) -> Option<Way> {
        let hops = self.hops(to, of)?;
        choose(hops.iter().filter(|hop| !hop.is_down), to).or_else(|| choose(hops.iter(), to))
    }

    /// Who else takes a number in place of a carrier that is down, and takes long messages as that one does. Of a message
    /// with one part it does not matter how.
    pub fn instead(&self, to: Msisdn, of: Way, is_long: bool) -> Option<CarrierId> {
        let others = self.others(to, of, is_long)?;
        choose(others.iter().filter(|hop| !hop.is_down), to).map(|way| way.carrier)
    }

    /// Who takes a number after a carrier that is gone for good: one that is down as well, if nobody else does.
    pub fn after(&self, to: Msisdn, of: Way, is_long: bool) -> Option<CarrierId> {
        let one_down = || choose(self.others(to, of, is_long)?.iter(), to).map(|way| way.carrier);
        self.instead(to, of, is_long).or_else(one_down)
    }

    fn others(&self, to: Msisdn, of: Way, is_long: bool) -> Option<Vec<Hop>> {
        let fits = |hop: &&Hop| hop.carrier != of.carrier && (!is_long || hop.is_whole == of.is_whole);
        Some(self.hops(to, self.networks.get(&to))?.iter().filter(fits).copied().collect())
    }

    fn hops(&self, to: Msisdn, of: Option<&Network>) -> Option<&[Hop]> {
        let by_network = of.and_then(|Network { mcc, mnc, .. }| {
            let own = self.hops.get(&of_network(mcc, Some(mnc)));
            own.or_else(|| self.hops.get(&of_network(mcc, None)))
        });
        by_network.or_else(|| to.longest_prefix(&self.hops)).map(Vec::as_slice)
    }
}

/// The first by priority; among equals, the one in whose share the number lies.
fn choose<'h>(hops: impl Iterator<Item = &'h Hop> + Clone, to: Msisdn) -> Option<Way> {
    let first = hops.clone().map(|hop| hop.priority).min()?;
    let equals = hops.filter(|hop| hop.priority == first);
    let total: i64 = equals.clone().map(|hop| hop.weight).sum();
    let mut place = spread(to).checked_rem(total)?;
    let mut chosen = None;
    for hop in equals {
        chosen = Some(Way { carrier: hop.carrier, is_whole: hop.is_whole });
        if place < hop.weight {
            break;
        }
        place -= hop.weight;
    }
    chosen
}

/// All routes, with what is known of their carriers.
pub async fn routes(rx: &mut Rx, (): &()) -> Result<Routes> {
    let carriers = carrier::all(rx, &()).await?;
    let carriers: HashMap<CarrierId, &Carrier> = carriers.iter().map(|known| (known.id, known)).collect();
    let mut by_prefix: HashMap<String, Vec<Hop>> = HashMap::new();
    for Route { prefix, carrier, priority, weight } in all(rx, &()).await? {
        let Some(known) = carriers.get(&carrier) else { continue };
        let is_whole = known.takes_whole();
        let hop = Hop { carrier, priority, weight, is_down: known.down.is_some(), is_whole };
        by_prefix.entry(prefix).or_default().push(hop);
    }
    Ok(Routes { hops: by_prefix, networks: HashMap::new() })
}

/// The same, with the networks of some numbers, at most as many as a unit may look at.
pub(super) async fn routes_to(rx: &mut Rx, numbers: &[Msisdn]) -> Result<Routes> {
    let mut routes = routes(rx, &()).await?;
    if routes.by_network() {
        for number in numbers {
            if let Some(network) = network::of(rx, *number).await? {
                routes.networks.insert(*number, network);
            }
        }
    }
    Ok(routes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(carrier: i64, priority: i64, weight: i64) -> Hop {
        Hop { carrier: CarrierId(carrier), priority, weight, is_down: false, is_whole: false }
    }

    fn routes(hops: &[(&str, Hop)]) -> Routes {
        let mut routes = Routes::default();
        for (prefix, hop) in hops {
            routes.hops.entry((*prefix).to_owned()).or_default().push(*hop);
        }
        routes
    }

    fn taken(routes: &Routes, to: i64) -> Option<i64> {
        routes.way(Msisdn(to), None).map(|way| way.carrier.0)
    }

    #[test]
    fn a_network_decides_before_its_country_and_that_before_a_prefix() {
        let mut routes = routes(&[
            ("3165", hop(1, 0, 1)),
            (&of_network("204", None), hop(2, 0, 1)),
            (&of_network("204", Some("08")), hop(3, 0, 1)),
            (&of_network("204", Some("08")), hop(4, 1, 1)),
        ]);
        let of = |mcc: &str, mnc: &str| Network { mcc: mcc.into(), mnc: mnc.into(), operator: String::new() };
        let taken = |routes: &Routes, network: Option<&Network>| {
            routes.way(Msisdn(31_655_500_011), network).map(|way| way.carrier.0)
        };
        assert_eq!(taken(&routes, None), Some(1));
        assert_eq!(taken(&routes, Some(&of("206", "08"))), Some(1));
        assert_eq!(taken(&routes, Some(&of("204", "04"))), Some(2));
        assert_eq!(taken(&routes, Some(&of("204", "08"))), Some(3));
        let (to, way) = (Msisdn(31_655_500_011), Way { carrier: CarrierId(3), is_whole: false });
        assert_eq!(routes.instead(to, way, false), Some(CarrierId(1)), "of an unknown network");
        routes.networks.insert(to, of("204", "08"));
        assert_eq!(routes.instead(to, way, false), Some(CarrierId(4)));
        assert_eq!(network("@204-08"), Some(("204", Some("08"))));
        assert_eq!((network("@204"), network("204")), (Some(("204", None)), None));
    }

    #[test]
    fn the_longest_prefix_decides() {
        let routes = routes(&[("", hop(1, 0, 1)), ("31", hop(2, 0, 1)), ("316", hop(3, 0, 1))]);
        assert_eq!(taken(&routes, 491_512_345_678), Some(1));
        assert_eq!(taken(&routes, 31_201_234_567), Some(2));
        assert_eq!(taken(&routes, 31_612_345_678), Some(3));
        assert_eq!(taken(&Routes::default(), 31_612_345_678), None);
    }

    #[test]
    fn the_lowest_priority_number_comes_first_while_it_is_up() {
        let mut all = vec![("31", hop(1, 10, 1)), ("31", hop(2, 20, 1)), ("31", hop(3, 30, 1))];
        assert_eq!(taken(&routes(&all), 31_612_345_678), Some(1));
        all[0].1.is_down = true;
        let one_down = routes(&all);
        assert_eq!(taken(&one_down, 31_612_345_678), Some(2));
        let way = Way { carrier: CarrierId(1), is_whole: false };
        assert_eq!(one_down.instead(Msisdn(31_612_345_678), way, true), Some(CarrierId(2)));
        let whole = Way { carrier: CarrierId(1), is_whole: true };
        assert_eq!(one_down.instead(Msisdn(31_612_345_678), whole, true), None, "it would take it in parts");
        assert_eq!(one_down.instead(Msisdn(31_612_345_678), whole, false), Some(CarrierId(2)), "it has one");
        for (_, hop) in &mut all {
            hop.is_down = true;
        }
        assert_eq!(taken(&routes(&all), 31_612_345_678), Some(1), "it waits for the first");
        assert_eq!(
            routes(&all).after(Msisdn(31_612_345_678), way, false),
            Some(CarrierId(2)),
            "it will be up again"
        );
        assert_eq!(routes(&all).instead(Msisdn(31_612_345_678), way, true), None);
    }

    #[test]
    fn weights_share_numbers_out_and_a_number_stays() {
        let routes = routes(&[("", hop(1, 0, 1)), ("", hop(2, 0, 3))]);
        let second = (0..10_000).filter(|n| taken(&routes, 31_600_000_000 + n) == Some(2)).count();
        assert!((7_300..7_700).contains(&second), "{second} of 10,000 are three quarters");
        assert_eq!(taken(&routes, 31_612_345_678), taken(&routes, 31_612_345_678));
    }
}
