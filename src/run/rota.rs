//! Whose turn it is: which lanes are worked on at once, so that neither one account nor what stands first takes all places.

use crate::core::callback::{SEEN, Seen};
use crate::core::lease::Lane;
use crate::core::smpp_outbox;
use std::collections::{HashMap, HashSet};

/// Lanes worked on at once.
const LANES_MAX: usize = 256;
/// Of these, lanes of one account.
const OF_ONE_MAX: usize = 32;
/// Reads of one look: what is further on has its turn at the next.
const READS_MAX: usize = 32;
/// Lanes that rest are counted over after this time.
const COUNTED_US: i64 = 1_000_000;
/// Before every lane of web addresses; what is told by SMPP has the lanes before them.
const FIRST: Lane = smpp_outbox::LAST;

/// The half of a lane that is its account's.
type Account = [u8; 8];

fn account(lane: &Lane) -> Account {
    let (account, _) = lane.0.as_chunks::<8>();
    account[0]
}

/// The end of an account's lanes.
fn end(of: Account) -> Lane {
    let mut lane = [0xFF; 16];
    lane[..8].copy_from_slice(&of);
    Lane(lane)
}

/// Which lanes are worked on, and where the next look begins.
#[derive(Debug, Default)]
pub struct Rota {
    busy: HashMap<Account, HashSet<Lane>>,
    count: usize,
    /// Where the next read begins.
    after: Option<Lane>,
    /// Where the next look goes on in an account with more lanes than places.
    goes_on: HashMap<Account, Lane>,
    reads: usize,
    /// Lanes that nothing can be done for now, and until when.
    resting: HashMap<Lane, i64>,
    counted_at: i64,
    /// Whether this look has come to its end.
    is_over: bool,
}

impl Rota {
    /// Whether nothing is worked on.
    pub fn is_idle(&self) -> bool {
        self.count == 0
    }

    /// Where to read due lanes after; `None` when the look is over.
    pub fn asks(&mut self) -> Option<Lane> {
        if self.is_over || self.reads >= READS_MAX || self.count >= LANES_MAX {
            (self.is_over, self.reads) = (false, 0);
            return None;
        }
        self.reads += 1;
        Some(self.after.unwrap_or(FIRST))
    }

    /// Takes, of lanes in their order, those that may be worked on now.
    pub fn takes(&mut self, seen: &[Seen], now: i64) -> Vec<Lane> {
        if now.saturating_sub(self.counted_at) >= COUNTED_US {
            self.counted_at = now;
            self.resting.retain(|_, until| *until > now);
        }
        let mut taken = Vec::new();
        for Seen { lane, .. } in seen.iter().filter(|seen| seen.is_due) {
            if self.resting.get(lane).is_some_and(|until| *until > now) {
                continue;
            }
            let of = account(lane);
            if self.count >= LANES_MAX {
                return taken;
            }
            let busy = self.busy.entry(of).or_default();
            if busy.contains(lane) {
                continue;
            }
            if busy.len() >= OF_ONE_MAX {
                self.after = Some(end(of));
                return taken;
            }
            if let Some(place) = self.goes_on.remove(&of)
                && lane.0 <= place.0
            {
                // Those before it had their turn.
                self.after = Some(place);
                return taken;
            }
            busy.insert(*lane);
            if busy.len() >= OF_ONE_MAX {
                self.goes_on.insert(of, *lane);
            }
            self.count += 1;
            self.after = Some(*lane);
            taken.push(*lane);
        }
        self.is_over = i64::try_from(seen.len()).is_ok_and(|count| count < SEEN);
        self.after = seen.last().map(|seen| seen.lane).filter(|_| !self.is_over);
        taken
    }

    /// Nothing can be done for a lane until then.
    pub fn rests(&mut self, lane: Lane, until: i64) {
        self.resting.insert(lane, until);
    }

    /// A lane is no longer worked on.
    pub fn ended(&mut self, lane: &Lane) {
        let of = account(lane);
        if let Some(busy) = self.busy.get_mut(&of) {
            self.count -= usize::from(busy.remove(lane));
            if busy.is_empty() {
                self.busy.remove(&of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn lane(account: u8, number: u16) -> Lane {
        let mut lane = [0; 16];
        lane[0] = 0x80 | account;
        lane[14..].copy_from_slice(&number.to_be_bytes());
        Lane(lane)
    }

    /// A look at these lanes, as the table would answer it.
    fn look(rota: &mut Rota, due: &BTreeSet<[u8; 16]>) -> Vec<Lane> {
        let mut taken = Vec::new();
        while let Some(after) = rota.asks() {
            let later = due.iter().filter(|lane| **lane > after.0).take(128);
            let some: Vec<Seen> = later.map(|lane| Seen { lane: Lane(*lane), is_due: true }).collect();
            taken.extend(rota.takes(&some, 0));
        }
        taken
    }

    #[test]
    fn an_account_with_very_many_lanes_leaves_room_for_others_and_gets_round() {
        let mut due: BTreeSet<[u8; 16]> = (0..1_000).map(|number| lane(1, number).0).collect();
        due.insert(lane(2, 0).0);
        let mut rota = Rota::default();
        let first = look(&mut rota, &due);
        assert_eq!((first.len(), first.last()), (33, Some(&lane(2, 0))));
        assert!(look(&mut rota, &due).is_empty(), "all places of the account are taken");
        // As places become free, every lane has its turn, though all stay due.
        let mut served: BTreeSet<[u8; 16]> = BTreeSet::new();
        let mut working = first;
        for _ in 0..100 {
            for lane in working.drain(..) {
                served.insert(lane.0);
                rota.ended(&lane);
            }
            working = look(&mut rota, &due);
            assert!(working.len() <= 33);
        }
        assert_eq!(served.len(), 1_001);
    }

    #[test]
    fn a_lane_that_rests_is_left_alone_until_its_time() {
        let seen = [Seen { lane: lane(1, 0), is_due: true }, Seen { lane: lane(1, 1), is_due: false }];
        let mut rota = Rota::default();
        rota.rests(lane(1, 0), 5_000_000);
        assert!(rota.takes(&seen, 4_999_999).is_empty());
        assert_eq!(rota.takes(&seen, 5_000_000), [lane(1, 0)]);
        assert!(rota.takes(&seen, 7_000_000).is_empty(), "it is worked on");
        assert!(rota.resting.is_empty());
    }

    #[test]
    fn more_lanes_than_places_all_have_their_turn() {
        let due: BTreeSet<[u8; 16]> =
            (0..20).flat_map(|account| (0..30).map(move |number| lane(account, number).0)).collect();
        let mut rota = Rota::default();
        let mut served: BTreeSet<[u8; 16]> = BTreeSet::new();
        for _ in 0..6 {
            let working = look(&mut rota, &due);
            assert!(!working.is_empty() && working.len() <= 256);
            for lane in working {
                served.insert(lane.0);
                rota.ended(&lane);
            }
        }
        assert_eq!((served.len(), rota.is_idle()), (600, true));
    }
}
