//! Price lists: an account's prices of a part by country and network, made of its prices by prefix.
//!
//! Prices are set by the first digits of numbers; a price list speaks of countries and networks. Each entry is what the
//! prefixes say, and is there only if what is less exact would say something else: a network that costs what its country
//! costs is not listed, nor is a country that costs what all others cost.

use super::carrier::CarrierId;
use super::country;
use super::money::Amount;
use super::network::{Network, Networks};
use super::phone::{self, Msisdn};
use super::terms::Terms;
use std::collections::{BTreeMap, HashMap};

/// What a price is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Of {
    /// Everything that has no entry of its own.
    Rest,
    /// A country.
    Country,
    /// A network.
    Network(Network),
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// For one part.
    pub price: Amount,
    /// What it is for.
    pub of: Of,
    /// Mobile country code; empty for the rest.
    pub mcc: String,
    /// Two letters of ISO 3166-1 and the English name, if it is of a country.
    pub country: Option<(&'static str, &'static str)>,
}

/// An account's price list: first what everything else costs, then by mobile country code and mobile network code.
pub fn list(terms: &Terms, networks: &Networks) -> Vec<Entry> {
    let prices = terms.prices();
    let rest = of_digits(prices, "").unwrap_or(Amount::ZERO);
    let mut countries: BTreeMap<&str, Entry> = BTreeMap::new();
    for (region, code, is_main) in phone::regions() {
        let Some((iso, name, Some(mcc))) = country::named(&region) else { continue };
        let price = of_region(prices, &region, code, is_main).unwrap_or(rest);
        let entry = Entry { price, of: Of::Country, mcc: mcc.to_owned(), country: Some((iso, name)) };
        // Some share their mobile country code: it is the main country's.
        if is_main {
            countries.insert(mcc, entry);
        } else {
            countries.entry(mcc).or_insert(entry);
        }
    }
    // Of a network whose prefixes have several prices the highest is told.
    let mut found: BTreeMap<(String, String), (Amount, &str, &Network)> = BTreeMap::new();
    for (prefix, network) in networks.iter() {
        let price = of_digits(prices, prefix).unwrap_or(rest);
        let known =
            found.entry((network.mcc.clone(), network.mnc.clone())).or_insert((price, prefix, network));
        if (price, known.1) > (known.0, prefix) {
            *known = (price, prefix, network);
        }
    }
    let mut entries = vec![Entry { price: rest, of: Of::Rest, mcc: String::new(), country: None }];
    let mut exact: Vec<((String, String), Entry)> = Vec::new();
    for ((mcc, mnc), (price, prefix, network)) in found {
        let otherwise = countries.get(mcc.as_str()).map_or(rest, |country| country.price);
        if price != otherwise {
            let country = phone::region(padded(prefix)).and_then(|(region, _)| country::named(&region));
            let country = country.map(|(iso, name, _)| (iso, name));
            let entry = Entry { price, of: Of::Network(network.clone()), mcc: mcc.clone(), country };
            exact.push(((mcc, mnc), entry));
        }
    }
    let countries = countries.into_values().filter(|country| country.price != rest);
    exact.extend(countries.map(|country| ((country.mcc.clone(), String::new()), country)));
    exact.sort_by(|(a, _), (b, _)| a.cmp(b));
    entries.extend(exact.into_iter().map(|(_, entry)| entry));
    entries
}

/// Who carries what no route claims; `None` if nobody does.
pub fn main_carrier(terms: &Terms) -> Option<CarrierId> {
    terms.quote(Msisdn(0)).map(|quote| quote.carrier)
}

/// The price of numbers that begin with these digits.
fn of_digits(prices: &HashMap<String, Amount>, digits: &str) -> Option<Amount> {
    (0..=digits.len()).rev().find_map(|length| prices.get(digits.get(..length)?)).copied()
}

/// The price of a region: of its calling code; where several share one, of the shortest prefix that is this one's.
fn of_region(prices: &HashMap<String, Amount>, region: &str, code: i32, is_main: bool) -> Option<Amount> {
    let code = code.to_string();
    let own = |prefix: &&String| {
        let is_longer = prefix.len() > code.len() && prefix.starts_with(&code);
        is_longer && phone::region(padded(prefix)).is_some_and(|(of, _)| of == region)
    };
    let own = || prices.keys().filter(own).min_by_key(|prefix| (prefix.len(), (*prefix).clone()));
    let own = if is_main { None } else { own() };
    own.map_or_else(|| of_digits(prices, &code), |prefix| prices.get(prefix).copied())
}

/// A number that begins with a prefix and is as long as most: what tells the region of a prefix.
fn padded(prefix: &str) -> Msisdn {
    let length = if prefix.starts_with(['1', '7']) { 11 } else { 12 };
    let digits: String =
        prefix.chars().chain("5550123456789".chars()).take(length.max(prefix.len())).collect();
    Msisdn(digits.parse().unwrap_or(0))
}
