//! What the checks found, for people and as JSON.

use std::fmt;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// As it should be, or not needed here.
    Ok,
    /// A job may run, but not as the user may expect.
    Warn,
    /// A job started now would not use usb4.
    Fail,
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Finding {
    /// What was checked.
    pub(crate) check: &'static str,
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// What was found.
    pub(crate) message: String,
    /// What to do; always there unless the outcome is `Ok`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advice: Option<String>,
}

impl Finding {
    pub(crate) fn ok(check: &'static str, message: impl Into<String>) -> Finding {
        Finding { check, outcome: Outcome::Ok, message: message.into(), advice: None }
    }

    pub(crate) fn warn(check: &'static str, message: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { check, outcome: Outcome::Warn, message: message.into(), advice: Some(advice.into()) }
    }

    pub(crate) fn fail(check: &'static str, message: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { check, outcome: Outcome::Fail, message: message.into(), advice: Some(advice.into()) }
    }
}

/// All findings.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Report {
    /// In the order of the checks.
    pub(crate) findings: Vec<Finding>,
}

impl Report {
    /// Whether a job started now would not use usb4.
    pub(crate) fn failed(&self) -> bool {
        self.findings.iter().any(|finding| finding.outcome == Outcome::Fail)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
        for Finding { check, outcome, message, advice } in &self.findings {
            let word = match outcome {
                Outcome::Ok => "ok  ",
                Outcome::Warn => "warn",
                Outcome::Fail => "FAIL",
            };
            writeln!(f, "{word}  {check:width$}  {message}")?;
            if let Some(advice) = advice {
                writeln!(f, "      {:width$}  -> {advice}", "")?;
            }
        }
        Ok(())
    }
}
