//! What becomes of a program that has lost a peer: whoever handles the error goes on; whoever does not would wait for ever, and is ended.

use std::str::FromStr;

use ucx_sys::Version;

/// `UCX_USB4_ON_FAILURE`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OnFailure {
    /// End it if it does not handle errors, as far as that can be known.
    #[default]
    Auto,
    /// End it.
    End,
    /// Tell UCX, and go on.
    Tell,
}

/// `UCX_USB4_ON_FAILURE` has a value that means nothing.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not understood; use auto, end or tell")]
pub(crate) struct UnknownOnFailure(String);

impl FromStr for OnFailure {
    type Err = UnknownOnFailure;

    fn from_str(text: &str) -> Result<Self, UnknownOnFailure> {
        match text.trim() {
            "auto" => Ok(Self::Auto),
            "end" => Ok(Self::End),
            "tell" => Ok(Self::Tell),
            other => Err(UnknownOnFailure(other.to_owned())),
        }
    }
}

/// The first minor release whose UCP says that a failure was handled whether it was or not
/// (`ucp_worker_iface_handle_uct_ep_failure`).
const ALWAYS_HANDLED: u32 = 22;
/// What the launchers of MPI programs set. Neither Open MPI nor MPICH installs an error handler.
const MPI_VARIABLES: [&str; 3] = ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"];

impl OnFailure {
    /// Whether the program must be ended, after UCX of this version has been told of a failure and said whether it is `handled`.
    pub(crate) fn must_end(self, version: Version, handled: bool, is_set: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::End => true,
            Self::Tell => false,
            Self::Auto if version.minor >= ALWAYS_HANDLED => MPI_VARIABLES.into_iter().any(is_set),
            Self::Auto => !handled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Version = Version { major: 1, minor: 21, patch: 0 };
    const NEW: Version = Version { major: 1, minor: 22, patch: 0 };

    #[test]
    fn ucx_is_believed_as_long_as_it_knows() {
        let is_set = |_: &str| true;
        assert!(OnFailure::Auto.must_end(OLD, false, is_set));
        assert!(!OnFailure::Auto.must_end(OLD, true, is_set));
    }

    #[test]
    fn later_an_mpi_program_is_taken_for_one_that_handles_nothing() {
        assert!(OnFailure::Auto.must_end(NEW, true, |name| name == "PMI_RANK"));
        assert!(!OnFailure::Auto.must_end(NEW, true, |name| name == "SLURM_PROCID"));
    }

    #[test]
    fn the_user_has_the_last_word() {
        for version in [OLD, NEW] {
            assert!("end".parse::<OnFailure>().unwrap().must_end(version, true, |_| false));
            assert!(!"tell".parse::<OnFailure>().unwrap().must_end(version, false, |_| true));
        }
        let wrong = "never".parse::<OnFailure>().unwrap_err().to_string();
        assert!(wrong.contains("never") && wrong.contains("tell"), "{wrong}");
    }
}
