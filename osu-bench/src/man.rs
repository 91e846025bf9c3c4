//! The man page, made from the command line and from what the benchmarks say of themselves.

use std::io::Write;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::bench;

/// Writes osu-bench(1).
///
/// # Errors
/// If `out` takes no more.
pub(crate) fn write(command: Command, out: &mut dyn Write) -> std::io::Result<()> {
    let compare = command.find_subcommand("compare").cloned();
    let man = Man::new(command).section("1").manual("User Commands");
    man.render_title(out)?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;

    let mut page = Roff::new();
    page.control("SH", ["BENCHMARKS"]);
    page.text([roman(
        "What each prints, and what its number means: who measures, from where to where, and which iterations count. The first \
         iterations (-x) are never counted; above 8 KiB there are fewer (-i and -x set both).",
    )]);
    for benchmark in bench::all() {
        page.control("TP", []);
        page.text([bold(benchmark.name)]);
        page.text([roman(format!("{}. {}", benchmark.about, benchmark.meaning))]);
        if !benchmark.options.is_empty() {
            let letters: Vec<String> = benchmark.options.chars().map(|letter| format!("-{letter}")).collect();
            page.text([roman(format!("Options: {}.", letters.join(" ")))]);
        }
    }
    page.to_writer(out)?;

    let options = Command::new("osu-bench").args(crate::options::arguments(crate::options::ALL_LETTERS));
    section(out, "OPTIONS OF THE BENCHMARKS", options)?;
    if let Some(compare) = compare {
        let mut text = Roff::new();
        text.control("SH", ["COMPARE"]);
        text.text([roman(compare.get_long_about().map(ToString::to_string).unwrap_or_default())]);
        text.to_writer(out)?;
        section(out, "OPTIONS OF COMPARE", compare)?;
    }
    let mut end = Roff::new();
    end.control("SH", ["EXIT STATUS"]);
    end.text([roman(
        "0: all went well. 1: a benchmark could not run, or validation found wrong data. 2: wrong usage. Rank 0 says why, in one line; \
         mpirun's own lines follow it.",
    )]);
    end.to_writer(out)
}

/// clap_mangen's list of options under another heading.
fn section(out: &mut dyn Write, heading: &str, command: Command) -> std::io::Result<()> {
    let mut text = Vec::new();
    Man::new(command).render_options_section(&mut text)?;
    let text = String::from_utf8_lossy(&text).replacen(".SH OPTIONS", &format!(".SH \"{heading}\""), 1);
    out.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    #[test]
    fn the_page_explains_every_benchmark_and_its_options() {
        let mut page = Vec::new();
        write(cli::command(), &mut page).expect("memory takes it all");
        let page = String::from_utf8(page).expect("it is text");
        for benchmark in bench::all() {
            assert!(page.contains(&format!("\\fB{}\\fR", benchmark.name.replace('-', "\\-"))), "{}", benchmark.name);
        }
        for part in ["Half of a round trip", "OPTIONS OF COMPARE", "EXIT STATUS", "tail\\-lat"] {
            assert!(page.contains(part), "{part}");
        }
    }
}
