//! A log line that anybody on the network can cause comes at most once a minute.

use std::time::Duration;

use tokio::time::Instant;

/// The least time between two lines of a kind.
const INTERVAL: Duration = Duration::from_secs(60);

/// Says whether a line of one kind is due.
#[derive(Debug, Default)]
pub(super) struct Rarely {
    last: Option<Instant>,
    left_out: u32,
}

impl Rarely {
    /// If a line is due: how many have been left out since the last one.
    pub(super) fn due(&mut self) -> Option<u32> {
        let now = Instant::now();
        if self.last.is_some_and(|last| now.duration_since(last) < INTERVAL) {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn of_many_lines_one_a_minute_is_due() {
        let mut rarely = Rarely::default();
        assert_eq!(rarely.due(), Some(0));
        for _ in 0..9_999 {
            assert_eq!(rarely.due(), None);
        }
        tokio::time::advance(INTERVAL).await;
        assert_eq!(rarely.due(), Some(9_999));
        assert_eq!(rarely.due(), None);
    }
}
