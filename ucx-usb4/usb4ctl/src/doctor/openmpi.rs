//! Open MPI settings that keep it from UCX. `ompi_info` is asked, because it knows every source of a setting in the right
//! order: environment, the user's file, the system's file.

use super::{Finding, Host, LOAD_ENVIRONMENT};

/// Point-to-point and collectives go through pml/ucx. Without it Open MPI takes ob1 and says nothing.
pub(super) fn pml(settings: &Result<Settings, Absent>) -> Finding {
    const CHECK: &str = "Open MPI pml";
    let settings = match settings {
        Ok(settings) => settings,
        Err(absent) => return absent.finding(CHECK),
    };
    if !settings.has_component("pml") {
        return Finding::fail(
            CHECK,
            format!("Open MPI {} was built without UCX (no pml/ucx)", settings.version()),
            "install an Open MPI with UCX, such as Debian's openmpi-bin",
        );
    }
    match settings.selection("pml") {
        Selection::Ucx => Finding::ok(CHECK, format!("Open MPI {} takes ucx", settings.version())),
        Selection::Open => Finding::warn(CHECK, "pml is not set: Open MPI may take ob1 and not tell", LOAD_ENVIRONMENT),
        Selection::Excluded(setting) => Finding::fail(
            CHECK,
            format!("{setting} keeps Open MPI from UCX"),
            excluded_advice(&setting, "OMPI_MCA_pml"),
        ),
    }
}

/// pml/ucx takes only transports and devices on two lists, which by default hold InfiniBand names.
pub(super) fn lists(settings: &Result<Settings, Absent>) -> Finding {
    const CHECK: &str = "Open MPI UCX lists";
    let settings = match settings {
        Ok(settings) => settings,
        Err(absent) => return absent.finding(CHECK),
    };
    for (name, ours) in [("pml_ucx_tls", "usb4"), ("pml_ucx_devices", "usb4")] {
        if let Some(setting) = settings.get(name).filter(|setting| !list_allows(&setting.value, ours)) {
            return Finding::fail(CHECK, format!("{setting} leaves usb4 out"), LOAD_ENVIRONMENT);
        }
    }
    Finding::ok(CHECK, "transports and devices of usb4 are allowed")
}

/// One-sided communication goes through osc/ucx.
pub(super) fn osc(settings: &Result<Settings, Absent>) -> Finding {
    const CHECK: &str = "Open MPI osc";
    let settings = match settings {
        Ok(settings) => settings,
        Err(absent) => return absent.finding(CHECK),
    };
    match settings.selection("osc") {
        Selection::Ucx => Finding::ok(CHECK, "one-sided communication takes ucx"),
        Selection::Open => Finding::ok(CHECK, "osc is not set: Open MPI chooses for one-sided communication"),
        Selection::Excluded(setting) => Finding::warn(
            CHECK,
            format!("{setting} keeps one-sided communication (MPI_Put, MPI_Get) from UCX"),
            excluded_advice(&setting, "OMPI_MCA_osc"),
        ),
    }
}

/// A setting from the environment is the user's own: say which; one from a file is overruled by the environment.
fn excluded_advice(setting: &Setting, variable: &str) -> String {
    match setting.source.as_str() {
        "environment" => format!("{variable} is set in this shell: unset it, then {LOAD_ENVIRONMENT}"),
        _ => LOAD_ENVIRONMENT.to_owned(),
    }
}

/// A parameter's value and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    name: String,
    value: String,
    source: String,
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={:?} ({})", self.name, self.value, self.source)
    }
}

/// What a framework's selection means for UCX.
enum Selection {
    Ucx,
    Open,
    Excluded(Setting),
}

/// Why there are no settings.
pub(super) enum Absent {
    NotInstalled,
    Unreadable(String),
}

impl Absent {
    fn finding(&self, check: &'static str) -> Finding {
        match self {
            Absent::NotInstalled => Finding::ok(check, "Open MPI is not installed"),
            Absent::Unreadable(message) => Finding::warn(
                check,
                format!("ompi_info does not work: {message}"),
                "reinstall Open MPI, or look for OMPI_MCA_ variables that exclude ucx",
            ),
        }
    }
}

/// The output of `ompi_info --parsable --all`: lines of fields that colons separate.
pub(super) struct Settings(String);

impl Settings {
    pub(super) fn read(host: &dyn Host) -> Result<Settings, Absent> {
        match host.run("ompi_info", &["--parsable", "--all"], &[]) {
            Ok(output) if output.success => Ok(Settings(output.stdout)),
            Ok(output) => Err(Absent::Unreadable(output.stderr.lines().next().unwrap_or("no message").to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Absent::NotInstalled),
            Err(error) => Err(Absent::Unreadable(error.to_string())),
        }
    }

    fn version(&self) -> &str {
        self.0.lines().find_map(|line| line.strip_prefix("ompi:version:full:")).unwrap_or("of unknown release")
    }

    fn has_component(&self, framework: &str) -> bool {
        let prefix = format!("mca:{framework}:ucx:version:");
        self.0.lines().any(|line| line.starts_with(&prefix))
    }

    fn get(&self, name: &str) -> Option<Setting> {
        let field = |field: &str| {
            let marker = format!(":param:{name}:{field}:");
            self.0.lines().find_map(|line| line.split_once(&marker).map(|(_, rest)| rest.trim().to_owned()))
        };
        Some(Setting { name: name.to_owned(), value: field("value")?, source: field("source")? })
    }

    /// A selection is a list of components, or `^` and a list of components not to take; empty: all.
    fn selection(&self, framework: &str) -> Selection {
        match self.get(framework) {
            None => Selection::Open,
            Some(setting) if setting.value.is_empty() => Selection::Open,
            Some(setting) => match setting.value.strip_prefix('^') {
                Some(excluded) if excluded.split(',').any(|name| name.trim() == "ucx") => Selection::Excluded(setting),
                Some(_) => Selection::Open,
                None if setting.value.split(',').any(|name| name.trim() == "ucx") => Selection::Ucx,
                None => Selection::Excluded(setting),
            },
        }
    }
}

/// Whether an `opal_common_ucx_*` list holds `ours`: `any`, names, or `^` and names not allowed.
fn list_allows(list: &str, ours: &str) -> bool {
    let holds = |names: &str| names.split(',').any(|name| name.trim() == ours);
    match list.strip_prefix('^') {
        Some(excluded) => !holds(excluded),
        None => list.trim() == "any" || holds(list),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::super::fake::Fake;
    use super::*;

    /// An Open MPI with these settings, in the words of `ompi_info`.
    fn open_mpi(settings: &[(&str, &str, &str)]) -> Fake {
        let mut text = String::from("ompi:version:full:4.1.4\nmca:pml:ucx:version:\"component:4.1.4\"\n");
        for (name, value, source) in settings {
            text += &format!("mca:x:base:param:{name}:value:{value}\nmca:x:base:param:{name}:source:{source}\n");
        }
        Fake::new().program("ompi_info --parsable --all", &text, "")
    }

    #[test]
    fn debians_file_is_named_as_what_excludes_ucx() {
        let debian = open_mpi(&[("pml", "^ucx", "file (/etc/openmpi/openmpi-mca-params.conf:69)")]);
        let finding = debian.open_mpi(pml);
        assert_eq!(finding.outcome, Outcome::Fail);
        assert!(
            finding.message.contains("pml=\"^ucx\" (file (/etc/openmpi/openmpi-mca-params.conf:69))"),
            "{finding:?}"
        );
    }

    #[test]
    fn another_pml_in_the_environment_is_named() {
        let finding = open_mpi(&[("pml", "ob1", "environment")]).open_mpi(pml);
        assert_eq!(finding.outcome, Outcome::Fail);
        assert!(finding.advice.unwrap().contains("OMPI_MCA_pml"));
    }

    #[test]
    fn pml_ucx_passes_and_no_choice_is_a_warning() {
        assert_eq!(open_mpi(&[("pml", "ucx", "environment")]).open_mpi(pml).outcome, Outcome::Ok);
        assert_eq!(open_mpi(&[("pml", "ob1,ucx", "environment")]).open_mpi(pml).outcome, Outcome::Ok);
        assert_eq!(open_mpi(&[("pml", "", "default")]).open_mpi(pml).outcome, Outcome::Warn);
        assert_eq!(open_mpi(&[("pml", "^cm", "environment")]).open_mpi(pml).outcome, Outcome::Warn);
    }

    #[test]
    fn an_open_mpi_without_ucx_fails() {
        let finding = Fake::new().program("ompi_info --parsable --all", "ompi:version:full:4.1.4\n", "").open_mpi(pml);
        assert_eq!(finding.outcome, Outcome::Fail);
        assert!(finding.message.contains("4.1.4"));
    }

    #[test]
    fn the_infiniband_lists_fail() {
        for (tls, devices, outcome) in [
            ("rc_verbs,ud_verbs", "any", Outcome::Fail),
            ("any", "mlx*", Outcome::Fail),
            ("any", "any", Outcome::Ok),
            ("^tcp", "any", Outcome::Ok),
            ("^usb4", "any", Outcome::Fail),
            ("usb4,self", "any", Outcome::Ok),
        ] {
            let machine = open_mpi(&[("pml_ucx_tls", tls, "default"), ("pml_ucx_devices", devices, "default")]);
            assert_eq!(machine.open_mpi(lists).outcome, outcome, "{tls} {devices}");
        }
    }

    #[test]
    fn an_excluded_osc_is_a_warning() {
        let finding = open_mpi(&[("osc", "^ucx,pt2pt", "file (x:70)")]).open_mpi(osc);
        assert_eq!(finding.outcome, Outcome::Warn);
        assert_eq!(open_mpi(&[("osc", "ucx", "environment")]).open_mpi(osc).outcome, Outcome::Ok);
    }

    #[test]
    fn without_open_mpi_there_is_nothing_to_say() {
        for check in [pml, lists, osc] {
            assert_eq!(Fake::new().open_mpi(check).outcome, Outcome::Ok);
        }
    }
}
