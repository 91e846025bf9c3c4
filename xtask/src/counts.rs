//! Runs test runners, shows what they print, and reads how many tests passed.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::Context;

/// How many tests ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// A finished runner.
pub(crate) struct Finished {
    /// Whether it ended with exit code 0.
    pub(crate) success: bool,
    /// What it counted.
    pub(crate) counts: Counts,
    /// All that it printed, in the order of arrival.
    pub(crate) output: String,
}

/// Runs a command to its end and shows its output as it comes.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<Finished> {
    let shown = describe(command);
    eprintln!("$ {shown}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {shown}"))?;
    let (sender, lines) = std::sync::mpsc::channel();
    let pipes: [Option<Box<dyn Read + Send>>; 2] =
        [child.stdout.take().map(|pipe| Box::new(pipe) as _), child.stderr.take().map(|pipe| Box::new(pipe) as _)];
    let readers: Vec<_> = pipes
        .into_iter()
        .flatten()
        .map(|pipe| {
            let sender = sender.clone();
            thread::spawn(move || {
                for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                    if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                        return;
                    }
                }
            })
        })
        .collect();
    drop(sender);
    let mut output = String::new();
    for line in lines {
        // Nobody reads any more: the tests go on all the same.
        let _ = writeln!(std::io::stderr(), "{line}");
        output.push_str(&line);
        output.push('\n');
    }
    let status = child.wait().with_context(|| format!("cannot wait for {shown}"))?;
    for reader in readers {
        let _ = reader.join();
    }
    Ok(Finished { success: status.success(), counts: count(&output), output })
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Sums the closing lines of nextest, cargo test and Python's unittest.
fn count(output: &str) -> Counts {
    let mut total = Counts::default();
    let mut python_ran = 0;
    for line in output.lines().map(str::trim) {
        let number_before = |word: &str| number_before(line, word);
        if line.starts_with("Summary [") || line.starts_with("test result:") {
            total += Counts {
                passed: number_before("passed"),
                failed: number_before("failed") + number_before("timed out"),
                skipped: number_before("skipped") + number_before("ignored"),
            };
        } else if let Some(rest) = line.strip_prefix("Ran ") {
            python_ran = rest.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0);
        } else if line == "OK" || line.starts_with("OK (") || line.starts_with("FAILED (") {
            let (failed, skipped) =
                (number_after(line, "failures=") + number_after(line, "errors="), number_after(line, "skipped="));
            total += Counts { passed: u64::saturating_sub(python_ran, failed + skipped), failed, skipped };
            python_ran = 0;
        }
    }
    total
}

/// The number in front of `word`, or 0: `12 passed`.
fn number_before(line: &str, word: &str) -> u64 {
    let head = line.split_once(&format!(" {word}")).map_or("", |(head, _)| head);
    head.rsplit([' ', '(']).next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The number behind `key`, or 0: `failures=12`.
fn number_after(line: &str, key: &str) -> u64 {
    let tail = line.split_once(key).map_or("", |(_, tail)| tail);
    tail.split(|c: char| !c.is_ascii_digit()).next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_runners_closing_lines_are_read() {
        let nextest = "     Summary [   0.5s] 15/16 tests run: 11 passed (1 slow), 3 failed, 1 timed out, 2 skipped\n";
        assert_eq!(count(nextest), Counts { passed: 11, failed: 4, skipped: 2 });
        let cargo = "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n\
                     test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured\n";
        assert_eq!(count(cargo), Counts { passed: 7, failed: 1, skipped: 1 });
        let python = "Ran 20 tests in 1.0s\n\nFAILED (failures=1, errors=2, skipped=3)\n";
        assert_eq!(count(python), Counts { passed: 14, failed: 3, skipped: 3 });
        assert_eq!(count("no tests here\n12 passed the ball"), Counts::default());
    }

    #[test]
    fn both_streams_and_the_exit_code_are_seen() {
        let finished = run(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"])).unwrap();
        assert!(!finished.success);
        assert!(finished.output.contains("out\n") && finished.output.contains("err\n"));
    }
}
