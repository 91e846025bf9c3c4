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
        let count = |wanted| self.findings.iter().filter(|finding| finding.outcome == wanted).count();
        match (count(Outcome::Fail), count(Outcome::Warn)) {
            (0, 0) => writeln!(f, "\nA job started here uses usb4."),
            (0, warnings) => writeln!(f, "\nA job started here uses usb4; warnings to look at: {warnings}."),
            (failed, _) => {
                writeln!(
                    f,
                    "\nA job started here does not use usb4; failed checks: {failed}. Mend them from the top: one may cause the next."
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_says_what_becomes_of_a_job() {
        let last = |findings: &[Finding]| {
            let text = Report { findings: findings.to_vec() }.to_string();
            text.lines().last().unwrap().to_owned()
        };
        let (ok, warn, fail) = (Finding::ok("a", "b"), Finding::warn("a", "b", "c"), Finding::fail("a", "b", "c"));
        assert_eq!(last(std::slice::from_ref(&ok)), "A job started here uses usb4.");
        assert!(last(&[ok.clone(), warn.clone()]).ends_with("uses usb4; warnings to look at: 1."));
        assert!(last(&[ok, warn, fail.clone(), fail]).contains("does not use usb4; failed checks: 2."));
    }
}
