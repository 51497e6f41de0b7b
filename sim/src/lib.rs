//! Many routers in virtual time under faults.
