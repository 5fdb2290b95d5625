//! Price lists: an account's prices of a part by country and network, made of its prices by prefix.
//!
//! Prices are set by the first digits of numbers; a price list speaks of countries and networks. Each entry is what the
//! prefixes say, and is there only if what is less exact would say something else: a network that costs what its country
//! costs is not listed, nor is a country that costs what all others cost.
//!
//! Making one takes long where there are many prices, so lists are made one at a time away from the threads that serve, and
//! remembered for as long as what they were made of.

use super::carrier::CarrierId;
use super::country;
use super::money::Amount;
use super::network::{Network, Networks};
use super::phone::{self, Msisdn};
use super::terms::Terms;
use super::{AccountId, Error, Result};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Weak};
use tokio::sync::Mutex;

/// Entries remembered at once, of all lists: some 50 MiB.
const ENTRIES_MAX: u64 = 200_000;
/// Lists remembered at once, about.
const LISTS_MAX: usize = 1_000;

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

/// A list, and what it was made of: it holds while that is what is remembered.
#[derive(Clone)]
struct Made {
    terms: Weak<Terms>,
    networks: Weak<Networks>,
    entries: Arc<Vec<Entry>>,
}

#[derive(Clone)]
struct Entries;

impl Weighter<AccountId, Made> for Entries {
    fn weight(&self, _: &AccountId, made: &Made) -> u64 {
        made.entries.len().try_into().unwrap_or(u64::MAX)
    }
}

/// The price lists that a process remembers.
pub(super) struct Lists {
    made: Arc<Cache<AccountId, Made, Entries>>,
    making: Arc<Mutex<()>>,
}

impl Default for Lists {
    fn default() -> Self {
        let made = Cache::with_weighter(LISTS_MAX, ENTRIES_MAX, Entries);
        Lists { made: Arc::new(made), making: Arc::default() }
    }
}

impl Lists {
    fn found(&self, terms: &Arc<Terms>, networks: &Arc<Networks>) -> Option<Arc<Vec<Entry>>> {
        let made = self.made.get(&terms.scope.account)?;
        let same = std::ptr::eq(made.terms.as_ptr(), Arc::as_ptr(terms))
            && std::ptr::eq(made.networks.as_ptr(), Arc::as_ptr(networks));
        same.then_some(made.entries)
    }

    /// The list of an account that goes under these terms.
    pub(super) async fn of(&self, terms: &Arc<Terms>, networks: &Arc<Networks>) -> Result<Arc<Vec<Entry>>> {
        if let Some(entries) = self.found(terms, networks) {
            return Ok(entries);
        }
        let turn = Arc::clone(&self.making).lock_owned().await;
        // Whoever waited may find what it waited for.
        if let Some(entries) = self.found(terms, networks) {
            return Ok(entries);
        }
        let (terms, networks, known) = (Arc::clone(terms), Arc::clone(networks), Arc::clone(&self.made));
        let entries = tokio::task::spawn_blocking(move || {
            // Kept to the end, and so is what it was for: whoever asked may have gone meanwhile.
            let _turn = turn;
            let entries = Arc::new(list(&terms, &networks));
            let made = Made {
                terms: Arc::downgrade(&terms),
                networks: Arc::downgrade(&networks),
                entries: Arc::clone(&entries),
            };
            known.insert(terms.scope.account, made);
            entries
        });
        entries.await.map_err(|_| Error::Internal("a price list could not be made".into()))
    }
}

/// An account's price list: first what everything else costs, then by mobile country code and mobile network code.
fn list(terms: &Terms, networks: &Networks) -> Vec<Entry> {
    let prices = terms.prices();
    let rest = of_digits(prices, "").unwrap_or(Amount::ZERO);
    let own = of_shared_codes(prices);
    let mut countries: BTreeMap<&str, Entry> = BTreeMap::new();
    for (region, code, is_main) in phone::regions() {
        let Some((iso, name, Some(mcc))) = country::named(&region) else { continue };
        // Where several share a calling code, the shortest prefix that is this one's says it.
        let own = own.get(&region).filter(|_| !is_main).and_then(|prefix| prices.get(*prefix)).copied();
        let price = own.or_else(|| of_digits(prices, &code.to_string())).unwrap_or(rest);
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

/// The shortest prefix of each region that shares its calling code with others. Each price is looked at once.
fn of_shared_codes(prices: &HashMap<String, Amount>) -> HashMap<String, &str> {
    let shared: HashSet<String> =
        phone::regions().filter(|(_, _, is_main)| !is_main).map(|(_, code, _)| code.to_string()).collect();
    let is_longer = |prefix: &str| {
        (1..prefix.len().min(4)).any(|length| prefix.get(..length).is_some_and(|code| shared.contains(code)))
    };
    let mut shortest: HashMap<String, &str> = HashMap::new();
    for prefix in prices.keys().map(String::as_str).filter(|prefix| is_longer(prefix)) {
        let Some((region, _)) = phone::region(padded(prefix)) else { continue };
        let known = shortest.entry(region).or_insert(prefix);
        if (prefix.len(), prefix) < (known.len(), *known) {
            *known = prefix;
        }
    }
    shortest
}

/// A number that begins with a prefix and is as long as most: what tells the region of a prefix.
fn padded(prefix: &str) -> Msisdn {
    let length = if prefix.starts_with(['1', '7']) { 11 } else { 12 };
    let digits: String =
        prefix.chars().chain("5550123456789".chars()).take(length.max(prefix.len())).collect();
    Msisdn(digits.parse().unwrap_or(0))
}
