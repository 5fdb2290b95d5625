//! Closed sets that are stored as words.

/// An enum whose variants are stored as the given words. What is stored is not what a vendor calls it.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$about])* $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &[$name] = &[$($name::$variant),+];

            /// The stored word.
            pub fn name(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)+
                }
            }
        }

        impl store::Param for $name {
            fn val(&self) -> store::Val<'_> {
                store::Val::Text(self.name())
            }
        }

        impl store::Column for $name {
            fn col(value: store::Val<'_>) -> std::result::Result<Self, store::Error> {
                let word = <String as store::Column>::col(value)?;
                $name::ALL
                    .iter()
                    .find(|known| known.name() == word)
                    .copied()
                    .ok_or_else(|| store::Error::decode(concat!("a known ", stringify!($name))))
            }
        }
    };
}

pub(super) use words;
