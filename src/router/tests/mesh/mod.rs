//! The rules of routers among each other, in virtual time.
//!
//! | rule (DESIGN.md; PROTOCOLS.md, section 2) | tests in this folder |
//! |---|---|
//! | a record reaches every room's clients on every router, once, in order | `records` |
//! | FAU3_STORED only once a second router holds it; 250 ms, then the next; single ones counted | `copies` |
//! | per-origin sequences, asked for where they are missing; gaps jumped and counted | `records` |
//! | one sender's records in order, however they come; a wait of at most two seconds | `order`, `records` |
//! | sessions roam; the newest attachment wins; the old router lets go | `roaming` |
//! | live audio over the fewest hops, only to listeners | `streams` |
//! | the main server that is a fau3 node leads while the deputy reaches it; segments meet through it | `main_node` |
//! | Monitor lists the clients of the whole mesh | `roaming` |

mod copies;
mod main_node;
pub(super) mod net;
mod order;
mod records;
mod roaming;
mod streams;
mod words;
