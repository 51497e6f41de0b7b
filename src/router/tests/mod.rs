//! The rules of PROTOCOLS.md section 1 in virtual time.

mod device;
mod disk;
mod harness;
mod ledger;
mod watch;

mod confirm;
mod delivery;
mod limits;
mod liveness;
mod model;
mod once;
mod rooms;
mod storage;
mod takeover;
