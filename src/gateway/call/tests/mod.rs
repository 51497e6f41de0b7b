//! Each answer of PROTOCOLS.md, section 3, with a test that names it.

mod answers;
mod bounds;
mod net;
mod random;
