//! How a command ends when it cannot do what it was asked for.

use std::fmt;

/// What to tell, and with which status to exit.
#[derive(Debug)]
pub struct Failure {
    text: String,
    status: u8,
}

impl Failure {
    /// It was tried and did not work: status 1.
    pub fn new(error: impl fmt::Display) -> Self {
        Self { text: error.to_string(), status: 1 }
    }

    /// It was not asked for in a way that can be understood: status 2.
    pub fn usage(error: impl fmt::Display) -> Self {
        Self { text: error.to_string(), status: 2 }
    }

    /// The exit status.
    #[must_use]
    pub fn status(&self) -> u8 {
        self.status
    }
}

impl From<crate::client::Error> for Failure {
    fn from(error: crate::client::Error) -> Self {
        Self::new(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}
