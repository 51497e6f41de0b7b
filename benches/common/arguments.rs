//! A benchmark's arguments.

use std::ops::RangeInclusive;

/// What is left of them.
pub(crate) struct Arguments<I> {
    rest: I,
    is_bench: bool,
}

impl<I: Iterator<Item = String>> Arguments<I> {
    pub(crate) fn new(rest: I) -> Self {
        Self { rest, is_bench: false }
    }

    /// The next one that is not cargo's own.
    pub(crate) fn next(&mut self) -> Option<String> {
        loop {
            let argument = self.rest.next()?;
            if argument != "--bench" {
                return Some(argument);
            }
            self.is_bench = true;
        }
    }

    /// Once there is none left: cargo says `--bench` when it benches, and nothing when it runs this as one of
    /// the tests: then it is to be quick.
    pub(crate) fn is_bench(&self) -> bool {
        self.is_bench
    }

    /// The value of `of`.
    pub(crate) fn value(&mut self, of: &str) -> Result<String, String> {
        self.rest.next().ok_or(format!("{of} needs a value"))
    }

    /// The same, a whole number.
    pub(crate) fn number(&mut self, of: &str, range: RangeInclusive<u64>) -> Result<u64, String> {
        let text = self.value(of)?;
        let number = text.parse().ok().filter(|number| range.contains(number));
        number
            .ok_or_else(|| format!("{of}: {text} is not a number from {} to {}", range.start(), range.end()))
    }

    /// The same, one of the benchmark's works.
    pub(crate) fn work(
        &mut self,
        of: &str,
        mut works: impl Iterator<Item = &'static str>,
    ) -> Result<String, String> {
        let work = self.value(of)?;
        if works.any(|name| name == work) { Ok(work) } else { Err(format!("there is no work called {work}")) }
    }
}

/// Whoever gives it a wrong one is told.
pub(crate) fn unknown(argument: &str) -> String {
    format!("unknown argument {argument}")
}
