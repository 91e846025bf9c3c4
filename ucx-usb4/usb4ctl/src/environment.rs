//! What a shell, a job script or a module file must set so that MPI runs over usb4.

use std::path::Path;

use crate::install::{Install, PRELOAD};

/// Variables to set, in the order in which they are printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Environment {
    variables: Vec<(&'static str, String)>,
}

/// Open MPI: take pml/ucx and osc/ucx (Debian's parameter file excludes both), and take them on any transport and device.
/// `opal_common_ucx_*` and `pml_ucx_*` are synonyms in 4.1; 5.x warns about neither and reads both.
const OPEN_MPI: [(&str, &str); 6] = [
    ("OMPI_MCA_pml", "ucx"),
    ("OMPI_MCA_osc", "ucx"),
    ("OMPI_MCA_pml_ucx_tls", "any"),
    ("OMPI_MCA_pml_ucx_devices", "any"),
    ("OMPI_MCA_opal_common_ucx_tls", "any"),
    ("OMPI_MCA_opal_common_ucx_devices", "any"),
];

/// Open MPI 4.1: names of variables that mpirun gives to ranks on other hosts. Not `mca_base_env_list`: with that one in
/// the environment, mpirun refuses to run when the user passes a variable with `-x`. (orte/mca/schizo/ompi, parse_env)
const FORWARD_4: &str = "OMPI_MCA_mca_base_env_list_internal";
/// Open MPI 5: patterns of variables that mpirun gives to ranks on other hosts; the first two are the default.
/// (PMIx, src/mca/pmdl/ompi)
const FORWARD_5: (&str, &str) = ("PMIX_MCA_pmdl_ompi_include_envars", "OMPI_*,OPAL_*,LD_PRELOAD,UCX_*");

impl Environment {
    /// Decides every variable. `get` reads the environment so far, `names` are its variables, `device` tells whether the
    /// kernel module's device is there.
    pub(crate) fn new(
        install: &Install,
        get: impl Fn(&str) -> Option<String>,
        names: impl Iterator<Item = String>,
        device: bool,
    ) -> Environment {
        let mut variables = vec![("LD_PRELOAD", preload(get("LD_PRELOAD").as_deref(), &install.preload()))];
        if get("UCX_TLS").is_none_or(|value| value.trim().is_empty()) {
            let simulated = get("UCX_USB4_LINKS").is_some_and(|links| links.trim().starts_with("sim:"));
            variables.push(("UCX_TLS", default_transports(device && !simulated).to_owned()));
        }
        variables.extend(OPEN_MPI.map(|(name, value)| (name, value.to_owned())));
        variables.push((FORWARD_4, forwarded(names)));
        variables.push((FORWARD_5.0, FORWARD_5.1.to_owned()));
        Environment { variables }
    }

    /// The variables of this process and this machine.
    pub(crate) fn of_process(install: &Install) -> Environment {
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        Environment::new(install, |name| std::env::var(name).ok(), names, Path::new("/dev/usb4dma").exists())
    }

    /// Name and value of each variable.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.variables.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// `export` lines for a POSIX shell.
    pub(crate) fn to_shell(&self) -> String {
        self.variables().map(|(name, value)| format!("export {name}={}\n", quote(value))).collect()
    }

    /// A JSON object.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        self.variables().map(|(name, value)| (name.to_owned(), value.into())).collect::<serde_json::Map<_, _>>().into()
    }
}

/// The transports for a user who has chosen none. On the simulated cable all ranks stand on one machine, and UCX would take
/// its shared memory for them: there usb4 stands alone. With cables, shared memory is right inside a node. Neither holds
/// tcp: nothing falls back silently.
fn default_transports(hardware: bool) -> &'static str {
    if hardware { "usb4,self,sm" } else { "usb4" }
}

/// `current` with our library at its end, once, and no other copy of it.
fn preload(current: Option<&str>, ours: &str) -> String {
    let is_ours = |entry: &&str| Path::new(entry).file_name().is_some_and(|name| name == PRELOAD);
    let mut entries: Vec<&str> = current.unwrap_or("").split([':', ' ']).filter(|entry| !entry.is_empty()).collect();
    entries.retain(|entry| !is_ours(entry));
    entries.push(ours);
    entries.join(":")
}

/// Names for [`FORWARD_4`]: the variables that we set and the UCX settings that exist (a missing one draws a warning).
fn forwarded(names: impl Iterator<Item = String>) -> String {
    let mut list: Vec<String> = names.filter(|name| name.starts_with("UCX_") && name != "UCX_TLS").collect();
    list.sort();
    list.splice(0..0, ["LD_PRELOAD".to_owned(), "UCX_TLS".to_owned()]);
    list.join(";")
}

/// `value` as one word of a POSIX shell.
fn quote(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::process::Command;

    fn environment(pairs: &[(&str, &str)], device: bool) -> BTreeMap<&'static str, String> {
        let install = crate::install::tests::example("/opt/usb4/lib/ucx-usb4");
        let get = |name: &str| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        let names = pairs.iter().map(|(name, _)| (*name).to_owned());
        Environment::new(&install, get, names, device).variables.into_iter().collect()
    }

    #[test]
    fn preload_is_appended_once_and_an_older_copy_is_replaced() {
        let ours = "/opt/usb4/lib/ucx-usb4/libucx_usb4_preload.so";
        for (current, expected) in [
            ("", ours.to_owned()),
            ("/lib/a.so", format!("/lib/a.so:{ours}")),
            ("/lib/a.so /lib/b.so", format!("/lib/a.so:/lib/b.so:{ours}")),
            (ours, ours.to_owned()),
            ("/old/libucx_usb4_preload.so:/lib/a.so", format!("/lib/a.so:{ours}")),
        ] {
            assert_eq!(environment(&[("LD_PRELOAD", current)], false)["LD_PRELOAD"], expected, "{current:?}");
        }
    }

    #[test]
    fn the_users_transports_win() {
        assert!(!environment(&[("UCX_TLS", "usb4,self,sm")], false).contains_key("UCX_TLS"));
        assert_eq!(environment(&[("UCX_TLS", "")], false)["UCX_TLS"], "usb4");
    }

    #[test]
    fn shared_memory_is_added_only_where_there_are_cables() {
        assert_eq!(environment(&[], false)["UCX_TLS"], "usb4");
        assert_eq!(environment(&[], true)["UCX_TLS"], "usb4,self,sm");
        assert_eq!(environment(&[("UCX_USB4_LINKS", "sim:ideal")], true)["UCX_TLS"], "usb4");
    }

    #[test]
    fn mpirun_forwards_what_exists() {
        let pairs =
            [("UCX_USB4_LINKS", "sim:ideal"), ("HOME", "/root"), ("UCX_TLS", "usb4"), ("UCX_LOG_LEVEL", "info")];
        assert_eq!(environment(&pairs, false)[FORWARD_4], "LD_PRELOAD;UCX_TLS;UCX_LOG_LEVEL;UCX_USB4_LINKS");
    }

    #[test]
    fn a_shell_reads_back_every_value() {
        let hostile = r#"a'b"c $HOME `id` \ *;& é"#;
        let environment = Environment { variables: vec![("X", hostile.to_owned()), ("Y", String::new())] };
        let script = format!("{}printf '%s|%s' \"$X\" \"$Y\"", environment.to_shell());
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{hostile}|"));
    }
}
