//! How people and scripts look into a running router: a Unix socket for
//! `fau3 status`, and a console over HTTP with a page, `/status` and `/metrics`.
//!
//! Shows and changes nothing. Knows the node only as something that answers a
//! [`Question`]; what is shown is made from that one [`Report`] by pure
//! functions. Names of rooms and clients are chosen by strangers: each way of
//! showing them escapes them.

mod console;
mod metrics;
mod page;
mod report;
mod socket;
mod status;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::config::Address;
use crate::gateway::Visitors;

pub use report::{
    DefaultServerReport, DoorsReport, Identity, MeshReport, MeshTrouble, Report, TROUBLE_KINDS,
};
pub use socket::{SocketError, SocketGuard};
pub use status::Status;

/// A router that has not reported after this long is overloaded or stuck.
pub const REPORT_TIME_MAX: Duration = Duration::from_secs(2);

/// How is the router? Answered with a report.
pub type Question = oneshot::Sender<Box<Report>>;

/// Most questions that wait for an answer.
pub const QUESTIONS_MAX: usize = 16;

/// The way to ask the node how it is. Clones ask the same node.
#[derive(Clone)]
pub struct Control {
    questions: mpsc::Sender<Question>,
    /// By what they are about, so that one replaces its predecessor and they
    /// stay as few as there are subjects in the program's text.
    warnings: Arc<Mutex<BTreeMap<&'static str, String>>>,
}

/// Why there is no report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// The node is going down.
    Gone,
    /// It has not answered within [`REPORT_TIME_MAX`].
    Late,
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("the router is going down"),
            Self::Late => write!(
                f,
                "the router has not answered for {} s: it is overloaded or stuck; see its log",
                REPORT_TIME_MAX.as_secs()
            ),
        }
    }
}

impl std::error::Error for Unanswered {}

impl Control {
    /// Asks the node that answers what comes out at the other end.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Question>) {
        let (questions, asked) = mpsc::channel(QUESTIONS_MAX);
        (Self { questions, warnings: Arc::default() }, asked)
    }

    /// How is the router?
    ///
    /// # Errors
    /// If it does not say so within [`REPORT_TIME_MAX`].
    pub async fn report(&self) -> Result<Box<Report>, Unanswered> {
        let (answer, report) = oneshot::channel();
        let asked = async {
            self.questions.send(answer).await.map_err(|_| Unanswered::Gone)?;
            report.await.map_err(|_| Unanswered::Gone)
        };
        timeout(REPORT_TIME_MAX, asked).await.unwrap_or(Err(Unanswered::Late))
    }

    /// Shows a warning in every status from now on, in place of an earlier one
    /// with the same `subject`; `None` takes it back. Says nothing in the log.
    pub fn set_warning(&self, subject: &'static str, text: Option<String>) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        match text {
            Some(text) => warnings.insert(subject, text),
            None => warnings.remove(subject),
        };
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The status as `fau3 status --json` and `/status` have it, in one line
    /// with its end.
    async fn status_json(&self) -> Result<String, Unanswered> {
        let report = self.report().await?;
        Ok(Status::new(&report, self.warnings()).to_json())
    }

    /// Answers on a Unix socket at `path`, in tasks of its own, until the
    /// returned guard is dropped, which removes the socket. Must be called
    /// within a tokio runtime.
    ///
    /// # Errors
    /// If another process answers there, or the socket cannot be made.
    pub fn serve_socket(&self, path: &Path) -> Result<SocketGuard, SocketError> {
        socket::serve(self.clone(), path)
    }

    /// Serves the console on `address`, in tasks of its own. `visitors` says
    /// who is answered. Where the address cannot be had (yet), that is logged and shown
    /// as a warning, and tried again: a router lives without a console. Must be
    /// called within a tokio runtime.
    pub fn serve_console(&self, address: &Address, visitors: Arc<Visitors>) {
        console::serve(self.clone(), address.clone(), visitors);
    }
}

#[cfg(test)]
mod tests {
    use super::status::tests::report;
    use super::*;

    #[tokio::test]
    async fn a_node_that_is_going_down_is_told_from_one_that_is_stuck() {
        // Given a node whose task has ended
        let (control, node) = Control::new();
        drop(node);
        // then one learns so at once,
        assert_eq!(control.report().await.unwrap_err(), Unanswered::Gone);
        // and of one that takes questions and never answers, after two seconds.
        let (control, _node) = Control::new();
        let since = tokio::time::Instant::now();
        assert_eq!(control.report().await.unwrap_err(), Unanswered::Late);
        assert!(since.elapsed() >= REPORT_TIME_MAX && since.elapsed() < 3 * REPORT_TIME_MAX);
    }

    #[tokio::test]
    async fn a_warning_is_shown_until_it_is_taken_back() {
        let (control, mut node) = Control::new();
        tokio::spawn(async move {
            while let Some(answer) = node.recv().await {
                let _ = answer.send(Box::new(Report { store: None, ..report() }));
            }
        });
        let warned = async || {
            let json: serde_json::Value =
                serde_json::from_str(&control.status_json().await.unwrap()).unwrap();
            json["warnings"].clone()
        };
        control.set_warning("console", Some("first".into()));
        control.set_warning("console", Some("no port".into()));
        assert_eq!(warned().await, serde_json::json!(["no port"]));
        control.set_warning("console", None);
        assert_eq!(warned().await, serde_json::json!([]));
    }
}
