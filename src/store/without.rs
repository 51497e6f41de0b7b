//! The handle of a program that was built without storage.

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use super::{Bounds, Counters, Done, Error};
use crate::router::{Commit, Restored};

/// Cannot be made: this program was built without the feature `disk`.
#[derive(Debug)]
pub struct Store(Infallible);

impl Store {
    /// # Errors
    /// Always [`Error::NotBuilt`].
    pub fn open(_dir: &Path, _bounds: Bounds) -> Result<(Self, Restored), Error> {
        Err(Error::NotBuilt)
    }

    /// Never called.
    pub fn submit(&self, _commit: Commit) {
        match self.0 {}
    }

    /// Never called.
    pub async fn done(&mut self) -> Done {
        match self.0 {}
    }

    /// Never called.
    pub fn set_age_max(&self, _age_max: Duration) {
        match self.0 {}
    }

    /// Never called.
    #[must_use]
    pub fn counters(&self) -> Counters {
        match self.0 {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_storage_says_so_and_what_to_do() {
        let bounds = Bounds { age_max: Duration::from_secs(1) };
        let error = Store::open(Path::new("/nowhere"), bounds).map(|_| ()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("without the feature disk") && text.contains("'ram'"), "{text}");
    }
}
