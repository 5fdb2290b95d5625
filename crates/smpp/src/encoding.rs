//! `data_coding`: which characters the octets of a message stand for (SMPP 3.4, 5.2.19; 3GPP TS 23.038, 4), read and
//! written.
//!
//! Nothing that arrives is refused: what spells nothing becomes U+FFFD, what an alphabet lacks is written `?`.

use crate::text::{self, Alphabet};

/// What a carrier means by `data_coding` 0, "SMSC default alphabet": carriers differ, so it is a setting of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DefaultAlphabet {
    /// GSM 03.38, an octet a septet. Most carriers.
    #[default]
    Gsm7,
    /// GSM 03.38, eight septets in seven octets, as on the radio interface.
    Gsm7Packed,
    /// ISO 8859-1.
    Latin1,
    /// ASCII.
    Ascii,
}

/// How octets stand for characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// GSM 03.38, an octet a septet.
    Gsm7,
    /// GSM 03.38, eight septets in seven octets.
    Gsm7Packed,
    /// ASCII (IA5).
    Ascii,
    /// ISO 8859-1.
    Latin1,
    /// UTF-16, big-endian.
    Ucs2,
    /// They stand for no characters.
    Binary,
}

/// What a message says.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// Characters.
    Text(String),
    /// Octets that are no characters.
    Binary(Vec<u8>),
}

/// Says how much there is, not what: a message's content belongs into no log.
impl std::fmt::Debug for Content {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Content::Text(text) => write!(formatter, "Text({} characters)", text.chars().count()),
            Content::Binary(octets) => write!(formatter, "Binary({} octets)", octets.len()),
        }
    }
}

/// Every eighth septet of packed text could be filling: a carriage return is written there (3GPP TS 23.038, 6.1.2.3.1).
const FILLING: u8 = 0x0D;
const LACKING: u8 = b'?';

impl From<DefaultAlphabet> for Coding {
    fn from(alphabet: DefaultAlphabet) -> Coding {
        match alphabet {
            DefaultAlphabet::Gsm7 => Coding::Gsm7,
            DefaultAlphabet::Gsm7Packed => Coding::Gsm7Packed,
            DefaultAlphabet::Latin1 => Coding::Latin1,
            DefaultAlphabet::Ascii => Coding::Ascii,
        }
    }
}

impl From<Alphabet> for Coding {
    fn from(alphabet: Alphabet) -> Coding {
        match alphabet {
            Alphabet::Gsm7 => Coding::Gsm7,
            Alphabet::Ucs2 => Coding::Ucs2,
        }
    }
}

impl Coding {
    /// What a `data_coding` stands for, where 0 is what the carrier means by it. What few use (JIS, Cyrillic, Hebrew and
    /// the reserved values) is read as ASCII.
    pub fn of(data_coding: u8, default: DefaultAlphabet) -> Coding {
        // 3GPP TS 23.038, 4: the groups that begin with 00 (here from 0x10 on, below that SMPP has its own table), 1100
        // to 1110 (messages waiting), 1111 (a class and nothing more).
        match data_coding {
            0x00 => default.into(),
            // The bit that is 1 in 0xF8 to 0xFF is reserved, and says nothing.
            0x02 | 0x04 | 0x14..=0x17 | 0xF4..=0xF7 | 0xFC..=0xFF => Coding::Binary,
            0x03 => Coding::Latin1,
            0x08 | 0x18..=0x1B | 0xE0..=0xEF => Coding::Ucs2,
            0x10..=0x13 | 0xC0..=0xDF | 0xF0..=0xF3 | 0xF8..=0xFB => match default {
                DefaultAlphabet::Gsm7Packed => Coding::Gsm7Packed,
                _ => Coding::Gsm7,
            },
            _ => Coding::Ascii,
        }
    }

    /// The `data_coding` that says this, with a message class (0 is flash: shown at once and not kept). None where a
    /// carrier's meaning of 0 leaves no value for it, and for a class above 3.
    ///
    /// A class makes the alphabet that of the phone, so that Latin 1 and ASCII have none.
    pub fn data_coding(self, class: Option<u8>, default: DefaultAlphabet) -> Option<u8> {
        match (self, class) {
            (coding, None) if coding == default.into() => Some(0x00),
            (Coding::Ascii, None) => Some(0x01),
            (Coding::Latin1, None) => Some(0x03),
            (Coding::Binary, None) => Some(0x04),
            (Coding::Ucs2, None) => Some(0x08),
            // With the group's bits for "no class": the alphabet is the phone's, whatever 0 means.
            (Coding::Gsm7, None) if default != DefaultAlphabet::Gsm7Packed => Some(0xF1),
            (Coding::Gsm7, Some(class @ 0..4)) if default != DefaultAlphabet::Gsm7Packed => {
                Some(0x10 + class)
            }
            (Coding::Gsm7Packed, Some(class @ 0..4)) if default == DefaultAlphabet::Gsm7Packed => {
                Some(0x10 + class)
            }
            (Coding::Binary, Some(class @ 0..4)) => Some(0xF4 + class),
            (Coding::Ucs2, Some(class @ 0..4)) => Some(0x18 + class),
            _ => None,
        }
    }

    /// The octets that spell a text; `?` for what the alphabet lacks. As binary, its UTF-8.
    pub fn write(self, text: &str) -> Vec<u8> {
        match self {
            Coding::Gsm7 => text::segment_within(text, Alphabet::Gsm7, usize::MAX).concat(),
            Coding::Gsm7Packed => pack(&Coding::Gsm7.write(text), 0),
            Coding::Ucs2 => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            Coding::Ascii => text.chars().map(|each| octet(each, 0x7F)).collect(),
            Coding::Latin1 => text.chars().map(|each| octet(each, 0xFF)).collect(),
            Coding::Binary => text.as_bytes().to_vec(),
        }
    }

    /// What octets say. `header` is how many octets of user data header stood before them: packed septets begin at the
    /// next multiple of seven bits (3GPP TS 23.040, 9.2.3.24).
    pub fn read(self, octets: &[u8], header: usize) -> Content {
        match self {
            Coding::Gsm7 => Content::Text(text::decode(octets, Alphabet::Gsm7)),
            Coding::Gsm7Packed => Content::Text(text::decode(&unpack(octets, header), Alphabet::Gsm7)),
            Coding::Ucs2 => Content::Text(text::decode(octets, Alphabet::Ucs2)),
            Coding::Ascii => {
                let known = |octet: &u8| {
                    if octet.is_ascii() { char::from(*octet) } else { char::REPLACEMENT_CHARACTER }
                };
                Content::Text(octets.iter().map(known).collect())
            }
            Coding::Latin1 => Content::Text(octets.iter().map(|octet| char::from(*octet)).collect()),
            Coding::Binary => Content::Binary(octets.to_vec()),
        }
    }
}

/// The message class in a `data_coding`: 0 flash, 1 the phone, 2 the SIM, 3 another device.
pub fn message_class(data_coding: u8) -> Option<u8> {
    matches!(data_coding, 0x10..=0x1F | 0xF0..=0xFF).then_some(data_coding & 0x03)
}

fn octet(character: char, last: u8) -> u8 {
    u8::try_from(character).ok().filter(|octet| *octet <= last).unwrap_or(LACKING)
}

/// Bits between a header and the first septet.
fn fill_bits(header: usize) -> usize {
    (7 - header * 8 % 7) % 7
}

/// Packs septets behind a header of so many octets (3GPP TS 23.038, 6.1.2.1).
pub(crate) fn pack(septets: &[u8], header: usize) -> Vec<u8> {
    let fill = fill_bits(header);
    // A whole septet would be left over, and read as one more character: it is a carriage return. So that a text's own
    // is not taken for filling, it gets a second one.
    let bits = |count: usize| fill + count * 7;
    let mut septets = septets.to_vec();
    let is_left_over = bits(septets.len()) % 8 == 1;
    let looks_left_over = bits(septets.len()).is_multiple_of(8) && septets.last() == Some(&FILLING);
    if is_left_over || looks_left_over {
        septets.push(FILLING);
    }
    let mut octets = vec![0; bits(septets.len()).div_ceil(8)];
    for (at, septet) in (fill..).step_by(7).zip(&septets) {
        let shifted = u16::from(septet & 0x7F) << (at % 8);
        let [high, low] = shifted.to_be_bytes();
        if let Some(octet) = octets.get_mut(at / 8) {
            *octet |= low;
        }
        if let Some(octet) = octets.get_mut(at / 8 + 1) {
            *octet |= high;
        }
    }
    octets
}

/// The septets in packed octets behind a header of so many octets. A carriage return or `@` in the place of filling is
/// left out: SMPP does not say how many septets there are.
pub(crate) fn unpack(octets: &[u8], header: usize) -> Vec<u8> {
    let fill = fill_bits(header);
    let count = (octets.len() * 8).saturating_sub(fill) / 7;
    let at = |index: usize| u16::from(octets.get(index).copied().unwrap_or(0));
    let septet = |bit: usize| {
        let [_, low] = ((at(bit / 8) | at(bit / 8 + 1) << 8) >> (bit % 8) & 0x7F).to_be_bytes();
        low
    };
    let mut septets: Vec<u8> = (fill..).step_by(7).take(count).map(septet).collect();
    let is_full = (fill + count * 7).is_multiple_of(8);
    if is_full && matches!(septets.last(), Some(&FILLING | 0)) {
        septets.pop();
    }
    septets
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_data_coding_is_something() {
        let default = DefaultAlphabet::Gsm7;
        for (data_coding, coding, class) in [
            (0x00, Coding::Gsm7, None),
            (0x01, Coding::Ascii, None),
            (0x02, Coding::Binary, None),
            (0x03, Coding::Latin1, None),
            (0x04, Coding::Binary, None),
            (0x08, Coding::Ucs2, None),
            (0x10, Coding::Gsm7, Some(0)),
            (0x13, Coding::Gsm7, Some(3)),
            (0x18, Coding::Ucs2, Some(0)),
            (0xC8, Coding::Gsm7, None),
            (0xE0, Coding::Ucs2, None),
            (0xF0, Coding::Gsm7, Some(0)),
            (0xF4, Coding::Binary, Some(0)),
            (0xF5, Coding::Binary, Some(1)),
            (0xF8, Coding::Gsm7, Some(0)),
            (0xFD, Coding::Binary, Some(1)),
        ] {
            assert_eq!(Coding::of(data_coding, default), coding, "{data_coding:#04x}");
            assert_eq!(message_class(data_coding), class, "{data_coding:#04x}");
        }
        assert_eq!(Coding::of(0, DefaultAlphabet::Latin1), Coding::Latin1);
        assert_eq!(Coding::of(0, DefaultAlphabet::Ascii), Coding::Ascii);
        assert_eq!(Coding::of(0, DefaultAlphabet::Gsm7Packed), Coding::Gsm7Packed);
    }

    #[test]
    fn what_is_chosen_for_a_message_is_read_the_same() {
        for default in [
            DefaultAlphabet::Gsm7,
            DefaultAlphabet::Gsm7Packed,
            DefaultAlphabet::Latin1,
            DefaultAlphabet::Ascii,
        ] {
            for coding in [
                Coding::Gsm7,
                Coding::Gsm7Packed,
                Coding::Ascii,
                Coding::Latin1,
                Coding::Ucs2,
                Coding::Binary,
            ] {
                for class in [None, Some(0), Some(1), Some(2), Some(3), Some(4)] {
                    if let Some(data_coding) = coding.data_coding(class, default) {
                        assert_eq!(Coding::of(data_coding, default), coding, "{default:?} {class:?}");
                        // A class is what was asked for, or the phone's own where only a class names the alphabet.
                        assert!(message_class(data_coding) == class || data_coding == 0xF1);
                    }
                }
            }
        }
        assert_eq!(Coding::Gsm7.data_coding(None, DefaultAlphabet::Gsm7), Some(0x00));
        assert_eq!(Coding::Gsm7.data_coding(Some(0), DefaultAlphabet::Gsm7), Some(0x10));
        assert_eq!(Coding::Ucs2.data_coding(None, DefaultAlphabet::Gsm7), Some(0x08));
    }

    #[test]
    fn septets_are_packed_as_the_standard_does() {
        // "hellohello" and its packing are the example that every description of the alphabet has.
        let packed = [0xE8, 0x32, 0x9B, 0xFD, 0x46, 0x97, 0xD9, 0xEC, 0x37];
        assert_eq!(Coding::Gsm7Packed.write("hellohello"), packed);
        assert_eq!(Coding::Gsm7Packed.read(&packed, 0), Content::Text("hellohello".into()));
        // Behind a header of six octets one bit is filled: 48 bits are no multiple of seven.
        assert_eq!(pack(b"A", 6), [0x82]);
        assert_eq!(unpack(&[0x82], 6), b"A");
        // Seven septets leave room for an eighth, which is filling.
        assert_eq!(unpack(&pack(b"1234567", 0), 0), b"1234567");
        assert_eq!(unpack(&pack(b"1234567\r", 0), 0), b"1234567\r\r");
    }

    #[test]
    fn what_is_lacking_is_replaced() {
        assert_eq!(Coding::Ascii.write("Café"), b"Caf?");
        assert_eq!(Coding::Latin1.write("Café €"), b"Caf\xE9 ?");
        assert_eq!(Coding::Ascii.read(b"Caf\xE9", 0), Content::Text("Caf\u{fffd}".into()));
        assert_eq!(Coding::Latin1.read(b"Caf\xE9", 0), Content::Text("Café".into()));
        assert_eq!(Coding::Binary.read(b"\0\x01", 0), Content::Binary(vec![0, 1]));
    }

    proptest! {
        #[test]
        fn texts_go_there_and_back(text in "[ -Z_a-z€{}äöüßéèàΔΩ]{0,200}", latin in "[ -~¡-ÿ]{0,200}", any in "\\PC{0,200}") {
            prop_assert_eq!(Coding::Gsm7.read(&Coding::Gsm7.write(&text), 0), Content::Text(text.clone()));
            // A last `@` may be filling.
            let text = format!("{}.", text.trim_end_matches(['@', '\r']));
            prop_assert_eq!(Coding::Gsm7Packed.read(&Coding::Gsm7Packed.write(&text), 0), Content::Text(text));
            prop_assert_eq!(Coding::Latin1.read(&Coding::Latin1.write(&latin), 0), Content::Text(latin));
            prop_assert_eq!(Coding::Ucs2.read(&Coding::Ucs2.write(&any), 0), Content::Text(any));
        }

        #[test]
        fn septets_go_there_and_back(septets in prop::collection::vec(1u8..0x80, 0..200), header in 0usize..20) {
            let packed = pack(&septets, header);
            let unpacked = unpack(&packed, header);
            if septets.last() == Some(&FILLING) {
                prop_assert!(unpacked.starts_with(&septets[..septets.len() - 1]));
            } else {
                prop_assert_eq!(unpacked, septets);
            }
        }

        #[test]
        fn whatever_arrives_is_read(octets in prop::collection::vec(any::<u8>(), 0..300), data_coding in any::<u8>(), header in 0usize..300) {
            for default in [DefaultAlphabet::Gsm7, DefaultAlphabet::Gsm7Packed, DefaultAlphabet::Latin1, DefaultAlphabet::Ascii] {
                let _ = Coding::of(data_coding, default).read(&octets, header);
            }
        }
    }
}
