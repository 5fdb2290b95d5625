//! Templates of the requests that bring messages to carriers: texts with `{placeholders}`, each of which is written as its
//! place demands, so that no message can get out of it.

use super::Code;
use super::phone::Msisdn;
use std::fmt::Write as _;

/// Where a template stands, which decides how values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A URL or a form: by percent, UTF-8 (RFC 3986 section 2).
    Percent,
    /// Within a string of JSON (RFC 8259 section 7).
    Json,
    /// The value of a header: without control characters.
    Header,
}

/// What can be filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// The recipient's digits.
    To,
    /// The same with a plus before them.
    PlusTo,
    /// Whom it is from.
    From,
    /// The same with a plus before it, if it is a number and no short code.
    PlusFrom,
    /// What it says; nothing if it is binary.
    Text,
    /// Our own name of this part: 32 hexadecimal digits.
    Id,
    /// Which part it is, from 1.
    Part,
    /// How many parts the message has.
    Parts,
    /// What the carrier knows us by.
    Secret,
    /// The user data header, in hexadecimal digits; nothing if it has none.
    Udh,
    /// The octets of a binary message, in hexadecimal digits; nothing of others.
    Data,
    /// Its class (3GPP TS 23.038 section 4): 0 is shown at once.
    Class,
    /// Seconds that it is still worth delivering, at least 1.
    Validity,
}

const FIELDS: &[(&str, Field)] = &[
    ("to", Field::To),
    ("+to", Field::PlusTo),
    ("from", Field::From),
    ("+from", Field::PlusFrom),
    ("text", Field::Text),
    ("id", Field::Id),
    ("part", Field::Part),
    ("parts", Field::Parts),
    ("secret", Field::Secret),
    ("udh", Field::Udh),
    ("data", Field::Data),
    ("class", Field::Class),
    ("validity", Field::Validity),
];
/// Digits of the longest short code: a plus before it would make a number of it.
const SHORT_CODE: usize = 6;

/// What a template is filled with.
#[derive(Clone, Copy)]
pub struct Values<'a> {
    /// The recipient.
    pub to: Msisdn,
    /// Whom it is from.
    pub from: &'a str,
    /// See [`Field::Text`].
    pub text: &'a str,
    /// See [`Field::Id`].
    pub id: &'a str,
    /// See [`Field::Part`].
    pub part: i64,
    /// See [`Field::Parts`].
    pub parts: i64,
    /// See [`Field::Secret`].
    pub secret: &'a str,
    /// See [`Field::Udh`].
    pub udh: &'a str,
    /// See [`Field::Data`].
    pub data: &'a str,
    /// See [`Field::Class`].
    pub class: i64,
    /// See [`Field::Validity`].
    pub validity: i64,
}

/// Values that hold what is hard to write: a template that is right with them is right with others.
pub(super) const SAMPLE: Values<'static> = Values {
    to: Msisdn(31_612_345_678),
    from: "A \"B\\",
    text: "a \"b\"\n\\ {c} € & =",
    id: "0123456789abcdef0123456789abcdef",
    part: 1,
    parts: 2,
    secret: "s \"ecret\\",
    udh: "050003340201",
    data: "00ff",
    class: 1,
    validity: 60,
};

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Field(Field),
}

/// A text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    place: Place,
    pieces: Vec<Piece>,
}

impl Template {
    /// Reads a template; a placeholder that means nothing is refused. In JSON a brace before a quotation mark, a blank or
    /// another brace is JSON's own.
    pub fn read(text: &str, place: Place) -> Result<Template, Code> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            literal.push_str(before);
            let own =
                after.is_empty() || after.starts_with(|c: char| c.is_whitespace() || "\"{}".contains(c));
            if place == Place::Json && own {
                literal.push('{');
                rest = after;
                continue;
            }
            let (name, behind) = after.split_once('}').ok_or(Code::Invalid)?;
            let known = FIELDS.iter().find(|(known, _)| *known == name);
            let (_, field) = known.ok_or(Code::Invalid)?;
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Field(*field));
            rest = behind;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Template { place, pieces })
    }

    /// Whether it names a field.
    pub fn names(&self, field: Field) -> bool {
        self.pieces.contains(&Piece::Field(field))
    }

    /// What stands before the first placeholder.
    pub(super) fn head(&self) -> &str {
        match self.pieces.first() {
            Some(Piece::Literal(text)) => text,
            _ => "",
        }
    }

    /// Whether nothing is to be filled in.
    pub(super) fn is_plain(&self) -> bool {
        !self.pieces.iter().any(|piece| matches!(piece, Piece::Field(_)))
    }

    /// The text with everything filled in.
    pub fn fill(&self, values: &Values<'_>) -> String {
        let mut filled = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => filled.push_str(text),
                Piece::Field(field) => put(&mut filled, &value(*field, values), self.place),
            }
        }
        filled
    }
}

fn value(field: Field, values: &Values<'_>) -> String {
    let from = values.from;
    let is_number = from.len() > SHORT_CODE && from.bytes().all(|byte| byte.is_ascii_digit());
    match field {
        Field::To => values.to.to_string(),
        Field::PlusTo => format!("+{}", values.to),
        Field::PlusFrom if is_number => format!("+{from}"),
        Field::From | Field::PlusFrom => from.to_owned(),
        Field::Text => values.text.to_owned(),
        Field::Id => values.id.to_owned(),
        Field::Part => values.part.to_string(),
        Field::Parts => values.parts.to_string(),
        Field::Secret => values.secret.to_owned(),
        Field::Udh => values.udh.to_owned(),
        Field::Data => values.data.to_owned(),
        Field::Class => values.class.to_string(),
        Field::Validity => values.validity.to_string(),
    }
}

fn put(filled: &mut String, value: &str, place: Place) {
    match place {
        Place::Percent => {
            for byte in value.bytes() {
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    filled.push(char::from(byte));
                } else {
                    _ = write!(filled, "%{byte:02X}");
                }
            }
        }
        Place::Json => {
            for character in value.chars() {
                match character {
                    '"' | '\\' => filled.extend(['\\', character]),
                    '\n' => filled.push_str("\\n"),
                    control if control < ' ' => _ = write!(filled, "\\u{:04x}", u32::from(control)),
                    other => filled.push(other),
                }
            }
        }
        Place::Header => filled.extend(value.chars().map(|c| if c.is_control() { ' ' } else { c })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, place: Place, values: &Values<'_>) -> String {
        Template::read(text, place).expect("a template").fill(values)
    }

    #[test]
    fn values_stay_in_their_place() {
        let says = |text| Values { text, ..SAMPLE };
        let hard = says("5 € + \"x\"\\\n\u{1}&to=1#?/%{to}\u{1F426}");
        assert_eq!(
            filled("to={to}&t={text}&x=1", Place::Percent, &hard),
            "to=31612345678&t=5%20%E2%82%AC%20%2B%20%22x%22%5C%0A%01%26to%3D1%23%3F%2F%25%7Bto%7D%F0%9F%90%A6&x=1"
        );
        assert_eq!(
            filled(r#"{"a":{"to":["{to}"], "t":"{text}"}, "n":{part}}"#, Place::Json, &hard),
            r#"{"a":{"to":["31612345678"], "t":"5 € + \"x\"\\\n\u0001&to=1#?/%{to}"#.to_owned()
                + "\u{1F426}\"}, \"n\":1}"
        );
        assert_eq!(filled("Bearer {text}", Place::Header, &says("a\r\nX-Other: 1")), "Bearer a  X-Other: 1");
    }

    #[test]
    fn numbers_get_a_plus_and_names_do_not() {
        let from = |from| filled("{+from}|{from}|{+to}", Place::Header, &Values { from, ..SAMPLE });
        assert_eq!(from("31655500099"), "+31655500099|31655500099|+31612345678");
        assert_eq!(from("12345"), "12345|12345|+31612345678");
        assert_eq!(from("Bakery"), "Bakery|Bakery|+31612345678");
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for (text, place) in [
            ("https://a.example/{too}", Place::Percent),
            ("to={to", Place::Percent),
            ("to={}", Place::Percent),
            ("{\"a\":\"{sender}\"}", Place::Json),
            ("Bearer {Secret}", Place::Header),
        ] {
            assert_eq!(Template::read(text, place), Err(Code::Invalid), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_comes_back_from_a_form_and_from_json(text in "\\PC*|[\\x00-\\x1f\"\\\\&=+%{}]*") {
            let values = Values { text: &text, ..SAMPLE };
            let form = filled("a=1&t={text}&z=2", Place::Percent, &values);
            let pairs: Vec<(String, String)> = url::form_urlencoded::parse(form.as_bytes()).into_owned().collect();
            proptest::prop_assert_eq!(&pairs[1].1, &text);
            proptest::prop_assert_eq!(pairs.len(), 3);
            let json = filled("{\"t\":\"{text}\"}", Place::Json, &values);
            let inside = json.strip_prefix("{\"t\":\"").and_then(|rest| rest.strip_suffix("\"}")).expect("a string");
            proptest::prop_assert_eq!(unescaped(inside), text);
        }
    }

    /// Reads the inside of a JSON string by its grammar, which has no bare quotation mark and no control character.
    fn unescaped(inside: &str) -> String {
        let mut read = String::new();
        let mut characters = inside.chars();
        while let Some(character) = characters.next() {
            assert!(character >= ' ' && character != '"', "{inside:?}");
            if character != '\\' {
                read.push(character);
                continue;
            }
            match characters.next() {
                Some('n') => read.push('\n'),
                Some('u') => {
                    let digits: String = characters.by_ref().take(4).collect();
                    let code = u32::from_str_radix(&digits, 16).expect("digits");
                    read.push(char::from_u32(code).expect("a character"));
                }
                Some(escaped @ ('"' | '\\')) => read.push(escaped),
                other => panic!("{other:?} in {inside:?}"),
            }
        }
        read
    }
}
