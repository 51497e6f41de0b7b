/// What a Confirm of FAU3VOM-D or FAU3VOM-E says (seed 000, "status codes declared for D
/// version").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Status(pub i32);

impl Status {
    /// General confirmation.
    pub const OK: Self = Self(0);
    /// Answer to a Ping.
    pub const PONG: Self = Self(1);
    /// Answer to a Monitor.
    pub const MONED: Self = Self(2);
    /// A Propogate or a Playlist has been received and stored.
    pub const STORED: Self = Self(3);
    /// A packet that is not one, or lacks a field.
    pub const INVALID: Self = Self(-1);
    /// The server could not do it; worth trying again later.
    pub const SERROR: Self = Self(-2);

    /// Any status from 0 up settles a message; a negative one is a failed try.
    #[must_use]
    pub const fn settles(self) -> bool {
        self.0 >= 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_codes_are_the_numbers_that_devices_know() {
        let codes =
            [Status::OK, Status::PONG, Status::MONED, Status::STORED, Status::INVALID, Status::SERROR];
        assert_eq!(codes.map(|code| code.0), [0, 1, 2, 3, -1, -2]);
    }
}
