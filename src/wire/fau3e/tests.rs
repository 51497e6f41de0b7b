//! Every message comes back as it went; nothing that comes in panics.
