//! Rights: what a key or a person may do within the account that it opens, and below it.

use super::person::Role;
use super::words::words;

words! {
    /// One right. Its place in the list is its bit in the database, so new ones go to the end.
    Right {
        /// Look at everything but secrets.
        Read = "read",
        /// Send messages.
        Send = "send",
        /// Change contacts and groups.
        Contacts = "contacts",
        /// Make, change, stop and delete the accounts below.
        Accounts = "accounts",
        /// Make, change and revoke keys, rotate signing keys.
        Keys = "keys",
        /// Move money, set prices, credit limits and caps.
        Money = "money",
        /// Set limits of rate, price and countries.
        Limits = "limits",
        /// Send callbacks again, resume their endpoints, test them.
        Webhooks = "webhooks",
        /// Add, change and remove people who sign in.
        Users = "users",
        /// Everything.
        Admin = "admin",
    }
}

impl Right {
    fn bit(self) -> i64 {
        let at = Right::ALL.iter().position(|right| *right == self).unwrap_or(0);
        1 << at
    }
}

/// A set of rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rights(pub i64);
store::int!(Rights);

impl Rights {
    /// Everything: what a key has that says nothing else.
    pub const ALL: Rights = Rights(i64::MAX);

    /// Some of them.
    pub fn of(rights: &[Right]) -> Self {
        if rights.contains(&Right::Admin) {
            return Rights::ALL;
        }
        Rights(rights.iter().fold(0, |bits, right| bits | right.bit()))
    }

    /// What a person of this role may do.
    pub fn of_role(role: Role) -> Self {
        match role {
            Role::Owner => Rights::ALL,
            // Everything but people.
            Role::Admin => Rights::of(&[
                Right::Read,
                Right::Send,
                Right::Contacts,
                Right::Accounts,
                Right::Keys,
                Right::Money,
                Right::Limits,
                Right::Webhooks,
            ]),
            Role::Developer => {
                Rights::of(&[Right::Read, Right::Send, Right::Contacts, Right::Keys, Right::Webhooks])
            }
            Role::Billing => Rights::of(&[Right::Read, Right::Money]),
            Role::ReadOnly => Rights::of(&[Right::Read]),
        }
    }

    /// Whether it is among them.
    pub fn allows(self, right: Right) -> bool {
        self.0 & right.bit() != 0
    }

    /// Whether whoever has these may hand out those.
    pub fn covers(self, other: Rights) -> bool {
        other.0 & !self.0 == 0
    }

    /// Their words; all of them are `admin` alone.
    pub fn words(self) -> Vec<&'static str> {
        if self.allows(Right::Admin) {
            return vec![Right::Admin.name()];
        }
        Right::ALL.iter().filter(|right| self.allows(**right)).map(|right| right.name()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_hands_out_more_than_it_has() {
        let developer = Rights::of_role(Role::Developer);
        assert!(Rights::ALL.covers(developer) && developer.covers(Rights::of_role(Role::ReadOnly)));
        assert!(!developer.covers(Rights::ALL) && !developer.covers(Rights::of_role(Role::Billing)));
        assert!(!Rights::of_role(Role::Admin).allows(Right::Users));
        assert!(!Rights::of_role(Role::Admin).covers(Rights::ALL));
        assert_eq!(Rights::ALL.words(), ["admin"]);
        assert_eq!(Rights::of_role(Role::Billing).words(), ["read", "money"]);
        assert_eq!(Rights::of(&[Right::Admin]), Rights::ALL);
    }
}
