//! The links setting: which carrier to open.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::OpenError;
use crate::kernel::{self, DEVICE};
use crate::sim::Profile;

/// The value of `UCX_USB4_LINKS`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum LinkSpec {
    /// The node's cables: the kernel's rings, `/dev/usb4dma`.
    #[default]
    Auto,
    /// `kernel`: the same, named.
    Kernel,
    /// `sim:PROFILE`: a simulated cable that is built in.
    SimProfile(Profile),
    /// `sim:/path/to/fabric.toml`: a simulated fabric that a file describes.
    SimFile(PathBuf),
}

impl LinkSpec {
    /// Whether there is something to open, or to say why not: a simulated cable always, the kernel's rings where the module is loaded.
    #[must_use]
    pub fn is_present(&self) -> bool {
        match self {
            LinkSpec::Auto | LinkSpec::Kernel => Path::new(DEVICE).exists(),
            LinkSpec::SimProfile(_) | LinkSpec::SimFile(_) => true,
        }
    }

    /// The controller that carries the cables, by its name on the PCI bus; `None`: not known, or there is none, as of a simulated cable.
    #[must_use]
    pub fn controller(&self) -> Option<String> {
        match self {
            LinkSpec::Auto | LinkSpec::Kernel => kernel::controller(),
            LinkSpec::SimProfile(_) | LinkSpec::SimFile(_) => None,
        }
    }
}

impl FromStr for LinkSpec {
    type Err = OpenError;

    /// Parses `auto`, `kernel`, `sim:PROFILE` or `sim:PATH`. A word with a slash or ending in `.toml` is a path.
    ///
    /// # Errors
    /// [`OpenError::BadSpec`] for another form, [`OpenError::UnknownProfile`] for a profile that does not exist.
    fn from_str(text: &str) -> Result<Self, OpenError> {
        let text = text.trim();
        if text.is_empty() || text == "auto" {
            return Ok(LinkSpec::Auto);
        }
        if text == "kernel" {
            return Ok(LinkSpec::Kernel);
        }
        match text.strip_prefix("sim:") {
            Some(path) if path.contains('/') || path.ends_with(".toml") => Ok(LinkSpec::SimFile(path.into())),
            Some(name) => Profile::from_name(name)
                .map(LinkSpec::SimProfile)
                .ok_or_else(|| OpenError::UnknownProfile(name.to_owned())),
            None => Err(OpenError::BadSpec(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_understood() {
        assert_eq!("auto".parse::<LinkSpec>().unwrap(), LinkSpec::Auto);
        assert_eq!("kernel".parse::<LinkSpec>().unwrap(), LinkSpec::Kernel);
        assert_eq!("".parse::<LinkSpec>().unwrap(), LinkSpec::Auto);
        assert_eq!("sim:strix-halo".parse::<LinkSpec>().unwrap(), LinkSpec::SimProfile(Profile::StrixHalo));
        assert_eq!("sim:three.toml".parse::<LinkSpec>().unwrap(), LinkSpec::SimFile("three.toml".into()));
        assert_eq!("sim:/tmp/x".parse::<LinkSpec>().unwrap(), LinkSpec::SimFile("/tmp/x".into()));
    }

    #[test]
    fn an_unknown_profile_gets_the_list() {
        let message = "sim:strix".parse::<LinkSpec>().unwrap_err().to_string();
        for profile in Profile::all() {
            assert!(message.contains(profile.name()), "{message}");
        }
    }

    #[test]
    fn another_form_gets_the_forms() {
        let message = "usb4".parse::<LinkSpec>().unwrap_err().to_string();
        assert!(message.contains("sim:PROFILE") && message.contains("auto"), "{message}");
    }
}
