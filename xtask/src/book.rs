//! `cargo xtask book`: the documentation as mdBook makes it, with every link inside it checked.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};

use crate::{cargo_tool, workspace};

/// Builds it into `target/book`, and checks its links.
pub(crate) fn build(shell: &Shell) -> Result<PathBuf> {
    let mdbook = cargo_tool::MDBOOK.open(shell)?;
    let (source, output) = (workspace::root().join("docs"), workspace::target().join("book"));
    for chapter in files(&source.join("src"), "md")? {
        let text = std::fs::read_to_string(&chapter)?;
        ensure!(!indents_a_file(&text), "{}: put included files between ``` lines", chapter.display());
    }
    let log = cmd!(shell, "{mdbook} build {source} --dest-dir {output}").read_stderr()?;
    // A file that it cannot include is an error in its log alone.
    ensure!(!log.contains("ERROR"), "mdbook says:\n{log}");
    let pages = pages(&output)?;
    let broken: Vec<String> = pages.iter().flat_map(|page| broken_links(&output, page)).collect();
    ensure!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
    eprintln!("{} pages, all links lead somewhere: {}", pages.len(), output.join("index.html").display());
    Ok(output)
}

/// A page and what it says.
struct Page {
    path: PathBuf,
    text: String,
}

fn pages(folder: &Path) -> Result<Vec<Page>> {
    let mut pages = Vec::new();
    for path in files(folder, "html")? {
        // The table of contents in a frame has links relative to the page around it; print.html is all pages once more.
        let is_own = !["toc.html", "print.html", "404.html"].iter().any(|name| path.ends_with(name));
        if is_own {
            pages.push(Page { text: std::fs::read_to_string(&path)?, path });
        }
    }
    Ok(pages)
}

/// The files of a folder whose names end so.
fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    Ok(paths.into_iter().filter(|path| path.extension().is_some_and(|found| found == extension)).collect())
}

/// Whether a chapter means to show a file by indenting its include. That indents the file's first line only: the others
/// become prose, and those that begin with # headings.
fn indents_a_file(chapter: &str) -> bool {
    chapter.lines().any(|line| line.starts_with([' ', '\t']) && line.trim_start().starts_with("{{#include"))
}

/// Links of a page to files or places that are not there. Links to other sites are not followed.
fn broken_links(folder: &Path, page: &Page) -> Vec<String> {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let leads_somewhere = |link: &str| {
        let (file, place) = link.split_once('#').unwrap_or((link, ""));
        let file = file.split('?').next().unwrap_or(file);
        let target = if file.is_empty() { page.path.clone() } else { folder.join(file) };
        match std::fs::read(&target) {
            Ok(bytes) => place.is_empty() || String::from_utf8_lossy(&bytes).contains(&format!("id=\"{place}\"")),
            Err(_) => false,
        }
    };
    let links: BTreeSet<&str> = attributes(&page.text, "href").chain(attributes(&page.text, "src")).collect();
    let inside =
        links.into_iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:") && !link.is_empty());
    inside.filter(|link| !leads_somewhere(link)).map(|link| format!("{}: {link}", name(&page.path))).collect()
}

/// The values of an attribute in HTML.
fn attributes<'a>(html: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let start = format!(" {name}=\"");
    let mut rest = html;
    std::iter::from_fn(move || {
        rest = &rest[rest.find(&start)? + start.len()..];
        rest.split('"').next()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_shown_between_fences_only() {
        assert!(indents_a_file("so:\n\n    {{#include ../table.txt}}\n"));
        assert!(!indents_a_file("```text\n{{#include ../table.txt}}\n```\n"));
    }

    #[test]
    fn links_to_nowhere_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let page = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
        };
        page("a.html", r##"<a href="b.html#there">x</a> <a class="x" href="b.html#gone">x</a> <a href="#own">x</a>"##);
        page(
            "b.html",
            r#"<h1 id="there"></h1> <img src="no.svg"> <a href="https://else.where/">x</a> <a href="c.html">x</a>"#,
        );
        let broken: Vec<String> =
            pages(folder.path()).unwrap().iter().flat_map(|page| broken_links(folder.path(), page)).collect();
        let broken: BTreeSet<&str> = broken.iter().map(String::as_str).collect();
        assert_eq!(broken, ["a.html: #own", "a.html: b.html#gone", "b.html: c.html", "b.html: no.svg"].into());
    }
}
