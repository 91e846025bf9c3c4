//! Which fabric a setting names: its folder and its description.

use std::fs;
use std::path::Path;

use super::profile::{FabricConfig, Profile};
use crate::{LinkSpec, OpenError};

/// A fabric to join: the same setting and, for a file, the same content give the same fabric.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Source {
    /// The folder's name.
    pub(crate) name: String,
    /// What errors call the description.
    pub(crate) file: String,
    /// The description.
    pub(crate) text: String,
}

impl Source {
    /// Reads and checks the description that a setting names.
    pub(crate) fn resolve(spec: &LinkSpec) -> Result<Source, OpenError> {
        match spec {
            LinkSpec::Auto | LinkSpec::Kernel => Err(OpenError::NoDevice),
            LinkSpec::SimProfile(profile) => Ok(Source::from_profile(*profile)),
            LinkSpec::SimFile(path) => {
                let text =
                    fs::read_to_string(path).map_err(|source| OpenError::ReadConfig { path: path.clone(), source })?;
                let file = path.to_string_lossy().into_owned();
                FabricConfig::parse(&file, &text)?;
                Ok(Source { name: folder_name(path, &text), file, text })
            }
        }
    }

    fn from_profile(profile: Profile) -> Source {
        let name = profile.name().to_owned();
        Source { file: name.clone(), name, text: profile.toml().to_owned() }
    }
}

fn folder_name(path: &Path, text: &str) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || *c == '-' || *c == '_';
    let stem: String = stem.chars().filter(is_plain).take(40).collect();
    format!("{stem}-{:016x}", hash(text.as_bytes()))
}

/// FNV-1a: all processes of a job must agree, whichever compiler built them, so the standard library's hash will
/// not do.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_after_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let resolve = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            Source::resolve(&LinkSpec::SimFile(path)).unwrap().name
        };
        let first = resolve("my lab.toml", "nodes = 2");
        assert!(first.starts_with("mylab-"), "{first}");
        assert_eq!(first, resolve("my lab.toml", "nodes = 2"));
        assert_ne!(first, resolve("my lab.toml", "nodes = 3"));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_before_anything_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broken.toml");
        let error = Source::resolve(&LinkSpec::SimFile(path.clone())).unwrap_err().to_string();
        assert!(error.contains("broken.toml") && error.contains("check the path"), "{error}");
        fs::write(&path, "nodes = \"two\"").unwrap();
        let error = Source::resolve(&LinkSpec::SimFile(path)).unwrap_err().to_string();
        assert!(error.contains("broken.toml:1:9: "), "{error}");
    }
}
