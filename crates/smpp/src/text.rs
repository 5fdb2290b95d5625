//! The text of a short message: its alphabets, and the parts into which it falls.
//!
//! The alphabets are the GSM 7 bit default alphabet with its extension table (3GPP TS 23.038, 6.2.1 and 6.2.1.1) and
//! UCS-2 (6.2.3), which every phone reads as UTF-16. The sizes of parts are those of docs/spec/10-sms.md section 6:
//! 140 octets, of which a concatenated part spends six on saying which one it is (3GPP TS 23.040, 9.2.3.24.1).

use crate::stand_in::stand_in;
use std::borrow::Cow;

/// How a message's characters are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alphabet {
    /// The GSM 7 bit default alphabet: a character is one septet, or two if it stands in the extension table.
    Gsm7,
    /// Two octets a character, or four if it lies beyond the Basic Multilingual Plane.
    Ucs2,
}

/// Announces a character of the extension table.
const ESCAPE: u8 = 0x1B;
/// 3GPP TS 23.038, 6.2.1, by septet. The escape is no character; alone it is shown as a space (there, note 1).
const DEFAULT: [char; 128] = [
    '@', '£', '$', '¥', 'è', 'é', 'ù', 'ì', 'ò', 'Ç', '\n', 'Ø', 'ø', '\r', 'Å', 'å', //
    'Δ', '_', 'Φ', 'Γ', 'Λ', 'Ω', 'Π', 'Ψ', 'Σ', 'Θ', 'Ξ', ' ', 'Æ', 'æ', 'ß', 'É', //
    ' ', '!', '"', '#', '¤', '%', '&', '\'', '(', ')', '*', '+', ',', '-', '.', '/', //
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', ':', ';', '<', '=', '>', '?', //
    '¡', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O', //
    'P', 'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', 'Ä', 'Ö', 'Ñ', 'Ü', '§', //
    '¿', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', //
    'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 'ä', 'ö', 'ñ', 'ü', 'à',
];
/// 3GPP TS 23.038, 6.2.1.1: the septets that follow an escape.
const EXTENSION: [(u8, char); 10] = [
    (0x0A, '\u{C}'),
    (0x14, '^'),
    (0x28, '{'),
    (0x29, '}'),
    (0x2F, '\\'),
    (0x3C, '['),
    (0x3D, '~'),
    (0x3E, ']'),
    (0x40, '|'),
    (0x65, '€'),
];

/// Where a character stands in GSM 03.38.
#[derive(Clone, Copy)]
enum Place {
    Default(u8),
    Extension(u8),
}

/// A character's place; none if the alphabet lacks it.
fn place(character: char) -> Option<Place> {
    // Most of most texts stands where ASCII has it; and nothing stands beyond the euro sign.
    match character {
        ' '..='#' | '%'..='?' | 'A'..='Z' | 'a'..='z' => u8::try_from(character).ok().map(Place::Default),
        '\u{20AD}'.. => None,
        _ => {
            let default = (0u8..).zip(DEFAULT).find(|(_, known)| *known == character);
            let extension = || EXTENSION.iter().find(|(_, known)| *known == character);
            default
                .map(|(septet, _)| Place::Default(septet))
                .or_else(|| extension().map(|(septet, _)| Place::Extension(*septet)))
        }
    }
}

impl Alphabet {
    /// Units (septets, UTF-16 units) of a message's only part.
    fn alone(self) -> usize {
        match self {
            Alphabet::Gsm7 => 160,
            Alphabet::Ucs2 => 70,
        }
    }

    /// Units of each part when there are several.
    fn concatenated(self) -> usize {
        match self {
            Alphabet::Gsm7 => 153,
            Alphabet::Ucs2 => 67,
        }
    }

    /// Units of a character.
    fn units(self, character: char) -> usize {
        match self {
            Alphabet::Gsm7 => match place(character) {
                Some(Place::Extension(_)) => 2,
                Some(Place::Default(_)) | None => 1,
            },
            Alphabet::Ucs2 => character.len_utf16(),
        }
    }

    /// Units that a part of this text has room for.
    fn room(self, text: &str) -> usize {
        let all: usize = text.chars().map(|character| self.units(character)).sum();
        if all <= self.alone() { self.alone() } else { self.concatenated() }
    }

    /// Writes a character, or what stands for it.
    fn write(self, character: char, octets: &mut Vec<u8>) {
        match self {
            Alphabet::Gsm7 => match place(character) {
                Some(Place::Default(septet)) => octets.push(septet),
                Some(Place::Extension(septet)) => octets.extend([ESCAPE, septet]),
                None => self.write(stand_in(character), octets),
            },
            Alphabet::Ucs2 => {
                let mut units = [0; 2];
                octets.extend(character.encode_utf16(&mut units).iter().flat_map(|unit| unit.to_be_bytes()));
            }
        }
    }
}

/// Whether GSM 03.38 has every character of a text.
pub fn is_gsm7(text: &str) -> bool {
    text.chars().all(|character| place(character).is_some())
}

/// The text with another character in place of every one that GSM 03.38 lacks: the letter without its mark, else `?`.
pub fn replaced(text: &str) -> Cow<'_, str> {
    if is_gsm7(text) {
        return Cow::Borrowed(text);
    }
    let known = |character| place(character).map_or_else(|| stand_in(character), |_| character);
    Cow::Owned(text.chars().map(known).collect())
}

/// Into how many parts a text falls; an empty one is one part. No character is split between two.
pub fn parts(text: &str, alphabet: Alphabet) -> usize {
    let room = alphabet.room(text);
    let (mut parts, mut used) = (1, 0);
    for units in text.chars().map(|character| alphabet.units(character)) {
        if used + units > room {
            parts += 1;
            used = 0;
        }
        used += units;
    }
    parts
}

/// The octets of each part, without user data header: septets, one an octet, escapes included; or UTF-16, big-endian.
/// In GSM 03.38 something else stands for what the alphabet lacks.
pub fn segment(text: &str, alphabet: Alphabet) -> Vec<Vec<u8>> {
    segment_within(text, alphabet, alphabet.room(text))
}

/// As [`segment`], in parts of at most so many units: septets, UTF-16 units.
pub(crate) fn segment_within(text: &str, alphabet: Alphabet, room: usize) -> Vec<Vec<u8>> {
    let (mut parts, mut part, mut used) = (Vec::new(), Vec::new(), 0);
    for character in text.chars() {
        let units = alphabet.units(character);
        if used + units > room {
            parts.push(std::mem::take(&mut part));
            used = 0;
        }
        used += units;
        alphabet.write(character, &mut part);
    }
    parts.push(part);
    parts
}

/// The text that octets spell, in the form of [`segment`]. What spells nothing becomes U+FFFD.
///
/// An escape before a septet that the extension table lacks is passed over, as 3GPP TS 23.038, 6.2.1.1, asks for.
pub fn decode(octets: &[u8], alphabet: Alphabet) -> String {
    match alphabet {
        Alphabet::Gsm7 => septets(octets),
        Alphabet::Ucs2 => {
            let (pairs, half) = octets.as_chunks::<2>();
            let units = pairs.iter().map(|pair| u16::from_be_bytes(*pair));
            let characters =
                char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER));
            characters.chain(half.iter().map(|_| char::REPLACEMENT_CHARACTER)).collect()
        }
    }
}

fn septets(octets: &[u8]) -> String {
    let default =
        |octet: &u8| DEFAULT.get(usize::from(*octet)).copied().unwrap_or(char::REPLACEMENT_CHARACTER);
    let mut text = String::with_capacity(octets.len());
    let mut rest = octets.iter();
    while let Some(octet) = rest.next() {
        // An escape at the very end is shown as the space that the table has for it.
        let septet = if *octet == ESCAPE { rest.next().unwrap_or(octet) } else { octet };
        let extended = EXTENSION.iter().find(|(known, _)| *octet == ESCAPE && known == septet);
        text.push(extended.map_or_else(|| default(septet), |(_, character)| *character));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::Alphabet::{Gsm7, Ucs2};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_entry_of_the_tables_goes_there_and_back() {
        for (septet, character) in (0u8..).zip(DEFAULT).filter(|(septet, _)| *septet != ESCAPE) {
            let text = character.to_string();
            assert!(is_gsm7(&text), "{septet:#04x} {character}");
            assert_eq!(segment(&text, Gsm7), [vec![septet]], "{character}");
            assert_eq!(decode(&[septet], Gsm7), text);
        }
        for (septet, character) in EXTENSION {
            let text = character.to_string();
            assert!(is_gsm7(&text), "{septet:#04x} {character}");
            assert_eq!(segment(&text, Gsm7), [vec![ESCAPE, septet]], "{character}");
            assert_eq!(decode(&[ESCAPE, septet], Gsm7), text);
        }
    }

    #[test]
    fn the_tables_stand_as_the_standard_prints_them() {
        // Its landmarks: the corners, and where it departs from ASCII.
        for (septet, character) in [
            (0x00, '@'),
            (0x02, '$'),
            (0x09, 'Ç'),
            (0x0F, 'å'),
            (0x10, 'Δ'),
            (0x11, '_'),
            (0x1A, 'Ξ'),
            (0x1F, 'É'),
            (0x24, '¤'),
            (0x40, '¡'),
            (0x5B, 'Ä'),
            (0x5F, '§'),
            (0x60, '¿'),
            (0x7B, 'ä'),
            (0x7F, 'à'),
        ] {
            assert_eq!(decode(&[septet], Gsm7), character.to_string(), "{septet:#04x}");
        }
        for ascii in ('0'..='9').chain('A'..='Z').chain('a'..='z') {
            assert_eq!(segment(&ascii.to_string(), Gsm7)[0], ascii.to_string().as_bytes());
        }
    }

    #[test]
    fn what_the_alphabet_lacks_is_replaced() {
        assert!(is_gsm7("Él è lì: 5 €") && !is_gsm7("Él pagó"));
        for lacking in ["\u{1b}", "\0", "ё", "₭", "漢", "😀", "ʒ"] {
            assert!(!is_gsm7(lacking), "{lacking:?}");
            assert_eq!(replaced(lacking), "?", "{lacking:?}");
            assert_eq!(segment(lacking, Gsm7), [b"?"], "{lacking:?}");
        }
        for (lacking, instead) in
            [("ç", "c"), ("`", "'"), ("\t", " "), ("\u{a0}", " "), ("â", "a"), ("ő", "ö")]
        {
            assert!(!is_gsm7(lacking), "{lacking:?}");
            assert_eq!(replaced(lacking), instead, "{lacking:?}");
            assert_eq!(decode(&segment(lacking, Gsm7)[0], Gsm7), instead, "{lacking:?}");
        }
        assert_eq!(replaced("a😀b"), "a?b");
        assert!(matches!(replaced("[€]"), Cow::Borrowed("[€]")));
    }

    #[test]
    fn parts_end_at_the_borders() {
        let a = |count: usize| "a".repeat(count);
        let ya = |count: usize| "я".repeat(count);
        for (text, alphabet, expected) in [
            (String::new(), Gsm7, 1),
            (String::new(), Ucs2, 1),
            (a(160), Gsm7, 1),
            (a(161), Gsm7, 2),
            (a(153 * 2), Gsm7, 2),
            (a(153 * 2 + 1), Gsm7, 3),
            (a(1377), Gsm7, 9),
            (a(1378), Gsm7, 10),
            (ya(70), Ucs2, 1),
            (ya(71), Ucs2, 2),
            (ya(67 * 2), Ucs2, 2),
            (ya(67 * 2 + 1), Ucs2, 3),
            (ya(603), Ucs2, 9),
            (ya(604), Ucs2, 10),
            // What is lacking counts as what stands for it.
            (ya(160), Gsm7, 1),
            (ya(161), Gsm7, 2),
            // Two septets each: 80 fill a part, 76 fill a concatenated one and leave a septet over.
            ("€".repeat(80), Gsm7, 1),
            ("€".repeat(81), Gsm7, 2),
            ("€".repeat(152), Gsm7, 2),
            ("€".repeat(153), Gsm7, 3),
            // Two units each: 35 fill a part, 33 fill a concatenated one and leave a unit over.
            ("😀".repeat(35), Ucs2, 1),
            ("😀".repeat(36), Ucs2, 2),
            ("😀".repeat(66), Ucs2, 2),
            ("😀".repeat(67), Ucs2, 3),
        ] {
            assert_eq!(parts(&text, alphabet), expected, "{} {alphabet:?}", text.chars().count());
            assert_eq!(segment(&text, alphabet).len(), expected);
        }
        assert_eq!(segment("", Gsm7), [b""]);
    }

    #[test]
    fn nothing_is_split_at_a_border() {
        let lengths = |text: &str, alphabet| segment(text, alphabet).iter().map(Vec::len).collect::<Vec<_>>();
        // The escape would be septet 153, the euro sign's own septet 154.
        let text = format!("{}€{}", "a".repeat(152), "b".repeat(151));
        assert_eq!(lengths(&text, Gsm7), [152, 153]);
        // One more moves over: 152 + 2 + 152 septets would fit two parts, were the escape split off.
        assert_eq!(lengths(&format!("{text}b"), Gsm7), [152, 153, 1]);
        let text = format!("{}😀{}", "я".repeat(66), "я".repeat(65));
        assert_eq!(lengths(&text, Ucs2), [132, 134]);
        assert_eq!(lengths(&format!("{text}я"), Ucs2), [132, 134, 2]);
        // Alone, both fit to the last unit.
        assert_eq!(lengths(&format!("{}€", "a".repeat(158)), Gsm7), [160]);
        assert_eq!(lengths(&format!("{}😀", "я".repeat(68)), Ucs2), [140]);
    }

    #[test]
    fn what_spells_nothing_is_read_all_the_same() {
        assert_eq!(decode(&[0x80, 0xFF], Gsm7), "\u{fffd}\u{fffd}");
        assert_eq!(decode(&[ESCAPE], Gsm7), " ");
        assert_eq!(decode(&[ESCAPE, ESCAPE, 0x41], Gsm7), " A");
        assert_eq!(decode(&[ESCAPE, 0x41], Gsm7), "A");
        assert_eq!(decode(&[0xD8, 0x3D, 0x00, 0x41], Ucs2), "\u{fffd}A");
        assert_eq!(decode(&[0x00, 0x41, 0x00], Ucs2), "A\u{fffd}");
    }

    /// Texts in which every kind of character is frequent, long enough for several parts.
    fn texts() -> impl Strategy<Value = String> {
        let extension = (0..EXTENSION.len()).prop_map(|index| EXTENSION[index].1);
        let default = (0..DEFAULT.len()).prop_map(|index| DEFAULT[index]);
        let character = prop_oneof![4 => default, 2 => extension, 1 => Just('😀'), 1 => any::<char>()];
        prop::collection::vec(character, 0..500).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn parts_are_whole_and_within_their_limits(text in texts(), is_gsm in any::<bool>()) {
            let alphabet = if is_gsm { Gsm7 } else { Ucs2 };
            let segments = segment(&text, alphabet);
            prop_assert_eq!(segments.len(), parts(&text, alphabet));
            let octets = match (alphabet, segments.len()) {
                (Gsm7, 1) => 160,
                (Gsm7, _) => 153,
                (Ucs2, 1) => 140,
                (Ucs2, _) => 134,
            };
            prop_assert!(segments.iter().all(|part| part.len() <= octets));
            prop_assert!(segments.len() == 1 || segments.iter().all(|part| !part.is_empty()));

            // Each part reads by itself: none begins or ends inside an escape or a surrogate pair.
            let apart: String = segments.iter().map(|part| decode(part, alphabet)).collect();
            let expected = if is_gsm { replaced(&text) } else { Cow::Borrowed(text.as_str()) };
            prop_assert_eq!(&apart, &expected);
            prop_assert_eq!(decode(&segments.concat(), alphabet), expected);
            for part in &segments {
                let end = part.last_chunk::<2>().map(|unit| u16::from_be_bytes(*unit));
                let begin = part.first_chunk::<2>().map(|unit| u16::from_be_bytes(*unit));
                match alphabet {
                    Gsm7 => prop_assert_ne!(part.last(), Some(&ESCAPE)),
                    Ucs2 => {
                        prop_assert!(!end.is_some_and(|unit| (0xD800..0xDC00).contains(&unit)));
                        prop_assert!(!begin.is_some_and(|unit| (0xDC00..0xE000).contains(&unit)));
                    }
                }
            }
        }

        #[test]
        fn no_part_could_have_taken_the_next_ones_first_character(text in texts(), is_gsm in any::<bool>()) {
            let alphabet = if is_gsm { Gsm7 } else { Ucs2 };
            let segments = segment(&text, alphabet);
            let unit = if is_gsm { 1 } else { 2 };
            for pair in segments.windows(2) {
                let next = decode(&pair[1], alphabet).chars().next().map_or(0, |first| alphabet.units(first));
                prop_assert!(pair[0].len() / unit + next > alphabet.concatenated());
            }
        }

        #[test]
        fn replacing_is_done_once(text in texts()) {
            let once = replaced(&text);
            prop_assert!(is_gsm7(&once));
            prop_assert_eq!(replaced(&once), &*once);
            prop_assert_eq!(once.chars().count(), text.chars().count());
            prop_assert_eq!(is_gsm7(&text), once == text);
            prop_assert_eq!(parts(&once, Gsm7), parts(&text, Gsm7));
        }

        #[test]
        fn whatever_arrives_is_read(octets in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(decode(&octets, Gsm7).chars().count() <= octets.len());
            prop_assert!(decode(&octets, Ucs2).chars().count() <= octets.len().div_ceil(2));
        }
    }
}
