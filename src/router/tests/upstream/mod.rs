//! The rules of a main server that speaks FAU3VOM-D only, in virtual time.
//!
//! | rule (PROTOCOLS.md, end of section 2; the server's quirks in section 1) | tests in this folder |
//! |---|---|
//! | what a client says is confirmed here and pushed there in its name, in order, once | `push` |
//! | what was unconfirmed there is kept over an outage; each record that may be there twice is counted | `push` |
//! | a record of the server reaches a client once, also when it came over the mesh | `intake` |
//! | live audio both ways, once; Monitor lists both | `intake` |
//! | a mesh at rest puts no more on the server than one router would, of either kind | `rest` |
//! | another server in the configuration gets what no server has yet, and nothing else | `another` |
//! | one connection a client, never two, wherever it roams; 17 characters, 250 clients | `lines` |
//! | the same where routers do not hear each other, or not yet: claims and leases | `claim` |
//! | routers that go and come back: who is waited for, and who is not | `reach` |

mod another;
mod claim;
mod intake;
mod lines;
mod push;
mod reach;
mod rest;
pub(super) mod server;
