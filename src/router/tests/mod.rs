//! The rules of PROTOCOLS.md section 1 in virtual time.
