//! The report: one page that needs nothing beside it, and the figures and numbers as files of their own.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::results::{Measured, Results};
use super::variant::Variant;
use super::{export, figure, limit, table};

const STYLE: &str = "\
:root{color-scheme:light dark;--ground:#fff;--ink:#1a1a1a;--soft:#666;--line:#ddd;--stripe:#f6f7f9;--accent:#0072b2}\
@media (prefers-color-scheme:dark){:root{--ground:#161a20;--ink:#e6e9ee;--soft:#9aa4b2;--line:#333a44;--stripe:#1c2129;--accent:#4db3ee}}\
body{background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.6rem}h2{margin-top:2.5rem;border-bottom:1px solid var(--line)}a{color:var(--accent)}\
.scroll{overflow-x:auto}.scroll svg{display:block;width:100%;max-width:860px;min-width:600px;height:auto}\
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem}\
th,td{padding:.2rem .7rem;text-align:right;border-bottom:1px solid var(--line)}td{white-space:nowrap}th{vertical-align:bottom;min-width:4rem}\
th:first-child,td:first-child{position:sticky;left:0;background:var(--ground)}\
tbody tr:nth-child(even),tbody tr:nth-child(even) td:first-child{background:var(--stripe)}.spread{color:var(--soft)}dt{color:var(--soft)}dd{margin:0 0 .4rem 1rem;overflow-wrap:anywhere}";

/// Writes the report into `folder` and returns the path of its page.
///
/// # Errors
/// If a file cannot be written.
pub(super) fn write(folder: &Path, results: &Results, variants: &[Variant], rounds: usize) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let save = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display())).map(|()| path)
    };
    let mut body = String::new();
    for measured in results.benchmarks() {
        let name = measured.benchmark.name;
        let figure = figure::svg(measured, variants)?;
        if let Some(svg) = &figure {
            save(&format!("{name}.svg"), svg)?;
            if let Err(error) = figure::write_png(svg, &folder.join(format!("{name}.png"))) {
                eprintln!("osu-bench: {name}.png is not written: {error:#}");
            }
        }
        body += &section(measured, variants, figure.as_deref());
    }
    save("results.json", &format!("{:#}\n", export::json(results, variants, rounds)))?;
    save("results.csv", &export::csv(results, variants))?;
    save("index.html", &page(&body, rounds, &results.warnings))
}

fn page(body: &str, rounds: usize, warnings: &BTreeSet<String>) -> String {
    let facts: String = facts(rounds, warnings)
        .into_iter()
        .map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>", escape(&value)))
        .collect();
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>osu-bench compare</title>\
         <style>{STYLE}</style><h1>MPI over several transports</h1>\
         <p>Medians over {rounds} interleaved rounds. The grey figure beside a value is half of the range over the rounds. \
         A ratio is a median over the median of the named peer. Dashed lines are what the profile of a simulated cable allows: all \
         rails at their rate less the frame headers, or the one-way latency of the wire.</p>{body}<h2>Where and how</h2><dl>{facts}</dl></html>\n"
    )
}

fn section(measured: &Measured, variants: &[Variant], figure: Option<&str>) -> String {
    let pairs = table::ratio_pairs(variants);
    let limits: Vec<usize> = (0..variants.len()).filter(|&at| limit::of(measured, &variants[at]).is_some()).collect();
    let better = if measured.higher_is_better { "more is better" } else { "less is better" };
    let benchmark = measured.benchmark;
    let mut html = format!(
        "<h2>{}: {} ({better})</h2><p>{}</p><div class=\"scroll\">{}</div><div class=\"scroll\"><table><thead><tr><th>Size",
        benchmark.name,
        escape(&measured.heading),
        escape(benchmark.meaning),
        figure.unwrap_or_default()
    );
    let mut head = |text: String| html += &format!("<th>{}", escape(&text));
    variants.iter().for_each(|variant| head(variant.label.clone()));
    pairs.iter().for_each(|&(ours, peer)| head(format!("{} / {}", variants[ours].label, variants[peer].label)));
    limits.iter().for_each(|&at| head(format!("limit of {}", variants[at].label)));
    html += "</thead><tbody>";
    for &size in measured.sizes.keys() {
        html += &format!("<tr><td>{}", size.map_or_else(String::new, |bytes| bytes.to_string()));
        for at in 0..variants.len() {
            // Writing to a String cannot fail.
            let _ = match measured.summary(size, at) {
                Some(summary) => write!(
                    html,
                    "<td>{} <span class=\"spread\">&plusmn;{:.0} %</span>",
                    table::value(summary.median),
                    summary.spread_percent
                ),
                None => write!(html, "<td>-"),
            };
        }
        for &(ours, peer) in &pairs {
            let ratio = table::ratio(measured.summary(size, ours), measured.summary(size, peer));
            html += &ratio.map_or_else(|| "<td>-".to_owned(), |ratio| format!("<td>{ratio:.2}"));
        }
        for &at in &limits {
            html += &limit::of(measured, &variants[at])
                .map_or_else(String::new, |limit| format!("<td>{}", table::value(limit)));
        }
    }
    html + "</tbody></table></div>"
}

/// What a reader needs to judge the numbers.
fn facts(rounds: usize, warnings: &BTreeSet<String>) -> Vec<(&'static str, String)> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let first_line = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok()?;
        String::from_utf8_lossy(&output.stdout).lines().find(|line| !line.trim().is_empty()).map(str::to_owned)
    };
    let command: Vec<String> = std::env::args().collect();
    let warnings = warnings.iter().map(|warning| ("Warning", warning.clone()));
    let facts = [
        ("Command", command.join(" ")),
        ("Rounds", rounds.to_string()),
        ("Processor", format!("{} ({processors} usable)", model.trim_start_matches([' ', '\t', ':']))),
        ("Kernel", read("/proc/sys/kernel/osrelease").trim().to_owned()),
        ("MPI", first_line("mpirun", &["--version"]).unwrap_or_default()),
        ("UCX", first_line("ucx_info", &["-v"]).unwrap_or_default()),
        ("Date", first_line("date", &["-u", "+%Y-%m-%d %H:%M UTC"]).unwrap_or_default()),
        ("osu-bench", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    warnings.chain(facts).collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escape("<b> & \"c\""), "&lt;b&gt; &amp; &quot;c&quot;");
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        let warning = "ranks 0 & 1 are bound to one core".to_owned();
        let page = page("<p>body</p>", 3, &BTreeSet::from([warning]));
        assert!(page.contains("<p>body</p>"));
        assert!(page.contains("<dt>Warning</dt><dd>ranks 0 &amp; 1 are"), "{page}");
        assert!(!page.contains("http"), "a reference to the outside");
    }
}
