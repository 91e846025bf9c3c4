//! What is compared: a transport, with the profile of its cable and the UCX release it runs on.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::usb4ctl::{self, Profile};

/// The transport of this repository.
const USB4: &str = "usb4";

/// Open MPI's settings that make pml/ucx, and nothing else, carry the messages. Its whitelists of transports and
/// devices name InfiniBand only; and when pml/ucx is merely preferred, another pml takes over in silence.
const OPEN_MPI: [(&str, &str); 6] = [
    ("OMPI_MCA_pml", "ucx"),
    ("OMPI_MCA_osc", "ucx"),
    ("OMPI_MCA_pml_ucx_tls", "any"),
    ("OMPI_MCA_pml_ucx_devices", "any"),
    ("OMPI_MCA_opal_common_ucx_tls", "any"),
    ("OMPI_MCA_opal_common_ucx_devices", "any"),
];

/// Set by a user's shell for one transport, wrong for the others.
pub(super) const CLEARED: [&str; 4] = ["UCX_TLS", "UCX_NET_DEVICES", "UCX_USB4_LINKS", "UCX_PROTO_ENABLE"];

/// One column of the comparison.
pub(super) struct Variant {
    /// Heading.
    pub(super) label: String,
    /// Whether ratios are of this one to the others: the transport is ours, or, beside a C tree, the benchmark is.
    pub(super) ours: bool,
    /// Whether the transport is usb4, whose counters must show that it carried the job.
    pub(super) is_usb4: bool,
    /// Variables of its jobs.
    pub(super) environment: Vec<(String, String)>,
    /// The folder of C OSU benchmarks that run instead of ours.
    pub(super) c_tree: Option<PathBuf>,
    /// What its simulated cable allows, if known.
    pub(super) profile: Option<Profile>,
}

/// The columns for lists of transports, profiles and UCX releases.
///
/// # Errors
/// If usb4 is asked for and cannot be had, or a value does not parse.
pub(super) fn from_lists(tls: &[String], profiles: &[String], ucx: &[String]) -> anyhow::Result<Vec<Variant>> {
    let releases = ucx
        .iter()
        .map(|entry| match entry.split_once('=') {
            Some((label, dir)) => Ok((Some(label), Some(dir))),
            None => bail!("--ucx {entry}: expected LABEL=DIR, for example 1.18=/opt/ucx-1.18/lib"),
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let releases = if releases.is_empty() { vec![(None, None)] } else { releases };
    let mut variants = Vec::new();
    for (release, library_dir) in releases {
        for name in tls {
            let mut columns = if name == USB4 { usb4_columns(profiles)? } else { vec![peer_column(name)] };
            for column in &mut columns {
                if let Some(release) = release {
                    column.label = format!("{} UCX {release}", column.label);
                }
                column.environment.extend(library_dir.map(prepend_library_path));
            }
            variants.append(&mut columns);
        }
    }
    Ok(variants)
}

/// Each of `variants` twice: with our benchmarks, and with those of the C tree.
pub(super) fn beside_c_tree(variants: Vec<Variant>, tree: &Path) -> Vec<Variant> {
    let both = |variant: Variant| {
        let theirs = Variant {
            label: format!("C {}", variant.label),
            ours: false,
            is_usb4: variant.is_usb4,
            environment: variant.environment.clone(),
            c_tree: Some(tree.to_owned()),
            profile: None,
        };
        [Variant { ours: true, ..variant }, theirs]
    };
    variants.into_iter().flat_map(both).collect()
}

fn usb4_columns(profiles: &[String]) -> anyhow::Result<Vec<Variant>> {
    let settings = usb4ctl::environment().context("usb4 was asked for with --tls, and cannot be had")?;
    let known = usb4ctl::profiles().unwrap_or_default();
    let column = |profile: &String| Variant {
        label: format!("usb4 {profile}"),
        ours: true,
        is_usb4: true,
        environment: {
            let mut environment = settings.clone();
            environment.extend(open_mpi());
            environment.push(("UCX_TLS".into(), USB4.into()));
            environment.push(("UCX_USB4_LINKS".into(), format!("sim:{profile}")));
            environment
        },
        c_tree: None,
        profile: known.iter().find(|known| known.name == *profile).cloned(),
    };
    Ok(profiles.iter().map(column).collect())
}

fn peer_column(name: &str) -> Variant {
    let mut environment: Vec<(String, String)> = open_mpi().collect();
    match name {
        "tcp" => {
            environment.push(("UCX_TLS".into(), "tcp".into()));
            environment.push(("UCX_NET_DEVICES".into(), "lo".into()));
        }
        // pml/ucx opens an endpoint to itself, which posix does not offer.
        "posix" => environment.push(("UCX_TLS".into(), "posix,self".into())),
        other => environment.push(("UCX_TLS".into(), other.replace('+', ","))),
    }
    Variant { label: name.to_owned(), ours: false, is_usb4: false, environment, c_tree: None, profile: None }
}

fn open_mpi() -> impl Iterator<Item = (String, String)> {
    OPEN_MPI.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()))
}

/// The loader takes the UCX in `dir` before the system's.
fn prepend_library_path(dir: &str) -> (String, String) {
    let path = match std::env::var("LD_LIBRARY_PATH") {
        Ok(rest) if !rest.is_empty() => format!("{dir}:{rest}"),
        _ => dir.to_owned(),
    };
    ("LD_LIBRARY_PATH".to_owned(), path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value<'a>(variant: &'a Variant, name: &str) -> Option<&'a str> {
        variant.environment.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn every_peer_forces_pml_ucx() {
        let variants =
            from_lists(&["tcp".into(), "posix".into(), "sm+self".into()], &[], &[]).expect("no usb4 is needed");
        for variant in &variants {
            assert_eq!(value(variant, "OMPI_MCA_pml"), Some("ucx"), "{}", variant.label);
        }
        assert_eq!(value(&variants[0], "UCX_NET_DEVICES"), Some("lo"));
        assert_eq!(value(&variants[1], "UCX_TLS"), Some("posix,self"));
        assert_eq!(value(&variants[2], "UCX_TLS"), Some("sm,self"));
    }

    #[test]
    fn releases_multiply_the_columns() {
        let variants =
            from_lists(&["tcp".into(), "posix".into()], &[], &["1.13=/a".into(), "1.18=/b".into()]).expect("parses");
        let labels: Vec<&str> = variants.iter().map(|variant| variant.label.as_str()).collect();
        assert_eq!(labels, ["tcp UCX 1.13", "posix UCX 1.13", "tcp UCX 1.18", "posix UCX 1.18"]);
        assert!(value(&variants[2], "LD_LIBRARY_PATH").is_some_and(|path| path.starts_with("/b")));
        assert!(from_lists(&["tcp".into()], &[], &["1.13".into()]).is_err());
    }
}
