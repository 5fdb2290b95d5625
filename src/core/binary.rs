//! Binary messages: octets in hexadecimal digits, with a user data header or without (3GPP 23.040 section 9.2.3.24).
//!
//! A part carries 140 octets, its header included. A message with a header of its own is one part: what the header says
//! about parts is the sender's affair. Without one the octets fall into parts of 134, each of which begins with a header
//! for which six octets are set aside (spec 10 section 6).

use super::Code;

/// Octets of a part, header included.
const ALONE: usize = 140;
/// Octets of each part when there are several.
const CONCATENATED: usize = 134;

/// The octets of hexadecimal digits of either case; `None` for anything else.
pub fn octets(hex: &str) -> Option<Vec<u8>> {
    let (pairs, half) = hex.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let octet = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    if half.is_empty() { pairs.iter().map(octet).collect() } else { None }
}

/// Checks a header: its first octet says how many follow.
pub fn check_header(hex: &str) -> Result<(), Code> {
    let header = octets(hex).ok_or(Code::Invalid)?;
    let follow = header.first().map(|length| usize::from(*length));
    if follow.is_some_and(|follow| follow + 1 == header.len()) && header.len() < ALONE {
        Ok(())
    } else {
        Err(Code::Invalid)
    }
}

/// How many parts the octets of a body take; an error if it is no body or has too many.
pub fn count_parts(body: &str, header: Option<&str>, parts_max: usize) -> Result<usize, Code> {
    let length = octets(body).ok_or(Code::Invalid)?.len();
    let before = header.map_or(0, |header| header.len() / 2);
    match (before + length, header) {
        (0..=ALONE, _) => Ok(1),
        (_, None) if length.div_ceil(CONCATENATED) <= parts_max => Ok(length.div_ceil(CONCATENATED)),
        _ => Err(Code::Invalid),
    }
}

/// The octets of each part of a body, without any header.
pub fn segment(body: &[u8]) -> Vec<&[u8]> {
    if body.len() <= ALONE { vec![body] } else { body.chunks(CONCATENATED).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_hexadecimal_digits_of_either_case() {
        assert_eq!(octets("00fF7a"), Some(vec![0x00, 0xFF, 0x7A]));
        assert_eq!(octets(""), Some(Vec::new()));
        for bad in ["0", "0g", "é", " 00", "0x00", "+1"] {
            assert_eq!(octets(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_header_says_its_own_length() {
        assert_eq!(check_header("050003340201"), Ok(()));
        assert_eq!(check_header("00"), Ok(()));
        for bad in
            ["", "05000334020", "0500033402", "05000334020100", "xx", &format!("8b{}", "00".repeat(139))]
        {
            assert_eq!(check_header(bad), Err(Code::Invalid), "{bad}");
        }
    }

    #[test]
    fn parts_end_at_the_borders() {
        let body = |count: usize| "a5".repeat(count);
        for (octets_given, expected) in [(1, 1), (140, 1), (141, 2), (268, 2), (269, 3), (1_206, 9)] {
            assert_eq!(count_parts(&body(octets_given), None, 9), Ok(expected), "{octets_given}");
            let bytes = octets(&body(octets_given)).unwrap();
            let parts = segment(&bytes);
            assert_eq!((parts.len(), parts.concat()), (expected, bytes.clone()));
        }
        assert_eq!(count_parts(&body(1_207), None, 9), Err(Code::Invalid));
        let header = Some("050003340201");
        assert_eq!(count_parts(&body(134), header, 9), Ok(1));
        assert_eq!(
            count_parts(&body(135), header, 9),
            Err(Code::Invalid),
            "one part with a header of its own"
        );
    }
}
