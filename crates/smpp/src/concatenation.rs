//! Long messages: cut into parts, marked as such in one of three ways, recognised in all of them, and joined.
//!
//! A part says which one it is in a user data header (3GPP TS 23.040, 9.2.3.24.1 and 9.2.3.24.8) or in the parameters
//! `sar_*` (SMPP 3.4, 5.3.2.22 to 24); or the whole message travels as one `message_payload` (5.3.2.32) and the carrier
//! cuts it.

use crate::encoding::{Coding, Content, DefaultAlphabet, pack};
use crate::short_message::{Place, ShortMessage};
use crate::text::{self, Alphabet};
use std::collections::BTreeMap;

/// How the parts of a long message say that they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Method {
    /// User data header with a reference of 8 bits: six octets a part. What every carrier takes.
    #[default]
    Header8,
    /// User data header with a reference of 16 bits: seven octets a part, so a part has room for 152 septets or 66
    /// UTF-16 units, one less than otherwise.
    Header16,
    /// The parameters `sar_*`.
    Sar,
    /// No parts: the whole content as `message_payload`.
    Payload,
}

/// Information elements of a user data header: concatenation with a reference of 8 and of 16 bits.
const SHORT_REFERENCE: u8 = 0x00;
const LONG_REFERENCE: u8 = 0x08;
/// Octets of a part.
const OCTETS: usize = 140;
/// The `short_message` field has room for so many.
pub(crate) const SHORT_MESSAGE: usize = 254;

/// A text needs more than 255 parts, or is longer than a `message_payload`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the text is too long for one message")]
pub struct TooLong;

impl Method {
    /// Octets that the header takes from a part.
    fn header(self) -> usize {
        match self {
            Method::Header8 | Method::Sar => 6,
            Method::Header16 => 7,
            Method::Payload => 0,
        }
    }
}

/// What each part says, without headers: as few parts as it takes, no character split between two.
fn pieces(text: &str, coding: Coding, method: Method) -> Vec<Vec<u8>> {
    let octets = OCTETS - method.header();
    let fitting = |alphabet: Alphabet, parts: &[Vec<u8>], limit: usize| match parts {
        [_] => parts.to_vec(),
        _ => text::segment_within(text, alphabet, limit),
    };
    match coding {
        Coding::Gsm7 | Coding::Gsm7Packed => {
            fitting(Alphabet::Gsm7, &text::segment(text, Alphabet::Gsm7), octets * 8 / 7)
        }
        Coding::Ucs2 => fitting(Alphabet::Ucs2, &text::segment(text, Alphabet::Ucs2), octets / 2),
        // On the radio interface, ASCII becomes the phone's alphabet, where some of its characters take two septets.
        Coding::Ascii => {
            let ascii: String = coding.write(text).iter().map(|octet| char::from(*octet)).collect();
            let cut = match text::segment(&ascii, Alphabet::Gsm7) {
                parts if parts.len() == 1 => return vec![ascii.into_bytes()],
                _ => text::segment_within(&ascii, Alphabet::Gsm7, octets * 8 / 7),
            };
            let mut characters = ascii.chars();
            let lengths = cut.iter().map(|part| text::decode(part, Alphabet::Gsm7).chars().count());
            lengths.map(|length| characters.by_ref().take(length).collect::<String>().into_bytes()).collect()
        }
        Coding::Latin1 | Coding::Binary => {
            let all = coding.write(text);
            if all.len() <= OCTETS { vec![all] } else { all.chunks(octets).map(<[u8]>::to_vec).collect() }
        }
    }
}

/// The messages that bring a text: copies of `template` with content, `data_coding` untouched. One if the text fits into
/// one part, whatever the method. `reference` is the same for all parts; a header of 8 bits has its low octet.
pub fn segment(
    template: &ShortMessage,
    text: &str,
    coding: Coding,
    method: Method,
    reference: u16,
) -> Result<Vec<ShortMessage>, TooLong> {
    if method == Method::Payload {
        let octets = coding.write(text);
        let is_payload = octets.len() > OCTETS;
        let most = usize::from(u16::MAX);
        return if octets.len() > most {
            Err(TooLong)
        } else {
            Ok(vec![ShortMessage { octets, is_payload, ..template.clone() }])
        };
    }
    let pieces = pieces(text, coding, method);
    let total = u8::try_from(pieces.len()).map_err(|_| TooLong)?;
    let packed =
        |piece: Vec<u8>, header| if coding == Coding::Gsm7Packed { pack(&piece, header) } else { piece };
    if let (1, Some(piece)) = (pieces.len(), pieces.first()) {
        return Ok(vec![ShortMessage { octets: packed(piece.clone(), 0), ..template.clone() }]);
    }
    let parts = (1..=total).zip(pieces).map(|(number, piece)| {
        let header = if method == Method::Sar { 0 } else { method.header() };
        let mut part = ShortMessage { octets: packed(piece, header), ..template.clone() };
        mark(&mut part, Place { reference, total, number }, method);
        part
    });
    Ok(parts.collect())
}

/// Makes a message say which part of a longer one it is. Its content is the part's own, without header. As
/// [`Method::Payload`] it says nothing.
pub fn mark(message: &mut ShortMessage, place: Place, method: Method) {
    let Place { reference, total, number } = place;
    let [high, low] = reference.to_be_bytes();
    match method {
        Method::Header8 => head(message, &[5, SHORT_REFERENCE, 3, low, total, number]),
        Method::Header16 => head(message, &[6, LONG_REFERENCE, 4, high, low, total, number]),
        Method::Sar => message.sar = Some(place),
        Method::Payload => {}
    }
}

fn head(message: &mut ShortMessage, header: &[u8]) {
    message.octets.splice(0..0, header.iter().copied());
    message.esm_class = message.esm_class.with_header(true);
}

/// Which part a message is, if it is one, and how many octets of user data header stand before its own content.
pub fn place(message: &ShortMessage) -> (Option<Place>, usize) {
    let (said, header) = if message.esm_class.has_header() { header(&message.octets) } else { (None, 0) };
    (said.or(message.sar).filter(|place| place.is_one_of_several()), header)
}

impl Place {
    fn is_one_of_several(self) -> bool {
        self.total > 1 && (1..=self.total).contains(&self.number)
    }
}

/// Reads a user data header. One that is longer than the content is none.
fn header(octets: &[u8]) -> (Option<Place>, usize) {
    let Some((length, rest)) = octets.split_first() else { return (None, 0) };
    let Some(mut elements) = rest.get(..usize::from(*length)) else { return (None, 0) };
    let mut place = None;
    while let [id, length, rest @ ..] = elements {
        let Some((element, others)) = rest.split_at_checked(usize::from(*length)) else { break };
        match (*id, element) {
            (SHORT_REFERENCE, [reference, total, number]) => {
                place = Some(Place { reference: u16::from(*reference), total: *total, number: *number });
            }
            (LONG_REFERENCE, [high, low, total, number]) => {
                let reference = u16::from_be_bytes([*high, *low]);
                place = Some(Place { reference, total: *total, number: *number });
            }
            _ => {}
        }
        elements = others;
    }
    (place, usize::from(*length) + 1)
}

/// What a message says by itself, without user data header.
pub fn content(message: &ShortMessage, default: DefaultAlphabet) -> Content {
    let (_, header) = place(message);
    let own = message.octets.get(header..).unwrap_or_default();
    Coding::of(message.data_coding, default).read(own, header)
}

/// A part as it is kept until the others are there.
#[derive(Clone, PartialEq, Eq)]
pub struct Part {
    /// Which one it is.
    pub place: Place,
    /// What its octets stand for.
    pub data_coding: u8,
    /// Octets of user data header that stood before its content.
    pub header: u8,
    /// Its own content, without header.
    pub octets: Vec<u8>,
}

/// Says how much there is, not what.
impl std::fmt::Debug for Part {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Part({:?}, {} octets)", self.place, self.octets.len())
    }
}

impl Part {
    /// What is to be kept of a message that is a part; none of one that stands alone.
    pub fn of(message: &ShortMessage) -> Option<Part> {
        let (place, header) = place(message);
        Some(Part {
            place: place?,
            data_coding: message.data_coding,
            header: u8::try_from(header).unwrap_or(u8::MAX),
            octets: message.octets.get(header..).unwrap_or_default().to_vec(),
        })
    }
}

/// A message of which every part is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// What it says.
    pub content: Content,
    /// The `data_coding` of its first part.
    pub data_coding: u8,
    /// The parts it is made of, and those that came twice: positions in what was given, in order.
    pub parts: Vec<usize>,
}

/// The messages of which every part is there, in the order of their references.
///
/// The parts come in any order, more than once, and may belong to several messages; all are from one sender to one
/// receiver, which is the caller's to see to. Of parts with the same place the first counts.
pub fn join(parts: &[Part], default: DefaultAlphabet) -> Vec<Joined> {
    let mut messages: BTreeMap<(u16, u8), Vec<usize>> = BTreeMap::new();
    for (at, part) in parts.iter().enumerate().filter(|(_, part)| part.place.is_one_of_several()) {
        messages.entry((part.place.reference, part.place.total)).or_default().push(at);
    }
    let joined = messages.into_iter().filter_map(|((_, total), positions)| {
        let numbered = |number: u8| {
            positions.iter().filter_map(|at| parts.get(*at)).find(|part| part.place.number == number)
        };
        let all = (1..=total).map(numbered).collect::<Option<Vec<&Part>>>()?;
        let first = all.first()?;
        Some(Joined { content: read(&all, default), data_coding: first.data_coding, parts: positions })
    });
    joined.collect()
}

fn read(parts: &[&Part], default: DefaultAlphabet) -> Content {
    let coding = |part: &Part| Coding::of(part.data_coding, default);
    let Some(first) = parts.first().map(|part| coding(part)) else { return Content::Text(String::new()) };
    // Octets of one coding are read together: some senders split a character between two parts.
    if first != Coding::Gsm7Packed && parts.iter().all(|part| coding(part) == first) {
        let octets: Vec<u8> = parts.iter().flat_map(|part| part.octets.iter().copied()).collect();
        return first.read(&octets, 0);
    }
    let (mut text, mut octets) = (String::new(), Vec::new());
    for part in parts {
        match coding(part).read(&part.octets, usize::from(part.header)) {
            Content::Text(piece) => text.push_str(&piece),
            Content::Binary(piece) => octets.extend(piece),
        }
    }
    if text.is_empty() && !octets.is_empty() { Content::Binary(octets) } else { Content::Text(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::short_message::EsmClass;
    use proptest::prelude::*;

    const METHODS: [Method; 4] = [Method::Header8, Method::Header16, Method::Sar, Method::Payload];
    const CODINGS: [Coding; 5] =
        [Coding::Gsm7, Coding::Gsm7Packed, Coding::Ascii, Coding::Latin1, Coding::Ucs2];

    /// A message coded so, and what 0 means to its carrier.
    fn template(coding: Coding) -> (ShortMessage, DefaultAlphabet) {
        let default = match coding {
            Coding::Gsm7Packed => DefaultAlphabet::Gsm7Packed,
            _ => DefaultAlphabet::Gsm7,
        };
        let data_coding = coding.data_coding(None, default).unwrap();
        (ShortMessage { data_coding, ..ShortMessage::default() }, default)
    }

    fn cut(text: &str, coding: Coding, method: Method) -> Vec<ShortMessage> {
        segment(&template(coding).0, text, coding, method, 0x1234).unwrap()
    }

    #[test]
    fn parts_are_marked_as_the_standard_has_it() {
        let text = "a".repeat(161);
        let parts = cut(&text, Coding::Gsm7, Method::Header8);
        assert_eq!(parts[0].octets[..6], [5, 0, 3, 0x34, 2, 1]);
        assert_eq!(parts[1].octets[..7], [5, 0, 3, 0x34, 2, 2, b'a']);
        assert_eq!((parts[0].octets.len(), parts[1].octets.len()), (6 + 153, 6 + 8));
        assert!(parts.iter().all(|part| part.esm_class == EsmClass(0x40)));
        let parts = cut(&text, Coding::Gsm7, Method::Header16);
        assert_eq!(parts[0].octets[..7], [6, 8, 4, 0x12, 0x34, 2, 1]);
        assert_eq!((parts[0].octets.len(), parts[1].octets.len()), (7 + 152, 7 + 9));
        let parts = cut(&text, Coding::Gsm7, Method::Sar);
        assert_eq!(parts[1].sar, Some(Place { reference: 0x1234, total: 2, number: 2 }));
        assert_eq!((parts[0].octets.len(), parts[0].esm_class), (153, EsmClass(0)));
        let [whole] = cut(&text, Coding::Gsm7, Method::Payload).try_into().unwrap();
        assert!(whole.is_payload && whole.octets == text.as_bytes());
        // Packed, a part is 140 octets to the last bit.
        let parts = cut(&text, Coding::Gsm7Packed, Method::Header8);
        assert_eq!(parts[0].octets.len(), 140);
        assert_eq!(cut(&"я".repeat(71), Coding::Ucs2, Method::Header8)[0].octets.len(), 140);
        assert_eq!(cut(&"é".repeat(141), Coding::Latin1, Method::Header8)[0].octets.len(), 140);
        // In the phone's alphabet a brace takes two septets.
        assert_eq!(cut(&"{".repeat(100), Coding::Ascii, Method::Header8).len(), 2);
    }

    #[test]
    fn what_fits_is_one_message() {
        for method in METHODS {
            for coding in CODINGS {
                let [only] = cut("Hello", coding, method).try_into().unwrap();
                assert_eq!(place(&only), (None, 0));
                assert!(!only.is_payload);
            }
        }
        let long = "a".repeat(153 * 255 + 1);
        assert_eq!(segment(&ShortMessage::default(), &long, Coding::Gsm7, Method::Header8, 1), Err(TooLong));
        let longer = "a".repeat(65_536);
        assert_eq!(
            segment(&ShortMessage::default(), &longer, Coding::Gsm7, Method::Payload, 1),
            Err(TooLong)
        );
    }

    #[test]
    fn headers_of_every_kind_are_read() {
        let with = |octets: &[u8]| ShortMessage {
            octets: octets.to_vec(),
            esm_class: EsmClass(0x40),
            ..ShortMessage::default()
        };
        let read = |octets: &[u8]| place(&with(octets));
        let second = |reference| Some(Place { reference, total: 3, number: 2 });
        assert_eq!(read(&[5, 0, 3, 7, 3, 2, b'x']), (second(7), 6));
        assert_eq!(read(&[6, 8, 4, 1, 7, 3, 2, b'x']), (second(263), 7));
        // Ports before it, as in the messages of old phones.
        assert_eq!(read(&[11, 5, 4, 0x15, 0x81, 0, 0, 0, 3, 7, 3, 2, b'x']), (second(7), 12));
        // No part: a number beyond the total, a total of one, an element that is cut off, a header that is.
        assert_eq!(read(&[5, 0, 3, 7, 3, 4]), (None, 6));
        assert_eq!(read(&[5, 0, 3, 7, 3, 0]), (None, 6));
        assert_eq!(read(&[5, 0, 3, 7, 1, 1]), (None, 6));
        assert_eq!(read(&[3, 0, 9, 7]), (None, 4));
        assert_eq!(read(&[200, 0, 3]), (None, 0));
        assert_eq!(read(&[]), (None, 0));
        // Without the mark there is no header; and SAR says the same.
        let mut message = with(&[5, 0, 3, 7, 3, 2]);
        message.esm_class = EsmClass(0);
        assert_eq!(place(&message), (None, 0));
        message.sar = second(9);
        assert_eq!(place(&message), (second(9), 0));
    }

    #[test]
    fn parts_are_joined_in_any_order_and_number() {
        let part = |reference, total, number, text: &str| Part {
            place: Place { reference, total, number },
            data_coding: 0,
            header: 6,
            octets: text.as_bytes().to_vec(),
        };
        let parts = [
            part(7, 2, 2, "world"),
            part(9, 3, 1, "lost"),
            part(7, 2, 1, "Hello "),
            part(7, 2, 2, "again"),
            part(9, 2, 2, "B"),
            part(9, 2, 1, "A"),
            part(9, 0, 0, "nothing"),
        ];
        let joined = join(&parts, DefaultAlphabet::Gsm7);
        assert_eq!(joined.len(), 2);
        assert_eq!(joined[0].content, Content::Text("Hello world".into()));
        assert_eq!(joined[0].parts, [0, 2, 3]);
        assert_eq!(joined[1].content, Content::Text("AB".into()));
        assert_eq!(joined[1].parts, [4, 5]);
        assert_eq!(join(&[], DefaultAlphabet::Gsm7), []);
    }

    #[test]
    fn a_character_split_by_the_sender_is_read() {
        let part = |number, octets: &[u8]| Part {
            place: Place { reference: 1, total: 2, number },
            data_coding: 8,
            header: 6,
            octets: octets.to_vec(),
        };
        let joined = join(&[part(1, &[0xD8, 0x3D]), part(2, &[0xDE, 0x00])], DefaultAlphabet::Gsm7);
        assert_eq!(joined[0].content, Content::Text("😀".into()));
    }

    proptest! {
        #[test]
        fn what_is_cut_is_joined(
            text in "[ -Z_a-zäöüßéèà€{}]{0,900}", order in any::<u64>(), method in 0usize..4, coding in 0usize..5,
        ) {
            let (method, coding) = (METHODS[method], CODINGS[coding]);
            // A last `@` in packed text may be filling; what a coding lacks is replaced.
            let text: String = text.chars().map(|each| match each {
                '@' => 'a',
                each if coding == Coding::Ascii && !each.is_ascii() => 'a',
                '€' if coding == Coding::Latin1 => 'a',
                each => each,
            }).collect();
            let default = template(coding).1;
            let messages = cut(&text, coding, method);
            for message in &messages {
                prop_assert!(message.is_payload || message.octets.len() <= 7 + 160);
            }
            if let [only] = messages.as_slice() {
                prop_assert_eq!(content(only, default), Content::Text(text));
            } else {
                let mut parts: Vec<Part> = messages.iter().map(|message| Part::of(message).unwrap()).collect();
                // Any order, and one of them twice.
                let turn = usize::try_from(order % u64::try_from(parts.len()).unwrap()).unwrap();
                parts.rotate_left(turn);
                if order % 2 == 0 { parts.reverse(); }
                parts.push(parts[0].clone());
                let joined = join(&parts, default);
                prop_assert_eq!(joined.len(), 1);
                prop_assert_eq!(&joined[0].content, &Content::Text(text));
                prop_assert_eq!(join(&parts[1..parts.len() - 1], default), []);
            }
        }

        #[test]
        fn anything_is_a_header(octets in prop::collection::vec(any::<u8>(), 0..200), esm_class in any::<u8>(), data_coding in any::<u8>()) {
            let message = ShortMessage { octets, esm_class: EsmClass(esm_class), data_coding, ..ShortMessage::default() };
            let (_, header) = place(&message);
            prop_assert!(header <= message.octets.len());
            let parts: Vec<Part> = Part::of(&message).into_iter().collect();
            prop_assert_eq!(join(&parts, DefaultAlphabet::Gsm7), []);
            let _ = content(&message, DefaultAlphabet::Gsm7Packed);
        }
    }
}
