//! The files that a running process records its frames into.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// All that it has open now.
pub(super) fn recordings(pid: u32) -> anyhow::Result<Vec<PathBuf>> {
    let folder = PathBuf::from(format!("/proc/{pid}/fd"));
    let open = folder.read_dir().with_context(|| match Path::new(&format!("/proc/{pid}")).exists() {
        true => format!("the files of process {pid} cannot be listed; take sudo for one that is not yours"),
        false => format!("there is no process {pid}; `pgrep -l APP` shows the numbers of a job's ranks"),
    })?;
    // A descriptor that was closed meanwhile has no link.
    let open = open.filter_map(|entry| entry.ok()?.path().read_link().ok());
    let mut found: Vec<PathBuf> = open.filter(|path| is_recording(path)).collect();
    if found.is_empty() {
        bail!(
            "process {pid} records no frames; start the job with UCX_USB4_TRACE=PREFIX (and name a rank, not mpirun)"
        );
    }
    found.sort();
    Ok(found)
}

/// `PREFIX.PID-CHANNEL.pcap`. The number is the process's in its own container, not always the one that it has here.
fn is_recording(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy());
    let Some((_, end)) = name.as_deref().and_then(|name| name.strip_suffix(".pcap")?.rsplit_once('-')) else {
        return false;
    };
    end.strip_prefix('n').is_some_and(|address| address.contains(".c"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_recordings_are_taken() {
        for (path, expected) in [
            ("/tmp/job.4711-n1.c0.pcap", true),
            ("/tmp/my-job.4711-nbadcafe.c17.pcap", true),
            ("/tmp/other.pcap", false),
            ("/tmp/other-n1.pcap", false),
            ("/tmp/job.4711-n1.c0.pcap (deleted)", false),
            ("/dev/null", false),
            ("socket:[123]", false),
        ] {
            assert_eq!(is_recording(Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn a_process_that_is_not_there_and_one_that_records_nothing_are_told_apart() {
        let nobody = recordings(u32::MAX).unwrap_err();
        assert!(nobody.to_string().contains("there is no process"), "{nobody}");
        let silent = recordings(std::process::id()).unwrap_err();
        assert!(silent.to_string().contains("UCX_USB4_TRACE=PREFIX"), "{silent}");
    }
}
