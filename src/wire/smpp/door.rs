//! Who may try to bind: connections on which nobody is bound yet are few from one address, and wrong binds are limited for
//! each address and each system id.
//!
//! A try is counted before its password is looked at and given back if that was right, so that many guesses at once are
//! as many as one after the other. From where a system id was bound well its tries are counted apart: nobody else's guesses
//! keep it out there, and whoever guesses from there does not keep it out elsewhere.

use super::super::limit::{Bucket, Rate};
use crate::core::smpp_user::SystemId;
use quick_cache::sync::Cache;
use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Wrong binds that one address may try, and that may be tried on one system id.
const WRONG_BINDS: Rate = Rate::per_minute(20);
/// Connections of one address on which nobody is bound.
const STRANGERS_MAX: usize = 100;
/// Addresses and system ids remembered.
const REMEMBERED_MAX: usize = 100_000;

type Strangers = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// What is known of those who come.
pub(super) struct Door {
    limits: bool,
    addresses: Cache<IpAddr, Arc<Bucket>>,
    ids: Cache<String, Arc<Bucket>>,
    known: Cache<(IpAddr, SystemId), Arc<Bucket>>,
    strangers: Strangers,
}

/// A try to bind, which counts as a wrong one unless it is taken back.
#[must_use]
pub(super) struct Try(Vec<Arc<Bucket>>);

/// A connection on which nobody is bound yet.
pub struct Stranger {
    from: IpAddr,
    strangers: Strangers,
}

impl Stranger {
    /// Where it comes from.
    pub(super) fn from(&self) -> IpAddr {
        self.from
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut strangers = lock(&self.strangers);
        if let Some(count) = strangers.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                strangers.remove(&self.from);
            }
        }
    }
}

fn lock(strangers: &Strangers) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
    strangers.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bucket<K, Q>(of: &Cache<K, Arc<Bucket>>, key: &Q) -> Arc<Bucket>
where
    K: Hash + Eq + Clone,
    Q: Hash + quick_cache::Equivalent<K> + ToOwned<Owned = K> + ?Sized,
{
    let Ok(bucket) = of.get_or_insert_with(key, || Ok::<_, Infallible>(Arc::new(Bucket::default())));
    bucket
}

impl Door {
    /// Nobody has come yet. Without `limits` any number of binds may be tried.
    pub(super) fn new(limits: bool) -> Door {
        Door {
            limits,
            addresses: Cache::new(REMEMBERED_MAX),
            ids: Cache::new(REMEMBERED_MAX),
            known: Cache::new(REMEMBERED_MAX),
            strangers: Strangers::default(),
        }
    }

    /// A place for a connection from there; `None` if it has too many on which nobody is bound.
    pub(super) fn stranger(&self, from: IpAddr) -> Option<Stranger> {
        let mut strangers = lock(&self.strangers);
        let count = strangers.entry(from).or_insert(0);
        if *count >= STRANGERS_MAX {
            return None;
        }
        *count += 1;
        drop(strangers);
        Some(Stranger { from, strangers: Arc::clone(&self.strangers) })
    }

    /// Counts a try; `None` if there were too many wrong ones.
    pub(super) fn may_try(&self, system_id: &str, from: IpAddr, now_us: i64) -> Option<Try> {
        let mut taken = Try(Vec::new());
        if !self.limits {
            return Some(taken);
        }
        let known = SystemId::parse(system_id).ok().and_then(|id| self.known.get(&(from, id)));
        let counted = match known {
            Some(own) => vec![own],
            None => vec![bucket(&self.addresses, &from), bucket(&self.ids, system_id)],
        };
        for bucket in counted {
            if bucket.take(WRONG_BINDS, now_us).is_err() {
                taken.take_back();
                return None;
            }
            taken.0.push(bucket);
        }
        Some(taken)
    }

    /// From here on its tries from there are counted apart.
    pub(super) fn knows(&self, system_id: SystemId, from: IpAddr) {
        if self.limits {
            bucket(&self.known, &(from, system_id));
        }
    }
}

impl Try {
    /// It was no wrong one.
    pub(super) fn take_back(&mut self) {
        for bucket in self.0.drain(..) {
            bucket.give(WRONG_BINDS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_338_300_000_000;

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn guesses_count_before_they_are_answered_and_right_ones_do_not() {
        let door = Door::new(true);
        let tries = || (0..30).filter_map(|_| door.may_try("acme", address(1), NOW)).collect::<Vec<_>>();
        let mut at_once = tries();
        assert_eq!(at_once.len(), 20);
        assert!(door.may_try("acme", address(2), NOW).is_none(), "at one system id, from everywhere");
        assert!(door.may_try("other", address(1), NOW).is_none(), "from one address, at any system id");
        assert!(door.may_try("other", address(2), NOW).is_some());
        for right in &mut at_once {
            right.take_back();
        }
        assert_eq!(tries().len(), 20);
        assert!((0..100).all(|_| Door::new(false).may_try("acme", address(1), NOW).is_some()));
    }

    #[test]
    fn where_it_was_bound_its_tries_are_counted_apart_and_counted() {
        let door = Door::new(true);
        let id = SystemId::parse("acme").unwrap();
        door.knows(id, address(1));
        for _ in 0..20 {
            assert!(door.may_try("acme", address(2), NOW).is_some());
        }
        for _ in 0..20 {
            assert!(door.may_try("acme", address(1), NOW).is_some(), "others' guesses do not count");
        }
        assert!(door.may_try("acme", address(1), NOW).is_none(), "its own do");
        assert!(door.may_try("other", address(1), NOW).is_some());
    }

    #[test]
    fn an_address_has_so_many_connections_without_a_bind() {
        let door = Door::new(false);
        let mut there: Vec<_> = (0..100).map_while(|_| door.stranger(address(1))).collect();
        assert_eq!(there.len(), 100);
        assert!(door.stranger(address(1)).is_none() && door.stranger(address(2)).is_some());
        there.pop();
        assert!(door.stranger(address(1)).is_some());
        drop(there);
        assert!(lock(&door.strangers).is_empty());
    }
}
