//! Ids as the hub writes them (docs/spec/30-360-partner.md section 1.1): letters and digits with an ending that says what
//! it is. A client's is made of its account's number, so that every child account has one.

use crate::core::AccountId;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Characters of a client's id before its ending.
const CHARS: usize = 8;
/// 62⁸: how many there are.
const ALL: u128 = 218_340_105_584_896;
/// Spreads neighbouring numbers; odd and no multiple of 31, so that it has an inverse.
const SPREAD: u128 = 137_438_691_329_101;
/// Its inverse modulo [`ALL`].
const GATHER: u128 = 173_666_969_670_789;

/// A client's id.
pub(in crate::wire) fn client(account: AccountId) -> String {
    let mut left = u128::from(account.0.unsigned_abs()) * SPREAD % ALL;
    let mut text = [b'0'; CHARS];
    for place in text.iter_mut().rev() {
        *place = usize::try_from(left % 62).ok().and_then(|digit| DIGITS.get(digit)).copied().unwrap_or(b'0');
        left /= 62;
    }
    format!("{}CL", String::from_utf8_lossy(&text))
}

/// The account of a client's id; `None` for a text that is no such id.
pub(in crate::wire) fn account(text: &str) -> Option<AccountId> {
    let digits = text.strip_suffix("CL").filter(|digits| digits.len() == CHARS)?;
    let mut number = 0u128;
    for byte in digits.bytes() {
        let digit = DIGITS.iter().position(|known| *known == byte)?;
        number = number * 62 + u128::try_from(digit).ok()?;
    }
    i64::try_from(number * GATHER % ALL).ok().map(AccountId)
}

/// An id with its ending.
pub(super) fn ending(id: &str, ending: &str) -> String {
    format!("{id}{ending}")
}

/// An id without its ending; what has another ending names nothing.
pub(super) fn without(text: &str, ending: &str) -> String {
    text.strip_suffix(ending).unwrap_or_default().to_owned()
}

pub(super) const CHANNEL: &str = "CH";
pub(super) const BUSINESS: &str = "WA";
pub(super) const TEMPLATE: &str = "WT";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_id_leads_back_to_its_account() {
        assert_eq!(SPREAD * GATHER % ALL, 1);
        for number in [1_000_000, 1_000_001, 7_310_428, 999_999_999, 2_147_483_647] {
            let id = client(AccountId(number));
            assert!(id.len() == 10 && id.ends_with("CL"), "{id}");
            assert_eq!(account(&id), Some(AccountId(number)));
        }
        for bad in ["", "CL", "1234567CL", "123456789CL", "1234567-CL", "12345678", "12345678CH"] {
            assert_eq!(account(bad), None, "{bad}");
        }
    }
}
