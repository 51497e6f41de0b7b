//! The rules, each in virtual time: a handful of routers on a small network
//! whose every datagram takes 5 ms and gets lost as told. The simulator does
//! this at large; here each rule has its story.

mod net;

mod epochs;
mod hold_down;
mod identities;
mod large;
mod links;
mod lists;
mod starts;
mod storms;
mod upstream;
