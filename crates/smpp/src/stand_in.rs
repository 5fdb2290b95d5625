//! Stand-ins: what is written in GSM 03.38 for characters that it lacks (docs/spec/10-sms.md section 6).
//!
//! One character for one, so that nobody's count of characters changes: the letter without the mark that the alphabet
//! lacks, the capital of a Greek letter, the plain form of a sign. Everything else is a question mark.

/// Stands for what nothing stands for.
const UNKNOWN: char = '?';
/// Each character with those that it stands for.
#[rustfmt::skip]
const STAND_INS: [(char, &str); 73] = [
    (' ', "\u{a0}\u{2002}\u{2003}\u{2009}\u{202f}\t"),
    ('!', "¦"),
    ('"', "¨«»“”„‟″"),
    ('\'', "´‘’‚‛′`"),
    (',', "¸"),
    ('-', "¬\u{ad}¯‐‑‒–—―−"),
    ('.', "·…•"),
    ('/', "÷⁄"),
    ('1', "¹"),
    ('2', "²"),
    ('3', "³"),
    ('<', "‹"),
    ('>', "›"),
    ('A', "ÀÁÂÃĀĂĄǍẠẢẤẦẨẪẬẮẰẲẴẶΑαΆά"),
    ('B', "Ββ"),
    ('C', "ĆĈĊČ"),
    ('D', "ÐĎĐ"),
    ('E', "ÈÊËĒĔĖĘĚƏẸẺẼẾỀỂỄỆΕεΈέ"),
    ('G', "ĜĞĠĢ"),
    ('H', "ĤĦΗηΉή"),
    ('I', "ÌÍÎÏĨĪĬĮİǏỈỊΙιΊίϊΐΪ"),
    ('J', "Ĵ"),
    ('K', "ĶΚκ"),
    ('L', "ĹĻĽŁ"),
    ('M', "Μμ"),
    ('N', "ŃŅŇŊΝν"),
    ('O', "ÒÓÔÕŌŎŒƠǑỌỎỐỒỔỖỘỚỜỞỠỢΟοΌό"),
    ('P', "ÞΡρ"),
    ('R', "®ŔŖŘ"),
    ('S', "ŚŜŞŠȘ"),
    ('T', "ŢŤŦȚΤτ"),
    ('U', "ÙÚÛŨŪŬŮŲƯǓǕǗǙǛỤỦỨỪỬỮỰ"),
    ('W', "ŴẀẂẄ"),
    ('X', "Χχ"),
    ('Y', "ÝŶŸỲỴỶỸΥυΎύϋΰΫ"),
    ('Z', "ŹŻŽΖζ"),
    ('a', "ªáâãāăąǎạảấầẩẫậắằẳẵặ"),
    ('c', "¢©çćĉċč"),
    ('d', "ðďđ"),
    ('e', "êëēĕėęěəẹẻẽếềểễệ"),
    ('f', "ƒ"),
    ('g', "ĝğġģ"),
    ('h', "ĥħ"),
    ('i', "íîïĩīĭįıǐỉị"),
    ('j', "ĵ"),
    ('k', "ķĸ"),
    ('l', "ĺļľł"),
    ('n', "ńņňŋ"),
    ('o', "°ºóôõōŏœơǒọỏốồổỗộớờởỡợ"),
    ('p', "þ"),
    ('r', "ŕŗř"),
    ('s', "śŝşšș"),
    ('t', "ţťŧț"),
    ('u', "µúûũūŭůųưǔǖǘǚǜụủứừửữự"),
    ('w', "ŵẁẃẅ"),
    ('x', "×"),
    ('y', "ýÿŷỳỵỷỹ"),
    ('z', "źżž"),
    ('Ö', "Ő"),
    ('Ü', "Ű"),
    ('ß', "ẞ"),
    ('ö', "ő"),
    ('ü', "ű"),
    ('Γ', "γ"),
    ('Δ', "δ"),
    ('Θ', "θ"),
    ('Λ', "λ"),
    ('Ξ', "ξ"),
    ('Π', "π"),
    ('Σ', "σς"),
    ('Φ', "φ"),
    ('Ψ', "ψ"),
    ('Ω', "ωΏώ"),
];

/// What stands for a character that the alphabet lacks.
pub(crate) fn stand_in(character: char) -> char {
    // Most of what is lacking is of another script or a picture.
    match character {
        '\t' | '`' | '\u{a0}'..='\u{3ff}' | '\u{1e80}'..='\u{1ef9}' | '\u{2000}'..='\u{206f}' | '−' => {
            let found = STAND_INS.iter().find(|(_, some)| some.contains(character));
            found.map_or(UNKNOWN, |(known, _)| *known)
        }
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{Alphabet, is_gsm7, segment};
    use std::collections::HashSet;

    #[test]
    fn each_is_one_septet_for_a_character_that_is_lacking_and_stands_once() {
        let mut seen = HashSet::new();
        for (known, some) in STAND_INS {
            assert_eq!(segment(&known.to_string(), Alphabet::Gsm7)[0].len(), 1, "{known}");
            for character in some.chars() {
                assert!(!is_gsm7(&character.to_string()), "{character} needs none");
                assert!(seen.insert(character), "{character} stands twice");
                assert_eq!(stand_in(character), known, "{character}");
            }
        }
    }

    #[test]
    fn texts_of_many_languages_can_be_read() {
        for (text, shown) in [
            ("crème brûlée, ça va", "crème brulée, ca va"),
            ("Él pagó mañana", "Él pago mañana"),
            ("Příliš žluťoučký kůň", "Prilis zlutoucky kun"),
            ("Zażółć gęślą jaźń", "Zazolc gesla jazn"),
            ("árvíztűrő tükörfúrógép", "arviztürö tükörfurogép"),
            ("İstanbul’da ışık", "Istanbul'da isik"),
            ("Ελλάδα, Ωμέγα ς", "EΛΛAΔA, ΩMEΓA Σ"),
            ("“Tiếng Việt” – 5…", "\"Tieng Viet\" - 5."),
            ("Жук 漢 😀", "??? ? ?"),
        ] {
            assert_eq!(
                text.chars()
                    .map(|one| if is_gsm7(&one.to_string()) { one } else { stand_in(one) })
                    .collect::<String>(),
                shown
            );
        }
    }
}
