//! Reads fields one after the other out of octets that somebody else wrote; what is not there is none.

/// What has not been read yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Octets<'a>(pub(crate) &'a [u8]);

impl<'a> Octets<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn octet(&mut self) -> Option<u8> {
        let (octet, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*octet)
    }

    /// A string without the zero that ends it.
    pub(crate) fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.0.iter().position(|octet| *octet == 0)?;
        let (string, rest) = self.0.split_at(length);
        self.0 = rest.get(1..).unwrap_or_default();
        Some(string)
    }

    /// A string that may have lost its end, as the last one of a frame.
    pub(crate) fn last_string(&mut self) -> &'a [u8] {
        self.string().unwrap_or_else(|| std::mem::take(&mut self.0))
    }

    /// An optional parameter: its tag and value. None at the end, and where the rest is none.
    pub(crate) fn parameter(&mut self) -> Option<(u16, &'a [u8])> {
        let [t0, t1, l0, l1, rest @ ..] = self.0 else { return None };
        let value = rest.get(..usize::from(u16::from_be_bytes([*l0, *l1])))?;
        self.0 = rest.get(value.len()..).unwrap_or_default();
        Some((u16::from_be_bytes([*t0, *t1]), value))
    }
}

/// A string field as characters: the standard has ASCII only, and `?` stands for what is not.
pub(crate) fn ascii(octets: &[u8]) -> String {
    octets.iter().map(|octet| if octet.is_ascii() { char::from(*octet) } else { '?' }).collect()
}
