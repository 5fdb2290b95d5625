//! What decides everything in a simulation, and what it has done so far: choices by a seed, faults counted, steps noted.

use std::collections::BTreeMap;
use store::Entropy;

/// What goes wrong in a simulated world. Each is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    LinkDropped,
    BytesSplit,
    CarrierUnreachable,
    Throttled,
    Refused,
    AnsweredLate,
    ReceiptEarly,
    ReceiptLate,
    ReceiptTwice,
    ReceiptNever,
    QueryUnanswered,
    QueryRefused,
    QueryThrottled,
    Crash,
    CrashAfterClaim,
    Pause,
    ClockJump,
    CallFailed,
    CallLate,
    CallUnrecorded,
    Suspended,
    OptedOut,
    NoCredit,
    Scheduled,
}

impl Fault {
    /// Each of them.
    pub const ALL: [Fault; 24] = [
        Fault::LinkDropped,
        Fault::BytesSplit,
        Fault::CarrierUnreachable,
        Fault::Throttled,
        Fault::Refused,
        Fault::AnsweredLate,
        Fault::ReceiptEarly,
        Fault::ReceiptLate,
        Fault::ReceiptTwice,
        Fault::ReceiptNever,
        Fault::QueryUnanswered,
        Fault::QueryRefused,
        Fault::QueryThrottled,
        Fault::Crash,
        Fault::CrashAfterClaim,
        Fault::Pause,
        Fault::ClockJump,
        Fault::CallFailed,
        Fault::CallLate,
        Fault::CallUnrecorded,
        Fault::Suspended,
        Fault::OptedOut,
        Fault::NoCredit,
        Fault::Scheduled,
    ];
}

/// How often each happened.
pub type Faults = BTreeMap<Fault, u64>;

/// The choices of one seed.
pub struct Dice {
    entropy: Entropy,
    /// Whether nothing more goes wrong: everything is let settle.
    pub is_calm: bool,
    pub faults: Faults,
    pub log: Vec<String>,
}

impl Dice {
    pub fn new(seed: u64) -> Self {
        let entropy = Entropy::seeded(seed ^ 0x005E_ED0F_D1CE);
        Dice { entropy, is_calm: false, faults: Faults::new(), log: Vec::new() }
    }

    /// A number below `most`.
    pub fn below(&self, most: u64) -> u64 {
        let mut bytes = [0; 8];
        self.entropy.fill(&mut bytes);
        u64::from_be_bytes(bytes) % most
    }

    /// A number of microseconds between so many milliseconds.
    pub fn millis(&self, least: u64, most: u64) -> i64 {
        i64::try_from((least + self.below(most - least)) * 1_000).unwrap()
    }

    pub fn index(&self, length: usize) -> usize {
        usize::try_from(self.below(u64::try_from(length).unwrap())).unwrap()
    }

    pub fn pick<T: Copy>(&self, of: &[T]) -> T {
        of[self.index(of.len())]
    }

    pub fn one_in(&self, number: u64) -> bool {
        self.below(number) == 0
    }

    /// Whether a fault happens here, once in so many times.
    pub fn strikes(&mut self, fault: Fault, once_in: u64) -> bool {
        let strikes = !self.is_calm && self.one_in(once_in);
        if strikes {
            self.count(fault);
        }
        strikes
    }

    pub fn count(&mut self, fault: Fault) {
        *self.faults.entry(fault).or_default() += 1;
    }

    pub fn note(&mut self, line: String) {
        self.log.push(line);
    }
}
