//! What is for developing and testing only: it stands apart from the product, in the same binary.

pub mod smsc;
